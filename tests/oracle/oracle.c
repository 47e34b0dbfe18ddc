/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Oracle: two roads from a policy to a verdict, held against each other.
 *
 * decide() reads the contract; simulate(compile()) runs the first packet of the same flow through
 * the ruleset that would be in the kernel. For every policy and every flow they must agree on the
 * verdict, on the reason, on the line that granted it, and on what the sender is told.
 *
 * Policies: no grant and all of them under every combination of modes; each grant alone and each
 * pair under the combinations in try_all(). `oracle N` looks at policy N alone and prints the way
 * of each packet it disagrees on.
 *
 * Link-local addresses name nobody on a node (every link may have the same ones), so the ruleset
 * refuses what uses them between endpoints without finding out who they are. Of those flows only
 * this is demanded: the baseline passes, and nothing is more open than the contract says.
 *
 * Where something ends, the ruleset that was compiled before must give the verdict of each moment,
 * and so must one compiled at that moment. A connection that was let in at first goes on for as
 * long as decide() does not deny it, in both directions, and not a moment longer.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/compile.h"
#include "microseg/simulate.h"
#include "universe.h"

#define MAX_SHOWN 12
#define ROUTER_ADVERT 134
#define SAMPLE 16
#define SAMPLE_ANEW 97

struct trial {
	uint32_t features;
	struct ms_policy *policy;
	struct ms_inventory *inventory;
	struct ms_ruleset *ruleset;
	struct ms_arena *arena;
	bool verbose;
	time_t now;
};

static uint64_t n_policies, n_cases, n_allowed, n_failed, n_ended, n_anew;

/* What either road says. */
struct opinion {
	enum ms_verdict verdict;
	enum ms_reason reason;
	uint32_t line; /* of the grant, when allowed by one */
	bool rejected;
};

static const struct ms_endpoint *endpoint_named(const struct ms_inventory *inventory,
						const char *name)
{
	ms_vec_each (const struct ms_endpoint, endpoint, &inventory->endpoints)
		if (strcmp(endpoint->name, name) == 0)
			return endpoint;
	return NULL;
}

/* The three kinds of packets each flow is tried with. */
enum kind { IP4, IP6, LINK_LOCAL, N_KINDS };

static const char *const kind_names[] = {"IPv4", "IPv6", "link-local"};

static struct ms_addr endpoint_addr(const struct ms_endpoint *endpoint, enum kind kind)
{
	ms_vec_each (const struct ms_addr, addr, &endpoint->addrs)
		if (addr->ip == (kind == IP4 ? MS_IP4 : MS_IP6) &&
		    ms_addr_is_link_local(addr) == (kind == LINK_LOCAL))
			return *addr;
	abort();
}

/* Every end that is no endpoint has an address in both families. */
static struct ms_addr address_of(const char *end, enum kind kind)
{
	static const struct {
		const char *end, *ip4, *ip6;
	} rows[] = {
		{"host", "192.0.2.1", "2001:db8:3::1"},
		{"gateway-a", "10.0.0.254", "fd00:a::fe"},
		{"gateway-b", "10.1.0.254", "fd00:b::fe"},
		{"198.51.100.1", "198.51.100.1", "2001:db8:1::1"},
		{"198.51.100.2", "198.51.100.2", "2001:db8:1::2"},
		{"203.0.113.1", "203.0.113.1", "2001:db8:2::1"},
		{"203.0.113.53", "203.0.113.53", "2001:db8:2::53"},
		{"224.0.0.251", "224.0.0.251", "ff02::fb"},
		{"169.254.1.1", "169.254.1.1", "fe80::99"},
		{"behind-a", "198.51.100.1", "2001:db8:1::1"},
		{"behind-b", "198.51.100.1", "2001:db8:1::1"},
		{"10.0.0.99", "10.0.0.99", "fd00:a::99"},
		{"10.1.0.99", "10.1.0.99", "fd00:b::99"},
	};
	struct ms_addr addr;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (strcmp(rows[i].end, end) == 0 &&
		    ms_addr_parse(kind == IP4 ? rows[i].ip4 : rows[i].ip6, &addr) == 0)
			return addr;
	abort();
}

static bool is_host_end(const char *end)
{
	return strcmp(end, "host") == 0 || strncmp(end, "gateway", 7) == 0;
}

/* The interface behind which an address that is no endpoint's and no host's lies: then nobody knows
 * whose it is. */
static const char *interface_of(const char *end)
{
	if (strcmp(end, "10.0.0.99") == 0 || strcmp(end, "behind-a") == 0)
		return "br-a";
	if (strcmp(end, "10.1.0.99") == 0 || strcmp(end, "behind-b") == 0)
		return "br-b";
	return "eth0";
}

