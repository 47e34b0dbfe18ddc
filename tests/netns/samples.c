/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "samples.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/ruleset_match.h"
#include "ruleset/implied.h"

#define TABLE "microseg"

static const enum ms_family families[] = {MS_FAMILY_INET, MS_FAMILY_BRIDGE, MS_FAMILY_ARP};

/* The same numbers in every run. */
static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static struct ms_ruleset *finish(struct ms_ruleset *rs)
{
	int r = ms_ruleset_finish(rs);

	if (r < 0) {
		fprintf(stderr, "a sample is no ruleset: %s\n", strerror(-r));
		exit(1);
	}
	return rs;
}

/* Is @field of use in a table of @family? As the checks of the ruleset have it. */
static bool field_fits(enum ms_family family, enum ms_field field)
{
	const struct ms_field_row *row = ms_field_row(field);

	if (row->load == MS_LOAD_LINK)
		return family == MS_FAMILY_BRIDGE;
	if (row->load == MS_LOAD_FIB || row->load == MS_LOAD_CT)
		return family == MS_FAMILY_INET;
	if (row->needs_arp)
		return family != MS_FAMILY_INET;
	return family != MS_FAMILY_ARP || (row->load == MS_LOAD_META && field != MS_FIELD_L4PROTO);
}

static void random_value(enum ms_field field, uint32_t *seed, uint8_t *value)
{
	const struct ms_field_row *row = ms_field_row(field);
	static const uint32_t states[] = {MS_CT_INVALID, MS_CT_ESTABLISHED, MS_CT_RELATED, MS_CT_NEW, MS_CT_UNTRACKED};
	uint32_t number = next_random(seed);

	memset(value, 0, MS_VALUE_SIZE);
	if (row->value == MS_VALUE_NAME) {
		snprintf((char *)value, MS_VALUE_SIZE, number % 3 ? "veth%x" : "br%u", number % 2 ? number : number % 97);
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
		value[i] = (uint8_t)(next_random(seed) >> 8);
	/* Short values of long fields show how zeros print. */
	if (number % 4 == 0)
		memset(value, 0, row->size / 2);
}

static struct ms_rule *new_rule(struct ms_ruleset *rs, struct ms_chain *chain)
{
	return ms_ruleset_add_rule(rs, chain, NULL);
}

/* Every match. */

static void add_values(struct ms_ruleset *rs, struct ms_chain *chain, enum ms_field field, uint32_t *seed)
{
	const struct ms_field_row *row = ms_field_row(field);
	uint8_t value[MS_VALUE_SIZE];

	for (int i = 0; i < 12; i++) {
		struct ms_rule *rule = new_rule(rs, chain);

		random_value(field, seed, value);
		ms_rule_match(rs, rule, field, i % 3 == 0, value, row->size);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	}
	if (row->size != 1)
		return;
	/* All of them: the words are not our invention. */
	for (int i = 0; i < 256; i++) {
		struct ms_rule *rule = new_rule(rs, chain);

		ms_rule_match_u8(rs, rule, field, (uint8_t)i);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	}
}

static void add_ranges(struct ms_ruleset *rs, struct ms_chain *chain, enum ms_field field, uint32_t *seed)
{
	const struct ms_field_row *row = ms_field_row(field);
	uint8_t a[MS_VALUE_SIZE], b[MS_VALUE_SIZE];

	if (row->host_order)
		return;
	for (unsigned int i = 0; i < 12; i++) {
		struct ms_rule *rule = new_rule(rs, chain);

		random_value(field, seed, a);
		memcpy(b, a, sizeof(b));
		if (i % 3 == 0)
			random_value(field, seed, b);
		/* Prefixes of every length. */
		for (unsigned int bit = i * row->size * 8u / 12u; i % 3 && bit < row->size * 8u; bit++) {
			a[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
			b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
		}
		bool swap = memcmp(a, b, row->size) > 0;

		ms_rule_match_range(rs, rule, field, swap ? b : a, swap ? a : b, row->size);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	}
}

static void add_any(struct ms_ruleset *rs, struct ms_chain *chain, enum ms_field field, uint32_t *seed)
{
	const struct ms_field_row *row = ms_field_row(field);

	if (row->host_order || row->value == MS_VALUE_HEX)
		return;
	for (size_t n = 1; n <= MS_ANON_SET_MAX; n++) {
		struct ms_rule *rule = new_rule(rs, chain);
		uint8_t value[MS_VALUE_SIZE], bytes[MS_ANON_SET_MAX];
		uint16_t shorts[MS_ANON_SET_MAX];

		for (size_t i = 0; i < n; i++) {
			random_value(field, seed, value);
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

static void add_matches(struct ms_ruleset *rs, struct ms_chain *chain, enum ms_field field, uint32_t *seed)
{
	if (ms_field_row(field)->size == 0) {
		for (int negate = 0; negate < 2; negate++) {
			struct ms_rule *rule = new_rule(rs, chain);

			ms_rule_match_present(rs, rule, field, negate);
			ms_rule_verdict(rs, rule, MS_VERDICT_DROP, NULL);
		}
		return;
	}
	if (field == MS_FIELD_TCP_FLAGS)
		return;
	add_values(rs, chain, field, seed);
	add_ranges(rs, chain, field, seed);
	add_any(rs, chain, field, seed);
}

static void add_names(struct ms_ruleset *rs, struct ms_chain *chain)
{
	static const char *const names[] = {"lo", "br-*", "veth*", "abcdefghijklmno", "abcdefghijklmn*", "eth0.5", "a"};

	for (size_t i = 0; i < 2 * sizeof(names) / sizeof(*names); i++) {
		struct ms_rule *rule = new_rule(rs, chain);

		ms_rule_match_text(rs, rule, i % 2 ? MS_FIELD_IIFNAME : MS_FIELD_OIFNAME, i % 3 == 0, names[i / 2]);
		ms_rule_verdict(rs, rule, MS_VERDICT_RETURN, NULL);
	}
}

static void add_statements(struct ms_ruleset *rs, enum ms_family family, struct ms_chain *chain)
{
	static const struct ms_origin origin = {.file = "policies/orders-db.yaml", .line = 12};
	static const uint32_t priorities[] = {0x4d530001, 1, 0x10000, 0, UINT32_MAX};
	struct ms_rule *rule = ms_ruleset_add_rule(rs, chain, &origin);

	ms_rule_counter(rs, rule);
	ms_rule_log(rs, rule, "microseg denied no-grant ", 5580);
	ms_rule_verdict(rs, rule, MS_VERDICT_DROP, NULL);
	ms_rule_verdict(rs, new_rule(rs, chain), MS_VERDICT_JUMP, "to/prod/orders.db_2-x");
	ms_rule_verdict(rs, new_rule(rs, chain), MS_VERDICT_GOTO, "to/prod/orders.db_2-x");
	ms_rule_verdict(rs, new_rule(rs, chain), MS_VERDICT_RETURN, NULL);
	ms_rule_counter(rs, ms_ruleset_add_rule(rs, chain, &origin));
	for (size_t i = 0; i < sizeof(priorities) / sizeof(*priorities); i++)
		ms_rule_set_priority(rs, new_rule(rs, chain), priorities[i]);
	if (family != MS_FAMILY_INET)
		return;
	for (int negate = 0; negate < 2; negate++) {
		rule = new_rule(rs, chain);
		ms_rule_match_bare_syn(rs, rule, negate);
		ms_rule_reject(rs, rule, MS_STMT_REJECT_RESET);
	}
	rule = new_rule(rs, chain);
	ms_rule_match_present(rs, rule, MS_FIELD_CT_STATUS_DNAT, false);
	ms_rule_reject(rs, rule, MS_STMT_REJECT_ADMIN);
	ms_rule_reject(rs, new_rule(rs, chain), MS_STMT_REJECT_ADMIN);
	rule = new_rule(rs, chain);
	ms_rule_match_u8(rs, rule, MS_FIELD_L4PROTO, IPPROTO_TCP);
	ms_rule_reject(rs, rule, MS_STMT_REJECT_RESET);
}

/* Where one match implies another, or nearly. */
static void add_implied(struct ms_ruleset *rs, enum ms_family family, struct ms_chain *chain)
{
	static const uint8_t advert = 136, icmp6 = 58;
	struct ms_rule *rule;

	if (family == MS_FAMILY_ARP)
		return;
	for (unsigned int order = 0; order < 2; order++) {
		for (unsigned int negate = 0; negate < 2; negate++) {
			rule = new_rule(rs, chain);
			if (order)
				ms_rule_match(rs, rule, MS_FIELD_IP6_NEXTHDR, negate, &icmp6, 1);
			ms_rule_match_u8(rs, rule, MS_FIELD_ICMP6_TYPE, advert);
			ms_rule_match_u16(rs, rule, MS_FIELD_ND_OPTION, 0x0201);
			if (!order)
				ms_rule_match(rs, rule, MS_FIELD_IP6_NEXTHDR, negate, &icmp6, 1);
			ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
		}
		rule = new_rule(rs, chain);
		if (order)
			ms_rule_match_u8(rs, rule, MS_FIELD_L4PROTO, IPPROTO_UDP);
		ms_rule_match_u16(rs, rule, MS_FIELD_UDP_SPORT, 68);
		ms_rule_match_u16(rs, rule, MS_FIELD_UDP_DPORT, 67);
		if (!order)
			ms_rule_match_u8(rs, rule, MS_FIELD_L4PROTO, IPPROTO_UDP);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
		if (family != MS_FAMILY_BRIDGE)
			continue;
		rule = new_rule(rs, chain);
		if (order)
			ms_rule_match_u16(rs, rule, MS_FIELD_ETHER_TYPE, 0x86dd);
		ms_rule_match_u8(rs, rule, MS_FIELD_ICMP6_TYPE, advert);
		if (!order)
			ms_rule_match_u16(rs, rule, MS_FIELD_ETHER_TYPE, 0x86dd);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	}
}

struct ms_ruleset *sample_every_match(void)
{
	struct ms_ruleset *rs = ms_ruleset_new();
	uint32_t seed = 2026;

	for (size_t f = 0; f < sizeof(families) / sizeof(*families); f++) {
		struct ms_table *table = ms_ruleset_add_table(rs, families[f], TABLE);
		struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "matches");

		for (enum ms_field field = 0; field < MS_N_FIELDS; field++)
			if (field_fits(families[f], field))
				add_matches(rs, chain, field, &seed);
		add_names(rs, chain);
		add_implied(rs, families[f], chain);
		ms_ruleset_add_chain(rs, table, "to/prod/orders.db_2-x");
		add_statements(rs, families[f], ms_ruleset_add_chain(rs, table, "statements"));
	}
	return finish(rs);
}

/* Every set. */

static void fill_set(struct ms_ruleset *rs, struct ms_set *set, size_t n_elems, uint32_t *seed)
{
	static const char *const comments[] = {NULL, NULL, "policies/a.yaml:1", "b"};
	uint8_t value[MS_VALUE_SIZE];

	for (size_t i = 0; i < n_elems; i++) {
		struct ms_elem *elem = ms_ruleset_add_elem(rs, set);

		for (size_t j = 0; j < set->n_fields; j++) {
			random_value(set->fields[j], seed, value);
			/* Neighbours, so that the later fields decide. */
			if (set->n_fields > 1 && i % 3 == 0)
				value[ms_field_row(set->fields[j])->size - 1] = ms_field_row(set->fields[j])->value ==
										MS_VALUE_NAME ? 0 : (uint8_t)i;
			ms_elem_key(set, elem, j, value, ms_field_row(set->fields[j])->size);
		}
		elem->comment = comments[next_random(seed) % 4];
		if (set->map)
			elem->verdict = (struct ms_rule_verdict){
				elem->key[0] % 2 ? MS_VERDICT_GOTO : MS_VERDICT_JUMP, "to/prod/orders-db"};
	}
}

static bool set_fits(enum ms_family family, size_t n_fields, const enum ms_field *fields)
{
	bool typed = true, plain = true;

	for (size_t i = 0; i < n_fields; i++) {
		const struct ms_field_row *row = ms_field_row(fields[i]);

		if (!field_fits(family, fields[i]) || row->size == 0 || fields[i] == MS_FIELD_CT_STATE ||
		    fields[i] == MS_FIELD_TCP_FLAGS)
			return false;
		typed = typed && row->type_name;
		plain = plain && !row->needs_l4proto && row->load != MS_LOAD_NETWORK;
	}
	return typed || plain;
}

static void look_up(struct ms_ruleset *rs, struct ms_chain *chain, const struct ms_set *set)
{
	struct ms_rule *rule = new_rule(rs, chain);

	if (set->map) {
		ms_rule_vmap(rs, rule, set->name, set->n_fields, set->fields);
		return;
	}
	ms_rule_match_set(rs, rule, false, set->name, set->n_fields, set->fields);
	ms_rule_counter(rs, rule);
	rule = new_rule(rs, chain);
	ms_rule_match_set(rs, rule, true, set->name, set->n_fields, set->fields);
	ms_rule_verdict(rs, rule, MS_VERDICT_DROP, NULL);
}

static void add_sets(struct ms_ruleset *rs, struct ms_table *table, struct ms_chain *chain, size_t n_fields,
		     const enum ms_field *fields, uint32_t *seed)
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
		fill_set(rs, set, counts[i / 2], seed);
		look_up(rs, chain, set);
	}
}

static void add_intervals(struct ms_ruleset *rs, struct ms_table *table, struct ms_chain *chain, enum ms_field field,
			  bool to_the_end)
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
	look_up(rs, chain, set);
}

static void add_whole(struct ms_ruleset *rs, struct ms_table *table, struct ms_chain *chain, enum ms_field field)
{
	char name[64];
	snprintf(name, sizeof(name), "all/%zu", table->sets.n_items);
	struct ms_set *set = ms_ruleset_add_set(rs, table, name, 1, &field);

	set->interval = true;
	memset(ms_ruleset_add_elem(rs, set)->end, 0xff, ms_field_row(field)->size);
	look_up(rs, chain, set);
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
	};
	struct ms_ruleset *rs = ms_ruleset_new();
	uint32_t seed = 4711;

	for (size_t f = 0; f < sizeof(families) / sizeof(*families); f++) {
		struct ms_table *table = ms_ruleset_add_table(rs, families[f], TABLE);
		struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "lookups");

		ms_ruleset_add_chain(rs, table, "to/prod/orders-db");
		for (enum ms_field field = 0; field < MS_N_FIELDS; field++)
			add_sets(rs, table, chain, 1, &field, &seed);
		for (size_t i = 0; i < sizeof(concats) / sizeof(*concats); i++)
			add_sets(rs, table, chain, 2, concats[i], &seed);
		for (size_t i = 0; i < sizeof(triples) / sizeof(*triples); i++)
			add_sets(rs, table, chain, 3, triples[i], &seed);
		if (families[f] == MS_FAMILY_ARP)
			continue;
		for (int i = 0; i < 2; i++) {
			add_intervals(rs, table, chain, MS_FIELD_IP_SADDR, i);
			add_intervals(rs, table, chain, MS_FIELD_IP6_DADDR, i);
			add_intervals(rs, table, chain, MS_FIELD_TCP_DPORT, i);
		}
		add_whole(rs, table, chain, MS_FIELD_IP_SADDR);
		add_whole(rs, table, chain, MS_FIELD_IP6_SADDR);
		add_whole(rs, table, chain, MS_FIELD_UDP_DPORT);
	}
	return finish(rs);
}

