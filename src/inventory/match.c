/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "match.h"

#include <string.h>

const char *ms_workload_label(const struct ms_workload *workload, const char *name)
{
	ms_vec_each (const struct ms_label, label, &workload->labels)
		if (strcmp(label->name, name) == 0)
			return label->value;
	return NULL;
}

static bool glob_fits(const ms_text_vec *patterns, const char *text)
{
	ms_vec_each (const char *, pattern, patterns)
		if (ms_glob_match(*pattern, text))
			return true;
	return false;
}

static bool address_fits(const ms_prefix_vec *prefixes, const ms_addr_vec *addrs)
{
	ms_vec_each (const struct ms_prefix, prefix, prefixes)
		ms_vec_each (const struct ms_addr, addr, addrs)
			if (ms_prefix_contains(prefix, addr))
				return true;
	return false;
}

static bool labels_fit(const struct ms_match *match, const struct ms_workload *workload)
{
	ms_vec_each (const struct ms_label_match, wanted, &match->labels) {
		const char *value = ms_workload_label(workload, wanted->label);

		if (!value || !glob_fits(&wanted->values, value))
			return false;
	}
	return true;
}

bool ms_match_fits(const struct ms_match *match, const struct ms_endpoint *endpoint,
		   const struct ms_workload *workload)
{
	if (!match->present)
		return false;

	const struct {
		const ms_text_vec *patterns;
		const char *text;
		const char *or_text;
	} globs[] = {
		{&match->name, workload->name, NULL},
		{&match->image, workload->image, NULL},
		{&match->network, endpoint->network, endpoint->bridge},
		{&match->interface, endpoint->interface, NULL},
		{&match->runtime, workload->runtime, NULL},
	};
	for (size_t i = 0; i < sizeof(globs) / sizeof(*globs); i++) {
		if (globs[i].patterns->n_items == 0 || glob_fits(globs[i].patterns, globs[i].text))
			continue;
		if (!globs[i].or_text || !glob_fits(globs[i].patterns, globs[i].or_text))
			return false;
	}
	if (match->address.n_items && !address_fits(&match->address, &endpoint->addrs))
		return false;
	return labels_fit(match, workload);
}
