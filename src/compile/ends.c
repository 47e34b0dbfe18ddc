/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends: where packets go that no grant took. One chain for each way, environment and mode finds the
 * reason, in the order of the contract, and goes to the refusal for it. The environment's resolvers
 * stand here too: they are granted to all its services alike.
 */
#include "compiler.h"

#include <netinet/in.h>
#include <string.h>

const char *end_name(struct compiler *c, const char *way, const char *env, enum ms_mode mode)
{
	return name_of(c, "end/%s/%s/%s", way, env, ms_mode_name(mode));
}

/* The same for link-local flows between endpoints, which reach no resolver either. */
const char *end_link_name(struct compiler *c, const char *env, enum ms_mode mode)
{
	const struct ms_env *found = ms_policy_env(c->policy, env);

	return end_name(c, found && found->resolvers.n_items > 0 ? "link" : "to", env, mode);
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
		       const struct family *family)
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

static const char *deny(struct compiler *c, enum ms_reason reason, enum ms_direction direction,
			enum ms_mode mode)
{
	return refusal(c, c->inet, reason, direction, mode);
}

/*
 * What nothing granted, towards an endpoint of @env. Whose mode counts depends on what stands in
 * the way: at a fence the stricter of both ends', with an unidentified sender the stricter of
 * `unidentified` and ours.
 */
static void compile_end_to(struct compiler *c, const struct ms_env *env, enum ms_mode mode)
{
	const char *link = end_link_name(c, env->name, mode);
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, link);
	const char *own = name_of(c, "any/%s", env->name);
	struct ms_rule *outside = rule_add(c, chain);

	rule_in_managed(c, outside, MS_FIELD_IIFNAME, true);
	rule_goto(c, outside, deny(c, MS_REASON_NO_GRANT, MS_INGRESS, mode));
	if (env->resolvers.n_items > 0) {
		struct ms_chain *to = ms_ruleset_add_chain(c->ruleset, c->inet,
							   end_name(c, "to", env->name, mode));

		compile_resolvers(c, to, env, true);
		rule_goto(c, rule_add(c, to), link);
	}
	goto_by_source(c, chain, own, NULL, deny(c, MS_REASON_NO_GRANT, MS_EAST_WEST, mode));
	ms_vec_each (struct ms_env, other, &c->policy->envs) {
		const char *foreign = name_of(c, "any/%s", other->name);

		if (other == env)
			continue;
		if (mode == MS_MODE_AUDIT)
			goto_by_source(c, chain, foreign, "audited",
				       deny(c, MS_REASON_FENCE, MS_EAST_WEST, MS_MODE_AUDIT));
		goto_by_source(c, chain, foreign, NULL,
			       deny(c, MS_REASON_FENCE, MS_EAST_WEST, MS_MODE_ENFORCE));
	}
	rule_goto(c, rule_add(c, chain),
		  deny(c, MS_REASON_UNIDENTIFIED, MS_EAST_WEST,
		       stricter(mode, c->policy->unidentified)));
}

static void compile_ends(struct compiler *c, const struct ms_env *env, enum ms_mode mode)
{
	compile_end_to(c, env, mode);

	struct ms_chain *into =
		ms_ruleset_add_chain(c->ruleset, c->inet, end_name(c, "into", env->name, mode));
	rule_goto(c, rule_add(c, into), deny(c, MS_REASON_NO_GRANT, MS_INGRESS, mode));

	struct ms_chain *from =
		ms_ruleset_add_chain(c->ruleset, c->inet, end_name(c, "from", env->name, mode));
	compile_resolvers(c, from, env, false);
	rule_goto(c, rule_add(c, from), deny(c, MS_REASON_NO_GRANT, MS_EGRESS, mode));

	struct ms_chain *host =
		ms_ruleset_add_chain(c->ruleset, c->inet, end_name(c, "host", env->name, mode));
	if (env->gateway_resolver)
		compile_gateway(c, host, env);
	compile_resolvers(c, host, env, false);
	rule_goto(c, rule_add(c, host), deny(c, MS_REASON_NO_GRANT, MS_EGRESS, mode));
}

/* Is @mode that of the environment or of one of its services? */
static bool mode_is_used(const struct compiler *c, const struct ms_env *env, enum ms_mode mode)
{
	if (env->mode == mode)
		return true;
	ms_vec_each (struct ms_service, service, &c->policy->services)
		if (service->mode == mode && strcmp(service->env, env->name) == 0)
			return true;
	return false;
}

void ends_compile(struct compiler *c)
{
	ms_vec_each (struct ms_env, env, &c->policy->envs)
		for (int mode = 0; mode < 2; mode++)
			if (mode_is_used(c, env, (enum ms_mode)mode))
				compile_ends(c, env, (enum ms_mode)mode);
}
