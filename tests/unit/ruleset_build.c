/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "microseg/cleanup.h"
#include "microseg/ruleset.h"
#include "microseg/ruleset_match.h"

static const enum ms_field addr_key[] = {MS_FIELD_IP_SADDR};
static const enum ms_field port_key[] = {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR,
					 MS_FIELD_IP6_SADDR};

struct fixture {
	struct ms_ruleset *rs;
	struct ms_table *inet, *bridge;
	struct ms_chain *chain; /* in inet */
	struct ms_set *set;	/* addresses, in inet */
	struct ms_set *map;
};

static struct fixture start(void)
{
	struct fixture f = {.rs = ms_ruleset_new()};

	assert_non_null(f.rs);
	f.inet = ms_ruleset_add_table(f.rs, MS_FAMILY_INET, "microseg");
	f.bridge = ms_ruleset_add_table(f.rs, MS_FAMILY_BRIDGE, "microseg");
	f.chain = ms_ruleset_add_chain(f.rs, f.inet, "to/prod/db");
	ms_ruleset_add_base_chain(f.rs, f.inet, "forward", MS_HOOK_FORWARD, -10);
	f.set = ms_ruleset_add_set(f.rs, f.inet, "prod/db/4", 1, addr_key);
	f.map = ms_ruleset_add_set(f.rs, f.inet, "to/4", 1, addr_key);
	f.map->map = true;
	return f;
}

static void add_addr(struct fixture *f, struct ms_set *set, uint8_t last)
{
	uint8_t addr[4] = {10, 0, 0, last};

	ms_elem_key(set, ms_ruleset_add_elem(f->rs, set), 0, addr, sizeof(addr));
}

static struct ms_rule *add_rule(struct fixture *f, struct ms_chain *chain)
{
	struct ms_rule *rule = ms_ruleset_add_rule(f->rs, chain, NULL);

	ms_rule_verdict(f->rs, rule, MS_VERDICT_ACCEPT, NULL);
	return rule;
}

static void elements_are_sorted_and_unique_once_finished(void **state)
{
	(void)state;
	static const uint8_t added[] = {9, 3, 200, 3, 1, 9}, expected[] = {1, 3, 9, 200};
	struct fixture f = start();

	for (size_t i = 0; i < sizeof(added); i++)
		add_addr(&f, f.set, added[i]);
	assert_int_equal(ms_ruleset_finish(f.rs), 0);
	assert_int_equal(f.set->elems.n_items, sizeof(expected));
	for (size_t i = 0; i < sizeof(expected); i++)
		assert_int_equal(f.set->elems.items[i].key[3], expected[i]);
	ms_ruleset_free(f.rs);
}

static void a_finished_ruleset_owns_its_texts(void **state)
{
	(void)state;
	struct fixture f = start();
	char name[] = "to/prod/db", file[] = "policies/db.yaml", comment[] = "note";
	struct ms_elem *elem = ms_ruleset_add_elem(f.rs, f.map);

	elem->verdict = (struct ms_rule_verdict){MS_VERDICT_GOTO, name};
	elem->origin.file = file;
	elem->comment = comment;
	assert_int_equal(ms_ruleset_finish(f.rs), 0);
	memset(name, 'x', sizeof(name) - 1);
	memset(file, 'x', sizeof(file) - 1);
	memset(comment, 'x', sizeof(comment) - 1);
	assert_string_equal(f.map->elems.items[0].verdict.chain, "to/prod/db");
	assert_string_equal(f.map->elems.items[0].origin.file, "policies/db.yaml");
	assert_string_equal(f.map->elems.items[0].comment, "note");
	ms_ruleset_free(f.rs);
}

static void key_fields_lie_padded_side_by_side(void **state)
{
	(void)state;
	struct fixture f = start();
	struct ms_set *set = ms_ruleset_add_set(f.rs, f.bridge, "source/6", 3, port_key);
	struct ms_elem *elem = ms_ruleset_add_elem(f.rs, set);

	ms_elem_key(set, elem, 1, "\x02\x42\x0a\x00\x00\x05", 6);
	ms_elem_key(set, elem, 0, "veth0", 5);
	ms_elem_key(set, elem, 2, "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05", 16);
	assert_int_equal(ms_set_key_size(set), MS_KEY_SIZE);
	assert_memory_equal(elem->key, "veth0\0\0\0\0\0\0\0\0\0\0\0\x02\x42\x0a\0\0\x05\0\0\xfd",
			    25);
	assert_int_equal(elem->key[39], 5);
	assert_int_equal(ms_ruleset_finish(f.rs), 0);
	ms_ruleset_free(f.rs);
}

