/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/simulate.h"

/* A small inet ruleset to run packets through; each test adds what it is about. */
struct bench {
	struct ms_ruleset *ruleset;
	struct ms_table *table;
	struct ms_chain *base;
	struct ms_arena *arena;
	struct ms_sim_result result;
};

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	bench->ruleset = ms_ruleset_new();
	bench->arena = ms_arena_new();
	bench->table = ms_ruleset_add_table(bench->ruleset, MS_FAMILY_INET, "microseg");
	bench->base = ms_ruleset_add_base_chain(bench->ruleset, bench->table, "forward",
						MS_HOOK_FORWARD, 0);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	ms_ruleset_free(bench->ruleset);
	ms_arena_free(bench->arena);
	free(bench);
	return 0;
}

static struct ms_addr addr(const char *text)
{
	struct ms_addr parsed;

	assert_int_equal(ms_addr_parse(text, &parsed), 0);
	return parsed;
}

static struct ms_sim_packet tcp(const char *saddr, const char *daddr, uint16_t dport)
{
	return (struct ms_sim_packet){
		.saddr = addr(saddr),
		.daddr = addr(daddr),
		.l4proto = IPPROTO_TCP,
		.dport = dport,
		.tcp_flags = 0x02,
		.ct_state = MS_CT_NEW,
	};
}

static void add_drop(struct bench *bench, struct ms_chain *chain, uint16_t dport)
{
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, chain, NULL);

	ms_rule_match_u16(bench->ruleset, rule, MS_FIELD_TCP_DPORT, dport);
	ms_rule_verdict(bench->ruleset, rule, MS_VERDICT_DROP, NULL);
}

static void add_verdict(struct bench *bench, struct ms_chain *chain, enum ms_verdict_kind kind,
			const char *target)
{
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, chain, NULL);

	ms_rule_verdict(bench->ruleset, rule, kind, target);
}

static bool drops(struct bench *bench, struct ms_sim_packet packet)
{
	bench->result = (struct ms_sim_result){0};
	assert_int_equal(ms_simulate_hook(bench->ruleset, MS_FAMILY_INET, MS_HOOK_FORWARD, &packet,
					  bench->arena, &bench->result),
			 0);
	return bench->result.dropped;
}

static void a_rule_without_a_match_for_the_packet_is_passed_over(void **state)
{
	struct bench *bench = *state;

	add_drop(bench, bench->base, 80);
	assert_true(drops(bench, tcp("10.0.0.1", "10.0.0.2", 80)));
	assert_int_equal(bench->result.path.n_items, 1);
	assert_false(drops(bench, tcp("10.0.0.1", "10.0.0.2", 81)));
	assert_int_equal(bench->result.path.n_items, 0);
}

