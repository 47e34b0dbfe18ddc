/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/cover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NO_NAME "nft cannot write its name (a \" in it, or a * at its end)"
#define ONLY_WHEN_NAMED "such an interface is managed only when the configuration names it in full"

struct judge {
	const struct ms_links *links;
	const struct ms_cover_rules *rules;
	uint64_t now_ms;
	struct ms_arena *arena;
	ms_covered_vec *covered;
	uint64_t undecided_ms;
};

static bool matches(const ms_text_vec *patterns, const char *name)
{
	ms_vec_each (const char *, pattern, patterns)
		if (ms_glob_match(*pattern, name))
			return true;
	return false;
}

bool ms_cover_matches(const struct ms_cover_rules *rules, const char *name)
{
	return matches(rules->patterns, name) && !matches(rules->ignore, name);
}

static bool is_named(const struct judge *judge, const struct ms_link *link)
{
	ms_vec_each (const char *, name, judge->rules->named)
		if (strcmp(*name, link->view.name) == 0)
			return true;
	return false;
}

/* The name for which it was managed once, or NULL. */
static const char *managed_as(const struct judge *judge, const struct ms_link *link)
{
	for (size_t i = 0; i < MS_FORMER_NAMES; i++)
		if (*link->former[i] && matches(judge->rules->patterns, link->former[i]) &&
		    !matches(judge->rules->ignore, link->former[i]))
			return link->former[i];
	return NULL;
}

static bool is_kind(const struct ms_link *link, const char *kind)
{
	return strcmp(link->view.kind, kind) == 0;
}

static bool is_wanted(const struct judge *judge, const struct ms_link *link)
{
	return matches(judge->rules->patterns, link->view.name) || is_named(judge, link);
}

static bool is_ignored(const struct judge *judge, const struct ms_link *link)
{
	return matches(judge->rules->ignore, link->view.name);
}

static int compare_ifindex(const void *ifindex, const void *item)
{
	uint32_t a = *(const uint32_t *)ifindex,
		 b = ((const struct ms_covered *)item)->link->view.ifindex;

	return a < b ? -1 : a > b;
}

static const struct ms_covered *covered_of(const struct judge *judge, uint32_t ifindex)
{
	return bsearch(&ifindex, judge->covered->items, judge->covered->n_items,
		       sizeof(*judge->covered->items), compare_ifindex);
}

/* @reason is static or in the arena; NULL when there was no memory for it. */
static int skip(struct ms_covered *covered, const char *reason)
{
	covered->cover = MS_COVER_SKIPPED;
	covered->reason = reason;
	return reason ? 0 : -ENOMEM;
}

/* The first port that is neither a veth nor named by the operator; NULL when there is none. */
static const struct ms_link *foreign_port(const struct judge *judge, const struct ms_link *bridge)
{
	ms_vec_each (struct ms_link *, item, &judge->links->list)
		if ((*item)->view.master == bridge->view.ifindex && !is_kind(*item, "veth") &&
		    !is_named(judge, *item))
			return *item;
	return NULL;
}

static int judge_bridge(struct judge *judge, struct ms_covered *covered)
{
	const struct ms_link *bridge = covered->link;

	covered->former = is_wanted(judge, bridge) ? NULL : managed_as(judge, bridge);
	if (!covered->former && !is_wanted(judge, bridge))
		return 0;
	if (is_ignored(judge, bridge))
		return skip(covered, "the configuration ignores it");
	if (!is_named(judge, bridge)) {
		const struct ms_link *foreign = foreign_port(judge, bridge);

		if (foreign)
			return skip(covered,
				    ms_arena_printf(judge->arena,
						    "its port %s is not a veth; " ONLY_WHEN_NAMED,
						    foreign->view.name));
		if (bridge->default_route)
			return skip(covered, "it carries the default route; " ONLY_WHEN_NAMED);
	}
	covered->cover = MS_COVER_BRIDGE;
	return 0;
}

/* Leaves @covered undecided for as long as it is younger than @age_ms. Returns whether it is. */
static bool is_young(struct judge *judge, struct ms_covered *covered, uint64_t age_ms)
{
	uint64_t until_ms = covered->link->seen_at_start ? 0 : covered->link->seen_ms + age_ms;

	if (judge->now_ms >= until_ms)
		return false;
	covered->cover = MS_COVER_UNDECIDED;
	if (until_ms < judge->undecided_ms)
		judge->undecided_ms = until_ms;
	return true;
}

/* A veth with both ends in this namespace leads to nobody; a container's veth looks like that while
 * it is made. */
static int judge_inner_veth(struct judge *judge, struct ms_covered *covered)
{
	if (is_young(judge, covered, MS_COVER_YOUNG_MS))
		return 0;
	return skip(covered, "both its ends are in this namespace");
}

