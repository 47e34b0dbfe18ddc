/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/simulate.h"
#include "random.h"

/* ---- flows as text ---- */

void flow_format(const struct flow *flow, struct ms_str *out)
{
	const struct ms_ports ports = {flow->proto, flow->port, flow->port};
	char saddr[MS_ADDR_TEXT_SIZE], daddr[MS_ADDR_TEXT_SIZE], text[MS_PORTS_TEXT_SIZE];

	ms_str_addf(out, "%s %s -> %s %s %s via %s%s\n", flow->src,
		    ms_addr_format(&flow->saddr, saddr), flow->dst,
		    ms_addr_format(&flow->daddr, daddr), ms_ports_format(&ports, text),
		    flow->outside, flow->published ? " published" : "");
}

bool flow_parse(const char *line, struct flow *ret_flow)
{
	char one[384], saddr[64], daddr[64], text[64], published[16] = "";
	struct flow flow = {0};
	struct ms_ports ports;

	snprintf(one, sizeof(one), "%.*s", (int)strcspn(line, "\n"), line);
	int n = sscanf(one, "%63s %63s -> %63s %63s %63s via %15s %15s", flow.src, saddr, flow.dst,
		       daddr, text, flow.outside, published);
	if (n < 6 || (n == 7 && strcmp(published, "published") != 0) ||
	    ms_addr_parse(saddr, &flow.saddr) < 0 || ms_addr_parse(daddr, &flow.daddr) < 0 ||
	    ms_ports_parse(text, &ports) < 0)
		return false;
	flow.proto = ports.proto;
	flow.port = ports.first;
	flow.published = n == 7;
	*ret_flow = flow;
	return true;
}

/* ---- which flows there are ---- */

static const struct ms_endpoint *endpoint_named(const struct trial *trial, const char *name)
{
	ms_vec_each (const struct ms_endpoint, endpoint, &trial->inventory->endpoints)
		if (strcmp(endpoint->name, name) == 0)
			return endpoint;
	return NULL;
}

static bool holds(const struct ms_endpoint *endpoint, const struct ms_addr *addr)
{
	ms_vec_each (const struct ms_addr, held, &endpoint->addrs)
		if (ms_addr_equal(held, addr))
			return true;
	return false;
}

static bool is_held(const struct trial *trial, const struct ms_addr *addr)
{
	ms_vec_each (const struct ms_endpoint, endpoint, &trial->inventory->endpoints)
		if (holds(endpoint, addr))
			return true;
	return false;
}

/* Does the end that is called @name have @addr on this node? */
static bool end_has(const struct trial *trial, const char *name, const struct ms_addr *addr)
{
	const struct ms_endpoint *endpoint = endpoint_named(trial, name);

	if (strcmp(name, "host") == 0)
		return ms_inventory_is_host(trial->inventory, addr);
	if (strcmp(name, "outside") == 0)
		return !is_held(trial, addr) && !ms_inventory_is_host(trial->inventory, addr);
	/* On a node every endpoint has an interface and a MAC, or the guard does not know it. */
	return endpoint && *endpoint->interface && !ms_mac_is_zero(&endpoint->mac) &&
	       holds(endpoint, addr);
}

static bool is_same_bridge(const struct ms_sim_flow *flow)
{
	return flow->src && flow->dst && *flow->src->bridge &&
	       strcmp(flow->src->bridge, flow->dst->bridge) == 0;
}

/* Link-local packets and neighbour messages stay on their link; IPv4 is routed all the same. */
static bool stays_on_link(const struct flow *flow)
{
	bool ll6 = flow->saddr.ip == MS_IP6 &&
		   (ms_addr_is_link_local(&flow->saddr) || ms_addr_is_link_local(&flow->daddr));

	return ll6 || (flow->proto == IPPROTO_ICMPV6 && flow->port >= 133 && flow->port <= 137);
}

/*
 * What line 1 of the contract refuses whoever sends it: router advertisements, redirects, answers
 * of DHCP servers. And group messages, whose hop limit no flow can say, and broadcasts, which go to
 * everybody at once.
 */
static bool is_no_flow(const struct flow *flow, bool from_host)
{
	static const struct ms_addr broadcast = {.ip = MS_IP4, .bytes = {255, 255, 255, 255}};

	if (ms_addr_equal(&flow->daddr, &broadcast))
		return true;
	if (flow->proto == IPPROTO_ICMPV6 && ms_addr_is_multicast(&flow->daddr))
		return true;
	if (flow->proto == IPPROTO_ICMPV6 && !from_host)
		return flow->port == 134 || flow->port == 137;
	return flow->proto == IPPROTO_UDP && !from_host && (flow->port == 68 || flow->port == 546);
}