static void jump_comes_back_and_goto_does_not(void **state)
{
	(void)state;
	static const struct {
		enum ms_verdict_kind outer; /* base -> middle */
		enum ms_verdict_kind inner; /* middle -> empty chain */
		bool middle_goes_on, base_goes_on;
	} rows[] = {
		{MS_VERDICT_JUMP, MS_VERDICT_JUMP, true, true},
		{MS_VERDICT_JUMP, MS_VERDICT_GOTO, false, true},
		{MS_VERDICT_GOTO, MS_VERDICT_JUMP, true, false},
		{MS_VERDICT_GOTO, MS_VERDICT_GOTO, false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bench *b;

		assert_int_equal(setup((void **)&b), 0);
		struct ms_chain *middle = ms_ruleset_add_chain(b->ruleset, b->table, "middle");

		ms_ruleset_add_chain(b->ruleset, b->table, "empty");
		add_verdict(b, b->base, rows[i].outer, "middle");
		add_drop(b, b->base, 1);
		add_verdict(b, middle, rows[i].inner, "empty");
		add_drop(b, middle, 2);
		assert_int_equal(drops(b, tcp("10.0.0.1", "10.0.0.2", 1)), rows[i].base_goes_on);
		assert_int_equal(drops(b, tcp("10.0.0.1", "10.0.0.2", 2)), rows[i].middle_goes_on);
		teardown((void **)&b);
	}
}

static void return_goes_back_to_the_caller(void **state)
{
	struct bench *bench = *state;
	struct ms_chain *called = ms_ruleset_add_chain(bench->ruleset, bench->table, "called");

	add_verdict(bench, called, MS_VERDICT_RETURN, NULL);
	add_drop(bench, called, 1);
	add_verdict(bench, bench->base, MS_VERDICT_JUMP, "called");
	add_drop(bench, bench->base, 2);
	assert_false(drops(bench, tcp("10.0.0.1", "10.0.0.2", 1)));
	assert_true(drops(bench, tcp("10.0.0.1", "10.0.0.2", 2)));
}

static void accept_ends_its_base_chain_only_and_priorities_ascend(void **state)
{
	struct bench *bench = *state;
	struct ms_chain *later = ms_ruleset_add_base_chain(bench->ruleset, bench->table, "later",
							   MS_HOOK_FORWARD, 10);
	struct ms_chain *same = ms_ruleset_add_base_chain(bench->ruleset, bench->table, "same",
							  MS_HOOK_FORWARD, 10);
	struct ms_chain *first = ms_ruleset_add_base_chain(bench->ruleset, bench->table, "first",
							   MS_HOOK_FORWARD, -10);

	add_verdict(bench, bench->base, MS_VERDICT_ACCEPT, NULL);
	add_drop(bench, bench->base, 1);
	add_drop(bench, later, 2);
	add_drop(bench, same, 3);
	add_drop(bench, first, 4);
	assert_false(drops(bench, tcp("10.0.0.1", "10.0.0.2", 1)));
	assert_true(drops(bench, tcp("10.0.0.1", "10.0.0.2", 2)));
	assert_int_equal(bench->result.path.n_items, 2);
	assert_true(drops(bench, tcp("10.0.0.1", "10.0.0.2", 3)));
	assert_true(drops(bench, tcp("10.0.0.1", "10.0.0.2", 4)));
	assert_int_equal(bench->result.path.n_items, 1);
}

static void a_field_the_packet_lacks_fails_the_match_even_negated(void **state)
{
	struct bench *bench = *state;
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);
	struct ms_addr other = addr("10.9.9.9");

	ms_rule_match(bench->ruleset, rule, MS_FIELD_IP_SADDR, true, other.bytes, 4);
	ms_rule_verdict(bench->ruleset, rule, MS_VERDICT_DROP, NULL);
	assert_true(drops(bench, tcp("10.0.0.1", "10.0.0.2", 1)));
	assert_false(drops(bench, tcp("10.9.9.9", "10.0.0.2", 1)));
	assert_false(drops(bench, tcp("fd00::1", "fd00::2", 1)));
}

static void a_verdict_map_leads_known_keys_and_passes_over_others(void **state)
{
	struct bench *bench = *state;
	static const enum ms_field key[] = {MS_FIELD_IP_DADDR};
	struct ms_chain *target = ms_ruleset_add_chain(bench->ruleset, bench->table, "target");
	struct ms_set *map = ms_ruleset_add_set(bench->ruleset, bench->table, "map", 1, key);
	struct ms_addr known = addr("10.0.0.2");

	map->map = true;
	struct ms_elem *elem = ms_ruleset_add_elem(bench->ruleset, map);
	ms_elem_key(map, elem, 0, known.bytes, 4);
	elem->verdict = (struct ms_rule_verdict){MS_VERDICT_GOTO, "target"};
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);
	ms_rule_vmap(bench->ruleset, rule, "map", 1, key);
	add_drop(bench, bench->base, 1);
	add_drop(bench, target, 2);

	assert_false(drops(bench, tcp("10.0.0.1", "10.0.0.2", 1)));
	assert_true(drops(bench, tcp("10.0.0.1", "10.0.0.2", 2)));
	assert_true(drops(bench, tcp("10.0.0.1", "10.0.0.3", 1)));
	assert_true(drops(bench, tcp("fd00::1", "fd00::2", 1)));
}

static void a_count_goes_on_with_whoever_has_too_many_connections(void **state)
{
	struct bench *bench = *state;
	static const enum ms_field key[] = {MS_FIELD_IP_SADDR};
	struct ms_set *set = ms_ruleset_add_set(bench->ruleset, bench->table, "limit", 1, key);
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);
	struct ms_sim_packet few = tcp("10.0.0.1", "10.0.0.2", 1), many = few, known = few;

	set->size = 1;
	set->dynamic = true;
	set->count_over = 1;
	ms_rule_match_present(bench->ruleset, rule, MS_FIELD_CT_STATUS_CONFIRMED, true);
	ms_rule_count_in_set(bench->ruleset, rule, "limit", key[0], 1);
	ms_rule_verdict(bench->ruleset, rule, MS_VERDICT_DROP, NULL);
	many.over_limit = known.over_limit = true;
	known.ct_state = MS_CT_ESTABLISHED;

	assert_false(drops(bench, few));
	assert_true(drops(bench, many));
	assert_false(drops(bench, known));
}

