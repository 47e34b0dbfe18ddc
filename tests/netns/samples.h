/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rulesets that use all of the language, for parity. */
#pragma once

#include "microseg/ruleset.h"

/** Every field in every kind of match it allows, every statement, in every family. */
struct ms_ruleset *sample_every_match(void);
/** Every type of set key, alone and concatenated, with so many elements that order and lines show;
 * maps, intervals. */
struct ms_ruleset *sample_every_set(void);
/** Base chains of every hook at many priorities. */
struct ms_ruleset *sample_priorities(void);
/** Rules put together at random, from @seed. */
struct ms_ruleset *sample_random(uint32_t seed);
/** Sets, maps, chains and rules that differ from one @seed to the next, but have much in common:
 * for plans. */
struct ms_ruleset *sample_variant(uint32_t seed);
/** Sets with elements that end at @ends (UNIX seconds; 0: never), and one that rules fill. */
struct ms_ruleset *sample_timed(const time_t *ends, size_t n_ends);
