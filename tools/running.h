/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running: the policy in force on this node.
 */
#pragma once

#include "cli.h"
#include "daemon/loaded.h"

/**
 * Asks microsegd for the policy in force. @ret_loaded stays untouched when there is none, or none
 * that this version can read. Returns 0, or -errno after saying why.
 */
int running_policy(const struct cli *cli, struct ms_loaded **ret_loaded);
