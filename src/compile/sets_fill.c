/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fill: what of an inventory becomes which elements. The sets stand there already.
 */
#include "sets.h"

#include <string.h>

/* An element that ends with the audit. */
static void end_with_audit(struct ms_elem *elem, time_t audit_end)
{
	elem->until = audit_end == AUDITED ? 0 : audit_end;
}

static void add_audited(struct compiler *c, struct ms_set *set, const struct ms_endpoint *endpoint)
{
	end_with_audit(sets_add_text(c, set, endpoint->interface), endpoint_audit_end(c, endpoint));
}

static void add_carrier(struct compiler *c, struct ms_table *table,
			const struct ms_endpoint *endpoint)
{
	const char *name = carried_carriers(c, endpoint);

	if (name)
		sets_add_text(c, sets_find(c, table, name), endpoint->interface);
}

/* The same without the MAC, where there is audit: see compile_owned() of guard.c. */
static void add_held(struct compiler *c, const struct ms_endpoint *endpoint,
		     const struct ms_addr *addr)
{
	struct ms_set *sets[] = {
		sets_find_family(c, c->bridge, "held", family_of(addr)),
		addr->ip == MS_IP6 ? sets_find(c, c->bridge, "held-nd-target") : NULL,
	};

	for (size_t i = 0; c->audits && i < 2 && sets[i]; i++)
		ms_elem_key(sets[i], sets_add_text(c, sets[i], endpoint->interface), 1, addr->bytes,
			    ms_addr_size(addr->ip));
}

/* What a port may advertise, and ask for before it has it. */
static void add_target(struct compiler *c, const struct ms_endpoint *endpoint,
		       const struct ms_addr *addr)
{
	struct ms_set *target = sets_find(c, c->bridge, "nd-target");
	struct ms_elem *elem = sets_add_text(c, target, endpoint->interface);

	ms_elem_key(target, elem, 1, endpoint->mac.bytes, 6);
	ms_elem_key(target, elem, 2, addr->bytes, 16);
}

static void fill_port(struct compiler *c, const struct ms_endpoint *endpoint)
{
	static const char *const macs[] = {"mac", "nd-mac", "rs-mac"};
	const struct ms_addr early = ms_addr_of_mac(&endpoint->mac);
	struct ms_elem *elem;

	if (!endpoint->interface[0] || !endpoint->bridge[0] || ms_mac_is_zero(&endpoint->mac))
		return;
	sets_add_text(c, sets_find(c, c->bridge, "ports"), endpoint->interface);
	if (quarantine_holds(c, endpoint))
		sets_add_text(c, sets_find(c, c->bridge, "quarantined"), endpoint->interface);
	if (claims_mac_is_disputed(c, endpoint))
		return;
	add_carrier(c, c->bridge, endpoint);
	for (size_t i = 0; i < sizeof(macs) / sizeof(macs[0]); i++) {
		struct ms_set *mac = sets_find(c, c->bridge, macs[i]);

		elem = sets_add_text(c, mac, endpoint->interface);
		ms_elem_key(mac, elem, 1, endpoint->mac.bytes, 6);
	}
	ms_vec_each (struct ms_addr, addr, &endpoint->addrs) {
		struct ms_set *source = sets_find_family(c, c->bridge, "source", family_of(addr));

		if (!claims_addr_is_own(c, endpoint, addr))
			continue;
		elem = sets_add_text(c, source, endpoint->interface);
		ms_elem_key(source, elem, 1, endpoint->mac.bytes, 6);
		ms_elem_key(source, elem, 2, addr->bytes, ms_addr_size(addr->ip));
		add_held(c, endpoint, addr);
		if (addr->ip == MS_IP6)
			add_target(c, endpoint, addr);
	}
	add_target(c, endpoint, &early);
}

