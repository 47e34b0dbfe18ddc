/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoding of logged packets: every row is also cut short at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>
/* after it: its in_addr is the other one otherwise */
#include <linux/if_ether.h>
#include <linux/netfilter.h>

#include "microseg/event.h"

#define ANY -1

struct row {
	const char *name;
	uint8_t family;
	uint16_t ether_type;
	const char *hex;		    /* of the payload; blanks are skipped */
	const char *src, *dst;		    /* NULL: no addresses */
	int proto, sport, dport, icmp_type; /* ANY: not set */
};

#define V4_TO(total, fragment, proto)                                                              \
	"4500 " total " 0000 " fragment " 40" proto "0000 0a000205 0a000107 "
#define V6_TO(size, next)                                                                          \
	"60000000 " size next                                                                      \
	"40 fd000000000000000000000000000005 fd000000000000000000000000000007 "
#define PORTS "c350 1538 " /* 50000 -> 5432 */
#define A4 "10.0.2.5", "10.0.1.7"
#define A6 "fd00::5", "fd00::7"
#define IP4 NFPROTO_IPV4, ETH_P_IP
#define IP6 NFPROTO_IPV6, ETH_P_IPV6

static const struct row rows[] = {
	{"tcp", IP4, V4_TO("0028", "4000", "06") PORTS "00000000", A4, IPPROTO_TCP, 50000, 5432,
	 ANY},
	{"udp", IP4, V4_TO("001c", "0000", "11") PORTS "00080000", A4, IPPROTO_UDP, 50000, 5432,
	 ANY},
	{"sctp", IP4, V4_TO("0020", "0000", "84") PORTS "00000000", A4, IPPROTO_SCTP, 50000, 5432,
	 ANY},
	{"icmp", IP4, V4_TO("001c", "0000", "01") "08001234 00010001", A4, IPPROTO_ICMP, ANY, ANY,
	 8},
	{"gre has no ports", IP4, V4_TO("0018", "0000", "2f") "00000800", A4, IPPROTO_GRE, ANY, ANY,
	 ANY},
	{"options are skipped", IP4,
	 "46000020 00000000 40060000 0a000205 0a000107 94040000" PORTS "00000000", A4, IPPROTO_TCP,
	 50000, 5432, ANY},
	{"options longer than the packet", IP4,
	 "4f000028 00000000 40060000 0a000205 0a000107" PORTS, A4, IPPROTO_TCP, ANY, ANY, ANY},
	{"a header of less than 20 bytes", IP4,
	 "44000028 00000000 40060000 0a000205 0a000107" PORTS, NULL, NULL, 0, ANY, ANY, ANY},
	{"first fragment", IP4, V4_TO("0024", "2000", "11") PORTS "00080000", A4, IPPROTO_UDP,
	 50000, 5432, ANY},
	{"later fragment: its bytes are no ports", IP4,
	 V4_TO("0024", "0001", "11") PORTS "00080000", A4, IPPROTO_UDP, ANY, ANY, ANY},
	{"padding behind the packet is not read", IP4, V4_TO("0016", "0000", "06") PORTS "00000000",
	 A4, IPPROTO_TCP, ANY, ANY, ANY},
	{"no length yet: the bytes at hand count", IP4,
	 V4_TO("0000", "0000", "06") PORTS "00000000", A4, IPPROTO_TCP, 50000, 5432, ANY},
	{"version 6 in an IPv4 frame", IP4, "65000028 00000000 40060000 0a000205 0a000107" PORTS,
	 NULL, NULL, 0, ANY, ANY, ANY},

	{"tcp6", IP6, V6_TO("0014", "06") PORTS "00000000", A6, IPPROTO_TCP, 50000, 5432, ANY},
	{"icmp6", IP6, V6_TO("0008", "3a") "80001234 00010001", A6, IPPROTO_ICMPV6, ANY, ANY, 128},
	{"hop-by-hop, routing and destination options", IP6,
	 V6_TO("0024",
	       "00") "2b00000000000000 3c00000000000000 0601000000000000 0000000000000000" PORTS,
	 A6, IPPROTO_TCP, 50000, 5432, ANY},
	{"authentication header counts in fours", IP6,
	 V6_TO("0010", "33") "0601 0000 00000000 00000000" PORTS, A6, IPPROTO_TCP, 50000, 5432,
	 ANY},
	{"first fragment, IPv6", IP6, V6_TO("000c", "2c") "1100000100000000" PORTS, A6, IPPROTO_UDP,
	 50000, 5432, ANY},
	{"later fragment, IPv6", IP6, V6_TO("000c", "2c") "1100000800000000" PORTS, A6, IPPROTO_UDP,
	 ANY, ANY, ANY},
	{"later fragment that goes on with an extension", IP6,
	 V6_TO("000c", "2c") "3c00000800000000" PORTS, A6, 0, ANY, ANY, ANY},
	{"extension longer than the packet", IP6, V6_TO("000c", "00") "06ff000000000000" PORTS, A6,
	 0, ANY, ANY, ANY},
	{"encrypted: nothing to see behind it", IP6, V6_TO("0008", "32") PORTS "00000000", A6,
	 IPPROTO_ESP, ANY, ANY, ANY},
	{"no next header", IP6, V6_TO("0004", "3b") PORTS, A6, IPPROTO_NONE, ANY, ANY, ANY},
	{"more extensions than anybody sends", IP6,
	 V6_TO("008c", "3c") "3c00000000000000 3c00000000000000 3c00000000000000 3c00000000000000"
			     "3c00000000000000 3c00000000000000 3c00000000000000 3c00000000000000"
			     "3c00000000000000 3c00000000000000 3c00000000000000 3c00000000000000"
			     "3c00000000000000 3c00000000000000 3c00000000000000 3c00000000000000"
			     "0600000000000000" PORTS,
	 A6, 0, ANY, ANY, ANY},

	{"arp", NFPROTO_BRIDGE, ETH_P_ARP,
	 "0001080006040001 0242c0000005 0a000205 000000000000 0a000107", A4, 0, ANY, ANY, ANY},
	{"arp of another kind", NFPROTO_BRIDGE, ETH_P_ARP,
	 "0006080006040001 0242c0000005 0a000205 000000000000 0a000107", NULL, NULL, 0, ANY, ANY,
	 ANY},
	{"ip on a bridge", NFPROTO_BRIDGE, ETH_P_IP, V4_TO("0028", "4000", "06") PORTS "00000000",
	 A4, IPPROTO_TCP, 50000, 5432, ANY},
	{"ip behind a VLAN tag is not looked at", NFPROTO_BRIDGE, ETH_P_8021Q,
	 V4_TO("0028", "4000", "06") PORTS, NULL, NULL, 0, ANY, ANY, ANY},
	{"another ether type", NFPROTO_BRIDGE, 0x88b5, "68656c6c6f", NULL, NULL, 0, ANY, ANY, ANY},
	{"nothing at all", NFPROTO_IPV4, ETH_P_IP, "", NULL, NULL, 0, ANY, ANY, ANY},
};

