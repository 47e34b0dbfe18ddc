/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fence: what stands between boot and the daemon. See fence.c.
 */
#pragma once

#include "daemon/config.h"

/**
 * Loads the last good ruleset, or the closed door, where a node is armed and nothing of ours stands
 * in the kernel; otherwise does nothing. Says in the log which. Takes no lock and writes no file.
 * Returns 0, or -errno when an armed node could not be closed.
 */
int ms_fence(const struct ms_config *config);
