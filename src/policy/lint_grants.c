/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lint of grants: those that a never refuses anyway, needs that no allow meets where two keys are
 * asked for, and ports that a userland proxy opens behind a published grant. Each entry is looked
 * at in every environment of its document and warned of once.
 */
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/load.h"

static bool equal_or_any(const char *outer, const char *inner)
{
	return !outer || (inner && strcmp(outer, inner) == 0);
}

static bool ranges_cover(const ms_range_vec *outer, const struct ms_range *inner)
{
	ms_vec_each (struct ms_range, range, outer) {
		if (ms_range_contains(range, &inner->first) &&
		    ms_range_contains(range, &inner->last))
			return true;
	}
	return false;
}

static bool is_service(const struct ms_peer *peer)
{
	return peer->kind == MS_PEER_SERVICE || peer->kind == MS_PEER_SELF;
}

/* Is everything that @inner stands for in @outer? Both are bound to their environment. */
static bool peer_covers(const struct ms_peer *outer, const struct ms_peer *inner)
{
	if (is_service(inner))
		return is_service(outer) && equal_or_any(outer->env, inner->env) &&
		       equal_or_any(outer->service, inner->service);
	if (outer->kind != inner->kind)
		return false;
	if (inner->kind == MS_PEER_NODE)
		return equal_or_any(outer->node, inner->node);
	ms_vec_each (struct ms_range, range, &inner->ranges) {
		if (!ranges_cover(&outer->ranges, range))
			return false;
	}
	return true;
}

static bool port_within(const struct ms_ports *inner, const struct ms_ports *outer)
{
	return inner->proto == outer->proto && inner->first >= outer->first &&
	       inner->last <= outer->last;
}

/* @outer empty: any. */
static bool ports_cover(const ms_ports_vec *outer, const ms_ports_vec *inner)
{
	ms_vec_each (struct ms_ports, port, inner) {
		bool found = outer->n_items == 0;

		for (size_t i = 0; i < outer->n_items && !found; i++)
			found = port_within(port, &outer->items[i]);
		if (!found)
			return false;
	}
	return true;
}

static const struct ms_ports *ports_meet(const ms_ports_vec *a, const ms_ports_vec *b)
{
	ms_vec_each (struct ms_ports, x, a) {
		ms_vec_each (struct ms_ports, y, b) {
			if (x->proto == y->proto && x->first <= y->last && y->first <= x->last)
				return x;
		}
	}
	return NULL;
}

static bool lint_never(struct ms_load *load, const struct ms_peer *from, const struct ms_peer *to,
		       const ms_ports_vec *ports, const struct ms_origin *at)
{
	ms_vec_each (struct ms_never, never, &load->policy->nevers) {
		_cleanup_(ms_str_fini) struct ms_str hint = {0};

		if (!(never->any_source ? is_service(from) : peer_covers(&never->from, from)) ||
		    !peer_covers(&never->to, to) || !ports_cover(&never->ports, ports))
			continue;
		ms_str_addf(&hint, "no grant can pass the never at %s:%u", never->at.file,
			    never->at.line);
		ms_load_warn(load, at, "shadowed", hint.text, "a never refuses all of this grant");
		return true;
	}
	return false;
}

static struct ms_peer own_peer(const struct ms_service_document *document, const struct ms_env *env)
{
	return (struct ms_peer){
		.kind = MS_PEER_SERVICE, .env = env->name, .service = document->name};
}

static void own_ports(struct ms_load *load, const struct ms_service_document *document,
		      const struct ms_env *env, const struct ms_raw_flow *allow,
		      ms_ports_vec *ports)
{
	const struct ms_service *own =
		document->name ? ms_policy_service(load->policy, env->name, document->name) : NULL;

	ms_ports_resolve(load, &allow->ports, own, ports);
}

static void lint_allow_never(struct ms_load *load, const struct ms_service_document *document,
			     const struct ms_raw_flow *allow)
{
	ms_vec_each (struct ms_raw_peer, raw, &allow->from) {
		bool warned = false;

		for (size_t i = 0; i < document->envs.n_items && !warned; i++) {
			const struct ms_env *env = document->envs.items[i];
			struct ms_peer from = ms_peer_bind(raw, env->name, document->name);
			struct ms_peer to = own_peer(document, env);
			ms_ports_vec ports = {0};

			own_ports(load, document, env, allow, &ports);
			warned = ports.n_items &&
				 lint_never(load, &from, &to, &ports, &raw->peer.at);
		}
	}
}

/* Does an allow of @provider let @consumer in on one of @ports? */
static bool is_met(const struct ms_service *provider, const struct ms_peer *consumer,
		   const ms_ports_vec *ports)
{
	ms_vec_each (struct ms_grant, allow, &provider->allow) {
		const struct ms_peer *peer = &allow->peer;

		if (is_service(peer) && equal_or_any(peer->env, consumer->env) &&
		    (!consumer->service || equal_or_any(peer->service, consumer->service)) &&
		    ports_meet(&allow->ports, ports))
			return true;
	}
	return false;
}

