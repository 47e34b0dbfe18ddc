/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. inotify tells of names that come and go. A name first appears as an empty
 * file and becomes a namespace by a mount, which inotify does not tell of; but the namespace
 * matters only once a veth leads to it, and then it gets an id here, which netlink does tell of. So
 * names without an id are asked again whenever a namespace gets one, and shortly after they
 * appeared, for the namespace that had its id before its name.
 */
#include "discover/netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "microseg/cleanup.h"

#define RETRY_MS 2000	   /* while the directory does not exist */
#define FIRST_SETTLE_MS 20 /* then twice as long each time */
#define MAX_SETTLE_MS 2000

struct ms_netns {
	struct ms_rtnl *rtnl;
	struct ms_netns_handler handler;
	char *dir;
	char *name;
	int fd;	   /* inotify */
	int watch; /* -1: not watching */
	struct ms_io *io;
	struct ms_timer *timer;
	uint64_t settle_ms;
	enum ms_source_state state;
	const char *detail;
	struct ms_claims claims;
};

MS_DEFINE_CLEANUP(DIR *, closedir)

struct ms_source_health ms_netns_health(const struct ms_netns *netns)
{
	return (struct ms_source_health){
		.name = netns->name, .state = netns->state, .detail = netns->detail};
}

struct ms_claims *ms_netns_claims(struct ms_netns *netns)
{
	return &netns->claims;
}

static uint64_t seq(const struct ms_netns *netns)
{
	return netns->handler.seq(netns->handler.userdata);
}

static bool set_health(struct ms_netns *netns, enum ms_source_state state, const char *detail)
{
	bool differs = netns->state != state;

	netns->state = state;
	netns->detail = detail;
	return differs;
}

