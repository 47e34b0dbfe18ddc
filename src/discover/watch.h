/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watch: keeps a struct ms_links equal to what the kernel has, live.
 */
#pragma once

#include "discover/links.h"
#include "discover/rtnl.h"
#include "loop/loop.h"

struct ms_watch;

struct ms_watch_handler {
	/* Links, addresses or routes differ from before. At most once a turn. */
	void (*changed)(void *userdata);
	/* Namespace @nsid got its id, or lost it. */
	void (*nsid)(int32_t nsid, bool gone, void *userdata);
	/* Events were lost: what was known of ids of namespaces may be wrong. */
	void (*gap)(void *userdata);
	void *userdata;
};

/** Subscribes, then lists, and lists again every @relist_ms (0: a minute). Returns 0; -EPERM
 * without CAP_NET_ADMIN and CAP_NET_BROADCAST; -errno.
 */
int ms_watch_new(struct ms_loop *loop, struct ms_rtnl *rtnl, const struct ms_watch_handler *handler,
		 uint64_t relist_ms, struct ms_watch **ret_watch);
struct ms_watch *ms_watch_free(struct ms_watch *watch);

/** For its reader to ask what changed, and to say that it has it; not to change them. */
struct ms_links *ms_watch_links(struct ms_watch *watch);
/** What is wrong, or NULL when all is well. */
const char *ms_watch_error(const struct ms_watch *watch);
/** How often events were lost. */
uint64_t ms_watch_n_gaps(const struct ms_watch *watch);
