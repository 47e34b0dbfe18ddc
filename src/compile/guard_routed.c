/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard where there is no bridge port: raw prerouting of inet (behind reassembly, before
 * connection tracking) and the arp input hook for routed veths; and the mirror image for everybody:
 * a local endpoint's address that arrives by any other way is forged, whatever rp_filter says.
 */
#include "compiler.h"

#define DHCP_SERVER 67
#define DHCP_CLIENT 68
#define DHCP6_CLIENT 546
#define DHCP6_SERVER 547
#define ETHER_IP 0x0800

static const struct ms_addr unspecified4 = {.ip = MS_IP4};
static const struct ms_addr unspecified6 = {.ip = MS_IP6};

static const char *unknown_port(struct compiler *c, const struct ms_table *table)
{
	return refusal(c, table, MS_REASON_UNKNOWN_PORT, MS_EAST_WEST, c->policy->unidentified);
}

/* Chains for veths in enforce and, where anything is in audit, once more for those in audit. */
static const char *suffix_of(enum ms_mode mode)
{
	return mode == MS_MODE_AUDIT ? "/audit" : "";
}

static const char *forged(struct compiler *c, const struct ms_table *table, enum ms_reason reason,
			  enum ms_mode mode)
{
	return refusal(c, table, reason, MS_EAST_WEST, mode);
}

/* What no endpoint sends, whatever its addresses. */
static void compile_kinds(struct compiler *c, struct ms_chain *chain, enum ms_mode mode)
{
	static const uint8_t router[] = {134, 137}; /* router advertisement, redirect */
	static const enum ms_field dead[] = {MS_FIELD_IP_OPTION_LSRR, MS_FIELD_IP_OPTION_SSRR,
					     MS_FIELD_EXTHDR_RT};
	const char *target = forged(c, c->inet, MS_REASON_ETHERTYPE, mode);

	for (size_t i = 0; i < 3; i++) {
		struct ms_rule *rule = rule_add(c, chain);

		ms_rule_match_present(c->ruleset, rule, dead[i], false);
		rule_goto(c, rule, target);
	}
	struct ms_rule *advert = rule_add(c, chain);
	ms_rule_match_any_u8(c->ruleset, advert, MS_FIELD_ICMP6_TYPE, 2, router);
	rule_goto(c, advert, target);
}

/* What every interface sends before it has an address. */
static void compile_early(struct compiler *c, struct ms_chain *chain)
{
	static const uint8_t early[] = {133, 135,
					143}; /* router and neighbour solicitation, MLDv2 report */
	struct ms_ruleset *rs = c->ruleset;

	struct ms_rule *dhcp = rule_add(c, chain);
	ms_rule_match(rs, dhcp, MS_FIELD_IP_SADDR, false, unspecified4.bytes, 4);
	ms_rule_match_u16(rs, dhcp, MS_FIELD_UDP_SPORT, DHCP_CLIENT);
	ms_rule_match_u16(rs, dhcp, MS_FIELD_UDP_DPORT, DHCP_SERVER);
	rule_accept(c, dhcp);
	struct ms_rule *first = rule_add(c, chain);
	ms_rule_match_any_u8(rs, first, MS_FIELD_ICMP6_TYPE, 3, early);
	ms_rule_match(rs, first, MS_FIELD_IP6_SADDR, false, unspecified6.bytes, 16);
	rule_accept(c, first);
}

