/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delta: the short way from one ruleset to the next gives what compiling the whole gives.
 *
 * A random policy and node as in random.c. Endpoints come, go and change, and addresses of the host
 * come and go, a few at a time, for a walk of steps; the ruleset that was patched step by step must
 *equal the one compiled of the whole inventory, by hash and by plan. Where a step is more than
 *elements the walk goes on from the whole.
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
	bool routed;	/* veths without a bridge are there too */
	uint32_t hosts; /* which of these the host has, as bits */
};

/* The last two belong to endpoints too, if there are such. */
static const char *const host_addrs[] = {
	"192.0.2.77",	  "\"2001:db8::77\"", "\"fe80::77:1\"",
	"\"fe80::77:2\"", "10.0.0.12",	      "\"fe80::13\"",
};
#define N_HOST_ADDRS (sizeof(host_addrs) / sizeof(host_addrs[0]))
#define N_OWN_ADDRS 4

/* A node at a moment, and its ruleset. */
struct moment {
	struct trial trial;
	struct ms_roles *roles;
};

struct tally {
	uint64_t n_steps, n_short, n_empty, n_settled, n_failed;
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

/* The head, with more addresses in its list of the host's. */
static void add_head(const struct node *node, struct ms_str *text)
{
	const char *hosts = strstr(node->head, "hosts: [");

	if (!hosts)
		abort();
	hosts += strlen("hosts: [");
	ms_str_addf(text, "%.*s", (int)(hosts - node->head), node->head);
	for (size_t i = 0; i < N_HOST_ADDRS; i++)
		if (node->hosts & 1u << i)
			ms_str_addf(text, "%s, ", host_addrs[i]);
	ms_str_add(text, hosts);
}

static struct moment look(const struct node *node)
{
	struct ms_ruleset *again = NULL;
	struct ms_str text = {0};
	struct moment moment = {0};

