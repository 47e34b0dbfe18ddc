/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parity of compiled policies: what the compiler makes of each feature loads, is listed as printed,
 * loads again as text, and changes into the next one by a plan.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/kernel.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"
#include "oracle/universe.h"
#include "parity.h"

#define SKIPPED 77
#define N_MIXES 24
#define CLOSED_DOOR UINT32_MAX

/* The closed door, each feature alone, all of them, and mixes. */
static uint32_t features_of(uint32_t number)
{
	if (number == 0)
		return CLOSED_DOOR;
	if (number <= N_FEATURES)
		return BIT(number - 1);
	if (number == N_FEATURES + 1)
		return BIT(N_FEATURES) - 1;
	return (number * 2654435761u) >> (32 - N_FEATURES);
}

#define N_POLICIES (N_FEATURES + 2 + N_MIXES)

/* The universe lives in 1970: its ends are moved to where the kernel keeps them for a while. */
static void put_off(struct ms_ruleset *ruleset, time_t seconds)
{
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		ms_vec_each (struct ms_set *, set, &(*table)->sets)
			ms_vec_each (struct ms_elem, elem, &(*set)->elems)
				if (elem->until)
					elem->until += seconds;
}

static struct ms_ruleset *compile(uint32_t number)
{
	const struct ms_compile_options options = {.nflog_group = MS_NFLOG_GROUP_DEFAULT,
						   .now = UNIVERSE_NOW,
						   .grant_rules = number % 2,
						   .max_connections = 100};
	uint32_t features = features_of(number);
	_cleanup_(ms_policy_freep) struct ms_policy *policy =
		features == CLOSED_DOOR ? NULL : universe_policy(features);
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = universe_inventory(policy);
	struct ms_ruleset *ruleset = NULL;
	int r = ms_compile(policy, inventory, &options, &ruleset);

	if (r < 0) {
		fprintf(stderr, "policy %u (features %x) does not compile: %s\n", number, features,
			strerror(-r));
		exit(1);
	}
	put_off(ruleset, time(NULL));
	return ruleset;
}

static int is_listed_as_printed(uint32_t number)
{
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = compile(number);

	return parity_check(ruleset);
}

static int change_into_each_other(const void *unused)
{
	(void)unused;
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};
	struct ms_ruleset *from = NULL;

	if (ms_kernel_open(&kernel) < 0)
		return 1;
	for (uint32_t i = 0; i < N_POLICIES; i++) {
		struct ms_ruleset *to = compile(i);
		_cleanup_(ms_plan_fini) struct ms_plan plan = {0};
		int r = ms_plan_make(from, to, &plan);

		if (r == 0)
			r = ms_kernel_apply(kernel, &plan, &error);
		if (r == 0)
			r = ms_kernel_verify(kernel, to, &difference);
		if (r != 0) {
			fprintf(stderr, "policy %u after %u: %d %s\n%s\n", i, i - 1, r,
				error.text ? error.text : "",
				difference.text ? difference.text : "");
			return 1;
		}
		ms_ruleset_free(from);
		from = to;
	}
	ms_ruleset_free(from);
	return 0;
}

int main(void)
{
	int failed = 0;

	if (geteuid() != 0) {
		fprintf(stderr, "needs root, for network namespaces\n");
		return SKIPPED;
	}
	for (uint32_t i = 0; i < N_POLICIES; i++) {
		int r = is_listed_as_printed(i);

		printf("%s policy %u (features %x) lists as printed\n", r ? "not ok" : "ok", i,
		       features_of(i));
		failed += r != 0;
	}
	int r = parity_in_namespace(change_into_each_other, NULL);

	printf("%s policies change into each other\n", r ? "not ok" : "ok");
	return failed || r ? 1 : 0;
}
