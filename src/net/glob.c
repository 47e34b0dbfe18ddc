/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/net.h"

#include <string.h>

/*
 * Matches one character against the pattern item at @pattern, and gives the item's length. A '['
 * without its ']' is an ordinary character; so is a ']' or '-' that comes first in a class.
 */
static bool class_match(const char *pattern, char c, size_t *ret_len)
{
	const unsigned char *at = (const unsigned char *)pattern + 1, value = (unsigned char)c;
	bool negate = *at == '!' || *at == '^', found = false;
	const unsigned char *first = negate ? ++at : at;

	for (; *at && (*at != ']' || at == first); at++) {
		unsigned char low = *at, high = low;

		if (at[1] == '-' && at[2] && at[2] != ']') {
			high = at[2];
			at += 2;
		}
		found = found || (low <= value && value <= high);
	}
	if (!*at) {
		*ret_len = 1;
		return c == '[';
	}
	*ret_len = (size_t)(at + 1 - (const unsigned char *)pattern);
	return found != negate;
}

static bool item_match(const char *pattern, char c, size_t *ret_len)
{
	*ret_len = 1;
	if (*pattern == '?')
		return true;
	if (*pattern == '[')
		return class_match(pattern, c, ret_len);
	if (*pattern == '\\' && pattern[1]) {
		*ret_len = 2;
		return pattern[1] == c;
	}
	return *pattern == c;
}

/* Only the last '*' is ever widened: an earlier one that matched less can't make a later part match
 * sooner. */
bool ms_glob_match(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;

	while (*text) {
		size_t len = 0;

		if (*pattern == '*') {
			star = ++pattern;
			retry = text;
		} else if (*pattern && item_match(pattern, *text, &len)) {
			pattern += len;
			text++;
		} else if (star) {
			pattern = star;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}
