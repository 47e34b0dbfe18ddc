/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Matrix ranges: sets of outside addresses, and the zones that several of them make.
 */
#pragma once

#include "microseg/net.h"

bool matrix_ranges_equal(const ms_range_vec *a, const ms_range_vec *b);
/** Orders by addresses, the shorter one of two that begin alike first. */
int matrix_ranges_compare(const ms_range_vec *a, const ms_range_vec *b);
/** What @whole covers and @part does not, as prefixes. Returns 0 or -ENOMEM. */
int matrix_ranges_missing(struct ms_arena *arena, const ms_range_vec *whole,
			  const ms_range_vec *part, ms_prefix_vec *ret_prefixes);
/** Appends @ranges as prefixes. Returns 0 or -ENOMEM. */
int matrix_ranges_split(struct ms_arena *arena, const ms_range_vec *ranges,
			ms_prefix_vec *prefixes);
/** Appends ", 10.0.0.0/8, …" to @out; the first one follows @before instead. */
void matrix_prefixes_print(const ms_prefix_vec *prefixes, const char *before, struct ms_str *out);

/** Appends where zones begin because of @ranges. Returns 0 or -ENOMEM. */
int matrix_starts_add(struct ms_arena *arena, const ms_range_vec *ranges, ms_addr_vec *starts);
/** Sorts, and drops what stands twice. */
void matrix_starts_settle(ms_addr_vec *starts);
/** The zone that begins at @starts[@at], provided that some range that was added covers it. */
struct ms_range matrix_zone(const ms_addr_vec *starts, size_t at);
