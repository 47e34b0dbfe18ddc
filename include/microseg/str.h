/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Str: a growing text with a sticky error.
 *
 * Append without checking, check `failed` once at the end: after a failed append the text is
 * incomplete and every further append does nothing.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct ms_str {
	char *text; /* NUL-terminated once anything was added; NULL before */
	size_t len;
	size_t size;
	bool failed;
};

void ms_str_fini(struct ms_str *str);

/** Hands the text to the caller, who frees it with free(3). An empty str gives "". NULL when an
 * append failed. */
char *ms_str_steal(struct ms_str *str);

void ms_str_add(struct ms_str *str, const char *text);
void ms_str_add_len(struct ms_str *str, const char *bytes, size_t len);
void ms_str_add_char(struct ms_str *str, char c);
void ms_str_addf(struct ms_str *str, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ms_str_addv(struct ms_str *str, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/**
 * Appends @text for a terminal or a log line: control bytes, invalid UTF-8 and the Unicode bidi
 * controls become \xNN, a backslash becomes \\. Use it for every name that comes from a container,
 * a label or a file.
 */
void ms_str_add_safe(struct ms_str *str, const char *text);
/**
 * The same for the eye alone: a backslash stays one. For quoted sources, and for what may have been
 * made safe before.
 */
void ms_str_add_visible(struct ms_str *str, const char *text);
/**
 * The same for the one character at @text, which is not its end. @ret_columns: how many columns of
 * a terminal it takes, one for each character that is not escaped. Returns its bytes.
 */
size_t ms_str_add_visible_char(struct ms_str *str, const char *text, size_t *ret_columns);
