/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Never: what beats every grant, crossing and exception. Asked of new connections; connections that
 * are older than a never are cut when it is applied. Neighbour discovery goes before it: without it
 * IPv6 does not work at all, and no never reaches its twin ARP.
 *
 * A chain for each hook holds one rule per never, family and port range. They are jumped to, so
 * that a packet no never means goes on behind them. Where endpoints carry, a rule about `net`
 * stands once more for what they carry, which identified endpoints see as net.
 */
#include "compiler.h"

#include <string.h>

/* Where a never is asked: by which ends it names. */
enum place {
	FORWARDED, /* between endpoints, nets and nodes */
	TO_HOST,
	FROM_HOST,
	N_PLACES,
};

static const char *const place_names[N_PLACES] = {"never", "never-to-host", "never-from-host"};

static enum place place_of(const struct ms_never *never)
{
	if (never->to.kind == MS_PEER_HOST)
		return TO_HOST;
	return !never->any_source && never->from.kind == MS_PEER_HOST ? FROM_HOST : FORWARDED;
}

static bool is_endpoint_peer(const struct ms_peer *peer)
{
	return peer->kind == MS_PEER_SERVICE || peer->kind == MS_PEER_SELF;
}

/* Which end of a rule means what an endpoint carries. */
enum carried_end {
	NO_END,
	SOURCE,
	TARGET,
};

/* One rule to be. A peer that means every environment is one rule for each: @env names it. */
struct never_rule {
	const struct ms_never *never;
	const struct family *family;
	const struct ms_ports *ports; /* NULL: any */
	const char *from_env;	      /* or NULL */
	const char *to_env;
	time_t audit_end; /* milder rules before the strict one, where there is audit */
	enum carried_end carried;
};

static enum ms_direction direction_of(const struct never_rule *n)
{
	const struct ms_never *never = n->never;

	if (!is_endpoint_peer(&never->to))
		return MS_EGRESS;
	if (n->carried == SOURCE)
		return MS_INGRESS;
	return never->any_source || is_endpoint_peer(&never->from) ? MS_EAST_WEST : MS_INGRESS;
}

/* A net, or what is carried and, where @peer is not NULL, in it. */
static void match_outside(struct compiler *c, struct ms_rule *rule, const struct never_rule *n,
			  const struct ms_peer *peer, enum carried_end end)
{
	enum ms_field side = end == SOURCE ? MS_FIELD_IIFNAME : MS_FIELD_OIFNAME;
	enum ms_field field = end == SOURCE ? n->family->saddr : n->family->daddr;

	rule_in_managed(c, rule, side, n->carried != end);
	if (n->carried == end)
		carried_match(c, rule, field, n->family);
	if (peer)
		match_net(c, rule, n->family, field, peer);
}

static void match_end(struct compiler *c, struct ms_rule *rule, const struct never_rule *n,
		      const struct ms_peer *peer, const char *env, bool source)
{
	const struct family *family = n->family;
	static const uint32_t rtn_local = 2;
	enum ms_field field = source ? family->saddr : family->daddr;

	switch (peer->kind) {
	case MS_PEER_SERVICE:
	case MS_PEER_SELF:
		rule_set(c, rule, field, false, sets_peer(c, family, env, peer->service));
		break;
	case MS_PEER_NET:
		match_outside(c, rule, n, peer, source ? SOURCE : TARGET);
		break;
	case MS_PEER_NODE:
		rule_in_managed(c, rule, source ? MS_FIELD_IIFNAME : MS_FIELD_OIFNAME, true);
		rule_set(c, rule, field, false, sets_node(c, family, peer->node));
		break;
	case MS_PEER_HOST:
		if (!source) /* its own addresses, not the groups that it hears */
			ms_rule_match_u32(c->ruleset, rule, MS_FIELD_FIB_DADDR_TYPE, false,
					  rtn_local);
		break;
	}
}

/* Of those whose refusals are only logged until then. */
static const char *audited_set(struct compiler *c, const struct never_rule *n)
{
	if (n->audit_end == AUDITED)
		return name_of(c, "audited/%d", n->family->ip);
	return name_of(c, "relaxed/%s/%d", clock_name(c, n->audit_end), n->family->ip);
}

static void compile_rule(struct compiler *c, struct ms_chain *chain, const struct never_rule *n)
{
	const struct ms_never *never = n->never;
	enum ms_direction direction = direction_of(n);
	struct ms_rule *rule = ms_ruleset_add_rule(c->ruleset, chain, &never->at);

	if (n->from_env)
		rule_set(c, rule, n->family->saddr, false,
			 sets_peer(c, n->family, n->from_env,
				   never->any_source ? NULL : never->from.service));
	else if (never->any_source && n->carried == SOURCE)
		match_outside(c, rule, n, NULL, SOURCE);
	else if (never->any_source)
		rule_in_managed(c, rule, MS_FIELD_IIFNAME, false);
	else
		match_end(c, rule, n, &never->from, NULL, true);
	match_end(c, rule, n, &never->to, n->to_env, false);
	if (n->audit_end != ENFORCED)
		rule_set(c, rule, direction == MS_EGRESS ? n->family->saddr : n->family->daddr,
			 false, audited_set(c, n));
	if (n->ports)
		match_ports(c, rule, n->family, n->ports);
	rule_goto(c, rule, refusal_after(c, MS_REASON_NEVER, direction, n->audit_end));
}

