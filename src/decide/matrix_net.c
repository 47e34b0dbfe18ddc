/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Net: flows between an identity and outside addresses.
 *
 * The lines about nets of one identity in one direction cut the address space into zones; inside a
 * zone the same lines cover every address, and zones that the same lines cover are one class and
 * get one question. The answers are then put together the other way round: for each interval of
 * ports and each answer the addresses that get it, named after the first line that covers them:
 * "net:dba", and what is missing from it, "net:dba except 10.8.0.9/32".
 */
#include "matrix_work.h"

#include <string.h>

#include "grants.h"
#include "matrix_ranges.h"
#include "microseg/cleanup.h"

MS_DEFINE_CLEANUP(struct ms_arena *, ms_arena_free)

/* One line about nets. */
struct entry {
	const ms_range_vec *ranges;
	const ms_ports_vec *ports;
	const char *name; /* as written */
	size_t side;
	const struct ms_grant *grant; /* NULL: an exception, a resolver or a never */
	bool refuses;		      /* a never */
};

/* A zone and one line that covers it. */
struct cell {
	uint32_t zone;
	uint32_t entry;
};

/* One zone, with all the lines that cover it: cells. */
struct zone {
	const struct cell *cells;
	size_t n_cells;
	struct ms_range range;
};

/* One answer for one interval of ports in one class. */
struct row {
	struct matrix_piece piece;
	uint32_t namer; /* the first entry that covers it */
	uint32_t zone;	/* of sorted zones: the first of the class */
	uint32_t n_zones;
};

struct net_work {
	struct matrix_ask *ask;
	struct matrix_work *work;
	struct ms_arena *arena;
	bool egress;
	uint32_t identity;
	MS_VEC(struct entry) entries;
	ms_addr_vec starts; /* of zones */
	MS_VEC(struct cell) cells;
	MS_VEC(struct zone) zones;
	MS_VEC(struct row) rows;
};

#define push(net, vec, ...)                                                                        \
	do {                                                                                       \
		if (ms_avec_push((net)->arena, vec, __VA_ARGS__) < 0)                              \
			(net)->work->failed = true;                                                \
	} while (0)

/* Lines. */

static void add_grants(struct net_work *net, size_t side)
{
	const struct matrix_identity *identity = &net->work->identities.items[net->identity];
	const matrix_grants *grants =
		net->egress ? &identity->needs[side].outside : &identity->allow[side].outside;

	for (size_t i = 0; i < grants->n_items; i++) {
		const struct ms_grant *grant = grants->items[i];
		struct entry entry = {&grant->peer.ranges,
				      &grant->ports,
				      grant->peer.net_name,
				      side,
				      grant,
				      false};

		if (grant->peer.kind == MS_PEER_NET)
			push(net, &net->entries, entry);
	}
}

static void add_exceptions(struct net_work *net, size_t side)
{
	const struct ms_party own = matrix_party(&net->work->identities.items[net->identity]);

	ms_vec_each (const struct ms_exception, exception,
		     &net->work->sides[side].policy->exceptions) {
		const struct ms_peer *here = net->egress ? &exception->from : &exception->to;
		const struct ms_peer *there = net->egress ? &exception->to : &exception->from;
		struct entry entry = {
			&there->ranges, &exception->ports, there->net_name, side, NULL, false};

		if (there->kind == MS_PEER_NET && net->work->now < exception->until &&
		    ms_peer_covers(here, NULL, &own))
			push(net, &net->entries, entry);
	}
}

static void add_resolvers(struct net_work *net, size_t side)
{
	const char *env = net->work->identities.items[net->identity].env;

	ms_vec_each (const struct matrix_resolver, resolver, &net->work->resolvers) {
		char text[MS_ADDR_TEXT_SIZE + 4];
		struct ms_prefix prefix;

		if (resolver->side != side || resolver->party.kind != MS_PARTY_NET ||
		    strcmp(resolver->env->name, env) != 0 ||
		    !ms_range_prefix(&resolver->range.items[0], &prefix))
			continue;
		const char *name = ms_arena_strdup(net->arena, ms_prefix_format(&prefix, text));
		push(net, &net->entries,
		     (struct entry){&resolver->range, &matrix_dns_ports, name, side, NULL, false});
	}
}

static void add_nevers(struct net_work *net)
{
	const struct ms_party own = matrix_party(&net->work->identities.items[net->identity]);

	ms_vec_each (const struct ms_never, never, &net->work->sides[0].policy->nevers) {
		const struct ms_peer *here = net->egress ? &never->from : &never->to;
		const struct ms_peer *there = net->egress ? &never->to : &never->from;
		bool covers = net->egress && never->any_source;

		if (never->any_source && !net->egress)
			continue;
		if (there->kind == MS_PEER_NET && (covers || ms_peer_covers(here, NULL, &own)))
			push(net, &net->entries,
			     (struct entry){&there->ranges, &never->ports, NULL, 0, NULL, true});
	}
}

/* Zones. */

