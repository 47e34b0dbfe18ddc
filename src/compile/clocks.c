/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clocks: what ends by itself, in the kernel and without us.
 *
 *	until/TIME    holds one element for each IP, which the kernel drops at that time. A rule
 *	              with `meta nfproto @until/TIME` stops granting then.
 *	lent/TIME     the connections that only such rules let in, by their ids: a rule that grants
 *	              for a time writes down whom it let in. One that is full lets nobody in.
 *	watch         what an established connection passes: unless it is in a lent/TIME that is
 *	              over, it is accepted. Else it is judged like a new one, but for what its TCP
 *	              server sends, which no grant of the way back is meant for: chain `over`.
 *	relax/TIME/…  a refusal that is audit until then, and a refusal behind it.
 *
 * All ends of a policy are known, few and shared: one pair of sets for each. Where several timed
 * grants cover a flow, the one that ends last comes first; what is granted without an end comes
 * before all of them. A packet without a connection (untracked) meets no timed grant.
 *
 * A set lent/TIME is a record that the kernel keeps. What it cannot know, because a policy changed
 * after a connection was let in, the daemon puts right after a commit (see daemon/lend.c).
 */
#include "compiler.h"

#include <netinet/in.h>
#include <string.h>

#define LENT_ROOM 65536 /* connections that one end may hold */

static int compare_times(const void *left, const void *right)
{
	time_t a = *(const time_t *)left, b = *(const time_t *)right;

	return (a > b) - (a < b);
}

static void add_time(struct compiler *c, time_vec *times, time_t until)
{
	ms_vec_each (time_t, known, times)
		if (*known == until)
			return;
	if (ms_avec_push(c->ruleset->arena, times, until) < 0)
		c->ruleset->failed = true;
}

/* Notes an end, also one that was a moment ago: what it lent is remembered until the daemon has
 * taken those connections away. */
static void add_end(struct compiler *c, time_t until)
{
	if (until && until + MS_COMPILE_AFTER > c->options->now)
		add_time(c, &c->ends, until);
}

/* Runs at our time: has no end, or one to come. */
static bool runs(const struct compiler *c, time_t until)
{
	return until == 0 || until > c->options->now;
}

/* Those without an end first, then by descending ends; else in the order of the policy. */
static bool goes_before(time_t a, time_t b)
{
	return b != 0 && (a == 0 || a > b);
}

static void add_crossing(struct compiler *c, const struct ms_crossing *crossing)
{
	if (ms_avec_push(c->ruleset->arena, &c->crossings, crossing) < 0) {
		c->ruleset->failed = true;
		return;
	}
	for (size_t i = c->crossings.n_items - 1;
	     i > 0 && goes_before(crossing->until, c->crossings.items[i - 1]->until); i--) {
		c->crossings.items[i] = c->crossings.items[i - 1];
		c->crossings.items[i - 1] = crossing;
	}
}

static void add_exception(struct compiler *c, const struct ms_exception *exception)
{
	if (ms_avec_push(c->ruleset->arena, &c->exceptions, exception) < 0) {
		c->ruleset->failed = true;
		return;
	}
	for (size_t i = c->exceptions.n_items - 1;
	     i > 0 && goes_before(exception->until, c->exceptions.items[i - 1]->until); i--) {
		c->exceptions.items[i] = c->exceptions.items[i - 1];
		c->exceptions.items[i - 1] = exception;
	}
}

void clocks_find(struct compiler *c)
{
	ms_vec_each (struct ms_crossing, crossing, &c->policy->crossings) {
		add_end(c, crossing->until);
		if (runs(c, crossing->until))
			add_crossing(c, crossing);
	}
	ms_vec_each (struct ms_exception, exception, &c->policy->exceptions) {
		add_end(c, exception->until);
		if (exception->until && runs(c, exception->until))
			add_exception(c, exception);
	}
	ms_vec_each (struct ms_relax, relax, &c->policy->relaxes) {
		add_end(c, relax->until);
		if (relax->until && runs(c, relax->until))
			add_time(c, &c->relax_ends, relax->until);
	}
	ms_vec_sort(&c->ends, compare_times);
	ms_vec_sort(&c->relax_ends, compare_times);
}

time_t audit_end_of(const struct compiler *c, const char *env, const char *service,
		    enum ms_mode mode)
{
	time_t end = mode == MS_MODE_AUDIT ? AUDITED : ENFORCED;

	ms_vec_each (struct ms_relax, relax, &c->policy->relaxes)
		if (runs(c, relax->until) && relax->until > end && strcmp(relax->env, env) == 0 &&
		    (!relax->service || (service && strcmp(relax->service, service) == 0)))
			end = relax->until;
	return end;
}

/* 2026-12-01T18.00.00Z: as in the policy, less what no name may hold. */
const char *clock_name(struct compiler *c, time_t until)
{
	char text[32] = "";
	struct tm tm;

	if (gmtime_r(&until, &tm))
		strftime(text, sizeof(text), "%Y-%m-%dT%H.%M.%SZ", &tm);
	return name_of(c, "%s", text);
}

static const char *until_name(struct compiler *c, time_t until)
{
	return name_of(c, "until/%s", clock_name(c, until));
}

static const char *lent_name(struct compiler *c, time_t until)
{
	return name_of(c, "lent/%s", clock_name(c, until));
}

void clocks_declare(struct compiler *c)
{
	static const uint8_t protocols[] = {2, 10}; /* NFPROTO_IPV4, NFPROTO_IPV6 */
	static const enum ms_field nfproto = MS_FIELD_NFPROTO, id = MS_FIELD_CT_ID;

	ms_vec_each (time_t, end, &c->ends) {
		struct ms_set *until =
			ms_ruleset_add_set(c->ruleset, c->inet, until_name(c, *end), 1, &nfproto);
		struct ms_set *lent;

		until->timed = true;
		until->size = sizeof(protocols);
		for (size_t i = 0; *end > c->options->now && i < sizeof(protocols); i++) {
			struct ms_elem *elem = ms_ruleset_add_elem(c->ruleset, until);

			ms_elem_key(until, elem, 0, &protocols[i], 1);
			elem->until = *end;
		}
		lent = ms_ruleset_add_set(c->ruleset, c->inet, lent_name(c, *end), 1, &id);
		lent->dynamic = true;
		lent->size = LENT_ROOM;
	}
}

void clock_match(struct compiler *c, struct ms_rule *rule, time_t until, bool over)
{
	rule_set(c, rule, MS_FIELD_NFPROTO, over, until_name(c, until));
}

void clock_lend(struct compiler *c, struct ms_rule *rule, time_t until)
{
	if (until < AUDITED)
		ms_rule_add_to_set(c->ruleset, rule, lent_name(c, until), MS_FIELD_CT_ID);
}

void clocks_compile_watch(struct compiler *c)
{
	if (c->ends.n_items == 0)
		return;
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "watch");

	ms_vec_each (time_t, end, &c->ends) {
		struct ms_rule *over = rule_add(c, chain);

		clock_match(c, over, *end, true);
		rule_set(c, over, MS_FIELD_CT_ID, false, lent_name(c, *end));
		rule_goto(c, over, "over");
	}
	rule_accept(c, rule_add(c, chain));

	struct ms_rule *answer = rule_add(c, ms_ruleset_add_chain(c->ruleset, c->inet, "over"));
	ms_rule_match_u8(c->ruleset, answer, MS_FIELD_L4PROTO, IPPROTO_TCP);
	ms_rule_match_u8(c->ruleset, answer, MS_FIELD_CT_DIRECTION, 1);
	rule_goto(c, answer, invalid_target(c));
}
