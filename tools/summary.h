/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Summary: a policy as sorted lines of what it says, and the difference of two. For the question
 * that apply asks.
 */
#pragma once

#include "microseg/policy.h"

/**
 * Appends "- line" and "+ line" for what @before (NULL: nothing) says and @after does not, and the
 * other way round. Returns the number of lines, or -ENOMEM.
 */
int summary_diff(const struct ms_policy *before, const struct ms_policy *after, struct ms_str *out);
