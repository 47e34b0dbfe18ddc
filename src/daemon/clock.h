/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clock: the next end of anything, and a clock that is set. See clock.c.
 */
#pragma once

#include <time.h>

#include "loop/loop.h"

struct ms_clock;

/** @set: somebody set the clock, and the kernel counts towards the wrong moment. */
typedef void (*ms_clock_fn)(bool set, void *userdata);

/** A clock that calls @fn from the loop. NULL when memory or the kernel refuses. */
struct ms_clock *ms_clock_new(struct ms_loop *loop, ms_clock_fn fn, void *userdata);
struct ms_clock *ms_clock_free(struct ms_clock *clock);
/** Calls at @at (UNIX seconds; 0: at no time), and whenever the clock is set. */
void ms_clock_set(struct ms_clock *clock, time_t at);
