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

#include "daemon/loaded.h"
#include "daemon/overlay.h"
#include "microseg/cleanup.h"

#define NOW 1000000000 /* 2001-09-09T01:46:40Z */

static const char policy[] =
	"apiVersion: microseg/v1\nkind: Environments\n"
	"identity: {env: [env], service: [service]}\n"
	"unidentified: {mode: enforce}\n"
	"environments: {prod: {mode: enforce, resolvers: [gateway]}}\n"
	"---\napiVersion: microseg/v1\nkind: Service\nservice: db\nenv: prod\n"
	"ports: {pg: tcp/5432}\n"
	"---\napiVersion: microseg/v1\nkind: Service\nservice: web\nenv: prod\n";

static char root[64];
static struct ms_state *store;

static int make_root(void **state)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	(void)state;
	strcpy(root, "/tmp/microseg-unit-overlay-XXXXXX");
	return mkdtemp(root) ? ms_state_open(root, &store, &error) : -1;
}

static int remove_root(void **state)
{
	char path[128];

	(void)state;
	store = ms_state_free(store);
	snprintf(path, sizeof(path), "%s/overlay", root);
	unlink(path);
	return rmdir(root);
}

static json_t *grant(const char *from, const char *to, const char *ports, int until)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "kind", "grant", "from", from, "to", to,
			 "ports", ports, "reason", "INC-1", "until", until);
}

static json_t *quarantine(const char *of)
{
	return json_pack("{s:s, s:s}", "kind", "quarantine", "of", of);
}

/* Adds @entry, taken over, to @overlay, replaced. */
static int add(json_t **overlay, json_t *entry, struct ms_str *error)
{
	json_t *next = NULL;
	const char *id;
	int r = ms_overlay_with(*overlay, entry, NOW, &next, &id, error);

	json_decref(entry);
	if (r == 0) {
		json_decref(*overlay);
		*overlay = next;
	}
	return r;
}

static void must_add(json_t **overlay, json_t *entry)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	assert_int_equal(add(overlay, entry, &error), 0);
}

static size_t count(const json_t *overlay, const char *kind, time_t now)
{
	_cleanup_(json_decrefp) json_t *entries = ms_overlay_entries(overlay, kind, now);

	return json_array_size(entries);
}

static void is_empty_when_never_written(void **state)
{
	_cleanup_(json_decrefp) json_t *overlay = NULL;
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	(void)state;
	assert_int_equal(ms_state_load_overlay(store, &overlay), 0);
	ms_overlay_print(overlay, NOW, &text);
	assert_int_equal(text.len, 0);
}

static void is_kept_across_restarts(void **state)
{
	_cleanup_(json_decrefp) json_t *overlay = ms_overlay_new(), *read = NULL;

	(void)state;
	must_add(&overlay, grant("prod/web", "prod/db", "pg", NOW + 60));
	must_add(&overlay, quarantine("db-2"));
	assert_int_equal(ms_state_save_overlay(store, overlay), 0);
	assert_int_equal(ms_state_load_overlay(store, &read), 0);
	assert_true(json_equal(overlay, read));
}

static void a_torn_one_is_reported_at_every_length(void **state)
{
	_cleanup_(json_decrefp) json_t *overlay = ms_overlay_new();
	char path[128];

	(void)state;
	must_add(&overlay, quarantine("prod/db"));
	assert_int_equal(ms_state_save_overlay(store, overlay), 0);
	snprintf(path, sizeof(path), "%s/overlay", root);
	_cleanup_(closep) int fd = open(path, O_RDWR);
	for (off_t len = lseek(fd, 0, SEEK_END) - 1; len >= 0; len--) {
		json_t *read = NULL;

		assert_int_equal(ftruncate(fd, len), 0);
		assert_int_equal(ms_state_load_overlay(store, &read), -EBADMSG);
	}
	unlink(path);
}

static void ids_are_never_used_twice(void **state)
{
	_cleanup_(json_decrefp) json_t *overlay = ms_overlay_new(), *fewer = NULL, *after = NULL;
	_cleanup_(json_decrefp) json_t *entry = quarantine("b");
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	const char *id;

	(void)state;
	must_add(&overlay, quarantine("a"));
	assert_int_equal(ms_overlay_without(overlay, "quarantine", "a", NOW, &fewer), 1);
	assert_int_equal(ms_overlay_with(fewer, entry, NOW, &after, &id, &error), 0);
	assert_string_equal(id, "quarantine-2");
}

