/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building a ruleset.
 *
 * Every builder answers with something that may be written to. Without memory that is a spare
 * inside the ruleset's own allocation, and what cannot be said in this language (a value of the
 * wrong size, too many fields) is noted: ms_ruleset_finish() reports both, so that a compiler need
 * not check each call.
 */
#include "build.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/ruleset_match.h"

struct ms_build *ms_build_of(struct ms_ruleset *ruleset)
{
	return (struct ms_build *)ruleset; /* its first member */
}

struct ms_ruleset *ms_ruleset_new(void)
{
	struct ms_build *build = calloc(1, sizeof(*build));

	if (!build)
		return NULL;
	build->ruleset.arena = ms_arena_new();
	if (!build->ruleset.arena) {
		free(build);
		return NULL;
	}
	return &build->ruleset;
}

struct ms_ruleset *ms_ruleset_free(struct ms_ruleset *ruleset)
{
	if (!ruleset)
		return NULL;
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		ms_vec_each (struct ms_set *, set, &(*table)->sets) {
			ms_vec_fini(&(*set)->elems);
			ms_vec_fini(&(*set)->gone);
			ms_vec_fini(&(*set)->come);
		}
	ms_vec_fini(&ms_build_of(ruleset)->spare_set.elems);
	ms_arena_free(ruleset->arena);
	free(ms_build_of(ruleset));
	return NULL;
}

const char *ms_build_text(struct ms_ruleset *ruleset, const char *text)
{
	if (!text)
		return NULL;
	char *copy = ms_arena_strdup(ruleset->arena, text);
	if (!copy)
		ruleset->failed = true;
	return copy ? copy : "";
}

static void note_invalid(struct ms_ruleset *ruleset)
{
	ms_build_of(ruleset)->invalid = true;
}

struct ms_table *ms_ruleset_add_table(struct ms_ruleset *ruleset, enum ms_family family,
				      const char *name)
{
	struct ms_table *table = ms_arena_alloc(ruleset->arena, sizeof(*table));

	if (!table || ms_avec_push(ruleset->arena, &ruleset->tables, table) < 0) {
		ruleset->failed = true;
		return &ms_build_of(ruleset)->spare_table;
	}
	table->family = family;
	table->name = ms_build_text(ruleset, name);
	return table;
}

struct ms_chain *ms_ruleset_add_base_chain(struct ms_ruleset *ruleset, struct ms_table *table,
					   const char *name, enum ms_hook hook, int32_t priority)
{
	struct ms_chain *chain = ms_arena_alloc(ruleset->arena, sizeof(*chain));

	if (!chain || ms_avec_push(ruleset->arena, &table->chains, chain) < 0) {
		ruleset->failed = true;
		return &ms_build_of(ruleset)->spare_chain;
	}
	chain->name = ms_build_text(ruleset, name);
	chain->hook = hook;
	chain->priority = priority;
	return chain;
}

struct ms_chain *ms_ruleset_add_chain(struct ms_ruleset *ruleset, struct ms_table *table,
				      const char *name)
{
	return ms_ruleset_add_base_chain(ruleset, table, name, MS_HOOK_NONE, 0);
}

struct ms_set *ms_ruleset_add_set(struct ms_ruleset *ruleset, struct ms_table *table,
				  const char *name, size_t n_fields, const enum ms_field *fields)
{
	struct ms_set *set = ms_arena_alloc(ruleset->arena, sizeof(*set));

	if (!set || ms_avec_push(ruleset->arena, &table->sets, set) < 0) {
		ruleset->failed = true;
		return &ms_build_of(ruleset)->spare_set;
	}
	set->name = ms_build_text(ruleset, name);
	if (n_fields == 0 || n_fields > MS_MAX_CONCAT) {
		note_invalid(ruleset);
		return set;
	}
	set->n_fields = (uint8_t)n_fields;
	memcpy(set->fields, fields, n_fields * sizeof(*fields));
	return set;
}

