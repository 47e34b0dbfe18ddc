/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that serves metrics on TCP. */
#pragma once

#include <stdnoreturn.h>

/**
 * Gives the rest of its rights up and serves GET /metrics from @listen_fd, asking the daemon for
 * the text through @fd: one byte there, its size as a uint32_t and the text back. Exits with 0 when
 * the daemon has closed its end.
 */
noreturn void ms_exporter_child(int listen_fd, int fd);
