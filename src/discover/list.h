/* SPDX-License-Identifier: GPL-2.0-or-later */
/* List: the questions that the watch asks, answered into the values of links.h. */
#pragma once

#include "discover/links.h"
#include "discover/rtnl.h"

/* All return 0; -EINTR when the dump must be repeated; another -errno. */

/** Applies every link of this namespace and removes those that are gone. *@ret_changed becomes
 * true, or stays. */
int ms_list_links(struct ms_rtnl *rtnl, struct ms_links *links, uint64_t generation,
		  uint64_t now_ms, bool at_start, bool *ret_changed);
/** The same for one link; one that is gone is removed. */
int ms_list_link(struct ms_rtnl *rtnl, struct ms_links *links, uint32_t ifindex, uint64_t now_ms,
		 bool *ret_changed);
/** This namespace's own addresses. */
int ms_list_addrs(struct ms_rtnl *rtnl, struct ms_links *links, bool *ret_changed);
/** Which interfaces carry a default route. */
int ms_list_routes(struct ms_rtnl *rtnl, struct ms_links *links, bool *ret_changed);
/** MAC and addresses of the far end of @link. A namespace or interface that is gone leaves it
 * unknown. */
int ms_list_peer(struct ms_rtnl *rtnl, struct ms_links *links, struct ms_link *link,
		 bool *ret_changed);
