/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "parity.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/kernel.h"
#include "microseg/cleanup.h"

int parity_in_namespace(int (*test)(const void *argument), const void *argument)
{
	fflush(NULL);
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return 1;
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0) {
			perror("unshare");
			_exit(1);
		}
		int r = test(argument);

		fflush(NULL);
		_exit(r ? 1 : 0);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

/*
 * What nft adds for a table with an owner: the program behind the table's name, and a line of
 * flags, of which 1.0.6 knows no persist, with a blank line behind it.
 */
static bool is_about_owner(size_t n_lines, const char *line)
{
	return n_lines == 1 && (strncmp(line, "\tflags", 6) == 0 || strcmp(line, "\n") == 0);
}

static void cut_program(size_t n_lines, char *line)
{
	char *program = n_lines == 0 ? strstr(line, " # progname") : NULL;

	if (program)
		strcpy(program, "\n");
}

/* " timeout 59m58s": what the kernel times itself. */
static void cut_times(char *line)
{
	static const char word[] = " timeout ";

	for (char *at; (at = strstr(line, word));) {
		char *end = at + strlen(word);

		end += strcspn(end, " ,\n");
		memmove(at, end, strlen(end) + 1);
	}
}

static int list_table(const struct ms_table *table, struct ms_str *out)
{
	char command[256];
	_cleanup_(freep) char *line = NULL;
	size_t size = 0, n_lines = 0;

	snprintf(command, sizeof(command), "nft -s list table %s %s", ms_family_name(table->family),
		 table->name);
	FILE *pipe = popen(command, "r");

	if (!pipe)
		return 1;
	while (getline(&line, &size, pipe) >= 0) {
		if (is_about_owner(n_lines, line))
			continue;
		cut_program(n_lines, line);
		cut_times(line);
		ms_str_add(out, line);
		n_lines++;
	}
	return pclose(pipe) != 0;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return;
	fputs(text ? text : "", file);
	fclose(file);
}

static void show_difference(const struct ms_str *printed, const struct ms_str *listed)
{
	char folder[] = "/tmp/microseg-parity.XXXXXX";
	char ours[64], theirs[64], command[256];

	if (!mkdtemp(folder))
		return;
	snprintf(ours, sizeof(ours), "%s/printed", folder);
	snprintf(theirs, sizeof(theirs), "%s/listed", folder);
	write_file(ours, printed->text);
	write_file(theirs, listed->text);
	snprintf(command, sizeof(command), "diff -u %s %s | head -60 >&2", ours, theirs);
	if (system(command) != 0)
		fprintf(stderr, "diff could not be run\n");
	unlink(ours);
	unlink(theirs);
	rmdir(folder);
}

static int same_text(const struct ms_ruleset *ruleset)
{
	_cleanup_(ms_str_fini) struct ms_str printed = {0}, listed = {0};

	ms_ruleset_print(ruleset, NULL, &printed);
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		if (list_table(*table, &listed)) {
			fprintf(stderr, "nft could not list table %s\n",
				ms_family_name((*table)->family));
			return 1;
		}
	if (printed.len == listed.len && printed.len > 0 &&
	    memcmp(printed.text, listed.text, printed.len) == 0)
		return 0;
	show_difference(&printed, &listed);
	return 1;
}

static int load_and_compare(const void *argument)
{
	const struct ms_ruleset *ruleset = argument;
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};
	int r = ms_kernel_open(&kernel);

	if (r == 0)
		r = ms_kernel_replace(kernel, ruleset, &error);
	if (r < 0) {
		fprintf(stderr, "load: %s (%s)\n", error.text ? error.text : "", strerror(-r));
		return 1;
	}
	r = ms_kernel_verify(kernel, ruleset, &difference);
	if (r != 0)
		fprintf(stderr, "verify: %d\n%s", r, difference.text ? difference.text : "");
	return same_text(ruleset) || r != 0;
}

static int check_text(const void *argument)
{
	_cleanup_(ms_str_fini) struct ms_str printed = {0};
	FILE *pipe;

	ms_ruleset_print(argument, NULL, &printed);
	pipe = popen("nft -c -f -", "w");
	if (!pipe || printed.failed)
		return 1;
	fputs(printed.text, pipe);
	return pclose(pipe) != 0;
}

int parity_check(const struct ms_ruleset *ruleset)
{
	int loaded = parity_in_namespace(load_and_compare, ruleset);
	int checked = parity_in_namespace(check_text, ruleset);

	if (checked)
		fprintf(stderr, "nft refused the printed text\n");
	return loaded || checked;
}
