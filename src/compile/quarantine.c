/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Quarantine: who is cut off, in both directions, established connections too.
 *
 * The address decides in inet, before anything else; the port in bridge, behind the guard, where
 * nothing passes from it, and towards it nothing but ARP, which it cannot answer. The rules stand
 * while there is a quarantine at all: one of a service holds for replicas to come.
 */
#include "compiler.h"

#include <string.h>

#define ETHER_ARP 0x0806
#define PRIORITY_BEHIND_GUARD (PRIORITY_BRIDGE_DSTNAT + 1)

static bool is_called(const struct ms_endpoint *endpoint, const char *name)
{
	if (strcmp(endpoint->name, name) == 0)
		return true;
	ms_vec_each (struct ms_workload, workload, &endpoint->workloads)
		if (strcmp(workload->name, name) == 0)
			return true;
	return false;
}

bool quarantine_holds(const struct compiler *c, const struct ms_endpoint *endpoint)
{
	ms_vec_each (struct ms_quarantine, quarantine, &c->policy->quarantines) {
		if (!quarantine->env && is_called(endpoint, quarantine->endpoint))
			return true;
		if (quarantine->env && endpoint->state == MS_ENDPOINT_IDENTIFIED &&
		    strcmp(quarantine->env, endpoint->env) == 0 &&
		    strcmp(quarantine->service, endpoint->service) == 0)
			return true;
	}
	return false;
}

static void cut(struct compiler *c, const struct ms_table *table, struct ms_rule *rule)
{
	rule_goto(c, rule, refusal(c, table, MS_REASON_QUARANTINE, MS_EAST_WEST, MS_MODE_ENFORCE));
}

static void cut_by(struct compiler *c, struct ms_chain *chain, enum ms_field field, const char *set)
{
	struct ms_rule *rule = rule_add(c, chain);

	rule_set(c, rule, field, false, set);
	cut(c, c->inet, rule);
}

void quarantine_compile(struct compiler *c, struct ms_chain *chain, bool from, bool to)
{
	if (c->policy->quarantines.n_items == 0)
		return;
	for (size_t i = 0; i < 2; i++) {
		const char *set = name_of(c, "quarantined/%d", families[i].ip);

		if (from)
			cut_by(c, chain, families[i].saddr, set);
		if (to)
			cut_by(c, chain, families[i].daddr, set);
	}
	/* A routed veth, whatever its address. */
	if (c->arp && from)
		cut_by(c, chain, MS_FIELD_IIFNAME, "quarantined");
	if (c->arp && to)
		cut_by(c, chain, MS_FIELD_OIFNAME, "quarantined");
}

void quarantine_compile_port(struct compiler *c)
{
	if (c->policy->quarantines.n_items == 0)
		return;
	struct ms_chain *chain = ms_ruleset_add_base_chain(
		c->ruleset, c->bridge, "quarantine", MS_HOOK_PREROUTING, PRIORITY_BEHIND_GUARD);
	struct ms_rule *rule = rule_add(c, chain);

	rule_set(c, rule, MS_FIELD_IIFNAME, false, "quarantined");
	cut(c, c->bridge, rule);
}

void quarantine_compile_egress(struct compiler *c, struct ms_chain *chain)
{
	static const uint8_t arp[2] = {ETHER_ARP >> 8, ETHER_ARP & 0xff};

	if (c->policy->quarantines.n_items == 0)
		return;
	struct ms_rule *rule = rule_add(c, chain);

	rule_set(c, rule, MS_FIELD_OIFNAME, false, "quarantined");
	ms_rule_match(c->ruleset, rule, MS_FIELD_ETHER_TYPE, true, arp, sizeof(arp));
	cut(c, c->bridge, rule);
}
