/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the kernel hold, and nft list, what the printer says? Root only; works in network namespaces
 * of its own. */
#pragma once

#include "microseg/ruleset.h"

/**
 * Loads @ruleset into a fresh network namespace, compares `nft -s list table` byte for byte with
 * ms_ruleset_print(), verifies it against the kernel, and has the text checked by nft in another
 * fresh namespace. Returns 0 when all agree; 1 when not, with the difference on stderr.
 */
int parity_check(const struct ms_ruleset *ruleset);

/** Runs @test in a process and a network namespace of its own. Returns its result, or 1 when it
 * died. */
int parity_in_namespace(int (*test)(const void *argument), const void *argument);