/* The kernel drops what claims to come from elsewhere before any rule of ours. */
static bool is_source(const struct ms_addr *addr)
{
	return !ms_addr_is_multicast(addr) && !ms_addr_is_loopback(addr) &&
	       !ms_addr_is_unspecified(addr);
}

/*
 * Does an end that is nobody's lie where packets can go? Nothing is routed to or from loopback and
 * 0.0.0.0; behind a managed interface lie unicast addresses only, of classes A to C.
 */
static bool is_routable(const struct flow *flow, const struct ms_sim_flow *sim)
{
	const struct ms_addr *far = sim->src ? &flow->daddr : &flow->saddr;

	if ((sim->src || sim->src_is_host) && (sim->dst || sim->dst_is_host))
		return true;
	if (ms_addr_is_loopback(far) || ms_addr_is_unspecified(far))
		return false;
	if (strcmp(flow->outside, OUTSIDE) == 0)
		return true;
	return !ms_addr_is_multicast(far) && !ms_addr_is_link_local(far) &&
	       (far->ip == MS_IP6 || far->bytes[0] < 240);
}

static struct ms_sim_flow sim_flow(const struct trial *trial, const struct flow *flow)
{
	return (struct ms_sim_flow){
		.src = endpoint_named(trial, flow->src),
		.dst = endpoint_named(trial, flow->dst),
		.src_is_host = strcmp(flow->src, "host") == 0,
		.dst_is_host = strcmp(flow->dst, "host") == 0,
		.saddr = flow->saddr,
		.daddr = flow->daddr,
		.proto = flow->proto,
		.port = flow->port,
		.published = flow->published,
		.outside = flow->outside,
	};
}