static void sets_know_concatenations_and_both_ends_of_intervals(void **state)
{
	struct bench *bench = *state;
	static const enum ms_field pair[] = {MS_FIELD_IIFNAME, MS_FIELD_IP_SADDR};
	static const enum ms_field single[] = {MS_FIELD_IP_SADDR};
	struct ms_set *ports = ms_ruleset_add_set(bench->ruleset, bench->table, "ports", 2, pair);
	struct ms_set *nets = ms_ruleset_add_set(bench->ruleset, bench->table, "nets", 1, single);
	struct ms_addr own = addr("10.0.0.1"), first = addr("192.0.2.16"),
		       last = addr("192.0.2.31");
	struct ms_elem *elem = ms_ruleset_add_elem(bench->ruleset, ports);

	ms_elem_key(ports, elem, 0, "veth1", 5);
	ms_elem_key(ports, elem, 1, own.bytes, 4);
	nets->interval = true;
	elem = ms_ruleset_add_elem(bench->ruleset, nets);
	ms_elem_key(nets, elem, 0, first.bytes, 4);
	memcpy(elem->end, last.bytes, 4);
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);
	ms_rule_match_set(bench->ruleset, rule, false, "ports", 2, pair);
	ms_rule_verdict(bench->ruleset, rule, MS_VERDICT_DROP, NULL);
	rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);
	ms_rule_match_set(bench->ruleset, rule, false, "nets", 1, single);
	ms_rule_verdict(bench->ruleset, rule, MS_VERDICT_DROP, NULL);

	static const struct {
		const char *iifname, *saddr;
		bool dropped;
	} rows[] = {
		{"veth1", "10.0.0.1", true},   {"veth2", "10.0.0.1", false},
		{"veth1", "10.0.0.2", false},  {"eth0", "192.0.2.15", false},
		{"eth0", "192.0.2.16", true},  {"eth0", "192.0.2.31", true},
		{"eth0", "192.0.2.32", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ms_sim_packet packet = tcp(rows[i].saddr, "10.0.0.9", 1);

		memcpy(packet.iifname, rows[i].iifname, strlen(rows[i].iifname));
		assert_int_equal(drops(bench, packet), rows[i].dropped);
	}
}

static void an_interface_pattern_matches_its_prefix(void **state)
{
	struct bench *bench = *state;
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);
	struct ms_sim_packet packet = tcp("10.0.0.1", "10.0.0.2", 1);

	ms_rule_match_text(bench->ruleset, rule, MS_FIELD_IIFNAME, false, "br-*");
	ms_rule_verdict(bench->ruleset, rule, MS_VERDICT_DROP, NULL);
	strcpy(packet.iifname, "br-1");
	assert_true(drops(bench, packet));
	strcpy(packet.iifname, "br1");
	assert_false(drops(bench, packet));
}

static void only_a_bare_syn_opens_a_connection(void **state)
{
	struct bench *bench = *state;
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);
	struct ms_sim_packet packet = tcp("10.0.0.1", "10.0.0.2", 1);

	ms_rule_match_bare_syn(bench->ruleset, rule, false);
	ms_rule_reject(bench->ruleset, rule, MS_STMT_REJECT_RESET);
	assert_true(drops(bench, packet));
	assert_true(bench->result.rejected);
	packet.tcp_flags = 0x12;
	assert_false(drops(bench, packet));
	assert_false(bench->result.rejected);
	packet.tcp_flags = 0x02 | 0x40; /* ECN does not matter */
	assert_true(drops(bench, packet));
}

static void the_first_log_counts_and_statements_write_the_packet(void **state)
{
	struct bench *bench = *state;
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);
	struct ms_sim_packet packet = tcp("10.0.0.1", "10.0.0.2", 1);
	struct ms_sim_result result = {0};

	ms_rule_log(bench->ruleset, rule, "one ", 1);
	ms_rule_set_priority(bench->ruleset, rule, 0x4d530001);
	rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);
	ms_rule_match_u32(bench->ruleset, rule, MS_FIELD_PRIORITY, false, 0x4d530001);
	ms_rule_log(bench->ruleset, rule, "two ", 1);
	ms_rule_verdict(bench->ruleset, rule, MS_VERDICT_DROP, NULL);

	assert_int_equal(ms_simulate_hook(bench->ruleset, MS_FAMILY_INET, MS_HOOK_FORWARD, &packet,
					  NULL, &result),
			 0);
	assert_true(result.dropped);
	assert_false(result.rejected);
	assert_string_equal(result.prefix, "one ");
	assert_int_equal(packet.priority, 0x4d530001);
	assert_int_equal(result.path.n_items, 0);
}

