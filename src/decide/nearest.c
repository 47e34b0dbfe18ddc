/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nearest: what exactly would have to be written where, so that a refused flow were allowed.
 *
 * It says the first obstacle, with its place, and then the ones behind it, so that one edit is not
 * followed by a second refusal. What it proposes can be pasted. It never proposes anything wider
 * than the flow that was asked about.
 */
#include "nearest.h"

#include <netinet/in.h>
#include <string.h>

#include "grants.h"
#include "microseg/cleanup.h"
#include "microseg/str.h"

#define NEAREST_MAX 400 /* bytes of a sentence */
#define PEERS_MAX 3	/* peers shown of a list */

struct miss {
	const struct ms_policy *policy;
	const struct ms_flow *flow;
	const struct ms_service *provider; /* documents of the two ends, or NULL */
	const struct ms_service *consumer;
	struct ms_str *out;
};

static void add_place(struct ms_str *out, const struct ms_origin *at)
{
	if (at && at->file && at->line)
		ms_str_addf(out, " (%s:%u)", at->file, at->line);
	else if (at && at->file)
		ms_str_addf(out, " (%s)", at->file);
}

static void add_file(struct ms_str *out, const struct ms_origin *at)
{
	ms_str_add(out, at->file ? at->file : "the policy");
}

static void add_addr(struct ms_str *out, const struct ms_party *party)
{
	char text[MS_ADDR_TEXT_SIZE];

	ms_str_add(out,
		   party->has_addr ? ms_addr_format(&party->addr, text) : "an unknown address");
}

static void add_port(const struct miss *miss)
{
	const struct ms_ports one = {miss->flow->proto, miss->flow->port, miss->flow->port};
	char text[MS_PORTS_TEXT_SIZE];

	ms_str_add(miss->out, ms_ports_format(&one, text));
}

/* A party as a reader would say it. */
static void add_party(struct ms_str *out, const struct ms_party *party)
{
	switch (party->kind) {
	case MS_PARTY_SERVICE:
		ms_str_addf(out, "%s/%s", party->env, party->service);
		break;
	case MS_PARTY_UNIDENTIFIED:
		if (party->endpoint)
			ms_str_add_safe(out, party->endpoint->name);
		else
			add_addr(out, party);
		break;
	case MS_PARTY_HOST:
		ms_str_add(out, "the host");
		break;
	case MS_PARTY_NODE:
		ms_str_addf(out, "node %s", party->node ? party->node : "?");
		break;
	case MS_PARTY_NET:
		add_addr(out, party);
		break;
	}
}

/* A party as it is written in the document of a service of @env. */
static void add_peer_of(struct ms_str *out, const struct ms_party *party, const char *env,
			const char *service)
{
	switch (party->kind) {
	case MS_PARTY_SERVICE:
		if (strcmp(party->env, env) != 0)
			ms_str_addf(out, "%s/%s", party->env, party->service);
		else
			ms_str_add(out,
				   strcmp(party->service, service) == 0 ? "self" : party->service);
		break;
	case MS_PARTY_UNIDENTIFIED:
		break;
	case MS_PARTY_HOST:
		ms_str_add(out, "host");
		break;
	case MS_PARTY_NODE:
		ms_str_addf(out, "{node: %s}", party->node ? party->node : "\"*\"");
		break;
	case MS_PARTY_NET:
		ms_str_add(out, "{net: [\"");
		add_addr(out, party);
		ms_str_addf(out, "/%d\"]}", party->addr.ip == MS_IP6 ? 128 : 32);
		break;
	}
}

/* allow: - {from: reports, ports: [tcp/5432]} */
static void add_allow(const struct miss *miss)
{
	const struct ms_flow *flow = miss->flow;
	bool outside = flow->src.kind == MS_PARTY_NET || flow->src.kind == MS_PARTY_NODE;

	ms_str_add(miss->out, "allow: - {from: ");
	add_peer_of(miss->out, &flow->src, flow->dst.env, flow->dst.service);
	ms_str_add(miss->out, ", ports: [");
	add_port(miss);
	ms_str_add(miss->out, flow->published && outside ? "], published: true}" : "]}");
}

static void add_need(const struct miss *miss)
{
	const struct ms_flow *flow = miss->flow;

	ms_str_add(miss->out, "needs: - {to: ");
	add_peer_of(miss->out, &flow->dst, flow->src.env, flow->src.service);
	ms_str_add(miss->out, ", ports: [");
	add_port(miss);
	ms_str_add(miss->out, "]}");
}

