/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guard: who may send as whom. Knows ports, MACs and addresses; needs neither connection tracking
 * nor br_netfilter nor the daemon.
 *
 * In audit a port passes what it would be refused here, logged, but for frames that carry a MAC or
 * an address that belongs to somebody else, or hide it; and only to the host and to ports that are
 * in audit themselves.
 */
#include "compiler.h"

#include <netinet/in.h>

#define ETHER_IP 0x0800
#define ETHER_ARP 0x0806
#define ETHER_IP6 0x86dd
#define ETHER_VLAN 0x8100
#define ETHER_VLAN_SERVICE 0x88a8

#define DHCP_SERVER 67
#define DHCP_CLIENT 68
#define DHCP6_CLIENT 546
#define DHCP6_SERVER 547

#define ICMP6_ROUTER_SOLICIT 133
#define ICMP6_ROUTER_ADVERT 134
#define ICMP6_NEIGHBOR_SOLICIT 135
#define ICMP6_NEIGHBOR_ADVERT 136
#define ICMP6_REDIRECT 137
#define ICMP6_MLD2_REPORT 143

/* Type and length (in units of 8 bytes) of the two ND options that carry a link-layer address. */
#define ND_SOURCE_LLADDR 0x0101
#define ND_TARGET_LLADDR 0x0201

static const enum ms_field port_mac[] = {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR};
static const enum ms_field port_source4[] = {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR,
					     MS_FIELD_IP_SADDR};
static const enum ms_field port_source6[] = {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR,
					     MS_FIELD_IP6_SADDR};
static const enum ms_field port_arp[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER,
					 MS_FIELD_ARP_SADDR_IP};
static const enum ms_field port_arp_mac[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER};
static const enum ms_field port_nd_target[] = {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR,
					       MS_FIELD_ND_TARGET};
static const enum ms_field port_nd_mac[] = {MS_FIELD_IIFNAME, MS_FIELD_ND_LLADDR};
static const enum ms_field port_rs_mac[] = {MS_FIELD_IIFNAME, MS_FIELD_RS_LLADDR};

static const struct ms_addr unspecified4 = {.ip = MS_IP4};
static const struct ms_addr unspecified6 = {.ip = MS_IP6};

/* The guard's chains exist once for ports in enforce and, where anything is in audit, once more for
 * those in audit. */
struct guard {
	struct compiler *c;
	const char *suffix;    /* of chain names */
	const char *spoof;     /* where forged frames go */
	const char *ethertype; /* where kinds of frames go that an endpoint never sends, other ether
				  types among them */
};

static struct ms_chain *guard_chain(struct guard *g, const char *name)
{
	return ms_ruleset_add_chain(g->c->ruleset, g->c->bridge,
				    name_of(g->c, "%s%s", name, g->suffix));
}

static void match_udp(struct compiler *c, struct ms_rule *rule, uint16_t sport, uint16_t dport)
{
	ms_rule_match_u16(c->ruleset, rule, MS_FIELD_UDP_SPORT, sport);
	ms_rule_match_u16(c->ruleset, rule, MS_FIELD_UDP_DPORT, dport);
}

static void refuse_udp(struct guard *g, struct ms_chain *chain, uint16_t sport, uint16_t dport)
{
	struct ms_rule *rule = rule_add(g->c, chain);

	match_udp(g->c, rule, sport, dport);
	rule_goto(g->c, rule, g->ethertype);
}

static void accept_source(struct guard *g, struct ms_chain *chain, const char *set, size_t n_fields,
			  const enum ms_field *fields)
{
	struct ms_rule *rule = rule_add(g->c, chain);

	ms_rule_match_set(g->c->ruleset, rule, false, set, n_fields, fields);
	rule_accept(g->c, rule);
}

static void refuse_source(struct guard *g, struct ms_chain *chain, const char *set, size_t n_fields,
			  const enum ms_field *fields)
{
	struct ms_rule *rule = rule_add(g->c, chain);

	ms_rule_match_set(g->c->ruleset, rule, true, set, n_fields, fields);
	rule_goto(g->c, rule, g->spoof);
}

