/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Miss: the sentence of a nearest miss while it is made, of parts each of which is true without
 * those behind it. Private to nearest.c and nearest_keys.c.
 */
#pragma once

#include "microseg/str.h"
#include "nearest.h"

#define MS_MISS_CUT "…"

struct ms_miss {
	const struct ms_refusal *refusal;
	const struct ms_policy *policy;
	const struct ms_flow *flow;
	const struct ms_service *provider; /* documents of the two ends, or NULL */
	const struct ms_service *consumer;
	struct ms_str *out;
	size_t whole_len; /* of the parts that fit */
};

/** A part of the sentence ends here. */
void ms_miss_end_part(struct ms_miss *miss);
/** Line 9: the grants that lack, or what else keeps them from covering the flow. */
void ms_miss_no_grant(struct ms_miss *miss);
/** The grants that lack behind another obstacle: ", and add to …". */
void ms_miss_also_grants(struct ms_miss *miss);
