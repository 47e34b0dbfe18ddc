/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ruleset value: tables of sets and chains in a fixed order, elements sorted and unique.
 *
 * A finished ruleset changes by ms_plan_patch() only. It owns every text it points to, so that it
 * outlives the policy and the inventory it was compiled from. It knows nothing of the kernel, of
 * time or of files.
 */
#include "microseg/ruleset.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "check.h"
#include "microseg/ruleset_match.h"

const char *ms_family_name(enum ms_family family)
{
	static const char *const names[] = {"inet", "bridge", "arp"};

	return names[family];
}

const struct ms_table *ms_ruleset_table(const struct ms_ruleset *ruleset, enum ms_family family)
{
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
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
static const void *find_name(const void *sorted, const void *items, size_t n_items,
			     const char *name)
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

static_assert(offsetof(struct ms_set, name) == 0 && offsetof(struct ms_chain, name) == 0,
	      "looked up by name");

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

/* Equality. */

bool ms_texts_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool ms_verdicts_equal(const struct ms_rule_verdict *a, const struct ms_rule_verdict *b)
{
	return a->kind == b->kind && ms_texts_equal(a->chain, b->chain);
}

static bool fields_equal(size_t n_fields, const enum ms_field *a, const enum ms_field *b)
{
	return memcmp(a, b, n_fields * sizeof(*a)) == 0;
}

static bool matches_equal(const struct ms_match_expr *a, const struct ms_match_expr *b)
{
	return a->kind == b->kind && a->negate == b->negate && a->mask == b->mask &&
	       a->n_fields == b->n_fields && a->n_values == b->n_values &&
	       fields_equal(a->n_fields, a->fields, b->fields) &&
	       memcmp(a->values, b->values, (size_t)a->n_values * MS_VALUE_SIZE) == 0 &&
	       ms_texts_equal(a->set, b->set);
}

static bool stmts_equal(const struct ms_stmt *a, const struct ms_stmt *b)
{
	return a->kind == b->kind && a->priority == b->priority && a->log.group == b->log.group &&
	       a->log.snaplen == b->log.snaplen &&
	       a->log.queue_threshold == b->log.queue_threshold &&
	       ms_texts_equal(a->log.prefix, b->log.prefix) &&
	       ms_verdicts_equal(&a->verdict, &b->verdict) && a->n_fields == b->n_fields &&
	       fields_equal(a->n_fields, a->fields, b->fields) && ms_texts_equal(a->map, b->map) &&
	       a->count_over == b->count_over;
}

bool ms_rules_equal(const struct ms_rule *a, const struct ms_rule *b)
{
	if (a->matches.n_items != b->matches.n_items || a->stmts.n_items != b->stmts.n_items ||
	    !ms_texts_equal(a->comment, b->comment))
		return false;
	for (size_t i = 0; i < a->matches.n_items; i++)
		if (!matches_equal(&a->matches.items[i], &b->matches.items[i]))
			return false;
	for (size_t i = 0; i < a->stmts.n_items; i++)
		if (!stmts_equal(&a->stmts.items[i], &b->stmts.items[i]))
			return false;
	return true;
}

/* The hash: FNV-1a over everything that equality looks at. */

#define FNV_START 0xcbf29ce484222325u
#define FNV_PRIME 0x100000001b3u

static void hash_bytes(uint64_t *hash, const void *bytes, size_t size)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < size; i++)
		*hash = (*hash ^ b[i]) * FNV_PRIME;
}

static void hash_number(uint64_t *hash, uint32_t number)
{
	hash_bytes(hash, &number, sizeof(number));
}

/* Absent and empty differ. */
static void hash_text(uint64_t *hash, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	hash_number(hash, text ? (uint32_t)len + 1 : 0);
	hash_bytes(hash, text, len);
}

static void hash_fields(uint64_t *hash, size_t n_fields, const enum ms_field *fields)
{
	hash_number(hash, (uint32_t)n_fields);
	for (size_t i = 0; i < n_fields; i++)
		hash_number(hash, fields[i]);
}

static void hash_verdict(uint64_t *hash, const struct ms_rule_verdict *verdict)
{
	hash_number(hash, verdict->kind);
	hash_text(hash, verdict->chain);
}

static void hash_match(uint64_t *hash, const struct ms_match_expr *match)
{
	hash_number(hash, match->kind);
	hash_number(hash, match->negate);
	hash_number(hash, match->mask);
	hash_fields(hash, match->n_fields, match->fields);
	hash_number(hash, match->n_values);
	hash_bytes(hash, match->values, (size_t)match->n_values * MS_VALUE_SIZE);
	hash_text(hash, match->set);
}

static void hash_stmt(uint64_t *hash, const struct ms_stmt *stmt)
{
	hash_number(hash, stmt->kind);
	hash_number(hash, stmt->priority);
	hash_text(hash, stmt->log.prefix);
	hash_number(hash, stmt->log.group);
	hash_number(hash, stmt->log.snaplen);
	hash_number(hash, stmt->log.queue_threshold);
	hash_verdict(hash, &stmt->verdict);
	hash_fields(hash, stmt->n_fields, stmt->fields);
	hash_text(hash, stmt->map);
	hash_number(hash, stmt->count_over);
}

