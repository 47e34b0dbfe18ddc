/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live: one look at this node without a daemon. Changes nothing.
 */
#pragma once

#include "daemon/config.h"
#include "microseg/inventory.h"

/**
 * Asks all sources of @config once and waits until they have answered or were given up. Endpoints
 * count as ready: the daemon would switch the bridge flags on. Returns 0, not yet identified;
 * -EPERM without the capabilities; -errno.
 */
int live_inventory(const struct ms_config *config, struct ms_inventory **ret_inventory);
