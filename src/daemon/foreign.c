/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/foreign.h"

#include <string.h>

#include "microseg/cleanup.h"

MS_DEFINE_CLEANUP(struct ms_arena *, ms_arena_free)

/* Does any grant have the host at its other end? @to_host: as its destination. */
static bool grants_host(const struct ms_policy *policy, bool to_host)
{
	ms_vec_each (struct ms_service, service, &policy->services) {
		ms_vec_each (struct ms_grant, grant, &service->needs)
			if (to_host && grant->peer.kind == MS_PEER_HOST)
				return true;
		ms_vec_each (struct ms_grant, grant, &service->allow)
			if (!to_host && grant->peer.kind == MS_PEER_HOST)
				return true;
	}
	ms_vec_each (struct ms_exception, exception, &policy->exceptions)
		if ((to_host ? exception->to : exception->from).kind == MS_PEER_HOST)
			return true;
	ms_vec_each (struct ms_env, env, &policy->envs)
		if (to_host && env->gateway_resolver)
			return true;
	return false;
}

/* Can it meet anything that the policy allows? */
static bool concerns(const struct ms_policy *policy, const struct ms_foreign_chain *chain)
{
	if (strcmp(chain->hook, "input") == 0)
		return grants_host(policy, true);
	if (strcmp(chain->hook, "output") == 0)
		return grants_host(policy, false);
	return true;
}

static json_t *safe_string(const char *value)
{
	_cleanup_(ms_str_fini) struct ms_str safe = {0};

	ms_str_add_safe(&safe, value);
	return json_string(safe.text ? safe.text : "");
}

json_t *ms_foreign_report(struct ms_kernel *kernel, const struct ms_policy *policy)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	ms_foreign_vec chains = {0};
	json_t *list = json_array();

	if (!arena || !list || !policy || ms_kernel_foreign(kernel, arena, &chains) < 0)
		return list;
	ms_vec_each (struct ms_foreign_chain, chain, &chains)
		if (concerns(policy, chain))
			json_array_append_new(
				list,
				json_pack("{s:s, s:o, s:o, s:s, s:i, s:b}", "family", chain->family,
					  "table", safe_string(chain->table), "chain",
					  safe_string(chain->name), "hook", chain->hook, "priority",
					  (int)chain->priority, "engine", chain->engine));
	return list;
}
