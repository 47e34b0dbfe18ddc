/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Warnings: what the node shows that the policy's author may not have meant. They change no
 * verdict. */
#pragma once

#include <jansson.h>

#include "microseg/inventory.h"

/** Sentences, for `status`. @policy and @inventory may be NULL; @memory_full: ms_revoked_is_full().
 * Returns an array, or NULL without memory. */
json_t *ms_warnings(const struct ms_policy *policy, const struct ms_inventory *inventory,
		    bool memory_full);