/* The id of the namespace behind this name; -1 when it has none, or is none (yet). */
static int32_t nsid_of(struct ms_netns *netns, int dir_fd, const char *name)
{
	_cleanup_(closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int32_t nsid = -1;

	if (fd < 0 || ms_rtnl_nsid_of_fd(netns->rtnl, fd, &nsid) < 0)
		return -1;
	return nsid;
}

static int put(struct ms_netns *netns, const char *name, int32_t nsid)
{
	struct ms_workload_facts facts = {.id = strdup(name),
					  .name = strdup(name),
					  .image = strdup(""),
					  .started_at = strdup("")};

	if (!facts.id || !facts.name || !facts.image || !facts.started_at) {
		ms_workload_facts_fini(&facts);
		return -ENOMEM;
	}
	return ms_claims_put(&netns->claims, &facts, nsid, seq(netns));
}

/* Looks a name up unless its place is known. Returns 1 when something changed. */
static int look(struct ms_netns *netns, int dir_fd, const char *name)
{
	const struct ms_claim *known = ms_claims_find(&netns->claims, name);

	if (known && known->nsid >= 0 && known->until_seq == UINT64_MAX)
		return 0;
	return put(netns, name, nsid_of(netns, dir_fd, name));
}

static bool exists(const char *name, void *userdata)
{
	const int *dir_fd = userdata;

	return faccessat(*dir_fd, name, F_OK, 0) == 0;
}

static bool exists_not(const char *name, void *userdata)
{
	(void)name;
	(void)userdata;
	return false;
}

/* Compares what is known with what is there. */
static void scan(struct ms_netns *netns)
{
	_cleanup_(closedirp) DIR *dir = opendir(netns->dir);
	bool changed = false;
	int r = 0;

	if (!dir) {
		bool absent = errno == ENOENT;
		const char *detail =
			absent ? "the directory does not exist" : strerrordesc_np(errno);

		if (absent)
			changed |=
				ms_claims_drop_unless(&netns->claims, exists_not, NULL, seq(netns));
		changed |= set_health(netns, absent ? MS_SOURCE_ABSENT : MS_SOURCE_FAILED, detail);
		if (changed)
			netns->handler.changed(netns->handler.userdata);
		return;
	}
	int dir_fd = dirfd(dir);
	changed |= ms_claims_drop_unless(&netns->claims, exists, &dir_fd, seq(netns));
	for (const struct dirent *entry; r >= 0 && (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		r = look(netns, dir_fd, entry->d_name);
		changed |= r > 0;
	}
	changed |= set_health(netns, r < 0 ? MS_SOURCE_FAILED : MS_SOURCE_OK,
			      r == -E2BIG ? "more names than can be followed"
			      : r < 0	  ? "out of memory"
					  : NULL);
	if (changed)
		netns->handler.changed(netns->handler.userdata);
}

static void watch_dir(struct ms_netns *netns)
{
	if (netns->watch < 0)
		netns->watch =
			inotify_add_watch(netns->fd, netns->dir,
					  IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
						  IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

static void unwatch_dir(struct ms_netns *netns)
{
	if (netns->watch >= 0)
		inotify_rm_watch(netns->fd, netns->watch);
	netns->watch = -1;
}

static bool all_placed(struct ms_netns *netns)
{
	ms_claim_vec unplaced = {0};
	int r = ms_claims_unplaced(&netns->claims, &unplaced);
	bool placed = r == 0 && unplaced.n_items == 0;

	ms_vec_fini(&unplaced);
	return placed;
}

static void on_timer(void *userdata)
{
	struct ms_netns *netns = userdata;

	watch_dir(netns);
	scan(netns);
	if (netns->watch < 0)
		ms_timer_set(netns->timer, RETRY_MS);
	else if (netns->settle_ms < MAX_SETTLE_MS && !all_placed(netns))
		ms_timer_set(netns->timer, netns->settle_ms *= 2);
}

static void note(struct ms_netns *netns, const struct inotify_event *event)
{
	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
		if (event->wd == netns->watch)
			unwatch_dir(netns);
		return;
	}
	/* A name that came back may be another namespace, so what comes and what goes both end the
	 * old one. */
	if (event->len && event->wd == netns->watch)
		ms_claims_drop(&netns->claims, event->name, seq(netns));
	if (event->mask & IN_Q_OVERFLOW)
		ms_claims_doubt(&netns->claims, seq(netns));
}

static void on_inotify(int fd, void *userdata)
{
	struct ms_netns *netns = userdata;
	_Alignas(struct inotify_event) char events[16384];
	ssize_t size;

	while ((size = read(fd, events, sizeof(events))) > 0)
		for (ssize_t at = 0; at < size;) {
			const struct inotify_event *event =
				(const struct inotify_event *)(events + at);

			note(netns, event);
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	netns->handler.changed(netns->handler.userdata);
	netns->settle_ms = FIRST_SETTLE_MS / 2;
	on_timer(netns);
}

void ms_netns_nsid_new(struct ms_netns *netns)
{
	watch_dir(netns);
	scan(netns);
}

void ms_netns_gap(struct ms_netns *netns)
{
	ms_claims_doubt(&netns->claims, seq(netns));
	ms_timer_set(netns->timer, 0); /* gaps come in storms: one look a turn */
}

int ms_netns_new(struct ms_loop *loop, struct ms_rtnl *rtnl, const char *dir,
		 const struct ms_netns_handler *handler, struct ms_netns **ret_netns)
{
	struct ms_netns *netns = calloc(1, sizeof(*netns));

	if (!netns)
		return -ENOMEM;
	netns->rtnl = rtnl;
	netns->handler = *handler;
	netns->claims.runtime = "netns";
	netns->watch = -1;
	netns->settle_ms = FIRST_SETTLE_MS / 2;
	netns->dir = strdup(dir);
	netns->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int r = netns->fd < 0 ? -errno : 0;
	netns->io = r == 0 ? ms_loop_io(loop, netns->fd, MS_IO_READ, on_inotify, netns) : NULL;
	netns->timer = ms_loop_timer(loop, on_timer, netns);
	if (r == 0 && (asprintf(&netns->name, "netns %s", dir) < 0 || !netns->dir || !netns->io ||
		       !netns->timer))
		r = -ENOMEM;
	if (r < 0) {
		ms_netns_free(netns);
		return r;
	}
	on_timer(netns);
	*ret_netns = netns;
	return 0;
}

struct ms_netns *ms_netns_free(struct ms_netns *netns)
{
	if (!netns)
		return NULL;
	ms_io_free(netns->io);
	ms_timer_free(netns->timer);
	if (netns->fd >= 0)
		close(netns->fd);
	ms_claims_fini(&netns->claims);
	free(netns->dir);
	free(netns->name);
	free(netns);
	return NULL;
}