static void a_rule_comment_is_its_origin_and_keeps_its_end(void **state)
{
	(void)state;
	struct fixture f = start();
	char deep[300];

	memset(deep, 'd', sizeof(deep));
	memcpy(deep + sizeof(deep) - 9, "/db.yaml", 9);
	const struct {
		const char *file, *comment;
	} rows[] = {
		{"policies/db.yaml", "policies/db.yaml:12"},
		{"a\"b\n.yaml", "a?b?.yaml:12"},
		{deep, deep + sizeof(deep) - 1 - (MS_COMMENT_SIZE - 1 - 3)},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct ms_origin at = {.file = rows[i].file, .line = 12};
		struct ms_rule *rule = ms_ruleset_add_rule(f.rs, f.chain, &at);

		assert_memory_equal(rule->comment, rows[i].comment, strlen(rows[i].comment));
		assert_true(strlen(rule->comment) < MS_COMMENT_SIZE);
		ms_rule_counter(f.rs, rule);
	}
	assert_int_equal(ms_ruleset_finish(f.rs), 0);
	ms_ruleset_free(f.rs);
}

static void values_are_kept_as_the_kernel_has_them(void **state)
{
	(void)state;
	struct fixture f = start();
	struct ms_rule *rule = add_rule(&f, f.chain);

	ms_rule_match_u16(f.rs, rule, MS_FIELD_TCP_DPORT, 5432);
	assert_memory_equal(rule->matches.items[0].values[0], "\x15\x38", 2);
	uint32_t state_new = MS_CT_NEW;

	ms_rule_match_u32(f.rs, rule, MS_FIELD_CT_STATE, false, MS_CT_NEW);
	assert_memory_equal(rule->matches.items[1].values[0], &state_new, 4);
	ms_ruleset_free(f.rs);
}

static void the_plainest_form_is_chosen(void **state)
{
	(void)state;
	struct fixture f = start();
	struct ms_rule *rule = add_rule(&f, f.chain);
	const struct ms_match_expr *match;

	ms_rule_match_range(f.rs, rule, MS_FIELD_UDP_DPORT, "\0\x35", "\0\x35", 2);
	match = &rule->matches.items[0];
	assert_true(match->kind == MS_MATCH_VALUE && match->n_values == 1);

	ms_rule_match_any_u8(f.rs, rule, MS_FIELD_ICMP6_TYPE, 3, (uint8_t[]){9, 9, 9});
	match = &rule->matches.items[1];
	assert_true(match->kind == MS_MATCH_VALUE && match->values[0][0] == 9);

	ms_rule_match_any_u8(f.rs, rule, MS_FIELD_ICMP6_TYPE, 4, (uint8_t[]){136, 1, 136, 135});
	match = &rule->matches.items[2];
	assert_true(match->kind == MS_MATCH_ANON_SET && match->n_values == 3);
	assert_int_equal(match->values[0][0], 1);
	assert_int_equal(match->values[2][0], 136);

	size_t n = rule->matches.n_items;

	ms_rule_match_text(f.rs, rule, MS_FIELD_IIFNAME, false, "*");
	assert_int_equal(rule->matches.n_items, n); /* every name */
	ms_ruleset_free(f.rs);
}

/* Each makes one mistake. */

static void unknown_set(struct fixture *f)
{
	ms_rule_match_set(f->rs, add_rule(f, f->chain), false, "nowhere", 1, addr_key);
}

static void set_of_another_type(struct fixture *f)
{
	static const enum ms_field name = MS_FIELD_IIFNAME;

	ms_rule_match_set(f->rs, add_rule(f, f->chain), false, "prod/db/4", 1, &name);
}

static void map_as_a_set(struct fixture *f)
{
	ms_rule_match_set(f->rs, add_rule(f, f->chain), false, "to/4", 1, addr_key);
}

static void set_as_a_map(struct fixture *f)
{
	ms_rule_vmap(f->rs, ms_ruleset_add_rule(f->rs, f->chain, NULL), "prod/db/4", 1, addr_key);
}

static void unknown_chain(struct fixture *f)
{
	ms_rule_verdict(f->rs, ms_ruleset_add_rule(f->rs, f->chain, NULL), MS_VERDICT_GOTO,
			"nowhere");
}

static void goto_a_base_chain(struct fixture *f)
{
	ms_rule_verdict(f->rs, ms_ruleset_add_rule(f->rs, f->chain, NULL), MS_VERDICT_GOTO,
			"forward");
}

