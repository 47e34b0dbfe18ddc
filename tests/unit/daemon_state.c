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
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/history.h"
#include "daemon/state.h"
#include "microseg/cleanup.h"

static char root[64];

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/microseg-unit-state-XXXXXX");
	return mkdtemp(root) && chdir(root) == 0 ? 0 : -1;
}

static int remove_root(void **state)
{
	static const char *const files[] = {"armed",   "off",	     "policy", "policy.next",
					    "bridges", "generation", "lock"};
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/a/state/%s", root, files[i]);
		unlink(path);
	}
	unlink("a/state/history/1");
	rmdir("a/state/history");
	return rmdir("a/state") < 0 || rmdir("a") < 0 || chdir("/") < 0 ? -1 : rmdir(root);
}

static struct ms_state *open_state(void)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	struct ms_state *state = NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s/a/state", root);
	assert_int_equal(ms_state_open(path, &state, &error), 0);
	return state;
}

static void makes_a_directory_for_root_alone(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	struct stat st;

	(void)state;
	assert_non_null(store);
	assert_int_equal(stat("a/state", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void begins_neither_armed_nor_off(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	time_t until;

	(void)state;
	assert_false(ms_state_is_armed(store));
	assert_false(ms_state_is_off(store, 5, &until));
	assert_int_equal(ms_state_generation(store), 0);
}

static void remembers_off_until_on(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	time_t until;

	(void)state;
	assert_int_equal(ms_state_set_off(store, true, 0), 0);
	ms_state_free(ms_steal(&store));
	store = open_state();
	assert_true(ms_state_is_off(store, 5, &until));
	assert_int_equal(until, 0);
	assert_int_equal(ms_state_set_off(store, false, 0), 0);
	assert_false(ms_state_is_off(store, 5, &until));
	assert_int_equal(ms_state_set_off(store, false, 0), 0);
}

static void an_off_with_an_end_ends(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	time_t until;

	(void)state;
	assert_int_equal(ms_state_set_off(store, true, 1000), 0);
	assert_true(ms_state_is_off(store, 999, &until));
	assert_int_equal(until, 1000);
	assert_false(ms_state_is_off(store, 1000, &until));
}

/* Whatever else the file says, it does not open an armed node. */
static void a_damaged_off_is_none(void **state)
{
	static const char *const texts[] = {"until", "until \n", "until 9999999999", "no\n", "x"};
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	time_t until;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		_cleanup_(closep) int fd = open("a/state/off", O_WRONLY | O_CREAT | O_TRUNC, 0600);

		assert_int_equal(write(fd, texts[i], strlen(texts[i])), strlen(texts[i]));
		assert_false(ms_state_is_off(store, 5, &until));
	}
	assert_int_equal(ms_state_set_off(store, false, 0), 0);
}

static void load_policy(struct ms_state *store, int expected, struct ms_files *files)
{
	assert_int_equal(ms_files_init(files), 0);
	assert_int_equal(ms_state_load_policy(store, files, NULL), expected);
}

static void commit_policy(struct ms_state *store)
{
	int history;

	assert_int_equal(ms_state_commit_policy(store, 1, false, &history), 0);
	assert_int_equal(history, 0);
}

static void stage_policy(struct ms_state *store, const char *name, const char *bytes, size_t size)
{
	const struct ms_applied applied = {.via = "apply"};
	_cleanup_(ms_files_fini) struct ms_files files = {0};

	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_files_add(&files, name, bytes, size), 0);
	assert_int_equal(ms_state_stage_policy(store, &files, &applied), 0);
}

static void a_staged_policy_is_not_in_force(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	_cleanup_(ms_files_fini) struct ms_files before = {0};

	(void)state;
	stage_policy(store, "a.yaml", "new", 3);
	load_policy(store, -ENOENT, &before);
	assert_false(ms_state_is_armed(store));
}

static void keeps_a_policy_byte_for_byte_and_is_armed_by_it(void **state)
{
	static const char text[] = "a: \"\\u0041\"\n\t\xc3\xa9\n";
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	_cleanup_(ms_files_fini) struct ms_files files = {0};

	(void)state;
	stage_policy(store, "dir/a.yaml", text, sizeof(text) - 1);
	commit_policy(store);
	load_policy(store, 0, &files);
	assert_int_equal(files.list.n_items, 1);
	assert_string_equal(files.list.items[0].name, "dir/a.yaml");
	assert_int_equal(files.list.items[0].size, sizeof(text) - 1);
	assert_memory_equal(files.list.items[0].bytes, text, sizeof(text) - 1);
	assert_true(ms_state_is_armed(store));
}

/* Runs after the test above: a stored policy is there. */
static void a_torn_policy_is_reported_at_every_length(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	struct stat st;

	(void)state;
	assert_int_equal(stat("a/state/policy", &st), 0);
	for (off_t len = st.st_size - 1; len >= 0; len--) {
		_cleanup_(ms_files_fini) struct ms_files files = {0};

		assert_int_equal(truncate("a/state/policy", len), 0);
		load_policy(store, -EBADMSG, &files);
	}
	assert_true(ms_state_is_armed(store));
}

static void a_changed_byte_is_noticed(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	char byte;

	(void)state;
	stage_policy(store, "a.yaml", "text", 4);
	commit_policy(store);
	_cleanup_(closep) int fd = open("a/state/policy", O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, 60), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, 60), 1);
	load_policy(store, -EBADMSG, &files);
}

