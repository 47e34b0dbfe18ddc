/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inventory: a snapshot of what runs on one node.
 *
 * Whoever makes a snapshot (discovery, a static file) fills in facts, calls
 * ms_inventory_canonicalize() once and then ms_inventory_identify() (identify.c). From there on it
 * is only read, so it can be handed to the compiler, the oracle and the event room at the same
 * time. It owns one arena and borrows nothing from a policy.
 *
 * Canonical means: two snapshots of the same facts are equal item by item, in whatever order events
 * brought them.
 */
#include "microseg/inventory.h"

#include <stdlib.h>
#include <string.h>

const char *const ms_default_patterns[] = {
	"br-*",	   "cni*", "docker0", "docker_gwbridge", "incusbr*", "lxcbr*", "lxdbr*",
	"podman*", "vb-*", "ve-*",    "veth*",		 NULL,
};

const char *ms_endpoint_state_name(enum ms_endpoint_state state)
{
	switch (state) {
	case MS_ENDPOINT_PENDING:
		return "pending";
	case MS_ENDPOINT_IDENTIFIED:
		return "identified";
	case MS_ENDPOINT_UNIDENTIFIED:
		break;
	}
	return "unidentified";
}

struct ms_inventory *ms_inventory_new(void)
{
	struct ms_arena *arena = ms_arena_new();
	struct ms_inventory *inventory = arena ? ms_arena_alloc(arena, sizeof(*inventory)) : NULL;

	if (!inventory) {
		ms_arena_free(arena);
		return NULL;
	}
	inventory->arena = arena;
	inventory->node = "";
	return inventory;
}

struct ms_inventory *ms_inventory_free(struct ms_inventory *inventory)
{
	if (inventory)
		ms_arena_free(inventory->arena);
	return NULL;
}

static int compare_texts(const void *left, const void *right)
{
	const char *const *a = left, *const *b = right;

	return strcmp(*a, *b);
}

static int compare_prefixes(const void *left, const void *right)
{
	return ms_prefix_compare(left, right);
}

static int compare_addrs(const void *left, const void *right)
{
	return ms_addr_compare(left, right);
}

static int compare_macs(const void *left, const void *right)
{
	return ms_mac_compare(left, right);
}

static int compare_labels(const void *left, const void *right)
{
	const struct ms_label *a = left, *b = right;
	int r = strcmp(a->name, b->name);

	return r ? r : strcmp(a->value, b->value);
}

static int compare_workloads(const void *left, const void *right)
{
	const struct ms_workload *a = left, *b = right;
	int r = strcmp(a->name, b->name);

	return r ? r : strcmp(a->id, b->id);
}

static int compare_addr_lists(const ms_addr_vec *a, const ms_addr_vec *b)
{
	for (size_t i = 0; i < a->n_items && i < b->n_items; i++) {
		int r = ms_addr_compare(&a->items[i], &b->items[i]);

		if (r)
			return r;
	}
	return (a->n_items > b->n_items) - (a->n_items < b->n_items);
}

/* Interface and name are unique on a node; the rest keeps static inventories, which may lack both,
 * canonical. */
static int compare_endpoints(const void *left, const void *right)
{
	const struct ms_endpoint *a = left, *b = right;
	int r = strcmp(a->interface, b->interface);

	if (r == 0)
		r = strcmp(a->name, b->name);
	if (r == 0)
		r = ms_mac_compare(&a->mac, &b->mac);
	return r ? r : compare_addr_lists(&a->addrs, &b->addrs);
}

static int compare_links(const void *left, const void *right)
{
	const struct ms_managed_link *a = left, *b = right;

	return strcmp(a->name, b->name);
}

static int compare_uncovered(const void *left, const void *right)
{
	const struct ms_uncovered *a = left, *b = right;
	int r = strcmp(a->what, b->what);

	return r ? r : strcmp(a->reason, b->reason);
}

/* Sorts and drops what stands twice. */
#define sort_unique(vec, compare)                                                                  \
	do {                                                                                       \
		__typeof__(vec) v_ = (vec);                                                        \
		size_t kept_ = 0;                                                                  \
		ms_vec_sort(v_, compare);                                                          \
		for (size_t i_ = 0; i_ < v_->n_items; i_++)                                        \
			if (kept_ == 0 || compare(&v_->items[kept_ - 1], &v_->items[i_]) != 0)     \
				v_->items[kept_++] = v_->items[i_];                                \
		v_->n_items = kept_;                                                               \
	} while (0)

static void fill_text(const char **text)
{
	if (!*text)
		*text = "";
}

static void canonicalize_endpoint(struct ms_endpoint *endpoint)
{
	fill_text(&endpoint->interface);
	fill_text(&endpoint->bridge);
	fill_text(&endpoint->network);
	sort_unique(&endpoint->addrs, compare_addrs);
	ms_vec_each (struct ms_workload, workload, &endpoint->workloads) {
		fill_text(&workload->name);
		fill_text(&workload->id);
		fill_text(&workload->runtime);
		fill_text(&workload->image);
		sort_unique(&workload->labels, compare_labels);
	}
	ms_vec_sort(&endpoint->workloads, compare_workloads);
	if (!endpoint->name || !*endpoint->name)
		endpoint->name = endpoint->workloads.n_items ? endpoint->workloads.items[0].name
							     : endpoint->interface;
}

