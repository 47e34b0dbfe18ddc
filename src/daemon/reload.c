/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reload: policy files that nobody sends, but the daemon reads itself: those of -p at a start, and
 * on SIGHUP. Half of what somebody is writing is never read as whole: it is looked at again until
 * it is quiet.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "microseg/cleanup.h"

static const char *what_stays(const struct ms_daemon *daemon)
{
	return daemon->loaded  ? "the policy in force stays"
	       : daemon->armed ? "no policy can be read, what stands in the kernel stays"
			       : "this node was never armed and keeps observing";
}

static void refuse(struct ms_daemon *daemon, const char *what, const char *why,
		   const struct ms_str *diagnostics)
{
	if (diagnostics->text)
		fputs(diagnostics->text, stderr);
	ms_daemon_set_text(&daemon->policy_problem, diagnostics->len ? diagnostics->text : why);
	ms_log(MS_LOG_ERROR, "the policy %s is refused (%s): %s", what, why, what_stays(daemon));
}

static const char *reason_of(int r)
{
	switch (r) {
	case -EINVAL:
		return "see above";
	case -EBUSY:
		return "another is being applied";
	case -EALREADY:
		return "another waits to be confirmed";
	default:
		return strerror(-r);
	}
}

/* Takes over @files. */
static void apply(struct ms_daemon *daemon, struct ms_files *files, const char *what,
		  const char *via)
{
	_cleanup_(ms_str_fini) struct ms_str diagnostics = {0};
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	struct ms_order order = {.by = {.uid = getuid()}};
	int r = ms_daemon_load(daemon, files, &diagnostics, &loaded);

	snprintf(order.by.via, sizeof(order.by.via), "%s", via);
	if (r == 0 && daemon->loaded && daemon->loaded->policy->hash == loaded->policy->hash) {
		ms_daemon_set_text(&daemon->policy_problem, NULL);
		ms_log(MS_LOG_INFO, "the policy %s is the one in force", what);
		return;
	}
	if (r == 0)
		r = ms_daemon_apply(daemon, loaded, &order, NULL, NULL);
	if (r < 0) {
		refuse(daemon, what, reason_of(r), &diagnostics);
		return;
	}
	loaded = NULL;
	if (diagnostics.text)
		fputs(diagnostics.text, stderr);
}

void ms_reload_given(struct ms_daemon *daemon)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0}, none = {0};

	if (daemon->policy_paths->n_items == 0)
		return;
	int r = ms_files_read_patiently(&files, daemon->policy_paths, &error);
	if (r < 0)
		refuse(daemon, "given with -p", error.len ? error.text : strerror(-r), &none);
	else
		apply(daemon, &files, "given with -p", "start");
}

void ms_reload_again(void *userdata)
{
	struct ms_daemon *daemon = userdata;
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0}, none = {0};
	int r = daemon->candidate ? -EAGAIN
				  : ms_files_read_whole(&files, daemon->policy_paths, &error);

	if (r == -EAGAIN && ++daemon->n_reloads * MS_FILES_QUIET_MS < MS_FILES_PATIENCE_MS) {
		ms_timer_set(daemon->reload, MS_FILES_QUIET_MS);
		return;
	}
	if (r == -EAGAIN)
		ms_files_say_restless(daemon->policy_paths, &error);
	if (r < 0)
		refuse(daemon, "on disk", error.len ? error.text : strerror(-r), &none);
	else
		apply(daemon, &files, "on disk", "SIGHUP");
}

void ms_reload(struct ms_daemon *daemon)
{
	ms_log(MS_LOG_NOTICE, "SIGHUP: reading the policy files");
	daemon->n_reloads = 0;
	ms_timer_stop(daemon->reload);
	ms_reload_again(daemon);
}
