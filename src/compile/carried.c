/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carried: what an endpoint sends on for others, as a router or a VPN does, from addresses that its
 * service declares with `carries`. Nothing of this exists in a ruleset whose policy has none.
 *
 *	carried/4              what any service carries
 *	uncarried/4            what nobody carries, as an endpoint, the host or a node has it
 *	carriers/ENV/SERVICE   the ports whose endpoints carry
 *	carries/ENV/SERVICE/4  what these do
 *
 * The guard lets a carrier send from what it carries, and nobody else, in audit neither: in the
 * policy layer such an address is `net` to every identified endpoint, and so are its grants. To the
 * host, the outside and strangers it is an address that nobody has.
 */
#include "compiler.h"

#include <string.h>

static bool has_family(const ms_range_vec *ranges, const struct family *family)
{
	ms_vec_each (const struct ms_range, range, ranges)
		if (range->first.ip == family->ip)
			return true;
	return false;
}

bool carried_any(const struct compiler *c)
{
	return c->policy->carried.n_items > 0;
}

bool carried_in(const struct compiler *c, const struct family *family)
{
	return has_family(&c->policy->carried, family);
}

static const char *carriers_name(struct compiler *c, const struct ms_service *service)
{
	return name_of(c, "carriers/%s", service->identity);
}

static const char *carries_name(struct compiler *c, const struct ms_service *service,
				const struct family *family)
{
	return name_of(c, "carries/%s/%d", service->identity, family->ip);
}

void carried_declare(struct compiler *c, struct ms_table *table, bool ports)
{
	const size_t n_families = table->family == MS_FAMILY_ARP ? 1 : 2;

	for (size_t i = 0; i < n_families; i++) {
		if (!carried_in(c, &families[i]))
			continue;
		sets_declare_ranges(c, table, name_of(c, "carried/%d", families[i].ip),
				    &families[i], &c->policy->carried);
		sets_declare_addrs(c, table, name_of(c, "uncarried/%d", families[i].ip),
				   &families[i]);
	}
	ms_vec_each (const struct ms_service, service, &c->policy->services) {
		if (!ports || service->carries.n_items == 0)
			continue;
		sets_declare_ports(c, table, carriers_name(c, service));
		for (size_t i = 0; i < n_families; i++)
			if (has_family(&service->carries, &families[i]))
				sets_declare_ranges(c, table,
						    carries_name(c, service, &families[i]),
						    &families[i], &service->carries);
	}
}

const char *carried_carriers(struct compiler *c, const struct ms_endpoint *endpoint)
{
	const struct ms_service *service =
		endpoint->state == MS_ENDPOINT_IDENTIFIED
			? ms_policy_service(c->policy, endpoint->env, endpoint->service)
			: NULL;

	return service && service->carries.n_items > 0 ? carriers_name(c, service) : NULL;
}

void carried_match(struct compiler *c, struct ms_rule *rule, enum ms_field field,
		   const struct family *family)
{
	rule_set(c, rule, field, false, name_of(c, "carried/%d", family->ip));
	rule_set(c, rule, field, true, name_of(c, "uncarried/%d", family->ip));
}

/* Rules that end in @verdict for every carrier, with what it carries in @field. */
static void compile_carriers(struct compiler *c, struct ms_chain *chain, enum ms_field field,
			     const struct family *family, enum ms_verdict_kind verdict)
{
	ms_vec_each (const struct ms_service, service, &c->policy->services) {
		if (!has_family(&service->carries, family))
			continue;
		struct ms_rule *rule = ms_ruleset_add_rule(c->ruleset, chain, &service->at);

		rule_set(c, rule, MS_FIELD_IIFNAME, false, carriers_name(c, service));
		rule_set(c, rule, field, false, carries_name(c, service, family));
		ms_rule_verdict(c->ruleset, rule, verdict, NULL);
	}
}

/* In audit too: who sends from what another carries would borrow what is granted to that. */
static const char *refuse_spoof(struct compiler *c, const struct ms_table *table)
{
	return refusal(c, table, MS_REASON_SPOOF, MS_EAST_WEST, MS_MODE_ENFORCE);
}

void carried_compile_guard(struct compiler *c, struct ms_table *table)
{
	if (!carried_any(c))
		return;
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, table, "guard-carried");

	for (size_t i = 0; i < 2; i++)
		compile_carriers(c, chain, families[i].saddr, &families[i], MS_VERDICT_ACCEPT);
	rule_goto(c, rule_add(c, chain), refuse_spoof(c, table));
}

void carried_goto_guard(struct compiler *c, struct ms_chain *chain, const struct family *family)
{
	if (!carried_in(c, family))
		return;
	struct ms_rule *rule = rule_add(c, chain);

	carried_match(c, rule, family->saddr, family);
	rule_goto(c, rule, "guard-carried");
}

void carried_compile_guard_arp(struct compiler *c, struct ms_table *table)
{
	if (!carried_in(c, &families[0]))
		return;
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, table, "guard-carried-arp");

	compile_carriers(c, chain, MS_FIELD_ARP_SADDR_IP, &families[0], MS_VERDICT_ACCEPT);
	rule_goto(c, rule_add(c, chain), refuse_spoof(c, table));
}

