/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Services: the chains of a service that has an endpoint here.
 *
 *	to/ENV/SERVICE    who may call it: endpoints, net
 *	outside/ENV/SERVICE  the part of it for net, where some endpoint carries
 *	into/ENV/SERVICE  what the host may call
 *	from/ENV/SERVICE  what it may call outside
 *	host/ENV/SERVICE  what it may call on the host
 *
 * A grant is one rule per protocol and port range and family, with a counter and its place in the
 * policy as comment; where a service has many callers, those with plain ports are elements instead
 * (callers.c). What no grant took goes to the end chain of its environment and mode,
 * end/to/ENV/MODE and so on, which finds the reason. A service without rules of one kind has no
 * chain for it, nor elements of that kind: see dispatch.c.
 */
#include "roles.h"

#include <netinet/in.h>
#include <string.h>

#define DNS_PORT 53

/* What has no end comes first: a flow is lent to nobody who has it anyway. */
enum stage {
	LASTING,
	CROSSING, /* a grant behind a fence that is lifted for a time */
	EXCEPTION,
};

/* The chain of one subject and way, while it is being written. */
struct way_chain {
	struct compiler *c;
	const struct subject *subject;
	enum way way;
	struct ms_chain *chain;
	bool outside;	  /* this pass: grants for net and nodes; otherwise all others */
	bool translated;  /* this pass: only what an engine's DNAT brought */
	bool elements;	  /* what callers_take() takes has become elements */
	enum stage stage; /* this pass: grants of this kind */
	bool resolved;	  /* resolvers had to be asked before what is granted for a time */
};

static bool is_outside(const struct granted *granted)
{
	return granted->peer &&
	       (granted->peer->kind == MS_PEER_NET || granted->peer->kind == MS_PEER_NODE);
}

static enum stage stage_of(const struct granted *granted)
{
	return granted->exception ? EXCEPTION : granted->until ? CROSSING : LASTING;
}

static bool concerns(const struct granted *granted, enum way way)
{
	bool host = granted->peer && granted->peer->kind == MS_PEER_HOST;

	return host == (way == INTO || way == HOST);
}

static void match_peer(struct way_chain *w, struct ms_rule *rule, const struct granted *granted,
		       const struct family *family)
{
	struct compiler *c = w->c;
	enum ms_field field = w->way == TO ? family->saddr : family->daddr;

	if (!granted->peer) {
		rule_set(c, rule, field, false,
			 sets_peer(c, family, granted->env, granted->service));
		return;
	}
	if (!is_outside(granted))
		return;
	if (w->way == TO && !carried_any(c))
		rule_in_managed(c, rule, MS_FIELD_IIFNAME, true);
	if (granted->peer->kind == MS_PEER_NODE) {
		rule_set(c, rule, field, false, sets_node(c, family, granted->peer->node));
		return;
	}
	match_net(c, rule, family, field, granted->peer);
	if (c->policy->nodes.n_items > 0) /* a node is never net */
		rule_set(c, rule, field, true, sets_node(c, family, NULL));
}

/* The audit of a peer ends then: of a service, or of the strictest of an environment. */
static time_t peer_audit_end(const struct compiler *c, const struct granted *peer)
{
	const struct ms_env *env = ms_policy_env(c->policy, peer->env);
	time_t end = AUDITED;

	if (peer->service && !ms_policy_service(c->policy, peer->env, peer->service))
		return audit_end_of(c, peer->env, peer->service, env->mode);
	if (!peer->service)
		end = audit_end_of(c, peer->env, NULL, env->mode);
	ms_vec_each (struct ms_service, service, &c->policy->services)
		if (strcmp(service->env, peer->env) == 0 &&
		    (!peer->service || strcmp(service->name, peer->service) == 0))
			end = stricter(end,
				       audit_end_of(c, service->env, service->name, service->mode));
	return end;
}

/* When refusals of what was granted to a peer behind a fence would no longer be only logged: the
 * stricter of both ends. */
static time_t audit_end_behind(const struct way_chain *w, const struct granted *granted)
{
	if (!granted->env || strcmp(granted->env, w->subject->env) == 0)
		return w->subject->audit_end;
	return stricter(w->subject->audit_end, peer_audit_end(w->c, granted));
}

