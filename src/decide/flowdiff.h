/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "microseg/matrix.h"

/** Adds to @diff which modes differ between @from and @to. Returns 0 or -ENOMEM. */
int ms_flow_diff_modes(const struct ms_policy *from, const struct ms_policy *to,
		       struct ms_flow_diff *diff);
