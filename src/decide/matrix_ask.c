/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ask: one pair of ends, and the oracle's answer for every interval of the ports that some line
 * names.
 */
#include "matrix_work.h"

#include <netinet/in.h>
#include <string.h>

#include "grants.h"

#define DNS_PORT 53

static struct ms_ports dns_items[] = {{IPPROTO_TCP, DNS_PORT, DNS_PORT},
				      {IPPROTO_UDP, DNS_PORT, DNS_PORT}};
const ms_ports_vec matrix_dns_ports = {.items = dns_items, .n_items = 2};

/* Where what no policy writes begins and ends: names, DHCP, MLD, router and neighbour messages. */
static const struct matrix_cut fixed_cuts[] = {
	{IPPROTO_TCP, 53},     {IPPROTO_TCP, 54},     {IPPROTO_UDP, 53},     {IPPROTO_UDP, 54},
	{IPPROTO_UDP, 67},     {IPPROTO_UDP, 68},     {IPPROTO_UDP, 69},     {IPPROTO_UDP, 546},
	{IPPROTO_UDP, 547},    {IPPROTO_UDP, 548},    {IPPROTO_ICMPV6, 130}, {IPPROTO_ICMPV6, 133},
	{IPPROTO_ICMPV6, 134}, {IPPROTO_ICMPV6, 135}, {IPPROTO_ICMPV6, 137}, {IPPROTO_ICMPV6, 143},
	{IPPROTO_ICMPV6, 144},
};

/* The vectors of the view lie on the heap and are used again for the next pair. */
void matrix_ask_fini(struct matrix_ask *ask)
{
	for (size_t i = 0; i < 2; i++) {
		ms_vec_fini(&ask->services[i].allow);
		ms_vec_fini(&ask->services[i].needs);
	}
	ms_vec_fini(&ask->policy.crossings);
	ms_vec_fini(&ask->policy.nevers);
	ms_vec_fini(&ask->policy.exceptions);
	ms_vec_fini(&ask->allow);
	ms_vec_fini(&ask->needs);
	ms_vec_fini(&ask->concerned);
	ms_vec_fini(&ask->cuts);
}

#define push(ask, vec, ...)                                                                        \
	do {                                                                                       \
		if (ms_vec_push(vec, __VA_ARGS__) < 0)                                             \
			(ask)->work->failed = true;                                                \
	} while (0)

/* All of the judge's policy but its lists, which start empty. */
static void reset_policy(struct matrix_ask *ask)
{
	const struct ms_policy *policy = ask->work->sides[0].policy;
	struct ms_policy narrow = *policy;

	memset(&narrow.services, 0, sizeof(narrow.services));
	narrow.crossings = ask->policy.crossings;
	narrow.nevers = ask->policy.nevers;
	narrow.exceptions = ask->policy.exceptions;
	narrow.crossings.n_items = narrow.nevers.n_items = narrow.exceptions.n_items = 0;
	ask->policy = narrow;
}

static int compare_identity_endpoint(const struct matrix_identity *identity,
				     const struct ms_endpoint *endpoint)
{
	int r = strcmp(identity->env, endpoint->env);

	return r ? r : strcmp(identity->service, endpoint->service);
}

/* The oracle looks at endpoints for one thing only: the bridges of the source's replicas. */
static void reset_inventory(struct matrix_ask *ask)
{
	const struct matrix_work *work = ask->work;
	size_t low = 0, high = work->endpoints.n_items;

	if (!work->sides[0].inventory)
		return;
	ask->inventory = *work->sides[0].inventory;
	ask->inventory.endpoints.n_items = 0;
	if (!ask->src || high == 0)
		return;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_identity_endpoint(ask->src, &work->endpoints.items[middle]) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (high = low; high < work->endpoints.n_items; high++)
		if (compare_identity_endpoint(ask->src, &work->endpoints.items[high]) != 0)
			break;
	ask->inventory.endpoints.items = work->endpoints.items + low;
	ask->inventory.endpoints.n_items = high - low;
}

void matrix_ask_begin(struct matrix_ask *ask, const struct matrix_identity *src,
		      const struct matrix_identity *dst, const struct ms_party *outside)
{
	ask->src = src;
	ask->dst = dst;
	ask->flow = (struct ms_flow){
		.src = src ? matrix_party(src) : *outside,
		.dst = dst ? matrix_party(dst) : *outside,
	};
	reset_policy(ask);
	reset_inventory(ask);
	ask->allow.n_items = ask->needs.n_items = 0;
	ask->concerned.n_items = ask->cuts.n_items = 0;
	for (size_t i = 0; i < sizeof(fixed_cuts) / sizeof(*fixed_cuts); i++)
		push(ask, &ask->cuts, fixed_cuts[i]);
}

void matrix_ask_take_cuts(struct matrix_ask *ask, const ms_ports_vec *ports)
{
	ms_vec_each (const struct ms_ports, entry, ports) {
		push(ask, &ask->cuts, (struct matrix_cut){entry->proto, entry->first});
		push(ask, &ask->cuts, (struct matrix_cut){entry->proto, entry->last + 1u});
	}
}

