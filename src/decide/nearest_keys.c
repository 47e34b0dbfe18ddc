/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keys that a flow lacks: the provider's allow, the consumer's need, an exception that ended.
 */
#include <netinet/in.h>
#include <string.h>

#include "addition.h"
#include "grants.h"
#include "microseg/cleanup.h"
#include "nearest_miss.h"
#include "wording.h"

#define LIST_MAX 3 /* peers and ports shown of a list */

/* Could @grant cover the flow if only it named its source? */
static bool at_port(const struct ms_miss *miss, const struct ms_grant *grant)
{
	return ms_ports_vec_cover(&grant->ports, miss->flow->proto, miss->flow->port) &&
	       (grant->published || !ms_asks_published(miss->flow));
}

/* "orders-api, metrics": whom @own lets in at this port. Returns the first such grant, or NULL. */
static const struct ms_grant *add_peers_at_port(const struct ms_miss *miss,
						const struct ms_service *own)
{
	const struct ms_grant *first = NULL;
	size_t n = 0;

	ms_vec_each (const struct ms_grant, grant, &own->allow) {
		if (!at_port(miss, grant))
			continue;
		ms_str_add(miss->out, n == 0 ? " from " : n <= LIST_MAX ? ", " : "");
		if (n < LIST_MAX)
			ms_wording_granted_peer(miss->out, &grant->peer, own);
		else if (n == LIST_MAX)
			ms_str_add(miss->out, MS_MISS_CUT);
		first = first ? first : grant;
		n++;
	}
	return first;
}

/* "tcp/80, tcp/9000-9010": all that @grants say of @party. Returns the first such grant, or NULL.
 */
static const struct ms_grant *add_ports_of_peer(struct ms_str *out, const struct ms_grant *grants,
						size_t n_grants, const struct ms_service *own,
						const struct ms_party *party)
{
	const struct ms_grant *first = NULL;
	ms_ports_vec ports = {0};
	char text[MS_PORTS_TEXT_SIZE];

	for (size_t i = 0; i < n_grants; i++) {
		if (!ms_peer_covers(&grants[i].peer, own, party))
			continue;
		first = first ? first : &grants[i];
		ms_vec_each (const struct ms_ports, port, &grants[i].ports)
			out->failed = ms_vec_push(&ports, *port) < 0 || out->failed;
	}
	ms_ports_normalize(&ports);
	for (size_t i = 0; i < ports.n_items && i <= LIST_MAX; i++)
		ms_str_addf(out, "%s%s", i ? ", " : "",
			    i < LIST_MAX ? ms_ports_format(&ports.items[i], text) : MS_MISS_CUT);
	ms_vec_fini(&ports);
	return first;
}

static bool of_one_entry(const struct ms_grant *a, const struct ms_grant *b)
{
	return a->at.line == b->at.line && a->at.column == b->at.column &&
	       strcmp(a->at.file, b->at.file) == 0;
}

/* May the entry that @grant was made of say `published`, which concerns net and nodes only? */
static bool can_be_published(const struct ms_service *own, const struct ms_grant *grant)
{
	ms_vec_each (const struct ms_grant, other, &own->allow)
		if (of_one_entry(grant, other) && other->peer.kind != MS_PEER_NET &&
		    other->peer.kind != MS_PEER_NODE)
			return false;
	return true;
}

/* A grant for this source and port is there and only lacks `published`. */
static bool say_unpublished(const struct ms_miss *miss)
{
	struct ms_flow direct = *miss->flow;

	direct.published = false;
	const struct ms_grant *grant = ms_find_allow(miss->policy, &direct);
	if (!ms_asks_published(miss->flow) || !grant)
		return false;
	ms_str_addf(miss->out, "%s lets ", miss->provider->identity);
	ms_wording_party(miss->out, &miss->flow->src);
	ms_str_add(miss->out, " reach ");
	ms_wording_port(miss->out, miss->flow);
	ms_wording_place(miss->out, &grant->at);
	ms_str_add(miss->out, ", but not through a published port; ");
	if (can_be_published(miss->provider, grant))
		ms_str_add(miss->out, "add to that grant: published: true");
	else
		ms_addition_add(miss->out, miss->policy, miss->flow, MS_ADDITION_ALLOW, false,
				grant->at.file);
	return true;
}

