/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who: the ends that flows can have, out of policies and inventories.
 *
 * An identity is what has a document, what an endpoint bears, and what a line names: a service
 * without a document may be a peer, and its containers may come later.
 */
#include "matrix_work.h"

#include <stdlib.h>
#include <string.h>

#include "grants.h"

static int compare_identities(const void *left, const void *right)
{
	const struct matrix_identity *a = left, *b = right;
	int r = strcmp(a->env, b->env);

	return r ? r : strcmp(a->service, b->service);
}

struct ms_party matrix_party(const struct matrix_identity *identity)
{
	return (struct ms_party){
		.kind = MS_PARTY_SERVICE, .env = identity->env, .service = identity->service};
}

static void add_identity(struct matrix_work *work, const char *env, const char *service)
{
	if (env && service && ms_policy_env(work->sides[0].policy, env))
		matrix_push(work, &work->identities,
			    (struct matrix_identity){.env = env, .service = service});
}

static void add_peer(struct matrix_work *work, const struct ms_peer *peer)
{
	if (peer->kind == MS_PEER_SERVICE)
		add_identity(work, peer->env, peer->service);
}

static void add_policy(struct matrix_work *work, const struct ms_policy *policy)
{
	ms_vec_each (const struct ms_service, service, &policy->services) {
		add_identity(work, service->env, service->name);
		ms_vec_each (const struct ms_grant, grant, &service->allow)
			add_peer(work, &grant->peer);
		ms_vec_each (const struct ms_grant, grant, &service->needs)
			add_peer(work, &grant->peer);
	}
	ms_vec_each (const struct ms_crossing, crossing, &policy->crossings) {
		add_peer(work, &crossing->from);
		add_peer(work, &crossing->to);
	}
	ms_vec_each (const struct ms_exception, exception, &policy->exceptions) {
		add_peer(work, &exception->from);
		add_peer(work, &exception->to);
	}
}

static void describe(const struct matrix_work *work, struct matrix_identity *identity)
{
	const struct ms_env *env = ms_policy_env(work->sides[0].policy, identity->env);

	for (size_t i = 0; i < work->n_sides; i++)
		identity->docs[i] =
			ms_policy_service(work->sides[i].policy, identity->env, identity->service);
	const struct ms_party party = matrix_party(identity);
	identity->mode = ms_is_relaxed(work->sides[0].policy, &party, work->now) ? MS_MODE_AUDIT
			 : identity->docs[0] ? identity->docs[0]->mode
					     : env->mode;
	identity->two_key = env->two_key;
}

static int compare_endpoints(const void *left, const void *right)
{
	const struct ms_endpoint *a = left, *b = right;
	int r = strcmp(a->env, b->env);

	return r ? r : strcmp(a->service, b->service);
}

static void add_endpoints(struct matrix_work *work, size_t side)
{
	const struct ms_inventory *inventory = work->sides[side].inventory;

	if (!inventory)
		return;
	ms_vec_each (const struct ms_endpoint, endpoint, &inventory->endpoints) {
		if (endpoint->state != MS_ENDPOINT_IDENTIFIED)
			continue;
		add_identity(work, endpoint->env, endpoint->service);
		if (side == 0)
			matrix_push(work, &work->endpoints, *endpoint);
	}
}

void matrix_find_identities(struct matrix_work *work)
{
	size_t n = 0;

	for (size_t i = 0; i < work->n_sides; i++) {
		add_policy(work, work->sides[i].policy);
		add_endpoints(work, i);
	}
	ms_vec_sort(&work->endpoints, compare_endpoints);
	ms_vec_sort(&work->identities, compare_identities);
	for (size_t i = 0; i < work->identities.n_items; i++) {
		struct matrix_identity *identity = &work->identities.items[i];

		if (n == 0 || compare_identities(&work->identities.items[n - 1], identity) != 0)
			work->identities.items[n++] = *identity;
	}
	work->identities.n_items = n;
	ms_vec_each (struct matrix_identity, identity, &work->identities)
		describe(work, identity);
}

