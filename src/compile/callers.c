/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Callers: the grants of a service that has many.
 *
 * A new connection passes the rules of the service's chain one by one, and each costs it a lookup
 * in the set of one caller. Above MS_GRANT_RULES_DEFAULT such rules all those with a plain port
 * become elements `address . protocol . port` of one set, each with its counter and its place in
 * the policy as comment: one lookup for any number of them. Port ranges, ICMP, whole environments,
 * host and nets stay rules.
 *
 * The price is paid when an endpoint comes or goes: beside the set of its service it changes one
 * element for each of its addresses, in each large service that names its own, and port. That is
 * bounded by the policy, and it is elements only. Below the threshold a rule is the better deal: it
 * stands for all replicas of a caller, now and later.
 *
 * Elements come before the rules. A flow that both cover belongs to the grant that stands first in
 * the policy, so what an earlier rule covers gets no element.
 */
#include "roles.h"

#include <netinet/in.h>
#include <string.h>

/* One port of one grant. */
struct caller {
	const char *env;
	const char *service; /* NULL: every service of env */
	struct ms_ports ports;
	const struct ms_origin *at;
	size_t place; /* of the grant in the policy */
};
typedef MS_VEC(struct caller) caller_vec;

struct census {
	struct ms_arena *arena;
	caller_vec plain;
	caller_vec wide;
	size_t n_granted;
	bool failed;
};

bool callers_take(const struct granted *granted, const struct ms_ports *ports)
{
	bool has_port = ports->proto == IPPROTO_TCP || ports->proto == IPPROTO_UDP ||
			ports->proto == IPPROTO_SCTP;

	return !granted->peer && granted->service && !granted->until && has_port &&
	       ports->first == ports->last;
}

static void take(const struct granted *granted, void *userdata)
{
	struct census *census = userdata;
	size_t place = census->n_granted++;

	if (granted->peer || granted->until)
		return;
	ms_vec_each (struct ms_ports, ports, &granted->ports) {
		const struct caller caller = {granted->env, granted->service, *ports, granted->at,
					      place};
		caller_vec *vec = callers_take(granted, ports) ? &census->plain : &census->wide;

		if (ms_avec_push(census->arena, vec, caller) < 0)
			census->failed = true;
	}
}

static int compare_who(const struct caller *a, const struct caller *b)
{
	int r = strcmp(a->env, b->env);

	return r ? r : strcmp(a->service ? a->service : "", b->service ? b->service : "");
}

/* By caller and port; of equal ones the first in the policy comes first. */
static int compare_callers(const void *left, const void *right)
{
	const struct caller *a = left, *b = right;
	int r = compare_who(a, b);

	if (r == 0)
		r = ms_ports_compare(&a->ports, &b->ports);
	return r ? r : (a->place > b->place) - (a->place < b->place);
}

static size_t first_of(const caller_vec *sorted, const struct caller *who)
{
	size_t low = 0, high = sorted->n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_who(&sorted->items[middle], who) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Does a rule of @who, the caller itself or all of its environment, cover it before its own grant?
 */
static bool is_covered(const caller_vec *wide, const struct caller *who, const struct caller *plain)
{
	for (size_t i = first_of(wide, who); i < wide->n_items; i++) {
		const struct caller *rule = &wide->items[i];

		if (compare_who(rule, who) != 0)
			break;
		if (rule->place < plain->place &&
		    ms_ports_cover(&rule->ports, plain->ports.proto, plain->ports.first))
			return true;
	}
	return false;
}

static bool is_first(const struct census *census, size_t i)
{
	const struct caller *plain = &census->plain.items[i];
	const struct caller anyone = {.env = plain->env};

	if (i > 0 && compare_who(plain - 1, plain) == 0 &&
	    ms_ports_compare(&plain[-1].ports, &plain->ports) == 0)
		return false;
	return !is_covered(&census->wide, plain, plain) &&
	       !is_covered(&census->wide, &anyone, plain);
}

static void compile_family(struct compiler *c, const struct subject *provider,
			   const struct census *census, const struct family *family,
			   struct ms_chain *chain)
{
	struct ms_set *set = sets_callers(c, family, provider->identity);
	struct ms_rule *rule = rule_add(c, chain);

	for (size_t i = 0; i < census->plain.n_items; i++) {
		const struct caller *caller = &census->plain.items[i];

		if (!is_first(census, i))
			continue;
		const char *identity = name_of(c, "%s/%s", caller->env, caller->service);

		sets_add_caller(c, set, family, identity, &caller->ports, caller->at);
		roles_note_caller(c, provider->identity, family, identity, &caller->ports,
				  caller->at);
	}
	ms_rule_match_set(c->ruleset, rule, false, set->name, set->n_fields, set->fields);
	rule_accept(c, rule);
}

bool callers_compile(struct compiler *c, const struct subject *provider, struct ms_chain *chain)
{
	uint32_t limit = c->options->grant_rules ? c->options->grant_rules : MS_GRANT_RULES_DEFAULT;
	struct census census = {.arena = c->ruleset->arena};

	grants_inbound(c, provider, take, &census);
	if (census.failed)
		c->ruleset->failed = true;
	if (census.plain.n_items <= limit)
		return false;
	ms_vec_sort(&census.plain, compare_callers);
	ms_vec_sort(&census.wide, compare_callers);
	for (size_t i = 0; i < 2; i++)
		compile_family(c, provider, &census, &families[i], chain);
	return true;
}
