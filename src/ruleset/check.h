/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "microseg/ruleset.h"

/** Would the kernel and nft take @table, its elements sorted and its names indexed? Returns 0 or
 * -EINVAL. */
int ms_check_table(const struct ms_table *table);
