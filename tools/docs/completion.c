/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Completion of microseg's line for bash, zsh and fish. */
#include <string.h>

#include "cli.h"
#include "docs.h"
#include "microseg/decide.h"

/* What stands behind a flag. */
enum value { VALUE_NONE, VALUE_FILE, VALUE_OUTPUT, VALUE_REASON, VALUE_OTHER };

static enum value value_of(unsigned int flag)
{
	switch (flag) {
	case CLI_POLICY:
	case CLI_FROM:
	case CLI_INVENTORY:
	case CLI_CONTROL:
	case CLI_CONFIG:
	case CLI_STATE:
	case CLI_BATCH:
		return VALUE_FILE;
	case CLI_OUTPUT:
		return VALUE_OUTPUT;
	case CLI_REASON:
		return VALUE_REASON;
	default:
		return cli_flags[flag].argument ? VALUE_OTHER : VALUE_NONE;
	}
}

static void add_outputs(struct ms_str *out, const struct cli_command *command)
{
	const char *blank = "";

	for (unsigned int i = 0; i < CLI_N_OUTPUTS; i++) {
		if (!cli_has_output(command, i))
			continue;
		ms_str_addf(out, "%s%s", blank, cli_output_names[i]);
		blank = " ";
	}
}

static void add_reasons(struct ms_str *out)
{
	const char *blank = "";

	for (enum ms_reason i = 0; i < MS_N_REASONS; i++) {
		if (!ms_reason_name(i))
			continue;
		ms_str_addf(out, "%s%s", blank, ms_reason_name(i));
		blank = " ";
	}
}

static void add_commands(struct ms_str *out)
{
	const char *blank = "";

	for (size_t i = 0; i < cli_n_commands; i++) {
		if (!cli_commands[i].run)
			continue;
		ms_str_addf(out, "%s%s", blank, cli_commands[i].name);
		blank = " ";
	}
}

/* In single quotes of a shell. */
static void add_quoted(struct ms_str *out, const char *text)
{
	for (; *text; text++)
		if (*text == '\'')
			ms_str_add(out, "'\\''");
		else
			ms_str_add_char(out, *text);
}

static void add_header(struct ms_str *out, const char *first)
{
	ms_str_addf(out, "%s# SPDX-License-Identifier: GPL-2.0-or-later\n\n", first);
}

/* bash. */

static void bash_flags(struct ms_str *out, uint32_t flags)
{
	const char *blank = "";

	for (unsigned int i = 0; i < CLI_N_FLAGS; i++) {
		if (!(flags & CLI_FLAG(i)))
			continue;
		if (cli_flags[i].letter)
			ms_str_addf(out, "%s-%c", blank, cli_flags[i].letter);
		ms_str_addf(out, "%s--%s", *blank || cli_flags[i].letter ? " " : "",
			    cli_flags[i].name);
		blank = " ";
	}
}

/* The pattern of a case: "-p|--policy". */
static void bash_pattern(struct ms_str *out, enum value value)
{
	const char *bar = "";

	for (unsigned int i = 0; i < CLI_N_FLAGS; i++) {
		if (value_of(i) != value)
			continue;
		if (cli_flags[i].letter)
			ms_str_addf(out, "%s-%c", bar, cli_flags[i].letter);
		ms_str_addf(out, "%s--%s", *bar || cli_flags[i].letter ? "|" : "",
			    cli_flags[i].name);
		bar = "|";
	}
}

static void bash_values(struct ms_str *out)
{
	ms_str_add(out, "\tcase $previous in\n\t");
	bash_pattern(out, VALUE_FILE);
	ms_str_add(out, ")\n\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
			"\t\treturn\n\t\t;;\n\t");
	bash_pattern(out, VALUE_REASON);
	ms_str_add(out, ")\n\t\tmapfile -t COMPREPLY < <(compgen -W '");
	add_reasons(out);
	ms_str_add(out, "' -- \"$word\")\n\t\treturn\n\t\t;;\n\t");
	bash_pattern(out, VALUE_OUTPUT);
	ms_str_add(out, ")\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$outputs\" -- \"$word\")\n"
			"\t\treturn\n\t\t;;\n\t");
	bash_pattern(out, VALUE_OTHER);
	ms_str_add(out, ")\n\t\treturn\n\t\t;;\n\tesac\n");
}

void docs_bash(struct ms_str *out)
{
	add_header(out, "");
	ms_str_add(out,
		   "_microseg()\n{\n"
		   "\tlocal word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
		   "\tlocal command= outputs='text json' flags i\n\n"
		   "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		   "\t\tcase ${COMP_WORDS[i]} in\n");
	for (size_t i = 0; i < cli_n_commands; i++)
		if (cli_commands[i].run)
			ms_str_addf(out, "\t\t%s) command=${COMP_WORDS[i]}; break ;;\n",
				    cli_commands[i].name);
	ms_str_add(out, "\t\tesac\n\tdone\n\tcase $command in\n");
	for (size_t i = 0; i < cli_n_commands; i++) {
		const struct cli_command *command = &cli_commands[i];

		if (!command->run)
			continue;
		ms_str_addf(out, "\t%s)\n\t\toutputs='", command->name);
		add_outputs(out, command);
		ms_str_add(out, "'\n\t\tflags='");
		bash_flags(out, CLI_COMMON_FLAGS | command->flags);
		ms_str_add(out, "'\n\t\t;;\n");
	}
	ms_str_add(out, "\t*)\n\t\tflags='");
	bash_flags(out, CLI_COMMON_FLAGS);
	ms_str_add(out, "'\n\t\t;;\n\tesac\n");
	bash_values(out);
	ms_str_add(out, "\tif [[ $word != -* && -z $command ]]; then\n\t\tflags='");
	add_commands(out);
	ms_str_add(out, " help'\n\tfi\n"
			"\tmapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$word\")\n}\n"
			"complete -F _microseg microseg\n");
}

/* zsh. */

/* In a specification of _arguments, brackets and colons mean something. */
static void zsh_text(struct ms_str *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '[' || *text == ']' || *text == ':')
			ms_str_add_char(out, '\\');
		if (*text == '\'')
			ms_str_add(out, "'\\'");
		ms_str_add_char(out, *text);
	}
}