struct ms_ruleset *sample_priorities(void)
{
	static const int32_t bases[] = {-400, -300, -250, -200, -150, -100, -50, 0, 20, 50, 75, 100, 200, 300, 400};
	static const int32_t offsets[] = {-11, -10, -1, 0, 1, 10, 11};
	struct ms_ruleset *rs = ms_ruleset_new();
	char name[64];

	for (size_t f = 0; f < sizeof(families) / sizeof(*families); f++) {
		struct ms_table *table = ms_ruleset_add_table(rs, families[f], TABLE);

		for (enum ms_hook hook = MS_HOOK_PREROUTING; hook <= MS_HOOK_OUTPUT; hook++) {
			if (families[f] == MS_FAMILY_ARP && hook != MS_HOOK_INPUT && hook != MS_HOOK_OUTPUT)
				continue;
			for (size_t i = 0; i < sizeof(bases) / sizeof(*bases); i++)
				for (size_t j = 0; j < sizeof(offsets) / sizeof(*offsets); j++) {
					snprintf(name, sizeof(name), "c%d.%zu.%zu", (int)hook, i, j);
					ms_ruleset_add_base_chain(rs, table, name, hook, bases[i] + offsets[j]);
				}
		}
	}
	return finish(rs);
}

/* At random. */

static void add_random_match(struct ms_ruleset *rs, struct ms_rule *rule, enum ms_field field, uint32_t *seed)
{
	const struct ms_field_row *row = ms_field_row(field);
	uint8_t value[MS_VALUE_SIZE], other[MS_VALUE_SIZE];
	bool negate = next_random(seed) % 4 == 0;

	if (row->size == 0) {
		ms_rule_match_present(rs, rule, field, negate);
		return;
	}
	random_value(field, seed, value);
	if (field == MS_FIELD_TCP_FLAGS) {
		ms_rule_match_bare_syn(rs, rule, negate);
		return;
	}
	if (!row->host_order && next_random(seed) % 4 == 0) {
		random_value(field, seed, other);
		bool swap = memcmp(value, other, row->size) > 0;

		ms_rule_match_range(rs, rule, field, swap ? other : value, swap ? value : other, row->size);
		return;
	}
	ms_rule_match(rs, rule, field, negate, value, row->size);
}

