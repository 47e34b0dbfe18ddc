/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What matches imply, for the encoder and the printer. */
#pragma once

#include "microseg/ruleset.h"

/**
 * Does a later match or statement of @rule imply its match number @index, so that nft leaves it out
 * of the listing? `meta l4proto tcp` before `tcp dport`; in a bridge table, `ether type ip` before
 * `ip saddr`.
 */
bool ms_match_is_implied(enum ms_family family, const struct ms_rule *rule, size_t index);

/**
 * Can any packet meet all that @rule asks for and implies? A rule that wants IPv4 and IPv6, or tcp
 * and udp, holds for none, and nft refuses its text.
 */
bool ms_rule_is_consistent(const struct ms_rule *rule);

/** Must a set with this key be declared by typeof, because a field's type has no name? */
bool ms_set_needs_typeof(const struct ms_set *set);
