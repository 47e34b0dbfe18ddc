/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/snapshot.h"

#include <errno.h>
#include <string.h>

#include "discover/alias.h"
#include "discover/uncovered.h"
#include "microseg/cleanup.h"

/* One source's claims, sorted for lookup by namespace. */
struct source {
	const char *runtime;
	ms_claim_vec claims;
};

struct build {
	const struct ms_snapshot_facts *facts;
	struct ms_inventory *inventory;
	struct ms_arena *arena;
	MS_VEC(struct source) sources;
	uint64_t again_ms;
};

static int copy_addrs(struct build *build, const ms_addr_vec *from, ms_addr_vec *to)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < from->n_items; i++)
		r = ms_avec_push(build->arena, to, from->items[i]);
	return r;
}

static int add_text(struct build *build, ms_text_vec *texts, const char *text)
{
	const char *copy = ms_arena_strdup(build->arena, text);

	return copy ? ms_avec_push(build->arena, texts, copy) : -ENOMEM;
}

static int add_uncovered(struct build *build, const char *what, const char *reason)
{
	struct ms_uncovered uncovered = {.what = what,
					 .reason = ms_arena_strdup(build->arena, reason)};

	if (!uncovered.what || !uncovered.reason)
		return -ENOMEM;
	return ms_avec_push(build->arena, &build->inventory->uncovered, uncovered);
}

/* What a container gives itself is its own only where its interface leads to. Another's, the
 * host's peers' above all, would be taken from them: whatever comes from there is then forged. */
static int copy_own_addrs(struct build *build, const struct ms_link *leads, const ms_addr_vec *from,
			  struct ms_endpoint *endpoint)
{
	const struct ms_addr *stray = NULL;
	int r = 0;

	ms_vec_each (const struct ms_addr, addr, from) {
		if (!ms_link_may_lead_to(leads, addr))
			stray = stray ? stray : addr;
		else if (r == 0)
			r = ms_avec_push(build->arena, &endpoint->addrs, *addr);
	}
	if (r < 0 || !stray)
		return r;
	char text[MS_ADDR_TEXT_SIZE];
	const char *reason = ms_arena_printf(
		build->arena,
		"its address %s is in none of the networks that the host routes through %s: it is "
		"not taken for its own",
		ms_addr_format(stray, text), leads->view.name);
	return reason ? add_uncovered(
				build,
				ms_arena_printf(build->arena, "endpoint %s", endpoint->interface),
				reason)
		      : -ENOMEM;
}

static int add_skipped(struct build *build, const struct ms_covered *covered)
{
	const struct ms_link_view *view = &covered->link->view;
	bool bridge = strcmp(view->kind, "bridge") == 0;
	int r = add_text(build, &build->inventory->skipped, view->name);

	if (r < 0 || !covered->reason)
		return r;
	return add_uncovered(
		build,
		ms_arena_printf(build->arena, "%s %s", bridge ? "bridge" : "interface", view->name),
		covered->reason);
}

/* It is in no set: what the patterns match and nobody knows is stopped. */
static int add_closed(struct build *build, const struct ms_covered *covered)
{
	if (!covered->reason)
		return 0;
	return add_uncovered(build,
			     ms_arena_printf(build->arena, "%s %s",
					     strcmp(covered->link->view.kind, "bridge") == 0
						     ? "bridge"
						     : "interface",
					     covered->link->view.name),
			     covered->reason);
}

static int add_link(struct build *build, const struct ms_covered *covered)
{
	struct ms_managed_link link = {
		.name = ms_arena_strdup(build->arena, covered->link->view.name),
		.bridge = covered->cover == MS_COVER_BRIDGE,
		.former = covered->former ? ms_arena_strdup(build->arena, covered->former) : NULL};

	if (!link.name || (covered->former && !link.former))
		return -ENOMEM;
	int r = copy_addrs(build, &covered->link->addrs, &link.addrs);
	for (size_t i = 0; r == 0 && i < covered->link->nets.n_items; i++)
		r = ms_avec_push(build->arena, &link.nets, covered->link->nets.items[i]);
	if (r == 0)
		r = ms_avec_push(build->arena, &build->inventory->links, link);
	if (r == 0 && !ms_mac_is_zero(&covered->link->view.mac))
		r = ms_avec_push(build->arena, &build->inventory->host_macs,
				 covered->link->view.mac);
	return r;
}

static int compare_labels(const void *a, const void *b)
{
	return strcmp(((const struct ms_label *)a)->name, ((const struct ms_label *)b)->name);
}

/* Does the engine say that this network is the one behind this interface? By MAC, else by address.
 */
