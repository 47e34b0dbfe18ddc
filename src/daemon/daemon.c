/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * One thread, one loop. Sources (discover, the nf_tables monitor, NFLOG, the control socket,
 * signals) only note what happened and ask for the deferred function; at the end of the turn
 * ms_reconcile() brings the kernel to what policy and inventory make of each other. Orders from
 * people (apply, off, on) change the inputs here and come out of the same line.
 *
 * The daemon owns the state directory while it runs and the tables for as long as the kernel keeps
 * them: they outlive it. It never opens anything because something went wrong: a policy that can't
 * be read, a store that is torn, a kernel that refuses, a source that hangs all leave what stands.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/clock.h"
#include "daemon/containers.h"
#include "daemon/control.h"
#include "daemon/log.h"
#include "daemon/report.h"
#include "daemon/sandbox.h"
#include "daemon/stored.h"
#include "microseg/cleanup.h"

#define SAMPLE_REST 400 /* times as long as a look at the counters took */

const char *ms_daemon_state_name(enum ms_daemon_state state)
{
	static const char *const names[] = {"starting", "observing", "enforcing",
					    "degraded", "off",	     "stopping"};

	return names[state];
}

enum ms_daemon_state ms_daemon_state(const struct ms_daemon *daemon)
{
	if (daemon->stopping)
		return MS_DAEMON_STOPPING;
	if (daemon->starting)
		return MS_DAEMON_STARTING;
	if (daemon->problem || daemon->memory_problem)
		return MS_DAEMON_DEGRADED;
	if (daemon->off)
		return MS_DAEMON_OFF;
	if (!daemon->armed)
		return MS_DAEMON_OBSERVING;
	if (!daemon->installed)
		return MS_DAEMON_STARTING; /* after `on`: the bridge flags first */
	return daemon->flags_problem ? MS_DAEMON_DEGRADED : MS_DAEMON_ENFORCING;
}

bool ms_daemon_set_text(char **text, const char *value)
{
	if (value && !*value)
		value = NULL;
	if (*text && value && strcmp(*text, value) == 0)
		return false;
	bool changed = *text || value;
	free(*text);
	*text = value ? strdup(value) : NULL;
	return changed;
}

static int offer(struct ms_daemon *daemon, struct ms_loaded *loaded, enum ms_candidate_kind kind,
		 ms_apply_fn applied, void *userdata)
{
	daemon->candidate = loaded;
	daemon->candidate_kind = kind;
	daemon->applied = applied;
	daemon->applied_userdata = userdata;
	ms_timer_stop(daemon->retry); /* a new policy may be the cure: no waiting */
	ms_loop_defer(daemon->loop);
	return 0;
}

/* What commands added is lost; the policy that is applied now goes on without it. */
static int forget_overlay(struct ms_daemon *daemon)
{
	if (daemon->overlay)
		return 0;
	daemon->overlay = ms_overlay_new();
	if (!daemon->overlay)
		return -ENOMEM;
	ms_log(MS_LOG_WARNING, "what grant, relax and quarantine added was torn and is forgotten");
	return ms_state_save_overlay(daemon->store, daemon->overlay);
}

int ms_daemon_apply(struct ms_daemon *daemon, struct ms_loaded *loaded,
		    const struct ms_order *order, ms_apply_fn applied, void *userdata)
{
	struct ms_order kept = *order;

	if (daemon->candidate)
		return -EBUSY;
	if (daemon->trial.pending)
		return -EALREADY;
	if (daemon->off && order->confirm_s)
		return -ESHUTDOWN;

	kept.by.hash = loaded->policy->hash;
	kept.by.n_files = loaded->files.list.n_items;
	kept.by.time = time(NULL);
	kept.by.trial = order->confirm_s > 0;
	int r = ms_candidate_remember(daemon); /* the one before it first: both are staged alike */
	if (r == 0)
		r = ms_state_stage_policy(daemon->store, &loaded->files, &kept.by);
	if (r == 0)
		r = forget_overlay(daemon);
	if (r == 0 && order->confirm_s)
		r = ms_trial_prepare(daemon, order->confirm_s);
	if (r < 0)
		return r;
	daemon->order = kept;
	return offer(daemon, loaded, MS_CANDIDATE_APPLY, applied, userdata);
}