static void fill_routed(struct compiler *c, const struct ms_endpoint *endpoint)
{
	struct ms_elem *elem;

	if (!c->arp || !endpoint->interface[0] || endpoint->bridge[0])
		return;
	sets_add_text(c, sets_find(c, c->inet, "routed"), endpoint->interface);
	if (quarantine_holds(c, endpoint))
		sets_add_text(c, sets_find(c, c->inet, "quarantined"), endpoint->interface);
	sets_add_text(c, sets_find(c, c->arp, "routed"), endpoint->interface);
	add_carrier(c, c->inet, endpoint);
	add_carrier(c, c->arp, endpoint);
	if (c->audits && endpoint_audit_end(c, endpoint) > ENFORCED) {
		add_audited(c, sets_find(c, c->inet, "routed-audited"), endpoint);
		add_audited(c, sets_find(c, c->arp, "routed-audited"), endpoint);
	}
	elem = sets_add_text(c, sets_find(c, c->arp, "mac"), endpoint->interface);
	ms_elem_key(sets_find(c, c->arp, "mac"), elem, 1, endpoint->mac.bytes, 6);
	ms_vec_each (struct ms_addr, addr, &endpoint->addrs) {
		struct ms_set *source = sets_find_family(c, c->inet, "source", family_of(addr));
		struct ms_set *arp = sets_find(c, c->arp, "source/4");

		if (!claims_addr_is_own(c, endpoint, addr))
			continue;
		elem = sets_add_text(c, source, endpoint->interface);
		ms_elem_key(source, elem, 1, addr->bytes, ms_addr_size(addr->ip));
		if (addr->ip != MS_IP4)
			continue;
		elem = sets_add_text(c, arp, endpoint->interface);
		ms_elem_key(arp, elem, 1, endpoint->mac.bytes, 6);
		ms_elem_key(arp, elem, 2, addr->bytes, 4);
	}
}

static void own_mac(struct compiler *c, const struct ms_mac *mac)
{
	static const char *const names[] = {"owned-mac", "owned-nd-mac", "owned-rs-mac"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct ms_set *set = sets_find(c, c->bridge, names[i]);

		ms_elem_key(set, ms_ruleset_add_elem(c->ruleset, set), 0, mac->bytes, 6);
	}
}

/* Nobody carries what somebody has. */
static void own_uncarried(struct compiler *c, const struct ms_addr *addr)
{
	sets_add_member(c, c->bridge, "uncarried", addr);
	sets_add_member(c, c->inet, "uncarried", addr);
	if (c->arp)
		sets_add_member(c, c->arp, "uncarried", addr);
}

/* Of these sets only "owned-nd-target" is there when nothing is in audit. */
static void own_addr(struct compiler *c, const struct ms_addr *addr)
{
	own_uncarried(c, addr);
	sets_add_member(c, c->bridge, "owned", addr);
	if (c->arp) {
		sets_add_member(c, c->inet, "owned", addr);
		sets_add_member(c, c->arp, "owned", addr);
	}
	if (addr->ip == MS_IP6)
		sets_add_addr(c, sets_find(c, c->bridge, "owned-nd-target"), addr);
}

static void fill_owned_addrs(struct compiler *c)
{
	struct ms_set *targets = sets_find(c, c->bridge, "owned-nd-target");

	ms_vec_each (struct ms_endpoint, endpoint, &c->inventory->endpoints) {
		const struct ms_addr early = ms_addr_of_mac(&endpoint->mac);

		if (!endpoint_is_known(endpoint))
			continue;
		ms_vec_each (struct ms_addr, addr, &endpoint->addrs)
			own_addr(c, addr);
		if (endpoint->bridge[0] && !ms_mac_is_zero(&endpoint->mac))
			sets_add_addr(c, targets, &early);
	}
	ms_vec_each (struct ms_addr, addr, &c->inventory->hosts)
		own_addr(c, addr);
	ms_vec_each (struct ms_node, node, &c->policy->nodes)
		ms_vec_each (struct ms_addr, addr, &node->addrs)
			own_uncarried(c, addr);
}

/* What a port in audit may not claim all the same: MACs that belong to somebody. */
static void fill_owned(struct compiler *c)
{
	ms_vec_each (struct ms_endpoint, endpoint, &c->inventory->endpoints) {
		if (!endpoint_is_known(endpoint))
			continue;
		if (!ms_mac_is_zero(&endpoint->mac))
			own_mac(c, &endpoint->mac);
		if (endpoint_audit_end(c, endpoint) > ENFORCED && endpoint->interface[0] &&
		    endpoint->bridge[0])
			add_audited(c, sets_find(c, c->bridge, "audited"), endpoint);
	}
	ms_vec_each (struct ms_mac, mac, &c->inventory->host_macs)
		own_mac(c, mac);
}