static bool is_attachment(const struct ms_attachment *attachment, const struct ms_veth_peer *peer)
{
	if (!ms_mac_is_zero(&attachment->mac) && !ms_mac_is_zero(&peer->mac))
		return ms_mac_compare(&attachment->mac, &peer->mac) == 0;
	ms_vec_each (struct ms_addr, addr, &peer->addrs)
		if (ms_addr_equal(addr, &attachment->ip) || ms_addr_equal(addr, &attachment->ip6))
			return true;
	return false;
}

static int name_network(struct build *build, const struct ms_claim *claim,
			const struct ms_link *link, struct ms_endpoint *endpoint)
{
	ms_vec_each (struct ms_attachment, attachment, &claim->facts.attachments) {
		if (!is_attachment(attachment, &link->peer))
			continue;
		endpoint->network = ms_arena_strdup(build->arena, attachment->network);
		return endpoint->network ? 0 : -ENOMEM;
	}
	return 0;
}

static int add_workload(struct build *build, const char *runtime, const struct ms_claim *claim,
			struct ms_endpoint *endpoint)
{
	struct ms_workload workload;
	int r = ms_workload_copy(build->arena, runtime, &claim->facts, &workload);

	return r < 0 ? r : ms_avec_push(build->arena, &endpoint->workloads, workload);
}

