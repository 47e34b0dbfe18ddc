/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshot: what is known of links and workloads, as an inventory. Pure. */
#pragma once

#include "discover/claims.h"
#include "discover/cover.h"

/** How long an endpoint waits for its sources of names, from when it was first seen. */
#define MS_PENDING_MS 5000

struct ms_snapshot_facts {
	const char *node;
	const struct ms_links *links;
	struct ms_cover_rules rules;
	const struct ms_claims *const *claims; /* of every source */
	size_t n_claims;
	const char *const *sockets; /* of the engines: who sees one may undo everything */
	size_t n_sockets;
	bool engine_may_name; /* some engine answers, or has not been given up yet */
	uint64_t now_ms;      /* monotonic */
	uint64_t revision;
	bool part; /* `links` are those that changed and what they depend on: see
		      ms_links_dirty_view() */
};

/**
 * Makes the inventory, canonical and not identified. @ret_again_ms: when time alone will change it
 * (monotonic), UINT64_MAX for never. Returns 0 or -ENOMEM.
 */
int ms_snapshot_build(const struct ms_snapshot_facts *facts, struct ms_inventory **ret_inventory,
		      uint64_t *ret_again_ms);
