/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ruleset value: tables of sets and chains in a fixed order, elements sorted and unique, and a hash over all of it.
 *
 * A finished ruleset never changes. It owns every text it points to, so that it outlives the policy and the inventory
 * it was compiled from. It knows nothing of the kernel, of time or of files.
 */
#include "microseg/ruleset.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "microseg/cleanup.h"
#include "microseg/ruleset_match.h"

const char *ms_family_name(enum ms_family family)
{
	static const char *const names[] = {"inet", "bridge", "arp"};

	return names[family];
}

const struct ms_table *ms_ruleset_table(const struct ms_ruleset *ruleset, enum ms_family family)
{
	ms_vec_each(struct ms_table *, table, &ruleset->tables)
		if ((*table)->family == family)
			return *table;
	return NULL;
}

/* Sets and chains are found by the name that both begin with. */

static const char *name_at(const void *item)
{
	return **(const char *const *const *)item;
}

static int compare_name(const void *name, const void *item)
{
	return strcmp(name, name_at(item));
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(name_at(a), name_at(b));
}

/* @sorted, or while there is none @items as they come. */
static const void *find_name(const void *sorted, const void *items, size_t n_items, const char *name)
{
	const void *const *found = NULL;

	if (n_items == 0)
		return NULL;
	if (sorted)
		found = bsearch(name, sorted, n_items, sizeof(void *), compare_name);
	for (size_t i = 0; !sorted && !found && i < n_items; i++)
		if (compare_name(name, (const void *const *)items + i) == 0)
			found = (const void *const *)items + i;
	return found ? *found : NULL;
}

static_assert(offsetof(struct ms_set, name) == 0 && offsetof(struct ms_chain, name) == 0, "looked up by name");

const struct ms_chain *ms_table_chain(const struct ms_table *table, const char *name)
{
	return find_name(table->chains_by_name, table->chains.items, table->chains.n_items, name);
}

const struct ms_set *ms_table_set(const struct ms_table *table, const char *name)
{
	return find_name(table->sets_by_name, table->sets.items, table->sets.n_items, name);
}

/* A sorted copy of @items in the arena. NULL without memory. */
static void *sort_names(struct ms_arena *arena, const void *items, size_t n_items)
{
	void *sorted = ms_arena_alloc(arena, (n_items ? n_items : 1) * sizeof(void *));

	if (sorted && n_items) {
		memcpy(sorted, items, n_items * sizeof(void *));
		qsort(sorted, n_items, sizeof(void *), compare_names);
	}
	return sorted;
}

size_t ms_set_key_size(const struct ms_set *set)
{
	size_t size = 0;

	for (size_t i = 0; i < set->n_fields; i++)
		size += ms_field_padded(set->fields[i]);
	return size;
}

bool ms_texts_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool ms_verdicts_equal(const struct ms_rule_verdict *a, const struct ms_rule_verdict *b)
{
	return a->kind == b->kind && ms_texts_equal(a->chain, b->chain);
}

/* Canonical bytes. */

static void put_u32(struct ms_str *out, uint32_t value)
{
	ms_str_add_len(out, (const char *)&value, sizeof(value));
}

/* Absent and empty differ. */
static void put_text(struct ms_str *out, const char *text)
{
	put_u32(out, text ? (uint32_t)strlen(text) + 1 : 0);
	if (text)
		ms_str_add(out, text);
}

static void put_fields(struct ms_str *out, size_t n_fields, const enum ms_field *fields)
{
	put_u32(out, (uint32_t)n_fields);
	for (size_t i = 0; i < n_fields; i++)
		put_u32(out, fields[i]);
}

static void put_match(struct ms_str *out, const struct ms_match_expr *match)
{
	put_u32(out, match->kind);
	put_u32(out, match->negate);
	put_fields(out, match->n_fields, match->fields);
	put_u32(out, match->mask);
	put_u32(out, match->n_values);
	ms_str_add_len(out, (const char *)match->values, (size_t)match->n_values * MS_VALUE_SIZE);
	put_text(out, match->set);
}

static void put_stmt(struct ms_str *out, const struct ms_stmt *stmt)
{
	put_u32(out, stmt->kind);
	put_u32(out, stmt->priority);
	put_text(out, stmt->log.prefix);
	put_u32(out, stmt->log.group);
	put_u32(out, stmt->log.snaplen);
	put_u32(out, stmt->log.queue_threshold);
	put_u32(out, stmt->verdict.kind);
	put_text(out, stmt->verdict.chain);
	put_fields(out, stmt->n_fields, stmt->fields);
	put_text(out, stmt->map);
}

void ms_canonical_rule(const struct ms_rule *rule, struct ms_str *out)
{
	put_u32(out, (uint32_t)rule->matches.n_items);
	ms_vec_each(struct ms_match_expr, match, &rule->matches)
		put_match(out, match);
	put_u32(out, (uint32_t)rule->stmts.n_items);
	ms_vec_each(struct ms_stmt, stmt, &rule->stmts)
		put_stmt(out, stmt);
	put_text(out, rule->comment);
}

void ms_canonical_set(const struct ms_set *set, struct ms_str *out)
{
	put_text(out, set->name);
	put_u32(out, set->map);
	put_u32(out, set->interval);
	put_fields(out, set->n_fields, set->fields);
}