static void compile_routed(struct compiler *c, enum ms_mode mode)
{
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain =
		ms_ruleset_add_chain(rs, c->inet, name_of(c, "guard-routed%s", suffix_of(mode)));

	for (size_t i = 0; i < 2; i++) {
		const enum ms_field source[] = {MS_FIELD_IIFNAME, families[i].saddr};
		struct ms_rule *owned;

		if (mode != MS_MODE_AUDIT)
			continue;
		owned = rule_add(c, chain);
		ms_rule_match_set(rs, owned, true, name_of(c, "source/%d", families[i].ip), 2,
				  source);
		rule_set(c, owned, families[i].saddr, false,
			 name_of(c, "owned/%d", families[i].ip));
		rule_goto(c, owned, forged(c, c->inet, MS_REASON_SPOOF, MS_MODE_ENFORCE));
	}
	compile_kinds(c, chain, mode);
	for (size_t i = 0; i < 2; i++) {
		const enum ms_field source[] = {MS_FIELD_IIFNAME, families[i].saddr};
		struct ms_rule *own = rule_add(c, chain);

		ms_rule_match_set(rs, own, false, name_of(c, "source/%d", families[i].ip), 2,
				  source);
		rule_accept(c, own);
		carried_goto_guard(c, chain, &families[i]);
	}
	compile_early(c, chain);
	rule_goto(c, rule_add(c, chain), forged(c, c->inet, MS_REASON_SPOOF, mode));
}

/* Sends routed veths to the guard; those in audit first. */
static void goto_guard(struct compiler *c, const struct ms_table *table, struct ms_chain *chain,
		       const char *guard)
{
	if (c->audits) {
		struct ms_rule *audited = rule_add(c, chain);

		rule_in_admitted(c, audited, MS_FIELD_IIFNAME, "routed-audited");
		rule_goto(c, audited, name_of(c, "%s/audit", guard));
	}
	struct ms_rule *routed = rule_add(c, chain);
	rule_in_admitted(c, routed, MS_FIELD_IIFNAME, "routed");
	rule_goto(c, routed, guard);
	strangers_goto(c, chain, MS_FIELD_IIFNAME, "routed", refuse_stranger(c, table));
}

/*
 * What the guard of a bridge port cannot see: a datagram cut inside its chain of extension headers
 * shows its type, its ports and its routing header only here, behind reassembly. Neighbour messages
 * have no extension headers, and none is let through in audit either: whose MAC and address it
 * carries lies where no rule can look.
 */
static void compile_whole(struct compiler *c, enum ms_mode mode)
{
	static const uint8_t neighbour[] = {133, 135,
					    136}; /* solicitations and neighbour advertisement */
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet,
						      name_of(c, "guard-whole%s", suffix_of(mode)));

	if (mode == MS_MODE_ENFORCE && c->audits) {
		struct ms_rule *audited = rule_add(c, chain);

		rule_set(c, audited, MS_FIELD_IP6_SADDR, false, "audited/6");
		rule_goto(c, audited, "guard-whole/audit");
	}
	struct ms_rule *discovery = rule_add(c, chain);
	ms_rule_match_any_u8(c->ruleset, discovery, MS_FIELD_ICMP6_TYPE, 3, neighbour);
	rule_goto(c, discovery, forged(c, c->inet, MS_REASON_ETHERTYPE, MS_MODE_ENFORCE));
	compile_kinds(c, chain, mode);
	struct ms_rule *dhcp = rule_add(c, chain);
	ms_rule_match_u16(c->ruleset, dhcp, MS_FIELD_UDP_SPORT, DHCP6_SERVER);
	ms_rule_match_u16(c->ruleset, dhcp, MS_FIELD_UDP_DPORT, DHCP6_CLIENT);
	rule_goto(c, dhcp, forged(c, c->inet, MS_REASON_ETHERTYPE, mode));
	rule_accept(c, rule_add(c, chain));
}

/* From bridges: what has no extension header was wholly seen by the guard of its port. */
static void compile_from_managed(struct compiler *c)
{
	static const uint8_t extensions[] = {
		0, 43, 51, 60}; /* hop-by-hop, routing, authentication, destination */
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "from-managed");
	struct ms_rule *extended = rule_add(c, chain);

	ms_rule_match_any_u8(c->ruleset, extended, MS_FIELD_IP6_NEXTHDR, 4, extensions);
	rule_goto(c, extended, "guard-whole");
	rule_accept(c, rule_add(c, chain));
}

