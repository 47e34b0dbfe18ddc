/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Refusals: every refused packet ends in a chain named after its reason, which counts it, logs it
 * once and gives the verdict. The log statement stands in the verdict's own path, so nothing is
 * logged that was not refused, and the chain's counter is the truth that events are held against.
 */
#include "compiler.h"

/* Reasons whose refusal is always silent: the packet is forged, broken or not to be judged at all.
 */
static bool is_silent(enum ms_reason reason)
{
	switch (reason) {
	case MS_REASON_NEVER:
	case MS_REASON_UNIDENTIFIED:
	case MS_REASON_FENCE:
	case MS_REASON_NO_GRANT:
		return false;
	default:
		return true;
	}
}

const char *refusal(struct compiler *c, const struct ms_table *table, enum ms_reason reason,
		    enum ms_direction direction, enum ms_mode mode)
{
	if (is_silent(reason))
		direction = MS_EAST_WEST; /* one chain serves all directions */
	c->refused[table->family][reason][direction][mode] = true;

	const char *verdict = mode == MS_MODE_AUDIT ? "audit" : "deny";
	if (is_silent(reason))
		return name_of(c, "%s/%s", verdict, ms_reason_name(reason));
	return name_of(c, "%s/%s/%s", verdict, ms_reason_name(reason),
		       ms_direction_name(direction));
}

const char *refusal_after(struct compiler *c, enum ms_reason reason, enum ms_direction direction,
			  time_t audit_end)
{
	const struct relaxed wanted = {reason, direction, audit_end};
	bool known = false;

	if (audit_end == ENFORCED || audit_end == AUDITED)
		return refusal(c, c->inet, reason, direction,
			       audit_end == AUDITED ? MS_MODE_AUDIT : MS_MODE_ENFORCE);
	ms_vec_each (struct relaxed, item, &c->relaxed)
		known = known || (item->reason == reason && item->direction == direction &&
				  item->until == audit_end);
	if (!known && ms_avec_push(c->ruleset->arena, &c->relaxed, wanted) < 0)
		c->ruleset->failed = true;
	return name_of(c, "relax/%s/%s/%s", clock_name(c, audit_end), ms_reason_name(reason),
		       ms_direction_name(direction));
}

/* What passes now is lent: it is cut when the relax is over. A packet of no connection is judged by
 * itself then. */
static void compile_relaxed(struct compiler *c, const struct relaxed *relaxed)
{
	const char *audit = refusal(c, c->inet, relaxed->reason, relaxed->direction, MS_MODE_AUDIT);
	struct ms_chain *chain = ms_ruleset_add_chain(
		c->ruleset, c->inet,
		refusal_after(c, relaxed->reason, relaxed->direction, relaxed->until));
	struct ms_rule *lent = rule_add(c, chain);

	clock_match(c, lent, relaxed->until, false);
	clock_lend(c, lent, relaxed->until);
	rule_goto(c, lent, audit);
	struct ms_rule *untracked = rule_add(c, chain);
	ms_rule_match_u32(c->ruleset, untracked, MS_FIELD_CT_STATE, false, MS_CT_UNTRACKED);
	clock_match(c, untracked, relaxed->until, false);
	rule_goto(c, untracked, audit);
	rule_goto(c, rule_add(c, chain),
		  refusal(c, c->inet, relaxed->reason, relaxed->direction, MS_MODE_ENFORCE));
}

/*
 * How a refused sender is told. A translated TCP flow gets ICMP: a reset for a frame that came
 * through a bridge port skips NAT and its sender would not understand it. TCP that is not a bare
 * SYN is never reset: it may be a connection older than our tables.
 */
static void compile_reject(struct compiler *c, struct ms_table *table)
{
	static const uint8_t tcp = 6;
	struct ms_ruleset *rs = c->ruleset;
	struct ms_chain *chain = ms_ruleset_add_chain(rs, table, "refuse");

	struct ms_rule *later = rule_add(c, chain);
	ms_rule_match_bare_syn(rs, later, true);
	ms_rule_verdict(rs, later, MS_VERDICT_DROP, NULL);

	struct ms_rule *translated = rule_add(c, chain);
	ms_rule_match_present(rs, translated, MS_FIELD_CT_STATUS_DNAT, false);
	ms_rule_reject(rs, translated, MS_STMT_REJECT_ADMIN);

	struct ms_rule *reset = rule_add(c, chain);
	ms_rule_match_u8(rs, reset, MS_FIELD_L4PROTO, tcp);
	ms_rule_reject(rs, reset, MS_STMT_REJECT_RESET);

	ms_rule_reject(rs, rule_add(c, chain), MS_STMT_REJECT_ADMIN);
}

/* Returns whether the chain goes to "refuse". */
static bool compile_one(struct compiler *c, struct ms_table *table, enum ms_reason reason,
			enum ms_direction direction, enum ms_mode mode)
{
	char prefix[MS_LOG_PREFIX_SIZE];
	struct ms_log_tag tag = {mode == MS_MODE_AUDIT ? MS_AUDIT : MS_DENY, reason};
	struct ms_chain *chain =
		ms_ruleset_add_chain(c->ruleset, table, refusal(c, table, reason, direction, mode));
	struct ms_rule *rule = rule_add(c, chain);
	bool reject = !is_silent(reason) && table->family == MS_FAMILY_INET && c->policy &&
		      c->policy->refuse[direction] == MS_REFUSE_REJECT;

	ms_rule_counter(c->ruleset, rule);
	ms_rule_log(c->ruleset, rule, ms_log_tag_format(&tag, prefix), c->options->nflog_group);
	if (mode == MS_MODE_AUDIT)
		rule_accept(c, rule);
	else if (reject)
		rule_goto(c, rule, "refuse");
	else
		ms_rule_verdict(c->ruleset, rule, MS_VERDICT_DROP, NULL);
	return mode == MS_MODE_ENFORCE && reject;
}

void refuse_compile(struct compiler *c, struct ms_table *table)
{
	bool reject = false;

	for (size_t i = 0; table == c->inet && i < c->relaxed.n_items; i++)
		compile_relaxed(c, &c->relaxed.items[i]);
	for (int reason = 0; reason < MS_N_REASONS; reason++)
		for (int direction = 0; direction < MS_N_DIRECTIONS; direction++)
			for (int mode = 0; mode < 2; mode++)
				if (c->refused[table->family][reason][direction][mode])
					reject |= compile_one(c, table, (enum ms_reason)reason,
							      (enum ms_direction)direction,
							      (enum ms_mode)mode);
	if (reject)
		compile_reject(c, table);
}