int ms_daemon_load(const struct ms_daemon *daemon, struct ms_files *files,
		   struct ms_str *diagnostics, struct ms_loaded **ret_loaded)
{
	_cleanup_(ms_str_fini) struct ms_str runtime = {0};

	time_t now = time(NULL);

	ms_overlay_print(daemon->overlay, now, &runtime);
	return ms_loaded_new_with(files, runtime.text, now, false, diagnostics, ret_loaded);
}

int ms_daemon_overlay(struct ms_daemon *daemon, json_t *overlay, ms_apply_fn applied,
		      void *userdata)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str runtime = {0}, ignored = {0};
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;

	if (daemon->candidate)
		return -EBUSY;
	if (!daemon->loaded)
		return -ENOKEY;
	time_t now = time(NULL);
	ms_overlay_print(overlay, now, &runtime);
	int r = ms_files_copy(&daemon->loaded->files, &files);
	if (r == 0)
		r = ms_loaded_new_with(&files, runtime.text, now, false, &ignored, &loaded);
	if (r == 0)
		r = ms_state_save_overlay(daemon->store, overlay);
	if (r < 0)
		return r;
	daemon->overlay_next = overlay;
	return offer(daemon, ms_steal(&loaded), MS_CANDIDATE_OVERLAY, applied, userdata);
}

void ms_daemon_forget_applied(struct ms_daemon *daemon, void *userdata)
{
	if (daemon->applied_userdata == userdata)
		daemon->applied = NULL;
}

void ms_daemon_know_applied(struct ms_daemon *daemon)
{
	ms_applied_vec entries = {0};

	daemon->applied_by = (struct ms_applied){0};
	if (ms_state_history(daemon->store, &entries) == 0)
		ms_vec_each (struct ms_applied, entry, &entries)
			if (entry->in_force)
				daemon->applied_by = *entry;
	ms_vec_fini(&entries);
}

void ms_daemon_stop(struct ms_daemon *daemon)
{
	daemon->stopping = true;
	ms_notify("STOPPING=1");
	ms_loop_stop(daemon->loop);
}

static void on_changed(void *userdata)
{
	struct ms_daemon *daemon = userdata;

	ms_containers_soon(daemon);
	ms_loop_defer(daemon->loop);
}

static void on_monitor(int fd, void *userdata)
{
	struct ms_daemon *daemon = userdata;
	int r = ms_kernel_monitor_read(daemon->kernel);

	(void)fd;
	if (r < 0)
		ms_log(MS_LOG_WARNING,
		       "listening to nf_tables failed: %s; looking at our tables instead",
		       strerror(-r));
	if (r == 0)
		return;
	daemon->suspect = true;
	ms_timer_stop(daemon->retry); /* our tables may be gone: no waiting */
	ms_loop_defer(daemon->loop);
}

static void on_signal(int signal, void *userdata)
{
	struct ms_daemon *daemon = userdata;

	if (signal == SIGHUP) {
		ms_reload(daemon);
		return;
	}
	if (signal == SIGUSR1) {
		ms_events_reopen(daemon->events);
		return;
	}
	/* A trial does not outlive the daemon: first back, then the end. A second signal waits for
	 * nothing. */
	if (!daemon->stop_soon && ms_trial_undo(daemon, "microsegd is stopped") == 0)
		daemon->stop_soon = true;
	else
		ms_daemon_stop(daemon);
}

static void on_settle(void *userdata)
{
	struct ms_daemon *daemon = userdata;

	ms_loop_defer(daemon->loop);
}

