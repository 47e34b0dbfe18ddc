/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hits: how often each grant let a connection begin, and when it did last.
 *
 * The kernel counts, at the rule or the element of each grant, and starts from zero where a chain
 * is filled anew. Here the counters are looked at now and then, and before anything of ours is
 * rewritten, and what they gained is added up under what the grant says: service, peers and ports.
 * So a grant keeps its count when its line moves, and loses it when its meaning changes. What the
 * last moments before a foreign flush or a crash counted is lost; a restart of the daemon goes on
 * from the kernel's counters and knows no earlier hit.
 */
#pragma once

#include "kernel/kernel.h"
#include "microseg/policy.h"

#define MS_HITS_EVERY_MS 10000 /* as exact as a last hit is */

/** One entry under `allow` or `needs`, or an exception: what is counted together. */
struct ms_hits_line {
	const char *service; /* "env/name" */
	const char *kind;    /* "allow", "needs", "exception" */
	const char *text;    /* "from prod/web, prod/api: tcp/5432" */
	struct ms_origin at;
	const char *comment; /* of its rules in the kernel */
	bool counted;	     /* the kernel has a counter for it */
	uint64_t packets;    /* first packets of connections */
	time_t last;	     /* 0: not since `since` */
};
typedef MS_VEC(struct ms_hits_line) ms_hits_line_vec;

struct ms_hits;

struct ms_hits *ms_hits_new(void);
struct ms_hits *ms_hits_free(struct ms_hits *hits);

/** Looks at the counters, which stand for @policy. Returns 0 or -errno, and then nothing changed.
 */
int ms_hits_sample(struct ms_hits *hits, struct ms_kernel *kernel, const struct ms_policy *policy,
		   time_t now);

/** Since when hits are noticed; 0: there was no sample. */
time_t ms_hits_since(const struct ms_hits *hits);

/** The lines of the last sample, sorted by service, in the order of the policy. They live until the
 * next one. */
const ms_hits_line_vec *ms_hits_lines(const struct ms_hits *hits);
