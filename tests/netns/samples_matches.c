/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "samples.h"

#include <netinet/in.h>
#include <string.h>

#include "microseg/ruleset_match.h"
#include "samples_parts.h"

static void add_values(struct ms_ruleset *rs, struct ms_chain *chain, enum ms_field field,
		       uint32_t *seed)
{
	const struct ms_field_row *row = ms_field_row(field);
	uint8_t value[MS_VALUE_SIZE];

	for (int i = 0; i < 12; i++) {
		struct ms_rule *rule = sample_rule(rs, chain);

		sample_value(field, seed, value);
		ms_rule_match(rs, rule, field, i % 3 == 0, value, row->size);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	}
	if (row->size != 1)
		return;
	/* All of them: the words are not our invention. */
	for (int i = 0; i < 256; i++) {
		struct ms_rule *rule = sample_rule(rs, chain);

		ms_rule_match_u8(rs, rule, field, (uint8_t)i);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	}
}

static void add_ranges(struct ms_ruleset *rs, struct ms_chain *chain, enum ms_field field,
		       uint32_t *seed)
{
	const struct ms_field_row *row = ms_field_row(field);
	uint8_t a[MS_VALUE_SIZE], b[MS_VALUE_SIZE];

	if (row->host_order)
		return;
	for (unsigned int i = 0; i < 12; i++) {
		struct ms_rule *rule = sample_rule(rs, chain);

		sample_value(field, seed, a);
		memcpy(b, a, sizeof(b));
		if (i % 3 == 0)
			sample_value(field, seed, b);
		/* Prefixes of every length. */
		for (unsigned int bit = i * row->size * 8u / 12u; i % 3 && bit < row->size * 8u;
		     bit++) {
			a[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
			b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
		}
		bool swap = memcmp(a, b, row->size) > 0;

		ms_rule_match_range(rs, rule, field, swap ? b : a, swap ? a : b, row->size);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	}
}

static void add_matches(struct ms_ruleset *rs, struct ms_chain *chain, enum ms_field field,
			uint32_t *seed)
{
	if (ms_field_row(field)->size == 0) {
		for (int negate = 0; negate < 2; negate++) {
			struct ms_rule *rule = sample_rule(rs, chain);

			ms_rule_match_present(rs, rule, field, negate);
			ms_rule_verdict(rs, rule, MS_VERDICT_DROP, NULL);
		}
		return;
	}
	if (field == MS_FIELD_TCP_FLAGS)
		return;
	add_values(rs, chain, field, seed);
	add_ranges(rs, chain, field, seed);
	sample_add_any(rs, chain, field, seed);
}

static void add_names(struct ms_ruleset *rs, struct ms_chain *chain)
{
	static const char *const names[] = {
		"lo", "br-*", "veth*", "abcdefghijklmno", "abcdefghijklmn*", "eth0.5", "a"};

	for (size_t i = 0; i < 2 * sizeof(names) / sizeof(*names); i++) {
		struct ms_rule *rule = sample_rule(rs, chain);

		ms_rule_match_text(rs, rule, i % 2 ? MS_FIELD_IIFNAME : MS_FIELD_OIFNAME,
				   i % 3 == 0, names[i / 2]);
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
	ms_rule_verdict(rs, sample_rule(rs, chain), MS_VERDICT_JUMP, "to/prod/orders.db_2-x");
	ms_rule_verdict(rs, sample_rule(rs, chain), MS_VERDICT_GOTO, "to/prod/orders.db_2-x");
	ms_rule_verdict(rs, sample_rule(rs, chain), MS_VERDICT_RETURN, NULL);
	ms_rule_counter(rs, ms_ruleset_add_rule(rs, chain, &origin));
	for (size_t i = 0; i < sizeof(priorities) / sizeof(*priorities); i++)
		ms_rule_set_priority(rs, sample_rule(rs, chain), priorities[i]);
	if (family != MS_FAMILY_INET)
		return;
	for (int negate = 0; negate < 2; negate++) {
		rule = sample_rule(rs, chain);
		ms_rule_match_bare_syn(rs, rule, negate);
		ms_rule_reject(rs, rule, MS_STMT_REJECT_RESET);
	}
	rule = sample_rule(rs, chain);
	ms_rule_match_present(rs, rule, MS_FIELD_CT_STATUS_DNAT, false);
	ms_rule_reject(rs, rule, MS_STMT_REJECT_ADMIN);
	ms_rule_reject(rs, sample_rule(rs, chain), MS_STMT_REJECT_ADMIN);
	rule = sample_rule(rs, chain);
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
			rule = sample_rule(rs, chain);
			if (order)
				ms_rule_match(rs, rule, MS_FIELD_IP6_NEXTHDR, negate, &icmp6, 1);
			ms_rule_match_u8(rs, rule, MS_FIELD_ICMP6_TYPE, advert);
			ms_rule_match_u16(rs, rule, MS_FIELD_ND_OPTION, 0x0201);
			if (!order)
				ms_rule_match(rs, rule, MS_FIELD_IP6_NEXTHDR, negate, &icmp6, 1);
			ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
		}
		rule = sample_rule(rs, chain);
		if (order)
			ms_rule_match_u8(rs, rule, MS_FIELD_L4PROTO, IPPROTO_UDP);
		ms_rule_match_u16(rs, rule, MS_FIELD_UDP_SPORT, 68);
		ms_rule_match_u16(rs, rule, MS_FIELD_UDP_DPORT, 67);
		if (!order)
			ms_rule_match_u8(rs, rule, MS_FIELD_L4PROTO, IPPROTO_UDP);
		ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
		if (family != MS_FAMILY_BRIDGE)
			continue;
		rule = sample_rule(rs, chain);
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

	for (size_t f = 0; f < sizeof(sample_families) / sizeof(*sample_families); f++) {
		struct ms_table *table = ms_ruleset_add_table(rs, sample_families[f], TABLE);
		struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "matches");

		for (enum ms_field field = 0; field < MS_N_FIELDS; field++)
			if (sample_field_fits(sample_families[f], field))
				add_matches(rs, chain, field, &seed);
		add_names(rs, chain);
		add_implied(rs, sample_families[f], chain);
		ms_ruleset_add_chain(rs, table, "to/prod/orders.db_2-x");
		add_statements(rs, sample_families[f],
			       ms_ruleset_add_chain(rs, table, "statements"));
	}
	return sample_finish(rs);
}
