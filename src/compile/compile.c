/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Two layers, each default-deny on its own.
 *
 * The guard (guard.c) knows ports: which MAC and which addresses a frame from this port may carry.
 * A managed port that is not in its set passes nothing, so a container cannot speak before it is
 * known, and no event has to arrive in time.
 *
 * The policy (judge.c, services.c) knows addresses: a connection is dispatched by one lookup of the
 * local endpoint to the chain of its service, whose grants are one rule each. Peers are plain sets.
 * Where nothing granted the flow, the end chain of its environment finds the reason (no grant,
 * fence, unidentified) and goes to the refusal for it.
 *
 * Between them runs the seam: same-bridge packets get a stamp when the inet layer sees them, and
 * the bridge drops IP frames without it. Nothing rests on a sysctl.
 *
 * What depends on the policy becomes rules, what depends on running endpoints becomes elements; a
 * service's chains exist while it has an endpoint. Everything is emitted in the order of the policy
 * and the inventory, which are canonical.
 */
#include "roles.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"

const struct family families[2] = {
	{MS_IP4, MS_FIELD_IP_SADDR, MS_FIELD_IP_DADDR, 4, 1, MS_FIELD_ICMP_TYPE},
	{MS_IP6, MS_FIELD_IP6_SADDR, MS_FIELD_IP6_DADDR, 16, 58, MS_FIELD_ICMP6_TYPE},
};

const struct family *family_of(const struct ms_addr *addr)
{
	return addr->ip == MS_IP4 ? &families[0] : &families[1];
}

const char *name_of(struct compiler *c, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	const char *name = ms_arena_strdup(c->ruleset->arena, text);
	if (!name)
		c->ruleset->failed = true;
	return name ? name : "";
}

time_t stricter(time_t a, time_t b)
{
	return a < b ? a : b;
}

time_t endpoint_audit_end(const struct compiler *c, const struct ms_endpoint *endpoint)
{
	if (endpoint->state != MS_ENDPOINT_IDENTIFIED)
		return c->policy->unidentified == MS_MODE_AUDIT ? AUDITED : ENFORCED;
	const struct ms_service *service =
		ms_policy_service(c->policy, endpoint->env, endpoint->service);
	enum ms_mode mode = service ? service->mode : ms_policy_env(c->policy, endpoint->env)->mode;

	return audit_end_of(c, endpoint->env, endpoint->service, mode);
}

bool endpoint_is_known(const struct ms_endpoint *endpoint)
{
	return endpoint->ready && endpoint->state != MS_ENDPOINT_PENDING;
}

struct ms_rule *rule_add(struct compiler *c, struct ms_chain *chain)
{
	return ms_ruleset_add_rule(c->ruleset, chain, NULL);
}

void rule_goto(struct compiler *c, struct ms_rule *rule, const char *chain)
{
	ms_rule_verdict(c->ruleset, rule, MS_VERDICT_GOTO, chain);
}

void rule_accept(struct compiler *c, struct ms_rule *rule)
{
	ms_rule_verdict(c->ruleset, rule, MS_VERDICT_ACCEPT, NULL);
}

void rule_set(struct compiler *c, struct ms_rule *rule, enum ms_field field, bool negate,
	      const char *set)
{
	ms_rule_match_set(c->ruleset, rule, negate, set, 1, &field);
}

void rule_in_managed(struct compiler *c, struct ms_rule *rule, enum ms_field field, bool negate)
{
	rule_set(c, rule, field, negate, "managed");
}

static void match_admitted(struct compiler *c, struct ms_rule *rule, enum ms_field field,
			   bool negate)
{
	ms_rule_match_u32(c->ruleset, rule,
			  field == MS_FIELD_IIFNAME ? MS_FIELD_IIFGROUP : MS_FIELD_OIFGROUP, negate,
			  MS_ADMITTED_GROUP);
}

void rule_in_admitted(struct compiler *c, struct ms_rule *rule, enum ms_field field,
		      const char *set)
{
	rule_set(c, rule, field, false, set);
	match_admitted(c, rule, field, false);
}

void strangers_goto(struct compiler *c, struct ms_chain *chain, enum ms_field field,
		    const char *set, const char *target)
{
	struct ms_rule *rule = rule_add(c, chain);

	rule_set(c, rule, field, false, set);
	match_admitted(c, rule, field, true);
	rule_goto(c, rule, target);
}

