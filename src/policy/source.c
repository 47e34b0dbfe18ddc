/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/source.h"

#include <stdbool.h>
#include <string.h>

#define MAX_QUOTE                                                                                  \
	400 /* bytes: a file of one endless line must not be copied for each of its errors */

/* Bytes of the line break at @offset, 0 when there is none. */
static size_t break_size(const char *bytes, size_t size, size_t offset)
{
	const unsigned char *at = (const unsigned char *)bytes + offset;
	size_t left = size - offset;

	if (left == 0)
		return 0;
	if (at[0] == '\r')
		return left > 1 && at[1] == '\n' ? 2 : 1;
	if (at[0] == '\n')
		return 1;
	if (left > 1 && at[0] == 0xc2 && at[1] == 0x85)
		return 2;
	if (left > 2 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9))
		return 3;
	return 0;
}

/* Bytes of the character at @offset. What is not UTF-8 never gets this far, or counts one each. */
static size_t char_size(const char *bytes, size_t size, size_t offset)
{
	size_t len = 1;

	while (offset + len < size && ((unsigned char)bytes[offset + len] & 0xc0) == 0x80)
		len++;
	return len;
}

size_t ms_source_line_end(const char *bytes, size_t size, size_t offset)
{
	while (offset < size && break_size(bytes, size, offset) == 0)
		offset++;
	return offset;
}

size_t ms_source_break_end(const char *bytes, size_t size, size_t offset)
{
	return offset + break_size(bytes, size, offset);
}

size_t ms_source_line_start(const char *bytes, size_t size, size_t line)
{
	size_t offset = 0;

	for (; line > 0 && offset < size; line--)
		offset = ms_source_break_end(bytes, size, ms_source_line_end(bytes, size, offset));
	return line > 0 ? size : offset;
}

size_t ms_source_column(const char *bytes, size_t size, size_t start, size_t column)
{
	for (; column > 0 && start < size; column--)
		start += char_size(bytes, size, start);
	return start;
}

void ms_source_place(const char *bytes, size_t size, size_t offset, uint32_t *ret_line,
		     uint32_t *ret_column)
{
	size_t start = 0;
	uint32_t line = 1, column = 1;

	for (;;) {
		size_t next =
			ms_source_break_end(bytes, size, ms_source_line_end(bytes, size, start));

		if (next > offset || next >= size)
			break;
		start = next;
		line++;
	}
	while (start < offset && start < size) {
		start += char_size(bytes, size, start);
		column++;
	}
	*ret_line = line;
	*ret_column = column;
}

char *ms_source_quote(const struct ms_policy_file *file, uint32_t line)
{
	if (line == 0)
		return NULL;
	size_t start = ms_source_line_start(file->bytes, file->size, line - 1);
	if (start >= file->size)
		return NULL;
	size_t end = ms_source_line_end(file->bytes, file->size, start);

	if (line == 1 && end - start >= 3 && memcmp(file->bytes, "\xef\xbb\xbf", 3) == 0)
		start += 3;
	if (end - start > MAX_QUOTE)
		end = start + MAX_QUOTE;
	return strndup(file->bytes + start, end - start);
}
