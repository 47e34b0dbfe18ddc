/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grants: what the documents and the exceptions give one service, after fence and second key.
 *
 * An `allow` for endpoints is worth what the fence and, under two keys, the consumer's `needs`
 * leave of its ports. The result is a list of (peer, ports, origin) that become rules as they are.
 */
#include "compiler.h"

#include <string.h>

static void intersect(struct compiler *c, const ms_ports_vec *a, const ms_ports_vec *b,
		      ms_ports_vec *out)
{
	ms_vec_each (struct ms_ports, x, a)
		ms_vec_each (struct ms_ports, y, b) {
			struct ms_ports both = {
				.proto = x->proto,
				.first = x->first > y->first ? x->first : y->first,
				.last = x->last < y->last ? x->last : y->last,
			};

			if (x->proto == y->proto && both.first <= both.last &&
			    ms_avec_push(c->ruleset->arena, out, both) < 0)
				c->ruleset->failed = true;
		}
	ms_ports_normalize(out);
}

static void append(struct compiler *c, const ms_ports_vec *from, ms_ports_vec *to)
{
	ms_vec_each (struct ms_ports, ports, from)
		if (ms_avec_push(c->ruleset->arena, to, *ports) < 0)
			c->ruleset->failed = true;
}

static bool peer_covers(const struct ms_peer *peer, const struct ms_service *own, const char *env,
			const char *service)
{
	if (peer->kind == MS_PEER_SELF)
		return own && !strcmp(own->env, env) && !strcmp(own->name, service);
	return peer->kind == MS_PEER_SERVICE && (!peer->env || !strcmp(peer->env, env)) &&
	       (!peer->service || !strcmp(peer->service, service));
}

static bool lifts(const struct ms_crossing *crossing, const struct subject *provider,
		  const char *env, const char *service)
{
	return peer_covers(&crossing->from, NULL, env, service) &&
	       peer_covers(&crossing->to, NULL, provider->env, provider->name);
}

/* What is left of @ports behind the fence between @env/@service and the provider, for good. */
static ms_ports_vec through_fence(struct compiler *c, const struct subject *provider,
				  const char *env, const char *service, const ms_ports_vec *ports)
{
	ms_ports_vec lifted = {0}, left = {0};

	if (strcmp(env, provider->env) == 0)
		return *ports;
	ms_vec_each (const struct ms_crossing *, crossing, &c->crossings)
		if (!(*crossing)->until && lifts(*crossing, provider, env, service))
			append(c, &(*crossing)->ports, &lifted);
	ms_ports_normalize(&lifted);
	intersect(c, ports, &lifted, &left);
	return left;
}

static void lift(const struct subject *provider, const struct ms_crossing *crossing,
		 const char *env, grant_fn fn, void *userdata)
{
	struct granted lifted = {
		.env = env,
		.service = crossing->from.service,
		.ports = crossing->ports,
		.at = &crossing->at,
		.until = crossing->until,
	};

	if (strcmp(env, provider->env) != 0)
		fn(&lifted, userdata);
}

void grants_lifted(struct compiler *c, const struct subject *provider, grant_fn fn, void *userdata)
{
	ms_vec_each (const struct ms_crossing *, item, &c->crossings) {
		const struct ms_crossing *crossing = *item;

		if (!peer_covers(&crossing->to, NULL, provider->env, provider->name))
			continue;
		if (crossing->from.env) {
			lift(provider, crossing, crossing->from.env, fn, userdata);
			continue;
		}
		ms_vec_each (struct ms_env, env, &c->policy->envs)
			lift(provider, crossing, env->name, fn, userdata);
	}
}

static bool asks_two_keys(const struct compiler *c, const char *env)
{
	const struct ms_env *found = ms_policy_env(c->policy, env);

	return found && found->two_key;
}

/* What is left of @ports after the consumer's own key. */
static ms_ports_vec with_second_key(struct compiler *c, const struct subject *provider,
				    const char *env, const char *service, const ms_ports_vec *ports)
{
	const struct ms_service *consumer = ms_policy_service(c->policy, env, service);
	ms_ports_vec needed = {0}, left = {0};

	if (consumer)
		ms_vec_each (struct ms_grant, need, &consumer->needs)
			if (peer_covers(&need->peer, consumer, provider->env, provider->name))
				append(c, &need->ports, &needed);
	ms_ports_normalize(&needed);
	intersect(c, ports, &needed, &left);
	return left;
}

struct emitter {
	struct compiler *c;
	const struct subject *provider;
	grant_fn fn;
	void *userdata;
};

static void emit(const struct emitter *e, struct granted granted)
{
	if (granted.ports.n_items > 0)
		e->fn(&granted, e->userdata);
}

