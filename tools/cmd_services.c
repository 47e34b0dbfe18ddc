/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Services with their grants, and how often each was used: what nobody uses may go. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "microseg/cleanup.h"
#include "table.h"
#include "times.h"

static const char *get_text(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}

static void add_grant(struct table *table, const json_t *grant, time_t now)
{
	const json_t *hits = json_object_get(grant, "hits"),
		     *last = json_object_get(grant, "last_hit"),
		     *place = json_object_get(grant, "policy");
	char text[TIMES_TEXT_SIZE], ago[TIMES_TEXT_SIZE + 8];
	_cleanup_(ms_str_fini) struct ms_str what = {0}, where = {0};

	ms_str_addf(&what, "  %s %s", get_text(grant, "kind"), get_text(grant, "text"));
	ms_str_addf(&where, "%s:%" JSON_INTEGER_FORMAT, get_text(place, "file"),
		    json_integer_value(json_object_get(place, "line")));
	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(hits));
	table_add(table, what.text);
	table_add(table, json_is_integer(hits) ? text : NULL);
	snprintf(ago, sizeof(ago), "%s ago",
		 times_format_length(now - (time_t)json_integer_value(last), text));
	table_add(table, json_is_integer(last) ? ago : NULL);
	table_add(table, where.text);
}

static bool is_wanted(const struct cli *cli, const json_t *service)
{
	const char *wanted = cli->values[CLI_SERVICE], *name = get_text(service, "service");
	const char *slash = strchr(name, '/');

	return !wanted || strcmp(name, wanted) == 0 || (slash && strcmp(slash + 1, wanted) == 0);
}

static void add_service(struct table *table, const json_t *service, time_t now)
{
	json_int_t n = json_integer_value(json_object_get(service, "endpoints"));
	const json_t *grants = json_object_get(service, "grants"), *grant;
	char text[256];
	size_t i;

	snprintf(text, sizeof(text), "%s (%s, %" JSON_INTEGER_FORMAT " endpoint%s)",
		 get_text(service, "service"), get_text(service, "mode"), n, n == 1 ? "" : "s");
	table_add(table, text);
	for (int column = 1; column < 4; column++)
		table_add(table, " ");
	json_array_foreach(grants, i, grant) add_grant(table, grant, now);
}

static void print_since(const json_t *reply)
{
	const json_t *since = json_object_get(reply, "since");
	char text[TIMES_TEXT_SIZE];

	if (json_is_integer(since))
		printf("Hits are new connections. A last hit is noticed within ten seconds, since %s; "
		       "\"-\": none since then,\nor counted elsewhere: a call to another service is "
		       "counted there.\n",
		       times_format((time_t)json_integer_value(since), text));
}

int cmd_services(struct cli *cli)
{
	static const char *const heading[] = {"SERVICE", "HITS", "LAST", "POLICY"};
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_(table_fini) struct table table = {0};
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	json_t *services, *service;
	size_t i, n_shown = 0;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'; --service names one", cli->words.items[0]);
	if (client_json(cli, "/v1/services", NULL, &reply) < 0)
		return CLI_UNANSWERED;
	services = json_object_get(reply, "services");
	for (i = json_array_size(services); i-- > 0;)
		if (!is_wanted(cli, json_array_get(services, i)))
			json_array_remove(services, i);
	if (cli->output == CLI_JSON)
		return cli_print_json(cli, ms_steal(&reply));
	if (table_init(&table, sizeof(heading) / sizeof(heading[0]), heading) < 0)
		return cli_fail(cli, "out of memory");
	json_array_foreach(services, i, service)
	{
		add_service(&table, service, time(NULL));
		n_shown++;
	}
	if (n_shown == 0) {
		puts(cli->values[CLI_SERVICE] ? "The policy in force has no such service."
					      : "No policy is in force here that has services.");
		return CLI_OK;
	}
	table_print(&table, &text);
	fputs(text.text ? text.text : "", stdout);
	print_since(reply);
	return CLI_OK;
}
