/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nearest: the smallest change that would allow a refused flow, as one sentence.
 */
#pragma once

#include "microseg/decide.h"

/** A flow that was refused, and all that was looked at. */
struct ms_refusal {
	const struct ms_policy *policy;
	const struct ms_inventory *inventory; /* or NULL */
	const struct ms_flow *flow;
	time_t now;
	enum ms_reason reason;
	const struct ms_origin *by; /* of what refused it, or NULL */
};

/**
 * Returns the sentence for @refusal, allocated in @arena; NULL for a reason that no policy can
 * change, and without memory. Texts from outside the policy are escaped in it.
 */
const char *ms_nearest_miss(const struct ms_refusal *refusal, struct ms_arena *arena);
