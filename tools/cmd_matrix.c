/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "load.h"
#include "matrix_print.h"
#include "microseg/cleanup.h"

static int print_json(const struct matrix_rows *rows, const struct ms_policy *policy)
{
	_cleanup_(json_decrefp) json_t *json = matrix_json(rows, policy);

	if (!json)
		return -ENOMEM;
	json_dumpf(json, stdout, JSON_COMPACT);
	puts("");
	return 0;
}

static int print(const struct cli *cli, const struct matrix_rows *rows,
		 const struct ms_policy *policy)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	int r = 0;

	if (cli->output == CLI_JSON)
		return print_json(rows, policy);
	if (cli->output == CLI_HTML)
		r = matrix_print_html(rows, policy, &text);
	else if (cli->output == CLI_CSV)
		matrix_print_csv(rows, &text);
	else
		matrix_print_text(rows, policy, cli->color, &text);
	if (r < 0 || text.failed)
		return -ENOMEM;
	fwrite(text.text ? text.text : "", 1, text.len, stdout);
	return 0;
}

static bool identity_exists(const struct ms_matrix *matrix, const char *name)
{
	for (size_t i = 0; i < matrix->n_identities; i++)
		if (strcmp(matrix->ends.items[i].name, name) == 0)
			return true;
	return false;
}

int cmd_matrix(struct cli *cli)
{
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(ms_matrix_freep) struct ms_matrix *matrix = NULL;
	_cleanup_(matrix_rows_fini) struct matrix_rows rows = {0};
	const char *service = cli->values[CLI_SERVICE];

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'; paths are given with -p",
				cli->words.items[0]);
	if (load_policy_here(cli, &loaded) < 0 ||
	    load_inventory(cli, loaded->policy, true, &inventory) < 0)
		return CLI_UNANSWERED;

	const struct ms_matrix_view view = {loaded->policy, inventory};
	int r = ms_matrix_make(&view, NULL, cli->now, &matrix);
	if (r == 0 && service && !identity_exists(matrix, service))
		return cli_fail(cli, "--service %s: neither the policy nor the inventory has it",
				service);
	if (r == 0)
		r = matrix_rows_init(matrix, service, &rows);
	if (r == 0)
		r = print(cli, &rows, loaded->policy);
	return r < 0 ? cli_fail(cli, "%s", strerror(-r)) : CLI_OK;
}
