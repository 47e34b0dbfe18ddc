/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The compiler's promises that neither the oracle nor parity see: determinism, what a change costs,
 * names that cannot collide, and what the closed door lets through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "microseg/compile.h"

#define ENVIRONMENTS                                                                               \
	"apiVersion: microseg/v1\nkind: Environments\n"                                            \
	"identity: {env: [env], service: [svc]}\n"                                                 \
	"unidentified: {mode: enforce}\n"                                                          \
	"environments:\n  prod: {mode: enforce, resolvers: [gateway]}\n  local: {mode: enforce}\n"

#define DB                                                                                         \
	"apiVersion: microseg/v1\nkind: Service\nservice: db\nenv: [prod, local]\n"                \
	"ports: {pg: tcp/5432}\nallow:\n  - {from: web, ports: [pg]}\n"

#define WEB                                                                                        \
	"apiVersion: microseg/v1\nkind: Service\nservice: web\nenv: prod\n"                        \
	"needs:\n  - {to: {net: [192.0.2.0/24, 198.51.100.7/32]}, ports: [tcp/443]}\n"

static struct ms_policy *load(size_t n_texts, const char *const *texts)
{
	struct ms_policy_file files[8] = {0};
	struct ms_diags diags;
	struct ms_policy *policy = NULL;
	static const char *const names[] = {"a.yaml", "b.yaml", "c.yaml", "d.yaml"};

	for (size_t i = 0; i < n_texts; i++)
		files[i] = (struct ms_policy_file){names[i], texts[i], strlen(texts[i])};
	assert_int_equal(ms_diags_init(&diags), 0);
	int r = ms_policy_load(files, n_texts, 1000, &diags, &policy);
	if (r < 0) {
		struct ms_str out = {0};

		ms_diags_print(&diags, &out, false);
		fail_msg("%s", out.text ? out.text : "no diagnostics");
	}
	ms_diags_fini(&diags);
	return policy;
}

struct row {
	const char *name;
	const char *env;
	const char *service;
	unsigned int n;
};

static void add_endpoint(struct ms_inventory *inventory, const struct row *row)
{
	struct ms_arena *arena = inventory->arena;
	struct ms_workload workload = {
		.name = row->name, .id = "", .runtime = "static", .image = ""};
	struct ms_endpoint endpoint = {
		.name = row->name,
		.interface = ms_arena_printf(arena, "veth%u", row->n),
		.ifindex = row->n,
		.bridge = "br-a",
		.network = "br-a",
		.mac = {{2, 0, 0, 0, 0, (uint8_t)row->n}},
		.ready = true,
	};
	struct ms_addr addr;

	assert_int_equal(ms_addr_parse(ms_arena_printf(arena, "10.0.0.%u", row->n), &addr), 0);
	assert_int_equal(ms_avec_push(arena, &endpoint.addrs, addr), 0);
	assert_int_equal(ms_addr_parse(ms_arena_printf(arena, "fd00::%u", row->n), &addr), 0);
	assert_int_equal(ms_avec_push(arena, &endpoint.addrs, addr), 0);
	if (row->env) {
		struct ms_label env = {"env", row->env}, service = {"svc", row->service};

		assert_int_equal(ms_avec_push(arena, &workload.labels, env), 0);
		assert_int_equal(ms_avec_push(arena, &workload.labels, service), 0);
	}
	assert_int_equal(ms_avec_push(arena, &endpoint.workloads, workload), 0);
	assert_int_equal(ms_avec_push(arena, &inventory->endpoints, endpoint), 0);
}

static struct ms_inventory *inventory_of(const struct ms_policy *policy, size_t n_rows,
					 const struct row *rows)
{
	struct ms_inventory *inventory = ms_inventory_new();
	struct ms_managed_link link = {.name = "br-a", .bridge = true};

	assert_non_null(inventory);
	for (size_t i = 0; ms_default_patterns[i]; i++)
		assert_int_equal(ms_avec_push(inventory->arena, &inventory->patterns,
					      ms_default_patterns[i]),
				 0);
	assert_int_equal(ms_avec_push(inventory->arena, &inventory->links, link), 0);
	for (size_t i = 0; i < n_rows; i++)
		add_endpoint(inventory, &rows[i]);
	ms_inventory_canonicalize(inventory);
	assert_int_equal(ms_inventory_identify(inventory, policy), 0);
	return inventory;
}

static struct ms_ruleset *compile(const struct ms_policy *policy, size_t n_rows,
				  const struct row *rows)
{
	const struct ms_compile_options options = {
		.nflog_group = 5580, .now = 1000, .max_connections = 100};
	struct ms_inventory *inventory = inventory_of(policy, n_rows, rows);
	struct ms_ruleset *ruleset = NULL;

	assert_int_equal(ms_compile(policy, inventory, &options, &ruleset), 0);
	ms_inventory_free(inventory);
	return ruleset;
}

static const struct row rows[] = {
	{"db-1", "prod", "db", 1}, {"web-1", "prod", "web", 2}, {"db-l", "local", "db", 3},
	{"stray", NULL, NULL, 4},  {"web-2", "prod", "web", 5}, {"new", "prod", "cache", 6},
};

