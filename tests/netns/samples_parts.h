/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of samples share. */
#pragma once

#include "microseg/ruleset.h"

#define TABLE "microseg"

extern const enum ms_family sample_families[3];

/** The same numbers in every run. @seed is not 0. */
uint32_t sample_random_number(uint32_t *seed);
/** Is @field of use in a table of @family? As the checks of the ruleset have it. */
bool sample_field_fits(enum ms_family family, enum ms_field field);
/** A value of @field that it may well have. */
void sample_value(enum ms_field field, uint32_t *seed, uint8_t *value);
/** Finishes @rs; one that is refused ends the program. */
struct ms_ruleset *sample_finish(struct ms_ruleset *rs);
struct ms_rule *sample_rule(struct ms_ruleset *rs, struct ms_chain *chain);
/** Rules with anonymous sets of one value to as many as there may be. */
void sample_add_any(struct ms_ruleset *rs, struct ms_chain *chain, enum ms_field field,
		    uint32_t *seed);
void sample_fill(struct ms_ruleset *rs, struct ms_set *set, size_t n_elems, uint32_t *seed);
/** Rules that look things up in @set, negated too, or follow it where it is a map. */
void sample_look_up(struct ms_ruleset *rs, struct ms_chain *chain, const struct ms_set *set);