static void hash_chain(uint64_t *hash, const struct ms_chain *chain)
{
	hash_text(hash, chain->name);
	hash_number(hash, chain->hook);
	hash_number(hash, (uint32_t)chain->priority);
	hash_number(hash, (uint32_t)chain->rules.n_items);
	ms_vec_each (struct ms_rule, rule, &chain->rules) {
		hash_number(hash, (uint32_t)rule->matches.n_items);
		ms_vec_each (struct ms_match_expr, match, &rule->matches)
			hash_match(hash, match);
		hash_number(hash, (uint32_t)rule->stmts.n_items);
		ms_vec_each (struct ms_stmt, stmt, &rule->stmts)
			hash_stmt(hash, stmt);
		hash_text(hash, rule->comment);
	}
}

static void hash_set(uint64_t *hash, const struct ms_set *set)
{
	hash_text(hash, set->name);
	hash_number(hash, set->map);
	hash_number(hash, set->interval);
	hash_number(hash, set->counts);
	hash_number(hash, set->timed);
	hash_number(hash, set->dynamic);
	hash_fields(hash, set->n_fields, set->fields);
	hash_number(hash, set->size);
	hash_number(hash, set->count_over);
	hash_number(hash, (uint32_t)set->elems.n_items);
	ms_vec_each (struct ms_elem, elem, &set->elems) {
		hash_bytes(hash, elem->key, ms_set_key_size(set));
		hash_bytes(hash, elem->end, sizeof(elem->end));
		hash_verdict(hash, &elem->verdict);
		hash_bytes(hash, &elem->until, sizeof(elem->until));
		hash_text(hash, elem->comment);
	}
}

uint64_t ms_ruleset_hash(const struct ms_ruleset *ruleset)
{
	uint64_t hash = FNV_START;

	ms_vec_each (struct ms_table *, table, &ruleset->tables) {
		hash_number(&hash, (*table)->family);
		hash_text(&hash, (*table)->name);
		hash_number(&hash, (uint32_t)(*table)->sets.n_items);
		ms_vec_each (struct ms_set *, set, &(*table)->sets)
			hash_set(&hash, *set);
		hash_number(&hash, (uint32_t)(*table)->chains.n_items);
		ms_vec_each (struct ms_chain *, chain, &(*table)->chains)
			hash_chain(&hash, *chain);
	}
	return hash;
}

/* Finishing. */

int ms_elems_compare(const struct ms_elem *a, const struct ms_elem *b)
{
	int r = memcmp(a->key, b->key, sizeof(a->key));

	return r ? r : memcmp(a->end, b->end, sizeof(a->end));
}

static int compare_elems(const void *left, const void *right)
{
	return ms_elems_compare(left, right);
}

/* Drops what is there twice, keeping the first with an origin. Returns -EINVAL when one key has two
 * verdicts. */
static int unique_elems(struct ms_set *set)
{
	size_t n = 0;

	ms_vec_each (struct ms_elem, elem, &set->elems) {
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

/* The last text that was copied: neighbours often have the same. */
struct copied {
	const char *text, *copy;
};

static void own_text(struct ms_ruleset *ruleset, const char **text, struct copied *last)
{
	if (*text != last->text)
		*last = (struct copied){*text, ms_build_text(ruleset, *text)};
	*text = last->copy;
}

/* Elements are filled by hand and may point into the policy: from here on they don't. */
static void own_texts(struct ms_ruleset *ruleset, struct ms_set *set)
{
	struct copied file = {0}, comment = {0}, chain = {0};

	ms_vec_each (struct ms_elem, elem, &set->elems) {
		own_text(ruleset, &elem->origin.file, &file);
		own_text(ruleset, &elem->comment, &comment);
		own_text(ruleset, &elem->verdict.chain, &chain);
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
	table->chains_by_name =
		sort_names(ruleset->arena, table->chains.items, table->chains.n_items);
	return table->sets_by_name && table->chains_by_name ? 0 : -ENOMEM;
}

int ms_ruleset_finish_elements(struct ms_ruleset *ruleset)
{
	int r;

	if (ms_build_of(ruleset)->invalid)
		return -EINVAL;
	if (ruleset->failed)
		return -ENOMEM;
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		ms_vec_each (struct ms_set *, set, &(*table)->sets) {
			r = finish_set(ruleset, *set);
			if (r < 0)
				return r;
		}
	if (ruleset->failed)
		return -ENOMEM;
	ms_vec_each (struct ms_table *, table, &ruleset->tables) {
		r = index_table(ruleset, *table);
		if (r < 0)
			return r;
	}
	return 0;
}

int ms_ruleset_check(const struct ms_ruleset *ruleset)
{
	int r = 0;

	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		if (r == 0)
			r = ms_check_table(*table);
	return r;
}

int ms_ruleset_finish(struct ms_ruleset *ruleset)
{
	int r = ms_ruleset_finish_elements(ruleset);

	return r == 0 ? ms_ruleset_check(ruleset) : r;
}