static void compile_prerouting(struct compiler *c)
{
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain = ms_ruleset_add_base_chain(rs, c->inet, "prerouting",
							   MS_HOOK_PREROUTING, PRIORITY_RAW);

	if (c->arp)
		goto_guard(c, c->inet, chain, "guard-routed");
	struct ms_rule *bridge = rule_add(c, chain);
	rule_in_managed(c, bridge, MS_FIELD_IIFNAME, false);
	rule_goto(c, bridge, "from-managed");
	struct ms_rule *loopback = rule_add(c, chain);
	ms_rule_match_text(rs, loopback, MS_FIELD_IIFNAME, false, "lo");
	rule_accept(c, loopback);

	for (size_t i = 0; i < 2; i++) {
		struct ms_rule *mirror = rule_add(c, chain);

		/* Where the way to the address leads back by where this came from, it is somebody
		 * outside, whatever a container calls itself. */
		rule_set(c, mirror, families[i].saddr, false,
			 name_of(c, "local/%d", families[i].ip));
		ms_rule_match_present(rs, mirror, MS_FIELD_FIB_SADDR_IIF, true);
		rule_goto(c, mirror, forged(c, c->inet, MS_REASON_SPOOF, MS_MODE_ENFORCE));
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

static void compile_arp_guard(struct compiler *c, enum ms_mode mode)
{
	static const enum ms_field source[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER,
					       MS_FIELD_ARP_SADDR_IP};
	static const enum ms_field mac[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER};
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain =
		ms_ruleset_add_chain(rs, c->arp, name_of(c, "guard-arp%s", suffix_of(mode)));

	struct ms_rule *own = arp_rule(c, chain);
	ms_rule_match_set(rs, own, false, "source/4", 3, source);
	rule_accept(c, own);
	struct ms_rule *probe = arp_rule(c, chain);
	ms_rule_match(rs, probe, MS_FIELD_ARP_SADDR_IP, false, unspecified4.bytes, 4);
	ms_rule_match_set(rs, probe, false, "mac", 2, mac);
	rule_accept(c, probe);
	if (carried_in(c, &families[0]))
		carried_match_arp(c, arp_rule(c, chain));
	if (mode == MS_MODE_AUDIT) {
		struct ms_rule *owned = rule_add(c, chain);

		rule_set(c, owned, MS_FIELD_ARP_SADDR_IP, false, "owned/4");
		rule_goto(c, owned, forged(c, c->arp, MS_REASON_SPOOF, MS_MODE_ENFORCE));
	}
	rule_goto(c, rule_add(c, chain), forged(c, c->arp, MS_REASON_SPOOF, mode));
}

/* The ARP of bridges comes by here too, as of the bridge itself: the guard of its ports has seen
 * it. */
static void compile_arp(struct compiler *c)
{
	struct ms_chain *chain =
		ms_ruleset_add_base_chain(c->ruleset, c->arp, "input", MS_HOOK_INPUT, 0);

	goto_guard(c, c->arp, chain, "guard-arp");
	struct ms_rule *bridge = rule_add(c, chain);
	rule_in_managed(c, bridge, MS_FIELD_IIFNAME, false);
	rule_accept(c, bridge);
	patterns_goto(c, chain, MS_FIELD_IIFNAME, unknown_port(c, c->arp));
	compile_arp_guard(c, MS_MODE_ENFORCE);
	if (c->audits)
		compile_arp_guard(c, MS_MODE_AUDIT);
}

void guard_compile_routed(struct compiler *c)
{
	compile_prerouting(c);
	compile_from_managed(c);
	compile_whole(c, MS_MODE_ENFORCE);
	if (c->audits)
		compile_whole(c, MS_MODE_AUDIT);
	if (!c->arp)
		return;
	compile_routed(c, MS_MODE_ENFORCE);
	if (c->audits)
		compile_routed(c, MS_MODE_AUDIT);
	carried_compile_guard(c, c->inet);
	carried_compile_guard_arp(c, c->arp);
	compile_arp(c);
}
