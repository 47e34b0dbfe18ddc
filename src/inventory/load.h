/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of load.c share: mappings are read by tables of their keys, every mistake is told
 * with its place, and a value that is wrong leaves what it was to fill untouched.
 */
#pragma once

#include "microseg/inventory.h"
#include "microseg/yaml.h"

/* An endpoint's interface and where it was written. */
struct ms_inventory_use {
	const char *interface;
	const char *endpoint;
	struct ms_origin at;
};

struct ms_inventory_loading {
	const struct ms_policy_file *file;
	struct ms_diags *diags;
	struct ms_inventory *inventory;
	bool out_of_memory;
	MS_VEC(struct ms_inventory_use) interfaces;
};

/* One key of a mapping: @read puts its value into @into, whatever that is for this mapping. */
struct ms_inventory_key {
	const char *name;
	bool required;
	void (*read)(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
		     void *into);
};

#define KEYS_MAX 16

#define load_push(load, vec, ...)                                                                  \
	do {                                                                                       \
		if (ms_avec_push((load)->inventory->arena, vec, __VA_ARGS__) < 0)                  \
			(load)->out_of_memory = true;                                              \
	} while (0)

#define load_error(load, at, code, hint, ...)                                                      \
	ms_yaml_error((load)->file, (load)->diags, at, code, hint, __VA_ARGS__)

/* load_values.c */
/** Is @node of this kind? Says so where it is not. @what: for the message, "an address". */
bool ms_inventory_is_kind(struct ms_inventory_loading *load, const struct ms_yaml_node *node,
			  enum ms_yaml_kind kind, const char *what);
void ms_inventory_read_mapping(struct ms_inventory_loading *load, const struct ms_yaml_node *node,
			       const char *what, const struct ms_inventory_key *keys, size_t n_keys,
			       void *into);
#define READ_MAPPING(load, node, what, keys, into)                                                 \
	({                                                                                         \
		_Static_assert(sizeof(keys) / sizeof(*(keys)) <= KEYS_MAX, "raise KEYS_MAX");      \
		ms_inventory_read_mapping(load, node, what, keys, sizeof(keys) / sizeof(*(keys)),  \
					  into);                                                   \
	})
void ms_inventory_read_text(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			    const char **into, const char *what);
/** Reads @text, which is @node's or a part of it, as the address of an interface. */
bool ms_inventory_parse_addr(struct ms_inventory_loading *load, const struct ms_yaml_node *node,
			     const char *text, struct ms_addr *ret_addr);
void ms_inventory_read_addrs(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			     ms_addr_vec *into, const char *what);
bool ms_inventory_is_interface(const char *name);
void ms_inventory_read_interface(struct ms_inventory_loading *load,
				 const struct ms_yaml_node *value, const char **into,
				 const char *what);
bool ms_inventory_read_mac(struct ms_inventory_loading *load, const struct ms_yaml_node *value,
			   struct ms_mac *into);

/* load_endpoints.c */
void ms_inventory_read_endpoint(struct ms_inventory_loading *load, const struct ms_yaml_node *node);
/** Says which interfaces two endpoints have, once all endpoints are read. */
void ms_inventory_check_interfaces(struct ms_inventory_loading *load);
