/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Net, theory of operation: values that name things on a wire. One address type holds both
 * families, so that no caller has an IPv4 path and an IPv6 path. Nothing here allocates but
 * ms_ranges_build(), nothing does I/O, and parsing takes one spelling of a value only: what a
 * reviewer reads in a policy is what the kernel gets.
 */
#include "microseg/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

size_t ms_addr_size(enum ms_ip ip)
{
	return ip == MS_IP4 ? 4 : ip == MS_IP6 ? 16 : 0;
}

int ms_addr_compare(const struct ms_addr *a, const struct ms_addr *b)
{
	if (a->ip != b->ip)
		return a->ip < b->ip ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* ::ffff:0:0/96 would be a second spelling of every IPv4 address. */
static bool is_ipv4_mapped(const struct ms_addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return addr->ip == MS_IP6 && memcmp(addr->bytes, mapped, sizeof(mapped)) == 0;
}

int ms_addr_parse(const char *text, struct ms_addr *ret_addr)
{
	struct ms_addr addr = {0};

	/* glibc's inet_pton(3) takes no leading zeros, no short IPv4 forms, no blanks and no zones.
	 */
	if (inet_pton(AF_INET, text, addr.bytes) == 1)
		addr.ip = MS_IP4;
	else if (inet_pton(AF_INET6, text, addr.bytes) == 1)
		addr.ip = MS_IP6;
	else
		return -EINVAL;
	if (is_ipv4_mapped(&addr))
		return -EINVAL;
	*ret_addr = addr;
	return 0;
}

int ms_addr_from_bytes(const void *bytes, size_t size, struct ms_addr *ret_addr)
{
	if (size != 4 && size != 16)
		return -EINVAL;
	*ret_addr = (struct ms_addr){.ip = size == 4 ? MS_IP4 : MS_IP6};
	memcpy(ret_addr->bytes, bytes, size);
	return 0;
}

const char *ms_addr_format(const struct ms_addr *addr, char text[MS_ADDR_TEXT_SIZE])
{
	text[0] = '\0';
	if (addr->ip != MS_IP_NONE)
		inet_ntop(addr->ip == MS_IP4 ? AF_INET : AF_INET6, addr->bytes, text,
			  MS_ADDR_TEXT_SIZE);
	return text;
}

bool ms_addr_is_multicast(const struct ms_addr *addr)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	if (addr->ip == MS_IP4)
		return addr->bytes[0] >> 4 == 0xe || memcmp(addr->bytes, broadcast, 4) == 0;
	return addr->ip == MS_IP6 && addr->bytes[0] == 0xff;
}

bool ms_addr_is_link_local(const struct ms_addr *addr)
{
	if (addr->ip == MS_IP4)
		return addr->bytes[0] == 169 && addr->bytes[1] == 254;
	return addr->ip == MS_IP6 && addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

bool ms_addr_is_loopback(const struct ms_addr *addr)
{
	static const uint8_t one[16] = {[15] = 1};

	if (addr->ip == MS_IP4)
		return addr->bytes[0] == 127;
	return addr->ip == MS_IP6 && memcmp(addr->bytes, one, 16) == 0;
}

bool ms_addr_is_unspecified(const struct ms_addr *addr)
{
	static const uint8_t zero[16];

	return addr->ip != MS_IP_NONE && memcmp(addr->bytes, zero, 16) == 0;
}

bool ms_addrs_equal(const ms_addr_vec *a, const ms_addr_vec *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (!ms_addr_equal(&a->items[i], &b->items[i]))
			return false;
	return true;
}