static int compare_holders(const void *left, const void *right)
{
	const struct ms_holder *a = left, *b = right;
	int r = ms_addr_compare(&a->addr, &b->addr);

	return r ? r : (a->endpoint > b->endpoint) - (a->endpoint < b->endpoint);
}

static void index_addrs(struct ms_inventory *inventory)
{
	inventory->holders.n_items = 0;
	inventory->incomplete = false;
	for (size_t i = 0; i < inventory->endpoints.n_items; i++)
		ms_vec_each (struct ms_addr, addr, &inventory->endpoints.items[i].addrs)
			if (ms_avec_push(inventory->arena, &inventory->holders,
					 (struct ms_holder){*addr, i}) < 0)
				inventory->incomplete = true;
	ms_vec_sort(&inventory->holders, compare_holders);
}

static void index_macs(struct ms_inventory *inventory)
{
	inventory->macs.n_items = 0;
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
		if (!ms_mac_is_zero(&endpoint->mac) &&
		    ms_avec_push(inventory->arena, &inventory->macs, endpoint->mac) < 0)
			inventory->incomplete = true;
	ms_vec_sort(&inventory->macs, compare_macs);
}

void ms_inventory_canonicalize(struct ms_inventory *inventory)
{
	fill_text(&inventory->node);
	sort_unique(&inventory->hosts, compare_addrs);
	sort_unique(&inventory->host_macs, compare_macs);
	sort_unique(&inventory->skipped, compare_texts);
	sort_unique(&inventory->patterns, compare_texts);
	ms_vec_sort(&inventory->uncovered, compare_uncovered);

	ms_vec_each (struct ms_managed_link, link, &inventory->links) {
		sort_unique(&link->addrs, compare_addrs);
		sort_unique(&link->nets, compare_prefixes);
	}
	ms_vec_sort(&inventory->links, compare_links);

	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
		canonicalize_endpoint(endpoint);
	ms_vec_sort(&inventory->endpoints, compare_endpoints);
	index_addrs(inventory);
	index_macs(inventory);
	inventory->canonical = true;
}

static bool addrs_hold(const ms_addr_vec *addrs, const struct ms_addr *addr)
{
	return addrs->n_items &&
	       bsearch(addr, addrs->items, addrs->n_items, sizeof(*addrs->items), compare_addrs);
}

/* The first holder of @addr, or where it would stand. */
static size_t first_holder(const struct ms_inventory *inventory, const struct ms_addr *addr)
{
	size_t low = 0, high = inventory->holders.n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ms_addr_compare(&inventory->holders.items[middle].addr, addr) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t ms_inventory_n_holders(const struct ms_inventory *inventory, const struct ms_addr *addr)
{
	size_t first = first_holder(inventory, addr), end = first;

	while (end < inventory->holders.n_items &&
	       ms_addr_equal(&inventory->holders.items[end].addr, addr))
		end++;
	return end - first;
}

const struct ms_endpoint *ms_inventory_by_addr(const struct ms_inventory *inventory,
					       const struct ms_addr *addr)
{
	if (ms_inventory_n_holders(inventory, addr) != 1)
		return NULL;
	size_t first = first_holder(inventory, addr);
	return &inventory->endpoints.items[inventory->holders.items[first].endpoint];
}

static int compare_interface(const void *interface, const void *endpoint)
{
	return strcmp(interface, ((const struct ms_endpoint *)endpoint)->interface);
}

const struct ms_endpoint *ms_inventory_by_interface(const struct ms_inventory *inventory,
						    const char *interface)
{
	if (!*interface || inventory->endpoints.n_items == 0)
		return NULL;
	return bsearch(interface, inventory->endpoints.items, inventory->endpoints.n_items,
		       sizeof(*inventory->endpoints.items), compare_interface);
}

size_t ms_inventory_n_macs(const struct ms_inventory *inventory, const struct ms_mac *mac)
{
	size_t low = 0, high = inventory->macs.n_items, n = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ms_mac_compare(&inventory->macs.items[middle], mac) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	while (low + n < inventory->macs.n_items &&
	       ms_mac_compare(&inventory->macs.items[low + n], mac) == 0)
		n++;
	return n;
}

bool ms_inventory_is_host(const struct ms_inventory *inventory, const struct ms_addr *addr)
{
	return addrs_hold(&inventory->hosts, addr);
}

const struct ms_managed_link *ms_inventory_link(const struct ms_inventory *inventory,
						const char *name)
{
	const struct ms_managed_link wanted = {.name = name};

	if (inventory->canonical)
		return inventory->links.n_items
			       ? bsearch(&wanted, inventory->links.items, inventory->links.n_items,
					 sizeof(wanted), compare_links)
			       : NULL;
	ms_vec_each (const struct ms_managed_link, link, &inventory->links)
		if (strcmp(link->name, name) == 0)
			return link;
	return NULL;
}
