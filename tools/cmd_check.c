/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "daemon/files.h"
#include "load.h"
#include "microseg/cleanup.h"
#include "policy/schema.h"

static json_t *text_or_null(const char *text)
{
	json_t *json = text ? json_string(text) : NULL;

	return json ? json : json_null();
}

static void print_json(const struct ms_diags *diags)
{
	json_t *list = json_array();

	ms_vec_each(struct ms_diag, diag, &diags->list)
		json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:i, s:i, s:o, s:o}", "severity",
						      ms_severity_name(diag->severity), "code", diag->code, "file",
						      text_or_null(diag->at.file), "line", (int)diag->at.line, "column",
						      (int)diag->at.column, "message", text_or_null(diag->message),
						      "hint", text_or_null(diag->hint)));
	json_dumpf(list, stdout, JSON_INDENT(1));
	puts("");
	json_decref(list);
}

static void print_text(const struct cli *cli, struct ms_diags *diags)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	ms_diags_print(diags, &text, cli->color_errors);
	if (text.text)
		fputs(text.text, stderr);
}

static void print_summary(const struct ms_files *files, const struct ms_diags *diags, const struct ms_policy *policy)
{
	printf("%zu %s: ", files->list.n_items, files->list.n_items == 1 ? "file" : "files");
	if (policy)
		printf("%zu environments, %zu services; ", policy->envs.n_items, policy->services.n_items);
	printf("%zu errors, %zu warnings\n", diags->n_errors, diags->n_warnings);
}

/* What the inventory has that no policy can cover. Only asked for with -i. */
static int check_inventory(const struct cli *cli, const struct ms_policy *policy)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (load_inventory(cli, policy, false, &inventory) < 0)
		return CLI_UNANSWERED;
	ms_vec_each(struct ms_endpoint, endpoint, &inventory->endpoints) {
		if (endpoint->state == MS_ENDPOINT_IDENTIFIED)
			continue;
		ms_str_addf(&text, "%s: ", endpoint->identity);
		ms_str_add_safe(&text, endpoint->name);
		ms_str_add(&text, ": ");
		ms_str_add_safe(&text, endpoint->why ? endpoint->why : "no reason known");
		ms_str_add_char(&text, '\n');
	}
	ms_vec_each(struct ms_uncovered, uncovered, &inventory->uncovered) {
		ms_str_add(&text, "not covered: ");
		ms_str_add_safe(&text, uncovered->what);
		ms_str_add(&text, ": ");
		ms_str_add_safe(&text, uncovered->reason);
		ms_str_add_char(&text, '\n');
	}
	if (text.text)
		fputs(text.text, stdout);
	return CLI_OK;
}

static int report(const struct cli *cli, const struct ms_files *files, struct ms_diags *diags,
		  const struct ms_policy *policy)
{
	bool bad = diags->n_errors || (cli_has(cli, CLI_STRICT) && diags->n_warnings);
	int r = CLI_OK;

	if (cli->output == CLI_JSON) {
		print_json(diags);
	} else {
		print_text(cli, diags);
		print_summary(files, diags, policy);
		if (policy && cli_has(cli, CLI_INVENTORY))
			r = check_inventory(cli, policy);
	}
	return r != CLI_OK ? r : bad ? CLI_NO : CLI_OK;
}

/* For editors as JSON Schema, for people (-o text) as the reference page. */
static int print_schema(const struct cli *cli)
{
	bool page = cli->values[CLI_OUTPUT] && cli->output == CLI_TEXT;
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	int r = page ? ms_schema_print_page(&text) : ms_schema_print_json(&text);

	if (r < 0)
		return cli_fail(cli, "%s", strerror(-r));
	fputs(text.text, stdout);
	return CLI_OK;
}

int cmd_check(struct cli *cli)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'; paths are given with -p", cli->words.items[0]);
	if (cli_has(cli, CLI_SCHEMA))
		return print_schema(cli);
	int r = ms_files_init(&files);
	if (r == 0)
		r = ms_files_read_all(&files, &cli->policies, &error);
	if (r == 0)
		r = ms_diags_init(&diags);
	if (r < 0)
		return cli_fail(cli, "%s", error.text ? error.text : strerror(-r));
	r = ms_policy_load(files.list.items, files.list.n_items, time(NULL), &diags, &policy);
	if (r < 0 && r != -EINVAL)
		return cli_fail(cli, "%s", strerror(-r));
	return report(cli, &files, &diags, policy);
}