/* What is not in @set is forged, unless the port carries it: @carried finds that. */
static void refuse_uncarried(struct guard *g, struct ms_chain *chain, const char *set,
			     const enum ms_field fields[3], const char *carried)
{
	struct ms_rule *rule = rule_add(g->c, chain);

	ms_rule_match_set(g->c->ruleset, rule, true, set, 3, fields);
	if (carried_in(g->c, &families[1]))
		ms_rule_verdict(g->c->ruleset, rule, MS_VERDICT_JUMP,
				name_of(g->c, "%s%s", carried, g->suffix));
	else
		rule_goto(g->c, rule, g->spoof);
}

/* Ethernet and IPv4 in the header, so that the fields behind it lie where we look. */
static struct ms_rule *arp_rule(struct guard *g, struct ms_chain *chain)
{
	struct ms_rule *rule = rule_add(g->c, chain);

	ms_rule_match_u16(g->c->ruleset, rule, MS_FIELD_ARP_HTYPE, 1);
	ms_rule_match_u16(g->c->ruleset, rule, MS_FIELD_ARP_PTYPE, ETHER_IP);
	ms_rule_match_u8(g->c->ruleset, rule, MS_FIELD_ARP_HLEN, 6);
	ms_rule_match_u8(g->c->ruleset, rule, MS_FIELD_ARP_PLEN, 4);
	return rule;
}

static void compile_arp(struct guard *g)
{
	struct ms_ruleset *rs = g->c->ruleset;
	struct ms_chain *chain = guard_chain(g, "guard-arp");

	struct ms_rule *own = arp_rule(g, chain);
	ms_rule_match_set(rs, own, false, "source/4", 3, port_arp);
	rule_accept(g->c, own);

	/* A probe (RFC 5227): is this address free? It claims nothing. */
	struct ms_rule *probe = arp_rule(g, chain);
	ms_rule_match(rs, probe, MS_FIELD_ARP_SADDR_IP, false, unspecified4.bytes, 4);
	ms_rule_match_set(rs, probe, false, "mac", 2, port_arp_mac);
	rule_accept(g->c, probe);
	if (carried_in(g->c, &families[0]))
		carried_match_arp(g->c, arp_rule(g, chain));

	rule_goto(g->c, rule_add(g->c, chain), g->spoof);
}

static void compile_ip(struct guard *g)
{
	static const enum ms_field source_routes[] = {MS_FIELD_IP_OPTION_LSRR,
						      MS_FIELD_IP_OPTION_SSRR};
	struct ms_ruleset *rs = g->c->ruleset;
	struct ms_chain *chain = guard_chain(g, "guard-ip");

	for (size_t i = 0; i < 2; i++) {
		struct ms_rule *rule = rule_add(g->c, chain);

		ms_rule_match_present(rs, rule, source_routes[i], false);
		rule_goto(g->c, rule, g->ethertype);
	}
	refuse_udp(g, chain, DHCP_SERVER, DHCP_CLIENT);
	accept_source(g, chain, "source/4", 3, port_source4);
	carried_goto_guard(g->c, chain, &families[0]);

	struct ms_rule *dhcp = rule_add(g->c, chain);
	ms_rule_match(rs, dhcp, MS_FIELD_IP_SADDR, false, unspecified4.bytes, 4);
	match_udp(g->c, dhcp, DHCP_CLIENT, DHCP_SERVER);
	rule_accept(g->c, dhcp);

	rule_goto(g->c, rule_add(g->c, chain), g->spoof);
}

/* A kind of neighbour message: where its first option lies, and what that must say. */
struct nd_form {
	const char *chain;
	enum ms_field option;
	uint16_t option_is;
	const char *macs;
	const enum ms_field *mac_fields;
	uint8_t type;
};

