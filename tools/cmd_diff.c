/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "diff_print.h"
#include "load.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"
#include "running.h"

MS_DEFINE_CLEANUP(struct ms_arena *, ms_arena_free)

/* One side: a policy, and the inventory as that policy identifies it. */
struct side {
	struct ms_loaded *loaded; /* NULL: no policy */
	struct ms_inventory *inventory;
	struct ms_ruleset *ruleset;
};

static void side_fini(struct side *side)
{
	ms_loaded_free(side->loaded);
	ms_inventory_free(side->inventory);
	ms_ruleset_free(side->ruleset);
}

static const struct ms_policy *policy_of(const struct side *side)
{
	static const struct ms_policy nothing; /* grants nothing, enforces */

	return side->loaded ? side->loaded->policy : &nothing;
}

/* The policy of --from, or else the one in force on this node. */
static int load_from(const struct cli *cli, struct side *side)
{
	struct cli from = *cli;

	from.policies.items = cli->from.items;
	from.policies.n_items = cli->from.n_items;
	return cli->from.n_items ? load_policy(&from, &side->loaded)
				 : running_policy(cli, &side->loaded);
}

/* What commands added stays whatever is applied; beside another policy it is no part of the
 * question. */
static int load_to(const struct cli *cli, struct side *side)
{
	return cli->from.n_items ? load_policy(cli, &side->loaded)
				 : load_policy_here(cli, &side->loaded);
}

static int compile(const struct cli *cli, struct side *side)
{
	struct ms_compile_options options = ms_config_compile_options(&cli->config);
	const struct ms_policy *policy = side->loaded ? side->loaded->policy : NULL;

	options.now = cli->now;
	return ms_compile(policy, side->inventory, &options, &side->ruleset);
}

static int compare(const struct cli *cli, struct side *from, struct side *to,
		   struct ms_arena *arena, struct change_report *ret_report)
{
	const struct ms_matrix_view before = {policy_of(from), from->inventory};
	const struct ms_matrix_view after = {policy_of(to), to->inventory};
	struct change_report report = {.has_ruleset = cli_has(cli, CLI_RULESET)};
	int r = ms_flow_diff_make(&before, &after, cli->now, &report.flows);

	if (r == 0 && report.has_ruleset)
		r = compile(cli, from);
	if (r == 0 && report.has_ruleset)
		r = compile(cli, to);
	if (r == 0 && report.has_ruleset)
		r = ruleset_diff(arena, from->ruleset, to->ruleset, &report.ruleset);
	*ret_report = report;
	return r;
}

static int print(const struct cli *cli, const struct change_report *report)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (cli->output == CLI_JSON) {
		_cleanup_(json_decrefp) json_t *json = diff_json(report);

		if (!json)
			return -ENOMEM;
		json_dumpf(json, stdout, JSON_COMPACT);
		puts("");
		return 0;
	}
	diff_print_text(report, cli->color, &text);
	if (text.failed)
		return -ENOMEM;
	fputs(text.text ? text.text : "", stdout);
	return 0;
}

/* With --fail-on-… only what they name is a "no"; without, any difference is. */
static int answer(const struct cli *cli, const struct change_report *report)
{
	bool gain = cli_has(cli, CLI_FAIL_ON_GAIN), crossing = cli_has(cli, CLI_FAIL_ON_CROSSING);

	if (gain || crossing)
		return (gain && report->flows.n_gains) || (crossing && report->flows.n_crossings)
			       ? CLI_NO
			       : CLI_OK;
	return report->flows.n_gains + report->flows.n_losses + report->ruleset.n_items ? CLI_NO
											: CLI_OK;
}

int cmd_diff(struct cli *cli)
{
	_cleanup_(side_fini) struct side from = {0}, to = {0};
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	struct change_report report = {0};

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'; paths are given with --from and -p",
				cli->words.items[0]);
	if (load_from(cli, &from) < 0 || load_to(cli, &to) < 0)
		return CLI_UNANSWERED;
	if (load_inventory(cli, policy_of(&from), true, &from.inventory) < 0 ||
	    load_inventory(cli, policy_of(&to), true, &to.inventory) < 0)
		return CLI_UNANSWERED;

	int r = arena ? compare(cli, &from, &to, arena, &report) : -ENOMEM;
	if (r == 0)
		r = print(cli, &report);
	r = r < 0 ? cli_fail(cli, "%s", strerror(-r)) : answer(cli, &report);
	ms_flow_diff_fini(&report.flows);
	return r;
}
