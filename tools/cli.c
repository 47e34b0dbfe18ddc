/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "daemon/files.h"
#include "help.h"
#include "microseg/cleanup.h"
#include "policy/schema.h"

#define MAX_COMMANDS 64

const struct cli_flag_row cli_flags[CLI_N_FLAGS] = {
	[CLI_POLICY] = {"policy", 'p', "PATH",
			"policy file or directory (several times; default " MS_POLICY_DIR ")"},
	[CLI_INVENTORY] = {"inventory", 'i', "FILE|live",
			   "inventory file, or the running node (default where there is one)"},
	[CLI_OUTPUT] = {"output", 'o', "text|json", "form of the output"},
	[CLI_NO_COLOR] = {"no-color", 0, NULL, "no colours (also NO_COLOR)"},
	[CLI_CONTROL] = {"control", 0, "SOCKET",
			 "socket of microsegd (default " MS_CONTROL_SOCKET ")"},
	[CLI_CONFIG] = {"config", 'c', "FILE",
			"configuration of the node (default " MS_CONFIG_FILE ")"},
	[CLI_HELP] = {"help", 'h', NULL, "this text"},
	[CLI_VERSION] = {"version", 0, NULL, "the version"},
	[CLI_AT] = {"at", 0, "TIME",
		    "as if it were then, for every until: 2026-01-31T12:00:00Z (default now)"},
	[CLI_STATE] = {"state", 0, "DIR", "state directory of the node (default " MS_STATE_DIR ")"},
	[CLI_STRICT] = {"strict", 0, NULL, "warnings count as errors"},
	[CLI_SCHEMA] = {"schema", 0, NULL,
			"print the JSON Schema of the language; with -o text its reference page"},
	[CLI_SERVICE] = {"service", 0, "ENV/NAME", "only what concerns this service"},
	[CLI_STATS] = {"stats", 0, NULL, "how many rules and elements each service takes"},
	[CLI_PUBLISHED] = {"published", 0, NULL, "the traffic comes through a published port"},
	[CLI_BATCH] = {"batch", 0, "FILE|-", "read flows as JSON lines, answer each with one"},
	[CLI_FOLLOW] = {"follow", 'f', NULL, "go on with new ones"},
	[CLI_SINCE] = {"since", 0, "TIME",
		       "from then on: 90s, 10m, 2h, 1d, or 2026-01-31T12:00:00Z"},
	[CLI_REASON] =
		{"reason", 0, "TEXT",
		 "why: of a flow that was refused (no-grant, fence, …), or of what is ordered"},
	[CLI_YES] = {"yes", 'y', NULL, "do not ask"},
	[CLI_CONFIRM] = {"confirm", 0, "TIME",
			 "give way again after this time unless `microseg confirm` comes"},
	[CLI_FOR] = {"for", 0, "TIME", "only for this long: 90s, 30m, 2h, 7d"},
	[CLI_FROM] = {"from", 0, "PATH",
		      "compare with this policy (several times) and not with the running one"},
	[CLI_RULESET] = {"ruleset", 0, NULL, "also what changes in sets, chains and rules"},
	[CLI_FAIL_ON_GAIN] = {"fail-on-gain", 0, NULL,
			      "exit 1 only if something may flow that could not"},
	[CLI_FAIL_ON_CROSSING] = {"fail-on-crossing", 0, NULL,
				  "exit 1 only if it does so between two environments"},
};

int cli_fail(const struct cli *cli, const char *format, ...)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	va_list args;

	va_start(args, format);
	ms_str_addv(&text, format, args);
	va_end(args);
	fprintf(stderr, "microseg%s%s: %s\n", cli->command ? " " : "",
		cli->command ? cli->command->name : "", text.text ? text.text : "out of memory");
	return CLI_UNANSWERED;
}

int cli_print_json(const struct cli *cli, json_t *json)
{
	if (!json)
		return cli_fail(cli, "out of memory");
	json_dumpf(json, stdout, JSON_INDENT(1));
	puts("");
	json_decref(json);
	return CLI_OK;
}

const char *const cli_output_names[CLI_N_OUTPUTS] = {
	[CLI_TEXT] = "text", [CLI_JSON] = "json", [CLI_TAP] = "tap",
	[CLI_CSV] = "csv",   [CLI_HTML] = "html",
};

bool cli_has_output(const struct cli_command *command, unsigned int output)
{
	return output == CLI_TEXT || output == CLI_JSON || (command->outputs & CLI_OUT(output));
}

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < cli_n_commands; i++)
		if (strcmp(cli_commands[i].name, name) == 0)
			return &cli_commands[i];
	return NULL;
}

