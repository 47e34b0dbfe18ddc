/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeper: the process that holds the port of the metrics, and starts who serves it. */
#pragma once

#include <stdnoreturn.h>

/**
 * Gives all rights up, keeps @listen_fd and @fd, and has a child serve on @listen_fd for as long as
 * the daemon lives. For each child the daemon gets one message through @fd, a socket with
 * boundaries: a byte, and with it the descriptor on which that child asks.
 */
noreturn void ms_exporter_keeper(int listen_fd, int fd);
