/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Http: GET requests to unix sockets, on the loop, with a deadline and a limit on everything. A
 * skin over libcurl's multi interface.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"

struct ms_http;
struct ms_http_call;

struct ms_http_answer {
	int error; /* 0; -ETIMEDOUT; -ECONNREFUSED; -EFBIG beyond max_size; -EPROTO and what else
		      may be */
	const char *reason; /* one sentence when error is set */
	long status;	    /* HTTP status when error is 0 */
	const char *body;   /* lives during the callback */
	size_t len;
};

/** The call is over and its handle is dead. Not called for a cancelled one. */
typedef void (*ms_http_done_fn)(const struct ms_http_answer *answer, void *userdata);
/** One line of a stream with status 200, without its newline. */
typedef void (*ms_http_line_fn)(const char *line, size_t len, void *userdata);

struct ms_http_get {
	const char *socket_path;
	const char *path;     /* "/version" */
	uint64_t timeout_ms;  /* for the whole call; 0: none (connecting has one of its own) */
	size_t max_size;      /* bytes of the body, or of one line of a stream */
	ms_http_line_fn line; /* NULL: not a stream, the body comes with @done */
	ms_http_done_fn done;
	void *userdata;
};

/** Returns NULL without memory. */
struct ms_http *ms_http_new(struct ms_loop *loop);
/** Cancels all calls. */
struct ms_http *ms_http_free(struct ms_http *http);

/** Starts a call; callbacks come from the loop, never from here. Returns NULL without memory. */
struct ms_http_call *ms_http_get(struct ms_http *http, const struct ms_http_get *get);
/** Ends a call silently. NULL is fine. Returns NULL. */
struct ms_http_call *ms_http_cancel(struct ms_http_call *call);
/** Has the head of the answer arrived? */
bool ms_http_has_begun(const struct ms_http_call *call);
