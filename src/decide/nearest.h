/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nearest: the smallest change that would allow a refused flow, as one sentence.
 */
#pragma once

#include "microseg/decide.h"

/**
 * Returns the sentence for @flow, which was refused for @reason (by the place @by, or NULL),
 * allocated in @arena; NULL without memory. Texts from outside the policy are escaped in it.
 */
const char *ms_nearest_miss(const struct ms_policy *policy, const struct ms_flow *flow,
			    enum ms_reason reason, const struct ms_origin *by,
			    struct ms_arena *arena);
