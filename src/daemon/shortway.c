/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The short way: a container that comes or goes changes a few elements, whatever else runs on the
 * node, and is not worth compiling everything. ms_compile_delta() says when that holds; here its
 * plan goes to the kernel and then into `installed`, which stays equal to what the kernel has.
 *
 * Where discovery knows which veths changed, nothing else is looked at either: neither another
 * snapshot is made nor are two compared, and the inventory in force is patched like the ruleset.
 *
 * Who comes by it is late for the maps of verdicts: an element there costs the kernel a look at all
 * of them (dispatch.c of the compiler). When it has been quiet for a moment, or many are late, the
 * maps get them, a few at a time.
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
#define LATE_MS 1000	 /* of quiet, before the maps get who is late */
#define LATE_MAX 256	 /* who may be waiting for that */
#define LATE_STEP (MS_DELTA_MAX / 2)

MS_DEFINE_CLEANUP(struct ms_arena *, ms_arena_free)

static int carry_out(struct ms_daemon *daemon, const struct ms_plan *plan)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
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
	return 1;
}

static void report(const struct ms_daemon *daemon, const struct ms_plan *plan)
{
	size_t n_elems, n_others;

	ms_plan_count(plan, &n_elems, &n_others);
	ms_log(MS_LOG_INFO, "generation %" PRIu64 ": %zu elements", daemon->generation + 1,
	       n_elems);
}

static bool is_open(const struct ms_daemon *daemon)
{
	return daemon->patchable && daemon->installed && daemon->roles && !daemon->candidate &&
	       !daemon->suspect && daemon->n_patches < MAX_PATCHES;
}

/* Carries @change out in the kernel, on `installed` and the roles. @settling: it changes no
 * verdict, and makes no generation. Returns as ms_shortway(). */
static int take(struct ms_daemon *daemon, const struct ms_inventory_change *change, bool settling)
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
	if (r == 1 && !settling)
		report(daemon, &delta.plan);
	return r;
}

static int push_late(struct ms_endpoint *endpoint, struct ms_arena *arena,
		     struct ms_inventory_change *change)
{
	struct ms_endpoint *settled = ms_arena_alloc(arena, sizeof(*settled));
	int r = settled ? ms_avec_push(arena, &change->gone, endpoint) : -ENOMEM;

	if (r < 0)
		return r;
	*settled = *endpoint;
	settled->late = false;
	return ms_avec_push(arena, &change->come, settled);
}

/* Gives the maps a few of those who are late. Returns how many, or -errno. */
static int settle_some(struct ms_daemon *daemon)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	struct ms_inventory_change change = {0};
	int r = arena ? 0 : -ENOMEM;

	ms_vec_each (struct ms_endpoint, endpoint, &daemon->inventory->endpoints)
		if (r == 0 && endpoint->late && change.gone.n_items < LATE_STEP)
			r = push_late(endpoint, arena, &change);
	if (r == 0 && change.gone.n_items > 0)
		r = take(daemon, &change, true);
	if (r < 0 || r == MS_SHORTWAY_NONE)
		return r < 0 ? r : -EAGAIN;
	ms_vec_each (const struct ms_endpoint *, endpoint, &change.gone)
		((struct ms_endpoint *)*endpoint)->late = false;
	return (int)change.gone.n_items;
}

/* What cannot be settled by itself the whole settles. */
static void give_up(struct ms_daemon *daemon)
{
	daemon->patchable = false;
	ms_discover_doubt(daemon->discover);
}

void ms_shortway_settle(struct ms_daemon *daemon)
{
	int r = daemon->n_late == 0 ? 0 : is_open(daemon) ? 1 : -EAGAIN;

	while (r > 0)
		r = settle_some(daemon);
	if (r < 0)
		give_up(daemon);
	daemon->n_late = 0;
}

void ms_shortway_late(void *userdata)
{
	struct ms_daemon *daemon = userdata;
	int r = daemon->n_late == 0 ? 0 : is_open(daemon) ? settle_some(daemon) : -EAGAIN;

	if (r < 0)
		give_up(daemon);
	if (r < LATE_STEP) {
		daemon->n_late = 0;
		if (daemon->installed)
			ms_ruleset_settle(daemon->installed);
	} else {
		ms_timer_set(daemon->late, 0);
	}
}

static void note_late(struct ms_daemon *daemon, size_t n_come)
{
	daemon->n_late += n_come;
	if (n_come > 0)
		ms_timer_set(daemon->late, daemon->n_late < LATE_MAX ? LATE_MS : 0);
}

int ms_shortway(struct ms_daemon *daemon, const struct ms_inventory *inventory)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = NULL;
	struct ms_inventory_change change = {0};

	ms_shortway_settle(daemon); /* a snapshot knows nothing of it */
	if (!is_open(daemon))
		return MS_SHORTWAY_NONE;
	arena = ms_arena_new();
	int r = arena ? ms_inventory_compare(daemon->inventory, inventory, arena, &change)
		      : -ENOMEM;
	if (r != 0)
		return r < 0 ? r : MS_SHORTWAY_NONE;
	return take(daemon, &change, false);
}

static int find_part(struct ms_daemon *daemon, struct ms_arena *arena,
		     struct ms_inventory **ret_part, struct ms_inventory_change *ret_change)
{
	int r = ms_discover_part(daemon->discover, ret_part);

	if (r == 0)
		r = ms_inventory_identify(*ret_part, daemon->loaded->policy);
	if (r == 0)
		ms_vec_each (struct ms_endpoint, endpoint, &(*ret_part)->endpoints)
			endpoint->late = true;
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
	if (ms_revoke_must_hold(daemon, &change) &&
	    (!ms_revoke_at_once(daemon) || ms_revoke_must_hold(daemon, &change)))
		return MS_SHORTWAY_NONE;
	/* Whose name no rule has yet can pass nothing by it before the commit. */
	ms_discover_admit(daemon->discover, part, daemon->inventory);
	r = take(daemon, &change, false);
	if (r < 0 || r == MS_SHORTWAY_NONE)
		return r;
	if (ms_reconcile_admit(daemon, part) < 0)
		ms_timer_set(daemon->admit, 0);
	ms_revoke_note_change(daemon, &change);
	/* `installed` is ahead now, which the whole finds as well. */
	if (ms_inventory_patch(daemon->inventory, &change) < 0)
		return MS_SHORTWAY_NONE;
	daemon->n_patches += r == 0; /* it takes memory all the same */
	note_late(daemon, change.come.n_items);
	ms_discover_kept(daemon->discover);
	return r;
}
