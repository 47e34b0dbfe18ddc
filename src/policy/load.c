/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load, theory of operation: files become a policy in four steps, and every step reports all it
 * can before the load fails.
 *
 * - yaml.c: bytes become trees in which every node knows its place.
 * - schema_check.c, gate.c: the form, which is keys, types and single values, all out of the table
 *   in schema.c.
 * - environments.c, services.c, flows.c: the meaning. Names are resolved, lists of peers and of
 *   environments multiplied out. What the form check complained of is skipped here in silence: one
 *   mistake, one error.
 * - lint.c: what is right and still looks wrong becomes a warning.
 *
 * Files are sorted by name first and the model is sorted by name at the end, so the order of files
 * and documents shows nowhere. Trees, texts and model share the policy's arena. No step knows a
 * clock, a file system or an inventory.
 *
 * The hash is FNV-1a, 64 bits, over each file's name, a NUL, its size (8 bytes, little endian) and
 * its bytes, in the order of names. It names a state of the files; it protects nothing.
 */
#include "policy/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/source.h"

static int compare_files(const void *left, const void *right)
{
	const struct ms_policy_file *a = left, *b = right;
	int r = strcmp(a->name, b->name);

	if (r == 0)
		r = (a->size > b->size) - (a->size < b->size);
	return r == 0 && a->size ? memcmp(a->bytes, b->bytes, a->size) : r;
}

static const struct ms_policy_file *find_file(const struct ms_load *load, const char *name)
{
	for (size_t low = 0, high = load->n_files; name && low < high;) {
		size_t middle = low + (high - low) / 2;
		int r = strcmp(name, load->files[middle].name);

		if (r == 0)
			return &load->files[middle];
		if (r < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool ms_load_was_applied(const struct ms_load *load, const struct ms_origin *at)
{
	const struct ms_policy_file *file = find_file(load, at->file);

	return file && file->applied;
}

bool ms_load_is_runtime(const struct ms_load *load, const struct ms_origin *at)
{
	const struct ms_policy_file *file = find_file(load, at->file);

	return file && file->runtime;
}

/* What the daemon keeps must not hinder a new policy: where its meaning is lost with the names in
 * it, that is worth a warning. Its form is ours, and an error in it is one. */
void ms_load_error(struct ms_load *load, const struct ms_origin *at, const char *code,
		   const char *hint, const char *format, ...)
{
	static const struct ms_policy_file none = {.name = "", .bytes = ""};
	const struct ms_policy_file *file = find_file(load, at->file);
	_cleanup_(ms_str_fini) struct ms_str message = {0};
	va_list args;

	va_start(args, format);
	ms_str_addv(&message, format, args);
	va_end(args);
	const char *text = message.text ? message.text : code;
	if (load->formed && ms_load_is_runtime(load, at))
		ms_load_warn(load, at, code, hint, "%s", text);
	else
		ms_yaml_error(file ? file : &none, load->diags, at, code, hint, "%s", text);
}

void ms_load_warn(struct ms_load *load, const struct ms_origin *at, const char *code,
		  const char *hint, const char *format, ...)
{
	const struct ms_policy_file *file = find_file(load, at->file);
	_cleanup_(freep) char *quote = file ? ms_source_quote(file, at->line) : NULL;
	_cleanup_(ms_str_fini) struct ms_str message = {0};
	va_list args;

	va_start(args, format);
	ms_str_addv(&message, format, args);
	va_end(args);
	ms_diags_add(load->diags, MS_WARNING, code, at, quote, hint, "%s",
		     message.text ? message.text : code);
}

const char *ms_load_suggest(struct ms_str *hint, const char *word, const char *const *words,
			    size_t n_words, const char *otherwise)
{
	const char *nearest = ms_nearest_word(word, words, n_words);

	if (nearest)
		ms_str_addf(hint, "did you mean '%s'?", nearest);
	else if (otherwise)
		ms_str_add(hint, otherwise);
	return hint->text;
}

const char *ms_load_printf(struct ms_load *load, const char *format, ...)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	va_list args;

	va_start(args, format);
	ms_str_addv(&text, format, args);
	va_end(args);
	const char *copy = ms_arena_strdup(load->arena, text.text);
	if (!copy)
		load->out_of_memory = true;
	return copy ? copy : "";
}

const char *ms_load_scalar(const struct ms_yaml_node *node)
{
	return node && node->kind == MS_YAML_SCALAR && !node->broken ? node->text : NULL;
}

const char *ms_load_text(const struct ms_yaml_node *mapping, const char *key)
{
	return ms_load_scalar(ms_yaml_get(mapping, key));
}

bool ms_load_bool(const struct ms_yaml_node *mapping, const char *key)
{
	const char *text = ms_load_text(mapping, key);

	return text && strcmp(text, "true") == 0;
}

struct ms_origin ms_load_key_at(const struct ms_yaml_node *mapping, const char *key)
{
	if (mapping->kind != MS_YAML_MAPPING)
		return (struct ms_origin){0};
	ms_vec_each (const struct ms_yaml_entry, entry, &mapping->entries)
		if (strcmp(entry->key->text, key) == 0)
			return entry->key->at;
	return (struct ms_origin){0};
}

const struct ms_yaml_node *ms_load_item(const struct ms_yaml_node *value, size_t index)
{
	if (!value)
		return NULL;
	if (value->kind == MS_YAML_SEQUENCE)
		return index < value->items.n_items ? value->items.items[index] : NULL;
	return index == 0 ? value : NULL;
}

/* Which kind of document is @root? Reports those that are none. */
static bool find_kind(struct ms_load *load, const struct ms_yaml_node *root,
		      enum ms_section *ret_kind)
{
	const char *kinds[MS_N_RUNTIME_KINDS];
	_cleanup_(ms_str_fini) struct ms_str hint = {0};

	if (root->kind != MS_YAML_MAPPING) {
		ms_load_error(load, &root->at, "wrong-type",
			      "begin with apiVersion: microseg/v1 and kind: Service",
			      "a document is a mapping");
		return false;
	}
	const struct ms_yaml_node *node = ms_yaml_get(root, "kind");
	const char *kind = ms_load_scalar(node);
	if (!node && !root->broken)
		ms_load_error(load, &root->at, "missing-key",
			      "write kind: Environments, Service or Exception",
			      "'kind' is missing in the document");
	if (!kind)
		return false;

	for (size_t i = 0; i < MS_N_RUNTIME_KINDS; i++) {
		kinds[i] = ms_document_kind((enum ms_section)i);
		*ret_kind = (enum ms_section)i;
		if (strcmp(kind, kinds[i]) == 0)
			return ms_load_check_kind(load, *ret_kind, &node->at);
	}
	if (strcmp(kind, "Inventory") == 0) {
		ms_load_error(load, &node->at, "misplaced-inventory",
			      "give this file with -i, and not with -p",
			      "an Inventory is no part of a policy");
		return false;
	}
	ms_load_suggest(&hint, kind, kinds, MS_N_DOCUMENT_KINDS,
			"expected Environments, Service or Exception");
	ms_load_error(load, &node->at, "unknown-kind", hint.text, "'%s' is no kind of document",
		      kind);
	return false;
}

static int read_file(struct ms_load *load, const struct ms_policy_file *file)
{
	struct ms_yaml_file yaml;
	int r = ms_yaml_parse(load->arena, file, load->diags, &yaml);

	if (r == -ENOMEM)
		return r;
	if (r < 0)
		load->damaged = true;
	ms_vec_each (struct ms_yaml_node *, root, &yaml.documents) {
		struct ms_document document = {.root = *root};

		if (!find_kind(load, document.root, &document.kind)) {
			load->damaged = true;
			continue;
		}
		ms_schema_check(load, document.root, document.kind);
		ms_load_push(load, &load->documents, document);
	}
	return 0;
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
	for (const unsigned char *at = bytes; size > 0; at++, size--)
		hash = (hash ^ *at) * 0x100000001b3u;
	return hash;
}

static uint64_t hash_files(const struct ms_policy_file *files, size_t n_files)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n_files; i++) {
		uint8_t size[8];

		if (files[i].runtime)
			continue;
		for (size_t j = 0; j < sizeof(size); j++)
			size[j] = (uint8_t)((uint64_t)files[i].size >> (8 * j));
		hash = hash_bytes(hash, files[i].name, strlen(files[i].name) + 1);
		hash = hash_bytes(hash, size, sizeof(size));
		hash = hash_bytes(hash, files[i].bytes, files[i].size);
	}
	return hash;
}

