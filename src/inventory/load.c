/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load: a static inventory out of one YAML file, for CI, laptops and what-ifs.
 *
 * As strict as a policy: every mapping is read by a table of its keys, an unknown or missing one is
 * an error with its place, and all errors are reported. What a node would know and a file need not
 * say is filled in: a bridge for a network, the host's side of it, the patterns that make both
 * managed. The values of keys are read in load_values.c, endpoints in load_endpoints.c.
 */
#include "inventory/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"

/* Bridges: the host's own addresses on them. */

static void bridge_name(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			void *into)
{
	ms_inventory_read_interface(load, value, &((struct ms_managed_link *)into)->name, "name");
}

/* The length of a network behind an address, where there is one. */
static bool parse_len(struct ms_inventory_loading *load, const struct ms_yaml_node *item,
		      const char *slash, struct ms_prefix *prefix)
{
	uint64_t max = ms_addr_size(prefix->addr.ip) * 8, len = 0;
	const char *at = slash + 1;

	if (!*slash)
		return true;
	while (*at >= '0' && *at <= '9' && len <= max)
		len = len * 10 + (uint64_t)(*at++ - '0');
	if (*at || at == slash + 1 || len > max) {
		load_error(load, &item->at, "bad-address", "expected an address like 10.0.0.1/24",
			   "'%s' is not an address with the length of its network", item->text);
		return false;
	}
	prefix->len = (uint8_t)len;
	return true;
}

/* "10.0.0.1/24", as `ip address` shows it, or bare. */
static void bridge_addresses(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			     void *into)
{
	struct ms_managed_link *link = into;

	if (!ms_inventory_is_kind(load, value, MS_YAML_SEQUENCE, "addresses"))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		const struct ms_yaml_node *item = value->items.items[i];
		struct ms_prefix addr = {.len = 128};

		if (!ms_inventory_is_kind(load, item, MS_YAML_SCALAR, "an address"))
			continue;
		const char *bare = ms_arena_strndup(load->inventory->arena, item->text,
						    strcspn(item->text, "/"));
		if (!bare)
			load->out_of_memory = true;
		else if (ms_inventory_parse_addr(load, item, bare, &addr.addr) &&
			 parse_len(load, item, item->text + strlen(bare), &addr)) {
			load_push(load, &link->addrs, addr.addr);
			addr.addr = ms_prefix_range(&addr).first;
			if (!ms_prefix_is_addr(&addr))
				load_push(load, &link->nets, addr);
		}
	}
}

static const struct ms_inventory_key bridge_keys[] = {
	{"name", true, bridge_name},
	{"addresses", false, bridge_addresses},
};

static void read_bridge(struct ms_inventory_loading *load, const struct ms_yaml_node *node)
{
	struct ms_managed_link link = {.name = "", .bridge = true};

	READ_MAPPING(load, node, "a bridge", bridge_keys, &link);
	if (!*link.name)
		return;
	if (ms_inventory_link(load->inventory, link.name))
		load_error(load, &node->at, "duplicate-bridge", NULL, "bridge '%s' stands twice",
			   link.name);
	ms_vec_each (const struct ms_addr, addr, &link.addrs)
		load_push(load, &load->inventory->hosts, *addr);
	load_push(load, &load->inventory->links, link);
}

/* The document. */

static void document_version(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			     void *into)
{
	(void)into;
	if (ms_inventory_is_kind(load, value, MS_YAML_SCALAR, "apiVersion") &&
	    strcmp(value->text, "microseg/v1") != 0)
		load_error(load, &value->at, "bad-version", "expected microseg/v1",
			   "unknown apiVersion '%s'", value->text);
}

static void document_kind(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			  void *into)
{
	(void)into;
	if (ms_inventory_is_kind(load, value, MS_YAML_SCALAR, "kind") &&
	    strcmp(value->text, "Inventory") != 0)
		load_error(load, &value->at, "bad-kind", "expected Inventory",
			   "'%s' is not an inventory", value->text);
}

static void document_node(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			  void *into)
{
	ms_inventory_read_text(load, value, &((struct ms_inventory *)into)->node, "node");
}

static void document_hosts(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			   void *into)
{
	ms_inventory_read_addrs(load, value, &((struct ms_inventory *)into)->hosts, "hosts");
}

/* What only a node knows: written by ms_inventory_print(), so that a live node's inventory loses
 * nothing on its way. */

static void document_host_macs(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			       void *into)
{
	if (!ms_inventory_is_kind(load, value, MS_YAML_SEQUENCE, "host_macs"))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		struct ms_mac mac;

		if (ms_inventory_read_mac(load, value->items.items[i], &mac))
			load_push(load, &((struct ms_inventory *)into)->host_macs, mac);
	}
}

static void read_texts(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
		       ms_text_vec *into, const char *what)
{
	if (!ms_inventory_is_kind(load, value, MS_YAML_SEQUENCE, what))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		const char *text = NULL;

		ms_inventory_read_text(load, value->items.items[i], &text, what);
		if (text)
			load_push(load, into, text);
	}
}

static void document_patterns(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			      void *into)
{
	read_texts(load, value, &((struct ms_inventory *)into)->patterns, "patterns");
}

