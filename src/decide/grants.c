/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grants.h"

#include <netinet/in.h>
#include <string.h>

#define DNS_PORT 53

static bool texts_equal(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

bool ms_addr_is_special(const struct ms_addr *addr)
{
	return ms_addr_is_multicast(addr) || ms_addr_is_link_local(addr) ||
	       ms_addr_is_loopback(addr) || ms_addr_is_unspecified(addr);
}

const struct ms_service *ms_party_document(const struct ms_policy *policy,
					   const struct ms_party *party)
{
	if (party->kind != MS_PARTY_SERVICE)
		return NULL;
	return ms_policy_service(policy, party->env, party->service);
}

static bool service_covers(const struct ms_peer *peer, const struct ms_party *party)
{
	if (party->kind != MS_PARTY_SERVICE)
		return false;
	if (peer->env && strcmp(peer->env, party->env) != 0)
		return false;
	return !peer->service || strcmp(peer->service, party->service) == 0;
}

bool ms_peer_covers(const struct ms_peer *peer, const struct ms_service *own,
		    const struct ms_party *party)
{
	switch (peer->kind) {
	case MS_PEER_SERVICE:
		return service_covers(peer, party);
	case MS_PEER_SELF:
		return own && party->kind == MS_PARTY_SERVICE &&
		       texts_equal(own->env, party->env) && texts_equal(own->name, party->service);
	case MS_PEER_HOST:
		return party->kind == MS_PARTY_HOST;
	case MS_PEER_NODE:
		return party->kind == MS_PARTY_NODE &&
		       (!peer->node || texts_equal(peer->node, party->node));
	case MS_PEER_NET:
		return party->kind == MS_PARTY_NET && party->has_addr &&
		       !ms_addr_is_special(&party->addr) &&
		       ms_ranges_contain(&peer->ranges, &party->addr);
	}
	return false;
}

bool ms_ports_vec_cover(const ms_ports_vec *ports, uint8_t proto, uint16_t port)
{
	ms_vec_each (const struct ms_ports, entry, ports)
		if (ms_ports_cover(entry, proto, port))
			return true;
	return false;
}

/*
 * For a refusal the wide reading is the safe one: a `never` to 169.254.169.254 means it, although
 * no CIDR of a grant covers a link-local address, and one to a CIDR means the nodes in it too.
 */
static bool never_covers(const struct ms_peer *peer, const struct ms_party *party)
{
	if (peer->kind == MS_PEER_NET &&
	    (party->kind == MS_PARTY_NET || party->kind == MS_PARTY_NODE))
		return party->has_addr && ms_ranges_contain(&peer->ranges, &party->addr);
	return ms_peer_covers(peer, NULL, party);
}

const struct ms_never *ms_find_never(const struct ms_policy *policy, const struct ms_flow *flow)
{
	ms_vec_each (const struct ms_never, never, &policy->nevers) {
		bool from = never->any_source
				    ? ms_party_is_endpoint(&flow->src) || flow->src.carried
				    : never_covers(&never->from, &flow->src);
		bool ports = never->ports.n_items == 0 ||
			     ms_ports_vec_cover(&never->ports, flow->proto, flow->port);

		if (from && ports && never_covers(&never->to, &flow->dst))
			return never;
	}
	return NULL;
}

const struct ms_crossing *ms_find_crossing(const struct ms_policy *policy,
					   const struct ms_flow *flow, time_t now)
{
	ms_vec_each (const struct ms_crossing, crossing, &policy->crossings) {
		if (crossing->until && now >= crossing->until)
			continue;
		if (ms_peer_covers(&crossing->from, NULL, &flow->src) &&
		    ms_peer_covers(&crossing->to, NULL, &flow->dst) &&
		    ms_ports_vec_cover(&crossing->ports, flow->proto, flow->port))
			return crossing;
	}
	return NULL;
}

bool ms_asks_published(const struct ms_flow *flow)
{
	return flow->published &&
	       (flow->src.kind == MS_PARTY_NET || flow->src.kind == MS_PARTY_NODE);
}

const struct ms_grant *ms_find_allow(const struct ms_policy *policy, const struct ms_flow *flow)
{
	const struct ms_service *provider = ms_party_document(policy, &flow->dst);

	if (!provider)
		return NULL;
	ms_vec_each (const struct ms_grant, grant, &provider->allow) {
		if (ms_asks_published(flow) && !grant->published)
			continue;
		if (ms_peer_covers(&grant->peer, provider, &flow->src) &&
		    ms_ports_vec_cover(&grant->ports, flow->proto, flow->port))
			return grant;
	}
	return NULL;
}

const struct ms_grant *ms_find_need(const struct ms_policy *policy, const struct ms_flow *flow)
{
	const struct ms_service *consumer = ms_party_document(policy, &flow->src);

	if (!consumer)
		return NULL;
	ms_vec_each (const struct ms_grant, grant, &consumer->needs)
		if (ms_peer_covers(&grant->peer, consumer, &flow->dst) &&
		    ms_ports_vec_cover(&grant->ports, flow->proto, flow->port))
			return grant;
	return NULL;
}

const struct ms_exception *ms_find_exception(const struct ms_policy *policy,
					     const struct ms_flow *flow, time_t now)
{
	const struct ms_exception *last = NULL;

	if (ms_asks_published(flow))
		return NULL;
	ms_vec_each (const struct ms_exception, exception, &policy->exceptions)
		if (now < exception->until && (!last || exception->until > last->until) &&
		    ms_peer_covers(&exception->from, NULL, &flow->src) &&
		    ms_peer_covers(&exception->to, NULL, &flow->dst) &&
		    ms_ports_vec_cover(&exception->ports, flow->proto, flow->port))
			last = exception;
	return last;
}

static bool is_called(const struct ms_endpoint *endpoint, const char *name)
{
	if (texts_equal(endpoint->name, name))
		return true;
	ms_vec_each (const struct ms_workload, workload, &endpoint->workloads)
		if (texts_equal(workload->name, name))
			return true;
	return false;
}

const struct ms_quarantine *ms_find_quarantine(const struct ms_policy *policy,
					       const struct ms_party *party)
{
	ms_vec_each (const struct ms_quarantine, quarantine, &policy->quarantines) {
		bool of_service = quarantine->env && party->kind == MS_PARTY_SERVICE &&
				  texts_equal(quarantine->env, party->env) &&
				  texts_equal(quarantine->service, party->service);

		if (of_service || (quarantine->endpoint && party->endpoint &&
				   is_called(party->endpoint, quarantine->endpoint)))
			return quarantine;
	}
	return NULL;
}

bool ms_is_relaxed(const struct ms_policy *policy, const struct ms_party *party, time_t now)
{
	ms_vec_each (const struct ms_relax, relax, &policy->relaxes)
		if (now < relax->until && texts_equal(relax->env, party->env) &&
		    (!relax->service || texts_equal(relax->service, party->service)))
			return true;
	return false;
}

static bool addrs_hold(const ms_addr_vec *addrs, const struct ms_addr *addr)
{
	ms_vec_each (const struct ms_addr, item, addrs)
		if (ms_addr_equal(item, addr))
			return true;
	return false;
}

/* "The host" without an address is asked for: is any resolver an address of the host? */
static bool any_is_host(const ms_addr_vec *addrs, const struct ms_inventory *inventory)
{
	ms_vec_each (const struct ms_addr, addr, addrs)
		if (inventory && ms_inventory_is_host(inventory, addr))
			return true;
	return false;
}

static bool link_holds(const struct ms_inventory *inventory, const struct ms_endpoint *endpoint,
		       const struct ms_party *dst)
{
	const char *name = *endpoint->bridge ? endpoint->bridge : endpoint->interface;
	const struct ms_managed_link *link = ms_inventory_link(inventory, name);

	if (!link)
		return false;
	return dst->has_addr ? addrs_hold(&link->addrs, &dst->addr) : link->addrs.n_items > 0;
}

/* The host's addresses on the source's own bridge; of any of its replicas when only the identity is
 * known. */
static bool is_gateway(const struct ms_inventory *inventory, const struct ms_flow *flow)
{
	const struct ms_party *src = &flow->src;

	if (!inventory || flow->dst.kind != MS_PARTY_HOST)
		return false;
	if (src->endpoint)
		return link_holds(inventory, src->endpoint, &flow->dst);
	ms_vec_each (const struct ms_endpoint, endpoint, &inventory->endpoints)
		if (texts_equal(endpoint->env, src->env) &&
		    texts_equal(endpoint->service, src->service) &&
		    link_holds(inventory, endpoint, &flow->dst))
			return true;
	return false;
}

const struct ms_env *ms_find_resolver(const struct ms_policy *policy,
				      const struct ms_inventory *inventory,
				      const struct ms_flow *flow)
{
	if (flow->src.kind != MS_PARTY_SERVICE || flow->port != DNS_PORT ||
	    (flow->proto != IPPROTO_UDP && flow->proto != IPPROTO_TCP))
		return NULL;

	const struct ms_env *env = ms_policy_env(policy, flow->src.env);
	if (!env)
		return NULL;
	if (env->gateway_resolver && is_gateway(inventory, flow))
		return env;
	if (flow->dst.has_addr)
		return addrs_hold(&env->resolvers, &flow->dst.addr) ? env : NULL;
	return flow->dst.kind == MS_PARTY_HOST && any_is_host(&env->resolvers, inventory) ? env
											  : NULL;
}

const struct ms_env *ms_find_two_key(const struct ms_policy *policy, const struct ms_flow *flow)
{
	const struct ms_env *provider = ms_policy_env(policy, flow->dst.env);
	const struct ms_env *consumer = ms_policy_env(policy, flow->src.env);

	if (provider && provider->two_key)
		return provider;
	return consumer && consumer->two_key ? consumer : NULL;
}
