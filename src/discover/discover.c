/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. The watch (netlink.c) owns what the kernel shows; each source of names
 * (engine.c, netns.c) owns what it claims; here they are only held together. A snapshot is built
 * from all of it when it is asked for (snapshot.c), and nothing of it is kept.
 *
 * Whoever learns something calls touch(), which arms a timer of no delay: all that one turn of the
 * loop brings is told of once, at the start of the next turn, and nothing waits longer. Time alone
 * changes a snapshot too (an endpoint stops being pending); every snapshot says when, and a timer
 * waits for that.
 *
 * Where nothing changed but a few veths, which the links keep book of, a part of a snapshot does:
 * the same code makes it, out of those veths and of what they depend on.
 */
#include "discover/discover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discover/admit.h"
#include "discover/engine.h"
#include "discover/netns.h"
#include "discover/part.h"
#include "discover/snapshot.h"
#include "discover/watch.h"
#include "microseg/cleanup.h"
#include "microseg/ruleset.h"

MS_DEFINE_CLEANUP(struct ms_arena *, ms_arena_free)

#define ADMIT_MS 100 /* of marking at a time */

struct ms_discover {
	struct ms_arena *arena; /* of the options' texts */
	ms_text_vec patterns, named, ignore, sockets;
	const char *node;
	ms_discover_fn changed_fn;
	void *userdata;

	struct ms_rtnl *rtnl;
	struct ms_http *http;
	struct ms_watch *watch;
	struct ms_netns *netns;
	MS_VEC(struct ms_engine *) engines;
	struct ms_timer *touched;  /* runs out at the start of the next turn */
	struct ms_timer *later;	   /* when time alone changes the snapshot: */
	uint64_t later_ms;	   /* then; UINT64_MAX: never */
	bool later_all;		   /* any link */
	MS_VEC(uint32_t) restless; /* or these */
	uint64_t revision;
	char gaps[80]; /* the watch's detail */
	uint64_t n_readmitted;
	MS_VEC(struct ms_bridge_state) bridges;
};

const char *ms_source_state_name(enum ms_source_state state)
{
	static const char *const names[] = {
		[MS_SOURCE_STARTING] = "starting",
		[MS_SOURCE_OK] = "ok",
		[MS_SOURCE_ABSENT] = "absent",
		[MS_SOURCE_FAILED] = "failed",
	};

	return names[state];
}

/* More may be different than the links know. */
static void touch(void *userdata)
{
	struct ms_discover *discover = userdata;

	ms_links_soil(ms_watch_links(discover->watch));
	ms_timer_set(discover->touched, 0);
}

static uint64_t seq(void *userdata)
{
	const struct ms_discover *discover = userdata;

	return ms_watch_links(discover->watch)->seq;
}

static bool engine_may_name(const struct ms_discover *discover)
{
	ms_vec_each (struct ms_engine *, engine, &discover->engines) {
		enum ms_source_state state = ms_engine_health(*engine).state;

		if (state == MS_SOURCE_OK || state == MS_SOURCE_STARTING)
			return true;
	}
	return false;
}

static int gather_claims(struct ms_discover *discover, const struct ms_claims ***ret_claims,
			 size_t *ret_n_claims)
{
	size_t n = 0;
	const struct ms_claims **claims = calloc(discover->engines.n_items + 1, sizeof(*claims));

	if (!claims)
		return -ENOMEM;
	ms_vec_each (struct ms_engine *, engine, &discover->engines)
		claims[n++] = ms_engine_claims(*engine);
	claims[n++] = ms_netns_claims(discover->netns);
	*ret_claims = claims;
	*ret_n_claims = n;
	return 0;
}

static struct ms_cover_rules rules(const struct ms_discover *discover)
{
	return (struct ms_cover_rules){&discover->patterns, &discover->named, &discover->ignore};
}

/* Looks again when time will have changed something: an endpoint stops being pending, a young veth
 * is decided. */