/* A connection outlives the grant for as long as audit would let it pass. */
static void compile_end(struct way_chain *w, struct ms_rule *rule, const struct granted *granted)
{
	time_t audit_end = audit_end_behind(w, granted);

	clock_match(w->c, rule, granted->until, false);
	clock_lend(w->c, rule, audit_end > granted->until ? audit_end : granted->until);
}

static void compile_rule(struct way_chain *w, const struct granted *granted,
			 const struct family *family, const struct ms_ports *ports)
{
	struct ms_rule *rule = ms_ruleset_add_rule(w->c->ruleset, w->chain, granted->at);

	match_peer(w, rule, granted, family);
	if (w->translated)
		ms_rule_match_present(w->c->ruleset, rule, MS_FIELD_CT_STATUS_DNAT, false);
	match_ports(w->c, rule, family, ports);
	if (granted->until)
		compile_end(w, rule, granted);
	ms_rule_counter(w->c->ruleset, rule);
	rule_accept(w->c, rule);
}

/* Does @ports exist in @family, and does the peer have an address there? The host has both: one
 * rule serves them. */
static bool applies(const struct granted *granted, const struct family *family,
		    const struct ms_ports *ports)
{
	if (!ports_apply(ports, family))
		return false;
	if (!granted->peer)
		return true;
	if (granted->peer->kind == MS_PEER_HOST)
		return family->ip == MS_IP4 || !ports_apply(ports, &families[0]);
	return granted->peer->kind != MS_PEER_NET || has_ranges(granted->peer, family);
}

static void compile_granted(const struct granted *granted, void *userdata)
{
	struct way_chain *w = userdata;

	if (stage_of(granted) != w->stage || !concerns(granted, w->way) ||
	    is_outside(granted) != w->outside || (w->translated && !granted->published))
		return;
	ms_vec_each (struct ms_ports, ports, &granted->ports)
		for (size_t i = 0; i < 2; i++)
			if (applies(granted, &families[i], ports) &&
			    !(w->elements && callers_take(granted, ports)))
				compile_rule(w, granted, &families[i], ports);
}

static void each_granted(struct way_chain *w, grant_fn fn, void *userdata)
{
	if (w->way == TO || w->way == INTO)
		grants_inbound(w->c, w->subject, fn, userdata);
	else
		grants_outbound(w->c, w->subject, fn, userdata);
}

static void compile_pass(struct way_chain *w, bool outside, bool translated, enum stage stage)
{
	w->outside = outside;
	w->translated = translated;
	w->stage = stage;
	each_granted(w, compile_granted, w);
}

struct census {
	enum way way;
	size_t n_outside;
	size_t n_others;
	bool lends_dns; /* some grant with an end covers what a resolver may be asked */
};

static bool covers_dns(const ms_ports_vec *ports)
{
	ms_vec_each (struct ms_ports, entry, ports)
		if (ms_ports_cover(entry, IPPROTO_UDP, DNS_PORT) ||
		    ms_ports_cover(entry, IPPROTO_TCP, DNS_PORT))
			return true;
	return false;
}

static void count_granted(const struct granted *granted, void *userdata)
{
	struct census *census = userdata;

	if (!concerns(granted, census->way))
		return;
	census->lends_dns = census->lends_dns || (granted->until && covers_dns(&granted->ports));
	if (is_outside(granted))
		census->n_outside++;
	else
		census->n_others++;
}

/* Goes on in a chain of its own for sources outside, those that an endpoint carries included. */
static void split_outside(struct way_chain *w, const char *end)
{
	const char *name = name_of(w->c, "outside/%s", w->subject->identity);
	struct ms_rule *rule = rule_add(w->c, w->chain);

	rule_in_managed(w->c, rule, MS_FIELD_IIFNAME, true);
	rule_goto(w->c, rule, name);
	carried_goto(w->c, w->chain, name);
	rule_goto(w->c, rule_add(w->c, w->chain), end);
	w->chain = ms_ruleset_add_chain(w->c->ruleset, w->c->inet, name);
}

/*
 * Translated flows from outside reach a service only through grants that say so; those stand first,
 * and what they do not take is refused before the grants for untranslated traffic are asked.
 */