static int open_kernel(struct ms_daemon *daemon)
{
	int r = ms_kernel_open(&daemon->kernel);

	if (r == 0)
		r = ms_kernel_probe(daemon->kernel, &daemon->features);
	if (r < 0) {
		ms_log(MS_LOG_ERROR, "cannot reach nf_tables: %s", strerror(-r));
		return r;
	}
	if (!daemon->features.nf_tables) {
		ms_log(MS_LOG_ERROR,
		       "this kernel takes no inet and bridge tables (nf_tables is missing)");
		return -EOPNOTSUPP;
	}
	daemon->monitor = ms_loop_io(daemon->loop, ms_kernel_monitor_fd(daemon->kernel), MS_IO_READ,
				     on_monitor, daemon);
	return daemon->monitor ? 0 : -ENOMEM;
}

/* What a start knows from the ones before. */
static int recall(struct ms_daemon *daemon)
{
	ms_applied_vec entries = {0};
	int r = ms_state_load_overlay(daemon->store, &daemon->overlay);

	daemon->armed = ms_state_is_armed(daemon->store);
	daemon->off = ms_state_is_off(daemon->store, time(NULL), &daemon->off_until);
	daemon->generation = ms_state_generation(daemon->store);
	/* The number is written when the disk gets to it. No two policies have the same. */
	if (ms_state_history(daemon->store, &entries) == 0)
		ms_vec_each (struct ms_applied, entry, &entries)
			if (entry->generation > daemon->generation)
				daemon->generation = entry->generation;
	ms_vec_fini(&entries);
	ms_off_look(daemon);
	if (r < 0 && r != -ENOMEM)
		ms_log(MS_LOG_ERROR,
		       "what grant, relax and quarantine added, in %s, cannot be read: %s",
		       daemon->config->state,
		       r == -EBADMSG	       ? "its checksum is wrong"
		       : r == -EPROTONOSUPPORT ? "a newer version of microsegd wrote it"
					       : strerror(-r));
	return r == -ENOMEM ? r : 0;
}

static int open_store(struct ms_daemon *daemon)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	pid_t holder;
	int r = ms_state_open(daemon->config->state, &daemon->store, &error);

	if (r < 0) {
		ms_log(MS_LOG_ERROR, "%s", error.text ? error.text : strerror(-r));
		return r;
	}
	r = ms_state_lock(daemon->store, &holder);
	if (r == -EBUSY)
		ms_log(MS_LOG_ERROR, "microsegd already runs on %s (pid %d)", daemon->config->state,
		       (int)holder);
	else if (r < 0)
		ms_log(MS_LOG_ERROR, "cannot lock %s: %s", daemon->config->state, strerror(-r));
	return r < 0 ? r : recall(daemon);
}

/* Records of bridges are those that were managed. */
static void remember_bridges(struct ms_daemon *daemon)
{
	ms_bridge_record_vec records = {0};

	if (ms_state_load_bridges(daemon->store, &records) == 0)
		ms_vec_each (struct ms_bridge_record, record, &records)
			if (record->this_boot)
				ms_discover_was_called(daemon->discover, record->ifindex,
						       record->name);
	ms_vec_fini(&records);
}

static int start_discover(struct ms_daemon *daemon)
{
	const struct ms_config *config = daemon->config;
	_cleanup_(freep) char *memory = ms_containers_read(daemon);
	struct ms_discover_options options = {
		.memory = memory,
		.patterns = &config->managed,
		.named = &config->named,
		.ignore = &config->ignore,
		.engines = &config->engines,
		.netns_dir = MS_NETNS_DIR,
		.node = config->node,
		.changed = on_changed,
		.userdata = daemon,
	};
	int r = ms_discover_new(daemon->loop, &options, &daemon->discover);

	if (r < 0)
		ms_log(MS_LOG_ERROR, "cannot follow links and addresses: %s", strerror(-r));
	else
		remember_bridges(daemon);
	return r;
}

