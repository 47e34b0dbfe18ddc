/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Times: how they are typed and shown.
 */
#pragma once

#include <time.h>

#include "cli.h"

#define TIMES_TEXT_SIZE 64

/**
 * Reads the duration of a flag: 90s, 30m, 2h, 7d, 1w. Returns 0, or -EINVAL after saying what is
 * wrong.
 */
int times_parse(const struct cli *cli, enum cli_flag flag, time_t *ret_seconds);

/** "2026-12-01 18:00:00Z". Returns @text. */
const char *times_format(time_t at, char text[TIMES_TEXT_SIZE]);
/** "43s", "29m", "2h05m", "3d04h": how long it is. Returns @text. */
const char *times_format_length(time_t seconds, char text[TIMES_TEXT_SIZE]);
/** "2026-12-01 18:00:00Z, in 29m". Returns @text. */
const char *times_format_end(time_t at, time_t now, char text[TIMES_TEXT_SIZE]);
