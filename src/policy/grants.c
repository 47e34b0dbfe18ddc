/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/load.h"

static void add_allow(struct ms_load *load, struct ms_service *service,
		      const struct ms_raw_flow *flow)
{
	struct ms_grant grant = {
		.at = flow->at, .published = flow->published, .reason = flow->reason};

	ms_ports_resolve(load, &flow->ports, service, &grant.ports);
	if (grant.ports.n_items == 0)
		return;
	if (flow->ping)
		ms_ports_add_ping(load, &grant.ports);
	ms_vec_each (struct ms_raw_peer, raw, &flow->from) {
		grant.peer = ms_peer_bind(raw, service->env, service->name);
		ms_load_push(load, &service->allow, grant);
	}
}

static void add_need(struct ms_load *load, struct ms_service *service,
		     const struct ms_raw_flow *flow)
{
	ms_target_vec targets = {0};

	ms_load_targets(load, flow, service->env, service->name, &targets);
	ms_vec_each (struct ms_target, target, &targets) {
		struct ms_grant grant = {.peer = target->peer,
					 .ports = target->ports,
					 .at = flow->at,
					 .reason = flow->reason};

		ms_load_push(load, &service->needs, grant);
	}
}

static void join(struct ms_load *load, const struct ms_service_document *document,
		 struct ms_service *service)
{
	size_t n_allowed = 0;

	ms_vec_each (struct ms_raw_flow, allow, &document->allow)
		n_allowed += allow->from.n_items;
	ms_load_reserve(load, &service->allow, n_allowed);
	ms_vec_each (struct ms_raw_flow, allow, &document->allow)
		add_allow(load, service, allow);
	ms_vec_each (struct ms_raw_flow, need, &document->needs)
		add_need(load, service, need);
}

static bool is_own(const struct ms_service_document *document, const struct ms_service *service)
{
	return document->name && strcmp(document->name, service->name) == 0;
}

static bool stands_in(const struct ms_service_document *document, const struct ms_service *service)
{
	for (size_t i = 0; i < document->envs.n_items; i++)
		if (strcmp(document->envs.items[i]->name, service->env) == 0)
			return true;
	return false;
}

/* Has the document, or a service that it is joined to, a port of this name? */
static bool allow_has(const struct ms_load *load, const struct ms_service_document *document,
		      const char *name)
{
	ms_vec_each (struct ms_named_port, port, &document->ports) {
		if (strcmp(port->name, name) == 0)
			return true;
	}
	ms_vec_each (struct ms_service, service, &load->policy->services) {
		if ((!document->name || is_own(document, service)) &&
		    stands_in(document, service) && ms_service_port(service, name))
			return true;
	}
	return false;
}

static void check_allow_ports(struct ms_load *load, const struct ms_service_document *document,
			      const struct ms_raw_flow *flow)
{
	ms_vec_each (struct ms_raw_port, port, &flow->ports) {
		_cleanup_(ms_str_fini) struct ms_str hint = {0};
		MS_VEC(const char *) names = {0};

		if (!port->name || allow_has(load, document, port->name))
			continue;
		if (!document->name && load->damaged)
			continue;
		ms_vec_each (struct ms_named_port, known, &document->ports)
			ms_load_push(load, &names, known->name);
		ms_load_suggest(
			&hint, port->name, names.items, names.n_items,
			"name it under ports: of this document, or write it out, as tcp/8080");
		ms_load_error(load, &port->at, "unknown-port", hint.text,
			      "%s has no port called '%s'",
			      document->name ? document->name : "no service", port->name);
	}
}

/* Of a list of environments, the first one in which a name means nothing is reported, not each. */
static void check_flows(struct ms_load *load, const struct ms_service_document *document,
			const ms_raw_flow_vec *flows)
{
	ms_vec_each (struct ms_raw_flow, flow, flows) {
		size_t n_errors = load->diags->n_errors;

		for (size_t i = 0; i < document->envs.n_items && load->diags->n_errors == n_errors;
		     i++)
			ms_load_check_port_names(load, flow, document->envs.items[i]->name,
						 document->name);
		for (size_t i = 0; i < document->envs.n_items; i++) {
			const char *env = document->envs.items[i]->name;

			ms_load_check_services(load, &flow->from, env, i == 0);
			ms_load_check_services(load, &flow->to, env, i == 0);
		}
	}
}

static void check_document(struct ms_load *load, const struct ms_service_document *document)
{
	ms_vec_each (struct ms_raw_flow, allow, &document->allow)
		check_allow_ports(load, document, allow);
	check_flows(load, document, &document->allow);
	check_flows(load, document, &document->needs);
	check_flows(load, document, &document->tests);
}

/* The service that a document of its own name makes in @env. */
static struct ms_service *own_service(const struct ms_load *load,
				      const struct ms_service_document *document,
				      const struct ms_env *env)
{
	const struct ms_service *service =
		ms_policy_service(load->policy, env->name, document->name);

	return service ? load->policy->services.items + (service - load->policy->services.items)
		       : NULL;
}

static void join_all(struct ms_load *load, const struct ms_service_document *document)
{
	ms_vec_each (struct ms_service, service, &load->policy->services) {
		if (stands_in(document, service))
			join(load, document, service);
	}
}

void ms_load_grants(struct ms_load *load)
{
	ms_vec_each (struct ms_service_document, document, &load->services) {
		check_document(load, document);
		if (!document->name)
			join_all(load, document);
		for (size_t i = 0; document->name && i < document->envs.n_items; i++) {
			struct ms_service *service =
				own_service(load, document, document->envs.items[i]);

			if (service)
				join(load, document, service);
		}
	}
}