static size_t first_in_namespace(const ms_claim_vec *claims, int32_t nsid)
{
	size_t low = 0, high = claims->n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (claims->items[middle]->nsid < nsid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_claimed(struct build *build, const struct source *source, const struct ms_link *link,
		       struct ms_endpoint *endpoint)
{
	int32_t nsid = link->view.peer_nsid;
	int r = 0;

	if (nsid < 0)
		return 0;
	for (size_t i = first_in_namespace(&source->claims, nsid);
	     r == 0 && i < source->claims.n_items && source->claims.items[i]->nsid == nsid; i++) {
		const struct ms_claim *claim = source->claims.items[i];

		if (!ms_claim_names(claim, link))
			continue;
		r = add_workload(build, source->runtime, claim, endpoint);
		if (r == 0)
			r = name_network(build, claim, link, endpoint);
	}
	return r;
}

/* Labels of the alias go to the named namespace, if the endpoint has one, else make a workload of
 * their own. */
static int add_alias(struct build *build, const struct ms_link *link, struct ms_endpoint *endpoint)
{
	struct ms_workload *target = NULL;

	if (!ms_alias_has_labels(link->view.alias))
		return 0;
	ms_vec_each (struct ms_workload, workload, &endpoint->workloads)
		if (!target && strcmp(workload->runtime, "netns") == 0)
			target = workload;
	if (!target) {
		struct ms_workload workload = {
			.name = endpoint->interface, .id = "", .runtime = "alias", .image = ""};
		int r = ms_avec_push(build->arena, &endpoint->workloads, workload);

		if (r < 0)
			return r;
		target = &endpoint->workloads.items[endpoint->workloads.n_items - 1];
	}
	int r = ms_alias_labels(build->arena, link->view.alias, target);
	ms_vec_sort(&target->labels, compare_labels);
	return r < 0 ? r : 0;
}

/* Which of two an endpoint is named after: a container before the namespace that its engine made
 * for it, then the first in canonical order, whatever source it comes from. */
static int compare_naming(const struct ms_workload *a, const struct ms_workload *b)
{
	bool a_container = *a->id, b_container = *b->id;

	if (a_container != b_container)
		return a_container ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int add_workloads(struct build *build, const struct ms_link *link,
			 struct ms_endpoint *endpoint)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < build->sources.n_items; i++)
		r = add_claimed(build, &build->sources.items[i], link, endpoint);
	if (r == 0)
		r = add_alias(build, link, endpoint);
	const struct ms_workload *named = NULL;
	ms_vec_each (struct ms_workload, workload, &endpoint->workloads)
		if (!named || compare_naming(workload, named) < 0)
			named = workload;
	if (named)
		endpoint->name = named->name;
	return r;
}

static void set_pending(struct build *build, const struct ms_link *link,
			struct ms_endpoint *endpoint)
{
	uint64_t until_ms = link->seen_ms + MS_PENDING_MS;

	endpoint->pending = endpoint->workloads.n_items == 0 && build->facts->engine_may_name &&
			    build->facts->now_ms < until_ms;
	if (endpoint->pending && until_ms < build->again_ms)
		build->again_ms = until_ms;
}

static int add_endpoint(struct build *build, const struct ms_covered *covered)
{
	const struct ms_link *link = covered->link;
	const struct ms_link_view *bridge = covered->bridge ? &covered->bridge->view : NULL;
	struct ms_endpoint endpoint = {
		.interface = ms_arena_strdup(build->arena, link->view.name),
		.ifindex = link->view.ifindex,
		.since = link->seen_seq,
		.bridge = ms_arena_strdup(build->arena, bridge ? bridge->name : ""),
		.mac = link->peer.mac,
		.ready = !bridge || (bridge->nf_call_ip && bridge->nf_call_ip6),
	};

	if (!endpoint.interface || !endpoint.bridge)
		return -ENOMEM;
	endpoint.name = endpoint.interface;
	endpoint.network = endpoint.bridge;
	int r = copy_own_addrs(build, covered->bridge ? covered->bridge : link, &link->peer.addrs,
			       &endpoint);
	if (r == 0)
		r = add_workloads(build, link, &endpoint);
	if (r == 0 && link->peer.n_left_out)
		r = add_uncovered(
			build, ms_arena_printf(build->arena, "endpoint %s", endpoint.name),
			"it has more addresses than are looked at; those beyond pass nothing");
	set_pending(build, link, &endpoint);
	return r == 0 ? ms_avec_push(build->arena, &build->inventory->endpoints, endpoint) : r;
}

static int add_covered(struct build *build, const struct ms_covered *covered)
{
	int r = 0;

	switch (covered->cover) {
	case MS_COVER_SKIPPED:
		return add_skipped(build, covered);
	case MS_COVER_CLOSED:
		return add_closed(build, covered);
	case MS_COVER_BRIDGE:
		return add_link(build, covered);
	case MS_COVER_ROUTED:
		r = add_link(build, covered);
		return r < 0 ? r : add_endpoint(build, covered);
	case MS_COVER_PORT:
		return add_endpoint(build, covered);
	case MS_COVER_NONE:
	case MS_COVER_UNDECIDED:
		break;
	}
	return 0;
}

static int add_links(struct build *build)
{
	ms_covered_vec covered = {0};
	int r = ms_cover_judge(build->facts->links, &build->facts->rules, build->facts->now_ms,
			       build->arena, &covered, &build->again_ms);

	for (size_t i = 0; r == 0 && i < covered.n_items; i++)
		r = add_covered(build, &covered.items[i]);
	if (r == 0 && !build->facts->part)
		r = ms_uncovered_find(build->facts, &covered, build->inventory);
	ms_vec_fini(&covered);
	return r;
}

static int add_hosts(struct build *build)
{
	int r = 0;

	ms_vec_each (struct ms_link *, link, &build->facts->links->list)
		ms_vec_each (struct ms_addr, addr, &(*link)->addrs)
			if (r == 0 && !ms_addr_is_loopback(addr))
				r = ms_avec_push(build->arena, &build->inventory->hosts, *addr);
	return r;
}

static int add_patterns(struct build *build, const ms_text_vec *patterns)
{
	int r = 0;

	ms_vec_each (const char *, pattern, patterns)
		if (r == 0)
			r = add_text(build, &build->inventory->patterns, *pattern);
	return r;
}

static int sort_sources(struct build *build)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < build->facts->n_claims; i++) {
		struct source source = {.runtime = build->facts->claims[i]->runtime};

		r = ms_claims_sorted(build->facts->claims[i], &source.claims);
		if (r == 0)
			r = ms_vec_push(&build->sources, source);
		if (r < 0)
			ms_vec_fini(&source.claims);
	}
	return r;
}

static int fill(struct build *build)
{
	int r = sort_sources(build);

	build->inventory->node = ms_arena_strdup(build->arena, build->facts->node);
	if (!build->inventory->node)
		r = -ENOMEM;
	if (r == 0)
		r = add_links(build);
	if (r == 0)
		r = add_hosts(build);
	if (r == 0)
		r = add_patterns(build, build->facts->rules.patterns);
	if (r == 0)
		r = add_patterns(build, build->facts->rules.named);
	return r;
}

int ms_snapshot_build(const struct ms_snapshot_facts *facts, struct ms_inventory **ret_inventory,
		      uint64_t *ret_again_ms)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = ms_inventory_new();
	struct build build = {.facts = facts, .inventory = inventory, .again_ms = UINT64_MAX};

	if (!inventory)
		return -ENOMEM;
	build.arena = inventory->arena;
	inventory->revision = facts->revision;
	int r = fill(&build);
	ms_vec_each (struct source, source, &build.sources)
		ms_vec_fini(&source->claims);
	ms_vec_fini(&build.sources);
	if (r < 0)
		return r;
	ms_inventory_canonicalize(inventory);
	*ret_inventory = ms_steal(&inventory);
	*ret_again_ms = build.again_ms;
	return 0;
}
