/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Modes that differ: of environments, of services that have another than their environment, of the
 * unidentified.
 */
#include "flowdiff.h"

#include <string.h>

/* An environment that is not there lets nothing pass. */
static enum ms_mode env_mode(const struct ms_policy *policy, const char *name)
{
	const struct ms_env *env = ms_policy_env(policy, name);

	return env ? env->mode : MS_MODE_ENFORCE;
}

static enum ms_mode service_mode(const struct ms_policy *policy, const char *env, const char *name)
{
	const struct ms_service *service = ms_policy_service(policy, env, name);

	return service ? service->mode : env_mode(policy, env);
}

/* Is anything audited outside of @env? The fence between two that are audited refuses nothing. */
static bool audits_beyond(const struct ms_policy *policy, const char *env)
{
	ms_vec_each (const struct ms_env, other, &policy->envs)
		if (other->mode == MS_MODE_AUDIT && strcmp(other->name, env) != 0)
			return true;
	ms_vec_each (const struct ms_service, service, &policy->services)
		if (service->mode == MS_MODE_AUDIT && strcmp(service->env, env) != 0)
			return true;
	return false;
}

/* Adds a change of @env, or of its service @name. */
static int add_mode(struct ms_flow_diff *diff, const struct ms_policy *to, const char *env,
		    const char *name, enum ms_mode was, enum ms_mode now)
{
	struct ms_mode_change change = {.env = env, .was = was, .now = now};

	if (was == now)
		return 0;
	change.who = env ? ms_arena_printf(diff->arena, "%s/%s", env, name) : name;
	change.crossing = env && now == MS_MODE_AUDIT && audits_beyond(to, env);
	if (now == MS_MODE_AUDIT)
		diff->n_gains++;
	else
		diff->n_losses++;
	diff->n_crossings += change.crossing;
	return ms_avec_push(diff->arena, &diff->modes, change);
}

static int add_env(struct ms_flow_diff *diff, const struct ms_policy *from,
		   const struct ms_policy *to, const struct ms_env *env)
{
	return add_mode(diff, to, env->name, "*", env_mode(from, env->name),
			env_mode(to, env->name));
}

/* A service that goes the way of its environment is said with it. */
static int add_service(struct ms_flow_diff *diff, const struct ms_policy *from,
		       const struct ms_policy *to, const struct ms_service *service)
{
	enum ms_mode was = service_mode(from, service->env, service->name);
	enum ms_mode now = service_mode(to, service->env, service->name);

	if (was == env_mode(from, service->env) && now == env_mode(to, service->env))
		return 0;
	return add_mode(diff, to, service->env, service->name, was, now);
}

static int compare_modes(const void *left, const void *right)
{
	const struct ms_mode_change *a = left, *b = right;

	return strcmp(a->who, b->who);
}

int ms_flow_diff_modes(const struct ms_policy *from, const struct ms_policy *to,
		       struct ms_flow_diff *diff)
{
	int r = add_mode(diff, to, NULL, "unidentified", from->unidentified, to->unidentified);

	for (size_t i = 0; i < to->envs.n_items && r == 0; i++)
		r = add_env(diff, from, to, &to->envs.items[i]);
	for (size_t i = 0; i < from->envs.n_items && r == 0; i++)
		if (!ms_policy_env(to, from->envs.items[i].name))
			r = add_env(diff, from, to, &from->envs.items[i]);
	for (size_t i = 0; i < to->services.n_items && r == 0; i++)
		r = add_service(diff, from, to, &to->services.items[i]);
	for (size_t i = 0; i < from->services.n_items && r == 0; i++) {
		const struct ms_service *service = &from->services.items[i];

		if (!ms_policy_service(to, service->env, service->name))
			r = add_service(diff, from, to, service);
	}
	ms_vec_sort(&diff->modes, compare_modes);
	return r;
}
