/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What commands add at run time: a file of its own kinds, beside the applied ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "microseg/cleanup.h"
#include "microseg/policy.h"

#define N(rows) (sizeof(rows) / sizeof((rows)[0]))
#define NOW 1796083200 /* 2026-12-01T00:00:00Z */

static const char applied[] = "apiVersion: microseg/v1\n"
			      "kind: Environments\n"
			      "unidentified: {mode: enforce}\n"
			      "environments: {prod: {resolvers: [gateway]}, dev: {mode: audit}}\n"
			      "exceptions: {max: 7d}\n"
			      "---\n"
			      "apiVersion: microseg/v1\n"
			      "kind: Service\n"
			      "service: db\n"
			      "env: prod\n"
			      "ports: {pg: tcp/5432}\n";

#define HEAD "apiVersion: microseg/v1\nkind: "

/* Loads @text beside the applied file; what it gave, or the codes of its diagnostics. */
static void load(const char *text, bool runtime, struct ms_str *out)
{
	const struct ms_policy_file files[] = {
		{.name = "p.yaml", .bytes = applied, .size = sizeof(applied) - 1},
		{.name = "runtime", .bytes = text, .size = strlen(text), .runtime = runtime},
	};
	_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};

	assert_int_equal(ms_diags_init(&diags), 0);
	int r = ms_policy_load(files, N(files), NOW, &diags, &policy);
	assert_int_equal(r, diags.n_errors ? -EINVAL : 0);
	ms_vec_each (struct ms_diag, diag, &diags.list)
		ms_str_addf(out, diag->severity == MS_WARNING ? "[%s]" : "%s!", diag->code);
	if (!policy)
		return;
	ms_vec_each (struct ms_relax, relax, &policy->relaxes)
		ms_str_addf(out, "%s relaxes %s/%s until %lld;", relax->id, relax->env,
			    relax->service ? relax->service : "*", (long long)relax->until);
	ms_vec_each (struct ms_quarantine, quarantine, &policy->quarantines)
		ms_str_addf(out, "%s cuts %s off;", quarantine->id,
			    quarantine->env ? quarantine->service : quarantine->endpoint);
	ms_vec_each (struct ms_exception, exception, &policy->exceptions)
		ms_str_addf(out, "%s grants %s;", exception->id, exception->to.service);
}

struct row {
	const char *text;
	const char *says;
};

static void check(const struct row *rows, size_t n_rows, bool runtime)
{
	for (size_t i = 0; i < n_rows; i++) {
		_cleanup_(ms_str_fini) struct ms_str says = {0};

		load(rows[i].text, runtime, &says);
		assert_string_equal(says.text ? says.text : "", rows[i].says);
	}
}

static void what_commands_add_is_read(void **state)
{
	static const struct row rows[] = {
		{HEAD "Relax\nid: r\nof: prod\nuntil: 2026-12-01T00:30:00Z\nreason: x\n",
		 "r relaxes prod/* until 1796085000;"},
		{HEAD "Relax\nid: r\nof: prod/nobody\nuntil: 2026-12-01T00:30:00Z\n",
		 "r relaxes prod/nobody until 1796085000;"},
		{HEAD "Relax\nid: r\nof: prod\nuntil: 2026-11-30T00:30:00Z\n",
		 "[expired]r relaxes prod/* until 1795998600;"},
		{HEAD "Quarantine\nid: q\nof: prod/db\n", "q cuts db off;"},
		{HEAD "Quarantine\nid: q\nof: db-1\n---\n" HEAD "Quarantine\nid: r\nof: db_2\n",
		 "q cuts db-1 off;r cuts db_2 off;"},
		{HEAD "Exception\nid: e\nfrom: prod/web\nto: prod/db\nports: [pg]\n"
		      "until: 2026-12-01T00:30:00Z\n",
		 "[unknown-service]e grants db;"},
	};
	(void)state;
	check(rows, N(rows), true);
}

static void names_that_are_gone_block_no_apply(void **state)
{
	static const struct row rows[] = {
		{HEAD "Relax\nid: r\nof: qa\nuntil: 2026-12-01T00:30:00Z\n", "[unknown-env]"},
		{HEAD "Quarantine\nid: q\nof: qa/db\n", "[unknown-env]"},
		{HEAD "Exception\nid: e\nfrom: qa/web\nto: prod/db\nports: [pg]\n"
		      "until: 2026-12-01T00:30:00Z\n",
		 "[unknown-env]"},
		{HEAD "Exception\nid: e\nfrom: host\nto: prod/db\nports: [mysql]\n"
		      "until: 2026-12-01T00:30:00Z\n",
		 "[unknown-port]"},
		{HEAD "Exception\nid: e\nfrom: host\nto: prod/db\nports: [pg]\n"
		      "until: 2026-12-21T00:30:00Z\n",
		 "[exception-too-long]e grants db;"},
	};
	(void)state;
	check(rows, N(rows), true);
}

/* Its form is the daemon's own business: a file that is damaged could hide a quarantine. */
static void a_damaged_file_is_an_error(void **state)
{
	static const struct row rows[] = {
		{HEAD "Quarantine\nid: q\n", "missing-key!"},
		{HEAD "Quarantine\nid: q\nof: prod/db\nfrom: host\n", "unknown-key!"},
		{HEAD "Relax\nid: r\nof: prod\nuntil: soon\n", "bad-time!"},
		{HEAD "Service\nservice: web\nenv: prod\n", "misplaced-kind!"},
	};
	(void)state;
	check(rows, N(rows), true);
}

static void users_are_told_the_command(void **state)
{
	static const struct row rows[] = {
		{HEAD "Relax\nid: r\nof: prod\nuntil: 2026-12-01T00:30:00Z\n", "misplaced-kind!"},
		{HEAD "Quarantine\nid: q\nof: prod/db\n", "misplaced-kind!"},
	};
	(void)state;
	check(rows, N(rows), false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_commands_add_is_read),
		cmocka_unit_test(names_that_are_gone_block_no_apply),
		cmocka_unit_test(a_damaged_file_is_an_error),
		cmocka_unit_test(users_are_told_the_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
