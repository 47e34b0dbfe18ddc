/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "commands.h"
#include "runtime.h"

int cmd_relax(struct cli *cli)
{
	const char *const *words = cli->words.items;

	if (cli->words.n_items == 2 && strcmp(words[0], "remove") == 0)
		return runtime_remove(cli, "relax", words[1]);
	/* An environment may have this name; then it has a time. */
	if (cli->words.n_items == 1 && strcmp(words[0], "list") == 0 && !cli_has(cli, CLI_FOR))
		return runtime_list(cli, "relax");
	if (cli->words.n_items == 1)
		return runtime_add(cli, json_pack("{s:s, s:s}", "kind", "relax", "of", words[0]),
				   true);
	return cli_fail(
		cli,
		"expected ENV or ENV/SERVICE, or list, or remove ID; see microseg relax --help");
}
