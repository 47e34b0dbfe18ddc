/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "implied.h"

#include "microseg/ruleset_match.h"

/* The ether type that @row's field is found behind; 0: any. */
static uint16_t ether_type_of(const struct ms_field_row *row)
{
	if (row->needs_arp)
		return 0x0806;
	return row->needs_ip == MS_IP4 ? 0x0800 : row->needs_ip == MS_IP6 ? 0x86dd : 0;
}

static bool field_implies(enum ms_field field, const struct ms_match_expr *match)
{
	const struct ms_field_row *row = ms_field_row(field);
	uint16_t ether_type = ether_type_of(row);

	if (match->fields[0] == MS_FIELD_L4PROTO)
		return row->needs_l4proto && row->needs_l4proto == match->values[0][0];
	return ether_type && match->values[0][0] == ether_type >> 8 && match->values[0][1] == (ether_type & 0xff);
}

static bool fields_imply(size_t n_fields, const enum ms_field *fields, const struct ms_match_expr *match)
{
	for (size_t i = 0; i < n_fields; i++)
		if (field_implies(fields[i], match))
			return true;
	return false;
}

bool ms_match_is_implied(enum ms_family family, const struct ms_rule *rule, size_t index)
{
	const struct ms_match_expr *match = &rule->matches.items[index];

	if (match->kind != MS_MATCH_VALUE || match->negate)
		return false;
	if (match->fields[0] != MS_FIELD_L4PROTO &&
	    !(match->fields[0] == MS_FIELD_ETHER_TYPE && family == MS_FAMILY_BRIDGE))
		return false;
	for (size_t i = index + 1; i < rule->matches.n_items; i++)
		if (fields_imply(rule->matches.items[i].n_fields, rule->matches.items[i].fields, match))
			return true;
	ms_vec_each(struct ms_stmt, stmt, &rule->stmts)
		if (fields_imply(stmt->n_fields, stmt->fields, match))
			return true;
	return false;
}

bool ms_set_needs_typeof(const struct ms_set *set)
{
	for (size_t i = 0; i < set->n_fields; i++)
		if (!ms_field_row(set->fields[i])->type_name)
			return true;
	return false;
}
