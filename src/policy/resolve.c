/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resolve, theory of operation: destinations decide what a port's name means. A destination that is
 * one service gets the numbers and the names it has; one that is many services gets the numbers as
 * a whole, and a target of its own for each service that has one of the names. What has no port in
 * the end is no target.
 */
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/load.h"

static bool is_wildcard(const struct ms_peer *peer)
{
	return (peer->kind == MS_PEER_SERVICE || peer->kind == MS_PEER_SELF) && !peer->service;
}

/* The document of a peer that is one service, or NULL. */
static const struct ms_service *peer_service(const struct ms_load *load, const struct ms_peer *peer)
{
	if ((peer->kind != MS_PEER_SERVICE && peer->kind != MS_PEER_SELF) || !peer->env ||
	    !peer->service)
		return NULL;
	return ms_policy_service(load->policy, peer->env, peer->service);
}

static bool is_in(const struct ms_service *service, const struct ms_peer *peer)
{
	return !peer->env || strcmp(service->env, peer->env) == 0;
}

static void add_target(struct ms_load *load, const struct ms_peer *peer,
		       const ms_raw_port_vec *ports, bool ping, const struct ms_service *provider,
		       ms_target_vec *targets)
{
	struct ms_target target = {.peer = *peer};

	ms_ports_resolve(load, ports, provider, &target.ports);
	if (target.ports.n_items == 0)
		return;
	if (ping)
		ms_ports_add_ping(load, &target.ports);
	ms_load_push(load, targets, target);
}

/* The named ports of every service that @peer stands for. */
static void add_named_targets(struct ms_load *load, const struct ms_peer *peer,
			      const struct ms_raw_flow *flow, ms_target_vec *targets)
{
	ms_raw_port_vec names = {0};

	ms_vec_each (struct ms_raw_port, port, &flow->ports) {
		if (port->name)
			ms_load_push(load, &names, *port);
	}
	ms_vec_each (struct ms_service, service, &load->policy->services) {
		struct ms_peer one = *peer;

		one.kind = MS_PEER_SERVICE;
		one.env = service->env;
		one.service = service->name;
		if (is_in(service, peer))
			add_target(load, &one, &names, flow->ping, service, targets);
	}
}

void ms_load_targets(struct ms_load *load, const struct ms_raw_flow *flow, const char *env,
		     const char *service, ms_target_vec *targets)
{
	ms_vec_each (struct ms_raw_peer, raw, &flow->to) {
		struct ms_peer peer = ms_peer_bind(raw, env, service);

		add_target(load, &peer, &flow->ports, flow->ping, peer_service(load, &peer),
			   targets);
		if (is_wildcard(&peer) && ms_ports_have_names(&flow->ports))
			add_named_targets(load, &peer, flow, targets);
	}
}

static bool provider_has(const struct ms_load *load, const struct ms_peer *peer, const char *name)
{
	const struct ms_service *one = peer_service(load, peer);

	if (one || !is_wildcard(peer))
		return one && ms_service_port(one, name);
	ms_vec_each (struct ms_service, service, &load->policy->services) {
		if (is_in(service, peer) && ms_service_port(service, name))
			return true;
	}
	return false;
}

/* What the destinations do have, for the hint. */
static void list_ports(const struct ms_load *load, const struct ms_raw_flow *flow, const char *env,
		       const char *service, struct ms_str *hint)
{
	ms_vec_each (struct ms_raw_peer, raw, &flow->to) {
		struct ms_peer peer = ms_peer_bind(raw, env, service);
		const struct ms_service *provider = peer_service(load, &peer);

		if (!provider || provider->ports.n_items == 0)
			continue;
		ms_str_addf(hint, "%s%s has ", hint->len ? "; " : "", provider->identity);
		for (size_t i = 0; i < provider->ports.n_items; i++)
			ms_str_addf(hint, "%s%s", i ? ", " : "", provider->ports.items[i].name);
	}
	if (hint->len == 0)
		ms_str_add(
			hint,
			"write it out, as tcp/8080, or name it under ports: of the service called");
}

void ms_load_check_port_names(struct ms_load *load, const struct ms_raw_flow *flow, const char *env,
			      const char *service)
{
	if (flow->to.n_items == 0 || load->damaged)
		return;
	ms_vec_each (struct ms_raw_port, port, &flow->ports) {
		_cleanup_(ms_str_fini) struct ms_str hint = {0};
		bool known = !port->name;

		ms_vec_each (struct ms_raw_peer, raw, &flow->to) {
			struct ms_peer peer = ms_peer_bind(raw, env, service);

			known = known || provider_has(load, &peer, port->name);
		}
		if (known)
			continue;
		list_ports(load, flow, env, service, &hint);
		ms_load_error(load, &port->at, "unknown-port", hint.text,
			      "no destination has a port called '%s'", port->name);
	}
}

static int compare_texts(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Does an endpoint bear this identity? */
static bool is_borne(struct ms_load *load, const struct ms_peer *peer)
{
	if (!load->borne || load->borne->n_items == 0)
		return false;
	const char *identity = ms_load_printf(load, "%s/%s", peer->env, peer->service);
	return bsearch(&identity, load->borne->items, load->borne->n_items, sizeof(identity),
		       compare_texts);
}

void ms_load_check_services(struct ms_load *load, const ms_raw_peer_vec *peers, const char *env,
			    bool first)
{
	if (load->damaged)
		return;
	ms_vec_each (struct ms_raw_peer, raw, peers) {
		_cleanup_(ms_str_fini) struct ms_str hint = {0};
		MS_VEC(const char *) names = {0};
		struct ms_peer peer = ms_peer_bind(raw, env, NULL);

		if (peer.kind != MS_PEER_SERVICE || !peer.service || !peer.env ||
		    (!first && !raw->bare) || peer_service(load, &peer) || is_borne(load, &peer))
			continue;
		ms_vec_each (struct ms_service, service, &load->policy->services) {
			if (is_in(service, &peer))
				ms_load_push(load, &names, service->name);
		}
		ms_load_suggest(&hint, peer.service, names.items, names.n_items,
				"it matches nothing unless an endpoint bears this name");
		ms_load_warn(load, &peer.at, "unknown-service", hint.text,
			     "no document describes %s/%s", peer.env, peer.service);
	}
}
