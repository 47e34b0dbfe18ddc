/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairs: flows between identities.
 *
 * Which pairs are worth a question: those that a line names. A line that names every service of an
 * environment names as many pairs as there are services; where the provider enforces two keys it is
 * still the other key that decides, and only pairs that have some of it are taken. So a pair that
 * comes out refused was named by somebody.
 */
#include "matrix_work.h"

#include <string.h>

#include "grants.h"
#include "microseg/cleanup.h"

static void index_grant(struct matrix_work *work, struct matrix_index *index,
			const struct ms_grant *grant)
{
	switch (grant->peer.kind) {
	case MS_PEER_SERVICE:
		if (grant->peer.service)
			matrix_push(work, &index->named, grant);
		else
			matrix_push(work, &index->wild, grant);
		break;
	case MS_PEER_SELF:
		matrix_push(work, &index->wild, grant);
		break;
	default:
		matrix_push(work, &index->outside, grant);
		break;
	}
}

static int compare_named(const void *left, const void *right)
{
	const struct ms_grant *a = *(const struct ms_grant *const *)left;
	const struct ms_grant *b = *(const struct ms_grant *const *)right;
	int r = strcmp(a->peer.env, b->peer.env);

	if (r == 0)
		r = strcmp(a->peer.service, b->peer.service);
	return r ? r : (a > b) - (a < b);
}

void matrix_index_grants(struct matrix_work *work)
{
	ms_vec_each (struct matrix_identity, identity, &work->identities)
		for (size_t side = 0; side < work->n_sides; side++) {
			const struct ms_service *doc = identity->docs[side];

			if (!doc)
				continue;
			ms_vec_each (const struct ms_grant, grant, &doc->allow)
				index_grant(work, &identity->allow[side], grant);
			ms_vec_each (const struct ms_grant, grant, &doc->needs)
				index_grant(work, &identity->needs[side], grant);
			ms_vec_sort(&identity->allow[side].named, compare_named);
			ms_vec_sort(&identity->needs[side].named, compare_named);
		}
}

/* Candidates. */

static void add_pair(struct matrix_work *work, size_t src, size_t dst)
{
	matrix_push(work, &work->pairs, (uint64_t)dst << 32 | src);
}

static void add_pairs(struct matrix_work *work, const struct ms_peer *from,
		      const struct ms_peer *to, bool audited_only)
{
	size_t first_src, end_src, first_dst, end_dst;

	matrix_scope(work, from, &first_src, &end_src);
	matrix_scope(work, to, &first_dst, &end_dst);
	for (size_t dst = first_dst; dst < end_dst; dst++) {
		if (audited_only && work->identities.items[dst].mode != MS_MODE_AUDIT)
			continue;
		for (size_t src = first_src; src < end_src; src++)
			add_pair(work, src, dst);
	}
}

/* Pairs that one document names, in its allow (@need false) or its needs. */
static void add_named(struct matrix_work *work, const struct matrix_index *index, size_t own,
		      bool need)
{
	for (size_t i = 0; i < index->named.n_items; i++) {
		size_t first, end;

		matrix_scope(work, &index->named.items[i]->peer, &first, &end);
		for (size_t other = first; other < end; other++)
			add_pair(work, need ? own : other, need ? other : own);
	}
}

static bool has_wild_needs(const struct matrix_work *work, const struct matrix_identity *identity)
{
	for (size_t side = 0; side < work->n_sides; side++)
		if (identity->needs[side].wild.n_items > 0)
			return true;
	return false;
}

/* Can @src reach @dst by the provider's key alone, or by a `needs` that names no service either? */
static bool wild_allow_counts(const struct matrix_work *work, const struct matrix_identity *src,
			      const struct matrix_identity *dst)
{
	return dst->mode == MS_MODE_AUDIT || !(src->two_key || dst->two_key) ||
	       has_wild_needs(work, src);
}

static void add_wild_allow(struct matrix_work *work, const struct matrix_index *index, size_t dst)
{
	const struct matrix_identity *provider = &work->identities.items[dst];

	for (size_t i = 0; i < index->wild.n_items; i++) {
		size_t first, end;

		if (index->wild.items[i]->peer.kind == MS_PEER_SELF)
			add_pair(work, dst, dst);
		matrix_scope(work, &index->wild.items[i]->peer, &first, &end);
		for (size_t src = first; src < end; src++)
			if (wild_allow_counts(work, &work->identities.items[src], provider))
				add_pair(work, src, dst);
	}
}

/* A `needs` alone lets nothing pass but under audit. */
static void add_wild_needs(struct matrix_work *work, const struct matrix_index *index, size_t src)
{
	for (size_t i = 0; i < index->wild.n_items; i++) {
		size_t first, end;

		if (index->wild.items[i]->peer.kind == MS_PEER_SELF)
			add_pair(work, src, src);
		matrix_scope(work, &index->wild.items[i]->peer, &first, &end);
		for (size_t dst = first; dst < end; dst++)
			if (work->identities.items[dst].mode == MS_MODE_AUDIT)
				add_pair(work, src, dst);
	}
}

