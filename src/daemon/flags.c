/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/flags.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "discover/admit.h"
#include "kernel/bridge.h"
#include "microseg/cleanup.h"

static void records_fini(ms_bridge_record_vec *records)
{
	ms_vec_fini(records);
}

/* By its index as long as that is its own, for it may have been renamed; else by its name. */
static struct ms_bridge_record *find_record(const ms_bridge_record_vec *records,
					    const struct ms_bridge_state *bridge)
{
	ms_vec_each (struct ms_bridge_record, record, records)
		if (record->this_boot && record->ifindex == bridge->ifindex)
			return record;
	ms_vec_each (struct ms_bridge_record, record, records)
		if (strcmp(record->name, bridge->name) == 0)
			return record;
	return NULL;
}

static int fail(struct ms_str *error, const char *bridge, int r)
{
	ms_str_addf(error, "%sbridge ", error->len ? "; " : "");
	ms_str_add_safe(error, bridge);
	ms_str_addf(error, ": %s",
		    r == -EOPNOTSUPP
			    ? "its netfilter flags cannot be set: br_netfilter is not loaded"
			    : strerror(-r));
	return r;
}

/* Remembers what @bridge was. Its own record stays: the value from before us is the one to put
 * back. */
static int remember(ms_bridge_record_vec *records, const struct ms_bridge_state *bridge,
		    bool *ret_known, bool *ret_changed)
{
	struct ms_bridge_record *old = find_record(records, bridge);
	struct ms_bridge_record record = {
		.ifindex = bridge->ifindex,
		.nf_call_ip = bridge->nf_call_ip,
		.nf_call_ip6 = bridge->nf_call_ip6,
		.no_ll_learn = bridge->no_ll_learn,
		.this_boot = true,
	};

	snprintf(record.name, sizeof(record.name), "%s", bridge->name);
	*ret_known = old && old->ifindex == bridge->ifindex;
	*ret_changed = !*ret_known || !old->this_boot;
	if (*ret_known) {
		old->this_boot = true;
		return 0;
	}
	if (old) {
		*old = record;
		return 0;
	}
	return ms_vec_push(records, record);
}

static bool is_on(const struct ms_bridge_state *bridge)
{
	return bridge->nf_call_ip && bridge->nf_call_ip6 && bridge->no_ll_learn;
}

static int set_flags(uint32_t ifindex, bool ip, bool ip6, bool no_ll_learn)
{
	int r = ms_bridge_set_nf_call(ifindex, ip, ip6);

	return r < 0 ? r : ms_bridge_set_no_ll_learn(ifindex, no_ll_learn);
}

int ms_flags_ensure(struct ms_state *state, const struct ms_bridge_state *bridges, size_t n_bridges,
		    struct ms_flags_result *ret_result, struct ms_str *error)
{
	_cleanup_(records_fini) ms_bridge_record_vec records = {0};
	struct ms_flags_result result = {0};
	bool any_off = false, any_changed = false;
	int r, first = 0;

	*ret_result = result;
	for (size_t i = 0; i < n_bridges; i++)
		any_off |= !is_on(&bridges[i]);
	if (!any_off)
		return 0;

	r = ms_state_load_bridges(state, &records);
	if (r < 0 &&
	    r != -EBADMSG) /* torn records are lost: what was before us can't be known any more */
		return fail(error, "(records)", r);
	for (size_t i = 0; i < n_bridges; i++) {
		bool known, changed;

		if (is_on(&bridges[i]))
			continue;
		r = remember(&records, &bridges[i], &known, &changed);
		if (r < 0)
			return fail(error, bridges[i].name, r);
		any_changed |= changed;
		result.n_repaired += known;
	}
	r = any_changed ? ms_state_save_bridges(state, &records) : 0;
	if (r < 0)
		return fail(error, "(records)", r);

	for (size_t i = 0; i < n_bridges; i++) {
		if (is_on(&bridges[i]))
			continue;
		r = set_flags(bridges[i].ifindex, true, true, true);
		if (r == 0)
			result.n_set++;
		else if (r != -ENODEV && first == 0)
			first = fail(error, bridges[i].name, r);
	}
	*ret_result = result;
	return first;
}

static int restore_bridges(struct ms_state *state, struct ms_str *error)
{
	_cleanup_(records_fini) ms_bridge_record_vec records = {0};
	ms_bridge_record_vec none = {0};
	int r = ms_state_load_bridges(state, &records), first = 0;

	if (r < 0)
		return fail(error, "(records)", r);
	if (records.n_items == 0)
		return 0;
	ms_vec_each (struct ms_bridge_record, record, &records) {
		if (!record->this_boot && if_nametoindex(record->name) != record->ifindex)
			continue;
		r = set_flags(record->ifindex, record->nf_call_ip, record->nf_call_ip6,
			      record->no_ll_learn);
		if (r < 0 && r != -ENODEV && first == 0)
			first = fail(error, record->name, r);
	}
	return first ? first : ms_state_save_bridges(state, &none);
}

static int restore_ports(struct ms_str *error)
{
	struct ms_rtnl *rtnl = NULL;
	int r = ms_rtnl_open(&rtnl);

	if (r == 0)
		r = ms_admit_nobody(rtnl);
	ms_rtnl_free(rtnl);
	return r < 0 ? fail(error, "(ports)", r) : 0;
}

int ms_flags_restore(struct ms_state *state, struct ms_str *error)
{
	int r = restore_bridges(state, error), failed = restore_ports(error);

	return r < 0 ? r : failed;
}
