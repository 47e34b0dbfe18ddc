/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: from the kernel's log of refused packets to what people read.
 *
 * NFLOG records are named, folded, kept in a ring, written to the log file and handed to whoever
 * follows. All of it may fail or be slow without any effect on a verdict; what is lost is counted,
 * and said in the stream itself by a line
 * {"time", "lost", "node", "generation"}.
 */
#pragma once

#include "daemon/config.h"
#include "daemon/tally.h"
#include "kernel/kernel.h"
#include "loop/loop.h"
#include "microseg/event.h"

#define MS_EVENTS_RING 4096 /* lines kept */
#define MS_EVENTS_SERIES                                                                           \
	2000 /* (reason, source, destination) counted apart; the rest is counted as "other" */

struct ms_events;

/** What a record is read against. Borrowed; replaced together. */
struct ms_events_view {
	const struct ms_policy *policy; /* may be NULL */
	const struct ms_inventory
		*inventory; /* may be NULL: records wait for nothing and are counted as lost */
	uint64_t generation;
};

/** One line of the stream. `json` has no newline. */
struct ms_events_line {
	uint64_t time_ms;
	enum ms_reason reason; /* NONE for a line about losses */
	const char *src, *dst; /* identities; "" for a line about losses */
	const char *json;
};

struct ms_events_filter {
	uint64_t since_ms;
	enum ms_reason reason; /* NONE: any */
	const char *
		service; /* "env/service", "service" or another identity at either end; NULL: any */
};

bool ms_events_match(const struct ms_events_filter *filter, const struct ms_events_line *line);

/**
 * Binds the NFLOG group of @config and opens its log file. A group or a file that can't be had is
 * no failure: the rest works and ms_events_problem() says what does not. Returns 0 or -ENOMEM.
 */
int ms_events_new(struct ms_loop *loop, const struct ms_config *config,
		  struct ms_events **ret_events);
struct ms_events *ms_events_free(struct ms_events *events);
void ms_events_set_view(struct ms_events *events, const struct ms_events_view *view);
/** Asks @adopt about every record: true when the connection it belongs to goes on all the same. */
typedef bool (*ms_events_adopt_fn)(const struct ms_packet_record *record, void *userdata);
void ms_events_set_adopt(struct ms_events *events, ms_events_adopt_fn adopt, void *userdata);
/** Adds a tracked connection that the policy would refuse, as if @record were a packet of it. */
void ms_events_tracked(struct ms_events *events, const struct ms_packet_record *record);
/** Opens the log file anew, for rotation. */
void ms_events_reopen(struct ms_events *events);

/** Holds what is read against the counters of @kernel, borrowed: what was lost is known sooner
 * then. */
void ms_events_set_kernel(struct ms_events *events, struct ms_kernel *kernel);

/** One sentence on what of the events does not work, or NULL. */
const char *ms_events_problem(const struct ms_events *events);
/** One sentence on what does not work with the log file, or NULL. */
const char *ms_events_log_problem(const struct ms_events *events);
/** Refused packets that no line tells of. */
uint64_t ms_events_lost(const struct ms_events *events);

typedef void (*ms_events_fn)(const struct ms_events_line *line, void *userdata);
/** Calls @fn for every line from now on. */
void ms_events_set_sink(struct ms_events *events, ms_events_fn fn, void *userdata);
/** Calls @fn for each line in the ring that passes @filter, oldest first, at most the last @max. */
void ms_events_each(const struct ms_events *events, const struct ms_events_filter *filter,
		    size_t max, ms_events_fn fn, void *userdata);

struct ms_events_series {
	enum ms_verdict verdict;
	enum ms_reason reason;
	char src[MS_EVENT_TEXT], dst[MS_EVENT_TEXT];
	uint64_t count;
};
/** The counts by verdict, reason and ends, in the order they first appeared. */
size_t ms_events_series(const struct ms_events *events, const struct ms_events_series **ret_series);
/** The counts by endpoint. */
const struct ms_tally *ms_events_tally(const struct ms_events *events);
