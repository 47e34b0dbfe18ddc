/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compile: policy + inventory -> ruleset. Pure and deterministic: the same input gives the same
 * bytes.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#include "microseg/decide.h"
#include "microseg/inventory.h"
#include "microseg/policy.h"
#include "microseg/ruleset.h"

#define MS_TABLE_NAME "microseg"
#define MS_NFLOG_GROUP_DEFAULT 5580
#define MS_GRANT_RULES_DEFAULT 32
/* A quarter of what the kernel tracks on a machine of less than 4 GB. */
#define MS_MAX_CONNECTIONS_DEFAULT 16384

struct ms_compile_options {
	uint16_t nflog_group;
	time_t now;	      /* UNIX seconds: what has run out at this time grants nothing */
	uint32_t grant_rules; /* a service with more rules for its callers than this gets elements
				 instead; 0: MS_GRANT_RULES_DEFAULT */
	uint32_t max_connections; /* tracked at a time that one endpoint address opened; 0: any
				     number */
};

/**
 * Compiles @policy for the identified @inventory.
 *
 * @policy NULL gives the closed door: managed interfaces pass nothing but ARP, ND and DHCP.
 * Returns 0 and a finished ruleset, owned by the caller; -ENOMEM.
 */
int ms_compile(const struct ms_policy *policy, const struct ms_inventory *inventory,
	       const struct ms_compile_options *options, struct ms_ruleset **ret_ruleset);

/** Where the endpoints of each identity stand in a ruleset, and how many there are. */
struct ms_roles;
struct ms_roles *ms_roles_free(struct ms_roles *roles);
static inline void ms_roles_freep(struct ms_roles **roles)
{
	ms_roles_free(*roles);
}

/** As ms_compile(), of a policy, with the roles that ms_compile_delta() asks for. */
int ms_compile_roles(const struct ms_policy *policy, const struct ms_inventory *inventory,
		     const struct ms_compile_options *options, struct ms_ruleset **ret_ruleset,
		     struct ms_roles **ret_roles);

#define MS_DELTA_MAX 64 /* endpoints gone and come that are worth the short way */

/** The plan to the ruleset of the next inventory, and what it points to. */
struct ms_delta {
	struct ms_plan plan; /* its sets are those of the installed ruleset */
	struct ms_ruleset *gone, *come;
};

/**
 * The short way: when @change, of few endpoints, means nothing but elements, finds the plan from
 * @installed, which was compiled of @policy and @before with the same options and with @roles, to
 * what ms_compile() makes of the inventory that @change leads to. Carry it out with
 * ms_kernel_apply(), ms_plan_patch() and ms_roles_patch().
 *
 * Returns 0 and the plan, which may be empty and borrows from @installed; 1 when everything must be
 * compiled; -ENOMEM.
 */
int ms_compile_delta(const struct ms_policy *policy, const struct ms_inventory *before,
		     const struct ms_inventory_change *change,
		     const struct ms_compile_options *options, const struct ms_ruleset *installed,
		     const struct ms_roles *roles, struct ms_delta *ret_delta);
/** Counts the endpoints that @change takes and brings. */
void ms_roles_patch(struct ms_roles *roles, const struct ms_inventory_change *change);
void ms_delta_fini(struct ms_delta *delta);

/* Seconds for which the records of an end outlive it. */
#define MS_COMPILE_AFTER 60

/** When something in @policy runs out, or its records, and it must be compiled again; 0: never. */
time_t ms_compile_next_end(const struct ms_policy *policy, time_t now);

/** What a log prefix of the compiled ruleset says. */
struct ms_log_tag {
	enum ms_verdict verdict; /* MS_DENY or MS_AUDIT */
	enum ms_reason reason;
};

/** Reads a log prefix, e.g. "microseg denied no-grant ". Returns 0, or -EINVAL when it is not one
 * of ours. */
int ms_log_tag_parse(const char *prefix, struct ms_log_tag *ret_tag);
/** Writes the prefix for @tag into @text. Returns @text. */
const char *ms_log_tag_format(const struct ms_log_tag *tag, char text[MS_LOG_PREFIX_SIZE]);