static void a_loop_of_jumps_is_an_error(void **state)
{
	struct bench *bench = *state;
	struct ms_chain *loop = ms_ruleset_add_chain(bench->ruleset, bench->table, "loop");
	struct ms_sim_packet packet = tcp("10.0.0.1", "10.0.0.2", 1);
	struct ms_sim_result result = {0};

	add_verdict(bench, loop, MS_VERDICT_JUMP, "loop");
	add_verdict(bench, bench->base, MS_VERDICT_JUMP, "loop");
	assert_int_equal(ms_simulate_hook(bench->ruleset, MS_FAMILY_INET, MS_HOOK_FORWARD, &packet,
					  NULL, &result),
			 -ELOOP);
}

static void what_is_not_there_is_an_error(void **state)
{
	struct bench *bench = *state;
	static const enum ms_field key[] = {MS_FIELD_IP_SADDR};
	struct ms_sim_packet packet = tcp("10.0.0.1", "10.0.0.2", 1);
	struct ms_sim_result result = {0};
	struct ms_rule *rule = ms_ruleset_add_rule(bench->ruleset, bench->base, NULL);

	ms_rule_match_set(bench->ruleset, rule, false, "nowhere", 1, key);
	assert_int_equal(ms_simulate_hook(bench->ruleset, MS_FAMILY_INET, MS_HOOK_FORWARD, &packet,
					  NULL, &result),
			 -ENOENT);
}

/* The way of a packet: a ruleset that logs in each hook which interfaces it saw there. */

static void log_hook(struct ms_ruleset *ruleset, struct ms_table *table, enum ms_hook hook,
		     const char *name)
{
	struct ms_chain *chain = ms_ruleset_add_base_chain(ruleset, table, name, hook, 0);
	struct ms_rule *rule = ms_ruleset_add_rule(ruleset, chain, NULL);

	ms_rule_counter(ruleset, rule);
}

static struct ms_ruleset *hooks_ruleset(void)
{
	static const struct {
		enum ms_hook hook;
		const char *name;
	} hooks[] = {
		{MS_HOOK_PREROUTING, "prerouting"},
		{MS_HOOK_INPUT, "input"},
		{MS_HOOK_FORWARD, "forward"},
		{MS_HOOK_OUTPUT, "output"},
	};
	struct ms_ruleset *ruleset = ms_ruleset_new();
	struct ms_table *inet = ms_ruleset_add_table(ruleset, MS_FAMILY_INET, "microseg");
	struct ms_table *bridge = ms_ruleset_add_table(ruleset, MS_FAMILY_BRIDGE, "microseg");

	for (size_t i = 0; i < sizeof(hooks) / sizeof(*hooks); i++) {
		log_hook(ruleset, inet, hooks[i].hook, hooks[i].name);
		log_hook(ruleset, bridge, hooks[i].hook, hooks[i].name);
	}
	return ruleset;
}

static void a_packet_passes_the_hooks_of_its_way(void **state)
{
	(void)state;
	const struct ms_endpoint a1 = {.interface = "veth1", .bridge = "br-a"},
				 a2 = {.interface = "veth2", .bridge = "br-a"},
				 b1 = {.interface = "veth3", .bridge = "br-b"},
				 r1 = {.interface = "veth4", .bridge = ""};
	const struct {
		const struct ms_endpoint *src, *dst;
		bool src_is_host, dst_is_host;
		const char *way;
	} rows[] = {
		{&a1, &a2, false, false,
		 "bridge prerouting, inet prerouting, inet forward, bridge forward"},
		{&a1, &b1, false, false,
		 "bridge prerouting, inet prerouting, bridge input, inet forward, bridge output"},
		{&a1, &r1, false, false,
		 "bridge prerouting, inet prerouting, bridge input, inet forward"},
		{&r1, &a1, false, false, "inet prerouting, inet forward, bridge output"},
		{&r1, &r1, false, false, "inet prerouting, inet forward"},
		{&a1, NULL, false, true,
		 "bridge prerouting, inet prerouting, bridge input, inet input"},
		{&a1, NULL, false, false,
		 "bridge prerouting, inet prerouting, bridge input, inet forward"},
		{NULL, &a1, true, false, "inet output, bridge output"},
		{NULL, &a1, false, false, "inet prerouting, inet forward, bridge output"},
		{NULL, &r1, true, false, "inet output"},
	};
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = hooks_ruleset();
	struct ms_inventory *inventory = ms_inventory_new();
	struct ms_arena *arena = ms_arena_new();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ms_sim_result result = {0};
		const struct ms_sim_flow flow = {
			.src = rows[i].src,
			.dst = rows[i].dst,
			.src_is_host = rows[i].src_is_host,
			.dst_is_host = rows[i].dst_is_host,
			.saddr = addr("10.0.0.1"),
			.daddr = addr("10.0.0.2"),
			.proto = IPPROTO_TCP,
			.port = 80,
			.outside = "eth0",
		};
		const char *way = "";

		assert_int_equal(ms_simulate_flow(ruleset, inventory, &flow, arena, &result), 0);
		ms_vec_each (struct ms_sim_step, step, &result.path)
			way = ms_arena_printf(arena, "%s%s%s %s", way, *way ? ", " : "",
					      ms_family_name(step->table->family),
					      step->chain->name);
		assert_string_equal(way, rows[i].way);
	}
	ms_arena_free(arena);
	ms_inventory_free(inventory);
}

