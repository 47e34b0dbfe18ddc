/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cover: which interfaces are managed, which are left alone, and why. Pure.
 *
 * Everything that matches a managed pattern is either managed or skipped with a reason; what does
 * not match is nobody's business, but for the veth ports of a managed bridge, which are managed
 * with it whatever they are called.
 *
 * A bridge that was managed stays so when it gets a name that no pattern matches: whoever renames
 * it does not mean to open it.
 */
#pragma once

#include "discover/links.h"

enum ms_cover {
	MS_COVER_NONE,	    /* matches nothing */
	MS_COVER_BRIDGE,    /* a managed bridge */
	MS_COVER_PORT,	    /* a veth to another namespace, port of a managed bridge */
	MS_COVER_ROUTED,    /* a veth to another namespace, routed */
	MS_COVER_SKIPPED,   /* left alone; `reason` says why, and is NULL where its bridge's reason
			       says it */
	MS_COVER_CLOSED,    /* cannot be named in a rule: left to what stops unknown ports;
			       `reason` as above */
	MS_COVER_UNDECIDED, /* being set up: no reason yet to call it skipped, or routed */
};

struct ms_cover_rules {
	const ms_text_vec *patterns, *named, *ignore;
};

struct ms_covered {
	const struct ms_link *link;
	enum ms_cover cover;
	const struct ms_link *bridge; /* of a port */
	const char *reason;
	const char *former; /* the name for which a bridge is managed that has another one now */
};
typedef MS_VEC(struct ms_covered) ms_covered_vec;

/** Does @name match a managed pattern, and none of what is to be left alone? */
bool ms_cover_matches(const struct ms_cover_rules *rules, const char *name);

/** How long a veth with both ends here counts as being set up. */
#define MS_COVER_YOUNG_MS 5000
/** How long a veth without a bridge and without an address of the host may still get a bridge. */
#define MS_COVER_BRIDGELESS_MS 500

/**
 * Judges every link, in the order of @links. Reasons live in @arena, the vec on the heap.
 * @ret_undecided_ms: when to judge again because of MS_COVER_UNDECIDED (monotonic), UINT64_MAX when
 * not. Returns 0 or -ENOMEM.
 */
int ms_cover_judge(const struct ms_links *links, const struct ms_cover_rules *rules,
		   uint64_t now_ms, struct ms_arena *arena, ms_covered_vec *ret_covered,
		   uint64_t *ret_undecided_ms);
