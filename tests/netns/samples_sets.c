/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "samples.h"

#include <stdio.h>
#include <string.h>

#include "microseg/ruleset_match.h"
#include "samples_parts.h"

static bool set_fits(enum ms_family family, size_t n_fields, const enum ms_field *fields)
{
	bool typed = true, plain = true;

	for (size_t i = 0; i < n_fields; i++) {
		const struct ms_field_row *row = ms_field_row(fields[i]);

		if (!sample_field_fits(family, fields[i]) || row->size == 0 ||
		    fields[i] == MS_FIELD_CT_STATE || fields[i] == MS_FIELD_TCP_FLAGS)
			return false;
		typed = typed && row->type_name;
		plain = plain && !row->needs_l4proto && row->load != MS_LOAD_NETWORK;
	}
	return typed || plain;
}

static void add_sets(struct ms_ruleset *rs, struct ms_table *table, struct ms_chain *chain,
		     size_t n_fields, const enum ms_field *fields, uint32_t *seed)
{
	static const size_t counts[] = {0, 1, 2, 3, 67};
	char name[64];

	if (!set_fits(table->family, n_fields, fields))
		return;
	for (size_t i = 0; i < 2 * sizeof(counts) / sizeof(*counts); i++) {
		snprintf(name, sizeof(name), "env.%zu/%zu-%zu", table->sets.n_items, n_fields, i);
		struct ms_set *set = ms_ruleset_add_set(rs, table, name, n_fields, fields);
		bool typed = true;

		for (size_t j = 0; j < n_fields; j++)
			typed = typed && ms_field_row(fields[j])->type_name;
		set->size = i % 3 ? 128 : 0;
		set->map = i % 2 && typed;
		set->counts = !set->map && i % 4 == 2;
		sample_fill(rs, set, counts[i / 2], seed);
		sample_look_up(rs, chain, set);
	}
}

static void add_intervals(struct ms_ruleset *rs, struct ms_table *table, struct ms_chain *chain,
			  enum ms_field field, bool to_the_end)
{
	char name[64];
	snprintf(name, sizeof(name), "nets/%zu", table->sets.n_items);
	struct ms_set *set = ms_ruleset_add_set(rs, table, name, 1, &field);
	size_t size = ms_field_row(field)->size;
	uint8_t at[MS_VALUE_SIZE] = {0};

	set->interval = true;
	/* Prefixes, single values, ranges, neighbours without a gap. */
	for (unsigned int i = to_the_end ? 0 : 1; i < 23; i++) {
		struct ms_elem *elem = ms_ruleset_add_elem(rs, set);

		at[0] = (uint8_t)(i * 11);
		if (i % 5 == 3)
			at[size - 1] = 7;
		ms_elem_key(set, elem, 0, at, size);
		if (i % 5 == 0)
			memset(at + 1, 0xff, size - 1);
		if (i % 5 == 1)
			at[size - 1] = 77;
		if (i % 5 == 2)
			memset(at + 1, 0xff, size - 1), at[0] = (uint8_t)(at[0] + 10);
		memcpy(elem->end, at, size);
		memset(at, 0, sizeof(at));
	}
	if (to_the_end) {
		struct ms_elem *elem = ms_ruleset_add_elem(rs, set);

		at[0] = 0xff;
		ms_elem_key(set, elem, 0, at, size);
		memset(elem->end, 0xff, size);
	}
	sample_look_up(rs, chain, set);
}

static void add_whole(struct ms_ruleset *rs, struct ms_table *table, struct ms_chain *chain,
		      enum ms_field field)
{
	char name[64];
	snprintf(name, sizeof(name), "all/%zu", table->sets.n_items);
	struct ms_set *set = ms_ruleset_add_set(rs, table, name, 1, &field);

	set->interval = true;
	memset(ms_ruleset_add_elem(rs, set)->end, 0xff, ms_field_row(field)->size);
	sample_look_up(rs, chain, set);
}

