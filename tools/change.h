/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Change: what apply and rollback show before they ask, what they send, and what they say after.
 */
#pragma once

#include <jansson.h>

#include "cli.h"
#include "daemon/loaded.h"

/**
 * Compares the policy in force with @loaded under the inventory of now, and asks the daemon which
 * connections it would cut; @body is what will be sent. In text it prints both; for JSON it puts
 * them into @ret_report. Returns 0, or -errno after saying why.
 */
int change_show(const struct cli *cli, const struct ms_loaded *loaded, const char *body,
		json_t **ret_report);

/**
 * Sends @body, with --confirm in it, to @path, and says what became of it. @report is part of the
 * answer in JSON. Returns the exit code.
 */
int change_send(const struct cli *cli, const char *path, json_t *body, const json_t *report);
