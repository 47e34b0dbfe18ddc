/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delta: the short way from the ruleset of one inventory to that of the next.
 *
 * An endpoint that shares no address and no MAC with anybody contributes its elements whatever else
 * runs on the node. So the endpoints that differ are compiled alone, once as they were and once as
 * they are, beside the same host; what differs between those two small rulesets is what differs
 * between the two large ones. No chain is made for that: where the addresses of an identity stand
 * was noted when the whole was compiled (roles.c), and the code that makes elements is the same.
 * Addresses of the host that come and go are treated likewise.
 *
 * The way is only taken where all this holds. For everything else (another bridge, a first or last
 * endpoint of a service, a set that must grow, an address that two have) the answer is to compile
 * the whole. What it costs depends on what changed, not on how much there is.
 */
#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "roles.h"

#define WHOLE 1

static bool is_member(const struct ms_endpoint *endpoint)
{
	return endpoint->state == MS_ENDPOINT_IDENTIFIED && endpoint_is_known(endpoint);
}

static bool has_addr(const struct ms_endpoint *endpoint, const struct ms_addr *addr)
{
	ms_vec_each (const struct ms_addr, own, &endpoint->addrs)
		if (ms_addr_equal(own, addr))
			return true;
	return false;
}

static size_t count_addr(const ms_endpoint_vec *endpoints, const struct ms_addr *addr)
{
	size_t n = 0;

	ms_vec_each (const struct ms_endpoint *, endpoint, endpoints)
		n += has_addr(*endpoint, addr);
	return n;
}

static size_t count_mac(const ms_endpoint_vec *endpoints, const struct ms_mac *mac)
{
	size_t n = 0;

	ms_vec_each (const struct ms_endpoint *, endpoint, endpoints)
		n += ms_mac_compare(&(*endpoint)->mac, mac) == 0;
	return n;
}

static bool holds(const ms_addr_vec *addrs, const struct ms_addr *addr)
{
	ms_vec_each (const struct ms_addr, own, addrs)
		if (ms_addr_equal(own, addr))
			return true;
	return false;
}

static bool is_host_mac(const struct ms_inventory *inventory, const struct ms_mac *mac)
{
	ms_vec_each (const struct ms_mac, host, &inventory->host_macs)
		if (ms_mac_compare(host, mac) == 0)
			return true;
	return false;
}

/* Has anybody @mac, before or after? */
static bool has_mac(const struct ms_inventory *before, const struct ms_inventory_change *change,
		    const struct ms_mac *mac)
{
	return is_host_mac(before, mac) || ms_inventory_n_macs(before, mac) > 0 ||
	       count_mac(&change->come, mac) > 0;
}

/* Has anybody else the address that the MAC of @endpoint makes? That is its own before it has it:
 * see claims.c. */
static bool is_early_shared(const struct ms_inventory *before,
			    const struct ms_inventory_change *change,
			    const struct ms_endpoint *endpoint)
{
	const ms_endpoint_vec *sides[] = {&change->gone, &change->come};
	const struct ms_addr early = ms_addr_of_mac(&endpoint->mac);

	for (size_t side = 0; side < 2; side++)
		ms_vec_each (const struct ms_endpoint *, other, sides[side])
			if (ms_mac_compare(&(*other)->mac, &endpoint->mac) != 0 &&
			    has_addr(*other, &early))
				return true;
	return ms_inventory_n_holders(before, &early) != count_addr(&change->gone, &early) ||
	       ms_inventory_is_host(before, &early) || holds(&change->hosts_come, &early);
}

/* Is none of the addresses of @endpoint, and not its MAC, that of the host or of another endpoint:
 * neither before nor, when it is there then, after? */
