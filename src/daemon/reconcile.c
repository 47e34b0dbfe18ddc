/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The line of the daemon, once a turn: snapshot, identify, bridge flags, compile, plan, commit; a
 * plan without changes is a common end of it. Where no more is known to have changed than a few
 * ports of bridges, the short way does (shortway.c), which leads to the same; everything else runs
 * the line whole. `installed` is what we know the kernel has: it only moves after a commit, and a
 * doubt about it (a foreign change, a failed commit) leads to a look and then to one transaction
 * that replaces everything.
 *
 * A policy that is being applied is the wanted one for the length of the turn. It becomes the one
 * in force after the commit, or it is dropped and nothing has changed.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "daemon/clock.h"
#include "daemon/daemon.h"
#include "daemon/flags.h"
#include "daemon/log.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"

#define SETTLE_MS 2000 /* how long sources may keep a start waiting */
#define SETTLE_POLL_MS 20
#define LEND_MS 1000 /* until records of what ends are looked at, unless a commit comes first */
#define FLAGS_WAIT_MS                                                                              \
	300 /* how long to wait to see our own bridge flags before the first tables                \
	     */
#define FLAGS_RETRY_MS                                                                             \
	1000 /* until flags that could not be set are tried again: a module may come */
#define ADMIT_AGAIN_MS 1
#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 5000

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void plan_finip(struct ms_plan *plan)
{
	ms_plan_fini(plan);
}

static void set_view(struct ms_daemon *daemon)
{
	struct ms_events_view view = {
		.policy = daemon->loaded ? daemon->loaded->policy : NULL,
		.inventory = daemon->inventory,
		.generation = daemon->generation,
	};

	if (daemon->events)
		ms_events_set_view(daemon->events, &view);
}

static int take_snapshot(struct ms_daemon *daemon, const struct ms_policy *policy,
			 struct ms_inventory **ret_inventory)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	int r = ms_discover_snapshot(daemon->discover, &inventory);

	if (r == 0)
		r = ms_inventory_identify(inventory, policy);
	if (r == 0)
		*ret_inventory = ms_steal(&inventory);
	return r;
}

/* Takes over @inventory. */
static void keep_inventory(struct ms_daemon *daemon, struct ms_inventory *inventory)
{
	ms_revoke_note(daemon, daemon->inventory, inventory);
	ms_inventory_free(daemon->inventory);
	daemon->inventory = inventory;
	daemon->n_late = 0; /* the whole has them all */
	ms_discover_kept(daemon->discover);
	set_view(daemon);
}

/* Keeps the reports fresh where nothing is enforced. */
int ms_reconcile_look(struct ms_daemon *daemon)
{
	struct ms_inventory *inventory = NULL;
	int r = take_snapshot(daemon, daemon->loaded ? daemon->loaded->policy : NULL, &inventory);

	if (r == 0)
		keep_inventory(daemon, inventory);
	daemon->patchable = false;
	return r;
}

/* A ruleset that is wanted, with what the short way needs of it. */
struct wanted {
	struct ms_ruleset *ruleset;
	struct ms_roles *roles; /* NULL without a policy */
};

static void wanted_fini(struct wanted *wanted)
{
	ms_ruleset_free(wanted->ruleset);
	ms_roles_free(wanted->roles);
	*wanted = (struct wanted){0};
}

/* Takes over @wanted, and empties it. */
static void keep_wanted(struct ms_daemon *daemon, struct wanted *wanted)
{
	ms_ruleset_free(daemon->installed);
	ms_roles_free(daemon->roles);
	daemon->installed = ms_steal(&wanted->ruleset);
	daemon->roles = ms_steal(&wanted->roles);
	daemon->n_patches = 0;
}

