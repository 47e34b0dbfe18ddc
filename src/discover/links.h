/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Links: what netlink showed of the interfaces of this namespace, and of the far ends of its veths.
 * A plain value: it holds no descriptor and asks nobody.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "microseg/inventory.h"

struct nlmsghdr;

#define MS_MAX_LINKS 65536	/* interfaces of this namespace that are looked at */
#define MS_MAX_PEER_ADDRS 256	/* addresses of one endpoint: its namespace may add what it likes */
#define MS_MAX_HOST_ADDRS 65536 /* addresses of this namespace */
#define MS_MAX_NETS 65536	/* routes of this namespace through bridges and veths */
#define MS_ALIAS_SIZE 257	/* IFALIASZ and a NUL */
#define MS_LINK_KIND_SIZE 16
#define MS_FORMER_NAMES 4 /* of a link that are remembered */

/** As one RTM_NEWLINK message shows a link. */
struct ms_link_view {
	uint32_t ifindex;
	char name[MS_IFNAME_SIZE];
	char kind[MS_LINK_KIND_SIZE]; /* "veth", "bridge"; "" for a device of its own */
	char alias[MS_ALIAS_SIZE];
	uint32_t master;   /* 0: none */
	uint32_t peer;	   /* the other end of a veth, as numbered where it lives; 0: none */
	bool peer_foreign; /* the other end lives in another namespace */
	int32_t peer_nsid; /* its id; -1 when it has none */
	bool up;	   /* administratively: a link that is down passes nothing */
	uint32_t group;	   /* see admit.h; 0 of a new one */
	struct ms_mac mac;
	bool nf_call_ip, nf_call_ip6; /* of a bridge */
	bool no_ll_learn; /* likewise: it learns nothing from frames to its own groups, or cannot be
			     told to */
};

/** The container's own interface. */
struct ms_veth_peer {
	bool known;
	struct ms_mac mac;
	ms_addr_vec addrs; /* sorted */
	size_t n_left_out; /* addresses beyond MS_MAX_PEER_ADDRS */
};

struct ms_link {
	struct ms_link_view view;
	char former[MS_FORMER_NAMES][MS_IFNAME_SIZE]; /* the last ones first; "" where none is */
	ms_addr_vec addrs;			      /* the host's own on it, sorted */
	bool default_route;			      /* of either family leaves through it */
	ms_prefix_vec nets; /* what else the host routes through it, sorted; not the link-local */
	struct ms_veth_peer peer;
	bool peer_stale;     /* must be read (again); then it is in `stale` of the links */
	uint64_t seen_ms;    /* monotonic: since when this interface leads to this namespace */
	uint64_t seen_seq;   /* the same as a serial number, see claims.h */
	bool seen_at_start;  /* it was there when we came */
	uint64_t generation; /* of the last list that showed it */
	bool admitted;	     /* it had its mark from us, see admit.h */
	bool marking;	     /* and the event that tells of it is still to come */
};

#define MS_MAX_DIRTY 64 /* veths; beyond that everything counts as changed */

struct ms_dirty_link {
	uint32_t ifindex;
	char name[MS_IFNAME_SIZE];
};

/** What changed since ms_links_clean(): veths, and addresses of this namespace. */
struct ms_dirty {
	bool partial; /* no more than this; never so at first */
	MS_VEC(struct ms_dirty_link) veths;
	ms_addr_vec addrs;
};

/** Where a veth leads: an interface of another namespace. */
struct ms_far_end {
	int32_t nsid;
	uint32_t peer, ifindex; /* the number there, and of the veth here */
};

/** Sorted by ifindex. What every event asks of all of them stands apart, so that ten thousand links
 * need not be followed through memory. */
struct ms_links {
	MS_VEC(struct ms_link *) list;
	MS_VEC(struct ms_far_end) far; /* of all veths whose far end has a namespace with an id */
	MS_VEC(uint32_t) stale;	       /* veths whose far end must be read; some maybe no longer */
	uint64_t seq;		       /* grows with every link that is new or leads elsewhere */
	ms_addr_vec addrs;	       /* of all links, sorted, what two have twice */
	MS_VEC(struct ms_link *) others; /* that are no veths, as in `list`, where they are known */
	bool others_known;
	struct ms_dirty dirty;
};

void ms_links_fini(struct ms_links *links);
struct ms_link *ms_links_find(const struct ms_links *links, uint32_t ifindex);