static const struct nd_form nd_forms[] = {
	{"guard-ns", MS_FIELD_ND_OPTION, ND_SOURCE_LLADDR, "nd-mac", port_nd_mac,
	 ICMP6_NEIGHBOR_SOLICIT},
	{"guard-na", MS_FIELD_ND_OPTION, ND_TARGET_LLADDR, "nd-mac", port_nd_mac,
	 ICMP6_NEIGHBOR_ADVERT},
	{"guard-rs", MS_FIELD_RS_OPTION, ND_SOURCE_LLADDR, "rs-mac", port_rs_mac,
	 ICMP6_ROUTER_SOLICIT},
};
#define N_ND_FORMS (sizeof(nd_forms) / sizeof(nd_forms[0]))

/*
 * A message from :: has no sender to lie about. But duplicate address detection for somebody else's
 * address would take it from an interface that is asking for it at that moment, so it passes for
 * the port's own addresses only. Those are known as soon as the interface has them, and asks; where
 * its question is faster nobody hears it, which does its address no harm. What is known to be
 * somebody else's is refused in audit too.
 */
static void compile_senderless(struct guard *g, struct ms_chain *chain, const struct nd_form *form)
{
	struct ms_ruleset *rs = g->c->ruleset;

	if (form->type == ICMP6_NEIGHBOR_SOLICIT) {
		struct ms_rule *taken = rule_add(g->c, chain);

		ms_rule_match(rs, taken, MS_FIELD_IP6_SADDR, false, unspecified6.bytes, 16);
		ms_rule_match_set(rs, taken, true, "nd-target", 3, port_nd_target);
		rule_set(g->c, taken, MS_FIELD_ND_TARGET, false, "owned-nd-target");
		rule_goto(g->c, taken,
			  refusal(g->c, g->c->bridge, MS_REASON_SPOOF, MS_EAST_WEST,
				  MS_MODE_ENFORCE));
		struct ms_rule *nobodys = rule_add(g->c, chain);
		ms_rule_match(rs, nobodys, MS_FIELD_IP6_SADDR, false, unspecified6.bytes, 16);
		ms_rule_match_set(rs, nobodys, true, "nd-target", 3, port_nd_target);
		rule_goto(g->c, nobodys, g->spoof);
	}
	struct ms_rule *early = rule_add(g->c, chain);
	ms_rule_match(rs, early, MS_FIELD_IP6_SADDR, false, unspecified6.bytes, 16);
	rule_accept(g->c, early);
}

/*
 * Neighbour messages in fixed forms only: hop limit 255, no extension header, and the one option
 * that Linux believes must carry the port's own MAC. A message without the option is too short for
 * the two option rules and passes them.
 */
static void compile_neighbour(struct guard *g, const struct nd_form *form)
{
	static const uint8_t hoplimit = 255, icmp6 = IPPROTO_ICMPV6;
	struct ms_ruleset *rs = g->c->ruleset;
	struct ms_chain *chain = guard_chain(g, form->chain);

	struct ms_rule *far = rule_add(g->c, chain);
	ms_rule_match(rs, far, MS_FIELD_IP6_HOPLIMIT, true, &hoplimit, 1);
	rule_goto(g->c, far, g->ethertype);
	struct ms_rule *hidden = rule_add(g->c, chain);
	ms_rule_match(rs, hidden, MS_FIELD_IP6_NEXTHDR, true, &icmp6, 1);
	rule_goto(g->c, hidden, g->ethertype);

	if (form->type == ICMP6_NEIGHBOR_ADVERT) {
		refuse_uncarried(g, chain, "source/6", port_source6, "guard-carried-nd");
		refuse_uncarried(g, chain, "nd-target", port_nd_target, "guard-carried-target");
	} else {
		compile_senderless(g, chain, form);
		refuse_uncarried(g, chain, "source/6", port_source6, "guard-carried-nd");
	}

	struct ms_rule *forged = rule_add(g->c, chain);
	ms_rule_match_u16(rs, forged, form->option, form->option_is);
	ms_rule_match_set(rs, forged, true, form->macs, 2, form->mac_fields);
	rule_goto(g->c, forged, g->spoof);
	uint8_t option_be[2] = {(uint8_t)(form->option_is >> 8), (uint8_t)form->option_is};
	struct ms_rule *other = rule_add(g->c, chain);
	ms_rule_match(rs, other, form->option, true, option_be, 2);
	/* In audit too: a forged option behind this one lies where no rule looks. */
	rule_goto(g->c, other,
		  refusal(g->c, g->c->bridge, MS_REASON_SPOOF, MS_EAST_WEST, MS_MODE_ENFORCE));

	rule_accept(g->c, rule_add(g->c, chain));
}

