/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flow diff, theory of operation.
 *
 * Two matrices that were asked the same questions differ where the reach of a flow differs. Flows
 * are taken pair by pair of ends; all outside addresses count as one end. Within a pair the plane
 * of ports and addresses is cut at every boundary of both sides; each piece then has one reach
 * before and one after. Pieces that differ in the same way are joined again. So names play no part:
 * a net that keeps its name and changes its addresses shows as what it is.
 *
 * Where nothing is written, modes decide: a change of a mode stands beside the flows, as it opens
 * everything at once.
 */
#include "microseg/matrix.h"

#include <errno.h>
#include <string.h>

#include "flowdiff.h"
#include "matrix_ranges.h"
#include "microseg/cleanup.h"

#define PREFIXES_MAX 4 /* written out before a net is named by what is missing from it */

/* Flows of one matrix in the order of pairs. */
struct side {
	const struct ms_matrix *matrix;
	const struct ms_matrix_flow **flows;
	size_t n_flows;
	size_t at; /* the pair that comes next */
	size_t n;  /* flows of the present one */
};

struct differ {
	struct ms_flow_diff *diff;
	struct ms_arena *arena; /* of the present pair */
	struct side sides[2];	/* before, after */
};

/* A piece that differs, before pieces are joined. */
struct piece {
	struct ms_ports ports;
	const struct ms_matrix_flow *flows[2]; /* that cover it before and after; NULL: none */
	ms_range_vec ranges;		       /* of nets */
};
typedef MS_VEC(struct piece) piece_vec;

static enum ms_reach reach_of(const struct ms_matrix_flow *flow)
{
	if (!flow)
		return MS_REACH_NONE;
	if (flow->verdict == MS_AUDIT)
		return MS_REACH_AUDIT;
	return flow->published ? MS_REACH_PUBLISHED : MS_REACH_ALLOW;
}

bool ms_flow_change_crosses(const struct ms_flow_change *change)
{
	return change->src.kind == MS_PARTY_SERVICE && change->dst.kind == MS_PARTY_SERVICE &&
	       strcmp(change->src.env, change->dst.env) != 0;
}

/* Pairs. */

static int compare_ends(const struct ms_matrix_end *a, const struct ms_matrix_end *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind == MS_PARTY_NET)
		return 0;
	int r = a->kind == MS_PARTY_SERVICE ? strcmp(a->env, b->env) : 0;
	return r ? r : strcmp(a->name, b->name);
}

static int compare_pairs(const struct ms_matrix *a_matrix, const struct ms_matrix_flow *a,
			 const struct ms_matrix *b_matrix, const struct ms_matrix_flow *b)
{
	int r = compare_ends(&a_matrix->ends.items[a->src], &b_matrix->ends.items[b->src]);

	return r ? r : compare_ends(&a_matrix->ends.items[a->dst], &b_matrix->ends.items[b->dst]);
}

static int compare_flows(const void *left, const void *right, void *data)
{
	const struct ms_matrix_flow *a = *(const struct ms_matrix_flow *const *)left;
	const struct ms_matrix_flow *b = *(const struct ms_matrix_flow *const *)right;
	int r = compare_pairs(data, a, data, b);

	return r ? r : (a > b) - (a < b);
}

static int side_init(struct differ *d, struct side *side, const struct ms_matrix *matrix)
{
	side->matrix = matrix;
	side->n_flows = matrix->flows.n_items;
	side->flows = ms_arena_alloc(d->diff->arena, (side->n_flows + 1) * sizeof(*side->flows));
	if (!side->flows)
		return -ENOMEM;
	for (size_t i = 0; i < side->n_flows; i++)
		side->flows[i] = &matrix->flows.items[i];
	qsort_r(side->flows, side->n_flows, sizeof(*side->flows), compare_flows, (void *)matrix);
	return 0;
}

/* Sets n to the flows of one pair, the first of both sides. Returns false when there is none left.
 */
static bool next_pair(struct differ *d)
{
	struct side *from = &d->sides[0], *to = &d->sides[1];
	const struct ms_matrix_flow *first = NULL;
	const struct ms_matrix *of = NULL;

	for (size_t i = 0; i < 2; i++) {
		struct side *side = &d->sides[i];

		side->at += side->n;
		side->n = 0;
		if (side->at < side->n_flows &&
		    (!first || compare_pairs(side->matrix, side->flows[side->at], of, first) < 0)) {
			first = side->flows[side->at];
			of = side->matrix;
		}
	}
	for (size_t i = 0; first && i < 2; i++) {
		struct side *side = &d->sides[i];

		while (side->at + side->n < side->n_flows &&
		       compare_pairs(side->matrix, side->flows[side->at + side->n], of, first) == 0)
			side->n++;
	}
	return from->n + to->n > 0;
}

