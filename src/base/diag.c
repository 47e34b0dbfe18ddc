/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/diag.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "microseg/cleanup.h"

#define MAX_WORD 64 /* longer words get no suggestion */

const char *ms_severity_name(enum ms_severity severity)
{
	return severity == MS_ERROR ? "error" : "warning";
}

int ms_diags_init(struct ms_diags *diags)
{
	*diags = (struct ms_diags){.arena = ms_arena_new()};
	return diags->arena ? 0 : -ENOMEM;
}

void ms_diags_fini(struct ms_diags *diags)
{
	ms_arena_free(diags->arena);
	*diags = (struct ms_diags){0};
}

static char *format_message(struct ms_arena *arena, const char *format, va_list args)
{
	struct ms_str text = {0};

	ms_str_addv(&text, format, args);
	char *copy =
		text.failed ? NULL : ms_arena_strndup(arena, text.text ? text.text : "", text.len);
	ms_str_fini(&text);
	return copy;
}

void ms_diags_add(struct ms_diags *diags, enum ms_severity severity, const char *code,
		  const struct ms_origin *at, const char *source_line, const char *hint,
		  const char *format, ...)
{
	va_list args;

	va_start(args, format);
	struct ms_diag diag = {
		.severity = severity,
		.at = *at,
		.code = code,
		.message = format_message(diags->arena, format, args),
		.hint = ms_arena_strdup(diags->arena, hint),
		.source_line = ms_arena_strdup(diags->arena, source_line),
	};
	va_end(args);
	diag.at.file = ms_arena_strdup(diags->arena, at->file);

	if (severity == MS_ERROR)
		diags->n_errors++;
	else
		diags->n_warnings++;
	if (!diag.message || ms_avec_push(diags->arena, &diags->list, diag) < 0)
		diags->out_of_memory = true;
}

static int compare_diags(const void *left, const void *right)
{
	const struct ms_diag *a = left, *b = right;
	int r = strcmp(a->at.file ? a->at.file : "", b->at.file ? b->at.file : "");

	if (r == 0)
		r = (a->at.line > b->at.line) - (a->at.line < b->at.line);
	if (r == 0)
		r = (a->at.column > b->at.column) - (a->at.column < b->at.column);
	return r ? r : strcmp(a->message, b->message);
}

/*
 * The source line, with what could deceive a terminal escaped, and below it the marker: blanks up
 * to the column (tabs kept, so that it lines up), ^ and ~~~, as wide as what stands above. Columns
 * count characters.
 */
static void print_source(const struct ms_diag *diag, struct ms_str *out)
{
	_cleanup_(ms_str_fini) struct ms_str marker = {0};
	uint32_t at = 1, end = diag->at.column + (diag->at.width ? diag->at.width : 1);
	size_t columns;

	for (const char *c = diag->source_line; *c; at++) {
		bool tab = *c == '\t';

		if (tab) {
			ms_str_add_char(out, '\t');
			columns = 1;
			c++;
		} else {
			c += ms_str_add_visible_char(out, c, &columns);
		}
		if (at < diag->at.column && tab)
			ms_str_add_char(&marker, '\t');
		for (size_t i = 0; i < columns && at < end && !(tab && at < diag->at.column); i++)
			ms_str_add_char(&marker, at < diag->at.column		   ? ' '
						 : at == diag->at.column && i == 0 ? '^'
										   : '~');
	}
	if (at <= diag->at.column)
		ms_str_add_char(&marker, '^'); /* behind the line: something is missing there */
	ms_str_addf(out, "\n      | %s", marker.text ? marker.text : "");
}

static void print_diag(const struct ms_diag *diag, struct ms_str *out, bool color)
{
	const char *on = !color ? "" : diag->severity == MS_ERROR ? "\033[1;31m" : "\033[1;33m";
	const char *off = color ? "\033[0m" : "";

	if (diag->at.file)
		ms_str_add_visible(out, diag->at.file);
	if (diag->at.line)
		ms_str_addf(out, ":%u:%u", diag->at.line, diag->at.column);
	if (diag->at.file)
		ms_str_add(out, ": ");
	ms_str_addf(out, "%s%s:%s ", on, ms_severity_name(diag->severity), off);
	ms_str_add_visible(out, diag->message);
	ms_str_addf(out, " [%s]\n", diag->code);

	if (diag->source_line && diag->at.line) {
		ms_str_addf(out, "%5u | ", diag->at.line);
		print_source(diag, out);
		if (diag->hint)
			ms_str_add_char(out, ' ');
	} else if (diag->hint) {
		ms_str_add(out, "        ");
	}
	if (diag->hint)
		ms_str_add_visible(out, diag->hint);
	if (diag->hint || (diag->source_line && diag->at.line))
		ms_str_add_char(out, '\n');
}

void ms_diags_sort(struct ms_diags *diags)
{
	ms_vec_sort(&diags->list, compare_diags);
}

void ms_diags_print(struct ms_diags *diags, struct ms_str *out, bool color)
{
	ms_diags_sort(diags);
	ms_vec_each (struct ms_diag, diag, &diags->list)
		print_diag(diag, out, color);
}

/* Optimal string alignment distance: an insertion, deletion, change or swap of neighbours costs 1.
 */
static size_t edit_distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	size_t row[3][MAX_WORD + 1];

	if (n > MAX_WORD || m > MAX_WORD)
		return MAX_WORD;
	for (size_t j = 0; j <= m; j++)
		row[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *now = row[i % 3], *last = row[(i + 2) % 3], *older = row[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    older[j - 2] + 1 < best)
				best = older[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[n % 3][m];
}

const char *ms_nearest_word(const char *word, const char *const *candidates, size_t n_candidates)
{
	size_t limit = strlen(word) < 4 ? 1 : 2;
	const char *nearest = NULL;

	for (size_t i = 0; i < n_candidates; i++) {
		size_t distance = edit_distance(word, candidates[i]);

		if (distance <= limit) {
			nearest = candidates[i];
			limit = distance;
			if (distance == 0)
				break;
			limit = distance - 1;
		}
	}
	return nearest;
}