static void compile_ip6(struct guard *g)
{
	static const uint8_t router[] = {ICMP6_ROUTER_ADVERT, ICMP6_REDIRECT};
	struct ms_ruleset *rs = g->c->ruleset;
	struct ms_chain *chain = guard_chain(g, "guard-ip6");

	struct ms_rule *routing = rule_add(g->c, chain);
	ms_rule_match_present(rs, routing, MS_FIELD_EXTHDR_RT, false);
	rule_goto(g->c, routing, g->ethertype);
	struct ms_rule *advert = rule_add(g->c, chain);
	ms_rule_match_any_u8(rs, advert, MS_FIELD_ICMP6_TYPE, 2, router);
	rule_goto(g->c, advert, g->ethertype);
	refuse_udp(g, chain, DHCP6_SERVER, DHCP6_CLIENT);

	for (size_t i = 0; i < N_ND_FORMS; i++) {
		struct ms_rule *neighbour = rule_add(g->c, chain);

		ms_rule_match_u8(rs, neighbour, MS_FIELD_ICMP6_TYPE, nd_forms[i].type);
		rule_goto(g->c, neighbour, name_of(g->c, "%s%s", nd_forms[i].chain, g->suffix));
	}
	accept_source(g, chain, "source/6", 3, port_source6);
	carried_goto_guard(g->c, chain, &families[1]);
	/* Before it has an address it may join groups. */
	struct ms_rule *early = rule_add(g->c, chain);
	ms_rule_match_u8(rs, early, MS_FIELD_ICMP6_TYPE, ICMP6_MLD2_REPORT);
	ms_rule_match(rs, early, MS_FIELD_IP6_SADDR, false, unspecified6.bytes, 16);
	rule_accept(g->c, early);

	rule_goto(g->c, rule_add(g->c, chain), g->spoof);
}

/*
 * Rules that hold in audit as well: what belongs to somebody else stays theirs. What is the port's
 * own it may use with any MAC that is nobody's, such as the virtual one of VRRP.
 */