static void arm_later(struct ms_discover *discover, uint64_t now_ms)
{
	uint64_t again_ms = discover->later_ms;

	if (again_ms == UINT64_MAX)
		ms_timer_stop(discover->later);
	else
		ms_timer_set(discover->later, again_ms > now_ms ? again_ms - now_ms : 0);
}

static void look_later(struct ms_discover *discover, uint64_t now_ms, uint64_t again_ms)
{
	discover->later_ms = again_ms;
	discover->later_all = true;
	discover->restless.n_items = 0;
	arm_later(discover, now_ms);
}

/* The same for the dirty veths alone; others go on waiting. */
static void look_later_at(struct ms_discover *discover, const struct ms_dirty *dirty,
			  uint64_t now_ms, uint64_t again_ms)
{
	if (again_ms == UINT64_MAX)
		return;
	if (discover->later_ms == UINT64_MAX)
		discover->later_all = false;
	for (size_t i = 0; i < dirty->veths.n_items; i++)
		if (ms_vec_push(&discover->restless, dirty->veths.items[i].ifindex) < 0)
			discover->later_all = true;
	if (again_ms < discover->later_ms) {
		discover->later_ms = again_ms;
		arm_later(discover, now_ms);
	}
}

static void on_later(void *userdata)
{
	struct ms_discover *discover = userdata;
	struct ms_links *links = ms_watch_links(discover->watch);

	if (discover->later_all)
		ms_links_soil(links);
	ms_vec_each (uint32_t, ifindex, &discover->restless) {
		const struct ms_link *link = ms_links_find(links, *ifindex);

		if (link)
			ms_links_touch(links, link);
	}
	discover->restless.n_items = 0;
	discover->later_ms = UINT64_MAX;
	ms_timer_set(discover->touched, 0);
}

static struct ms_snapshot_facts facts_of(const struct ms_discover *discover)
{
	return (struct ms_snapshot_facts){.node = discover->node,
					  .sockets = discover->sockets.items,
					  .n_sockets = discover->sockets.n_items,
					  .links = ms_watch_links(discover->watch),
					  .rules = rules(discover),
					  .engine_may_name = engine_may_name(discover),
					  .now_ms = ms_monotonic_ms(),
					  .revision = discover->revision + 1};
}

static int build_snapshot(struct ms_discover *discover, struct ms_snapshot_facts *facts,
			  struct ms_inventory **ret_inventory, uint64_t *ret_again_ms)
{
	_cleanup_(freep) const struct ms_claims **claims = NULL;
	int r = gather_claims(discover, &claims, &facts->n_claims);

	if (r < 0)
		return r;
	facts->claims = claims;
	r = ms_snapshot_build(facts, ret_inventory, ret_again_ms);
	facts->claims = NULL;
	discover->revision += r == 0;
	return r;
}

int ms_discover_snapshot(struct ms_discover *discover, struct ms_inventory **ret_inventory)
{
	struct ms_snapshot_facts facts = facts_of(discover);
	uint64_t again_ms;
	int r = build_snapshot(discover, &facts, ret_inventory, &again_ms);

	if (r == 0)
		look_later(discover, facts.now_ms, again_ms);
	return r;
}

int ms_discover_part(struct ms_discover *discover, struct ms_inventory **ret_part)
{
	struct ms_links *links = ms_watch_links(discover->watch), view;
	struct ms_snapshot_facts facts = facts_of(discover);
	uint64_t again_ms;

	if (!links->dirty.partial)
		return 1;
	int r = ms_links_dirty_view(links, &view);
	if (r < 0)
		return r;
	facts.links = &view;
	facts.part = true;
	r = build_snapshot(discover, &facts, ret_part, &again_ms);
	if (r == 0)
		look_later_at(discover, &links->dirty, facts.now_ms, again_ms);
	ms_vec_fini(&view.list);
	return r;
}

int ms_discover_change(struct ms_discover *discover, const struct ms_inventory *before,
		       const struct ms_inventory *part, struct ms_arena *arena,
		       struct ms_inventory_change *ret_change)
{
	return ms_part_change(before, part, ms_watch_links(discover->watch), arena, ret_change);
}