/* The end of @flow that is a net, or NULL. */
static const struct ms_matrix_end *net_end(const struct ms_matrix *matrix,
					   const struct ms_matrix_flow *flow)
{
	const struct ms_matrix_end *src = &matrix->ends.items[flow->src],
				   *dst = &matrix->ends.items[flow->dst];

	if (src->kind == MS_PARTY_NET)
		return src;
	return dst->kind == MS_PARTY_NET ? dst : NULL;
}

static bool flows_equal(const struct differ *d, const struct ms_matrix_flow *a,
			const struct ms_matrix_flow *b)
{
	const struct ms_matrix_end *left = net_end(d->sides[0].matrix, a),
				   *right = net_end(d->sides[1].matrix, b);

	return ms_ports_compare(&a->ports, &b->ports) == 0 && reach_of(a) == reach_of(b) &&
	       (!left || matrix_ranges_equal(&left->ranges, &right->ranges));
}

/* Most pairs did not change: no need to cut them up. */
static bool pair_unchanged(const struct differ *d)
{
	const struct side *from = &d->sides[0], *to = &d->sides[1];

	if (from->n != to->n)
		return false;
	for (size_t i = 0; i < from->n; i++)
		if (!flows_equal(d, from->flows[from->at + i], to->flows[to->at + i]))
			return false;
	return true;
}

/* Pieces. */

/* Flows of one side that cover the ports at hand. */
typedef MS_VEC(const struct ms_matrix_flow *) flow_vec;

static const struct ms_matrix_flow *find_flow(const struct side *side, const flow_vec *flows,
					      const struct ms_addr *addr)
{
	for (size_t i = 0; i < flows->n_items; i++) {
		const struct ms_matrix_end *net = net_end(side->matrix, flows->items[i]);

		if (!net || (addr && ms_ranges_contain(&net->ranges, addr)))
			return flows->items[i];
	}
	return NULL;
}

static int add_piece(struct differ *d, const struct ms_ports *ports, const flow_vec active[2],
		     const struct ms_range *zone, piece_vec *pieces)
{
	struct piece piece = {.ports = *ports};

	for (size_t i = 0; i < 2; i++)
		piece.flows[i] = find_flow(&d->sides[i], &active[i], zone ? &zone->first : NULL);
	if (reach_of(piece.flows[0]) == reach_of(piece.flows[1]))
		return 0;
	if (zone && ms_avec_push(d->arena, &piece.ranges, *zone) < 0)
		return -ENOMEM;
	return ms_avec_push(d->arena, pieces, piece);
}

/* One interval of ports: a piece for each zone of addresses, or one. */
static int cut_addrs(struct differ *d, const struct ms_ports *ports, piece_vec *pieces)
{
	flow_vec active[2] = {0};
	ms_addr_vec starts = {0};
	bool net = false;
	int r = 0;

	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; j < d->sides[i].n && r == 0; j++) {
			const struct ms_matrix_flow *flow = d->sides[i].flows[d->sides[i].at + j];
			const struct ms_matrix_end *end = net_end(d->sides[i].matrix, flow);

			net = net || end;
			if (!ms_ports_cover(&flow->ports, ports->proto, ports->first))
				continue;
			r = ms_avec_push(d->arena, &active[i], flow);
			if (r == 0 && end)
				r = matrix_starts_add(d->arena, &end->ranges, &starts);
		}
	if (!net)
		return r < 0 ? r : add_piece(d, ports, active, NULL, pieces);
	matrix_starts_settle(&starts);
	for (size_t i = 0; i < starts.n_items && r == 0; i++) {
		struct ms_range zone = matrix_zone(&starts, i);

		r = add_piece(d, ports, active, &zone, pieces);
	}
	return r;
}

