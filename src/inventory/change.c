/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Change: what differs between two snapshots of one node, where it is endpoints and addresses of
 * the host only.
 */
#include <errno.h>
#include <string.h>

#include "microseg/inventory.h"

static bool texts_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool ms_endpoints_equal(const struct ms_endpoint *a, const struct ms_endpoint *b)
{
	return strcmp(a->interface, b->interface) == 0 && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->bridge, b->bridge) == 0 && ms_mac_compare(&a->mac, &b->mac) == 0 &&
	       ms_addrs_equal(&a->addrs, &b->addrs) && a->ready == b->ready &&
	       a->state == b->state && texts_equal(a->identity, b->identity);
}

/* The order of an inventory. */
static int compare_endpoints(const struct ms_endpoint *a, const struct ms_endpoint *b)
{
	int r = strcmp(a->interface, b->interface);

	return r ? r : strcmp(a->name, b->name);
}

static int find_endpoints(const struct ms_inventory *before, const struct ms_inventory *after,
			  struct ms_arena *arena, struct ms_inventory_change *change)
{
	const struct ms_endpoint *a = before->endpoints.items, *b = after->endpoints.items;
	const struct ms_endpoint *a_end = a + before->endpoints.n_items,
				 *b_end = b + after->endpoints.n_items;
	int r = 0;

	while (r == 0 && (a < a_end || b < b_end)) {
		int order = a == a_end ? 1 : b == b_end ? -1 : compare_endpoints(a, b);

		if (order == 0 && ms_endpoints_equal(a, b)) {
			a++;
			b++;
			continue;
		}
		if (order <= 0)
			r = ms_avec_push(arena, &change->gone, a++);
		if (r == 0 && order >= 0)
			r = ms_avec_push(arena, &change->come, b++);
	}
	return r;
}

static int find_hosts(const ms_addr_vec *before, const ms_addr_vec *after, struct ms_arena *arena,
		      struct ms_inventory_change *change)
{
	size_t i = 0, j = 0;
	int r = 0;

	while (r == 0 && (i < before->n_items || j < after->n_items)) {
		int order = i == before->n_items ? 1
			    : j == after->n_items
				    ? -1
				    : ms_addr_compare(&before->items[i], &after->items[j]);

		if (order < 0)
			r = ms_avec_push(arena, &change->hosts_gone, before->items[i]);
		else if (order > 0)
			r = ms_avec_push(arena, &change->hosts_come, after->items[j]);
		i += order <= 0;
		j += order >= 0;
	}
	return r;
}

static bool nets_equal(const ms_prefix_vec *a, const ms_prefix_vec *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (ms_prefix_compare(&a->items[i], &b->items[i]) != 0)
			return false;
	return true;
}

static bool links_equal(const struct ms_inventory *a, const struct ms_inventory *b)
{
	if (a->links.n_items != b->links.n_items)
		return false;
	for (size_t i = 0; i < a->links.n_items; i++) {
		const struct ms_managed_link *x = &a->links.items[i], *y = &b->links.items[i];

		if (x->bridge != y->bridge || strcmp(x->name, y->name) != 0 ||
		    !ms_addrs_equal(&x->addrs, &y->addrs) || !nets_equal(&x->nets, &y->nets))
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

int ms_inventory_compare(const struct ms_inventory *before, const struct ms_inventory *after,
			 struct ms_arena *arena, struct ms_inventory_change *ret_change)
{
	struct ms_inventory_change change = {0};

	if (!macs_equal(before, after) || !links_equal(before, after) ||
	    !text_lists_equal(&before->skipped, &after->skipped) ||
	    !text_lists_equal(&before->patterns, &after->patterns))
		return 1;
	int r = find_hosts(&before->hosts, &after->hosts, arena, &change);
	if (r == 0)
		r = find_endpoints(before, after, arena, &change);
	if (r == 0)
		*ret_change = change;
	return r;
}