const char *refuse_stranger(struct compiler *c, const struct ms_table *table)
{
	return refusal(c, table, MS_REASON_UNKNOWN_PORT, MS_EAST_WEST,
		       c->strictest == AUDITED ? MS_MODE_AUDIT : MS_MODE_ENFORCE);
}

void patterns_goto(struct compiler *c, struct ms_chain *chain, enum ms_field field,
		   const char *target)
{
	struct ms_rule *skipped = rule_add(c, chain);

	rule_set(c, skipped, field, false, "skipped");
	rule_accept(c, skipped);
	ms_vec_each (const char *, pattern, &c->inventory->patterns) {
		struct ms_rule *rule = rule_add(c, chain);

		ms_rule_match_text(c->ruleset, rule, field, false, *pattern);
		rule_goto(c, rule, target);
	}
}

static void note_mode(struct compiler *c, time_t audit_end)
{
	c->audits = c->audits || audit_end > ENFORCED;
	c->audits_for_good = c->audits_for_good || audit_end == AUDITED;
	c->strictest = stricter(c->strictest, audit_end);
}

static void note_modes(struct compiler *c)
{
	c->strictest = AUDITED;
	c->audits = c->relax_ends.n_items > 0;
	note_mode(c, c->policy->unidentified == MS_MODE_AUDIT ? AUDITED : ENFORCED);
	ms_vec_each (struct ms_env, env, &c->policy->envs)
		note_mode(c, audit_end_of(c, env->name, NULL, env->mode));
	ms_vec_each (struct ms_service, service, &c->policy->services)
		note_mode(c, audit_end_of(c, service->env, service->name, service->mode));
}

static int compare_addrs(const void *left, const void *right)
{
	return ms_addr_compare(left, right);
}

/* Every address that is held more than once, for addr_identifies(). */
static void find_shared(struct compiler *c)
{
	ms_addr_vec all = {0};

	ms_vec_each (struct ms_endpoint, endpoint, &c->inventory->endpoints)
		ms_vec_each (struct ms_addr, addr, &endpoint->addrs)
			if (ms_addr_is_link_local(addr) && ms_vec_push(&all, *addr) < 0)
				c->ruleset->failed = true;
	ms_vec_sort(&all, compare_addrs);
	for (size_t i = 1; i < all.n_items; i++)
		if (ms_addr_equal(&all.items[i - 1], &all.items[i]) &&
		    ms_avec_push(c->ruleset->arena, &c->shared, all.items[i]) < 0)
			c->ruleset->failed = true;
	ms_vec_fini(&all);
}

static int compare_identities(const void *left, const void *right)
{
	const struct ms_endpoint *a = *(const struct ms_endpoint *const *)left;
	const struct ms_endpoint *b = *(const struct ms_endpoint *const *)right;
	int r = strcmp(a->identity, b->identity);

	return r ? r : (a > b) - (a < b);
}

static void find_members(struct compiler *c)
{
	ms_vec_each (struct ms_endpoint, endpoint, &c->inventory->endpoints)
		if (endpoint->state == MS_ENDPOINT_IDENTIFIED && endpoint_is_known(endpoint) &&
		    ms_avec_push(c->ruleset->arena, &c->members, endpoint) < 0)
			c->ruleset->failed = true;
	ms_vec_sort(&c->members, compare_identities);
}

bool addr_identifies(const struct compiler *c, const struct ms_addr *addr)
{
	return !ms_addr_is_link_local(addr) || c->shared.n_items == 0 ||
	       !bsearch(addr, c->shared.items, c->shared.n_items, sizeof(*addr), compare_addrs);
}

bool link_is_known(const struct ms_inventory *inventory, const struct ms_managed_link *link)
{
	if (link->bridge)
		return true;
	const struct ms_endpoint *endpoint = ms_inventory_by_interface(inventory, link->name);
	return endpoint && endpoint_is_known(endpoint);
}

static bool has_routed_link(const struct ms_inventory *inventory)
{
	ms_vec_each (struct ms_managed_link, link, &inventory->links)
		if (!link->bridge && link_is_known(inventory, link))
			return true;
	return false;
}

static void compile_policy(struct compiler *c)
{
	clocks_find(c);
	note_modes(c);
	find_shared(c);
	claims_find_disputed(c);
	find_members(c);
	roles_note_modes(c);
	roles_note_members(c);
	sets_declare_bridge(c);
	guard_compile_bridge(c);
	quarantine_compile_port(c);
	refuse_compile(c, c->bridge);

	sets_declare_inet(c);
	clocks_declare(c);
	guard_compile_routed(c);
	judge_compile(c);
	limit_compile(c);
	never_compile(c);
	services_compile(c);
	refuse_compile(c, c->inet);
	if (c->arp)
		refuse_compile(c, c->arp);
	sets_fill(c);
}

