/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Strict: frames of a port in audit, towards one that is not. There the guard stands as it does for
 * all others, and what goes to a group passes nothing but the baseline: multicast and broadcast
 * have no destination whose grants could be asked, so the policy layer sees the sender's mode only.
 */
#include "compiler.h"

#define MULTICAST4 "224.0.0.0/3" /* and broadcast, and what was reserved between them */
#define MULTICAST6 "ff00::/8"

/* As compile_baseline() of judge.c, for frames: discovery and listeners go on to the guard. */
static void compile_baseline(struct compiler *c, struct ms_chain *chain)
{
	static const uint8_t discovery[] = {133, 135, 136}, listeners[] = {130, 131, 132, 143};
	static const struct {
		const uint8_t *types;
		uint8_t n_types;
		uint8_t hoplimit;
	} rows[] = {{discovery, sizeof(discovery), 255}, {listeners, sizeof(listeners), 1}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_rule *rule = rule_add(c, chain);

		ms_rule_match_any_u8(c->ruleset, rule, MS_FIELD_ICMP6_TYPE, rows[i].n_types,
				     rows[i].types);
		ms_rule_match_u8(c->ruleset, rule, MS_FIELD_IP6_HOPLIMIT, rows[i].hoplimit);
		rule_goto(c, rule, "guard");
	}
}

static void compile_group(struct compiler *c)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->bridge, "group");

	compile_baseline(c, chain);
	rule_goto(c, rule_add(c, chain),
		  refusal(c, c->bridge, MS_REASON_NO_GRANT, MS_EAST_WEST, MS_MODE_ENFORCE));
}

/* To a group, whatever MAC the frame has. */
static void goto_group(struct compiler *c, struct ms_chain *chain)
{
	static const struct {
		enum ms_field field;
		const char *prefix;
	} groups[] = {{MS_FIELD_IP_DADDR, MULTICAST4}, {MS_FIELD_IP6_DADDR, MULTICAST6}};

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		struct ms_rule *rule = rule_add(c, chain);

		match_prefix(c, rule, groups[i].field, groups[i].prefix);
		rule_goto(c, rule, "group");
	}
	struct ms_rule *broadcast = rule_add(c, chain);
	rule_set(c, broadcast, MS_FIELD_IP_DADDR, false, "broadcast");
	rule_goto(c, broadcast, "group");
}

void guard_compile_strict(struct compiler *c)
{
	struct ms_chain *base = ms_ruleset_add_base_chain(c->ruleset, c->bridge, "strict",
							  MS_HOOK_FORWARD, PRIORITY_STRICT);
	struct ms_rule *strict = rule_add(c, base);

	rule_set(c, strict, MS_FIELD_IIFNAME, false, "audited");
	rule_set(c, strict, MS_FIELD_OIFNAME, true, "audited");
	rule_goto(c, strict, "from-audit");

	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->bridge, "from-audit");
	goto_group(c, chain);
	rule_goto(c, rule_add(c, chain), "guard");
	compile_group(c);
}
