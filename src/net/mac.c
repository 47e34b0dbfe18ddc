/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNIVERSAL 0x02 /* the bit of a MAC that an interface identifier has the other way round */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int ms_mac_parse(const char *text, struct ms_mac *ret_mac)
{
	struct ms_mac mac;

	if (strlen(text) != MS_MAC_TEXT_SIZE - 1)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(mac.bytes); i++) {
		const char *at = text + i * 3;
		int high = hex_digit(at[0]), low = hex_digit(at[1]);

		if (high < 0 || low < 0 || at[2] != (i == 5 ? '\0' : ':'))
			return -EINVAL;
		mac.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*ret_mac = mac;
	return 0;
}

const char *ms_mac_format(const struct ms_mac *mac, char text[MS_MAC_TEXT_SIZE])
{
	const uint8_t *b = mac->bytes;

	snprintf(text, MS_MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3],
		 b[4], b[5]);
	return text;
}

int ms_mac_compare(const struct ms_mac *a, const struct ms_mac *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

struct ms_addr ms_addr_of_mac(const struct ms_mac *mac)
{
	const uint8_t *m = mac->bytes;

	return (struct ms_addr){
		.ip = MS_IP6,
		.bytes = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ UNIVERSAL, m[1], m[2], 0xff, 0xfe,
			  m[3], m[4], m[5]},
	};
}

bool ms_addr_to_mac(const struct ms_addr *addr, struct ms_mac *ret_mac)
{
	const uint8_t *b = addr->bytes + 8;
	const struct ms_mac mac = {{b[0] ^ UNIVERSAL, b[1], b[2], b[5], b[6], b[7]}};
	struct ms_addr made = ms_addr_of_mac(&mac);

	if (!ms_addr_equal(addr, &made))
		return false;
	*ret_mac = mac;
	return true;
}

bool ms_mac_is_zero(const struct ms_mac *mac)
{
	static const struct ms_mac zero;

	return ms_mac_compare(mac, &zero) == 0;
}
