/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stddef.h>

#include "daemon/events.h"
#include "kernel/conntrack.h"
#include "microseg/decide.h"

struct ms_tracked {
	struct ms_events *events;
	size_t n_told; /* more than some thousands are only counted */
};

/** Adds an event for @entry, an open connection that is @flow and would be refused for @reason. */
void ms_tracked_tell(struct ms_tracked *tracked, const struct ms_conntrack_entry *entry,
		     const struct ms_flow *flow, enum ms_reason reason);
