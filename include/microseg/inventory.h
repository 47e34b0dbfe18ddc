/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inventory: a snapshot of what runs on one node.
 *
 * Discovery fills the facts (interfaces, addresses, names, labels); ms_inventory_identify() adds
 * what a policy makes of them. After that a snapshot is never changed. It owns all it points to and
 * is canonical: endpoints sorted by interface, then name; addresses sorted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "microseg/net.h"
#include "microseg/policy.h"

#define MS_IFNAME_SIZE 16

struct ms_label {
	const char *name;
	const char *value;
};

/** A container, or a named namespace, behind an endpoint. Several can share one network namespace.
 */
struct ms_workload {
	const char *name;		/* container or namespace name */
	const char *id;			/* container id, or "" */
	const char *runtime;		/* "docker", "podman", "netns", "alias", "static" */
	const char *image;		/* or "" */
	MS_VEC(struct ms_label) labels; /* sorted by name */
	ms_ports_vec published; /* its own ports that the engine lets others call at the host */
};

enum ms_endpoint_state {
	MS_ENDPOINT_PENDING, /* known to netlink, its sources of names have not answered: passes
				nothing */
	MS_ENDPOINT_UNIDENTIFIED, /* no environment or service, or two that disagree */
	MS_ENDPOINT_IDENTIFIED,
};

const char *ms_endpoint_state_name(enum ms_endpoint_state state);

/** One network attachment of one namespace. */
struct ms_endpoint {
	/* facts */
	const char *name;      /* of its first workload, or the interface */
	const char *interface; /* host-side port; "" off a node */
	uint32_t ifindex;      /* of it; 0 off a node */
	uint64_t since;	       /* set by discovery: another number for each interface that is new or
				  leads elsewhere; 0: not known */
	const char *bridge;    /* the bridge it is a port of; "" for a routed veth */
	const char *network;   /* the engine's network, or the bridge */
	struct ms_mac mac;     /* of the container's own interface; zero when unknown */
	ms_addr_vec addrs;     /* sorted; link-local ones included */
	MS_VEC(struct ms_workload) workloads;
	bool pending; /* set by discovery: wait for its sources of names */
	bool late;    /* set by the daemon: it came a moment ago, and its way to its chains is the
			 long one still (ms_compile_delta()); it changes no verdict */
	bool ready;   /* set by discovery: the bridge's netfilter flags were seen (always true off a
			 node) */

	/* what ms_inventory_identify() found */
	enum ms_endpoint_state state;
	const char *env;      /* NULL unless identified */
	const char *service;  /* likewise */
	const char *identity; /* "env/service", "unidentified" */
	const char *why;      /* why it is unidentified or pending; NULL when identified */
	bool conflict;	      /* unidentified because two things contradict each other */
};

/** An interface of the host that leads to endpoints: a bridge or a routed veth. */
struct ms_managed_link {
	const char *name;
	const char *former; /* the name for which it is managed, where that was another; or NULL */
	bool bridge;
	ms_addr_vec addrs; /* the host's own addresses on it */
	/* The networks that the host finds through it, sorted.
	 * What is not known is not there. */
	ms_prefix_vec nets;
};

/** Something on this node that is not enforced, and why. */
struct ms_uncovered {
	const char *what;	       /* "container web", "bridge br-lan" */
	const char *reason;	       /* one sentence */
	struct ms_endpoint *container; /* what would be an endpoint; NULL when it is no container */

	/* what ms_inventory_identify() found: who it would be */
	const char *env, *service; /* NULL when not known */
};

/** One address, and the endpoint that holds it. */
struct ms_holder {
	struct ms_addr addr;
	size_t endpoint; /* index */
};

