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
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/history.h"
#include "daemon/loaded.h"
#include "microseg/cleanup.h"

static char root[64];

static struct ms_state *open_state(void)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	struct ms_state *store = NULL;

	assert_int_equal(ms_state_open(root, &store, &error), 0);
	return store;
}

/* A directory of its own for each test. */
static int make_root(void **state)
{
	strcpy(root, "/tmp/microseg-unit-history-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	*state = open_state();
	return 0;
}

static int remove_root(void **state)
{
	char command[128];

	ms_state_free(*state);
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void entries_fini(ms_applied_vec *entries)
{
	ms_vec_fini(entries);
}

static void stage(struct ms_state *store, const char *text, const struct ms_applied *applied)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};

	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_files_add(&files, "a.yaml", text, strlen(text)), 0);
	assert_int_equal(ms_state_stage_policy(store, &files, applied), 0);
}

/* Applies @text as @generation. Its hash is the first byte. */
static void apply(struct ms_state *store, uint64_t generation, const char *text,
		  uint64_t rollback_of, bool trial)
{
	struct ms_applied applied = {.time = 1000 + (time_t)generation,
				     .uid = 7,
				     .user = "ann",
				     .via = "apply",
				     .rollback_of = rollback_of,
				     .hash = (unsigned char)text[0],
				     .trial = trial};
	int history = -1;

	stage(store, text, &applied);
	assert_int_equal(ms_state_commit_policy(store, generation, trial, &history), 0);
	assert_int_equal(history, 0);
}

static const struct ms_applied *find(const ms_applied_vec *entries, uint64_t generation)
{
	ms_vec_each (struct ms_applied, entry, entries)
		if (entry->generation == generation)
			return entry;
	return NULL;
}

static uint64_t in_force(struct ms_state *store)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};
	uint64_t generation = 0;

	assert_int_equal(ms_state_history(store, &entries), 0);
	ms_vec_each (struct ms_applied, entry, &entries)
		if (entry->in_force) {
			assert_int_equal(generation, 0);
			generation = entry->generation;
		}
	return generation;
}

static enum ms_applied_state state_of(struct ms_state *store, uint64_t generation)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};

	assert_int_equal(ms_state_history(store, &entries), 0);
	assert_non_null(find(&entries, generation));
	return find(&entries, generation)->state;
}

static void assert_policy(struct ms_state *store, const char *text)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};

	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_state_load_policy(store, &files, NULL), 0);
	assert_string_equal(files.list.items[0].bytes, text);
}

/* An exception that lasts too long for the clock of today was short enough when it was applied. */
static void a_clock_set_back_makes_no_error_of_what_was_applied(void **state)
{
	static const char text[] =
		"{apiVersion: microseg/v1, kind: Environments, environments: {prod: {}},"
		" unidentified: {mode: enforce}}\n"
		"---\n{apiVersion: microseg/v1, kind: Exception, id: a, from: host,"
		" to: prod/db, ports: [tcp/1], until: 2026-01-15T18:00:00Z}\n";
	struct ms_state *store = *state;

	apply(store, 1, text, 0, false);
	for (int stored = 0; stored < 2; stored++) {
		_cleanup_(ms_files_fini) struct ms_files files = {0};
		_cleanup_(ms_str_fini) struct ms_str said = {0};
		_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;

		assert_int_equal(ms_files_init(&files), 0);
		assert_int_equal(stored ? ms_state_load_policy(store, &files, NULL)
					: ms_files_add(&files, "a.yaml", text, strlen(text)),
				 0);
		assert_int_equal(ms_loaded_new_with(&files, NULL, 0, false, &said, &loaded),
				 stored ? 0 : -EINVAL);
		assert_true(stored || strstr(said.text, "exception-too-long"));
	}
}

static void begins_empty(void **state)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};

	assert_int_equal(ms_state_history(*state, &entries), 0);
	assert_int_equal(entries.n_items, 0);
	assert_null(ms_history_previous(&entries));
}