/* After the second key; an exception counts as both. */
static void emit_service(const struct emitter *e, struct granted granted)
{
	if (!granted.exception &&
	    (asks_two_keys(e->c, e->provider->env) || asks_two_keys(e->c, granted.env)))
		granted.ports = with_second_key(e->c, e->provider, granted.env, granted.service,
						&granted.ports);
	emit(e, granted);
}

/* @granted with all its ports: it is worth what the fence leaves, and each crossing with an end
 * leaves it until then. */
static void from_service(const struct emitter *e, struct granted granted)
{
	const ms_ports_vec ports = granted.ports;
	time_t until = granted.until;

	granted.ports = through_fence(e->c, e->provider, granted.env, granted.service, &ports);
	emit_service(e, granted);
	for (size_t i = 0;
	     strcmp(granted.env, e->provider->env) != 0 && i < e->c->crossings.n_items; i++) {
		const struct ms_crossing *crossing = e->c->crossings.items[i];

		if (!crossing->until || !lifts(crossing, e->provider, granted.env, granted.service))
			continue;
		granted.ports = (ms_ports_vec){0};
		granted.until = until && until < crossing->until ? until : crossing->until;
		intersect(e->c, &ports, &crossing->ports, &granted.ports);
		emit_service(e, granted);
	}
}

static void from_named(const struct emitter *e, const char *env, const char *service,
		       const struct ms_grant *grant)
{
	from_service(e, (struct granted){.env = env,
					 .service = service,
					 .ports = grant->ports,
					 .at = &grant->at});
}

/* Every service of the provider's own environment: as one, unless each must show its own key. */
static void from_environment(const struct emitter *e, const struct ms_grant *grant)
{
	const char *env = e->provider->env;

	if (!asks_two_keys(e->c, env)) {
		emit(e, (struct granted){.env = env, .ports = grant->ports, .at = &grant->at});
		return;
	}
	ms_vec_each (struct ms_service, consumer, &e->c->policy->services)
		if (strcmp(consumer->env, env) == 0)
			from_named(e, env, consumer->name, grant);
}

static void east_west(const struct emitter *e, const struct ms_grant *grant)
{
	const struct ms_peer *peer = &grant->peer;

	if (peer->kind == MS_PEER_SELF)
		from_named(e, e->provider->env, e->provider->name, grant);
	else if (peer->env && peer->service)
		from_named(e, peer->env, peer->service, grant);
	else
		from_environment(e, grant);
}

static bool is_endpoint_peer(const struct ms_peer *peer)
{
	return peer->kind == MS_PEER_SERVICE || peer->kind == MS_PEER_SELF;
}

static struct granted excepted(const struct ms_exception *exception, const struct ms_peer *peer)
{
	struct granted granted = {
		.ports = exception->ports,
		.at = &exception->at,
		.until = exception->until,
		.exception = true,
	};

	if (is_endpoint_peer(peer)) {
		granted.env = peer->env;
		granted.service = peer->service;
	} else {
		granted.peer = peer;
	}
	return granted;
}

void grants_inbound(struct compiler *c, const struct subject *provider, grant_fn fn, void *userdata)
{
	const struct emitter e = {c, provider, fn, userdata};

	for (size_t i = 0; provider->service && i < provider->service->allow.n_items; i++) {
		const struct ms_grant *grant = &provider->service->allow.items[i];

		if (is_endpoint_peer(&grant->peer))
			east_west(&e, grant);
		else
			emit(&e, (struct granted){.peer = &grant->peer,
						  .ports = grant->ports,
						  .at = &grant->at,
						  .published = grant->published});
	}
	ms_vec_each (const struct ms_exception *, exception, &c->exceptions) {
		const struct ms_peer *from = &(*exception)->from, *to = &(*exception)->to;

		if (!peer_covers(to, NULL, provider->env, provider->name))
			continue;
		if (is_endpoint_peer(from))
			from_service(&e, excepted(*exception, from));
		else
			emit(&e, excepted(*exception, from));
	}
}

void grants_outbound(struct compiler *c, const struct subject *consumer, grant_fn fn,
		     void *userdata)
{
	const struct emitter e = {c, consumer, fn, userdata};

	for (size_t i = 0; consumer->service && i < consumer->service->needs.n_items; i++) {
		const struct ms_grant *need = &consumer->service->needs.items[i];

		if (!is_endpoint_peer(&need->peer))
			emit(&e, (struct granted){.peer = &need->peer,
						  .ports = need->ports,
						  .at = &need->at});
	}
	ms_vec_each (const struct ms_exception *, exception, &c->exceptions)
		if (!is_endpoint_peer(&(*exception)->to) &&
		    peer_covers(&(*exception)->from, NULL, consumer->env, consumer->name))
			emit(&e, excepted(*exception, &(*exception)->to));
}