static int compile(struct ms_daemon *daemon, const struct ms_policy *policy,
		   const struct ms_inventory *inventory, struct wanted *ret_wanted)
{
	struct ms_compile_options options = ms_config_compile_options(daemon->config);

	daemon->compiled_at = options.now;
	return policy ? ms_compile_roles(policy, inventory, &options, &ret_wanted->ruleset,
					 &ret_wanted->roles)
		      : ms_compile(NULL, inventory, &options, &ret_wanted->ruleset);
}

static void set_flags_problem(struct ms_daemon *daemon, const char *text)
{
	if (ms_daemon_set_text(&daemon->flags_problem, text) && daemon->flags_problem)
		ms_log(MS_LOG_ERROR, "%s: nothing passes between its containers",
		       daemon->flags_problem);
}

/* A flag that is off after all were seen on was switched off by somebody. */
static void note_repair(struct ms_daemon *daemon, unsigned int n_repaired)
{
	if (n_repaired == 0 || !daemon->installed || daemon->flags_awaited)
		return;
	daemon->counters.flags_repaired += n_repaired;
	ms_log(MS_LOG_WARNING,
	       "netfilter flags of %u bridges were switched off by somebody: on again", n_repaired);
}

/*
 * Switches the flags of managed bridges on. Before the first tables it is worth a moment to see
 * them on: ports are let in only then, and a running host would notice the gap. Sets `waiting` for
 * that.
 */
static void ensure_flags(struct ms_daemon *daemon)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	const struct ms_bridge_state *bridges;
	size_t n_bridges = ms_discover_bridges(daemon->discover, &bridges);
	struct ms_flags_result result;
	uint64_t now_ms = ms_monotonic_ms();

	ms_flags_ensure(daemon->store, bridges, n_bridges, &result, &error);
	set_flags_problem(daemon, error.text);
	if (result.n_set > 0) {
		note_repair(daemon, result.n_repaired);
		if (!daemon->waiting)
			daemon->flags_set_ms = now_ms;
	}
	daemon->flags_awaited = result.n_set > 0;
	daemon->waiting = result.n_set > 0 && !daemon->installed &&
			  now_ms - daemon->flags_set_ms < FLAGS_WAIT_MS;
	if ((daemon->waiting || error.len) && !ms_timer_is_set(daemon->settle))
		ms_timer_set(daemon->settle, daemon->waiting ? FLAGS_WAIT_MS + 1 : FLAGS_RETRY_MS);
}

/* The first of the differences: the log is no place for all of them. */
static const char *first_line(struct ms_str *text)
{
	if (!text->len)
		return "they cannot be read";
	text->text[strcspn(text->text, "\n")] = '\0';
	return text->text;
}

static int replace(struct ms_daemon *daemon, const struct ms_ruleset *wanted, struct ms_str *error)
{
	int r = ms_kernel_replace(daemon->kernel, wanted, error);

	if (r == 0)
		daemon->suspect = daemon->standing = daemon->clock_was_set = false;
	return r;
}

/* Somebody touched our tables. Returns 1 when they were put right. */
static int repair(struct ms_daemon *daemon, const struct ms_ruleset *wanted, struct ms_str *error)
{
	_cleanup_(ms_str_fini) struct ms_str difference = {0};
	int r = ms_kernel_verify(daemon->kernel, daemon->installed, &difference);

	if (r == 0) {
		daemon->suspect = false;
		return 0;
	}
	ms_log(MS_LOG_WARNING, "our tables were changed by somebody: loading them again (%s)",
	       first_line(&difference));
	r = replace(daemon, wanted, error);
	if (r < 0)
		return r;
	daemon->counters.drift_repaired++;
	return 1;
}

/* A plan that the kernel refuses says that it has something else than we think: everything anew, in
 * one transaction. */
static int apply_whole(struct ms_daemon *daemon, const struct ms_ruleset *wanted,
		       struct ms_str *error)
{
	ms_log(MS_LOG_WARNING, "the kernel refused a change (%s): loading everything again",
	       error->text ? error->text : "no reason given");
	ms_str_fini(error);
	daemon->suspect = true;
	int r = replace(daemon, wanted, error);
	return r < 0 ? r : 1;
}

