/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Match: does a `match` of a policy fit an endpoint? Every key that is set must fit, any entry of a
 * key suffices.
 */
#pragma once

#include "microseg/inventory.h"

/** The value of label @name, or NULL when @workload does not bear it. */
const char *ms_workload_label(const struct ms_workload *workload, const char *name);

/** Does @match fit @workload behind @endpoint? False for a match that is not present. */
bool ms_match_fits(const struct ms_match *match, const struct ms_endpoint *endpoint,
		   const struct ms_workload *workload);