static bool has_field(const struct ms_rule *rule, enum ms_field field)
{
	ms_vec_each(struct ms_match_expr, match, &rule->matches)
		if (match->fields[0] == field)
			return true;
	return false;
}

/* Lookups amid other matches: each brings what its fields imply. */
static void add_random_lookup(struct ms_ruleset *rs, struct ms_table *table, struct ms_rule *rule, uint32_t *seed)
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
	size_t i = next_random(seed) % (sizeof(keys) / sizeof(*keys));
	char name[32];

	for (size_t j = 0; j < keys[i].n; j++)
		if (!field_fits(table->family, keys[i].fields[j]))
			return;
	snprintf(name, sizeof(name), "key/%zu", i);
	if (!ms_table_set(table, name))
		ms_ruleset_add_set(rs, table, name, keys[i].n, keys[i].fields);
	ms_rule_match_set(rs, rule, next_random(seed) % 3 == 0, name, keys[i].n, keys[i].fields);
}

struct ms_ruleset *sample_random(uint32_t seed)
{
	struct ms_ruleset *rs = ms_ruleset_new();

	for (size_t f = 0; f < sizeof(families) / sizeof(*families); f++) {
		struct ms_table *table = ms_ruleset_add_table(rs, families[f], TABLE);
		struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "mixed");

