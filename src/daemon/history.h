/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * History: every policy that was in force, in the state directory.
 *
 *	policy             the one a start takes up
 *	policy.next        the one being applied, or waiting to be confirmed
 *	history/7          was in force from generation 7 on
 *	history/9.trial    waits to be confirmed
 *	history/9.undone   was not confirmed, and gave way again
 *
 * All are the same kind of file: the files byte for byte, who applied them, when and how, behind a
 * checksum. What becomes of one is told by its name alone, and an entry is a second name (a hard
 * link) of what was staged: once a policy is staged nothing more has to be written, so a disk that
 * fills up between loses nothing.
 */
#pragma once

#include "daemon/state.h"

#define MS_HISTORY_MAX 32			      /* entries; the oldest go first */
#define MS_HISTORY_MAX_SIZE ((off_t)64 * 1024 * 1024) /* bytes of all of them */
#define MS_APPLIED_USER 64

enum ms_applied_state {
	MS_APPLIED_CONFIRMED,
	MS_APPLIED_TRIAL,
	MS_APPLIED_UNDONE,
};

const char *ms_applied_state_name(enum ms_applied_state state); /* "applied", "trial", "undone" */

/** One policy that was applied. */
struct ms_applied {
	uint64_t generation; /* of the commit that brought it into force */
	enum ms_applied_state state;
	bool readable; /* false: its checksum is wrong, and only generation and state are known */
	bool in_force; /* the one a start takes up */
	bool trial;    /* was applied with --confirm */
	time_t time;
	uint32_t uid;		    /* of who asked for it */
	char user[MS_APPLIED_USER]; /* and the name of it, if it has one */
	char via[16];		    /* "apply", "rollback", "start", "SIGHUP" */
	uint64_t rollback_of;	    /* whose files these are, or 0 */
	uint64_t hash;		    /* as struct ms_policy has it */
	uint64_t n_files;
};
typedef MS_VEC(struct ms_applied) ms_applied_vec;

#define MS_STATE_UNSYNCED 1 /* done, but the disk did not say that it lasts */

/** Writes @files beside the policy in force. */
int ms_state_stage_policy(struct ms_state *state, const struct ms_files *files,
			  const struct ms_applied *applied);
/**
 * What is staged has come into force with @generation: it enters the history, and unless it is a
 * @trial it is what the next start takes up. Returns 0, MS_STATE_UNSYNCED or -errno; -errno of the
 * history alone is no failure of the rest, and is put into @ret_history.
 */
int ms_state_commit_policy(struct ms_state *state, uint64_t generation, bool trial,
			   int *ret_history);
/** Tries once more what ms_state_commit_policy() failed in. Nothing else may be staged meanwhile.
 */
int ms_state_commit_again(struct ms_state *state);
/** The trial of @generation is over: from now on it is what a start takes up. Returns 0,
 * MS_STATE_UNSYNCED or -errno. */
int ms_state_confirm(struct ms_state *state, uint64_t generation);
/** What tells the staged policy from every other one; 0: nothing is staged. */
uint64_t ms_state_staged(const struct ms_state *state);
/** No trial goes on any more: those that are marked so are undone. */
int ms_state_end_trials(struct ms_state *state);
/** Was the one being applied when the last daemon ended a trial on a node never armed before? */
bool ms_state_first_was_trial(const struct ms_state *state);

/**
 * Reads the policy in force; @applied may be NULL. Returns 0; -ENOENT when there never was one;
 * -EBADMSG when it is torn; -errno.
 */
int ms_state_load_policy(const struct ms_state *state, struct ms_files *files,
			 struct ms_applied *applied);

/** Appends all entries to a heap vec, oldest first. None is not an error. */
int ms_state_history(const struct ms_state *state, ms_applied_vec *entries);
/** Reads the files of one entry. Returns as ms_state_load_policy(). */
int ms_state_load_applied(const struct ms_state *state, uint64_t generation, struct ms_files *files,
			  struct ms_applied *applied);
/**
 * The entry that a rollback goes to when nobody says which: the newest one before what is in force
 * that says something else. Of a policy that a rollback brought back, "before" means before the
 * one it brought back. NULL: there is none.
 */
const struct ms_applied *ms_history_previous(const ms_applied_vec *entries);