static void removes_by_id_and_by_name(void **state)
{
	static const struct {
		const char *kind, *what;
		int removed;
	} rows[] = {
		{"grant", "grant-1", 1},	   {"grant", "prod/db", 0},
		{"quarantine", "grant-1", 0},	   {"quarantine", "prod/db", 1},
		{"quarantine", "quarantine-2", 1}, {"relax", "prod/db", 0},
		{"nonsense", "grant-1", 0},
	};
	_cleanup_(json_decrefp) json_t *overlay = ms_overlay_new();

	(void)state;
	must_add(&overlay, grant("prod/web", "prod/db", "pg", NOW + 60));
	must_add(&overlay, quarantine("prod/db"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		_cleanup_(json_decrefp) json_t *fewer = NULL;

		assert_int_equal(
			ms_overlay_without(overlay, rows[i].kind, rows[i].what, NOW, &fewer),
			rows[i].removed);
		assert_int_equal(count(fewer, NULL, NOW), 2 - rows[i].removed);
	}
}

static void what_has_run_out_is_gone(void **state)
{
	_cleanup_(json_decrefp) json_t *overlay = ms_overlay_new();
	_cleanup_(ms_str_fini) struct ms_str before = {0}, after = {0};

	(void)state;
	must_add(&overlay, grant("prod/web", "prod/db", "pg", NOW + 60));
	ms_overlay_print(overlay, NOW + 59, &before);
	ms_overlay_print(overlay, NOW + 60, &after);
	assert_non_null(strstr(before.text, "until: 2001-09-09T01:47:40Z"));
	assert_int_equal(after.len, 0);
	assert_int_equal(count(overlay, "grant", NOW + 60), 0);
}

static void holds_no_more_than_it_may(void **state)
{
	_cleanup_(json_decrefp) json_t *overlay = ms_overlay_new();
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	(void)state;
	for (int i = 0; i < MS_OVERLAY_MAX; i++)
		must_add(&overlay, quarantine("a"));
	assert_int_equal(add(&overlay, quarantine("a"), &error), -E2BIG);
}

static void refuses_what_is_no_entry(void **state)
{
	static const char *const rows[] = {
		"{}",
		"{\"kind\": \"other\"}",
		"{\"kind\": \"quarantine\"}",
		"{\"kind\": \"quarantine\", \"of\": \"\"}",
		"{\"kind\": \"quarantine\", \"of\": 7}",
		"{\"kind\": \"quarantine\", \"of\": \"a\", \"until\": 5}",
		"{\"kind\": \"quarantine\", \"of\": \"a\\nkind: Service\"}",
		"{\"kind\": \"quarantine\", \"of\": \"a\", \"reason\": \"\\u0007\"}",
		"{\"kind\": \"relax\", \"of\": \"prod\", \"reason\": \"x\"}",
		"{\"kind\": \"relax\", \"of\": \"prod\", \"until\": 5}",
		"{\"kind\": \"grant\", \"from\": \"a\", \"to\": \"b\", \"reason\": \"x\", \"until\": 5}",
		"{\"kind\": \"grant\", \"from\": {\"net\": 1}, \"to\": \"b\", \"ports\": \"tcp/1\","
		" \"reason\": \"x\", \"until\": 5}",
		"{\"kind\": \"grant\", \"from\": {\"net\": \"a\", \"except\": \"b\"}, \"to\": \"b\","
		" \"ports\": \"tcp/1\", \"reason\": \"x\", \"until\": 5}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		_cleanup_(json_decrefp) json_t *overlay = ms_overlay_new();
		_cleanup_(ms_str_fini) struct ms_str error = {0};

		assert_int_equal(add(&overlay, json_loads(rows[i], 0, NULL), &error), -EINVAL);
		assert_true(error.len > 0);
	}
}

static struct ms_loaded *load(const json_t *overlay)
{
	_cleanup_(ms_str_fini) struct ms_str runtime = {0}, diagnostics = {0};
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	struct ms_loaded *loaded = NULL;

	ms_overlay_print(overlay, NOW, &runtime);
	assert_int_equal(ms_files_init(&files), 0);
	assert_int_equal(ms_files_add(&files, "a.yaml", policy, sizeof(policy) - 1), 0);
	assert_int_equal(
		ms_loaded_new_with(&files, runtime.text, NOW, false, &diagnostics, &loaded), 0);
	return loaded;
}

/* The end of all of it: the loader reads what is printed, names and texts as they were given. */
static void the_loader_reads_it_back(void **state)
{
	static const char reason[] = "it's \"quoted\", # no comment: & *é\xf0\x9f\x94\xa5 \\ {}";
	_cleanup_(json_decrefp) json_t *overlay = ms_overlay_new(), *nothing = ms_overlay_new();
	int later = (int)time(NULL) + 3600;

	(void)state;
	must_add(&overlay, grant("prod/web", "prod/db", "pg", later));
	must_add(&overlay, json_pack("{s:s, s:s, s:{s:s}, s:s, s:s, s:i}", "kind", "grant", "from",
				     "prod/web", "to", "net", "192.0.2.0/24", "ports", "tcp/443",
				     "reason", reason, "until", later));
	must_add(&overlay, json_pack("{s:s, s:s, s:s, s:i}", "kind", "relax", "of", "prod",
				     "reason", reason, "until", later));
	must_add(&overlay, quarantine("prod/db"));
	must_add(&overlay, quarantine("db-2"));

	_cleanup_(ms_loaded_freep) struct ms_loaded *with = load(overlay), *without = load(nothing);
	const struct ms_policy *loaded = with->policy;

	assert_int_equal(loaded->exceptions.n_items, 2);
	assert_string_equal(loaded->exceptions.items[0].id, "grant-1");
	assert_int_equal(loaded->exceptions.items[0].until, later);
	assert_int_equal(loaded->exceptions.items[0].ports.items[0].first, 5432);
	assert_string_equal(loaded->exceptions.items[1].reason, reason);
	assert_int_equal(loaded->exceptions.items[1].to.kind, MS_PEER_NET);
	assert_int_equal(loaded->relaxes.n_items, 1);
	assert_string_equal(loaded->relaxes.items[0].reason, reason);
	assert_int_equal(loaded->quarantines.n_items, 2);
	assert_string_equal(loaded->quarantines.items[1].endpoint, "db-2");
	/* The files are the same files. */
	assert_true(loaded->hash == without->policy->hash);
	assert_int_equal(with->files.list.n_items, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_empty_when_never_written),
		cmocka_unit_test(is_kept_across_restarts),
		cmocka_unit_test(a_torn_one_is_reported_at_every_length),
		cmocka_unit_test(ids_are_never_used_twice),
		cmocka_unit_test(removes_by_id_and_by_name),
		cmocka_unit_test(what_has_run_out_is_gone),
		cmocka_unit_test(holds_no_more_than_it_may),
		cmocka_unit_test(refuses_what_is_no_entry),
		cmocka_unit_test(the_loader_reads_it_back),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