void ms_reconcile_sample(struct ms_daemon *daemon)
{
	int r;

	if (!daemon->loaded || !daemon->installed)
		return;
	r = ms_hits_sample(daemon->hits, daemon->kernel, daemon->loaded->policy, time(NULL));
	if (r < 0)
		ms_log(MS_LOG_WARNING, "the counters of the grants cannot be read: %s",
		       strerror(-r));
}

static int apply_plan(struct ms_daemon *daemon, const struct ms_ruleset *wanted,
		      struct ms_str *error)
{
	_cleanup_(plan_finip) struct ms_plan plan = {0};
	size_t n_elems, n_others;
	int r = ms_plan_make(daemon->installed, wanted, &plan);

	if (r < 0 || plan.changes.n_items == 0)
		return r;
	ms_plan_count(&plan, &n_elems, &n_others);
	if (n_others > 0) /* a chain that is filled anew counts from zero */
		ms_reconcile_sample(daemon);
	r = ms_kernel_apply(daemon->kernel, &plan, error);
	if (r < 0)
		return apply_whole(daemon, wanted, error);
	ms_log(MS_LOG_INFO, "generation %" PRIu64 ": %zu elements and %zu other changes",
	       daemon->generation + 1, n_elems, n_others);
	return 1;
}

/* Before the snapshot: a takeover puts the inventory of before in place, which tells what changed
 * hands meanwhile. */
static void take_over(struct ms_daemon *daemon)
{
	_cleanup_(ms_str_fini) struct ms_str difference = {0};

	if (daemon->installed || !daemon->standing)
		return;
	if (ms_takeover(daemon, &difference) > 0)
		ms_log(MS_LOG_NOTICE, "the tables of an earlier process are replaced (%s)",
		       first_line(&difference));
	set_view(daemon);
}

/* Gives the kernel, which has @wanted, its ends again. */
static int retime(struct ms_daemon *daemon, const struct ms_ruleset *wanted, struct ms_str *error)
{
	_cleanup_(plan_finip) struct ms_plan plan = {0};
	int r = ms_plan_retime(wanted, &plan);

	if (r == 0 && plan.changes.n_items > 0)
		r = ms_kernel_apply(daemon->kernel, &plan, error);
	if (r < 0)
		return r;
	daemon->clock_was_set = false;
	return 1;
}

/*
 * The tables of an earlier process know which connections are over, and take that along. So what
 * the policy refuses is cut while they stand: in new tables it would be open until it is looked
 * for.
 */
static void cut_first(struct ms_daemon *daemon, const struct ms_policy *policy,
		      const struct ms_inventory *inventory, const struct ms_ruleset *wanted)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	if (ms_kernel_adopt(daemon->kernel, wanted, &error) == 0) /* or they may not be written */
		ms_revoke_refused(daemon->kernel, wanted, policy, inventory);
}

/* Brings the kernel from whatever it has to @wanted, which @policy and @inventory make. Returns 1
 * when it changed, 0 when it had it, -errno. */
static int install(struct ms_daemon *daemon, const struct ms_policy *policy,
		   const struct ms_inventory *inventory, const struct ms_ruleset *wanted,
		   struct ms_str *error)
{
	if (!daemon->installed) {
		if (daemon->standing && policy)
			cut_first(daemon, policy, inventory, wanted);
		int r = replace(daemon, wanted, error);
		return r < 0 ? r : 1;
	}
	ms_ruleset_settle(daemon->installed);
	if (daemon->suspect) {
		int r = repair(daemon, wanted, error);
		if (r != 0)
			return r;
	}
	int r = apply_plan(daemon, wanted, error);
	return r < 0 || !daemon->clock_was_set ? r : retime(daemon, wanted, error);
}

