/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decide: one flow against a policy, line by line of SPEC section 3.
 *
 * This is the second road from policy to verdict. It must stay a plain reading of the contract: no
 * tables made in advance, no sharing with the compiler, no cleverness. Lines 1 and 4 are about
 * frames and tracked connections, and so is the limit of line 2; a flow here is one that got past
 * them and is new.
 *
 * What it never does: look at a clock, a kernel or the environment.
 */
#include "microseg/decide.h"

#include <netinet/in.h>
#include <string.h>

#include "grants.h"
#include "nearest.h"

static const char *const reason_names[MS_N_REASONS] = {
	[MS_REASON_SPOOF] = "spoof",	     [MS_REASON_UNKNOWN_PORT] = "unknown-port",
	[MS_REASON_ETHERTYPE] = "ethertype", [MS_REASON_QUARANTINE] = "quarantine",
	[MS_REASON_LIMIT] = "limit",	     [MS_REASON_NEVER] = "never",
	[MS_REASON_INVALID] = "invalid",     [MS_REASON_UNIDENTIFIED] = "unidentified",
	[MS_REASON_FENCE] = "fence",	     [MS_REASON_NO_GRANT] = "no-grant",
	[MS_REASON_BYPASS] = "bypass",
};

const char *ms_reason_name(enum ms_reason reason)
{
	return (unsigned int)reason < MS_N_REASONS ? reason_names[reason] : NULL;
}

enum ms_reason ms_reason_parse(const char *name)
{
	for (unsigned int reason = MS_REASON_NONE + 1; reason < MS_N_REASONS; reason++)
		if (strcmp(reason_names[reason], name) == 0)
			return (enum ms_reason)reason;
	return MS_REASON_NONE;
}

const char *ms_verdict_name(enum ms_verdict verdict)
{
	static const char *const names[] = {
		[MS_ALLOW] = "allow",
		[MS_AUDIT] = "audit",
		[MS_DENY] = "deny",
	};

	return (unsigned int)verdict < sizeof(names) / sizeof(*names) ? names[verdict] : NULL;
}

/* Everything a line may look at. */
struct question {
	const struct ms_policy *policy;
	const struct ms_inventory *inventory;
	const struct ms_flow *flow;
	time_t now;
};

/* What a line answers. A line that does not apply leaves `decided` false. */
struct answer {
	bool decided;
	enum ms_reason reason; /* NONE: allowed */
	const struct ms_origin *by;
};

static struct answer allowed(const struct ms_origin *by)
{
	return (struct answer){.decided = true, .by = by};
}

static struct answer refused(enum ms_reason reason, const struct ms_origin *by)
{
	return (struct answer){.decided = true, .reason = reason, .by = by};
}

static struct answer undecided(void)
{
	return (struct answer){0};
}

/* The host's own traffic with the outside, and what it merely forwards, is never touched. */
static struct answer not_ours(const struct question *q)
{
	bool ours = ms_party_is_endpoint(&q->flow->src) || ms_party_is_endpoint(&q->flow->dst);

	return ours ? undecided() : allowed(NULL);
}

/* Ends as the baseline knows them: bits. */
#define ENDPOINT 1u
#define HOST 2u
#define LINK 4u	   /* link-local, multicast or broadcast */
#define SERVERS 8u /* where a DHCP client calls for any server */
#define ANY_ON_LINK (ENDPOINT | HOST | LINK)

static bool is_dhcp_servers(const struct ms_addr *addr)
{
	static const struct ms_addr broadcast = {.ip = MS_IP4, .bytes = {255, 255, 255, 255}};
	static const struct ms_addr ff02_1_2 = {.ip = MS_IP6,
						.bytes = {0xff, 0x02, [13] = 1, [15] = 2}};

	return ms_addr_equal(addr, &broadcast) || ms_addr_equal(addr, &ff02_1_2);
}

static unsigned int baseline_end(const struct ms_party *party)
{
	if (party->has_addr && is_dhcp_servers(&party->addr))
		return LINK | SERVERS;
	if (ms_party_is_endpoint(party))
		return ENDPOINT;
	if (party->kind == MS_PARTY_HOST)
		return HOST;
	return party->has_addr && ms_addr_is_special(&party->addr) ? LINK : 0;
}

/*
 * Line 5: what keeps an interface alive, open to the unidentified too. A flow has no hop limit and
 * no source port; that neighbour messages carry 255 and DHCP its own ports on both sides is for the
 * packet filter to demand.
 */
