/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random: the equality of oracle.c on policies and nodes of realistic size, made out of a seed.
 *
 * Each number is one case: a policy and an inventory, as YAML that the loader reads, and a few
 * hundred flows. On every flow decide() and simulate(compile()) must agree. The first flow of a
 *case that they disagree on is shrunk and kept as files; kept cases are run first, ever after.
 *
 *	random [-k DIR] [-n POLICIES] [-f FLOWS] [-j JOBS] [-s SEED]
 *	random -o NUMBER ...        that case alone, printed, with the way of each packet disagreed
 *on
 *
 * The seed, the number and the flows decide everything: the same run gives the same result,
 *whatever the number of jobs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "microseg/cleanup.h"
#include "random.h"

#define MAX_KEPT 6 /* cases that one job shrinks and keeps */

static const char *arg_kept;
static uint64_t arg_seed = 1;
static uint32_t arg_policies = 10000, arg_flows = 300, arg_jobs = 2;
static bool arg_only;
static uint32_t arg_number;

/* What a job has seen. */
struct tally {
	uint64_t n_policies, n_flows, n_allowed, n_audited, n_failed, n_failed_policies;
	bool done;
};

static void add_tally(struct tally *sum, const struct tally *part)
{
	sum->n_policies += part->n_policies;
	sum->n_flows += part->n_flows;
	sum->n_allowed += part->n_allowed;
	sum->n_audited += part->n_audited;
	sum->n_failed += part->n_failed;
	sum->n_failed_policies += part->n_failed_policies;
}

static void show(const struct trial *trial, const char *name, const struct flow *flow)
{
	_cleanup_(ms_str_fini) struct ms_str out = {0};

	ms_str_addf(&out, "%s: ", name);
	flow_format(flow, &out);
	trial_agrees(trial, flow, NULL, &out);
	fputs(out.text ?: "", stderr);
}

/* Shrinks the case on a flow, shows what is left, and keeps it. */
static void keep(struct random_case *c, uint32_t number, const struct flow *flow)
{
	struct trial trial;
	char name[64];

	snprintf(name, sizeof(name), "seed-%" PRIu64 "-%" PRIu32, arg_seed, number);
	shrink(c, flow);
	if (trial_init(&trial, c, true))
		show(&trial, name, flow);
	trial_fini(&trial);
	if (!arg_kept)
		fprintf(stderr, "%s---\n%s", c->policy, c->inventory);
	else if (kept_write(arg_kept, name, c, flow) < 0)
		perror(arg_kept);
}

static struct random_case make_case(uint32_t number)
{
	struct ms_str policy = {0}, inventory = {0};
	struct world world = world_make(arg_seed << 32 | number);

	random_policy(&world, &policy);
	random_inventory(&world, &inventory);
	struct random_case c = {ms_str_steal(&policy), ms_str_steal(&inventory)};
	if (!c.policy || !c.inventory)
		abort();
	return c;
}

/* Asks for one flow. Returns whether both roads agree. */
static bool try_flow(const struct trial *trial, const struct flow *flow, struct tally *tally)
{
	struct opinion decided;
	bool good = trial_agrees(trial, flow, &decided, NULL);

	tally->n_flows++;
	tally->n_allowed += decided.verdict == MS_ALLOW;
	tally->n_audited += decided.verdict == MS_AUDIT;
	tally->n_failed += !good;
	return good;
}

static void try_case(uint32_t number, struct tally *tally)
{
	struct random random = {(arg_seed << 32 | number) ^ 0x5bd1e995u};
	struct random_case c = make_case(number);
	struct flow flow, failed;
	struct trial trial;
	bool good = true;

	if (!trial_init(&trial, &c, true))
		exit(2); /* the generator is wrong */
	for (uint32_t i = 0; i < arg_flows; i++) {
		if (!random_flow(&random, &trial, &flow) || try_flow(&trial, &flow, tally))
			continue;
		if (arg_only)
			show(&trial, "flow", &flow);
		if (good)
			failed = flow;
		good = false;
	}
	trial_fini(&trial);
	tally->n_policies++;
	if (!good && ++tally->n_failed_policies <= MAX_KEPT)
		keep(&c, number, &failed);
	random_case_fini(&c);
}

