/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "implied.h"

#include <netinet/in.h>

#include "microseg/ruleset_match.h"

#define ETHER_TYPE_IP 0x0800
#define ETHER_TYPE_IP6 0x86dd
#define ETHER_TYPE_ARP 0x0806

/* The ether type that @row's field is found behind; 0: any. */
static uint16_t ether_type_of(const struct ms_field_row *row)
{
	if (row->needs_arp)
		return ETHER_TYPE_ARP;
	return row->needs_ip == MS_IP4 ? ETHER_TYPE_IP : row->needs_ip == MS_IP6 ? ETHER_TYPE_IP6 : 0;
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

/* What a rule has asked for so far; 0: nothing. */
struct wanted {
	uint16_t ether_type;
	uint8_t l4proto;
};

static bool want(struct wanted *wanted, uint16_t ether_type, uint8_t l4proto)
{
	if (ether_type && wanted->ether_type && ether_type != wanted->ether_type)
		return false;
	if (l4proto && wanted->l4proto && l4proto != wanted->l4proto)
		return false;
	wanted->ether_type = ether_type ? ether_type : wanted->ether_type;
	wanted->l4proto = l4proto ? l4proto : wanted->l4proto;
	return !wanted->l4proto || !wanted->ether_type || wanted->ether_type == ETHER_TYPE_IP ||
	       wanted->ether_type == ETHER_TYPE_IP6;
}

/* The bytes of neighbour discovery imply nothing, but lie in ICMPv6 only; nft 1.0.6 dies of them elsewhere. */
static bool want_fields(struct wanted *wanted, size_t n_fields, const enum ms_field *fields)
{
	for (size_t i = 0; i < n_fields; i++) {
		const struct ms_field_row *row = ms_field_row(fields[i]);
		bool nd = row->load == MS_LOAD_TRANSPORT && !row->needs_l4proto;

		if (!want(wanted, ether_type_of(row), nd ? IPPROTO_ICMPV6 : row->needs_l4proto))
			return false;
	}
	return true;
}

static bool want_match(struct wanted *wanted, const struct ms_match_expr *match)
{
	if (match->kind != MS_MATCH_VALUE || match->negate)
		return true;
	if (match->fields[0] == MS_FIELD_L4PROTO)
		return want(wanted, 0, match->values[0][0]);
	if (match->fields[0] == MS_FIELD_ETHER_TYPE)
		return want(wanted, (uint16_t)(match->values[0][0] << 8 | match->values[0][1]), 0);
	return true;
}

bool ms_rule_is_consistent(const struct ms_rule *rule)
{
	struct wanted wanted = {0};

	ms_vec_each(struct ms_match_expr, match, &rule->matches)
		if (!want_fields(&wanted, match->n_fields, match->fields) || !want_match(&wanted, match))
			return false;
	ms_vec_each(struct ms_stmt, stmt, &rule->stmts)
		if (!want_fields(&wanted, stmt->n_fields, stmt->fields))
			return false;
	return true;
}

bool ms_set_needs_typeof(const struct ms_set *set)
{
	for (size_t i = 0; i < set->n_fields; i++)
		if (!ms_field_row(set->fields[i])->type_name)
			return true;
	return false;
}
