/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Load: the endpoints of an inventory. */
#include "inventory/load.h"

#include <string.h>

/* Workloads: the container of an endpoint, and further ones in its namespace. */

static void workload_name(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			  void *into)
{
	ms_inventory_read_text(load, value, &((struct ms_workload *)into)->name, "name");
}

static void workload_id(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			void *into)
{
	ms_inventory_read_text(load, value, &((struct ms_workload *)into)->id, "id");
}

static void workload_image(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			   void *into)
{
	ms_inventory_read_text(load, value, &((struct ms_workload *)into)->image, "image");
}

static void workload_runtime(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			     void *into)
{
	ms_inventory_read_text(load, value, &((struct ms_workload *)into)->runtime, "runtime");
}

static void workload_labels(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			    void *into)
{
	struct ms_workload *workload = into;

	if (!ms_inventory_is_kind(load, value, MS_YAML_MAPPING, "labels"))
		return;
	ms_vec_each (const struct ms_yaml_entry, entry, &value->entries)
		if (ms_inventory_is_kind(load, entry->value, MS_YAML_SCALAR,
					 "the value of a label"))
			load_push(load, &workload->labels,
				  (struct ms_label){entry->key->text, entry->value->text});
}

static const struct ms_inventory_key workload_keys[] = {
	{"name", true, workload_name},	    {"id", false, workload_id},
	{"image", false, workload_image},   {"runtime", false, workload_runtime},
	{"labels", false, workload_labels},
};

static const struct ms_workload static_workload = {
	.name = "", .id = "", .image = "", .runtime = "static"};

/* Endpoints. `first` is the container that the endpoint's own keys describe. */
struct endpoint_draft {
	struct ms_endpoint endpoint;
	struct ms_workload first;
};

static void endpoint_name(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			  void *into)
{
	workload_name(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_id(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			void *into)
{
	workload_id(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_image(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			   void *into)
{
	workload_image(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_runtime(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			     void *into)
{
	workload_runtime(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_labels(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			    void *into)
{
	workload_labels(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_interface(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			       void *into)
{
	ms_inventory_read_interface(
		load, value, &((struct endpoint_draft *)into)->endpoint.interface, "interface");
}

static void endpoint_bridge(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			    void *into)
{
	ms_inventory_read_interface(load, value, &((struct endpoint_draft *)into)->endpoint.bridge,
				    "bridge");
}

static void endpoint_network(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			     void *into)
{
	ms_inventory_read_text(load, value, &((struct endpoint_draft *)into)->endpoint.network,
			       "network");
}

static void endpoint_mac(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			 void *into)
{
	ms_inventory_read_mac(load, value, &((struct endpoint_draft *)into)->endpoint.mac);
}

static void endpoint_addresses(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			       void *into)
{
	ms_inventory_read_addrs(load, value, &((struct endpoint_draft *)into)->endpoint.addrs,
				"addresses");
}

static void endpoint_workloads(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			       void *into)
{
	struct endpoint_draft *draft = into;

	if (!ms_inventory_is_kind(load, value, MS_YAML_SEQUENCE, "workloads"))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		struct ms_workload workload = static_workload;

		READ_MAPPING(load, value->items.items[i], "a workload", workload_keys, &workload);
		load_push(load, &draft->endpoint.workloads, workload);
	}
}

static const struct ms_inventory_key endpoint_keys[] = {
	{"name", true, endpoint_name},
	{"interface", false, endpoint_interface},
	{"bridge", false, endpoint_bridge},
	{"network", false, endpoint_network},
	{"mac", false, endpoint_mac},
	{"addresses", true, endpoint_addresses},
	{"id", false, endpoint_id},
	{"image", false, endpoint_image},
	{"runtime", false, endpoint_runtime},
	{"labels", false, endpoint_labels},
	{"workloads", false, endpoint_workloads},
};

/* "br-" and twelve digits made of the network's name, as Docker's own bridges look, where the name
 * itself is none. */
static const char *bridge_of_network(struct ms_inventory_loading *load, const char *network)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	if (!*network || ms_inventory_is_interface(network))
		return network;
	for (const char *c = network; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 1099511628211u;
	const char *name = ms_arena_printf(load->inventory->arena, "br-%012llx",
					   (unsigned long long)(hash & 0xffffffffffffu));
	if (!name)
		load->out_of_memory = true;
	return name;
}

void ms_inventory_read_endpoint(struct ms_inventory_loading *load, const struct ms_yaml_node *node)
{
	struct endpoint_draft draft = {
		.endpoint = {.interface = "", .network = "", .ready = true},
		.first = static_workload,
	};
	struct ms_endpoint *endpoint = &draft.endpoint;

	READ_MAPPING(load, node, "an endpoint", endpoint_keys, &draft);
	endpoint->name = draft.first.name;
	if (!endpoint->bridge)
		endpoint->bridge = bridge_of_network(load, endpoint->network);
	load_push(load, &endpoint->workloads, draft.first);

	if (*endpoint->interface)
		load_push(load, &load->interfaces,
			  (struct ms_inventory_use){endpoint->interface, endpoint->name, node->at});
	load_push(load, &load->inventory->endpoints, draft.endpoint);
}

static int compare_uses(const void *left, const void *right)
{
	const struct ms_inventory_use *a = left, *b = right;
	int r = strcmp(a->interface, b->interface);

	return r ? r : (a->at.line > b->at.line) - (a->at.line < b->at.line);
}

void ms_inventory_check_interfaces(struct ms_inventory_loading *load)
{
	ms_vec_sort(&load->interfaces, compare_uses);
	for (size_t i = 1; i < load->interfaces.n_items; i++) {
		const struct ms_inventory_use *first = &load->interfaces.items[i - 1],
					      *again = first + 1;

		if (strcmp(first->interface, again->interface) == 0)
			load_error(load, &again->at, "duplicate-interface", NULL,
				   "endpoint '%s' has interface %s, as '%s' has", again->endpoint,
				   again->interface, first->endpoint);
	}
}