/* Something ended, or other moments are near than it seemed. */
static void on_clock(bool set, void *userdata)
{
	struct ms_daemon *daemon = userdata;

	if (set)
		ms_log(MS_LOG_NOTICE, "the clock was set: ends are counted anew");
	daemon->clock_was_set = daemon->clock_was_set || set;
	daemon->patchable = false;
	ms_loop_defer(daemon->loop);
}

static void on_sample(void *userdata)
{
	struct ms_daemon *daemon = userdata;
	uint64_t start_ms = ms_monotonic_ms();

	ms_reconcile_sample(daemon);
	/* Nothing else is done meanwhile: on a large node no more than one change in some hundreds
	 * has to wait for it. */
	uint64_t rest_ms = (ms_monotonic_ms() - start_ms) * SAMPLE_REST;
	ms_timer_set(daemon->sample, rest_ms > MS_HITS_EVERY_MS ? rest_ms : MS_HITS_EVERY_MS);
}

static int make_timers(struct ms_daemon *daemon)
{
	daemon->settle = ms_loop_timer(daemon->loop, on_settle, daemon);
	daemon->retry = ms_loop_timer(daemon->loop, on_settle, daemon);
	daemon->admit = ms_loop_timer(daemon->loop, ms_reconcile_admit_all, daemon);
	daemon->revoke = ms_loop_timer(daemon->loop, ms_revoke, daemon);
	daemon->containers = ms_loop_timer(daemon->loop, ms_containers_now, daemon);
	daemon->late = ms_loop_timer(daemon->loop, ms_shortway_late, daemon);
	daemon->lend = ms_loop_timer(daemon->loop, ms_revoke, daemon);
	daemon->clock = ms_clock_new(daemon->loop, on_clock, daemon);
	daemon->back_on = ms_loop_timer(daemon->loop, ms_off_look, daemon);
	daemon->reload = ms_loop_timer(daemon->loop, ms_reload_again, daemon);
	daemon->remember = ms_loop_timer(daemon->loop, ms_takeover_remember, daemon);
	daemon->commit = ms_loop_timer(daemon->loop, ms_candidate_remember_again, daemon);
	daemon->sample = ms_loop_timer(daemon->loop, on_sample, daemon);
	daemon->hits = ms_hits_new();
	int r = ms_trial_init(daemon);
	if (daemon->sample)
		ms_timer_set(daemon->sample, MS_HITS_EVERY_MS);
	return r == 0 && daemon->settle && daemon->retry && daemon->admit && daemon->revoke &&
			       daemon->late && daemon->lend && daemon->clock && daemon->back_on &&
			       daemon->reload && daemon->remember && daemon->commit &&
			       daemon->containers && daemon->sample && daemon->hits
		       ? 0
		       : -ENOMEM;
}

static int catch_signals(struct ms_daemon *daemon)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	int r = 0;

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]) && r == 0; i++)
		r = ms_loop_signal(daemon->loop, signals[i], on_signal, daemon);
	return r;
}

static void add_metrics(const void *userdata, struct ms_str *out)
{
	ms_report_metrics(userdata, out);
}

/* The directory that @path lies in; NULL when it lies nowhere. The caller's to free. */
static char *parent_of(const char *path)
{
	const char *slash = path && path[0] == '/' ? strrchr(path, '/') : NULL;

	return slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : NULL;
}

/* Everything that needs more is open by now. */
static int give_up_rights(struct ms_daemon *daemon)
{
	const struct ms_config *config = daemon->config;
	_cleanup_(freep) char *log = parent_of(config->log);
	_cleanup_(freep) char *control = parent_of(config->control_socket);
	const char *const writable[] = {config->state, log, control};
	int r = ms_sandbox_enter(writable, sizeof(writable) / sizeof(writable[0]));

	if (r < 0)
		ms_log(MS_LOG_ERROR, "cannot give up the rights that are not needed: %s",
		       strerror(-r));
	return r;
}

