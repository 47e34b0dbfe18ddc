/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims: root in a container gives its interface whatever MAC and addresses it likes, and
 * discovery reports them. What is the host's stays the host's here, and a MAC that several have on
 * one bridge is nobody's: else a claim would be enough to answer for the gateway, or to have the
 * bridge send a neighbour's frames elsewhere.
 */
#include "compiler.h"

#include <stdlib.h>
#include <string.h>

static int compare_stations(const void *left, const void *right)
{
	const struct station *a = left, *b = right;
	int r = strcmp(a->bridge, b->bridge);

	return r ? r : ms_mac_compare(&a->mac, &b->mac);
}

static bool is_station(const station_vec *stations, const char *bridge, const struct ms_mac *mac)
{
	const struct station wanted = {bridge, *mac};

	return stations->n_items > 0 && bsearch(&wanted, stations->items, stations->n_items,
						sizeof(wanted), compare_stations);
}

/* The link-local address that a MAC makes is kept for who has this MAC, before he has the address:
 * else it could be taken from him while he asks whether it is free. */
static bool is_of_another_mac(const struct compiler *c, const struct ms_endpoint *endpoint,
			      const struct ms_addr *addr)
{
	struct ms_mac mac;

	return endpoint->bridge[0] && ms_addr_to_mac(addr, &mac) &&
	       ms_mac_compare(&mac, &endpoint->mac) != 0 &&
	       is_station(&c->stations, endpoint->bridge, &mac);
}

bool claims_addr_is_own(const struct compiler *c, const struct ms_endpoint *endpoint,
			const struct ms_addr *addr)
{
	if (ms_addr_is_loopback(addr) || ms_addr_is_multicast(addr) || ms_addr_is_unspecified(addr))
		return false;
	if (!ms_addr_is_link_local(addr))
		return !ms_inventory_is_host(c->inventory, addr);
	if (is_of_another_mac(c, endpoint, addr))
		return false;
	/* The host has link-local addresses on every link: only those on the endpoint's own bridge
	 * are in its way. */
	const struct ms_managed_link *link = ms_inventory_link(c->inventory, endpoint->bridge);
	for (size_t i = 0; link && i < link->addrs.n_items; i++)
		if (ms_addr_equal(&link->addrs.items[i], addr))
			return false;
	return true;
}

static void add_station(struct compiler *c, station_vec *stations, const char *bridge,
			const struct ms_mac *mac)
{
	if (ms_avec_push(c->ruleset->arena, stations, ((struct station){bridge, *mac})) < 0)
		c->ruleset->failed = true;
}

void claims_find_disputed(struct compiler *c)
{
	station_vec *all = &c->stations;

	ms_vec_each (struct ms_endpoint, endpoint, &c->inventory->endpoints) {
		if (!endpoint->bridge[0] || ms_mac_is_zero(&endpoint->mac))
			continue;
		add_station(c, all, endpoint->bridge, &endpoint->mac);
		ms_vec_each (struct ms_mac, mac, &c->inventory->host_macs)
			if (ms_mac_compare(mac, &endpoint->mac) == 0)
				add_station(c, all, endpoint->bridge, mac);
	}
	ms_vec_sort(all, compare_stations);
	for (size_t i = 1; i < all->n_items; i++)
		if (compare_stations(&all->items[i - 1], &all->items[i]) == 0)
			add_station(c, &c->disputed, all->items[i].bridge, &all->items[i].mac);
}

bool claims_mac_is_disputed(const struct compiler *c, const struct ms_endpoint *endpoint)
{
	return is_station(&c->disputed, endpoint->bridge, &endpoint->mac);
}
