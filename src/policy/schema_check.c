/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/gate.h"

static const char *kind_name(const struct ms_yaml_node *node)
{
	return node->kind == MS_YAML_SCALAR	? "a text"
	       : node->kind == MS_YAML_SEQUENCE ? "a list"
						: "a mapping";
}

static void report_type(struct ms_load *load, const struct ms_schema_key *key,
			const struct ms_yaml_node *node, const char *expected)
{
	_cleanup_(ms_str_fini) struct ms_str hint = {0};

	ms_str_addf(&hint, "write %s: %s", key->name, key->example);
	ms_load_error(load, &node->at, "wrong-type", hint.text, "'%s' takes %s, not %s", key->name,
		      expected, kind_name(node));
}

/* `name:` with nothing behind it. Quoted, an empty text is the business of its type. */
static bool is_nothing(const struct ms_yaml_node *node)
{
	return node->kind == MS_YAML_SCALAR && node->plain && !*node->text && !node->broken;
}

static void report_nothing(struct ms_load *load, const char *name, const char *hint,
			   const struct ms_yaml_node *node)
{
	ms_load_error(load, &node->at, "empty-value", hint, "nothing stands behind '%s:'", name);
}

static void check_choice(struct ms_load *load, const struct ms_schema_key *key,
			 const struct ms_yaml_node *node)
{
	_cleanup_(ms_str_fini) struct ms_str all = {0}, hint = {0};
	size_t n = 0;

	ms_str_add(&all, "expected ");
	for (; key->choices[n]; n++) {
		if (strcmp(node->text, key->choices[n]) == 0)
			return;
		ms_str_addf(&all, "%s%s",
			    n == 0		  ? ""
			    : key->choices[n + 1] ? ", "
						  : " or ",
			    key->choices[n]);
	}
	ms_load_suggest(&hint, node->text, key->choices, n, all.text);
	ms_load_error(load, &node->at, "unknown-value", hint.text, "'%s' is no value of '%s'",
		      node->text, key->name);
}

static void check_scalar(struct ms_load *load, enum ms_value value, const struct ms_yaml_node *node)
{
	const struct ms_value_type *type = &ms_value_types[value];
	_cleanup_(ms_str_fini) struct ms_str hint = {0};
	struct ms_complaint complaint; /* a large thing to zero for every value */

	complaint.code = type->name;
	complaint.message[0] = complaint.hint[0] = '\0';
	if (type->check(node->text, &complaint))
		return;
	if (*complaint.hint)
		ms_str_add(&hint, complaint.hint);
	else
		ms_str_addf(&hint, "expected %s", type->expected);
	ms_load_error(load, &node->at, complaint.code, hint.text, "%s", complaint.message);
}

/* One value, not a list of them. */
static void check_one(struct ms_load *load, const struct ms_schema_key *key,
		      const struct ms_yaml_node *node)
{
	if (node->broken && node->kind == MS_YAML_SCALAR)
		return;
	if (key->value == MS_VALUE_SECTION ||
	    (key->value == MS_VALUE_PEER && node->kind == MS_YAML_MAPPING)) {
		enum ms_section section =
			key->value == MS_VALUE_PEER ? MS_SECTION_PEER : key->section;

		if (node->kind == MS_YAML_MAPPING)
			ms_schema_check(load, node, section);
		else
			report_type(load, key, node, "a mapping");
		return;
	}
	if (node->kind != MS_YAML_SCALAR)
		report_type(load, key, node, ms_value_types[key->value].name);
	else if (key->value == MS_VALUE_CHOICE)
		check_choice(load, key, node);
	else
		check_scalar(load, key->value, node);
}

static void check_many(struct ms_load *load, const struct ms_schema_key *key,
		       const struct ms_yaml_node *node)
{
	bool is_any = key->value == MS_VALUE_PORTS_USE && node->kind == MS_YAML_SCALAR &&
		      strcmp(node->text, "any") == 0;

	if (is_any)
		return;
	if (node->kind != MS_YAML_SEQUENCE) {
		check_one(load, key, node);
		return;
	}
	if (node->items.n_items == 0 && !node->broken) {
		_cleanup_(ms_str_fini) struct ms_str hint = {0};

		ms_str_addf(&hint, "%swrite %s: %s", key->required ? "" : "leave it out, or ",
			    key->name, key->example);
		ms_load_error(load, &node->at, "empty-list", hint.text, "an empty list behind '%s'",
			      key->name);
	}
	ms_vec_each (struct ms_yaml_node *, item, &node->items)
		check_one(load, key, *item);
}

