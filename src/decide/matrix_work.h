/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Matrix work: what the parts of the matrix share. Private to src/decide/matrix*.c.
 *
 * Failing to get memory is sticky: `failed` is set, and what was made is thrown away at the end.
 */
#pragma once

#include "microseg/matrix.h"

#define MATRIX_MAX_SIDES 2

typedef MS_VEC(const struct ms_grant *) matrix_grants;

/** The allow or the needs of one document by their peers: a pair finds its own without reading the
 * others. */
struct matrix_index {
	matrix_grants
		named; /* one service: sorted by environment, service and place in the document */
	matrix_grants wild;    /* every service of something, and self */
	matrix_grants outside; /* host, nodes, nets */
};

struct matrix_identity {
	const char *env;
	const char *service;
	enum ms_mode mode;
	bool two_key;					 /* its environment asks for two keys */
	const struct ms_service *docs[MATRIX_MAX_SIDES]; /* or NULL */
	struct matrix_index allow[MATRIX_MAX_SIDES];
	struct matrix_index needs[MATRIX_MAX_SIDES];
};

/** A resolver's address, and who holds it. */
struct matrix_resolver {
	const struct ms_env *env; /* whose */
	struct ms_party party;
	ms_range_vec range; /* the address alone */
	size_t side;
};

struct matrix_work {
	struct ms_matrix *matrix;
	struct ms_arena *arena;			       /* freed in the end */
	struct ms_matrix_view sides[MATRIX_MAX_SIDES]; /* [0] judges; the others only ask */
	size_t n_sides;
	time_t now;
	bool failed;
	MS_VEC(struct matrix_identity) identities; /* sorted by environment, then service */
	MS_VEC(struct ms_endpoint) endpoints; /* of the judge, identified ones, sorted likewise */
	MS_VEC(struct matrix_resolver) resolvers;
	ms_text_vec nodes; /* that a policy names, sorted; NULL first, for all others */
	MS_VEC(uint64_t)
	pairs; /* destination << 32 | source, indexes of identities; sorted, unique */
};

#define matrix_push(work, vec, ...)                                                                \
	do {                                                                                       \
		if (ms_avec_push((work)->arena, vec, __VA_ARGS__) < 0)                             \
			(work)->failed = true;                                                     \
	} while (0)

/** One answer for an interval of ports. */
struct matrix_piece {
	struct ms_ports ports;
	enum ms_verdict verdict;
	bool published;
	struct ms_origin policy;
};
typedef MS_VEC(struct matrix_piece) matrix_pieces;

/** Where the answer can change: a boundary between two ports. */
struct matrix_cut {
	uint8_t proto;
	uint32_t port; /* the first one behind it */
};

/**
 * A question: two ends, and of the judge's policy only what may concern them, so that asking costs
 * what was written about this pair and not what was written about all others.
 */
struct matrix_ask {
	struct matrix_work *work;
	const struct matrix_identity *src, *dst; /* NULL: outside */
	struct ms_flow flow;			 /* ends filled in */
	struct ms_policy policy;
	struct ms_service services[2];
	struct ms_inventory inventory;
	matrix_grants allow, needs; /* of the judge, found so far */
	ms_ports_vec concerned;	    /* what some line names */
	MS_VEC(struct matrix_cut) cuts;
};

/* matrix_who.c: who there is. */
void matrix_find_identities(struct matrix_work *work);
void matrix_find_nodes(struct matrix_work *work);
void matrix_find_resolvers(struct matrix_work *work);
/** The identities that @peer names: [*ret_first, *ret_end). */
void matrix_scope(const struct matrix_work *work, const struct ms_peer *peer, size_t *ret_first,
		  size_t *ret_end);
struct ms_party matrix_party(const struct matrix_identity *identity);

/* matrix_pairs.c: between identities. */
void matrix_index_grants(struct matrix_work *work);
void matrix_find_pairs(struct matrix_work *work);
void matrix_ask_pairs(struct matrix_work *work);

/* matrix_outside.c, matrix_net.c: host, nodes and nets at one end. */
void matrix_ask_outside(struct matrix_work *work);
void matrix_ask_nets(struct matrix_ask *ask, uint32_t identity, bool egress);

/* matrix_ask.c: asking. */
void matrix_ask_fini(struct matrix_ask *ask);
/** Begins a question; an end without identity is in @outside. What was collected for the last one
 * is forgotten. */
void matrix_ask_begin(struct matrix_ask *ask, const struct matrix_identity *src,
		      const struct matrix_identity *dst, const struct ms_party *outside);
/** Takes crossings, nevers and exceptions that cover both ends, as far as that can be said without
 * an address. */
void matrix_ask_take_common(struct matrix_ask *ask);
/** Takes one of the `allow` of the destination, or of the `needs` of the source, of the policy
 * number @side. */
void matrix_ask_take_grant(struct matrix_ask *ask, bool need, const struct ms_grant *grant,
			   size_t side);
/** Notes that @ports are worth asking about, and, for the judge's own lines, where answers can
 * change. */
void matrix_ask_take_ports(struct matrix_ask *ask, const ms_ports_vec *ports, size_t side);
void matrix_ask_take_cuts(struct matrix_ask *ask, const ms_ports_vec *ports);
/** Asks for every interval and appends what is not refused to @pieces; @merge joins neighbours of
 * one answer. */
void matrix_ask_run(struct matrix_ask *ask, bool merge, matrix_pieces *pieces);
/** Appends flows between two ends of the matrix. */
void matrix_add_flows(struct matrix_work *work, uint32_t src, uint32_t dst,
		      const matrix_pieces *pieces);
/** Adds an end and returns its number. */
uint32_t matrix_add_end(struct matrix_work *work, struct ms_matrix_end end);

/** udp and tcp/53. */
extern const ms_ports_vec matrix_dns_ports;
