/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Policy: what the YAML documents mean, after every name in them was resolved.
 *
 * A policy is immutable once loaded and owns all it points to. It is canonical: environments and
 * services are sorted by name, so neither the order of files nor of documents can show anywhere.
 * Each grant stands for one peer and knows the place it was written at.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "microseg/diag.h"
#include "microseg/net.h"

struct ms_str;

/* Limits on what a user can write: each is an error of its own and has a test. */
#define MS_MAX_FILE_SIZE ((size_t)1024 * 1024) /* bytes of one file */
#define MS_MAX_FILES 4096		       /* files of one load */
#define MS_MAX_DEPTH 32			       /* nested collections */
#define MS_MAX_NODES 100000		       /* YAML nodes of one file */
#define MS_MAX_INVENTORY_SIZE                                                                      \
	((size_t)64 * 1024 * 1024)     /* bytes of an inventory: it grows with the node */
#define MS_MAX_INVENTORY_NODES 4000000 /* YAML nodes of an inventory */
#define MS_MAX_DOCUMENTS 1024	       /* documents of one file */
#define MS_MAX_SCALAR 4096	       /* bytes of one scalar */
#define MS_MAX_NAME 63		       /* bytes of an environment's or a service's name */

enum ms_mode {
	MS_MODE_ENFORCE,
	MS_MODE_AUDIT,
};

/** What a refused sender notices. */
enum ms_refuse {
	MS_REFUSE_REJECT,
	MS_REFUSE_DROP,
};

/** Which way a flow runs, seen from the managed containers. */
enum ms_direction {
	MS_EAST_WEST, /* between two endpoints */
	MS_EGRESS,    /* from an endpoint to net, host or a node */
	MS_INGRESS,   /* from net, host or a node to an endpoint */
	MS_N_DIRECTIONS,
};

const char *ms_mode_name(enum ms_mode mode);
const char *ms_direction_name(enum ms_direction direction); /* "east_west", "egress", "ingress" */

typedef MS_VEC(const char *) ms_text_vec;

/** One way to name an endpoint: the values of these labels, joined with "-". All must be present.
 */
struct ms_label_key {
	ms_text_vec labels;
};

struct ms_label_match {
	const char *label;
	ms_text_vec values; /* globs, any of them */
};

/** Which endpoints: every key that is set must match, any entry of a key suffices. */
struct ms_match {
	bool present;
	struct ms_origin at;
	ms_text_vec name, image, network, interface, runtime; /* globs */
	ms_prefix_vec address;
	MS_VEC(struct ms_label_match) labels;
};

enum ms_peer_kind {
	MS_PEER_SERVICE, /* env + service; service NULL: every service of env; env NULL too: every
			    service */
	MS_PEER_SELF,	 /* the document's own service */
	MS_PEER_HOST,
	MS_PEER_NODE, /* node NULL: any node */
	MS_PEER_NET,  /* ranges */
};

struct ms_peer {
	enum ms_peer_kind kind;
	struct ms_origin at;
	const char *env;
	const char *service;
	const char *node;
	const char *net_name; /* how it was written: "dba", "10.0.0.0/8", … for messages */
	ms_range_vec ranges;  /* disjoint and sorted; named nets and excepts are resolved */
};

/** Appends @peer as lists of grants show it ("prod/web", "host", "node a", "net dba"), a star for
 * what may be any. */
void ms_peer_print(const struct ms_peer *peer, struct ms_str *out);

/** Permission for flows between the service it stands in and one peer. */
struct ms_grant {
	struct ms_peer peer;
	ms_ports_vec
		ports; /* normalized; names resolved; `ping` is in it as icmp/8 and icmp6/128 */
	struct ms_origin at; /* of the allow or needs entry */
	bool published;
	const char *reason; /* or NULL */
};

struct ms_named_port {
	const char *name;
	struct ms_ports ports;
	struct ms_origin at;
};

struct ms_env {
	const char *name;
	struct ms_origin at;
	enum ms_mode mode;
	bool two_key;
	ms_addr_vec resolvers;
	bool gateway_resolver; /* the host's addresses on the endpoint's own bridge resolve names
				  too */
	struct ms_match match;
};

struct ms_service {
	const char *env;
	const char *name;
	const char *identity; /* "env/name" */
	struct ms_origin at;
	struct ms_origin allow_at, needs_at; /* of these keys; line 0: the document lacks them */
	enum ms_mode mode; /* the environment's unless the document says otherwise */
	struct ms_match match;
	ms_range_vec carries; /* source addresses beside its endpoints' own; disjoint and sorted */
	MS_VEC(struct ms_named_port) ports;
	MS_VEC(struct ms_grant)
	allow; /* written here and in every service "*" document of the environment */
	MS_VEC(struct ms_grant) needs;
};

struct ms_crossing {
	struct ms_peer from, to; /* one of each: lists are multiplied out */
	ms_ports_vec ports;
	struct ms_origin at;
	time_t until; /* 0: no end */
	const char *reason;
};

struct ms_never {
	bool any_source; /* `from` left out: every endpoint */
	struct ms_peer from, to;
	ms_ports_vec ports; /* empty: every protocol and port */
	struct ms_origin at;
	const char *reason;
};

