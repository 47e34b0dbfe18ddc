/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends: where packets go that no grant took. One chain for each way, environment and mode finds the
 * reason, in the order of the contract, and goes to the refusal for it. The environment's resolvers
 * stand here too: they are granted to all its services alike.
 */
#include "compiler.h"

#include <netinet/in.h>
#include <string.h>

const char *end_name(struct compiler *c, const char *way, const char *env, time_t audit_end)
{
	const char *mode = audit_end == ENFORCED ? ms_mode_name(MS_MODE_ENFORCE)
			   : audit_end == AUDITED
				   ? ms_mode_name(MS_MODE_AUDIT)
				   : name_of(c, "relax-%s", clock_name(c, audit_end));

	return name_of(c, "end/%s/%s/%s", way, env, mode);
}

/* The same for link-local flows between endpoints, which reach no resolver either. */
const char *end_link_name(struct compiler *c, const char *env, time_t audit_end)
{
	const struct ms_env *found = ms_policy_env(c->policy, env);

	return end_name(c, found && found->resolvers.n_items > 0 ? "link" : "to", env, audit_end);
}

static void goto_by_source(struct compiler *c, struct ms_chain *chain, const char *set,
			   const char *also, const char *target)
{
	for (size_t i = 0; i < 2; i++) {
		struct ms_rule *rule = rule_add(c, chain);

		rule_set(c, rule, families[i].saddr, false,
			 name_of(c, "%s/%d", set, families[i].ip));
		if (also)
			rule_set(c, rule, families[i].saddr, false,
				 name_of(c, "%s/%d", also, families[i].ip));
		rule_goto(c, rule, target);
	}
}

/* udp and tcp 53 to the resolvers of @env: @from_env restricts to senders of the environment. */
static void compile_resolvers(struct compiler *c, struct ms_chain *chain, const struct ms_env *env,
			      bool from_env)
{
	static const enum ms_field dns[] = {MS_FIELD_UDP_DPORT, MS_FIELD_TCP_DPORT};

	ms_vec_each (struct ms_addr, resolver, &env->resolvers)
		for (size_t i = 0; i < 2; i++) {
			const struct family *family = family_of(resolver);
			struct ms_rule *rule = ms_ruleset_add_rule(c->ruleset, chain, &env->at);

			if (from_env)
				rule_set(c, rule, family->saddr, false,
					 name_of(c, "any/%s/%d", env->name, family->ip));
			ms_rule_match(c->ruleset, rule, family->daddr, false, resolver->bytes,
				      family->size);
			ms_rule_match_u16(c->ruleset, rule, dns[i], 53);
			ms_rule_counter(c->ruleset, rule);
			rule_accept(c, rule);
		}
}

static bool covers_dns(const ms_ports_vec *ports, uint8_t proto)
{
	ms_vec_each (struct ms_ports, entry, ports)
		if (ms_ports_cover(entry, proto, 53))
			return true;
	return false;
}

void resolvers_compile(struct compiler *c, struct ms_chain *chain, const struct granted *lifted,
		       const struct family *family, time_t audit_end)
{
	static const struct {
		uint8_t proto;
		enum ms_field port;
	} dns[] = {{IPPROTO_UDP, MS_FIELD_UDP_DPORT}, {IPPROTO_TCP, MS_FIELD_TCP_DPORT}};
	const struct ms_env *env = ms_policy_env(c->policy, lifted->env);

	for (size_t i = 0; env && i < env->resolvers.n_items; i++)
		for (size_t j = 0; j < 2 && env->resolvers.items[i].ip == family->ip; j++) {
			if (!covers_dns(&lifted->ports, dns[j].proto))
				continue;
			struct ms_rule *rule = ms_ruleset_add_rule(c->ruleset, chain, &env->at);

			rule_set(c, rule, family->saddr, false,
				 sets_peer(c, family, lifted->env, lifted->service));
			ms_rule_match(c->ruleset, rule, family->daddr, false,
				      env->resolvers.items[i].bytes, family->size);
			ms_rule_match_u16(c->ruleset, rule, dns[j].port, 53);
			if (lifted->until) {
				clock_match(c, rule, lifted->until, false);
				clock_lend(c, rule,
					   audit_end > lifted->until ? audit_end : lifted->until);
			}
			ms_rule_counter(c->ruleset, rule);
			rule_accept(c, rule);
		}
}

static void compile_gateway(struct compiler *c, struct ms_chain *chain, const struct ms_env *env)
{
	static const enum ms_field dns[] = {MS_FIELD_UDP_DPORT, MS_FIELD_TCP_DPORT};

	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; j < 2; j++) {
			const enum ms_field gateway[] = {MS_FIELD_IIFNAME, families[i].daddr};
			struct ms_rule *rule = ms_ruleset_add_rule(c->ruleset, chain, &env->at);

			ms_rule_match_set(c->ruleset, rule, false,
					  name_of(c, "gateway/%d", families[i].ip), 2, gateway);
			ms_rule_match_u16(c->ruleset, rule, dns[j], 53);
			ms_rule_counter(c->ruleset, rule);
			rule_accept(c, rule);
		}
}

