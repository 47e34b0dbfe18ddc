/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the tests written in the policy through the oracle. Modes are ignored: what audit would let
 * pass is still a deny. A test with lists stands for all their flows; of a range its two ends are
 * tried.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "flow.h"
#include "load.h"
#include "microseg/cleanup.h"

typedef MS_VEC(struct ms_party) party_vec;

struct run {
	const struct cli *cli;
	const struct ms_policy *policy;
	struct ms_inventory *inventory;
	json_t *json; /* with -o json */
	size_t n_run, n_failed;
};

static void party_vec_fini(party_vec *parties)
{
	ms_vec_fini(parties);
}

static int add_services(const struct ms_policy *policy, const struct ms_peer *peer,
			party_vec *parties)
{
	int r = 0;

	if (peer->env && peer->service)
		return ms_vec_push(parties, (struct ms_party){.kind = MS_PARTY_SERVICE,
							      .env = peer->env,
							      .service = peer->service});
	ms_vec_each (struct ms_service, service, &policy->services)
		if (r == 0 && (!peer->env || strcmp(peer->env, service->env) == 0))
			r = ms_vec_push(parties, (struct ms_party){.kind = MS_PARTY_SERVICE,
								   .env = service->env,
								   .service = service->name});
	return r;
}

static int add_net(const struct ms_peer *peer, party_vec *parties)
{
	struct ms_party party = {.kind = MS_PARTY_NET, .has_addr = true};
	int r = 0;

	ms_vec_each (struct ms_range, range, &peer->ranges) {
		party.addr = range->first;
		r = r ? r : ms_vec_push(parties, party);
		party.addr = range->last;
		if (!ms_addr_equal(&range->first, &range->last))
			r = r ? r : ms_vec_push(parties, party);
	}
	return r;
}

static int expand(const struct ms_policy *policy, const struct ms_peer *peer, party_vec *parties)
{
	switch (peer->kind) {
	case MS_PEER_SERVICE:
	case MS_PEER_SELF:
		return add_services(policy, peer, parties);
	case MS_PEER_HOST:
		return ms_vec_push(parties, (struct ms_party){.kind = MS_PARTY_HOST});
	case MS_PEER_NODE:
		return ms_vec_push(parties,
				   (struct ms_party){.kind = MS_PARTY_NODE, .node = peer->node});
	case MS_PEER_NET:
		return add_net(peer, parties);
	}
	return 0;
}

static bool as_expected(const struct ms_policy_test *test, const struct ms_decision *decision)
{
	const char *reason = ms_reason_name(decision->reason);

	if (test->expect == MS_EXPECT_ALLOW)
		return decision->reason == MS_REASON_NONE;
	return reason && (!test->by || strcmp(test->by, reason) == 0);
}

/* Tries one flow. Returns whether it did what the test says; otherwise @why tells. */
static bool try_flow(const struct run *run, const struct ms_policy_test *test,
		     const struct ms_flow *flow, struct ms_str *why)
{
	struct ms_decision decision =
		ms_decide(run->policy, run->inventory, flow, run->cli->now, run->policy->arena);
	const char *reason = ms_reason_name(decision.reason);

	if (as_expected(test, &decision))
		return true;
	flow_print(flow, why);
	ms_str_addf(why, ": expected %s%s%s, got %s%s%s",
		    test->expect == MS_EXPECT_ALLOW ? "allow" : "deny", test->by ? " by " : "",
		    test->by ? test->by : "", reason ? "deny" : "allow", reason ? " by " : "",
		    reason ? reason : "");
	if (decision.policy)
		ms_str_addf(why, " (%s:%u)", decision.policy->file, decision.policy->line);
	if (decision.nearest && test->expect == MS_EXPECT_ALLOW)
		ms_str_addf(why, "; %s", decision.nearest);
	return false;
}

static bool try_ports(const struct run *run, const struct ms_policy_test *test,
		      struct ms_flow *flow, struct ms_str *why)
{
	ms_vec_each (struct ms_ports, ports, &test->ports) {
		flow->proto = ports->proto;
		flow->port = ports->first;
		if (!try_flow(run, test, flow, why))
			return false;
		flow->port = ports->last;
		if (ports->last != ports->first && !try_flow(run, test, flow, why))
			return false;
	}
	return true;
}

static bool run_test(const struct run *run, const struct ms_policy_test *test, struct ms_str *why)
{
	_cleanup_(party_vec_fini) party_vec from = {0}, to = {0};
	struct ms_flow flow = {.published = test->published};

	if (expand(run->policy, &test->from, &from) < 0 ||
	    expand(run->policy, &test->to, &to) < 0) {
		ms_str_add(why, "out of memory");
		return false;
	}
	if (from.n_items == 0 || to.n_items == 0 || test->ports.n_items == 0) {
		ms_str_add(why, "it stands for no flow at all");
		return false;
	}
	ms_vec_each (struct ms_party, src, &from)
		ms_vec_each (struct ms_party, dst, &to) {
			flow.src = *src;
			flow.dst = *dst;
			if (!try_ports(run, test, &flow, why))
				return false;
		}
	return true;
}

/* A '#' in a description would begin a directive: of `not ok 1 - a # TODO` a harness thinks well.
 */
static void print_tap(const struct run *run, const struct ms_policy_test *test, bool ok,
		      const char *why)
{
	printf("%sok %zu - ", ok ? "" : "not ", run->n_run);
	for (const char *at = test->at.file; *at; at++) {
		if (*at == '#')
			putchar('\\');
		putchar(*at);
	}
	printf(":%u\n", test->at.line);
	if (!ok)
		printf("# %s\n", why);
}

static void print_result(struct run *run, const struct ms_policy_test *test, bool ok,
			 const char *why)
{
	switch (run->cli->output) {
	case CLI_TAP:
		print_tap(run, test, ok, why);
		return;
	case CLI_JSON:
		json_array_append_new(
			run->json, json_pack("{s:s, s:i, s:b, s:s}", "file", test->at.file, "line",
					     (int)test->at.line, "ok", ok, "message", why));
		return;
	default:
		if (!ok)
			printf("%s:%u:%u: failed: %s\n", test->at.file, test->at.line,
			       test->at.column, why);
		return;
	}
}

static void print_end(const struct run *run)
{
	if (run->cli->output == CLI_TEXT)
		printf("%zu test%s, %zu failed\n", run->n_run, run->n_run == 1 ? "" : "s",
		       run->n_failed);
	if (run->cli->output != CLI_JSON)
		return;
	json_dumpf(run->json, stdout, JSON_INDENT(1));
	puts("");
}

int cmd_test(struct cli *cli)
{
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(json_decrefp) json_t *json = json_array();

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'; paths are given with -p",
				cli->words.items[0]);
	if (load_policy(cli, &loaded) < 0 ||
	    load_inventory(cli, loaded->policy, true, &inventory) < 0)
		return CLI_UNANSWERED;

	struct run run = {
		.cli = cli, .policy = loaded->policy, .inventory = inventory, .json = json};
	if (cli->output == CLI_TAP)
		printf("1..%zu\n", run.policy->tests.n_items);
	ms_vec_each (struct ms_policy_test, test, &run.policy->tests) {
		_cleanup_(ms_str_fini) struct ms_str why = {0};
		bool ok = run_test(&run, test, &why);

		run.n_run++;
		run.n_failed += !ok;
		print_result(&run, test, ok, why.text ? why.text : "");
	}
	print_end(&run);
	return run.n_failed ? CLI_NO : CLI_OK;
}
