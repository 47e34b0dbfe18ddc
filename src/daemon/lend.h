/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lend: the kernel's records of connections that end. See lend.c.
 */
#pragma once

#include "kernel/conntrack.h"
#include "kernel/kernel.h"
#include "microseg/decide.h"

struct ms_lending;

/**
 * Begins to put the records of @installed right, which was compiled from @policy and @inventory.
 * Returns NULL where nothing has an end, and without memory.
 */
struct ms_lending *ms_lending_new(struct ms_kernel *kernel, const struct ms_ruleset *installed,
				  const struct ms_policy *policy,
				  const struct ms_inventory *inventory, time_t now);
struct ms_lending *ms_lending_free(struct ms_lending *lending);
static inline void ms_lending_freep(struct ms_lending **lending)
{
	ms_lending_free(*lending);
}

/** Notes a tracked connection that is allowed now. */
void ms_lending_note(struct ms_lending *lending, const struct ms_conntrack_entry *entry,
		     const struct ms_flow *flow);
/** Writes what differs, after all were noted. Returns the number of records changed; -EAGAIN when
 * the kernel had it already, and another look is due; -errno. */
int ms_lending_finish(struct ms_lending *lending);