/* A peer of an existing grant, in the words of the policy. */
static void add_granted_peer(struct ms_str *out, const struct ms_peer *peer,
			     const struct ms_service *own)
{
	switch (peer->kind) {
	case MS_PEER_SERVICE:
		if (peer->env && strcmp(peer->env, own->env) != 0)
			ms_str_addf(out, "%s/", peer->env);
		ms_str_add(out, peer->service ? peer->service : "*");
		break;
	case MS_PEER_SELF:
		ms_str_add(out, "self");
		break;
	case MS_PEER_HOST:
		ms_str_add(out, "host");
		break;
	case MS_PEER_NODE:
		ms_str_addf(out, "node %s", peer->node ? peer->node : "*");
		break;
	case MS_PEER_NET:
		ms_str_addf(out, "net %s", peer->net_name ? peer->net_name : "?");
		break;
	}
}

/* "orders-api and metrics": whom @grants let at this port. Returns the first such grant, or NULL.
 */
static const struct ms_grant *add_peers_at_port(const struct miss *miss,
						const struct ms_service *own,
						const struct ms_grant *grants, size_t n_grants)
{
	const struct ms_grant *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < n_grants; i++) {
		if (!ms_ports_vec_cover(&grants[i].ports, miss->flow->proto, miss->flow->port))
			continue;
		if (n < PEERS_MAX) {
			ms_str_add(miss->out, n ? ", " : "");
			add_granted_peer(miss->out, &grants[i].peer, own);
		} else if (n == PEERS_MAX) {
			ms_str_add(miss->out, ", …");
		}
		first = first ? first : &grants[i];
		n++;
	}
	return first;
}

static bool any_at_port(const struct miss *miss, const struct ms_grant *grants, size_t n_grants)
{
	for (size_t i = 0; i < n_grants; i++)
		if (ms_ports_vec_cover(&grants[i].ports, miss->flow->proto, miss->flow->port))
			return true;
	return false;
}

/* The first of @grants for this peer, whatever its ports. */
static const struct ms_grant *grant_for(const struct ms_grant *grants, size_t n_grants,
					const struct ms_service *own, const struct ms_party *party)
{
	for (size_t i = 0; i < n_grants; i++)
		if (ms_peer_covers(&grants[i].peer, own, party))
			return &grants[i];
	return NULL;
}

static void add_ports(struct ms_str *out, const ms_ports_vec *ports)
{
	char text[MS_PORTS_TEXT_SIZE];

	for (size_t i = 0; i < ports->n_items && i < PEERS_MAX; i++)
		ms_str_addf(out, "%s%s", i ? ", " : "", ms_ports_format(&ports->items[i], text));
	if (ports->n_items > PEERS_MAX)
		ms_str_add(out, ", …");
}

/* Who has no document owns nothing to add a grant to. */
static void say_no_document(const struct miss *miss, const struct ms_party *party, bool provider)
{
	ms_str_addf(
		miss->out,
		"%s/%s has no Service document, so it %s nothing; write one (kind: Service, service: %s, "
		"env: %s) with ",
		party->env, party->service, provider ? "allows" : "may call", party->service,
		party->env);
	if (provider)
		add_allow(miss);
	else
		add_need(miss);
}

/* A grant for this source and port is there and only lacks `published`. */
static bool say_unpublished(const struct miss *miss)
{
	struct ms_flow direct = *miss->flow;

	direct.published = false;
	const struct ms_grant *grant = ms_find_allow(miss->policy, &direct);
	if (!miss->flow->published || !grant)
		return false;
	ms_str_addf(miss->out, "%s lets ", miss->provider->identity);
	add_party(miss->out, &miss->flow->src);
	ms_str_add(miss->out, " reach ");
	add_port(miss);
	add_place(miss->out, &grant->at);
	ms_str_add(miss->out,
		   ", but not through a published port; add to that grant: published: true");
	return true;
}

static void say_allow_missing(const struct miss *miss)
{
	const struct ms_service *provider = miss->provider;
	const struct ms_flow *flow = miss->flow;

	if (!provider) {
		say_no_document(miss, &flow->dst, true);
		return;
	}
	if (say_unpublished(miss))
		return;

	const struct ms_grant *grants = provider->allow.items;
	size_t n_grants = provider->allow.n_items;
	const struct ms_grant *same_peer = grant_for(grants, n_grants, provider, &flow->src);
	const struct ms_origin *at = &provider->at;

	ms_str_addf(miss->out, "%s allows ", provider->identity);
	if (same_peer) {
		add_party(miss->out, &flow->src);
		ms_str_add(miss->out, " only ");
		add_ports(miss->out, &same_peer->ports);
		at = &same_peer->at;
	} else {
		add_port(miss);
		ms_str_add(miss->out,
			   any_at_port(miss, grants, n_grants) ? " from " : " from nobody");
		const struct ms_grant *first = add_peers_at_port(miss, provider, grants, n_grants);
		if (first)
			ms_str_add(miss->out, " only");
		at = first ? &first->at : at;
	}
	add_place(miss->out, at);
	ms_str_add(miss->out, "; to let ");
	add_party(miss->out, &flow->src);
	ms_str_add(miss->out, " in, add to it: ");
	add_allow(miss);
}