static void element_to_nowhere(struct fixture *f)
{
	ms_ruleset_add_elem(f->rs, f->map)->verdict =
		(struct ms_rule_verdict){MS_VERDICT_GOTO, "nowhere"};
}

static void element_without_verdict(struct fixture *f)
{
	add_addr(f, f->map, 1);
}

static void element_with_two_verdicts(struct fixture *f)
{
	ms_ruleset_add_elem(f->rs, f->map)->verdict.kind = MS_VERDICT_ACCEPT;
	ms_ruleset_add_elem(f->rs, f->map)->verdict.kind = MS_VERDICT_DROP;
}

static void more_elements_than_size(struct fixture *f)
{
	f->set->size = 1;
	add_addr(f, f->set, 1);
	add_addr(f, f->set, 2);
}

static void overlapping_intervals(struct fixture *f)
{
	f->set->interval = true;
	for (uint8_t i = 0; i < 2; i++) {
		add_addr(f, f->set, (uint8_t)(10 + i));
		memcpy(f->set->elems.items[i].end, (uint8_t[]){10, 0, 0, 20}, 4);
	}
}

static void reversed_range(struct fixture *f)
{
	ms_rule_match_range(f->rs, add_rule(f, f->chain), MS_FIELD_UDP_DPORT, "\0\2", "\0\1", 2);
}

static void value_of_another_size(struct fixture *f)
{
	ms_rule_match(f->rs, add_rule(f, f->chain), MS_FIELD_IP_SADDR, false, "\0\0", 2);
}

static void too_many_values(struct fixture *f)
{
	ms_rule_match_any_u8(f->rs, add_rule(f, f->chain), MS_FIELD_ICMP_TYPE, 9,
			     (uint8_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9});
}

static void long_name(struct fixture *f)
{
	ms_rule_match_text(f->rs, add_rule(f, f->chain), MS_FIELD_IIFNAME, false,
			   "sixteen-letters-");
}

static void not_any_name(struct fixture *f)
{
	ms_rule_match_text(f->rs, add_rule(f, f->chain), MS_FIELD_IIFNAME, true, "*");
}

static void two_chains_of_one_name(struct fixture *f)
{
	ms_ruleset_add_chain(f->rs, f->inet, "to/prod/db");
}

static void two_sets_of_one_name(struct fixture *f)
{
	ms_ruleset_add_set(f->rs, f->inet, "to/4", 1, addr_key);
}

static void both_families(struct fixture *f)
{
	struct ms_rule *rule = add_rule(f, f->chain);

	ms_rule_match(f->rs, rule, MS_FIELD_IP_SADDR, false, "\0\0\0\0", 4);
	ms_rule_match_u8(f->rs, rule, MS_FIELD_IP6_HOPLIMIT, 1);
}

static void both_protocols(struct fixture *f)
{
	struct ms_rule *rule = add_rule(f, f->chain);

	ms_rule_match_u8(f->rs, rule, MS_FIELD_L4PROTO, 6);
	ms_rule_match_u16(f->rs, rule, MS_FIELD_UDP_DPORT, 53);
}

static void ether_in_inet(struct fixture *f)
{
	ms_rule_match_u16(f->rs, add_rule(f, f->chain), MS_FIELD_ETHER_TYPE, 0x800);
}

static void conntrack_in_bridge(struct fixture *f)
{
	ms_rule_match_u32(f->rs, add_rule(f, ms_ruleset_add_chain(f->rs, f->bridge, "c")),
			  MS_FIELD_CT_STATE, false, MS_CT_NEW);
}

static void reset_of_udp(struct fixture *f)
{
	struct ms_rule *rule = ms_ruleset_add_rule(f->rs, f->chain, NULL);

	ms_rule_match_u16(f->rs, rule, MS_FIELD_UDP_DPORT, 53);
	ms_rule_reject(f->rs, rule, MS_STMT_REJECT_RESET);
}

static void statement_behind_a_verdict(struct fixture *f)
{
	ms_rule_counter(f->rs, add_rule(f, f->chain));
}

static void rule_that_does_nothing(struct fixture *f)
{
	ms_rule_match_u8(f->rs, ms_ruleset_add_rule(f->rs, f->chain, NULL), MS_FIELD_L4PROTO, 6);
}

static void prefix_that_ends_a_quote(struct fixture *f)
{
	ms_rule_log(f->rs, ms_ruleset_add_rule(f->rs, f->chain, NULL), "a\" accept \"", 1);
}