static void put_elems(struct ms_str *out, const struct ms_set *set)
{
	put_u32(out, (uint32_t)set->elems.n_items);
	ms_vec_each(struct ms_elem, elem, &set->elems) {
		ms_str_add_len(out, (const char *)elem->key, sizeof(elem->key));
		ms_str_add_len(out, (const char *)elem->end, sizeof(elem->end));
		put_u32(out, elem->verdict.kind);
		put_text(out, elem->verdict.chain);
		put_text(out, elem->comment);
	}
}

/* The hash. */

#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

/* Takes in what was written so far and empties the buffer, which keeps it small. */
static void fold(uint64_t *hash, struct ms_str *bytes)
{
	for (size_t i = 0; i < bytes->len; i++)
		*hash = (*hash ^ (uint8_t)bytes->text[i]) * FNV_PRIME;
	bytes->len = 0;
}

static void fold_table(uint64_t *hash, const struct ms_table *table, struct ms_str *bytes)
{
	put_u32(bytes, table->family);
	put_text(bytes, table->name);
	put_u32(bytes, (uint32_t)table->sets.n_items);
	ms_vec_each(struct ms_set *, set, &table->sets) {
		ms_canonical_set(*set, bytes);
		put_u32(bytes, (*set)->size);
		put_elems(bytes, *set);
		fold(hash, bytes);
	}
	put_u32(bytes, (uint32_t)table->chains.n_items);
	ms_vec_each(struct ms_chain *, chain, &table->chains) {
		put_text(bytes, (*chain)->name);
		put_u32(bytes, (*chain)->hook);
		put_u32(bytes, (uint32_t)(*chain)->priority);
		put_u32(bytes, (uint32_t)(*chain)->rules.n_items);
		ms_vec_each(struct ms_rule, rule, &(*chain)->rules) {
			ms_canonical_rule(rule, bytes);
			fold(hash, bytes);
		}
	}
	fold(hash, bytes);
}

static int hash_ruleset(struct ms_ruleset *ruleset)
{
	_cleanup_(ms_str_fini) struct ms_str bytes = {0};
	uint64_t hash = FNV_START;

	ms_vec_each(struct ms_table *, table, &ruleset->tables)
		fold_table(&hash, *table, &bytes);
	ruleset->hash = hash;
	return bytes.failed ? -ENOMEM : 0;
}

/* Finishing. */

static int compare_elems(const void *left, const void *right)
{
	const struct ms_elem *a = left, *b = right;
	int r = memcmp(a->key, b->key, sizeof(a->key));

	return r ? r : memcmp(a->end, b->end, sizeof(a->end));
}

/* Drops what is there twice, keeping the first with an origin. Returns -EINVAL when one key has two verdicts. */
static int unique_elems(struct ms_set *set)
{
	size_t n = 0;

	ms_vec_each(struct ms_elem, elem, &set->elems) {
		struct ms_elem *last = n ? &set->elems.items[n - 1] : NULL;

		if (!last || compare_elems(last, elem) != 0)
			set->elems.items[n++] = *elem;
		else if (!ms_verdicts_equal(&last->verdict, &elem->verdict))
			return -EINVAL;
		else if (!last->origin.file && elem->origin.file)
			*last = *elem;
	}
	set->elems.n_items = n;
	return 0;
}

/* Elements are filled by hand and may point into the policy: from here on they don't. */
static void own_texts(struct ms_ruleset *ruleset, struct ms_set *set)
{
	const char *last_file = NULL, *last_copy = NULL;

	ms_vec_each(struct ms_elem, elem, &set->elems) {
		if (elem->origin.file && elem->origin.file != last_file) {
			last_file = elem->origin.file;
			last_copy = ms_build_text(ruleset, last_file);
		}
		if (elem->origin.file)
			elem->origin.file = last_copy;
		elem->comment = ms_build_text(ruleset, elem->comment);
		elem->verdict.chain = ms_build_text(ruleset, elem->verdict.chain);
	}
}

static int finish_set(struct ms_ruleset *ruleset, struct ms_set *set)
{
	own_texts(ruleset, set);
	ms_vec_sort(&set->elems, compare_elems);
	return unique_elems(set);
}

static int index_table(struct ms_ruleset *ruleset, struct ms_table *table)
{
	table->sets_by_name = sort_names(ruleset->arena, table->sets.items, table->sets.n_items);
	table->chains_by_name = sort_names(ruleset->arena, table->chains.items, table->chains.n_items);
	return table->sets_by_name && table->chains_by_name ? 0 : -ENOMEM;
}

int ms_ruleset_finish(struct ms_ruleset *ruleset)
{
	int r;

	if (ms_build_of(ruleset)->invalid)
		return -EINVAL;
	if (ruleset->failed)
		return -ENOMEM;
	ms_vec_each(struct ms_table *, table, &ruleset->tables)
		ms_vec_each(struct ms_set *, set, &(*table)->sets) {
			r = finish_set(ruleset, *set);
			if (r < 0)
				return r;
		}
	if (ruleset->failed)
		return -ENOMEM;
	ms_vec_each(struct ms_table *, table, &ruleset->tables) {
		r = index_table(ruleset, *table);
		if (r == 0)
			r = ms_check_table(*table);
		if (r < 0)
			return r;
	}
	return hash_ruleset(ruleset);
}
