/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Yaml: libyaml events made into a small tree in which every node and every key knows its place.
 *
 * Strict by itself: anchors, aliases, merge keys, tags and duplicate keys are errors, as is
 * anything over the limits of policy.h, a NUL, a byte order mark other than UTF-8's, or text that
 * is not UTF-8. Every scalar stays text. Used for policies, inventories and the daemon's
 * configuration.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "microseg/diag.h"
#include "microseg/policy.h"

enum ms_yaml_kind {
	MS_YAML_SCALAR,
	MS_YAML_SEQUENCE,
	MS_YAML_MAPPING,
};

struct ms_yaml_node;

struct ms_yaml_entry {
	struct ms_yaml_node *key; /* always a scalar */
	struct ms_yaml_node *value;
};

struct ms_yaml_node {
	enum ms_yaml_kind kind;
	bool plain;  /* scalar written without quotes */
	bool broken; /* an error was reported for it or inside it: it is incomplete, so judge no
			absence by it */
	struct ms_origin at;
	const char *text; /* scalar: never NULL, may be "" */
	union { /* a large policy has hundreds of thousands of nodes; look at the kind first */
		MS_VEC(struct ms_yaml_node *) items;  /* sequence */
		MS_VEC(struct ms_yaml_entry) entries; /* mapping, in the order written */
	};
};

struct ms_yaml_file {
	const struct ms_policy_file *file;
	MS_VEC(struct ms_yaml_node *) documents;
};

/**
 * Parses @file into documents allocated in @arena. Errors go into @diags; what could be read before
 * a syntax error is kept, so that the caller can report more errors. Returns 0, -EINVAL when an
 * error was added, or -ENOMEM.
 */
int ms_yaml_parse(struct ms_arena *arena, const struct ms_policy_file *file, struct ms_diags *diags,
		  struct ms_yaml_file *ret_file);

/** The value under @key in a mapping, or NULL. */
struct ms_yaml_node *ms_yaml_get(const struct ms_yaml_node *mapping, const char *key);
/** Adds an error at @at with its source line out of @file. After a thousand errors in @diags they
 * are only counted. */
void ms_yaml_error(const struct ms_policy_file *file, struct ms_diags *diags,
		   const struct ms_origin *at, const char *code, const char *hint,
		   const char *format, ...) __attribute__((format(printf, 6, 7)));
