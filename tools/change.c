/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "diff_print.h"
#include "load.h"
#include "microseg/cleanup.h"
#include "running.h"
#include "summary.h"
#include "times.h"

#define MAX_CUTS 20 /* lines; more are counted */

/* One policy with the inventory of now, as it identifies it. */
struct side {
	struct ms_loaded *loaded;
	struct ms_inventory *inventory;
};

static void side_fini(struct side *side)
{
	ms_loaded_free(side->loaded);
	ms_inventory_free(side->inventory);
}

static int show_flows(const struct cli *cli, const struct side *before,
		      const struct ms_loaded *after, json_t *report)
{
	static const struct ms_policy nothing; /* grants nothing, enforces */
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(ms_str_fini) struct ms_str text = {0}, lines = {0};
	const struct ms_policy *was = before->loaded ? before->loaded->policy : &nothing;
	struct change_report change = {0};
	int r = load_inventory(cli, after->policy, false, &inventory);

	if (r < 0)
		return r;
	const struct ms_matrix_view from = {was, before->inventory},
				    to = {after->policy, inventory};
	r = ms_flow_diff_make(&from, &to, time(NULL), &change.flows);
	if (r < 0)
		return r;
	json_object_set_new(report, "diff", diff_json(&change));
	diff_print_text(&change, cli->color, &text);
	size_t n = change.flows.n_gains + change.flows.n_losses;
	ms_flow_diff_fini(&change.flows);
	if (cli->output != CLI_TEXT)
		return 0;
	if (!before->loaded)
		puts("No policy is in force on this node yet. This one arms it; compared with nothing at all:");
	fputs(text.text ? text.text : "", stdout);
	if (n > 0 || !before->loaded)
		return 0;
	/* Not a flow, but a word: a resolver, a refusal, a label. */
	r = summary_diff(was, after->policy, &lines);
	if (r > 0)
		fputs(lines.text, stdout);
	return r < 0 ? r : 0;
}

/* The first policy brings connection tracking with it where nobody else did. */
static const char first_time[] =
	"Connections that the kernel has not tracked so far are in no list yet: once the policy is in "
	"force, `microseg drops` tells which of them it refuses.";

static void print_cuts(const json_t *plan, bool first)
{
	json_int_t n = json_integer_value(json_object_get(plan, "connections")), shown = 0;
	const json_t *list = json_object_get(plan, "cut"), *line;
	size_t i;

	if (n == 0)
		puts(first ? "No tracked connection is cut." : "No open connection is cut.");
	if (first)
		puts(first_time);
	if (n == 0)
		return;
	printf("Cuts %" JSON_INTEGER_FORMAT " open connection%s:\n", n, n == 1 ? "" : "s");
	json_array_foreach(list, i, line)
	{
		const char *src = "", *dst = "", *port = "", *from = "", *to = "";
		json_int_t count = 0;

		if (i == MAX_CUTS)
			break;
		json_unpack((json_t *)line, "{s:s, s:s, s:s, s:I, s:{s:s, s:s}}", "src", &src,
			    "dst", &dst, "port", &port, "connections", &count, "example", "src",
			    &from, "dst", &to);
		printf("x %s -> %s %s", src, dst, port);
		if (count > 1)
			printf(", %" JSON_INTEGER_FORMAT " of them, such as", count);
		printf(" (%s -> %s)\n", from, to);
		shown += count;
	}
	if (shown < n)
		printf("x and %" JSON_INTEGER_FORMAT " more\n", n - shown);
}

int change_show(const struct cli *cli, const struct ms_loaded *loaded, const char *body,
		json_t **ret_report)
{
	_cleanup_(side_fini) struct side before = {0};
	_cleanup_(json_decrefp) json_t *plan = NULL, *report = json_object();
	int r = running_policy(cli, &before.loaded);

	if (r == 0)
		r = load_inventory(cli, before.loaded ? before.loaded->policy : loaded->policy,
				   false, &before.inventory);
	if (r == 0)
		r = client_json(cli, "/v1/plan", body, &plan);
	if (r < 0)
		return r;
	r = show_flows(cli, &before, loaded, report);
	if (r < 0) {
		cli_fail(cli, "the policies cannot be compared: %s", strerror(-r));
		return r;
	}
	if (cli->output == CLI_TEXT)
		print_cuts(plan, !before.loaded);
	json_object_del(plan, "generation");
	json_object_set(report, "cuts", plan);
	*ret_report = ms_steal(&report);
	return 0;
}

static void say_trial(const json_t *trial)
{
	char end[TIMES_TEXT_SIZE];

	printf("It gives way again at %s, unless somebody says: microseg confirm\n",
	       times_format_end((time_t)json_integer_value(json_object_get(trial, "until")),
				time(NULL), end));
}

static void say_done(const json_t *reply)
{
	const char *state = "";
	json_int_t generation = 0, rollback_of = 0;

	json_unpack((json_t *)reply, "{s:s, s:I, s?I}", "state", &state, "generation", &generation,
		    "rollback_of", &rollback_of);
	printf("%s: generation %" JSON_INTEGER_FORMAT, state, generation);
	if (rollback_of)
		printf(", which is %" JSON_INTEGER_FORMAT " again", rollback_of);
	puts("");
	if (json_is_object(json_object_get(reply, "trial")))
		say_trial(json_object_get(reply, "trial"));
	if (strcmp(state, "off") == 0)
		puts("The node is off: the policy is remembered and enforced after `microseg on`.");
}

int change_send(const struct cli *cli, const char *path, json_t *body, const json_t *report)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	time_t seconds = 0;

	if (cli_has(cli, CLI_CONFIRM)) {
		if (times_parse(cli, CLI_CONFIRM, &seconds) < 0)
			return CLI_UNANSWERED;
		json_object_set_new(body, "confirm", json_integer((json_int_t)seconds));
	}
	_cleanup_(freep) char *text = json_dumps(body, JSON_COMPACT);
	if (!text)
		return cli_fail(cli, "out of memory");
	if (client_json(cli, path, text, &reply) < 0)
		return CLI_UNANSWERED;
	if (cli->output == CLI_JSON) {
		json_object_update_missing(reply, (json_t *)report);
		return cli_print_json(cli, ms_steal(&reply));
	}
	say_done(reply);
	return CLI_OK;
}
