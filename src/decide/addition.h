/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addition: the line of policy that would open one flow and no other, and where it belongs. What is
 * said can be pasted: below the line that it names, or as a document of its own.
 */
#pragma once

#include "microseg/decide.h"
#include "microseg/str.h"

/** Whose word is missing. */
enum ms_addition_of {
	MS_ADDITION_ALLOW, /* the provider's */
	MS_ADDITION_NEED,  /* the consumer's */
};

/**
 * Appends, for the document of the flow's destination (an allow) or of its source (a need):
 *
 *	add to its allow (policies/db.yaml:10): - {from: web, ports: [tcp/80]}	where there is a
 *list add to it (policies/db.yaml:4): allow: [{from: web, ports: [tcp/80]}]	where there is none
 *	write one (…): {apiVersion: microseg/v1, …}				without a document
 *
 * @named: the service is called by its name and not "its" or "it". @seen: the file that the reader
 * has just been told, which is not said again; or NULL.
 */
void ms_addition_add(struct ms_str *out, const struct ms_policy *policy, const struct ms_flow *flow,
		     enum ms_addition_of of, bool named, const char *seen);
/** Likewise for the crossing: "add to crossings (policies/environments.yaml:30): - {…}". */
void ms_addition_add_crossing(struct ms_str *out, const struct ms_policy *policy,
			      const struct ms_flow *flow);
