/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Foreign: what of other people's would drop what the policy allows, for `status`. */
#pragma once

#include <jansson.h>

#include "kernel/kernel.h"
#include "microseg/policy.h"

/**
 * Adds to @status, where anything that @policy (or NULL) allows meets them: `foreign_chains`, which
 * drop what they do not accept themselves; `foreign_rules`, the chains of which rules drop what
 * they ask for; and `legacy_tables` of the iptables that are no part of nf_tables, which nobody can
 * look into here. Returns 0 or -ENOMEM.
 */
int ms_foreign_report(struct ms_kernel *kernel, const struct ms_policy *policy, json_t *status);
