/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A service with many callers: elements instead of rules, and which of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "microseg/cleanup.h"
#include "microseg/compile.h"

#define ENVIRONMENTS                                                                               \
	"apiVersion: microseg/v1\nkind: Environments\n"                                            \
	"identity: {env: [env], service: [svc]}\n"                                                 \
	"unidentified: {mode: enforce}\n"                                                          \
	"environments: {prod: {mode: enforce, resolvers: [gateway]}}\n---\n"                       \
	"apiVersion: microseg/v1\nkind: Service\nservice: db\nenv: prod\nallow:\n"

struct fixture {
	struct ms_policy *policy;
	struct ms_inventory *inventory;
	struct ms_ruleset *ruleset;
};

/* The database and @n_callers callers, "c0" and so on, each with an address of both families. */
static struct ms_inventory *inventory_of(const struct ms_policy *policy, unsigned int n_callers)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	struct ms_inventory *inventory = NULL;
	struct ms_diags diags;

	ms_str_add(&text, "apiVersion: microseg/v1\nkind: Inventory\nnode: n\nendpoints:\n"
			  "  - {name: db, addresses: [10.0.0.1], labels: {env: prod, svc: db}}\n");
	for (unsigned int i = 0; i < n_callers; i++)
		ms_str_addf(&text,
			    "  - {name: c%u, addresses: [10.0.1.%u, \"fd00::%x\"], "
			    "labels: {env: prod, svc: c%u}}\n",
			    i, i, i + 1, i);
	const struct ms_policy_file file = {"inventory.yaml", text.text, text.len};

	assert_int_equal(ms_diags_init(&diags), 0);
	assert_int_equal(ms_inventory_load(&file, &diags, &inventory), 0);
	assert_int_equal(ms_inventory_identify(inventory, policy), 0);
	ms_diags_fini(&diags);
	return inventory;
}

/* @allow: the grants of the database, one a line; those of the callers follow, from line 20 on. */
static void compile(struct fixture *f, const char *allow, unsigned int n_grants,
		    unsigned int n_callers)
{
	const struct ms_compile_options options = {.nflog_group = 5580, .now = 1000};
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	struct ms_diags diags;

	ms_str_addf(&text, "%s%s", ENVIRONMENTS, allow);
	for (size_t line = 12 + (*allow != '\0'); line < 20; line++)
		ms_str_add(&text, "\n");
	for (unsigned int i = 0; i < n_grants; i++)
		ms_str_addf(&text, "  - {from: c%u, ports: [tcp/5432]}\n", i);
	const struct ms_policy_file file = {"db.yaml", text.text, text.len};

	*f = (struct fixture){0};
	assert_int_equal(ms_diags_init(&diags), 0);
	assert_int_equal(ms_policy_load(&file, 1, 1000, &diags, &f->policy), 0);
	f->inventory = inventory_of(f->policy, n_callers);
	assert_int_equal(ms_compile(f->policy, f->inventory, &options, &f->ruleset), 0);
	ms_diags_fini(&diags);
}

static void done(struct fixture *f)
{
	ms_ruleset_free(f->ruleset);
	ms_inventory_free(f->inventory);
	ms_policy_free(f->policy);
}

static const struct ms_set *callers(const struct fixture *f, const char *family)
{
	char name[64];

	snprintf(name, sizeof(name), "grants/prod/db/%s", family);
	return ms_table_set(ms_ruleset_table(f->ruleset, MS_FAMILY_INET), name);
}

static size_t n_rules(const struct fixture *f)
{
	return ms_table_chain(ms_ruleset_table(f->ruleset, MS_FAMILY_INET), "to/prod/db")
		->rules.n_items;
}

static void a_service_with_few_callers_has_a_rule_for_each(void **state)
{
	struct fixture f;

	(void)state;
	compile(&f, "", MS_GRANT_RULES_DEFAULT, MS_GRANT_RULES_DEFAULT);
	assert_null(callers(&f, "4"));
	assert_int_equal(n_rules(&f),
			 2 * MS_GRANT_RULES_DEFAULT + 1); /* each family, and the end */
	done(&f);
}

