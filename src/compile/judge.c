/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Judge: the base chains of inet microseg, what passes without a grant, and the one lookup that
 *finds the service.
 *
 *	forward  -> judge     endpoint to endpoint, to net, from net
 *	input    -> host-in   endpoint to host
 *	output   -> host-out  host to endpoint; of translated traffic by its address: oifname shows
 *the way before DNAT
 *
 * A packet that has no managed interface on either side is looked at by no more than the rules that
 *find that out.
 */
#include "compiler.h"

#include <netinet/in.h>
#include <string.h>

#define LINK_LOCAL4 "169.254.0.0/16"
#define LINK_LOCAL6 "fe80::/10"
#define LOOPBACK4 "127.0.0.0/8"
#define MULTICAST4 "224.0.0.0/3" /* and broadcast, and what was reserved between them */
#define MULTICAST6 "ff00::/8"

#define DHCP_SERVER 67
#define DHCP_CLIENT 68
#define DHCP6_CLIENT 546
#define DHCP6_SERVER 547

static const char *deny(struct compiler *c, enum ms_reason reason, enum ms_direction direction,
			enum ms_mode mode)
{
	return refusal(c, c->inet, reason, direction, mode);
}

const char *invalid_target(struct compiler *c)
{
	return c->audits ? "invalid" : deny(c, MS_REASON_INVALID, MS_EAST_WEST, MS_MODE_ENFORCE);
}

static void match_udp(struct compiler *c, struct ms_rule *rule, uint16_t sport, uint16_t dport)
{
	ms_rule_match_u16(c->ruleset, rule, MS_FIELD_UDP_SPORT, sport);
	ms_rule_match_u16(c->ruleset, rule, MS_FIELD_UDP_DPORT, dport);
}

static void accept_udp(struct compiler *c, struct ms_chain *chain, uint16_t sport, uint16_t dport)
{
	struct ms_rule *rule = rule_add(c, chain);

	match_udp(c, rule, sport, dport);
	rule_accept(c, rule);
}

/* @group: only to a multicast address. */
static void accept_icmp6(struct compiler *c, struct ms_chain *chain, size_t n_types,
			 const uint8_t *types, uint8_t hoplimit, bool group)
{
	struct ms_rule *rule = rule_add(c, chain);

	ms_rule_match_any_u8(c->ruleset, rule, MS_FIELD_ICMP6_TYPE, n_types, types);
	ms_rule_match_u8(c->ruleset, rule, MS_FIELD_IP6_HOPLIMIT, hoplimit);
	if (group)
		match_prefix(c, rule, MS_FIELD_IP6_DADDR, MULTICAST6);
	rule_accept(c, rule);
}

/*
 * Neighbour discovery and multicast listeners; @from_host adds the router advertisements only a
 * host may send. What is sent to one address is no listener's message, and its hop limit may be 1
 * only because we routed it.
 */
static void compile_baseline(struct compiler *c, struct ms_chain *chain, bool from_host)
{
	static const uint8_t discovery[] = {134, 133, 135,
					    136}; /* RA first: left out unless the host sends */
	static const uint8_t listeners[] = {130, 131, 132, 143};

	accept_icmp6(c, chain, from_host ? 4 : 3, from_host ? discovery : discovery + 1, 255,
		     false);
	accept_icmp6(c, chain, 4, listeners, 1, true);
}

static void accept_state(struct compiler *c, struct ms_chain *chain, uint32_t state)
{
	struct ms_rule *rule = rule_add(c, chain);

	ms_rule_match_u32(c->ruleset, rule, MS_FIELD_CT_STATE, false, state);
	rule_accept(c, rule);
}

