/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Schema: the policy language as one table. Each key of each mapping has one row, and from it come
 * the check of a document's form, the errors with their "did you mean" and "expected", and what
 * tools say about the language.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "microseg/str.h"
#include "microseg/yaml.h"

struct ms_load;

/** The mappings of the language. Documents come first. */
enum ms_section {
	MS_SECTION_ENVIRONMENTS,
	MS_SECTION_SERVICE,
	MS_SECTION_EXCEPTION,
	MS_N_DOCUMENT_KINDS,			/* in users' files; */
	MS_SECTION_RELAX = MS_N_DOCUMENT_KINDS, /* in the runtime file only */
	MS_SECTION_QUARANTINE,
	MS_N_RUNTIME_KINDS,
	MS_SECTION_IDENTITY = MS_N_RUNTIME_KINDS,
	MS_SECTION_UNIDENTIFIED,
	MS_SECTION_ENVIRONMENT,
	MS_SECTION_MATCH,
	MS_SECTION_REFUSE,
	MS_SECTION_EXCEPTIONS,
	MS_SECTION_CROSSING,
	MS_SECTION_NEVER,
	MS_SECTION_ALLOW,
	MS_SECTION_NEED,
	MS_SECTION_TEST,       /* of a Service document: names may be bare, `to` may be left out */
	MS_SECTION_FLEET_TEST, /* of the others */
	MS_SECTION_PEER,
	MS_N_SECTIONS,
};

/** A document that only the daemon writes: no part of the language as users know it. */
static inline bool ms_section_is_runtime(enum ms_section section)
{
	return section >= MS_N_DOCUMENT_KINDS && section < MS_N_RUNTIME_KINDS;
}

/** What a single value is. Each has a row in ms_value_types. */
enum ms_value {
	MS_VALUE_TEXT,
	MS_VALUE_BOOL,
	MS_VALUE_CHOICE, /* one of the key's choices */
	MS_VALUE_NAME,
	MS_VALUE_SERVICE, /* a name or "*" */
	MS_VALUE_LABELS,  /* label or label+label */
	MS_VALUE_GLOB,
	MS_VALUE_ADDRESS,
	MS_VALUE_RESOLVER, /* an address or gateway */
	MS_VALUE_CIDR,
	MS_VALUE_NET,	    /* a CIDR or the name of a net */
	MS_VALUE_NODE,	    /* a name or "*" */
	MS_VALUE_PORTS,	    /* tcp/80 */
	MS_VALUE_PORTS_USE, /* tcp/80 or a name */
	MS_VALUE_TIME,
	MS_VALUE_DURATION,
	MS_VALUE_PEER,	  /* a name, host, self, … or a mapping of MS_SECTION_PEER */
	MS_VALUE_SECTION, /* a mapping with rows of its own */
	MS_N_VALUES,
};

enum ms_shape {
	MS_ONE,	     /* one value */
	MS_MANY,     /* one value or a list of them */
	MS_MAP_ONE,  /* names of the user's own, each with one value */
	MS_MAP_MANY, /* likewise, each with one value or a list */
};

/** Which peers may stand behind a key. env/service may behind each. */
enum ms_peers_allowed {
	MS_PEERS_BARE = 1 << 0, /* a name without environment, and "*" */
	MS_PEERS_SELF = 1 << 1,
	MS_PEERS_HOST = 1 << 2,
	MS_PEERS_NODE = 1 << 3,
	MS_PEERS_NET = 1 << 4,
	MS_PEERS_ENV = 1 << 5,	/* env/star */
	MS_PEERS_NAME = 1 << 6, /* {fqdn: NAME} */
	MS_PEERS_LINK_LOCAL =
		1 << 7, /* ranges keep IPv4 link-local: for refusals and their tests */
};

struct ms_peer_form {
	unsigned int flag; /* of ms_peers_allowed; 0: everywhere */
	const char *text;  /* as messages name it: "{net: CIDR}" */
	const char *meaning;
};

/** Every form of a peer. */
extern const struct ms_peer_form ms_peer_forms[];
extern const size_t ms_n_peer_forms;
/** Appends the forms that @allowed lets stand, with commas between them. */
void ms_peer_forms_list(unsigned int allowed, struct ms_str *out);

struct ms_schema_key {
	enum ms_section in;
	const char *name;
	enum ms_shape shape;
	enum ms_value value;
	enum ms_section section; /* of MS_VALUE_SECTION */
	enum ms_value map_key;	 /* of maps: what a name is */
	bool required;
	unsigned int peers; /* ms_peers_allowed of MS_VALUE_PEER; in MS_SECTION_PEER, the kind of
			       peer: its first key must be there */
	bool filled;	    /* an empty mapping is an error too; an empty list always is */
	const char *const *choices; /* ended by NULL */
	const char *example;	    /* as it would be written */
	const char *description;    /* one sentence */
};

extern const struct ms_schema_key ms_schema_keys[];
extern const size_t ms_n_schema_keys;

/** A section as users know it: "Service document", "entry of allow". */
const char *ms_section_name(enum ms_section section);
/** `kind:` of a document, e.g. "Service". */
const char *ms_document_kind(enum ms_section section);
/** The row of @name in @section, or NULL. */
const struct ms_schema_key *ms_schema_key(enum ms_section section, const char *name);
/** The rows of a section, which stand together in the table. */
const struct ms_schema_key *ms_schema_section(enum ms_section section, size_t *ret_n_keys);

/** What a value failed on. */
struct ms_complaint {
	const char *code;
	char message[256];
	char hint[256]; /* "" for the type's own text */
};

struct ms_value_type {
	const char *name;     /* "a CIDR" */
	const char *expected; /* "a CIDR such as 10.8.0.0/24" */
	/** Is @text such a value? If not, says why. NULL where the schema walk knows better. */
	bool (*check)(const char *text, struct ms_complaint *complaint);
	/** A regular expression for what `check` takes, as far as one can say it, or NULL. */
	const char *pattern;
	bool is_name;	      /* reserved words are no such value, … */
	const char *but_word; /* … but for this one, or NULL */
};

extern const struct ms_value_type ms_value_types[MS_N_VALUES];

/** A name but for the reserved words, and a service with its environment, as regular expressions.
 */
#define MS_NAME_PATTERN "[A-Za-z][A-Za-z0-9._-]{0,62}"
/** The reserved words one by one, then NULL. */
const char *ms_reserved_word(size_t index);

/** Reads "2026-12-01T18:00:00Z" (RFC 3339, any offset). Returns 0 or -EINVAL. */
int ms_time_parse(const char *text, time_t *ret_time);
/** Reads "30d": a number with s, m, h, d or w. Returns 0 or -EINVAL. */
int ms_duration_parse(const char *text, time_t *ret_seconds);

/** Appends the language as JSON Schema draft-07. Returns 0 or -ENOMEM. */
int ms_schema_print_json(struct ms_str *out);
/** Appends the reference page of the language, in Markdown. Returns 0 or -ENOMEM. */
int ms_schema_print_page(struct ms_str *out);

/** Reports every error of form in @node, a mapping of @section, and what the gate holds back. */
void ms_schema_check(struct ms_load *load, const struct ms_yaml_node *node,
		     enum ms_section section);
