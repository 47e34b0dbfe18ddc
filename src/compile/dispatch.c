/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dispatch: the lookup that finds whose packet it is. A map of verdicts for each way and family
 * goes to the service's own chain; who has none is found by the set of his environment and goes to
 * its end chain.
 *
 * An element that jumps makes the kernel look at all such elements of the table when it commits: a
 * time that grows with the node. So there is one only where it has something to say, and who comes
 * need not wait for it: his addresses stand in "late", plain elements as all others of his are,
 * and lists of the services find his chains until the maps have him (shortway.c). The maps are a
 * shorter way to where the lists lead, and no verdict depends on who is in them.
 *
 * So that a packet's cost does not grow with the services, the lists are short: each service stands
 * in the list of its bucket, a hash of its identity, and "late-BUCKET" holds who is late in it.
 */
#include "roles.h"
#include "sets.h"

#include <string.h>

static const char *const way_names[N_WAYS + 1] = {"to", "into", "from", "host", "link"};

const char *way_name(enum way way)
{
	return way_names[way];
}

/* Where the addresses of @env go that have no chain of their own. */
static const char *common_end(struct compiler *c, enum way way, const struct ms_env *env)
{
	time_t audit_end = audit_end_of(c, env->name, NULL, env->mode);

	return way == LINK ? end_link_name(c, env->name, audit_end)
			   : end_name(c, way_names[way], env->name, audit_end);
}

struct target target_of(struct compiler *c, enum way way, const char *env, const char *chain)
{
	const char *end = common_end(c, way, ms_policy_env(c->policy, env));

	return (struct target){.chain = chain, .common = strcmp(chain, end) == 0};
}

/* The rules. */

static struct ms_chain *late_chain(struct compiler *c, enum way way)
{
	if (!c->late[way].chain)
		c->late[way].chain = ms_ruleset_add_chain(c->ruleset, c->inet,
							  name_of(c, "late/%s", way_names[way]));
	return c->late[way].chain;
}

/* FNV-1a: a service keeps its bucket whatever other services there are. */
static unsigned int bucket_of(const char *identity)
{
	uint32_t hash = 2166136261u;

	for (; *identity; identity++)
		hash = (hash ^ (unsigned char)*identity) * 16777619u;
	return hash % LATE_BUCKETS;
}

static const char *bucket_name(struct compiler *c, unsigned int bucket)
{
	return name_of(c, "late-%02x", bucket);
}

static struct ms_chain *bucket_chain(struct compiler *c, enum way way, unsigned int bucket)
{
	struct ms_chain **chain = &c->late[way].buckets[bucket];

	if (!*chain)
		*chain = ms_ruleset_add_chain(
			c->ruleset, c->inet,
			name_of(c, "%s/%s", bucket_name(c, bucket), way_names[way]));
	return *chain;
}

void dispatch_declare_bucket(struct compiler *c, const char *identity,
			     const struct targets *targets)
{
	const char *name = bucket_name(c, bucket_of(identity));
	bool listed = false;

	for (int way = 0; way <= LINK; way++)
		listed |= !targets->ways[way].common;
	for (size_t i = 0; listed && i < 2 && !sets_find_family(c, c->inet, name, &families[i]);
	     i++)
		sets_declare_addrs(c, c->inet, name_of(c, "%s/%d", name, families[i].ip),
				   &families[i]);
}

static enum ms_field key_of(enum way way, const struct family *family)
{
	return way == FROM || way == HOST ? family->saddr : family->daddr;
}

void dispatch_compile(struct compiler *c, struct ms_chain *chain, enum way way)
{
	for (size_t i = 0; i < 2; i++) {
		const enum ms_field key = key_of(way, &families[i]);

		ms_rule_vmap(c->ruleset, rule_add(c, chain),
			     name_of(c, "%s/%d", way_names[way], families[i].ip), 1, &key);
	}
	for (size_t i = 0; i < 2; i++) {
		struct ms_rule *rule = rule_add(c, chain);

		rule_set(c, rule, key_of(way, &families[i]), false,
			 name_of(c, "late/%d", families[i].ip));
		ms_rule_verdict(c->ruleset, rule, MS_VERDICT_JUMP, late_chain(c, way)->name);
	}
	ms_vec_each (struct ms_env, env, &c->policy->envs)
		for (size_t i = 0; i < 2; i++) {
			struct ms_rule *rule = rule_add(c, chain);

			rule_set(c, rule, key_of(way, &families[i]), false,
				 name_of(c, "any/%s/%d", env->name, families[i].ip));
			rule_goto(c, rule, common_end(c, way, env));
		}
}

