/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What nft itself lists is compared in tests/netns; here is what no listing shows, and a sample for
 * those without root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "microseg/cleanup.h"
#include "microseg/ruleset.h"
#include "microseg/ruleset_match.h"

static const enum ms_field addr_key[] = {MS_FIELD_IP_SADDR};

static struct ms_ruleset *make(void)
{
	static const uint8_t last[] = {3, 1, 2};
	static const char *const names[] = {"prod/db", "prod/db-2", "prod/api"};
	static const struct ms_origin at = {.file = "policies/db.yaml", .line = 12};
	struct ms_ruleset *rs = ms_ruleset_new();
	struct ms_table *table = ms_ruleset_add_table(rs, MS_FAMILY_INET, "microseg");
	char name[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(name, sizeof(name), "%s/4", names[i]);
		struct ms_set *set = ms_ruleset_add_set(rs, table, name, 1, addr_key);

		set->size = 64;
		for (size_t j = 0; j < sizeof(last); j++)
			ms_elem_key(set, ms_ruleset_add_elem(rs, set), 0,
				    (uint8_t[]){10, 0, 0, last[j]}, 4);
		snprintf(name, sizeof(name), "to/%s", names[i]);
		struct ms_rule *rule =
			ms_ruleset_add_rule(rs, ms_ruleset_add_chain(rs, table, name), &at);

		snprintf(name, sizeof(name), "%s/4", names[i]);
		ms_rule_match_set(rs, rule, true, name, 1, addr_key);
		ms_rule_match_u16(rs, rule, MS_FIELD_TCP_DPORT, 5432);
		ms_rule_counter(rs, rule);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	}
	ms_ruleset_add_chain(rs, ms_ruleset_add_table(rs, MS_FAMILY_BRIDGE, "microseg"), "guard");
	assert_int_equal(ms_ruleset_finish(rs), 0);
	return rs;
}

#define DB_SET                                                                                     \
	"\tset prod/db/4 {\n\t\ttype ipv4_addr\n\t\tsize 64\n"                                     \
	"\t\telements = { 10.0.0.1, 10.0.0.2,\n\t\t\t     10.0.0.3 }\n\t}\n"
#define DB_CHAIN                                                                                   \
	"\tchain to/prod/db {\n"                                                                   \
	"\t\tip saddr != @prod/db/4 tcp dport 5432 counter accept comment \"policies/db.yaml:12\"\n\t}\n"

static void narrowing_keeps_what_bears_the_name_and_nothing_like_it(void **state)
{
	(void)state;
	static const struct {
		const char *narrow, *text;
	} rows[] = {
		{"prod/db", "table inet microseg {\n" DB_SET "\n" DB_CHAIN "}\n"},
		{"prod/d", ""},
		{"rod/db", ""},
		{"dev/db", ""},
	};
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = make();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_(ms_str_fini) struct ms_str out = {0};

		ms_ruleset_print(rs, rows[i].narrow, &out);
		assert_string_equal(out.text ? out.text : "", rows[i].text);
	}
}

static void all_tables_are_printed_one_after_the_other(void **state)
{
	(void)state;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = make();
	_cleanup_(ms_str_fini) struct ms_str out = {0};

	ms_ruleset_print(rs, NULL, &out);
	assert_non_null(strstr(out.text, DB_SET));
	assert_non_null(strstr(out.text, "\n\n" DB_CHAIN));
	assert_non_null(
		strstr(out.text, "\t}\n}\ntable bridge microseg {\n\tchain guard {\n\t}\n}\n"));
}

