/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process that serves metrics on TCP. */
#pragma once

#include <stdint.h>
#include <stdnoreturn.h>

/**
 * Gives all rights up and serves GET /metrics from @listen_fd, asking for the text through @fd: one
 * byte there, its size as a uint32_t and the text back.
 */
noreturn void ms_exporter_child(int listen_fd, int fd);