static struct answer line_baseline(const struct question *q)
{
	static const struct {
		uint8_t proto;
		uint16_t first, last;
		unsigned int from, to;
	} rows[] = {
		{IPPROTO_ICMPV6, 130, 132, ANY_ON_LINK, LINK},	      /* MLD */
		{IPPROTO_ICMPV6, 143, 143, ANY_ON_LINK, LINK},	      /* MLDv2 */
		{IPPROTO_ICMPV6, 133, 133, ANY_ON_LINK, ANY_ON_LINK}, /* router solicitation */
		{IPPROTO_ICMPV6, 134, 134, HOST, ANY_ON_LINK},	      /* router advertisement */
		{IPPROTO_ICMPV6, 135, 136, ANY_ON_LINK,
		 ANY_ON_LINK}, /* neighbour solicitation, advertisement */
		{IPPROTO_UDP, 67, 67, ENDPOINT, HOST | SERVERS},   /* DHCP client */
		{IPPROTO_UDP, 68, 68, HOST, ENDPOINT | SERVERS},   /* its answers */
		{IPPROTO_UDP, 547, 547, ENDPOINT, HOST | SERVERS}, /* DHCPv6 client */
		{IPPROTO_UDP, 546, 546, HOST, ENDPOINT},	   /* its answers */
	};
	unsigned int from = baseline_end(&q->flow->src), to = baseline_end(&q->flow->dst);

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].proto == q->flow->proto && q->flow->port >= rows[i].first &&
		    q->flow->port <= rows[i].last && (rows[i].from & from) && (rows[i].to & to))
			return allowed(NULL);
	return undecided();
}

/* Line 2, of what a flow can know. */
static struct answer line_quarantine(const struct question *q)
{
	const struct ms_quarantine *quarantine = ms_find_quarantine(q->policy, &q->flow->src);

	if (!quarantine)
		quarantine = ms_find_quarantine(q->policy, &q->flow->dst);
	return quarantine ? refused(MS_REASON_QUARANTINE, &quarantine->at) : undecided();
}

/* Line 3. What ARP does for IPv4 no rule refuses, and the two families are equals: nor does a never
 * refuse it for IPv6. */
static struct answer line_never(const struct question *q)
{
	const struct ms_never *never = ms_find_never(q->policy, q->flow);

	if (!never || (q->flow->proto == IPPROTO_ICMPV6 && line_baseline(q).decided))
		return undecided();
	return refused(MS_REASON_NEVER, &never->at);
}

/* Line 6. */
static struct answer line_unidentified(const struct question *q)
{
	bool any = q->flow->src.kind == MS_PARTY_UNIDENTIFIED ||
		   q->flow->dst.kind == MS_PARTY_UNIDENTIFIED;

	return any ? refused(MS_REASON_UNIDENTIFIED, NULL) : undecided();
}

/* Line 7. */
static struct answer line_fence(const struct question *q)
{
	const struct ms_party *src = &q->flow->src, *dst = &q->flow->dst;

	if (src->kind != MS_PARTY_SERVICE || dst->kind != MS_PARTY_SERVICE ||
	    strcmp(src->env, dst->env) == 0)
		return undecided();
	if (ms_find_crossing(q->policy, q->flow, q->now))
		return undecided();
	return refused(MS_REASON_FENCE, NULL);
}

/* Link-local unicast between endpoints passes nothing but the baseline. */
static bool beyond_grants(const struct ms_flow *flow)
{
	const struct ms_party *src = &flow->src, *dst = &flow->dst;

	if (!ms_party_is_endpoint(src) || !ms_party_is_endpoint(dst))
		return false;
	return (src->has_addr && ms_addr_is_special(&src->addr)) ||
	       (dst->has_addr && ms_addr_is_special(&dst->addr));
}

static struct answer granted_east_west(const struct question *q)
{
	const struct ms_grant *allow = ms_find_allow(q->policy, q->flow);

	if (!allow)
		return undecided();
	if (ms_find_two_key(q->policy, q->flow) && !ms_find_need(q->policy, q->flow))
		return undecided();
	return allowed(&allow->at);
}

/* The grant whose key is asked for: both, the consumer's for destinations without a document, else
 * the provider's. */
static struct answer granted(const struct question *q)
{
	const struct ms_grant *grant;

	if (q->flow->src.kind == MS_PARTY_SERVICE && q->flow->dst.kind == MS_PARTY_SERVICE)
		return granted_east_west(q);
	grant = q->flow->src.kind == MS_PARTY_SERVICE ? ms_find_need(q->policy, q->flow)
						      : ms_find_allow(q->policy, q->flow);
	return grant ? allowed(&grant->at) : undecided();
}

