/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "matrix_print.h"
#include "microseg/cleanup.h"

const char *matrix_proto(uint8_t proto, char text[MS_PORTS_TEXT_SIZE])
{
	const char *name = ms_proto_name(proto);

	if (name)
		snprintf(text, MS_PORTS_TEXT_SIZE, "%s", name);
	else
		snprintf(text, MS_PORTS_TEXT_SIZE, "proto/%d", (int)proto);
	return text;
}

static bool says_the_same(const struct ms_matrix_flow *a, const struct ms_matrix_flow *b)
{
	return a->src == b->src && a->dst == b->dst && a->verdict == b->verdict &&
	       a->published == b->published && a->policy.file == b->policy.file &&
	       a->policy.line == b->policy.line;
}

/* The row of this pair that @flow belongs to: rows of a pair stand together, from @from on. */
static struct matrix_row *find_row(struct matrix_rows *rows, size_t from,
				   const struct ms_matrix_flow *flow)
{
	for (size_t i = from; i < rows->list.n_items; i++)
		if (says_the_same(rows->list.items[i].first, flow))
			return &rows->list.items[i];
	return NULL;
}

/*
 * The baseline cuts holes into `ports: any`, for neighbour messages and the like, that pass with
 * and without the line. They are shown as part of it.
 */
static bool is_hole(const struct ms_matrix_flow *last, const struct ms_matrix_flow *flow)
{
	return last && last->src == flow->src && last->dst == flow->dst &&
	       last->ports.proto == flow->ports.proto &&
	       last->ports.last + 1u == flow->ports.first && flow->verdict == MS_ALLOW &&
	       !flow->policy.file;
}

static int add_ports(struct matrix_rows *rows, struct matrix_row *row, const struct ms_ports *ports)
{
	struct ms_ports *last =
		row->ports.n_items ? &row->ports.items[row->ports.n_items - 1] : NULL;

	if (!last || last->proto != ports->proto)
		rows->n_flows++;
	if (last && last->proto == ports->proto && last->last + 1u == ports->first) {
		last->last = ports->last;
		return 0;
	}
	return ms_avec_push(rows->arena, &row->ports, *ports);
}

/* @last: the flow before, which stands in row number *@at. */
static int add_flow(struct matrix_rows *rows, size_t from, const struct ms_matrix_flow *last,
		    const struct ms_matrix_flow *flow, size_t *at)
{
	struct matrix_row *row =
		is_hole(last, flow) ? &rows->list.items[*at] : find_row(rows, from, flow);

	if (!row) {
		struct matrix_row new = {
			.src = &rows->matrix->ends.items[flow->src],
			.dst = &rows->matrix->ends.items[flow->dst],
			.first = flow,
		};

		if (ms_avec_push(rows->arena, &rows->list, new) < 0)
			return -ENOMEM;
		row = &rows->list.items[rows->list.n_items - 1];
	}
	*at = (size_t)(row - rows->list.items);
	return add_ports(rows, row, &flow->ports);
}

static bool concerns(const struct matrix_rows *rows, const struct ms_matrix_flow *flow,
		     const char *service)
{
	return !service || strcmp(rows->matrix->ends.items[flow->src].name, service) == 0 ||
	       strcmp(rows->matrix->ends.items[flow->dst].name, service) == 0;
}

int matrix_rows_init(const struct ms_matrix *matrix, const char *service,
		     struct matrix_rows *ret_rows)
{
	struct matrix_rows rows = {.arena = ms_arena_new(), .matrix = matrix};
	const struct ms_matrix_flow *last = NULL;
	int r = rows.arena ? 0 : -ENOMEM;
	size_t from = 0, at = 0;

	for (size_t i = 0; i < matrix->flows.n_items && r == 0; i++) {
		const struct ms_matrix_flow *flow = &matrix->flows.items[i];

		if (!concerns(&rows, flow, service))
			continue;
		if (!last || last->src != flow->src || last->dst != flow->dst)
			from = rows.list.n_items;
		r = add_flow(&rows, from, last, flow, &at);
		last = flow;
	}
	if (r < 0)
		matrix_rows_fini(&rows);
	else
		*ret_rows = rows;
	return r;
}

void matrix_rows_fini(struct matrix_rows *rows)
{
	ms_arena_free(rows->arena);
	*rows = (struct matrix_rows){0};
}