/* A boundary as one number: protocols do not mix. */
static int compare_cuts(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

#define CUT(proto, port) ((uint32_t)(proto) << 17 | (uint32_t)(port))

static int cut_ports(struct differ *d, piece_vec *pieces)
{
	MS_VEC(uint32_t) cuts = {0};
	int r = 0;

	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; j < d->sides[i].n && r == 0; j++) {
			const struct ms_ports *ports =
				&d->sides[i].flows[d->sides[i].at + j]->ports;

			r = ms_avec_push(d->arena, &cuts, CUT(ports->proto, ports->first));
			if (r == 0)
				r = ms_avec_push(d->arena, &cuts,
						 CUT(ports->proto, ports->last + 1u));
		}
	ms_vec_sort(&cuts, compare_cuts);
	for (size_t i = 0; i + 1 < cuts.n_items && r == 0; i++) {
		uint32_t first = cuts.items[i], next = cuts.items[i + 1];
		struct ms_ports ports = {(uint8_t)(first >> 17), (uint16_t)first,
					 (uint16_t)(next - 1)};

		if (first != next && first >> 17 == next >> 17)
			r = cut_addrs(d, &ports, pieces);
	}
	return r;
}

/* Joining. */

/* The flow that says what a change is called and where it is written: of a gain the new one, of a
 * loss the old one. */
static const struct ms_matrix_flow *spokesman(const struct piece *piece)
{
	return piece->flows[reach_of(piece->flows[1]) > reach_of(piece->flows[0])];
}

static int compare_speakers(const struct piece *a, const struct piece *b)
{
	const struct ms_matrix_flow *x = spokesman(a), *y = spokesman(b);

	if (x != y)
		return x < y ? -1 : 1;
	for (size_t i = 0; i < 2; i++)
		if (reach_of(a->flows[i]) != reach_of(b->flows[i]))
			return reach_of(a->flows[i]) < reach_of(b->flows[i]) ? -1 : 1;
	return 0;
}

static int compare_by_ports(const void *left, const void *right)
{
	const struct piece *a = left, *b = right;
	int r = compare_speakers(a, b);

	if (r == 0)
		r = ms_ports_compare(&a->ports, &b->ports);
	return r ? r : matrix_ranges_compare(&a->ranges, &b->ranges);
}

static int compare_by_ranges(const void *left, const void *right)
{
	const struct piece *a = left, *b = right;
	int r = compare_speakers(a, b);

	if (r == 0)
		r = matrix_ranges_compare(&a->ranges, &b->ranges);
	return r ? r : ms_ports_compare(&a->ports, &b->ports);
}

/* First the addresses of equal ports, then the ports of equal addresses. */
static int join_addrs(struct differ *d, piece_vec *pieces)
{
	size_t n = 0;

	ms_vec_sort(pieces, compare_by_ports);
	for (size_t i = 0; i < pieces->n_items;) {
		struct piece joined = pieces->items[i];
		ms_prefix_vec prefixes = {0}, none = {0};
		int r = 0;

		joined.ranges = (ms_range_vec){0};
		for (; i < pieces->n_items && r == 0; i++) {
			const struct piece *piece = &pieces->items[i];

			if (compare_speakers(piece, &joined) != 0 ||
			    ms_ports_compare(&piece->ports, &joined.ports) != 0)
				break;
			r = matrix_ranges_split(d->arena, &piece->ranges, &prefixes);
		}
		if (r == 0)
			r = ms_ranges_build(d->diff->arena, &prefixes, &none, &joined.ranges);
		if (r < 0)
			return r;
		pieces->items[n++] = joined;
	}
	pieces->n_items = n;
	return 0;
}

static void join_ports(piece_vec *pieces)
{
	size_t n = 0;

	ms_vec_sort(pieces, compare_by_ranges);
	for (size_t i = 0; i < pieces->n_items; i++) {
		const struct piece *piece = &pieces->items[i];
		struct piece *last = n ? &pieces->items[n - 1] : NULL;

		if (last && compare_speakers(last, piece) == 0 &&
		    last->ports.proto == piece->ports.proto &&
		    last->ports.last + 1u == piece->ports.first &&
		    matrix_ranges_equal(&last->ranges, &piece->ranges))
			last->ports.last = piece->ports.last;
		else
			pieces->items[n++] = *piece;
	}
	pieces->n_items = n;
}

/* Changes. */

static const char *name_net(struct differ *d, const struct ms_matrix_end *end,
			    const ms_range_vec *ranges)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	ms_prefix_vec prefixes = {0}, holes = {0};

	if (matrix_ranges_split(d->arena, ranges, &prefixes) < 0 ||
	    matrix_ranges_missing(d->arena, &end->ranges, ranges, &holes) < 0)
		return NULL;
	if (holes.n_items == 0)
		return end->name;
	if (prefixes.n_items <= PREFIXES_MAX || prefixes.n_items <= holes.n_items) {
		matrix_prefixes_print(&prefixes, "net:", &text);
	} else {
		ms_str_add(&text, end->name);
		matrix_prefixes_print(&holes, strstr(end->name, " except ") ? ", " : " except ",
				      &text);
	}
	return text.failed ? NULL : ms_arena_strdup(d->diff->arena, text.text);
}

