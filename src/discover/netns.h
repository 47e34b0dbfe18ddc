/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Netns: named network namespaces, as `ip netns` keeps them, as a source of names.
 */
#pragma once

#include "discover/claims.h"
#include "discover/discover.h"
#include "discover/rtnl.h"

struct ms_netns;

struct ms_netns_handler {
	void (*changed)(void *userdata); /* claims or health differ */
	uint64_t (*seq)(void *userdata); /* the serial number of the newest link, see claims.h */
	void *userdata;
};

/** Follows directory @dir, which need not exist yet. @rtnl stays the caller's. Returns 0 or -errno.
 */
int ms_netns_new(struct ms_loop *loop, struct ms_rtnl *rtnl, const char *dir,
		 const struct ms_netns_handler *handler, struct ms_netns **ret_netns);
struct ms_netns *ms_netns_free(struct ms_netns *netns);

struct ms_source_health ms_netns_health(const struct ms_netns *netns);
struct ms_claims *ms_netns_claims(struct ms_netns *netns);

/** A namespace got its id: it may have a name. */
void ms_netns_nsid_new(struct ms_netns *netns);
/** Events of the kernel were lost: ids must be asked again. */
void ms_netns_gap(struct ms_netns *netns);
