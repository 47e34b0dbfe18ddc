/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "load.h"
#include "microseg/cleanup.h"
#include "running.h"
#include "summary.h"

static json_t *pack_files(const struct ms_files *files)
{
	json_t *list = json_array();

	ms_vec_each (struct ms_policy_file, file, &files->list)
		json_array_append_new(list, json_pack("{s:s, s:s%}", "name", file->name, "text",
						      file->bytes, file->size));
	return json_pack("{s:o}", "files", list);
}

static int show_change(const struct cli *cli, const struct ms_loaded *loaded)
{
	_cleanup_(ms_loaded_freep) struct ms_loaded *running = NULL;
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	int r = running_policy(cli, &running);

	if (r < 0)
		return r;
	r = summary_diff(running ? running->policy : NULL, loaded->policy, &text);
	if (r < 0)
		return r;
	if (!running)
		puts("No policy is in force on this node yet.");
	if (r == 0)
		puts("The policy says the same as the one in force.");
	if (text.text)
		fputs(text.text, stdout);
	return 0;
}

/* Returns 1 to go on. */
static int ask(const struct cli *cli)
{
	char answer[16];

	if (cli_has(cli, CLI_YES))
		return 1;
	if (!isatty(STDIN_FILENO)) {
		cli_fail(cli, "not a terminal: say --yes to apply");
		return -ENOTTY;
	}
	fputs("Apply this? [y/N] ", stdout);
	fflush(stdout);
	if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y')) {
		puts("Nothing was changed.");
		return 0;
	}
	return 1;
}

static int send(const struct cli *cli, const struct ms_files *files)
{
	_cleanup_(json_decrefp) json_t *body = pack_files(files), *reply = NULL;
	_cleanup_(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	const char *state = "";
	json_int_t generation = 0;

	if (!text)
		return cli_fail(cli, "the files cannot be sent: they are not UTF-8");
	if (client_json(cli, "/v1/apply", text, &reply) < 0)
		return CLI_UNANSWERED;
	if (cli->output == CLI_JSON) {
		json_dumpf(reply, stdout, JSON_INDENT(1));
		puts("");
		return CLI_OK;
	}
	json_unpack(reply, "{s:s, s:I}", "state", &state, "generation", &generation);
	printf("%s: generation %" JSON_INTEGER_FORMAT "\n", state, generation);
	if (strcmp(state, "off") == 0)
		puts("The node is off: the policy is remembered and enforced after `microseg on`.");
	return CLI_OK;
}

int cmd_apply(struct cli *cli)
{
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'; paths are given with -p",
				cli->words.items[0]);
	if (cli_has(cli, CLI_CONFIRM))
		return cli_fail(cli, "--confirm: not in this version");
	int r = load_policy(cli, &loaded);
	if (r == -EINVAL)
		return cli_fail(cli, "the policy has errors; nothing was changed");
	if (r < 0)
		return CLI_UNANSWERED;
	if (cli->output == CLI_TEXT && show_change(cli, loaded) < 0)
		return CLI_UNANSWERED;
	r = ask(cli);
	if (r <= 0)
		return r < 0 ? CLI_UNANSWERED : CLI_NO;
	return send(cli, &loaded->files);
}
