/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "commands.h"
#include "runtime.h"

int cmd_quarantine(struct cli *cli)
{
	const char *const *words = cli->words.items;
	size_t n = cli->words.n_items;

	if (n == 1 && strcmp(words[0], "list") == 0)
		return runtime_list(cli, "quarantine");
	if (n == 2 && strcmp(words[0], "remove") == 0)
		return runtime_remove(cli, "quarantine", words[1]);
	if (n == 2 && strcmp(words[0], "add") == 0)
		return runtime_add(
			cli, json_pack("{s:s, s:s}", "kind", "quarantine", "of", words[1]), false);
	return cli_fail(cli,
			"expected add WHO, remove WHO, or list; see microseg quarantine --help");
}
