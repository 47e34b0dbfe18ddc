/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Part: what a few veths that changed mean for a snapshot. Pure. */
#pragma once

#include "discover/links.h"

/**
 * Finds how @part, the snapshot of the dirty view of @links, changes @before. The change points
 * into both, its lists are in @arena. Endpoints that are dirty and the same are in it too. Returns
 * 0; 1 when more than endpoints and the host's addresses may change; -ENOMEM.
 */
int ms_part_change(const struct ms_inventory *before, const struct ms_inventory *part,
		   const struct ms_links *links, struct ms_arena *arena,
		   struct ms_inventory_change *ret_change);