static struct opinion ask_decide(const struct trial *trial, const struct ms_sim_flow *sim)
{
	bool managed = strcmp(sim->outside, "eth0") != 0;
	const struct ms_flow flow = {
		.src = ms_party_of_addr(trial->policy, trial->inventory, &sim->saddr, managed),
		.dst = ms_party_of_addr(trial->policy, trial->inventory, &sim->daddr, managed),
		.proto = sim->proto,
		.port = sim->port,
		.published = sim->published,
	};
	struct ms_decision decision =
		ms_decide(trial->policy, trial->inventory, &flow, trial->now, NULL);

	return (struct opinion){
		.verdict = decision.verdict,
		.reason = decision.reason,
		.line = decision.policy ? decision.policy->line : 0,
		.rejected = decision.verdict == MS_DENY &&
			    decision.reason != MS_REASON_QUARANTINE &&
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

static struct opinion ask_simulate(const struct trial *trial, const struct ms_sim_flow *flow,
				   struct ms_sim_result *result)
{
	struct ms_log_tag tag = {.verdict = MS_ALLOW};

	*result = (struct ms_sim_result){0};
	if (ms_simulate_flow(trial->ruleset, trial->inventory, flow, trial->arena, result) < 0)
		abort();
	if (result->prefix && ms_log_tag_parse(result->prefix, &tag) < 0)
		abort();
	/* A silent drop has no tag and is nobody's verdict: it can only disagree. */
	if (result->dropped && !result->prefix)
		tag = (struct ms_log_tag){MS_DENY, MS_REASON_NONE};
	return (struct opinion){
		.verdict = result->dropped ? MS_DENY : tag.verdict,
		.reason = tag.reason,
		.line = last_line(result),
		.rejected = result->rejected,
	};
}

static void show(const struct trial *trial, const char *what, const struct opinion *decided,
		 const struct opinion *simulated, const struct ms_sim_result *result)
{
	if (n_failed > MAX_SHOWN && !trial->verbose)
		return;
	fprintf(stderr,
		"policy %" PRIu32
		": %s at %lld: decide %s %s line %u%s, simulate %s %s line %u%s\n",
		trial->features, what, (long long)trial->now, ms_verdict_name(decided->verdict),
		ms_reason_name(decided->reason) ?: "-", decided->line,
		decided->rejected ? " reject" : "", ms_verdict_name(simulated->verdict),
		ms_reason_name(simulated->reason) ?: "-", simulated->line,
		simulated->rejected ? " reject" : "");
	if (!trial->verbose)
		return;
	ms_vec_each (const struct ms_sim_step, step, &result->path)
		fprintf(stderr, "    %s %s%s%s\n", ms_family_name(step->table->family),
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

static bool is_same_bridge(const struct ms_sim_flow *flow)
{
	return flow->src && flow->dst && *flow->src->bridge &&
	       strcmp(flow->src->bridge, flow->dst->bridge) == 0;
}

/* Each family has an ICMP of its own; neighbour messages and link-local addresses stay on their
 * link. */
static bool exists(const struct ms_sim_flow *flow, enum kind kind)
{
	bool nd = flow->proto == IPPROTO_ICMPV6 && flow->port >= 133 && flow->port <= 136;

	if (flow->proto == (kind == IP4 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return false;
	if (!flow->src && flow->dst && strcmp(flow->dst->bridge, flow->outside) == 0)
		return false; /* to another port of its own bridge: the guard's business */
	if (kind == LINK_LOCAL && !is_same_bridge(flow) && !flow->src_is_host)
		return false;
	if (kind == LINK_LOCAL && flow->port == ROUTER_ADVERT && !flow->src_is_host)
		return false;
	if (flow->proto == IPPROTO_ICMPV6 && flow->port == ROUTER_ADVERT && !flow->src_is_host)
		return false; /* line 1 of the contract, not a flow */
	return !nd || is_same_bridge(flow) || flow->src_is_host || flow->dst_is_host;
}

static bool is_enforced(const struct ms_policy *policy)
{
	bool enforced = policy->unidentified == MS_MODE_ENFORCE;

	ms_vec_each (struct ms_env, env, &policy->envs)
		enforced |= env->mode == MS_MODE_ENFORCE;
	ms_vec_each (struct ms_service, service, &policy->services)
		enforced |= service->mode == MS_MODE_ENFORCE;
	return enforced;
}

/* The same packet by an interface that has all of the one before, but was made anew: nothing
 * passes, whichever end it is. The host greets every interface with neighbour and group messages.
 */
static void compare_anew(const struct trial *trial, struct ms_sim_flow flow, const char *what)
{
	bool greets = (flow.src_is_host || flow.dst_is_host) && flow.proto == IPPROTO_ICMPV6 &&
		      flow.port >= 130;

	if (n_cases % SAMPLE_ANEW || greets || !is_enforced(trial->policy))
		return;
	flow.state = (enum ms_sim_state)(n_cases / SAMPLE_ANEW % 3);
	for (int end = 0; end < 2; end++) {
		const struct ms_endpoint *endpoint = end ? flow.dst : flow.src;
		struct ms_sim_result result;

		flow.src_anew = !end;
		flow.dst_anew = end;
		if (!endpoint)
			continue;
		struct opinion simulated = ask_simulate(trial, &flow, &result);

		n_anew++;
		if (result.dropped)
			continue;
		n_failed++;
		show(trial, what, &(struct opinion){.verdict = MS_DENY}, &simulated, &result);
	}
}

/* Returns what the simulated packet left. */
static struct ms_sim_result compare(const struct trial *trial, const struct ms_sim_flow *flow,
				    const char *what)
{
	struct ms_sim_result result;
	struct opinion decided = ask_decide(trial, flow);
	struct opinion simulated = ask_simulate(trial, flow, &result);

	n_cases++;
	n_allowed += decided.verdict == MS_ALLOW;
	if (!agree(&decided, &simulated)) {
		n_failed++;
		show(trial, what, &decided, &simulated, &result);
	}
	compare_anew(trial, *flow, what);
	return result;
}

/* Messages that no connection stands for, ends that answer nobody, and answers that no endpoint may
 * give. */
static bool is_tracked(const struct ms_sim_flow *flow)
{
	if (flow->proto == IPPROTO_UDP && flow->port == 67)
		return false;
	if (flow->proto == IPPROTO_ICMPV6 && flow->port != 128)
		return false;
	if (flow->proto == IPPROTO_ICMP && flow->port != 8 && flow->port != 13)
		return false;
	return !ms_addr_is_multicast(&flow->daddr) && !ms_addr_is_link_local(&flow->daddr) &&
	       !ms_addr_is_link_local(&flow->saddr);
}

/* A later packet of a connection that was let in. An answer may pass as a new flow of its own. */
static void compare_later(const struct trial *trial, struct ms_sim_flow flow, const char *what)
{
	static const char *const names[] = {
		[MS_SIM_ESTABLISHED] = "established ", [MS_SIM_REPLY] = "reply "};
	struct opinion decided = ask_decide(trial, &flow);
	struct ms_sim_flow turned = flow;

	turned.saddr = flow.daddr;
	turned.daddr = flow.saddr;
	for (flow.state = MS_SIM_ESTABLISHED; flow.state <= MS_SIM_REPLY; flow.state++) {
		struct ms_sim_result result;
		struct opinion simulated = ask_simulate(trial, &flow, &result);
		bool denied = decided.verdict == MS_DENY;
		char text[160];

		n_cases++;
		n_ended += denied;
		if (denied == result.dropped)
			continue;
		if (denied && flow.state == MS_SIM_REPLY &&
		    ask_decide(trial, &turned).verdict != MS_DENY)
			continue;
		n_failed++;
		snprintf(text, sizeof(text), "%s%s", names[flow.state], what);
		show(trial, text, &decided, &simulated, &result);
	}
}

/* Does the contract ever say anything else of it than now? */
static bool changes(const struct trial *trial, const struct ms_sim_flow *flow)
{
	struct trial then = *trial;
	struct opinion now = ask_decide(trial, flow);

	for (size_t i = 1; universe_times[i]; i++) {
		then.now = universe_times[i];
		struct opinion later = ask_decide(&then, flow);

		if (!agree(&now, &later))
			return true;
	}
	return false;
}

/* @trial compiled at UNIVERSE_NOW; @later: at each of the times. Of flows that no clock seems to
 * concern, some are looked at nevertheless. */
static void compare_times(const struct trial *trial, struct ms_ruleset *const *later,
			  struct ms_sim_flow flow, const char *what)
{
	struct trial then = *trial;

	flow.now = UNIVERSE_NOW;
	struct ms_sim_result first = compare(trial, &flow, what);
	if (!later || (n_cases % SAMPLE && !first.listed && !changes(trial, &flow)))
		return;
	for (size_t i = 1; universe_times[i]; i++) {
		then.ruleset = trial->ruleset;
		then.now = flow.now = universe_times[i];
		flow.state = MS_SIM_NEW;
		flow.listed = NULL;
		compare(&then, &flow, what);
		then.ruleset = later[i];
		compare(&then, &flow, what);
		then.ruleset = trial->ruleset;
		flow.listed = first.listed;
		if (!first.dropped && is_tracked(&flow))
			compare_later(&then, flow, what);
	}
}

static void try_flow(const struct trial *trial, struct ms_ruleset *const *later, const char *src,
		     const char *dst, const char *port, enum kind kind, bool published)
{
	struct ms_sim_flow flow = {
		.src = endpoint_named(trial->inventory, src),
		.dst = endpoint_named(trial->inventory, dst),
		.src_is_host = is_host_end(src),
		.dst_is_host = is_host_end(dst),
		.outside = interface_of(strcmp(src, "behind-a") == 0 ? src : dst),
		.published = published,
	};
	struct ms_ports ports;
	char what[128];

	if (ms_ports_parse(port, &ports) < 0)
		abort();
	flow.proto = ports.proto;
	flow.port = ports.first;
	if (!exists(&flow, kind))
		return;
	flow.saddr = flow.src ? endpoint_addr(flow.src, kind) : address_of(src, kind);
	flow.daddr = flow.dst ? endpoint_addr(flow.dst, kind) : address_of(dst, kind);
	snprintf(what, sizeof(what), "%s -> %s %s %s%s", src, dst, port, kind_names[kind],
		 published ? " published" : "");
	compare_times(trial, later, flow, what);
}

static void try_pair(const struct trial *trial, struct ms_ruleset *const *later, const char *src,
		     const char *dst)
{
	bool managed =
		endpoint_named(trial->inventory, src) || endpoint_named(trial->inventory, dst);
	bool outside = !endpoint_named(trial->inventory, src) && !is_host_end(src);

	if (!managed || strcmp(src, dst) == 0)
		return;
	for (const char *const *port = universe_ports; *port; port++)
		for (int kind = 0; kind < N_KINDS; kind++) {
			try_flow(trial, later, src, dst, *port, kind, false);
			if (outside)
				try_flow(trial, later, src, dst, *port, kind, true);
		}
}

static struct ms_ruleset *compile(const struct trial *trial, time_t now)
{
	const struct ms_compile_options options = {
		.nflog_group = MS_NFLOG_GROUP_DEFAULT,
		.now = now,
		.grant_rules = __builtin_parity(trial->features),
		.max_connections = 100,
	};
	struct ms_ruleset *ruleset;

	if (ms_compile(trial->policy, trial->inventory, &options, &ruleset) < 0)
		abort();
	return ruleset;
}

static void try_policy(uint32_t features, bool verbose)
{
	struct ms_ruleset *later[8] = {NULL};
	struct trial trial = {
		.features = features,
		.policy = universe_policy(features),
		.arena = ms_arena_new(),
		.verbose = verbose,
		.now = UNIVERSE_NOW,
	};

	trial.inventory = universe_inventory(trial.policy);
	if (!trial.arena)
		abort();
	trial.ruleset = compile(&trial, UNIVERSE_NOW);
	for (size_t i = 1; features & CLOCKS && universe_times[i]; i++)
		later[i] = compile(&trial, universe_times[i]);
	n_policies++;
	for (const char *const *src = universe_sources; *src; src++)
		for (const char *const *dst = universe_destinations; *dst; dst++)
			try_pair(&trial, features & CLOCKS ? later : NULL, *src, *dst);
	for (size_t i = 1; i < sizeof(later) / sizeof(*later); i++)
		ms_ruleset_free(later[i]);
	ms_ruleset_free(trial.ruleset);
	ms_inventory_free(trial.inventory);
	ms_policy_free(trial.policy);
	ms_arena_free(trial.arena);
}

static void try_all(void)
{
	const uint32_t n_grants = N_FEATURES - N_MODES;
	const uint32_t all_grants = ((1u << n_grants) - 1) << N_MODES;
	static const uint32_t some_modes[] = {
		0,
		BIT(A_AUDITS) | BIT(STRANGERS_AUDIT),
		BIT(B_AUDITS) | BIT(SERVICE_AUDITS) | BIT(DROP),
	};

	for (uint32_t modes = 0; modes < 1u << N_MODES; modes++) {
		try_policy(modes, false);
		try_policy(modes | all_grants, false);
	}
	for (size_t i = 0; i < sizeof(some_modes) / sizeof(*some_modes); i++)
		for (uint32_t a = N_MODES; a < N_FEATURES; a++)
			for (uint32_t b = a; b < N_FEATURES; b++)
				try_policy(some_modes[i] | BIT(a) | BIT(b), false);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		_cleanup_(ms_str_fini) struct ms_str text = {0};
		uint32_t features = (uint32_t)strtoul(argv[1], NULL, 0);

		universe_policy_text(features, &text);
		fprintf(stderr, "%s", text.text);
		try_policy(features, true);
	} else {
		try_all();
	}
	printf("%" PRIu64 " policies, %" PRIu64 " packets: %" PRIu64 " allowed, %" PRIu64
	       " of connections that ended, %" PRIu64 " by interfaces made anew, %" PRIu64
	       " disagreements\n",
	       n_policies, n_cases, n_allowed, n_ended, n_anew, n_failed);
	return n_failed == 0 ? 0 : 1;
}
