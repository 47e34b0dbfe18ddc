/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The language as JSON Schema draft-07, theory of operation: everything comes out of the rows of
 * schema.c, the value types of values.c and the gate. Each mapping and each value type is a
 * definition of its own; a row becomes a property that refers to one. What is behind the gate is
 * left out, so that an editor refuses it as the loader does.
 *
 * Editors show patternErrorMessage in place of a pattern; validators ignore it.
 *
 * A schema sees one document and no other: it cannot know names that stand elsewhere, bits behind a
 * prefix, the order of a range's ends, or clocks. It must never refuse what the loader takes.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/gate.h"

/* Names of the definitions of value types; the other values are written in place. */
static const char *const value_names[MS_N_VALUES] = {
	[MS_VALUE_TEXT] = "text",	   [MS_VALUE_BOOL] = "bool",
	[MS_VALUE_NAME] = "name",	   [MS_VALUE_SERVICE] = "serviceName",
	[MS_VALUE_LABELS] = "labels",	   [MS_VALUE_GLOB] = "glob",
	[MS_VALUE_ADDRESS] = "address",	   [MS_VALUE_RESOLVER] = "resolver",
	[MS_VALUE_CIDR] = "cidr",	   [MS_VALUE_NET] = "net",
	[MS_VALUE_NODE] = "node",	   [MS_VALUE_PORTS] = "ports",
	[MS_VALUE_PORTS_USE] = "portsUse", [MS_VALUE_TIME] = "time",
	[MS_VALUE_DURATION] = "duration",
};

static json_t *refer(const char *name)
{
	return json_pack("{s:o}", "$ref", json_sprintf("#/definitions/%s", name));
}

/* "an entry of allow" becomes entry-of-allow. */
static const char *section_id(enum ms_section section, char id[64])
{
	const char *name = ms_section_name(section);

	name += strncmp(name, "a ", 2) == 0 ? 2 : strncmp(name, "an ", 3) == 0 ? 3 : 0;
	snprintf(id, 64, "%s", name);
	for (char *blank = id; (blank = strchr(blank, ' '));)
		*blank = '-';
	return id;
}

static json_t *refer_section(enum ms_section section)
{
	char id[64];

	return refer(section_id(section, id));
}

static json_t *reserved_words(const char *but)
{
	json_t *words = json_array();
	const char *word;

	for (size_t i = 0; (word = ms_reserved_word(i)); i++)
		if (!but || strcmp(but, word) != 0)
			json_array_append_new(words, json_string(word));
	return words;
}

/* A text that YAML readers other than ours may take for a number or a truth value. */
static json_t *any_scalar(void)
{
	return json_pack("{s:[s,s,s], s:i}", "type", "string", "number", "boolean", "minLength", 1);
}

static json_t *value_schema(enum ms_value value)
{
	const struct ms_value_type *type = &ms_value_types[value];
	json_t *schema;

	if (value == MS_VALUE_BOOL)
		schema = json_pack("{s:[b,b,s,s]}", "enum", 1, 0, "true", "false");
	else if (type->pattern)
		schema = json_pack("{s:s, s:s, s:o}", "type", "string", "pattern", type->pattern,
				   "patternErrorMessage",
				   json_sprintf("expected %s", type->expected));
	else
		schema = any_scalar();
	if (type->is_name)
		json_object_set_new(schema, "not",
				    json_pack("{s:o}", "enum", reserved_words(type->but_word)));
	json_object_set_new(schema, "description", json_string(type->expected));
	return schema;
}

/* env/service and env/star: neither part is a reserved word. */
static json_t *env_service(unsigned int allowed)
{
	bool whole_env = allowed & MS_PEERS_ENV;
	_cleanup_(ms_str_fini) struct ms_str words = {0}, expected = {0};
	const char *word;

	for (size_t i = 0; (word = ms_reserved_word(i)); i++)
		ms_str_addf(&words, "%s%s", i ? "|" : "", word);
	ms_str_add(&expected, "expected ");
	ms_peer_forms_list(allowed, &expected);
	const char *text = words.text ? words.text : "";
	return json_pack("{s:s, s:s, s:o}", "type", "string", "patternErrorMessage",
			 expected.text ? expected.text : "", "pattern",
			 json_sprintf("^(?!(?:%s)/)" MS_NAME_PATTERN "/(?!(?:%s)$)%s$", text, text,
				      whole_env ? "(?:\\*|" MS_NAME_PATTERN ")" : MS_NAME_PATTERN));
}

/* Peers that are mappings. */
static const struct {
	unsigned int kind;
	const char *id;
} peer_mappings[] = {{MS_PEERS_NET, "peer-net"}, {MS_PEERS_NODE, "peer-node"}};
#define N_PEER_MAPPINGS (sizeof(peer_mappings) / sizeof(peer_mappings[0]))

static json_t *peer_words(unsigned int allowed)
{
	json_t *list = json_array();

	if (allowed & MS_PEERS_BARE)
		json_array_append_new(list, json_string("*"));
	if (allowed & MS_PEERS_SELF)
		json_array_append_new(list, json_string("self"));
	if (allowed & MS_PEERS_HOST)
		json_array_append_new(list, json_string("host"));
	return json_pack("{s:o}", "enum", list);
}

