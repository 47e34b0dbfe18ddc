/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The short way: a container that comes or goes changes a few elements, whatever else runs on the
 * node, and is not worth compiling everything. ms_compile_delta() says when that holds; here its
 * plan goes to the kernel and then into `installed`, which stays equal to what the kernel has.
 *
 * Where discovery knows which veths changed, nothing else is looked at either: neither another
 * snapshot is made nor are two compared, and the inventory in force is patched like the ruleset.
 *
 * The whole remains the truth: everything unusual takes it, and so does now and then a change that
 * need not: what it finds differing is put right.
 */
#include <errno.h>
#include <inttypes.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"

#define MAX_PATCHES 1000 /* then the whole, which also frees what patches left in memory */

MS_DEFINE_CLEANUP(struct ms_arena *, ms_arena_free)

static int carry_out(struct ms_daemon *daemon, const struct ms_plan *plan)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	size_t n_elems, n_others;
	int r = ms_kernel_apply(daemon->kernel, plan, &error);

	if (r < 0) {
		ms_log(MS_LOG_WARNING, "the kernel refused a change (%s): everything is compared",
		       error.text ? error.text : "no reason given");
		daemon->suspect = true;
		return MS_SHORTWAY_NONE;
	}
	r = ms_plan_patch(plan, daemon->installed);
	if (r < 0) {
		daemon->installed = ms_ruleset_free(daemon->installed);
		return MS_SHORTWAY_NONE;
	}
	daemon->n_patches++;
	ms_plan_count(plan, &n_elems, &n_others);
	ms_log(MS_LOG_INFO, "generation %" PRIu64 ": %zu elements", daemon->generation + 1,
	       n_elems);
	return 1;
}

static bool is_open(const struct ms_daemon *daemon)
{
	return daemon->patchable && daemon->installed && daemon->roles && !daemon->candidate &&
	       !daemon->suspect && daemon->n_patches < MAX_PATCHES;
}

/* Carries @change out in the kernel, on `installed` and the roles. Returns as ms_shortway(). */
static int take(struct ms_daemon *daemon, const struct ms_inventory_change *change)
{
	struct ms_compile_options options = ms_config_compile_options(daemon->config);
	_cleanup_(ms_delta_fini) struct ms_delta delta = {0};

	options.now =
		daemon->compiled_at; /* or what has ended since would seem to be gone already */
	int r = ms_compile_delta(daemon->loaded->policy, daemon->inventory, change, &options,
				 daemon->installed, daemon->roles, &delta);
	if (r != 0)
		return r < 0 ? r : MS_SHORTWAY_NONE;
	r = delta.plan.changes.n_items == 0 ? 0 : carry_out(daemon, &delta.plan);
	if (r != MS_SHORTWAY_NONE)
		ms_roles_patch(daemon->roles, change);
	return r;
}

int ms_shortway(struct ms_daemon *daemon, const struct ms_inventory *inventory)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = NULL;
	struct ms_inventory_change change = {0};

	if (!is_open(daemon))
		return MS_SHORTWAY_NONE;
	arena = ms_arena_new();
	int r = arena ? ms_inventory_compare(daemon->inventory, inventory, arena, &change)
		      : -ENOMEM;
	if (r != 0)
		return r < 0 ? r : MS_SHORTWAY_NONE;
	return take(daemon, &change);
}

static int find_part(struct ms_daemon *daemon, struct ms_arena *arena,
		     struct ms_inventory **ret_part, struct ms_inventory_change *ret_change)
{
	int r = ms_discover_part(daemon->discover, ret_part);

	if (r == 0)
		r = ms_inventory_identify(*ret_part, daemon->loaded->policy);
	return r == 0 ? ms_discover_change(daemon->discover, daemon->inventory, *ret_part, arena,
					   ret_change)
		      : r;
}

int ms_shortway_part(struct ms_daemon *daemon)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *part = NULL;
	_cleanup_(ms_arena_freep) struct ms_arena *arena = NULL;
	struct ms_inventory_change change = {0};

	if (!is_open(daemon) || daemon->holding)
		return MS_SHORTWAY_NONE;
	arena = ms_arena_new();
	int r = arena ? find_part(daemon, arena, &part, &change) : -ENOMEM;
	if (r != 0)
		return r < 0 ? r : MS_SHORTWAY_NONE;
	if (ms_revoke_must_hold(daemon, &change))
		return MS_SHORTWAY_NONE;
	r = take(daemon, &change);
	if (r < 0 || r == MS_SHORTWAY_NONE)
		return r;
	ms_revoke_note_change(daemon, &change);
	/* `installed` is ahead now, which the whole finds as well. */
	if (ms_inventory_patch(daemon->inventory, &change) < 0)
		return MS_SHORTWAY_NONE;
	daemon->n_patches += r == 0; /* it takes memory all the same */
	ms_discover_kept(daemon->discover);
	return r;
}
