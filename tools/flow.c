/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flow.h"

#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"

#define NODE_PREFIX "node/"

static int fail(struct ms_str *error, const char *text, const char *why)
{
	ms_str_add_char(error, '\'');
	ms_str_add_safe(error, text);
	ms_str_addf(error, "': %s", why);
	return -EINVAL;
}

static int parse_addr(const struct flow_context *context, const struct ms_addr *addr,
		      struct ms_party *ret_party)
{
	/* What a service carries comes through that, not from outside. */
	bool carried = ms_ranges_contain(&context->policy->carried, addr);

	*ret_party = ms_party_of_addr(context->policy, context->inventory, addr, carried);
	return 0;
}

static int unknown_env(const struct flow_context *context, const char *text, const char *env,
		       struct ms_str *error)
{
	_cleanup_(ms_str_fini) struct ms_str why = {0};
	ms_text_vec names = {0};

	ms_vec_each (struct ms_env, known, &context->policy->envs)
		(void)!ms_vec_push(&names, known->name);
	const char *nearest = ms_nearest_word(env, names.items, names.n_items);

	ms_str_addf(&why, "no environment '%s'", env);
	if (nearest)
		ms_str_addf(&why, "; did you mean '%s'?", nearest);
	ms_vec_fini(&names);
	return fail(error, text, why.text ? why.text : "");
}

/* The texts of a party are borrowed: the environment's stands in the policy, the service's is the
 * end of @text. */
static int parse_identity(const struct flow_context *context, const char *text, const char *slash,
			  struct ms_party *ret_party, struct ms_str *error)
{
	_cleanup_(freep) char *name = strndup(text, (size_t)(slash - text));
	const struct ms_env *env = name ? ms_policy_env(context->policy, name) : NULL;

	if (!name)
		return -ENOMEM;
	if (!env)
		return unknown_env(context, text, name, error);
	if (!ms_name_valid(slash + 1))
		return fail(error, text, "this is no service name");
	*ret_party =
		(struct ms_party){.kind = MS_PARTY_SERVICE, .env = env->name, .service = slash + 1};
	return 0;
}

static const struct ms_endpoint *find_endpoint(const struct ms_inventory *inventory,
					       const char *name)
{
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints) {
		if (strcmp(endpoint->name, name) == 0 || strcmp(endpoint->interface, name) == 0)
			return endpoint;
		ms_vec_each (struct ms_workload, workload, &endpoint->workloads)
			if (strcmp(workload->name, name) == 0)
				return endpoint;
	}
	return NULL;
}

int flow_parse_party(const struct flow_context *context, const char *text,
		     struct ms_party *ret_party, struct ms_str *error)
{
	const struct ms_endpoint *endpoint = find_endpoint(context->inventory, text);
	const char *slash = strchr(text, '/');
	struct ms_addr addr;

	if (!*text)
		return fail(error, text, "an end of a flow has a name");
	if (strcmp(text, "host") == 0) {
		*ret_party = (struct ms_party){.kind = MS_PARTY_HOST};
		return 0;
	}
	if (strcmp(text, "unidentified") == 0) {
		*ret_party = (struct ms_party){.kind = MS_PARTY_UNIDENTIFIED};
		return 0;
	}
	if (ms_addr_parse(text, &addr) == 0)
		return parse_addr(context, &addr, ret_party);
	if (endpoint) {
		*ret_party = ms_party_of_endpoint(endpoint);
		return 0;
	}
	if (strncmp(text, NODE_PREFIX, strlen(NODE_PREFIX)) == 0) {
		*ret_party = (struct ms_party){.kind = MS_PARTY_NODE,
					       .node = text + strlen(NODE_PREFIX)};
		return 0;
	}
	if (slash)
		return parse_identity(context, text, slash, ret_party, error);
	return fail(
		error, text,
		"expected ENV/SERVICE, host, node/NAME, unidentified, an address, or an endpoint of the inventory");
}

void flow_doubt_party(const struct flow_context *context, const struct ms_party *party,
		      struct ms_str *out)
{
	ms_text_vec names = {0};

	if (party->kind != MS_PARTY_SERVICE ||
	    ms_policy_service(context->policy, party->env, party->service))
		return;
	ms_vec_each (struct ms_endpoint, endpoint, &context->inventory->endpoints) {
		if (!endpoint->env || strcmp(endpoint->env, party->env) != 0)
			continue;
		if (strcmp(endpoint->service, party->service) == 0) {
			ms_vec_fini(&names);
			return;
		}
		(void)!ms_vec_push(&names, endpoint->service);
	}
	ms_vec_each (struct ms_service, service, &context->policy->services)
		if (strcmp(service->env, party->env) == 0)
			(void)!ms_vec_push(&names, service->name);
	const char *nearest = ms_nearest_word(party->service, names.items, names.n_items);

	ms_str_add(out, "neither the policy nor an endpoint has the service ");
	flow_print_party(party, out);
	if (nearest)
		ms_str_addf(out, "; did you mean '%s/%s'?", party->env, nearest);
	ms_vec_fini(&names);
}

static const struct ms_ports *find_port(const struct flow_context *context,
					const struct ms_party *dst, const char *name)
{
	const struct ms_service *service =
		dst->kind == MS_PARTY_SERVICE
			? ms_policy_service(context->policy, dst->env, dst->service)
			: NULL;

	if (service)
		ms_vec_each (struct ms_named_port, port, &service->ports)
			if (strcmp(port->name, name) == 0)
				return &port->ports;
	return NULL;
}

int flow_parse_port(const struct flow_context *context, const struct ms_party *dst,
		    const char *text, uint8_t *ret_proto, uint16_t *ret_port, struct ms_str *error)
{
	const struct ms_ports *named = find_port(context, dst, text);
	struct ms_ports ports;

	if (named)
		ports = *named;
	else if (ms_ports_parse(text, &ports) < 0)
		return fail(
			error, text,
			"expected tcp|udp|sctp/PORT, icmp|icmp6/TYPE, proto/NUMBER, or the name of a "
			"port of the destination");
	if (ports.first != ports.last)
		return fail(error, text, "expected one port, not a range");
	*ret_proto = ports.proto;
	*ret_port = ports.first;
	return 0;
}

void flow_print_party(const struct ms_party *party, struct ms_str *out)
{
	char text[MS_ADDR_TEXT_SIZE];

	switch (party->kind) {
	case MS_PARTY_SERVICE:
		ms_str_addf(out, "%s/", party->env);
		ms_str_add_safe(out, party->service);
		return;
	case MS_PARTY_UNIDENTIFIED:
		ms_str_add(out, "unidentified");
		return;
	case MS_PARTY_HOST:
		ms_str_add(out, "host");
		return;
	case MS_PARTY_NODE:
		ms_str_add(out, NODE_PREFIX);
		ms_str_add_safe(out, party->node ? party->node : "*");
		return;
	case MS_PARTY_NET:
		ms_str_addf(out, "%s (net)", ms_addr_format(&party->addr, text));
		return;
	}
}

void flow_print(const struct ms_flow *flow, struct ms_str *out)
{
	struct ms_ports ports = {.proto = flow->proto, .first = flow->port, .last = flow->port};
	char text[MS_PORTS_TEXT_SIZE];

	flow_print_party(&flow->src, out);
	ms_str_add(out, " -> ");
	flow_print_party(&flow->dst, out);
	ms_str_addf(out, " %s%s", ms_ports_format(&ports, text),
		    flow->published ? " (published)" : "");
}