static void compile_owned(struct guard *g, struct ms_chain *chain)
{
	static const enum ms_field held_arp[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_IP};
	static const enum ms_field held4[] = {MS_FIELD_IIFNAME, MS_FIELD_IP_SADDR};
	static const enum ms_field held6[] = {MS_FIELD_IIFNAME, MS_FIELD_IP6_SADDR};
	static const enum ms_field held_target[] = {MS_FIELD_IIFNAME, MS_FIELD_ND_TARGET};
	static const struct {
		const char *own;
		const enum ms_field *own_fields;
		const char *owned;
		enum ms_field claimed;
		uint8_t n_own_fields;
		uint8_t icmp6_type; /* 0: of any frame */
	} claims[] = {
		{"mac", port_mac, "owned-mac", MS_FIELD_ETHER_SADDR, 2, 0},
		{"mac", port_arp_mac, "owned-mac", MS_FIELD_ARP_SADDR_ETHER, 2, 0},
		{"held/4", held_arp, "owned/4", MS_FIELD_ARP_SADDR_IP, 2, 0},
		{"held/4", held4, "owned/4", MS_FIELD_IP_SADDR, 2, 0},
		{"held/6", held6, "owned/6", MS_FIELD_IP6_SADDR, 2, 0},
		{"held-nd-target", held_target, "owned-nd-target", MS_FIELD_ND_TARGET, 2,
		 ICMP6_NEIGHBOR_ADVERT},
		{"nd-mac", port_nd_mac, "owned-nd-mac", MS_FIELD_ND_LLADDR, 2,
		 ICMP6_NEIGHBOR_ADVERT},
		{"nd-mac", port_nd_mac, "owned-nd-mac", MS_FIELD_ND_LLADDR, 2,
		 ICMP6_NEIGHBOR_SOLICIT},
		{"rs-mac", port_rs_mac, "owned-rs-mac", MS_FIELD_RS_LLADDR, 2,
		 ICMP6_ROUTER_SOLICIT},
	};
	static const uint16_t tags[] = {ETHER_VLAN, ETHER_VLAN_SERVICE};
	struct compiler *c = g->c;

	/* A tag hides the addresses behind it from every rule, and not from the receiver. */
	struct ms_rule *tagged = rule_add(c, chain);
	ms_rule_match_any_u16(c->ruleset, tagged, MS_FIELD_ETHER_TYPE, 2, tags);
	rule_goto(c, tagged,
		  refusal(c, c->bridge, MS_REASON_ETHERTYPE, MS_EAST_WEST, MS_MODE_ENFORCE));
	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		struct ms_rule *rule = rule_add(c, chain);

		if (claims[i].icmp6_type)
			ms_rule_match_u8(c->ruleset, rule, MS_FIELD_ICMP6_TYPE,
					 claims[i].icmp6_type);
		ms_rule_match_set(c->ruleset, rule, true, claims[i].own, claims[i].n_own_fields,
				  claims[i].own_fields);
		rule_set(c, rule, claims[i].claimed, false, claims[i].owned);
		rule_goto(c, rule,
			  refusal(c, c->bridge, MS_REASON_SPOOF, MS_EAST_WEST, MS_MODE_ENFORCE));
	}
}

static void compile_guard(struct compiler *c, enum ms_mode mode)
{
	static const struct {
		uint16_t type;
		const char *chain;
	} types[] = {{ETHER_ARP, "guard-arp"}, {ETHER_IP, "guard-ip"}, {ETHER_IP6, "guard-ip6"}};
	struct guard g = {
		.c = c,
		.suffix = mode == MS_MODE_AUDIT ? "/audit" : "",
		.spoof = refusal(c, c->bridge, MS_REASON_SPOOF, MS_EAST_WEST, mode),
		.ethertype = refusal(c, c->bridge, MS_REASON_ETHERTYPE, MS_EAST_WEST, mode),
	};
	struct ms_chain *chain = guard_chain(&g, "guard");

	if (mode == MS_MODE_AUDIT)
		compile_owned(&g, chain);
	refuse_source(&g, chain, "mac", 2, port_mac);
	for (size_t i = 0; i < 3; i++) {
		struct ms_rule *rule = rule_add(c, chain);

		ms_rule_match_u16(c->ruleset, rule, MS_FIELD_ETHER_TYPE, types[i].type);
		rule_goto(c, rule, name_of(c, "%s%s", types[i].chain, g.suffix));
	}
	rule_goto(c, rule_add(c, chain), g.ethertype);

	compile_arp(&g);
	compile_ip(&g);
	compile_ip6(&g);
	for (size_t i = 0; i < N_ND_FORMS; i++)
		compile_neighbour(&g, &nd_forms[i]);
	carried_compile_guard_nd(c, g.suffix, g.spoof);
}

static const char *unknown_port(struct compiler *c, const struct ms_table *table)
{
	return refusal(c, table, MS_REASON_UNKNOWN_PORT, MS_EAST_WEST, c->policy->unidentified);
}

/*
 * The seam: a same-bridge IP frame that the inet layer did not stamp went around it, because the
 * bridge's flag is off or br_netfilter is gone.
 */
