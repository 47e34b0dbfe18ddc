/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random: what the parts of the random oracle share.
 *
 *	random_policy.c, random_inventory.c  write the two texts of a case out of a seed
 *	random_flows.c                       picks flows that something in the policy concerns
 *	random_load.c                        loads and compiles a case
 *	random_trial.c                       asks both roads for a flow
 *	random_kept.c                        writes a failing case into files and reads it back
 *	shrink.c                             makes a failing case small
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "microseg/compile.h"
#include "microseg/str.h"

#define RANDOM_NOW 1000
#define MAX_ENVS 6
#define MAX_SERVICES 40
#define MAX_BRIDGES 4
#define N_NODES 3
#define OUTSIDE "eth0" /* the interface to the rest of the world */

/* splitmix64 */
struct random {
	uint64_t state;
};

static inline uint32_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

/* 0 to n - 1 */
static inline uint32_t random_below(struct random *random, uint32_t n)
{
	return random_next(random) % n;
}

static inline bool random_chance(struct random *random, uint32_t percent)
{
	return random_below(random, 100) < percent;
}

#define RANDOM_OF(random, rows) ((rows)[random_below(random, sizeof(rows) / sizeof(*(rows)))])

/* What the policy and the inventory of one case agree on. */
struct world {
	struct random random;
	uint32_t n_envs, n_services, n_bridges;
	bool documented[MAX_ENVS][MAX_SERVICES]; /* has a Service document */
	bool matched[MAX_ENVS][MAX_SERVICES];	 /* which has a `match` */
	bool env_matched[MAX_ENVS];
	bool joined; /* the service's name may be joined from two labels */
};

extern const char *const world_envs[MAX_ENVS];
extern const char *const world_services[MAX_SERVICES];

/** Settles the shape of the world of @seed. */
struct world world_make(uint64_t seed);
/** Appends the policy, and then the inventory, of @world. */
void random_policy(struct world *world, struct ms_str *out);
void random_inventory(struct world *world, struct ms_str *out);

/* A case as text, and one flow of it. Texts are owned. */
struct random_case {
	char *policy;
	char *inventory;
};

/** Frees both texts. */
void random_case_fini(struct random_case *c);

#define FLOW_NAME_SIZE 64

/* A flow that can be written down: an end is "host", "outside", or the name of an endpoint. */
struct flow {
	char src[FLOW_NAME_SIZE], dst[FLOW_NAME_SIZE];
	struct ms_addr saddr, daddr;
	uint8_t proto;
	uint16_t port;
	bool published;
	char outside[MS_IFNAME_SIZE]; /* where what is "outside" lies */
};

/** Appends @flow as one line, and reads such a line. flow_parse() returns whether it could. */
void flow_format(const struct flow *flow, struct ms_str *out);
bool flow_parse(const char *line, struct flow *ret_flow);

/* A case, loaded and compiled. */
struct trial {
	struct ms_policy *policy;
	struct ms_inventory *inventory;
	struct ms_ruleset *ruleset; /* NULL: it does not compile */
};

/** With these a trial is compiled. */
extern const struct ms_compile_options trial_options;

/** Loads @c. Returns false when a text has errors: they are printed when @loud. */
bool trial_init(struct trial *trial, const struct random_case *c, bool loud);
void trial_fini(struct trial *trial);

/* What either road says. */
struct opinion {
	enum ms_verdict verdict;
	enum ms_reason reason;
	uint32_t line; /* of the grant, when allowed by one */
	bool rejected;
};

/** Can @flow come up on this node, as a flow and not as what line 1 of the contract refuses? */
bool trial_has(const struct trial *trial, const struct flow *flow);
/**
 * Asks both roads for @flow, which trial_has(). Returns whether they agree. @out, unless NULL, gets
 * both opinions and the way of the packet.
 */
bool trial_agrees(const struct trial *trial, const struct flow *flow, struct opinion *ret_decided,
		  struct ms_str *out);

/** Picks a flow that one line of the policy concerns, or almost. Returns false when it found none.
 */
bool random_flow(struct random *random, const struct trial *trial, struct flow *ret_flow);

/** Makes @c as small as it goes while @flow of it still is disagreed on. */
void shrink(struct random_case *c, const struct flow *flow);

/** Writes a case into @dir/@name/. Returns 0 or -errno. */
int kept_write(const char *dir, const char *name, const struct random_case *c,
	       const struct flow *flow);
/** Calls @each for every case under @dir, sorted by name. Returns how many there were, or -errno.
 */
int kept_each(const char *dir,
	      void (*each)(const char *name, const struct random_case *c, const char *flows,
			   void *data),
	      void *data);
