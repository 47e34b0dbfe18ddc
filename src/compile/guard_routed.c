/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard where there is no bridge port: raw prerouting of inet (behind reassembly, before connection tracking) and
 * the arp input hook for routed veths; and the mirror image for everybody: a local endpoint's address that arrives by
 * any other way is forged, whatever rp_filter says.
 */
#include "compiler.h"

#define DHCP_SERVER 67
#define DHCP_CLIENT 68
#define ETHER_IP 0x0800

static const struct ms_addr unspecified4 = {.ip = MS_IP4};
static const struct ms_addr unspecified6 = {.ip = MS_IP6};

static const char *unknown_port(struct compiler *c, const struct ms_table *table)
{
	return refusal(c, table, MS_REASON_UNKNOWN_PORT, MS_EAST_WEST, c->policy->unidentified);
}

static const char *spoof(struct compiler *c, const struct ms_table *table)
{
	return refusal(c, table, MS_REASON_SPOOF, MS_EAST_WEST, MS_MODE_ENFORCE);
}

/* What a routed veth may send: from its own addresses, and what every interface sends before it has one. */
static void compile_routed(struct compiler *c)
{
	static const uint8_t early[] = {133, 135, 143}; /* router and neighbour solicitation, MLDv2 report */
	static const uint8_t router[] = {134, 137};	/* router advertisement, redirect */
	static const enum ms_field dead[] = {MS_FIELD_IP_OPTION_LSRR, MS_FIELD_IP_OPTION_SSRR, MS_FIELD_EXTHDR_RT};
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain = ms_ruleset_add_chain(rs, c->inet, "guard-routed");

	for (size_t i = 0; i < 3; i++) {
		struct ms_rule *rule = rule_add(c, chain);

		ms_rule_match_present(rs, rule, dead[i], false);
		rule_goto(c, rule, spoof(c, c->inet));
	}
	struct ms_rule *advert = rule_add(c, chain);
	ms_rule_match_any_u8(rs, advert, MS_FIELD_ICMP6_TYPE, 2, router);
	rule_goto(c, advert, spoof(c, c->inet));

	for (size_t i = 0; i < 2; i++) {
		const enum ms_field source[] = {MS_FIELD_IIFNAME, families[i].saddr};
		struct ms_rule *own = rule_add(c, chain);

		ms_rule_match_set(rs, own, false, name_of(c, "source/%d", families[i].ip), 2, source);
		rule_accept(c, own);
	}
	struct ms_rule *dhcp = rule_add(c, chain);
	ms_rule_match(rs, dhcp, MS_FIELD_IP_SADDR, false, unspecified4.bytes, 4);
	ms_rule_match_u16(rs, dhcp, MS_FIELD_UDP_SPORT, DHCP_CLIENT);
	ms_rule_match_u16(rs, dhcp, MS_FIELD_UDP_DPORT, DHCP_SERVER);
	rule_accept(c, dhcp);
	struct ms_rule *first = rule_add(c, chain);
	ms_rule_match_any_u8(rs, first, MS_FIELD_ICMP6_TYPE, 3, early);
	ms_rule_match(rs, first, MS_FIELD_IP6_SADDR, false, unspecified6.bytes, 16);
	rule_accept(c, first);
	rule_goto(c, rule_add(c, chain), spoof(c, c->inet));
}

static void compile_prerouting(struct compiler *c)
{
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain =
		ms_ruleset_add_base_chain(rs, c->inet, "prerouting", MS_HOOK_PREROUTING, PRIORITY_RAW);

	if (c->arp) {
		struct ms_rule *routed = rule_add(c, chain);

		rule_set(c, routed, MS_FIELD_IIFNAME, false, "routed");
		rule_goto(c, routed, "guard-routed");
	}
	struct ms_rule *bridge = rule_add(c, chain);
	rule_in_managed(c, bridge, MS_FIELD_IIFNAME, false);
	rule_accept(c, bridge);
	struct ms_rule *loopback = rule_add(c, chain);
	ms_rule_match_text(rs, loopback, MS_FIELD_IIFNAME, false, "lo");
	rule_accept(c, loopback);

	for (size_t i = 0; i < 2; i++) {
		struct ms_rule *mirror = rule_add(c, chain);

		rule_set(c, mirror, families[i].saddr, false, name_of(c, "local/%d", families[i].ip));
		rule_goto(c, mirror, spoof(c, c->inet));
	}
	patterns_goto(c, chain, MS_FIELD_IIFNAME, unknown_port(c, c->inet));
}

static struct ms_rule *arp_rule(struct compiler *c, struct ms_chain *chain)
{
	struct ms_rule *rule = rule_add(c, chain);

	ms_rule_match_u16(c->ruleset, rule, MS_FIELD_ARP_HTYPE, 1);
	ms_rule_match_u16(c->ruleset, rule, MS_FIELD_ARP_PTYPE, ETHER_IP);
	ms_rule_match_u8(c->ruleset, rule, MS_FIELD_ARP_HLEN, 6);
	ms_rule_match_u8(c->ruleset, rule, MS_FIELD_ARP_PLEN, 4);
	return rule;
}

static void compile_arp_guard(struct compiler *c)
{
	static const enum ms_field source[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER, MS_FIELD_ARP_SADDR_IP};
	static const enum ms_field mac[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER};
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain = ms_ruleset_add_chain(rs, c->arp, "guard-arp");

	struct ms_rule *own = arp_rule(c, chain);
	ms_rule_match_set(rs, own, false, "source/4", 3, source);
	rule_accept(c, own);
	struct ms_rule *probe = arp_rule(c, chain);
	ms_rule_match(rs, probe, MS_FIELD_ARP_SADDR_IP, false, unspecified4.bytes, 4);
	ms_rule_match_set(rs, probe, false, "mac", 2, mac);
	rule_accept(c, probe);
	rule_goto(c, rule_add(c, chain), spoof(c, c->arp));
}

/* The ARP of bridges comes by here too, as of the bridge itself: the guard of its ports has seen it. */
static void compile_arp(struct compiler *c)
{
	struct ms_chain *chain = ms_ruleset_add_base_chain(c->ruleset, c->arp, "input", MS_HOOK_INPUT, 0);

	struct ms_rule *routed = rule_add(c, chain);
	rule_set(c, routed, MS_FIELD_IIFNAME, false, "routed");
	rule_goto(c, routed, "guard-arp");
	struct ms_rule *bridge = rule_add(c, chain);
	rule_in_managed(c, bridge, MS_FIELD_IIFNAME, false);
	rule_accept(c, bridge);
	patterns_goto(c, chain, MS_FIELD_IIFNAME, unknown_port(c, c->arp));
	compile_arp_guard(c);
}

void guard_compile_routed(struct compiler *c)
{
	compile_prerouting(c);
	if (!c->arp)
		return;
	compile_routed(c);
	compile_arp(c);
}