static void what_no_kernel_would_take_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		void (*err)(struct fixture *f);
	} rows[] = {
#define ROW(mistake) {#mistake, mistake}
		ROW(unknown_set),
		ROW(set_of_another_type),
		ROW(map_as_a_set),
		ROW(set_as_a_map),
		ROW(unknown_chain),
		ROW(goto_a_base_chain),
		ROW(element_to_nowhere),
		ROW(element_without_verdict),
		ROW(element_with_two_verdicts),
		ROW(more_elements_than_size),
		ROW(overlapping_intervals),
		ROW(reversed_range),
		ROW(value_of_another_size),
		ROW(too_many_values),
		ROW(long_name),
		ROW(not_any_name),
		ROW(two_chains_of_one_name),
		ROW(two_sets_of_one_name),
		ROW(both_families),
		ROW(both_protocols),
		ROW(ether_in_inet),
		ROW(conntrack_in_bridge),
		ROW(reset_of_udp),
		ROW(statement_behind_a_verdict),
		ROW(rule_that_does_nothing),
		ROW(prefix_that_ends_a_quote),
#undef ROW
	};
	struct fixture f = start();

	/* Without a mistake it is taken. */
	add_rule(&f, f.chain);
	assert_int_equal(ms_ruleset_finish(f.rs), 0);
	ms_ruleset_free(f.rs);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		f = start();
		rows[i].err(&f);
		int r = ms_ruleset_finish(f.rs);

		if (r != -EINVAL)
			fail_msg("%s: %d", rows[i].name, r);
		ms_ruleset_free(f.rs);
	}
}

static void things_are_found_by_name_before_and_after(void **state)
{
	(void)state;
	struct fixture f = start();

	for (int finished = 0; finished < 2; finished++) {
		assert_ptr_equal(ms_ruleset_table(f.rs, MS_FAMILY_BRIDGE), f.bridge);
		assert_null(ms_ruleset_table(f.rs, MS_FAMILY_ARP));
		assert_ptr_equal(ms_table_chain(f.inet, "to/prod/db"), f.chain);
		assert_ptr_equal(ms_table_set(f.inet, "to/4"), f.map);
		assert_null(ms_table_set(f.inet, "to/prod/db"));
		assert_null(ms_table_chain(f.bridge, "to/prod/db"));
		assert_int_equal(ms_ruleset_finish(f.rs), 0);
	}
	ms_ruleset_free(f.rs);
}

/* Builds the same but for one thing. */
static uint64_t hash_with(int change)
{
	struct fixture f = start();
	struct ms_rule *rule = add_rule(&f, f.chain);

	ms_rule_match_u16(f.rs, rule, MS_FIELD_TCP_DPORT, change == 1 ? 81 : 80);
	add_addr(&f, f.set, change == 2 ? 2 : 1);
	f.set->size = change == 3 ? 64 : 32;
	rule->comment = change == 4 ? "a:1" : NULL;
	ms_ruleset_add_elem(f.rs, f.map)->verdict.kind =
		change == 5 ? MS_VERDICT_DROP : MS_VERDICT_ACCEPT;
	ms_ruleset_add_chain(f.rs, f.inet, change == 6 ? "x" : "y");
	ms_ruleset_add_base_chain(f.rs, f.bridge, "b", MS_HOOK_INPUT, change == 7);
	if (change == 8)
		add_rule(&f, f.chain);
	rule->matches.items[0].negate = change == 9;
	assert_int_equal(ms_ruleset_finish(f.rs), 0);
	uint64_t hash = ms_ruleset_hash(f.rs);

	ms_ruleset_free(f.rs);
	return hash;
}

static void the_hash_tells_rulesets_apart(void **state)
{
	(void)state;
	uint64_t same = hash_with(0);

	assert_true(same == hash_with(0));
	for (int change = 1; change <= 9; change++)
		if (hash_with(change) == same)
			fail_msg("change %d", change);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_are_sorted_and_unique_once_finished),
		cmocka_unit_test(a_finished_ruleset_owns_its_texts),
		cmocka_unit_test(key_fields_lie_padded_side_by_side),
		cmocka_unit_test(a_rule_comment_is_its_origin_and_keeps_its_end),
		cmocka_unit_test(values_are_kept_as_the_kernel_has_them),
		cmocka_unit_test(the_plainest_form_is_chosen),
		cmocka_unit_test(what_no_kernel_would_take_is_refused),
		cmocka_unit_test(things_are_found_by_name_before_and_after),
		cmocka_unit_test(the_hash_tells_rulesets_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