/* Who carries is a router too, and whom he carries may be the end of a connection. */
static void compile_related_carried(struct compiler *c, struct ms_chain *chain)
{
	for (size_t i = 0; i < 2; i++) {
		if (!carried_in(c, &families[i]))
			continue;
		struct ms_rule *end = rule_add(c, chain);

		ms_rule_match_u8(c->ruleset, end, MS_FIELD_L4PROTO, families[i].icmp_proto);
		carried_match(c, end, families[i].saddr, &families[i]);
		rule_accept(c, end);
		ms_vec_each (const struct ms_service, service, &c->policy->services) {
			if (service->carries.n_items == 0)
				continue;
			struct ms_rule *router =
				ms_ruleset_add_rule(c->ruleset, chain, &service->at);

			ms_rule_match_u8(c->ruleset, router, MS_FIELD_L4PROTO,
					 families[i].icmp_proto);
			rule_set(c, router, families[i].saddr, false,
				 sets_peer(c, &families[i], service->env, service->name));
			rule_accept(c, router);
		}
	}
}

/*
 * ICMP errors that belong to a connection. Whoever knows its ports can make one up: of endpoints
 * only the two ends of the connection are believed, behind translation too; routers are where no
 * interface is managed.
 */
static void compile_related(struct compiler *c)
{
	static const uint8_t protos[] = {IPPROTO_ICMP, IPPROTO_ICMPV6};
	static const enum ms_field ends[2][2] = {
		{MS_FIELD_CT_ORIGINAL_IP_SADDR, MS_FIELD_CT_REPLY_IP_SADDR},
		{MS_FIELD_CT_ORIGINAL_IP6_SADDR, MS_FIELD_CT_REPLY_IP6_SADDR},
	};
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "related");
	struct ms_rule *router = rule_add(c, chain);

	rule_in_managed(c, router, MS_FIELD_IIFNAME, true);
	ms_rule_match_any_u8(c->ruleset, router, MS_FIELD_L4PROTO, 2, protos);
	rule_accept(c, router);
	for (size_t i = 0; i < 2; i++)
		for (size_t end = 0; end < 2; end++) {
			const enum ms_field own[] = {families[i].saddr, ends[i][end]};
			struct ms_rule *rule = rule_add(c, chain);

			ms_rule_match_u8(c->ruleset, rule, MS_FIELD_L4PROTO,
					 families[i].icmp_proto);
			ms_rule_match_set(c->ruleset, rule, false,
					  name_of(c, "self/%d", families[i].ip), 2, own);
			rule_accept(c, rule);
		}
	compile_related_carried(c, chain);
}

/* What the host itself sends: its ICMP errors, and the resets by which we refuse. */
static void compile_related_host(struct compiler *c, struct ms_chain *chain)
{
	static const uint8_t protos[] = {IPPROTO_ICMP, IPPROTO_ICMPV6};
	struct ms_rule *error = rule_add(c, chain);

	ms_rule_match_u32(c->ruleset, error, MS_FIELD_CT_STATE, false, MS_CT_RELATED);
	ms_rule_match_any_u8(c->ruleset, error, MS_FIELD_L4PROTO, 2, protos);
	rule_accept(c, error);
	struct ms_rule *reset = rule_add(c, chain);
	ms_rule_match_u32(c->ruleset, reset, MS_FIELD_CT_STATE, false, MS_CT_RELATED);
	ms_rule_match_reset(c->ruleset, reset);
	rule_accept(c, reset);
}

/*
 * Replies, and the errors that belong to a connection. Nothing else counts as related: what a
 * helper of connection tracking expects is judged like any other connection.
 */
static void compile_known(struct compiler *c, struct ms_chain *chain, bool from_host)
{
	if (c->ends.n_items > 0) {
		struct ms_rule *rule = rule_add(c, chain);

		ms_rule_match_u32(c->ruleset, rule, MS_FIELD_CT_STATE, false, MS_CT_ESTABLISHED);
		ms_rule_verdict(c->ruleset, rule, MS_VERDICT_JUMP, "watch");
	} else {
		accept_state(c, chain, MS_CT_ESTABLISHED);
	}
	if (from_host) {
		compile_related_host(c, chain);
	} else {
		struct ms_rule *related = rule_add(c, chain);

		ms_rule_match_u32(c->ruleset, related, MS_FIELD_CT_STATE, false, MS_CT_RELATED);
		ms_rule_verdict(c->ruleset, related, MS_VERDICT_JUMP, "related");
	}
	struct ms_rule *midway = rule_add(c, chain);
	ms_rule_match_bare_syn(c->ruleset, midway, true);
	ms_rule_verdict(c->ruleset, midway, MS_VERDICT_JUMP, "revoked");
	struct ms_rule *invalid = rule_add(c, chain);
	ms_rule_match_u32(c->ruleset, invalid, MS_FIELD_CT_STATE, false, MS_CT_INVALID);
	rule_goto(c, invalid, invalid_target(c));
}

