/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Services: the chains of a service that has an endpoint here.
 *
 *	to/ENV/SERVICE    who may call it: endpoints, net
 *	into/ENV/SERVICE  what the host may call
 *	from/ENV/SERVICE  what it may call outside
 *	host/ENV/SERVICE  what it may call on the host
 *
 * A grant is one rule per protocol and port range and family, with a counter and its place in the policy as comment.
 * What no grant took goes to the end chain of its environment and mode, end/to/ENV/MODE and so on, which finds the reason.
 * A service without rules of one kind has no chain for it: its elements go to the end chain at once.
 */
#include "compiler.h"

#include <netinet/in.h>
#include <string.h>

/* The four ways a packet meets a service; also the names of the verdict maps. */
enum way { TO, INTO, FROM, HOST, N_WAYS };

static const char *const way_names[N_WAYS] = {"to", "into", "from", "host"};

static enum ms_field port_field(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return MS_FIELD_TCP_DPORT;
	case IPPROTO_UDP:
		return MS_FIELD_UDP_DPORT;
	case IPPROTO_SCTP:
		return MS_FIELD_SCTP_DPORT;
	default:
		return MS_N_FIELDS;
	}
}

static void match_types(struct compiler *c, struct ms_rule *rule, enum ms_field field,
			const struct ms_ports *ports)
{
	uint8_t first = (uint8_t)ports->first, last = (uint8_t)ports->last;

	if (first == last)
		ms_rule_match_u8(c->ruleset, rule, field, first);
	else
		ms_rule_match_range(c->ruleset, rule, field, &first, &last, 1);
}

static void match_port_range(struct compiler *c, struct ms_rule *rule, enum ms_field field,
			     const struct ms_ports *ports)
{
	uint8_t first[2] = {(uint8_t)(ports->first >> 8), (uint8_t)ports->first};
	uint8_t last[2] = {(uint8_t)(ports->last >> 8), (uint8_t)ports->last};

	if (ports->first == ports->last)
		ms_rule_match_u16(c->ruleset, rule, field, ports->first);
	else
		ms_rule_match_range(c->ruleset, rule, field, first, last, 2);
}

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static void match_ports(struct compiler *c, struct ms_rule *rule, const struct family *family,
			const struct ms_ports *ports)
{
	enum ms_field field = port_field(ports->proto);
	bool whole_icmp = ports->first == 0 && ports->last == 255;
	bool whole_port = ports->first == 0 && ports->last == 65535;

	if (is_icmp(ports->proto) && !whole_icmp)
		match_types(c, rule, family->icmp_type, ports);
	else if (field != MS_N_FIELDS && !whole_port)
		match_port_range(c, rule, field, ports);
	else
		ms_rule_match_u8(c->ruleset, rule, MS_FIELD_L4PROTO, ports->proto);
}

static size_t count_ranges(const struct ms_peer *peer, const struct family *family)
{
	size_t n = 0;

	ms_vec_each(struct ms_range, range, &peer->ranges)
		n += range->first.ip == family->ip;
	return n;
}

static void match_net(struct compiler *c, struct ms_rule *rule, const struct family *family, enum ms_field field,
		      const struct ms_peer *peer)
{
	if (count_ranges(peer, family) > 1) {
		rule_set(c, rule, field, false, sets_net(c, family, peer));
		return;
	}
	ms_vec_each(struct ms_range, range, &peer->ranges) {
		if (range->first.ip != family->ip)
			continue;
		if (ms_addr_equal(&range->first, &range->last))
			ms_rule_match(c->ruleset, rule, field, false, range->first.bytes, family->size);
		else
			ms_rule_match_range(c->ruleset, rule, field, range->first.bytes, range->last.bytes,
					    family->size);
	}
}

/* One rule to be: what @grant of @service covers of @ports, for one way and family. */
struct grant_rule {
	const struct ms_service *service;
	const struct ms_grant *grant;
	const struct family *family;
	const struct ms_ports *ports;
	enum way way;
	bool translated; /* only what an engine's DNAT brought */
};

