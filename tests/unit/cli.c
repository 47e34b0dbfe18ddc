/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "microseg/cleanup.h"
#include "table.h"

#define MAX_ARGUMENTS 16
#define MAX_OUTPUT 8192

/* Runs cli_main() with the words of @line. Returns the exit code; what it wrote comes back in @out
 * and @err. */
static int run(const char *line, char out[MAX_OUTPUT], char err[MAX_OUTPUT])
{
	_cleanup_(freep) char *copy = strdup(line);
	char *argv[MAX_ARGUMENTS] = {NULL}, *rest = NULL, *buffers[2] = {out, err};
	FILE *files[2] = {tmpfile(), tmpfile()};
	int argc = 0, saved[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};

	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	fflush(stdout);
	for (int i = 0; i < 2; i++)
		dup2(fileno(files[i]), STDOUT_FILENO + i);
	int code = cli_main(argc, argv);
	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], STDOUT_FILENO + i);
		close(saved[i]);
		rewind(files[i]);
		buffers[i][fread(buffers[i], 1, MAX_OUTPUT - 1, files[i])] = '\0';
		fclose(files[i]);
	}
	return code;
}

static void refuses_with_a_hint(void **state)
{
	static const struct {
		const char *line, *said;
	} cases[] = {
		{"microseg", "which command?"},
		{"microseg chekc", "did you mean 'check'?"},
		{"microseg zzzzzzz", "microseg --help"},
		{"microseg help chekc", "did you mean 'check'?"},
		{"microseg check --strcit", "did you mean --strict?"},
		{"microseg --folow check", "no flag --folow here; see microseg --help"},
		{"microseg --contrl /x status", "did you mean --control?"},
		{"microseg check --follow", "no flag --follow here"},
		{"microseg check -z", "no flag -z here"},
		{"microseg check --strict=1", "takes no value"},
		{"microseg check -p", "--policy needs a value"},
		{"microseg check --policy", "--policy needs a value"},
		{"microseg check -o yaml", "no output 'yaml'"},
		{"microseg check -o tap", "no output 'tap'"},
		{"microseg check extra", "paths are given with -p"},
		{"microseg check -c /nowhere/x.yaml", "/nowhere/x.yaml"},
		{"microseg check -p /nowhere", "/nowhere: No such file"},
		{"microseg apply --confirm soon", "'soon' is no duration: expected 90s"},
		{"microseg off --for 30", "'30' is no duration"},
		{"microseg off --for 0m", "'0m' is no duration"},
		{"microseg rollback 3 4", "'4' is no generation"},
		{"microseg rollback +3", "'+3' is no generation"},
		{"microseg confirm now", "unexpected 'now'"},
		{"microseg history 3", "unexpected '3'"},
		{"microseg quarantine", "expected add WHO, remove WHO, or list"},
		{"microseg quarantine add", "expected add WHO, remove WHO, or list"},
		{"microseg grant prod/a prod/b", "expected SRC DST PORT, or list, or remove ID"},
		{"microseg grant prod/a prod/b tcp/1", "for how long? say --for 2h"},
		{"microseg grant prod/a prod/b tcp/1 --for 2h", "why? say --reason TEXT"},
		{"microseg relax prod", "for how long? say --for 2h"},
		{"microseg relax", "expected ENV or ENV/SERVICE"},
		{"microseg drops --since yesterday", "10m"},
		{"microseg drops --reason because", "no such reason"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[MAX_OUTPUT], err[MAX_OUTPUT];

		assert_int_equal(run(cases[i].line, out, err), CLI_UNANSWERED);
		if (!strstr(err, cases[i].said))
			fail_msg("%s said: %s", cases[i].line, err);
		assert_string_equal(out, "");
	}
}

static void says_what_is_not_in_this_version(void **state)
{
	static const char *const names[] = {"suggest", "graph", "flows", "verify", "import"};
	char line[64], out[MAX_OUTPUT], err[MAX_OUTPUT];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(line, sizeof(line), "microseg %s --whatever x", names[i]);
		assert_int_equal(run(line, out, err), CLI_UNANSWERED);
		assert_non_null(strstr(err, "not in this version"));
	}
}

