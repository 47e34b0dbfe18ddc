/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "preview_print.h"
#include "table.h"

static int compare_services(const void *left, const void *right)
{
	const struct preview_service *a = left, *b = right;

	return strcmp(a->identity, b->identity);
}

/* Makes one of those with the same name, of services sorted by it. */
static void join(preview_service_vec *services)
{
	size_t n = 0;

	ms_vec_each (struct preview_service, service, services) {
		struct preview_service *last = n ? &services->items[n - 1] : NULL;

		if (!last || strcmp(last->identity, service->identity) != 0) {
			services->items[n++] = *service;
			continue;
		}
		last->n_endpoints += service->n_endpoints;
		last->n_grants += service->n_grants;
	}
	services->n_items = n;
}

static size_t count_rules(const struct preview *preview, const char *identity)
{
	static const char *const ways[] = {"to", "into", "from", "host", "link"};
	const struct ms_table *inet = ms_ruleset_table(preview->ruleset, MS_FAMILY_INET);
	size_t n = 0;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		char name[2 * MS_MAX_NAME + 16];

		snprintf(name, sizeof(name), "%s/%s", ways[i], identity);
		const struct ms_chain *chain = ms_table_chain(inet, name);

		n += chain ? chain->rules.n_items : 0;
	}
	return n;
}

static size_t count_elems(const struct preview *preview, const char *identity)
{
	static const char *const forms[] = {"%s/4", "%s/6", "grants/%s/4", "grants/%s/6"};
	const struct ms_table *inet = ms_ruleset_table(preview->ruleset, MS_FAMILY_INET);
	size_t n = 0;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const char *name = ms_arena_printf(preview->arena, forms[i], identity);
		const struct ms_set *set = name ? ms_table_set(inet, name) : NULL;

		n += set ? set->elems.n_items : 0;
	}
	return n;
}

static bool is_wanted(const struct preview *preview, const char *identity)
{
	return !preview->narrow || strcmp(preview->narrow, identity) == 0;
}

static int list_services(const struct preview *preview, preview_service_vec *services)
{
	int r = 0;

	ms_vec_each (struct ms_service, service, &preview->policy->services) {
		struct preview_service row = {.identity = service->identity,
					      .n_grants = service->allow.n_items +
							  service->needs.n_items};

		if (r == 0 && is_wanted(preview, row.identity))
			r = ms_avec_push(preview->arena, services, row);
	}
	ms_vec_each (struct ms_endpoint, endpoint, &preview->inventory->endpoints) {
		struct preview_service row = {.identity = endpoint->identity, .n_endpoints = 1};

		if (r == 0 && endpoint->state == MS_ENDPOINT_IDENTIFIED &&
		    is_wanted(preview, row.identity))
			r = ms_avec_push(preview->arena, services, row);
	}
	return r;
}

int preview_count(const struct preview *preview, preview_service_vec *ret_services)
{
	preview_service_vec services = {0};
	int r = list_services(preview, &services);

	if (r < 0)
		return r;
	ms_vec_sort(&services, compare_services);
	join(&services);
	ms_vec_each (struct preview_service, service, &services) {
		service->n_rules = count_rules(preview, service->identity);
		service->n_elems = count_elems(preview, service->identity);
	}
	*ret_services = services;
	return 0;
}

static void add_number(struct table *table, size_t number)
{
	char text[32];

	snprintf(text, sizeof(text), "%zu", number);
	table_add(table, text);
}

static void print_whole(const struct ms_ruleset *ruleset, struct ms_str *out)
{
	size_t n_chains = 0, n_rules = 0, n_sets = 0, n_elems = 0;

	ms_vec_each (struct ms_table *, table, &ruleset->tables) {
		n_chains += (*table)->chains.n_items;
		n_sets += (*table)->sets.n_items;
		ms_vec_each (struct ms_chain *, chain, &(*table)->chains)
			n_rules += (*chain)->rules.n_items;
		ms_vec_each (struct ms_set *, set, &(*table)->sets)
			n_elems += (*set)->elems.n_items;
	}
	ms_str_addf(out,
		    "\nThe whole ruleset: %zu rules in %zu chains, %zu elements in %zu sets.\n",
		    n_rules, n_chains, n_elems, n_sets);
}

int preview_print_stats(const struct preview *preview, struct ms_str *out)
{
	static const char *const heading[] = {"SERVICE", "ENDPOINTS", "GRANTS", "RULES",
					      "ELEMENTS"};
	_cleanup_(table_fini) struct table table = {0};
	preview_service_vec services = {0};
	int r = preview_count(preview, &services);

	if (r == 0)
		r = table_init(&table, 5, heading);
	if (r < 0)
		return r;
	ms_vec_each (struct preview_service, service, &services) {
		table_add(&table, service->identity);
		add_number(&table, service->n_endpoints);
		add_number(&table, service->n_grants);
		add_number(&table, service->n_rules);
		add_number(&table, service->n_elems);
	}
	table_print(&table, out);
	print_whole(preview->ruleset, out);
	return out->failed ? -ENOMEM : 0;
}