/*
 * An endpoint's addresses in the inet table. Link-local ones mean something on their own link only:
 * anybody outside may have the same, so they are not `local`, and no grant between endpoints covers
 * them (see link-local in judge.c).
 */
static void fill_addrs(struct compiler *c, const struct ms_endpoint *endpoint)
{
	ms_vec_each (struct ms_addr, addr, &endpoint->addrs) {
		struct ms_set *self = sets_find_family(c, c->inet, "self", family_of(addr));

		if (!claims_addr_is_own(c, endpoint, addr))
			continue;
		ms_elem_key(self, sets_add_addr(c, self, addr), 1, addr->bytes,
			    ms_addr_size(addr->ip));
		/* An address that names nobody has nobody's mode. */
		time_t audit_end = addr_identifies(c, addr) ? endpoint_audit_end(c, endpoint)
				   : c->policy->unidentified == MS_MODE_AUDIT ? AUDITED
									      : ENFORCED;

		if (audit_end > ENFORCED)
			end_with_audit(sets_add_addr(c,
						     sets_find_family(c, c->inet, "audited",
								      family_of(addr)),
						     addr),
				       audit_end);
		if (audit_end > ENFORCED && audit_end < AUDITED)
			sets_add_member(c, c->inet,
					name_of(c, "relaxed/%s", clock_name(c, audit_end)), addr);
		if (addr_identifies(c, addr) && quarantine_holds(c, endpoint))
			sets_add_member(c, c->inet, "quarantined", addr);
		if (!ms_addr_is_link_local(addr))
			sets_add_member(c, c->inet, "local", addr);
		if (endpoint->state == MS_ENDPOINT_IDENTIFIED && addr_identifies(c, addr))
			sets_add_member(c, c->inet, name_of(c, "any/%s", endpoint->env), addr);
	}
}

/* The broadcast addresses of a link's networks, the old one of all zeros too. */
static void fill_broadcast(struct compiler *c, const struct ms_managed_link *link)
{
	struct ms_set *set = sets_find(c, c->bridge, "broadcast");

	ms_vec_each (const struct ms_prefix, net, &link->nets) {
		struct ms_range range = ms_prefix_range(net);

		if (!set || net->addr.ip != MS_IP4 || net->len == 0 || net->len > 30)
			continue;
		sets_add_addr(c, set, &range.first);
		sets_add_addr(c, set, &range.last);
	}
}

static void fill_links(struct compiler *c)
{
	struct ms_set *same = sets_find(c, c->inet, "same");

	ms_vec_each (struct ms_managed_link, link, &c->inventory->links) {
		if (!link_is_known(c->inventory, link))
			continue;
		sets_add_text(c, sets_find(c, c->inet, "managed"), link->name);
		if (c->arp)
			sets_add_text(c, sets_find(c, c->arp, "managed"), link->name);
		if (link->bridge)
			ms_elem_key(same, sets_add_text(c, same, link->name), 1, link->name,
				    strlen(link->name));
		if (link->bridge)
			fill_broadcast(c, link);
		ms_vec_each (struct ms_addr, addr, &link->addrs) {
			struct ms_set *gateway =
				sets_find_family(c, c->inet, "gateway", family_of(addr));

			ms_elem_key(gateway, sets_add_text(c, gateway, link->name), 1, addr->bytes,
				    ms_addr_size(addr->ip));
		}
	}
	ms_vec_each (const char *, name, &c->inventory->skipped) {
		sets_add_text(c, sets_find(c, c->inet, "skipped"), *name);
		sets_add_text(c, sets_find(c, c->bridge, "skipped"), *name);
		if (c->arp)
			sets_add_text(c, sets_find(c, c->arp, "skipped"), *name);
	}
}

void sets_fill(struct compiler *c)
{
	if (c->ruleset->failed)
		return;
	fill_links(c);
	ms_vec_each (struct ms_endpoint, endpoint, &c->inventory->endpoints) {
		if (!endpoint_is_known(endpoint))
			continue;
		fill_port(c, endpoint);
		fill_routed(c, endpoint);
		fill_addrs(c, endpoint);
	}
	fill_owned_addrs(c);
	if (c->audits)
		fill_owned(c);
}
