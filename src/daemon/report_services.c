/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Services: each with its grants, and how often they were used. */
#include <string.h>

#include "daemon/report.h"

static json_t *line_json(const struct ms_hits_line *line)
{
	return json_pack(
		"{s:s, s:s, s:{s:s, s:i}, s:o, s:o}", "kind", line->kind, "text", line->text,
		"policy", "file", line->at.file, "line", (int)line->at.line, "hits",
		line->counted ? json_integer((json_int_t)line->packets) : json_null(), "last_hit",
		line->last ? json_integer((json_int_t)line->last) : json_null());
}

static json_int_t count_endpoints(const struct ms_inventory *inventory, const char *identity)
{
	json_int_t n = 0;

	if (inventory)
		ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
			n += endpoint->identity && strcmp(endpoint->identity, identity) == 0;
	return n;
}

/* Both are sorted by service. */
static json_t *grants_json(const ms_hits_line_vec *lines, const char *identity, size_t *at)
{
	json_t *list = json_array();

	while (*at < lines->n_items && strcmp(lines->items[*at].service, identity) < 0)
		(*at)++;
	for (size_t i = *at; i < lines->n_items; i++) {
		if (strcmp(lines->items[i].service, identity) != 0)
			break;
		json_array_append_new(list, line_json(&lines->items[i]));
	}
	return list;
}

json_t *ms_report_services(struct ms_daemon *daemon)
{
	json_t *list = json_array();
	size_t at = 0;

	ms_reconcile_sample(daemon);
	if (daemon->loaded)
		ms_vec_each (struct ms_service, service, &daemon->loaded->policy->services)
			json_array_append_new(
				list,
				json_pack("{s:s, s:s, s:I, s:o}", "service", service->identity,
					  "mode", ms_mode_name(service->mode), "endpoints",
					  count_endpoints(daemon->inventory, service->identity),
					  "grants",
					  grants_json(ms_hits_lines(daemon->hits),
						      service->identity, &at)));
	time_t since = ms_hits_since(daemon->hits);
	return json_pack("{s:o, s:o}", "since",
			 since ? json_integer((json_int_t)since) : json_null(), "services", list);
}