static bool is_alone(const struct ms_inventory *before, const struct ms_inventory_change *change,
		     const struct ms_endpoint *endpoint)
{
	const struct ms_mac *mac = &endpoint->mac;
	struct ms_mac maker;

	if (!ms_mac_is_zero(mac) &&
	    (is_host_mac(before, mac) || count_mac(&change->gone, mac) > 1 ||
	     count_mac(&change->come, mac) > 1 ||
	     ms_inventory_n_macs(before, mac) != count_mac(&change->gone, mac)))
		return false;
	ms_vec_each (const struct ms_addr, addr, &endpoint->addrs) {
		size_t n_gone = count_addr(&change->gone, addr);

		if (n_gone > 1 || count_addr(&change->come, addr) > 1 ||
		    ms_inventory_n_holders(before, addr) != n_gone ||
		    ms_inventory_is_host(before, addr) || holds(&change->hosts_come, addr))
			return false;
		if (ms_addr_to_mac(addr, &maker) && ms_mac_compare(&maker, mac) != 0 &&
		    has_mac(before, change, &maker))
			return false;
	}
	return !is_early_shared(before, change, endpoint);
}

static bool all_alone(const struct ms_inventory *before, const struct ms_inventory_change *change,
		      const ms_endpoint_vec *endpoints)
{
	ms_vec_each (const struct ms_endpoint *, endpoint, endpoints)
		if (!is_alone(before, change, *endpoint))
			return false;
	return true;
}

/* What the host had and has: that no endpoint has it too, all_alone() sees where endpoints change.
 */
static bool nobodys(const struct ms_inventory *before, const ms_addr_vec *hosts)
{
	struct ms_mac maker;

	ms_vec_each (const struct ms_addr, addr, hosts)
		if (ms_inventory_n_holders(before, addr) > 0 ||
		    (ms_addr_to_mac(addr, &maker) && ms_inventory_n_macs(before, &maker) > 0))
			return false;
	return true;
}

static bool all_bridged(const struct ms_inventory *inventory)
{
	/* A routed veth is known when its endpoint is: that is more than elements. */
	ms_vec_each (const struct ms_managed_link, link, &inventory->links)
		if (!link->bridge)
			return false;
	return true;
}

static size_t count_members(const ms_endpoint_vec *endpoints, const char *identity)
{
	size_t n = 0;

	ms_vec_each (const struct ms_endpoint *, endpoint, endpoints)
		n += is_member(*endpoint) && strcmp((*endpoint)->identity, identity) == 0;
	return n;
}

/* Had the identities of @endpoints chains before, and have they after? */
static bool all_present(const struct ms_roles *roles, const struct ms_inventory_change *change,
			const ms_endpoint_vec *endpoints)
{
	ms_vec_each (const struct ms_endpoint *, endpoint, endpoints) {
		if (!is_member(*endpoint))
			continue;
		const char *identity = (*endpoint)->identity;
		const struct role *role = roles_find(roles, identity);

		if (!role || !role->present || role->n_members == 0 ||
		    role->n_members + count_members(&change->come, identity) <=
			    count_members(&change->gone, identity))
			return false;
	}
	return true;
}

void ms_roles_patch(struct ms_roles *roles, const struct ms_inventory_change *change)
{
	const ms_endpoint_vec *sides[] = {&change->gone, &change->come};

	for (size_t side = 0; side < 2; side++)
		ms_vec_each (const struct ms_endpoint *, endpoint, sides[side]) {
			struct role *role = is_member(*endpoint)
						    ? roles_find(roles, (*endpoint)->identity)
						    : NULL;

			if (role)
				role->n_members += side ? 1 : (size_t)-1;
		}
}

/* Compiles what goes, or what comes, alone, on the node of all. */
static int compile_alone(const struct ms_policy *policy, const struct ms_inventory *node,
			 const struct ms_inventory_change *change, bool come,
			 const struct ms_roles *roles, const struct ms_compile_options *options,
			 struct ms_ruleset **ret_ruleset)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *alone = ms_inventory_new();

	if (!alone)
		return -ENOMEM;
	struct ms_inventory view = *node;
	view.arena = alone->arena;
	view.hosts = come ? change->hosts_come : change->hosts_gone;
	memset(&view.endpoints, 0, sizeof(view.endpoints));
	memset(&view.holders, 0, sizeof(view.holders));
	memset(&view.macs, 0, sizeof(view.macs));
	ms_vec_each (const struct ms_endpoint *, endpoint, come ? &change->come : &change->gone) {
		int r = ms_avec_push(alone->arena, &view.endpoints, **endpoint);

		if (r < 0)
			return r;
	}
	return compile_elements(policy, &view, change, roles, options, ret_ruleset);
}