bool trial_has(const struct trial *trial, const struct flow *flow)
{
	struct ms_sim_flow sim = sim_flow(trial, flow);
	const struct ms_managed_link *link = ms_inventory_link(trial->inventory, flow->outside);

	if (!end_has(trial, flow->src, &flow->saddr) || !end_has(trial, flow->dst, &flow->daddr))
		return false;
	if ((!sim.src && !sim.dst) || sim.src == sim.dst || flow->saddr.ip != flow->daddr.ip ||
	    ms_addr_equal(&flow->saddr, &flow->daddr))
		return false;
	if (strcmp(flow->outside, OUTSIDE) != 0 && (!link || !link->bridge))
		return false;
	if (flow->proto == (flow->saddr.ip == MS_IP4 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return false; /* each family has an ICMP of its own */
	if (!sim.src && sim.dst && strcmp(sim.dst->bridge, flow->outside) == 0)
		return false; /* to another port of its own bridge: the guard's business */
	if (!is_routable(flow, &sim))
		return false;
	if (is_no_flow(flow, sim.src_is_host) || !is_source(&flow->saddr))
		return false;
	return !stays_on_link(flow) || is_same_bridge(&sim) || sim.src_is_host || sim.dst_is_host;
}

/* ---- the two roads ---- */

/* An address behind a managed interface that nobody has is a stranger's, never a net's. */
static struct ms_party party_of(const struct trial *trial, const struct flow *flow,
				const char *name, const struct ms_addr *addr)
{
	bool managed = strcmp(name, "outside") == 0 && strcmp(flow->outside, OUTSIDE) != 0;

	return ms_party_of_addr(trial->policy, trial->inventory, addr, managed);
}

static struct opinion ask_decide(const struct trial *trial, const struct flow *flow, time_t now)
{
	const struct ms_flow asked = {
		.src = party_of(trial, flow, flow->src, &flow->saddr),
		.dst = party_of(trial, flow, flow->dst, &flow->daddr),
		.proto = flow->proto,
		.port = flow->port,
		.published = flow->published,
	};
	struct ms_decision decision = ms_decide(trial->policy, trial->inventory, &asked, now, NULL);

	return (struct opinion){
		.verdict = decision.verdict,
		.reason = decision.reason,
		.line = decision.policy ? decision.policy->line : 0,
		.rejected = decision.verdict == MS_DENY &&
			    trial->policy->refuse[decision.direction] == MS_REFUSE_REJECT,
	};
}

/* The line of the last rule passed that stands for one of the policy. */
static uint32_t last_line(const struct ms_sim_result *result)
{
	uint32_t line = 0;

	ms_vec_each (const struct ms_sim_step, step, &result->path)
		if (step->elem)
			line = step->elem->origin.line;
		else if (step->rule->origin.line)
			line = step->rule->origin.line;
	return line;
}

/* What can only disagree: no ruleset, one that cannot be run, and a silent drop, which is nobody's
 * verdict. */
static const struct opinion broken = {.verdict = MS_DENY, .reason = MS_REASON_NONE};

static struct opinion ask_simulate(const struct trial *trial, const struct ms_sim_flow *sim,
				   struct ms_arena *arena, struct ms_sim_result *result)
{
	struct ms_log_tag tag = {.verdict = MS_ALLOW};

	if (!trial->ruleset ||
	    ms_simulate_flow(trial->ruleset, trial->inventory, sim, arena, result) < 0)
		return broken;
	if (result->prefix && ms_log_tag_parse(result->prefix, &tag) < 0)
		return broken;
	if (result->dropped && !result->prefix)
		return broken;
	return (struct opinion){
		.verdict = result->dropped ? MS_DENY : tag.verdict,
		.reason = tag.reason,
		.line = last_line(result),
		.rejected = result->rejected,
	};
}

static void tell(const char *who, const struct opinion *opinion, struct ms_str *out)
{
	ms_str_addf(out, "  %s: %s %s line %u%s\n", who, ms_verdict_name(opinion->verdict),
		    ms_reason_name(opinion->reason) ?: "-", opinion->line,
		    opinion->rejected ? " reject" : "");
}

static void tell_way(const struct ms_sim_result *result, struct ms_str *out)
{
	ms_vec_each (const struct ms_sim_step, step, &result->path)
		ms_str_addf(out, "    %s %s%s%s\n", ms_family_name(step->table->family),
			    step->chain->name, step->rule->comment ? ", " : "",
			    step->rule->comment ?: "");
}

static bool agree(const struct opinion *decided, const struct opinion *simulated)
{
	if (decided->verdict != simulated->verdict || decided->reason != simulated->reason)
		return false;
	return decided->verdict == MS_ALLOW ? decided->line == simulated->line
					    : decided->rejected == simulated->rejected;
}

/* Before and at each end that there may be. */
static const time_t times[] = {RANDOM_NOW, 86400, 86401, 172801, 259201};

/* Is it one of which an open connection can be asked for at all? */
static bool is_tracked(const struct flow *flow)
{
	if (flow->proto == IPPROTO_ICMP || flow->proto == IPPROTO_ICMPV6)
		return flow->port == 8 || flow->port == 128;
	return !ms_addr_is_multicast(&flow->daddr) && !ms_addr_is_link_local(&flow->daddr) &&
	       !ms_addr_is_link_local(&flow->saddr);
}

/* Does a connection that is in the set @listed go on for as long as @decided does not deny it? */
static bool lives_as_long(const struct trial *trial, const struct flow *flow, time_t now,
			  const char *listed, const struct opinion *decided, struct ms_str *out)
{
	struct ms_sim_flow sim = sim_flow(trial, flow);
	struct ms_sim_result result = {0};

	sim.now = now;
	sim.state = MS_SIM_ESTABLISHED;
	sim.listed = listed;
	struct opinion simulated = ask_simulate(trial, &sim, NULL, &result);
	if ((decided->verdict == MS_DENY) == result.dropped)
		return true;
	if (out)
		tell("simulate an open connection", &simulated, out);
	return false;
}

static bool agrees_at(const struct trial *trial, const struct flow *flow, time_t now,
		      const char **listed, struct opinion *ret_decided, struct ms_str *out)
{
	struct ms_arena *arena = ms_arena_new();
	struct ms_sim_flow sim = sim_flow(trial, flow);
	struct ms_sim_result result = {0};

	if (!arena)
		abort();
	sim.now = now;
	*ret_decided = ask_decide(trial, flow, now);
	struct opinion simulated = ask_simulate(trial, &sim, arena, &result);

	if (out) {
		ms_str_addf(out, "  at %lld\n", (long long)now);
		tell("decide", ret_decided, out);
		tell("simulate", &simulated, out);
		tell_way(&result, out);
	}
	ms_arena_free(arena);
	if (now == RANDOM_NOW)
		*listed = result.listed;
	return agree(ret_decided, &simulated);
}

bool trial_agrees(const struct trial *trial, const struct flow *flow, struct opinion *ret_decided,
		  struct ms_str *out)
{
	struct opinion first = {0};
	const char *listed = NULL;
	bool good = true;

	for (size_t i = 0; good && i < sizeof(times) / sizeof(*times); i++) {
		struct opinion decided;

		good = agrees_at(trial, flow, times[i], &listed, &decided, out);
		if (i == 0)
			first = decided;
		else if (good && first.verdict != MS_DENY && is_tracked(flow))
			good = lives_as_long(trial, flow, times[i], listed, &decided, out);
	}
	if (ret_decided)
		*ret_decided = first;
	return good;
}