void matrix_ask_take_ports(struct matrix_ask *ask, const ms_ports_vec *ports, size_t side)
{
	ms_vec_each (const struct ms_ports, entry, ports)
		push(ask, &ask->concerned, *entry);
	if (side == 0)
		matrix_ask_take_cuts(ask, ports);
}

void matrix_ask_take_grant(struct matrix_ask *ask, bool need, const struct ms_grant *grant,
			   size_t side)
{
	matrix_ask_take_ports(ask, &grant->ports, side);
	if (side > 0)
		return;
	if (need)
		push(ask, &ask->needs, grant);
	else
		push(ask, &ask->allow, grant);
}

/* A never may name addresses: whether they are those of an outside end is for the oracle to say. */
static bool never_may_cover(const struct ms_peer *peer, const struct ms_party *party)
{
	if (peer->kind == MS_PEER_NET)
		return party->kind == MS_PARTY_NET || party->kind == MS_PARTY_NODE;
	return ms_peer_covers(peer, NULL, party);
}

static void take_nevers(struct matrix_ask *ask)
{
	ms_vec_each (const struct ms_never, never, &ask->work->sides[0].policy->nevers) {
		bool from = never->any_source ? ms_party_is_endpoint(&ask->flow.src)
					      : never_may_cover(&never->from, &ask->flow.src);

		if (!from || !never_may_cover(&never->to, &ask->flow.dst))
			continue;
		push(ask, &ask->policy.nevers, *never);
		matrix_ask_take_cuts(ask, &never->ports);
	}
}

/* What has run out is no line any more. */
static void take_crossings(struct matrix_ask *ask, size_t side)
{
	ms_vec_each (const struct ms_crossing, crossing,
		     &ask->work->sides[side].policy->crossings) {
		if ((crossing->until && ask->work->now >= crossing->until) ||
		    !ms_peer_covers(&crossing->from, NULL, &ask->flow.src) ||
		    !ms_peer_covers(&crossing->to, NULL, &ask->flow.dst))
			continue;
		matrix_ask_take_ports(ask, &crossing->ports, side);
		if (side == 0)
			push(ask, &ask->policy.crossings, *crossing);
	}
}

static void take_exceptions(struct matrix_ask *ask, size_t side)
{
	ms_vec_each (const struct ms_exception, exception,
		     &ask->work->sides[side].policy->exceptions) {
		if (ask->work->now >= exception->until ||
		    !ms_peer_covers(&exception->from, NULL, &ask->flow.src) ||
		    !ms_peer_covers(&exception->to, NULL, &ask->flow.dst))
			continue;
		matrix_ask_take_ports(ask, &exception->ports, side);
		if (side == 0)
			push(ask, &ask->policy.exceptions, *exception);
	}
}

void matrix_ask_take_common(struct matrix_ask *ask)
{
	take_nevers(ask);
	for (size_t side = 0; side < ask->work->n_sides; side++) {
		take_crossings(ask, side);
		take_exceptions(ask, side);
	}
}

/* The lines found, in the order in which they stand in the document: the first that covers is the
 * one named. */
static int compare_grants(const void *left, const void *right)
{
	const struct ms_grant *a = *(const struct ms_grant *const *)left;
	const struct ms_grant *b = *(const struct ms_grant *const *)right;

	return (a > b) - (a < b);
}

static void put_service(struct matrix_ask *ask, struct ms_service *slot,
			const struct ms_service *doc, bool consumer, bool provider)
{
	struct ms_service narrow = *doc;

	narrow.allow = slot->allow;
	narrow.needs = slot->needs;
	narrow.allow.n_items = narrow.needs.n_items = 0;
	*slot = narrow;
	for (size_t i = 0; provider && i < ask->allow.n_items; i++)
		push(ask, &slot->allow, *ask->allow.items[i]);
	for (size_t i = 0; consumer && i < ask->needs.n_items; i++)
		push(ask, &slot->needs, *ask->needs.items[i]);
}

static void build_policy(struct matrix_ask *ask)
{
	const struct ms_service *consumer = ask->src ? ask->src->docs[0] : NULL;
	const struct ms_service *provider = ask->dst ? ask->dst->docs[0] : NULL;
	const struct ms_service *docs[2] = {consumer, provider == consumer ? NULL : provider};
	size_t n = 0;

	if (consumer && provider && consumer > provider) { /* services are sorted in their policy */
		docs[0] = provider;
		docs[1] = consumer;
	}
	ms_vec_sort(&ask->allow, compare_grants);
	ms_vec_sort(&ask->needs, compare_grants);
	for (size_t i = 0; i < 2; i++)
		if (docs[i])
			put_service(ask, &ask->services[n++], docs[i], docs[i] == consumer,
				    docs[i] == provider);
	ask->policy.services.items = ask->services;
	ask->policy.services.n_items = n;
}

static int compare_cuts(const void *left, const void *right)
{
	const struct matrix_cut *a = left, *b = right;

	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	return (a->port > b->port) - (a->port < b->port);
}

