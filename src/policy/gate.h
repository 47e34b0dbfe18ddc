/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gate: what this version reads but does not enforce yet. Private to this room. */
#pragma once

#include "policy/load.h"

/* What a grant's destination is, for gates that no single key can name. */
#define MS_GATE_SERVICE	    "(a service)"
#define MS_GATE_ENVIRONMENT "(an environment)"

/** Reports @key of @section, when its value @text (NULL: a list or mapping) is behind the gate. */
void ms_gate_check(struct ms_load *load, enum ms_section section, const char *key, const char *text,
		   const struct ms_origin *at);
