/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/trial.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/flags.h"
#include "daemon/log.h"
#include "daemon/undo.h"
#include "microseg/cleanup.h"

#define AGAIN_MS 100 /* while something else is on its way into the kernel */

static void on_timer(void *userdata)
{
	struct ms_daemon *daemon = userdata;

	if (ms_trial_undo(daemon, "nobody confirmed it in time") == -EBUSY)
		ms_timer_set(daemon->trial.timer, AGAIN_MS);
}

/* What was before, with what commands added meanwhile: a quarantine does not end with a trial. */
static struct ms_loaded *reload_before(struct ms_daemon *daemon)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str diagnostics = {0};
	struct ms_loaded *loaded = NULL;
	int r = ms_files_copy(&daemon->trial.before->files, &files);

	if (r == 0)
		r = ms_daemon_load(daemon, &files, &diagnostics, &loaded);
	if (r == 0)
		return loaded;
	ms_log(MS_LOG_ERROR,
	       "what commands added meanwhile cannot be joined to the policy before: %s",
	       diagnostics.len ? diagnostics.text : strerror(-r));
	return ms_steal(&daemon->trial.before);
}

int ms_trial_init(struct ms_daemon *daemon)
{
	daemon->trial.watcher = -1;
	daemon->trial.timer = ms_loop_timer(daemon->loop, on_timer, daemon);
	return daemon->trial.timer ? 0 : -ENOMEM;
}

void ms_trial_fini(struct ms_daemon *daemon)
{
	/* Without a word to it: a trial that still goes on is the other process's from now on. */
	if (daemon->trial.watcher >= 0)
		close(daemon->trial.watcher);
	daemon->trial.watcher = -1;
	ms_timer_free(daemon->trial.timer);
	ms_loaded_free(daemon->trial.before);
}

int ms_trial_prepare(struct ms_daemon *daemon, uint64_t seconds)
{
	struct ms_trial *trial = &daemon->trial;

	trial->was_armed = daemon->armed;
	trial->end_ms = ms_monotonic_ms() + seconds * 1000;
	trial->end = time(NULL) + (time_t)seconds;
	return ms_undo_start(daemon->config, ms_state_staged(daemon->store), trial->end_ms,
			     &trial->watcher);
}

static void end(struct ms_daemon *daemon)
{
	struct ms_trial *trial = &daemon->trial;

	ms_undo_stop(&trial->watcher);
	ms_timer_stop(trial->timer);
	trial->before = ms_loaded_free(trial->before);
	trial->pending = trial->bare = false;
}

void ms_trial_abandon(struct ms_daemon *daemon)
{
	ms_undo_stop(&daemon->trial.watcher);
}

void ms_trial_begin(struct ms_daemon *daemon, struct ms_loaded *before)
{
	struct ms_trial *trial = &daemon->trial;
	uint64_t now_ms = ms_monotonic_ms();

	trial->pending = true;
	trial->before = before;
	trial->generation = daemon->generation;
	ms_timer_set(trial->timer, trial->end_ms > now_ms ? trial->end_ms - now_ms : 0);
}

int ms_trial_confirm(struct ms_daemon *daemon)
{
	struct ms_trial *trial = &daemon->trial;

	if (!trial->pending)
		return -ENOENT;
	int r = ms_state_confirm(daemon->store, trial->generation);
	if (r < 0)
		return r;
	if (r == 0)
		r = ms_state_set_armed(daemon->store);
	if (r != 0)
		ms_candidate_cannot_remember(daemon, r);
	ms_log(MS_LOG_NOTICE, "generation %" PRIu64 " is confirmed", trial->generation);
	end(daemon);
	return 0;
}

int ms_trial_undo(struct ms_daemon *daemon, const char *why)
{
	struct ms_trial *trial = &daemon->trial;

	if (!trial->pending)
		return -ENOENT;
	if (daemon->candidate) /* something is on its way into the kernel: after it */
		return -EBUSY;
	ms_log(MS_LOG_WARNING, "generation %" PRIu64 " gives way to what was before: %s",
	       trial->generation, why);
	ms_timer_stop(trial->timer);
	ms_timer_stop(daemon->retry);
	if (trial->before) {
		daemon->candidate = reload_before(daemon);
		daemon->candidate_kind = MS_CANDIDATE_UNDO;
	}
	trial->bare = !daemon->candidate;
	ms_loop_defer(daemon->loop);
	return 0;
}

static int clear_kernel(struct ms_daemon *daemon, struct ms_str *error)
{
	int r = ms_kernel_replace(daemon->kernel, NULL, error);

	if (r == 0)
		r = ms_flags_restore(daemon->store, error);
	ms_discover_dismissed(daemon->discover);
	return r;
}

/* As the node was found. */
static int disarm(struct ms_daemon *daemon)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	int r = clear_kernel(daemon, &error);

	if (r < 0) {
		ms_reconcile_back_off(daemon, error.len ? error.text : strerror(-r));
		return r;
	}
	daemon->installed = ms_ruleset_free(daemon->installed);
	daemon->armed = daemon->trial.was_armed;
	daemon->standing = daemon->suspect = false;
	daemon->flags_set_ms = daemon->backoff_ms = 0;
	ms_daemon_set_text(&daemon->problem, NULL);
	ms_daemon_set_text(&daemon->flags_problem, NULL);
	return 0;
}

void ms_trial_give_way(struct ms_daemon *daemon)
{
	struct ms_loaded *unconfirmed = daemon->loaded;
	int r = daemon->trial.was_armed && !daemon->off ? ms_reconcile_close_door(daemon)
							: disarm(daemon);

	if (r < 0)
		return;
	daemon->loaded = NULL;
	daemon->applied_by = (struct ms_applied){0};
	ms_reconcile_look(daemon); /* nothing points into it from now on */
	ms_loaded_free(unconfirmed);
	ms_trial_undone(daemon);
}

void ms_trial_undone(struct ms_daemon *daemon)
{
	int r = ms_state_end_trials(daemon->store);

	if (r < 0)
		ms_log(MS_LOG_ERROR, "the history in %s cannot be written: %s",
		       daemon->config->state, strerror(-r));
	end(daemon);
}

void ms_trial_recover(struct ms_daemon *daemon)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	bool first = ms_state_first_was_trial(daemon->store);
	int r = first ? clear_kernel(daemon, &error) : 0;

	if (r == 0)
		r = ms_state_end_trials(daemon->store);
	if (r < 0)
		ms_log(MS_LOG_ERROR, "what an earlier microsegd tried cannot be taken away: %s",
		       error.len ? error.text : strerror(-r));
	else if (first)
		ms_log(MS_LOG_WARNING,
		       "the first policy of this node was not confirmed: it is taken away again");
}
