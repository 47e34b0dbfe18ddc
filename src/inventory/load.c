/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load: a static inventory out of one YAML file, for CI, laptops and what-ifs.
 *
 * As strict as a policy: every mapping is read by a table of its keys, an unknown or missing one is
 * an error with its place, and all errors are reported. What a node would know and a file need not
 * say is filled in: a bridge for a network, the host's side of it, the patterns that make both
 * managed.
 */
#include "microseg/inventory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/yaml.h"

/* An endpoint's interface and where it was written. */
struct interface_use {
	const char *interface;
	const char *endpoint;
	struct ms_origin at;
};

struct load {
	const struct ms_policy_file *file;
	struct ms_diags *diags;
	struct ms_inventory *inventory;
	bool out_of_memory;
	MS_VEC(struct interface_use) interfaces;
};

/* One key of a mapping: @read puts its value into @into, whatever that is for this mapping. */
struct key {
	const char *name;
	bool required;
	void (*read)(struct load *load, const struct ms_yaml_node *value, void *into);
};

#define KEYS_MAX 16

#define push(load, vec, ...)                                                                       \
	do {                                                                                       \
		if (ms_avec_push((load)->inventory->arena, vec, __VA_ARGS__) < 0)                  \
			(load)->out_of_memory = true;                                              \
	} while (0)

#define error(load, at, code, hint, ...)                                                           \
	ms_yaml_error((load)->file, (load)->diags, at, code, hint, __VA_ARGS__)

static bool is_kind(struct load *load, const struct ms_yaml_node *node, enum ms_yaml_kind kind,
		    const char *what)
{
	static const char *const names[] = {
		[MS_YAML_SCALAR] = "a text",
		[MS_YAML_SEQUENCE] = "a list",
		[MS_YAML_MAPPING] = "a mapping",
	};

	if (node->kind == kind)
		return true;
	error(load, &node->at, "wrong-type", NULL, "%s must be %s, not %s", what, names[kind],
	      names[node->kind]);
	return false;
}