static void compile_seam(struct compiler *c)
{
	static const uint16_t ip_types[] = {ETHER_IP, ETHER_IP6};
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain = ms_ruleset_add_chain(rs, c->bridge, "seam");

	for (int audit = c->audits; audit >= 0; audit--) {
		struct ms_rule *rule = rule_add(c, chain);

		ms_rule_match_any_u16(rs, rule, MS_FIELD_ETHER_TYPE, 2, ip_types);
		ms_rule_match_u32(rs, rule, MS_FIELD_PRIORITY, true, STAMP);
		if (audit) {
			rule_set(c, rule, MS_FIELD_IIFNAME, false, "audited");
			rule_set(c, rule, MS_FIELD_OIFNAME, false, "audited");
		}
		rule_goto(c, rule,
			  refusal(c, c->bridge, MS_REASON_BYPASS, MS_EAST_WEST,
				  audit ? MS_MODE_AUDIT : MS_MODE_ENFORCE));
	}
	struct ms_rule *known = rule_add(c, chain);
	rule_in_admitted(c, known, MS_FIELD_OIFNAME, "ports");
	rule_accept(c, known);
	strangers_goto(c, chain, MS_FIELD_OIFNAME, "ports", refuse_stranger(c, c->bridge));
	patterns_goto(c, chain, MS_FIELD_OIFNAME, unknown_port(c, c->bridge));
}

/* Frames towards a port: a known one takes them, an unknown managed one does not. */
static void compile_egress(struct compiler *c, const char *name, enum ms_hook hook,
			   int32_t priority)
{
	struct ms_chain *chain =
		ms_ruleset_add_base_chain(c->ruleset, c->bridge, name, hook, priority);
	static const enum ms_field ends[] = {MS_FIELD_IIFNAME, MS_FIELD_OIFNAME};

	quarantine_compile_egress(c, chain);
	for (size_t i = hook == MS_HOOK_FORWARD ? 0 : 1; i < 2; i++) {
		struct ms_rule *known = rule_add(c, chain);

		if (hook == MS_HOOK_FORWARD) {
			rule_set(c, known, ends[i], false, "ports");
			rule_goto(c, known, "seam");
		} else {
			rule_in_admitted(c, known, ends[i], "ports");
			rule_accept(c, known);
			strangers_goto(c, chain, ends[i], "ports", refuse_stranger(c, c->bridge));
		}
	}
	patterns_goto(c, chain, MS_FIELD_OIFNAME, unknown_port(c, c->bridge));
}

void guard_compile_bridge(struct compiler *c)
{
	struct ms_chain *prerouting = ms_ruleset_add_base_chain(
		c->ruleset, c->bridge, "prerouting", MS_HOOK_PREROUTING, PRIORITY_BRIDGE_DSTNAT);
	if (c->audits) {
		struct ms_rule *audited = rule_add(c, prerouting);

		rule_in_admitted(c, audited, MS_FIELD_IIFNAME, "audited");
		rule_goto(c, audited, "guard/audit");
	}
	struct ms_rule *known = rule_add(c, prerouting);
	rule_in_admitted(c, known, MS_FIELD_IIFNAME, "ports");
	rule_goto(c, known, "guard");
	strangers_goto(c, prerouting, MS_FIELD_IIFNAME, "ports", refuse_stranger(c, c->bridge));
	patterns_goto(c, prerouting, MS_FIELD_IIFNAME, unknown_port(c, c->bridge));
	compile_egress(c, "forward", MS_HOOK_FORWARD, PRIORITY_SEAM);
	compile_egress(c, "output", MS_HOOK_OUTPUT, PRIORITY_SEAM);

	compile_guard(c, MS_MODE_ENFORCE);
	if (c->audits) {
		compile_guard(c, MS_MODE_AUDIT);
		guard_compile_strict(c);
	}
	carried_compile_guard(c, c->bridge);
	carried_compile_guard_arp(c, c->bridge);
	compile_seam(c);
}