static void gives_the_same_bytes_for_any_order_of_input(void **state)
{
	(void)state;
	const char *const forward[] = {ENVIRONMENTS, DB, WEB}, *const backward[] = {WEB, DB,
										    ENVIRONMENTS};
	struct ms_policy *one = load(3, forward), *two = load(3, backward);
	struct row reversed[4];

	for (size_t i = 0; i < 4; i++)
		reversed[i] = rows[3 - i];
	struct ms_ruleset *a = compile(one, 4, rows), *b = compile(one, 4, reversed),
			  *c = compile(two, 4, rows);
	struct ms_str text = {0}, again = {0};
	ms_ruleset_print(a, NULL, &text);
	ms_ruleset_print(b, NULL, &again);
	assert_string_equal(text.text, again.text);
	assert_true(ms_ruleset_hash(a) == ms_ruleset_hash(b));

	/* File names differ with their order, and stand in comments: only rules and elements can be
	 * compared. */
	size_t n_elems = 0, n_others = 0;
	struct ms_plan plan;
	assert_int_equal(ms_plan_make(a, c, &plan), 0);
	ms_plan_count(&plan, &n_elems, &n_others);
	assert_int_equal(n_elems, 0);
	ms_plan_fini(&plan);

	ms_str_fini(&text);
	ms_str_fini(&again);
	ms_ruleset_free(a);
	ms_ruleset_free(b);
	ms_ruleset_free(c);
	ms_policy_free(one);
	ms_policy_free(two);
}

static void another_replica_changes_elements_only(void **state)
{
	(void)state;
	const char *const texts[] = {ENVIRONMENTS, DB, WEB};
	struct ms_policy *policy = load(3, texts);
	struct ms_ruleset *before = compile(policy, 4, rows), *after = compile(policy, 5, rows);
	struct ms_plan plan;
	size_t n_elems = 0, n_others = 0;

	assert_int_equal(ms_plan_make(before, after, &plan), 0);
	ms_plan_count(&plan, &n_elems, &n_others);
	assert_int_equal(n_others, 0);
	assert_true(n_elems > 0);
	ms_vec_each (struct ms_change, change, &plan.changes)
		assert_true(change->kind == MS_ADD_ELEMS);
	ms_plan_fini(&plan);

	assert_int_equal(ms_plan_make(after, before, &plan), 0);
	ms_vec_each (struct ms_change, change, &plan.changes)
		assert_true(change->kind == MS_DEL_ELEMS);
	ms_plan_fini(&plan);
	ms_ruleset_free(before);
	ms_ruleset_free(after);
	ms_policy_free(policy);
}

static void an_endpoint_without_a_document_changes_elements_only(void **state)
{
	(void)state;
	const char *const texts[] = {ENVIRONMENTS, DB, WEB};
	struct ms_policy *policy = load(3, texts);
	struct ms_ruleset *before = compile(policy, 5, rows), *after = compile(policy, 6, rows);
	struct ms_plan plan;

	assert_int_equal(ms_plan_make(before, after, &plan), 0);
	assert_true(plan.changes.n_items > 0);
	ms_vec_each (struct ms_change, change, &plan.changes)
		assert_true(change->kind == MS_ADD_ELEMS);
	ms_plan_fini(&plan);
	ms_ruleset_free(before);
	ms_ruleset_free(after);
	ms_policy_free(policy);
}

/* An environment called "local" next to the set local/4. */
static void names_of_environments_never_meet_our_own(void **state)
{
	(void)state;
	const char *const texts[] = {ENVIRONMENTS, DB, WEB};
	struct ms_policy *policy = load(3, texts);
	struct ms_ruleset *ruleset = compile(policy, 4, rows);
	const struct ms_table *inet = ms_ruleset_table(ruleset, MS_FAMILY_INET);

	assert_int_equal(ms_table_set(inet, "any/local/4")->elems.n_items, 1);
	assert_int_equal(ms_table_set(inet, "local/4")->elems.n_items, 4);
	for (size_t i = 0; i < inet->sets.n_items; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(inet->sets.items[i]->name,
						inet->sets.items[j]->name);
	ms_ruleset_free(ruleset);
	ms_policy_free(policy);
}

static void a_port_that_is_not_ready_is_in_no_set(void **state)
{
	(void)state;
	const char *const texts[] = {ENVIRONMENTS, DB, WEB};
	const struct ms_compile_options options = {
		.nflog_group = 5580, .now = 1000, .max_connections = 100};
	struct ms_policy *policy = load(3, texts);
	struct ms_inventory *inventory = inventory_of(policy, 2, rows);
	struct ms_ruleset *ruleset = NULL;

	inventory->endpoints.items[0].ready = false;
	inventory->endpoints.items[1].state = MS_ENDPOINT_PENDING;
	assert_int_equal(ms_compile(policy, inventory, &options, &ruleset), 0);
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		ms_vec_each (struct ms_set *, set, &(*table)->sets)
			if (!(*set)->interval && strcmp((*set)->name, "managed") &&
			    strcmp((*set)->name, "same"))
				assert_int_equal((*set)->elems.n_items, 0);
	ms_ruleset_free(ruleset);
	ms_inventory_free(inventory);
	ms_policy_free(policy);
}

static void a_node_without_a_policy_gets_the_closed_door(void **state)
{
	(void)state;
	struct ms_ruleset *ruleset = compile(NULL, 4, rows);
	struct ms_str text = {0};

	ms_ruleset_print(ruleset, NULL, &text);
	assert_non_null(strstr(text.text, "iifname \"veth*\" goto door"));
	assert_null(strstr(text.text, "10.0.0."));
	assert_null(strstr(text.text, "ct state"));
	ms_str_fini(&text);
	ms_ruleset_free(ruleset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_same_bytes_for_any_order_of_input),
		cmocka_unit_test(another_replica_changes_elements_only),
		cmocka_unit_test(an_endpoint_without_a_document_changes_elements_only),
		cmocka_unit_test(names_of_environments_never_meet_our_own),
		cmocka_unit_test(a_port_that_is_not_ready_is_in_no_set),
		cmocka_unit_test(a_node_without_a_policy_gets_the_closed_door),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
