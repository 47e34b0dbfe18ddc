/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/decide.h"

#include "grants.h"

static bool holds(const struct ms_endpoint *endpoint, const struct ms_addr *addr)
{
	ms_vec_each (const struct ms_addr, held, &endpoint->addrs)
		if (ms_addr_equal(held, addr))
			return true;
	return false;
}

static const struct ms_addr *first_global_addr(const struct ms_endpoint *endpoint)
{
	ms_vec_each (const struct ms_addr, addr, &endpoint->addrs)
		if (!ms_addr_is_special(addr))
			return addr;
	return NULL;
}

struct ms_party ms_party_of_endpoint(const struct ms_endpoint *endpoint)
{
	const struct ms_addr *addr = first_global_addr(endpoint);
	struct ms_party party = {.kind = MS_PARTY_UNIDENTIFIED, .endpoint = endpoint};

	if (addr) {
		party.has_addr = true;
		party.addr = *addr;
	}
	if (endpoint->state == MS_ENDPOINT_IDENTIFIED) {
		party.kind = MS_PARTY_SERVICE;
		party.env = endpoint->env;
		party.service = endpoint->service;
	}
	return party;
}

/* An address held by several endpoints identifies none of them, but it is an endpoint's all the
 * same. */
static struct ms_party party_of_holders(const struct ms_inventory *inventory,
					const struct ms_addr *addr, bool *ret_found)
{
	const struct ms_endpoint *only = ms_inventory_by_addr(inventory, addr);
	struct ms_party party = {.kind = MS_PARTY_UNIDENTIFIED};

	*ret_found = only != NULL;
	if (only)
		party = ms_party_of_endpoint(only);
	else
		ms_vec_each (const struct ms_endpoint, endpoint, &inventory->endpoints)
			*ret_found = *ret_found || holds(endpoint, addr);
	party.has_addr = true;
	party.addr = *addr;
	return party;
}

static const struct ms_node *find_node(const struct ms_policy *policy, const struct ms_addr *addr)
{
	ms_vec_each (const struct ms_node, node, &policy->nodes)
		ms_vec_each (const struct ms_addr, held, &node->addrs)
			if (ms_addr_equal(held, addr))
				return node;
	return NULL;
}

/*
 * Multicast, broadcast, link-local and loopback addresses that nobody holds come out as
 * MS_PARTY_NET too, also behind a managed interface: no range of a grant covers them, so the
 * decision refuses them with no-grant. Another node never lies behind a managed interface: what has
 * its address there is nobody we know.
 */
struct ms_party ms_party_of_addr(const struct ms_policy *policy,
				 const struct ms_inventory *inventory, const struct ms_addr *addr,
				 bool managed)
{
	bool found = false;
	struct ms_party party = {0};

	if (inventory)
		party = party_of_holders(inventory, addr, &found);
	if (found)
		return party;

	party = (struct ms_party){.kind = MS_PARTY_NET, .has_addr = true, .addr = *addr};
	const struct ms_node *node = policy ? find_node(policy, addr) : NULL;
	if (inventory && ms_inventory_is_host(inventory, addr)) {
		party.kind = MS_PARTY_HOST;
	} else if (managed && !ms_addr_is_special(addr)) {
		party.carried = policy && !node && ms_ranges_contain(&policy->carried, addr);
		if (!party.carried)
			party.kind = MS_PARTY_UNIDENTIFIED;
	} else if (node) {
		party.kind = MS_PARTY_NODE;
		party.node = node->name;
	}
	return party;
}

static void settle(struct ms_party *party, bool beside_service)
{
	if (party->carried && !beside_service)
		party->kind = MS_PARTY_UNIDENTIFIED;
}

void ms_settle_carried(struct ms_party *src, struct ms_party *dst)
{
	bool src_is_service = src->kind == MS_PARTY_SERVICE;

	settle(src, dst->kind == MS_PARTY_SERVICE);
	settle(dst, src_is_service);
}
