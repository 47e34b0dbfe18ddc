/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Containers: what the engines said of their containers, kept for the next start: see
 * discover/memory.h.
 *
 * Nothing waits for it and nothing depends on it: it is written a little after a change, without a
 * sync, and where it is missing, torn or old an endpoint waits for its engine.
 */
#pragma once

#include "daemon/daemon.h"

/** What an earlier process remembered, or NULL. Owned by the caller. */
char *ms_containers_read(const struct ms_daemon *daemon);
/** Something may have changed: written soon. */
void ms_containers_soon(struct ms_daemon *daemon);
/** Written now, if it differs from what was written last. */
void ms_containers_now(void *userdata);
