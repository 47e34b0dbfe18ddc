/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tally: how many packets of each endpoint were refused, or passed in audit, from it and to it.
 *
 * It goes by the events, so nothing is added to the kernel for it, and what was lost on the way is
 * not in it. An endpoint's counts begin and end with its interface, and with the daemon.
 */
#pragma once

#include "microseg/event.h"
#include "microseg/inventory.h"

struct ms_tally;

/** Of one endpoint, at either end. */
struct ms_tally_counts {
	uint64_t denied, audited; /* packets */
	uint64_t last_ms;	  /* UNIX time of the last one; 0: none */
};

struct ms_tally *ms_tally_new(void);
struct ms_tally *ms_tally_free(struct ms_tally *tally);
/** Counts @event for the endpoints of @inventory that are its ends. */
void ms_tally_add(struct ms_tally *tally, const struct ms_event *event,
		  const struct ms_inventory *inventory);
/** Forgets the endpoints that @inventory does not have. */
void ms_tally_keep(struct ms_tally *tally, const struct ms_inventory *inventory);
struct ms_tally_counts ms_tally_get(const struct ms_tally *tally,
				    const struct ms_endpoint *endpoint);