void dispatch_list(struct compiler *c, const struct subject *subject, const struct targets *targets)
{
	const unsigned int bucket = bucket_of(subject->identity);

	dispatch_declare_bucket(c, subject->identity, targets);
	for (int way = 0; way <= LINK; way++)
		for (size_t i = 0; i < 2 && !targets->ways[way].common; i++) {
			struct ms_rule *rule = rule_add(c, bucket_chain(c, (enum way)way, bucket));

			rule_set(c, rule, key_of((enum way)way, &families[i]), false,
				 sets_peer(c, &families[i], subject->env, subject->name));
			rule_goto(c, rule, targets->ways[way].chain);
		}
}

/* The rules that lead to the bucket's list, of which there are no more than buckets. */
static void list_bucket(struct compiler *c, enum way way, unsigned int bucket)
{
	for (size_t i = 0; i < 2; i++) {
		struct ms_rule *rule = rule_add(c, late_chain(c, way));

		rule_set(c, rule, key_of(way, &families[i]), false,
			 name_of(c, "%s/%d", bucket_name(c, bucket), families[i].ip));
		rule_goto(c, rule, c->late[way].buckets[bucket]->name);
	}
}

void dispatch_finish(struct compiler *c)
{
	for (int way = 0; way <= LINK; way++)
		for (unsigned int bucket = 0; bucket < LATE_BUCKETS; bucket++)
			if (c->late[way].buckets[bucket])
				list_bucket(c, (enum way)way, bucket);
}

/* The elements. An address that several endpoints have identifies none of them. */

static void dispatch_late(struct compiler *c, const struct ms_endpoint *endpoint,
			  const struct ms_addr *addr)
{
	sets_add_member(c, c->inet, "late", addr);
	sets_add_member(c, c->inet, bucket_name(c, bucket_of(endpoint->identity)), addr);
}

static void dispatch(struct compiler *c, enum way way, const struct ms_endpoint *endpoint,
		     const struct target *target)
{
	ms_vec_each (struct ms_addr, addr, &endpoint->addrs) {
		bool own = claims_addr_is_own(c, endpoint, addr);

		if (!addr_identifies(c, addr) || (own && target->common))
			continue;
		if (own && endpoint->late)
			dispatch_late(c, endpoint, addr);
		else
			sets_dispatch(c, way_names[way], addr, target->chain);
	}
}

/* Link-local addresses that endpoints have and that say nothing of who they are. */
static void note_nameless(struct compiler *c, const struct ms_endpoint *endpoint)
{
	bool nobody = endpoint->state != MS_ENDPOINT_IDENTIFIED;

	ms_vec_each (struct ms_addr, addr, &endpoint->addrs)
		if (ms_addr_is_link_local(addr) && (nobody || !addr_identifies(c, addr)))
			sets_add_member(c, c->inet, "nameless", addr);
}

void targets_dispatch(struct compiler *c, const struct targets *targets,
		      const struct ms_endpoint *const *endpoints, size_t n_endpoints)
{
	for (size_t i = 0; i < n_endpoints; i++)
		note_nameless(c, endpoints[i]);
	for (int way = 0; way <= LINK; way++)
		for (size_t i = 0; i < n_endpoints; i++)
			dispatch(c, (enum way)way, endpoints[i], &targets->ways[way]);
}

void dispatch_unidentified(struct compiler *c)
{
	ms_vec_each (struct ms_endpoint, endpoint, &c->inventory->endpoints)
		if (endpoint_is_known(endpoint) && endpoint->state != MS_ENDPOINT_IDENTIFIED)
			note_nameless(c, endpoint);
}
