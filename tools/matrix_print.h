/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Matrix print: a matrix for people, spreadsheets, programs and browsers.
 *
 * A row is what one line of the policy says about one pair: flows of a pair that share verdict and
 * place.
 */
#pragma once

#include <jansson.h>

#include "microseg/matrix.h"

struct matrix_row {
	const struct ms_matrix_end *src;
	const struct ms_matrix_end *dst;
	const struct ms_matrix_flow *first; /* verdict, published, policy */
	ms_ports_vec ports;
};

struct matrix_rows {
	struct ms_arena *arena;
	const struct ms_matrix *matrix;
	MS_VEC(struct matrix_row) list;
	size_t n_flows; /* as JSON counts them: one for each protocol */
};

/** Only flows with an end called @service; NULL: all. Returns 0 or -ENOMEM. */
int matrix_rows_init(const struct ms_matrix *matrix, const char *service,
		     struct matrix_rows *ret_rows);
void matrix_rows_fini(struct matrix_rows *rows);

void matrix_print_text(const struct matrix_rows *rows, const struct ms_policy *policy, bool color,
		       struct ms_str *out);
void matrix_print_csv(const struct matrix_rows *rows, struct ms_str *out);
/** One HTML page that needs nothing else. Returns 0 or -ENOMEM. */
int matrix_print_html(const struct matrix_rows *rows, const struct ms_policy *policy,
		      struct ms_str *out);
/** SPEC section 5; NULL without memory. */
json_t *matrix_json(const struct matrix_rows *rows, const struct ms_policy *policy);

/** "tcp", …, "proto/47". */
const char *matrix_proto(uint8_t proto, char text[MS_PORTS_TEXT_SIZE]);
/** {"file", "line"}, or null. */
json_t *matrix_place_json(const struct ms_origin *origin);
