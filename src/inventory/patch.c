/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Patch: carries a change out on a snapshot that nobody else holds, so that it becomes the next one
 * without being made anew. All memory is had before the first step: it is done whole or not at all.
 */
#include <errno.h>
#include <string.h>

#include "microseg/inventory.h"

/* Room for @n more, doubled as pushing doubles it: patches come by the thousand. */
#define make_room(arena, vec, n)                                                                   \
	({                                                                                         \
		__typeof__(vec) vec_ = (vec);                                                      \
		int r_ = 0;                                                                        \
		while (r_ == 0 && vec_->n_room - vec_->n_items < (n))                              \
			r_ = ms_vec_grow(arena, (void **)&vec_->items, &vec_->n_room,              \
					 vec_->n_room, sizeof(*vec_->items));                      \
		r_;                                                                                \
	})

#define insert_at(vec, at, value)                                                                  \
	do {                                                                                       \
		__typeof__(vec) vec_ = (vec);                                                      \
		size_t at_ = (at);                                                                 \
		memmove(vec_->items + at_ + 1, vec_->items + at_,                                  \
			(vec_->n_items++ - at_) * sizeof(*vec_->items));                           \
		vec_->items[at_] = (value);                                                        \
	} while (0)

#define remove_at(vec, at)                                                                         \
	do {                                                                                       \
		__typeof__(vec) vec_ = (vec);                                                      \
		size_t at_ = (at);                                                                 \
		memmove(vec_->items + at_, vec_->items + at_ + 1,                                  \
			(--vec_->n_items - at_) * sizeof(*vec_->items));                           \
	} while (0)

/* The first item of @vec that is not before @key. */
#define lower_bound(vec, key, compare)                                                             \
	({                                                                                         \
		__typeof__(vec) sorted_ = (vec);                                                   \
		size_t low_ = 0, high_ = sorted_->n_items;                                         \
		while (low_ < high_) {                                                             \
			size_t middle_ = low_ + (high_ - low_) / 2;                                \
			if (compare(&sorted_->items[middle_], key) < 0)                            \
				low_ = middle_ + 1;                                                \
			else                                                                       \
				high_ = middle_;                                                   \
		}                                                                                  \
		low_;                                                                              \
	})

/* Copies, into the arena of the snapshot. */

static bool copy_text(struct ms_arena *arena, const char **text)
{
	if (!*text)
		return true;
	*text = ms_arena_strdup(arena, *text);
	return *text;
}

static bool copy_workload(struct ms_arena *arena, struct ms_workload *workload)
{
	__typeof__(workload->labels) labels = workload->labels;

	memset(&workload->labels, 0, sizeof(workload->labels));
	ms_vec_each (const struct ms_label, label, &labels) {
		struct ms_label copy = *label;

		if (!copy_text(arena, &copy.name) || !copy_text(arena, &copy.value) ||
		    ms_avec_push(arena, &workload->labels, copy) < 0)
			return false;
	}
	return copy_text(arena, &workload->name) && copy_text(arena, &workload->id) &&
	       copy_text(arena, &workload->runtime) && copy_text(arena, &workload->image);
}

static bool copy_endpoint(struct ms_arena *arena, struct ms_endpoint *endpoint)
{
	__typeof__(endpoint->workloads) workloads = endpoint->workloads;
	ms_addr_vec addrs = endpoint->addrs;
	const char **texts[] = {&endpoint->name,     &endpoint->interface, &endpoint->bridge,
				&endpoint->network,  &endpoint->env,	   &endpoint->service,
				&endpoint->identity, &endpoint->why};

	memset(&endpoint->workloads, 0, sizeof(endpoint->workloads));
	memset(&endpoint->addrs, 0, sizeof(endpoint->addrs));
	ms_vec_each (const struct ms_workload, workload, &workloads) {
		struct ms_workload copy = *workload;

		if (!copy_workload(arena, &copy) ||
		    ms_avec_push(arena, &endpoint->workloads, copy) < 0)
			return false;
	}
	ms_vec_each (const struct ms_addr, addr, &addrs)
		if (ms_avec_push(arena, &endpoint->addrs, *addr) < 0)
			return false;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!copy_text(arena, texts[i]))
			return false;
	return true;
}

typedef MS_VEC(struct ms_endpoint) copy_vec;

