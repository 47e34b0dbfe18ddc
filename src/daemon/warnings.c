/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/warnings.h"

#include <string.h>

#include "microseg/cleanup.h"

#define MAX_WARNINGS 100 /* a status is no place for more */

/* Replicas of a service say the same. */
static bool is_there(const json_t *list, const char *text)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i,
			   item) if (strcmp(json_string_value(item), text) == 0) return true;
	return false;
}

/* The grant of the service that lets the host call this port, or NULL. */
static const struct ms_grant *lets_host_in(const struct ms_service *service,
					   const struct ms_ports *port)
{
	ms_vec_each (struct ms_grant, grant, &service->allow) {
		if (grant->peer.kind != MS_PEER_HOST)
			continue;
		ms_vec_each (struct ms_ports, ports, &grant->ports)
			if (ports->proto == port->proto && ports->first <= port->last &&
			    port->first <= ports->last)
				return grant;
	}
	return NULL;
}

static void warn(json_t *list, const struct ms_str *text)
{
	if (text->text && !text->failed && json_array_size(list) < MAX_WARNINGS &&
	    !is_there(list, text->text))
		json_array_append_new(list, json_string(text->text));
}

static void warn_of_proxy(json_t *list, const struct ms_service *service,
			  const struct ms_ports *port)
{
	const struct ms_grant *grant = lets_host_in(service, port);
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	char ports[MS_PORTS_TEXT_SIZE];

	if (!grant)
		return;
	ms_str_addf(
		&text,
		"%s is published by the engine for its %s, and %s:%u lets the host in: clients of the "
		"engine's userland proxy arrive as host, and pass",
		service->identity, ms_ports_format(port, ports),
		grant->at.file ? grant->at.file : "?", grant->at.line);
	warn(list, &text);
}

static void warn_of_renamed(json_t *list, const struct ms_inventory *inventory)
{
	ms_vec_each (struct ms_managed_link, link, &inventory->links) {
		_cleanup_(ms_str_fini) struct ms_str text = {0};

		if (!link->former)
			continue;
		ms_str_add(&text, "bridge ");
		ms_str_add_safe(&text, link->name);
		ms_str_add(&text, " was ");
		ms_str_add_safe(&text, link->former);
		ms_str_add(&text, " when it was managed, and stays managed, though no pattern "
				  "matches its new name: add that to interfaces.managed, or to "
				  "interfaces.ignore");
		warn(list, &text);
	}
}

json_t *ms_warnings(const struct ms_policy *policy, const struct ms_inventory *inventory,
		    bool memory_full)
{
	json_t *list = json_array();

	if (list && memory_full)
		json_array_append_new(
			list, json_string("more connections were cut than can be remembered: no "
					  "TCP connection is taken up for some days that did not "
					  "begin with its SYN"));
	if (!list || !inventory)
		return list;
	warn_of_renamed(list, inventory);
	if (!policy)
		return list;
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints) {
		const struct ms_service *service =
			endpoint->state == MS_ENDPOINT_IDENTIFIED
				? ms_policy_service(policy, endpoint->env, endpoint->service)
				: NULL;

		if (!service)
			continue;
		ms_vec_each (struct ms_workload, workload, &endpoint->workloads)
			ms_vec_each (struct ms_ports, port, &workload->published)
				warn_of_proxy(list, service, port);
	}
	return list;
}