static bool is_replica(const struct ms_flow *flow)
{
	return flow->src.kind == MS_PARTY_SERVICE && flow->dst.kind == MS_PARTY_SERVICE &&
	       strcmp(flow->src.env, flow->dst.env) == 0 &&
	       strcmp(flow->src.service, flow->dst.service) == 0;
}

/* The source, as the provider would say it. */
static void add_source(const struct ms_miss *miss, const char *replicas)
{
	if (is_replica(miss->flow))
		ms_str_add(miss->out, replicas);
	else
		ms_wording_party(miss->out, &miss->flow->src);
}

/* "prod/db allows tcp/5432 from api only". Returns its place. */
static const struct ms_origin *add_what_is_allowed(const struct ms_miss *miss)
{
	const struct ms_service *provider = miss->provider;
	_cleanup_(ms_str_fini) struct ms_str ports = {0};
	const struct ms_grant *grant = add_ports_of_peer(
		&ports, provider->allow.items, provider->allow.n_items, provider, &miss->flow->src);

	ms_str_addf(miss->out, "%s allows ", provider->identity);
	if (grant) {
		add_source(miss, "its own replicas");
		ms_str_addf(miss->out, " only %s", ports.text ? ports.text : "");
		return &grant->at;
	}
	ms_wording_port(miss->out, miss->flow);
	ms_str_add(miss->out, ms_asks_published(miss->flow) ? " through a published port" : "");
	grant = add_peers_at_port(miss, provider);
	ms_str_add(miss->out, grant ? " only" : " from nobody");
	return grant ? &grant->at : &provider->at;
}

static void say_allow_missing(struct ms_miss *miss)
{
	const char *seen = NULL;

	if (miss->provider && say_unpublished(miss)) {
		ms_miss_end_part(miss);
		return;
	}
	if (miss->provider) {
		const struct ms_origin *at = add_what_is_allowed(miss);

		ms_wording_place(miss->out, at);
		seen = at->file;
	} else {
		ms_wording_party(miss->out, &miss->flow->dst);
		ms_str_add(miss->out, " has no Service document, so it allows nothing");
	}
	ms_str_add(miss->out, "; to let ");
	add_source(miss, "them");
	ms_str_add(miss->out, " in, ");
	ms_addition_add(miss->out, miss->policy, miss->flow, MS_ADDITION_ALLOW, false, seen);
	ms_miss_end_part(miss);
}

/* DNS has a road of its own: say so before somebody writes a grant for it. */
static void say_resolvers(struct ms_miss *miss)
{
	const struct ms_party *dst = &miss->flow->dst;
	const struct ms_env *env = ms_policy_env(miss->policy, miss->flow->src.env);
	bool dns = miss->flow->port == 53 &&
		   (miss->flow->proto == IPPROTO_UDP || miss->flow->proto == IPPROTO_TCP);

	if (!env || !dns)
		return;
	ms_str_addf(miss->out, "; if it answers names for all of %s, add to its resolvers instead",
		    env->name);
	ms_wording_place(miss->out, &env->at);
	if (dst->kind == MS_PARTY_HOST && !env->gateway_resolver) {
		ms_str_add(miss->out, ": gateway");
	} else if (dst->has_addr) {
		ms_str_add(miss->out, ": \"");
		ms_wording_addr(miss->out, dst);
		ms_str_add_char(miss->out, '"');
	}
	ms_miss_end_part(miss);
}

static void say_need_missing(struct ms_miss *miss)
{
	const struct ms_service *consumer = miss->consumer;
	const struct ms_flow *flow = miss->flow;
	const struct ms_origin *at = NULL;

	ms_wording_party(miss->out, &flow->src);
	if (consumer) {
		_cleanup_(ms_str_fini) struct ms_str ports = {0};
		const struct ms_grant *grant =
			add_ports_of_peer(&ports, consumer->needs.items, consumer->needs.n_items,
					  consumer, &flow->dst);

		ms_str_add(miss->out, grant ? " may call " : " may not call ");
		ms_wording_party(miss->out, &flow->dst);
		if (grant)
			ms_str_addf(miss->out, " only on %s", ports.text ? ports.text : "");
		at = grant ? &grant->at : &consumer->at;
		ms_wording_place(miss->out, at);
	} else {
		ms_str_add(miss->out, " has no Service document, so it may call nothing");
	}
	ms_str_add(miss->out, "; to let it, ");
	ms_addition_add(miss->out, miss->policy, flow, MS_ADDITION_NEED, false,
			at ? at->file : NULL);
	ms_miss_end_part(miss);
	say_resolvers(miss);
}

