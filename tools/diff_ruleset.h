/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Diff ruleset: what a plan changes in the kernel, in words.
 */
#pragma once

#include "microseg/arena.h"
#include "microseg/ruleset.h"

/** "+ rule of chain inet to/prod/db: ip saddr …". */
struct ruleset_change {
	bool added;	  /* else removed */
	const char *kind; /* "table", "set", "map", "chain", "rule", "element" */
	const char *family;
	const char *name; /* of the table, set or chain, or of the one that it stands in */
	const char *text; /* of rules and elements, as nft writes them; else NULL */
};

typedef MS_VEC(struct ruleset_change) ruleset_changes;

/** Appends the way from @from to @to. Returns 0 or -ENOMEM. */
int ruleset_diff(struct ms_arena *arena, const struct ms_ruleset *from, const struct ms_ruleset *to,
		 ruleset_changes *changes);
