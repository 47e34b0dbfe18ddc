/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "samples.h"

#include <stdio.h>
#include <string.h>

#include "microseg/ruleset_match.h"
#include "ruleset/implied.h"
#include "samples_parts.h"

struct ms_ruleset *sample_priorities(void)
{
	static const int32_t bases[] = {-400, -300, -250, -200, -150, -100, -50, 0,
					20,   50,   75,	  100,	200,  300,  400};
	static const int32_t offsets[] = {-11, -10, -1, 0, 1, 10, 11};
	struct ms_ruleset *rs = ms_ruleset_new();
	char name[64];

	for (size_t f = 0; f < sizeof(sample_families) / sizeof(*sample_families); f++) {
		struct ms_table *table = ms_ruleset_add_table(rs, sample_families[f], TABLE);

		for (enum ms_hook hook = MS_HOOK_PREROUTING; hook <= MS_HOOK_OUTPUT; hook++) {
			if (sample_families[f] == MS_FAMILY_ARP && hook != MS_HOOK_INPUT &&
			    hook != MS_HOOK_OUTPUT)
				continue;
			for (size_t i = 0; i < sizeof(bases) / sizeof(*bases); i++)
				for (size_t j = 0; j < sizeof(offsets) / sizeof(*offsets); j++) {
					snprintf(name, sizeof(name), "c%d.%zu.%zu", (int)hook, i,
						 j);
					ms_ruleset_add_base_chain(rs, table, name, hook,
								  bases[i] + offsets[j]);
				}
		}
	}
	return sample_finish(rs);
}

/* At random. */

static void add_random_match(struct ms_ruleset *rs, struct ms_rule *rule, enum ms_field field,
			     uint32_t *seed)
{
	const struct ms_field_row *row = ms_field_row(field);
	uint8_t value[MS_VALUE_SIZE], other[MS_VALUE_SIZE];
	bool negate = sample_random_number(seed) % 4 == 0;

	if (row->size == 0) {
		ms_rule_match_present(rs, rule, field, negate);
		return;
	}
	sample_value(field, seed, value);
	if (field == MS_FIELD_TCP_FLAGS) {
		ms_rule_match_bare_syn(rs, rule, negate);
		return;
	}
	if (!row->host_order && sample_random_number(seed) % 4 == 0) {
		sample_value(field, seed, other);
		bool swap = memcmp(value, other, row->size) > 0;

		ms_rule_match_range(rs, rule, field, swap ? other : value, swap ? value : other,
				    row->size);
		return;
	}
	ms_rule_match(rs, rule, field, negate, value, row->size);
}

static bool has_field(const struct ms_rule *rule, enum ms_field field)
{
	ms_vec_each (struct ms_match_expr, match, &rule->matches)
		if (match->fields[0] == field)
			return true;
	return false;
}

/* Lookups amid other matches: each brings what its fields imply. */
static void add_random_lookup(struct ms_ruleset *rs, struct ms_table *table, struct ms_rule *rule,
			      uint32_t *seed)
{
	static const struct {
		size_t n;
		enum ms_field fields[MS_MAX_CONCAT];
	} keys[] = {
		{1, {MS_FIELD_IIFNAME}},
		{1, {MS_FIELD_IP_SADDR}},
		{1, {MS_FIELD_IP6_DADDR}},
		{1, {MS_FIELD_TCP_DPORT}},
		{2, {MS_FIELD_IIFNAME, MS_FIELD_IP_DADDR}},
		{2, {MS_FIELD_IP_SADDR, MS_FIELD_UDP_DPORT}},
		{2, {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR}},
		{3, {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR, MS_FIELD_IP6_SADDR}},
		{3, {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER, MS_FIELD_ARP_SADDR_IP}},
		{3, {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR, MS_FIELD_ND_TARGET}},
	};
	size_t i = sample_random_number(seed) % (sizeof(keys) / sizeof(*keys));
	char name[32];

	for (size_t j = 0; j < keys[i].n; j++)
		if (!sample_field_fits(table->family, keys[i].fields[j]))
			return;
	snprintf(name, sizeof(name), "key/%zu", i);
	if (!ms_table_set(table, name))
		ms_ruleset_add_set(rs, table, name, keys[i].n, keys[i].fields);
	ms_rule_match_set(rs, rule, sample_random_number(seed) % 3 == 0, name, keys[i].n,
			  keys[i].fields);
}

