/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets: which there are, and the peers of services, nodes and nets in them. An endpoint that comes
 * or goes changes their elements and nothing else.
 *
 * Names cannot collide: the peers of a service are "ENV/SERVICE/4", those of an environment
 * "any/ENV/4" and nets "net/NAME-HASH/4", where `any` and `net` are reserved words; those of
 * callers, "grants/ENV/SERVICE/4", and "carries/ENV/SERVICE/4" have four parts, and of all others
 * only "carriers/ENV/SERVICE" has three, and ends in a name.
 */
#include "sets.h"
#include "roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((void)(entry), (void)(c->ruleset->failed = true))
#define HASH_FUNCTION HASH_FNV /* the default one falls through cases, which clang reports */
#include <uthash.h>

/* Its hash function falls through on purpose, which a comment in a system header does not tell
 * clang. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"

#define REVOKED_SET 262144 /* connections that were cut, of each IP */
#define LIMIT_SET 65536	   /* addresses that have connections; more are not limited */
#define SMALL_SET 64	   /* least room in the set of one service */
#define NODE_SET 256	   /* least room in a set of the whole node */
#define GROW_FACTOR 4	   /* a set that fills is rebuilt with this much more room */

/* Finds a set by its name: thousands of peer sets are asked for again and again. */
struct set_entry {
	UT_hash_handle hh;
	struct ms_set *set;
};

static struct ms_set *declare(struct compiler *c, struct ms_table *table, const char *name,
			      size_t n_fields, const enum ms_field *fields, uint32_t least)
{
	struct ms_set *set = ms_ruleset_add_set(c->ruleset, table, name, n_fields, fields);
	struct set_entry *entry = ms_arena_alloc(c->ruleset->arena, sizeof(*entry));

	set->size = least;
	if (!entry) {
		c->ruleset->failed = true;
		return set;
	}
	entry->set = set;
	HASH_ADD_KEYPTR(hh, c->sets[table->family], set->name, strlen(set->name), entry);
	return set;
}

void sets_fini(struct compiler *c)
{
	for (size_t i = 0; i < 3; i++)
		HASH_CLEAR(hh, c->sets[i]);
}

static void declare_family_sets(struct compiler *c, struct ms_table *table, const char *name,
				bool map)
{
	for (size_t i = 0; i < 2; i++) {
		struct ms_set *set = declare(c, table, name_of(c, "%s/%d", name, families[i].ip), 1,
					     &families[i].saddr, NODE_SET);
		set->map = map;
	}
}

/* Room for twice what is there, in coarse steps, so that a set is seldom rebuilt. */
uint32_t sets_room(uint32_t least, size_t n_elems)
{
	while (least > 0 && least < n_elems * 2)
		least *= GROW_FACTOR;
	return least;
}

void sets_make_room(struct ms_ruleset *ruleset)
{
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		ms_vec_each (struct ms_set *, set, &(*table)->sets)
			(*set)->size = sets_room((*set)->size, (*set)->elems.n_items);
}

/* A relax ends in the kernel. */
static void declare_audited(struct compiler *c, struct ms_table *table, const char *name,
			    enum ms_field field)
{
	declare(c, table, name, 1, &field, NODE_SET)->timed = c->relax_ends.n_items > 0;
}