static const struct key *find_key(const struct key *keys, size_t n_keys, const char *name)
{
	for (size_t i = 0; i < n_keys; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static void unknown_key(struct load *load, const struct ms_yaml_node *key, const struct key *keys,
			size_t n_keys)
{
	_cleanup_(ms_str_fini) struct ms_str hint = {0};
	const char *names[KEYS_MAX];

	for (size_t i = 0; i < n_keys && i < KEYS_MAX; i++)
		names[i] = keys[i].name;
	const char *nearest = ms_nearest_word(key->text, names, n_keys);

	if (nearest)
		ms_str_addf(&hint, "did you mean '%s'?", nearest);
	for (size_t i = 0; !nearest && i < n_keys; i++)
		ms_str_addf(&hint, "%s%s", i ? ", " : "expected one of: ", names[i]);
	error(load, &key->at, "unknown-key", hint.text, "unknown key '%s'", key->text);
}

static void read_mapping(struct load *load, const struct ms_yaml_node *node, const char *what,
			 const struct key *keys, size_t n_keys, void *into)
{
	if (!is_kind(load, node, MS_YAML_MAPPING, what))
		return;
	ms_vec_each (const struct ms_yaml_entry, entry, &node->entries) {
		const struct key *key = find_key(keys, n_keys, entry->key->text);

		if (key)
			key->read(load, entry->value, into);
		else
			unknown_key(load, entry->key, keys, n_keys);
	}
	for (size_t i = 0; i < n_keys; i++)
		if (keys[i].required && !ms_yaml_get(node, keys[i].name))
			error(load, &node->at, "missing-key", NULL, "%s lacks the key '%s'", what,
			      keys[i].name);
}

#define READ_MAPPING(load, node, what, keys, into)                                                 \
	({                                                                                         \
		_Static_assert(sizeof(keys) / sizeof(*(keys)) <= KEYS_MAX, "raise KEYS_MAX");      \
		read_mapping(load, node, what, keys, sizeof(keys) / sizeof(*(keys)), into);        \
	})

/* Texts live in the tree, and the tree in the inventory's arena. */
static void read_text(struct load *load, const struct ms_yaml_node *value, const char **into,
		      const char *what)
{
	if (is_kind(load, value, MS_YAML_SCALAR, what))
		*into = value->text;
}

static bool parse_addr(struct load *load, const struct ms_yaml_node *node, const char *text,
		       struct ms_addr *ret_addr)
{
	if (ms_addr_parse(text, ret_addr) < 0) {
		error(load, &node->at, "bad-address",
		      "an IPv4 or IPv6 address, e.g. 10.0.0.5 or \"fd00::5\"",
		      "'%s' is not an address", node->text);
		return false;
	}
	if (ms_addr_is_multicast(ret_addr) || ms_addr_is_loopback(ret_addr) ||
	    ms_addr_is_unspecified(ret_addr)) {
		error(load, &node->at, "bad-address", NULL,
		      "'%s' cannot be the address of an interface", text);
		return false;
	}
	return true;
}

static void read_addrs(struct load *load, const struct ms_yaml_node *value, ms_addr_vec *into,
		       const char *what)
{
	if (!is_kind(load, value, MS_YAML_SEQUENCE, what))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		const struct ms_yaml_node *item = value->items.items[i];
		struct ms_addr addr;

		if (is_kind(load, item, MS_YAML_SCALAR, "an address") &&
		    parse_addr(load, item, item->text, &addr))
			push(load, into, addr);
	}
}

/* The kernel's rule for interface names (dev_valid_name), and no '*' or quote that would mean
 * something to nft. */
static bool is_interface_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < MS_IFNAME_SIZE && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0 &&
	       strspn(name,
		      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@#=,~") ==
		       len;
}

static void read_interface_name(struct load *load, const struct ms_yaml_node *value,
				const char **into, const char *what)
{
	const char *name = NULL;

	read_text(load, value, &name, what);
	if (name && *name && !is_interface_name(name))
		error(load, &value->at, "bad-interface", "at most 15 letters, digits and ._-",
		      "'%s' cannot be the name of an interface", name);
	else if (name)
		*into = name;
}

/* Workloads: the container of an endpoint, and further ones in its namespace. */

static void workload_name(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_text(load, value, &((struct ms_workload *)into)->name, "name");
}

static void workload_id(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_text(load, value, &((struct ms_workload *)into)->id, "id");
}

static void workload_image(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_text(load, value, &((struct ms_workload *)into)->image, "image");
}

static void workload_runtime(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_text(load, value, &((struct ms_workload *)into)->runtime, "runtime");
}

static void workload_labels(struct load *load, const struct ms_yaml_node *value, void *into)
{
	struct ms_workload *workload = into;

	if (!is_kind(load, value, MS_YAML_MAPPING, "labels"))
		return;
	ms_vec_each (const struct ms_yaml_entry, entry, &value->entries)
		if (is_kind(load, entry->value, MS_YAML_SCALAR, "the value of a label"))
			push(load, &workload->labels,
			     (struct ms_label){entry->key->text, entry->value->text});
}

static const struct key workload_keys[] = {
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

static void endpoint_name(struct load *load, const struct ms_yaml_node *value, void *into)
{
	workload_name(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_id(struct load *load, const struct ms_yaml_node *value, void *into)
{
	workload_id(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_image(struct load *load, const struct ms_yaml_node *value, void *into)
{
	workload_image(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_runtime(struct load *load, const struct ms_yaml_node *value, void *into)
{
	workload_runtime(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_labels(struct load *load, const struct ms_yaml_node *value, void *into)
{
	workload_labels(load, value, &((struct endpoint_draft *)into)->first);
}

static void endpoint_interface(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_interface_name(load, value, &((struct endpoint_draft *)into)->endpoint.interface,
			    "interface");
}

static void endpoint_bridge(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_interface_name(load, value, &((struct endpoint_draft *)into)->endpoint.bridge,
			    "bridge");
}

static void endpoint_network(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_text(load, value, &((struct endpoint_draft *)into)->endpoint.network, "network");
}

static bool read_mac(struct load *load, const struct ms_yaml_node *value, struct ms_mac *into)
{
	if (!is_kind(load, value, MS_YAML_SCALAR, "mac"))
		return false;
	if (ms_mac_parse(value->text, into) == 0)
		return true;
	error(load, &value->at, "bad-mac", "e.g. \"02:42:0a:00:00:05\"",
	      "'%s' is not a MAC address", value->text);
	return false;
}

static void endpoint_mac(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_mac(load, value, &((struct endpoint_draft *)into)->endpoint.mac);
}

static void endpoint_addresses(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_addrs(load, value, &((struct endpoint_draft *)into)->endpoint.addrs, "addresses");
}

static void endpoint_workloads(struct load *load, const struct ms_yaml_node *value, void *into)
{
	struct endpoint_draft *draft = into;

	if (!is_kind(load, value, MS_YAML_SEQUENCE, "workloads"))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		struct ms_workload workload = static_workload;

		READ_MAPPING(load, value->items.items[i], "a workload", workload_keys, &workload);
		push(load, &draft->endpoint.workloads, workload);
	}
}

static const struct key endpoint_keys[] = {
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
static const char *bridge_of_network(struct load *load, const char *network)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */

	if (!*network || is_interface_name(network))
		return network;
	for (const char *c = network; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 1099511628211u;
	const char *name = ms_arena_printf(load->inventory->arena, "br-%012llx",
					   (unsigned long long)(hash & 0xffffffffffffu));
	if (!name)
		load->out_of_memory = true;
	return name;
}

static void read_endpoint(struct load *load, const struct ms_yaml_node *node)
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
	push(load, &endpoint->workloads, draft.first);

	if (*endpoint->interface)
		push(load, &load->interfaces,
		     (struct interface_use){endpoint->interface, endpoint->name, node->at});
	push(load, &load->inventory->endpoints, draft.endpoint);
}

static int compare_uses(const void *left, const void *right)
{
	const struct interface_use *a = left, *b = right;
	int r = strcmp(a->interface, b->interface);

	return r ? r : (a->at.line > b->at.line) - (a->at.line < b->at.line);
}

static void check_interfaces(struct load *load)
{
	ms_vec_sort(&load->interfaces, compare_uses);
	for (size_t i = 1; i < load->interfaces.n_items; i++) {
		const struct interface_use *first = &load->interfaces.items[i - 1],
					   *again = first + 1;

		if (strcmp(first->interface, again->interface) == 0)
			error(load, &again->at, "duplicate-interface", NULL,
			      "endpoint '%s' has interface %s, as '%s' has", again->endpoint,
			      again->interface, first->endpoint);
	}
}

/* Bridges: the host's own addresses on them. */

static void bridge_name(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_interface_name(load, value, &((struct ms_managed_link *)into)->name, "name");
}

/* The length of a network behind an address, where there is one. */
static bool parse_len(struct load *load, const struct ms_yaml_node *item, const char *slash,
		      struct ms_prefix *prefix)
{
	uint64_t max = ms_addr_size(prefix->addr.ip) * 8, len = 0;
	const char *at = slash + 1;

	if (!*slash)
		return true;
	while (*at >= '0' && *at <= '9' && len <= max)
		len = len * 10 + (uint64_t)(*at++ - '0');
	if (*at || at == slash + 1 || len > max) {
		error(load, &item->at, "bad-address", "expected an address like 10.0.0.1/24",
		      "'%s' is not an address with the length of its network", item->text);
		return false;
	}
	prefix->len = (uint8_t)len;
	return true;
}

/* "10.0.0.1/24", as `ip address` shows it, or bare. */
static void bridge_addresses(struct load *load, const struct ms_yaml_node *value, void *into)
{
	struct ms_managed_link *link = into;

	if (!is_kind(load, value, MS_YAML_SEQUENCE, "addresses"))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		const struct ms_yaml_node *item = value->items.items[i];
		struct ms_prefix addr = {.len = 128};

		if (!is_kind(load, item, MS_YAML_SCALAR, "an address"))
			continue;
		const char *bare = ms_arena_strndup(load->inventory->arena, item->text,
						    strcspn(item->text, "/"));
		if (!bare)
			load->out_of_memory = true;
		else if (parse_addr(load, item, bare, &addr.addr) &&
			 parse_len(load, item, item->text + strlen(bare), &addr)) {
			push(load, &link->addrs, addr.addr);
			addr.addr = ms_prefix_range(&addr).first;
			if (!ms_prefix_is_addr(&addr))
				push(load, &link->nets, addr);
		}
	}
}

static const struct key bridge_keys[] = {
	{"name", true, bridge_name},
	{"addresses", false, bridge_addresses},
};

static void read_bridge(struct load *load, const struct ms_yaml_node *node)
{
	struct ms_managed_link link = {.name = "", .bridge = true};

	READ_MAPPING(load, node, "a bridge", bridge_keys, &link);
	if (!*link.name)
		return;
	if (ms_inventory_link(load->inventory, link.name))
		error(load, &node->at, "duplicate-bridge", NULL, "bridge '%s' stands twice",
		      link.name);
	ms_vec_each (const struct ms_addr, addr, &link.addrs)
		push(load, &load->inventory->hosts, *addr);
	push(load, &load->inventory->links, link);
}

/* The document. */

static void document_version(struct load *load, const struct ms_yaml_node *value, void *into)
{
	(void)into;
	if (is_kind(load, value, MS_YAML_SCALAR, "apiVersion") &&
	    strcmp(value->text, "microseg/v1") != 0)
		error(load, &value->at, "bad-version", "expected microseg/v1",
		      "unknown apiVersion '%s'", value->text);
}

static void document_kind(struct load *load, const struct ms_yaml_node *value, void *into)
{
	(void)into;
	if (is_kind(load, value, MS_YAML_SCALAR, "kind") && strcmp(value->text, "Inventory") != 0)
		error(load, &value->at, "bad-kind", "expected Inventory",
		      "'%s' is not an inventory", value->text);
}

static void document_node(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_text(load, value, &((struct ms_inventory *)into)->node, "node");
}

static void document_hosts(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_addrs(load, value, &((struct ms_inventory *)into)->hosts, "hosts");
}

/* What only a node knows: written by ms_inventory_print(), so that a live node's inventory loses
 * nothing on its way. */

static void document_host_macs(struct load *load, const struct ms_yaml_node *value, void *into)
{
	if (!is_kind(load, value, MS_YAML_SEQUENCE, "host_macs"))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		struct ms_mac mac;

		if (read_mac(load, value->items.items[i], &mac))
			push(load, &((struct ms_inventory *)into)->host_macs, mac);
	}
}

static void read_texts(struct load *load, const struct ms_yaml_node *value, ms_text_vec *into,
		       const char *what)
{
	if (!is_kind(load, value, MS_YAML_SEQUENCE, what))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		const char *text = NULL;

		read_text(load, value->items.items[i], &text, what);
		if (text)
			push(load, into, text);
	}
}

static void document_patterns(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_texts(load, value, &((struct ms_inventory *)into)->patterns, "patterns");
}

static void document_skipped(struct load *load, const struct ms_yaml_node *value, void *into)
{
	read_texts(load, value, &((struct ms_inventory *)into)->skipped, "skipped");
}

static void document_bridges(struct load *load, const struct ms_yaml_node *value, void *into)
{
	(void)into;
	if (is_kind(load, value, MS_YAML_SEQUENCE, "bridges"))
		for (size_t i = 0; i < value->items.n_items; i++)
			read_bridge(load, value->items.items[i]);
}

static void document_endpoints(struct load *load, const struct ms_yaml_node *value, void *into)
{
	(void)into;
	if (is_kind(load, value, MS_YAML_SEQUENCE, "endpoints"))
		for (size_t i = 0; i < value->items.n_items; i++)
			read_endpoint(load, value->items.items[i]);
	check_interfaces(load);
}

static const struct key document_keys[] = {
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
static void add_implied_links(struct load *load)
{
	size_t n_given = load->inventory->links.n_items, n;

	ms_vec_sort(&load->inventory->links, compare_links);
	ms_vec_each (const struct ms_endpoint, endpoint, &load->inventory->endpoints) {
		bool port = *endpoint->bridge;
		const char *name = port ? endpoint->bridge : endpoint->interface;

		if (*name && !is_given(load->inventory->links.items, n_given, name))
			push(load, &load->inventory->links,
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

static void add_pattern_for(struct load *load, const char *name)
{
	ms_vec_each (const char *, pattern, &load->inventory->patterns)
		if (ms_glob_match(*pattern, name))
			return;
	if (*name)
		push(load, &load->inventory->patterns, name);
}

static void complete(struct load *load)
{
	bool given = load->inventory->patterns.n_items > 0;

	for (size_t i = 0; ms_default_patterns[i] && !given; i++)
		push(load, &load->inventory->patterns, ms_default_patterns[i]);
	add_implied_links(load);
	ms_vec_each (const struct ms_endpoint, endpoint, &load->inventory->endpoints)
		add_pattern_for(load, endpoint->interface);
	ms_vec_each (const struct ms_managed_link, link, &load->inventory->links)
		add_pattern_for(load, link->name);
	ms_inventory_canonicalize(load->inventory);
}

static int read_documents(struct load *load, const struct ms_yaml_file *yaml)
{
	const struct ms_origin start = {.file = load->file->name, .line = 1, .column = 1};

	if (yaml->documents.n_items == 0) {
		error(load, &start, "no-document", NULL, "there is no Inventory document");
		return -EINVAL;
	}
	READ_MAPPING(load, yaml->documents.items[0], "an Inventory document", document_keys,
		     load->inventory);
	if (yaml->documents.n_items > 1)
		error(load, &yaml->documents.items[1]->at, "second-document", NULL,
		      "a second document: an inventory file holds one node");
	return load->diags->n_errors ? -EINVAL : 0;
}

int ms_inventory_load(const struct ms_policy_file *file, struct ms_diags *diags,
		      struct ms_inventory **ret_inventory)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = ms_inventory_new();
	struct load load = {.file = file, .diags = diags, .inventory = inventory};
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
