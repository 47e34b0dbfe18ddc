/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "samples_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/ruleset_match.h"

const enum ms_family sample_families[3] = {MS_FAMILY_INET, MS_FAMILY_BRIDGE, MS_FAMILY_ARP};

uint32_t sample_random_number(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

struct ms_ruleset *sample_finish(struct ms_ruleset *rs)
{
	int r = ms_ruleset_finish(rs);

	if (r < 0) {
		fprintf(stderr, "a sample is no ruleset: %s\n", strerror(-r));
		exit(1);
	}
	return rs;
}

bool sample_field_fits(enum ms_family family, enum ms_field field)
{
	const struct ms_field_row *row = ms_field_row(field);

	/* For lookups only: see sample_timed(). */
	if (field == MS_FIELD_NFPROTO || field == MS_FIELD_CT_ID)
		return false;
	if (row->load == MS_LOAD_LINK)
		return family == MS_FAMILY_BRIDGE;
	if (row->load == MS_LOAD_FIB || row->load == MS_LOAD_CT)
		return family == MS_FAMILY_INET;
	if (row->needs_arp)
		return family != MS_FAMILY_INET;
	return family != MS_FAMILY_ARP || (row->load == MS_LOAD_META && field != MS_FIELD_L4PROTO);
}

void sample_value(enum ms_field field, uint32_t *seed, uint8_t *value)
{
	const struct ms_field_row *row = ms_field_row(field);
	static const uint32_t states[] = {MS_CT_INVALID, MS_CT_ESTABLISHED, MS_CT_RELATED,
					  MS_CT_NEW, MS_CT_UNTRACKED};
	uint32_t number = sample_random_number(seed);

	memset(value, 0, MS_VALUE_SIZE);
	if (row->value == MS_VALUE_NAME) {
		snprintf((char *)value, MS_VALUE_SIZE, number % 3 ? "veth%x" : "br%u",
			 number % 2 ? number : number % 97);
		return;
	}
	if (field == MS_FIELD_CT_STATE) {
		memcpy(value, &states[number % 5], sizeof(uint32_t));
		return;
	}
	if (field == MS_FIELD_FIB_DADDR_TYPE) {
		number %= 10;
		memcpy(value, &number, sizeof(number));
		return;
	}
	if (row->symbols && row->size == 2 && number % 2) {
		number = row->symbols[number % 5].value;
		value[0] = (uint8_t)(number >> 8);
		value[1] = (uint8_t)number;
		return;
	}
	for (size_t i = 0; i < row->size; i++)
		value[i] = (uint8_t)(sample_random_number(seed) >> 8);
	/* Short values of long fields show how zeros print. */
	if (number % 4 == 0)
		memset(value, 0, row->size / 2);
}

struct ms_rule *sample_rule(struct ms_ruleset *rs, struct ms_chain *chain)
{
	return ms_ruleset_add_rule(rs, chain, NULL);
}

void sample_add_any(struct ms_ruleset *rs, struct ms_chain *chain, enum ms_field field,
		    uint32_t *seed)
{
	const struct ms_field_row *row = ms_field_row(field);

	if (row->host_order || row->value == MS_VALUE_HEX)
		return;
	for (size_t n = 1; n <= MS_ANON_SET_MAX; n++) {
		struct ms_rule *rule = sample_rule(rs, chain);
		uint8_t value[MS_VALUE_SIZE], bytes[MS_ANON_SET_MAX];
		uint16_t shorts[MS_ANON_SET_MAX];

		for (size_t i = 0; i < n; i++) {
			sample_value(field, seed, value);
			bytes[i] = value[0];
			shorts[i] = (uint16_t)(value[0] << 8 | value[1]);
		}
		if (row->size == 1)
			ms_rule_match_any_u8(rs, rule, field, n, bytes);
		else if (row->size == 2)
			ms_rule_match_any_u16(rs, rule, field, n, shorts);
		ms_rule_verdict(rs, rule, MS_VERDICT_DROP, NULL);
	}
}

void sample_fill(struct ms_ruleset *rs, struct ms_set *set, size_t n_elems, uint32_t *seed)
{
	static const char *const comments[] = {NULL, NULL, "policies/a.yaml:1", "b"};
	uint8_t value[MS_VALUE_SIZE];

	for (size_t i = 0; i < n_elems; i++) {
		struct ms_elem *elem = ms_ruleset_add_elem(rs, set);

		for (size_t j = 0; j < set->n_fields; j++) {
			sample_value(set->fields[j], seed, value);
			/* Neighbours, so that the later fields decide. */
			if (set->n_fields > 1 && i % 3 == 0)
				value[ms_field_row(set->fields[j])->size - 1] =
					ms_field_row(set->fields[j])->value == MS_VALUE_NAME
						? 0
						: (uint8_t)i;
			ms_elem_key(set, elem, j, value, ms_field_row(set->fields[j])->size);
		}
		elem->comment = comments[sample_random_number(seed) % 4];
		if (set->map)
			elem->verdict = (struct ms_rule_verdict){elem->key[0] % 2 ? MS_VERDICT_GOTO
										  : MS_VERDICT_JUMP,
								 "to/prod/orders-db"};
	}
}

void sample_look_up(struct ms_ruleset *rs, struct ms_chain *chain, const struct ms_set *set)
{
	struct ms_rule *rule = sample_rule(rs, chain);

	if (set->map) {
		ms_rule_vmap(rs, rule, set->name, set->n_fields, set->fields);
		return;
	}
	ms_rule_match_set(rs, rule, false, set->name, set->n_fields, set->fields);
	ms_rule_counter(rs, rule);
	rule = sample_rule(rs, chain);
	ms_rule_match_set(rs, rule, true, set->name, set->n_fields, set->fields);
	ms_rule_verdict(rs, rule, MS_VERDICT_DROP, NULL);
}