/* Line 8. Any of the three suffices; of several the one that lasts is named. */
static struct answer line_granted(const struct question *q)
{
	if (beyond_grants(q->flow))
		return undecided();

	struct answer answer = granted(q);
	if (answer.decided)
		return answer;

	const struct ms_env *env = ms_find_resolver(q->policy, q->inventory, q->flow);
	if (env)
		return allowed(&env->at);

	const struct ms_exception *exception = ms_find_exception(q->policy, q->flow, q->now);
	return exception ? allowed(&exception->at) : undecided();
}

/* Line 9. */
static struct answer line_no_grant(const struct question *q)
{
	(void)q;
	return refused(MS_REASON_NO_GRANT, NULL);
}

static struct answer ask(const struct question *q)
{
	static struct answer (*const lines[])(const struct question *) = {
		not_ours,	   line_quarantine, line_never,	  line_baseline,
		line_unidentified, line_fence,	    line_granted, line_no_grant,
	};
	struct answer answer = undecided();

	for (size_t i = 0; !answer.decided; i++)
		answer = lines[i](q);
	return answer;
}

static enum ms_mode stricter(enum ms_mode a, enum ms_mode b)
{
	return a == MS_MODE_ENFORCE || b == MS_MODE_ENFORCE ? MS_MODE_ENFORCE : MS_MODE_AUDIT;
}

/* A service's own mode, else its environment's; audit while either is relaxed. */
static enum ms_mode mode_of(const struct ms_policy *policy, const struct ms_party *party,
			    time_t now)
{
	if (party->kind == MS_PARTY_UNIDENTIFIED)
		return policy->unidentified;
	if (ms_is_relaxed(policy, party, now))
		return MS_MODE_AUDIT;

	const struct ms_service *service = ms_party_document(policy, party);
	const struct ms_env *env = ms_policy_env(policy, party->env);
	if (service)
		return service->mode;
	return env ? env->mode : MS_MODE_ENFORCE;
}

/*
 * Whose mode counts: the endpoint's own where only one end is one; the stricter one at a fence and
 * with an unidentified end (whose mode is `unidentified`); else the provider's. A quarantine knows
 * no audit.
 */
static enum ms_mode mode_for(const struct question *q, enum ms_reason reason)
{
	const struct ms_party *src = &q->flow->src, *dst = &q->flow->dst;

	if (reason == MS_REASON_QUARANTINE)
		return MS_MODE_ENFORCE;
	if (!ms_party_is_endpoint(dst))
		return mode_of(q->policy, src, q->now);
	if (!ms_party_is_endpoint(src))
		return mode_of(q->policy, dst, q->now);
	if (reason == MS_REASON_FENCE || src->kind == MS_PARTY_UNIDENTIFIED ||
	    dst->kind == MS_PARTY_UNIDENTIFIED)
		return stricter(mode_of(q->policy, src, q->now), mode_of(q->policy, dst, q->now));
	return mode_of(q->policy, dst, q->now);
}

static enum ms_direction direction_of(const struct ms_flow *flow)
{
	if (!ms_party_is_endpoint(&flow->dst))
		return MS_EGRESS;
	return ms_party_is_endpoint(&flow->src) ? MS_EAST_WEST : MS_INGRESS;
}

struct ms_decision ms_decide(const struct ms_policy *policy, const struct ms_inventory *inventory,
			     const struct ms_flow *asked, time_t now, struct ms_arena *arena)
{
	static const struct ms_policy
		nothing; /* without a policy nobody is anybody, and nothing is granted */
	struct ms_flow settled = *asked;
	const struct ms_flow *flow = &settled;

	if (!policy)
		policy = &nothing;
	ms_settle_carried(&settled.src, &settled.dst);
	const struct question q = {policy, inventory, flow, now};
	struct answer answer = ask(&q);
	struct ms_decision decision = {
		.verdict = MS_ALLOW,
		.reason = answer.reason,
		.direction = direction_of(flow),
		.policy = answer.by,
	};

	if (answer.reason == MS_REASON_NONE)
		return decision;
	decision.verdict = mode_for(&q, answer.reason) == MS_MODE_AUDIT ? MS_AUDIT : MS_DENY;
	if (arena) {
		const struct ms_refusal refusal = {policy, inventory,	  flow,
						   now,	   answer.reason, answer.by};

		decision.nearest = ms_nearest_miss(&refusal, arena);
	}
	return decision;
}