/*
 * A server's segment of a connection that was cut looks like one of a connection that the server
 * has opened to the port that the client came from, and the kernel tracks it as such. Where the
 * policy grants that, only a memory of what was cut tells the two apart. What opens a connection is
 * a SYN, and never of the old one.
 */
static void compile_revoked(struct compiler *c)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "revoked");

	for (size_t i = 0; i < 2; i++) {
		const enum ms_field key[] = {families[i].saddr, MS_FIELD_TCP_SPORT,
					     families[i].daddr, MS_FIELD_TCP_DPORT};
		struct ms_rule *rule = rule_add(c, chain);

		ms_rule_match_set(c->ruleset, rule, false, name_of(c, "revoked/%d", families[i].ip),
				  4, key);
		rule_goto(c, rule, invalid_target(c));
	}
	/* There are more than it can hold. */
	struct ms_rule *any = rule_add(c, chain);
	ms_rule_match_u32(c->ruleset, any, MS_FIELD_CT_STATE, false, MS_CT_NEW);
	rule_set(c, any, MS_FIELD_NFPROTO, false, "revoked/any");
	rule_goto(c, any, invalid_target(c));
}

/* The end at @managed with address @field, unless it is in audit. What is carried has no mode. */
static void refuse_unaudited(struct compiler *c, struct ms_chain *chain, enum ms_field managed,
			     enum ms_field field, const struct family *family)
{
	const char *target = deny(c, MS_REASON_INVALID, MS_EAST_WEST, MS_MODE_ENFORCE);

	for (int carried = carried_in(c, family); carried >= 0; carried--) {
		struct ms_rule *rule = rule_add(c, chain);

		rule_in_managed(c, rule, managed, false);
		rule_set(c, rule, field, true, name_of(c, "audited/%d", family->ip));
		if (carried)
			rule_set(c, rule, field, false, name_of(c, "uncarried/%d", family->ip));
		else if (carried_in(c, family))
			rule_set(c, rule, field, true, name_of(c, "carried/%d", family->ip));
		rule_goto(c, rule, target);
	}
}

/* An invalid packet has no provider: it passes only where every endpoint it concerns is in audit.
 */
static void compile_invalid(struct compiler *c)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "invalid");

	for (size_t i = 0; i < 2; i++) {
		refuse_unaudited(c, chain, MS_FIELD_IIFNAME, families[i].saddr, &families[i]);
		refuse_unaudited(c, chain, MS_FIELD_OIFNAME, families[i].daddr, &families[i]);
	}
	rule_goto(c, rule_add(c, chain), deny(c, MS_REASON_INVALID, MS_EAST_WEST, MS_MODE_AUDIT));
}

static void goto_range(struct compiler *c, struct ms_chain *chain, enum ms_field field,
		       const char *prefix, const char *target)
{
	struct ms_rule *rule = rule_add(c, chain);

	match_prefix(c, rule, field, prefix);
	rule_goto(c, rule, target);
}

/*
 * Engines also give their containers IPv4 link-local networks, which do reach the outside: what
 * leaves, and what comes to such an address, is judged like any other. A link-local sender outside
 * is nobody to any grant.
 */
static void goto_link_local(struct compiler *c, struct ms_chain *chain)
{
	static const struct {
		enum ms_field field;
		const char *prefix;
		enum ms_field managed;
	} rows[] = {
		{MS_FIELD_IP6_DADDR, LINK_LOCAL6, MS_FIELD_IIFNAME},
		{MS_FIELD_IP6_SADDR, LINK_LOCAL6, MS_FIELD_OIFNAME},
		{MS_FIELD_IP_DADDR, LINK_LOCAL4, MS_FIELD_IIFNAME},
		{MS_FIELD_IP_SADDR, LINK_LOCAL4, MS_FIELD_OIFNAME},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_rule *rule = rule_add(c, chain);

		match_prefix(c, rule, rows[i].field, rows[i].prefix);
		rule_in_managed(c, rule, rows[i].managed, false);
		rule_goto(c, rule, "link-local");
	}
}

