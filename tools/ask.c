/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int ask(const struct cli *cli, const char *question)
{
	FILE *out = cli->output == CLI_TEXT ? stdout : stderr;
	char answer[16];

	if (cli_has(cli, CLI_YES))
		return 1;
	if (!isatty(STDIN_FILENO)) {
		fflush(stdout);
		cli_fail(cli, "not a terminal: say --yes to go on; nothing was changed");
		return -ENOTTY;
	}
	fprintf(out, "%s [y/N] ", question);
	fflush(out);
	if (!fgets(answer, sizeof(answer), stdin) || (answer[0] != 'y' && answer[0] != 'Y')) {
		fputs("Nothing was changed.\n", out);
		return 0;
	}
	return 1;
}
