/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory: what engines said of their containers, written down for the next start of the daemon.
 *
 * An engine may hang just when the daemon starts again. What is remembered of a container then
 * counts only where the kernel proves that its process is still the same one: by the number that
 * the kernel gives a process for as long as the machine is up, never by its pid alone. Where that
 * process lives is asked anew. So a memory can be old, or wrong, and still give nobody a name that
 * is not his.
 */
#pragma once

#include "discover/claims.h"
#include "discover/rtnl.h"
#include "microseg/str.h"

/**
 * The kernel's number of the process behind @pidfd: of its pidfd, else (before Linux 6.9) its time
 * of start. 0 when it cannot be had.
 */
uint64_t ms_process_number(int pidfd, uint32_t pid);

/** Appends what @claims has live, for the engine at @path: one line for each container. */
void ms_memory_write(const char *path, const struct ms_claims *claims, struct ms_str *out);

/**
 * Puts into @claims what @text, NULL for none, remembers of the engine at @path and the kernel
 * confirms. It names what is there at @seq, until the engine answers. Lines that make no sense are
 * passed over. Returns 0 or -ENOMEM.
 */
int ms_memory_read(const char *text, const char *path, struct ms_rtnl *rtnl, uint64_t seq,
		   struct ms_claims *claims);
