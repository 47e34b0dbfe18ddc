/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Claims: what a source of names (an engine, the named namespaces) said of workloads, and which
 * network namespace each of them lives in.
 *
 * Namespaces are known by id, and the kernel gives the id of a dead one to the next. So a claim
 * that its source no longer vouches for (gone, or unsure after lost events) goes on naming the
 * endpoints that were there while it held, told by their serial number, and never a later one. That
 * is how an endpoint keeps its identity for as long as its interface and namespace live, and a
 * reused id inherits nothing. Where the source vouches for others in the same namespace, who is
 * gone from it names nothing any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "discover/links.h"

#define MS_MAX_WORKLOADS 10000 /* of one source */
#define MS_MAX_WORKLOAD_LABELS 1024
#define MS_MAX_WORKLOAD_TEXT ((size_t)64 * 1024) /* bytes of all texts of one workload */
#define MS_MAX_ATTACHMENTS 256
#define MS_MAX_BINDS 1024
#define MS_MAX_PUBLISHED 1024 /* what is beyond is not warned of */

enum ms_network_mode {
	MS_NETWORK_OWN,	   /* a namespace of its own */
	MS_NETWORK_HOST,   /* the host's */
	MS_NETWORK_NONE,   /* none but loopback */
	MS_NETWORK_JOINED, /* that of another container */
	MS_NETWORK_USER,   /* a process of the host speaks for it: slirp4netns, pasta */
};

/** One network that the engine says a container is on. */
struct ms_attachment {
	char *network;
	struct ms_mac mac;	/* zero when unknown */
	struct ms_addr ip, ip6; /* MS_IP_NONE when unknown */
};

struct ms_workload_label {
	char *name, *value;
};

/** A container as its engine describes it, or a named namespace. Owns its texts. */
struct ms_workload_facts {
	char *id; /* of a container: 64 hex digits; of a namespace: its name */
	char *name;
	char *image; /* or "" */
	MS_VEC(struct ms_workload_label) labels;
	MS_VEC(struct ms_attachment) attachments;
	enum ms_network_mode mode;
	char *joined;	  /* id of the container whose namespace it joined; NULL otherwise */
	uint32_t pid;	  /* 0: not running */
	char *started_at; /* as the engine writes it, or "" */
	uint64_t process; /* the kernel's number of it, see memory.h; 0: not known */
	bool privileged, net_admin;
	MS_VEC(char *) binds;	/* directories and files of the host that it sees */
	ms_ports_vec published; /* its own ports that others than the host can call at the host */
};

void ms_workload_facts_fini(struct ms_workload_facts *facts);

struct ms_claim {
	struct ms_workload_facts facts;
	int32_t nsid;	    /* -1: its namespace has no id here, so no veth leads to it */
	uint64_t until_seq; /* names endpoints up to this serial number; UINT64_MAX while its source
			       vouches for it */
};

typedef MS_VEC(struct ms_claim *) ms_claims_vec;

/** A network of an engine, and what kind it is of: "bridge", "macvlan", "overlay". */
struct ms_network {
	char *name, *driver;
};
typedef MS_VEC(struct ms_network) ms_network_vec;
void ms_network_vec_fini(ms_network_vec *networks);
/** The network of this name, or NULL. */
const struct ms_network *ms_networks_find(const ms_network_vec *networks, const char *name);
bool ms_networks_equal(const ms_network_vec *a, const ms_network_vec *b);

/** All claims of one source. */
struct ms_claims {
	const char *runtime;	 /* "docker", "podman", "netns"; static text */
	ms_claims_vec live;	 /* sorted by id, which is unique */
	ms_claims_vec kept;	 /* no longer vouched for */
	ms_network_vec networks; /* sorted by name; empty while the engine has not told */
	bool rootless;		 /* the engine runs in a user's own namespaces */
};

void ms_claims_fini(struct ms_claims *claims);

struct ms_claim *ms_claims_find(const struct ms_claims *claims, const char *id);

/**
 * Records that its source vouches for @facts living in @nsid, from @seq on where that differs from
 * before. Takes the content of @facts over and empties it, also on failure. Returns 1 when anything
 * differs from before, 0 when not; -E2BIG beyond MS_MAX_WORKLOADS; -ENOMEM.
 */
int ms_claims_put(struct ms_claims *claims, struct ms_workload_facts *facts, int32_t nsid,
		  uint64_t seq);
/** The source says that @id is gone. Endpoints up to @seq keep it. Returns whether there was such a
 * claim. */
bool ms_claims_drop(struct ms_claims *claims, const char *id, uint64_t seq);
/** Drops every live claim that @keep does not want. Returns whether there was one. */
bool ms_claims_drop_unless(struct ms_claims *claims, bool (*keep)(const char *id, void *userdata),
			   void *userdata, uint64_t seq);
/** Namespace @nsid is dead. Returns whether a claim lay in it. */
bool ms_claims_nsid_gone(struct ms_claims *claims, int32_t nsid);
/** Which namespace died is unknown: until put again, claims name only what was there at @seq. */
void ms_claims_doubt(struct ms_claims *claims, uint64_t seq);
/** Forgets kept claims that no veth of @links needs any more, and those of namespaces where the
 * source vouches for somebody else. */
void ms_claims_prune(struct ms_claims *claims, const struct ms_links *links);

typedef MS_VEC(const struct ms_claim *) ms_claim_vec;
/** Appends all claims, live and kept, sorted by namespace, then name, then id. Returns 0 or
 * -ENOMEM. */
int ms_claims_sorted(const struct ms_claims *claims, ms_claim_vec *list);
/** Live claims without a namespace id, whose processes may be in a namespace that gets one. */
int ms_claims_unplaced(const struct ms_claims *claims, ms_claim_vec *list);
static inline bool ms_claim_names(const struct ms_claim *claim, const struct ms_link *link)
{
	return claim->nsid >= 0 && claim->nsid == link->view.peer_nsid &&
	       link->seen_seq <= claim->until_seq;
}
