/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "microseg/cleanup.h"
#include "microseg/ruleset.h"

static const enum ms_field addr_key[] = {MS_FIELD_IP_SADDR};
static const enum ms_field name_key[] = {MS_FIELD_IIFNAME};

/* What a ruleset of these tests is made of; the default is "a service with two endpoints". */
struct shape {
	const char *addrs; /* last bytes of the elements of "peers" */
	uint32_t size;
	bool names;	     /* "peers" holds interfaces */
	bool interval;	     /* likewise intervals of one address */
	uint32_t count_over; /* of a set "limit" that "forward" counts in; 0: there is none */
	uint16_t port;	     /* of the rule in "to/db" */
	bool no_db;	     /* neither chain "to/db" nor its element in the map */
	bool drop;	     /* the map's other element drops */
	bool bridge;	     /* a second table */
	int32_t priority;
	const char *comment; /* of the first element */
};

static void add_addr(struct ms_ruleset *rs, struct ms_set *set, uint8_t last,
		     const struct ms_rule_verdict *verdict)
{
	struct ms_elem *elem = ms_ruleset_add_elem(rs, set);
	uint8_t addr[4] = {10, 0, 0, last};

	ms_elem_key(set, elem, 0, addr, sizeof(addr));
	if (set->interval)
		memcpy(elem->end, addr, sizeof(addr));
	if (verdict)
		elem->verdict = *verdict;
}

static void add_sets(struct ms_ruleset *rs, struct ms_table *table, const struct shape *shape)
{
	struct ms_set *peers =
		ms_ruleset_add_set(rs, table, "peers", 1, shape->names ? name_key : addr_key);
	struct ms_set *map = ms_ruleset_add_set(rs, table, "to", 1, addr_key);

	peers->size = shape->interval ? 0 : shape->size ? shape->size : 32;
	peers->interval = shape->interval;
	for (const char *c = shape->addrs ? shape->addrs : "ab"; *c; c++)
		add_addr(rs, peers, (uint8_t)*c, NULL);
	if (peers->elems.n_items)
		peers->elems.items[0].comment = shape->comment;
	map->map = true;
	if (!shape->no_db)
		add_addr(rs, map, 1, &(struct ms_rule_verdict){MS_VERDICT_GOTO, "to/db"});
	add_addr(
		rs, map, 2,
		&(struct ms_rule_verdict){shape->drop ? MS_VERDICT_DROP : MS_VERDICT_ACCEPT, NULL});
}

static struct ms_ruleset *make(const struct shape *shape)
{
	struct ms_ruleset *rs = ms_ruleset_new();
	struct ms_table *table = ms_ruleset_add_table(rs, MS_FAMILY_INET, "microseg");
	struct ms_chain *base =
		ms_ruleset_add_base_chain(rs, table, "forward", MS_HOOK_FORWARD, shape->priority);

	add_sets(rs, table, shape);
	ms_rule_vmap(rs, ms_ruleset_add_rule(rs, base, NULL), "to", 1, addr_key);
	if (!shape->no_db) {
		struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "to/db");
		struct ms_rule *rule = ms_ruleset_add_rule(rs, chain, NULL);

		ms_rule_match_set(rs, rule, false, "peers", 1, shape->names ? name_key : addr_key);
		ms_rule_match_u16(rs, rule, MS_FIELD_TCP_DPORT, shape->port ? shape->port : 5432);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	}
	if (shape->count_over) {
		struct ms_set *limit = ms_ruleset_add_set(rs, table, "limit", 1, addr_key);
		struct ms_rule *rule = ms_ruleset_add_rule(rs, base, NULL);

		limit->size = 32;
		limit->dynamic = true;
		limit->count_over = shape->count_over;
		ms_rule_count_in_set(rs, rule, "limit", addr_key[0], shape->count_over);
		ms_rule_verdict(rs, rule, MS_VERDICT_DROP, NULL);
	}
	if (shape->bridge)
		ms_ruleset_add_chain(rs, ms_ruleset_add_table(rs, MS_FAMILY_BRIDGE, "microseg"),
				     "guard");
	assert_int_equal(ms_ruleset_finish(rs), 0);
	return rs;
}

static void say(const struct ms_plan *plan, struct ms_str *out)
{
	static const char *const words[] = {"-table", "+table", "+set",	 "+chain",
					    "flush",  "rules",	"empty", "-elems",
					    "+elems", "-chain", "-set"};

	ms_vec_each (struct ms_change, change, &plan->changes) {
		const char *name = change->chain ? change->chain->name
				   : change->set ? change->set->name
						 : ms_family_name(change->table->family);

		ms_str_addf(out, "%s%s %s", out->len ? ", " : "", words[change->kind], name);
		if (change->elems)
			ms_str_addf(out, " %zu", change->n_elems);
	}
}