static void compile_outside(struct way_chain *w, const char *end, bool lends_dns)
{
	if (w->way == TO) {
		if (carried_any(w->c))
			split_outside(w, end);
		compile_pass(w, true, true, LASTING);
		struct ms_rule *rest = rule_add(w->c, w->chain);
		if (!carried_any(w->c))
			rule_in_managed(w->c, rest, MS_FIELD_IIFNAME, true);
		ms_rule_match_present(w->c->ruleset, rest, MS_FIELD_CT_STATUS_DNAT, false);
		rule_goto(w->c, rest, end);
	}
	compile_pass(w, true, false, LASTING);
	if (w->way == FROM && lends_dns)
		resolvers_compile_own(w->c, w->chain, way_name(FROM), w->subject->env);
	compile_pass(w, true, false, EXCEPTION);
}

static void compile_resolvers_behind(struct way_chain *w, const struct granted *lifted,
				     const struct family *family)
{
	resolvers_compile(w->c, w->chain, lifted, family, audit_end_behind(w, lifted));
}

static void compile_lifted_resolvers(const struct granted *lifted, void *userdata)
{
	struct way_chain *w = userdata;

	for (size_t i = 0; stage_of(lifted) == w->stage && i < 2; i++)
		compile_resolvers_behind(w, lifted, &families[i]);
}

/*
 * What is granted for a time, less that from outside. Resolvers that may be asked without an end,
 * and then those behind a fence that is lifted for a time, come before an exception.
 */
static void compile_lent(struct way_chain *w, bool lends_dns)
{
	w->resolved = w->way == TO && lends_dns;
	w->stage = LASTING;
	if (lends_dns && w->way != FROM && w->way != INTO)
		resolvers_compile_own(w->c, w->chain, way_name(w->way), w->subject->env);
	if (w->resolved)
		grants_lifted(w->c, w->subject, compile_lifted_resolvers, w);
	compile_pass(w, false, false, CROSSING);
	if (w->resolved)
		grants_lifted(w->c, w->subject, compile_lifted_resolvers, w);
	compile_pass(w, false, false, EXCEPTION);
}

/* Senders behind a fence. Refusals to those in @audited (NULL: all) are logged until @audit_end. */
struct senders {
	const struct granted *lifted;
	const struct ms_ports *ports;
	const char *audited;
	time_t audit_end;
};

/* What audit lets pass behind the fence it may have to refuse when the fence is back. */
static void refuse_lifted(struct way_chain *w, const struct family *family,
			  const struct senders *senders)
{
	const struct granted *lifted = senders->lifted;
	time_t mine = w->subject->audit_end, end = stricter(mine, senders->audit_end);
	struct ms_rule *rule = rule_add(w->c, w->chain);

	rule_set(w->c, rule, family->saddr, false,
		 sets_peer(w->c, family, lifted->env, lifted->service));
	if (senders->audited)
		rule_set(w->c, rule, family->saddr, false,
			 name_of(w->c, "%s/%d", senders->audited, family->ip));
	match_ports(w->c, rule, family, senders->ports);
	if (lifted->until)
		clock_match(w->c, rule, lifted->until, false);
	if (lifted->until && mine != ENFORCED)
		clock_lend(w->c, rule, end > lifted->until ? end : lifted->until);
	rule_goto(w->c, rule, refusal_after(w->c, MS_REASON_NO_GRANT, MS_EAST_WEST, mine));
}

/* Of a whole environment each sender may have a mode of its own. */
static void refuse_each_lifted(struct way_chain *w, const struct family *family,
			       const struct granted *lifted, const struct ms_ports *ports)
{
	struct senders senders = {.lifted = lifted, .ports = ports};

	if (lifted->service || !lifted->until || w->subject->audit_end == ENFORCED) {
		senders.audit_end = peer_audit_end(w->c, lifted);
		refuse_lifted(w, family, &senders);
		return;
	}
	ms_vec_each (time_t, end, &w->c->relax_ends) {
		senders.audited = name_of(w->c, "relaxed/%s", clock_name(w->c, *end));
		senders.audit_end = *end;
		refuse_lifted(w, family, &senders);
	}
	senders.audited = "audited";
	senders.audit_end = AUDITED;
	if (w->c->audits_for_good)
		refuse_lifted(w, family, &senders);
	senders.audited = NULL;
	senders.audit_end = ENFORCED;
	refuse_lifted(w, family, &senders);
}

/*
 * Behind a lifted fence stands the plain refusal, and the sender's own resolvers: said here, before
 * the end chain would find the fence.
 */