static void match_peer(struct compiler *c, struct ms_rule *rule, const struct grant_rule *g)
{
	const struct ms_peer *peer = &g->grant->peer;
	const struct family *family = g->family;

	switch (peer->kind) {
	case MS_PEER_SELF:
		rule_set(c, rule, family->saddr, false,
			 sets_peer(c, family, g->service->env, g->service->name));
		break;
	case MS_PEER_SERVICE:
		rule_set(c, rule, family->saddr, false, sets_peer(c, family, peer->env, peer->service));
		break;
	case MS_PEER_NET:
		if (g->way == TO)
			rule_in_managed(c, rule, MS_FIELD_IIFNAME, true);
		match_net(c, rule, family, g->way == TO ? family->saddr : family->daddr, peer);
		break;
	case MS_PEER_HOST:
	case MS_PEER_NODE:
		break;
	}
}

static void compile_grant_rule(struct compiler *c, struct ms_chain *chain, const struct grant_rule *g)
{
	struct ms_rule *rule = ms_ruleset_add_rule(c->ruleset, chain, &g->grant->at);

	match_peer(c, rule, g);
	if (g->translated)
		ms_rule_match_present(c->ruleset, rule, MS_FIELD_CT_STATUS_DNAT, false);
	match_ports(c, rule, g->family, g->ports);
	ms_rule_counter(c->ruleset, rule);
	rule_accept(c, rule);
}

/* Does @ports exist in @family, and does the peer have an address there? */
static bool applies(const struct grant_rule *g)
{
	if (is_icmp(g->ports->proto) && g->ports->proto != g->family->icmp_proto)
		return false;
	return g->grant->peer.kind != MS_PEER_NET || count_ranges(&g->grant->peer, g->family) > 0;
}

static void compile_grant(struct compiler *c, struct ms_chain *chain, struct grant_rule g)
{
	ms_vec_each(struct ms_ports, ports, &g.grant->ports)
		for (size_t i = 0; i < 2; i++) {
			g.ports = ports;
			g.family = &families[i];
			if (applies(&g))
				compile_grant_rule(c, chain, &g);
		}
}

/* Is @grant of @service one for this way? A peer of another environment stands behind the fence. */
static bool concerns(const struct ms_service *service, const struct ms_grant *grant, enum way way)
{
	switch (grant->peer.kind) {
	case MS_PEER_SELF:
		return way == TO;
	case MS_PEER_SERVICE:
		return way == TO && grant->peer.env && strcmp(grant->peer.env, service->env) == 0;
	case MS_PEER_NET:
		return way == TO || way == FROM;
	case MS_PEER_HOST:
		return way == INTO || way == HOST;
	default:
		return false;
	}
}

static void each_grant(struct compiler *c, struct ms_chain *chain, const struct ms_service *service, enum way way,
		       bool net_only, bool translated)
{
	bool inbound = way == TO || way == INTO;
	const struct ms_grant *grants = inbound ? service->allow.items : service->needs.items;
	size_t n_grants = inbound ? service->allow.n_items : service->needs.n_items;

	for (size_t i = 0; i < n_grants; i++) {
		bool net = grants[i].peer.kind == MS_PEER_NET;

		if (!concerns(service, &grants[i], way) || net != net_only || (translated && !grants[i].published))
			continue;
		compile_grant(c, chain, (struct grant_rule){
						.service = service,
						.grant = &grants[i],
						.way = way,
						.translated = translated,
					});
	}
}

static bool has_grants(const struct ms_service *service, enum way way)
{
	bool inbound = way == TO || way == INTO;
	const struct ms_grant *grants = inbound ? service->allow.items : service->needs.items;
	size_t n_grants = inbound ? service->allow.n_items : service->needs.n_items;

	for (size_t i = 0; i < n_grants; i++)
		if (concerns(service, &grants[i], way))
			return true;
	return false;
}

