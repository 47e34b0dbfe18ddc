/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The matrix as a page: matrix.html with the JSON put into it. The page builds itself out of text
 * nodes, so names can't become markup; what could end the element that the JSON stands in is
 * escaped as JSON allows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "matrix_print.h"
#include "matrix_template.h"
#include "microseg/cleanup.h"

#define DATA_MARK "@DATA@"

static void add_escaped(struct ms_str *out, const char *json)
{
	for (; *json; json++)
		if (strchr("<>&", *json))
			ms_str_addf(out, "\\u%04x", (unsigned int)*json);
		else
			ms_str_add_char(out, *json);
}

int matrix_print_html(const struct matrix_rows *rows, const struct ms_policy *policy,
		      struct ms_str *out)
{
	_cleanup_(json_decrefp) json_t *json = matrix_json(rows, policy);
	_cleanup_(freep) char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	const char *mark = strstr(matrix_template, DATA_MARK);

	if (!text)
		return -ENOMEM;
	ms_str_add_len(out, matrix_template, (size_t)(mark - matrix_template));
	add_escaped(out, text);
	ms_str_add(out, mark + strlen(DATA_MARK));
	return out->failed ? -ENOMEM : 0;
}
