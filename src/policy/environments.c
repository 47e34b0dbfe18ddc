/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/load.h"

#define EXCEPTION_MAX_DEFAULT ((time_t)30 * 86400)

static enum ms_mode read_mode(const struct ms_yaml_node *mapping, enum ms_mode otherwise)
{
	const char *text = ms_load_text(mapping, "mode");

	if (!text)
		return otherwise;
	return strcmp(text, "audit") == 0 ? MS_MODE_AUDIT : MS_MODE_ENFORCE;
}

const struct ms_env *ms_load_env(struct ms_load *load, const char *name, const struct ms_origin *at)
{
	const struct ms_env *env = ms_policy_env(load->policy, name);
	_cleanup_(ms_str_fini) struct ms_str hint = {0}, all = {0};
	MS_VEC(const char *) words = {0};

	if (env || load->policy->envs.n_items == 0)
		return env;
	ms_str_add(&all, "the environments are ");
	ms_vec_each (struct ms_env, known, &load->policy->envs) {
		ms_str_addf(&all, "%s%s", words.n_items ? ", " : "", known->name);
		ms_load_push(load, &words, known->name);
	}
	ms_load_suggest(&hint, name, words.items, words.n_items, all.text);
	ms_load_error(load, at, "unknown-env", hint.text, "no environment is called '%s'", name);
	return NULL;
}

static void read_globs(struct ms_load *load, const struct ms_yaml_node *value, ms_text_vec *globs)
{
	const struct ms_yaml_node *item;

	for (size_t i = 0; (item = ms_load_item(value, i)); i++) {
		const char *text = ms_load_scalar(item);

		if (text && *text)
			ms_load_push(load, globs, text);
	}
}

static void read_prefixes(struct ms_load *load, const struct ms_yaml_node *value,
			  ms_prefix_vec *prefixes)
{
	const struct ms_yaml_node *item;

	for (size_t i = 0; (item = ms_load_item(value, i)); i++) {
		const char *text = ms_load_scalar(item);
		struct ms_prefix prefix;

		if (text && ms_prefix_parse(text, &prefix) == 0)
			ms_load_push(load, prefixes, prefix);
	}
}

static void read_match_labels(struct ms_load *load, const struct ms_yaml_node *labels,
			      struct ms_match *match)
{
	if (!labels || labels->kind != MS_YAML_MAPPING)
		return;
	ms_vec_each (struct ms_yaml_entry, entry, &labels->entries) {
		struct ms_label_match label = {.label = entry->key->text};

		read_globs(load, entry->value, &label.values);
		if (label.values.n_items)
			ms_load_push(load, &match->labels, label);
	}
}

void ms_load_match(struct ms_load *load, const struct ms_yaml_node *mapping, struct ms_match *match)
{
	const struct ms_yaml_node *node = ms_yaml_get(mapping, "match");

	if (!node || node->kind != MS_YAML_MAPPING)
		return;
	match->present = true;
	match->at = node->at;
	read_globs(load, ms_yaml_get(node, "name"), &match->name);
	read_globs(load, ms_yaml_get(node, "image"), &match->image);
	read_globs(load, ms_yaml_get(node, "network"), &match->network);
	read_globs(load, ms_yaml_get(node, "interface"), &match->interface);
	read_globs(load, ms_yaml_get(node, "runtime"), &match->runtime);
	read_prefixes(load, ms_yaml_get(node, "address"), &match->address);
	read_match_labels(load, ms_yaml_get(node, "labels"), match);
}

static void read_addrs(struct ms_load *load, const struct ms_yaml_node *value, ms_addr_vec *addrs)
{
	const struct ms_yaml_node *item;

	for (size_t i = 0; (item = ms_load_item(value, i)); i++) {
		const char *text = ms_load_scalar(item);
		struct ms_addr addr;

		if (text && ms_addr_parse(text, &addr) == 0)
			ms_load_push(load, addrs, addr);
	}
}

static int compare_addr_items(const void *left, const void *right)
{
	return ms_addr_compare(left, right);
}

static void read_resolvers(struct ms_load *load, const struct ms_yaml_node *value,
			   struct ms_env *env)
{
	const struct ms_yaml_node *item;

	for (size_t i = 0; (item = ms_load_item(value, i)); i++) {
		const char *text = ms_load_scalar(item);

		if (text && strcmp(text, "gateway") == 0)
			env->gateway_resolver = true;
	}
	read_addrs(load, value, &env->resolvers);
	ms_vec_sort(&env->resolvers, compare_addr_items);
}

static int compare_envs(const void *left, const void *right)
{
	return strcmp(((const struct ms_env *)left)->name, ((const struct ms_env *)right)->name);
}

static void read_envs(struct ms_load *load, const struct ms_yaml_node *mapping)
{
	if (!mapping || mapping->kind != MS_YAML_MAPPING)
		return;
	ms_vec_each (struct ms_yaml_entry, entry, &mapping->entries) {
		struct ms_env env = {.name = entry->key->text, .at = entry->key->at};

		if (!ms_name_valid(env.name))
			continue;
		env.mode = read_mode(entry->value, MS_MODE_ENFORCE);
		env.two_key = ms_load_bool(entry->value, "two_key");
		read_resolvers(load, ms_yaml_get(entry->value, "resolvers"), &env);
		ms_load_match(load, entry->value, &env.match);
		ms_load_push(load, &load->policy->envs, env);
	}
	ms_vec_sort(&load->policy->envs, compare_envs);
}

