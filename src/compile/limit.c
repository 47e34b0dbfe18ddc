/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Limit: how many tracked connections one endpoint address may have opened, so that no container
 * fills the connection table for all others. The kernel counts, in sets that are its own.
 *
 * Counted is what the policy let pass, in chains of their own behind it: what is refused is never
 * tracked, and a flood of it must not use up what its sender may open. Each connection is looked at
 * once, before it is confirmed: later packets of a flow that nobody answers are new ones too, and
 * would be counted again.
 *
 * Addresses that are no endpoint's (link-local ones, and those that audit lets pass) share one
 * count for their interface: whoever makes them up gains nothing.
 */
#include "compiler.h"

static struct ms_rule *first_packet(struct compiler *c, struct ms_chain *chain)
{
	struct ms_rule *rule = rule_add(c, chain);

	/* Whatever its state: one that a helper expects is related from its first packet on. */
	ms_rule_match_present(c->ruleset, rule, MS_FIELD_CT_STATUS_CONFIRMED, true);
	rule_in_managed(c, rule, MS_FIELD_IIFNAME, false);
	return rule;
}

static void count(struct compiler *c, struct ms_rule *rule, const char *set, enum ms_field key)
{
	ms_rule_count_in_set(c->ruleset, rule, set, key, c->options->max_connections);
	rule_goto(c, rule, refusal(c, c->inet, MS_REASON_LIMIT, MS_EAST_WEST, MS_MODE_ENFORCE));
}

static void compile_limit(struct compiler *c)
{
	struct ms_chain *chain = ms_ruleset_add_chain(c->ruleset, c->inet, "limit-count");

	for (size_t i = 0; i < 2; i++) {
		const char *local = name_of(c, "local/%d", families[i].ip);
		struct ms_rule *own = rule_add(c, chain);

		rule_set(c, own, families[i].saddr, false, local);
		count(c, own, name_of(c, "limit/%d", families[i].ip), families[i].saddr);
		struct ms_rule *counted = rule_add(c, chain);
		rule_set(c, counted, families[i].saddr, false, local);
		rule_accept(c, counted);
	}
	count(c, rule_add(c, chain), "limit/link", MS_FIELD_IIFNAME);
}

void limit_compile(struct compiler *c)
{
	static const struct {
		const char *name;
		enum ms_hook hook;
	} hooks[] = {{"limit-forward", MS_HOOK_FORWARD}, {"limit-input", MS_HOOK_INPUT}};

	if (c->options->max_connections == 0)
		return;
	sets_declare_limits(c);
	for (size_t i = 0; i < 2; i++)
		rule_goto(c,
			  first_packet(c,
				       ms_ruleset_add_base_chain(c->ruleset, c->inet, hooks[i].name,
								 hooks[i].hook, PRIORITY_LIMIT)),
			  "limit-count");
	compile_limit(c);
}
