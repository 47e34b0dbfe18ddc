/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "diff_print.h"
#include "matrix_print.h"
#include "microseg/cleanup.h"
#include "policy/load.h"

#define NOW 1000
#define HEAD "apiVersion: microseg/v1\n"
#define ENVIRONMENTS                                                                               \
	HEAD "kind: Environments\nidentity: {env: [env], service: [service]}\nunidentified: {mode: audit}\n"
#define SERVICE "---\n" HEAD "kind: Service\n"
#define LONG "a-service-with-a-name-that-is-too-long-for-any-column"

static const char policy_text[] = ENVIRONMENTS
	"environments: {prod: {mode: enforce}, dev: {mode: audit, two_key: true}}\n"
	"nets: {dba: [10.8.0.0/24]}\n" SERVICE "service: db\nenv: prod\nallow:\n"
	"  - {from: api, ports: [tcp/5432, tcp/5434-5440, udp/53]}\n"
	"  - {from: {net: dba, except: 10.8.0.9/32}, ports: [tcp/5432], published: true}\n"
	"  - {from: {net: [10.0.0.0/9, 10.128.0.0/9, 172.16.0.0/12]}, ports: [tcp/1, tcp/3, tcp/5, tcp/7, "
	"tcp/9, tcp/11, tcp/13, tcp/15]}\n"
	"  - {from: " LONG ", ports: any}\n"
	"needs:\n  - {to: host, ports: [proto/47]}\n" SERVICE
	"service: web\nenv: dev\nallow:\n  - {from: self, ports: [tcp/80]}\n";

static struct ms_policy *load(const char *name, const char *text)
{
	const struct ms_policy_file file = {name, text, strlen(text)};
	struct ms_policy *policy = NULL;
	struct ms_diags diags;

	assert_int_equal(ms_diags_init(&diags), 0);
	assert_int_equal(ms_policy_load_ungated(&file, 1, NOW, &diags, &policy), 0);
	ms_diags_fini(&diags);
	return policy;
}

struct bench {
	struct ms_policy *policy;
	struct ms_matrix *matrix;
	struct matrix_rows rows;
};

static struct bench bench_new(const char *name, const char *text)
{
	struct bench bench = {.policy = load(name, text)};
	const struct ms_matrix_view view = {bench.policy, NULL};

	assert_int_equal(ms_matrix_make(&view, NULL, NOW, &bench.matrix), 0);
	assert_int_equal(matrix_rows_init(bench.matrix, NULL, &bench.rows), 0);
	return bench;
}

static void bench_fini(struct bench *bench)
{
	matrix_rows_fini(&bench->rows);
	ms_matrix_free(bench->matrix);
	ms_policy_free(bench->policy);
}

static void prints_text_of_100_columns_by_destination(void **state)
{
	_cleanup_(bench_fini) struct bench bench =
		bench_new("a/directory/of/policies/that/is/deep/p.yaml", policy_text);
	struct ms_str text = {0};

	(void)state;
	matrix_print_text(&bench.rows, bench.policy, false, &text);
	assert_false(text.failed);
	for (const char *line = text.text; *line; line += strcspn(line, "\n") + 1)
		if (strcspn(line, "\n") > 100)
			fail_msg("%zu columns: %.*s", strcspn(line, "\n"), (int)strcspn(line, "\n"),
				 line);
	assert_non_null(
		strstr(text.text, "dev/web (audit: what is not listed passes too)\n  dev/web"));
	assert_non_null(strstr(text.text, "tcp/80 (audited)"));
	assert_non_null(strstr(text.text, "\nprod/db\n"));
	assert_non_null(strstr(text.text, "net:dba except 10.8.0.9/32"));
	assert_non_null(strstr(text.text, "tcp/5432 (published)"));
	assert_non_null(strstr(text.text, "\n  prod/" LONG "\n"));
	assert_non_null(strstr(text.text, "  any    "));
	assert_non_null(strstr(text.text, "is/deep/p.yaml:13\n"));
	assert_non_null(
		strstr(text.text, "; 1 identity in audit; unidentified containers in audit\n"));
	ms_str_fini(&text);
}

