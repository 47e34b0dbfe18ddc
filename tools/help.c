/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "help.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "microseg/cleanup.h"

#define WIDTH 80
#define FLAG_TEXT 32	/* column where the text of a flag begins */
#define SUMMARY_TEXT 15 /* the same of a command */

/* How long the next piece of @text is that stays on one line: up to a blank, and what stands in
 * brackets as a whole. */
static size_t piece_len(const char *text)
{
	unsigned int depth = 0;
	size_t len = 0;

	for (; text[len] && (text[len] != ' ' || depth); len++) {
		depth += text[len] == '[';
		depth -= text[len] == ']' && depth;
	}
	return len;
}

/* Adds @text to a line that has @column columns already; the lines after it begin at @indent. */
static void add_wrapped(struct ms_str *out, size_t column, size_t indent, const char *text)
{
	for (bool first = true; *text; first = false) {
		size_t len = piece_len(text);

		if (!first && column + 1 + len > WIDTH) {
			ms_str_addf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			ms_str_add(out, " ");
			column++;
		}
		ms_str_addf(out, "%.*s", (int)len, text);
		column += len;
		text += len + (text[len] == ' ');
	}
	ms_str_add(out, "\n");
}

void help_outputs(const struct cli_command *command, struct ms_str *text)
{
	const char *bar = "";

	for (unsigned int i = 0; i < CLI_N_OUTPUTS; i++) {
		if (!cli_has_output(command, i))
			continue;
		ms_str_addf(text, "%s%s", bar, cli_output_names[i]);
		bar = "|";
	}
}

static void add_flag(struct ms_str *out, unsigned int index, const struct cli_command *command)
{
	const struct cli_flag_row *flag = &cli_flags[index];
	size_t start = out->len;

	ms_str_addf(out, "  %c%c%c --%s", flag->letter ? '-' : ' ',
		    flag->letter ? flag->letter : ' ', flag->letter ? ',' : ' ', flag->name);
	if (flag->argument)
		ms_str_add(out, " ");
	if (flag->argument && index == CLI_OUTPUT && command)
		help_outputs(command, out);
	else if (flag->argument)
		ms_str_add(out, flag->argument);
	size_t column = out->len - start;

	if (column + 2 > FLAG_TEXT) {
		ms_str_add(out, "\n");
		column = 0;
	}
	ms_str_addf(out, "%*s", (int)(FLAG_TEXT - column), "");
	add_wrapped(out, FLAG_TEXT, FLAG_TEXT, flag->help);
}

static void add_flags(struct ms_str *out, uint32_t wanted, const struct cli_command *command)
{
	for (unsigned int i = 0; i < CLI_N_FLAGS; i++)
		if (wanted & CLI_FLAG(i))
			add_flag(out, i, command);
}

static void add_commands(struct ms_str *out, bool later)
{
	for (size_t i = 0; i < cli_n_commands; i++) {
		if (!cli_commands[i].run != later)
			continue;
		ms_str_addf(out, "  %-12s ", cli_commands[i].name);
		add_wrapped(out, SUMMARY_TEXT, SUMMARY_TEXT, cli_commands[i].summary);
	}
}

static void add_overview(struct ms_str *out)
{
	ms_str_add(out, "usage: microseg COMMAND [FLAG]...\n\n"
			"Microsegmentation for the containers of this host: who may talk to whom,\n"
			"and why not.\n\n");
	add_commands(out, false);
	ms_str_add(out, "\nNot in this version:\n\n");
	add_commands(out, true);
	ms_str_add(out, "\nFlags of every command:\n\n");
	add_flags(out, CLI_COMMON_FLAGS, NULL);
	ms_str_add(out, "\nExit: 0 fine, 1 the answer is \"no\", 2 the question could not be "
			"answered.\nMore with microseg COMMAND --help.\n");
}

static void add_command(struct ms_str *out, const struct cli_command *command)
{
	size_t start = out->len;

	ms_str_addf(out, "usage: microseg %s%s", command->name, *command->arguments ? " " : "");
	add_wrapped(out, out->len - start, out->len - start, command->arguments);
	ms_str_add(out, "\n");
	add_wrapped(out, 0, 0, command->summary);
	if (command->flags) {
		ms_str_add(out, "\n");
		add_flags(out, command->flags, command);
	}
	ms_str_add(out, "\n");
	add_flags(out, CLI_COMMON_FLAGS, command);
	if (command->examples)
		ms_str_addf(out, "\n%s", command->examples);
}

int help_print(const struct cli_command *command)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (command)
		add_command(&text, command);
	else
		add_overview(&text);
	if (!text.text || text.failed)
		return -ENOMEM;
	fputs(text.text, stdout);
	return 0;
}