void ms_reconcile_back_off(struct ms_daemon *daemon, const char *problem)
{
	daemon->backoff_ms = daemon->backoff_ms ? daemon->backoff_ms * 2 : BACKOFF_MIN_MS;
	if (daemon->backoff_ms > BACKOFF_MAX_MS)
		daemon->backoff_ms = BACKOFF_MAX_MS;
	if (ms_daemon_set_text(&daemon->problem, problem))
		ms_log(MS_LOG_ERROR, "%s; what stands in the kernel stays, trying again", problem);
	ms_timer_set(daemon->retry, daemon->backoff_ms);
}

static void count_apply(struct ms_daemon *daemon, uint64_t since_us, int r)
{
	daemon->counters.last_apply_failed = r < 0;
	if (r < 0) {
		daemon->counters.apply_failures++;
		return;
	}
	daemon->counters.applies++;
	daemon->counters.apply_us_total += now_us() - since_us;
}

static void next_generation(struct ms_daemon *daemon)
{
	daemon->generation++;
	ms_state_set_generation(daemon->store, daemon->generation);
	if (daemon->candidate)
		ms_revoke_ordered(daemon);
	else
		ms_revoke_soon(daemon);
}

/* Tables that were taken over may have records that nobody has looked at for long. */
static void expect_end(struct ms_daemon *daemon)
{
	time_t end = ms_compile_next_end(daemon->loaded->policy, daemon->compiled_at);

	ms_clock_set(daemon->clock, end);
	if (end && !ms_timer_is_set(daemon->lend))
		ms_timer_set(daemon->lend, LEND_MS);
}

/* What every commit ends with. */
static void settle_commit(struct ms_daemon *daemon, bool changed)
{
	daemon->patchable = true;
	if (changed)
		ms_takeover_note(daemon);
	ms_daemon_set_text(&daemon->problem, NULL);
	daemon->backoff_ms = 0;
	expect_end(daemon);
}

/* @changed: the kernel, or the policy it stands for, is another than before. @wanted empty: it was
 * patched. */
static void finish_commit(struct ms_daemon *daemon, struct wanted *wanted,
			  struct ms_inventory *inventory, bool changed)
{
	struct ms_loaded *before = NULL;

	if (changed || daemon->candidate || daemon->generation == 0)
		next_generation(daemon);
	if (daemon->candidate)
		before = ms_candidate_promote(daemon);
	if (wanted->ruleset)
		keep_wanted(daemon, wanted);
	keep_inventory(daemon, inventory);
	settle_commit(daemon, changed);
	ms_loaded_free(before);
	ms_candidate_answer_done(daemon);
}

/* Brings the kernel to what @inventory and the policy make of each other. @ret_wanted stays empty
 * where the short way was there. Returns as install(). */
static int update(struct ms_daemon *daemon, const struct ms_policy *policy,
		  const struct ms_inventory *inventory, struct wanted *ret_wanted,
		  struct ms_str *error)
{
	int r = ms_shortway(daemon, inventory);

	if (r != MS_SHORTWAY_NONE)
		return r;
	r = compile(daemon, policy, inventory, ret_wanted);
	return r == 0 ? install(daemon, policy, inventory, ret_wanted->ruleset, error) : r;
}

/* The shortest way. Returns whether it was there. */
static bool enforce_part(struct ms_daemon *daemon)
{
	uint64_t since_us = now_us();
	int r = ms_shortway_part(daemon);

	if (r < 0 || r == MS_SHORTWAY_NONE)
		return false;
	if (r > 0) {
		count_apply(daemon, since_us, r);
		next_generation(daemon);
	}
	set_view(daemon);
	settle_commit(daemon, r > 0);
	return true;
}

/*
 * A port passes only what comes by the very interface that was looked at (MS_ADMITTED_GROUP). Where
 * rules may still stand that say something else of its name, it gets the mark once they are gone.
 */