/* DNS has a road of its own: say so before somebody writes a grant for it. */
static void say_resolvers(const struct miss *miss)
{
	const struct ms_flow *flow = miss->flow;
	const struct ms_env *env = ms_policy_env(miss->policy, flow->src.env);

	if (!env || flow->port != 53 || (flow->proto != IPPROTO_UDP && flow->proto != IPPROTO_TCP))
		return;
	ms_str_addf(
		miss->out,
		"; if it resolves names for %s, name it under the environment's resolvers instead",
		env->name);
	add_place(miss->out, &env->at);
}

static void say_need_missing(const struct miss *miss)
{
	const struct ms_service *consumer = miss->consumer;
	const struct ms_flow *flow = miss->flow;

	if (!consumer) {
		say_no_document(miss, &flow->src, false);
		return;
	}

	const struct ms_grant *same_peer =
		grant_for(consumer->needs.items, consumer->needs.n_items, consumer, &flow->dst);

	ms_str_addf(miss->out, "%s may call ", consumer->identity);
	add_party(miss->out, &flow->dst);
	if (same_peer) {
		ms_str_add(miss->out, " only on ");
		add_ports(miss->out, &same_peer->ports);
	} else {
		ms_str_add(miss->out, " on nothing");
	}
	add_place(miss->out, same_peer ? &same_peer->at : &consumer->at);
	ms_str_add(miss->out, "; to let it, add to it: ");
	add_need(miss);
	say_resolvers(miss);
}

/* What stands behind the first obstacle: named with its file, to be written as well. */
static void also(const struct miss *miss, const struct ms_service *document,
		 const struct ms_party *party, bool provider)
{
	ms_str_add(miss->out, ", and ");
	if (document)
		add_file(miss->out, &document->at);
	else
		ms_str_addf(miss->out, "a Service document of %s/%s", party->env, party->service);
	ms_str_add(miss->out,
		   provider ? " would also have to allow it" : " would also have to say ");
	if (!provider)
		add_need(miss);
}

static bool lacks_need(const struct miss *miss)
{
	return ms_find_two_key(miss->policy, miss->flow) && !ms_find_need(miss->policy, miss->flow);
}

static void miss_no_grant_east_west(const struct miss *miss)
{
	if (!ms_find_allow(miss->policy, miss->flow)) {
		say_allow_missing(miss);
		if (lacks_need(miss))
			also(miss, miss->consumer, &miss->flow->src, false);
		return;
	}
	if (!lacks_need(miss)) { /* both keys are there: only the addresses are left */
		ms_str_add(
			miss->out,
			"link-local addresses never pass between endpoints; use their other addresses");
		return;
	}

	const struct ms_env *env = ms_find_two_key(miss->policy, miss->flow);
	ms_str_addf(miss->out, "%s asks for two keys", env->name);
	add_place(miss->out, &env->at);
	ms_str_add(miss->out, "; ");
	say_need_missing(miss);
}

static void miss_no_grant(const struct miss *miss)
{
	const struct ms_party *src = &miss->flow->src, *dst = &miss->flow->dst;
	const struct ms_party *outside = src->kind == MS_PARTY_SERVICE ? dst : src;

	if (src->kind == MS_PARTY_SERVICE && dst->kind == MS_PARTY_SERVICE) {
		miss_no_grant_east_west(miss);
	} else if (outside->kind == MS_PARTY_NET && outside->has_addr &&
		   ms_addr_is_special(&outside->addr)) {
		add_addr(miss->out, outside);
		ms_str_add(
			miss->out,
			" is a multicast, broadcast, link-local or loopback address: no grant covers those");
	} else if (outside == dst) {
		say_need_missing(miss);
	} else {
		say_allow_missing(miss);
	}
}

/* A crossing for these ends that ended, or that covers other ports: the line to look at first. */
static const struct ms_crossing *close_crossing(const struct miss *miss)
{
	ms_vec_each (const struct ms_crossing, crossing, &miss->policy->crossings)
		if (ms_peer_covers(&crossing->from, NULL, &miss->flow->src) &&
		    ms_peer_covers(&crossing->to, NULL, &miss->flow->dst))
			return crossing;
	return NULL;
}

