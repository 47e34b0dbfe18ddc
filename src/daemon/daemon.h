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
#include "daemon/exporter.h"
#include "daemon/history.h"
#include "daemon/hits.h"
#include "daemon/loaded.h"
#include "daemon/overlay.h"
#include "daemon/trial.h"
#include "daemon/watchdog.h"
#include "discover/discover.h"
#include "kernel/conntrack.h"
#include "kernel/kernel.h"
#include "loop/loop.h"
#include "microseg/decide.h"

enum ms_daemon_state {
	MS_DAEMON_STARTING,  /* sources have not all answered; what stands in the kernel stands */
	MS_DAEMON_OBSERVING, /* never armed: nothing of ours is in the kernel */
	MS_DAEMON_ENFORCING,
	MS_DAEMON_DEGRADED, /* the last good state stands, and something keeps us from the newest */
	MS_DAEMON_OFF,
	MS_DAEMON_STOPPING,
};

const char *ms_daemon_state_name(enum ms_daemon_state state);

/** What the policy that is on its way into the kernel is. */
enum ms_candidate_kind {
	MS_CANDIDATE_APPLY,   /* somebody's: in the state directory as the one to come */
	MS_CANDIDATE_OVERLAY, /* the one in force, with another overlay */
	MS_CANDIDATE_UNDO,    /* the one before a trial */
};

/** Who wants a policy applied, and how. */
struct ms_order {
	struct ms_applied by; /* time, uid, user, via, rollback_of */
	uint64_t confirm_s;   /* goes again after so long unless confirmed; 0: stays */
};

/** What became of a policy handed over. */
struct ms_apply_result {
	int error;	     /* 0 or -errno */
	const char *message; /* why not, when error is set */
};
typedef void (*ms_apply_fn)(const struct ms_apply_result *result, void *userdata);

struct ms_counters {
	uint64_t drift_repaired; /* foreign changes of our tables undone */
	uint64_t flags_repaired; /* bridge flags switched on, and groups of ports set again */
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
	struct ms_timer *settle;   /* while starting: looks again */
	struct ms_timer *admit;	   /* goes on marking ports */
	struct ms_timer *retry;	   /* back-off after a failure */
	struct ms_timer *revoke;   /* soon after a commit */
	struct ms_timer *late;	   /* the maps get who is late: see shortway.c */
	struct ms_timer *lend;	   /* looks at connections again while anything has an end */
	struct ms_timer *remember; /* a while after a commit: see takeover.c */
	struct ms_timer *commit; /* remembers the policy in force, which failed: see candidate.c */
	struct ms_timer *containers;  /* see containers.h */
	uint64_t containers_hash;     /* of what was written down last */
	struct ms_clock *clock;	      /* at the next end of anything */
	struct ms_timer *reload;      /* looks at files again that somebody was writing */
	struct ms_watchdog *watchdog; /* NULL: nobody watches */
	struct ms_exporter *exporter; /* NULL: no metrics on TCP */
	unsigned int n_reloads;
	const ms_text_vec *policy_paths; /* -p */
	struct ms_hits *hits;
	struct ms_timer *sample;  /* looks at the counters */
	struct ms_timer *back_on; /* while off has an end: looks at the clock */
	uint64_t start_ms;

	/* What should be. */
	bool armed, off;
	time_t off_until;	      /* 0: until `on` */
	struct ms_loaded *loaded;     /* the policy in force, or NULL */
	struct ms_applied applied_by; /* its entry in the history; generation 0: not known */
	struct ms_loaded *candidate;  /* the one being applied, or NULL */
	enum ms_candidate_kind candidate_kind;
	struct ms_order order; /* of the candidate, when somebody applies it */
	struct ms_trial trial;
	json_t *overlay; /* what commands added; NULL: torn, and nobody has applied anything since
			  */
	json_t *overlay_next; /* of a candidate that has another one */
	ms_apply_fn applied;  /* who waits for the candidate, or NULL */
	void *applied_userdata;
	struct ms_inventory
		*inventory; /* the latest snapshot, identified under the policy in force */

	/* What is. */
	struct ms_ruleset
		*installed; /* as we know the kernel has it; NULL: nothing, or not looked at yet */
	struct ms_roles *roles; /* of it, where it was compiled of a policy; else NULL */
	bool patchable;		/* it is what the policy in force and `inventory` compile to */
	unsigned int n_patches; /* since the whole was compiled */
	size_t n_late;		/* endpoints of `inventory` that the maps have to get; at least */
	time_t compiled_at;	/* the moment that was for */
	bool clock_was_set;	/* what the kernel counts down to is another moment now */
	bool standing;		/* tables of an earlier process stand and were not compared yet */
	bool suspect;		/* somebody else touched our tables */
	bool cleared;		/* off was carried out */
	uint64_t generation;
	uint64_t revoke_ms;    /* what looking at all connections took the last time */
	uint64_t revoked_ms;   /* when that was over; 0: never */
	uint64_t remember_ms;  /* what it took the last time */
	uint64_t flags_set_ms; /* when bridge flags were last switched on; 0: never */
	bool flags_awaited;    /* that was just now: they have not been seen on since */

