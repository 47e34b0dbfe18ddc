/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "matrix_ranges.h"

#include <errno.h>
#include <string.h>

int matrix_ranges_compare(const ms_range_vec *a, const ms_range_vec *b)
{
	for (size_t i = 0; i < a->n_items && i < b->n_items; i++) {
		int r = ms_addr_compare(&a->items[i].first, &b->items[i].first);

		if (r == 0)
			r = ms_addr_compare(&a->items[i].last, &b->items[i].last);
		if (r)
			return r;
	}
	return (a->n_items > b->n_items) - (a->n_items < b->n_items);
}

bool matrix_ranges_equal(const ms_range_vec *a, const ms_range_vec *b)
{
	return a->n_items == b->n_items && matrix_ranges_compare(a, b) == 0;
}

int matrix_ranges_split(struct ms_arena *arena, const ms_range_vec *ranges, ms_prefix_vec *prefixes)
{
	ms_vec_each (const struct ms_range, range, ranges)
		if (ms_range_split(arena, range, prefixes) < 0)
			return -ENOMEM;
	return 0;
}

int matrix_ranges_missing(struct ms_arena *arena, const ms_range_vec *whole,
			  const ms_range_vec *part, ms_prefix_vec *ret_prefixes)
{
	ms_prefix_vec all = {0}, holes = {0}, left = {0};
	ms_range_vec ranges = {0};
	int r = matrix_ranges_split(arena, whole, &all);

	if (r == 0)
		r = matrix_ranges_split(arena, part, &holes);
	if (r == 0)
		r = ms_ranges_build(arena, &all, &holes, &ranges);
	if (r == 0)
		r = matrix_ranges_split(arena, &ranges, &left);
	if (r == 0)
		*ret_prefixes = left;
	return r;
}

void matrix_prefixes_print(const ms_prefix_vec *prefixes, const char *before, struct ms_str *out)
{
	char text[MS_ADDR_TEXT_SIZE + 4];

	ms_vec_each (const struct ms_prefix, prefix, prefixes) {
		ms_str_add(out, prefix == prefixes->items ? before : ", ");
		ms_str_add(out, ms_prefix_format(prefix, text));
	}
}

/* Returns false behind the last address. */
static bool step(struct ms_addr *addr, bool up)
{
	for (size_t i = ms_addr_size((enum ms_ip)addr->ip); i-- > 0;) {
		addr->bytes[i] = (uint8_t)(addr->bytes[i] + (up ? 1 : -1));
		if (addr->bytes[i] != (up ? 0x00 : 0xff))
			return true;
	}
	return false;
}

int matrix_starts_add(struct ms_arena *arena, const ms_range_vec *ranges, ms_addr_vec *starts)
{
	int r = 0;

	for (size_t i = 0; i < ranges->n_items && r == 0; i++) {
		struct ms_addr behind = ranges->items[i].last;

		r = ms_avec_push(arena, starts, ranges->items[i].first);
		if (r == 0 && step(&behind, true))
			r = ms_avec_push(arena, starts, behind);
	}
	return r;
}

static int compare_addrs(const void *left, const void *right)
{
	return ms_addr_compare(left, right);
}

void matrix_starts_settle(ms_addr_vec *starts)
{
	size_t n = 0;

	ms_vec_sort(starts, compare_addrs);
	for (size_t i = 0; i < starts->n_items; i++)
		if (n == 0 || !ms_addr_equal(&starts->items[n - 1], &starts->items[i]))
			starts->items[n++] = starts->items[i];
	starts->n_items = n;
}

/* It ends where the next one begins, or else with its family. */
struct ms_range matrix_zone(const ms_addr_vec *starts, size_t at)
{
	struct ms_range zone = {starts->items[at], starts->items[at]};
	const struct ms_addr *next = at + 1 < starts->n_items ? &starts->items[at + 1] : NULL;

	if (next && next->ip == zone.first.ip) {
		zone.last = *next;
		step(&zone.last, false);
	} else {
		memset(zone.last.bytes, 0xff, ms_addr_size((enum ms_ip)zone.last.ip));
	}
	return zone;
}