static int load_all(struct ms_load *load)
{
	if (load->n_files > MS_MAX_FILES) {
		ms_load_error(load, &(struct ms_origin){0}, "too-many-files", NULL,
			      "more than %d policy files", MS_MAX_FILES);
		return -EINVAL;
	}
	for (size_t i = 0; i < load->n_files; i++) {
		int r = read_file(load, &load->files[i]);

		if (r < 0)
			return r;
	}
	load->formed = true;
	ms_load_environments(load);
	ms_load_services(load);
	ms_load_grants(load);
	ms_load_flows(load);
	ms_load_lint(load);
	load->policy->hash = hash_files(load->files, load->n_files);
	if (load->out_of_memory || load->diags->out_of_memory)
		return -ENOMEM;
	return load->diags->n_errors ? -EINVAL : 0;
}

static struct ms_policy *policy_new(void)
{
	struct ms_policy *policy = calloc(1, sizeof(*policy));

	if (policy)
		policy->arena = ms_arena_new();
	return policy && policy->arena ? policy : ms_policy_free(policy);
}

static int policy_load(const struct ms_policy_file *files, size_t n_files, time_t now, bool gated,
		       const ms_text_vec *borne, struct ms_diags *diags,
		       struct ms_policy **ret_policy)
{
	_cleanup_(ms_policy_freep) struct ms_policy *policy = policy_new();
	_cleanup_(freep) struct ms_policy_file *sorted = calloc(n_files + 1, sizeof(*sorted));

	if (!policy || !sorted)
		return -ENOMEM;
	for (size_t i = 0; i < n_files; i++)
		sorted[i] = files[i];
	qsort(sorted, n_files, sizeof(*sorted), compare_files);

	struct ms_load load = {
		.policy = policy,
		.arena = policy->arena,
		.diags = diags,
		.files = sorted,
		.n_files = n_files,
		.now = now,
		.borne = borne,
		.gated = gated,
	};
	int r = load_all(&load);
	if (r == 0)
		*ret_policy = ms_steal(&policy);
	return r;
}

int ms_policy_load(const struct ms_policy_file *files, size_t n_files, time_t now,
		   struct ms_diags *diags, struct ms_policy **ret_policy)
{
	return policy_load(files, n_files, now, true, NULL, diags, ret_policy);
}

int ms_policy_load_beside(const struct ms_policy_file *files, size_t n_files, time_t now,
			  const ms_text_vec *identities, struct ms_diags *diags,
			  struct ms_policy **ret_policy)
{
	return policy_load(files, n_files, now, true, identities, diags, ret_policy);
}

int ms_policy_load_ungated(const struct ms_policy_file *files, size_t n_files, time_t now,
			   struct ms_diags *diags, struct ms_policy **ret_policy)
{
	return policy_load(files, n_files, now, false, NULL, diags, ret_policy);
}