	/* What is wrong. NULL: nothing. */
	char *problem;	      /* keeps us from the wanted state */
	char *flags_problem;  /* of bridges */
	char *policy_problem; /* of a policy that was refused at start */
	char *memory_problem; /* a start would take up another policy than the one in force */
	uint64_t backoff_ms;

	bool starting, stopping;
	bool stop_soon;	   /* once a trial has given way */
	bool waiting;	   /* for our bridge flags to show, or for marks of ports, before the first
			      tables */
	ms_addr_vec stale; /* addresses whose holder changed since the last revocation */
	bool holding;	   /* one of them waits for it to be given to its new holder */
	bool arming;	   /* tables were loaded where none stood: open connections are told of */
	uint64_t adopt_since_ms; /* when that was; 0: never */
	unsigned int n_adopted;	 /* connections since */
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
 * is being applied; -EALREADY while one waits to be confirmed; -ESHUTDOWN for a trial while off;
 * -errno when it can't be stored, with nothing changed.
 */
int ms_daemon_apply(struct ms_daemon *daemon, struct ms_loaded *loaded,
		    const struct ms_order *order, ms_apply_fn applied, void *userdata);
/**
 * Loads @files, which it takes over, as the policy in force would be: with the overlay. Returns as
 * ms_loaded_new().
 */
int ms_daemon_load(const struct ms_daemon *daemon, struct ms_files *files,
		   struct ms_str *diagnostics, struct ms_loaded **ret_loaded);
/**
 * Puts @overlay, which it takes over when it returns 0, in the place of the one in force. Returns
 * as ms_daemon_apply(); -ENOKEY on a node without a policy.
 */
int ms_daemon_overlay(struct ms_daemon *daemon, json_t *overlay, ms_apply_fn applied,
		      void *userdata);
/** Forgets who waits for the candidate. */
void ms_daemon_forget_applied(struct ms_daemon *daemon, void *userdata);

/** Ends the loop. What stands in the kernel stays. */
void ms_daemon_stop(struct ms_daemon *daemon);
/** Looks up who applied the policy in force. */
void ms_daemon_know_applied(struct ms_daemon *daemon);

/* off.c */

/** While off has an end: looks at the clock, now and again, and comes back. A timer's function. */
void ms_off_look(void *userdata);
/** Goes off (@until: UNIX seconds, or 0 for good) or comes back. The marker is on disk when it
 * returns 0; the kernel follows within the turn. */
int ms_daemon_set_off(struct ms_daemon *daemon, bool off, time_t until);

/* reconcile.c */

/** Runs the line: the deferred function of the loop. */
void ms_reconcile(void *userdata);
/** The first look at the kernel: notes what stands; on an armed node without tables loads the
 * closed door. */
int ms_reconcile_start(struct ms_daemon *daemon);

/** Keeps the reports fresh where nothing is enforced. Returns 0 or -errno. */
int ms_reconcile_look(struct ms_daemon *daemon);
/** Marks the ports of @inventory's endpoints, whose rules stand. Says so where somebody had taken
 * the mark away. Returns as ms_discover_admit(). */
int ms_reconcile_admit(struct ms_daemon *daemon, const struct ms_inventory *inventory);
/** The same for all, now and as soon as it can be. */
void ms_reconcile_admit_all(void *userdata);
/** Loads the closed door. Returns 0, or -errno after seeing to another try. */
int ms_reconcile_close_door(struct ms_daemon *daemon);
/** Notes what is wrong and tries again after a while. */
void ms_reconcile_back_off(struct ms_daemon *daemon, const char *problem);

/* reload.c */

/** Applies the policy of -p at a start. With an error in it the last good one stays in force. */
void ms_reload_given(struct ms_daemon *daemon);
/** SIGHUP: applies the files of -p, or of MS_POLICY_DIR, without questions. */
void ms_reload(struct ms_daemon *daemon);
/** Its timer. */
void ms_reload_again(void *userdata);

/** Looks at the counters of what stands. */
void ms_reconcile_sample(struct ms_daemon *daemon);

/* candidate.c */

/** Tells who waits for the candidate what became of it. */
void ms_candidate_answer(struct ms_daemon *daemon, int error, const char *message);
/** Tells who waits for the candidate, which is in force, so; or that it will not outlive a restart.
 */
void ms_candidate_answer_done(struct ms_daemon *daemon);
/** The policy in force is not what a start would take up: @r is -errno or MS_STATE_UNSYNCED. It is
 * tried again. */
void ms_candidate_cannot_remember(struct ms_daemon *daemon, int r);
/** Remembers the policy in force where that failed before. Returns 0 or -errno. */
int ms_candidate_remember(struct ms_daemon *daemon);
/** Its timer. */
void ms_candidate_remember_again(void *userdata);
/** The kernel refused it, and nothing has changed. */
void ms_candidate_drop(struct ms_daemon *daemon, int r, const char *message);
/** It is in force since daemon->generation. Returns the policy before, for the caller to free once
 * nothing points into it any more, or NULL. */
struct ms_loaded *ms_candidate_promote(struct ms_daemon *daemon);

/* shortway.c */

#define MS_SHORTWAY_NONE 2

/**
 * Brings kernel and `installed` to what @inventory asks for, if no more than elements must change.
 * Returns 1 when it changed something, 0 when there was nothing to change, MS_SHORTWAY_NONE when
 * the whole must be compiled, -ENOMEM.
 */
int ms_shortway(struct ms_daemon *daemon, const struct ms_inventory *inventory);
/** The same without a snapshot: for what discovery knows to have changed. `inventory` is the next
 * one then, and the changes of addresses are noted for revocation. */
int ms_shortway_part(struct ms_daemon *daemon);
/** Gives the maps all who came by that: whatever is done with `inventory` beside the short way. */
void ms_shortway_settle(struct ms_daemon *daemon);
/** Its timer: some of them. */
void ms_shortway_late(void *userdata);

/* takeover.c */

/**
 * Takes the tables of an earlier process over as they are: recompiles what that process wrote last
 * and, if just this stands, claims it. Then `installed` is set. Returns 0; 1 when something else
 * stands, with the first difference in @why.
 */
int ms_takeover(struct ms_daemon *daemon, struct ms_str *why);
/** The tables are for another inventory now: has it remembered, soon and not too often. */
void ms_takeover_note(struct ms_daemon *daemon);
/** Remembers what the tables were compiled for. */
void ms_takeover_remember(void *userdata);

/* adopt.c */

#define MS_CLIENT_PORT 32768 /* and above: where Linux takes the ports of clients from */

/** The node was armed: from now on, for some time, connections older than that are adopted. */
void ms_adopt_begin(struct ms_daemon *daemon);
/** For the packet log: whether @record belongs to such a connection, of which the kernel now
 * knows. */
bool ms_adopt_packet(const struct ms_packet_record *record, void *userdata);
/** Does the policy allow the connection of which @tuple would be the server's direction? */
bool ms_adopt_is_answer(const struct ms_policy *policy, const struct ms_inventory *inventory,
			const struct ms_conntrack_tuple *tuple, uint8_t proto,
			struct ms_conntrack_tuple *ret_client);

/* revoke.c */

typedef void (*ms_revoke_fn)(const struct ms_conntrack_entry *entry, const struct ms_flow *flow,
			     void *userdata);
/** Calls @fn for each tracked connection that @policy refuses, and cuts none. Returns 0 or -errno.
 */
int ms_revoke_preview(const struct ms_policy *policy, const struct ms_inventory *inventory,
		      ms_revoke_fn fn, void *userdata);
/** Cuts what @policy refuses, without a daemon; @installed is what @kernel has. */
void ms_revoke_refused(struct ms_kernel *kernel, const struct ms_ruleset *installed,
		       const struct ms_policy *policy, const struct ms_inventory *inventory);
/** Cuts tracked connections that the policy in force refuses, and all of addresses that changed
 * hands. */
void ms_revoke(void *userdata);
/** Has that done, well within a second. */
void ms_revoke_soon(struct ms_daemon *daemon);
/** Has it done as soon as the turn is over. */
void ms_revoke_ordered(struct ms_daemon *daemon);
/** Notes the addresses of @before that @after gives to nobody or to somebody else. */
void ms_revoke_note(struct ms_daemon *daemon, const struct ms_inventory *before,
		    const struct ms_inventory *after);

/**
 * Takes from the endpoints of @inventory, which is about to be put in force, the addresses that
 * connections of an earlier holder may still stand for. Returns whether there was one: then
 * ms_revoke_held() has to follow the commit.
 */
bool ms_revoke_hold(struct ms_daemon *daemon, struct ms_inventory *inventory);
/** Would ms_revoke_hold() take an address from an endpoint that @change brings? */
bool ms_revoke_must_hold(struct ms_daemon *daemon, const struct ms_inventory_change *change);
/** Cuts at once what is to be cut, where the last look took a moment only. Returns whether no
 * connection of an earlier holder is left. */
bool ms_revoke_at_once(struct ms_daemon *daemon);
/** As ms_revoke_note(), for @change to the inventory in force. */
void ms_revoke_note_change(struct ms_daemon *daemon, const struct ms_inventory_change *change);

/** After the commit that held something back: revokes at once, and gives it in the turn after. */
void ms_revoke_held(struct ms_daemon *daemon);

/** Replaces a text that is owned, by a copy of @text; "" and NULL give NULL. Returns whether it
 * changed. */
bool ms_daemon_set_text(char **text, const char *value);