static int unknown_command(const struct cli *cli, const char *name)
{
	const char *names[MAX_COMMANDS];
	size_t n_names = 0;

	for (size_t i = 0; i < cli_n_commands && i < MAX_COMMANDS; i++)
		names[n_names++] = cli_commands[i].name;
	const char *nearest = ms_nearest_word(name, names, n_names);

	if (nearest)
		cli_fail(cli, "no command '%s'; did you mean '%s'?", name, nearest);
	else
		cli_fail(cli, "no command '%s'; see microseg --help", name);
	return -EINVAL;
}

static uint32_t flags_of(const struct cli_command *command)
{
	return CLI_COMMON_FLAGS | (command ? command->flags : 0);
}

/* What getopt stumbled over stands before optind; of a letter only optopt is known. */
static int unknown_flag(const struct cli *cli, char *const argv[], int letter)
{
	const char *where = cli->command ? cli->command->name : "", *blank = *where ? " " : "";
	uint32_t mine = flags_of(cli->command);
	const char *names[CLI_N_FLAGS];
	size_t n_names = 0;
	_cleanup_(freep) char *word = strdup(argv[optind - 1]);

	if (letter > 0 && letter < 256) {
		cli_fail(cli, "no flag -%c here; see microseg%s%s --help", letter, blank, where);
		return -EINVAL;
	}
	if (!word)
		return -ENOMEM;
	word[strcspn(word, "=")] = '\0';
	for (unsigned int i = 0; i < CLI_N_FLAGS; i++)
		if (mine & CLI_FLAG(i))
			names[n_names++] = cli_flags[i].name;
	const char *nearest = strlen(word) > 2 ? ms_nearest_word(word + 2, names, n_names) : NULL;

	if (nearest && strcmp(nearest, word + 2) == 0)
		cli_fail(cli, "%s takes no value", word);
	else if (nearest)
		cli_fail(cli, "no flag %s here; did you mean --%s?", word, nearest);
	else
		cli_fail(cli, "no flag %s here; see microseg%s%s --help", word, blank, where);
	return -EINVAL;
}

static int missing_value(const struct cli *cli, int option)
{
	for (unsigned int i = 0; i < CLI_N_FLAGS; i++)
		if (cli_flags[i].letter == option || (int)i + 256 == option)
			cli_fail(cli, "--%s needs a value: %s", cli_flags[i].name,
				 cli_flags[i].argument);
	return -EINVAL;
}

static int take_flag(struct cli *cli, enum cli_flag flag)
{
	cli->given |= CLI_FLAG(flag);
	cli->values[flag] = optarg;
	if (flag == CLI_POLICY)
		return ms_vec_push(&cli->policies, optarg);
	if (flag == CLI_FROM)
		return ms_vec_push(&cli->from, optarg);
	return 0;
}

/* Makes getopt's tables out of ours: every flag is known by its number + 256. Before the command
 * the first word ends it. */
static void make_getopt(const struct cli_command *command, struct option *options, char *letters)
{
	uint32_t mine = flags_of(command);

	if (!command)
		*letters++ = '+';
	*letters++ = ':';
	for (unsigned int i = 0; i < CLI_N_FLAGS; i++) {
		if (!(mine & CLI_FLAG(i)))
			continue;
		*options++ = (struct option){.name = cli_flags[i].name,
					     .has_arg = cli_flags[i].argument ? required_argument
									      : no_argument,
					     .val = (int)i + 256};
		if (cli_flags[i].letter)
			*letters++ = cli_flags[i].letter;
		if (cli_flags[i].letter && cli_flags[i].argument)
			*letters++ = ':';
	}
	*options = (struct option){0};
	*letters = '\0';
}

static int flag_of(int option)
{
	for (unsigned int i = 0; i < CLI_N_FLAGS; i++)
		if ((int)i + 256 == option || cli_flags[i].letter == option)
			return (int)i;
	return -EINVAL;
}

/* Parses flags up to the end of the line, or up to the command where that is not known yet. */
static int parse_flags(int argc, char **argv, struct cli *cli)
{
	struct option options[CLI_N_FLAGS + 1];
	char letters[CLI_N_FLAGS * 2 + 3];
	int option, r = 0;

	make_getopt(cli->command, options, letters);
	opterr = 0;
	optind = 0;
	while (r == 0 && (option = getopt_long(argc, argv, letters, options, NULL)) >= 0) {
		if (option == '?')
			return unknown_flag(cli, argv, optopt);
		if (option == ':')
			return missing_value(cli, optopt);
		r = take_flag(cli, (enum cli_flag)flag_of(option));
	}
	for (int i = optind; r == 0 && cli->command && i < argc; i++)
		r = ms_vec_push(&cli->words, argv[i]);
	return r;
}

