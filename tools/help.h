/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Help: what `microseg --help` and `microseg COMMAND --help` print, out of the tables of cli.h.
 *
 * No line is wider than a terminal of 80 columns.
 */
#pragma once

#include "cli.h"

/** The outputs that @command takes, as in "text|json|tap". */
void help_outputs(const struct cli_command *command, struct ms_str *text);

/** Prints the help for @command, or for all of them where it is NULL. Returns 0 or -ENOMEM. */
int help_print(const struct cli_command *command);
