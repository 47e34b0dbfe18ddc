/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Discover: what runs on this node, live.
 *
 * Netlink tells of links, bridges, namespaces and addresses; Docker and Podman sockets, named
 * namespaces and interface aliases tell of names and labels. Events are hints, lists are truth: a
 * gap of any kind (ENOBUFS, an interrupted dump, an ended stream) leads to a new list. A source
 * that is missing, hangs or talks nonsense is a health state and changes nothing else. Discovery
 * changes nothing on the host.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "microseg/inventory.h"

struct ms_discover;

typedef void (*ms_discover_fn)(void *userdata);

struct ms_discover_options {
	const ms_text_vec *patterns; /* of managed interfaces */
	const ms_text_vec *
		named; /* interfaces the operator named in full: managed whatever else they carry */
	const ms_text_vec *ignore; /* patterns of interfaces never to be managed */
	const ms_text_vec
		*engines;	/* paths of engine sockets, e.g. "/run/docker.sock"; empty: none */
	const char *netns_dir;	/* "/run/netns" */
	const char *node;	/* this node's name */
	const char *memory;	/* what ms_discover_remember() wrote in an earlier life, or NULL */
	uint64_t relist_ms;	/* between slow lists of what the kernel has; 0: a minute */
	ms_discover_fn changed; /* called from the loop when a new snapshot would differ */
	void *userdata;
};

enum ms_source_state {
	MS_SOURCE_STARTING, /* not asked or not answered yet */
	MS_SOURCE_OK,
	MS_SOURCE_ABSENT, /* the socket or directory does not exist */
	MS_SOURCE_FAILED, /* it hangs, refuses, or talks nonsense */
};

const char *ms_source_state_name(enum ms_source_state state);

struct ms_source_health {
	const char *name; /* "netlink", "docker /run/docker.sock", "netns /run/netns"; lives as long
			     as the source */
	enum ms_source_state state;
	const char *detail; /* version when ok; what is wrong when failed; or NULL */
};

/** A managed bridge as the kernel shows it, for the one who sets its flags. */
struct ms_bridge_state {
	const char *name;
	uint32_t ifindex;
	bool nf_call_ip, nf_call_ip6;
	bool no_ll_learn; /* see links.h */
};

/**
 * Starts discovery in this network namespace on @loop. What @options points to is copied.
 * Returns 0; -EPERM without the capabilities needed; -errno.
 */
int ms_discover_new(struct ms_loop *loop, const struct ms_discover_options *options,
		    struct ms_discover **ret_discover);
/** The bridge @ifindex was managed as @name in an earlier life of this boot: see cover.h. */
void ms_discover_was_called(struct ms_discover *discover, uint32_t ifindex, const char *name);
struct ms_discover *ms_discover_free(struct ms_discover *discover);

/**
 * Has every source answered once, or been given up for absent or failed? Until then a snapshot may
 * lack names.
 */
bool ms_discover_settled(const struct ms_discover *discover);

/**
 * Makes a snapshot: canonical, not yet identified. `ready` of an endpoint is true for routed veths
 * and for ports of a bridge whose two netfilter flags are both seen on. Returns 0 or -ENOMEM.
 */
int ms_discover_snapshot(struct ms_discover *discover, struct ms_inventory **ret_inventory);

/**
 * Where few veths changed since ms_discover_kept(), makes a snapshot of these alone, and
 * ms_discover_change() says what it changes in @before, the snapshot that was kept (see part.h).
 * Returns 0; 1 when more may have changed and a whole snapshot must be made; -ENOMEM.
 */
int ms_discover_part(struct ms_discover *discover, struct ms_inventory **ret_part);
int ms_discover_change(struct ms_discover *discover, const struct ms_inventory *before,
		       const struct ms_inventory *part, struct ms_arena *arena,
		       struct ms_inventory_change *ret_change);
/** The snapshot of this turn, or the part of one, is what the next change is asked against. */
void ms_discover_kept(struct ms_discover *discover);
/**
 * Marks the interfaces of @inventory's endpoints that are not yet (see admit.h), less those whose
 * name an endpoint of @but has: NULL for none. An interface that is up costs the kernel a look at
 * all its IPv6 routes. Returns 0; -EAGAIN where there are so many that the rest is for another
 * turn; the first -errno; an interface that is gone is no error.
 */
int ms_discover_admit(struct ms_discover *discover, const struct ms_inventory *inventory,
		      const struct ms_inventory *but);
/**
 * Marks those that came or changed in this turn, are down still, which costs nothing, and match a
 * managed pattern, less the names of @but. What no rule names passes nothing, marked or not.
 */
void ms_discover_admit_early(struct ms_discover *discover, const struct ms_inventory *but);
/** They were taken from all, by ms_flags_restore(). */
void ms_discover_dismissed(struct ms_discover *discover);
/** How often it was for an interface that had lost its mark. */
uint64_t ms_discover_n_readmitted(const struct ms_discover *discover);
/** What was kept is not all that the snapshot said: the next one is a whole one. */
void ms_discover_doubt(struct ms_discover *discover);

/** Appends what the engines said of their containers. Identities outlive a restart by it, see
 * memory.h. */
void ms_discover_remember(const struct ms_discover *discover, struct ms_str *out);

size_t ms_discover_n_sources(const struct ms_discover *discover);
struct ms_source_health ms_discover_source(const struct ms_discover *discover, size_t index);

/** Managed bridges as last seen. Valid until the next turn of the loop. */
size_t ms_discover_bridges(const struct ms_discover *discover,
			   const struct ms_bridge_state **ret_bridges);