struct ms_elem *ms_ruleset_add_elem(struct ms_ruleset *ruleset, struct ms_set *set)
{
	if (ms_vec_push(&set->elems, (struct ms_elem){0}) < 0) {
		ruleset->failed = true;
		return &ms_build_of(ruleset)->spare_elem;
	}
	return &set->elems.items[set->elems.n_items - 1];
}

void ms_elem_key(const struct ms_set *set, struct ms_elem *elem, size_t index, const void *value,
		 size_t size)
{
	size_t at = 0;

	if (index >= set->n_fields)
		return;
	for (size_t i = 0; i < index; i++)
		at += ms_field_padded(set->fields[i]);
	size_t room = ms_field_padded(set->fields[index]);
	if (at + room > MS_KEY_SIZE)
		return;
	memset(elem->key + at, 0, room);
	memcpy(elem->key + at, value, size < room ? size : room);
}

/*
 * "file:line"; what does not fit loses its beginning, because the end tells files apart. A file's
 * name may hold bytes that would end a comment in a listing.
 */
static const char *comment_of(struct ms_ruleset *ruleset, const struct ms_origin *origin)
{
	char *text = ms_arena_printf(ruleset->arena, "%s:%u", origin->file, origin->line);

	if (!text) {
		ruleset->failed = true;
		return "";
	}
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '"' || *c == '\\')
			*c = '?';
	size_t len = strlen(text);
	return len < MS_COMMENT_SIZE ? text : text + len - (MS_COMMENT_SIZE - 1);
}

void ms_ruleset_elem_origin(struct ms_ruleset *ruleset, struct ms_elem *elem,
			    const struct ms_origin *origin)
{
	elem->origin = *origin; /* its text is copied when the ruleset is finished */
	elem->comment = comment_of(ruleset, origin);
}

struct ms_rule *ms_ruleset_add_rule(struct ms_ruleset *ruleset, struct ms_chain *chain,
				    const struct ms_origin *origin)
{
	if (ms_avec_push(ruleset->arena, &chain->rules, (struct ms_rule){0}) < 0) {
		ruleset->failed = true;
		return &ms_build_of(ruleset)->spare_rule;
	}
	struct ms_rule *rule = &chain->rules.items[chain->rules.n_items - 1];

	if (origin && origin->file) {
		rule->origin = *origin;
		rule->origin.file = ms_build_text(ruleset, origin->file);
		rule->comment = comment_of(ruleset, origin);
	}
	return rule;
}

/* Matches. */

static struct ms_match_expr *add_match(struct ms_ruleset *ruleset, struct ms_rule *rule,
				       enum ms_match_kind kind, enum ms_field field, bool negate)
{
	struct ms_match_expr match = {
		.kind = kind, .negate = negate, .n_fields = 1, .fields = {field}};

	if (field >= MS_N_FIELDS)
		note_invalid(ruleset);
	if (field >= MS_N_FIELDS || ms_avec_push(ruleset->arena, &rule->matches, match) < 0) {
		ruleset->failed = true;
		return &ms_build_of(ruleset)->spare_match;
	}
	return &rule->matches.items[rule->matches.n_items - 1];
}

static void put_value(struct ms_ruleset *ruleset, struct ms_match_expr *match, size_t index,
		      const void *value, size_t size)
{
	if (size == 0 || size != ms_field_row(match->fields[0])->size || index >= MS_ANON_SET_MAX) {
		note_invalid(ruleset);
		return;
	}
	memcpy(match->values[index], value, size);
	if (match->n_values <= index)
		match->n_values = (uint8_t)(index + 1);
}

/* @size bytes of @number as @field's register holds them. */
static void put_number(struct ms_ruleset *ruleset, struct ms_match_expr *match, size_t index,
		       uint32_t number, size_t size)
{
	uint8_t bytes[4];
	uint32_t be = htonl(number);

	if (ms_field_row(match->fields[0])->host_order)
		memcpy(bytes, &number, size);
	else
		memcpy(bytes, (const uint8_t *)&be + sizeof(be) - size, size);
	put_value(ruleset, match, index, bytes, size);
}

void ms_rule_match(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
		   bool negate, const void *value, size_t size)
{
	put_value(ruleset, add_match(ruleset, rule, MS_MATCH_VALUE, field, negate), 0, value, size);
}

