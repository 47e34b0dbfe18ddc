/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>

#include "microseg/net.h"

#define N(rows) (sizeof(rows) / sizeof((rows)[0]))

static void addr_takes_one_spelling_and_prints_rfc5952(void **state)
{
	static const struct {
		const char *in;
		int r;
		const char *out;
	} rows[] = {
		{"10.0.0.1", 0, "10.0.0.1"},
		{"255.255.255.255", 0, "255.255.255.255"},
		{"FD00:0:0::5", 0, "fd00::5"},
		{"2001:db8:0:1:1:1:1:1", 0, "2001:db8:0:1:1:1:1:1"},
		{"::", 0, "::"},
		{"10.0.0.01", -EINVAL, NULL},
		{"10.0.0", -EINVAL, NULL},
		{"10.0.0.256", -EINVAL, NULL},
		{"0x0a.0.0.1", -EINVAL, NULL},
		{" 10.0.0.1", -EINVAL, NULL},
		{"10.0.0.1 ", -EINVAL, NULL},
		{"::ffff:10.0.0.1", -EINVAL, NULL},
		{"fe80::1%eth0", -EINVAL, NULL},
		{"1::2::3", -EINVAL, NULL},
		{"", -EINVAL, NULL},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct ms_addr addr;
		char text[MS_ADDR_TEXT_SIZE];

		assert_int_equal(ms_addr_parse(rows[i].in, &addr), rows[i].r);
		if (rows[i].out)
			assert_string_equal(ms_addr_format(&addr, text), rows[i].out);
	}
}

static void addr_orders_by_family_then_value(void **state)
{
	static const char *const sorted[] = {
		"0.0.0.0", "9.255.255.255", "10.0.0.0",	  "255.255.255.255",
		"::",	   "::1",	    "2001:db8::", "ff02::1"};
	struct ms_addr addrs[N(sorted)];

	(void)state;
	for (size_t i = 0; i < N(sorted); i++)
		assert_int_equal(ms_addr_parse(sorted[i], &addrs[i]), 0);
	for (size_t i = 0; i < N(sorted); i++)
		for (size_t j = 0; j < N(sorted); j++) {
			int r = ms_addr_compare(&addrs[i], &addrs[j]);

			assert_int_equal((r > 0) - (r < 0), (i > j) - (i < j));
		}
}

static void addr_knows_what_is_never_net(void **state)
{
	static const struct {
		const char *addr;
		bool multicast, link_local, loopback, unspecified;
	} rows[] = {
		{"223.255.255.255", false, false, false, false},
		{"224.0.0.0", true, false, false, false},
		{"239.255.255.255", true, false, false, false},
		{"240.0.0.0", false, false, false, false},
		{"255.255.255.255", true, false, false, false},
		{"169.254.169.254", false, true, false, false},
		{"169.253.0.1", false, false, false, false},
		{"127.1.2.3", false, false, true, false},
		{"0.0.0.0", false, false, false, true},
		{"ff02::1", true, false, false, false},
		{"fe80::1", false, true, false, false},
		{"febf::1", false, true, false, false},
		{"fec0::1", false, false, false, false},
		{"::1", false, false, true, false},
		{"::2", false, false, false, false},
		{"::", false, false, false, true},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct ms_addr addr;

		assert_int_equal(ms_addr_parse(rows[i].addr, &addr), 0);
		assert_int_equal(ms_addr_is_multicast(&addr), rows[i].multicast);
		assert_int_equal(ms_addr_is_link_local(&addr), rows[i].link_local);
		assert_int_equal(ms_addr_is_loopback(&addr), rows[i].loopback);
		assert_int_equal(ms_addr_is_unspecified(&addr), rows[i].unspecified);
	}
}