static void compile_lifted(const struct granted *lifted, void *userdata)
{
	struct way_chain *w = userdata;

	for (size_t i = 0; i < 2; i++) {
		if (w->way == TO && !w->resolved)
			compile_resolvers_behind(w, lifted, &families[i]);
		ms_vec_each (struct ms_ports, ports, &lifted->ports) {
			if (ports_apply(ports, &families[i]))
				refuse_each_lifted(w, &families[i], lifted, ports);
		}
	}
}

static void count_lifted(const struct granted *lifted, void *userdata)
{
	struct census *census = userdata;

	(void)lifted;
	census->n_others++;
}

/* Returns the chain that packets of this subject go to. */
static const char *compile_way(struct compiler *c, const struct subject *subject, enum way way)
{
	static const uint32_t rtn_local = 2;
	const char *end = end_name(c, way_name(way), subject->env, subject->audit_end);
	struct way_chain w = {.c = c, .subject = subject, .way = way};
	struct census census = {.way = way};

	each_granted(&w, count_granted, &census);
	if (way == TO)
		grants_lifted(c, subject, count_lifted, &census);
	if (census.n_outside + census.n_others == 0)
		return end;
	const char *name = name_of(c, "%s/%s", way_name(way), subject->identity);
	w.chain = ms_ruleset_add_chain(c->ruleset, c->inet, name);

	if (way == HOST) {
		/* Broadcast and multicast are heard by the host too, but no grant means them. */
		struct ms_rule *other = rule_add(c, w.chain);

		ms_rule_match_u32(c->ruleset, other, MS_FIELD_FIB_DADDR_TYPE, true, rtn_local);
		rule_goto(c, other, end);
	}
	if (way == TO)
		w.elements = callers_compile(c, subject, w.chain);
	compile_pass(&w, false, false, LASTING);
	compile_lent(&w, census.lends_dns);
	if (way == TO)
		grants_lifted(c, subject, compile_lifted, &w);
	if (census.n_outside > 0)
		compile_outside(&w, end, census.lends_dns);
	rule_goto(c, rule_add(c, w.chain), end);
	return name;
}

/* Between link-local addresses there are no grants: to the end chain at once, but for the fences
 * that are lifted. */
static const char *compile_link(struct compiler *c, const struct subject *subject)
{
	const char *end = end_link_name(c, subject->env, subject->audit_end);
	struct way_chain w = {.c = c, .subject = subject, .way = LINK};
	struct census census = {.way = LINK};

	grants_lifted(c, subject, count_lifted, &census);
	if (census.n_others == 0)
		return end;
	const char *name = name_of(c, "link/%s", subject->identity);
	w.chain = ms_ruleset_add_chain(c->ruleset, c->inet, name);
	grants_lifted(c, subject, compile_lifted, &w);
	rule_goto(c, rule_add(c, w.chain), end);
	return name;
}

/* The endpoints of one identity, of which @any is one, go to its chains. */
static void compile_identity(struct compiler *c, const struct ms_endpoint *any,
			     const struct ms_endpoint *const *endpoints, size_t n_endpoints)
{
	const struct subject subject = {
		.env = any->env,
		.name = any->service,
		.identity = any->identity,
		.service = ms_policy_service(c->policy, any->env, any->service),
		.audit_end = endpoint_audit_end(c, any),
	};
	struct targets targets;

	targets.ways[LINK] = target_of(c, LINK, subject.env, compile_link(c, &subject));
	for (int way = 0; way < N_WAYS; way++)
		targets.ways[way] = target_of(c, (enum way)way, subject.env,
					      compile_way(c, &subject, (enum way)way));
	dispatch_list(c, &subject, &targets);
	targets_dispatch(c, &targets, endpoints, n_endpoints);
	roles_note_targets(c, &subject, &targets);
}

void services_compile(struct compiler *c)
{
	dispatch_unidentified(c);
	for (size_t first = 0, end; first < c->members.n_items; first = end) {
		const struct ms_endpoint *any = c->members.items[first];

		for (end = first + 1; end < c->members.n_items &&
				      strcmp(c->members.items[end]->identity, any->identity) == 0;)
			end++;
		compile_identity(c, any, &c->members.items[first], end - first);
	}
	dispatch_finish(c);
	ends_compile(c);
}