struct ms_ruleset *sample_random(uint32_t seed)
{
	struct ms_ruleset *rs = ms_ruleset_new();

	for (size_t f = 0; f < sizeof(sample_families) / sizeof(*sample_families); f++) {
		struct ms_table *table = ms_ruleset_add_table(rs, sample_families[f], TABLE);
		struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "mixed");

		for (int i = 0; i < 400; i++) {
			struct ms_rule *rule = sample_rule(rs, chain);
			size_t n = 1 + sample_random_number(&seed) % 4;

			for (size_t j = 0; j < n; j++) {
				enum ms_field field = sample_random_number(&seed) % MS_N_FIELDS;

				if (sample_field_fits(sample_families[f], field) &&
				    !has_field(rule, field))
					add_random_match(rs, rule, field, &seed);
				if (sample_random_number(&seed) % 4 == 0)
					add_random_lookup(rs, table, rule, &seed);
			}
			ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
			/* Rules that contradict themselves are not in the language. */
			if (!ms_rule_is_consistent(rule))
				chain->rules.n_items--;
		}
	}
	return sample_finish(rs);
}

/* Variants. */

static void vary_table(struct ms_ruleset *rs, struct ms_table *table, uint32_t *seed)
{
	static const enum ms_field addr = MS_FIELD_IP_SADDR, port = MS_FIELD_IIFNAME;
	struct ms_chain *base = ms_ruleset_add_base_chain(rs, table, "forward", MS_HOOK_FORWARD,
							  sample_random_number(seed) % 3 ? 0 : 5);
	char name[64];

	for (unsigned int i = 0; i < 8; i++) {
		if (sample_random_number(seed) % 4 == 0)
			continue;
		snprintf(name, sizeof(name), "to/prod/s%u", i);
		struct ms_chain *chain = ms_ruleset_add_chain(rs, table, name);

		snprintf(name, sizeof(name), "prod/s%u/4", i);
		struct ms_set *set = ms_ruleset_add_set(
			rs, table, name, 1, sample_random_number(seed) % 8 ? &addr : &port);

		set->size = sample_random_number(seed) % 4 ? 64 : 128;
		sample_fill(rs, set, sample_random_number(seed) % 40, seed);
		sample_look_up(rs, chain, set);
		if (sample_random_number(seed) % 2)
			sample_add_any(rs, chain, MS_FIELD_ICMP_TYPE, &(uint32_t){7});

		snprintf(name, sizeof(name), "map%u", i);
		struct ms_set *map = ms_ruleset_add_set(rs, table, name, 1, &addr);
		char target[64];

		snprintf(target, sizeof(target), "to/prod/s%u", i);
		map->map = true;
		map->size = 16;
		for (unsigned int j = 0; j < sample_random_number(seed) % 8; j++) {
			struct ms_elem *elem = ms_ruleset_add_elem(rs, map);
			uint8_t value[4] = {10, 0, (uint8_t)i,
					    (uint8_t)(sample_random_number(seed) % 16)};

			ms_elem_key(map, elem, 0, value, sizeof(value));
			elem->verdict.kind = MS_VERDICT_GOTO;
			elem->verdict.chain = ms_arena_strdup(rs->arena, target);
		}
		sample_look_up(rs, base, map);
	}
	struct ms_set *nets = ms_ruleset_add_set(rs, table, "nets", 1, &addr);

	nets->interval = true;
	for (uint8_t i = 0; i < 40; i++) {
		if (sample_random_number(seed) % 2)
			continue;
		struct ms_elem *elem = ms_ruleset_add_elem(rs, nets);
		uint8_t first[4] = {i, 0, 0, 0},
			last[4] = {i, 255, 255,
				   (uint8_t)(sample_random_number(seed) % 2 ? 255 : 7)};

		ms_elem_key(nets, elem, 0, first, sizeof(first));
		memcpy(elem->end, last, sizeof(last));
	}
	sample_look_up(rs, base, nets);
}

struct ms_ruleset *sample_variant(uint32_t seed)
{
	struct ms_ruleset *rs = ms_ruleset_new();

	seed = seed * 2654435761u + 1;
	for (size_t f = 0; f < 2; f++)
		if (f == 0 || sample_random_number(&seed) % 4)
			vary_table(rs, ms_ruleset_add_table(rs, sample_families[f], TABLE), &seed);
	return sample_finish(rs);
}