void ms_discover_kept(struct ms_discover *discover)
{
	ms_links_clean(ms_watch_links(discover->watch));
}

/* What is known of the link is set with it: the event that tells of it is no news, and those before
 * it are old. A link that is down has no event. */
static int mark(struct ms_discover *discover, struct ms_link *link)
{
	int r = ms_admit(discover->rtnl, link->view.ifindex);

	if (r < 0)
		return r == -ENODEV ? 0 : r;
	discover->n_readmitted += link->admitted;
	link->admitted = link->marking = true;
	link->view.group = MS_ADMITTED_GROUP;
	return 0;
}

static struct ms_link *find_unmarked(const struct ms_discover *discover, uint32_t ifindex,
				     const char *name, const struct ms_inventory *but)
{
	struct ms_link *link = ms_links_find(ms_watch_links(discover->watch), ifindex);

	if (!link || link->view.group == MS_ADMITTED_GROUP || strcmp(link->view.name, name) != 0 ||
	    (but && ms_inventory_by_interface(but, name)))
		return NULL;
	return link;
}

int ms_discover_admit(struct ms_discover *discover, const struct ms_inventory *inventory,
		      const struct ms_inventory *but)
{
	uint64_t until_ms = ms_monotonic_ms() + ADMIT_MS;
	int first = 0;

	ms_vec_each (const struct ms_endpoint, endpoint, &inventory->endpoints) {
		struct ms_link *link =
			find_unmarked(discover, endpoint->ifindex, endpoint->interface, but);

		if (!link || link->seen_seq != endpoint->since) /* one that was looked at */
			continue;
		if (ms_monotonic_ms() > until_ms)
			return first ? first : -EAGAIN;
		int r = mark(discover, link);
		first = first ? first : r;
	}
	return first;
}

void ms_discover_admit_early(struct ms_discover *discover, const struct ms_inventory *but)
{
	const struct ms_dirty *dirty = &ms_watch_links(discover->watch)->dirty;
	struct ms_cover_rules cover_rules = rules(discover);

	for (size_t i = 0; dirty->partial && i < dirty->veths.n_items; i++) {
		struct ms_link *link = find_unmarked(discover, dirty->veths.items[i].ifindex,
						     dirty->veths.items[i].name, but);

		if (link && !link->view.up && ms_cover_matches(&cover_rules, link->view.name))
			mark(discover, link);
	}
}

void ms_discover_dismissed(struct ms_discover *discover)
{
	ms_vec_each (struct ms_link *, link, &ms_watch_links(discover->watch)->list) {
		if ((*link)->view.group == MS_ADMITTED_GROUP)
			(*link)->view.group = 0;
		(*link)->admitted = (*link)->marking = false;
	}
}

uint64_t ms_discover_n_readmitted(const struct ms_discover *discover)
{
	return discover->n_readmitted;
}

void ms_discover_doubt(struct ms_discover *discover)
{
	ms_links_soil(ms_watch_links(discover->watch));
}

/* The names are those of the links, which change only in the watch's turn, and that ends here. */
static int list_bridges(struct ms_discover *discover)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	struct ms_cover_rules cover_rules = rules(discover);
	ms_covered_vec covered = {0};
	uint64_t again_ms;

	discover->bridges.n_items = 0;
	int r = arena ? ms_cover_judge(ms_watch_links(discover->watch), &cover_rules,
				       ms_monotonic_ms(), arena, &covered, &again_ms)
		      : -ENOMEM;
	for (size_t i = 0; r == 0 && i < covered.n_items; i++) {
		const struct ms_link_view *view = &covered.items[i].link->view;

		if (covered.items[i].cover == MS_COVER_BRIDGE)
			r = ms_vec_push(&discover->bridges,
					((struct ms_bridge_state){
						view->name, view->ifindex, view->nf_call_ip,
						view->nf_call_ip6, view->no_ll_learn}));
	}
	ms_vec_fini(&covered);
	return r;
}