static void prints_the_json_of_the_contract(void **state)
{
	_cleanup_(bench_fini) struct bench bench = bench_new("p.yaml", policy_text);
	_cleanup_(json_decrefp) json_t *json = matrix_json(&bench.rows, bench.policy);
	_cleanup_(json_decrefp) json_t *expected =
		json_pack("{s:s, s:s, s:s, s:[[i,i],[i,i]], s:s, s:{s:s, s:i}}", "src", "prod/api",
			  "dst", "prod/db", "proto", "tcp", "ports", 5432, 5432, 5434, 5440,
			  "verdict", "allow", "policy", "file", "p.yaml", "line", 13);
	json_t *flow, *gre = NULL;
	bool found = false;
	size_t i;

	(void)state;
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(json, "identities"), 0)),
		"dev/web");
	assert_int_equal(json_array_size(json_object_get(json, "audited")), 2);
	json_array_foreach(json_object_get(json, "flows"), i, flow)
	{
		found = found || json_equal(flow, expected);
		if (strcmp(json_string_value(json_object_get(flow, "proto")), "proto/47") == 0)
			gre = flow;
	}
	assert_true(found);
	assert_non_null(gre);
	assert_string_equal(json_string_value(json_object_get(gre, "dst")), "host");
	json_t *dba = json_object_get(json_object_get(json, "nets"), "net:dba except 10.8.0.9/32");
	assert_string_equal(json_string_value(json_array_get(dba, 0)), "10.8.0.0/29");
	assert_int_equal(json_array_size(json_object_get(json, "flows")), bench.rows.n_flows);
}

static void prints_csv_that_no_spreadsheet_computes(void **state)
{
	_cleanup_(bench_fini) struct bench bench = bench_new("=cmd\"x.yaml", policy_text);
	struct ms_str text = {0};

	(void)state;
	matrix_print_csv(&bench.rows, &text);
	assert_ptr_equal(strstr(text.text, "src,dst,proto,from,to,verdict,published,file,line\r\n"),
			 text.text);
	assert_non_null(strstr(
		text.text,
		"\r\n\"prod/api\",\"prod/db\",tcp,5434,5440,allow,no,\"'=cmd\"\"x.yaml\",13\r\n"));
	ms_str_fini(&text);
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
		n++;
	return n;
}

static void prints_a_page_that_needs_nothing_and_runs_nothing_of_others(void **state)
{
	_cleanup_(bench_fini) struct bench bench =
		bench_new("</script><script>alert(1)</script><!--.yaml", policy_text);
	struct ms_str text = {0};

	(void)state;
	assert_int_equal(matrix_print_html(&bench.rows, bench.policy, &text), 0);
	assert_int_equal(count(text.text, "</script>"), 2);
	assert_int_equal(count(text.text, "<!--"), 0);
	assert_null(strstr(text.text, "alert(1)</"));
	assert_null(strstr(text.text, "innerHTML"));
	assert_null(strstr(text.text, "http://"));
	assert_null(strstr(text.text, "https://"));
	assert_null(strstr(text.text, "@DATA@"));
	assert_non_null(strstr(text.text, "default-src 'none'"));
	ms_str_fini(&text);
}

#define OLD_GRANT "  - {from: api, ports: [tcp/1]}\n"
#define NEW_GRANT "  - {from: web, ports: [tcp/6379]}\n"
#define DIFFED(mode, grants)                                                                       \
	HEAD "kind: Environments\nidentity: {env: [env], service: [service]}\n"                    \
	     "unidentified: {mode: enforce}\nenvironments: {prod: {mode: " mode "}}\n" SERVICE     \
	     "service: db\nenv: prod\nallow:\n" grants

static void diff_policies(const char *from, const char *to, struct change_report *report,
			  struct ms_str *text)
{
	struct ms_policy *before = load("p.yaml", from), *after = load("p.yaml", to);
	const struct ms_matrix_view old = {before, NULL}, new = {after, NULL};

	assert_int_equal(ms_flow_diff_make(&old, &new, NOW, &report->flows), 0);
	diff_print_text(report, false, text);
	_cleanup_(json_decrefp) json_t *json = diff_json(report);
	assert_int_equal(json_array_size(json_object_get(json, "gained")) +
				 json_array_size(json_object_get(json, "lost")),
			 report->flows.flows.n_items);
	ms_flow_diff_fini(&report->flows);
	ms_policy_free(before);
	ms_policy_free(after);
}