static bool applies(const struct compiler *c, const struct never_rule *n)
{
	const struct ms_never *never = n->never;

	if (n->ports && !ports_apply(n->ports, n->family))
		return false;
	if (n->carried != NO_END && !carried_in(c, n->family))
		return false;
	if (!never->any_source && never->from.kind == MS_PEER_NET &&
	    !has_ranges(&never->from, n->family))
		return false;
	return never->to.kind != MS_PEER_NET || has_ranges(&never->to, n->family);
}

static void each_port(struct compiler *c, struct ms_chain *chain, struct never_rule n)
{
	for (size_t i = 0; i < 2; i++) {
		n.family = &families[i];
		n.ports = NULL;
		if (n.never->ports.n_items == 0 && applies(c, &n))
			compile_rule(c, chain, &n);
		ms_vec_each (struct ms_ports, ports, &n.never->ports) {
			n.ports = ports;
			if (applies(c, &n))
				compile_rule(c, chain, &n);
		}
	}
}

static void each_target(struct compiler *c, struct ms_chain *chain, struct never_rule n)
{
	const struct ms_peer *to = &n.never->to;

	if (is_endpoint_peer(to) && !to->env) {
		ms_vec_each (struct ms_env, env, &c->policy->envs) {
			n.to_env = env->name;
			each_port(c, chain, n);
		}
		return;
	}
	n.to_env = to->env;
	each_port(c, chain, n);
}

/* @spread: name every environment instead of "any endpoint". */
static void each_source(struct compiler *c, struct ms_chain *chain, struct never_rule n,
			bool spread)
{
	const struct ms_never *never = n.never;

	if (spread || (!never->any_source && is_endpoint_peer(&never->from) && !never->from.env)) {
		ms_vec_each (struct ms_env, env, &c->policy->envs) {
			n.from_env = env->name;
			each_target(c, chain, n);
		}
		return;
	}
	n.from_env = !never->any_source && is_endpoint_peer(&never->from) ? never->from.env : NULL;
	each_target(c, chain, n);
}

/* With an unidentified sender the stricter mode counts: then only identified ones get the milder.
 * What is carried is net to identified ends only. */
static bool must_spread(const struct compiler *c, const struct never_rule *n)
{
	if (!n->never->any_source || n->carried == SOURCE)
		return false;
	if (n->carried == TARGET)
		return true;
	return n->audit_end != ENFORCED && direction_of(n) == MS_EAST_WEST &&
	       c->policy->unidentified == MS_MODE_ENFORCE;
}

static void each_mode(struct compiler *c, struct ms_chain *chain, struct never_rule n)
{
	ms_vec_each (time_t, end, &c->relax_ends) {
		n.audit_end = *end;
		each_source(c, chain, n, must_spread(c, &n));
	}
	n.audit_end = AUDITED;
	if (c->audits_for_good)
		each_source(c, chain, n, must_spread(c, &n));
	n.audit_end = ENFORCED;
	each_source(c, chain, n, must_spread(c, &n));
}

static void compile_never(struct compiler *c, struct ms_chain *chain, const struct ms_never *never)
{
	struct never_rule n = {.never = never};
	bool from_carried = never->any_source || never->from.kind == MS_PEER_NET;

	if (carried_any(c) && from_carried && is_endpoint_peer(&never->to)) {
		n.carried = SOURCE;
		each_mode(c, chain, n);
	}
	if (carried_any(c) && never->to.kind == MS_PEER_NET &&
	    (never->any_source || is_endpoint_peer(&never->from))) {
		n.carried = TARGET;
		each_mode(c, chain, n);
	}
	n.carried = NO_END;
	each_mode(c, chain, n);
}

static void jump(struct compiler *c, struct ms_chain *from, enum place place)
{
	ms_rule_verdict(c->ruleset, rule_add(c, from), MS_VERDICT_JUMP, place_names[place]);
}

static bool has_place(const struct compiler *c, enum place place)
{
	ms_vec_each (struct ms_never, never, &c->policy->nevers)
		if (place_of(never) == place)
			return true;
	return false;
}

void never_jump_forwarded(struct compiler *c, struct ms_chain *from)
{
	if (has_place(c, FORWARDED))
		jump(c, from, FORWARDED);
}

void never_jump_to_host(struct compiler *c, struct ms_chain *from)
{
	if (has_place(c, TO_HOST))
		jump(c, from, TO_HOST);
}

void never_jump_from_host(struct compiler *c, struct ms_chain *from)
{
	if (has_place(c, FROM_HOST))
		jump(c, from, FROM_HOST);
}

void never_compile(struct compiler *c)
{
	for (int place = 0; place < N_PLACES; place++) {
		if (!has_place(c, (enum place)place))
			continue;
		struct ms_chain *chain =
			ms_ruleset_add_chain(c->ruleset, c->inet, place_names[place]);

		ms_vec_each (struct ms_never, never, &c->policy->nevers)
			if (place_of(never) == (enum place)place)
				compile_never(c, chain, never);
	}
}
