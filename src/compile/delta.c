/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delta: the short way from the ruleset of one inventory to that of the next.
 *
 * An endpoint that shares no address and no MAC with anybody contributes its elements whatever else
 * runs on the node. So the endpoints that differ are compiled alone, once as they were and once as
 * they are, beside the same host and for the same identities; what differs between those two small
 * rulesets is what differs between the two large ones. There is one compiler, and no second idea of
 * what an endpoint means to the kernel. The way is only taken where all this holds. For everything
 * else (another host, a first or last endpoint of a service, a set that must grow, an address that
 * two have) the answer is to compile the whole.
 */
#include <errno.h>
#include <string.h>

#include "compiler.h"
#include "microseg/cleanup.h"

#define WHOLE 1

struct delta {
	const struct ms_inventory *before, *after;
	endpoint_vec gone, come; /* sorted as their inventories are */
};

static bool texts_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool addrs_equal(const ms_addr_vec *a, const ms_addr_vec *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (!ms_addr_equal(&a->items[i], &b->items[i]))
			return false;
	return true;
}

/* In everything that is compiled. */
static bool endpoints_equal(const struct ms_endpoint *a, const struct ms_endpoint *b)
{
	return strcmp(a->interface, b->interface) == 0 && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->bridge, b->bridge) == 0 && ms_mac_compare(&a->mac, &b->mac) == 0 &&
	       addrs_equal(&a->addrs, &b->addrs) && a->ready == b->ready && a->state == b->state &&
	       texts_equal(a->identity, b->identity);
}

/* The order of an inventory. */
static int compare_endpoints(const struct ms_endpoint *a, const struct ms_endpoint *b)
{
	int r = strcmp(a->interface, b->interface);

	return r ? r : strcmp(a->name, b->name);
}

static int find_changes(struct delta *d, struct ms_arena *arena)
{
	const struct ms_endpoint *a = d->before->endpoints.items, *b = d->after->endpoints.items;
	const struct ms_endpoint *a_end = a + d->before->endpoints.n_items,
				 *b_end = b + d->after->endpoints.n_items;
	int r = 0;

	while (r == 0 && (a < a_end || b < b_end)) {
		int order = a == a_end ? 1 : b == b_end ? -1 : compare_endpoints(a, b);

		if (order == 0 && endpoints_equal(a, b)) {
			a++;
			b++;
			continue;
		}
		if (order <= 0)
			r = ms_avec_push(arena, &d->gone, a++);
		if (r == 0 && order >= 0)
			r = ms_avec_push(arena, &d->come, b++);
	}
	return r;
}

static bool links_equal(const struct ms_inventory *a, const struct ms_inventory *b)
{
	if (a->links.n_items != b->links.n_items)
		return false;
	for (size_t i = 0; i < a->links.n_items; i++) {
		const struct ms_managed_link *x = &a->links.items[i], *y = &b->links.items[i];

		/* A routed veth is known when its endpoint is: that is more than elements. */
		if (!x->bridge || !y->bridge || strcmp(x->name, y->name) != 0 ||
		    !addrs_equal(&x->addrs, &y->addrs))
			return false;
	}
	return true;
}

static bool text_lists_equal(const ms_text_vec *a, const ms_text_vec *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	return true;
}

static bool macs_equal(const struct ms_inventory *a, const struct ms_inventory *b)
{
	if (a->host_macs.n_items != b->host_macs.n_items)
		return false;
	for (size_t i = 0; i < a->host_macs.n_items; i++)
		if (ms_mac_compare(&a->host_macs.items[i], &b->host_macs.items[i]) != 0)
			return false;
	return true;
}

/* Everything that is compiled of an inventory beside its endpoints. */
static bool hosts_equal(const struct ms_inventory *a, const struct ms_inventory *b)
{
	return addrs_equal(&a->hosts, &b->hosts) && macs_equal(a, b) && links_equal(a, b) &&
	       text_lists_equal(&a->skipped, &b->skipped) &&
	       text_lists_equal(&a->patterns, &b->patterns);
}

static bool has_mac(const struct ms_inventory *inventory, const struct ms_mac *mac,
		    const struct ms_endpoint *except)
{
	ms_vec_each (const struct ms_mac, host, &inventory->host_macs)
		if (ms_mac_compare(host, mac) == 0)
			return true;
	ms_vec_each (const struct ms_endpoint, other, &inventory->endpoints)
		if (other != except && ms_mac_compare(&other->mac, mac) == 0)
			return true;
	return false;
}

/* Does it share no address and no MAC with anybody in @inventory, which it is of? */
static bool is_alone(const struct ms_inventory *inventory, const struct ms_endpoint *endpoint)
{
	if (!ms_mac_is_zero(&endpoint->mac) && has_mac(inventory, &endpoint->mac, endpoint))
		return false;
	ms_vec_each (const struct ms_addr, addr, &endpoint->addrs)
		if (ms_inventory_n_holders(inventory, addr) != 1 ||
		    ms_inventory_is_host(inventory, addr))
			return false;
	return true;
}

