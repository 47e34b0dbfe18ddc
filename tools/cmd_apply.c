/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "ask.h"
#include "change.h"
#include "client.h"
#include "commands.h"
#include "load.h"
#include "microseg/cleanup.h"
#include "times.h"

static json_t *pack_files(const struct ms_files *files)
{
	json_t *list = json_array();

	ms_vec_each (struct ms_policy_file, file, &files->list)
		json_array_append_new(list, json_pack("{s:s, s:s%}", "name", file->name, "text",
						      file->bytes, file->size));
	return json_pack("{s:o}", "files", list);
}

int cmd_apply(struct cli *cli)
{
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	_cleanup_(json_decrefp) json_t *body = NULL, *report = NULL;
	time_t seconds;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'; paths are given with -p",
				cli->words.items[0]);
	if (cli_has(cli, CLI_CONFIRM) && times_parse(cli, CLI_CONFIRM, &seconds) < 0)
		return CLI_UNANSWERED;
	int r = load_policy_files(cli, &loaded);
	if (r == -EINVAL)
		return cli_fail(cli, "the policy has errors; nothing was changed");
	if (r < 0)
		return CLI_UNANSWERED;
	body = pack_files(&loaded->files);
	_cleanup_(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	if (!text)
		return cli_fail(cli, "the files cannot be sent: they are not UTF-8");
	if (change_show(cli, loaded, text, &report) < 0)
		return CLI_UNANSWERED;
	r = ask(cli, "Apply this?");
	if (r <= 0)
		return r < 0 ? CLI_UNANSWERED : CLI_NO;
	return change_send(cli, "/v1/apply", body, report);
}
