/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load: what the parts of the loader share. Private to src/policy/, but for
 * ms_policy_load_ungated().
 */
#pragma once

#include <stdbool.h>
#include <time.h>

#include "microseg/policy.h"
#include "microseg/yaml.h"
#include "policy/schema.h"

struct ms_document {
	enum ms_section kind;
	const struct ms_yaml_node *root;
};

/** A net of the Environments document, or a built-in one. */
struct ms_net {
	const char *name;
	ms_prefix_vec prefixes;
};

/** A peer as written: a bare name means an environment only once it is known where the document
 * stands. */
struct ms_raw_peer {
	struct ms_peer peer;
	bool bare;		 /* peer.env is still to be filled in */
	bool one_family_default; /* a default route of IPv4 and none of IPv6 */
};
typedef MS_VEC(struct ms_raw_peer) ms_raw_peer_vec;

struct ms_raw_port {
	const char *name; /* to be looked up in the provider's map; NULL: `ports` says it */
	struct ms_ports ports;
	struct ms_origin at;
};
typedef MS_VEC(struct ms_raw_port) ms_raw_port_vec;

/** An entry of allow, needs, crossings, never or tests, or an exception, as written. */
struct ms_raw_flow {
	struct ms_origin at;
	ms_raw_peer_vec from, to;
	ms_raw_port_vec ports;
	bool ping;
	bool published;
	const char *reason;
	time_t until;
	const struct ms_yaml_node *node;
};
typedef MS_VEC(struct ms_raw_flow) ms_raw_flow_vec;

struct ms_service_document {
	const struct ms_yaml_node *root;
	const char *name; /* NULL for service: "*" */
	struct ms_origin at;
	MS_VEC(const struct ms_env *) envs;
	MS_VEC(struct ms_named_port) ports;
	ms_raw_flow_vec allow, needs, tests;
};

struct ms_load {
	struct ms_policy *policy;
	struct ms_arena *arena; /* the policy's: trees and texts live as long as it does */
	struct ms_diags *diags;
	const struct ms_policy_file *files; /* sorted by name */
	size_t n_files;
	time_t now;
	const ms_text_vec *borne; /* identities that endpoints bear, sorted, or NULL */
	bool gated;
	bool formed;  /* every document was read: what is reported now is about meaning */
	bool damaged; /* a file could not be read whole: what seems to be missing may stand in there
		       */
	bool out_of_memory;
	MS_VEC(struct ms_document) documents;
	MS_VEC(struct ms_net) nets;
	MS_VEC(struct ms_service_document) services;
	ms_prefix_vec carried; /* by any service */
};

/** Appends to a vector of the load; a failure is remembered and ends the load in -ENOMEM. */
#define ms_load_push(load, vec, ...)                                                               \
	do {                                                                                       \
		if (ms_avec_push((load)->arena, vec, __VA_ARGS__) < 0)                             \
			(load)->out_of_memory = true;                                              \
	} while (0)

/** Makes room for @n more. */
#define ms_load_reserve(load, vec, n)                                                              \
	do {                                                                                       \
		if (ms_avec_reserve((load)->arena, vec, n) < 0)                                    \
			(load)->out_of_memory = true;                                              \
	} while (0)

void ms_load_error(struct ms_load *load, const struct ms_origin *at, const char *code,
		   const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));
void ms_load_warn(struct ms_load *load, const struct ms_origin *at, const char *code,
		  const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));
/** Was the file of @at applied once? */
bool ms_load_was_applied(const struct ms_load *load, const struct ms_origin *at);
/** Was @at written by the daemon? */
bool ms_load_is_runtime(const struct ms_load *load, const struct ms_origin *at);
/** Writes "did you mean 'x'?" or else @otherwise (may be NULL) for @word among @words into @hint.
 * Returns @hint. */
const char *ms_load_suggest(struct ms_str *hint, const char *word, const char *const *words,
			    size_t n_words, const char *otherwise);
