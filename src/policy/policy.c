/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/policy.h"

#include <string.h>

const char *ms_mode_name(enum ms_mode mode)
{
	return mode == MS_MODE_AUDIT ? "audit" : "enforce";
}

const char *ms_direction_name(enum ms_direction direction)
{
	static const char *const names[MS_N_DIRECTIONS] = {"east_west", "egress", "ingress"};

	return names[direction];
}

struct ms_policy *ms_policy_free(struct ms_policy *policy)
{
	if (!policy)
		return NULL;
	ms_arena_free(policy->arena);
	free(policy);
	return NULL;
}

const struct ms_env *ms_policy_env(const struct ms_policy *policy, const char *name)
{
	for (size_t low = 0, high = policy->envs.n_items; low < high;) {
		size_t middle = low + (high - low) / 2;
		const struct ms_env *env = &policy->envs.items[middle];
		int r = strcmp(name, env->name);

		if (r == 0)
			return env;
		if (r < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const struct ms_service *ms_policy_service(const struct ms_policy *policy, const char *env,
					   const char *name)
{
	for (size_t low = 0, high = policy->services.n_items; low < high;) {
		size_t middle = low + (high - low) / 2;
		const struct ms_service *service = &policy->services.items[middle];
		int r = strcmp(env, service->env);

		if (r == 0)
			r = strcmp(name, service->name);
		if (r == 0)
			return service;
		if (r < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}