static void find_starts(struct net_work *net)
{
	ms_vec_each (const struct entry, entry, &net->entries)
		if (matrix_starts_add(net->arena, entry->ranges, &net->starts) < 0)
			net->work->failed = true;
	matrix_starts_settle(&net->starts);
}

static uint32_t find_start(const struct net_work *net, const struct ms_addr *addr)
{
	size_t low = 0, high = net->starts.n_items;

	while (low + 1 < high) {
		size_t middle = low + (high - low) / 2;

		if (ms_addr_compare(&net->starts.items[middle], addr) <= 0)
			low = middle;
		else
			high = middle;
	}
	return (uint32_t)low;
}

static int compare_cells(const void *left, const void *right)
{
	const struct cell *a = left, *b = right;

	if (a->zone != b->zone)
		return a->zone < b->zone ? -1 : 1;
	return (a->entry > b->entry) - (a->entry < b->entry);
}

static void find_cells(struct net_work *net)
{
	for (uint32_t i = 0; i < net->entries.n_items; i++)
		ms_vec_each (const struct ms_range, range, net->entries.items[i].ranges)
			for (uint32_t zone = find_start(net, &range->first);
			     zone < net->starts.n_items &&
			     ms_addr_compare(&net->starts.items[zone], &range->last) <= 0;
			     zone++)
				push(net, &net->cells, (struct cell){zone, i});
	ms_vec_sort(&net->cells, compare_cells);
}

/* Zones of one class come to stand together, in the order of their addresses. */
static int compare_classes(const struct zone *a, const struct zone *b)
{
	if (a->n_cells != b->n_cells)
		return a->n_cells < b->n_cells ? -1 : 1;
	for (size_t i = 0; i < a->n_cells; i++)
		if (a->cells[i].entry != b->cells[i].entry)
			return a->cells[i].entry < b->cells[i].entry ? -1 : 1;
	return 0;
}

static int compare_zones(const void *left, const void *right)
{
	const struct zone *a = left, *b = right;
	int r = compare_classes(a, b);

	return r ? r : ms_addr_compare(&a->range.first, &b->range.first);
}

static void find_zones(struct net_work *net)
{
	find_starts(net);
	find_cells(net);
	for (size_t i = 0; i < net->cells.n_items;) {
		const struct cell *cells = &net->cells.items[i];
		size_t n = 1;

		while (i + n < net->cells.n_items && cells[n].zone == cells->zone)
			n++;
		push(net, &net->zones,
		     (struct zone){cells, n, matrix_zone(&net->starts, cells->zone)});
		i += n;
	}
	ms_vec_sort(&net->zones, compare_zones);
}

/* Questions. */

static void take_entry(struct matrix_ask *ask, const struct entry *entry, bool need)
{
	if (entry->grant) {
		matrix_ask_take_grant(ask, need, entry->grant, entry->side);
		return;
	}
	if (!entry->refuses)
		matrix_ask_take_ports(ask, entry->ports, entry->side);
}

/* Every class is cut at the same ports, so that equal answers of different classes can be put
 * together. */
static void take_cuts(struct net_work *net)
{
	ms_vec_each (const struct entry, entry, &net->entries)
		matrix_ask_take_cuts(net->ask, entry->ports);
}

/* The cell's line is named after unless it refuses; of several the first. */
static uint32_t find_namer(const struct net_work *net, const struct zone *zone,
			   const struct ms_ports *ports)
{
	for (size_t i = 0; i < zone->n_cells; i++) {
		const struct entry *entry = &net->entries.items[zone->cells[i].entry];

		if (!entry->refuses && ms_ports_vec_cover(entry->ports, ports->proto, ports->first))
			return zone->cells[i].entry;
	}
	return UINT32_MAX;
}

static void ask_class(struct net_work *net, size_t first, size_t n_zones)
{
	const struct matrix_identity *who = &net->work->identities.items[net->identity];
	const struct zone *zone = &net->zones.items[first];
	const struct ms_party outside = {
		.kind = MS_PARTY_NET, .has_addr = true, .addr = zone->range.first};
	matrix_pieces pieces = {0};

	matrix_ask_begin(net->ask, net->egress ? who : NULL, net->egress ? NULL : who, &outside);
	for (size_t i = 0; i < zone->n_cells; i++)
		take_entry(net->ask, &net->entries.items[zone->cells[i].entry], net->egress);
	matrix_ask_take_common(net->ask);
	take_cuts(net);
	matrix_ask_run(net->ask, false, &pieces);
	ms_vec_each (const struct matrix_piece, piece, &pieces) {
		uint32_t namer = find_namer(net, zone, &piece->ports);

		push(net, &net->rows,
		     (struct row){*piece, namer, (uint32_t)first, (uint32_t)n_zones});
	}
	ms_vec_fini(&pieces);
}

static void ask_classes(struct net_work *net)
{
	for (size_t i = 0; i < net->zones.n_items && !net->work->failed;) {
		size_t n = 1;

		while (i + n < net->zones.n_items &&
		       compare_classes(&net->zones.items[i], &net->zones.items[i + n]) == 0)
			n++;
		ask_class(net, i, n);
		i += n;
	}
}