/* The first identity not before @env and @service; @service NULL is behind all of them. */
static size_t lower_bound(const struct matrix_work *work, const char *env, const char *service)
{
	size_t low = 0, high = work->identities.n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct matrix_identity *identity = &work->identities.items[middle];
		int r = strcmp(identity->env, env);

		if (r == 0)
			r = service ? strcmp(identity->service, service) : -1;
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void matrix_scope(const struct matrix_work *work, const struct ms_peer *peer, size_t *ret_first,
		  size_t *ret_end)
{
	*ret_first = *ret_end = 0;
	if (peer->kind != MS_PEER_SERVICE)
		return;
	if (!peer->env) {
		*ret_end = work->identities.n_items;
		return;
	}
	*ret_first = lower_bound(work, peer->env, peer->service ? peer->service : "");
	if (!peer->service) {
		*ret_end = lower_bound(work, peer->env, NULL);
		return;
	}
	*ret_end = *ret_first;
	if (*ret_first < work->identities.n_items) {
		const struct matrix_identity *identity = &work->identities.items[*ret_first];

		*ret_end += strcmp(identity->env, peer->env) == 0 &&
			    strcmp(identity->service, peer->service) == 0;
	}
}

/* Nodes. */

static int compare_texts(const void *left, const void *right)
{
	const char *a = *(const char *const *)left, *b = *(const char *const *)right;

	return a && b ? strcmp(a, b) : (a != NULL) - (b != NULL);
}

static void add_node(struct matrix_work *work, const struct ms_peer *peer)
{
	if (peer->kind == MS_PEER_NODE && peer->node)
		matrix_push(work, &work->nodes, peer->node);
}

/* A refusal of addresses names the nodes that have them. */
static void add_nodes_of_net(struct matrix_work *work, const struct ms_policy *policy,
			     const struct ms_peer *peer)
{
	if (peer->kind != MS_PEER_NET)
		return;
	ms_vec_each (const struct ms_node, node, &policy->nodes)
		ms_vec_each (const struct ms_addr, addr, &node->addrs)
			if (ms_ranges_contain(&peer->ranges, addr))
				matrix_push(work, &work->nodes, node->name);
}

static void add_nodes(struct matrix_work *work, const struct ms_policy *policy)
{
	ms_vec_each (const struct ms_service, service, &policy->services) {
		ms_vec_each (const struct ms_grant, grant, &service->allow)
			add_node(work, &grant->peer);
		ms_vec_each (const struct ms_grant, grant, &service->needs)
			add_node(work, &grant->peer);
	}
	ms_vec_each (const struct ms_exception, exception, &policy->exceptions) {
		add_node(work, &exception->from);
		add_node(work, &exception->to);
	}
	ms_vec_each (const struct ms_never, never, &policy->nevers) {
		add_node(work, &never->from);
		add_node(work, &never->to);
		add_nodes_of_net(work, policy, &never->from);
		add_nodes_of_net(work, policy, &never->to);
	}
	ms_vec_each (const struct ms_env, env, &policy->envs)
		ms_vec_each (const struct ms_addr, addr, &env->resolvers) {
			struct ms_party party = ms_party_of_addr(policy, NULL, addr, false);

			if (party.kind == MS_PARTY_NODE)
				matrix_push(work, &work->nodes, party.node);
		}
}

void matrix_find_nodes(struct matrix_work *work)
{
	size_t n = 0;

	matrix_push(work, &work->nodes, NULL);
	for (size_t i = 0; i < work->n_sides; i++)
		add_nodes(work, work->sides[i].policy);
	ms_vec_sort(&work->nodes, compare_texts);
	for (size_t i = 0; i < work->nodes.n_items; i++)
		if (n == 0 || compare_texts(&work->nodes.items[n - 1], &work->nodes.items[i]) != 0)
			work->nodes.items[n++] = work->nodes.items[i];
	work->nodes.n_items = n;
}

/* An address means the same for both sides of a comparison: what it is here. */
void matrix_find_resolvers(struct matrix_work *work)
{
	const struct ms_matrix_view *judge = &work->sides[0];

	for (size_t side = 0; side < work->n_sides; side++)
		ms_vec_each (const struct ms_env, env, &work->sides[side].policy->envs)
			ms_vec_each (const struct ms_addr, addr, &env->resolvers) {
				struct matrix_resolver resolver = {.env = env, .side = side};

				if (ms_addr_is_special(addr))
					continue;
				resolver.party = ms_party_of_addr(judge->policy, judge->inventory,
								  addr, false);
				matrix_push(work, &resolver.range, (struct ms_range){*addr, *addr});
				matrix_push(work, &work->resolvers, resolver);
			}
}