	add_head(node, &text);
	for (size_t i = 0; i < node->n_endpoints; i++) {
		const char *line = node->lines[node->now[i]][i];

		if (node->now[i] != ABSENT && (node->routed || strstr(line, "bridge:")))
			ms_str_addf(&text, "%s\n", line);
	}
	struct random_case c = {node->policy, steal(&text)};
	if (!trial_init(&moment.trial, &c, true) || !moment.trial.ruleset ||
	    ms_compile_roles(moment.trial.policy, moment.trial.inventory, &trial_options, &again,
			     &moment.roles) < 0 ||
	    ms_ruleset_hash(again) != ms_ruleset_hash(moment.trial.ruleset))
		abort();
	ms_ruleset_free(again);
	free(c.inventory);
	return moment;
}

static void forget(struct moment *moment)
{
	trial_fini(&moment->trial);
	moment->roles = ms_roles_free(moment->roles);
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

static bool addrs_equal(const ms_addr_vec *a, const ms_addr_vec *b)
{
	bool same = a->n_items == b->n_items;

	for (size_t i = 0; same && i < a->n_items; i++)
		same = ms_addr_equal(&a->items[i], &b->items[i]);
	return same;
}

/* With the indexes. */
static bool inventories_equal(const struct ms_inventory *a, const struct ms_inventory *b)
{
	bool same = addrs_equal(&a->hosts, &b->hosts) &&
		    a->endpoints.n_items == b->endpoints.n_items &&
		    a->holders.n_items == b->holders.n_items && a->macs.n_items == b->macs.n_items;

	for (size_t i = 0; same && i < a->endpoints.n_items; i++)
		same = ms_endpoints_equal(&a->endpoints.items[i], &b->endpoints.items[i]);
	for (size_t i = 0; same && i < a->holders.n_items; i++)
		same = a->holders.items[i].endpoint == b->holders.items[i].endpoint &&
		       ms_addr_equal(&a->holders.items[i].addr, &b->holders.items[i].addr);
	for (size_t i = 0; same && i < a->macs.n_items; i++)
		same = ms_mac_compare(&a->macs.items[i], &b->macs.items[i]) == 0;
	return same;
}

#define swap(a, b)                                                                                 \
	do {                                                                                       \
		__typeof__(a) swapped_ = (a);                                                      \
		(a) = (b);                                                                         \
		(b) = swapped_;                                                                    \
	} while (0)

/* Returns whether @before's ruleset and roles were made those of @after, in place. */
static bool go_short(struct moment *before, const struct moment *after, struct tally *tally)
{
	struct ms_arena *arena = ms_arena_new();
	struct ms_inventory_change change;
	struct ms_delta delta;
	int r = arena ? ms_inventory_compare(before->trial.inventory, after->trial.inventory, arena,
					     &change)
		      : -1;

	if (r == 0)
		r = ms_compile_delta(before->trial.policy, before->trial.inventory, &change,
				     &trial_options, before->trial.ruleset, before->roles, &delta);
	if (r == 0) {
		tally->n_empty += delta.plan.changes.n_items == 0;
		if (ms_plan_patch(&delta.plan, before->trial.ruleset) < 0)
			abort();
		ms_roles_patch(before->roles, &change);
		ms_delta_fini(&delta);
		if (ms_inventory_patch(before->trial.inventory, &change) < 0)
			abort();
	}
	ms_arena_free(arena);
	if (r < 0)
		abort();
	return r == 0;
}

/* Takes @before's ruleset along when the short way was there; @look: and compares it. */
static void step(struct moment *before, struct moment *after, const char *name, bool look,
		 struct tally *tally)
{
	tally->n_steps++;
	if (!go_short(before, after, tally))
		return;
	tally->n_short++;
	if (look)
		ms_ruleset_settle(before->trial.ruleset);
	if ((look && !equal(before->trial.ruleset, after->trial.ruleset)) ||
	    !inventories_equal(before->trial.inventory, after->trial.inventory)) {
		tally->n_failed++;
		fprintf(stderr, "%s: the short way leads elsewhere\n", name);
	}
	swap(before->trial.ruleset, after->trial.ruleset);
	swap(before->roles, after->roles);
}

/* In the end those who are late are so no longer. */
static void settle(struct moment *moment, const char *name, struct tally *tally)
{
	struct ms_inventory_change change = {0};
	struct ms_arena *arena = ms_arena_new();
	struct ms_ruleset *whole = NULL;
	struct ms_delta delta;

	ms_vec_each (struct ms_endpoint, endpoint, &moment->trial.inventory->endpoints) {
		struct ms_endpoint *settled = ms_arena_alloc(arena, sizeof(*settled));

		if (!endpoint->late || change.gone.n_items == MS_DELTA_MAX / 2)
			continue;
		*settled = *endpoint;
		settled->late = false;
		if (ms_avec_push(arena, &change.gone, endpoint) < 0 ||
		    ms_avec_push(arena, &change.come, settled) < 0)
			abort();
	}
	int r = ms_compile_delta(moment->trial.policy, moment->trial.inventory, &change,
				 &trial_options, moment->trial.ruleset, moment->roles, &delta);
	ms_vec_each (const struct ms_endpoint *, endpoint, &change.gone)
		((struct ms_endpoint *)*endpoint)->late = false;
	if (r == 0) {
		if (ms_plan_patch(&delta.plan, moment->trial.ruleset) < 0 ||
		    ms_compile(moment->trial.policy, moment->trial.inventory, &trial_options,
			       &whole) < 0)
			abort();
		tally->n_settled += delta.plan.changes.n_items > 0;
		ms_delta_fini(&delta);
		ms_ruleset_settle(moment->trial.ruleset);
		if (!equal(moment->trial.ruleset, whole)) {
			tally->n_failed++;
			fprintf(stderr, "%s: who was late is somewhere else\n", name);
		}
	}
	ms_ruleset_free(whole);
	ms_arena_free(arena);
}

static void walk(uint32_t number, struct tally *tally)
{
	struct node node = make_node(number);
	struct moment before = look(&node);
	char name[64];

	for (uint32_t i = 0; i < arg_steps; i++) {
		for (uint32_t n = 1 + random_below(&node.random, 3); n > 0; n--)
			node.now[random_below(&node.random, (uint32_t)node.n_endpoints)] =
				random_below(&node.random, N_VERSIONS);
		if (random_chance(&node.random, 30))
			node.hosts ^= 1u << random_below(&node.random, N_OWN_ADDRS);
		if (random_chance(&node.random, 3))
			node.hosts ^= 1u << random_below(&node.random, N_HOST_ADDRS);
		struct moment after = look(&node);
		snprintf(name, sizeof(name), "walk %" PRIu32 ", step %" PRIu32, number, i);
		/* In half of the steps: what is kept beside the lists adds up. */
		step(&before, &after, name, random_chance(&node.random, 50), tally);
		forget(&before);
		before = after;
	}
	settle(&before, name, tally);
	forget(&before);
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
	       " of them nothing), %" PRIu64 " settled, %" PRIu64 " failed\n",
	       tally.n_steps, tally.n_short, tally.n_empty, tally.n_settled, tally.n_failed);
	/* Taken seldom it proves nothing. */
	return tally.n_failed == 0 && (tally.n_short - tally.n_empty) * 10 > tally.n_steps &&
			       tally.n_settled * 10 > arg_walks
		       ? 0
		       : 1;
}