/* Turns a change between the small rulesets into one of @installed. Returns WHOLE when it is none
 * of elements in a set that has room for them. */
static int retarget(struct ms_change *change, const struct ms_ruleset *installed)
{
	const struct ms_table *table = ms_ruleset_table(installed, change->table->family);

	if (!table || (change->kind != MS_ADD_ELEMS && change->kind != MS_DEL_ELEMS))
		return WHOLE;
	const struct ms_set *set = ms_table_set(table, change->set->name);
	if (!set || set->interval || change->set->interval)
		return WHOLE;
	change->table = table;
	change->set = set;
	return 0;
}

/* The elements of @set once @plan is carried out. */
static size_t count_after(const struct ms_plan *plan, const struct ms_set *set)
{
	size_t n = ms_set_n_elems(set);

	ms_vec_each (const struct ms_change, change, &plan->changes)
		if (change->set == set)
			n += change->kind == MS_ADD_ELEMS ? change->n_elems : -change->n_elems;
	return n;
}

/* A whole compilation would give each set the size it has: the small rulesets show how it begins.
 */
static int retarget_all(struct ms_plan *plan, const struct ms_ruleset *installed)
{
	uint32_t *least = ms_arena_alloc(plan->arena, (plan->changes.n_items + 1) * sizeof(*least));
	int r = least ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < plan->changes.n_items; i++) {
		const struct ms_set *small = plan->changes.items[i].set;

		least[i] = small ? small->size : 0;
		r = retarget(&plan->changes.items[i], installed);
	}
	for (size_t i = 0; r == 0 && i < plan->changes.n_items; i++) {
		const struct ms_set *set = plan->changes.items[i].set;

		if (sets_room(least[i], count_after(plan, set)) != set->size)
			r = WHOLE;
	}
	return r;
}

static int make_plan(const struct ms_policy *policy, const struct ms_inventory *before,
		     const struct ms_inventory_change *change, const struct ms_roles *roles,
		     const struct ms_compile_options *options, const struct ms_ruleset *installed,
		     struct ms_delta *delta)
{
	int r = compile_alone(policy, before, change, false, roles, options, &delta->gone);

	if (r == 0)
		r = compile_alone(policy, before, change, true, roles, options, &delta->come);
	if (r == 0)
		r = ms_plan_make(delta->gone, delta->come, &delta->plan);
	if (r == 0)
		r = retarget_all(&delta->plan, installed);
	return r;
}

int ms_compile_delta(const struct ms_policy *policy, const struct ms_inventory *before,
		     const struct ms_inventory_change *change,
		     const struct ms_compile_options *options, const struct ms_ruleset *installed,
		     const struct ms_roles *roles, struct ms_delta *ret_delta)
{
	_cleanup_(ms_delta_fini) struct ms_delta delta = {0};

	if (change->gone.n_items + change->come.n_items > MS_DELTA_MAX ||
	    change->hosts_gone.n_items + change->hosts_come.n_items > MS_DELTA_MAX ||
	    !all_bridged(before) || !all_alone(before, change, &change->gone) ||
	    !all_alone(before, change, &change->come) || !nobodys(before, &change->hosts_gone) ||
	    !nobodys(before, &change->hosts_come) || !all_present(roles, change, &change->gone) ||
	    !all_present(roles, change, &change->come))
		return WHOLE;
	int r = make_plan(policy, before, change, roles, options, installed, &delta);
	if (r != 0)
		return r;
	*ret_delta = delta;
	delta = (struct ms_delta){0};
	return 0;
}

void ms_delta_fini(struct ms_delta *delta)
{
	ms_plan_fini(&delta->plan);
	ms_ruleset_free(delta->gone);
	ms_ruleset_free(delta->come);
	*delta = (struct ms_delta){0};
}