static void miss_fence(const struct miss *miss)
{
	const struct ms_party *src = &miss->flow->src, *dst = &miss->flow->dst;
	const struct ms_crossing *close = close_crossing(miss);
	struct ms_str *out = miss->out;

	ms_str_addf(
		out,
		"%s/%s and %s/%s live in different environments and no crossing lifts the fence %s|%s for ",
		src->env, src->service, dst->env, dst->service, src->env, dst->env);
	add_port(miss);
	if (close) {
		bool ended = ms_ports_vec_cover(&close->ports, miss->flow->proto, miss->flow->port);

		ms_str_addf(out, " (%s:%u %s)", close->at.file ? close->at.file : "?",
			    close->at.line, ended ? "ended" : "covers other ports");
	} else {
		add_place(out, &(struct ms_origin){.file = miss->policy->environments_at.file});
	}
	ms_str_addf(out, "; a crossing {from: %s/%s, to: %s/%s, ports: [", src->env, src->service,
		    dst->env, dst->service);
	add_port(miss);
	ms_str_add(out, "]} would");
	if (!ms_find_allow(miss->policy, miss->flow))
		also(miss, miss->provider, dst, true);
	if (lacks_need(miss))
		also(miss, miss->consumer, src, false);
}

static void miss_unidentified(const struct miss *miss)
{
	const struct ms_party *who =
		miss->flow->src.kind == MS_PARTY_UNIDENTIFIED ? &miss->flow->src : &miss->flow->dst;

	if (!who->endpoint) {
		add_addr(miss->out, who);
		ms_str_add(miss->out, " is the address of no known endpoint, or of two");
		return;
	}
	ms_str_add(miss->out, who->endpoint->workloads.n_items ? "container " : "endpoint ");
	ms_str_add_safe(miss->out, who->endpoint->name);
	ms_str_add(miss->out, " has no identity");
	if (who->endpoint->why) {
		ms_str_add(miss->out, ": ");
		ms_str_add_safe(miss->out, who->endpoint->why);
	}
}

static void miss_quarantine(const struct miss *miss)
{
	const struct ms_quarantine *quarantine = ms_find_quarantine(miss->policy, &miss->flow->src);
	_cleanup_(ms_str_fini) struct ms_str who = {0};

	if (!quarantine)
		quarantine = ms_find_quarantine(miss->policy, &miss->flow->dst);
	if (!quarantine)
		return;
	if (quarantine->env)
		ms_str_addf(&who, "%s/%s", quarantine->env, quarantine->service);
	else
		ms_str_add_safe(&who, quarantine->endpoint);
	const char *name = who.text ? who.text : "";
	ms_str_addf(miss->out, "%s is in quarantine", name);
	if (quarantine->reason) {
		ms_str_add(miss->out, " (");
		ms_str_add_safe(miss->out, quarantine->reason);
		ms_str_add_char(miss->out, ')');
	}
	ms_str_addf(miss->out, ": nothing passes until microseg quarantine remove %s", name);
}

static void miss_never(const struct miss *miss, const struct ms_origin *by)
{
	const struct ms_never *never = ms_find_never(miss->policy, miss->flow);

	ms_str_add(miss->out, "a never rule");
	add_place(miss->out, by);
	ms_str_add(miss->out, " refuses ");
	add_party(miss->out, &miss->flow->src);
	ms_str_add(miss->out, " to ");
	add_party(miss->out, &miss->flow->dst);
	ms_str_add(miss->out, " ");
	add_port(miss);
	if (never && never->reason)
		ms_str_addf(miss->out, " (%s)", never->reason);
	ms_str_add(
		miss->out,
		"; it beats every grant, crossing and exception, so only that rule itself can change it");
}

/* Cuts at a character's start, so that the text stays valid UTF-8. */
static const char *keep(struct ms_arena *arena, const struct ms_str *text)
{
	size_t len = text->len;

	if (text->failed || !text->text)
		return NULL;
	if (len <= NEAREST_MAX)
		return ms_arena_strndup(arena, text->text, len);
	len = NEAREST_MAX - strlen("…");
	while (len && ((unsigned char)text->text[len] & 0xc0) == 0x80)
		len--;
	return ms_arena_printf(arena, "%.*s…", (int)len, text->text);
}

const char *ms_nearest_miss(const struct ms_policy *policy, const struct ms_flow *flow,
			    enum ms_reason reason, const struct ms_origin *by,
			    struct ms_arena *arena)
{
	_cleanup_(ms_str_fini) struct ms_str out = {0};
	const struct miss miss = {
		.policy = policy,
		.flow = flow,
		.provider = ms_party_document(policy, &flow->dst),
		.consumer = ms_party_document(policy, &flow->src),
		.out = &out,
	};

	switch (reason) {
	case MS_REASON_QUARANTINE:
		miss_quarantine(&miss);
		break;
	case MS_REASON_NEVER:
		miss_never(&miss, by);
		break;
	case MS_REASON_UNIDENTIFIED:
		miss_unidentified(&miss);
		break;
	case MS_REASON_FENCE:
		miss_fence(&miss);
		break;
	case MS_REASON_NO_GRANT:
		miss_no_grant(&miss);
		break;
	default:
		return NULL;
	}
	return keep(arena, &out);
}
