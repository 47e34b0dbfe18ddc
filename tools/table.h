/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Table: columns for people. Cells are made safe for a terminal; no row ends with blanks.
 */
#pragma once

#include "microseg/arena.h"
#include "microseg/str.h"
#include "microseg/vec.h"

struct table {
	struct ms_arena *arena;
	size_t n_columns;
	MS_VEC(const char *) cells; /* row by row, heading first */
};

/** @heading: @n_columns texts. Returns 0 or -ENOMEM. */
int table_init(struct table *table, size_t n_columns, const char *const *heading);
void table_fini(struct table *table);
/** Adds one cell; rows fill up from the left. NULL and "" show as "-". */
void table_add(struct table *table, const char *text);
void table_print(const struct table *table, struct ms_str *out);
