/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/foreign.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "microseg/cleanup.h"

#define MAX_LEGACY 16
#define MAX_LEGACY_NAME 64 /* as long as fscanf() below reads, and a NUL */

MS_DEFINE_CLEANUP(struct ms_arena *, ms_arena_free)
MS_DEFINE_CLEANUP(FILE *, fclose)

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

static json_t *report_chain(const struct ms_foreign_chain *chain)
{
	return json_pack("{s:s, s:o, s:o, s:s, s:i, s:b}", "family", chain->family, "table",
			 safe_string(chain->table), "chain", safe_string(chain->name), "hook",
			 chain->hook, "priority", (int)chain->priority, "engine", chain->engine);
}

/* An engine's own rules drop what does not come from its networks, and are many. */
static void sort_in(const struct ms_foreign_chain *chain, json_t *chains, json_t *rules)
{
	json_t *json = NULL;

	if (chain->drops) {
		json_array_append_new(chains, report_chain(chain));
	} else if (!chain->engine) {
		json = report_chain(chain);
		json_object_set_new(json, "unread", json_boolean(chain->unread));
		json_array_append_new(rules, json);
	}
}

/* Tables of the older iptables in this network namespace, but for the one that only translates. */
static void find_legacy(const char *path, const char *family, json_t *list)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	char name[MAX_LEGACY_NAME];

	while (file && fscanf(file, "%63s", name) == 1 && json_array_size(list) < MAX_LEGACY) {
		_cleanup_(ms_str_fini) struct ms_str text = {0};

		if (strcmp(name, "nat") == 0)
			continue;
		ms_str_addf(&text, "%s ", family);
		ms_str_add_safe(&text, name);
		json_array_append_new(list, json_string(text.text ? text.text : ""));
	}
}

int ms_foreign_report(struct ms_kernel *kernel, const struct ms_policy *policy, json_t *status)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	json_t *chains = json_array(), *rules = json_array(), *legacy = json_array();
	ms_foreign_vec found = {0};

	if (arena && policy && ms_kernel_foreign(kernel, arena, &found) == 0)
		ms_vec_each (struct ms_foreign_chain, chain, &found)
			if (concerns(policy, chain))
				sort_in(chain, chains, rules);
	if (policy) {
		find_legacy("/proc/net/ip_tables_names", "ip", legacy);
		find_legacy("/proc/net/ip6_tables_names", "ip6", legacy);
	}
	int r = json_object_set_new(status, "foreign_chains", chains) < 0 ? -ENOMEM : 0;
	if (json_object_set_new(status, "foreign_rules", rules) < 0)
		r = -ENOMEM;
	return json_object_set_new(status, "legacy_tables", legacy) < 0 ? -ENOMEM : r;
}