static void check_map(struct ms_load *load, const struct ms_schema_key *key,
		      const struct ms_yaml_node *node)
{
	if (node->broken && node->kind == MS_YAML_SCALAR)
		return;
	if (node->kind != MS_YAML_MAPPING) {
		report_type(load, key, node, "a mapping");
		return;
	}
	ms_vec_each (struct ms_yaml_entry, entry, &node->entries) {
		check_scalar(load, key->map_key, entry->key);
		if (is_nothing(entry->value)) {
			_cleanup_(ms_str_fini) struct ms_str hint = {0};

			ms_str_addf(&hint, "expected %s, as in %s: %s",
				    ms_value_types[key->value].name, key->name, key->example);
			report_nothing(load, entry->key->text, hint.text, entry->value);
			continue;
		}
		if (key->shape == MS_MAP_MANY)
			check_many(load, key, entry->value);
		else
			check_one(load, key, entry->value);
	}
}

static void check_value(struct ms_load *load, const struct ms_schema_key *key,
			const struct ms_yaml_node *node)
{
	bool nothing = is_nothing(node);

	if (nothing || (key->filled && node->kind == MS_YAML_MAPPING &&
			node->entries.n_items == 0 && !node->broken)) {
		_cleanup_(ms_str_fini) struct ms_str hint = {0};

		ms_str_addf(&hint, "write %s: %s", key->name, key->example);
		if (nothing)
			report_nothing(load, key->name, hint.text, node);
		else
			ms_load_error(load, &node->at, "empty-mapping", hint.text,
				      "an empty mapping behind '%s'", key->name);
	} else if (key->shape == MS_ONE)
		check_one(load, key, node);
	else if (key->shape == MS_MANY)
		check_many(load, key, node);
	else
		check_map(load, key, node);
}

static void report_unknown_key(struct ms_load *load, enum ms_section section,
			       const struct ms_yaml_node *name)
{
	_cleanup_(ms_str_fini) struct ms_str all = {0}, hint = {0};
	const char *words[32];
	size_t n = 0, n_keys;
	const struct ms_schema_key *keys = ms_schema_section(section, &n_keys);

	ms_str_add(&all, "known here: ");
	for (size_t i = 0; i < n_keys && n < sizeof(words) / sizeof(words[0]); i++) {
		ms_str_addf(&all, "%s%s", n ? ", " : "", keys[i].name);
		words[n++] = keys[i].name;
	}
	ms_load_suggest(&hint, name->text, words, n, all.text);
	ms_load_error(load, &name->at, "unknown-key", hint.text, "unknown key '%s' in %s",
		      name->text, ms_section_name(section));
}

static void report_missing_key(struct ms_load *load, const struct ms_yaml_node *node,
			       const struct ms_schema_key *key)
{
	_cleanup_(ms_str_fini) struct ms_str hint = {0};

	ms_str_addf(&hint, "write %s: %s", key->name, key->example);
	ms_load_error(load, &node->at, "missing-key", hint.text, "'%s' is missing in %s", key->name,
		      ms_section_name(key->in));
}

static const struct ms_schema_key *find_key(const struct ms_schema_key *keys, size_t n_keys,
					    const char *name)
{
	for (size_t i = 0; i < n_keys; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

void ms_schema_check(struct ms_load *load, const struct ms_yaml_node *node, enum ms_section section)
{
	size_t n_keys;
	const struct ms_schema_key *keys = ms_schema_section(section, &n_keys);

	ms_vec_each (struct ms_yaml_entry, entry, &node->entries) {
		const struct ms_schema_key *key = find_key(keys, n_keys, entry->key->text);

		if (!key) {
			report_unknown_key(load, section, entry->key);
			continue;
		}
		ms_gate_check(load, section, key->name, &entry->key->at);
		check_value(load, key, entry->value);
	}
	for (size_t i = 0; i < n_keys && !node->broken; i++)
		if (keys[i].required && !ms_yaml_get(node, keys[i].name))
			report_missing_key(load, node, &keys[i]);
}