void resolvers_compile_own(struct compiler *c, struct ms_chain *chain, const char *way,
			   const char *env)
{
	const struct ms_env *found = ms_policy_env(c->policy, env);

	if (strcmp(way, "host") == 0 && found->gateway_resolver)
		compile_gateway(c, chain, found);
	compile_resolvers(c, chain, found, strcmp(way, "to") == 0);
}

/* At a fence towards what is audited until @audit_end: senders that are in audit themselves. */
static void goto_audited_fence(struct compiler *c, struct ms_chain *chain, const char *foreign,
			       time_t audit_end)
{
	ms_vec_each (time_t, end, &c->relax_ends)
		goto_by_source(
			c, chain, foreign, name_of(c, "relaxed/%s", clock_name(c, *end)),
			refusal_after(c, MS_REASON_FENCE, MS_EAST_WEST, stricter(*end, audit_end)));
	if (c->audits_for_good)
		goto_by_source(c, chain, foreign, "audited",
			       refusal_after(c, MS_REASON_FENCE, MS_EAST_WEST, audit_end));
}

/*
 * What nothing granted, towards an endpoint of @env. Whose mode counts depends on what stands in
 * the way: at a fence the stricter of both ends', with an unidentified sender the stricter of
 * `unidentified` and ours.
 */
static void compile_end_to(struct compiler *c, const struct ms_env *env, time_t audit_end)
{
	time_t unidentified = c->policy->unidentified == MS_MODE_AUDIT ? AUDITED : ENFORCED;
	const char *link = end_link_name(c, env->name, audit_end);
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, link);
	const char *own = name_of(c, "any/%s", env->name);
	struct ms_rule *outside = rule_add(c, chain);

	rule_in_managed(c, outside, MS_FIELD_IIFNAME, true);
	rule_goto(c, outside, refusal_after(c, MS_REASON_NO_GRANT, MS_INGRESS, audit_end));
	carried_goto(c, chain, refusal_after(c, MS_REASON_NO_GRANT, MS_INGRESS, audit_end));
	if (env->resolvers.n_items > 0) {
		struct ms_chain *to = ms_ruleset_add_chain(c->ruleset, c->inet,
							   end_name(c, "to", env->name, audit_end));

		compile_resolvers(c, to, env, true);
		rule_goto(c, rule_add(c, to), link);
	}
	goto_by_source(c, chain, own, NULL,
		       refusal_after(c, MS_REASON_NO_GRANT, MS_EAST_WEST, audit_end));
	ms_vec_each (struct ms_env, other, &c->policy->envs) {
		const char *foreign = name_of(c, "any/%s", other->name);

		if (other == env)
			continue;
		if (audit_end > ENFORCED)
			goto_audited_fence(c, chain, foreign, audit_end);
		goto_by_source(c, chain, foreign, NULL,
			       refusal_after(c, MS_REASON_FENCE, MS_EAST_WEST, ENFORCED));
	}
	rule_goto(c, rule_add(c, chain),
		  refusal_after(c, MS_REASON_UNIDENTIFIED, MS_EAST_WEST,
				stricter(audit_end, unidentified)));
}

static void compile_ends(struct compiler *c, const struct ms_env *env, time_t audit_end)
{
	compile_end_to(c, env, audit_end);

	struct ms_chain *into = ms_ruleset_add_chain(c->ruleset, c->inet,
						     end_name(c, "into", env->name, audit_end));
	rule_goto(c, rule_add(c, into),
		  refusal_after(c, MS_REASON_NO_GRANT, MS_INGRESS, audit_end));

	struct ms_chain *from = ms_ruleset_add_chain(c->ruleset, c->inet,
						     end_name(c, "from", env->name, audit_end));
	compile_resolvers(c, from, env, false);
	rule_goto(c, rule_add(c, from), refusal_after(c, MS_REASON_NO_GRANT, MS_EGRESS, audit_end));

	struct ms_chain *host = ms_ruleset_add_chain(c->ruleset, c->inet,
						     end_name(c, "host", env->name, audit_end));
	if (env->gateway_resolver)
		compile_gateway(c, host, env);
	compile_resolvers(c, host, env, false);
	rule_goto(c, rule_add(c, host), refusal_after(c, MS_REASON_NO_GRANT, MS_EGRESS, audit_end));
}

/* Is it that of the environment, or of one of its services? A service may be relaxed that has no
 * document. */
static bool is_used(const struct compiler *c, const struct ms_env *env, time_t audit_end)
{
	if (audit_end_of(c, env->name, NULL, env->mode) == audit_end)
		return true;
	ms_vec_each (struct ms_service, service, &c->policy->services)
		if (strcmp(service->env, env->name) == 0 &&
		    audit_end_of(c, env->name, service->name, service->mode) == audit_end)
			return true;
	ms_vec_each (struct ms_relax, relax, &c->policy->relaxes)
		if (relax->until == audit_end && strcmp(relax->env, env->name) == 0)
			return true;
	return false;
}

void ends_compile(struct compiler *c)
{
	ms_vec_each (struct ms_env, env, &c->policy->envs) {
		if (is_used(c, env, ENFORCED))
			compile_ends(c, env, ENFORCED);
		if (is_used(c, env, AUDITED))
			compile_ends(c, env, AUDITED);
		ms_vec_each (time_t, end, &c->relax_ends)
			if (is_used(c, env, *end))
				compile_ends(c, env, *end);
	}
}
