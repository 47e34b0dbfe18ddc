/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Revoked: the kernel's memory of TCP connections that were cut. See revoked.c.
 */
#pragma once

#include "kernel/conntrack.h"
#include "kernel/kernel.h"

/** What is to be remembered, of one look. All zero is one that is empty. */
struct ms_revoked {
	struct ms_kernel *kernel;
	const struct ms_ruleset *installed; /* NULL: there is no memory */
	MS_VEC(struct ms_elem) elems[2];    /* of IPv4 and IPv6, on the heap */
	bool failed;
};

/**
 * Notes @entry, which is about to be cut. @stale: one of its ends is gone, or has another holder
 * now. What is no open TCP connection is left out.
 */
void ms_revoked_note(struct ms_revoked *revoked, const struct ms_conntrack_entry *entry,
		     bool stale);

/**
 * Puts what was noted into the kernel, and forgets it here. To be called before the connections
 * are cut where their way back is open, and before the next commit where it is not. Where there is
 * no room for it, no connection is taken up midway for as long. Returns 0 or -errno.
 */
int ms_revoked_write(struct ms_revoked *revoked);

/** Was a connection cut of which @segment would be its server's? Where that cannot be known: yes.
 */
bool ms_revoked_holds(struct ms_kernel *kernel, const struct ms_ruleset *installed,
		      const struct ms_conntrack_tuple *segment);

/** Were more connections cut than can be remembered, so that none is taken up midway for a while?
 * Where that cannot be known: no. */
bool ms_revoked_is_full(struct ms_kernel *kernel, const struct ms_ruleset *installed);
