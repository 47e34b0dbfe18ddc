/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Candidate: the policy on its way into the kernel, and what becomes of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/flags.h"
#include "daemon/log.h"
#include "microseg/cleanup.h"

#define REMEMBER_AGAIN_MS 2000

void ms_candidate_answer(struct ms_daemon *daemon, int error, const char *message)
{
	struct ms_apply_result result = {.error = error, .message = message};
	ms_apply_fn applied = daemon->applied;

	daemon->applied = NULL;
	if (applied)
		applied(&result, daemon->applied_userdata);
}

static void forget_candidate(struct ms_daemon *daemon)
{
	daemon->candidate = ms_loaded_free(daemon->candidate);
	json_decref(daemon->overlay_next);
	daemon->overlay_next = NULL;
}

/* The kernel refused what the candidate compiles to. Nothing changed there; the policy in force is
 * taken up again. */
void ms_candidate_drop(struct ms_daemon *daemon, int r, const char *message)
{
	_cleanup_(ms_str_fini) struct ms_str ignored = {0};

	ms_log(MS_LOG_ERROR, "the new policy cannot be put into the kernel: %s", message);
	if (daemon->candidate_kind == MS_CANDIDATE_APPLY)
		ms_daemon_set_text(&daemon->policy_problem, message);
	if (daemon->candidate_kind == MS_CANDIDATE_APPLY && daemon->order.confirm_s)
		ms_trial_abandon(daemon);
	if (!daemon->armed) {
		ms_flags_restore(daemon->store, &ignored);
		ms_discover_dismissed(daemon->discover);
	}
	if (daemon->overlay_next && ms_state_save_overlay(daemon->store, daemon->overlay) < 0)
		ms_log(MS_LOG_ERROR, "%s has what was refused: a restart tries it again",
		       daemon->config->state);
	forget_candidate(daemon);
	ms_candidate_answer(daemon, r, message);
	ms_loop_defer(daemon->loop);
}

void ms_candidate_answer_done(struct ms_daemon *daemon)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (!daemon->memory_problem || daemon->candidate_kind != MS_CANDIDATE_APPLY) {
		ms_candidate_answer(daemon, 0, NULL);
		return;
	}
	ms_str_addf(&text, "generation %" PRIu64 " is in force, but %s", daemon->generation,
		    daemon->memory_problem);
	ms_candidate_answer(daemon, -EIO, text.text ? text.text : daemon->memory_problem);
}

void ms_candidate_cannot_remember(struct ms_daemon *daemon, int r)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	ms_str_addf(&text,
		    "the policy in force cannot be remembered in %s: %s; a restart would bring the "
		    "one before it back (it is tried again all the time)",
		    daemon->config->state, strerror(r < 0 ? -r : EIO));
	if (ms_daemon_set_text(&daemon->memory_problem, text.text))
		ms_log(MS_LOG_ERROR, "%s", daemon->memory_problem ? daemon->memory_problem : "");
	ms_timer_set(daemon->commit, REMEMBER_AGAIN_MS);
}

int ms_candidate_remember(struct ms_daemon *daemon)
{
	if (!daemon->memory_problem)
		return 0;
	int r = ms_state_commit_again(daemon->store);
	if (r == 0)
		r = ms_state_set_armed(daemon->store);
	if (r != 0) {
		ms_candidate_cannot_remember(daemon, r);
		return r < 0 ? r : -EIO;
	}
	ms_timer_stop(daemon->commit);
	ms_daemon_set_text(&daemon->memory_problem, NULL);
	ms_log(MS_LOG_NOTICE, "the policy in force is remembered now");
	return 0;
}

void ms_candidate_remember_again(void *userdata)
{
	ms_candidate_remember(userdata);
}

/* An applied policy is on disk since before the kernel saw it: it only changes its name. */
static void remember_applied(struct ms_daemon *daemon)
{
	bool trial = daemon->order.confirm_s > 0;
	int history = 0;
	int r = ms_state_commit_policy(daemon->store, daemon->generation, trial, &history);

	if (r == 0 && !trial)
		r = ms_state_set_armed(daemon->store);
	if (r != 0)
		ms_candidate_cannot_remember(daemon, r);
	if (history < 0)
		ms_log(MS_LOG_ERROR, "the history in %s cannot be written: %s",
		       daemon->config->state, strerror(-history));
	daemon->applied_by = daemon->order.by;
	daemon->applied_by.generation = daemon->generation;
	ms_log(MS_LOG_NOTICE, "generation %" PRIu64 ": a policy of %zu files is in force%s%s",
	       daemon->generation, daemon->loaded->files.list.n_items,
	       daemon->armed ? "" : ": this node is armed from now on",
	       trial ? "; it waits to be confirmed" : "");
	daemon->armed = true;
	ms_daemon_set_text(&daemon->policy_problem, NULL);
}

/* The candidate is in force, since daemon->generation. The one before it goes when nothing points
 * into it any more: see the callers. */
struct ms_loaded *ms_candidate_promote(struct ms_daemon *daemon)
{
	struct ms_loaded *before = daemon->loaded;

	daemon->loaded = ms_steal(&daemon->candidate);
	if (daemon->overlay_next) {
		json_decref(daemon->overlay);
		daemon->overlay = ms_steal(&daemon->overlay_next);
	}
	if (daemon->candidate_kind == MS_CANDIDATE_UNDO) {
		ms_trial_undone(daemon);
		ms_daemon_know_applied(daemon);
	}
	if (daemon->candidate_kind != MS_CANDIDATE_APPLY)
		return before;
	remember_applied(daemon);
	if (daemon->order.confirm_s == 0)
		return before;
	ms_trial_begin(daemon, before);
	return NULL;
}
