/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gate, theory of operation: the loader reads the whole language. What the compiler does not build
 * yet must not load, as a policy that is enforced in part is worse than one that is refused. Each
 * row below holds one feature back; deleting the row is all it takes to let it through.
 */
#include "policy/gate.h"

#include <string.h>

static const struct {
	enum ms_section section;
	const char *key;
	const char *value; /* NULL: whatever it is */
	const char *what;
} gates[] = {
	{MS_SECTION_ENVIRONMENTS, "nodes", NULL, "nodes"},
	{MS_SECTION_PEER, "node", NULL, "peers that are nodes"},
	{MS_SECTION_ENVIRONMENTS, "crossings", NULL, "crossings between environments"},
	{MS_SECTION_ENVIRONMENTS, "never", NULL, "never"},
	{MS_SECTION_ENVIRONMENT, "two_key", "true", "two_key"},
	{MS_SECTION_EXCEPTION, "kind", "Exception", "exceptions"},
	{MS_SECTION_SERVICE, "carries", NULL, "carries"},
	{MS_SECTION_ALLOW, "published", "true", "published ports"},
	{MS_SECTION_NEED, "to", MS_GATE_SERVICE,
	 "needs to a service (without two_key its allow is enough)"},
	{MS_SECTION_NEED, "to", MS_GATE_ENVIRONMENT, "needs to a whole environment"},
	{MS_SECTION_PEER, "fqdn", NULL, "peers by DNS name"},
};

void ms_gate_check(struct ms_load *load, enum ms_section section, const char *key, const char *text,
		   const struct ms_origin *at)
{
	if (!load->gated)
		return;
	for (size_t i = 0; i < sizeof(gates) / sizeof(gates[0]); i++) {
		if (gates[i].section != section || strcmp(gates[i].key, key) != 0)
			continue;
		if (gates[i].value && (!text || strcmp(gates[i].value, text) != 0))
			continue;
		ms_load_error(load, at, "not-in-this-version",
			      "remove it: what is not enforced yet is refused, never ignored",
			      "not in this version: %s", gates[i].what);
	}
}
