/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Matrix, theory of operation.
 *
 * The matrix is the oracle, asked about everything that could be answered with more than a refusal.
 * Between two boundaries of what is written about a pair of ends the answer can't change, so one
 * question for each such interval is enough (matrix_ask.c). Pairs that no line names are refused:
 * they are never asked about, which keeps the work in proportion to what was written and not to the
 * square of the services (matrix_pairs.c). Outside addresses are split by the ranges that occur,
 * and put together again under the name of the line that covers them (matrix_net.c).
 *
 * Each question goes to a copy of the policy in which only the lines about this pair stand. Leaving
 * out a line that covers neither end changes no answer; the tests hold the matrix against the
 * oracle and the whole policy.
 *
 * What it never does: decide anything itself.
 */
#include "microseg/matrix.h"

#include <errno.h>
#include <string.h>

#include "matrix_ranges.h"
#include "matrix_work.h"
#include "microseg/cleanup.h"

struct ms_matrix *ms_matrix_free(struct ms_matrix *matrix)
{
	if (!matrix)
		return NULL;
	ms_arena_free(matrix->arena);
	free(matrix);
	return NULL;
}

static struct ms_matrix *matrix_new(void)
{
	struct ms_matrix *matrix = calloc(1, sizeof(*matrix));

	if (matrix)
		matrix->arena = ms_arena_new();
	return matrix && !matrix->arena ? ms_matrix_free(matrix) : matrix;
}

uint32_t matrix_add_end(struct matrix_work *work, struct ms_matrix_end end)
{
	if (!end.name || ms_avec_push(work->matrix->arena, &work->matrix->ends, end) < 0) {
		work->failed = true;
		return 0;
	}
	return (uint32_t)(work->matrix->ends.n_items - 1);
}

void matrix_add_flows(struct matrix_work *work, uint32_t src, uint32_t dst,
		      const matrix_pieces *pieces)
{
	ms_vec_each (const struct matrix_piece, piece, pieces) {
		struct ms_matrix_flow flow = {
			src, dst, piece->ports, piece->verdict, piece->published, piece->policy};

		if (ms_avec_push(work->matrix->arena, &work->matrix->flows, flow) < 0)
			work->failed = true;
	}
}

static void add_identity_ends(struct matrix_work *work)
{
	ms_vec_each (const struct matrix_identity, identity, &work->identities) {
		struct ms_matrix_end end = {
			.kind = MS_PARTY_SERVICE,
			.name = ms_arena_printf(work->matrix->arena, "%s/%s", identity->env,
						identity->service),
			.env = identity->env,
			.service = identity->service,
			.mode = identity->mode,
		};

		matrix_add_end(work, end);
	}
	work->matrix->n_identities = work->matrix->ends.n_items;
}

/* Ends in their final order. */

/* Identities in order of their environment, which is not that of their names: "a-b/c" and "a/b". */
static int compare_ends(const void *left, const void *right, void *data)
{
	const struct ms_matrix *matrix = data;
	const struct ms_matrix_end *a = &matrix->ends.items[*(const uint32_t *)left];
	const struct ms_matrix_end *b = &matrix->ends.items[*(const uint32_t *)right];
	int r = (int)a->kind - (int)b->kind;

	if (r == 0 && a->kind == MS_PARTY_SERVICE)
		return *(const uint32_t *)left < *(const uint32_t *)right ? -1 : 1;
	if (r == 0)
		r = strcmp(a->name, b->name);
	return r ? r : matrix_ranges_compare(&a->ranges, &b->ranges);
}

/* Sorts the ends and makes one of those that are the same net. */
static int settle_ends(struct matrix_work *work)
{
	struct ms_matrix *matrix = work->matrix;
	uint32_t n_ends = (uint32_t)matrix->ends.n_items;
	uint32_t *order = ms_arena_alloc(work->arena, (n_ends + 1) * sizeof(*order));
	uint32_t *place = ms_arena_alloc(work->arena, (n_ends + 1) * sizeof(*place));
	struct ms_matrix_end *sorted =
		ms_arena_alloc(matrix->arena, (n_ends + 1) * sizeof(*sorted));
	uint32_t n_sorted = 0;

	if (!order || !place || !sorted)
		return -ENOMEM;
	for (uint32_t i = 0; i < n_ends; i++)
		order[i] = i;
	qsort_r(order, n_ends, sizeof(*order), compare_ends, matrix);
	for (uint32_t i = 0; i < n_ends; i++) {
		if (i == 0 || compare_ends(&order[i - 1], &order[i], matrix) != 0)
			sorted[n_sorted++] = matrix->ends.items[order[i]];
		place[order[i]] = n_sorted - 1;
	}
	matrix->ends.items = sorted;
	matrix->ends.n_items = matrix->ends.n_room = n_sorted;
	ms_vec_each (struct ms_matrix_flow, flow, &matrix->flows) {
		flow->src = place[flow->src];
		flow->dst = place[flow->dst];
	}
	return 0;
}

static int compare_flows(const void *left, const void *right)
{
	const struct ms_matrix_flow *a = left, *b = right;

	if (a->src != b->src)
		return a->src < b->src ? -1 : 1;
	if (a->dst != b->dst)
		return a->dst < b->dst ? -1 : 1;
	return ms_ports_compare(&a->ports, &b->ports);
}

static int matrix_run(struct matrix_work *work)
{
	matrix_find_identities(work);
	matrix_find_nodes(work);
	matrix_find_resolvers(work);
	matrix_index_grants(work);
	add_identity_ends(work);
	matrix_find_pairs(work);
	if (work->failed)
		return -ENOMEM;
	matrix_ask_pairs(work);
	matrix_ask_outside(work);
	if (work->failed)
		return -ENOMEM;
	int r = settle_ends(work);
	ms_vec_sort(&work->matrix->flows, compare_flows);
	return r;
}

int ms_matrix_make(const struct ms_matrix_view *view, const struct ms_matrix_view *also, time_t now,
		   struct ms_matrix **ret_matrix)
{
	_cleanup_(ms_matrix_freep) struct ms_matrix *matrix = matrix_new();
	struct matrix_work work = {
		.matrix = matrix,
		.arena = ms_arena_new(),
		.sides = {*view, also ? *also : (struct ms_matrix_view){0}},
		.n_sides = also ? 2 : 1,
		.now = now,
	};
	int r = matrix && work.arena ? matrix_run(&work) : -ENOMEM;

	ms_arena_free(work.arena);
	if (r == 0)
		*ret_matrix = ms_steal(&matrix);
	return r;
}
