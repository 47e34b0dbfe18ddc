/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Diff print: what changes between two policies, flows first.
 */
#pragma once

#include <jansson.h>

#include "diff_ruleset.h"
#include "microseg/matrix.h"

struct change_report {
	struct ms_flow_diff flows;
	bool has_ruleset; /* was it asked for? */
	ruleset_changes ruleset;
};

/** "+ dev/web -> dev/cache tcp/6379" and so on, one change a line, and a line that counts them. */
void diff_print_text(const struct change_report *report, bool color, struct ms_str *out);
/** {"gained", "lost", "modes", "ruleset"}; NULL without memory. */
json_t *diff_json(const struct change_report *report);
