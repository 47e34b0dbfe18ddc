/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decide: the oracle. One flow in; the verdict, the line of SPEC section 3 that gave it, the place
 * in the policy, and the nearest miss out. Written straight from the contract and never from the
 * compiler: tests hold the two against each other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "microseg/inventory.h"
#include "microseg/policy.h"

/** Why a packet was refused, in the words of SPEC section 3. */
enum ms_reason {
	MS_REASON_NONE,
	MS_REASON_SPOOF,
	MS_REASON_UNKNOWN_PORT,
	MS_REASON_ETHERTYPE,
	MS_REASON_QUARANTINE,
	MS_REASON_LIMIT,
	MS_REASON_NEVER,
	MS_REASON_INVALID,
	MS_REASON_UNIDENTIFIED,
	MS_REASON_FENCE,
	MS_REASON_NO_GRANT,
	MS_REASON_BYPASS, /* a same-bridge frame that did not pass the policy layer */
	MS_N_REASONS,
};

const char *ms_reason_name(enum ms_reason reason); /* "no-grant", … ; NULL for NONE */
/** The reason of this name, or MS_REASON_NONE. */
enum ms_reason ms_reason_parse(const char *name);

enum ms_verdict {
	MS_ALLOW,
	MS_AUDIT, /* would be refused, but the mode lets it pass and logs it */
	MS_DENY,
};

const char *ms_verdict_name(enum ms_verdict verdict); /* "allow", "audit", "deny" */

enum ms_party_kind {
	MS_PARTY_SERVICE,      /* an endpoint with an identity */
	MS_PARTY_UNIDENTIFIED, /* an endpoint without one */
	MS_PARTY_HOST,
	MS_PARTY_NODE,
	MS_PARTY_NET,
};

/** One end of a flow. Texts are borrowed. */
struct ms_party {
	enum ms_party_kind kind;
	const char *env;     /* of a service */
	const char *service; /* likewise */
	const char *node;    /* of a node */
	bool has_addr;
	struct ms_addr addr;		    /* when known; always for net */
	bool carried;			    /* some service carries it; see ms_settle_carried() */
	const struct ms_endpoint *endpoint; /* when known, else NULL */
};

struct ms_flow {
	struct ms_party src;
	struct ms_party dst;
	uint8_t proto;	/* IPPROTO_* */
	uint16_t port;	/* destination port, or ICMP type, or 0 */
	bool published; /* the destination was translated by the engine (DNAT) */
};

struct ms_decision {
	enum ms_verdict verdict;
	enum ms_reason reason; /* NONE when allowed */
	enum ms_direction direction;
	const struct ms_origin
		*policy; /* of what decided: grant, crossing, never, …; NULL when nothing did */
	const char *nearest; /* for a refused flow: one sentence, allocated in the arena given; else
				NULL */
};

/**
 * What @addr is in @inventory under @policy: an endpoint, this host, a node, or net.
 * @managed: it lies behind a managed interface, so an address nobody has is unidentified; or net,
 * but only to identified endpoints, where some service carries it.
 */
struct ms_party ms_party_of_addr(const struct ms_policy *policy,
				 const struct ms_inventory *inventory, const struct ms_addr *addr,
				 bool managed);
/**
 * Two ends of one flow: what an endpoint carries is net to another endpoint that is identified. To
 * anybody else it is an address behind a managed interface that nobody has.
 */
void ms_settle_carried(struct ms_party *src, struct ms_party *dst);
/** The party of an endpoint, with its first global address. */
struct ms_party ms_party_of_endpoint(const struct ms_endpoint *endpoint);

/**
 * Decides @asked under @policy at @now (UNIX seconds). @inventory is needed for `gateway` resolvers
 * and may be NULL.
 * @arena holds the text of the nearest miss; NULL: none is made.
 */
struct ms_decision ms_decide(const struct ms_policy *policy, const struct ms_inventory *inventory,
			     const struct ms_flow *asked, time_t now, struct ms_arena *arena);
