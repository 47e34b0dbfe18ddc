/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inspect: looks at containers, a few at a time, and turns each into a claim or takes its claim
 * back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "discover/claims.h"
#include "discover/http.h"
#include "discover/rtnl.h"

struct ms_inspector;

struct ms_inspector_options {
	struct ms_http *http;
	struct ms_rtnl *rtnl;
	const char *socket_path;
	struct ms_claims *claims;
	uint64_t (*seq)(void *userdata);
	void *seq_userdata;
	void (*claim)(const char *id, void *userdata); /* a claim was made, changed or dropped */
	void (*idle)(void *userdata);		       /* all that was asked for is done */
	/* The engine does not work. The inspector goes on only after ms_inspector_stop() and a new
	 * start. */
	void (*failed)(const struct ms_http_answer *answer, void *userdata);
	void *userdata;
};

/** Copies @options; what they point to must outlive the inspector. Returns NULL without memory. */
struct ms_inspector *ms_inspector_new(const struct ms_inspector_options *options);
struct ms_inspector *ms_inspector_free(struct ms_inspector *inspector);

/** Speaks API version 1.@api_minor from now on. */
void ms_inspector_start(struct ms_inspector *inspector, unsigned int api_minor);
/** Forgets all that was asked for. */
void ms_inspector_stop(struct ms_inspector *inspector);
/** Looks at this container, once more if that is being done already. */
void ms_inspector_look(struct ms_inspector *inspector, const char *id);
bool ms_inspector_is_idle(const struct ms_inspector *inspector);

/** Containers that could not be read since the count was last taken back to zero. */
size_t ms_inspector_n_unreadable(const struct ms_inspector *inspector);
void ms_inspector_clear_unreadable(struct ms_inspector *inspector);
