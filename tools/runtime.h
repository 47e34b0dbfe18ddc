/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runtime: what grant, relax and quarantine have in common: adding to the running policy, taking
 * away again, listing. All return an exit code.
 */
#pragma once

#include <jansson.h>

#include "cli.h"

/** Sends @entry, which it takes over, with --for and --reason. @ends: --for has to be there. */
int runtime_add(const struct cli *cli, json_t *entry, bool ends);
/** Takes away what @what names: an id, or who is relaxed or quarantined. */
int runtime_remove(const struct cli *cli, const char *kind, const char *what);
int runtime_list(const struct cli *cli, const char *kind);

/** Prints "grant-1  prod/a -> prod/b tcp/80, until …" for each of @entries (of @kind, or NULL: of
 * all), with @indent before. */
void runtime_print(const json_t *entries, const char *kind, const char *indent);
