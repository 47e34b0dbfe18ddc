/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/net.h"

#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "number.h"

/* Ranges of one family as numbers: interval arithmetic is plain arithmetic. */
struct span {
	ms_u128 first, last;
};

typedef MS_VEC(struct span) span_vec;

static void span_vec_fini(span_vec *spans)
{
	ms_vec_fini(spans);
}

bool ms_range_contains(const struct ms_range *range, const struct ms_addr *addr)
{
	return addr->ip == range->first.ip && ms_addr_compare(&range->first, addr) <= 0 &&
	       ms_addr_compare(addr, &range->last) <= 0;
}

bool ms_range_prefix(const struct ms_range *range, struct ms_prefix *ret_prefix)
{
	struct ms_prefix prefix = {.addr = range->first, .len = 0};
	ms_u128 differ = number_of_addr(&range->first) ^ number_of_addr(&range->last);
	uint8_t host_bits = 0;

	for (; differ; differ >>= 1)
		host_bits++;
	prefix.len = (uint8_t)(ms_addr_size(range->first.ip) * 8 - host_bits);

	struct ms_range whole = ms_prefix_range(&prefix);
	if (!ms_addr_equal(&whole.first, &range->first) ||
	    !ms_addr_equal(&whole.last, &range->last))
		return false;
	*ret_prefix = prefix;
	return true;
}

/* Each step takes the biggest aligned block that starts at @first and does not reach beyond the
 * end. */
int ms_range_split(struct ms_arena *arena, const struct ms_range *range, ms_prefix_vec *prefixes)
{
	enum ms_ip ip = range->first.ip;
	uint8_t width = (uint8_t)(ms_addr_size(ip) * 8);
	ms_u128 first = number_of_addr(&range->first), last = number_of_addr(&range->last);

	for (;;) {
		uint8_t host_bits = 0;
		ms_u128 mask = 0;

		while (host_bits < width) {
			ms_u128 wider = mask << 1 | 1;

			if ((first & wider) || (first | wider) > last)
				break;
			mask = wider;
			host_bits++;
		}
		struct ms_prefix prefix = {addr_of_number(ip, first), (uint8_t)(width - host_bits)};
		if (ms_avec_push(arena, prefixes, prefix) < 0)
			return -ENOMEM;
		if ((first | mask) >= last)
			return 0;
		first = (first | mask) + 1;
	}
}

static int compare_spans(const void *left, const void *right)
{
	const struct span *a = left, *b = right;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return (a->last > b->last) - (a->last < b->last);
}

/* Sorts and merges what overlaps or touches, in place. */
static void spans_merge(span_vec *spans)
{
	size_t n = 0;

	ms_vec_sort(spans, compare_spans);
	for (size_t i = 0; i < spans->n_items; i++) {
		struct span *next = &spans->items[i], *last = n ? &spans->items[n - 1] : NULL;

		if (last && (next->first <= last->last || next->first - 1 == last->last)) {
			if (next->last > last->last)
				last->last = next->last;
		} else {
			spans->items[n++] = *next;
		}
	}
	spans->n_items = n;
}

static int spans_collect(const ms_prefix_vec *prefixes, enum ms_ip ip, span_vec *spans)
{
	ms_vec_each (struct ms_prefix, prefix, prefixes) {
		struct ms_range range = ms_prefix_range(prefix);
		struct span span = {number_of_addr(&range.first), number_of_addr(&range.last)};

		if (prefix->addr.ip == ip && ms_vec_push(spans, span) < 0)
			return -ENOMEM;
	}
	spans_merge(spans);
	return 0;
}

static int range_push(struct ms_arena *arena, enum ms_ip ip, ms_u128 first, ms_u128 last,
		      ms_range_vec *ranges)
{
	struct ms_range range = {addr_of_number(ip, first), addr_of_number(ip, last)};

	return ms_avec_push(arena, ranges, range);
}

/* Both inputs are sorted and disjoint, so one walk over the holes serves all spans. */
static int spans_subtract(struct ms_arena *arena, enum ms_ip ip, const span_vec *spans,
			  const span_vec *holes, ms_range_vec *ranges)
{
	size_t h = 0;
	int r = 0;

	for (size_t i = 0; i < spans->n_items && r == 0; i++) {
		struct span rest = spans->items[i];
		bool left = true;

		while (h < holes->n_items && holes->items[h].last < rest.first)
			h++;
		for (size_t j = h; left && r == 0 && j < holes->n_items; j++) {
			const struct span *hole = &holes->items[j];

			if (hole->first > rest.last)
				break;
			if (hole->first > rest.first)
				r = range_push(arena, ip, rest.first, hole->first - 1, ranges);
			left = hole->last < rest.last;
			if (left)
				rest.first = hole->last + 1;
		}
		if (left && r == 0)
			r = range_push(arena, ip, rest.first, rest.last, ranges);
	}
	return r;
}

int ms_ranges_build(struct ms_arena *arena, const ms_prefix_vec *prefixes,
		    const ms_prefix_vec *excepts, ms_range_vec *ranges)
{
	static const enum ms_ip families[] = {MS_IP4, MS_IP6};

	for (size_t i = 0; i < 2; i++) {
		_cleanup_(span_vec_fini) span_vec spans = {0};
		_cleanup_(span_vec_fini) span_vec holes = {0};
		int r = spans_collect(prefixes, families[i], &spans);

		if (r == 0 && excepts)
			r = spans_collect(excepts, families[i], &holes);
		if (r == 0)
			r = spans_subtract(arena, families[i], &spans, &holes, ranges);
		if (r < 0)
			return r;
	}
	return 0;
}

bool ms_ranges_contain(const ms_range_vec *ranges, const struct ms_addr *addr)
{
	size_t low = 0, high = ranges->n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ms_range *range = &ranges->items[middle];

		if (ms_range_contains(range, addr))
			return true;
		if (ms_addr_compare(addr, &range->first) < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}
