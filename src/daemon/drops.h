/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drops: the events on the control socket, those of before and, for followers, those to come.
 */
#pragma once

#include "daemon/events.h"

#define MS_DROPS_MAX_UNREAD ((size_t)1024 * 1024) /* bytes of a follower that does not read */
#define MS_DROPS_FOLLOWERS 32u
#define MS_DROPS_HEARTBEAT_MS 15000u

struct evhttp_request;
struct ms_drops;

/** Becomes the sink of @events, which must outlive it. NULL without memory. */
struct ms_drops *ms_drops_new(struct ms_loop *loop, struct ms_events *events);
/** Ends all followers. */
struct ms_drops *ms_drops_free(struct ms_drops *drops);
/** Answers GET /v1/drops. */
void ms_drops_get(struct ms_drops *drops, struct evhttp_request *request);
