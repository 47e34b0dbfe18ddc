/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/part.h"

#include <errno.h>
#include <string.h>

#define MORE 1

static bool contains(const ms_text_vec *texts, const char *text)
{
	ms_vec_each (const char *, own, texts)
		if (strcmp(*own, text) == 0)
			return true;
	return false;
}

/* Is @name, or was it, more than a port of a bridge: skipped, or a link of the host's own? */
static bool is_more(const struct ms_inventory *inventory, const char *name)
{
	return contains(&inventory->skipped, name) || ms_inventory_link(inventory, name);
}

/* Those addresses that were left out are told of elsewhere in a snapshot. */
static bool is_full(const struct ms_endpoint *endpoint)
{
	return endpoint && endpoint->addrs.n_items >= MS_MAX_PEER_ADDRS;
}

/* Addresses that are not an endpoint's own likewise: "endpoint NAME" is what they are told under.
 */
static bool is_told_of(const struct ms_inventory *inventory, const char *name)
{
	static const char prefix[] = "endpoint ";

	ms_vec_each (const struct ms_uncovered, uncovered, &inventory->uncovered)
		if (strncmp(uncovered->what, prefix, sizeof(prefix) - 1) == 0 &&
		    strcmp(uncovered->what + sizeof(prefix) - 1, name) == 0)
			return true;
	return false;
}

static int compare_names(const void *left, const void *right)
{
	const char *const *a = left, *const *b = right;

	return strcmp(*a, *b);
}

static int add_endpoint(const struct ms_inventory *before, const struct ms_inventory *part,
			const char *name, struct ms_arena *arena,
			struct ms_inventory_change *change)
{
	const struct ms_endpoint *gone = ms_inventory_by_interface(before, name);
	const struct ms_endpoint *come = ms_inventory_by_interface(part, name);
	int r = 0;

	if (is_more(before, name) || is_more(part, name) || is_full(gone) || is_full(come) ||
	    is_told_of(before, name) || is_told_of(part, name))
		return MORE;
	if (gone)
		r = ms_avec_push(arena, &change->gone, gone);
	if (r == 0 && come)
		r = ms_avec_push(arena, &change->come, come);
	return r;
}

static int add_endpoints(const struct ms_inventory *before, const struct ms_inventory *part,
			 const struct ms_links *links, struct ms_arena *arena,
			 struct ms_inventory_change *change)
{
	MS_VEC(const char *) names = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < links->dirty.veths.n_items; i++)
		r = ms_avec_push(arena, &names, links->dirty.veths.items[i].name);
	ms_vec_sort(&names, compare_names);
	for (size_t i = 0; r == 0 && i < names.n_items; i++)
		if (i == 0 || strcmp(names.items[i - 1], names.items[i]) != 0)
			r = add_endpoint(before, part, names.items[i], arena, change);
	return r;
}

static int compare_addrs(const void *left, const void *right)
{
	return ms_addr_compare(left, right);
}

static int add_hosts(const struct ms_inventory *before, const struct ms_links *links,
		     struct ms_arena *arena, struct ms_inventory_change *change)
{
	ms_addr_vec addrs = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && i < links->dirty.addrs.n_items; i++)
		r = ms_avec_push(arena, &addrs, links->dirty.addrs.items[i]);
	ms_vec_sort(&addrs, compare_addrs);
	for (size_t i = 0; r == 0 && i < addrs.n_items; i++) {
		const struct ms_addr *addr = &addrs.items[i];
		bool was = ms_inventory_is_host(before, addr);
		bool is = !ms_addr_is_loopback(addr) && ms_links_have_addr(links, addr);

		if (was == is || (i > 0 && ms_addr_equal(addr - 1, addr)))
			continue;
		r = is ? ms_avec_push(arena, &change->hosts_come, *addr)
		       : ms_avec_push(arena, &change->hosts_gone, *addr);
	}
	return r;
}

int ms_part_change(const struct ms_inventory *before, const struct ms_inventory *part,
		   const struct ms_links *links, struct ms_arena *arena,
		   struct ms_inventory_change *ret_change)
{
	struct ms_inventory_change change = {0};
	int r = links->dirty.partial ? 0 : MORE;

	if (r == 0)
		r = add_endpoints(before, part, links, arena, &change);
	if (r == 0)
		r = add_hosts(before, links, arena, &change);
	if (r == 0)
		*ret_change = change;
	return r;
}
