/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takeover: a start where the tables of an earlier process stand.
 *
 * They hold counters and verdicts that nobody should notice the restart by. What that process
 * compiled is known: its policy and its inventory are in the state directory. The same input gives
 * the same ruleset, so it is compiled once more and compared with the kernel; when it is what
 * stands, it is claimed, and only what changed meanwhile is changed.
 *
 * The inventory is written behind the changes, and rests between two writings for a multiple of
 * what one takes: on a large node many changes share one. A daemon that is killed before it wrote
 * finds other tables than it remembers, and replaces them in one transaction.
 */
#include <errno.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/stored.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"

/* Times as long as the last writing took: so few changes wait for one that it is not the hundredth
 * part of them. */
#define REST 200

static int read_inventory(const struct ms_daemon *daemon, struct ms_inventory **ret_inventory)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	int r = ms_stored_inventory(daemon->store, NULL, &inventory);

	if (r == 0)
		r = ms_inventory_identify(inventory, daemon->loaded->policy);
	if (r == 0)
		*ret_inventory = ms_steal(&inventory);
	return r;
}

static int compile_again(struct ms_daemon *daemon, struct ms_inventory **ret_inventory,
			 struct ms_ruleset **ret_ruleset, struct ms_roles **ret_roles)
{
	struct ms_compile_options options = ms_config_compile_options(daemon->config);
	int r = daemon->loaded ? read_inventory(daemon, ret_inventory) : -ENOENT;

	return r < 0 ? r
		     : ms_compile_roles(daemon->loaded->policy, *ret_inventory, &options,
					ret_ruleset, ret_roles);
}

int ms_takeover(struct ms_daemon *daemon, struct ms_str *why)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = NULL;
	_cleanup_(ms_roles_freep) struct ms_roles *roles = NULL;

	if (compile_again(daemon, &inventory, &ruleset, &roles) < 0) {
		ms_str_add(why, "what they were made of is not known");
		return 1;
	}
	if (ms_kernel_verify(daemon->kernel, ruleset, why) != 0 ||
	    ms_kernel_adopt(daemon->kernel, ruleset, why) < 0)
		return 1;
	ms_log(MS_LOG_NOTICE, "the tables of an earlier process are taken over as they stand");
	daemon->standing = false;
	daemon->installed = ms_steal(&ruleset);
	ms_roles_free(daemon->roles);
	daemon->roles = ms_steal(&roles);
	/* The latest snapshot has not been in force yet: what comes next is compared with what was.
	 */
	ms_inventory_free(daemon->inventory);
	daemon->inventory = ms_steal(&inventory);
	daemon->patchable = true;
	return 0;
}

void ms_takeover_note(struct ms_daemon *daemon)
{
	if (!ms_timer_is_set(daemon->remember))
		ms_timer_set(daemon->remember, daemon->remember_ms * REST);
}

void ms_takeover_remember(void *userdata)
{
	struct ms_daemon *daemon = userdata;
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	uint64_t since_ms = ms_monotonic_ms();

	ms_shortway_settle(daemon);
	ms_inventory_print(daemon->inventory, &text);
	ms_state_save_inventory(daemon->store, &text);
	daemon->remember_ms = ms_monotonic_ms() - since_ms;
}
