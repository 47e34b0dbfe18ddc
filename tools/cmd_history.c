/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "microseg/cleanup.h"
#include "table.h"
#include "times.h"

static void add_number(struct table *table, const json_t *value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	table_add(table, json_is_integer(value) ? text : NULL);
}

static const char *outcome_of(const json_t *entry)
{
	const char *state = json_string_value(json_object_get(entry, "state"));
	bool in_force = json_is_true(json_object_get(entry, "in_force"));

	if (json_is_false(json_object_get(entry, "readable")))
		return "torn: its checksum is wrong";
	if (state && strcmp(state, "trial") == 0)
		return in_force ? "in force, waits to be confirmed" : "waits to be confirmed";
	if (state && strcmp(state, "undone") == 0)
		return "not confirmed, gave way";
	return in_force ? "in force" : "";
}

static void add_entry(struct table *table, const json_t *entry)
{
	const json_t *when = json_object_get(entry, "time");
	json_int_t of = json_integer_value(json_object_get(entry, "rollback_of"));
	const char *via = json_string_value(json_object_get(entry, "via"));
	char text[TIMES_TEXT_SIZE], how[64];

	snprintf(how, sizeof(how), of ? "%s to %" JSON_INTEGER_FORMAT : "%s", via ? via : "", of);
	add_number(table, json_object_get(entry, "generation"));
	table_add(table, json_integer_value(when)
				 ? times_format((time_t)json_integer_value(when), text)
				 : NULL);
	table_add(table, json_string_value(json_object_get(entry, "user")));
	table_add(table, how);
	add_number(table, json_object_get(entry, "files"));
	table_add(table, json_string_value(json_object_get(entry, "hash")));
	table_add(table, outcome_of(entry));
}

int cmd_history(struct cli *cli)
{
	static const char *const heading[] = {"GENERATION", "TIME", "WHO",  "HOW",
					      "FILES",	    "HASH", "STATE"};
	_cleanup_(json_decrefp) json_t *history = NULL;
	_cleanup_(table_fini) struct table table = {0};
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	const json_t *entry;
	size_t i;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'", cli->words.items[0]);
	if (client_json(cli, "/v1/history", NULL, &history) < 0)
		return CLI_UNANSWERED;
	if (cli->output == CLI_JSON)
		return cli_print_json(cli, ms_steal(&history));
	if (json_array_size(history) == 0) {
		puts("No policy was applied on this node yet.");
		return CLI_OK;
	}
	if (table_init(&table, sizeof(heading) / sizeof(heading[0]), heading) < 0)
		return cli_fail(cli, "out of memory");
	json_array_foreach(history, i, entry) add_entry(&table, entry);
	table_print(&table, &text);
	fputs(text.text ? text.text : "", stdout);
	return CLI_OK;
}