static void admit_new(struct ms_daemon *daemon, const struct ms_inventory *inventory)
{
	int r = 0;

	if (daemon->installed || !daemon->standing)
		r = ms_discover_admit(daemon->discover, inventory,
				      daemon->installed ? daemon->inventory : NULL);
	/* Before the first tables all of them get it, or a running host would notice. */
	daemon->waiting = r == -EAGAIN && !daemon->installed;
	if (daemon->waiting && !ms_timer_is_set(daemon->settle))
		ms_timer_set(daemon->settle, ADMIT_AGAIN_MS);
}

int ms_reconcile_admit(struct ms_daemon *daemon, const struct ms_inventory *inventory)
{
	uint64_t before = ms_discover_n_readmitted(daemon->discover);
	int r = ms_discover_admit(daemon->discover, inventory, NULL);
	uint64_t n_again = ms_discover_n_readmitted(daemon->discover) - before;

	if (n_again > 0 && daemon->installed)
		ms_log(MS_LOG_WARNING,
		       "the group of %" PRIu64 " interfaces was changed by somebody: it is again "
		       "what our rules ask for",
		       n_again);
	daemon->counters.flags_repaired += daemon->installed ? n_again : 0;
	return r;
}

void ms_reconcile_admit_all(void *userdata)
{
	struct ms_daemon *daemon = userdata;
	int r = daemon->installed ? ms_reconcile_admit(daemon, daemon->inventory) : 0;

	if (r == -EAGAIN)
		ms_timer_set(daemon->admit, ADMIT_AGAIN_MS);
	if (r == 0 || r == -EAGAIN)
		return;
	ms_log(MS_LOG_WARNING, "a port cannot be marked (%s): it passes nothing until it can be",
	       strerror(-r));
	ms_timer_set(daemon->admit, FLAGS_RETRY_MS);
}

static int enforce(struct ms_daemon *daemon)
{
	const struct ms_loaded *loaded = daemon->candidate ? daemon->candidate : daemon->loaded;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(wanted_fini) struct wanted wanted = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	uint64_t since_us = now_us();
	bool held = false;
	bool arming;
	int r;

	ensure_flags(daemon);
	if (daemon->installed)
		ms_discover_admit_early(daemon->discover, daemon->inventory);
	if (daemon->waiting || enforce_part(daemon))
		return 0;
	arming = !daemon->installed && !daemon->standing;
	take_over(daemon);
	r = take_snapshot(daemon, loaded->policy, &inventory);
	if (r == 0)
		held = ms_revoke_hold(daemon, inventory);
	if (r == 0)
		admit_new(daemon, inventory);
	if (daemon->waiting)
		return 0;
	if (r == 0)
		r = update(daemon, loaded->policy, inventory, &wanted, &error);
	if (r != 0)
		count_apply(daemon, since_us, r);
	if (r < 0) {
		const char *message = error.len ? error.text : strerror(-r);

		if (daemon->candidate && daemon->candidate_kind != MS_CANDIDATE_UNDO)
			ms_candidate_drop(daemon, r, message);
		else
			ms_reconcile_back_off(daemon, message);
		return r;
	}
	if (arming)
		ms_adopt_begin(daemon);
	finish_commit(daemon, &wanted, ms_steal(&inventory), r > 0);
	ms_reconcile_admit_all(daemon);
	if (held) {
		ms_discover_doubt(daemon->discover);
		ms_revoke_held(daemon);
	}
	return 0;
}

/* Armed, and the policy can't be read: what stands stays; where nothing stands, the closed door. */
int ms_reconcile_close_door(struct ms_daemon *daemon)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(wanted_fini) struct wanted wanted = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	take_over(daemon);
	int r = take_snapshot(daemon, NULL, &inventory);

	if (r == 0)
		r = compile(daemon, NULL, inventory, &wanted);
	if (r == 0)
		r = install(daemon, NULL, inventory, wanted.ruleset, &error);
	if (r < 0) {
		ms_reconcile_back_off(daemon, error.len ? error.text : strerror(-r));
		return r;
	}
	keep_wanted(daemon, &wanted);
	daemon->patchable = false;
	keep_inventory(daemon, ms_steal(&inventory));
	return 0;
}

