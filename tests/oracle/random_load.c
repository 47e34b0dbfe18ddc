/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/load.h"
#include "random.h"

void random_case_fini(struct random_case *c)
{
	free(c->policy);
	free(c->inventory);
	*c = (struct random_case){0};
}

static void print_diags(struct ms_diags *diags)
{
	_cleanup_(ms_str_fini) struct ms_str out = {0};

	ms_diags_print(diags, &out, false);
	fprintf(stderr, "%s\n", out.text ?: "out of memory");
}

/* A third, always the same ones: no verdict may depend on it. */
static void make_late(struct ms_inventory *inventory)
{
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints) {
		const char *name = *endpoint->interface ? endpoint->interface : endpoint->name;

		endpoint->late = name[strlen(name) - 1] % 3 == 0;
	}
}

static bool load(struct trial *trial, const struct random_case *c, struct ms_diags *diags)
{
	const struct ms_policy_file policy = {"policy.yaml", c->policy, strlen(c->policy)};
	const struct ms_policy_file inventory = {"inventory.yaml", c->inventory,
						 strlen(c->inventory)};

	if (ms_policy_load_ungated(&policy, 1, RANDOM_NOW, diags, &trial->policy) < 0)
		return false;
	if (ms_inventory_load(&inventory, diags, &trial->inventory) < 0 ||
	    ms_inventory_identify(trial->inventory, trial->policy) < 0)
		return false;
	make_late(trial->inventory);
	return true;
}

/* Two: small services show their grants as rules, the others as elements. */
const struct ms_compile_options trial_options = {.nflog_group = MS_NFLOG_GROUP_DEFAULT,
						 .now = RANDOM_NOW,
						 .grant_rules = 2,
						 .max_connections = 100};

bool trial_init(struct trial *trial, const struct random_case *c, bool loud)
{
	struct ms_diags diags;

	*trial = (struct trial){0};
	if (ms_diags_init(&diags) < 0)
		abort();
	bool ok = load(trial, c, &diags);
	if (!ok && loud)
		print_diags(&diags);
	ms_diags_fini(&diags);
	if (ok && ms_compile(trial->policy, trial->inventory, &trial_options, &trial->ruleset) < 0)
		trial->ruleset = NULL;
	if (!ok)
		trial_fini(trial);
	return ok;
}

void trial_fini(struct trial *trial)
{
	ms_ruleset_free(trial->ruleset);
	ms_inventory_free(trial->inventory);
	ms_policy_free(trial->policy);
	*trial = (struct trial){0};
}
