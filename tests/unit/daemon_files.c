/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/files.h"
#include "microseg/cleanup.h"

static char root[64];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/microseg-unit-files-XXXXXX");
	return mkdtemp(root) && chdir(root) == 0 ? 0 : -1;
}

static int remove_root(void **state)
{
	(void)state;
	return chdir("/") == 0 ? nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS) : -1;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void read_and_compare(const char *path, const char *const *names)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	size_t n = 0;

	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_files_read(&files, path, &error), 0);
	for (; names[n]; n++) {
		assert_true(n < files.list.n_items);
		assert_string_equal(files.list.items[n].name, names[n]);
	}
	assert_int_equal(files.list.n_items, n);
}

static void reads_yaml_below_a_directory_in_sorted_order(void **state)
{
	(void)state;
	assert_int_equal(mkdir("p", 0700), 0);
	assert_int_equal(mkdir("p/b", 0700), 0);
	write_file("p/z.yaml", "z");
	write_file("p/a.yaml", "a");
	write_file("p/b/c.yaml", "c");
	write_file("p/.hidden.yaml", "h");
	write_file("p/readme.md", "m");
	read_and_compare("p", (const char *const[]){"p/a.yaml", "p/b/c.yaml", "p/z.yaml", NULL});
	read_and_compare("p/", (const char *const[]){"p/a.yaml", "p/b/c.yaml", "p/z.yaml", NULL});
}

static void reads_a_file_whatever_its_name(void **state)
{
	(void)state;
	write_file("policy", "text");
	read_and_compare("policy", (const char *const[]){"policy", NULL});
}

static void takes_a_file_once_that_two_paths_lead_to(void **state)
{
	const char *paths[] = {"once",	    "once/a.yaml", "./once",
			       "once-link", "once-hard",   "once-copy"};
	ms_text_vec all = {.items = paths, .n_items = sizeof(paths) / sizeof(paths[0])};
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	(void)state;
	assert_int_equal(mkdir("once", 0700), 0);
	write_file("once/a.yaml", "a");
	write_file("once-copy", "a");
	assert_int_equal(symlink("once/a.yaml", "once-link"), 0);
	assert_int_equal(link("once/a.yaml", "once-hard"), 0);
	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_files_read_all(&files, &all, &error), 0);
	assert_int_equal(files.list.n_items, 2);
	assert_string_equal(files.list.items[0].name, "once/a.yaml");
	assert_string_equal(files.list.items[1].name, "once-copy");
}

/* The same inode with other bytes is a file that went and another that came, or was written anew.
 */
static void takes_a_file_again_that_says_something_else(void **state)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	static const char *const texts[] = {"a", "b", "ab", "b"};

	(void)state;
	assert_int_equal(ms_files_init(&files), 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_file("again.yaml", texts[i]);
		files.n_seen_before = files.seen.n_items; /* as between two paths of a load */
		assert_int_equal(ms_files_read(&files, "again.yaml", &error), 0);
	}
	assert_int_equal(files.list.n_items, 3);
}

static void takes_both_hard_links_of_a_directory(void **state)
{
	(void)state;
	assert_int_equal(mkdir("hards", 0700), 0);
	write_file("hards/a.yaml", "a");
	assert_int_equal(link("hards/a.yaml", "hards/b.yaml"), 0);
	read_and_compare("hards", (const char *const[]){"hards/a.yaml", "hards/b.yaml", NULL});
}

static void escapes_a_name_that_is_no_plain_text(void **state)
{
	(void)state;
	write_file("a\x1b[2J\n\xff", "a");
	read_and_compare("a\x1b[2J\n\xff", (const char *const[]){"a\\x1b[2J\\x0a\\xff", NULL});
}

static void expect_error(const char *path, int r, const char *said)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_files_read(&files, path, &error), r);
	assert_non_null(strstr(error.text, path));
	assert_non_null(strstr(error.text, said));
}

static void refuses_a_link_inside_a_directory(void **state)
{
	(void)state;
	assert_int_equal(mkdir("l", 0700), 0);
	write_file("target", "x");
	assert_int_equal(symlink("../target", "l/x.yaml"), 0);
	expect_error("l", -ELOOP, "symbolic link");
}

