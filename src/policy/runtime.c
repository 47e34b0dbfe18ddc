/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runtime: the two kinds of documents that no user writes. `microseg relax` and `microseg
 * quarantine` add them to a file that the daemon keeps beside the applied ones.
 */
#include <string.h>

#include "policy/load.h"

bool ms_load_check_kind(struct ms_load *load, enum ms_section kind, const struct ms_origin *at)
{
	static const char *const hints[MS_N_RUNTIME_KINDS] = {
		[MS_SECTION_RELAX] = "say it with: microseg relax ENV[/SERVICE] --for TIME",
		[MS_SECTION_QUARANTINE] = "say it with: microseg quarantine add",
	};
	bool is_runtime = ms_load_is_runtime(load, at);

	if (!is_runtime && ms_section_is_runtime(kind))
		ms_load_error(load, at, "misplaced-kind", hints[kind],
			      "kind: %s stands in no policy file", ms_document_kind(kind));
	else if (is_runtime && !ms_section_is_runtime(kind) && kind != MS_SECTION_EXCEPTION)
		ms_load_error(load, at, "misplaced-kind", NULL,
			      "kind: %s does not belong to what commands add",
			      ms_document_kind(kind));
	else
		return true;
	return false;
}

/* Reads ENV/SERVICE, or what @of is without a slash as @ret_env. Returns false when it names
 * nothing that this policy has. */
static bool read_identity(struct ms_load *load, const struct ms_yaml_node *of, const char **ret_env,
			  const char **ret_service)
{
	const char *text = ms_load_scalar(of);
	const char *slash = text ? strchr(text, '/') : NULL;
	size_t n = slash ? (size_t)(slash - text) : text ? strlen(text) : 0;
	const char *env = ms_load_printf(load, "%.*s", (int)n, text ? text : "");

	if (!text)
		return false;
	if (!ms_name_valid(env) || (slash && !ms_name_valid(slash + 1))) {
		ms_load_error(load, &of->at, "bad-name", "expected ENV or ENV/SERVICE",
			      "'%s' names no environment or service", text);
		return false;
	}
	*ret_env = env;
	*ret_service = slash ? slash + 1 : NULL;
	return ms_load_env(load, env, &of->at);
}

void ms_load_relax(struct ms_load *load, const struct ms_yaml_node *root)
{
	const char *id = ms_load_text(root, "id"), *until = ms_load_text(root, "until");
	struct ms_relax relax = {
		.id = id ? id : "",
		.at = root->at,
		.reason = ms_load_text(root, "reason"),
	};

	if (!until || ms_time_parse(until, &relax.until) < 0 ||
	    !read_identity(load, ms_yaml_get(root, "of"), &relax.env, &relax.service))
		return;
	ms_load_check_until(load, root, relax.until, "the relax");
	ms_load_push(load, &load->policy->relaxes, relax);
}

void ms_load_quarantine(struct ms_load *load, const struct ms_yaml_node *root)
{
	const struct ms_yaml_node *of = ms_yaml_get(root, "of");
	const char *id = ms_load_text(root, "id"), *text = ms_load_scalar(of);
	struct ms_quarantine quarantine = {
		.id = id ? id : "",
		.at = root->at,
		.reason = ms_load_text(root, "reason"),
	};

	if (!text)
		return;
	if (!strchr(text, '/'))
		quarantine.endpoint = text;
	else if (!read_identity(load, of, &quarantine.env, &quarantine.service))
		return;
	ms_load_push(load, &load->policy->quarantines, quarantine);
}
