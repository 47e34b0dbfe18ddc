/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "matrix_print.h"

json_t *matrix_place_json(const struct ms_origin *origin)
{
	return origin->file
		       ? json_pack("{s:s, s:i}", "file", origin->file, "line", (int)origin->line)
		       : json_null();
}

/* The intervals of one protocol, from ports[*at] on. */
static json_t *intervals(const ms_ports_vec *ports, size_t *at)
{
	uint8_t proto = ports->items[*at].proto;
	json_t *list = json_array();

	for (; *at < ports->n_items && ports->items[*at].proto == proto; (*at)++)
		json_array_append_new(list, json_pack("[i, i]", (int)ports->items[*at].first,
						      (int)ports->items[*at].last));
	return list;
}

static void add_flows(const struct matrix_row *row, json_t *flows)
{
	char proto[MS_PORTS_TEXT_SIZE];

	for (size_t i = 0; i < row->ports.n_items;) {
		json_t *flow =
			json_pack("{s:s, s:s, s:s}", "src", row->src->name, "dst", row->dst->name,
				  "proto", matrix_proto(row->ports.items[i].proto, proto));

		json_object_set_new(flow, "ports", intervals(&row->ports, &i));
		json_object_set_new(flow, "verdict",
				    json_string(ms_verdict_name(row->first->verdict)));
		json_object_set_new(flow, "policy", matrix_place_json(&row->first->policy));
		if (row->src->kind == MS_PARTY_NET || row->src->kind == MS_PARTY_NODE)
			json_object_set_new(flow, "published", json_boolean(row->first->published));
		json_array_append_new(flows, flow);
	}
}

/* Whose refusals pass: what is not listed passes there as well. */
static json_t *audited(const struct matrix_rows *rows, const struct ms_policy *policy)
{
	const struct ms_matrix *matrix = rows->matrix;
	json_t *list = json_array();

	for (size_t i = 0; i < matrix->n_identities; i++)
		if (matrix->ends.items[i].mode == MS_MODE_AUDIT)
			json_array_append_new(list, json_string(matrix->ends.items[i].name));
	if (policy->unidentified == MS_MODE_AUDIT)
		json_array_append_new(list, json_string("unidentified"));
	return list;
}

static json_t *prefixes(const struct ms_matrix_end *end)
{
	ms_prefix_vec list = {0};
	json_t *json = json_array();
	char prefix_text[MS_ADDR_TEXT_SIZE + 4];

	ms_vec_each (const struct ms_range, range, &end->ranges)
		(void)!ms_range_split(NULL, range, &list);
	ms_vec_each (const struct ms_prefix, prefix, &list)
		json_array_append_new(json, json_string(ms_prefix_format(prefix, prefix_text)));
	ms_vec_fini(&list);
	return json;
}

/* What the names of nets mean. */
static json_t *nets(const struct ms_matrix *matrix)
{
	json_t *object = json_object();

	ms_vec_each (const struct ms_matrix_end, end, &matrix->ends)
		if (end->kind == MS_PARTY_NET)
			json_object_set_new(object, end->name, prefixes(end));
	return object;
}

json_t *matrix_json(const struct matrix_rows *rows, const struct ms_policy *policy)
{
	json_t *identities = json_array(), *flows = json_array();

	for (size_t i = 0; i < rows->matrix->n_identities; i++)
		json_array_append_new(identities, json_string(rows->matrix->ends.items[i].name));
	ms_vec_each (const struct matrix_row, row, &rows->list)
		add_flows(row, flows);
	return json_pack("{s:o, s:o, s:o, s:o}", "identities", identities, "flows", flows,
			 "audited", audited(rows, policy), "nets", nets(rows->matrix));
}
