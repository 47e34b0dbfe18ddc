/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "table.h"

#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"

#define MAX_COLUMNS 16
#define MAX_WIDTH 48 /* a longer text stands out of its column, and moves no other row's */

int table_init(struct table *table, size_t n_columns, const char *const *heading)
{
	*table = (struct table){.arena = ms_arena_new(), .n_columns = n_columns};
	if (!table->arena)
		return -ENOMEM;
	for (size_t i = 0; i < n_columns; i++)
		table_add(table, heading[i]);
	return 0;
}

void table_fini(struct table *table)
{
	ms_arena_free(table->arena);
	*table = (struct table){0};
}

void table_add(struct table *table, const char *text)
{
	_cleanup_(ms_str_fini) struct ms_str safe = {0};

	ms_str_add_safe(&safe, text && *text ? text : "-");
	const char *cell = ms_arena_strdup(table->arena, safe.text);
	(void)!ms_avec_push(table->arena, &table->cells, cell ? cell : "?");
}

/* Characters, not bytes: a continuation byte takes no room. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void trim_blanks(struct ms_str *out)
{
	while (out->len > 0 && out->text[out->len - 1] == ' ')
		out->text[--out->len] = '\0';
}

void table_print(const struct table *table, struct ms_str *out)
{
	size_t widths[MAX_COLUMNS] = {0};

	for (size_t i = 0; i < table->cells.n_items; i++) {
		size_t column = i % table->n_columns, n = width(table->cells.items[i]);

		if (n > widths[column] && n <= MAX_WIDTH)
			widths[column] = n;
	}
	for (size_t i = 0; i < table->cells.n_items; i++) {
		size_t column = i % table->n_columns;

		ms_str_add(out, table->cells.items[i]);
		if (column + 1 == table->n_columns) {
			trim_blanks(out);
			ms_str_add_char(out, '\n');
			continue;
		}
		for (size_t n = width(table->cells.items[i]); n < widths[column]; n++)
			ms_str_add_char(out, ' ');
		ms_str_add(out, "  ");
	}
}
