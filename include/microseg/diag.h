/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Diag: what a user can fix, said with file, line, column, the line itself and what was expected.
 *
 * Errors of a load are collected, never only the first. A diagnostic prints as
 *
 *	policies/web.yaml:7:13: error: unknown key 'prot' [unknown-key]
 *	  7 |     - {from: web, prot: tcp/80}
 *	    |                   ^~~~ did you mean 'port'?
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "microseg/arena.h"
#include "microseg/str.h"
#include "microseg/vec.h"

/** A place in a file. `file` is relative to the policy root; line and column count from 1, 0 means
 * unknown. */
struct ms_origin {
	const char *file;
	uint32_t line;
	uint32_t column;
	uint32_t width; /* characters to underline; 0 and 1 mean one */
};

enum ms_severity {
	MS_ERROR,
	MS_WARNING,
};

const char *ms_severity_name(enum ms_severity severity);

struct ms_diag {
	enum ms_severity severity;
	struct ms_origin at;
	const char *code;	 /* stable identifier, e.g. "unknown-key"; static text */
	const char *message;	 /* what is wrong */
	const char *hint;	 /* what was expected, or NULL */
	const char *source_line; /* the offending line without its newline, or NULL */
};

struct ms_diags {
	struct ms_arena *arena; /* owns every text of `list` */
	MS_VEC(struct ms_diag) list;
	size_t n_errors;
	size_t n_warnings;
	bool out_of_memory; /* a diagnostic could not be kept: the load must be refused */
};

int ms_diags_init(struct ms_diags *diags);
void ms_diags_fini(struct ms_diags *diags);

/**
 * Adds a diagnostic. @code is static; @hint and @source_line may be NULL and are copied, as is
 * @at.file. Never fails visibly: without memory it sets `out_of_memory`, and n_errors grows all the
 * same.
 */
void ms_diags_add(struct ms_diags *diags, enum ms_severity severity, const char *code,
		  const struct ms_origin *at, const char *source_line, const char *hint,
		  const char *format, ...) __attribute__((format(printf, 7, 8)));

/** Sorts by file, line, column. */
void ms_diags_sort(struct ms_diags *diags);
/** Sorts by file, line, column and prints all of them in the form above, with ANSI colours when
 * @color. */
void ms_diags_print(struct ms_diags *diags, struct ms_str *out, bool color);

/**
 * Edit distance of at most 2 (1 for words under four characters): returns the candidate nearest to
 * @word, or NULL. For "did you mean".
 */
const char *ms_nearest_word(const char *word, const char *const *candidates, size_t n_candidates);