struct ms_exception {
	const char *id;
	struct ms_peer from, to;
	ms_ports_vec ports;
	struct ms_origin at;
	time_t until;
	const char *reason;
};

/** A timed audit, whatever mode the documents say. Of a runtime file. */
struct ms_relax {
	const char *id;
	const char *env;
	const char *service; /* NULL: every service of env */
	struct ms_origin at;
	time_t until;
	const char *reason; /* or NULL */
};

/** Cut off, in both directions, until it is taken away. Of a runtime file. */
struct ms_quarantine {
	const char *id;
	const char *env; /* of a service; NULL: */
	const char *service;
	const char *endpoint; /* the name of an endpoint */
	struct ms_origin at;
	const char *reason; /* or NULL */
};

struct ms_node {
	const char *name;
	ms_addr_vec addrs;
};

enum ms_expect {
	MS_EXPECT_ALLOW,
	MS_EXPECT_DENY,
};

struct ms_policy_test {
	struct ms_origin at;
	struct ms_peer from, to;
	ms_ports_vec ports;
	enum ms_expect expect;
	const char *by; /* reason demanded for a deny, or NULL */
	bool published;
};

struct ms_policy {
	struct ms_arena *arena;
	struct ms_origin environments_at;	    /* where kind: Environments stands */
	MS_VEC(struct ms_label_key) env_labels;	    /* first one present wins */
	MS_VEC(struct ms_label_key) service_labels; /* likewise */
	enum ms_mode unidentified;
	enum ms_refuse refuse[MS_N_DIRECTIONS];
	MS_VEC(struct ms_env) envs;	    /* sorted by name */
	MS_VEC(struct ms_service) services; /* sorted by env, then name */
	struct {
		const struct ms_service *of; /* the items that it was made for */
		uint32_t *slots;	     /* index + 1; 0: free */
		size_t n_slots;		     /* a power of two */
	} service_index;
	ms_range_vec carried; /* what any service carries; disjoint and sorted */
	MS_VEC(struct ms_node) nodes;
	struct ms_origin crossings_at; /* of the key; line 0: there is none */
	MS_VEC(struct ms_crossing) crossings;
	MS_VEC(struct ms_never) nevers;
	time_t exception_max; /* seconds */
	MS_VEC(struct ms_exception) exceptions;
	MS_VEC(struct ms_relax) relaxes;
	MS_VEC(struct ms_quarantine) quarantines;
	MS_VEC(struct ms_policy_test) tests;
	uint64_t hash; /* of the bytes of all files but the runtime one, in sorted order: equal
			  files, equal hash */
};

/** One file of a load, already in memory. `name` is what origins show. */
struct ms_policy_file {
	const char *name;
	const char *bytes;
	size_t size;
	bool inventory; /* the larger limits apply */
	bool applied;	/* to a node, some time: how long an exception may last was asked then */
	/* Kept by the daemon: exceptions, relaxes and quarantines that commands added. What it says
	 * about names that the policy no longer has is a warning and has no effect. */
	bool runtime;
};

/** The limits of @file, by what it is. */
static inline size_t ms_file_max_size(const struct ms_policy_file *file)
{
	return file->inventory ? MS_MAX_INVENTORY_SIZE : MS_MAX_FILE_SIZE;
}

static inline size_t ms_file_max_nodes(const struct ms_policy_file *file)
{
	return file->inventory ? MS_MAX_INVENTORY_NODES : MS_MAX_NODES;
}

/**
 * Loads a policy out of @files (their order does not matter). @now judges clocks (until), in UNIX
 * seconds. Every error and warning goes into @diags, all of them.
 *
 * Returns 0 and the policy, owned by the caller; -EINVAL when @diags holds an error; -ENOMEM.
 */
int ms_policy_load(const struct ms_policy_file *files, size_t n_files, time_t now,
		   struct ms_diags *diags, struct ms_policy **ret_policy);

/**
 * As ms_policy_load(), beside a node whose endpoints bear @identities ("env/service", sorted): a
 * peer among them is known though no document describes it.
 */
int ms_policy_load_beside(const struct ms_policy_file *files, size_t n_files, time_t now,
			  const ms_text_vec *identities, struct ms_diags *diags,
			  struct ms_policy **ret_policy);

struct ms_policy *ms_policy_free(struct ms_policy *policy);
static inline void ms_policy_freep(struct ms_policy **policy)
{
	ms_policy_free(*policy);
}

/** The environment of this name, or NULL. Binary search. */
const struct ms_env *ms_policy_env(const struct ms_policy *policy, const char *name);
/** Makes the table that ms_policy_service() looks into, once all services are there. Returns 0 or
 * -ENOMEM. */
int ms_policy_index_services(struct ms_policy *policy);
/** The service's document, or NULL when the policy has none. */
const struct ms_service *ms_policy_service(const struct ms_policy *policy, const char *env,
					   const char *name);

/** Is @name allowed for an environment or a service ([A-Za-z][A-Za-z0-9._-]*, MS_MAX_NAME, not
 * reserved)? */
bool ms_name_valid(const char *name);
