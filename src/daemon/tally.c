/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/tally.h"

#include <stdlib.h>
#include <string.h>

/* Without memory an entry is left out of the table, instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)
/* The default one falls through from case to case, which our warnings forbid. */
#define HASH_FUNCTION(key, len, value) HASH_FNV(key, len, value)
#include <uthash.h>

struct entry {
	uint32_t ifindex;
	bool hashed;
	struct ms_tally_counts counts;
	UT_hash_handle hh;
};

/* As many as there are endpoints that something was refused to or from. */
struct ms_tally {
	struct entry *entries;
};

struct ms_tally *ms_tally_new(void)
{
	return calloc(1, sizeof(struct ms_tally));
}

static void forget(struct ms_tally *tally, struct entry *entry)
{
	HASH_DEL(tally->entries, entry);
	free(entry);
}

struct ms_tally *ms_tally_free(struct ms_tally *tally)
{
	while (tally && tally->entries)
		forget(tally, tally->entries);
	free(tally);
	return NULL;
}

static struct entry *find(const struct ms_tally *tally, uint32_t ifindex)
{
	struct entry *entry;

	HASH_FIND(hh, tally->entries, &ifindex, sizeof(ifindex), entry);
	return entry;
}

static struct entry *find_or_make(struct ms_tally *tally, uint32_t ifindex)
{
	struct entry *entry = find(tally, ifindex);

	if (entry || !(entry = calloc(1, sizeof(*entry))))
		return entry;
	entry->ifindex = ifindex;
	entry->hashed = true;
	HASH_ADD(hh, tally->entries, ifindex, sizeof(entry->ifindex), entry);
	if (entry->hashed)
		return entry;
	free(entry);
	return NULL;
}

/* By its port where the packet tells it: an address may be forged. */
static const struct ms_endpoint *endpoint_of(const struct ms_inventory *inventory,
					     const struct ms_event_end *end)
{
	const struct ms_endpoint *endpoint =
		end->interface[0] ? ms_inventory_by_interface(inventory, end->interface) : NULL;

	if (!endpoint && end->has_ip)
		endpoint = ms_inventory_by_addr(inventory, &end->ip);
	return endpoint;
}

static void add(struct ms_tally *tally, const struct ms_event *event,
		const struct ms_endpoint *endpoint)
{
	struct entry *entry = find_or_make(tally, endpoint->ifindex);

	if (!entry)
		return;
	if (event->verdict == MS_AUDIT)
		entry->counts.audited += event->count;
	else
		entry->counts.denied += event->count;
	entry->counts.last_ms = event->time_ms;
}

void ms_tally_add(struct ms_tally *tally, const struct ms_event *event,
		  const struct ms_inventory *inventory)
{
	const struct ms_endpoint *src = endpoint_of(inventory, &event->src),
				 *dst = endpoint_of(inventory, &event->dst);

	if (src)
		add(tally, event, src);
	if (dst && dst != src)
		add(tally, event, dst);
}

static int compare_indexes(const void *a, const void *b)
{
	const uint32_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

void ms_tally_keep(struct ms_tally *tally, const struct ms_inventory *inventory)
{
	MS_VEC(uint32_t) indexes = {0};
	int r = 0;

	if (!tally->entries)
		return;
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
		r = r < 0 ? r : ms_vec_push(&indexes, endpoint->ifindex);
	if (indexes.n_items)
		qsort(indexes.items, indexes.n_items, sizeof(*indexes.items), compare_indexes);
	for (struct entry *entry = tally->entries, *next; r == 0 && entry; entry = next) {
		next = entry->hh.next;
		if (!indexes.n_items || !bsearch(&entry->ifindex, indexes.items, indexes.n_items,
						 sizeof(*indexes.items), compare_indexes))
			forget(tally, entry);
	}
	ms_vec_fini(&indexes);
}

struct ms_tally_counts ms_tally_get(const struct ms_tally *tally,
				    const struct ms_endpoint *endpoint)
{
	const struct entry *entry = find(tally, endpoint->ifindex);

	return entry ? entry->counts : (struct ms_tally_counts){0};
}
