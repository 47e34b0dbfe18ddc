/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <netinet/in.h>
#include <string.h>

#include "policy/load.h"

void ms_load_port_map(struct ms_load *load, const struct ms_yaml_node *mapping,
		      struct ms_service_document *document)
{
	if (!mapping || mapping->kind != MS_YAML_MAPPING)
		return;
	ms_vec_each (struct ms_yaml_entry, entry, &mapping->entries) {
		struct ms_named_port port = {.name = entry->key->text, .at = entry->key->at};
		const char *text = ms_load_scalar(entry->value);

		/* A name with a bad port is kept, so that its uses are no errors of their own. */
		if (text)
			(void)ms_ports_parse(text, &port.ports);
		if (ms_name_valid(port.name))
			ms_load_push(load, &document->ports, port);
	}
}

void ms_load_ports(struct ms_load *load, const struct ms_yaml_node *value, ms_raw_port_vec *ports)
{
	const char *only = ms_load_scalar(value);
	const struct ms_yaml_node *item;

	if (only && strcmp(only, "any") == 0) {
		for (size_t i = 0; i < 5; i++) {
			struct ms_raw_port port = {.ports = ms_ports_any[i], .at = value->at};

			ms_load_push(load, ports, port);
		}
		return;
	}
	for (size_t i = 0; (item = ms_load_item(value, i)); i++) {
		struct ms_raw_port port = {.at = item->at};
		const char *text = ms_load_scalar(item);

		if (!text)
			continue;
		if (ms_ports_parse(text, &port.ports) == 0) {
			ms_load_push(load, ports, port);
		} else if (ms_name_valid(text)) {
			port.name = text;
			ms_load_push(load, ports, port);
		}
	}
}

const struct ms_named_port *ms_service_port(const struct ms_service *service, const char *name)
{
	ms_vec_each (struct ms_named_port, port, &service->ports) {
		if (strcmp(port->name, name) == 0)
			return port;
	}
	return NULL;
}

void ms_ports_resolve(struct ms_load *load, const ms_raw_port_vec *raw,
		      const struct ms_service *provider, ms_ports_vec *ports)
{
	ms_vec_each (struct ms_raw_port, port, raw) {
		const struct ms_named_port *named = NULL;

		if (!port->name) {
			ms_load_push(load, ports, port->ports);
			continue;
		}
		if (provider)
			named = ms_service_port(provider, port->name);
		if (named)
			ms_load_push(load, ports, named->ports);
	}
	ms_ports_normalize(ports);
}

bool ms_ports_have_names(const ms_raw_port_vec *raw)
{
	ms_vec_each (struct ms_raw_port, port, raw) {
		if (port->name)
			return true;
	}
	return false;
}

void ms_ports_add_ping(struct ms_load *load, ms_ports_vec *ports)
{
	static const struct ms_ports requests[] = {{IPPROTO_ICMP, 8, 8},
						   {IPPROTO_ICMPV6, 128, 128}};

	for (size_t i = 0; i < 2; i++)
		ms_load_push(load, ports, requests[i]);
	ms_ports_normalize(ports);
}