void ms_rule_match_u8(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
		      uint8_t value)
{
	ms_rule_match(ruleset, rule, field, false, &value, 1);
}

void ms_rule_match_u16(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
		       uint16_t value)
{
	put_number(ruleset, add_match(ruleset, rule, MS_MATCH_VALUE, field, false), 0, value, 2);
}

void ms_rule_match_u32(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
		       bool negate, uint32_t value)
{
	put_number(ruleset, add_match(ruleset, rule, MS_MATCH_VALUE, field, negate), 0, value, 4);
}

void ms_rule_match_text(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			bool negate, const char *value)
{
	uint8_t name[16] = {0};
	size_t len = strlen(value);

	/* "*" is every name: no test at all, which the kernel has no form for. */
	if (!negate && strcmp(value, "*") == 0)
		return;
	if (len == 0 || len >= sizeof(name)) {
		note_invalid(ruleset);
		return;
	}
	memcpy(name, value, len);
	ms_rule_match(ruleset, rule, field, negate, name, sizeof(name));
}

void ms_rule_match_range(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			 const void *first, const void *last, size_t size)
{
	int order = memcmp(first, last, size);

	if (order > 0)
		note_invalid(ruleset);
	struct ms_match_expr *match = add_match(
		ruleset, rule, order == 0 ? MS_MATCH_VALUE : MS_MATCH_RANGE, field, false);
	put_value(ruleset, match, 0, first, size);
	if (order != 0)
		put_value(ruleset, match, 1, last, size);
}

static int compare_values(const void *a, const void *b)
{
	return memcmp(a, b, MS_VALUE_SIZE);
}

/* Sorts, drops what is there twice, and says one value plainly. */
static void settle_any(struct ms_match_expr *match)
{
	size_t n = 0;

	qsort(match->values, match->n_values, MS_VALUE_SIZE, compare_values);
	for (size_t i = 0; i < match->n_values; i++)
		if (i == 0 || memcmp(match->values[i], match->values[n - 1], MS_VALUE_SIZE) != 0)
			memmove(match->values[n++], match->values[i], MS_VALUE_SIZE);
	memset(match->values[n], 0, (match->n_values - n) * MS_VALUE_SIZE);
	match->n_values = (uint8_t)n;
	if (n == 1)
		match->kind = MS_MATCH_VALUE;
}

void ms_rule_match_any_u8(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			  size_t n_values, const uint8_t *values)
{
	struct ms_match_expr *match = add_match(ruleset, rule, MS_MATCH_ANON_SET, field, false);

	for (size_t i = 0; i < n_values; i++)
		put_value(ruleset, match, i, &values[i], 1);
	settle_any(match);
}

void ms_rule_match_any_u16(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			   size_t n_values, const uint16_t *values)
{
	struct ms_match_expr *match = add_match(ruleset, rule, MS_MATCH_ANON_SET, field, false);

	for (size_t i = 0; i < n_values; i++)
		put_number(ruleset, match, i, values[i], 2);
	settle_any(match);
}

static bool put_fields(struct ms_ruleset *ruleset, enum ms_field *to, size_t n_fields,
		       const enum ms_field *from)
{
	if (n_fields == 0 || n_fields > MS_MAX_CONCAT) {
		note_invalid(ruleset);
		return false;
	}
	memcpy(to, from, n_fields * sizeof(*from));
	return true;
}

void ms_rule_match_set(struct ms_ruleset *ruleset, struct ms_rule *rule, bool negate,
		       const char *set, size_t n_fields, const enum ms_field *fields)
{
	struct ms_match_expr *match = add_match(ruleset, rule, MS_MATCH_SET, fields[0], negate);

	if (put_fields(ruleset, match->fields, n_fields, fields))
		match->n_fields = (uint8_t)n_fields;
	match->set = ms_build_text(ruleset, set);
}

void ms_rule_match_present(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			   bool negate)
{
	add_match(ruleset, rule, MS_MATCH_PRESENT, field, negate);
}