static json_t *peer_schema(unsigned int allowed)
{
	json_t *forms = json_array();

	json_array_append_new(forms, env_service(allowed));
	if (allowed & MS_PEERS_BARE)
		json_array_append_new(forms, refer(value_names[MS_VALUE_NAME]));
	if (allowed & (MS_PEERS_BARE | MS_PEERS_SELF | MS_PEERS_HOST))
		json_array_append_new(forms, peer_words(allowed));
	for (size_t i = 0; i < N_PEER_MAPPINGS; i++)
		if (allowed & peer_mappings[i].kind)
			json_array_append_new(forms, refer(peer_mappings[i].id));
	return json_pack("{s:o}", "anyOf", forms);
}

static json_t *one_schema(const struct ms_schema_key *key)
{
	json_t *words_of_key;

	switch (key->value) {
	case MS_VALUE_SECTION:
		return refer_section(key->section);
	case MS_VALUE_PEER:
		return peer_schema(key->peers);
	case MS_VALUE_CHOICE:
		words_of_key = json_array();
		for (size_t i = 0; key->choices[i]; i++)
			json_array_append_new(words_of_key, json_string(key->choices[i]));
		return json_pack("{s:o}", "enum", words_of_key);
	default:
		return refer(value_names[key->value]);
	}
}

static json_t *many_schema(const struct ms_schema_key *key)
{
	json_t *forms = json_array();

	json_array_append_new(forms, one_schema(key));
	json_array_append_new(forms, json_pack("{s:s, s:i, s:o}", "type", "array", "minItems", 1,
					       "items", one_schema(key)));
	if (key->value == MS_VALUE_PORTS_USE)
		json_array_append_new(forms, json_pack("{s:s}", "const", "any"));
	return json_pack("{s:o}", "anyOf", forms);
}

static json_t *map_schema(const struct ms_schema_key *key)
{
	json_t *value = key->shape == MS_MAP_MANY ? many_schema(key) : one_schema(key);

	return json_pack("{s:s, s:o, s:o}", "type", "object", "propertyNames",
			 refer(value_names[key->map_key]), "additionalProperties", value);
}

static json_t *property(const struct ms_schema_key *key)
{
	json_t *schema = key->shape == MS_ONE	 ? one_schema(key)
			 : key->shape == MS_MANY ? many_schema(key)
						 : map_schema(key);
	json_t *property = json_pack(
		"{s:o, s:[o]}", "description",
		json_sprintf("%s\nExample: %s: %s", key->description, key->name, key->example),
		"allOf", schema);

	if (key->filled)
		json_object_set_new(property, "minProperties", json_integer(1));
	return property;
}

/* The keys of @section; of a peer, those of its @kind, of which the first must be there. */
static json_t *mapping_schema(enum ms_section section, unsigned int kind)
{
	json_t *properties = json_object(), *required = json_array();
	json_t *schema = json_pack("{s:s, s:b, s:o, s:o}", "type", "object", "additionalProperties",
				   0, "properties", properties, "required", required);

	for (size_t i = 0; i < ms_n_schema_keys; i++) {
		const struct ms_schema_key *key = &ms_schema_keys[i];
		bool is_peer = section == MS_SECTION_PEER;

		if (key->in != section || ms_gate_what(section, key->name) ||
		    (is_peer && key->peers != kind))
			continue;
		if (key->required || (is_peer && json_object_size(properties) == 0))
			json_array_append_new(required, json_string(key->name));
		json_object_set_new(properties, key->name, property(key));
	}
	return schema;
}

/* Of a document: its kind is behind the gate. */
static bool is_gated(enum ms_section section)
{
	return section < MS_N_DOCUMENT_KINDS && ms_gate_what(section, "kind");
}

static json_t *definitions(void)
{
	json_t *all = json_object();

	for (enum ms_value i = 0; i < MS_N_VALUES; i++)
		if (value_names[i])
			json_object_set_new(all, value_names[i], value_schema(i));
	for (enum ms_section i = 0; i < MS_N_SECTIONS; i++) {
		char id[64];

		if (i != MS_SECTION_PEER && !is_gated(i) && !ms_section_is_runtime(i))
			json_object_set_new(all, section_id(i, id), mapping_schema(i, 0));
	}
	for (size_t i = 0; i < N_PEER_MAPPINGS; i++)
		json_object_set_new(all, peer_mappings[i].id,
				    mapping_schema(MS_SECTION_PEER, peer_mappings[i].kind));
	return all;
}

int ms_schema_print_json(struct ms_str *out)
{
	json_t *documents = json_array();
	json_t *schema =
		json_pack("{s:s, s:s, s:s, s:o, s:o}", "$schema",
			  "http://json-schema.org/draft-07/schema#", "title", "microseg policy",
			  "description", "Who may talk to whom between the containers of a fleet.",
			  "oneOf", documents, "definitions", definitions());

	for (enum ms_section i = 0; i < MS_N_DOCUMENT_KINDS; i++)
		if (!is_gated(i))
			json_array_append_new(documents, refer_section(i));
	_cleanup_(freep) char *text = json_dumps(schema, JSON_INDENT(2));
	json_decref(schema);
	if (!text)
		return -ENOMEM;
	ms_str_add(out, text);
	ms_str_add_char(out, '\n');
	return out->failed ? -ENOMEM : 0;
}
