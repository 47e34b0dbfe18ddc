/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lint, theory of operation: warnings about what is right in form and meaning and still will not do
 * what its author hoped. It reads documents as written, not the model, so that a document for many
 * services warns once.
 */
#include <string.h>

#include "policy/load.h"

static bool peer_covers(const struct ms_peer *peer, const char *env, const char *service)
{
	if (peer->kind != MS_PEER_SERVICE || (peer->env && strcmp(peer->env, env) != 0))
		return false;
	return !peer->service || !service ||
	       strcmp(peer->service, service) == 0; /* any part of it */
}

/* Is any part of the fence between the two lifted? @service NULL: of any service. */
static bool has_crossing(const struct ms_load *load, const struct ms_peer *from, const char *env,
			 const char *service)
{
	ms_vec_each (struct ms_crossing, crossing, &load->policy->crossings) {
		if ((!crossing->until || crossing->until > load->now) &&
		    peer_covers(&crossing->from, from->env, from->service) &&
		    peer_covers(&crossing->to, env, service))
			return true;
	}
	return false;
}

static void warn_fence(struct ms_load *load, const struct ms_peer *from, const struct ms_peer *to,
		       const struct ms_origin *at)
{
	if (strcmp(from->env, to->env) == 0 || has_crossing(load, from, to->env, to->service))
		return;
	ms_load_warn(load, at, "fence", "crossings: in the Environments document lift it",
		     "the fence between %s and %s stands before this grant", from->env, to->env);
}

/* Each of @peers that names its environment, and the document's own service in each of its
 * environments. */
static void lint_fence(struct ms_load *load, const struct ms_service_document *document,
		       const ms_raw_peer_vec *peers, bool incoming)
{
	ms_vec_each (struct ms_raw_peer, raw, peers) {
		for (size_t i = 0;
		     raw->peer.kind == MS_PEER_SERVICE && !raw->bare && i < document->envs.n_items;
		     i++) {
			struct ms_peer own = {.kind = MS_PEER_SERVICE,
					      .env = document->envs.items[i]->name,
					      .service = document->name};

			warn_fence(load, incoming ? &raw->peer : &own, incoming ? &own : &raw->peer,
				   &raw->peer.at);
		}
	}
}

static void lint_families(struct ms_load *load, const ms_raw_peer_vec *peers)
{
	ms_vec_each (struct ms_raw_peer, raw, peers) {
		if (raw->one_family_default)
			ms_load_warn(load, &raw->peer.at, "one-family",
				     "add \"::/0\", or use {net: internet}",
				     "an IPv4 default route without its IPv6 twin");
	}
}

static void lint_env(struct ms_load *load, const struct ms_env *env)
{
	if (env->mode == MS_MODE_ENFORCE && !env->gateway_resolver && env->resolvers.n_items == 0)
		ms_load_warn(load, &env->at, "no-resolvers",
			     "write resolvers: [gateway], or the name servers' addresses",
			     "%s is enforced and its services can ask no name server", env->name);
}

void ms_load_lint(struct ms_load *load)
{
	ms_vec_each (struct ms_env, env, &load->policy->envs)
		lint_env(load, env);
	ms_vec_each (struct ms_service_document, document, &load->services) {
		ms_vec_each (struct ms_raw_flow, allow, &document->allow) {
			lint_fence(load, document, &allow->from, true);
			lint_families(load, &allow->from);
		}
		ms_vec_each (struct ms_raw_flow, need, &document->needs) {
			lint_fence(load, document, &need->to, false);
			lint_families(load, &need->to);
		}
		ms_load_lint_grants(load, document);
	}
}
