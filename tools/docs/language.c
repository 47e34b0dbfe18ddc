/* SPDX-License-Identifier: GPL-2.0-or-later */
/* microseg-policy(5), out of the rows of the schema as the loader and the JSON Schema are. */
#include <string.h>

#include "docs.h"
#include "microseg/cleanup.h"
#include "policy/gate.h"

static void add_choices(struct ms_str *out, const struct ms_schema_key *key)
{
	for (size_t i = 0; key->choices[i]; i++)
		ms_str_addf(out, "%s%s", i ? " or " : "", key->choices[i]);
}

static void add_value(struct ms_str *out, const struct ms_schema_key *key)
{
	if (key->shape == MS_MAP_ONE || key->shape == MS_MAP_MANY)
		ms_str_addf(out, "mapping of %s to ", ms_value_types[key->map_key].name);
	if (key->value == MS_VALUE_SECTION)
		ms_str_add(out, ms_section_name(key->section));
	else if (key->value == MS_VALUE_CHOICE)
		add_choices(out, key);
	else if (key->value == MS_VALUE_PEER)
		ms_peer_forms_list(key->peers, out);
	else
		ms_str_add(out, ms_value_types[key->value].name);
	if (key->shape == MS_MANY || key->shape == MS_MAP_MANY)
		ms_str_add(out, ", or a list");
	if (key->value == MS_VALUE_PORTS_USE)
		ms_str_add(out, ", or any");
}

static void add_key(struct ms_str *out, const struct ms_schema_key *key)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	ms_str_add(&text, key->description);
	if (key->required)
		ms_str_add(&text, " Required.");
	if (ms_gate_what(key->in, key->name))
		ms_str_add(&text, " Not in this version.");
	ms_str_add(&text, " Value: ");
	add_value(&text, key);
	ms_str_addf(&text, ". Example: %s", key->example);
	roff_item(out, key->name, text.text ? text.text : "");
}

static void add_section(struct ms_str *out, enum ms_section section)
{
	roff_subsection(out, ms_section_name(section));
	for (size_t i = 0; i < ms_n_schema_keys; i++)
		if (ms_schema_keys[i].in == section)
			add_key(out, &ms_schema_keys[i]);
}

static void add_values(struct ms_str *out)
{
	_cleanup_(ms_str_fini) struct ms_str words = {0};
	const char *word;

	roff_section(out, "VALUES");
	for (enum ms_value i = 0; i < MS_N_VALUES; i++)
		if (ms_value_types[i].check && i != MS_VALUE_PEER)
			roff_item(out, ms_value_types[i].name, ms_value_types[i].expected);
	ms_str_add(&words, "These words are no names:");
	for (size_t i = 0; (word = ms_reserved_word(i)); i++)
		ms_str_addf(&words, "%s %s", i ? "," : "", word);
	ms_str_add(&words, ".");
	roff_paragraph(out, words.text ? words.text : "");
}

static const char example[] = "apiVersion: microseg/v1\n"
			      "kind: Environments\n"
			      "identity: {env: [io.microseg.env], service: [io.microseg.service]}\n"
			      "unidentified: {mode: enforce}\n"
			      "environments:\n"
			      "  prod: {mode: enforce, resolvers: [gateway]}\n"
			      "  dev: {mode: audit, resolvers: [gateway]}\n"
			      "---\n"
			      "apiVersion: microseg/v1\n"
			      "kind: Service\n"
			      "service: orders-db\n"
			      "env: [prod, dev]\n"
			      "ports: {pg: tcp/5432}\n"
			      "allow:\n"
			      "  - {from: orders-api, ports: [pg]}\n";

void docs_language(struct ms_str *out)
{
	roff_title(out, "microseg-policy", "5", "the policy language of microseg");
	roff_section(out, "DESCRIPTION");
	roff_text(out,
		  "A policy is YAML: any number of files, each with any number of documents "
		  "separated by ---. The order of files and documents never matters. Every scalar "
		  "is text. Unknown and duplicate keys, anchors, aliases, merge keys, tags and "
		  "empty lists are errors. What is not granted is refused.");
	roff_section(out, "EXAMPLE");
	roff_example(out, example);
	roff_section(out, "DOCUMENTS AND THEIR KEYS");
	for (enum ms_section i = 0; i < MS_N_SECTIONS; i++)
		if (!ms_section_is_runtime(i))
			add_section(out, i);
	roff_section(out, "PEERS");
	for (size_t i = 0; i < ms_n_peer_forms; i++)
		roff_item(out, ms_peer_forms[i].text, ms_peer_forms[i].meaning);
	add_values(out);
	roff_see_also(out, "microseg(1), microsegd(8)");
}
