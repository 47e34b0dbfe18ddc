/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ask: questions before something changes.
 */
#pragma once

#include "cli.h"

/**
 * Asks "@question [y/N]" on a terminal. --yes answers by itself; without a terminal that is the
 * only way. Returns 1 to go on; 0 when the answer was no, after saying that nothing was changed;
 * -ENOTTY after saying why.
 */
int ask(const struct cli *cli, const char *question);
