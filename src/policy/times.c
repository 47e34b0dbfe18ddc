/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "policy/schema.h"

/* Reads @n digits as a number of at most @max. */
static bool read_digits(const char **at, size_t n, int min, int max, int *ret_value)
{
	int value = 0;

	for (; n > 0; n--, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		value = value * 10 + (**at - '0');
	}
	*ret_value = value;
	return value >= min && value <= max;
}

static bool read_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

/* Days since 1970-01-01. timegm(3) would read the time zone out of the environment. */
static int64_t days_since_epoch(int year, int month, int day)
{
	int64_t days = 0;

	for (int y = 1970; y < year; y++)
		days += 337 + days_in_month(y, 2);
	for (int m = 1; m < month; m++)
		days += days_in_month(year, m);
	return days + day - 1;
}

static bool read_offset(const char **at, int *ret_seconds)
{
	int hours, minutes, sign = **at == '-' ? -1 : 1;

	*ret_seconds = 0;
	if (read_char(at, 'Z'))
		return true;
	if (!read_char(at, '+') && !read_char(at, '-'))
		return false;
	if (!read_digits(at, 2, 0, 23, &hours) || !read_char(at, ':') ||
	    !read_digits(at, 2, 0, 59, &minutes))
		return false;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

int ms_time_parse(const char *text, time_t *ret_time)
{
	int year, month, day, hour, minute, second, offset;
	const char *at = text;

	if (!read_digits(&at, 4, 1970, 9999, &year) || !read_char(&at, '-') ||
	    !read_digits(&at, 2, 1, 12, &month) || !read_char(&at, '-') ||
	    !read_digits(&at, 2, 1, days_in_month(year, month), &day) || !read_char(&at, 'T') ||
	    !read_digits(&at, 2, 0, 23, &hour) || !read_char(&at, ':') ||
	    !read_digits(&at, 2, 0, 59, &minute) || !read_char(&at, ':') ||
	    !read_digits(&at, 2, 0, 59, &second) || !read_offset(&at, &offset) || *at)
		return -EINVAL;
	*ret_time = (time_t)(days_since_epoch(year, month, day) * 86400 + hour * 3600 +
			     minute * 60 + second - offset);
	return 0;
}

int ms_duration_parse(const char *text, time_t *ret_seconds)
{
	static const struct {
		char unit;
		time_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
	time_t value = 0;
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 9 || strlen(text) != n + 1)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		value = value * 10 + (text[i] - '0');
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (text[n] != units[i].unit || value == 0)
			continue;
		*ret_seconds = value * units[i].seconds;
		return 0;
	}
	return -EINVAL;
}
