/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Yaml reader: what the two passes over a file share. Private to src/policy/yaml*.c. */
#pragma once

#include <yaml.h>

#include "microseg/cleanup.h"
#include "microseg/yaml.h"

struct ms_yaml_spot {
	size_t line, column; /* as libyaml counts, from 0, within the whole file */
};

struct ms_yaml_reader {
	struct ms_arena *arena;
	const struct ms_policy_file *file;
	const char *name; /* of the file, in the arena */
	struct ms_diags *diags;
	char *text; /* a copy without byte order mark; characters that must be quoted get
		       overwritten */
	size_t size;
	size_t n_nodes;
	size_t n_documents;
	size_t n_repairs;
	MS_VEC(struct ms_yaml_spot)
	repaired; /* where a scalar begins that is not what the user wrote */
	bool found_error;
};

/** A part of the file that is parsed on its own: up to the next document that a syntax error leaves
 * readable. */
struct ms_yaml_segment {
	size_t start;	 /* byte offset */
	size_t line;	 /* its number, from 0 */
	size_t n_events; /* that can be read without an error */
	bool last;
};

/** What is limited of a file, as far as it is read. */
struct ms_yaml_counts {
	size_t depth, nodes, documents;
};

/** Counts an event. Returns false when it leads over a limit. */
bool ms_yaml_count(const struct ms_yaml_reader *reader, struct ms_yaml_counts *counts,
		   yaml_event_type_t type);

/** Opens @parser on the rest of the file from @segment. Returns 0 or -ENOMEM. */
int ms_yaml_open(struct ms_yaml_reader *reader, const struct ms_yaml_segment *segment,
		 yaml_parser_t *parser);

/**
 * First pass: finds how much of @segment can be read, and reports what cannot.
 * Characters that are wrong only for want of quotes are reported and overwritten, so that the rest
 * can be judged too.
 * @ret_next is where to go on when @segment is not the last. Returns 0 or -ENOMEM.
 */
int ms_yaml_scan(struct ms_yaml_reader *reader, struct ms_yaml_segment *segment,
		 struct ms_yaml_segment *ret_next);

/** The place of a mark; @end NULL when it has no width worth showing. */
struct ms_origin ms_yaml_origin(const struct ms_yaml_reader *reader,
				const struct ms_yaml_segment *segment, const yaml_mark_t *start,
				const yaml_mark_t *end);