static void compile_judge(struct compiler *c)
{
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain = ms_ruleset_add_chain(rs, c->inet, "judge");

	quarantine_compile(c, chain, true, true);
	compile_known(c, chain, false);
	compile_baseline(c, chain, false);
	never_jump_forwarded(c, chain);
	/* Multicast and broadcast: no net covers them, so this ends at the sender's own refusal. */
	goto_range(c, chain, MS_FIELD_IP_DADDR, MULTICAST4, "outbound");
	goto_range(c, chain, MS_FIELD_IP6_DADDR, MULTICAST6, "outbound");
	carried_compile_judge(c, chain);
	goto_link_local(c, chain);

	struct ms_rule *to_managed = rule_add(c, chain);
	rule_in_managed(c, to_managed, MS_FIELD_OIFNAME, false);
	rule_goto(c, to_managed, "inbound");
	rule_goto(c, rule_add(c, chain), "outbound");

	struct ms_chain *inbound = ms_ruleset_add_chain(rs, c->inet, "inbound");
	dispatch_compile(c, inbound, TO);
	rule_goto(c, rule_add(c, inbound), "to-unidentified");

	struct ms_chain *outbound = ms_ruleset_add_chain(rs, c->inet, "outbound");
	dispatch_compile(c, outbound, FROM);
	rule_goto(c, rule_add(c, outbound), "from-unidentified");
}

/*
 * Link-local unicast between endpoints passes nothing but the baseline: it goes past all grants to
 * the end chain of its destination. To an address nobody has it is the sender's business, like
 * multicast.
 */
static void compile_link_local(struct compiler *c)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "link-local");
	struct ms_rule *to_managed = rule_add(c, chain);

	rule_in_managed(c, to_managed, MS_FIELD_OIFNAME, false);
	ms_rule_verdict(c->ruleset, to_managed, MS_VERDICT_JUMP, "linked");
	goto_range(c, chain, MS_FIELD_IP6_DADDR, LINK_LOCAL6, "outbound");
	goto_range(c, chain, MS_FIELD_IP_DADDR, LINK_LOCAL4, "outbound");
	rule_goto(c, rule_add(c, chain), "to-unidentified");

	struct ms_chain *linked = ms_ruleset_add_chain(c->ruleset, c->inet, "linked");
	dispatch_compile(c, linked, LINK);
	for (size_t i = 0; i < 2; i++) {
		struct ms_rule *nameless = rule_add(c, linked);

		rule_set(c, nameless, families[i].daddr, false,
			 name_of(c, "nameless/%d", families[i].ip));
		rule_goto(c, nameless, "to-unidentified");
	}
}

/* To an address behind a managed interface that no identified endpoint has. */
static void compile_to_unidentified(struct compiler *c)
{
	enum ms_mode mode = c->policy->unidentified;
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "to-unidentified");
	struct ms_rule *outside = rule_add(c, chain);

	rule_in_managed(c, outside, MS_FIELD_IIFNAME, true);
	rule_goto(c, outside, deny(c, MS_REASON_UNIDENTIFIED, MS_INGRESS, mode));

	/* The stricter of `unidentified` and the sender's own mode. */
	for (size_t i = 0; mode == MS_MODE_AUDIT && i < 2 * c->relax_ends.n_items; i++) {
		time_t end = c->relax_ends.items[i / 2];
		struct ms_rule *rule = rule_add(c, chain);

		rule_set(c, rule, families[i % 2].saddr, false,
			 name_of(c, "relaxed/%s/%d", clock_name(c, end), families[i % 2].ip));
		rule_goto(c, rule, refusal_after(c, MS_REASON_UNIDENTIFIED, MS_EAST_WEST, end));
	}
	ms_vec_each (struct ms_env, env, &c->policy->envs)
		for (size_t i = 0; mode == MS_MODE_AUDIT && i < 2; i++) {
			struct ms_rule *rule = rule_add(c, chain);

			rule_set(c, rule, families[i].saddr, false,
				 name_of(c, "any/%s/%d", env->name, families[i].ip));
			rule_set(c, rule, families[i].saddr, true,
				 name_of(c, "audited/%d", families[i].ip));
			rule_goto(c, rule,
				  deny(c, MS_REASON_UNIDENTIFIED, MS_EAST_WEST, MS_MODE_ENFORCE));
		}
	rule_goto(c, rule_add(c, chain), deny(c, MS_REASON_UNIDENTIFIED, MS_EAST_WEST, mode));
}

