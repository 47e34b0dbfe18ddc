/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the ruleset room share while one is built. */
#pragma once

#include "microseg/ruleset.h"

/** The allocation a ruleset lives in, with the spares that builders hand out when memory is
 * exhausted. */
struct ms_build {
	struct ms_ruleset ruleset; /* first: the two share their address */
	bool invalid;		   /* something was asked for that cannot be said */
	struct ms_table spare_table;
	struct ms_chain spare_chain;
	struct ms_set spare_set;
	struct ms_elem spare_elem;
	struct ms_rule spare_rule;
	struct ms_match_expr spare_match;
	struct ms_stmt spare_stmt;
};

struct ms_build *ms_build_of(struct ms_ruleset *ruleset);
/** A copy in the ruleset's arena; NULL stays NULL, "" when memory is exhausted. */
const char *ms_build_text(struct ms_ruleset *ruleset, const char *text);

/** The order of elements in a set: by key, then end. */
int ms_elems_compare(const struct ms_elem *a, const struct ms_elem *b);
bool ms_texts_equal(const char *a, const char *b);
bool ms_verdicts_equal(const struct ms_rule_verdict *a, const struct ms_rule_verdict *b);
/** Do both match and do the same, with the same comment? */
bool ms_rules_equal(const struct ms_rule *a, const struct ms_rule *b);