static void counts_generations(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();

	(void)state;
	assert_int_equal(ms_state_set_generation(store, 18446744073709551615u), 0);
	assert_true(ms_state_generation(store) == 18446744073709551615u);
}

static void records_fini(ms_bridge_record_vec *records)
{
	ms_vec_fini(records);
}

static void remembers_what_bridges_were(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state();
	_cleanup_(records_fini) ms_bridge_record_vec records = {0}, read = {0};
	struct ms_bridge_record record = {
		.name = "br-0123456789ab", .ifindex = 7, .nf_call_ip6 = true};

	(void)state;
	assert_int_equal(ms_state_load_bridges(store, &read), 0);
	assert_int_equal(read.n_items, 0);
	assert_int_equal(ms_vec_push(&records, record), 0);
	assert_int_equal(ms_state_save_bridges(store, &records), 0);
	assert_int_equal(ms_state_load_bridges(store, &read), 0);
	assert_int_equal(read.n_items, 1);
	assert_string_equal(read.items[0].name, "br-0123456789ab");
	assert_int_equal(read.items[0].ifindex, 7);
	assert_false(read.items[0].nf_call_ip);
	assert_true(read.items[0].nf_call_ip6);
}

static void has_one_user_at_a_time(void **state)
{
	_cleanup_(ms_state_freep) struct ms_state *store = open_state(), *second = open_state();
	pid_t holder = -1;

	(void)state;
	assert_int_equal(ms_state_lock(store, &holder), 0);
	assert_int_equal(ms_state_lock(second, &holder), -EBUSY);
	assert_int_equal(holder, getpid());
	ms_state_free(ms_steal(&store));
	assert_int_equal(ms_state_lock(second, &holder), 0);
}

static void says_why_a_directory_cannot_be_used(void **state)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	struct ms_state *store = NULL;

	(void)state;
	assert_int_equal(ms_state_open("/dev/null/state", &store, &error), -ENOTDIR);
	assert_non_null(strstr(error.text, "/dev/null/state"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_a_directory_for_root_alone),
		cmocka_unit_test(begins_neither_armed_nor_off),
		cmocka_unit_test(remembers_off_until_on),
		cmocka_unit_test(an_off_with_an_end_ends),
		cmocka_unit_test(a_damaged_off_is_none),
		cmocka_unit_test(a_staged_policy_is_not_in_force),
		cmocka_unit_test(keeps_a_policy_byte_for_byte_and_is_armed_by_it),
		cmocka_unit_test(a_torn_policy_is_reported_at_every_length),
		cmocka_unit_test(a_changed_byte_is_noticed),
		cmocka_unit_test(counts_generations),
		cmocka_unit_test(remembers_what_bridges_were),
		cmocka_unit_test(has_one_user_at_a_time),
		cmocka_unit_test(says_why_a_directory_cannot_be_used),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