static int compare_nodes(const void *left, const void *right)
{
	return strcmp(((const struct ms_node *)left)->name, ((const struct ms_node *)right)->name);
}

static void read_nodes(struct ms_load *load, const struct ms_yaml_node *mapping)
{
	if (!mapping || mapping->kind != MS_YAML_MAPPING)
		return;
	ms_vec_each (struct ms_yaml_entry, entry, &mapping->entries) {
		struct ms_node node = {.name = entry->key->text};

		if (!ms_name_valid(node.name))
			continue;
		read_addrs(load, entry->value, &node.addrs);
		ms_vec_sort(&node.addrs, compare_addr_items);
		ms_load_push(load, &load->policy->nodes, node);
	}
	ms_vec_sort(&load->policy->nodes, compare_nodes);
}

/* "a+b" becomes one key of two labels. */
static void split_labels(struct ms_load *load, const char *text, struct ms_label_key *key)
{
	while (*text) {
		size_t len = strcspn(text, "+");
		const char *label = ms_arena_strndup(load->arena, text, len);

		if (label)
			ms_load_push(load, &key->labels, label);
		else
			load->out_of_memory = true;
		text += len + (text[len] == '+');
	}
}

static void read_identity(struct ms_load *load, const struct ms_yaml_node *identity)
{
	const struct ms_yaml_node *env = identity ? ms_yaml_get(identity, "env") : NULL;
	const struct ms_yaml_node *service = identity ? ms_yaml_get(identity, "service") : NULL;
	const struct ms_yaml_node *item;
	struct ms_policy *policy = load->policy;

	for (size_t i = 0; (item = ms_load_item(env, i)); i++) {
		struct ms_label_key key = {0};

		split_labels(load, ms_load_scalar(item) ? item->text : "", &key);
		ms_load_push(load, &policy->env_labels, key);
	}
	for (size_t i = 0; (item = ms_load_item(service, i)); i++) {
		struct ms_label_key key = {0};

		split_labels(load, ms_load_scalar(item) ? item->text : "", &key);
		ms_load_push(load, &policy->service_labels, key);
	}
	struct ms_label_key key = {0};
	if (!env) {
		split_labels(load, "io.microseg.env", &key);
		ms_load_push(load, &policy->env_labels, key);
	}
	key = (struct ms_label_key){0};
	if (!service) {
		split_labels(load, "io.microseg.service", &key);
		ms_load_push(load, &policy->service_labels, key);
	}
}

static void read_refuse(struct ms_load *load, const struct ms_yaml_node *refuse)
{
	static const enum ms_refuse defaults[MS_N_DIRECTIONS] = {
		[MS_EAST_WEST] = MS_REFUSE_REJECT,
		[MS_EGRESS] = MS_REFUSE_REJECT,
		[MS_INGRESS] = MS_REFUSE_DROP,
	};

	for (enum ms_direction i = 0; i < MS_N_DIRECTIONS; i++) {
		const char *text = refuse ? ms_load_text(refuse, ms_direction_name(i)) : NULL;

		load->policy->refuse[i] = defaults[i];
		if (text)
			load->policy->refuse[i] =
				strcmp(text, "drop") == 0 ? MS_REFUSE_DROP : MS_REFUSE_REJECT;
	}
}

static void read_exceptions(struct ms_load *load, const struct ms_yaml_node *exceptions)
{
	const char *max = exceptions ? ms_load_text(exceptions, "max") : NULL;

	load->policy->exception_max = EXCEPTION_MAX_DEFAULT;
	if (max && ms_duration_parse(max, &load->policy->exception_max) < 0)
		load->policy->exception_max = EXCEPTION_MAX_DEFAULT;
}

static void read_document(struct ms_load *load, const struct ms_yaml_node *root)
{
	const struct ms_yaml_node *unidentified = ms_yaml_get(root, "unidentified");

	load->policy->environments_at = root->at;
	load->policy->crossings_at = ms_load_key_at(root, "crossings");
	read_identity(load, ms_yaml_get(root, "identity"));
	if (unidentified)
		load->policy->unidentified = read_mode(unidentified, MS_MODE_ENFORCE);
	read_envs(load, ms_yaml_get(root, "environments"));
	read_nodes(load, ms_yaml_get(root, "nodes"));
	ms_load_nets(load, ms_yaml_get(root, "nets"));
	read_refuse(load, ms_yaml_get(root, "refuse"));
	read_exceptions(load, ms_yaml_get(root, "exceptions"));
}

void ms_load_environments(struct ms_load *load)
{
	const struct ms_yaml_node *first = NULL;

	ms_load_builtin_nets(load);
	load->policy->exception_max = EXCEPTION_MAX_DEFAULT;
	ms_vec_each (struct ms_document, document, &load->documents) {
		const struct ms_yaml_node *root = document->root;
		_cleanup_(ms_str_fini) struct ms_str hint = {0};

		if (document->kind != MS_SECTION_ENVIRONMENTS)
			continue;
		if (!first) {
			first = root;
			read_document(load, root);
			continue;
		}
		ms_str_addf(&hint, "the other one is at %s:%u", first->at.file, first->at.line);
		ms_load_error(load, &root->at, "second-environments", hint.text,
			      "a fleet has exactly one Environments document");
	}
	if (!first && !load->damaged)
		ms_load_error(load, &(struct ms_origin){0}, "no-environments",
			      "write one with kind: Environments that declares your environments",
			      "no file holds an Environments document");
}
