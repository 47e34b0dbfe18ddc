/* SPDX-License-Identifier: GPL-2.0-or-later */
/* microseg(1) and microsegd(8). */
#include <string.h>

#include "cli.h"
#include "daemon/files.h"
#include "docs.h"
#include "help.h"
#include "microseg/cleanup.h"

static void add_flag(struct ms_str *out, unsigned int index, const struct cli_command *command)
{
	const struct cli_flag_row *flag = &cli_flags[index];
	_cleanup_(ms_str_fini) struct ms_str tag = {0};

	if (flag->letter)
		ms_str_addf(&tag, "-%c, ", flag->letter);
	ms_str_addf(&tag, "--%s", flag->name);
	if (flag->argument)
		ms_str_add(&tag, " ");
	if (flag->argument && index == CLI_OUTPUT && command)
		help_outputs(command, &tag);
	else if (flag->argument)
		ms_str_add(&tag, flag->argument);
	roff_item(out, tag.text ? tag.text : "", flag->help);
}

static void add_command(struct ms_str *out, const struct cli_command *command)
{
	_cleanup_(ms_str_fini) struct ms_str usage = {0};

	roff_subsection(out, command->name);
	ms_str_addf(&usage, "microseg %s%s%s", command->name, *command->arguments ? " " : "",
		    command->arguments);
	ms_str_add(out, ".B ");
	roff_text(out, usage.text ? usage.text : "");
	roff_paragraph(out, command->summary);
	for (unsigned int i = 0; i < CLI_N_FLAGS; i++)
		if (command->flags & CLI_FLAG(i))
			add_flag(out, i, command);
	if (command->outputs)
		add_flag(out, CLI_OUTPUT, command);
	if (!command->examples)
		return;
	ms_str_add(out, ".PP\n");
	roff_example(out, command->examples);
}

static void add_later(struct ms_str *out)
{
	_cleanup_(ms_str_fini) struct ms_str names = {0};

	for (size_t i = 0; i < cli_n_commands; i++)
		if (!cli_commands[i].run)
			ms_str_addf(&names, "%s%s", names.len ? ", " : "", cli_commands[i].name);
	if (!names.len)
		return;
	ms_str_add(&names, ".");
	roff_section(out, "NOT IN THIS VERSION");
	roff_text(out, names.text);
}

static void add_files(struct ms_str *out)
{
	roff_section(out, "ENVIRONMENT");
	roff_item(out, "NO_COLOR", "Not empty: no colours, as with --no-color.");
	roff_section(out, "FILES");
	roff_item(out, MS_POLICY_DIR, "The policy, where -p is not given.");
	roff_item(out, MS_CONFIG_FILE, "The configuration of the node.");
	roff_item(out, MS_CONTROL_SOCKET, "The socket of microsegd.");
	roff_item(out, MS_STATE_DIR, "What microsegd remembers across restarts.");
}

void docs_microseg(struct ms_str *out)
{
	roff_title(out, "microseg", "1", "who may talk to whom, for the containers of this host");
	roff_section(out, "SYNOPSIS");
	ms_str_add(out, ".B microseg\n.I COMMAND\n[\\fIFLAG\\fR]... [\\fIARGUMENT\\fR]...\n.br\n"
			".B microseg help\n[\\fICOMMAND\\fR]\n");
	roff_section(out, "DESCRIPTION");
	roff_text(out,
		  "microseg works on the policy in microseg-policy(5), for people and pipelines. "
		  "The commands before status need no root and no node, and change nothing; the "
		  "others speak to microsegd(8). Results go to standard output, diagnostics to "
		  "standard error.");
	roff_section(out, "COMMANDS");
	for (size_t i = 0; i < cli_n_commands; i++)
		if (cli_commands[i].run)
			add_command(out, &cli_commands[i]);
	roff_section(out, "FLAGS OF EVERY COMMAND");
	for (unsigned int i = 0; i < CLI_N_FLAGS; i++)
		if (CLI_COMMON_FLAGS & CLI_FLAG(i))
			add_flag(out, i, NULL);
	add_later(out);
	roff_section(out, "EXIT STATUS");
	roff_item(out, "0", "Fine.");
	roff_item(out, "1",
		  "The answer is \"no\": findings, differences, a failed test, a denied flow, an "
		  "enforced environment not wholly covered.");
	roff_item(out, "2",
		  "The question could not be answered: usage, a file that cannot be read, no "
		  "permission.");
	add_files(out);
	roff_see_also(out, "microseg-policy(5), microseg.yaml(5), microsegd(8), nft(8)");
}

/* One option as the help has it: the tag, then behind two blanks the text, which may go on in the
 * next lines. Returns where it ends. */
static const char *add_option(struct ms_str *out, const char *help)
{
	_cleanup_(ms_str_fini) struct ms_str tag = {0}, text = {0};
	const char *start = help + strspn(help, " "), *gap = strstr(start, "  ");
	size_t len = strcspn(start, "\n");

	if (!gap || gap > start + len)
		gap = start + len;
	for (const char *c = start; c < gap; c++)
		ms_str_add_char(&tag, *c);
	do {
		const char *line = gap + strspn(gap, " ");

		len = strcspn(line, "\n");
		ms_str_addf(&text, "%s%.*s", text.len ? " " : "", (int)len, line);
		gap = line + len + (line[len] == '\n');
	} while (*gap == ' ' && gap[strspn(gap, " ")] != '-');
	roff_item(out, tag.text ? tag.text : "", text.text ? text.text : "");
	return gap;
}

static void add_options(struct ms_str *out, const char *help)
{
	while (help && *help) {
		if (*help == ' ' && help[strspn(help, " ")] == '-') {
			help = add_option(out, help);
		} else {
			help = strchr(help, '\n');
			help += help != NULL;
		}
	}
}

void docs_microsegd(struct ms_str *out, const char *help)
{
	const char *usage_end = strstr(help, "\n\n");
	const char *options = usage_end ? usage_end + 2 : help;
	_cleanup_(ms_str_fini) struct ms_str usage = {0};

	roff_title(out, "microsegd", "8",
		   "enforces microsegmentation between the containers of a host");
	roff_section(out, "SYNOPSIS");
	for (const char *c = help + strspn(help, "usage: "); c < options; c++)
		ms_str_add_char(&usage, *c);
	roff_text(out, usage.text ? usage.text : "");
	roff_section(out, "DESCRIPTION");
	roff_text(out,
		  "microsegd follows the containers of the network namespace that it is started "
		  "in, compiles the policy of microseg-policy(5) and these containers into "
		  "nftables rules, and keeps them in the kernel, where they hold on when it stops. "
		  "It stays in the foreground, and speaks to microseg(1) through its control "
		  "socket.");
	roff_paragraph(
		out,
		"A node that never had a policy applied only observes. Once armed by its first "
		"microseg apply, nothing that goes wrong opens anything: neither a broken policy "
		"nor an engine that hangs, nor a daemon that dies.");
	roff_section(out, "OPTIONS");
	add_options(out, options);
	roff_section(out, "EXIT STATUS");
	roff_item(out, "0", "It was told to stop.");
	roff_item(out, "2", "It could not start or go on; standard error says why.");
	add_files(out);
	roff_see_also(out, "microseg(1), microseg-policy(5), microseg.yaml(5), nft(8)");
}