/* A copy of exactly the bytes, so that a sanitizer sees a read behind them. */
static uint8_t *bytes_of(const char *hex, size_t *ret_size)
{
	uint8_t *bytes = malloc(strlen(hex) / 2 + 1);
	size_t n = 0;

	for (; *hex; hex++) {
		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2hhx", &bytes[n++]), 1);
		hex++;
	}
	*ret_size = n;
	return realloc(bytes, n ? n : 1);
}

static void assert_addr(const struct ms_packet *packet, const struct ms_addr *addr,
			const char *expected)
{
	char text[MS_ADDR_TEXT_SIZE];

	assert_int_equal(packet->has_addrs, expected != NULL);
	if (expected)
		assert_string_equal(ms_addr_format(addr, text), expected);
}

static void assert_row(const struct row *row, const struct ms_packet *packet)
{
	assert_addr(packet, &packet->src, row->src);
	assert_addr(packet, &packet->dst, row->dst);
	assert_int_equal(packet->proto, row->proto);
	assert_int_equal(packet->has_ports ? packet->sport : ANY, row->sport);
	assert_int_equal(packet->has_ports ? packet->dport : ANY, row->dport);
	assert_int_equal(packet->has_icmp_type ? packet->icmp_type : ANY, row->icmp_type);
	assert_int_equal(packet->ether_type, row->ether_type);
}

static void decodes_addresses_protocol_and_ports(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_packet_record record = {.family = rows[i].family,
						  .ether_type = rows[i].ether_type};
		uint8_t *bytes = bytes_of(rows[i].hex, &record.payload_size);
		struct ms_packet packet;

		print_message("%s\n", rows[i].name);
		record.payload = bytes;
		ms_packet_decode(&record, &packet);
		assert_row(&rows[i], &packet);
		free(bytes);
	}
}

/* What a cut packet still says is what the whole one says. */
static void a_packet_cut_short_says_less_but_nothing_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_packet_record record = {.family = rows[i].family,
						  .ether_type = rows[i].ether_type};
		uint8_t *bytes = bytes_of(rows[i].hex, &record.payload_size);
		struct ms_packet whole, cut;

		record.payload = bytes;
		ms_packet_decode(&record, &whole);
		for (size_t size = record.payload_size; size-- > 0;) {
			uint8_t *copy = malloc(size ? size : 1);

			memcpy(copy, bytes, size);
			record.payload = copy;
			record.payload_size = size;
			ms_packet_decode(&record, &cut);
			assert_true(whole.has_addrs >= cut.has_addrs &&
				    whole.has_ports >= cut.has_ports);
			assert_true(whole.has_icmp_type >= cut.has_icmp_type);
			if (cut.has_addrs)
				assert_true(ms_addr_equal(&cut.src, &whole.src) &&
					    ms_addr_equal(&cut.dst, &whole.dst));
			if (cut.has_ports)
				assert_true(cut.sport == whole.sport && cut.dport == whole.dport);
			if (cut.proto)
				assert_int_equal(cut.proto, whole.proto);
			free(copy);
		}
		free(bytes);
	}
}

static void the_family_tells_the_ether_type_where_the_kernel_did_not(void **state)
{
	static const struct {
		uint8_t family;
		uint8_t first;
		uint16_t ether_type;
	} cases[] = {
		{NFPROTO_IPV4, 0x45, ETH_P_IP},	  {NFPROTO_IPV6, 0x60, ETH_P_IPV6},
		{NFPROTO_ARP, 0, ETH_P_ARP},	  {NFPROTO_INET, 0x45, ETH_P_IP},
		{NFPROTO_INET, 0x60, ETH_P_IPV6}, {NFPROTO_INET, 0, 0},
		{NFPROTO_BRIDGE, 0x45, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ms_packet_record record = {
			.family = cases[i].family, .payload = &cases[i].first, .payload_size = 1};
		struct ms_packet packet;

		ms_packet_decode(&record, &packet);
		assert_int_equal(packet.ether_type, cases[i].ether_type);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_addresses_protocol_and_ports),
		cmocka_unit_test(a_packet_cut_short_says_less_but_nothing_else),
		cmocka_unit_test(the_family_tells_the_ether_type_where_the_kernel_did_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
