/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What no kernel would take, or what nft could not list and load again, is refused before anybody
 * sees it: it can only be a mistake of the compiler.
 */
#include "check.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "implied.h"
#include "microseg/ruleset_match.h"

#define MAX_NAME 127 /* the kernel takes 255, nft 1.0.6 lists 127 */

static bool name_fits(const char *name)
{
	return name && name[0] && strlen(name) <= MAX_NAME;
}

static bool text_fits(const char *text, size_t size)
{
	return !text || (strlen(text) < size && !strpbrk(text, "\"\n"));
}

static bool verdict_fits(const struct ms_table *table, const struct ms_rule_verdict *verdict)
{
	const struct ms_chain *chain;

	switch (verdict->kind) {
	case MS_VERDICT_ACCEPT:
	case MS_VERDICT_DROP:
	case MS_VERDICT_RETURN:
		return !verdict->chain;
	case MS_VERDICT_GOTO:
	case MS_VERDICT_JUMP:
		chain = verdict->chain ? ms_table_chain(table, verdict->chain) : NULL;
		return chain && chain->hook == MS_HOOK_NONE;
	case MS_VERDICT_NONE:
		break;
	}
	return false;
}

/*
 * Only bridges hand every packet over with its link-layer header; connection tracking of bridges is
 * another module and not ours to ask for; arp tables see nothing but ARP.
 */
static bool field_fits(const struct ms_table *table, enum ms_field field)
{
	const struct ms_field_row *row = ms_field_row(field);

	if (row->load == MS_LOAD_LINK)
		return table->family == MS_FAMILY_BRIDGE;
	if (row->load == MS_LOAD_FIB || row->load == MS_LOAD_CT || field == MS_FIELD_NFPROTO)
		return table->family == MS_FAMILY_INET;
	if (row->needs_arp)
		return table->family != MS_FAMILY_INET;
	return table->family != MS_FAMILY_ARP || row->load == MS_LOAD_META;
}

/* Are the fields of a lookup of the types of the set's key? */
static bool fields_fit_set(const struct ms_table *table, const struct ms_set *set, size_t n_fields,
			   const enum ms_field *fields)
{
	if (n_fields != set->n_fields)
		return false;
	for (size_t i = 0; i < n_fields; i++) {
		const struct ms_field_row *row = ms_field_row(fields[i]);
		const struct ms_field_row *key = ms_field_row(set->fields[i]);

		if (!field_fits(table, fields[i]) || row->size != key->size ||
		    row->type_id != key->type_id)
			return false;
	}
	return true;
}

static bool value_fits(const struct ms_match_expr *match)
{
	size_t len;

	if (match->n_fields != 1 || match->n_values == 0 ||
	    ms_field_row(match->fields[0])->size == 0)
		return false;
	/* nft leaves the one out before fields of that IP; the other is a number of the moment. */
	if (match->fields[0] == MS_FIELD_NFPROTO || match->fields[0] == MS_FIELD_CT_ID)
		return false;
	if ((match->fields[0] == MS_FIELD_TCP_FLAGS) != (match->mask != 0))
		return false;
	switch (match->kind) {
	case MS_MATCH_VALUE:
		/* The prefix of all names would compare no bytes. */
		return match->n_values == 1 &&
		       (ms_field_row(match->fields[0])->value != MS_VALUE_NAME ||
			!ms_name_is_prefix(match->values[0], &len) || len > 0);
	case MS_MATCH_RANGE:
		return match->n_values == 2 && !ms_field_row(match->fields[0])->host_order;
	default:
		for (size_t i = 0; i < match->n_values; i++)
			if (ms_field_row(match->fields[0])->value == MS_VALUE_NAME &&
			    ms_name_is_prefix(match->values[i], &len))
				return false;
		return true;
	}
}

static bool match_fits(const struct ms_table *table, const struct ms_match_expr *match)
{
	const struct ms_set *set;

	for (size_t i = 0; i < match->n_fields; i++)
		if (!field_fits(table, match->fields[i]))
			return false;
	switch (match->kind) {
	case MS_MATCH_VALUE:
	case MS_MATCH_RANGE:
	case MS_MATCH_ANON_SET:
		return value_fits(match);
	case MS_MATCH_SET:
		set = ms_table_set(table, match->set);
		return set && !set->map && !set->count_over &&
		       fields_fit_set(table, set, match->n_fields, match->fields);
	case MS_MATCH_PRESENT:
		return match->n_fields == 1 && ms_field_row(match->fields[0])->size == 0;
	}
	return false;
}

static bool stmt_fits(const struct ms_table *table, const struct ms_stmt *stmt)
{
	const struct ms_set *map;

	switch (stmt->kind) {
	case MS_STMT_VERDICT:
		return verdict_fits(table, &stmt->verdict);
	case MS_STMT_VMAP:
		map = ms_table_set(table, stmt->map);
		return map && map->map && fields_fit_set(table, map, stmt->n_fields, stmt->fields);
	case MS_STMT_ADD:
		map = ms_table_set(table, stmt->map);
		return map && map->dynamic && map->count_over == stmt->count_over &&
		       fields_fit_set(table, map, stmt->n_fields, stmt->fields);
	case MS_STMT_LOG:
		return text_fits(stmt->log.prefix, MS_LOG_PREFIX_SIZE);
	case MS_STMT_REJECT_RESET:
	case MS_STMT_REJECT_ADMIN:
		return table->family == MS_FAMILY_INET;
	case MS_STMT_COUNTER:
	case MS_STMT_SET_PRIORITY:
		return true;
	}
	return false;
}