static void a_plan_changes_what_differs_in_an_order_the_kernel_takes(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct shape from, to;
		const char *plan;
	} rows[] = {
		{"nothing", {0}, {0}, ""},
		{"an endpoint comes", {0}, {.addrs = "abc"}, "+elems peers 1"},
		{"an endpoint goes", {0}, {.addrs = "b"}, "-elems peers 1"},
		{"one for another", {0}, {.addrs = "ac"}, "-elems peers 1, +elems peers 1"},
		{"its comment", {0}, {.comment = "a:1"}, "-elems peers 1, +elems peers 1"},
		{"another verdict", {0}, {.drop = true}, "-elems to 1, +elems to 1"},
		{"another port", {0}, {.port = 80}, "flush to/db, rules to/db"},
		{"a service comes", {.no_db = true}, {0}, "+chain to/db, +elems to 1, rules to/db"},
		{"a service goes", {0}, {.no_db = true}, "flush to/db, -elems to 1, -chain to/db"},
		{"a larger set",
		 {0},
		 {.size = 64},
		 "flush to/db, -set peers, +set peers, +elems peers 2, rules to/db"},
		{"another type",
		 {.addrs = ""},
		 {.addrs = "", .names = true},
		 "flush to/db, -set peers, +set peers, rules to/db"},
		{"intervals",
		 {.addrs = "a"},
		 {.addrs = "a", .interval = true},
		 "flush to/db, -set peers, +set peers, +elems peers 1, rules to/db"},
		{"another interval",
		 {.addrs = "a", .interval = true},
		 {.addrs = "c", .interval = true},
		 "-elems peers 1, +elems peers 1"},
		{"another priority",
		 {0},
		 {.priority = 5},
		 "flush forward, -chain forward, +chain forward, rules forward"},
		{"another limit",
		 {.count_over = 5},
		 {.count_over = 6},
		 "flush forward, -set limit, +set limit, rules forward"},
		{"a table comes", {0}, {.bridge = true}, "+table bridge, +chain guard"},
		{"a table goes", {.bridge = true}, {0}, "-table bridge"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_(ms_ruleset_freep) struct ms_ruleset *from = make(&rows[i].from),
							      *to = make(&rows[i].to);
		_cleanup_(ms_plan_fini) struct ms_plan plan = {0};
		_cleanup_(ms_str_fini) struct ms_str text = {0};

		assert_int_equal(ms_plan_make(from, to, &plan), 0);
		say(&plan, &text);
		if (strcmp(text.text ? text.text : "", rows[i].plan) != 0)
			fail_msg("%s: %s", rows[i].name, text.text ? text.text : "(empty)");
	}
}

static void from_nothing_all_is_added_and_to_nothing_tables_go(void **state)
{
	(void)state;
	static const struct shape shape = {.bridge = true};
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = make(&shape);
	_cleanup_(ms_plan_fini) struct ms_plan all = {0}, none = {0}, nothing = {0};
	_cleanup_(ms_str_fini) struct ms_str text = {0}, away = {0};
	size_t n_elems, n_others;

	assert_int_equal(ms_plan_make(NULL, rs, &all), 0);
	say(&all, &text);
	assert_string_equal(text.text,
			    "+table inet, +chain forward, +chain to/db, +set peers, +set to, "
			    "+elems peers 2, +elems to 2, rules forward, rules to/db, "
			    "+table bridge, +chain guard");
	ms_plan_count(&all, &n_elems, &n_others);
	assert_int_equal(n_elems, 4);
	assert_int_equal(n_others, 9);

	assert_int_equal(ms_plan_make(rs, NULL, &none), 0);
	say(&none, &away);
	assert_string_equal(away.text, "-table inet, -table bridge");
	assert_int_equal(ms_plan_make(NULL, NULL, &nothing), 0);
	assert_int_equal(nothing.changes.n_items, 0);
}

static void the_elements_of_a_change_are_those_that_differ(void **state)
{
	(void)state;
	static const struct shape before = {.addrs = "acegi"}, after = {.addrs = "bceh"};
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *from = make(&before), *to = make(&after);
	_cleanup_(ms_plan_fini) struct ms_plan plan = {0};
	char gone[8] = "", come[8] = "";

	assert_int_equal(ms_plan_make(from, to, &plan), 0);
	assert_int_equal(plan.changes.n_items, 2);
	for (size_t i = 0; i < plan.changes.items[0].n_elems; i++)
		gone[i] = (char)plan.changes.items[0].elems[i].key[3];
	for (size_t i = 0; i < plan.changes.items[1].n_elems; i++)
		come[i] = (char)plan.changes.items[1].elems[i].key[3];
	assert_string_equal(gone, "agi");
	assert_string_equal(come, "bh");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plan_changes_what_differs_in_an_order_the_kernel_takes),
		cmocka_unit_test(from_nothing_all_is_added_and_to_nothing_tables_go),
		cmocka_unit_test(the_elements_of_a_change_are_those_that_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
