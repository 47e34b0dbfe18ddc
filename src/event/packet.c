/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packet: what the first bytes of a logged packet say.
 *
 * The bytes are an attacker's and are cut short by the kernel's copy range. Every read goes through
 * one reader that knows how much is left; what cannot be read stays unset and nothing fails. No
 * allocation, no recursion; the walk along IPv6 extension headers has a limit.
 */
#include "microseg/event.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <string.h>

#define MAX_EXTENSION_HEADERS 16

struct reader {
	const uint8_t *at;
	size_t left;
};

/* The next @size bytes, or NULL when there are not as many. */
static const uint8_t *take(struct reader *reader, size_t size)
{
	if (size > reader->left)
		return NULL;
	const uint8_t *bytes = reader->at;
	reader->at += size;
	reader->left -= size;
	return bytes;
}

static uint16_t be16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* Frames are padded to 60 bytes: what lies behind the packet's own length is not part of it. */
static void shorten(struct reader *reader, size_t size)
{
	if (size < reader->left)
		reader->left = size;
}

static void set_addr(struct ms_addr *addr, enum ms_ip ip, const uint8_t *bytes)
{
	*addr = (struct ms_addr){.ip = ip};
	memcpy(addr->bytes, bytes, ip == MS_IP4 ? 4 : 16);
}

/* @reader stands at the first byte behind the IP header of an unfragmented packet or a first
 * fragment. */
static void decode_transport(struct reader *reader, struct ms_packet *packet)
{
	const uint8_t *bytes;

	switch (packet->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		bytes = take(reader, 4);
		if (!bytes)
			return;
		packet->has_ports = true;
		packet->sport = be16(bytes);
		packet->dport = be16(bytes + 2);
		bytes = packet->proto == IPPROTO_TCP ? take(reader, 10) : NULL;
		packet->has_tcp_flags = bytes != NULL;
		packet->tcp_flags = bytes ? bytes[9] : 0;
		return;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		bytes = take(reader, 1);
		if (!bytes)
			return;
		packet->has_icmp_type = true;
		packet->icmp_type = bytes[0];
		return;
	}
}

static void decode_ipv4(struct reader *reader, struct ms_packet *packet)
{
	const uint8_t *header = take(reader, 20);

	if (!header || header[0] >> 4 != 4)
		return;
	size_t header_size = (size_t)(header[0] & 0xf) * 4;
	if (header_size < 20)
		return;

	packet->has_addrs = true;
	packet->proto = header[9];
	set_addr(&packet->src, MS_IP4, header + 12);
	set_addr(&packet->dst, MS_IP4, header + 16);

	size_t total = be16(header + 2);
	if (total >= header_size) /* 0 in a segment the hardware has yet to cut */
		shorten(reader, total - 20);
	bool later_fragment = (be16(header + 6) & 0x1fff) != 0;
	if (take(reader, header_size - 20) && !later_fragment)
		decode_transport(reader, packet);
}

/* Bytes of the extension header that starts with @start, or 0 when @next is an upper protocol. */
static size_t extension_size(uint8_t next, const uint8_t start[2])
{
	switch (next) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
	case 135: /* mobility, RFC 6275 */
	case 139: /* HIP, RFC 7401 */
	case 140: /* shim6, RFC 5533 */
		return ((size_t)start[1] + 1) * 8;
	case IPPROTO_AH:
		return ((size_t)start[1] + 2) * 4;
	case IPPROTO_FRAGMENT:
		return 8;
	}
	return 0;
}

static bool is_extension(uint8_t next)
{
	return extension_size(next, (const uint8_t[2]){0}) != 0;
}

/* Walks from @next to the upper protocol. Leaves proto 0 when it cannot be reached. */
static void decode_extensions(struct reader *reader, uint8_t next, struct ms_packet *packet)
{
	for (int n = 0; n < MAX_EXTENSION_HEADERS && is_extension(next); n++) {
		if (reader->left < 2)
			return;
		uint8_t kind = next;
		const uint8_t *header = take(reader, extension_size(next, reader->at));
		if (!header)
			return;
		next = header[0];
		if (kind == IPPROTO_FRAGMENT && (be16(header + 2) & 0xfff8) != 0) {
			packet->proto = is_extension(next) ? 0 : next;
			return;
		}
	}
	if (is_extension(next))
		return;
	packet->proto = next;
	decode_transport(reader, packet);
}

static void decode_ipv6(struct reader *reader, struct ms_packet *packet)
{
	const uint8_t *header = take(reader, 40);

	if (!header || header[0] >> 4 != 6)
		return;
	packet->has_addrs = true;
	set_addr(&packet->src, MS_IP6, header + 8);
	set_addr(&packet->dst, MS_IP6, header + 24);

	size_t size = be16(header + 4);
	if (size > 0) /* 0 announces a jumbogram */
		shorten(reader, size);
	decode_extensions(reader, header[6], packet);
}

/* Sender and target of ARP for IPv4 over Ethernet, the only kind that passes anywhere. */
static void decode_arp(struct reader *reader, struct ms_packet *packet)
{
	static const uint8_t ethernet_ipv4[] = {0, 1, 8, 0, 6, 4};
	const uint8_t *header = take(reader, 28);

	if (!header || memcmp(header, ethernet_ipv4, sizeof(ethernet_ipv4)) != 0)
		return;
	packet->has_addrs = true;
	set_addr(&packet->src, MS_IP4, header + 14);
	set_addr(&packet->dst, MS_IP4, header + 24);
}

/* The family says it where the kernel did not; an inet table logs both IP versions. */
static uint16_t ether_type_of(const struct ms_packet_record *record)
{
	if (record->ether_type)
		return record->ether_type;
	switch (record->family) {
	case NFPROTO_IPV4:
		return ETH_P_IP;
	case NFPROTO_IPV6:
		return ETH_P_IPV6;
	case NFPROTO_ARP:
		return ETH_P_ARP;
	case NFPROTO_INET:
		if (record->payload_size > 0 && record->payload[0] >> 4 == 4)
			return ETH_P_IP;
		if (record->payload_size > 0 && record->payload[0] >> 4 == 6)
			return ETH_P_IPV6;
	}
	return 0;
}

void ms_packet_decode(const struct ms_packet_record *record, struct ms_packet *ret_packet)
{
	struct reader reader = {record->payload, record->payload ? record->payload_size : 0};
	struct ms_packet packet = {.ether_type = ether_type_of(record)};

	switch (packet.ether_type) {
	case ETH_P_IP:
		decode_ipv4(&reader, &packet);
		break;
	case ETH_P_IPV6:
		decode_ipv6(&reader, &packet);
		break;
	case ETH_P_ARP:
		decode_arp(&reader, &packet);
		break;
	}
	*ret_packet = packet;
}
