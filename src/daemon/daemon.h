/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Daemon: the one object that ties sources, policy, kernel and control socket together. Internal to
 * this room.
 *
 * daemon.c starts and stops it and takes orders; reconcile.c runs the line; report.c and metrics.c
 * only look.
 */
#pragma once

#include "daemon/config.h"
#include "daemon/events.h"
#include "daemon/loaded.h"
#include "daemon/state.h"
#include "discover/discover.h"
#include "kernel/kernel.h"
#include "loop/loop.h"

enum ms_daemon_state {
	MS_DAEMON_STARTING,  /* sources have not all answered; what stands in the kernel stands */
	MS_DAEMON_OBSERVING, /* never armed: nothing of ours is in the kernel */
	MS_DAEMON_ENFORCING,
	MS_DAEMON_DEGRADED, /* the last good state stands, and something keeps us from the newest */
	MS_DAEMON_OFF,
	MS_DAEMON_STOPPING,
};

const char *ms_daemon_state_name(enum ms_daemon_state state);

/** What became of a policy handed over. */
struct ms_apply_result {
	int error;	     /* 0 or -errno */
	const char *message; /* why not, when error is set */
};
typedef void (*ms_apply_fn)(const struct ms_apply_result *result, void *userdata);

struct ms_counters {
	uint64_t drift_repaired; /* foreign changes of our tables undone */
	uint64_t flags_repaired; /* bridge flags switched on again */
	uint64_t applies, apply_failures;
	uint64_t apply_us_total; /* spent in successful applies */
	uint64_t revoked;	 /* tracked connections cut */
	bool last_apply_failed;
};

struct ms_daemon {
	const struct ms_config *config;
	struct ms_loop *loop;
	struct ms_state *store;
	struct ms_kernel *kernel;
	struct ms_kernel_features features;
	struct ms_io *monitor;
	struct ms_discover *discover;
	struct ms_events *events;
	struct ms_control *control;
	struct ms_timer *settle; /* while starting: looks again */
	struct ms_timer *retry;	 /* back-off after a failure */
	struct ms_timer *revoke; /* soon after a commit */
	uint64_t start_ms;

	/* What should be. */
	bool armed, off;
	struct ms_loaded *loaded;    /* the policy in force, or NULL */
	struct ms_loaded *candidate; /* the one being applied, or NULL */
	ms_apply_fn applied;	     /* who waits for the candidate, or NULL */
	void *applied_userdata;
	struct ms_inventory
		*inventory; /* the latest snapshot, identified under the policy in force */

	/* What is. */
	struct ms_ruleset
		*installed; /* as we know the kernel has it; NULL: nothing, or not looked at yet */
	bool standing;	    /* tables of an earlier process stand and were not compared yet */
	bool suspect;	    /* somebody else touched our tables */
	bool cleared;	    /* off was carried out */
	uint64_t generation;
	uint64_t flags_set_ms; /* when bridge flags were last switched on; 0: never */

	/* What is wrong. NULL: nothing. */
	char *problem;	      /* keeps us from the wanted state */
	char *flags_problem;  /* of bridges */
	char *policy_problem; /* of a policy that was refused at start */
	uint64_t backoff_ms;

	bool starting, stopping;
	bool waiting;	   /* for our bridge flags to show, before the first tables */
	ms_addr_vec stale; /* addresses whose holder changed since the last revocation */
	struct ms_counters counters;
};

struct ms_daemon_options {
	const struct ms_config *config;
	ms_text_vec policy_paths; /* -p */
};

/**
 * Makes everything ready and runs until SIGTERM or SIGINT. What stands in the kernel then stays.
 * Returns 0, or -errno after saying why.
 */
int ms_daemon_run(const struct ms_daemon_options *options);

enum ms_daemon_state ms_daemon_state(const struct ms_daemon *daemon);

/**
 * Applies a policy: stores it, then has the line run. Takes over @loaded when it returns 0;
 * @applied is called from the loop once it is in force or refused. Returns 0; -EBUSY while another
 * is being applied; -errno when it can't be stored, with nothing changed.
 */
int ms_daemon_apply(struct ms_daemon *daemon, struct ms_loaded *loaded, ms_apply_fn applied,
		    void *userdata);
/** Forgets who waits for the candidate. */
void ms_daemon_forget_applied(struct ms_daemon *daemon, void *userdata);

/** Goes off or comes back. The marker is on disk when it returns 0; the kernel follows within the
 * turn. */
int ms_daemon_set_off(struct ms_daemon *daemon, bool off);

/* reconcile.c */

/** Runs the line: the deferred function of the loop. */
void ms_reconcile(void *userdata);
/** The first look at the kernel: notes what stands; on an armed node without tables loads the
 * closed door. */
int ms_reconcile_start(struct ms_daemon *daemon);

/* takeover.c */

/**
 * Takes the tables of an earlier process over as they are: recompiles what that process wrote last
 * and, if just this stands, claims it. Then `installed` is set. Returns 0; 1 when something else
 * stands, with the first difference in @why.
 */
int ms_takeover(struct ms_daemon *daemon, struct ms_str *why);
/** Remembers what the tables were compiled for. */
void ms_takeover_remember(struct ms_daemon *daemon);

/* revoke.c */

/** Cuts tracked connections that the policy in force refuses, and all of addresses that changed
 * hands. */
void ms_revoke(void *userdata);
/** Notes the addresses of @before that @after gives to nobody or to somebody else. */
void ms_revoke_note(struct ms_daemon *daemon, const struct ms_inventory *before,
		    const struct ms_inventory *after);

/** Replaces a text that is owned, by a copy of @text; "" and NULL give NULL. Returns whether it
 * changed. */
bool ms_daemon_set_text(char **text, const char *value);
