/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A part of a hook: br_netfilter runs the inet hooks in the middle of the bridge's. */
#pragma once

#include <stdint.h>

#include "microseg/simulate.h"

/** Base chains with a priority above the one and up to the other. */
struct ms_priority_window {
	int64_t above;
	int64_t last;
};

/** As ms_simulate_hook(), for the base chains within @window. */
int ms_simulate_window(const struct ms_ruleset *ruleset, enum ms_family family, enum ms_hook hook,
		       const struct ms_priority_window *window, struct ms_sim_packet *packet,
		       struct ms_arena *arena, struct ms_sim_result *result);
