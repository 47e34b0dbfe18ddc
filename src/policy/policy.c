/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/policy.h"

#include <errno.h>
#include <string.h>

#include "microseg/str.h"

const char *ms_mode_name(enum ms_mode mode)
{
	return mode == MS_MODE_AUDIT ? "audit" : "enforce";
}

const char *ms_direction_name(enum ms_direction direction)
{
	static const char *const names[MS_N_DIRECTIONS] = {"east_west", "egress", "ingress"};

	return names[direction];
}

void ms_peer_print(const struct ms_peer *peer, struct ms_str *out)
{
	switch (peer->kind) {
	case MS_PEER_SERVICE:
	case MS_PEER_SELF:
		ms_str_addf(out, "%s/%s", peer->env ? peer->env : "*",
			    peer->service ? peer->service : "*");
		return;
	case MS_PEER_HOST:
		ms_str_add(out, "host");
		return;
	case MS_PEER_NODE:
		ms_str_addf(out, "node %s", peer->node ? peer->node : "*");
		return;
	case MS_PEER_NET:
		ms_str_addf(out, "net %s", peer->net_name ? peer->net_name : "");
		return;
	}
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

/* FNV-1a of "env/name". */
static uint32_t hash_service(const char *env, const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *env; env++)
		hash = (hash ^ (uint8_t)*env) * 16777619u;
	hash = (hash ^ '/') * 16777619u;
	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash;
}

int ms_policy_index_services(struct ms_policy *policy)
{
	size_t n_slots = 16;

	while (n_slots < policy->services.n_items * 2)
		n_slots *= 2;
	uint32_t *slots = ms_arena_alloc(policy->arena, n_slots * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < policy->services.n_items; i++) {
		const struct ms_service *service = &policy->services.items[i];
		size_t at = hash_service(service->env, service->name);

		while (slots[at & (n_slots - 1)])
			at++;
		slots[at & (n_slots - 1)] = (uint32_t)i + 1;
	}
	policy->service_index.of = policy->services.items;
	policy->service_index.slots = slots;
	policy->service_index.n_slots = n_slots;
	return 0;
}

static const struct ms_service *search_service(const struct ms_policy *policy, const char *env,
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

const struct ms_service *ms_policy_service(const struct ms_policy *policy, const char *env,
					   const char *name)
{
	const uint32_t *slots = policy->service_index.slots;
	size_t mask = policy->service_index.n_slots - 1;

	if (!slots || policy->service_index.of != policy->services.items)
		return search_service(policy, env, name);
	for (size_t at = hash_service(env, name); slots[at & mask]; at++) {
		const struct ms_service *service = &policy->services.items[slots[at & mask] - 1];

		if (strcmp(name, service->name) == 0 && strcmp(env, service->env) == 0)
			return service;
	}
	return NULL;
}