/**
 * Takes over what a message showed. Returns 1 when that changed anything, 0 when not, -ENOMEM,
 * -E2BIG beyond MS_MAX_LINKS.
 */
int ms_links_apply(struct ms_links *links, const struct ms_link_view *view, uint64_t now_ms,
		   bool at_start);
/**
 * Can a rule name an interface of this name, and nft load what it prints of that? nft has no way to
 * write a quotation mark in a name, and takes an asterisk at its end for a wildcard, escaped or
 * not.
 */
bool ms_link_can_be_named(const char *name);
/** Notes that @link was once called @name. */
void ms_link_was_called(struct ms_link *link, const char *name);
/** Notes that something of @link differs. */
void ms_links_touch(struct ms_links *links, const struct ms_link *link);
/**
 * Makes a view of the dirty veths and of all links that are no veths: what a veth is depends on
 * these. It borrows the links; free its list alone. Returns 0 or -ENOMEM.
 */
int ms_links_dirty_view(struct ms_links *links, struct ms_links *ret_view);
/** Whoever asked for what changed has it. */
void ms_links_clean(struct ms_links *links);
/** More changed than the links can tell. */
static inline void ms_links_soil(struct ms_links *links)
{
	links->dirty.partial = false;
}
/** Gives @link the addresses @own, which it takes over on success. Returns 1 when they differ from
 * before, 0 when not, -ENOMEM. */
int ms_links_set_addrs(struct ms_links *links, struct ms_link *link, ms_addr_vec *own);
/** Has any link this address? */
bool ms_links_have_addr(const struct ms_links *links, const struct ms_addr *addr);
/** Returns whether there was such a link. */
bool ms_links_remove(struct ms_links *links, uint32_t ifindex);
/** Marks the far ends in namespace @nsid for a new read: the one numbered @ifindex there, or with 0
 * all of them. Returns 0 or -ENOMEM. */
int ms_links_peer_stale(struct ms_links *links, int32_t nsid, uint32_t ifindex);
/** Marks the far end of @link for a new read, if it can be read. Returns 0 or -ENOMEM. */
int ms_links_mark_stale(struct ms_links *links, struct ms_link *link);
/** A veth whose far end must be read, or NULL; the same one until it was read or is gone. */
struct ms_link *ms_links_next_stale(struct ms_links *links);
/** Does any veth lead to @nsid? */
bool ms_links_lead_to(const struct ms_links *links, int32_t nsid);

void ms_veth_peer_fini(struct ms_veth_peer *peer);
/** Replaces @peer by @fresh, which it takes over. Returns whether they differ. */
bool ms_veth_peer_replace(struct ms_veth_peer *peer, struct ms_veth_peer *fresh);
/** Sorts and drops doubles. */
void ms_addrs_normalize(ms_addr_vec *addrs);

/** Decodes RTM_NEWLINK or RTM_DELLINK. Returns 0; -ENOMSG when it is not about a link itself;
 * -EBADMSG. */
int ms_link_decode(const struct nlmsghdr *message, struct ms_link_view *ret_view);

struct ms_addr_view {
	uint32_t ifindex;
	struct ms_addr addr;
};
/** Decodes RTM_NEWADDR or RTM_DELADDR. Returns 0; -ENOMSG for another family; -EBADMSG. */
int ms_addr_decode(const struct nlmsghdr *message, struct ms_addr_view *ret_view);

typedef void (*ms_route_fn)(uint32_t ifindex, const struct ms_prefix *net, void *userdata);
/**
 * Calls @fn for every interface that a unicast route leaves through, with where it leads: the
 * length of a default route's is 0. Returns 0; -ENOMSG when it is no such route; -EBADMSG.
 */
int ms_route_decode(const struct nlmsghdr *message, ms_route_fn fn, void *userdata);

/**
 * May an endpoint behind @link have @addr for its own? What the host routes through other
 * interfaces belongs there, whatever a container gives itself: only the networks of its own bridge
 * or veth do, where that has any of this family, and link-local addresses.
 */
bool ms_link_may_lead_to(const struct ms_link *link, const struct ms_addr *addr);

/** Decodes RTM_NEWNSID and RTM_DELNSID. Returns 0 or -EBADMSG. */
int ms_nsid_decode(const struct nlmsghdr *message, int32_t *ret_nsid);
