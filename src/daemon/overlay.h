/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Overlay: what `grant`, `relax` and `quarantine` added to the running policy, kept in the state
 * directory whatever becomes of the files.
 *
 * It is a JSON object {"next": number, "entries": [entry, …]}. An entry has "kind" ("grant",
 * "relax", "quarantine"), "id", "since" and "until" (UNIX seconds, 0: no end), "reason", "user",
 * and "from", "to", "ports" (a grant) or "of" (the others). To the loader it is one more policy
 * file, written by ms_overlay_print() in the policy language.
 */
#pragma once

#include <jansson.h>

#include "daemon/state.h"

#define MS_OVERLAY_MAX 256	  /* entries at a time */
#define MS_OVERLAY_MAX_TEXT 512	  /* bytes of one text in an entry */
#define MS_OVERLAY_FILE "runtime" /* its name as a policy file */

/** An overlay without entries. NULL without memory. */
json_t *ms_overlay_new(void);

/** Reads it; what was never written is empty. Returns 0; -EBADMSG when it is torn; -errno. */
int ms_state_load_overlay(const struct ms_state *state, json_t **ret_overlay);
int ms_state_save_overlay(struct ms_state *state, const json_t *overlay);

/**
 * A copy of @overlay with @entry, which gets an "id", and without what has run out by @now.
 * Returns 0; -E2BIG when there are MS_OVERLAY_MAX; -EINVAL when @entry is none, with a sentence in
 * @error; -ENOMEM.
 */
int ms_overlay_with(const json_t *overlay, const json_t *entry, time_t now, json_t **ret_overlay,
		    const char **ret_id, struct ms_str *error);

/**
 * A copy of @overlay without the entries of @kind that @what names: an id, or the "of" of a
 * quarantine or relax. Returns how many went, or -ENOMEM.
 */
int ms_overlay_without(const json_t *overlay, const char *kind, const char *what, time_t now,
		       json_t **ret_overlay);

/** The entries that have not run out at @now, of @kind or (NULL) of all. NULL without memory. */
json_t *ms_overlay_entries(const json_t *overlay, const char *kind, time_t now);

/** Appends the documents of what has not run out at @now, "" when nothing is left. */
void ms_overlay_print(const json_t *overlay, time_t now, struct ms_str *out);