static void match_tcp_flags(struct ms_ruleset *ruleset, struct ms_rule *rule, bool negate,
			    uint8_t mask, uint8_t flags)
{
	struct ms_match_expr *match =
		add_match(ruleset, rule, MS_MATCH_VALUE, MS_FIELD_TCP_FLAGS, negate);

	match->mask = mask;
	put_value(ruleset, match, 0, &flags, 1);
}

void ms_rule_match_bare_syn(struct ms_ruleset *ruleset, struct ms_rule *rule, bool negate)
{
	match_tcp_flags(ruleset, rule, negate, TH_FIN | TH_SYN | TH_RST | TH_ACK, TH_SYN);
}

void ms_rule_match_reset(struct ms_ruleset *ruleset, struct ms_rule *rule)
{
	match_tcp_flags(ruleset, rule, false, TH_SYN | TH_RST, TH_RST);
}

/* Statements. */

static struct ms_stmt *add_stmt(struct ms_ruleset *ruleset, struct ms_rule *rule,
				enum ms_stmt_kind kind)
{
	if (ms_avec_push(ruleset->arena, &rule->stmts, (struct ms_stmt){.kind = kind}) < 0) {
		ruleset->failed = true;
		return &ms_build_of(ruleset)->spare_stmt;
	}
	return &rule->stmts.items[rule->stmts.n_items - 1];
}

void ms_rule_counter(struct ms_ruleset *ruleset, struct ms_rule *rule)
{
	add_stmt(ruleset, rule, MS_STMT_COUNTER);
}

/* 128 bytes of the packet hold every header we decode; up to 32 packets share a message, which
 * keeps a flood cheap. */
void ms_rule_log(struct ms_ruleset *ruleset, struct ms_rule *rule, const char *prefix,
		 uint16_t group)
{
	struct ms_stmt *stmt = add_stmt(ruleset, rule, MS_STMT_LOG);

	if (strlen(prefix) >= MS_LOG_PREFIX_SIZE)
		note_invalid(ruleset);
	stmt->log.prefix = ms_build_text(ruleset, prefix);
	stmt->log.group = group;
	stmt->log.snaplen = 128;
	stmt->log.queue_threshold = 32;
}

void ms_rule_set_priority(struct ms_ruleset *ruleset, struct ms_rule *rule, uint32_t priority)
{
	add_stmt(ruleset, rule, MS_STMT_SET_PRIORITY)->priority = priority;
}

void ms_rule_reject(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_stmt_kind kind)
{
	if (kind != MS_STMT_REJECT_RESET && kind != MS_STMT_REJECT_ADMIN)
		note_invalid(ruleset);
	add_stmt(ruleset, rule, kind);
}

void ms_rule_verdict(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_verdict_kind kind,
		     const char *chain)
{
	struct ms_stmt *stmt = add_stmt(ruleset, rule, MS_STMT_VERDICT);

	stmt->verdict.kind = kind;
	stmt->verdict.chain = ms_build_text(ruleset, chain);
}

void ms_rule_vmap(struct ms_ruleset *ruleset, struct ms_rule *rule, const char *map,
		  size_t n_fields, const enum ms_field *fields)
{
	struct ms_stmt *stmt = add_stmt(ruleset, rule, MS_STMT_VMAP);

	if (put_fields(ruleset, stmt->fields, n_fields, fields))
		stmt->n_fields = (uint8_t)n_fields;
	stmt->map = ms_build_text(ruleset, map);
}

void ms_rule_count_in_set(struct ms_ruleset *ruleset, struct ms_rule *rule, const char *set,
			  enum ms_field field, uint32_t count_over)
{
	struct ms_stmt *stmt = add_stmt(ruleset, rule, MS_STMT_ADD);

	stmt->n_fields = 1;
	stmt->fields[0] = field;
	stmt->map = ms_build_text(ruleset, set);
	stmt->count_over = count_over;
}

void ms_rule_add_to_set(struct ms_ruleset *ruleset, struct ms_rule *rule, const char *set,
			enum ms_field field)
{
	ms_rule_count_in_set(ruleset, rule, set, field, 0);
}
