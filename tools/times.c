/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "times.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/schema.h"

#define MINUTE 60
#define HOUR 3600
#define DAY 86400

int times_parse(const struct cli *cli, enum cli_flag flag, time_t *ret_seconds)
{
	const char *text = cli->values[flag];

	if (text && ms_duration_parse(text, ret_seconds) == 0)
		return 0;
	cli_fail(cli, "'%s' is no duration: expected 90s, 30m, 2h, 7d or 1w", text ? text : "");
	return -EINVAL;
}

const char *times_format(time_t at, char text[TIMES_TEXT_SIZE])
{
	struct tm tm;

	if (!gmtime_r(&at, &tm) || strftime(text, TIMES_TEXT_SIZE, "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
		snprintf(text, TIMES_TEXT_SIZE, "?");
	return text;
}

const char *times_format_length(time_t seconds, char text[TIMES_TEXT_SIZE])
{
	int s = (int)(seconds < 0 ? 0 : seconds);

	if (s < 2 * MINUTE)
		snprintf(text, TIMES_TEXT_SIZE, "%ds", s);
	else if (s < 2 * HOUR)
		snprintf(text, TIMES_TEXT_SIZE, "%dm", s / MINUTE);
	else if (s < 2 * DAY)
		snprintf(text, TIMES_TEXT_SIZE, "%dh%02dm", s / HOUR, s % HOUR / MINUTE);
	else
		snprintf(text, TIMES_TEXT_SIZE, "%dd%02dh", s / DAY, s % DAY / HOUR);
	return text;
}

const char *times_format_end(time_t at, time_t now, char text[TIMES_TEXT_SIZE])
{
	char moment[TIMES_TEXT_SIZE], length[TIMES_TEXT_SIZE];

	snprintf(text, TIMES_TEXT_SIZE, "%.24s, %s%.16s", times_format(at, moment),
		 at > now ? "in " : "now, since ",
		 times_format_length(at > now ? at - now : now - at, length));
	return text;
}