static int start(struct ms_daemon *daemon, const struct ms_daemon_options *options)
{
	int r;

	daemon->config = options->config;
	daemon->policy_paths = &options->policy_paths;
	daemon->starting = true;
	daemon->start_ms = ms_monotonic_ms();
	r = ms_exporter_fork(daemon->config, &daemon->exporter);
	if (r < 0)
		return r;
	daemon->loop = ms_loop_new();
	if (!daemon->loop)
		return -ENOMEM;
	ms_loop_set_deferred(daemon->loop, ms_reconcile, daemon);
	if ((r = make_timers(daemon)) < 0 || (r = catch_signals(daemon)) < 0 ||
	    (r = open_store(daemon)) < 0 || (r = open_kernel(daemon)) < 0 ||
	    (r = start_discover(daemon)) < 0)
		return r;
	/* Not to be had on an armed node: what stands stays, or the closed door. */
	ms_stored_policy(daemon->store, daemon->config->state, &daemon->loaded);
	r = ms_reconcile_start(daemon);
	if (r < 0)
		return r;
	r = ms_events_new(daemon->loop, daemon->config, &daemon->events);
	if (r == 0) {
		ms_events_set_adopt(daemon->events, ms_adopt_packet, daemon);
		ms_events_set_kernel(daemon->events, daemon->kernel);
	}
	if (r == 0)
		r = ms_control_new(daemon, &daemon->control);
	if (r == 0)
		r = ms_watchdog_new(daemon->loop, &daemon->watchdog);
	if (r == 0)
		r = ms_exporter_start(daemon->exporter, daemon->loop, add_metrics, daemon);
	if (r == 0)
		r = give_up_rights(daemon);
	if (r < 0)
		return r;
	ms_daemon_know_applied(daemon);
	ms_reload_given(daemon);
	ms_loop_defer(daemon->loop);
	return 0;
}

/* In the order of dependence. The tables stay: they outlive us. */
static void finish(struct ms_daemon *daemon)
{
	ms_exporter_free(daemon->exporter);
	ms_watchdog_free(daemon->watchdog);
	ms_control_free(daemon->control);
	ms_events_free(daemon->events);
	ms_containers_now(daemon);
	ms_shortway_settle(daemon);
	ms_discover_free(daemon->discover);
	ms_io_free(daemon->monitor);
	ms_kernel_free(daemon->kernel);
	ms_timer_free(daemon->settle);
	ms_timer_free(daemon->admit);
	ms_timer_free(daemon->retry);
	ms_timer_free(daemon->revoke);
	ms_timer_free(daemon->containers);
	ms_timer_free(daemon->late);
	ms_timer_free(daemon->lend);
	ms_clock_free(daemon->clock);
	ms_timer_free(daemon->back_on);
	ms_timer_free(daemon->sample);
	ms_hits_free(daemon->hits);
	ms_timer_free(daemon->reload);
	ms_trial_fini(daemon);
	if (daemon->remember && ms_timer_is_set(daemon->remember))
		ms_takeover_remember(daemon);
	ms_timer_free(daemon->remember);
	ms_timer_free(daemon->commit);
	ms_loop_free(daemon->loop);
	ms_ruleset_free(daemon->installed);
	ms_roles_free(daemon->roles);
	ms_inventory_free(daemon->inventory);
	ms_loaded_free(daemon->candidate);
	ms_loaded_free(daemon->loaded);
	json_decref(daemon->overlay);
	json_decref(daemon->overlay_next);
	ms_state_free(daemon->store);
	ms_vec_fini(&daemon->stale);
	free(daemon->problem);
	free(daemon->flags_problem);
	free(daemon->policy_problem);
	free(daemon->memory_problem);
}

int ms_daemon_run(const struct ms_daemon_options *options)
{
	struct ms_daemon daemon = {0};
	int r = start(&daemon, options);

	if (r == 0)
		r = ms_loop_run(daemon.loop);
	finish(&daemon);
	return r;
}