static void refuses_what_is_no_file(void **state)
{
	(void)state;
	assert_int_equal(mkfifo("fifo.yaml", 0600), 0);
	expect_error("fifo.yaml", -EINVAL, "regular file");
	assert_int_equal(mkdir("f", 0700), 0);
	assert_int_equal(mkfifo("f/fifo.yaml", 0600), 0);
	expect_error("f", -EINVAL, "regular file");
}

static void says_when_nothing_is_there(void **state)
{
	assert_int_equal(symlink("loop", "loop"), 0);
	expect_error("loop", -ELOOP, "loop: Too many levels of symbolic links");
	expect_error("", -ENOENT, "an empty path: No such file");
	(void)state;
	assert_int_equal(mkdir("empty", 0700), 0);
	expect_error("empty", -ENOENT, "no *.yaml");
	expect_error("absent", -ENOENT, "No such file");
}

static void refuses_a_file_over_the_limit(void **state)
{
	FILE *file = fopen("large.yaml", "w");

	(void)state;
	assert_non_null(file);
	assert_int_equal(ftruncate(fileno(file), MS_MAX_FILE_SIZE), 0);
	read_and_compare("large.yaml", (const char *const[]){"large.yaml", NULL});
	assert_int_equal(ftruncate(fileno(file), MS_MAX_FILE_SIZE + 1), 0);
	expect_error("large.yaml", -E2BIG, "1 MiB");
	fclose(file);
}

static void refuses_a_load_over_the_limit(void **state)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(freep) char *bytes = calloc(1, MS_MAX_FILE_SIZE);

	(void)state;
	assert_int_equal(ms_files_init(&files), 0);
	for (size_t i = 0; i < MS_FILES_MAX_TOTAL / MS_MAX_FILE_SIZE; i++)
		assert_int_equal(ms_files_add(&files, "x", bytes, MS_MAX_FILE_SIZE), 0);
	assert_int_equal(ms_files_add(&files, "x", bytes, 1), -E2BIG);
}

static void refuses_directories_without_end(void **state)
{
	char path[128] = "deep";

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mkdir(path, 0700), 0);
		strcat(path, "/d");
	}
	expect_error("deep", -ENAMETOOLONG, "too long");
}

static int read_whole(void)
{
	static const char *paths[] = {"half.yaml"};
	const ms_text_vec given = {.items = paths, .n_items = 1};
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	return ms_files_read_whole(&files, &given, &error);
}

/* However long the writer takes a rest. */
static void never_reads_half_of_a_file_as_whole(void **state)
{
	(void)state;
	write_file("half.yaml", "a: 1\n");
	assert_int_equal(read_whole(), -EAGAIN); /* a moment ago */
	usleep(2 * MS_FILES_QUIET_MS * 1000);
	assert_int_equal(read_whole(), 0);
	FILE *writer = fopen("half.yaml", "a");
	assert_non_null(writer);
	assert_int_equal(read_whole(), -EAGAIN);
	usleep(2 * MS_FILES_QUIET_MS * 1000);
	assert_int_equal(read_whole(), -EAGAIN);
	assert_int_equal(fclose(writer), 0);
	assert_int_equal(read_whole(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_yaml_below_a_directory_in_sorted_order),
		cmocka_unit_test(reads_a_file_whatever_its_name),
		cmocka_unit_test(takes_a_file_once_that_two_paths_lead_to),
		cmocka_unit_test(takes_a_file_again_that_says_something_else),
		cmocka_unit_test(takes_both_hard_links_of_a_directory),
		cmocka_unit_test(escapes_a_name_that_is_no_plain_text),
		cmocka_unit_test(refuses_a_link_inside_a_directory),
		cmocka_unit_test(refuses_what_is_no_file),
		cmocka_unit_test(says_when_nothing_is_there),
		cmocka_unit_test(refuses_a_file_over_the_limit),
		cmocka_unit_test(refuses_a_load_over_the_limit),
		cmocka_unit_test(refuses_directories_without_end),
		cmocka_unit_test(never_reads_half_of_a_file_as_whole),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
