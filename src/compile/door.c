/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closed door: what an armed node enforces while it cannot read any policy. Managed interfaces,
 * found by name alone, pass nothing but ARP, neighbour discovery and DHCP.
 */
#include "compiler.h"

#include <string.h>

static void accept_udp(struct compiler *c, struct ms_chain *chain, uint16_t sport, uint16_t dport)
{
	struct ms_rule *rule = rule_add(c, chain);

	ms_rule_match_u16(c->ruleset, rule, MS_FIELD_UDP_SPORT, sport);
	ms_rule_match_u16(c->ruleset, rule, MS_FIELD_UDP_DPORT, dport);
	rule_accept(c, rule);
}

static void compile_door(struct compiler *c, struct ms_table *table)
{
	static const uint8_t discovery[] = {133, 135, 136};
	static const uint16_t dhcp[][2] = {{68, 67}, {67, 68}, {546, 547}, {547, 546}};
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "door");

	if (table->family == MS_FAMILY_BRIDGE) {
		struct ms_rule *arp = rule_add(c, chain);

		ms_rule_match_u16(rs, arp, MS_FIELD_ETHER_TYPE, 0x0806);
		rule_accept(c, arp);
	}
	struct ms_rule *nd = rule_add(c, chain);
	ms_rule_match_any_u8(rs, nd, MS_FIELD_ICMP6_TYPE, 3, discovery);
	ms_rule_match_u8(rs, nd, MS_FIELD_IP6_HOPLIMIT, 255);
	rule_accept(c, nd);
	for (size_t i = 0; i < sizeof(dhcp) / sizeof(dhcp[0]); i++)
		accept_udp(c, chain, dhcp[i][0], dhcp[i][1]);
	rule_goto(c, rule_add(c, chain),
		  refusal(c, table, MS_REASON_UNKNOWN_PORT, MS_EAST_WEST, MS_MODE_ENFORCE));
}

static void compile_hook(struct compiler *c, struct ms_table *table, const char *name,
			 enum ms_hook hook, int32_t priority, enum ms_field field)
{
	struct ms_chain *chain = ms_ruleset_add_base_chain(c->ruleset, table, name, hook, priority);

	patterns_goto(c, chain, field, "door");
}

static void declare_skipped(struct compiler *c, struct ms_table *table)
{
	static const enum ms_field link = MS_FIELD_IIFNAME;
	struct ms_set *set = ms_ruleset_add_set(c->ruleset, table, "skipped", 1, &link);

	set->size = 256;
	ms_vec_each (const char *, name, &c->inventory->skipped)
		ms_elem_key(set, ms_ruleset_add_elem(c->ruleset, set), 0, *name, strlen(*name));
	while (set->size < set->elems.n_items)
		set->size *= 4;
}

void door_compile(struct compiler *c)
{
	declare_skipped(c, c->bridge);
	compile_hook(c, c->bridge, "prerouting", MS_HOOK_PREROUTING, PRIORITY_BRIDGE_DSTNAT,
		     MS_FIELD_IIFNAME);
	compile_hook(c, c->bridge, "output", MS_HOOK_OUTPUT, PRIORITY_SEAM, MS_FIELD_OIFNAME);
	compile_door(c, c->bridge);
	refuse_compile(c, c->bridge);

	declare_skipped(c, c->inet);
	compile_hook(c, c->inet, "prerouting", MS_HOOK_PREROUTING, PRIORITY_RAW, MS_FIELD_IIFNAME);
	compile_hook(c, c->inet, "forward", MS_HOOK_FORWARD, PRIORITY_POLICY, MS_FIELD_OIFNAME);
	compile_hook(c, c->inet, "output", MS_HOOK_OUTPUT, PRIORITY_POLICY, MS_FIELD_OIFNAME);
	compile_door(c, c->inet);
	refuse_compile(c, c->inet);
}
