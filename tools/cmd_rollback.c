/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "change.h"
#include "client.h"
#include "commands.h"
#include "microseg/cleanup.h"
#include "running.h"

#define SETTLE_TRIES 100
#define SETTLE_US 100000

/* The generation that waits to be confirmed, or 0. Returns -errno after saying why. */
static int ask_trial(const struct cli *cli, json_int_t *ret_generation)
{
	_cleanup_(json_decrefp) json_t *status = NULL;
	int r = client_json(cli, "/v1/status", NULL, &status);

	if (r == 0)
		json_unpack(status, "{s:{s:I}}", "trial", "generation", ret_generation);
	return r;
}

/* Ends a trial, and waits until it is over. */
static int end_trial(const struct cli *cli, json_int_t generation)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	json_int_t left = generation;

	if (client_json(cli, "/v1/rollback", "", &reply) < 0)
		return CLI_UNANSWERED;
	for (int i = 0; i < SETTLE_TRIES && left == generation; i++) {
		left = 0;
		if (ask_trial(cli, &left) < 0)
			return CLI_UNANSWERED;
		if (left == generation)
			usleep(SETTLE_US);
	}
	if (left == generation)
		return cli_fail(cli,
				"generation %" JSON_INTEGER_FORMAT
				" is still in force: see microseg status",
				generation);
	if (cli->output == CLI_JSON)
		return cli_print_json(cli, ms_steal(&reply));
	printf("Generation %" JSON_INTEGER_FORMAT
	       " was not confirmed and gave way: what was before it is in force again.\n",
	       generation);
	return CLI_OK;
}

static int parse_generation(const struct cli *cli, uint64_t *ret_generation)
{
	const char *text = cli->words.n_items ? cli->words.items[0] : NULL;
	char *end = NULL;

	*ret_generation = 0;
	if (!text)
		return 0;
	*ret_generation = strtoull(text, &end, 10);
	if (cli->words.n_items == 1 && *text >= '1' && *text <= '9' && !*end)
		return 0;
	cli_fail(cli, "'%s' is no generation: expected one number that microseg history lists",
		 cli->words.items[cli->words.n_items - 1]);
	return -EINVAL;
}

/* Which generation the daemon goes to when nobody says. */
static int find_previous(const struct cli *cli, uint64_t *ret_generation)
{
	_cleanup_(json_decrefp) json_t *plan = NULL;
	json_int_t generation = 0;
	int r = client_json(cli, "/v1/plan", "", &plan);

	if (r == 0)
		json_unpack(plan, "{s:I}", "generation", &generation);
	*ret_generation = (uint64_t)generation;
	return r;
}

int cmd_rollback(struct cli *cli)
{
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	_cleanup_(json_decrefp) json_t *body = NULL, *report = NULL;
	json_int_t trial = 0;
	uint64_t generation;
	char question[64];

	if (parse_generation(cli, &generation) < 0 || ask_trial(cli, &trial) < 0)
		return CLI_UNANSWERED;
	if (trial && !generation)
		return end_trial(cli, trial);
	if (!generation && find_previous(cli, &generation) < 0)
		return CLI_UNANSWERED;
	if (running_earlier(cli, generation, &loaded) < 0)
		return CLI_UNANSWERED;
	if (!loaded)
		return cli_fail(cli, "generation %" PRIu64 " cannot be read by this version",
				generation);
	body = json_pack("{s:I}", "generation", (json_int_t)generation);
	_cleanup_(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	if (!text)
		return cli_fail(cli, "out of memory");
	if (change_show(cli, loaded, text, &report) < 0)
		return CLI_UNANSWERED;
	snprintf(question, sizeof(question), "Go back to generation %" PRIu64 "?", generation);
	int r = ask(cli, question);
	if (r <= 0)
		return r < 0 ? CLI_UNANSWERED : CLI_NO;
	return change_send(cli, "/v1/rollback", body, report);
}
