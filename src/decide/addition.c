/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "addition.h"

#include <string.h>

#include "grants.h"
#include "wording.h"

static void add_ports(struct ms_str *out, const struct ms_flow *flow)
{
	ms_str_add(out, ", ports: [");
	ms_wording_port(out, flow);
	ms_str_add_char(out, ']');
}

/* {from: reports, ports: [tcp/5432]} */
static void add_allow(struct ms_str *out, const struct ms_flow *flow)
{
	ms_str_add(out, "{from: ");
	ms_wording_peer_of(out, &flow->src, flow->dst.env, flow->dst.service);
	add_ports(out, flow);
	ms_str_add(out, ms_asks_published(flow) ? ", published: true}" : "}");
}

static void add_need(struct ms_str *out, const struct ms_flow *flow)
{
	ms_str_add(out, "{to: ");
	ms_wording_peer_of(out, &flow->dst, flow->src.env, flow->src.service);
	add_ports(out, flow);
	ms_str_add_char(out, '}');
}

static void add_crossing(struct ms_str *out, const struct ms_flow *flow)
{
	ms_str_add(out, "{from: ");
	ms_wording_peer_of(out, &flow->src, NULL, NULL);
	ms_str_add(out, ", to: ");
	ms_wording_peer_of(out, &flow->dst, NULL, NULL);
	add_ports(out, flow);
	ms_str_add_char(out, '}');
}

static bool same_place(const struct ms_origin *a, const struct ms_origin *b)
{
	return a->line == b->line && a->column == b->column && a->file && b->file &&
	       strcmp(a->file, b->file) == 0;
}

/* A document that stands in several environments grants in each of them. */
static void add_other_envs(struct ms_str *out, const struct ms_policy *policy,
			   const struct ms_service *own)
{
	bool any = false;

	ms_vec_each (const struct ms_service, other, &policy->services) {
		if (strcmp(other->env, own->env) == 0 || !same_place(&other->at, &own->at))
			continue;
		ms_str_addf(out, "%s%s", any ? " and " : ", for ", other->env);
		any = true;
	}
	ms_str_add(out, any ? " too" : "");
}

/* " (file:line, for dev too)" */
static void add_place(struct ms_str *out, const struct ms_policy *policy,
		      const struct ms_service *own, const struct ms_origin *at, const char *seen)
{
	const char *file = at->file ? at->file : "the policy";

	if (seen && strcmp(seen, file) == 0)
		ms_str_addf(out, " (line %u", at->line);
	else
		ms_str_addf(out, " (%s:%u", file, at->line);
	if (own)
		add_other_envs(out, policy, own);
	ms_str_add_char(out, ')');
}

/* In one line, so that it can be pasted as it is. */
static void add_document(struct ms_str *out, const struct ms_party *party, bool named,
			 const char *key)
{
	ms_str_add(out, "write ");
	if (named)
		ms_str_addf(out, "a document of %s/%s", party->env, party->service);
	else
		ms_str_add(out, "one");
	ms_str_addf(out,
		    " (a new file, or below a line ---): {apiVersion: microseg/v1, kind: Service, "
		    "service: %s, env: %s, %s: [",
		    party->service, party->env, key);
}

void ms_addition_add(struct ms_str *out, const struct ms_policy *policy, const struct ms_flow *flow,
		     enum ms_addition_of of, bool named, const char *seen)
{
	bool allow = of == MS_ADDITION_ALLOW;
	const char *key = allow ? "allow" : "needs";
	const struct ms_party *party = allow ? &flow->dst : &flow->src;
	const struct ms_service *own = ms_party_document(policy, party);
	const struct ms_origin *list = !own ? NULL : allow ? &own->allow_at : &own->needs_at;

	if (!list) {
		add_document(out, party, named, key);
	} else if (list->line) {
		ms_str_addf(out, named ? "add to the %s of %s" : "add to its %s", key,
			    own->identity);
		add_place(out, policy, own, list, seen);
		ms_str_add(out, ": - ");
	} else {
		ms_str_addf(out, "add to %s", named ? own->identity : "it");
		add_place(out, policy, own, &own->at, seen);
		ms_str_addf(out, ": %s: [", key);
	}
	if (allow)
		add_allow(out, flow);
	else
		add_need(out, flow);
	ms_str_add(out, !own ? "]}" : list->line ? "" : "]");
}

void ms_addition_add_crossing(struct ms_str *out, const struct ms_policy *policy,
			      const struct ms_flow *flow)
{
	const struct ms_origin *list = &policy->crossings_at;

	ms_str_add(out, list->line ? "add to crossings" : "add to the Environments document");
	add_place(out, policy, NULL, list->line ? list : &policy->environments_at, NULL);
	ms_str_add(out, list->line ? ": - " : ": crossings: [");
	add_crossing(out, flow);
	ms_str_add(out, list->line ? "" : "]");
}
