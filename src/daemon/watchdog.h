/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watchdog: tells the service manager, from the loop itself, that the loop still turns. One that is
 * stuck falls silent, and the manager starts us anew; the tables hold meanwhile.
 */
#pragma once

#include "loop/loop.h"

struct ms_watchdog;

/**
 * Starts telling, at half the interval that the service manager asks for (WATCHDOG_USEC). It asks
 * for none: *@ret_watchdog is NULL. Returns 0 or -ENOMEM.
 */
int ms_watchdog_new(struct ms_loop *loop, struct ms_watchdog **ret_watchdog);
struct ms_watchdog *ms_watchdog_free(struct ms_watchdog *watchdog);