/* A destination that no document describes has its own warning. */
static bool half_a_key(const struct ms_load *load, const struct ms_peer *consumer,
		       const struct ms_target *target)
{
	const struct ms_env *from = ms_policy_env(load->policy, consumer->env);
	const struct ms_env *to =
		target->peer.env ? ms_policy_env(load->policy, target->peer.env) : NULL;
	bool described = false;

	if (!is_service(&target->peer) || !from || !to || !(from->two_key || to->two_key))
		return false;
	if (target->peer.service) {
		const struct ms_service *provider =
			ms_policy_service(load->policy, to->name, target->peer.service);

		return provider && !is_met(provider, consumer, &target->ports);
	}
	ms_vec_each (struct ms_service, provider, &load->policy->services) {
		if (strcmp(provider->env, to->name) != 0)
			continue;
		described = true;
		if (is_met(provider, consumer, &target->ports))
			return false;
	}
	return described;
}

static void warn_half_key(struct ms_load *load, const struct ms_peer *consumer,
			  const struct ms_target *target)
{
	_cleanup_(ms_str_fini) struct ms_str hint = {0};
	char port[MS_PORTS_TEXT_SIZE];

	ms_str_addf(&hint,
		    "two keys are asked for: there, write allow: [{from: %s/%s, ports: [%s]}]",
		    consumer->env, consumer->service ? consumer->service : "SERVICE",
		    ms_ports_format(&target->ports.items[0], port));
	ms_load_warn(load, &target->peer.at, "half-key", hint.text,
		     "no allow of %s/%s meets this need", target->peer.env,
		     target->peer.service ? target->peer.service : "*");
}

static bool has_warned(const ms_target_vec *targets, size_t n, const struct ms_target *target)
{
	for (size_t i = 0; i < n; i++)
		if (targets->items[i].peer.at.line == target->peer.at.line &&
		    targets->items[i].peer.at.column == target->peer.at.column)
			return true;
	return false;
}

static void lint_need(struct ms_load *load, const struct ms_service_document *document,
		      const struct ms_raw_flow *need)
{
	ms_target_vec warned = {0};

	for (size_t i = 0; i < document->envs.n_items; i++) {
		struct ms_peer consumer = own_peer(document, document->envs.items[i]);
		ms_target_vec targets = {0};

		ms_load_targets(load, need, consumer.env, document->name, &targets);
		ms_vec_each (struct ms_target, target, &targets) {
			if (has_warned(&warned, warned.n_items, target))
				continue;
			if (half_a_key(load, &consumer, target))
				warn_half_key(load, &consumer, target);
			else if (!lint_never(load, &consumer, &target->peer, &target->ports,
					     &target->peer.at))
				continue;
			ms_load_push(load, &warned, *target);
		}
	}
}

/* The port that both a published grant of the document and @allow open, in its first environment.
 */
static bool find_published(struct ms_load *load, const struct ms_service_document *document,
			   const struct ms_raw_flow *allow, struct ms_ports *ret_port)
{
	ms_ports_vec ports = {0};

	if (document->envs.n_items == 0)
		return false;
	own_ports(load, document, document->envs.items[0], allow, &ports);
	ms_vec_each (struct ms_raw_flow, other, &document->allow) {
		ms_ports_vec published = {0};

		if (!other->published)
			continue;
		own_ports(load, document, document->envs.items[0], other, &published);
		const struct ms_ports *met = ports_meet(&published, &ports);
		if (!met)
			continue;
		*ret_port = *met;
		return true;
	}
	return false;
}

static void lint_proxy(struct ms_load *load, const struct ms_service_document *document,
		       const struct ms_raw_flow *allow)
{
	char text[MS_PORTS_TEXT_SIZE];
	struct ms_ports port;

	ms_vec_each (struct ms_raw_peer, raw, &allow->from) {
		if (raw->peer.kind != MS_PEER_HOST || !find_published(load, document, allow, &port))
			continue;
		ms_load_warn(
			load, &raw->peer.at, "published-and-host",
			"give the host a port of its own, or run the engine without its userland proxy",
			"clients of an engine's userland proxy arrive as host, and so pass to the published %s",
			ms_ports_format(&port, text));
	}
}

void ms_load_lint_grants(struct ms_load *load, const struct ms_service_document *document)
{
	ms_vec_each (struct ms_raw_flow, allow, &document->allow) {
		lint_allow_never(load, document, allow);
		if (!allow->published) /* else that is an error already */
			lint_proxy(load, document, allow);
	}
	ms_vec_each (struct ms_raw_flow, need, &document->needs)
		lint_need(load, document, need);
}