void sets_declare_bridge(struct compiler *c)
{
	static const enum ms_field port = MS_FIELD_IIFNAME;
	static const enum ms_field mac[] = {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR};
	static const enum ms_field source4[] = {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR,
						MS_FIELD_IP_SADDR};
	static const enum ms_field source6[] = {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR,
						MS_FIELD_IP6_SADDR};
	static const enum ms_field target[] = {MS_FIELD_IIFNAME, MS_FIELD_ETHER_SADDR,
					       MS_FIELD_ND_TARGET};
	static const enum ms_field lladdr[] = {MS_FIELD_IIFNAME, MS_FIELD_ND_LLADDR};
	static const enum ms_field ether = MS_FIELD_ETHER_SADDR;
	static const enum ms_field rs_lladdr[] = {MS_FIELD_IIFNAME, MS_FIELD_RS_LLADDR};
	static const enum ms_field nd_target = MS_FIELD_ND_TARGET;
	static const enum ms_field daddr4 = MS_FIELD_IP_DADDR;
	static const enum ms_field held4[] = {MS_FIELD_IIFNAME, MS_FIELD_IP_SADDR};
	static const enum ms_field held6[] = {MS_FIELD_IIFNAME, MS_FIELD_IP6_SADDR};
	static const enum ms_field held_target[] = {MS_FIELD_IIFNAME, MS_FIELD_ND_TARGET};

	declare(c, c->bridge, "ports", 1, &port, NODE_SET);
	declare(c, c->bridge, "skipped", 1, &port, NODE_SET);
	declare(c, c->bridge, "mac", 2, mac, NODE_SET);
	declare(c, c->bridge, "source/4", 3, source4, NODE_SET);
	declare(c, c->bridge, "source/6", 3, source6, NODE_SET);
	declare(c, c->bridge, "nd-target", 3, target, NODE_SET);
	declare(c, c->bridge, "nd-mac", 2, lladdr, NODE_SET);
	declare(c, c->bridge, "rs-mac", 2, rs_lladdr, NODE_SET);
	declare(c, c->bridge, "owned-nd-target", 1, &nd_target, NODE_SET);
	carried_declare(c, c->bridge, true);
	if (c->policy->quarantines.n_items > 0)
		declare(c, c->bridge, "quarantined", 1, &port, SMALL_SET);
	if (!c->audits)
		return;
	declare_audited(c, c->bridge, "audited", port);
	declare(c, c->bridge, "broadcast", 1, &daddr4, SMALL_SET);
	declare(c, c->bridge, "owned-mac", 1, &ether, NODE_SET);
	declare(c, c->bridge, "owned-nd-mac", 1, &lladdr[1], NODE_SET);
	declare(c, c->bridge, "owned-rs-mac", 1, &rs_lladdr[1], NODE_SET);
	declare(c, c->bridge, "held/4", 2, held4, NODE_SET);
	declare(c, c->bridge, "held/6", 2, held6, NODE_SET);
	declare(c, c->bridge, "held-nd-target", 2, held_target, NODE_SET);
	declare_family_sets(c, c->bridge, "owned", false);
}

/* Routed veths have no bridge port: what the guard needs of them stands in the inet and arp tables.
 */
static void declare_routed(struct compiler *c)
{
	static const enum ms_field link = MS_FIELD_IIFNAME;
	static const enum ms_field arp[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER,
					    MS_FIELD_ARP_SADDR_IP};
	static const enum ms_field mac[] = {MS_FIELD_IIFNAME, MS_FIELD_ARP_SADDR_ETHER};

	declare(c, c->inet, "routed", 1, &link, NODE_SET);
	for (size_t i = 0; i < 2; i++) {
		const enum ms_field source[] = {MS_FIELD_IIFNAME, families[i].saddr};

		declare(c, c->inet, name_of(c, "source/%d", families[i].ip), 2, source, NODE_SET);
	}
	declare(c, c->arp, "managed", 1, &link, NODE_SET);
	declare(c, c->arp, "skipped", 1, &link, NODE_SET);
	declare(c, c->arp, "routed", 1, &link, NODE_SET);
	declare(c, c->arp, "mac", 2, mac, NODE_SET);
	declare(c, c->arp, "source/4", 3, arp, NODE_SET);
	carried_declare(c, c->arp, true);
	if (!c->audits)
		return;
	declare_audited(c, c->inet, "routed-audited", link);
	declare_family_sets(c, c->inet, "owned", false);
	declare_audited(c, c->arp, "routed-audited", link);
	declare(c, c->arp, "owned/4", 1, &arp[2], NODE_SET);
}

