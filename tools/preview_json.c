/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "matrix_print.h"
#include "microseg/cleanup.h"
#include "microseg/ruleset_match.h"
#include "preview_print.h"

static json_t *text_json(const struct ms_str *text)
{
	return text->failed ? NULL : json_stringn(text->text ? text->text : "", text->len);
}

static json_t *elem_json(const struct ms_set *set, const struct ms_elem *elem)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	ms_elem_print(set, elem, &text);
	return json_pack("{s:o, s:o}", "element", text_json(&text), "policy",
			 matrix_place_json(&elem->origin));
}

static json_t *set_json(const struct ms_set *set)
{
	_cleanup_(ms_str_fini) struct ms_str type = {0};
	json_t *elems = json_array();

	for (size_t i = 0; i < set->n_fields; i++)
		ms_str_addf(&type, "%s%s", i ? " . " : "", ms_field_row(set->fields[i])->name);
	ms_vec_each (struct ms_elem, elem, &set->elems)
		json_array_append_new(elems, elem_json(set, elem));
	return json_pack("{s:s, s:o, s:b, s:b, s:b, s:I, s:o}", "name", set->name, "key",
			 text_json(&type), "map", set->map, "interval", set->interval, "counter",
			 set->counts, "size", (json_int_t)set->size, "elements", elems);
}

static json_t *rule_json(enum ms_family family, const struct ms_rule *rule)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	ms_rule_print(family, rule, &text);
	return json_pack("{s:o, s:o}", "rule", text_json(&text), "policy",
			 matrix_place_json(&rule->origin));
}

static json_t *chain_json(enum ms_family family, const struct ms_chain *chain)
{
	static const char *const hooks[] = {NULL, "prerouting", "input", "forward", "output"};
	json_t *rules = json_array();

	ms_vec_each (struct ms_rule, rule, &chain->rules)
		json_array_append_new(rules, rule_json(family, rule));
	return json_pack("{s:s, s:s?, s:o, s:o}", "name", chain->name, "hook", hooks[chain->hook],
			 "priority", chain->hook ? json_integer(chain->priority) : json_null(),
			 "rules", rules);
}

static json_t *table_json(const struct preview *preview, const struct ms_table *table)
{
	json_t *sets = json_array(), *chains = json_array();

	ms_vec_each (struct ms_set *, set, &table->sets)
		if (ms_name_concerns((*set)->name, preview->narrow))
			json_array_append_new(sets, set_json(*set));
	ms_vec_each (struct ms_chain *, chain, &table->chains)
		if (ms_name_concerns((*chain)->name, preview->narrow))
			json_array_append_new(chains, chain_json(table->family, *chain));
	return json_pack("{s:s, s:s, s:o, s:o}", "family", ms_family_name(table->family), "name",
			 table->name, "sets", sets, "chains", chains);
}

static json_t *services_json(const struct preview *preview)
{
	preview_service_vec services = {0};
	json_t *list = json_array();

	if (preview_count(preview, &services) < 0) {
		json_decref(list);
		return NULL;
	}
	ms_vec_each (struct preview_service, service, &services)
		json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:I, s:I}", "service",
						      service->identity, "endpoints",
						      (json_int_t)service->n_endpoints, "grants",
						      (json_int_t)service->n_grants, "rules",
						      (json_int_t)service->n_rules, "elements",
						      (json_int_t)service->n_elems));
	return list;
}

json_t *preview_json(const struct preview *preview)
{
	json_t *tables = json_array();

	ms_vec_each (struct ms_table *, table, &preview->ruleset->tables)
		json_array_append_new(tables, table_json(preview, *table));
	return json_pack("{s:o, s:o}", "tables", tables, "services", services_json(preview));
}