static void values_print_as_nft_prints_them(void **state)
{
	(void)state;
	static const struct {
		enum ms_field field;
		uint8_t value[MS_VALUE_SIZE];
		const char *text;
	} rows[] = {
		{MS_FIELD_IIFNAME, "veth0", "\"veth0\""},
		{MS_FIELD_OIFNAME, "br-*", "\"br-*\""},
		{MS_FIELD_L4PROTO, {58}, "ipv6-icmp"},
		{MS_FIELD_L4PROTO, {253}, "253"},
		{MS_FIELD_PRIORITY, {0x01, 0x00, 0x53, 0x4d}, "4d53:1"},
		{MS_FIELD_ETHER_SADDR, {0x02, 0x42, 0, 0, 0, 0x0a}, "02:42:00:00:00:0a"},
		{MS_FIELD_ETHER_TYPE, {0x86, 0xdd}, "ip6"},
		{MS_FIELD_ETHER_TYPE, {0x00, 0x01}, "0x0001"},
		{MS_FIELD_IP_SADDR, {10, 0, 0, 1}, "10.0.0.1"},
		{MS_FIELD_IP6_SADDR, {0xfd, [15] = 1}, "fd00::1"},
		{MS_FIELD_TCP_DPORT, {0x15, 0x38}, "5432"},
		{MS_FIELD_ICMP_TYPE, {8}, "echo-request"},
		{MS_FIELD_ICMP6_TYPE, {8}, "8"},
		{MS_FIELD_ND_OPTION, {0x02, 0x01}, "0x201"},
		{MS_FIELD_ND_LLADDR, {0x02, 0x42, 0, 0, 0, 0x0a}, "0x2420000000a"},
		{MS_FIELD_ND_TARGET, {0}, "0x0"},
		{MS_FIELD_CT_STATE, {MS_CT_ESTABLISHED}, "established"},
		{MS_FIELD_FIB_DADDR_TYPE, {2}, "local"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_(ms_str_fini) struct ms_str out = {0};

		ms_field_print(rows[i].field, rows[i].value, &out);
		assert_string_equal(out.text, rows[i].text);
	}
}

/* A packet that has everything a row could ask for. */
static struct ms_sim_packet full_packet(enum ms_ip ip, uint8_t l4proto)
{
	return (struct ms_sim_packet){
		.iifname = "veth0",
		.oifname = "br0",
		.ether = true,
		.ether_type = ip == MS_IP4   ? 0x0800
			      : ip == MS_IP6 ? 0x86dd
					     : 0x0806,
		.saddr = {.ip = ip},
		.daddr = {.ip = ip},
		.l4proto = l4proto,
		.nd_option = {2, 1},
		.ct_state = MS_CT_NEW,
		.ct_original_saddr = {.ip = ip},
		.ct_reply_saddr = {.ip = ip},
	};
}

/* Negated or not, a match of what a packet does not have fails. */
static void a_packet_answers_only_for_what_it_has(void **state)
{
	(void)state;
	static const struct {
		enum ms_ip ip;
		uint8_t l4proto;
	} packets[] = {{MS_IP4, 6}, {MS_IP4, 17}, {MS_IP4, 132},  {MS_IP4, 1},
		       {MS_IP6, 6}, {MS_IP6, 58}, {MS_IP_NONE, 0}};

	for (enum ms_field field = 0; field < MS_N_FIELDS; field++) {
		const struct ms_field_row *row = ms_field_row(field);
		size_t n_answers = 0;

		for (size_t i = 0; i < sizeof(packets) / sizeof(*packets); i++) {
			struct ms_sim_packet packet =
				full_packet(packets[i].ip, packets[i].l4proto);
			uint8_t value[MS_VALUE_SIZE];
			bool ip = !row->needs_ip || row->needs_ip == packets[i].ip;
			bool l4 = !row->needs_l4proto || row->needs_l4proto == packets[i].l4proto;
			bool arp = !row->needs_arp || packets[i].ip == MS_IP_NONE;
			bool answers = row->read(&packet, value);

			n_answers += answers;
			if (answers && !(ip && l4 && arp))
				fail_msg("%s is answered by a packet that has none", row->name);
			packet.later_fragment = true;
			if (row->load == MS_LOAD_TRANSPORT && row->read(&packet, value))
				fail_msg("%s is read from a later fragment", row->name);
		}
		if (n_answers == 0)
			fail_msg("%s is answered by no packet", row->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(narrowing_keeps_what_bears_the_name_and_nothing_like_it),
		cmocka_unit_test(all_tables_are_printed_one_after_the_other),
		cmocka_unit_test(values_print_as_nft_prints_them),
		cmocka_unit_test(a_packet_answers_only_for_what_it_has),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
