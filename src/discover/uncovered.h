/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Uncovered: which containers are not enforced, or could undo it, and why. Pure.
 *
 * An engine knows more of its containers than netlink shows: that one is on the host's network,
 * that a network of another is no bridge, that a third may change what the host enforces.
 */
#pragma once

#include "discover/cover.h"
#include "discover/snapshot.h"

/** Copies what a source says of a workload into @arena. Returns 0 or -ENOMEM. */
int ms_workload_copy(struct ms_arena *arena, const char *runtime,
		     const struct ms_workload_facts *facts, struct ms_workload *ret_workload);

/** Appends to inventory->uncovered. @covered: the judgement over facts->links. Returns 0 or
 * -ENOMEM.
 */
int ms_uncovered_find(const struct ms_snapshot_facts *facts, const ms_covered_vec *covered,
		      struct ms_inventory *inventory);