/** Formats into the arena; "" and a remembered failure without memory. */
const char *ms_load_printf(struct ms_load *load, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** The text under @key, or NULL when it is absent or cannot be read. */
const char *ms_load_text(const struct ms_yaml_node *mapping, const char *key);
bool ms_load_bool(const struct ms_yaml_node *mapping, const char *key);
/** Where @key itself stands; line 0 when it is absent. */
struct ms_origin ms_load_key_at(const struct ms_yaml_node *mapping, const char *key);
/** The text of a scalar that can be read, or NULL. */
const char *ms_load_scalar(const struct ms_yaml_node *node);
/** The items of a value that may be one or a list: ms_load_item(value, 0), … until NULL. @value
 * NULL has none. */
const struct ms_yaml_node *ms_load_item(const struct ms_yaml_node *value, size_t index);

/* environments.c */
void ms_load_environments(struct ms_load *load);
/** The environment of this name; else NULL, and an error at @at unless no environment is known at
 * all. */
const struct ms_env *ms_load_env(struct ms_load *load, const char *name,
				 const struct ms_origin *at);
void ms_load_match(struct ms_load *load, const struct ms_yaml_node *mapping,
		   struct ms_match *match);

/* peers.c */
void ms_load_peers(struct ms_load *load, const struct ms_yaml_node *value, unsigned int allowed,
		   ms_raw_peer_vec *peers);
/** @raw as it stands in @env, in the document of @service (NULL: of every service). */
struct ms_peer ms_peer_bind(const struct ms_raw_peer *raw, const char *env, const char *service);

/* nets.c */
void ms_load_builtin_nets(struct ms_load *load);
void ms_load_nets(struct ms_load *load, const struct ms_yaml_node *mapping);
/** Resolves {net: …, except: …} into @raw. Returns false when an error leaves nothing to use. */
bool ms_load_net_peer(struct ms_load *load, const struct ms_yaml_node *mapping,
		      bool keep_link_local, struct ms_raw_peer *raw);
/** What of @prefixes can be carried: what can be net at all. */
void ms_load_carried(struct ms_load *load, const ms_prefix_vec *prefixes, ms_range_vec *ranges);

/* ports.c */
void ms_load_port_map(struct ms_load *load, const struct ms_yaml_node *mapping,
		      struct ms_service_document *document);
void ms_load_ports(struct ms_load *load, const struct ms_yaml_node *value, ms_raw_port_vec *ports);
const struct ms_named_port *ms_service_port(const struct ms_service *service, const char *name);
/** What @raw means at @provider: numbers, and the names it has. @provider NULL: numbers only. */
void ms_ports_resolve(struct ms_load *load, const ms_raw_port_vec *raw,
		      const struct ms_service *provider, ms_ports_vec *ports);
bool ms_ports_have_names(const ms_raw_port_vec *raw);
void ms_ports_add_ping(struct ms_load *load, ms_ports_vec *ports);

/* resolve.c */
struct ms_target {
	struct ms_peer peer;
	ms_ports_vec ports;
};
typedef MS_VEC(struct ms_target) ms_target_vec;
/** Destinations of @flow in @env and @service, each with the ports it means there; those with no
 * port are left out. */
void ms_load_targets(struct ms_load *load, const struct ms_raw_flow *flow, const char *env,
		     const char *service, ms_target_vec *targets);
/** Reports port names that none of the destinations has. */
void ms_load_check_port_names(struct ms_load *load, const struct ms_raw_flow *flow, const char *env,
			      const char *service);
/** Warns of services in @peers that no document describes. @first: of a list of environments. */
void ms_load_check_services(struct ms_load *load, const ms_raw_peer_vec *peers, const char *env,
			    bool first);

/* services.c, grants.c */
void ms_load_services(struct ms_load *load);
void ms_load_grants(struct ms_load *load);

/* flows.c */
void ms_load_flows(struct ms_load *load);
/** Warns when @until is over. @what has it: "the crossing". */
void ms_load_check_until(struct ms_load *load, const struct ms_yaml_node *mapping, time_t until,
			 const char *what);
/** Reads @node, a mapping of @section: its table rows say which peers may stand where. */
void ms_load_flow(struct ms_load *load, const struct ms_yaml_node *node, enum ms_section section,
		  struct ms_raw_flow *flow);

/* runtime.c */
/** Reads a Relax or a Quarantine. */
void ms_load_relax(struct ms_load *load, const struct ms_yaml_node *root);
void ms_load_quarantine(struct ms_load *load, const struct ms_yaml_node *root);
/** Reports a document of @kind at @at that stands in the wrong kind of file. */
bool ms_load_check_kind(struct ms_load *load, enum ms_section kind, const struct ms_origin *at);

/* lint.c, lint_grants.c */
void ms_load_lint(struct ms_load *load);
void ms_load_lint_grants(struct ms_load *load, const struct ms_service_document *document);

/**
 * As ms_policy_load(), without the gate for what this version does not enforce: the whole language
 * of SPEC section 2. For tests of the model; what it gives must not be compiled.
 */
int ms_policy_load_ungated(const struct ms_policy_file *files, size_t n_files, time_t now,
			   struct ms_diags *diags, struct ms_policy **ret_policy);
