/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Universe: a node and a family of policies, small enough to try everything.
 *
 * The node has two bridges and a routed veth, two environments, replicas, an identity without a
 * document, and strangers. A policy is a number: one bit for each feature that can be in it.
 */
#pragma once

#include "microseg/inventory.h"
#include "microseg/policy.h"

/* Times, in UNIX seconds: of compiling, and on both sides of each end. */
#define UNIVERSE_NOW 1000
extern const time_t universe_times[]; /* ascending, from UNIVERSE_NOW on, ended by 0 */

enum universe_feature {
	/* modes */
	A_AUDITS,
	B_AUDITS,
	STRANGERS_AUDIT,
	SERVICE_AUDITS,
	DROP,
	/* grants and resolvers */
	FROM_SERVICE,
	FROM_SELF,
	FROM_HOST,
	FROM_NET,
	FROM_ALL,
	FOR_ALL,
	ACROSS,
	NEEDS_NET,
	NEEDS_INTERNET,
	NEEDS_HOST,
	RESOLVERS,
	GATEWAY,
	TWO_KEY,
	NEEDS_SERVICE,
	NODES,
	PUBLISHED,
	NEVER,
	EXCEPTIONS,
	CROSSINGS,
	LENT_CROSSINGS, /* that end */
	RELAXES,
	QUARANTINES,
	CARRIES,
	N_FEATURES,
};

#define BIT(feature) (1u << (feature))
#define N_MODES (DROP + 1) /* the features that are modes come first */
#define CLOCKS (BIT(EXCEPTIONS) | BIT(LENT_CROSSINGS) | BIT(RELAXES))

/** Appends the text of the policy with these @features. */
void universe_policy_text(uint32_t features, struct ms_str *out);
/** Loads it. A policy that does not load ends the program with its errors: the universe is wrong.
 */
struct ms_policy *universe_policy(uint32_t features);
/** The node, identified under @policy. */
struct ms_inventory *universe_inventory(const struct ms_policy *policy);

/** The ends of flows and their ports, ended by NULL. An end is an endpoint's name, "host", or an
 * address. */
extern const char *const universe_sources[];
extern const char *const universe_destinations[];
extern const char *const universe_ports[];