static void prints_flows_gained_and_lost(void **state)
{
	static const struct {
		const char *from, *to, *text;
	} rows[] = {
		{DIFFED("enforce", OLD_GRANT), DIFFED("enforce", OLD_GRANT), "no flow changes\n"},
		{DIFFED("enforce", OLD_GRANT), DIFFED("enforce", NEW_GRANT),
		 "- prod/api -> prod/db tcp/1\n"
		 "+ prod/web -> prod/db tcp/6379\n"
		 "1 gained, 1 lost\n"},
		{DIFFED("audit", OLD_GRANT), DIFFED("enforce", NEW_GRANT),
		 "- prod/*: audit -> enforce: what nothing grants is refused\n"
		 "- prod/api -> prod/db tcp/1\n"
		 "+ prod/web -> prod/db tcp/6379 (was audited)\n"
		 "1 gained, 2 lost\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct change_report report = {0};
		struct ms_str text = {0};

		diff_policies(rows[i].from, rows[i].to, &report, &text);
		assert_string_equal(text.text, rows[i].text);
		ms_str_fini(&text);
	}
}

/* A ruleset with one set of one element and one chain of one rule. */
static struct ms_ruleset *small_ruleset(uint16_t port, const char *addr, uint32_t line)
{
	struct ms_ruleset *ruleset = ms_ruleset_new();
	struct ms_table *table = ms_ruleset_add_table(ruleset, MS_FAMILY_INET, "microseg");
	const enum ms_field field = MS_FIELD_IP_SADDR;
	struct ms_set *set = ms_ruleset_add_set(ruleset, table, "prod/web/4", 1, &field);
	const struct ms_origin origin = {.file = "p.yaml", .line = line};
	struct ms_elem *elem = ms_ruleset_add_elem(ruleset, set);
	struct ms_addr parsed;

	set->size = 16;
	assert_int_equal(ms_addr_parse(addr, &parsed), 0);
	ms_elem_key(set, elem, 0, parsed.bytes, 4);
	struct ms_chain *chain = ms_ruleset_add_chain(ruleset, table, "to/prod/db");
	struct ms_rule *rule = ms_ruleset_add_rule(ruleset, chain, &origin);
	ms_rule_match_u16(ruleset, rule, MS_FIELD_TCP_DPORT, port);
	ms_rule_verdict(ruleset, rule, MS_VERDICT_ACCEPT, NULL);
	assert_int_equal(ms_ruleset_finish(ruleset), 0);
	return ruleset;
}

static void says_what_changes_in_sets_and_rules_but_not_in_comments(void **state)
{
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *from = small_ruleset(80, "10.0.0.1", 1);
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *moved = small_ruleset(80, "10.0.0.1", 7);
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *to = small_ruleset(81, "10.0.0.2", 7);
	struct ms_arena *arena = ms_arena_new();
	struct change_report report = {.has_ruleset = true};
	ruleset_changes none = {0};
	struct ms_str text = {0};

	(void)state;
	assert_int_equal(ruleset_diff(arena, from, moved, &none), 0);
	assert_int_equal(none.n_items, 0);
	assert_int_equal(ruleset_diff(arena, from, to, &report.ruleset), 0);
	diff_print_text(&report, false, &text);
	assert_string_equal(
		text.text, "no flow changes\n"
			   "- element of inet prod/web/4: 10.0.0.1\n"
			   "+ element of inet prod/web/4: 10.0.0.2\n"
			   "- rule of inet to/prod/db: tcp dport 80 accept comment \"p.yaml:1\"\n"
			   "+ rule of inet to/prod/db: tcp dport 81 accept comment \"p.yaml:7\"\n");
	ms_str_fini(&text);
	ms_arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_text_of_100_columns_by_destination),
		cmocka_unit_test(prints_the_json_of_the_contract),
		cmocka_unit_test(prints_csv_that_no_spreadsheet_computes),
		cmocka_unit_test(prints_a_page_that_needs_nothing_and_runs_nothing_of_others),
		cmocka_unit_test(prints_flows_gained_and_lost),
		cmocka_unit_test(says_what_changes_in_sets_and_rules_but_not_in_comments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
