/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the state directory share: how one of them is read and written. */
#pragma once

#include <jansson.h>

#include "daemon/state.h"

struct ms_state {
	int dir_fd;
	int lock_fd;
};

/** Puts @bytes under @name, a path below the directory: written aside, synced, renamed. */
int ms_state_replace_file(struct ms_state *state, const char *name, const char *bytes, size_t size,
			  bool sync);
/** Reads a whole file, with a NUL behind it. -EBADMSG: no regular file, or larger than any of ours.
 */
int ms_state_read_file(const struct ms_state *state, const char *name, char **ret_bytes,
		       size_t *ret_size);

/** Writes and reads JSON behind a checksum. A file that fails it is -EBADMSG; one in a form that
 * came after ours -EPROTONOSUPPORT. */
int ms_state_store_json(struct ms_state *state, const char *name, const json_t *json);
int ms_state_fetch_json(const struct ms_state *state, const char *name, json_t **ret_json);
/** The checksum that stands in the file, which nobody verified. 0 when there is none. */
uint64_t ms_state_read_sum(const struct ms_state *state, const char *name);
