/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "runtime.h"

#include <stdio.h>
#include <string.h>

#include "client.h"
#include "microseg/cleanup.h"
#include "times.h"

static const char *get_text(const json_t *entry, const char *key)
{
	const char *text = json_string_value(json_object_get(entry, key));

	return text ? text : "";
}

static void print_safe(const char *text)
{
	_cleanup_(ms_str_fini) struct ms_str safe = {0};

	ms_str_add_safe(&safe, text);
	fputs(safe.text ? safe.text : "", stdout);
}

static void print_peer(const json_t *peer)
{
	const char *net = json_string_value(json_object_get(peer, "net")),
		   *node = json_string_value(json_object_get(peer, "node"));

	if (net || node)
		fputs(net ? "net " : "node ", stdout);
	print_safe(net ? net : node ? node : json_is_string(peer) ? json_string_value(peer) : "");
}

static void print_what(const json_t *entry)
{
	const char *kind = get_text(entry, "kind");

	if (strcmp(kind, "grant") != 0) {
		print_safe(get_text(entry, "of"));
		fputs(strcmp(kind, "relax") == 0 ? " in audit" : " cut off", stdout);
		return;
	}
	print_peer(json_object_get(entry, "from"));
	fputs(" -> ", stdout);
	print_peer(json_object_get(entry, "to"));
	putchar(' ');
	print_safe(get_text(entry, "ports"));
}

void runtime_print(const json_t *entries, const char *kind, const char *indent)
{
	time_t now = time(NULL);
	const json_t *entry;
	char text[TIMES_TEXT_SIZE];
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		json_int_t until = json_integer_value(json_object_get(entry, "until")),
			   since = json_integer_value(json_object_get(entry, "since"));

		if (kind && strcmp(kind, get_text(entry, "kind")) != 0)
			continue;
		printf("%s%-14s ", indent, get_text(entry, "id"));
		print_what(entry);
		printf(", %s%s; ", until ? "until " : "since ",
		       until ? times_format_end((time_t)until, now, text)
			     : times_format((time_t)since, text));
		print_safe(get_text(entry, "user"));
		if (*get_text(entry, "reason")) {
			fputs(": ", stdout);
			print_safe(get_text(entry, "reason"));
		}
		puts("");
	}
}

static int add_flags(const struct cli *cli, json_t *entry, bool ends)
{
	time_t seconds = 0;

	if (ends && !cli_has(cli, CLI_FOR))
		return cli_fail(cli, "for how long? say --for 2h; see microseg %s --help",
				cli->command->name);
	if (ends && !cli_has(cli, CLI_REASON))
		return cli_fail(cli,
				"why? say --reason TEXT: it stands in the list and in the log");
	if (cli_has(cli, CLI_FOR) && times_parse(cli, CLI_FOR, &seconds) < 0)
		return CLI_UNANSWERED;
	if (seconds)
		json_object_set_new(entry, "for", json_integer((json_int_t)seconds));
	if (cli_has(cli, CLI_REASON) &&
	    json_object_set_new(entry, "reason", json_string(cli->values[CLI_REASON])) < 0)
		return cli_fail(cli, "--reason is not UTF-8");
	return CLI_OK;
}

static void say_state(const json_t *reply)
{
	const char *state = get_text(reply, "state");

	if (strcmp(state, "off") == 0)
		puts("The node is off: it is remembered and in force after `microseg on`.");
	else
		printf("%s: generation %" JSON_INTEGER_FORMAT "\n", state,
		       json_integer_value(json_object_get(reply, "generation")));
}

int runtime_add(const struct cli *cli, json_t *entry, bool ends)
{
	_cleanup_(json_decrefp) json_t *body = entry, *reply = NULL, *list = json_array();

	if (!body)
		return cli_fail(cli, "the names are not UTF-8");
	if (add_flags(cli, body, ends) != CLI_OK)
		return CLI_UNANSWERED;
	_cleanup_(freep) char *text = json_dumps(body, JSON_COMPACT);
	if (!text || !list)
		return cli_fail(cli, "out of memory");
	if (client_json(cli, "/v1/runtime/add", text, &reply) < 0)
		return CLI_UNANSWERED;
	if (cli->output == CLI_JSON)
		return cli_print_json(cli, ms_steal(&reply));
	json_t *added = json_object_get(reply, "entry");
	json_object_set(added, "id", json_object_get(reply, "id"));
	json_array_append(list, added);
	runtime_print(list, NULL, "");
	say_state(reply);
	return CLI_OK;
}

int runtime_remove(const struct cli *cli, const char *kind, const char *what)
{
	_cleanup_(json_decrefp) json_t *body = json_pack("{s:s, s:s}", "kind", kind, "what", what),
				       *reply = NULL;
	_cleanup_(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (!text)
		return cli_fail(cli, "'%s' is not UTF-8", what);
	if (client_json(cli, "/v1/runtime/remove", text, &reply) < 0)
		return CLI_UNANSWERED;
	if (cli->output == CLI_JSON)
		return cli_print_json(cli, ms_steal(&reply));
	fputs("removed: ", stdout);
	print_safe(what);
	puts("");
	say_state(reply);
	return CLI_OK;
}

int runtime_list(const struct cli *cli, const char *kind)
{
	_cleanup_(json_decrefp) json_t *entries = NULL, *list = json_array();
	json_t *entry;
	size_t i;

	if (client_json(cli, "/v1/runtime", NULL, &entries) < 0)
		return CLI_UNANSWERED;
	json_array_foreach(entries, i, entry) if (strcmp(get_text(entry, "kind"), kind) == 0)
		json_array_append(list, entry);
	if (cli->output == CLI_JSON)
		return cli_print_json(cli, ms_steal(&list));
	if (json_array_size(list) == 0)
		printf("There is no %s.\n", kind);
	runtime_print(list, NULL, "");
	return CLI_OK;
}
