/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines: what tables hold, as texts that are equal when and only when what they say is.
 *
 * The same functions write what the kernel answered and what we would have sent, so the two can be
 * compared without a decoder: handles, counters and the numbers of anonymous sets are left out, the
 * elements of anonymous sets stand in the rule that uses them. The remaining time of an element is
 * compared with some tolerance, and what is about to end may be gone. What rules added to a dynamic
 * set is not listed.
 */
#pragma once

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>

#include "microseg/ruleset.h"

struct ms_line {
	const char *text;
	uint64_t left_ms; /* until the kernel drops it; 0: never */
};

struct ms_lines {
	struct ms_arena *arena;
	MS_VEC(struct ms_line) list;
	/* Anonymous sets by name, until the rules are written. */
	MS_VEC(const char *) anon_names;
	MS_VEC(const char *) anon_elems;
	/* The chain of the last rule, and the rule's place in it. */
	const char *chain;
	size_t place;
	bool failed;
};

int ms_lines_init(struct ms_lines *lines);
void ms_lines_fini(struct ms_lines *lines);

void ms_lines_table(struct ms_lines *lines, enum ms_family family);
void ms_lines_chain(struct ms_lines *lines, enum ms_family family, const struct nftnl_chain *chain);
/** Declaration and elements of a named set; an anonymous one is kept for its rule. */
void ms_lines_set(struct ms_lines *lines, enum ms_family family, const struct nftnl_set *set);
/** Rules of a chain must come one after the other, and behind their sets. */
void ms_lines_rule(struct ms_lines *lines, enum ms_family family, const struct nftnl_rule *rule);
/** Forgets anonymous sets and chains: another table begins. */
void ms_lines_end_table(struct ms_lines *lines);

/** Appends the lines of a ruleset as it would be sent. */
void ms_lines_ruleset(struct ms_lines *lines, const struct ms_ruleset *ruleset);

/**
 * Compares; the first few lines that only one of the two has are appended to @difference, which may
 * be NULL. Returns 1 when they differ, 0 when not, -ENOMEM.
 */
int ms_lines_compare(struct ms_lines *wanted, struct ms_lines *found, struct ms_str *difference);