size_t ms_discover_bridges(const struct ms_discover *discover,
			   const struct ms_bridge_state **ret_bridges)
{
	*ret_bridges = discover->bridges.items;
	return discover->bridges.n_items;
}

static struct ms_source_health watch_health(const struct ms_discover *discover)
{
	const char *error = ms_watch_error(discover->watch);

	return (struct ms_source_health){.name = "netlink",
					 .state = error ? MS_SOURCE_FAILED : MS_SOURCE_OK,
					 .detail = error	     ? error
						   : *discover->gaps ? discover->gaps
								     : NULL};
}

void ms_discover_remember(const struct ms_discover *discover, struct ms_str *out)
{
	ms_vec_each (struct ms_engine *, engine, &discover->engines)
		ms_engine_remember(*engine, out);
}

size_t ms_discover_n_sources(const struct ms_discover *discover)
{
	return 2 + discover->engines.n_items;
}

struct ms_source_health ms_discover_source(const struct ms_discover *discover, size_t index)
{
	if (index == 0)
		return watch_health(discover);
	if (index <= discover->engines.n_items)
		return ms_engine_health(discover->engines.items[index - 1]);
	return ms_netns_health(discover->netns);
}

bool ms_discover_settled(const struct ms_discover *discover)
{
	for (size_t i = 0; i < ms_discover_n_sources(discover); i++)
		if (ms_discover_source(discover, i).state == MS_SOURCE_STARTING)
			return false;
	return true;
}

static void on_touched(void *userdata)
{
	struct ms_discover *discover = userdata;
	const struct ms_links *links = ms_watch_links(discover->watch);

	ms_vec_each (struct ms_engine *, engine, &discover->engines)
		ms_claims_prune(ms_engine_claims(*engine), links);
	ms_claims_prune(ms_netns_claims(discover->netns), links);
	if (discover->changed_fn)
		discover->changed_fn(discover->userdata);
}

static void on_watch_changed(void *userdata)
{
	struct ms_discover *discover = userdata;

	/* Without memory there are fewer bridges than there are, until the next change. */
	if (!ms_watch_links(discover->watch)->dirty.partial)
		list_bridges(discover);
	ms_timer_set(discover->touched, 0);
}

static void on_nsid(int32_t nsid, bool gone, void *userdata)
{
	struct ms_discover *discover = userdata;

	if (!gone) {
		ms_netns_nsid_new(discover->netns);
		ms_vec_each (struct ms_engine *, engine, &discover->engines)
			ms_engine_nsid_new(*engine);
		return;
	}
	bool found = ms_claims_nsid_gone(ms_netns_claims(discover->netns), nsid);
	ms_vec_each (struct ms_engine *, engine, &discover->engines)
		found |= ms_claims_nsid_gone(ms_engine_claims(*engine), nsid);
	if (found)
		touch(discover);
}

static void on_gap(void *userdata)
{
	struct ms_discover *discover = userdata;

	snprintf(discover->gaps, sizeof(discover->gaps),
		 "events were lost %" PRIu64 " times, and everything listed anew",
		 ms_watch_n_gaps(discover->watch));
	ms_netns_gap(discover->netns);
	ms_vec_each (struct ms_engine *, engine, &discover->engines)
		ms_engine_gap(*engine);
	touch(discover);
}

static int copy_texts(struct ms_arena *arena, const ms_text_vec *from, ms_text_vec *to)
{
	int r = 0;

	if (!from)
		return 0;
	ms_vec_each (const char *, text, from) {
		const char *copy = ms_arena_strdup(arena, *text);

		if (r == 0)
			r = copy ? ms_avec_push(arena, to, copy) : -ENOMEM;
	}
	return r;
}