static void prefix_refuses_host_bits_and_gives_its_range(void **state)
{
	static const struct {
		const char *in;
		int r;
		const char *out, *first, *last;
	} rows[] = {
		{"10.0.0.0/24", 0, "10.0.0.0/24", "10.0.0.0", "10.0.0.255"},
		{"0.0.0.0/0", 0, "0.0.0.0/0", "0.0.0.0", "255.255.255.255"},
		{"10.8.0.9", 0, "10.8.0.9/32", "10.8.0.9", "10.8.0.9"},
		{"10.8.0.9/32", 0, "10.8.0.9/32", "10.8.0.9", "10.8.0.9"},
		{"10.8.0.8/31", 0, "10.8.0.8/31", "10.8.0.8", "10.8.0.9"},
		{"::/0", 0, "::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"fd00::5", 0, "fd00::5/128", "fd00::5", "fd00::5"},
		{"2001:db8::/33", 0, "2001:db8::/33",
		 "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff"},
		{"10.0.0.1/24", -EDOM, NULL, NULL, NULL},
		{"128.0.0.0/0", -EDOM, NULL, NULL, NULL},
		{"fd00::1/64", -EDOM, NULL, NULL, NULL},
		{"10.0.0.0/33", -EINVAL, NULL, NULL, NULL},
		{"fd00::/129", -EINVAL, NULL, NULL, NULL},
		{"10.0.0.0/", -EINVAL, NULL, NULL, NULL},
		{"10.0.0.0/024", -EINVAL, NULL, NULL, NULL},
		{"10.0.0.0/+8", -EINVAL, NULL, NULL, NULL},
		{"10.0.0.0/24/8", -EINVAL, NULL, NULL, NULL},
		{"10.0.0.0/255.0.0.0", -EINVAL, NULL, NULL, NULL},
		{"/24", -EINVAL, NULL, NULL, NULL},
		{"office", -EINVAL, NULL, NULL, NULL},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct ms_prefix prefix;
		char text[MS_ADDR_TEXT_SIZE + 4];

		assert_int_equal(ms_prefix_parse(rows[i].in, &prefix), rows[i].r);
		if (rows[i].r < 0)
			continue;
		assert_string_equal(ms_prefix_format(&prefix, text), rows[i].out);
		struct ms_range range = ms_prefix_range(&prefix);
		assert_string_equal(ms_addr_format(&range.first, text), rows[i].first);
		assert_string_equal(ms_addr_format(&range.last, text), rows[i].last);
		assert_true(ms_prefix_contains(&prefix, &range.first));
		assert_true(ms_prefix_contains(&prefix, &range.last));

		struct ms_prefix back;
		assert_true(ms_range_prefix(&range, &back));
		assert_int_equal(back.len, prefix.len);
		assert_true(ms_addr_equal(&back.addr, &prefix.addr));
	}
}

static void a_range_that_no_prefix_covers_has_none(void **state)
{
	struct ms_range range;
	struct ms_prefix prefix;

	(void)state;
	assert_int_equal(ms_addr_parse("10.0.0.1", &range.first), 0);
	assert_int_equal(ms_addr_parse("10.0.0.2", &range.last), 0);
	assert_false(ms_range_prefix(&range, &prefix));
}

static void parse_prefixes(const char *const *texts, ms_prefix_vec *prefixes)
{
	for (; *texts; texts++) {
		struct ms_prefix prefix;

		assert_int_equal(ms_prefix_parse(*texts, &prefix), 0);
		assert_int_equal(ms_vec_push(prefixes, prefix), 0);
	}
}

static void print_ranges(const ms_range_vec *ranges, struct ms_str *out)
{
	char text[MS_ADDR_TEXT_SIZE];

	ms_vec_each (struct ms_range, range, ranges) {
		ms_str_addf(out, "%s%s-", out->len ? " " : "", ms_addr_format(&range->first, text));
		ms_str_add(out, ms_addr_format(&range->last, text));
	}
}

static void ranges_are_sorted_disjoint_and_merged(void **state)
{
	static const struct {
		const char *prefixes[6], *excepts[6], *out;
	} rows[] = {
		{{"10.0.0.0/24"}, {NULL}, "10.0.0.0-10.0.0.255"},
		{{"10.0.1.0/24", "10.0.0.0/24"}, {NULL}, "10.0.0.0-10.0.1.255"},
		{{"10.0.0.0/8", "10.1.0.0/16"}, {NULL}, "10.0.0.0-10.255.255.255"},
		{{"10.0.0.0/24"}, {"10.0.0.9"}, "10.0.0.0-10.0.0.8 10.0.0.10-10.0.0.255"},
		{{"10.0.0.0/24"}, {"10.0.0.0"}, "10.0.0.1-10.0.0.255"},
		{{"10.0.0.0/24"}, {"10.0.0.255"}, "10.0.0.0-10.0.0.254"},
		{{"10.0.0.0/24"}, {"10.0.0.0/8"}, ""},
		{{"10.0.0.0/24", "10.0.2.0/24"},
		 {"10.0.0.128/25", "10.0.2.0/25"},
		 "10.0.0.0-10.0.0.127 10.0.2.128-10.0.2.255"},
		{{"10.0.0.0/24", "10.0.2.0/24"}, {"10.0.0.0/22"}, ""},
		{{"10.0.0.0/24"}, {"fd00::/8", "11.0.0.0/8"}, "10.0.0.0-10.0.0.255"},
		{{"fd00::/16", "192.0.2.0/30"},
		 {"192.0.2.1"},
		 "192.0.2.0-192.0.2.0 192.0.2.2-192.0.2.3 fd00::-fd00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{{"::/0", "0.0.0.0/0"},
		 {"ffff::/16", "128.0.0.0/1"},
		 "0.0.0.0-127.255.255.255 ::-fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{{"255.255.255.255", "0.0.0.0"},
		 {NULL},
		 "0.0.0.0-0.0.0.0 255.255.255.255-255.255.255.255"},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		ms_prefix_vec prefixes = {0}, excepts = {0};
		ms_range_vec ranges = {0};
		struct ms_str out = {0};

		parse_prefixes(rows[i].prefixes, &prefixes);
		parse_prefixes(rows[i].excepts, &excepts);
		assert_int_equal(ms_ranges_build(NULL, &prefixes, &excepts, &ranges), 0);
		print_ranges(&ranges, &out);
		assert_string_equal(out.text ? out.text : "", rows[i].out);
		ms_str_fini(&out);
		ms_vec_fini(&ranges);
		ms_vec_fini(&excepts);
		ms_vec_fini(&prefixes);
	}
}

static void ranges_contain_exactly_what_they_cover(void **state)
{
	static const char *const in[] = {"10.0.0.0",   "10.0.0.8", "10.0.0.10",
					 "10.0.0.255", "10.0.2.7", "fd00::1"};
	static const char *const out[] = {"9.255.255.255", "10.0.0.9", "10.0.1.0",
					  "10.0.3.0",	   "fc00::1",  "::"};
	ms_prefix_vec prefixes = {0}, excepts = {0};
	ms_range_vec ranges = {0};

	(void)state;
	parse_prefixes((const char *[]){"10.0.0.0/24", "10.0.2.0/24", "fd00::/64", NULL},
		       &prefixes);
	parse_prefixes((const char *[]){"10.0.0.9", NULL}, &excepts);
	assert_int_equal(ms_ranges_build(NULL, &prefixes, &excepts, &ranges), 0);
	for (size_t i = 0; i < N(in); i++) {
		struct ms_addr addr;

		assert_int_equal(ms_addr_parse(in[i], &addr), 0);
		assert_true(ms_ranges_contain(&ranges, &addr));
		assert_int_equal(ms_addr_parse(out[i], &addr), 0);
		assert_false(ms_ranges_contain(&ranges, &addr));
	}
	ms_vec_fini(&ranges);
	ms_vec_fini(&excepts);
	ms_vec_fini(&prefixes);
}

static void range_splits_into_fewest_prefixes(void **state)
{
	static const struct {
		const char *first, *last, *prefixes[8];
	} rows[] = {
		{"10.0.0.0", "10.0.0.255", {"10.0.0.0/24"}},
		{"10.0.0.1",
		 "10.0.0.6",
		 {"10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"}},
		{"0.0.0.0", "255.255.255.255", {"0.0.0.0/0"}},
		{"255.255.255.254", "255.255.255.255", {"255.255.255.254/31"}},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", {"::/0"}},
		{"fd00::1", "fd00::2", {"fd00::1/128", "fd00::2/128"}},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct ms_range range;
		ms_prefix_vec prefixes = {0};
		char text[MS_ADDR_TEXT_SIZE + 4];
		size_t n = 0;

		assert_int_equal(ms_addr_parse(rows[i].first, &range.first), 0);
		assert_int_equal(ms_addr_parse(rows[i].last, &range.last), 0);
		assert_int_equal(ms_range_split(NULL, &range, &prefixes), 0);
		for (; rows[i].prefixes[n]; n++) {
			assert_true(n < prefixes.n_items);
			assert_string_equal(ms_prefix_format(&prefixes.items[n], text),
					    rows[i].prefixes[n]);
		}
		assert_int_equal(prefixes.n_items, n);
		ms_vec_fini(&prefixes);
	}
}

static void mac_is_six_pairs_with_colons(void **state)
{
	static const struct {
		const char *in;
		int r;
	} rows[] = {
		{"02:42:0a:00:00:05", 0},
		{"02:42:0A:00:00:05", 0},
		{"02:42:0a:00:00:5", -EINVAL},
		{"02-42-0a-00-00-05", -EINVAL},
		{"02:42:0a:00:00:05:", -EINVAL},
		{"02:42:0a:00:00:0g", -EINVAL},
		{"", -EINVAL},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct ms_mac mac;
		char text[MS_MAC_TEXT_SIZE];

		assert_int_equal(ms_mac_parse(rows[i].in, &mac), rows[i].r);
		if (rows[i].r < 0)
			continue;
		assert_string_equal(ms_mac_format(&mac, text), "02:42:0a:00:00:05");
		assert_false(ms_mac_is_zero(&mac));
	}
	assert_true(ms_mac_is_zero(&(struct ms_mac){0}));
}

static void ports_parse_and_print(void **state)
{
	static const struct {
		const char *in;
		int r;
		struct ms_ports ports;
	} rows[] = {
		{"tcp/5432", 0, {IPPROTO_TCP, 5432, 5432}},
		{"udp/8000-8100", 0, {IPPROTO_UDP, 8000, 8100}},
		{"sctp/3868", 0, {IPPROTO_SCTP, 3868, 3868}},
		{"tcp/1-65535", 0, {IPPROTO_TCP, 1, 65535}},
		{"icmp/8", 0, {IPPROTO_ICMP, 8, 8}},
		{"icmp/0", 0, {IPPROTO_ICMP, 0, 0}},
		{"icmp6/128", 0, {IPPROTO_ICMPV6, 128, 128}},
		{"proto/47", 0, {47, 0, 0}},
		{"proto/0", 0, {0, 0, 0}},
		{"tcp/0", -ERANGE, {0}},
		{"tcp/65536", -ERANGE, {0}},
		{"tcp/1-99999999999999999999", -ERANGE, {0}},
		{"icmp/256", -ERANGE, {0}},
		{"proto/256", -ERANGE, {0}},
		{"tcp/81-80", -EDOM, {0}},
		{"proto/6", -EEXIST, {0}},
		{"proto/58", -EEXIST, {0}},
		{"tcp", -EINVAL, {0}},
		{"tcp/", -EINVAL, {0}},
		{"tcp/http", -EINVAL, {0}},
		{"tcp/080", -EINVAL, {0}},
		{"tcp/80-", -EINVAL, {0}},
		{"tcp/-80", -EINVAL, {0}},
		{"tcp/80-90-100", -EINVAL, {0}},
		{"tcp/ 80", -EINVAL, {0}},
		{"TCP/80", -EINVAL, {0}},
		{"icmp/8-9", -EINVAL, {0}},
		{"proto/47x", -EINVAL, {0}},
		{"icmpv6/128", -EINVAL, {0}},
		{"80/tcp", -EINVAL, {0}},
		{"80", -EINVAL, {0}},
		{"", -EINVAL, {0}},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct ms_ports ports = {0};
		char text[MS_PORTS_TEXT_SIZE];

		assert_int_equal(ms_ports_parse(rows[i].in, &ports), rows[i].r);
		assert_int_equal(ms_ports_compare(&ports, &rows[i].ports), 0);
		if (rows[i].r == 0)
			assert_string_equal(ms_ports_format(&ports, text), rows[i].in);
	}
}

static void ports_cover_their_protocol_and_range_only(void **state)
{
	static const struct {
		struct ms_ports ports;
		uint8_t proto;
		uint16_t port;
		bool covers;
	} rows[] = {
		{{IPPROTO_TCP, 80, 90}, IPPROTO_TCP, 80, true},
		{{IPPROTO_TCP, 80, 90}, IPPROTO_TCP, 90, true},
		{{IPPROTO_TCP, 80, 90}, IPPROTO_TCP, 79, false},
		{{IPPROTO_TCP, 80, 90}, IPPROTO_TCP, 91, false},
		{{IPPROTO_TCP, 80, 90}, IPPROTO_UDP, 80, false},
		{{47, 0, 0}, 47, 0, true},
		{{47, 0, 0}, 50, 0, false},
		{{IPPROTO_ICMP, 8, 8}, IPPROTO_ICMP, 8, true},
		{{IPPROTO_ICMP, 8, 8}, IPPROTO_ICMP, 13, false},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		assert_int_equal(ms_ports_cover(&rows[i].ports, rows[i].proto, rows[i].port),
				 rows[i].covers);
}

static void ports_any_is_five_protocols_whole(void **state)
{
	static const struct {
		uint8_t proto;
		uint16_t last;
	} rows[] = {{IPPROTO_TCP, 65535},
		    {IPPROTO_UDP, 65535},
		    {IPPROTO_SCTP, 65535},
		    {IPPROTO_ICMP, 255},
		    {IPPROTO_ICMPV6, 255}};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		size_t n = 0;

		for (size_t j = 0; j < N(ms_ports_any); j++)
			n += ms_ports_cover(&ms_ports_any[j], rows[i].proto, 0) &&
			     ms_ports_cover(&ms_ports_any[j], rows[i].proto, rows[i].last);
		assert_int_equal(n, 1);
	}
	for (size_t j = 0; j < N(ms_ports_any); j++)
		assert_false(ms_ports_cover(&ms_ports_any[j], 47, 0));
}

static void ports_normalize_sorts_and_merges(void **state)
{
	static const struct {
		const char *in[6], *out[6];
	} rows[] = {
		{{"tcp/80"}, {"tcp/80"}},
		{{"tcp/81", "tcp/80"}, {"tcp/80-81"}},
		{{"tcp/80-90", "tcp/85-86", "tcp/90-100"}, {"tcp/80-100"}},
		{{"tcp/82", "tcp/80"}, {"tcp/80", "tcp/82"}},
		{{"udp/53", "tcp/53", "udp/53"}, {"tcp/53", "udp/53"}},
		{{"proto/47", "proto/47", "proto/50"}, {"proto/47", "proto/50"}},
		{{"tcp/65535", "tcp/65534"}, {"tcp/65534-65535"}},
		{{"icmp6/128", "icmp/8", "tcp/1"}, {"icmp/8", "tcp/1", "icmp6/128"}},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		ms_ports_vec ports = {0};
		char text[MS_PORTS_TEXT_SIZE];
		size_t n = 0;

		for (size_t j = 0; rows[i].in[j]; j++) {
			struct ms_ports one;

			assert_int_equal(ms_ports_parse(rows[i].in[j], &one), 0);
			assert_int_equal(ms_vec_push(&ports, one), 0);
		}
		ms_ports_normalize(&ports);
		for (; rows[i].out[n]; n++) {
			assert_true(n < ports.n_items);
			assert_string_equal(ms_ports_format(&ports.items[n], text), rows[i].out[n]);
		}
		assert_int_equal(ports.n_items, n);
		ms_vec_fini(&ports);
	}
}

static void glob_matches_whole_texts(void **state)
{
	static const struct {
		const char *pattern, *text;
		bool match;
	} rows[] = {
		{"orders-db", "orders-db", true},
		{"orders-db", "orders-db-1", false},
		{"orders-db-*", "orders-db-1", true},
		{"orders-db-*", "orders-db-", true},
		{"orders-db-*", "orders-db", false},
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"*/web:?", "registry/x/web:3", true},
		{"*a*b*c", "xxaxxbxxc", true},
		{"*a*b*c", "xxaxxcxxb", false},
		{"veth[0-9]", "veth7", true},
		{"veth[0-9]", "vethx", false},
		{"[!a]b", "cb", true},
		{"[!a]b", "ab", false},
		{"[^a]b", "ab", false},
		{"[]]", "]", true},
		{"[a-]", "-", true},
		{"[a", "[a", true},
		{"[a", "a", false},
		{"a\\*", "a*", true},
		{"a\\*", "ab", false},
		{"?", "", false},
		{"**x", "aax", true},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		assert_int_equal(ms_glob_match(rows[i].pattern, rows[i].text), rows[i].match);
}

static void glob_with_many_stars_stays_cheap(void **state)
{
	static char pattern[2001], text[4001];

	(void)state;
	for (size_t i = 0; i < sizeof(pattern) - 1; i += 2)
		memcpy(pattern + i, "*a", 2);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 2] = 'b';
	assert_false(ms_glob_match(pattern, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addr_takes_one_spelling_and_prints_rfc5952),
		cmocka_unit_test(addr_orders_by_family_then_value),
		cmocka_unit_test(addr_knows_what_is_never_net),
		cmocka_unit_test(prefix_refuses_host_bits_and_gives_its_range),
		cmocka_unit_test(a_range_that_no_prefix_covers_has_none),
		cmocka_unit_test(ranges_are_sorted_disjoint_and_merged),
		cmocka_unit_test(ranges_contain_exactly_what_they_cover),
		cmocka_unit_test(range_splits_into_fewest_prefixes),
		cmocka_unit_test(mac_is_six_pairs_with_colons),
		cmocka_unit_test(ports_parse_and_print),
		cmocka_unit_test(ports_cover_their_protocol_and_range_only),
		cmocka_unit_test(ports_any_is_five_protocols_whole),
		cmocka_unit_test(ports_normalize_sorts_and_merges),
		cmocka_unit_test(glob_matches_whole_texts),
		cmocka_unit_test(glob_with_many_stars_stays_cheap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