		for (int i = 0; i < 400; i++) {
			struct ms_rule *rule = new_rule(rs, chain);
			size_t n = 1 + next_random(&seed) % 4;

			for (size_t j = 0; j < n; j++) {
				enum ms_field field = next_random(&seed) % MS_N_FIELDS;

				if (field_fits(families[f], field) && !has_field(rule, field))
					add_random_match(rs, rule, field, &seed);
				if (next_random(&seed) % 4 == 0)
					add_random_lookup(rs, table, rule, &seed);
			}
			ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
			/* Rules that contradict themselves are not in the language. */
			if (!ms_rule_is_consistent(rule))
				chain->rules.n_items--;
		}
	}
	return finish(rs);
}

/* Variants. */

static void vary_table(struct ms_ruleset *rs, struct ms_table *table, uint32_t *seed)
{
	static const enum ms_field addr = MS_FIELD_IP_SADDR, port = MS_FIELD_IIFNAME;
	struct ms_chain *base = ms_ruleset_add_base_chain(rs, table, "forward", MS_HOOK_FORWARD,
							  next_random(seed) % 3 ? 0 : 5);
	char name[64];

	for (unsigned int i = 0; i < 8; i++) {
		if (next_random(seed) % 4 == 0)
			continue;
		snprintf(name, sizeof(name), "to/prod/s%u", i);
		struct ms_chain *chain = ms_ruleset_add_chain(rs, table, name);

		snprintf(name, sizeof(name), "prod/s%u/4", i);
		struct ms_set *set = ms_ruleset_add_set(rs, table, name, 1, next_random(seed) % 8 ? &addr : &port);

		set->size = next_random(seed) % 4 ? 64 : 128;
		fill_set(rs, set, next_random(seed) % 40, seed);
		look_up(rs, chain, set);
		if (next_random(seed) % 2)
			add_any(rs, chain, MS_FIELD_ICMP_TYPE, &(uint32_t){7});

		snprintf(name, sizeof(name), "map%u", i);
		struct ms_set *map = ms_ruleset_add_set(rs, table, name, 1, &addr);
		char target[64];

		snprintf(target, sizeof(target), "to/prod/s%u", i);
		map->map = true;
		map->size = 16;
		for (unsigned int j = 0; j < next_random(seed) % 8; j++) {
			struct ms_elem *elem = ms_ruleset_add_elem(rs, map);
			uint8_t value[4] = {10, 0, (uint8_t)i, (uint8_t)(next_random(seed) % 16)};

			ms_elem_key(map, elem, 0, value, sizeof(value));
			elem->verdict.kind = MS_VERDICT_GOTO;
			elem->verdict.chain = ms_arena_strdup(rs->arena, target);
		}
		look_up(rs, base, map);
	}
	struct ms_set *nets = ms_ruleset_add_set(rs, table, "nets", 1, &addr);

	nets->interval = true;
	for (uint8_t i = 0; i < 40; i++) {
		if (next_random(seed) % 2)
			continue;
		struct ms_elem *elem = ms_ruleset_add_elem(rs, nets);
		uint8_t first[4] = {i, 0, 0, 0}, last[4] = {i, 255, 255, (uint8_t)(next_random(seed) % 2 ? 255 : 7)};

		ms_elem_key(nets, elem, 0, first, sizeof(first));
		memcpy(elem->end, last, sizeof(last));
	}
	look_up(rs, base, nets);
}

struct ms_ruleset *sample_variant(uint32_t seed)
{
	struct ms_ruleset *rs = ms_ruleset_new();

	seed = seed * 2654435761u + 1;
	for (size_t f = 0; f < 2; f++)
		if (f == 0 || next_random(&seed) % 4)
			vary_table(rs, ms_ruleset_add_table(rs, families[f], TABLE), &seed);
	return finish(rs);
}
