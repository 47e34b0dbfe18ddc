/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Undo: the process beside the daemon that ends a trial when the daemon can't.
 *
 * The kernel keeps a policy on trial when the daemon dies, so somebody else has to take it away. It
 * is forked off before the kernel sees the policy and sleeps on a pipe. A byte in it says that the
 * trial is over: it ends without a trace. The end of the pipe says that the daemon is gone: it
 * then waits for the end of the trial and does what a start of the daemon would do, unless the
 * trial was ended meanwhile by a daemon that started, or one is there and holds the state
 * directory. Of the daemon it keeps neither sockets nor locks, and what it needs it reads from the
 * state directory at the time.
 */
#pragma once

#include <stdint.h>

#include "daemon/config.h"

/** Starts it for the policy that ms_state_staged() calls @staged. @end_ms: monotonic. @ret_fd holds
 * it off. Returns 0 or -errno. */
int ms_undo_start(const struct ms_config *config, uint64_t staged, uint64_t end_ms, int *ret_fd);
/** Sends it home and sets @fd to -1. */
void ms_undo_stop(int *fd);