static void zsh_value(struct ms_str *out, unsigned int flag, const struct cli_command *command)
{
	switch (value_of(flag)) {
	case VALUE_NONE:
		return;
	case VALUE_FILE:
		ms_str_add(out, ":path:_files");
		return;
	case VALUE_OUTPUT:
		ms_str_add(out, ":output:(");
		add_outputs(out, command);
		ms_str_add(out, ")");
		return;
	case VALUE_REASON:
		ms_str_add(out, ":reason:(");
		add_reasons(out);
		ms_str_add(out, ")");
		return;
	case VALUE_OTHER:
		ms_str_add(out, ":");
		zsh_text(out, cli_flags[flag].argument);
		ms_str_add(out, ":");
	}
}

static void zsh_flag(struct ms_str *out, unsigned int flag, const struct cli_command *command)
{
	bool repeats = flag == CLI_POLICY || flag == CLI_FROM;

	for (int form = cli_flags[flag].letter ? 0 : 1; form < 2; form++) {
		ms_str_addf(out, "\t\t\t'%s", repeats ? "*" : "");
		if (form == 0)
			ms_str_addf(out, "-%c", cli_flags[flag].letter);
		else
			ms_str_addf(out, "--%s", cli_flags[flag].name);
		ms_str_add(out, "[");
		zsh_text(out, cli_flags[flag].help);
		ms_str_add(out, "]");
		zsh_value(out, flag, command);
		ms_str_add(out, "' \\\n");
	}
}

void docs_zsh(struct ms_str *out)
{
	add_header(out, "#compdef microseg\n");
	ms_str_add(out, "_microseg()\n{\n\tlocal -a commands\n\tcommands=(\n");
	for (size_t i = 0; i < cli_n_commands; i++) {
		if (!cli_commands[i].run)
			continue;
		ms_str_addf(out, "\t\t'%s:", cli_commands[i].name);
		zsh_text(out, cli_commands[i].summary);
		ms_str_add(out, "'\n");
	}
	ms_str_add(out, "\t)\n\tif (( CURRENT == 2 )); then\n"
			"\t\t_describe command commands\n\t\treturn\n\tfi\n"
			"\tlocal command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n"
			"\tcase $command in\n");
	for (size_t i = 0; i < cli_n_commands; i++) {
		const struct cli_command *command = &cli_commands[i];

		if (!command->run)
			continue;
		ms_str_addf(out, "\t%s)\n\t\t_arguments \\\n", command->name);
		for (unsigned int flag = 0; flag < CLI_N_FLAGS; flag++)
			if ((CLI_COMMON_FLAGS | command->flags) & CLI_FLAG(flag))
				zsh_flag(out, flag, command);
		ms_str_add(out, "\t\t\t'*: :'\n\t\t;;\n");
	}
	ms_str_add(out, "\tesac\n}\n_microseg \"$@\"\n");
}

/* fish. */

static void fish_flag(struct ms_str *out, unsigned int flag, const struct cli_command *command)
{
	ms_str_addf(out, "complete -c microseg -n '__fish_seen_subcommand_from %s'", command->name);
	if (cli_flags[flag].letter)
		ms_str_addf(out, " -s %c", cli_flags[flag].letter);
	ms_str_addf(out, " -l %s", cli_flags[flag].name);
	switch (value_of(flag)) {
	case VALUE_NONE:
		break;
	case VALUE_FILE:
		ms_str_add(out, " -r -F");
		break;
	case VALUE_OUTPUT:
		ms_str_add(out, " -x -a '");
		add_outputs(out, command);
		ms_str_add(out, "'");
		break;
	case VALUE_REASON:
		ms_str_add(out, " -x -a '");
		add_reasons(out);
		ms_str_add(out, "'");
		break;
	case VALUE_OTHER:
		ms_str_add(out, " -x");
	}
	ms_str_add(out, " -d '");
	add_quoted(out, cli_flags[flag].help);
	ms_str_add(out, "'\n");
}

void docs_fish(struct ms_str *out)
{
	add_header(out, "");
	ms_str_add(out, "complete -c microseg -f\n");
	for (size_t i = 0; i < cli_n_commands; i++) {
		const struct cli_command *command = &cli_commands[i];

		if (!command->run)
			continue;
		ms_str_addf(out, "complete -c microseg -n __fish_use_subcommand -a %s -d '",
			    command->name);
		add_quoted(out, command->summary);
		ms_str_add(out, "'\n");
		for (unsigned int flag = 0; flag < CLI_N_FLAGS; flag++)
			if ((CLI_COMMON_FLAGS | command->flags) & CLI_FLAG(flag))
				fish_flag(out, flag, command);
	}
}