/* A resolver is known by its address, also where that is an endpoint's. */
static struct ms_flow flow_at(const struct matrix_ask *ask, uint8_t proto, uint16_t port)
{
	struct ms_flow flow = ask->flow;

	flow.proto = proto;
	flow.port = port;
	if (port != DNS_PORT || !ask->src || !ask->dst ||
	    (proto != IPPROTO_UDP && proto != IPPROTO_TCP))
		return flow;
	ms_vec_each (const struct matrix_resolver, resolver, &ask->work->resolvers) {
		const struct ms_party *party = &resolver->party;

		if (resolver->side > 0 || strcmp(resolver->env->name, ask->src->env) != 0 ||
		    party->kind != MS_PARTY_SERVICE)
			continue;
		if (strcmp(party->env, flow.dst.env) == 0 &&
		    strcmp(party->service, flow.dst.service) == 0) {
			flow.dst = *party;
			break;
		}
	}
	return flow;
}

static struct ms_decision decide(const struct matrix_ask *ask, const struct ms_flow *flow)
{
	const struct ms_inventory *inventory =
		ask->work->sides[0].inventory ? &ask->inventory : NULL;

	return ms_decide(&ask->policy, inventory, flow, ask->work->now, NULL);
}

static const struct ms_node *find_node(const struct matrix_ask *ask, const char *name)
{
	ms_vec_each (const struct ms_node, node, &ask->policy.nodes)
		if (name && strcmp(node->name, name) == 0)
			return node;
	return NULL;
}

/* A node may have several addresses, and lines may name one of them: what any of them may do, the
 * node may. */
static struct ms_decision decide_any(const struct matrix_ask *ask, struct ms_flow flow)
{
	struct ms_party *outside = ask->src ? &flow.dst : &flow.src;
	const struct ms_node *node =
		outside->kind == MS_PARTY_NODE ? find_node(ask, outside->node) : NULL;
	struct ms_decision best = {.verdict = MS_DENY};

	if (!node || node->addrs.n_items == 0)
		return decide(ask, &flow);
	outside->has_addr = true;
	ms_vec_each (const struct ms_addr, addr, &node->addrs) {
		outside->addr = *addr;
		struct ms_decision decision = decide(ask, &flow);
		if (addr == node->addrs.items || decision.verdict < best.verdict)
			best = decision;
	}
	return best;
}

static struct matrix_piece ask_once(const struct matrix_ask *ask, uint8_t proto, uint16_t first,
				    uint16_t last)
{
	struct ms_flow flow = flow_at(ask, proto, first);
	struct ms_decision decision = decide_any(ask, flow);
	struct matrix_piece piece = {{proto, first, last}, decision.verdict, false, {0}};

	if (decision.policy)
		piece.policy = *decision.policy;
	if (decision.verdict == MS_ALLOW &&
	    (flow.src.kind == MS_PARTY_NET || flow.src.kind == MS_PARTY_NODE)) {
		flow.published = true;
		piece.published = decide_any(ask, flow).verdict == MS_ALLOW;
	}
	return piece;
}

static bool same_answer(const struct matrix_piece *a, const struct matrix_piece *b)
{
	return a->verdict == b->verdict && a->published == b->published &&
	       a->policy.file == b->policy.file && a->policy.line == b->policy.line &&
	       a->policy.column == b->policy.column;
}

static void add_piece(struct matrix_ask *ask, bool merge, const struct matrix_piece *piece,
		      matrix_pieces *pieces)
{
	struct matrix_piece *last = pieces->n_items ? &pieces->items[pieces->n_items - 1] : NULL;

	if (piece->verdict == MS_DENY)
		return;
	if (merge && last && last->ports.proto == piece->ports.proto &&
	    last->ports.last + 1u == piece->ports.first && same_answer(last, piece))
		last->ports.last = piece->ports.last;
	else
		push(ask, pieces, *piece);
}

/* The first cut behind @port of @proto; @at moves on with the questions, which come in order. */
static uint32_t next_cut(const struct matrix_ask *ask, uint8_t proto, uint32_t port, size_t *at)
{
	const struct matrix_cut here = {proto, port};

	while (*at < ask->cuts.n_items && compare_cuts(&ask->cuts.items[*at], &here) <= 0)
		(*at)++;
	return *at < ask->cuts.n_items && ask->cuts.items[*at].proto == proto
		       ? ask->cuts.items[*at].port
		       : UINT32_MAX;
}

void matrix_ask_run(struct matrix_ask *ask, bool merge, matrix_pieces *pieces)
{
	size_t at = 0;

	if (ask->concerned.n_items == 0)
		return;
	build_policy(ask);
	ms_ports_normalize(&ask->concerned);
	ms_vec_sort(&ask->cuts, compare_cuts);
	ms_vec_each (const struct ms_ports, range, &ask->concerned)
		for (uint32_t first = range->first; first <= range->last;) {
			uint32_t next = next_cut(ask, range->proto, first, &at);
			uint32_t last = next > range->last ? range->last : next - 1;
			struct matrix_piece piece =
				ask_once(ask, range->proto, (uint16_t)first, (uint16_t)last);

			add_piece(ask, merge, &piece, pieces);
			first = last + 1;
		}
}