static void knows_who_applied_what_and_when(void **state)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	struct ms_applied applied = {0};

	apply(*state, 3, "first", 0, false);
	apply(*state, 12, "second", 0, false);
	assert_int_equal(ms_state_history(*state, &entries), 0);
	assert_int_equal(entries.n_items, 2);
	assert_int_equal(entries.items[0].generation, 3);
	assert_false(entries.items[0].in_force);
	assert_true(entries.items[1].in_force);
	assert_int_equal(entries.items[0].time, 1003);
	assert_int_equal(entries.items[0].uid, 7);
	assert_string_equal(entries.items[0].user, "ann");
	assert_string_equal(entries.items[0].via, "apply");
	assert_int_equal(entries.items[0].hash, 'f');
	assert_int_equal(entries.items[0].n_files, 1);
	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_state_load_applied(*state, 3, &files, &applied), 0);
	assert_string_equal(files.list.items[0].bytes, "first");
	assert_int_equal(ms_state_load_applied(*state, 4, &files, &applied), -ENOENT);
}

static void a_trial_is_not_what_a_start_takes_up(void **state)
{
	apply(*state, 1, "good", 0, false);
	apply(*state, 2, "tried", 0, true);
	assert_policy(*state, "good");
	assert_int_equal(in_force(*state), 1);
	assert_int_equal(state_of(*state, 2), MS_APPLIED_TRIAL);
	assert_int_equal(ms_state_confirm(*state, 2), 0);
	assert_policy(*state, "tried");
	assert_int_equal(in_force(*state), 2);
	assert_int_equal(state_of(*state, 2), MS_APPLIED_CONFIRMED);
}

static void a_trial_that_ended_is_undone(void **state)
{
	apply(*state, 1, "good", 0, false);
	apply(*state, 2, "tried", 0, true);
	assert_int_equal(ms_state_end_trials(*state), 0);
	assert_policy(*state, "good");
	assert_int_equal(state_of(*state, 2), MS_APPLIED_UNDONE);
	assert_int_equal(ms_state_confirm(*state, 2), -ENOENT);
	assert_policy(*state, "good");
}

/* The policy before cannot be replaced, as on a disk that fails: nothing is lost, and later it can.
 */
static void what_failed_to_be_committed_is_committed_later(void **state)
{
	struct ms_applied by = {.time = 2, .hash = 2};
	char policy[128], aside[128];
	int history = 0;

	apply(*state, 1, "good", 0, false);
	snprintf(policy, sizeof(policy), "%s/policy", root);
	snprintf(aside, sizeof(aside), "%s/aside", root);
	stage(*state, "new", &by);
	assert_int_equal(rename(policy, aside), 0);
	assert_int_equal(mkdir(policy, 0700), 0);
	assert_int_equal(ms_state_commit_policy(*state, 2, false, &history), -EISDIR);
	assert_int_equal(ms_state_commit_again(*state), -EISDIR);
	assert_int_equal(rmdir(policy), 0);
	assert_int_equal(rename(aside, policy), 0);
	assert_policy(*state, "good");
	assert_int_equal(ms_state_commit_again(*state), 0);
	assert_policy(*state, "new");
	assert_int_equal(in_force(*state), 2);
	assert_int_equal(ms_state_commit_again(*state), 0);
	assert_policy(*state, "new");
}

/* The daemon died between the two renames of a confirm. */
static void half_a_confirm_is_completed(void **state)
{
	char from[128], to[128];

	apply(*state, 1, "good", 0, false);
	apply(*state, 2, "tried", 0, true);
	snprintf(from, sizeof(from), "%s/policy.next", root);
	snprintf(to, sizeof(to), "%s/policy", root);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(ms_state_end_trials(*state), 0);
	assert_int_equal(state_of(*state, 2), MS_APPLIED_CONFIRMED);
	assert_int_equal(in_force(*state), 2);
}

static void a_first_trial_leaves_a_node_unarmed(void **state)
{
	assert_false(ms_state_first_was_trial(*state));
	apply(*state, 1, "tried", 0, true);
	assert_false(ms_state_is_armed(*state));
	assert_true(ms_state_first_was_trial(*state));
	assert_int_equal(ms_state_end_trials(*state), 0);
	assert_false(ms_state_first_was_trial(*state));
}

static void a_torn_entry_harms_no_other(void **state)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	struct ms_applied applied = {0};
	char path[128];

	apply(*state, 1, "first", 0, false);
	apply(*state, 2, "second", 0, false);
	apply(*state, 3, "third", 0, false);
	snprintf(path, sizeof(path), "%s/history/2", root);
	assert_int_equal(truncate(path, 50), 0);
	assert_int_equal(ms_state_history(*state, &entries), 0);
	assert_int_equal(entries.n_items, 3);
	assert_false(find(&entries, 2)->readable);
	assert_true(find(&entries, 1)->readable);
	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_state_load_applied(*state, 2, &files, &applied), -EBADMSG);
	assert_int_equal(ms_history_previous(&entries)->generation, 1);
}