static void add_resolver_pairs(struct matrix_work *work, const struct matrix_resolver *resolver)
{
	const struct ms_peer env = {.kind = MS_PEER_SERVICE, .env = resolver->env->name};
	const struct ms_peer holder = {.kind = MS_PEER_SERVICE,
				       .env = resolver->party.env,
				       .service = resolver->party.service};

	if (resolver->party.kind == MS_PARTY_SERVICE)
		add_pairs(work, &env, &holder, false);
}

static void add_side(struct matrix_work *work, size_t side)
{
	const struct ms_policy *policy = work->sides[side].policy;

	for (size_t i = 0; i < work->identities.n_items; i++) {
		const struct matrix_identity *identity = &work->identities.items[i];

		add_named(work, &identity->allow[side], i, false);
		add_named(work, &identity->needs[side], i, true);
		add_wild_allow(work, &identity->allow[side], i);
		add_wild_needs(work, &identity->needs[side], i);
	}
	ms_vec_each (const struct ms_crossing, crossing, &policy->crossings)
		add_pairs(work, &crossing->from, &crossing->to, true);
	ms_vec_each (const struct ms_exception, exception, &policy->exceptions)
		add_pairs(work, &exception->from, &exception->to, false);
}

static int compare_pairs(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

void matrix_find_pairs(struct matrix_work *work)
{
	size_t n = 0;

	for (size_t side = 0; side < work->n_sides; side++)
		add_side(work, side);
	ms_vec_each (const struct matrix_resolver, resolver, &work->resolvers)
		add_resolver_pairs(work, resolver);
	ms_vec_sort(&work->pairs, compare_pairs);
	for (size_t i = 0; i < work->pairs.n_items; i++)
		if (n == 0 || work->pairs.items[n - 1] != work->pairs.items[i])
			work->pairs.items[n++] = work->pairs.items[i];
	work->pairs.n_items = n;
}

/* Questions. */

/* Takes the lines of @index that name @peer. */
static void take_index(struct matrix_ask *ask, const struct matrix_index *index, bool need,
		       size_t side, const struct ms_service *own,
		       const struct matrix_identity *peer)
{
	const struct ms_party party = matrix_party(peer);
	size_t low = 0, high = index->named.n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ms_peer *other = &index->named.items[middle]->peer;
		int r = strcmp(other->env, peer->env);

		if (r == 0)
			r = strcmp(other->service, peer->service);
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < index->named.n_items &&
	       ms_peer_covers(&index->named.items[low]->peer, own, &party);
	     low++)
		matrix_ask_take_grant(ask, need, index->named.items[low], side);
	for (size_t i = 0; i < index->wild.n_items; i++)
		if (ms_peer_covers(&index->wild.items[i]->peer, own, &party))
			matrix_ask_take_grant(ask, need, index->wild.items[i], side);
}

static void take_resolvers(struct matrix_ask *ask)
{
	ms_vec_each (const struct matrix_resolver, resolver, &ask->work->resolvers)
		if (resolver->party.kind == MS_PARTY_SERVICE &&
		    strcmp(resolver->env->name, ask->src->env) == 0 &&
		    strcmp(resolver->party.env, ask->dst->env) == 0 &&
		    strcmp(resolver->party.service, ask->dst->service) == 0)
			matrix_ask_take_ports(ask, &matrix_dns_ports, resolver->side);
}

static void ask_pair(struct matrix_ask *ask, uint32_t src, uint32_t dst, matrix_pieces *pieces)
{
	const struct matrix_identity *consumer = &ask->work->identities.items[src];
	const struct matrix_identity *provider = &ask->work->identities.items[dst];

	matrix_ask_begin(ask, consumer, provider, NULL);
	for (size_t side = 0; side < ask->work->n_sides; side++) {
		take_index(ask, &provider->allow[side], false, side, provider->docs[side],
			   consumer);
		take_index(ask, &consumer->needs[side], true, side, consumer->docs[side], provider);
	}
	take_resolvers(ask);
	matrix_ask_take_common(ask);
	pieces->n_items = 0;
	matrix_ask_run(ask, true, pieces);
	matrix_add_flows(ask->work, src, dst, pieces);
}

void matrix_ask_pairs(struct matrix_work *work)
{
	_cleanup_(matrix_ask_fini) struct matrix_ask ask = {.work = work};
	matrix_pieces pieces = {0};

	for (size_t i = 0; i < work->pairs.n_items && !work->failed; i++)
		ask_pair(&ask, (uint32_t)work->pairs.items[i],
			 (uint32_t)(work->pairs.items[i] >> 32), &pieces);
	ms_vec_fini(&pieces);
}
