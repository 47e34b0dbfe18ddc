/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gate: what this version reads but does not enforce yet. Private to this room. */
#pragma once

#include "policy/load.h"

/** What @key of @section is called when it is behind the gate, else NULL. A whole document is
 * behind it by its kind. */
const char *ms_gate_what(enum ms_section section, const char *key);
/** Reports @key of @section when it is behind the gate. */
void ms_gate_check(struct ms_load *load, enum ms_section section, const char *key,
		   const struct ms_origin *at);