static void names_that_are_no_entries_are_passed_over(void **state)
{
	static const char *const names[] = {"x", "1.tmp", "01", "2x", "99999999999999999999", "-1"};
	_cleanup_(entries_fini) ms_applied_vec entries = {0};
	char path[160];

	apply(*state, 1, "first", 0, false);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/history/%s", root, names[i]);
		_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT, 0600);
		assert_true(fd >= 0);
	}
	assert_int_equal(ms_state_history(*state, &entries), 0);
	assert_int_equal(entries.n_items, 1);
}

static void keeps_no_more_than_it_may(void **state)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};

	for (uint64_t generation = 1; generation <= MS_HISTORY_MAX + 5; generation++)
		apply(*state, generation, "text", 0, false);
	assert_int_equal(ms_state_history(*state, &entries), 0);
	assert_int_equal(entries.n_items, MS_HISTORY_MAX);
	assert_int_equal(entries.items[0].generation, 6);
}

/* What is in force is kept, however many trials came after it. */
static void never_forgets_what_is_in_force(void **state)
{
	apply(*state, 1, "good", 0, false);
	for (uint64_t generation = 2; generation <= MS_HISTORY_MAX + 5; generation++) {
		apply(*state, generation, "tried", 0, true);
		assert_int_equal(ms_state_end_trials(*state), 0);
	}
	assert_int_equal(in_force(*state), 1);
}

static void rollback_goes_back_step_by_step(void **state)
{
	static const struct {
		uint64_t generation;
		const char *text;
		uint64_t rollback_of;
		uint64_t previous; /* of what is in force then; 0: there is none */
	} rows[] = {
		{1, "a", 0, 0}, {2, "b", 0, 1}, {3, "b", 0, 1}, {4, "c", 0, 3},
		{5, "b", 3, 1}, {6, "a", 1, 0}, {7, "d", 0, 6},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		_cleanup_(entries_fini) ms_applied_vec entries = {0};

		apply(*state, rows[i].generation, rows[i].text, rows[i].rollback_of, false);
		assert_int_equal(ms_state_history(*state, &entries), 0);
		const struct ms_applied *previous = ms_history_previous(&entries);
		assert_int_equal(previous ? previous->generation : 0, rows[i].previous);
	}
}

/* Before there was a history, the policy was nothing but the list of its files. */
static void reads_what_an_older_version_wrote(void **state)
{
	static const char text[] =
		"microseg state 1 28522285ba86b5d6\n[\n {\n  \"name\": \"a.yaml\",\n"
		"  \"text\": \"old\"\n }\n]";
	char path[128];

	snprintf(path, sizeof(path), "%s/policy", root);
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_policy(*state, "old");
	assert_true(ms_state_is_armed(*state));
}

/* After a step back to this version: it is told from a torn file, and nothing of it is guessed. */
static void knows_what_a_newer_version_wrote(void **state)
{
	static const char text[] = "microseg state 2 0000000000000000\nwho knows";
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	char path[128];

	snprintf(path, sizeof(path), "%s/policy", root);
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_state_load_policy(*state, &files, NULL), -EPROTONOSUPPORT);
	assert_true(ms_state_is_armed(*state));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(begins_empty),
		TEST(knows_who_applied_what_and_when),
		TEST(a_trial_is_not_what_a_start_takes_up),
		TEST(a_trial_that_ended_is_undone),
		TEST(what_failed_to_be_committed_is_committed_later),
		TEST(half_a_confirm_is_completed),
		TEST(a_first_trial_leaves_a_node_unarmed),
		TEST(a_torn_entry_harms_no_other),
		TEST(names_that_are_no_entries_are_passed_over),
		TEST(keeps_no_more_than_it_may),
		TEST(never_forgets_what_is_in_force),
		TEST(rollback_goes_back_step_by_step),
		TEST(reads_what_an_older_version_wrote),
		TEST(knows_what_a_newer_version_wrote),
		TEST(a_clock_set_back_makes_no_error_of_what_was_applied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
