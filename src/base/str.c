/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/str.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ms_str_fini(struct ms_str *str)
{
	free(str->text);
	*str = (struct ms_str){0};
}

static bool str_reserve(struct ms_str *str, size_t extra)
{
	if (str->failed)
		return false;
	if (extra >= SIZE_MAX / 4 - str->len)
		goto failed;

	size_t need = str->len + extra + 1;
	if (need <= str->size)
		return true;

	size_t size = str->size ? str->size : 128;
	while (size < need)
		size *= 2;
	char *text = realloc(str->text, size);
	if (!text)
		goto failed;
	str->text = text;
	str->size = size;
	return true;

failed:
	str->failed = true;
	return false;
}

char *ms_str_steal(struct ms_str *str)
{
	if (!str_reserve(str, 0)) {
		ms_str_fini(str);
		return NULL;
	}
	str->text[str->len] = '\0';
	char *text = str->text;
	*str = (struct ms_str){0};
	return text;
}

void ms_str_add_len(struct ms_str *str, const char *bytes, size_t len)
{
	if (!str_reserve(str, len))
		return;
	memcpy(str->text + str->len, bytes, len);
	str->len += len;
	str->text[str->len] = '\0';
}

void ms_str_add(struct ms_str *str, const char *text)
{
	ms_str_add_len(str, text, strlen(text));
}

void ms_str_add_char(struct ms_str *str, char c)
{
	ms_str_add_len(str, &c, 1);
}

void ms_str_addv(struct ms_str *str, const char *format, va_list args)
{
	va_list again;

	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, args);
	if (len < 0)
		str->failed = true;
	else if (str_reserve(str, (size_t)len)) {
		vsnprintf(str->text + str->len, (size_t)len + 1, format, again);
		str->len += (size_t)len;
	}
	va_end(again);
}

void ms_str_addf(struct ms_str *str, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	ms_str_addv(str, format, args);
	va_end(args);
}

/* Length of the valid UTF-8 sequence at @s, and its code point; 0 when it is not valid. */
static size_t utf8_decode(const unsigned char *s, uint32_t *ret_code)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80	     ? 1
		     : (s[0] & 0xe0) == 0xc0 ? 2
		     : (s[0] & 0xf0) == 0xe0 ? 3
		     : (s[0] & 0xf8) == 0xf0 ? 4
					     : 0;
	if (len <= 1) {
		*ret_code = s[0];
		return len;
	}
	uint32_t code = s[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < lowest[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return len;
}

static bool is_unsafe(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
	       code == 0xfeff || code == 0x061c;
}

size_t ms_str_add_visible_char(struct ms_str *str, const char *text, size_t *ret_columns)
{
	const unsigned char *s = (const unsigned char *)text;
	uint32_t code = 0;
	size_t len = utf8_decode(s, &code), size = len ? len : 1;

	*ret_columns = 1;
	if (len == 0 || is_unsafe(code)) {
		for (size_t i = 0; i < size; i++)
			ms_str_addf(str, "\\x%02x", s[i]);
		*ret_columns = 4 * size;
	} else {
		ms_str_add_len(str, text, len);
	}
	return size;
}

void ms_str_add_visible(struct ms_str *str, const char *text)
{
	size_t columns;

	while (*text)
		text += ms_str_add_visible_char(str, text, &columns);
}

void ms_str_add_safe(struct ms_str *str, const char *text)
{
	size_t columns;

	while (*text) {
		if (*text == '\\')
			ms_str_add_char(str, '\\');
		text += ms_str_add_visible_char(str, text, &columns);
	}
}