static void add_counting(struct ms_ruleset *rs, struct ms_table *table, struct ms_chain *chain,
			 enum ms_field field)
{
	char name[64];
	snprintf(name, sizeof(name), "limit/%zu", table->sets.n_items);
	struct ms_set *set = ms_ruleset_add_set(rs, table, name, 1, &field);
	struct ms_rule *rule = sample_rule(rs, chain);

	set->size = 65536;
	set->dynamic = true;
	set->count_over = 1000 * (uint32_t)table->sets.n_items;
	ms_rule_match_present(rs, rule, MS_FIELD_CT_STATUS_CONFIRMED, true);
	ms_rule_count_in_set(rs, rule, name, field, set->count_over);
	ms_rule_verdict(rs, rule, MS_VERDICT_DROP, NULL);
}

struct ms_ruleset *sample_every_set(void)
{
	static const enum ms_field concats[][MS_MAX_CONCAT] = {
		{MS_FIELD_IIFNAME, MS_FIELD_OIFNAME},
		{MS_FIELD_IIFNAME, MS_FIELD_IP_DADDR},
		{MS_FIELD_IIFNAME, MS_FIELD_IP6_DADDR},
		{MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR},
		{MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER},
		{MS_FIELD_IIFNAME, MS_FIELD_ND_LLADDR},
		{MS_FIELD_IP_SADDR, MS_FIELD_TCP_DPORT},
		{MS_FIELD_ETHER_SADDR, MS_FIELD_ND_TARGET},
	};
	static const enum ms_field triples[][MS_MAX_CONCAT] = {
		{MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR, MS_FIELD_IP_SADDR},
		{MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR, MS_FIELD_IP6_SADDR},
		{MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR, MS_FIELD_ND_TARGET},
		{MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER, MS_FIELD_ARP_SADDR_IP},
		{MS_FIELD_IP_SADDR, MS_FIELD_L4PROTO, MS_FIELD_TCP_DPORT},
		{MS_FIELD_IP6_SADDR, MS_FIELD_L4PROTO, MS_FIELD_UDP_DPORT},
		{MS_FIELD_IP_SADDR, MS_FIELD_L4PROTO, MS_FIELD_TH_DPORT},
		{MS_FIELD_IP6_SADDR, MS_FIELD_L4PROTO, MS_FIELD_TH_DPORT},
	};
	static const enum ms_field counted[] = {MS_FIELD_IP_SADDR, MS_FIELD_IP6_SADDR,
						MS_FIELD_IIFNAME};
	struct ms_ruleset *rs = ms_ruleset_new();
	uint32_t seed = 4711;

	for (size_t f = 0; f < sizeof(sample_families) / sizeof(*sample_families); f++) {
		struct ms_table *table = ms_ruleset_add_table(rs, sample_families[f], TABLE);
		struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "lookups");

		ms_ruleset_add_chain(rs, table, "to/prod/orders-db");
		for (enum ms_field field = 0; field < MS_N_FIELDS; field++)
			add_sets(rs, table, chain, 1, &field, &seed);
		for (size_t i = 0; i < sizeof(concats) / sizeof(*concats); i++)
			add_sets(rs, table, chain, 2, concats[i], &seed);
		for (size_t i = 0; i < sizeof(triples) / sizeof(*triples); i++)
			add_sets(rs, table, chain, 3, triples[i], &seed);
		if (sample_families[f] == MS_FAMILY_ARP)
			continue;
		for (int i = 0; i < 2; i++) {
			add_intervals(rs, table, chain, MS_FIELD_IP_SADDR, i);
			add_intervals(rs, table, chain, MS_FIELD_IP6_DADDR, i);
			add_intervals(rs, table, chain, MS_FIELD_TCP_DPORT, i);
		}
		add_whole(rs, table, chain, MS_FIELD_IP_SADDR);
		add_whole(rs, table, chain, MS_FIELD_IP6_SADDR);
		add_whole(rs, table, chain, MS_FIELD_UDP_DPORT);
		if (sample_families[f] != MS_FAMILY_INET)
			continue;
		for (size_t i = 0; i < sizeof(counted) / sizeof(*counted); i++)
			add_counting(rs, table, chain, counted[i]);
	}
	return sample_finish(rs);
}
