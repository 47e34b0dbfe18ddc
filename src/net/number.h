/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Number: strict decimal reading, and addresses as numbers. Private to this room. */
#pragma once

#include <errno.h>
#include <stdint.h>

#include "microseg/net.h"

typedef unsigned __int128 ms_u128;

/**
 * Reads decimal digits at *@at, without sign or leading zeros, and moves *@at behind them.
 * Returns 0; -EINVAL when there is no such number; -ERANGE when it is above @max.
 */
static inline int number_read(const char **at, uint32_t max, uint32_t *ret_value)
{
	const char *digits = *at;
	uint64_t value = 0;
	int r = 0;

	for (; **at >= '0' && **at <= '9'; (*at)++) {
		value = value * 10 + (uint64_t)(**at - '0');
		if (value > max) {
			r = -ERANGE;
			value = max;
		}
	}
	if (*at == digits || (*digits == '0' && *at - digits > 1))
		return -EINVAL;
	if (r == 0)
		*ret_value = (uint32_t)value;
	return r;
}

static inline ms_u128 number_of_addr(const struct ms_addr *addr)
{
	ms_u128 value = 0;

	for (size_t i = 0; i < ms_addr_size(addr->ip); i++)
		value = value << 8 | addr->bytes[i];
	return value;
}

static inline struct ms_addr addr_of_number(enum ms_ip ip, ms_u128 value)
{
	struct ms_addr addr = {.ip = ip};

	for (size_t i = ms_addr_size(ip); i-- > 0; value >>= 8)
		addr.bytes[i] = (uint8_t)value;
	return addr;
}

/** The highest address of a family. */
static inline ms_u128 number_max(enum ms_ip ip)
{
	return ip == MS_IP4 ? (ms_u128)UINT32_MAX : ~(ms_u128)0;
}