/* What stands behind the first obstacle has to be written as well. */
static void say_also(struct ms_miss *miss, enum ms_addition_of of)
{
	ms_str_add(miss->out, ", and ");
	ms_addition_add(miss->out, miss->policy, miss->flow, of, true, NULL);
	ms_miss_end_part(miss);
}

/* An exception that runs counts as both keys. */
static bool is_excepted(const struct ms_miss *miss)
{
	return ms_find_exception(miss->policy, miss->flow, miss->refusal->now);
}

static bool lacks_allow(const struct ms_miss *miss)
{
	return !ms_find_allow(miss->policy, miss->flow) && !is_excepted(miss);
}

static bool lacks_need(const struct ms_miss *miss)
{
	return ms_find_two_key(miss->policy, miss->flow) &&
	       !ms_find_need(miss->policy, miss->flow) && !is_excepted(miss);
}

static void miss_no_grant_east_west(struct ms_miss *miss)
{
	if (lacks_allow(miss)) {
		say_allow_missing(miss);
		if (lacks_need(miss))
			say_also(miss, MS_ADDITION_NEED);
		return;
	}
	if (!lacks_need(miss)) { /* both keys are there: only the addresses are left */
		ms_str_add(
			miss->out,
			"link-local addresses never pass between endpoints; use their other addresses");
		ms_miss_end_part(miss);
		return;
	}

	const struct ms_env *env = ms_find_two_key(miss->policy, miss->flow);
	ms_str_addf(miss->out, "%s asks for two keys", env->name);
	ms_wording_place(miss->out, &env->at);
	ms_str_add(miss->out, ", and only the provider's is there; ");
	say_need_missing(miss);
}

static bool lacks_grants(const struct ms_miss *miss)
{
	bool east_west = miss->flow->src.kind == MS_PARTY_SERVICE &&
			 miss->flow->dst.kind == MS_PARTY_SERVICE;

	return !east_west || lacks_allow(miss) || lacks_need(miss);
}

/* One that covered the flow while it ran. */
static void say_ended_exception(struct ms_miss *miss)
{
	const struct ms_exception *ended = ms_find_exception(miss->policy, miss->flow, 0);

	if (!ended || ended->until > miss->refusal->now || !lacks_grants(miss))
		return;
	ms_str_addf(miss->out, "the exception %s, which allowed this, has ended", ended->id);
	ms_wording_place(miss->out, &ended->at);
	ms_str_add(miss->out, ": give it a later until");
	ms_miss_end_part(miss);
	ms_str_add(miss->out, "; or for good: ");
}

void ms_miss_no_grant(struct ms_miss *miss)
{
	const struct ms_party *src = &miss->flow->src, *dst = &miss->flow->dst;
	const struct ms_party *outside = src->kind == MS_PARTY_SERVICE ? dst : src;

	if (outside->kind == MS_PARTY_NET && outside->has_addr &&
	    ms_addr_is_special(&outside->addr)) {
		ms_wording_addr(miss->out, outside);
		ms_str_add(
			miss->out,
			" is a multicast, broadcast, link-local or loopback address: no grant covers those");
		ms_miss_end_part(miss);
		return;
	}
	say_ended_exception(miss);
	if (src->kind == MS_PARTY_SERVICE && dst->kind == MS_PARTY_SERVICE)
		miss_no_grant_east_west(miss);
	else if (outside == dst)
		say_need_missing(miss);
	else
		say_allow_missing(miss);
}

void ms_miss_also_grants(struct ms_miss *miss)
{
	if (lacks_allow(miss))
		say_also(miss, MS_ADDITION_ALLOW);
	if (lacks_need(miss))
		say_also(miss, MS_ADDITION_NEED);
}