static void one_caller_more_and_all_are_elements(void **state)
{
	const size_t n = MS_GRANT_RULES_DEFAULT + 1;
	struct fixture f;

	(void)state;
	compile(&f, "", n, n);
	assert_int_equal(callers(&f, "4")->elems.n_items, n);
	assert_int_equal(callers(&f, "6")->elems.n_items, n);
	assert_true(callers(&f, "4")->counts);
	assert_string_equal(callers(&f, "4")->elems.items[0].comment, "db.yaml:20");
	assert_int_equal(n_rules(&f), 3);
	done(&f);
}

static void what_is_no_plain_port_of_a_service_stays_a_rule(void **state)
{
	struct fixture f;

	(void)state;
	compile(&f,
		"  - {from: [c1, host, \"*\", {net: [192.0.2.0/24]}], "
		"ports: [tcp/8000-8100, icmp/8]}\n",
		40, 40);
	assert_int_equal(callers(&f, "4")->elems.n_items, 40);
	/* Two lookups; range (both families) and ICMP of c1 and of all; range and ICMP of the net
	 * behind the refusal of what is translated; the end. */
	assert_int_equal(n_rules(&f), 2 + 3 + 3 + 1 + 2 + 1);
	done(&f);
}

/* Elements come before rules: what an earlier rule covers must be left to it. */
static void a_flow_belongs_to_the_grant_that_stands_first(void **state)
{
	static const struct {
		const char *allow;
		size_t n_elems;
		const char *first; /* comment of the element of c0 */
	} rows[] = {
		{"  - {from: c0, ports: [tcp/5000-6000]}\n", 39, "db.yaml:21"},
		{"  - {from: c0, ports: [udp/5000-6000]}\n", 40, "db.yaml:20"},
		{"  - {from: c0, ports: [tcp/6000-7000]}\n", 40, "db.yaml:20"},
		{"  - {from: \"*\", ports: [tcp/5432]}\n", 0, NULL},
		{"  - {from: c0, ports: [tcp/5432]}\n", 40, "db.yaml:12"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fixture f;

		compile(&f, rows[i].allow, 40, 40);
		assert_int_equal(callers(&f, "4")->elems.n_items, rows[i].n_elems);
		if (rows[i].first)
			assert_string_equal(callers(&f, "4")->elems.items[0].comment,
					    rows[i].first);
		done(&f);
	}
}

static void another_caller_changes_elements_only(void **state)
{
	struct fixture before, after;
	size_t n_elems = 0, n_others = 0;
	struct ms_plan plan;

	(void)state;
	compile(&before, "", 40, 39);
	compile(&after, "", 40, 40);
	assert_int_equal(ms_plan_make(before.ruleset, after.ruleset, &plan), 0);
	ms_plan_count(&plan, &n_elems, &n_others);
	assert_int_equal(n_others, 0);
	assert_true(n_elems > 0);
	ms_plan_fini(&plan);
	done(&before);
	done(&after);
}

static void thousands_of_grants_are_three_rules(void **state)
{
	struct fixture f;

	(void)state;
	compile(&f, "", 5000, 200);
	assert_int_equal(n_rules(&f), 3);
	assert_int_equal(callers(&f, "4")->elems.n_items, 200);
	done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_with_few_callers_has_a_rule_for_each),
		cmocka_unit_test(one_caller_more_and_all_are_elements),
		cmocka_unit_test(what_is_no_plain_port_of_a_service_stays_a_rule),
		cmocka_unit_test(a_flow_belongs_to_the_grant_that_stands_first),
		cmocka_unit_test(another_caller_changes_elements_only),
		cmocka_unit_test(thousands_of_grants_are_three_rules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