static void document_skipped(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			     void *into)
{
	read_texts(load, value, &((struct ms_inventory *)into)->skipped, "skipped");
}

static void document_bridges(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			     void *into)
{
	(void)into;
	if (ms_inventory_is_kind(load, value, MS_YAML_SEQUENCE, "bridges"))
		for (size_t i = 0; i < value->items.n_items; i++)
			read_bridge(load, value->items.items[i]);
}

static void document_endpoints(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			       void *into)
{
	(void)into;
	if (ms_inventory_is_kind(load, value, MS_YAML_SEQUENCE, "endpoints"))
		for (size_t i = 0; i < value->items.n_items; i++)
			ms_inventory_read_endpoint(load, value->items.items[i]);
	ms_inventory_check_interfaces(load);
}

static const struct ms_inventory_key document_keys[] = {
	{"apiVersion", true, document_version},	  {"kind", true, document_kind},
	{"node", false, document_node},		  {"hosts", false, document_hosts},
	{"bridges", false, document_bridges},	  {"endpoints", true, document_endpoints},
	{"patterns", false, document_patterns},	  {"skipped", false, document_skipped},
	{"host_macs", false, document_host_macs},
};

static int compare_links(const void *left, const void *right)
{
	const struct ms_managed_link *a = left, *b = right;
	int r = strcmp(a->name, b->name);

	return r ? r : b->bridge - a->bridge;
}

static bool is_given(const struct ms_managed_link *given, size_t n_given, const char *name)
{
	size_t low = 0, high = n_given;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = strcmp(given[middle].name, name);

		if (r == 0)
			return true;
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* What discovery would have seen and the file only implies: links for bridges and routed veths. */
static void add_implied_links(struct ms_inventory_loading *load)
{
	size_t n_given = load->inventory->links.n_items, n;

	ms_vec_sort(&load->inventory->links, compare_links);
	ms_vec_each (const struct ms_endpoint, endpoint, &load->inventory->endpoints) {
		bool port = *endpoint->bridge;
		const char *name = port ? endpoint->bridge : endpoint->interface;

		if (*name && !is_given(load->inventory->links.items, n_given, name))
			load_push(load, &load->inventory->links,
				  (struct ms_managed_link){.name = name, .bridge = port});
	}
	/* Many endpoints imply the same bridge. */
	struct ms_managed_link *links = load->inventory->links.items;

	if (load->inventory->links.n_items > n_given)
		qsort(links + n_given, load->inventory->links.n_items - n_given, sizeof(*links),
		      compare_links);
	n = n_given;
	for (size_t i = n_given; i < load->inventory->links.n_items; i++)
		if (n == n_given || strcmp(links[n - 1].name, links[i].name) != 0)
			links[n++] = links[i];
	load->inventory->links.n_items = n;
}

static void add_pattern_for(struct ms_inventory_loading *load, const char *name)
{
	ms_vec_each (const char *, pattern, &load->inventory->patterns)
		if (ms_glob_match(*pattern, name))
			return;
	if (*name)
		load_push(load, &load->inventory->patterns, name);
}

static void complete(struct ms_inventory_loading *load)
{
	bool given = load->inventory->patterns.n_items > 0;

	for (size_t i = 0; ms_default_patterns[i] && !given; i++)
		load_push(load, &load->inventory->patterns, ms_default_patterns[i]);
	add_implied_links(load);
	ms_vec_each (const struct ms_endpoint, endpoint, &load->inventory->endpoints)
		add_pattern_for(load, endpoint->interface);
	ms_vec_each (const struct ms_managed_link, link, &load->inventory->links)
		add_pattern_for(load, link->name);
	ms_inventory_canonicalize(load->inventory);
}

static int read_documents(struct ms_inventory_loading *load, const struct ms_yaml_file *yaml)
{
	const struct ms_origin start = {.file = load->file->name, .line = 1, .column = 1};

	if (yaml->documents.n_items == 0) {
		load_error(load, &start, "no-document", NULL, "there is no Inventory document");
		return -EINVAL;
	}
	READ_MAPPING(load, yaml->documents.items[0], "an Inventory document", document_keys,
		     load->inventory);
	if (yaml->documents.n_items > 1)
		load_error(load, &yaml->documents.items[1]->at, "second-document", NULL,
			   "a second document: an inventory file holds one node");
	return load->diags->n_errors ? -EINVAL : 0;
}

int ms_inventory_load(const struct ms_policy_file *file, struct ms_diags *diags,
		      struct ms_inventory **ret_inventory)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = ms_inventory_new();
	struct ms_inventory_loading load = {.file = file, .diags = diags, .inventory = inventory};
	struct ms_yaml_file yaml = {0};

	if (!inventory)
		return -ENOMEM;
	int r = ms_yaml_parse(inventory->arena, file, diags, &yaml);
	if (r == -ENOMEM)
		return r;
	if (r == 0 || yaml.documents.n_items)
		r = read_documents(&load, &yaml);
	if (r == 0)
		complete(&load);
	if (load.out_of_memory || diags->out_of_memory)
		return -ENOMEM;
	if (r < 0)
		return r;
	*ret_inventory = ms_steal(&inventory);
	return 0;
}