static int copy_all(struct ms_arena *arena, const ms_endpoint_vec *come, copy_vec *copies)
{
	ms_vec_each (const struct ms_endpoint *, endpoint, come) {
		struct ms_endpoint copy = **endpoint;

		if (!copy_endpoint(arena, &copy) || ms_avec_push(arena, copies, copy) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int make_all_room(struct ms_inventory *inventory, const struct ms_inventory_change *change)
{
	size_t n_addrs = 0, n = change->come.n_items;

	ms_vec_each (const struct ms_endpoint *, endpoint, &change->come)
		n_addrs += (*endpoint)->addrs.n_items;
	int r = make_room(inventory->arena, &inventory->endpoints, n);
	if (r == 0)
		r = make_room(inventory->arena, &inventory->holders, n_addrs);
	if (r == 0)
		r = make_room(inventory->arena, &inventory->macs, n);
	return r == 0 ? make_room(inventory->arena, &inventory->hosts, change->hosts_come.n_items)
		      : r;
}

/* Endpoints. */

static int compare_endpoint(const struct ms_endpoint *a, const struct ms_endpoint *b)
{
	int r = strcmp(a->interface, b->interface);

	return r ? r : strcmp(a->name, b->name);
}

static int compare_holder(const struct ms_holder *a, const struct ms_holder *b)
{
	int r = ms_addr_compare(&a->addr, &b->addr);

	return r ? r : (a->endpoint > b->endpoint) - (a->endpoint < b->endpoint);
}

/* Takes the holders of endpoint @at out and moves those behind it one down. */
static void remove_holders(struct ms_inventory *inventory, size_t at)
{
	size_t n = 0;

	for (size_t i = 0; i < inventory->holders.n_items; i++) {
		struct ms_holder holder = inventory->holders.items[i];

		if (holder.endpoint == at)
			continue;
		holder.endpoint -= holder.endpoint > at;
		inventory->holders.items[n++] = holder;
	}
	inventory->holders.n_items = n;
}

static void insert_holders(struct ms_inventory *inventory, size_t at,
			   const struct ms_endpoint *endpoint)
{
	ms_vec_each (struct ms_holder, holder, &inventory->holders)
		holder->endpoint += holder->endpoint >= at;
	ms_vec_each (const struct ms_addr, addr, &endpoint->addrs) {
		const struct ms_holder holder = {*addr, at};

		insert_at(&inventory->holders,
			  lower_bound(&inventory->holders, &holder, compare_holder), holder);
	}
}

static void remove_endpoint(struct ms_inventory *inventory, const struct ms_endpoint *gone)
{
	size_t at = lower_bound(&inventory->endpoints, gone, compare_endpoint);
	size_t mac = lower_bound(&inventory->macs, &gone->mac, ms_mac_compare);

	if (!ms_mac_is_zero(&gone->mac))
		remove_at(&inventory->macs, mac);
	remove_holders(inventory, at);
	remove_at(&inventory->endpoints, at);
}

static void insert_endpoint(struct ms_inventory *inventory, const struct ms_endpoint *come)
{
	size_t at = lower_bound(&inventory->endpoints, come, compare_endpoint);

	if (!ms_mac_is_zero(&come->mac))
		insert_at(&inventory->macs,
			  lower_bound(&inventory->macs, &come->mac, ms_mac_compare), come->mac);
	insert_holders(inventory, at, come);
	insert_at(&inventory->endpoints, at, *come);
}

static void patch_hosts(ms_addr_vec *hosts, const struct ms_inventory_change *change)
{
	ms_vec_each (const struct ms_addr, addr, &change->hosts_gone)
		remove_at(hosts, lower_bound(hosts, addr, ms_addr_compare));
	ms_vec_each (const struct ms_addr, addr, &change->hosts_come)
		insert_at(hosts, lower_bound(hosts, addr, ms_addr_compare), *addr);
}

int ms_inventory_patch(struct ms_inventory *inventory, const struct ms_inventory_change *change)
{
	struct ms_arena *scratch = ms_arena_new();
	copy_vec gone = {0}, come = {0};
	int r = scratch ? 0 : -ENOMEM;

	/* Those that go lie in the list that they are taken from. */
	for (size_t i = 0; r == 0 && i < change->gone.n_items; i++)
		r = ms_avec_push(scratch, &gone, *change->gone.items[i]);
	if (r == 0)
		r = copy_all(inventory->arena, &change->come, &come);
	if (r == 0)
		r = make_all_room(inventory, change);
	if (r == 0) {
		ms_vec_each (const struct ms_endpoint, endpoint, &gone)
			remove_endpoint(inventory, endpoint);
		ms_vec_each (const struct ms_endpoint, endpoint, &come)
			insert_endpoint(inventory, endpoint);
		patch_hosts(&inventory->hosts, change);
		inventory->revision++;
	}
	ms_arena_free(scratch);
	return r;
}
