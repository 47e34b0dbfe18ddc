/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "client.h"
#include "commands.h"
#include "microseg/cleanup.h"

int cmd_confirm(struct cli *cli)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	json_int_t generation = 0;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'", cli->words.items[0]);
	if (client_json(cli, "/v1/confirm", "", &reply) < 0)
		return CLI_UNANSWERED;
	if (cli->output == CLI_JSON)
		return cli_print_json(cli, ms_steal(&reply));
	json_unpack(reply, "{s:I}", "generation", &generation);
	printf("Generation %" JSON_INTEGER_FORMAT " stays.\n", generation);
	return CLI_OK;
}
