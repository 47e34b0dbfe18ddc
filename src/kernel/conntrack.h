/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conntrack: the tracked connections of this network namespace, and how to end one.
 *
 * For revocation: after a commit whoever asks judges every entry anew and has those deleted that
 * the new policy would refuse. Their next packet is then judged like a new connection's. Commit
 * first: an entry deleted before may come back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "microseg/net.h"

/** One direction of a connection, as its sender writes it. */
struct ms_conntrack_tuple {
	struct ms_addr src, dst;
	uint16_t sport, dport; /* tcp, udp, sctp and others with ports; else 0 */
};

struct ms_conntrack_entry {
	struct ms_conntrack_tuple orig; /* what the client sends, before any translation */
	struct ms_conntrack_tuple
		reply; /* what its server answers: reply.src is the translated destination */
	uint8_t proto; /* IPPROTO_* */
	bool has_icmp_type;
	uint8_t icmp_type; /* of the request */
	bool dnat;	   /* the destination was translated (IPS_DST_NAT) */
	bool snat;	   /* the source was */
	bool answered;	   /* packets were seen in both directions */
	uint8_t id[4];	   /* as the kernel's `ct id` has it */
	bool open;	   /* tcp: answered and not over, so that more of it may come */
	bool picked_up; /* tcp: the kernel did not see it begin, so that orig may be the server's */
};

enum ms_conntrack_fate {
	MS_CONNTRACK_STAYS,
	MS_CONNTRACK_GOES,
	/* A TCP connection of which packets may have passed unseen: its windows are not checked
	 * from now on, as they are not where its beginning was missed. */
	MS_CONNTRACK_LOOSENED,
};

/** What becomes of @entry, which lives during the call. */
typedef enum ms_conntrack_fate (*ms_conntrack_fn)(const struct ms_conntrack_entry *entry,
						  void *userdata);

/**
 * Calls @fn for every IPv4 and IPv6 entry of every zone, then deletes those that go, and no others.
 *
 * Blocks for the dump (measured: 2.5 us an entry) and the deletions (2 us each), never longer than
 * the kernel needs. Returns the number of entries deleted; -EPERM without CAP_NET_ADMIN; -ENOMEM;
 * another -errno. What was already gone is not counted and no error.
 */
int ms_conntrack_foreach(ms_conntrack_fn fn, void *userdata);

typedef void (*ms_conntrack_ready_fn)(void *userdata);
/** Likewise. All were seen when @ready is called, and nothing is deleted yet. */
int ms_conntrack_cut(ms_conntrack_fn fn, ms_conntrack_ready_fn ready, void *userdata);

/**
 * Makes the kernel track a tcp or udp connection that it did not see begin, as one that @client's
 * sender opened and that was answered. @turn: in place of an entry that there is, which the
 * server's packets made.
 *
 * The entry has half a minute: packets of the connection prolong it. Returns 0; -EEXIST when it is
 * tracked and not to be turned; -EPERM without CAP_NET_ADMIN; another -errno.
 */
int ms_conntrack_adopt(const struct ms_conntrack_tuple *client, uint8_t proto, bool turn);
