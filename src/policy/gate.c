/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gate, theory of operation: the loader reads the whole language. What the compiler does not build
 * yet must not load, as a policy that is enforced in part is worse than one that is refused. Each
 * row below holds one key back, from the loader as from the JSON Schema; deleting the row is all it
 * takes to let it through.
 */
#include "policy/gate.h"

#include <string.h>

static const struct {
	enum ms_section section;
	const char *key;
	const char *what;
} gates[] = {
	{MS_SECTION_PEER, "fqdn", "peers by DNS name"},
};

const char *ms_gate_what(enum ms_section section, const char *key)
{
	for (size_t i = 0; i < sizeof(gates) / sizeof(gates[0]); i++)
		if (gates[i].section == section && strcmp(gates[i].key, key) == 0)
			return gates[i].what;
	return NULL;
}

void ms_gate_check(struct ms_load *load, enum ms_section section, const char *key,
		   const struct ms_origin *at)
{
	const char *what = load->gated ? ms_gate_what(section, key) : NULL;

	if (what && !ms_load_is_runtime(load, at))
		ms_load_error(load, at, "not-in-this-version",
			      "remove it: what is not enforced yet is refused, never ignored",
			      "not in this version: %s", what);
}
