/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <libnftnl/rule.h>
#include <stdbool.h>

#include "microseg/ruleset.h"

/** Adds the expressions of @rule, with what its matches imply, to @to. Returns false without
 * memory. */
bool ms_nft_exprs(struct nftnl_rule *to, enum ms_family family, const struct ms_rule *rule,
		  uint32_t first_id);
