/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stored: what the state directory remembers, read back into what the line takes.
 */
#pragma once

#include "daemon/loaded.h"
#include "daemon/state.h"
#include "microseg/inventory.h"

/**
 * Loads the last good policy, with what commands added, and says in the log why it can't be used.
 * @path: of @state, for the log. Returns 0; -ENOENT, silently, when there never was one; -EBADMSG
 * when it is torn; -EINVAL when it has errors; -errno.
 */
int ms_stored_policy(const struct ms_state *state, const char *path, struct ms_loaded **ret_loaded);

/**
 * Reads the inventory that the tables were last compiled for, not yet identified.
 * @ret_this_boot (may be NULL): whether it was written since the machine was started: interface
 * names of an earlier boot say nothing. Returns 0; -ENOENT; -EBADMSG when it is torn; -errno.
 */
int ms_stored_inventory(const struct ms_state *state, bool *ret_this_boot,
			struct ms_inventory **ret_inventory);