static void compile_from_unidentified(struct compiler *c)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "from-unidentified");
	struct ms_rule *outside = rule_add(c, chain);

	/* Multicast routed in from outside. */
	rule_in_managed(c, outside, MS_FIELD_IIFNAME, true);
	/* Nobody can say whose it is: refused, unless all of the policy is in audit. */
	rule_goto(c, outside, refusal_after(c, MS_REASON_NO_GRANT, MS_INGRESS, c->strictest));
	rule_goto(c, rule_add(c, chain),
		  deny(c, MS_REASON_UNIDENTIFIED, MS_EGRESS, c->policy->unidentified));
}

/*
 * From outside to endpoints nobody has an endpoint's address, whatever the routes say (the mirror
 * of guard_routed.c asks them): else he would have its grants.
 */
static void compile_mirror(struct compiler *c, struct ms_chain *chain)
{
	for (size_t i = 0; i < 2; i++) {
		struct ms_rule *rule = rule_add(c, chain);

		rule_in_managed(c, rule, MS_FIELD_OIFNAME, false);
		rule_set(c, rule, families[i].saddr, false, name_of(c, "local/%d", families[i].ip));
		rule_goto(c, rule, deny(c, MS_REASON_SPOOF, MS_EAST_WEST, MS_MODE_ENFORCE));
	}
}

static void compile_forward(struct compiler *c)
{
	static const enum ms_field pair[] = {MS_FIELD_IIFNAME, MS_FIELD_OIFNAME};
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *stamp =
		ms_ruleset_add_base_chain(rs, c->inet, "stamp", MS_HOOK_FORWARD, PRIORITY_STAMP);
	struct ms_rule *same = rule_add(c, stamp);

	ms_rule_match_set(rs, same, false, "same", 2, pair);
	ms_rule_set_priority(rs, same, STAMP);

	struct ms_chain *chain =
		ms_ruleset_add_base_chain(rs, c->inet, "forward", MS_HOOK_FORWARD, PRIORITY_POLICY);
	if (c->arp)
		strangers_goto(c, chain, MS_FIELD_OIFNAME, "routed", refuse_stranger(c, c->inet));
	struct ms_rule *from = rule_add(c, chain);
	rule_in_managed(c, from, MS_FIELD_IIFNAME, false);
	rule_goto(c, from, "judge");
	compile_mirror(c, chain);
	struct ms_rule *to = rule_add(c, chain);
	rule_in_managed(c, to, MS_FIELD_OIFNAME, false);
	rule_goto(c, to, "judge");
	patterns_goto(c, chain, MS_FIELD_OIFNAME,
		      deny(c, MS_REASON_UNKNOWN_PORT, MS_EAST_WEST, c->policy->unidentified));
}

/*
 * Engines have the kernel route 127/8 from their bridges, and what listens there counts on being
 * alone with the host. So a container has nobody there, whatever it may have of the host, unless
 * the host itself translated the address.
 */
static void compile_loopback(struct compiler *c)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "loopback");
	struct ms_rule *translated = rule_add(c, chain);

	ms_rule_match_present(c->ruleset, translated, MS_FIELD_CT_STATUS_DNAT, false);
	ms_rule_verdict(c->ruleset, translated, MS_VERDICT_RETURN, NULL);
	rule_goto(c, rule_add(c, chain), "outbound");
}