static bool all_alone(const struct ms_inventory *inventory, const endpoint_vec *endpoints)
{
	ms_vec_each (const struct ms_endpoint *, endpoint, endpoints)
		if (!is_alone(inventory, *endpoint))
			return false;
	return true;
}

static int compare_identities(const void *left, const void *right)
{
	const struct ms_endpoint *const *a = left, *const *b = right;

	return strcmp((*a)->identity, (*b)->identity);
}

static bool is_present(const endpoint_vec *present, const struct ms_endpoint *like)
{
	return present->n_items && bsearch(&like, present->items, present->n_items,
					   sizeof(*present->items), compare_identities);
}

static bool is_member(const struct ms_endpoint *endpoint)
{
	return endpoint->state == MS_ENDPOINT_IDENTIFIED && endpoint_is_known(endpoint);
}

/* One endpoint of each identity that has chains, sorted. */
static int find_present(const struct ms_inventory *inventory, struct ms_arena *arena,
			endpoint_vec *present)
{
	ms_vec_each (const struct ms_endpoint, endpoint, &inventory->endpoints) {
		if (!is_member(endpoint) || is_present(present, endpoint))
			continue;
		int r = ms_avec_push(arena, present, endpoint);
		if (r < 0)
			return r;
		size_t at = present->n_items - 1;
		for (; at > 0 && compare_identities(&present->items[at - 1], &endpoint) > 0; at--)
			present->items[at] = present->items[at - 1];
		present->items[at] = endpoint;
	}
	return 0;
}

static bool identities_equal(const endpoint_vec *a, const endpoint_vec *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (compare_identities(&a->items[i], &b->items[i]) != 0)
			return false;
	return true;
}

/* Compiles @endpoints alone, on the node and with the identities of all. */
static int compile_alone(const struct ms_policy *policy, const struct ms_inventory *node,
			 const endpoint_vec *endpoints, const endpoint_vec *present,
			 const struct ms_compile_options *options, struct ms_ruleset **ret_ruleset)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *alone = ms_inventory_new();

	if (!alone)
		return -ENOMEM;
	struct ms_inventory view = *node;
	view.arena = alone->arena;
	memset(&view.endpoints, 0, sizeof(view.endpoints));
	memset(&view.holders, 0, sizeof(view.holders));
	ms_vec_each (const struct ms_endpoint *, endpoint, endpoints) {
		int r = ms_avec_push(alone->arena, &view.endpoints, **endpoint);

		if (r < 0)
			return r;
	}
	return compile_present(policy, &view, present, options, ret_ruleset);
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
	size_t n = set->elems.n_items;

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

static int make_plan(const struct ms_policy *policy, const struct delta *d,
		     const endpoint_vec *present, const struct ms_compile_options *options,
		     const struct ms_ruleset *installed, struct ms_delta *delta)
{
	int r = compile_alone(policy, d->before, &d->gone, present, options, &delta->gone);

	if (r == 0)
		r = compile_alone(policy, d->after, &d->come, present, options, &delta->come);
	if (r == 0)
		r = ms_plan_make(delta->gone, delta->come, &delta->plan);
	if (r == 0)
		r = retarget_all(&delta->plan, installed);
	return r;
}

static int find_delta(const struct ms_policy *policy, struct delta *d,
		      const struct ms_compile_options *options, const struct ms_ruleset *installed,
		      struct ms_arena *arena, struct ms_delta *delta)
{
	endpoint_vec present = {0}, was_present = {0};
	int r;

	if (!hosts_equal(d->before, d->after))
		return WHOLE;
	r = find_changes(d, arena);
	if (r < 0)
		return r;
	if (d->gone.n_items + d->come.n_items > MS_DELTA_MAX || !all_alone(d->before, &d->gone) ||
	    !all_alone(d->after, &d->come))
		return WHOLE;
	r = find_present(d->before, arena, &was_present);
	if (r == 0)
		r = find_present(d->after, arena, &present);
	if (r == 0 && !identities_equal(&was_present, &present))
		r = WHOLE;
	return r == 0 ? make_plan(policy, d, &present, options, installed, delta) : r;
}

int ms_compile_delta(const struct ms_policy *policy, const struct ms_inventory *before,
		     const struct ms_inventory *after, const struct ms_compile_options *options,
		     const struct ms_ruleset *installed, struct ms_delta *ret_delta)
{
	_cleanup_(ms_delta_fini) struct ms_delta delta = {0};
	struct ms_arena *arena = ms_arena_new();
	struct delta d = {.before = before, .after = after};
	int r = arena ? find_delta(policy, &d, options, installed, arena, &delta) : -ENOMEM;

	ms_arena_free(arena);
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
