/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Matrix: who may reach whom on what, and what differs between two such answers.
 *
 * Every verdict in it is one of ms_decide(): it can't disagree with what `explain` says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "microseg/decide.h"
#include "microseg/inventory.h"
#include "microseg/policy.h"

/** One end of flows. No two ends of a kind share a party, but for nets, of which each flow has the
 * addresses it is about. */
struct ms_matrix_end {
	enum ms_party_kind kind; /* SERVICE, HOST, NODE or NET */
	const char *name; /* "prod/web", "host", "node/b", "node/" and a star for all other nodes,
			     "net:dba" */
	const char *env;  /* of a SERVICE */
	const char *service; /* likewise */
	enum ms_mode mode;   /* likewise */
	const char *node;    /* of a NODE; NULL: every node that the policy does not name */
	ms_range_vec ranges; /* of a NET: disjoint, sorted */
};

struct ms_matrix_flow {
	uint32_t src; /* indexes of ends */
	uint32_t dst;
	struct ms_ports ports;
	enum ms_verdict verdict; /* MS_ALLOW, or MS_AUDIT: a line of the policy names the flow, it
				    is refused, and it passes */
	bool published;		 /* from net and nodes: allowed through a published port as well */
	struct ms_origin policy; /* what decided; file NULL: nothing did */
};

struct ms_matrix {
	struct ms_arena *arena;
	size_t n_identities; /* the first ends: every env/service, sorted */
	MS_VEC(struct ms_matrix_end) ends;
	MS_VEC(struct ms_matrix_flow)
	flows; /* sorted by ends and ports; those of a pair are disjoint */
};

struct ms_matrix_view {
	const struct ms_policy *policy;
	const struct ms_inventory *inventory; /* identified under `policy`, or NULL */
};

/**
 * Computes the matrix of @view at @now (UNIX seconds). @also, or NULL: the names and ports of this
 * second policy and inventory are asked about as well, so that the two matrices of a comparison
 * answer the same questions.
 *
 * Flows that no grant, exception, resolver or crossing names are left out: they are refused or,
 * where the mode is audit, pass by the mode alone (see ms_matrix_end.mode). Texts are borrowed from
 * policies and inventories. Returns 0 and the matrix, owned by the caller; -ENOMEM.
 */
int ms_matrix_make(const struct ms_matrix_view *view, const struct ms_matrix_view *also, time_t now,
		   struct ms_matrix **ret_matrix);

struct ms_matrix *ms_matrix_free(struct ms_matrix *matrix);
static inline void ms_matrix_freep(struct ms_matrix **matrix)
{
	ms_matrix_free(*matrix);
}

/** How far a flow gets, in the order of "more". */
enum ms_reach {
	MS_REACH_NONE,
	MS_REACH_AUDIT,
	MS_REACH_ALLOW,
	MS_REACH_PUBLISHED, /* allowed, through a published port as well */
};

/** A flow whose reach differs: more is a gain, less a loss. */
struct ms_flow_change {
	struct ms_matrix_end src; /* of a net: exactly the addresses for which it differs */
	struct ms_matrix_end dst;
	struct ms_ports ports;
	enum ms_reach was;
	enum ms_reach now;
	struct ms_origin policy; /* of a gain what grants it now, of a loss what granted it; file
				    NULL: nothing */
};

/** A mode that differs: with audit, everything passes that no line names. */
struct ms_mode_change {
	const char *who; /* "dev/" and a star, "dev/web", "unidentified" */
	const char *env; /* NULL for the unidentified */
	enum ms_mode was;
	enum ms_mode now;
	bool crossing; /* audit on both sides of a fence that one side held before */
};

struct ms_flow_diff {
	struct ms_arena *arena;
	MS_VEC(struct ms_flow_change) flows; /* sorted by source, destination, ports */
	MS_VEC(struct ms_mode_change) modes;
	size_t n_gains; /* of flows and modes together */
	size_t n_losses;
	size_t n_crossings; /* gains between two environments */
};

static inline bool ms_flow_change_is_gain(const struct ms_flow_change *change)
{
	return change->now > change->was;
}

/** Does @change run between two environments? */
bool ms_flow_change_crosses(const struct ms_flow_change *change);

/**
 * Computes what changes for flows on the way from @from to @to, both at @now. Texts are borrowed
 * from both. Returns 0, and the caller ends @ret_diff with ms_flow_diff_fini(); -ENOMEM.
 */
int ms_flow_diff_make(const struct ms_matrix_view *from, const struct ms_matrix_view *to,
		      time_t now, struct ms_flow_diff *ret_diff);
void ms_flow_diff_fini(struct ms_flow_diff *diff);