/*
 * Translated flows from outside reach a service only through grants that say so; those stand first, and what they do
 * not take is refused before the grants for untranslated traffic are asked.
 */
static void compile_to_net(struct compiler *c, struct ms_chain *chain, const struct ms_service *service,
			   const char *end)
{
	bool net = false;

	ms_vec_each(struct ms_grant, grant, &service->allow)
		net |= grant->peer.kind == MS_PEER_NET;
	if (!net)
		return;
	each_grant(c, chain, service, TO, true, true);
	struct ms_rule *rest = rule_add(c, chain);
	rule_in_managed(c, rest, MS_FIELD_IIFNAME, true);
	ms_rule_match_present(c->ruleset, rest, MS_FIELD_CT_STATUS_DNAT, false);
	rule_goto(c, rest, end);
	each_grant(c, chain, service, TO, true, false);
}

/* Returns the chain that packets of this service go to. */
static const char *compile_way(struct compiler *c, const struct ms_service *service, enum way way)
{
	static const uint32_t rtn_local = 2;
	const char *end = end_name(c, way_names[way], service->env, service->mode);

	if (!has_grants(service, way))
		return end;
	const char *name = name_of(c, "%s/%s", way_names[way], service->identity);
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, name);

	if (way == HOST) {
		/* Broadcast and multicast are heard by the host too, but no grant means them. */
		struct ms_rule *other = rule_add(c, chain);

		ms_rule_match_u32(c->ruleset, other, MS_FIELD_FIB_DADDR_TYPE, true, rtn_local);
		rule_goto(c, other, end);
	}
	each_grant(c, chain, service, way, false, false);
	if (way == TO)
		compile_to_net(c, chain, service, end);
	else
		each_grant(c, chain, service, way, true, false);
	rule_goto(c, rule_add(c, chain), end);
	return name;
}

/* The endpoints of one identity go to its chains. */
static void compile_identity(struct compiler *c, struct ms_endpoint *const *endpoints, size_t n_endpoints)
{
	const struct ms_endpoint *any = endpoints[0];
	const struct ms_service *service = ms_policy_service(c->policy, any->env, any->service);
	enum ms_mode mode = endpoint_mode(c->policy, any);

	for (int way = 0; way < N_WAYS; way++) {
		const char *target = service ? compile_way(c, service, (enum way)way)
					     : end_name(c, way_names[way], any->env, mode);

		for (size_t i = 0; i < n_endpoints; i++)
			ms_vec_each(struct ms_addr, addr, &endpoints[i]->addrs)
				if (!ms_addr_is_link_local(addr))
					sets_dispatch(c, way_names[way], addr, target);
	}
}

static int compare_identities(const void *left, const void *right)
{
	const struct ms_endpoint *a = *(struct ms_endpoint *const *)left;
	const struct ms_endpoint *b = *(struct ms_endpoint *const *)right;
	int r = strcmp(a->identity, b->identity);

	return r ? r : (a > b) - (a < b);
}

void services_compile(struct compiler *c)
{
	MS_VEC(struct ms_endpoint *) members = {0};

	ms_vec_each(struct ms_endpoint, endpoint, &c->inventory->endpoints)
		if (endpoint->state == MS_ENDPOINT_IDENTIFIED && endpoint_is_known(endpoint) &&
		    ms_vec_push(&members, endpoint) < 0)
			c->ruleset->failed = true;
	ms_vec_sort(&members, compare_identities);

	for (size_t i = 0, n; i < members.n_items; i += n) {
		for (n = 1; i + n < members.n_items; n++)
			if (strcmp(members.items[i]->identity, members.items[i + n]->identity) != 0)
				break;
		compile_identity(c, members.items + i, n);
	}
	ms_vec_fini(&members);
	ends_compile(c);
}
