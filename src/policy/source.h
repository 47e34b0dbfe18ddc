/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source: places in the text of a file, counted as libyaml counts them: columns in characters, and
 * a line ends at LF, CR, CR LF, NEL, LS or PS. Private to this room.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "microseg/policy.h"

/** Byte offset at which line @line (from 0) begins, or the size when there is no such line. */
size_t ms_source_line_start(const char *bytes, size_t size, size_t line);
/** Byte offset of the end of the line that holds @offset, its line break not included. */
size_t ms_source_line_end(const char *bytes, size_t size, size_t offset);
/** Byte offset behind the line break at @offset; @offset when there is none. */
size_t ms_source_break_end(const char *bytes, size_t size, size_t offset);
/** Byte offset of column @column (from 0, in characters) in the line that begins at @start. */
size_t ms_source_column(const char *bytes, size_t size, size_t start, size_t column);
/** Line and column, from 1, of a byte offset. */
void ms_source_place(const char *bytes, size_t size, size_t offset, uint32_t *ret_line,
		     uint32_t *ret_column);
/**
 * A copy of line @line (from 1) for a diagnostic, cut after some hundred bytes; NULL when @line is
 * 0 or not there. The caller frees it with free(3).
 */
char *ms_source_quote(const struct ms_policy_file *file, uint32_t line);