static void compile_input(struct compiler *c)
{
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain =
		ms_ruleset_add_base_chain(rs, c->inet, "input", MS_HOOK_INPUT, PRIORITY_POLICY);
	struct ms_rule *rule = rule_add(c, chain);

	rule_in_managed(c, rule, MS_FIELD_IIFNAME, false);
	rule_goto(c, rule, "host-in");

	struct ms_chain *in = ms_ruleset_add_chain(rs, c->inet, "host-in");
	quarantine_compile(c, in, true, false);
	compile_known(c, in, false);
	compile_baseline(c, in, false);
	struct ms_rule *loopback = rule_add(c, in);
	match_prefix(c, loopback, MS_FIELD_IP_DADDR, LOOPBACK4);
	ms_rule_verdict(c->ruleset, loopback, MS_VERDICT_JUMP, "loopback");
	never_jump_to_host(c, in);
	accept_udp(c, in, DHCP_CLIENT, DHCP_SERVER);
	accept_udp(c, in, DHCP6_CLIENT, DHCP6_SERVER);
	dispatch_compile(c, in, HOST);
	rule_goto(c, rule_add(c, in), "from-unidentified");
}

/* The kernel greets every interface that comes up, ports included; nobody else talks to a port past
 * its bridge. */
static void compile_greeting(struct compiler *c, const char *name, const char *refusal)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, name);

	compile_baseline(c, chain, true);
	rule_goto(c, rule_add(c, chain), refusal);
}

static void compile_output(struct compiler *c)
{
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain =
		ms_ruleset_add_base_chain(rs, c->inet, "output", MS_HOOK_OUTPUT, PRIORITY_POLICY);

	if (c->arp)
		strangers_goto(c, chain, MS_FIELD_OIFNAME, "routed", "host-out-stranger");
	/* Only what was translated: an address that a container merely claims must not cut the host
	 * off from its owner. */
	for (size_t i = 0; i < 2; i++) {
		struct ms_rule *rule = rule_add(c, chain);

		ms_rule_match_present(rs, rule, MS_FIELD_CT_STATUS_DNAT, false);
		rule_set(c, rule, families[i].daddr, false, name_of(c, "local/%d", families[i].ip));
		rule_goto(c, rule, "host-out");
	}
	struct ms_rule *rule = rule_add(c, chain);
	rule_in_managed(c, rule, MS_FIELD_OIFNAME, false);
	rule_goto(c, rule, "host-out");
	patterns_goto(c, chain, MS_FIELD_OIFNAME, "host-out-port");

	compile_greeting(c, "host-out-port",
			 deny(c, MS_REASON_UNKNOWN_PORT, MS_EAST_WEST, c->policy->unidentified));
	if (c->arp)
		compile_greeting(c, "host-out-stranger", refuse_stranger(c, c->inet));

	struct ms_chain *out = ms_ruleset_add_chain(rs, c->inet, "host-out");
	quarantine_compile(c, out, false, true);
	compile_known(c, out, true);
	compile_baseline(c, out, true);
	never_jump_from_host(c, out);
	/* The host's own group reports: the twin of MLD in IPv4. */
	struct ms_rule *igmp = rule_add(c, out);
	ms_rule_match_u8(rs, igmp, MS_FIELD_L4PROTO, IPPROTO_IGMP);
	rule_accept(c, igmp);
	accept_udp(c, out, DHCP_SERVER, DHCP_CLIENT);
	accept_udp(c, out, DHCP6_SERVER, DHCP6_CLIENT);
	dispatch_compile(c, out, INTO);
	rule_goto(c, rule_add(c, out),
		  deny(c, MS_REASON_UNIDENTIFIED, MS_INGRESS, c->policy->unidentified));
}

void judge_compile(struct compiler *c)
{
	compile_forward(c);
	compile_input(c);
	compile_output(c);
	compile_judge(c);
	compile_related(c);
	compile_revoked(c);
	compile_link_local(c);
	compile_loopback(c);
	compile_to_unidentified(c);
	compile_from_unidentified(c);
	if (c->audits)
		compile_invalid(c);
	clocks_compile_watch(c);
}
