/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "microseg/cleanup.h"

/* Connections of the same two ends to the same port. */
struct line {
	struct ms_flow flow; /* texts are borrowed from policy and inventory */
	struct ms_addr src, dst;
	uint64_t n;
};

struct plan {
	MS_VEC(struct line) lines;
	uint64_t n;
	int error;
};

static void plan_fini(struct plan *plan)
{
	ms_vec_fini(&plan->lines);
}

static void print_party(const struct ms_party *party, struct ms_str *out)
{
	char addr[MS_ADDR_TEXT_SIZE];

	switch (party->kind) {
	case MS_PARTY_SERVICE:
		ms_str_addf(out, "%s/%s", party->env, party->service);
		break;
	case MS_PARTY_UNIDENTIFIED:
		ms_str_add(out, "unidentified");
		break;
	case MS_PARTY_HOST:
		ms_str_add(out, "host");
		break;
	case MS_PARTY_NODE:
		ms_str_addf(out, "node %s", party->node ? party->node : "*");
		break;
	case MS_PARTY_NET:
		ms_str_addf(out, "net %s",
			    party->has_addr ? ms_addr_format(&party->addr, addr) : "");
		break;
	}
}

static bool same_party(const struct ms_party *a, const struct ms_party *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == MS_PARTY_SERVICE)
		return strcmp(a->env, b->env) == 0 && strcmp(a->service, b->service) == 0;
	if (a->kind == MS_PARTY_NET)
		return ms_addr_compare(&a->addr, &b->addr) == 0;
	return true;
}

static void note(const struct ms_conntrack_entry *entry, const struct ms_flow *flow, void *userdata)
{
	struct plan *plan = userdata;
	struct line line = {.flow = *flow, .src = entry->orig.src, .dst = entry->orig.dst, .n = 1};

	plan->n++;
	ms_vec_each (struct line, known, &plan->lines)
		if (known->flow.proto == flow->proto && known->flow.port == flow->port &&
		    same_party(&known->flow.src, &flow->src) &&
		    same_party(&known->flow.dst, &flow->dst)) {
			known->n++;
			return;
		}
	if (plan->lines.n_items < MS_PLAN_MAX && ms_vec_push(&plan->lines, line) < 0)
		plan->error = -ENOMEM;
}

static int compare_lines(const void *a, const void *b)
{
	const struct line *left = a, *right = b;

	return (left->n < right->n) - (left->n > right->n);
}

static json_t *line_json(const struct line *line)
{
	_cleanup_(ms_str_fini) struct ms_str src = {0}, dst = {0};
	char from[MS_ADDR_TEXT_SIZE], to[MS_ADDR_TEXT_SIZE], ports[MS_PORTS_TEXT_SIZE];
	const struct ms_ports port = {
		.proto = line->flow.proto, .first = line->flow.port, .last = line->flow.port};

	print_party(&line->flow.src, &src);
	print_party(&line->flow.dst, &dst);
	return json_pack("{s:s, s:s, s:s, s:I, s:{s:s, s:s}}", "src", src.text ? src.text : "",
			 "dst", dst.text ? dst.text : "", "port", ms_ports_format(&port, ports),
			 "connections", (json_int_t)line->n, "example", "src",
			 ms_addr_format(&line->src, from), "dst", ms_addr_format(&line->dst, to));
}

int ms_plan_cuts(const struct ms_daemon *daemon, const struct ms_policy *policy, json_t **ret_plan)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(plan_fini) struct plan plan = {0};
	int r = ms_discover_snapshot(daemon->discover, &inventory);

	if (r == 0)
		r = ms_inventory_identify(inventory, policy);
	if (r == 0)
		r = ms_revoke_preview(policy, inventory, note, &plan);
	if (r == 0)
		r = plan.error;
	if (r < 0)
		return r;
	ms_vec_sort(&plan.lines, compare_lines);
	json_t *cut = json_array();
	ms_vec_each (struct line, line, &plan.lines)
		json_array_append_new(cut, line_json(line));
	*ret_plan = json_pack("{s:I, s:o}", "connections", (json_int_t)plan.n, "cut", cut);
	return *ret_plan ? 0 : -ENOMEM;
}
