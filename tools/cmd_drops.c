/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "commands.h"
#include "microseg/cleanup.h"
#include "microseg/event.h"

#define FOLLOW_LAST 10 /* lines of before that -f begins with, as tail does */

static int parse_ago(const char *text, uint64_t now_ms, uint64_t *ret_ms)
{
	static const struct {
		char unit;
		uint64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (end == text || end[0] != units[i].unit || end[1] || n > now_ms / units[i].ms)
			continue;
		*ret_ms = now_ms - n * units[i].ms;
		return 0;
	}
	return -EINVAL;
}

static int parse_rfc3339(const char *text, uint64_t *ret_ms)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	double fraction = 0;
	char *end;

	if (!rest)
		return -EINVAL;
	if (*rest == '.') {
		fraction = strtod(rest, &end);
		rest = end;
	}
	/* %z reads +hh:mm, -hhmm and Z; timegm() leaves the offset to us. */
	struct tm offset = {0};
	const char *last = strptime(rest, "%z", &offset);
	time_t seconds = timegm(&tm) - offset.tm_gmtoff;
	if (!last || *last || seconds < 0)
		return -EINVAL;
	*ret_ms = (uint64_t)seconds * 1000 + (uint64_t)(fraction * 1000);
	return 0;
}

static int make_query(const struct cli *cli, struct ms_str *path)
{
	const char *since = cli->values[CLI_SINCE], *reason = cli->values[CLI_REASON],
		   *service = cli->values[CLI_SERVICE];
	uint64_t since_ms = 0;

	if (since && parse_ago(since, (uint64_t)time(NULL) * 1000, &since_ms) < 0 &&
	    parse_rfc3339(since, &since_ms) < 0) {
		cli_fail(cli, "--since %s: expected 90s, 10m, 2h, 1d, or 2026-01-31T12:00:00Z",
			 since);
		return -EINVAL;
	}
	if (reason && ms_reason_parse(reason) == MS_REASON_NONE) {
		cli_fail(
			cli,
			"--reason %s: no such reason; for example no-grant, fence, unidentified, spoof",
			reason);
		return -EINVAL;
	}
	ms_str_addf(path, "/v1/drops?since=%" PRIu64, since_ms);
	if (reason)
		ms_str_addf(path, "&reason=%s", reason);
	if (service) {
		ms_str_add(path, "&service=");
		client_escape(path, service);
	}
	if (cli_has(cli, CLI_FOLLOW)) {
		ms_str_add(path, "&follow=1");
		if (!since)
			ms_str_addf(path, "&last=%d", FOLLOW_LAST);
	}
	return 0;
}

static void print_lost(const char *line)
{
	json_t *json = json_loads(line, 0, NULL);
	json_int_t lost = 0;
	const char *time = "";

	if (json_unpack(json, "{s:s, s:I}", "time", &time, "lost", &lost) == 0)
		printf("%s  %" JSON_INTEGER_FORMAT " refused packets were not logged\n", time,
		       lost);
	json_decref(json);
}

static void on_line(const char *line, void *userdata)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	const struct cli *cli = userdata;
	struct ms_event event;

	if (cli->output == CLI_JSON) {
		puts(line);
	} else if (ms_event_parse(line, &event) < 0) {
		print_lost(line);
	} else {
		ms_event_text(&event, cli->color, &text);
		fputs(text.text ? text.text : "", stdout);
	}
	if (cli_has(cli, CLI_FOLLOW))
		fflush(stdout);
}

int cmd_drops(struct cli *cli)
{
	_cleanup_(ms_str_fini) struct ms_str path = {0};

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'", cli->words.items[0]);
	if (make_query(cli, &path) < 0)
		return CLI_UNANSWERED;
	if (path.failed)
		return cli_fail(cli, "out of memory");
	if (client_lines(cli, path.text, on_line, cli) < 0)
		return CLI_UNANSWERED;
	if (cli_has(cli, CLI_FOLLOW))
		return cli_fail(cli, "microsegd ended the stream");
	return CLI_OK;
}
