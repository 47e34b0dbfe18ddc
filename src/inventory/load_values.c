/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Load: the values that the keys of an inventory have. */
#include "inventory/load.h"

#include <string.h>

#include "microseg/cleanup.h"

bool ms_inventory_is_kind(struct ms_inventory_loading *load, const struct ms_yaml_node *node,
			  enum ms_yaml_kind kind, const char *what)
{
	static const char *const names[] = {
		[MS_YAML_SCALAR] = "a text",
		[MS_YAML_SEQUENCE] = "a list",
		[MS_YAML_MAPPING] = "a mapping",
	};

	if (node->kind == kind)
		return true;
	load_error(load, &node->at, "wrong-type", NULL, "%s must be %s, not %s", what, names[kind],
		   names[node->kind]);
	return false;
}

static const struct ms_inventory_key *find_key(const struct ms_inventory_key *keys, size_t n_keys,
					       const char *name)
{
	for (size_t i = 0; i < n_keys; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static void unknown_key(struct ms_inventory_loading *load, const struct ms_yaml_node *key,
			const struct ms_inventory_key *keys, size_t n_keys)
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
	load_error(load, &key->at, "unknown-key", hint.text, "unknown key '%s'", key->text);
}

void ms_inventory_read_mapping(struct ms_inventory_loading *load, const struct ms_yaml_node *node,
			       const char *what, const struct ms_inventory_key *keys, size_t n_keys,
			       void *into)
{
	if (!ms_inventory_is_kind(load, node, MS_YAML_MAPPING, what))
		return;
	ms_vec_each (const struct ms_yaml_entry, entry, &node->entries) {
		const struct ms_inventory_key *key = find_key(keys, n_keys, entry->key->text);

		if (key)
			key->read(load, entry->value, into);
		else
			unknown_key(load, entry->key, keys, n_keys);
	}
	for (size_t i = 0; i < n_keys; i++)
		if (keys[i].required && !ms_yaml_get(node, keys[i].name))
			load_error(load, &node->at, "missing-key", NULL, "%s lacks the key '%s'",
				   what, keys[i].name);
}

/* Texts live in the tree, and the tree in the inventory's arena. */
void ms_inventory_read_text(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			    const char **into, const char *what)
{
	if (ms_inventory_is_kind(load, value, MS_YAML_SCALAR, what))
		*into = value->text;
}

bool ms_inventory_parse_addr(struct ms_inventory_loading *load, const struct ms_yaml_node *node,
			     const char *text, struct ms_addr *ret_addr)
{
	if (ms_addr_parse(text, ret_addr) < 0) {
		load_error(load, &node->at, "bad-address",
			   "an IPv4 or IPv6 address, e.g. 10.0.0.5 or \"fd00::5\"",
			   "'%s' is not an address", node->text);
		return false;
	}
	if (ms_addr_is_multicast(ret_addr) || ms_addr_is_loopback(ret_addr) ||
	    ms_addr_is_unspecified(ret_addr)) {
		load_error(load, &node->at, "bad-address", NULL,
			   "'%s' cannot be the address of an interface", text);
		return false;
	}
	return true;
}

void ms_inventory_read_addrs(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			     ms_addr_vec *into, const char *what)
{
	if (!ms_inventory_is_kind(load, value, MS_YAML_SEQUENCE, what))
		return;
	for (size_t i = 0; i < value->items.n_items; i++) {
		const struct ms_yaml_node *item = value->items.items[i];
		struct ms_addr addr;

		if (ms_inventory_is_kind(load, item, MS_YAML_SCALAR, "an address") &&
		    ms_inventory_parse_addr(load, item, item->text, &addr))
			load_push(load, into, addr);
	}
}

/* The kernel's rule for interface names (dev_valid_name), and no '*' or quote that would mean
 * something to nft. */
bool ms_inventory_is_interface(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < MS_IFNAME_SIZE && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0 &&
	       strspn(name,
		      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@#=,~") ==
		       len;
}

void ms_inventory_read_interface(struct ms_inventory_loading *load,
				 const struct ms_yaml_node *value, const char **into,
				 const char *what)
{
	const char *name = NULL;

	ms_inventory_read_text(load, value, &name, what);
	if (name && *name && !ms_inventory_is_interface(name))
		load_error(load, &value->at, "bad-interface", "at most 15 letters, digits and ._-",
			   "'%s' cannot be the name of an interface", name);
	else if (name)
		*into = name;
}

bool ms_inventory_read_mac(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			   struct ms_mac *into)
{
	if (!ms_inventory_is_kind(load, value, MS_YAML_SCALAR, "mac"))
		return false;
	if (ms_mac_parse(value->text, into) == 0)
		return true;
	load_error(load, &value->at, "bad-mac", "e.g. \"02:42:0a:00:00:05\"",
		   "'%s' is not a MAC address", value->text);
	return false;
}
