/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "implied.h"

#include <netinet/in.h>

#include "microseg/ruleset_match.h"

#define ETHER_TYPE_IP 0x0800
#define ETHER_TYPE_IP6 0x86dd
#define ETHER_TYPE_ARP 0x0806
#define ETHER_TYPE_VLAN 0x8100
#define ETHER_TYPE_QINQ 0x88a8

/* The ether type that @row's field is found behind; 0: any. */
static uint16_t ether_type_of(const struct ms_field_row *row)
{
	if (row->needs_arp)
		return ETHER_TYPE_ARP;
	return row->needs_ip == MS_IP4	 ? ETHER_TYPE_IP
	       : row->needs_ip == MS_IP6 ? ETHER_TYPE_IP6
					 : 0;
}

static bool field_implies(enum ms_field field, const struct ms_match_expr *match)
{
	const struct ms_field_row *row = ms_field_row(field);
	uint16_t ether_type = ether_type_of(row);

	if (match->fields[0] == MS_FIELD_L4PROTO)
		return row->needs_l4proto && row->needs_l4proto == match->values[0][0];
	return ether_type && match->values[0][0] == ether_type >> 8 &&
	       match->values[0][1] == (ether_type & 0xff);
}

static bool fields_imply(size_t n_fields, const enum ms_field *fields,
			 const struct ms_match_expr *match)
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
		if (fields_imply(rule->matches.items[i].n_fields, rule->matches.items[i].fields,
				 match))
			return true;
	ms_vec_each (struct ms_stmt, stmt, &rule->stmts)
		if (fields_imply(stmt->n_fields, stmt->fields, match))
			return true;
	return false;
}

#define NOTHING (-1)

/* What a rule has asked for so far. */
struct wanted {
	int ether_type;
	int l4proto;
};

static bool want_one(int *wanted, int value)
{
	if (*wanted == NOTHING)
		*wanted = value;
	return value == NOTHING || *wanted == value;
}

static bool want(struct wanted *wanted, int ether_type, int l4proto)
{
	if (!want_one(&wanted->ether_type, ether_type) || !want_one(&wanted->l4proto, l4proto))
		return false;
	return wanted->l4proto == NOTHING || wanted->ether_type == NOTHING ||
	       wanted->ether_type == ETHER_TYPE_IP || wanted->ether_type == ETHER_TYPE_IP6;
}

static bool is_vlan(int ether_type)
{
	return ether_type == ETHER_TYPE_VLAN || ether_type == ETHER_TYPE_QINQ;
}

/*
 * The bytes of neighbour discovery imply nothing, but lie in ICMPv6 only: nft 1.0.6 dies of them
 * elsewhere. Behind `ether type 8021q` it takes the link-layer header for the tag.
 */
static bool want_fields(struct wanted *wanted, size_t n_fields, const enum ms_field *fields)
{
	for (size_t i = 0; i < n_fields; i++) {
		const struct ms_field_row *row = ms_field_row(fields[i]);
		bool nd = row->load == MS_LOAD_TRANSPORT && !row->needs_l4proto &&
			  fields[i] != MS_FIELD_TH_DPORT;
		int ether_type = ether_type_of(row)	? ether_type_of(row)
				 : row->of_ip == MS_IP4 ? ETHER_TYPE_IP
				 : row->of_ip == MS_IP6 ? ETHER_TYPE_IP6
							: NOTHING;
		int l4proto = nd		   ? IPPROTO_ICMPV6
			      : row->needs_l4proto ? row->needs_l4proto
						   : NOTHING;

		if (row->load == MS_LOAD_LINK && is_vlan(wanted->ether_type))
			return false;
		/* Where the protocol is known nft names the port after it. */
		if (fields[i] == MS_FIELD_TH_DPORT && wanted->l4proto != NOTHING)
			return false;
		if (!want(wanted, ether_type, l4proto))
			return false;
	}
	return true;
}

static bool want_match(struct wanted *wanted, const struct ms_match_expr *match)
{
	if (match->kind != MS_MATCH_VALUE || match->negate)
		return true;
	/* nft takes the next header for the protocol, extension headers and all. */
	if (match->fields[0] == MS_FIELD_L4PROTO || match->fields[0] == MS_FIELD_IP6_NEXTHDR)
		return want(wanted, NOTHING, match->values[0][0]);
	if (match->fields[0] == MS_FIELD_ETHER_TYPE)
		return want(wanted, match->values[0][0] << 8 | match->values[0][1], NOTHING);
	return true;
}

bool ms_rule_is_consistent(const struct ms_rule *rule)
{
	struct wanted wanted = {.ether_type = NOTHING, .l4proto = NOTHING};

	ms_vec_each (struct ms_match_expr, match, &rule->matches)
		if (!want_fields(&wanted, match->n_fields, match->fields) ||
		    !want_match(&wanted, match))
			return false;
	ms_vec_each (struct ms_stmt, stmt, &rule->stmts)
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
