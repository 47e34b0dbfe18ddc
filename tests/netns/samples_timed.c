/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "samples.h"
#include "samples_parts.h"

static void add_until(struct ms_ruleset *rs, struct ms_table *table, time_t until)
{
	static const enum ms_field key = MS_FIELD_NFPROTO;
	static const uint8_t protocols[] = {10, 2};
	struct ms_set *set = ms_ruleset_add_set(rs, table, "until/2026-12-01T18.00.00Z", 1, &key);

	set->timed = true;
	set->size = 2;
	for (size_t i = 0; i < 2; i++) {
		struct ms_elem *elem = ms_ruleset_add_elem(rs, set);

		ms_elem_key(set, elem, 0, &protocols[i], 1);
		elem->until = until;
	}
}

/* Elements with an end among others: as the sets of what is in audit. */
static void add_mixed(struct ms_ruleset *rs, struct ms_table *table, const time_t *ends,
		      size_t n_ends)
{
	static const enum ms_field key = MS_FIELD_IP_SADDR;
	struct ms_set *set = ms_ruleset_add_set(rs, table, "audited/4", 1, &key);

	set->timed = true;
	set->size = 64;
	for (size_t i = 0; i < n_ends; i++) {
		const uint8_t addr[4] = {10, 0, 0, (uint8_t)i};
		struct ms_elem *elem = ms_ruleset_add_elem(rs, set);

		ms_elem_key(set, elem, 0, addr, sizeof(addr));
		elem->until = ends[i];
		elem->comment = i % 2 ? "policies/a.yaml:1" : NULL;
	}
}

static void add_rules(struct ms_ruleset *rs, struct ms_table *table)
{
	static const enum ms_field nfproto = MS_FIELD_NFPROTO, id = MS_FIELD_CT_ID;
	struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "to/prod/orders-db");
	struct ms_rule *granted = sample_rule(rs, chain);

	ms_rule_match_set(rs, granted, false, "audited/4", 1, &(enum ms_field){MS_FIELD_IP_SADDR});
	ms_rule_match_set(rs, granted, false, "until/2026-12-01T18.00.00Z", 1, &nfproto);
	ms_rule_match_u16(rs, granted, MS_FIELD_TCP_DPORT, 5432);
	ms_rule_counter(rs, granted);
	ms_rule_add_to_set(rs, granted, "lent/2026-12-01T18.00.00Z", id);
	ms_rule_verdict(rs, granted, MS_VERDICT_ACCEPT, NULL);

	struct ms_rule *over = sample_rule(rs, chain);
	ms_rule_match_set(rs, over, true, "until/2026-12-01T18.00.00Z", 1, &nfproto);
	ms_rule_match_set(rs, over, false, "lent/2026-12-01T18.00.00Z", 1, &id);
	ms_rule_verdict(rs, over, MS_VERDICT_RETURN, NULL);
}

struct ms_ruleset *sample_timed(const time_t *ends, size_t n_ends)
{
	static const enum ms_field id = MS_FIELD_CT_ID;
	struct ms_ruleset *rs = ms_ruleset_new();
	struct ms_table *table = ms_ruleset_add_table(rs, MS_FAMILY_INET, TABLE);
	struct ms_set *lent;

	add_until(rs, table, ends[0]);
	add_mixed(rs, table, ends, n_ends);
	lent = ms_ruleset_add_set(rs, table, "lent/2026-12-01T18.00.00Z", 1, &id);
	lent->dynamic = true;
	lent->size = 65536;
	add_rules(rs, table);
	return sample_finish(rs);
}