/* Forks the jobs. Each takes every n-th case and leaves its tally in shared memory. */
static void run_jobs(struct tally *sum)
{
	struct tally *tallies = mmap(NULL, sizeof(*tallies) * arg_jobs, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (tallies == MAP_FAILED)
		abort();
	for (uint32_t job = 0; job < arg_jobs; job++) {
		pid_t pid = fork();

		if (pid < 0)
			abort();
		if (pid > 0)
			continue;
		for (uint32_t number = job; number < arg_policies; number += arg_jobs)
			try_case(number, &tallies[job]);
		tallies[job].done = true;
		exit(0);
	}
	while (wait(NULL) > 0)
		;
	for (uint32_t job = 0; job < arg_jobs; job++) {
		add_tally(sum, &tallies[job]);
		sum->n_failed += !tallies[job].done; /* it crashed, or its policy does not load */
	}
	munmap(tallies, sizeof(*tallies) * arg_jobs);
}

static void replay(const char *name, const struct random_case *c, const char *flows, void *data)
{
	struct tally *tally = data;
	struct trial trial;
	struct flow flow;

	tally->n_policies++;
	if (!trial_init(&trial, c, true)) {
		fprintf(stderr, "%s does not load\n", name);
		tally->n_failed++;
		return;
	}
	for (const char *line = flows; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		bool there = flow_parse(line, &flow) && trial_has(&trial, &flow);

		if (there && try_flow(&trial, &flow, tally))
			continue;
		if (there)
			show(&trial, name, &flow);
		else
			fprintf(stderr, "%s: no such flow: %.*s\n", name, (int)strcspn(line, "\n"),
				line);
		tally->n_failed += !there;
	}
	trial_fini(&trial);
}

static void print_case(uint32_t number)
{
	struct random_case c = make_case(number);

	printf("%s--- # inventory\n%s", c.policy, c.inventory);
	random_case_fini(&c);
}

static int read_args(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "k:n:f:j:s:o:")) >= 0;) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 0) : 0;

		switch (option) {
		case 'k':
			arg_kept = optarg;
			break;
		case 'n':
			arg_policies = (uint32_t)number;
			break;
		case 'f':
			arg_flows = (uint32_t)number;
			break;
		case 'j':
			arg_jobs = (uint32_t)number;
			break;
		case 's':
			arg_seed = number;
			break;
		case 'o':
			arg_only = true, arg_number = (uint32_t)number;
			break;
		default:
			return -1;
		}
	}
	return arg_jobs > 0 && arg_jobs <= 64 ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct tally kept = {0}, sum = {0};

	if (read_args(argc, argv) < 0) {
		fprintf(stderr,
			"usage: random [-k DIR] [-n POLICIES] [-f FLOWS] [-j JOBS] [-s SEED] [-o NUMBER]\n");
		return 2;
	}
	if (arg_only) {
		print_case(arg_number);
		try_case(arg_number, &sum);
	} else {
		if (arg_kept)
			kept_each(arg_kept, replay, &kept);
		printf("kept: %" PRIu64 " cases, %" PRIu64 " flows, %" PRIu64 " disagreements\n",
		       kept.n_policies, kept.n_flows, kept.n_failed);
		fflush(stdout);
		run_jobs(&sum);
	}
	printf("seed %" PRIu64 ": %" PRIu64 " policies, %" PRIu64 " flows: %" PRIu64
	       " allowed, %" PRIu64 " audited, "
	       "%" PRIu64 " disagreements in %" PRIu64 " policies\n",
	       arg_seed, sum.n_policies, sum.n_flows, sum.n_allowed, sum.n_audited, sum.n_failed,
	       sum.n_failed_policies);
	return sum.n_failed || kept.n_failed ? 1 : 0;
}