/* Each address beside itself: a lookup of two fields that finds whether they are equal. */
static void declare_self(struct compiler *c)
{
	static const enum ms_field keys[2][2] = {
		{MS_FIELD_IP_SADDR, MS_FIELD_CT_ORIGINAL_IP_SADDR},
		{MS_FIELD_IP6_SADDR, MS_FIELD_CT_ORIGINAL_IP6_SADDR},
	};

	for (size_t i = 0; i < 2; i++)
		declare(c, c->inet, name_of(c, "self/%d", families[i].ip), 2, keys[i], NODE_SET);
}

/* What the daemon has cut, as its servers' segments have it: see judge.c. */
static void declare_revoked(struct compiler *c)
{
	static const enum ms_field nfproto = MS_FIELD_NFPROTO;

	for (size_t i = 0; i < 2; i++) {
		const enum ms_field key[] = {families[i].saddr, MS_FIELD_TCP_SPORT,
					     families[i].daddr, MS_FIELD_TCP_DPORT};
		struct ms_set *set = declare(c, c->inet, name_of(c, "revoked/%d", families[i].ip),
					     4, key, REVOKED_SET);

		set->timed = set->dynamic = true;
	}
	struct ms_set *any = declare(c, c->inet, "revoked/any", 1, &nfproto, 2);
	any->timed = any->dynamic = true;
}

void sets_declare_inet(struct compiler *c)
{
	static const enum ms_field link = MS_FIELD_IIFNAME;
	static const enum ms_field pair[] = {MS_FIELD_IIFNAME, MS_FIELD_OIFNAME};

	declare(c, c->inet, "managed", 1, &link, NODE_SET);
	declare(c, c->inet, "skipped", 1, &link, NODE_SET);
	declare(c, c->inet, "same", 2, pair, NODE_SET);
	for (size_t i = 0; i < 2; i++) {
		const enum ms_field gateway[] = {MS_FIELD_IIFNAME, families[i].daddr};

		declare(c, c->inet, name_of(c, "gateway/%d", families[i].ip), 2, gateway, NODE_SET);
	}
	declare_family_sets(c, c->inet, "local", false);
	declare_self(c);
	declare_revoked(c);
	for (size_t i = 0; c->audits && i < 2; i++)
		declare_audited(c, c->inet, name_of(c, "audited/%d", families[i].ip),
				families[i].saddr);
	ms_vec_each (time_t, end, &c->relax_ends)
		declare_family_sets(c, c->inet, name_of(c, "relaxed/%s", clock_name(c, *end)),
				    false);
	if (c->policy->quarantines.n_items > 0) {
		declare_family_sets(c, c->inet, "quarantined", false);
		if (c->arp)
			declare(c, c->inet, "quarantined", 1, &link, SMALL_SET);
	}
	carried_declare(c, c->inet, c->arp);
	if (c->arp)
		declare_routed(c);
	ms_vec_each (struct ms_env, env, &c->policy->envs)
		declare_family_sets(c, c->inet, name_of(c, "any/%s", env->name), false);
	declare_family_sets(c, c->inet, "to", true);
	declare_family_sets(c, c->inet, "from", true);
	declare_family_sets(c, c->inet, "host", true);
	declare_family_sets(c, c->inet, "into", true);
	declare_family_sets(c, c->inet, "link", true);
	declare_family_sets(c, c->inet, "nameless", false);
	declare_family_sets(c, c->inet, "late", false);
}

static void declare_limit(struct compiler *c, const char *name, enum ms_field key)
{
	struct ms_set *set = declare(c, c->inet, name, 1, &key, LIMIT_SET);

	set->dynamic = true;
	set->count_over = c->options->max_connections;
}

void sets_declare_limits(struct compiler *c)
{
	for (size_t i = 0; i < 2; i++)
		declare_limit(c, name_of(c, "limit/%d", families[i].ip), families[i].saddr);
	declare_limit(c, "limit/link", MS_FIELD_IIFNAME);
}

