/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Foreign: chains of other tables that would drop what the policy allows, for `status`. */
#pragma once

#include <jansson.h>

#include "kernel/kernel.h"
#include "microseg/policy.h"

/** Those that drop what they do not accept themselves, where anything that @policy (or NULL) allows
 * meets them. Returns an array, or NULL without memory. */
json_t *ms_foreign_report(struct ms_kernel *kernel, const struct ms_policy *policy);