/* Nothing may stand behind what ends a rule: the kernel would never get there. */
static bool ends_rule(enum ms_stmt_kind kind)
{
	return kind == MS_STMT_VERDICT || kind == MS_STMT_VMAP || kind == MS_STMT_REJECT_RESET ||
	       kind == MS_STMT_REJECT_ADMIN;
}

/* Only tcp can be reset; nft would list the test that the kernel makes itself. */
static bool is_tcp(const struct ms_rule *rule)
{
	ms_vec_each (struct ms_match_expr, match, &rule->matches) {
		if (ms_field_row(match->fields[0])->needs_l4proto == IPPROTO_TCP)
			return true;
		if (match->fields[0] == MS_FIELD_L4PROTO && match->kind == MS_MATCH_VALUE &&
		    !match->negate)
			return match->values[0][0] == IPPROTO_TCP;
	}
	return false;
}

static bool rule_fits(const struct ms_table *table, const struct ms_rule *rule)
{
	if (!text_fits(rule->comment, MS_COMMENT_SIZE) || !ms_rule_is_consistent(rule))
		return false;
	ms_vec_each (struct ms_match_expr, match, &rule->matches)
		if (!match_fits(table, match))
			return false;
	for (size_t i = 0; i < rule->stmts.n_items; i++) {
		const struct ms_stmt *stmt = &rule->stmts.items[i];

		if (stmt->kind == MS_STMT_REJECT_RESET && !is_tcp(rule))
			return false;
		if (!stmt_fits(table, stmt) ||
		    (i + 1 < rule->stmts.n_items && ends_rule(stmt->kind)))
			return false;
	}
	return rule->stmts.n_items > 0;
}

static bool elem_fits(const struct ms_table *table, const struct ms_set *set,
		      const struct ms_elem *elem)
{
	if (!text_fits(elem->comment, MS_COMMENT_SIZE))
		return false;
	if (elem->until && !set->timed)
		return false;
	if (set->map ? !verdict_fits(table, &elem->verdict) : elem->verdict.kind != MS_VERDICT_NONE)
		return false;
	return !set->interval ||
	       memcmp(elem->key, elem->end, ms_field_row(set->fields[0])->size) <= 0;
}

/* Sorted by their first value, intervals must end before the next one begins. */
static bool intervals_fit(const struct ms_set *set)
{
	size_t size = ms_field_row(set->fields[0])->size;

	for (size_t i = 1; i < set->elems.n_items; i++)
		if (memcmp(set->elems.items[i - 1].end, set->elems.items[i].key, size) >= 0)
			return false;
	return true;
}

/* The encoder can describe these to nft, for a declaration by typeof. */
static bool typeof_fits(const struct ms_set *set)
{
	for (size_t i = 0; i < set->n_fields; i++) {
		const struct ms_field_row *row = ms_field_row(set->fields[i]);

		if (row->load != MS_LOAD_META && row->load != MS_LOAD_LINK &&
		    row->load != MS_LOAD_TRANSPORT && row->load != MS_LOAD_CT)
			return false;
		if (row->needs_l4proto)
			return false;
	}
	return !set->map && !set->interval;
}

static bool set_fits(const struct ms_table *table, const struct ms_set *set)
{
	if (!name_fits(set->name) || set->n_fields == 0 || ms_set_key_size(set) > MS_KEY_SIZE)
		return false;
	for (size_t i = 0; i < set->n_fields; i++)
		if (ms_field_row(set->fields[i])->size == 0 || !field_fits(table, set->fields[i]))
			return false;
	if (ms_set_needs_typeof(set) && !typeof_fits(set))
		return false;
	if (set->dynamic && (set->map || set->interval || set->size == 0 || set->elems.n_items > 0))
		return false;
	if (set->interval && (set->timed || set->n_fields != 1 ||
			      ms_field_row(set->fields[0])->host_order || set->map))
		return false;
	if (set->counts && (set->interval || set->map))
		return false;
	if (set->size && set->elems.n_items > set->size)
		return false;
	/* Connections are tracked there only. */
	if (set->count_over && (!set->dynamic || set->timed || table->family != MS_FAMILY_INET))
		return false;
	ms_vec_each (struct ms_elem, elem, &set->elems)
		if (!elem_fits(table, set, elem))
			return false;
	return !set->interval || intervals_fit(set);
}

static bool names_are_unique(const struct ms_table *table)
{
	for (size_t i = 1; i < table->sets.n_items; i++)
		if (strcmp(table->sets_by_name[i - 1]->name, table->sets_by_name[i]->name) == 0)
			return false;
	for (size_t i = 1; i < table->chains.n_items; i++)
		if (strcmp(table->chains_by_name[i - 1]->name, table->chains_by_name[i]->name) == 0)
			return false;
	return true;
}

int ms_check_table(const struct ms_table *table)
{
	if (!name_fits(table->name) || !names_are_unique(table))
		return -EINVAL;
	ms_vec_each (struct ms_set *, set, &table->sets)
		if (!set_fits(table, *set))
			return -EINVAL;
	ms_vec_each (struct ms_chain *, chain, &table->chains) {
		if (!name_fits((*chain)->name))
			return -EINVAL;
		ms_vec_each (struct ms_rule, rule, &(*chain)->rules)
			if (!rule_fits(table, rule))
				return -EINVAL;
	}
	return 0;
}