struct ms_set *sets_find(struct compiler *c, struct ms_table *table, const char *name)
{
	struct set_entry *entry = NULL;

	HASH_FIND_STR(c->sets[table->family], name, entry);
	return entry ? entry->set : NULL;
}

struct ms_set *sets_find_family(struct compiler *c, struct ms_table *table, const char *name,
				const struct family *family)
{
	char text[256];

	snprintf(text, sizeof(text), "%s/%d", name, family->ip);
	return sets_find(c, table, text);
}

struct ms_elem *sets_add_text(struct compiler *c, struct ms_set *set, const char *interface)
{
	struct ms_elem *elem = ms_ruleset_add_elem(c->ruleset, set);

	ms_elem_key(set, elem, 0, interface, strlen(interface));
	return elem;
}

struct ms_elem *sets_add_addr(struct compiler *c, struct ms_set *set, const struct ms_addr *addr)
{
	struct ms_elem *elem = ms_ruleset_add_elem(c->ruleset, set);

	ms_elem_key(set, elem, 0, addr->bytes, ms_addr_size(addr->ip));
	return elem;
}

void sets_add_member(struct compiler *c, struct ms_table *table, const char *name,
		     const struct ms_addr *addr)
{
	struct ms_set *set = sets_find_family(c, table, name, family_of(addr));

	if (set)
		sets_add_addr(c, set, addr);
}

void sets_dispatch(struct compiler *c, const char *map, const struct ms_addr *addr,
		   const char *chain)
{
	struct ms_set *set = sets_find_family(c, c->inet, map, family_of(addr));

	if (set)
		sets_add_addr(c, set, addr)->verdict =
			(struct ms_rule_verdict){MS_VERDICT_GOTO, chain};
	else
		c->ruleset->failed = true;
}

static int compare_identity(const void *key, const void *item)
{
	return strcmp(key, (*(const struct ms_endpoint *const *)item)->identity);
}