/* Ends outlive the matrices. */
static int copy_end(struct differ *d, const struct ms_matrix_end *from, const ms_range_vec *ranges,
		    struct ms_matrix_end *ret_end)
{
	struct ms_matrix_end end = *from;

	if (from->kind == MS_PARTY_NET) {
		end.ranges = *ranges;
		end.name = name_net(d, from, ranges);
	}
	end.name = ms_arena_strdup(d->diff->arena, end.name);
	*ret_end = end;
	return end.name ? 0 : -ENOMEM;
}

static int add_change(struct differ *d, const struct piece *piece)
{
	const struct ms_matrix_flow *flow = spokesman(piece);
	struct ms_flow_change change = {
		.ports = piece->ports,
		.was = reach_of(piece->flows[0]),
		.now = reach_of(piece->flows[1]),
		.policy = flow->policy,
	};
	bool gain = ms_flow_change_is_gain(&change);
	const struct ms_matrix *matrix = d->sides[gain].matrix;
	int r = copy_end(d, &matrix->ends.items[flow->src], &piece->ranges, &change.src);

	if (r == 0)
		r = copy_end(d, &matrix->ends.items[flow->dst], &piece->ranges, &change.dst);
	if (r == 0)
		r = ms_avec_push(d->diff->arena, &d->diff->flows, change);
	d->diff->n_gains += gain;
	d->diff->n_losses += !gain;
	d->diff->n_crossings += gain && ms_flow_change_crosses(&change);
	return r;
}

static int diff_pair(struct differ *d)
{
	piece_vec pieces = {0};
	int r = cut_ports(d, &pieces);

	if (r == 0)
		r = join_addrs(d, &pieces);
	if (r < 0)
		return r;
	join_ports(&pieces);
	for (size_t i = 0; i < pieces.n_items && r == 0; i++)
		r = add_change(d, &pieces.items[i]);
	return r;
}

static int compare_changes(const void *left, const void *right)
{
	const struct ms_flow_change *a = left, *b = right;
	int r = compare_ends(&a->src, &b->src);

	if (r == 0)
		r = compare_ends(&a->dst, &b->dst);
	if (r == 0)
		r = ms_ports_compare(&a->ports, &b->ports);
	if (r == 0)
		r = strcmp(a->src.name, b->src.name);
	if (r == 0)
		r = strcmp(a->dst.name, b->dst.name);
	return r ? r : (int)a->now - (int)b->now;
}

static int diff_matrices(struct ms_flow_diff *diff, const struct ms_matrix *from,
			 const struct ms_matrix *to)
{
	struct differ d = {.diff = diff};
	int r = side_init(&d, &d.sides[0], from);

	if (r == 0)
		r = side_init(&d, &d.sides[1], to);
	while (r == 0 && next_pair(&d)) {
		if (pair_unchanged(&d))
			continue;
		d.arena = ms_arena_new();
		r = d.arena ? diff_pair(&d) : -ENOMEM;
		d.arena = ms_arena_free(d.arena);
	}
	ms_vec_sort(&diff->flows, compare_changes);
	return r;
}

int ms_flow_diff_make(const struct ms_matrix_view *from, const struct ms_matrix_view *to,
		      time_t now, struct ms_flow_diff *ret_diff)
{
	_cleanup_(ms_matrix_freep) struct ms_matrix *before = NULL, *after = NULL;
	_cleanup_(ms_flow_diff_fini) struct ms_flow_diff diff = {.arena = ms_arena_new()};
	int r = diff.arena ? ms_matrix_make(from, to, now, &before) : -ENOMEM;

	if (r == 0)
		r = ms_matrix_make(to, from, now, &after);
	if (r == 0)
		r = diff_matrices(&diff, before, after);
	if (r == 0)
		r = ms_flow_diff_modes(from->policy, to->policy, &diff);
	if (r < 0)
		return r;
	*ret_diff = diff;
	diff = (struct ms_flow_diff){0};
	return 0;
}

void ms_flow_diff_fini(struct ms_flow_diff *diff)
{
	ms_arena_free(diff->arena);
	*diff = (struct ms_flow_diff){0};
}