static int copy_options(struct ms_discover *discover, const struct ms_discover_options *options)
{
	discover->arena = ms_arena_new();
	if (!discover->arena)
		return -ENOMEM;
	discover->changed_fn = options->changed;
	discover->userdata = options->userdata;
	discover->node = ms_arena_strdup(discover->arena, options->node);
	int r = discover->node ? 0 : -ENOMEM;
	if (r == 0)
		r = copy_texts(discover->arena, options->patterns, &discover->patterns);
	if (r == 0)
		r = copy_texts(discover->arena, options->named, &discover->named);
	if (r == 0)
		r = copy_texts(discover->arena, options->ignore, &discover->ignore);
	if (r == 0)
		r = copy_texts(discover->arena, options->engines, &discover->sockets);
	return r;
}

static int add_engine(struct ms_discover *discover, struct ms_loop *loop, const char *path,
		      const char *memory)
{
	const struct ms_engine_handler handler = {
		.changed = touch, .seq = seq, .userdata = discover};
	struct ms_engine *engine;
	int r = ms_engine_new(loop, discover->http, discover->rtnl, path, memory, &handler,
			      &engine);

	if (r == 0)
		r = ms_vec_push(&discover->engines, engine);
	return r;
}

static int start_sources(struct ms_discover *discover, struct ms_loop *loop,
			 const struct ms_discover_options *options)
{
	const struct ms_watch_handler watch_handler = {
		.changed = on_watch_changed, .nsid = on_nsid, .gap = on_gap, .userdata = discover};
	const struct ms_netns_handler netns_handler = {
		.changed = touch, .seq = seq, .userdata = discover};

	int r = ms_rtnl_open(&discover->rtnl);
	if (r == 0)
		r = ms_watch_new(loop, discover->rtnl, &watch_handler, options->relist_ms,
				 &discover->watch);
	if (r == 0)
		r = list_bridges(discover);
	if (r == 0)
		r = ms_netns_new(loop, discover->rtnl, options->netns_dir, &netns_handler,
				 &discover->netns);
	for (size_t i = 0; r == 0 && options->engines && i < options->engines->n_items; i++)
		r = add_engine(discover, loop, options->engines->items[i], options->memory);
	return r;
}

int ms_discover_new(struct ms_loop *loop, const struct ms_discover_options *options,
		    struct ms_discover **ret_discover)
{
	struct ms_discover *discover = calloc(1, sizeof(*discover));

	if (!discover)
		return -ENOMEM;
	int r = copy_options(discover, options);
	discover->touched = ms_loop_timer(loop, on_touched, discover);
	discover->later = ms_loop_timer(loop, on_later, discover);
	discover->later_ms = UINT64_MAX;
	discover->http = ms_http_new(loop);
	if (r == 0 && (!discover->touched || !discover->later || !discover->http))
		r = -ENOMEM;
	if (r == 0)
		r = start_sources(discover, loop, options);
	if (r < 0) {
		ms_discover_free(discover);
		return r;
	}
	touch(discover);
	*ret_discover = discover;
	return 0;
}

void ms_discover_was_called(struct ms_discover *discover, uint32_t ifindex, const char *name)
{
	struct ms_link *link = ms_links_find(ms_watch_links(discover->watch), ifindex);

	if (!link || strcmp(link->view.kind, "bridge") != 0 || strcmp(link->view.name, name) == 0)
		return;
	ms_link_was_called(link, name);
	touch(discover);
}

struct ms_discover *ms_discover_free(struct ms_discover *discover)
{
	if (!discover)
		return NULL;
	ms_vec_each (struct ms_engine *, engine, &discover->engines)
		ms_engine_free(*engine);
	ms_vec_fini(&discover->engines);
	ms_netns_free(discover->netns);
	ms_watch_free(discover->watch);
	ms_http_free(discover->http);
	ms_rtnl_free(discover->rtnl);
	ms_timer_free(discover->touched);
	ms_timer_free(discover->later);
	ms_vec_fini(&discover->bridges);
	ms_vec_fini(&discover->restless);
	ms_arena_free(discover->arena);
	free(discover);
	return NULL;
}
