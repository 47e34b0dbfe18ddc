/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cli: the command line of `microseg`.
 *
 * One table of flags and one of commands (commands.c) drive parsing, --help and suggestions. A
 * command gets the parsed line and returns the exit code of SPEC section 5.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "daemon/config.h"
#include "microseg/policy.h"

#define CLI_OK 0	 /* fine */
#define CLI_NO 1	 /* the answer is "no" */
#define CLI_UNANSWERED 2 /* the question could not be answered */

enum cli_flag {
	/* common ones */
	CLI_POLICY,
	CLI_INVENTORY,
	CLI_OUTPUT,
	CLI_NO_COLOR,
	CLI_CONTROL,
	CLI_CONFIG,
	CLI_HELP,
	CLI_VERSION,
	/* of single commands */
	CLI_AT,
	CLI_STATE,
	CLI_STRICT,
	CLI_SCHEMA,
	CLI_SERVICE,
	CLI_STATS,
	CLI_PUBLISHED,
	CLI_BATCH,
	CLI_FOLLOW,
	CLI_SINCE,
	CLI_REASON,
	CLI_YES,
	CLI_CONFIRM,
	CLI_FOR,
	CLI_FROM,
	CLI_RULESET,
	CLI_FAIL_ON_GAIN,
	CLI_FAIL_ON_CROSSING,
	CLI_N_FLAGS,
};

#define CLI_FLAG(flag) (1u << (flag))

enum cli_output {
	CLI_TEXT,
	CLI_JSON,
	CLI_TAP,
	CLI_CSV,
	CLI_HTML,
	CLI_N_OUTPUTS,
};

#define CLI_OUT(output) (1u << (output))

/** One flag; the table is in cli.c, in the order of enum cli_flag. */
struct cli_flag_row {
	const char *name;
	char letter;	      /* or 0 */
	const char *argument; /* NULL: takes none */
	const char *help;
};
extern const struct cli_flag_row cli_flags[CLI_N_FLAGS];

/* What every command takes. */
#define CLI_COMMON_FLAGS                                                                           \
	(CLI_FLAG(CLI_POLICY) | CLI_FLAG(CLI_INVENTORY) | CLI_FLAG(CLI_OUTPUT) |                   \
	 CLI_FLAG(CLI_NO_COLOR) | CLI_FLAG(CLI_CONTROL) | CLI_FLAG(CLI_CONFIG) |                   \
	 CLI_FLAG(CLI_HELP) | CLI_FLAG(CLI_VERSION))

extern const char *const cli_output_names[CLI_N_OUTPUTS];

struct cli {
	const struct cli_command *command;
	uint32_t given;			 /* CLI_FLAG()s that stand on the line */
	const char *values[CLI_N_FLAGS]; /* of flags that take one; the last one counts */
	ms_text_vec policies;		 /* every -p */
	ms_text_vec from;		 /* every --from */
	ms_text_vec words;		 /* what is not a flag */
	enum cli_output output;
	bool color;		 /* of stdout */
	bool color_errors;	 /* of stderr */
	time_t now;		 /* what --at says, otherwise the clock */
	struct ms_config config; /* of the node: where its socket and state are */
};

struct cli_command {
	const char *name;
	const char *summary;
	const char *arguments;	     /* as in the usage line */
	uint32_t flags;		     /* beside the common ones */
	const char *examples;	     /* lines, or NULL */
	int (*run)(struct cli *cli); /* NULL: not in this version */
	uint32_t outputs;	     /* beside text and JSON: CLI_OUT()s */
};

extern const struct cli_command cli_commands[];
extern const size_t cli_n_commands;

/** Does @command take `-o` with this enum cli_output? */
bool cli_has_output(const struct cli_command *command, unsigned int output);

/** Parses the line, runs the command, returns the exit code. */
int cli_main(int argc, char **argv);

/** Prints @json, which it takes over, on stdout. Returns CLI_OK, or CLI_UNANSWERED for NULL. */
int cli_print_json(const struct cli *cli, json_t *json);

/** Prints "microseg COMMAND: …" and returns CLI_UNANSWERED. */
int cli_fail(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline bool cli_has(const struct cli *cli, enum cli_flag flag)
{
	return cli->given & CLI_FLAG(flag);
}

/**
 * Parses @argv into @cli. Returns 0 to run cli->command; 1 when all was said (--help); -EINVAL
 * after saying what is wrong; -ENOMEM.
 */
int cli_parse(int argc, char **argv, struct cli *cli);
void cli_fini(struct cli *cli);