static int judge_port(struct judge *judge, struct ms_covered *covered,
		      const struct ms_covered *master)
{
	if (master && master->cover == MS_COVER_SKIPPED) {
		covered->cover = MS_COVER_SKIPPED; /* for its bridge's reason */
		return 0;
	}
	if (master && master->cover == MS_COVER_CLOSED) {
		covered->cover = MS_COVER_CLOSED; /* likewise */
		return 0;
	}
	if (!master || master->cover != MS_COVER_BRIDGE) {
		if (!is_wanted(judge, covered->link))
			return 0;
		return skip(
			covered,
			ms_arena_printf(judge->arena,
					"it is a port of %s, which no managed pattern matches",
					master ? master->link->view.name : "an unknown interface"));
	}
	if (!covered->link->view.peer_foreign)
		return judge_inner_veth(judge, covered);
	covered->cover = MS_COVER_PORT;
	covered->bridge = master->link;
	return 0;
}

/* Has the host an address of its own on it, other than the link-local ones that come by themselves?
 */
static bool has_address(const struct ms_link *link)
{
	ms_vec_each (const struct ms_addr, addr, &link->addrs)
		if (!ms_addr_is_link_local(addr))
			return true;
	return false;
}

static int judge_routed(struct judge *judge, struct ms_covered *covered)
{
	if (!covered->link->view.peer_foreign)
		return judge_inner_veth(judge, covered);
	if (covered->link->default_route && !is_named(judge, covered->link))
		return skip(covered, "it carries the default route; " ONLY_WHEN_NAMED);
	/* A port is made first and given to its bridge then: until it is up, has an address of the
	 * host, or some time went by, nobody can know that it will be routed. */
	covered->cover = MS_COVER_UNDECIDED;
	if (covered->link->view.up &&
	    (has_address(covered->link) || !is_young(judge, covered, MS_COVER_BRIDGELESS_MS)))
		covered->cover = MS_COVER_ROUTED;
	return 0;
}

static int judge_veth(struct judge *judge, struct ms_covered *covered)
{
	const struct ms_link *link = covered->link;
	const struct ms_covered *master =
		link->view.master ? covered_of(judge, link->view.master) : NULL;
	bool of_managed =
		master && (master->cover == MS_COVER_BRIDGE || master->cover == MS_COVER_CLOSED);

	if (!is_wanted(judge, link) && !of_managed)
		return 0;
	if (is_ignored(judge, link))
		return skip(covered, "the configuration ignores it");
	return link->view.master ? judge_port(judge, covered, master)
				 : judge_routed(judge, covered);
}

static int judge_other(struct judge *judge, struct ms_covered *covered)
{
	const char *kind = covered->link->view.kind;

	if (!is_wanted(judge, covered->link))
		return 0;
	if (is_ignored(judge, covered->link))
		return skip(covered, "the configuration ignores it");
	return skip(covered,
		    ms_arena_printf(judge->arena, "it is neither a bridge nor a veth but a %s",
				    *kind ? kind : "device"));
}

/* What would be managed but cannot be named. The patterns close what they match; of the rest all
 * that can be done is to say so. */
static void close_unnameable(const struct judge *judge, struct ms_covered *covered)
{
	const char *name = covered->link->view.name;

	if (covered->cover != MS_COVER_BRIDGE && covered->cover != MS_COVER_PORT &&
	    covered->cover != MS_COVER_ROUTED)
		return;
	if (ms_link_can_be_named(name))
		return;
	covered->cover = MS_COVER_CLOSED;
	covered->reason = matches(judge->rules->patterns, name)
				  ? NO_NAME ": it is an unknown port, until it is renamed"
				  : NO_NAME ": no rule holds it, until it is renamed";
}

int ms_cover_judge(const struct ms_links *links, const struct ms_cover_rules *rules,
		   uint64_t now_ms, struct ms_arena *arena, ms_covered_vec *ret_covered,
		   uint64_t *ret_undecided_ms)
{
	ms_covered_vec covered = {0};
	struct judge judge = {links, rules, now_ms, arena, &covered, UINT64_MAX};
	int r = 0;

	for (size_t i = 0; r == 0 && i < links->list.n_items; i++)
		r = ms_vec_push(&covered, ((struct ms_covered){.link = links->list.items[i]}));
	/* Bridges first: what their ports are depends on them. */
	for (size_t i = 0; r == 0 && i < covered.n_items; i++)
		if (is_kind(covered.items[i].link, "bridge"))
			r = judge_bridge(&judge, &covered.items[i]);
	ms_vec_each (struct ms_covered, bridge, &covered)
		close_unnameable(&judge, bridge);
	for (size_t i = 0; r == 0 && i < covered.n_items; i++) {
		if (is_kind(covered.items[i].link, "veth"))
			r = judge_veth(&judge, &covered.items[i]);
		else if (!is_kind(covered.items[i].link, "bridge"))
			r = judge_other(&judge, &covered.items[i]);
		close_unnameable(&judge, &covered.items[i]);
	}
	if (r < 0) {
		ms_vec_fini(&covered);
		return r;
	}
	*ret_covered = covered;
	*ret_undecided_ms = judge.undecided_ms;
	return 0;
}