static int parse_output(struct cli *cli)
{
	const char *wanted = cli->values[CLI_OUTPUT];
	_cleanup_(ms_str_fini) struct ms_str outputs = {0};

	for (unsigned int i = 0; wanted && i < CLI_N_OUTPUTS; i++) {
		if (strcmp(cli_output_names[i], wanted) != 0 || !cli_has_output(cli->command, i))
			continue;
		cli->output = (enum cli_output)i;
		return 0;
	}
	if (!wanted)
		return 0;
	help_outputs(cli->command, &outputs);
	cli_fail(cli, "no output '%s': %s", wanted, outputs.text ? outputs.text : "out of memory");
	return -EINVAL;
}

/* The one clock of a command: what runs out by the policy's `until` is judged by it. */
static int set_clock(struct cli *cli)
{
	const char *at = cli->values[CLI_AT];

	cli->now = time(NULL);
	if (!at || ms_time_parse(at, &cli->now) == 0)
		return 0;
	cli_fail(cli, "'%s' is no time: expected RFC 3339, such as 2026-01-31T12:00:00Z", at);
	return -EINVAL;
}

/* Where socket and state are stands in the configuration; the line goes before it. */
static int configure(struct cli *cli)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	int r = ms_config_init(&cli->config);

	if (r == 0)
		r = ms_config_read(cli->values[CLI_CONFIG], &cli->config, &error);
	if (r < 0 && (cli->values[CLI_CONFIG] || r != -EACCES)) {
		cli_fail(cli, "the configuration cannot be used\n%s",
			 error.text ? error.text : strerror(-r));
		return r == -ENOMEM ? r : -EINVAL;
	}
	if (cli->values[CLI_CONTROL])
		cli->config.control_socket = cli->values[CLI_CONTROL];
	if (cli->values[CLI_STATE])
		cli->config.state = cli->values[CLI_STATE];
	return 0;
}

static int parse_command(int argc, char **argv, struct cli *cli)
{
	bool color = !getenv("NO_COLOR") || !*getenv("NO_COLOR");
	int r = parse_flags(argc, argv, cli);

	if (r < 0)
		return r;
	if (cli_has(cli, CLI_HELP)) {
		r = help_print(cli->command);
		return r < 0 ? r : 1;
	}
	color = color && !cli_has(cli, CLI_NO_COLOR);
	cli->color = color && isatty(STDOUT_FILENO);
	cli->color_errors = color && isatty(STDERR_FILENO);
	r = parse_output(cli);
	if (r == 0)
		r = set_clock(cli);
	return r < 0 ? r : configure(cli);
}

static int say_version(void)
{
	puts("microseg " MS_VERSION);
	return 1;
}

/* `microseg --help [COMMAND]` and `microseg help [COMMAND]`. */
static int help_with(const struct cli *cli, const char *name)
{
	const struct cli_command *command = name ? find_command(name) : NULL;

	if (name && !command)
		return unknown_command(cli, name);
	int r = help_print(command);

	return r < 0 ? r : 1;
}

int cli_parse(int argc, char **argv, struct cli *cli)
{
	int r = parse_flags(argc, argv, cli), first = optind;
	const char *name = first < argc ? argv[first] : NULL;

	if (r < 0)
		return r;
	if (cli_has(cli, CLI_VERSION) || (name && strcmp(name, "version") == 0))
		return say_version();
	if (cli_has(cli, CLI_HELP))
		return help_with(cli, name);
	if (name && strcmp(name, "help") == 0)
		return help_with(cli, first + 1 < argc ? argv[first + 1] : NULL);
	if (!name) {
		cli_fail(cli, "which command? see microseg --help");
		return -EINVAL;
	}
	cli->command = find_command(name);
	if (!cli->command)
		return unknown_command(cli, name);
	r = cli->command->run ? parse_command(argc - first, argv + first, cli) : 0;
	return r == 0 && cli_has(cli, CLI_VERSION) ? say_version() : r;
}

void cli_fini(struct cli *cli)
{
	ms_vec_fini(&cli->policies);
	ms_vec_fini(&cli->from);
	ms_vec_fini(&cli->words);
	ms_config_fini(&cli->config);
}

int cli_main(int argc, char **argv)
{
	_cleanup_(cli_fini) struct cli cli = {0};
	int r = cli_parse(argc, argv, &cli);

	if (r == -ENOMEM)
		return cli_fail(&cli, "out of memory");
	if (r < 0)
		return CLI_UNANSWERED;
	if (r == 0 && !cli.command->run)
		return cli_fail(&cli, "not in this version");
	r = r == 0 ? cli.command->run(&cli) : CLI_OK;
	if (fflush(stdout) == EOF || ferror(stdout))
		return cli_fail(&cli, "cannot write the output: %s", strerror(errno));
	return r;
}