/* Answers. */

static int compare_origins(const struct ms_origin *a, const struct ms_origin *b)
{
	int r = strcmp(a->file ? a->file : "", b->file ? b->file : "");

	if (r == 0)
		r = (a->line > b->line) - (a->line < b->line);
	return r ? r : (a->column > b->column) - (a->column < b->column);
}

static int compare_keys(const struct row *a, const struct row *b)
{
	if (a->namer != b->namer)
		return a->namer < b->namer ? -1 : 1;
	if (a->piece.verdict != b->piece.verdict)
		return a->piece.verdict < b->piece.verdict ? -1 : 1;
	if (a->piece.published != b->piece.published)
		return a->piece.published ? 1 : -1;
	return compare_origins(&a->piece.policy, &b->piece.policy);
}

static int compare_rows(const void *left, const void *right)
{
	const struct row *a = left, *b = right;
	int r = compare_keys(a, b);

	if (r == 0)
		r = ms_ports_compare(&a->piece.ports, &b->piece.ports);
	return r ? r : (a->zone > b->zone) - (a->zone < b->zone);
}

/* All zones of rows that give one answer for one interval of ports. */
static void collect_ranges(struct net_work *net, const struct row *rows, size_t n_rows,
			   ms_range_vec *ret_ranges)
{
	const ms_prefix_vec none = {0};
	ms_prefix_vec prefixes = {0};

	for (size_t i = 0; i < n_rows; i++)
		for (uint32_t j = 0; j < rows[i].n_zones; j++)
			if (ms_range_split(net->arena, &net->zones.items[rows[i].zone + j].range,
					   &prefixes) < 0)
				net->work->failed = true;
	if (ms_ranges_build(net->work->matrix->arena, &prefixes, &none, ret_ranges) < 0)
		net->work->failed = true;
}

static const char *name_net(struct net_work *net, const struct entry *entry,
			    const ms_range_vec *ranges)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	ms_prefix_vec holes = {0};

	if (matrix_ranges_missing(net->arena, entry->ranges, ranges, &holes) < 0)
		return NULL;
	ms_str_addf(&text, "net:%s", entry->name ? entry->name : "");
	matrix_prefixes_print(
		&holes, entry->name && strstr(entry->name, " except ") ? ", " : " except ", &text);
	return text.failed ? NULL : ms_arena_strdup(net->work->matrix->arena, text.text);
}

static void add_flow(struct net_work *net, const struct row *row, const ms_range_vec *ranges)
{
	struct matrix_piece piece = row->piece;
	const matrix_pieces one = {.items = &piece, .n_items = 1};
	struct ms_matrix_end end = {.kind = MS_PARTY_NET, .ranges = *ranges};

	end.name = name_net(net, &net->entries.items[row->namer], ranges);
	uint32_t outside = matrix_add_end(net->work, end);
	matrix_add_flows(net->work, net->egress ? net->identity : outside,
			 net->egress ? outside : net->identity, &one);
}

static bool continues(const struct row *last, const ms_range_vec *last_ranges,
		      const struct row *next, const ms_range_vec *ranges)
{
	return compare_keys(last, next) == 0 &&
	       last->piece.ports.proto == next->piece.ports.proto &&
	       last->piece.ports.last + 1u == next->piece.ports.first &&
	       matrix_ranges_equal(last_ranges, ranges);
}

static void add_flows(struct net_work *net)
{
	struct row pending = {0};
	ms_range_vec pending_ranges = {0};

	ms_vec_sort(&net->rows, compare_rows);
	for (size_t i = 0; i < net->rows.n_items && !net->work->failed;) {
		const struct row *row = &net->rows.items[i];
		ms_range_vec ranges = {0};
		size_t n = 1;

		while (i + n < net->rows.n_items && compare_keys(row, &row[n]) == 0 &&
		       ms_ports_compare(&row->piece.ports, &row[n].piece.ports) == 0)
			n++;
		collect_ranges(net, row, n, &ranges);
		i += n;
		if (pending_ranges.n_items && continues(&pending, &pending_ranges, row, &ranges)) {
			pending.piece.ports.last = row->piece.ports.last;
			continue;
		}
		if (pending_ranges.n_items)
			add_flow(net, &pending, &pending_ranges);
		pending = *row;
		pending_ranges = ranges;
	}
	if (pending_ranges.n_items)
		add_flow(net, &pending, &pending_ranges);
}

void matrix_ask_nets(struct matrix_ask *ask, uint32_t identity, bool egress)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	struct net_work net = {.ask = ask,
			       .work = ask->work,
			       .arena = arena,
			       .egress = egress,
			       .identity = identity};

	if (!arena) {
		ask->work->failed = true;
		return;
	}
	for (size_t side = 0; side < ask->work->n_sides; side++) {
		add_grants(&net, side);
		add_exceptions(&net, side);
		if (egress)
			add_resolvers(&net, side);
	}
	if (net.entries.n_items == 0)
		return;
	add_nevers(&net);
	find_zones(&net);
	ask_classes(&net);
	add_flows(&net);
}
