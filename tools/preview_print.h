/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preview print: a compiled ruleset for programs, and what each service takes of it.
 */
#pragma once

#include <jansson.h>

#include "microseg/inventory.h"
#include "microseg/policy.h"
#include "microseg/ruleset.h"

/** What one identity takes. Elements of the dispatch maps, one an address and way, are not counted.
 */
struct preview_service {
	const char *identity;
	size_t n_endpoints;
	size_t n_grants; /* in its documents: a peer each */
	size_t n_rules;	 /* in its own chains */
	size_t n_elems;	 /* in its own sets: its addresses as a peer, and its callers */
};
typedef MS_VEC(struct preview_service) preview_service_vec;

/** What is previewed. */
struct preview {
	const struct ms_policy *policy;
	const struct ms_inventory *inventory;
	const struct ms_ruleset *ruleset;
	const char *narrow; /* an identity, or NULL: all */
	struct ms_arena *arena;
};

/** Those of the policy and of the inventory, sorted. Returns 0 or -ENOMEM. */
int preview_count(const struct preview *preview, preview_service_vec *ret_services);
/** As a table, with a last line for the whole ruleset. Returns 0 or -ENOMEM. */
int preview_print_stats(const struct preview *preview, struct ms_str *out);
/**
 * {"tables": [{"family", "name", "sets": [{"name", "type", "map", "interval", "counter", "size",
 * "elements": [{"element", "policy"}]}], "chains": [{"name", "hook", "priority",
 * "rules": [{"rule", "policy"}]}]}], "services": [{"service", "endpoints", "grants", "rules",
 * "elements"}]}. NULL without memory.
 */
json_t *preview_json(const struct preview *preview);
