/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load: the two inputs of most commands, a policy out of -p and an inventory out of -i.
 */
#pragma once

#include "cli.h"
#include "daemon/loaded.h"
#include "microseg/inventory.h"

/**
 * Reads and loads the policy of -p, or of the default directory. Diagnostics go to stderr.
 * Returns 0; -EINVAL when the policy has errors; another -errno, after saying why, when it can't be
 * read.
 */
int load_policy(const struct cli *cli, struct ms_loaded **ret_loaded);
/** As load_policy(), and where the inventory is the running node's, with what commands added there.
 */
int load_policy_here(const struct cli *cli, struct ms_loaded **ret_loaded);
/** As load_policy_here(), but never the policy in force: only what files say can be applied. */
int load_policy_files(const struct cli *cli, struct ms_loaded **ret_loaded);
/** Is the inventory at hand that of the running node? */
bool load_is_live(const struct cli *cli);

/**
 * The inventory of -i, identified under @policy. Without -i: of the running daemon where one
 * answers, otherwise an empty one when @optional, otherwise what a look at this node gives (which
 * needs root). Returns 0, or -errno after saying why.
 */
int load_inventory(const struct cli *cli, const struct ms_policy *policy, bool optional,
		   struct ms_inventory **ret_inventory);
