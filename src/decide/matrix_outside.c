/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Outside: flows between an identity and the host, or a node.
 */
#include "matrix_work.h"

#include <string.h>

#include "grants.h"
#include "microseg/cleanup.h"

static bool holds_resolver(const struct matrix_ask *ask, const struct matrix_resolver *resolver)
{
	const struct ms_party *party = &resolver->party, *dst = &ask->flow.dst;

	if (strcmp(resolver->env->name, ask->src->env) != 0 || party->kind != dst->kind)
		return false;
	return dst->kind == MS_PARTY_HOST || (dst->node && strcmp(party->node, dst->node) == 0);
}

/* Of an identity that has no endpoint on this node it is not known where its gateway would be. */
static void take_gateway(struct matrix_ask *ask)
{
	for (size_t side = 0; ask->inventory.endpoints.n_items && side < ask->work->n_sides;
	     side++) {
		const struct ms_env *env =
			ms_policy_env(ask->work->sides[side].policy, ask->src->env);

		if (env && env->gateway_resolver)
			matrix_ask_take_ports(ask, &matrix_dns_ports, side);
	}
}

static void take_resolvers(struct matrix_ask *ask)
{
	ms_vec_each (const struct matrix_resolver, resolver, &ask->work->resolvers)
		if (holds_resolver(ask, resolver))
			matrix_ask_take_ports(ask, &matrix_dns_ports, resolver->side);
	if (ask->flow.dst.kind == MS_PARTY_HOST)
		take_gateway(ask);
}

static void take_grants(struct matrix_ask *ask, const struct ms_party *outside)
{
	const struct matrix_identity *identity = ask->src ? ask->src : ask->dst;

	for (size_t side = 0; side < ask->work->n_sides; side++) {
		const struct matrix_index *index =
			ask->src ? &identity->needs[side] : &identity->allow[side];

		for (size_t i = 0; i < index->outside.n_items; i++)
			if (ms_peer_covers(&index->outside.items[i]->peer, NULL, outside))
				matrix_ask_take_grant(ask, ask->src != NULL,
						      index->outside.items[i], side);
	}
}

static void ask_end(struct matrix_ask *ask, uint32_t identity, const struct ms_party *outside,
		    uint32_t end, bool egress)
{
	const struct matrix_identity *who = &ask->work->identities.items[identity];
	matrix_pieces pieces = {0};

	matrix_ask_begin(ask, egress ? who : NULL, egress ? NULL : who, outside);
	take_grants(ask, outside);
	if (egress)
		take_resolvers(ask);
	matrix_ask_take_common(ask);
	matrix_ask_run(ask, true, &pieces);
	matrix_add_flows(ask->work, egress ? identity : end, egress ? end : identity, &pieces);
	ms_vec_fini(&pieces);
}

static uint32_t add_node_end(struct matrix_work *work, const char *node)
{
	struct ms_matrix_end end = {
		.kind = MS_PARTY_NODE,
		.name = ms_arena_printf(work->matrix->arena, "node/%s", node ? node : "*"),
		.node = node,
	};

	return matrix_add_end(work, end);
}

static void ask_ends(struct matrix_ask *ask, const struct ms_party *outside, uint32_t end)
{
	for (uint32_t i = 0; i < ask->work->identities.n_items && !ask->work->failed; i++) {
		ask_end(ask, i, outside, end, true);
		ask_end(ask, i, outside, end, false);
	}
}

void matrix_ask_outside(struct matrix_work *work)
{
	_cleanup_(matrix_ask_fini) struct matrix_ask ask = {.work = work};
	const struct ms_party host = {.kind = MS_PARTY_HOST};

	ask_ends(&ask, &host,
		 matrix_add_end(work,
				(struct ms_matrix_end){.kind = MS_PARTY_HOST, .name = "host"}));
	ms_vec_each (const char *, node, &work->nodes) {
		const struct ms_party party = {.kind = MS_PARTY_NODE, .node = *node};

		ask_ends(&ask, &party, add_node_end(work, *node));
	}
	for (uint32_t i = 0; i < work->identities.n_items && !work->failed; i++) {
		matrix_ask_nets(&ask, i, true);
		matrix_ask_nets(&ask, i, false);
	}
}
