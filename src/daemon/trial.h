/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trial: a policy in force that goes again unless somebody says `microseg confirm` in time.
 *
 * While it lasts the state directory says nothing new about what a start takes up: a daemon that
 * starts meanwhile begins with the policy before. And there is a second, tiny process (undo.h) that
 * puts the policy before back into the kernel when no daemon is there to do it.
 */
#pragma once

#include "daemon/loaded.h"

#define MS_TRIAL_MAX_S 86400 /* a longer one is a policy that nobody decided on */

struct ms_daemon;
struct ms_timer;

struct ms_trial {
	bool pending;		  /* the policy in force waits to be confirmed */
	bool bare;		  /* it gives way to no policy at all */
	bool was_armed;		  /* before it */
	uint64_t generation;	  /* since which it is in force */
	uint64_t end_ms;	  /* monotonic */
	time_t end;		  /* the same moment, for people */
	struct ms_loaded *before; /* what was in force, or NULL */
	int watcher;		  /* holds off the process that undoes it; -1: there is none */
	struct ms_timer *timer;
};

int ms_trial_init(struct ms_daemon *daemon);
void ms_trial_fini(struct ms_daemon *daemon);

/** Before the kernel sees the candidate: @seconds from now on. Returns 0 or -errno. */
int ms_trial_prepare(struct ms_daemon *daemon, uint64_t seconds);
/** The candidate was refused after ms_trial_prepare(). */
void ms_trial_abandon(struct ms_daemon *daemon);
/** The candidate is in force. @before, owned by the trial from now on, was. */
void ms_trial_begin(struct ms_daemon *daemon, struct ms_loaded *before);

/** Keeps what is in force. Returns 0; -ENOENT when nothing waits; -errno with nothing changed. */
int ms_trial_confirm(struct ms_daemon *daemon);
/** Gives way to what was in force before: @why, for the log. The line does it in this turn. */
int ms_trial_undo(struct ms_daemon *daemon, const char *why);
/** Carries out ms_trial_undo() where there was no policy before: as the node was found, or the
 * closed door. */
void ms_trial_give_way(struct ms_daemon *daemon);
/** What was before is in force again. */
void ms_trial_undone(struct ms_daemon *daemon);

/** At a start: whatever trial an earlier daemon died in is over. */
void ms_trial_recover(struct ms_daemon *daemon);