static void enforce_blindly(struct ms_daemon *daemon)
{
	if (daemon->standing && ms_kernel_present(daemon->kernel) != 0) {
		ms_reconcile_look(daemon);
		ms_daemon_set_text(
			&daemon->problem,
			"no policy can be read: the tables of an earlier start stand unchanged");
		return;
	}
	daemon->standing = false;
	if (ms_reconcile_close_door(daemon) == 0)
		ms_daemon_set_text(
			&daemon->problem,
			"no policy can be read: managed interfaces pass nothing until one is applied");
}

/* While off nothing of ours is in the kernel. A policy that comes meanwhile is remembered. */
static void stay_off(struct ms_daemon *daemon)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	if (daemon->candidate) {
		next_generation(daemon);
		struct ms_loaded *before = ms_candidate_promote(daemon);

		ms_reconcile_look(daemon);
		ms_loaded_free(before);
		ms_candidate_answer_done(daemon);
	} else {
		ms_reconcile_look(daemon);
	}
	if (daemon->cleared)
		return;
	int r = ms_kernel_replace(daemon->kernel, NULL, &error);
	if (r == 0)
		r = ms_flags_restore(daemon->store, &error);
	ms_discover_dismissed(daemon->discover);
	if (r < 0) {
		ms_reconcile_back_off(daemon, error.len ? error.text : strerror(-r));
		return;
	}
	daemon->installed = ms_ruleset_free(daemon->installed);
	daemon->standing = daemon->suspect = false;
	daemon->cleared = true;
	daemon->flags_set_ms = daemon->backoff_ms = 0;
	ms_daemon_set_text(&daemon->problem, NULL);
	ms_daemon_set_text(&daemon->flags_problem, NULL);
}

/* Sources that have not answered keep a start waiting, but not for ever. */
static bool settled(struct ms_daemon *daemon)
{
	if (!daemon->starting)
		return true;
	if (!ms_discover_settled(daemon->discover) &&
	    ms_monotonic_ms() - daemon->start_ms < SETTLE_MS) {
		ms_timer_set(daemon->settle, SETTLE_POLL_MS);
		return false;
	}
	return true;
}

static void started(struct ms_daemon *daemon)
{
	if (!daemon->starting || daemon->waiting)
		return;
	daemon->starting = false;
	ms_log(MS_LOG_NOTICE, "%s, generation %" PRIu64,
	       ms_daemon_state_name(ms_daemon_state(daemon)), daemon->generation);
	ms_notify("READY=1");
}

void ms_reconcile(void *userdata)
{
	struct ms_daemon *daemon = userdata;

	if (daemon->stopping || !settled(daemon))
		return;
	if (ms_timer_is_set(daemon->retry))
		return; /* the kernel refused a moment ago */
	if (daemon->trial.bare)
		ms_trial_give_way(daemon);
	else if (daemon->off)
		stay_off(daemon);
	else if (daemon->candidate || daemon->loaded)
		enforce(daemon);
	else if (daemon->armed)
		enforce_blindly(daemon);
	else
		ms_reconcile_look(daemon);
	started(daemon);
	if (daemon->stop_soon)
		ms_daemon_stop(daemon);
}

int ms_reconcile_start(struct ms_daemon *daemon)
{
	int r;

	ms_trial_recover(daemon);
	r = ms_kernel_present(daemon->kernel);
	if (r < 0) {
		ms_log(MS_LOG_ERROR, "cannot look at the tables in the kernel: %s", strerror(-r));
		return r;
	}
	daemon->standing = r > 0;
	/* A state directory that was lost does not disarm a node: its tables say that it was armed.
	 */
	daemon->armed |= daemon->standing;
	if (!daemon->armed || daemon->off || daemon->standing)
		return 0;
	ms_log(MS_LOG_NOTICE,
	       "armed, and no tables stand: managed interfaces are closed until all is known");
	r = ms_reconcile_close_door(daemon);
	return r == -ENOMEM ? r : 0;
}
