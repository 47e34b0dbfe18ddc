/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Balance: how many packets the kernel refused, whatever became of their records.
 *
 * Each chain that refuses counts and logs in one rule. A chain that is filled anew counts from
 * zero: what it gained since the last look is added up here.
 */
#pragma once

#include "kernel/kernel.h"

struct ms_balance;

struct ms_balance *ms_balance_new(void);
struct ms_balance *ms_balance_free(struct ms_balance *balance);
/** Looks at the counters. @ret_total: all that was refused and logged, as far as looks go back.
 * Returns 0 or -errno. */
int ms_balance_read(struct ms_balance *balance, struct ms_kernel *kernel, uint64_t *ret_total);