struct ms_inventory {
	struct ms_arena *arena;
	const char *node;
	uint64_t revision;
	ms_addr_vec hosts;		 /* the host's own addresses, all interfaces, sorted */
	MS_VEC(struct ms_mac) host_macs; /* of managed links */
	MS_VEC(struct ms_endpoint) endpoints;
	MS_VEC(struct ms_managed_link) links;
	ms_text_vec
		skipped; /* interfaces that match a managed pattern and are left alone; sorted */
	ms_text_vec patterns; /* of managed interfaces: "veth*", "br-*", "docker0"; sorted */
	MS_VEC(struct ms_uncovered) uncovered;
	MS_VEC(struct ms_holder) holders; /* of every endpoint's addresses, sorted by both */
	MS_VEC(struct ms_mac) macs;	  /* of every endpoint that has one, sorted */
	bool incomplete; /* no memory for these two: ms_inventory_identify() fails */
	bool canonical;	 /* links and endpoints are sorted, for lookups */
};

typedef MS_VEC(const struct ms_endpoint *) ms_endpoint_vec;

/** How a snapshot differs from the one before, where nothing else does. */
struct ms_inventory_change {
	ms_endpoint_vec gone, come; /* sorted as the snapshots are; what changed is in both */
	ms_addr_vec hosts_gone, hosts_come;
};

/** The patterns of SPEC section 4, ended by NULL. */
extern const char *const ms_default_patterns[];

/** Returns an empty inventory with an arena of its own, or NULL. */
struct ms_inventory *ms_inventory_new(void);
struct ms_inventory *ms_inventory_free(struct ms_inventory *inventory);
static inline void ms_inventory_freep(struct ms_inventory **inventory)
{
	ms_inventory_free(*inventory);
}

/** Sorts what must be sorted, and indexes addresses. Call once after filling the facts. */
void ms_inventory_canonicalize(struct ms_inventory *inventory);

/**
 * Decides for every endpoint who it is under @policy (SPEC section 4, last paragraphs): labels
 * first, then `match`; disagreement, two matches, an undeclared environment or an address held
 * twice make it unidentified.
 * @policy may be NULL: all are unidentified. Returns 0 or -ENOMEM.
 */
int ms_inventory_identify(struct ms_inventory *inventory, const struct ms_policy *policy);

/** The endpoint that holds @addr; NULL when none or more than one does. Binary search. */
const struct ms_endpoint *ms_inventory_by_addr(const struct ms_inventory *inventory,
					       const struct ms_addr *addr);
/** How many endpoints hold @addr. Binary search. */
size_t ms_inventory_n_holders(const struct ms_inventory *inventory, const struct ms_addr *addr);
/** The endpoint behind this host-side interface, or NULL. Binary search. */
const struct ms_endpoint *ms_inventory_by_interface(const struct ms_inventory *inventory,
						    const char *interface);
bool ms_inventory_is_host(const struct ms_inventory *inventory, const struct ms_addr *addr);
/** How many endpoints have this MAC. Binary search. */
size_t ms_inventory_n_macs(const struct ms_inventory *inventory, const struct ms_mac *mac);
/** The managed link of this name, or NULL. */
const struct ms_managed_link *ms_inventory_link(const struct ms_inventory *inventory,
						const char *name);

/** Are they the same in everything that verdicts are compiled of? */
bool ms_endpoints_equal(const struct ms_endpoint *a, const struct ms_endpoint *b);

/**
 * Finds how @after differs from @before in endpoints and the host's addresses. The change points
 * into both, its lists are in @arena. Returns 0; 1 when something else differs as well; -ENOMEM.
 */
int ms_inventory_compare(const struct ms_inventory *before, const struct ms_inventory *after,
			 struct ms_arena *arena, struct ms_inventory_change *ret_change);

/**
 * Carries @change out on @inventory, which it leaves canonical and as identified as the endpoints
 * that come are. Returns 0, or -ENOMEM with nothing changed.
 */
int ms_inventory_patch(struct ms_inventory *inventory, const struct ms_inventory_change *change);

/**
 * Reads `kind: Inventory` documents (SPEC section 4) out of one file.
 * Returns 0 and the inventory, not yet identified; -EINVAL with errors in @diags; -ENOMEM.
 */
int ms_inventory_load(const struct ms_policy_file *file, struct ms_diags *diags,
		      struct ms_inventory **ret_inventory);
/** Appends @inventory as an Inventory document that ms_inventory_load() reads back. */
void ms_inventory_print(const struct ms_inventory *inventory, struct ms_str *out);