/* What both ways of compiling begin with. */
static struct compiler begin(const struct ms_policy *policy, const struct ms_inventory *inventory,
			     const struct ms_compile_options *options, struct ms_ruleset *ruleset)
{
	struct compiler c = {
		.policy = policy,
		.inventory = inventory,
		.options = options,
		.ruleset = ruleset,
		.bridge = ms_ruleset_add_table(ruleset, MS_FAMILY_BRIDGE, MS_TABLE_NAME),
		.inet = ms_ruleset_add_table(ruleset, MS_FAMILY_INET, MS_TABLE_NAME),
	};

	if (policy && has_routed_link(inventory))
		c.arp = ms_ruleset_add_table(ruleset, MS_FAMILY_ARP, MS_TABLE_NAME);
	return c;
}

static int compile(const struct ms_policy *policy, const struct ms_inventory *inventory,
		   const struct ms_compile_options *options, struct ms_roles *roles,
		   struct ms_ruleset **ret_ruleset)
{
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = ms_ruleset_new();

	if (!ruleset)
		return -ENOMEM;
	struct compiler c = begin(policy, inventory, options, ruleset);
	c.roles = roles;
	if (policy)
		compile_policy(&c);
	else
		door_compile(&c);

	sets_fini(&c);
	int r = ms_ruleset_finish_elements(ruleset);
	if (r == 0 && policy)
		sets_make_room(ruleset);
	if (r == 0)
		r = ms_ruleset_check(ruleset);
	if (r < 0)
		return r;
	*ret_ruleset = ms_steal(&ruleset);
	return 0;
}

int ms_compile(const struct ms_policy *policy, const struct ms_inventory *inventory,
	       const struct ms_compile_options *options, struct ms_ruleset **ret_ruleset)
{
	return compile(policy, inventory, options, NULL, ret_ruleset);
}

int ms_compile_roles(const struct ms_policy *policy, const struct ms_inventory *inventory,
		     const struct ms_compile_options *options, struct ms_ruleset **ret_ruleset,
		     struct ms_roles **ret_roles)
{
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = NULL;
	struct ms_roles *roles = roles_new();
	int r = roles ? compile(policy, inventory, options, roles, &ruleset) : -ENOMEM;

	if (r == 0)
		r = roles_finish(roles);
	if (r < 0) {
		ms_roles_free(roles);
		return r;
	}
	*ret_ruleset = ms_steal(&ruleset);
	*ret_roles = roles;
	return 0;
}

int compile_elements(const struct ms_policy *policy, const struct ms_inventory *view,
		     const struct ms_inventory_change *change, const struct ms_roles *roles,
		     const struct ms_compile_options *options, struct ms_ruleset **ret_ruleset)
{
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = ms_ruleset_new();

	if (!ruleset)
		return -ENOMEM;
	struct compiler c = begin(policy, view, options, ruleset);
	clocks_find(&c);
	roles_recall_modes(&c, roles);
	find_shared(&c);
	claims_find_disputed(&c);
	find_members(&c);
	sets_declare_bridge(&c);
	sets_declare_inet(&c);
	dispatch_unidentified(&c);
	roles_declare(&c, roles, &change->gone);
	roles_declare(&c, roles, &change->come);
	roles_fill(&c, roles);
	sets_fill(&c);
	sets_fini(&c);
	int r = ms_ruleset_finish_elements(ruleset);
	if (r < 0)
		return r;
	*ret_ruleset = ms_steal(&ruleset);
	return 0;
}

static void note_end(time_t end, time_t now, time_t *next)
{
	if (end == 0 || end + MS_COMPILE_AFTER <= now)
		return;
	if (end <= now)
		end += MS_COMPILE_AFTER;
	if (*next == 0 || end < *next)
		*next = end;
}

time_t ms_compile_next_end(const struct ms_policy *policy, time_t now)
{
	time_t next = 0;

	ms_vec_each (struct ms_crossing, crossing, &policy->crossings)
		note_end(crossing->until, now, &next);
	ms_vec_each (struct ms_exception, exception, &policy->exceptions)
		note_end(exception->until, now, &next);
	ms_vec_each (struct ms_relax, relax, &policy->relaxes)
		note_end(relax->until, now, &next);
	return next;
}
