/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sandbox: what the daemon gives up once it has started, whoever started it. See sandbox.c.
 */
#pragma once

#include <stddef.h>

/**
 * Gives up all capabilities but CAP_NET_ADMIN and CAP_NET_BROADCAST, all system calls that the
 * daemon does not make, and writing anywhere but below @writable (@n_writable directories, NULLs
 * among them are skipped; a directory that is absent is not writable). For good, and for all
 * children. Returns 0, or -errno, when less than that was given up. A kernel without Landlock keeps
 * the file system's own rules: that is no failure.
 */
int ms_sandbox_enter(const char *const *writable, size_t n_writable);

/**
 * Becomes a user that owns nothing, without any capability, and keeps the system calls that serve
 * connections on descriptors that are open already, and those that start a child of its own.
 * Returns 0 or -errno.
 */
int ms_sandbox_become_nobody(void);

/** In such a child: gives up what starts further ones. Returns 0 or -errno. */
int ms_sandbox_only_serve(void);
