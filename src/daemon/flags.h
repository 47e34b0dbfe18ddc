/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flags: what the daemon sets of the host's interfaces, and puts back. The bridge flags that bring
 * same-bridge traffic before our tables, and the one that keeps a bridge from learning MACs out of
 * frames to its own groups (LLDP and the like), which no table sees. They are switched on for every
 * managed bridge; what they were is on disk before they change, and `off` puts it back.
 */
#pragma once

#include "daemon/state.h"
#include "discover/discover.h"

struct ms_flags_result {
	unsigned int n_set;	 /* bridges switched on now */
	unsigned int n_repaired; /* of these, ones that somebody had switched off behind our back */
};

/**
 * Switches the flags of @bridges on. A bridge that refuses stays closed and is named in @error; the
 * others go on. Returns 0 or the first -errno.
 */
int ms_flags_ensure(struct ms_state *state, const struct ms_bridge_state *bridges, size_t n_bridges,
		    struct ms_flags_result *ret_result, struct ms_str *error);

/** Puts back what was recorded and forgets the records. Bridges that are gone are passed over. The
 * mark of ports goes as well, see admit.h. Returns as above. */
int ms_flags_restore(struct ms_state *state, struct ms_str *error);
