/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulate: what a ruleset does to a packet, without a kernel.
 *
 * One hook at a time (ms_simulate_hook), or the whole way of one packet through a node
 * (ms_simulate_flow): which hooks it passes in which order, with which interface names, is
 * knowledge about Linux that stands here and nowhere else. There is no connection tracking: the
 * packet says what conntrack would say of it.
 */
#pragma once

#include "microseg/inventory.h"
#include "microseg/ruleset.h"
#include "microseg/ruleset_match.h"

#define MS_SIM_DEPTH 16 /* nested jumps, as the kernel's NFT_JUMP_STACK_SIZE */

/** A rule whose matches all held. Where an element of a set stands for the policy's line, it is
 * named. */
struct ms_sim_step {
	const struct ms_table *table;
	const struct ms_chain *chain;
	const struct ms_rule *rule;
	const struct ms_elem *elem; /* that it found in a set which counts, or NULL */
};

struct ms_sim_result {
	bool dropped;	    /* else accepted */
	bool rejected;	    /* dropped, and the sender is told */
	const char *prefix; /* of the first log statement passed, or NULL */
	const char *listed; /* the dynamic set that the connection is in now, or NULL */
	MS_VEC(struct ms_sim_step) path;
};

/**
 * Runs @packet through all base chains of @hook in @family, by ascending priority, and adds to
 * @result (zeroed before the first call). The path is allocated in @arena; NULL: none is kept.
 * Statements that write meta write @packet.
 *
 * Returns 0; -ENOMEM; -ELOOP when jumps nest deeper than MS_SIM_DEPTH; -ENOENT when a set or chain
 * named is not there.
 */
int ms_simulate_hook(const struct ms_ruleset *ruleset, enum ms_family family, enum ms_hook hook,
		     struct ms_sim_packet *packet, struct ms_arena *arena,
		     struct ms_sim_result *result);

/** What conntrack says of a packet of a flow. */
enum ms_sim_state {
	MS_SIM_NEW,
	MS_SIM_ESTABLISHED, /* of the opener */
	MS_SIM_REPLY,	    /* the answer to that one */
};

/** One packet that opens a connection, or a later one, and where its two ends are. */
struct ms_sim_flow {
	const struct ms_endpoint *src; /* NULL: the host when src_is_host, else the outside */
	const struct ms_endpoint *dst; /* likewise */
	bool src_is_host;
	bool dst_is_host;
	struct ms_addr saddr;
	struct ms_addr daddr; /* of the endpoint, also for translated traffic */
	uint8_t proto;
	uint16_t port;	     /* destination port or ICMP type */
	bool published;	     /* translated by the engine (ct status dnat) */
	const char *outside; /* the interface to the rest of the world, e.g. "eth0" */
	time_t now;	     /* UNIX seconds: what the kernel has dropped by then is gone */
	enum ms_sim_state state;
	const char *listed; /* the dynamic set that holds the connection, or NULL */
	bool src_anew;	    /* the host's end of it is another interface than the daemon admitted */
	bool dst_anew;	    /* likewise */
};

/**
 * Runs one packet of @flow through every hook that it passes on this node: the bridge's and,
 * through br_netfilter or routing, the inet ones. Endpoints are bridge ports, or routed veths when
 * their `bridge` is "". Returns as above, and -EINVAL when neither end is an endpoint.
 */
int ms_simulate_flow(const struct ms_ruleset *ruleset, const struct ms_inventory *inventory,
		     const struct ms_sim_flow *flow, struct ms_arena *arena,
		     struct ms_sim_result *result);
