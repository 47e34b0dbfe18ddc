/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "daemon/files.h"
#include "daemon/overlay.h"
#include "load.h"
#include "microseg/cleanup.h"
#include "microseg/lint.h"
#include "policy/schema.h"
#include "running.h"

static json_t *text_or_null(const char *text)
{
	json_t *json = text ? json_string(text) : NULL;

	return json ? json : json_null();
}

static void print_json(struct ms_diags *diags)
{
	json_t *list = json_array();

	ms_diags_sort(diags);
	ms_vec_each (struct ms_diag, diag, &diags->list)
		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:o, s:i, s:i, s:o, s:o}", "severity",
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

static void print_count(size_t n, const char *what, const char *then)
{
	printf("%zu %s%s%s", n, what, n == 1 ? "" : "s", then);
}

static void print_summary(const struct ms_files *files, const struct ms_diags *diags,
			  const struct ms_policy *policy)
{
	print_count(files->list.n_items, "file", ": ");
	if (policy) {
		print_count(policy->envs.n_items, "environment", ", ");
		print_count(policy->services.n_items, "service", "; ");
	}
	print_count(diags->n_errors, "error", ", ");
	print_count(diags->n_warnings, "warning", "\n");
}

static int report(const struct cli *cli, const struct ms_files *files, struct ms_diags *diags,
		  const struct ms_policy *policy)
{
	bool bad = diags->n_errors || (cli_has(cli, CLI_STRICT) && diags->n_warnings);

	if (cli->output == CLI_JSON) {
		print_json(diags);
	} else {
		print_text(cli, diags);
		print_summary(files, diags, policy);
	}
	return bad ? CLI_NO : CLI_OK;
}

/* What commands added on the running node says something about these files, too. */
static int add_runtime(const struct cli *cli, struct ms_files *files, struct ms_str *text)
{
	if (!load_is_live(cli))
		return 0;
	running_overlay(cli, text);
	if (!text->len)
		return 0;
	const struct ms_policy_file file = {
		.name = MS_OVERLAY_FILE, .bytes = text->text, .size = text->len, .runtime = true};
	return ms_avec_push(files->arena, &files->list, file);
}

/* Loads once more, now that it is known who runs, and adds what the inventory shows. */
static int check_beside(const struct cli *cli, const struct ms_files *files,
			const struct ms_inventory *inventory, struct ms_diags *diags)
{
	_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;
	_cleanup_(ms_str_fini) struct ms_str runtime = {0};
	struct ms_files all = *files; /* the arena stays its owner's */
	ms_text_vec identities = {0};
	int r = ms_inventory_identities(inventory, &identities);

	ms_diags_fini(diags);
	if (r == 0)
		r = ms_diags_init(diags);
	if (r == 0)
		r = add_runtime(cli, &all, &runtime);
	if (r == 0)
		r = ms_policy_load_beside(all.list.items, all.list.n_items, cli->now, &identities,
					  diags, &policy);
	if (r == 0)
		ms_lint_inventory(policy, inventory, all.list.items, all.list.n_items, diags);
	ms_vec_fini(&identities);
	return r == 0 ? report(cli, files, diags, policy) : cli_fail(cli, "%s", strerror(-r));
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
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'; paths are given with -p",
				cli->words.items[0]);
	if (cli_has(cli, CLI_SCHEMA))
		return print_schema(cli);
	int r = ms_files_init(&files);
	if (r == 0)
		r = ms_files_read_all(&files, &cli->policies, &error);
	if (r == 0)
		r = ms_diags_init(&diags);
	if (r < 0)
		return cli_fail(cli, "%s", error.text ? error.text : strerror(-r));
	r = ms_policy_load(files.list.items, files.list.n_items, cli->now, &diags, &policy);
	if (r < 0 && r != -EINVAL)
		return cli_fail(cli, "%s", strerror(-r));
	if (!policy || !cli_has(cli, CLI_INVENTORY))
		return report(cli, &files, &diags, policy);
	if (load_inventory(cli, policy, false, &inventory) < 0)
		return CLI_UNANSWERED;
	return check_beside(cli, &files, inventory, &diags);
}
