/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delta: the short way from one ruleset to the next gives what compiling the whole gives.
 *
 * A random policy and node as in random.c. Endpoints come, go and change, a few at a time, for a
 * walk of steps; the ruleset that was patched step by step must equal the one compiled of the whole
 * inventory, by hash and by plan. Where a step is more than elements the walk goes on from the
 *whole.
 *
 *	delta [-n WALKS] [-w STEPS] [-s SEED]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "microseg/cleanup.h"
#include "random.h"

#define MAX_ENDPOINTS 101

static uint64_t arg_seed = 1;
static uint32_t arg_walks = 60, arg_steps = 50;

/* What an endpoint's line may be: absent, or one of two. */
enum version { ABSENT, FIRST, SECOND, N_VERSIONS };

struct node {
	struct random random;
	char *policy, *texts[N_VERSIONS]; /* the inventory, twice */
	char *head;			  /* all before the endpoints */
	char *lines[N_VERSIONS][MAX_ENDPOINTS];
	size_t n_endpoints;
	enum version now[MAX_ENDPOINTS];
	bool routed; /* veths without a bridge are there too */
};

struct tally {
	uint64_t n_steps, n_short, n_empty, n_failed;
};

static char *steal(struct ms_str *text)
{
	char *stolen = ms_str_steal(text);

	if (!stolen)
		abort();
	return stolen;
}

/* Cuts @text into its head and one line for each endpoint. Returns how many. */
static size_t cut(char *text, char **ret_head, char *lines[MAX_ENDPOINTS])
{
	size_t n = 0;
	char *list = strstr(text, "endpoints:\n"), *save = NULL;

	if (!list)
		abort();
	list += strlen("endpoints:\n");
	for (char *line = strtok_r(strdup(list), "\n", &save); line && n < MAX_ENDPOINTS;
	     line = strtok_r(NULL, "\n", &save))
		lines[n++] = line;
	*list = '\0';
	*ret_head = text;
	return n;
}

static struct node make_node(uint32_t number)
{
	struct node node = {.random = {(arg_seed << 32 | number) ^ 0x9e3779b9u}};
	struct world world = world_make(arg_seed << 32 | number), other;
	struct ms_str policy = {0}, first = {0}, second = {0};
	char *ignored;

	random_policy(&world, &policy);
	other = world;
	random_inventory(&world, &first);
	other.random.state ^= 0x1234567u;
	random_inventory(&other, &second);
	node.policy = steal(&policy);
	node.texts[FIRST] = steal(&first);
	node.texts[SECOND] = steal(&second);
	size_t n_first = cut(node.texts[FIRST], &node.head, node.lines[FIRST]);
	size_t n_second = cut(node.texts[SECOND], &ignored, node.lines[SECOND]);
	node.n_endpoints = n_first < n_second ? n_first : n_second;
	node.routed = random_chance(&node.random, 20);
	for (size_t i = 0; i < node.n_endpoints; i++)
		node.now[i] = random_below(&node.random, N_VERSIONS);
	return node;
}

static void free_node(struct node *node)
{
	for (int version = FIRST; version <= SECOND; version++) {
		free(node->lines[version][0]); /* strtok's one copy begins with the first line */
		free(node->texts[version]);
	}
	free(node->policy);
}

static struct trial look(const struct node *node)
{
	struct ms_str text = {0};
	struct trial trial;

	ms_str_add(&text, node->head);
	for (size_t i = 0; i < node->n_endpoints; i++) {
		const char *line = node->lines[node->now[i]][i];

		if (node->now[i] != ABSENT && (node->routed || strstr(line, "bridge:")))
			ms_str_addf(&text, "%s\n", line);
	}
	struct random_case c = {node->policy, steal(&text)};
	if (!trial_init(&trial, &c, true) || !trial.ruleset)
		abort();
	free(c.inventory);
	return trial;
}

static bool equal(const struct ms_ruleset *patched, const struct ms_ruleset *whole)
{
	struct ms_plan plan;

	if (ms_plan_make(patched, whole, &plan) < 0)
		abort();
	bool same = plan.changes.n_items == 0 && ms_ruleset_hash(patched) == ms_ruleset_hash(whole);
	ms_plan_fini(&plan);
	return same;
}

/* Takes @before's ruleset along when the short way was there. */
static void step(struct trial *before, struct trial *after, const char *name, struct tally *tally)
{
	struct ms_delta delta;
	int r = ms_compile_delta(before->policy, before->inventory, after->inventory,
				 &trial_options, before->ruleset, &delta);

	tally->n_steps++;
	if (r < 0)
		abort();
	if (r > 0)
		return;
	tally->n_short++;
	tally->n_empty += delta.plan.changes.n_items == 0;
	if (ms_plan_patch(&delta.plan, before->ruleset) < 0 ||
	    !equal(before->ruleset, after->ruleset)) {
		tally->n_failed++;
		fprintf(stderr, "%s: the short way leads elsewhere\n", name);
	}
	struct ms_ruleset *patched = before->ruleset;
	before->ruleset = after->ruleset;
	after->ruleset = patched;
	ms_delta_fini(&delta);
}

static void walk(uint32_t number, struct tally *tally)
{
	struct node node = make_node(number);
	struct trial before = look(&node);
	char name[64];

	for (uint32_t i = 0; i < arg_steps; i++) {
		for (uint32_t n = 1 + random_below(&node.random, 3); n > 0; n--)
			node.now[random_below(&node.random, (uint32_t)node.n_endpoints)] =
				random_below(&node.random, N_VERSIONS);
		struct trial after = look(&node);
		snprintf(name, sizeof(name), "walk %" PRIu32 ", step %" PRIu32, number, i);
		step(&before, &after, name, tally);
		trial_fini(&before);
		before = after;
	}
	trial_fini(&before);
	free_node(&node);
}

static bool parse(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "n:w:s:")) != -1;) {
		uint64_t value = option == '?' ? 0 : strtoull(optarg, NULL, 10);

		if (option == 'n')
			arg_walks = (uint32_t)value;
		else if (option == 'w')
			arg_steps = (uint32_t)value;
		else if (option == 's')
			arg_seed = value;
		else
			return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct tally tally = {0};

	if (!parse(argc, argv)) {
		fputs("usage: delta [-n WALKS] [-w STEPS] [-s SEED]\n", stderr);
		return 2;
	}
	for (uint32_t i = 0; i < arg_walks; i++)
		walk(i, &tally);
	printf("%" PRIu64 " steps, %" PRIu64 " by the short way (%" PRIu64
	       " of them nothing), %" PRIu64 " failed\n",
	       tally.n_steps, tally.n_short, tally.n_empty, tally.n_failed);
	/* Taken seldom it proves nothing. */
	return tally.n_failed == 0 && (tally.n_short - tally.n_empty) * 10 > tally.n_steps ? 0 : 1;
}