static void says_in_one_line_that_no_daemon_runs(void **state)
{
	static const char *const lines[] = {
		"microseg status --control /nowhere/sock",
		"microseg endpoints --control /nowhere/sock",
		"microseg drops --control /nowhere/sock",
		"microseg --control /nowhere/sock status",
	};
	char out[MAX_OUTPUT], err[MAX_OUTPUT];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(run(lines[i], out, err), CLI_UNANSWERED);
		assert_non_null(
			strstr(err, "microsegd is not running: nothing answers on /nowhere/sock"));
		assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
	}
}

static void helps_with_every_command(void **state)
{
	char line[64], out[MAX_OUTPUT], err[MAX_OUTPUT];

	(void)state;
	assert_int_equal(run("microseg --help", out, err), CLI_OK);
	for (size_t i = 0; i < cli_n_commands; i++)
		assert_non_null(strstr(out, cli_commands[i].summary));
	for (size_t i = 0; i < cli_n_commands; i++) {
		if (!cli_commands[i].run)
			continue;
		snprintf(line, sizeof(line), "microseg %s --help", cli_commands[i].name);
		assert_int_equal(run(line, out, err), CLI_OK);
		assert_non_null(strstr(out, cli_commands[i].summary));
		assert_non_null(strstr(out, "--policy"));
		snprintf(line, sizeof(line), "\n  microseg %s", cli_commands[i].name);
		if (!strstr(out, line))
			fail_msg("%s has no example", cli_commands[i].name);
		assert_string_equal(err, "");
	}
}

static void tells_its_version(void **state)
{
	static const char *const lines[] = {"microseg --version", "microseg version",
					    "microseg check --version",
					    "microseg --no-color --version"};
	char out[MAX_OUTPUT], err[MAX_OUTPUT];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(run(lines[i], out, err), CLI_OK);
		assert_string_equal(out, "microseg " MS_VERSION "\n");
	}
}

static void aligns_columns_by_characters_and_defuses_them(void **state)
{
	static const char *const heading[] = {"A", "B"};
	_cleanup_(table_fini) struct table table = {0};
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	(void)state;
	assert_int_equal(table_init(&table, 2, heading), 0);
	table_add(&table, "h\xc3\xa9llo");
	table_add(&table, "x\033[31m");
	table_add(&table, NULL);
	table_add(&table, "");
	table_add(&table, "alone");
	table_add(&table, " ");
	table_print(&table, &text);
	assert_string_equal(text.text, "A      B\nh\xc3\xa9llo  x\\x1b[31m\n-      -\nalone\n");
}

static void lets_a_long_text_move_no_other_row(void **state)
{
	static const char *const heading[] = {"A", "B"};
	_cleanup_(table_fini) struct table table = {0};
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	char wide[49] = "", wider[50] = "";

	(void)state;
	memset(wide, 'w', 48);
	memset(wider, 'x', 49);
	assert_int_equal(table_init(&table, 2, heading), 0);
	for (size_t i = 0; i < 4; i++)
		table_add(&table, i % 2 ? "end" : i ? wider : "short");
	table_print(&table, &text);
	assert_string_equal(text.text + sizeof("A      B\nshort  end\n") - 1 + 49, "  end\n");
	assert_memory_equal(text.text, "A      B\nshort  end\n", 20);
	table_add(&table, wide);
	table_add(&table, "end");
	ms_str_fini(&text);
	table_print(&table, &text);
	assert_int_equal(strchr(text.text, '\n') - text.text, 48 + 2 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_with_a_hint),
		cmocka_unit_test(says_what_is_not_in_this_version),
		cmocka_unit_test(says_in_one_line_that_no_daemon_runs),
		cmocka_unit_test(helps_with_every_command),
		cmocka_unit_test(tells_its_version),
		cmocka_unit_test(aligns_columns_by_characters_and_defuses_them),
		cmocka_unit_test(lets_a_long_text_move_no_other_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