void carried_match_arp(struct compiler *c, struct ms_rule *rule)
{
	static const enum ms_field mac[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER};

	carried_match(c, rule, MS_FIELD_ARP_SADDR_IP, &families[0]);
	ms_rule_match_set(c->ruleset, rule, false, "mac", 2, mac);
	rule_goto(c, rule, "guard-carried-arp");
}

/* The target of an advertisement is raw bytes to nft, so that its ranges stand in the rules. */
static void match_target(struct compiler *c, struct ms_rule *rule, const struct ms_range *range)
{
	if (ms_addr_equal(&range->first, &range->last))
		ms_rule_match(c->ruleset, rule, MS_FIELD_ND_TARGET, false, range->first.bytes, 16);
	else
		ms_rule_match_range(c->ruleset, rule, MS_FIELD_ND_TARGET, range->first.bytes,
				    range->last.bytes, 16);
}

static void compile_targets(struct compiler *c, struct ms_chain *chain,
			    const struct ms_service *service)
{
	ms_vec_each (const struct ms_range, range, &service->carries) {
		if (range->first.ip != MS_IP6)
			continue;
		struct ms_rule *rule = ms_ruleset_add_rule(c->ruleset, chain, &service->at);

		rule_set(c, rule, MS_FIELD_IIFNAME, false, carriers_name(c, service));
		match_target(c, rule, range);
		ms_rule_verdict(c->ruleset, rule, MS_VERDICT_RETURN, NULL);
	}
}

/* Senders of neighbour messages. */
static void compile_guard_nd(struct compiler *c, const char *suffix, const char *spoof)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->bridge,
						      name_of(c, "guard-carried-nd%s", suffix));
	struct ms_rule *uncarried = rule_add(c, chain);

	rule_set(c, uncarried, MS_FIELD_IP6_SADDR, false, "uncarried/6");
	rule_goto(c, uncarried, spoof);
	compile_carriers(c, chain, MS_FIELD_IP6_SADDR, &families[1], MS_VERDICT_RETURN);
	struct ms_rule *foreign = rule_add(c, chain);
	rule_set(c, foreign, MS_FIELD_IP6_SADDR, false, "carried/6");
	rule_goto(c, foreign, refuse_spoof(c, c->bridge));
	rule_goto(c, rule_add(c, chain), spoof);
}

/* What they claim to be. */
static void compile_guard_target(struct compiler *c, const char *suffix, const char *spoof)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->bridge,
						      name_of(c, "guard-carried-target%s", suffix));
	struct ms_rule *owned = rule_add(c, chain);

	rule_set(c, owned, MS_FIELD_ND_TARGET, false, "owned-nd-target");
	rule_goto(c, owned, spoof);
	ms_vec_each (const struct ms_service, service, &c->policy->services)
		compile_targets(c, chain, service);
	ms_vec_each (const struct ms_range, range, &c->policy->carried) {
		if (range->first.ip != MS_IP6)
			continue;
		struct ms_rule *foreign = rule_add(c, chain);

		match_target(c, foreign, range);
		rule_goto(c, foreign, refuse_spoof(c, c->bridge));
	}
	rule_goto(c, rule_add(c, chain), spoof);
}

void carried_compile_guard_nd(struct compiler *c, const char *suffix, const char *spoof)
{
	if (!carried_in(c, &families[1]))
		return;
	compile_guard_nd(c, suffix, spoof);
	compile_guard_target(c, suffix, spoof);
}

/* An endpoint that is nobody comes back, and is judged like any other. */
void carried_compile_judge(struct compiler *c, struct ms_chain *chain)
{
	for (size_t i = 0; i < 2; i++) {
		if (!carried_in(c, &families[i]))
			continue;
		struct ms_rule *rule = rule_add(c, chain);

		rule_in_managed(c, rule, MS_FIELD_IIFNAME, false);
		rule_in_managed(c, rule, MS_FIELD_OIFNAME, false);
		carried_match(c, rule, families[i].daddr, &families[i]);
		ms_rule_verdict(c->ruleset, rule, MS_VERDICT_JUMP, "carried-outbound");
		rule = rule_add(c, chain);
		rule_in_managed(c, rule, MS_FIELD_IIFNAME, false);
		carried_match(c, rule, families[i].saddr, &families[i]);
		ms_rule_verdict(c->ruleset, rule, MS_VERDICT_JUMP, "carried-inbound");
	}
	if (!carried_any(c))
		return;
	dispatch_compile(c, ms_ruleset_add_chain(c->ruleset, c->inet, "carried-outbound"), FROM);
	dispatch_compile(c, ms_ruleset_add_chain(c->ruleset, c->inet, "carried-inbound"), TO);
}

void carried_goto(struct compiler *c, struct ms_chain *chain, const char *target)
{
	for (size_t i = 0; i < 2; i++) {
		if (!carried_in(c, &families[i]))
			continue;
		struct ms_rule *rule = rule_add(c, chain);

		rule_in_managed(c, rule, MS_FIELD_IIFNAME, false);
		carried_match(c, rule, families[i].saddr, &families[i]);
		rule_goto(c, rule, target);
	}
}
