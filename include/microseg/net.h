/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Net: addresses, prefixes, ranges, MACs, ports and protocols: parse, print, compare.
 *
 * One address type serves IPv4 and IPv6. Parsing is strict: decimal digits only, no leading zeros
 * in IPv4, no IPv4-mapped IPv6, no zone, no host bits behind a prefix, no blanks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "microseg/str.h"
#include "microseg/vec.h"

#define MS_ADDR_TEXT_SIZE 46
#define MS_MAC_TEXT_SIZE 18
#define MS_PORTS_TEXT_SIZE 32

enum ms_ip {
	MS_IP_NONE = 0,
	MS_IP4 = 4,
	MS_IP6 = 6,
};

/** Network byte order; IPv4 fills the first four bytes and leaves the others zero. */
struct ms_addr {
	uint8_t bytes[16];
	uint8_t ip; /* enum ms_ip */
};

struct ms_prefix {
	struct ms_addr addr;
	uint8_t len; /* bits: 0 to 32 or 128 */
};

/** Both ends belong to it. Of one family. */
struct ms_range {
	struct ms_addr first;
	struct ms_addr last;
};

typedef MS_VEC(struct ms_addr) ms_addr_vec;

/** The same addresses in the same order? */
bool ms_addrs_equal(const ms_addr_vec *a, const ms_addr_vec *b);
typedef MS_VEC(struct ms_prefix) ms_prefix_vec;
typedef MS_VEC(struct ms_range) ms_range_vec;

struct ms_mac {
	uint8_t bytes[6];
};

/**
 * One protocol with a range of what selects within it: destination ports (tcp, udp, sctp) or types
 * (icmp, icmp6). For any other protocol first = last = 0.
 */
struct ms_ports {
	uint8_t proto; /* IPPROTO_* */
	uint16_t first;
	uint16_t last;
};

typedef MS_VEC(struct ms_ports) ms_ports_vec;

/** Bytes of an address of this family: 4 or 16. */
size_t ms_addr_size(enum ms_ip ip);

/** Orders by family, then by value. */
int ms_addr_compare(const struct ms_addr *a, const struct ms_addr *b);
static inline bool ms_addr_equal(const struct ms_addr *a, const struct ms_addr *b)
{
	return ms_addr_compare(a, b) == 0;
}

/** Parses "10.0.0.1" or "fd00::1". Returns 0 or -EINVAL. */
int ms_addr_parse(const char *text, struct ms_addr *ret_addr);
/** Builds from 4 or 16 raw bytes in network order. Returns 0, or -EINVAL for another size. */
int ms_addr_from_bytes(const void *bytes, size_t size, struct ms_addr *ret_addr);
/** Writes RFC 5952 text, returns @text. */
const char *ms_addr_format(const struct ms_addr *addr, char text[MS_ADDR_TEXT_SIZE]);

/** 224.0.0.0/4, 255.255.255.255 and ff00::/8. */
bool ms_addr_is_multicast(const struct ms_addr *addr);
/** 169.254.0.0/16 and fe80::/10. */
bool ms_addr_is_link_local(const struct ms_addr *addr);
/** 127.0.0.0/8 and ::1. */
bool ms_addr_is_loopback(const struct ms_addr *addr);
/** 0.0.0.0 and ::. */
bool ms_addr_is_unspecified(const struct ms_addr *addr);

/**
 * Parses "10.0.0.0/24", or a bare address as its /32 or /128.
 * Returns 0, -EINVAL when it is not an address with a prefix length, -EDOM when bits are set behind
 * the prefix.
 */
int ms_prefix_parse(const char *text, struct ms_prefix *ret_prefix);
bool ms_prefix_contains(const struct ms_prefix *prefix, const struct ms_addr *addr);
struct ms_range ms_prefix_range(const struct ms_prefix *prefix);
/** As many bits as the family has: such a prefix is one address. */
bool ms_prefix_is_addr(const struct ms_prefix *prefix);
/** Orders by address, then by length. */
int ms_prefix_compare(const struct ms_prefix *a, const struct ms_prefix *b);
/** Writes "10.0.0.0/24"; @text holds at least MS_ADDR_TEXT_SIZE + 4 bytes. Returns @text. */
const char *ms_prefix_format(const struct ms_prefix *prefix, char text[MS_ADDR_TEXT_SIZE + 4]);

/** The prefix that covers exactly @range. Returns false when there is none. */
bool ms_range_prefix(const struct ms_range *range, struct ms_prefix *ret_prefix);
/** Appends the fewest prefixes that together cover exactly @range. Returns 0 or -ENOMEM. */
int ms_range_split(struct ms_arena *arena, const struct ms_range *range, ms_prefix_vec *prefixes);
bool ms_range_contains(const struct ms_range *range, const struct ms_addr *addr);
/**
 * Adds to @ranges what @prefixes cover and @excepts do not: sorted, disjoint, adjacent ones merged.
 * @ranges lives in @arena (NULL: on the heap) and is empty before. Returns 0 or -ENOMEM.
 */
int ms_ranges_build(struct ms_arena *arena, const ms_prefix_vec *prefixes,
		    const ms_prefix_vec *excepts, ms_range_vec *ranges);
/** Binary search in sorted disjoint ranges. */
bool ms_ranges_contain(const ms_range_vec *ranges, const struct ms_addr *addr);

/** The link-local address that an interface with this MAC gives itself (EUI-64, RFC 4291). */
struct ms_addr ms_addr_of_mac(const struct ms_mac *mac);
/** The other way round. Returns false when @addr is none that a MAC makes. */
bool ms_addr_to_mac(const struct ms_addr *addr, struct ms_mac *ret_mac);

int ms_mac_parse(const char *text, struct ms_mac *ret_mac);
const char *ms_mac_format(const struct ms_mac *mac, char text[MS_MAC_TEXT_SIZE]);
int ms_mac_compare(const struct ms_mac *a, const struct ms_mac *b);
bool ms_mac_is_zero(const struct ms_mac *mac);

/** "tcp", "udp", "sctp", "icmp", "icmp6"; NULL for others. */
const char *ms_proto_name(uint8_t proto);
/**
 * Parses "tcp/5432", "udp/8000-8100", "sctp/3868", "icmp/8", "icmp6/128", "proto/47".
 * Returns 0; -EINVAL when it has no such form; -ERANGE when a number is out of range (ports
 * 1-65535, types and protocols 0-255); -EDOM when a range is reversed; -EEXIST when proto/<n> names
 * a protocol that has a name.
 */
int ms_ports_parse(const char *text, struct ms_ports *ret_ports);
/** Writes the same form back. Returns @text. */
const char *ms_ports_format(const struct ms_ports *ports, char text[MS_PORTS_TEXT_SIZE]);
int ms_ports_compare(const struct ms_ports *a, const struct ms_ports *b);
/** Does @ports cover this protocol and port (or type)? */
bool ms_ports_cover(const struct ms_ports *ports, uint8_t proto, uint16_t port);
/** `ports: any`: tcp, udp, sctp, icmp, icmp6 whole. Five entries. */
extern const struct ms_ports ms_ports_any[5];
/** Sorts and merges overlapping and adjacent entries of the same protocol, in place. */
void ms_ports_normalize(ms_ports_vec *ports);

/**
 * Does @text match the shell glob @pattern (* ? and [...]; a * also matches '/')?
 * Linear in both, no recursion: the patterns come from users.
 */
bool ms_glob_match(const char *pattern, const char *text);
