/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "microseg/cleanup.h"
#include "table.h"

static const char *get_text(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static void add_addresses(struct table *table, const json_t *addresses)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	const json_t *address;
	size_t i;

	json_array_foreach(addresses, i, address)
	{
		const char *one = json_string_value(address);

		/* Every IPv6 interface has one of these: only noise to a reader. */
		if (one && strncmp(one, "fe80:", 5) != 0)
			ms_str_addf(&text, "%s%s", text.len ? "," : "", one);
	}
	table_add(table, text.text);
}

/* What was refused it, or of it, and what would have been. */
static void add_drops(struct table *table, const json_t *endpoint)
{
	json_int_t denied = json_integer_value(json_object_get(endpoint, "denied"));
	json_int_t audited = json_integer_value(json_object_get(endpoint, "audited"));
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (denied > 0)
		ms_str_addf(&text, "%" JSON_INTEGER_FORMAT, denied);
	if (audited > 0)
		ms_str_addf(&text, "%s%" JSON_INTEGER_FORMAT " audited", text.len ? ", " : "",
			    audited);
	table_add(table, text.text);
}

static void add_endpoint(struct table *table, const json_t *endpoint)
{
	_cleanup_(ms_str_fini) struct ms_str state = {0};
	const char *why = get_text(endpoint, "why");

	table_add(table, get_text(endpoint, "name"));
	table_add(table, get_text(endpoint, "identity"));
	table_add(table, get_text(endpoint, "interface"));
	table_add(table, get_text(endpoint, "network"));
	add_addresses(table, json_object_get(endpoint, "addresses"));
	add_drops(table, endpoint);
	ms_str_add(&state, get_text(endpoint, "state") ? get_text(endpoint, "state") : "");
	if (json_is_false(json_object_get(endpoint, "ready")))
		ms_str_add(&state, ", its bridge is not ready");
	if (why)
		ms_str_addf(&state, ": %s", why);
	table_add(table, state.text);
}

int cmd_endpoints(struct cli *cli)
{
	static const char *const heading[] = {"NAME",	   "IDENTITY", "INTERFACE", "NETWORK",
					      "ADDRESSES", "DROPS",    "STATE"};
	_cleanup_(json_decrefp) json_t *endpoints = NULL;
	_cleanup_(table_fini) struct table table = {0};
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	const json_t *endpoint;
	size_t i;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'", cli->words.items[0]);
	if (client_json(cli, "/v1/endpoints", NULL, &endpoints) < 0)
		return CLI_UNANSWERED;
	if (cli->output == CLI_JSON) {
		json_dumpf(endpoints, stdout, JSON_INDENT(1));
		puts("");
		return CLI_OK;
	}
	if (table_init(&table, sizeof(heading) / sizeof(heading[0]), heading) < 0)
		return cli_fail(cli, "out of memory");
	json_array_foreach(endpoints, i, endpoint) add_endpoint(&table, endpoint);
	table_print(&table, &text);
	fputs(text.text ? text.text : "", stdout);
	return CLI_OK;
}