static void policy_hooks_see_bridges_and_guard_hooks_see_ports(void **state)
{
	(void)state;
	static const struct {
		enum ms_family family;
		enum ms_hook hook;
		enum ms_field field;
		const char *name;
	} rows[] = {
		{MS_FAMILY_BRIDGE, MS_HOOK_PREROUTING, MS_FIELD_IIFNAME, "veth1"},
		{MS_FAMILY_INET, MS_HOOK_PREROUTING, MS_FIELD_IIFNAME, "br-a"},
		{MS_FAMILY_INET, MS_HOOK_FORWARD, MS_FIELD_IIFNAME, "br-a"},
		{MS_FAMILY_INET, MS_HOOK_FORWARD, MS_FIELD_OIFNAME, "br-a"},
		{MS_FAMILY_BRIDGE, MS_HOOK_FORWARD, MS_FIELD_IIFNAME, "veth1"},
		{MS_FAMILY_BRIDGE, MS_HOOK_FORWARD, MS_FIELD_OIFNAME, "veth2"},
	};
	const struct ms_endpoint a1 = {.interface = "veth1", .bridge = "br-a"},
				 a2 = {.interface = "veth2", .bridge = "br-a"};
	struct ms_inventory *inventory = ms_inventory_new();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = ms_ruleset_new();
		struct ms_table *table = ms_ruleset_add_table(ruleset, rows[i].family, "microseg");
		struct ms_chain *chain =
			ms_ruleset_add_base_chain(ruleset, table, "c", rows[i].hook, 0);
		struct ms_rule *rule = ms_ruleset_add_rule(ruleset, chain, NULL);
		const struct ms_sim_flow flow = {
			.src = &a1,
			.dst = &a2,
			.saddr = addr("fd00::1"),
			.daddr = addr("fd00::2"),
			.proto = IPPROTO_UDP,
		};
		struct ms_sim_result result = {0};

		ms_rule_match_text(ruleset, rule, rows[i].field, false, rows[i].name);
		ms_rule_verdict(ruleset, rule, MS_VERDICT_DROP, NULL);
		assert_int_equal(ms_simulate_flow(ruleset, inventory, &flow, NULL, &result), 0);
		assert_true(result.dropped);
	}
	ms_inventory_free(inventory);
}

#define bench_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(a_rule_without_a_match_for_the_packet_is_passed_over),
		bench_test(jump_comes_back_and_goto_does_not),
		bench_test(return_goes_back_to_the_caller),
		bench_test(accept_ends_its_base_chain_only_and_priorities_ascend),
		bench_test(a_field_the_packet_lacks_fails_the_match_even_negated),
		bench_test(a_verdict_map_leads_known_keys_and_passes_over_others),
		bench_test(a_count_goes_on_with_whoever_has_too_many_connections),
		bench_test(sets_know_concatenations_and_both_ends_of_intervals),
		bench_test(an_interface_pattern_matches_its_prefix),
		bench_test(only_a_bare_syn_opens_a_connection),
		bench_test(the_first_log_counts_and_statements_write_the_packet),
		bench_test(a_loop_of_jumps_is_an_error),
		bench_test(what_is_not_there_is_an_error),
		cmocka_unit_test(a_packet_passes_the_hooks_of_its_way),
		cmocka_unit_test(policy_hooks_see_bridges_and_guard_hooks_see_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
