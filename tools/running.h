/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running: the policy in force on this node.
 */
#pragma once

#include "cli.h"
#include "daemon/loaded.h"

/**
 * Asks microsegd for the policy in force, with what commands added to it. @ret_loaded stays
 * untouched when there is none, or none that this version can read. Returns 0, or -errno after
 * saying why.
 */
int running_policy(const struct cli *cli, struct ms_loaded **ret_loaded);

/** As running_policy(), for the one applied as @generation, with what commands added since. */
int running_earlier(const struct cli *cli, uint64_t generation, struct ms_loaded **ret_loaded);

/** Appends what commands added, in the policy language, if there is a daemon that says. */
void running_overlay(const struct cli *cli, struct ms_str *out);
