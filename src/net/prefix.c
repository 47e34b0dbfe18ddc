/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

static uint8_t addr_bits(const struct ms_addr *addr)
{
	return (uint8_t)(ms_addr_size(addr->ip) * 8);
}

/* All bits behind the first @len. A shift by the full width is undefined, hence the test. */
static ms_u128 host_mask(enum ms_ip ip, uint8_t len)
{
	return len >= 128 ? 0 : number_max(ip) & (number_max(ip) >> len);
}

int ms_prefix_parse(const char *text, struct ms_prefix *ret_prefix)
{
	char addr_text[MS_ADDR_TEXT_SIZE];
	const char *slash = strchr(text, '/');
	size_t addr_len = slash ? (size_t)(slash - text) : strlen(text);
	struct ms_prefix prefix = {0};
	uint32_t len;

	if (addr_len >= sizeof(addr_text))
		return -EINVAL;
	memcpy(addr_text, text, addr_len);
	addr_text[addr_len] = '\0';
	if (ms_addr_parse(addr_text, &prefix.addr) < 0)
		return -EINVAL;

	prefix.len = addr_bits(&prefix.addr);
	if (slash) {
		const char *at = slash + 1;

		if (number_read(&at, prefix.len, &len) < 0 || *at != '\0')
			return -EINVAL;
		prefix.len = (uint8_t)len;
	}
	if (number_of_addr(&prefix.addr) & host_mask(prefix.addr.ip, prefix.len))
		return -EDOM;
	*ret_prefix = prefix;
	return 0;
}

struct ms_range ms_prefix_range(const struct ms_prefix *prefix)
{
	ms_u128 mask = host_mask(prefix->addr.ip, prefix->len);
	ms_u128 first = number_of_addr(&prefix->addr) & ~mask;

	return (struct ms_range){
		.first = addr_of_number(prefix->addr.ip, first),
		.last = addr_of_number(prefix->addr.ip, first | mask),
	};
}

bool ms_prefix_contains(const struct ms_prefix *prefix, const struct ms_addr *addr)
{
	struct ms_range range = ms_prefix_range(prefix);

	return ms_range_contains(&range, addr);
}

bool ms_prefix_is_addr(const struct ms_prefix *prefix)
{
	return prefix->len >= addr_bits(&prefix->addr);
}

int ms_prefix_compare(const struct ms_prefix *a, const struct ms_prefix *b)
{
	int r = ms_addr_compare(&a->addr, &b->addr);

	return r ? r : (a->len > b->len) - (a->len < b->len);
}

const char *ms_prefix_format(const struct ms_prefix *prefix, char text[MS_ADDR_TEXT_SIZE + 4])
{
	char addr_text[MS_ADDR_TEXT_SIZE];

	snprintf(text, MS_ADDR_TEXT_SIZE + 4, "%s/%u", ms_addr_format(&prefix->addr, addr_text),
		 prefix->len);
	return text;
}