size_t sets_first_member(const struct compiler *c, const char *identity)
{
	size_t low = 0, high = c->members.n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_identity(identity, &c->members.items[middle]) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add_peers(struct compiler *c, struct ms_set *set, const struct family *family,
		      const char *identity)
{
	for (size_t i = sets_first_member(c, identity); i < c->members.n_items; i++) {
		if (compare_identity(identity, &c->members.items[i]) != 0)
			return;
		ms_vec_each (struct ms_addr, addr, &c->members.items[i]->addrs)
			if (addr->ip == family->ip && addr_identifies(c, addr))
				sets_add_addr(c, set, addr);
	}
}

const char *sets_peer(struct compiler *c, const struct family *family, const char *env,
		      const char *service)
{
	const char *name = service ? name_of(c, "%s/%s/%d", env, service, family->ip)
				   : name_of(c, "any/%s/%d", env, family->ip);

	/* Those of environments are declared from the start. */
	if (!service || sets_find(c, c->inet, name))
		return name;
	add_peers(c, declare(c, c->inet, name, 1, &family->saddr, SMALL_SET), family,
		  name_of(c, "%s/%s", env, service));
	roles_note_peer(c, family, env, service);
	return name;
}

const char *sets_node(struct compiler *c, const struct family *family, const char *node)
{
	const char *name = node ? name_of(c, "node/%s/%d", node, family->ip)
				: name_of(c, "nodes/%d", family->ip);

	if (sets_find(c, c->inet, name))
		return name;
	struct ms_set *set = declare(c, c->inet, name, 1, &family->saddr, SMALL_SET);
	ms_vec_each (struct ms_node, entry, &c->policy->nodes)
		if (!node || strcmp(entry->name, node) == 0)
			ms_vec_each (struct ms_addr, addr, &entry->addrs)
				if (addr->ip == family->ip)
					sets_add_addr(c, set, addr);
	return name;
}

struct ms_set *sets_callers(struct compiler *c, const struct family *family, const char *identity)
{
	const enum ms_field key[] = {family->saddr, MS_FIELD_L4PROTO, MS_FIELD_TH_DPORT};
	const char *name = name_of(c, "grants/%s/%d", identity, family->ip);
	struct ms_set *set = sets_find(c, c->inet, name);

	if (!set)
		set = declare(c, c->inet, name, 3, key, SMALL_SET);
	set->counts = true;
	return set;
}

static void add_caller(struct compiler *c, struct ms_set *set, const struct ms_addr *addr,
		       const struct ms_ports *port, const struct ms_origin *at)
{
	const uint8_t number[2] = {(uint8_t)(port->first >> 8), (uint8_t)port->first};
	struct ms_elem *elem = sets_add_addr(c, set, addr);

	ms_elem_key(set, elem, 1, &port->proto, 1);
	ms_elem_key(set, elem, 2, number, sizeof(number));
	ms_ruleset_elem_origin(c->ruleset, elem, at);
}

void sets_add_caller(struct compiler *c, struct ms_set *set, const struct family *family,
		     const char *identity, const struct ms_ports *port, const struct ms_origin *at)
{
	for (size_t i = sets_first_member(c, identity); i < c->members.n_items; i++) {
		if (compare_identity(identity, &c->members.items[i]) != 0)
			return;
		ms_vec_each (struct ms_addr, addr, &c->members.items[i]->addrs)
			if (addr->ip == family->ip && addr_identifies(c, addr))
				add_caller(c, set, addr, port, at);
	}
}

/* FNV-1a over the ranges: equal nets share a set, and a policy edited elsewhere does not rename it.
 */
static uint32_t ranges_hash(const ms_range_vec *ranges, const struct family *family)
{
	uint32_t hash = 2166136261u;

	ms_vec_each (struct ms_range, range, ranges) {
		if (range->first.ip != family->ip)
			continue;
		for (size_t i = 0; i < family->size; i++)
			hash = (hash ^ range->first.bytes[i]) * 16777619u;
		for (size_t i = 0; i < family->size; i++)
			hash = (hash ^ range->last.bytes[i]) * 16777619u;
	}
	return hash;
}

static struct ms_set *declare_by_source(struct compiler *c, struct ms_table *table,
					const char *name, const struct family *family,
					uint32_t least)
{
	const enum ms_field field =
		table->family == MS_FAMILY_ARP ? MS_FIELD_ARP_SADDR_IP : family->saddr;

	return declare(c, table, name, 1, &field, least);
}

void sets_declare_addrs(struct compiler *c, struct ms_table *table, const char *name,
			const struct family *family)
{
	declare_by_source(c, table, name, family, NODE_SET);
}

void sets_declare_ports(struct compiler *c, struct ms_table *table, const char *name)
{
	static const enum ms_field port = MS_FIELD_IIFNAME;

	declare(c, table, name, 1, &port, SMALL_SET);
}

void sets_declare_ranges(struct compiler *c, struct ms_table *table, const char *name,
			 const struct family *family, const ms_range_vec *ranges)
{
	struct ms_set *set = declare_by_source(c, table, name, family, 0);

	set->interval = true;
	ms_vec_each (const struct ms_range, range, ranges)
		if (range->first.ip == family->ip)
			memcpy(sets_add_addr(c, set, &range->first)->end, range->last.bytes,
			       family->size);
}

const char *sets_net(struct compiler *c, const struct family *family, const struct ms_peer *peer)
{
	bool named = peer->net_name &&
		     (ms_name_valid(peer->net_name) || !strcmp(peer->net_name, "internet"));
	const char *name =
		name_of(c, "net/%s%s%08x/%d", named ? peer->net_name : "", named ? "-" : "",
			ranges_hash(&peer->ranges, family), family->ip);

	if (!sets_find(c, c->inet, name))
		sets_declare_ranges(c, c->inet, name, family, &peer->ranges);
	return name;
}
