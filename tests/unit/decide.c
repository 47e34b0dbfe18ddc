/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/decide.h"
#include "policy/load.h"

#define NOW 1000

static const char policy_text[] =
	/*  1 */
	"apiVersion: microseg/v1\n"
	/*  2 */ "kind: Environments\n"
	/*  3 */ "identity: {env: [env], service: [service]}\n"
	/*  4 */ "unidentified: {mode: enforce}\n"
	/*  5 */ "environments:\n"
	/*  6 */ "  prod: {mode: enforce, resolvers: [10.0.0.53, \"fd00::53\", gateway]}\n"
	/*  7 */ "  dev: {mode: audit, resolvers: [192.0.2.1]}\n"
	/*  8 */ "  test: {mode: audit}\n"
	/*  9 */ "---\n"
	/* 10 */ "apiVersion: microseg/v1\n"
	/* 11 */ "kind: Service\n"
	/* 12 */ "service: db\n"
	/* 13 */ "env: prod\n"
	/* 14 */ "ports: {pg: tcp/5432}\n"
	/* 15 */ "allow:\n"
	/* 16 */ "  - {from: api, ports: [pg]}\n"
	/* 17 */ "  - {from: [self, metrics], ports: [tcp/9000-9010], ping: true}\n"
	/* 18 */ "  - {from: host, ports: [pg]}\n"
	/* 19 */
	"  - {from: {net: [10.8.0.0/24, \"2001:db8::/64\"], except: [10.8.0.9/32]}, ports: [pg]}\n"
	/* 20 */ "  - {from: {net: 10.8.1.0/24}, ports: [pg], published: true}\n"
	/* 21 */ "---\n"
	/* 22 */ "apiVersion: microseg/v1\n"
	/* 23 */ "kind: Service\n"
	/* 24 */ "service: api\n"
	/* 25 */ "env: prod\n"
	/* 26 */ "needs:\n"
	/* 27 */ "  - {to: {net: [0.0.0.0/0, \"::/0\"]}, ports: [tcp/443, \"proto/47\"]}\n"
	/* 28 */ "  - {to: host, ports: [udp/123]}\n"
	/* 29 */ "---\n"
	/* 30 */ "apiVersion: microseg/v1\n"
	/* 31 */ "kind: Service\n"
	/* 32 */ "service: web\n"
	/* 33 */ "env: dev\n"
	/* 34 */ "allow:\n"
	/* 35 */ "  - {from: \"*\", ports: any}\n";

static const char inventory_text[] =
	"apiVersion: microseg/v1\n"
	"kind: Inventory\n"
	"node: node-a\n"
	"hosts: [192.0.2.1]\n"
	"bridges: [{name: br-a, addresses: [10.0.0.254/24]}, {name: br-b, addresses: [10.1.0.254/24]}]\n"
	"endpoints:\n"
	"  - {name: db-1, bridge: br-a, addresses: [10.0.0.1, \"fe80::1\"], labels: {env: prod, service: db}}\n"
	"  - {name: api-1, bridge: br-a, addresses: [10.0.0.2, \"fd00::2\", \"fe80::2\"], "
	"labels: {env: prod, service: api}}\n"
	"  - {name: web-1, bridge: br-b, addresses: [10.1.0.1], labels: {env: dev, service: web}}\n"
	"  - {name: stray, bridge: br-b, addresses: [10.1.0.9], labels: {env: dev}}\n"
	"  - {name: twin-1, bridge: br-b, addresses: [10.1.0.7], labels: {env: dev, service: web}}\n"
	"  - {name: twin-2, bridge: br-b, addresses: [10.1.0.7], labels: {env: dev, service: web}}\n";

struct bench {
	struct ms_policy *policy;
	struct ms_inventory *inventory;
	struct ms_arena *arena;
};

static void demand(int r, struct ms_diags *diags)
{
	struct ms_str text = {0};

	if (r == 0)
		return;
	ms_diags_print(diags, &text, false);
	print_error("%s", text.text ? text.text : "");
	fail();
}

static int setup(void **state)
{
	const struct ms_policy_file policy = {"p.yaml", policy_text, sizeof(policy_text) - 1};
	const struct ms_policy_file inventory = {"i.yaml", inventory_text,
						 sizeof(inventory_text) - 1};
	struct bench *bench = calloc(1, sizeof(*bench));
	struct ms_diags diags;

	assert_int_equal(ms_diags_init(&diags), 0);
	demand(ms_policy_load_ungated(&policy, 1, NOW, &diags, &bench->policy), &diags);
	demand(ms_inventory_load(&inventory, &diags, &bench->inventory), &diags);
	assert_int_equal(ms_inventory_identify(bench->inventory, bench->policy), 0);
	ms_diags_fini(&diags);
	bench->arena = ms_arena_new();
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	ms_arena_free(bench->arena);
	ms_inventory_free(bench->inventory);
	ms_policy_free(bench->policy);
	free(bench);
	return 0;
}

static struct ms_addr addr(const char *text)
{
	struct ms_addr parsed;

	assert_int_equal(ms_addr_parse(text, &parsed), 0);
	return parsed;
}

/* "prod/db" is an identity, "host" the host, "node:n" a node, "?" a stranger, else an address. */
static struct ms_party party(struct bench *bench, const char *text)
{
	const char *slash = strchr(text, '/');

	if (strcmp(text, "host") == 0)
		return (struct ms_party){.kind = MS_PARTY_HOST};
	if (strcmp(text, "?") == 0)
		return (struct ms_party){.kind = MS_PARTY_UNIDENTIFIED};
	if (strncmp(text, "node:", 5) == 0)
		return (struct ms_party){.kind = MS_PARTY_NODE, .node = text + 5};
	if (slash)
		return (struct ms_party){
			.kind = MS_PARTY_SERVICE,
			.env = ms_arena_strndup(bench->arena, text, (size_t)(slash - text)),
			.service = slash + 1,
		};
	struct ms_addr parsed = addr(text);
	return ms_party_of_addr(bench->policy, bench->inventory, &parsed, false);
}

struct row {
	const char *src, *dst, *port; /* port as in a policy; "!" before it: published */
	enum ms_verdict verdict;
	enum ms_reason reason;
	uint32_t line; /* of the place that decided; 0: none */
};

static struct ms_flow flow_of(struct bench *bench, const struct row *row)
{
	struct ms_flow flow = {.src = party(bench, row->src), .dst = party(bench, row->dst)};
	struct ms_ports ports;

	flow.published = *row->port == '!';
	assert_int_equal(ms_ports_parse(row->port + flow.published, &ports), 0);
	flow.proto = ports.proto;
	flow.port = ports.first;
	return flow;
}

static void check_rows(struct bench *bench, const struct row *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++) {
		const struct ms_flow flow = flow_of(bench, &rows[i]);
		struct ms_decision got =
			ms_decide(bench->policy, bench->inventory, &flow, NOW, bench->arena);
		uint32_t line = got.policy ? got.policy->line : 0;

		if (got.verdict != rows[i].verdict || got.reason != rows[i].reason ||
		    line != rows[i].line)
			fail_msg("row %zu, %s -> %s %s: %s, %s, line %u", i, rows[i].src,
				 rows[i].dst, rows[i].port, ms_verdict_name(got.verdict),
				 ms_reason_name(got.reason) ?: "-", line);
		assert_int_equal(got.nearest != NULL, got.reason != MS_REASON_NONE);
	}
}

#define CHECK(bench, rows) check_rows(bench, rows, sizeof(rows) / sizeof(*(rows)))
#define ALLOW MS_ALLOW, MS_REASON_NONE
#define DENY(reason) MS_DENY, MS_REASON_##reason
#define AUDIT(reason) MS_AUDIT, MS_REASON_##reason

static void only_what_is_granted_passes(void **state)
{
	static const struct row rows[] = {
		{"prod/api", "prod/db", "tcp/5432", ALLOW, 16},
		{"prod/api", "prod/db", "tcp/5433", DENY(NO_GRANT), 0},
		{"prod/api", "prod/db", "udp/5432", DENY(NO_GRANT), 0},
		{"prod/db", "prod/api", "tcp/5432", DENY(NO_GRANT), 0},
		{"prod/other", "prod/db", "tcp/5432", DENY(NO_GRANT), 0},
		{"prod/db", "prod/db", "tcp/9005", ALLOW, 17},
		{"prod/api", "prod/db", "tcp/9005", DENY(NO_GRANT), 0},
		{"prod/metrics", "prod/db", "tcp/9010", ALLOW, 17},
		{"prod/metrics", "prod/db", "tcp/9011", DENY(NO_GRANT), 0},
		{"prod/metrics", "prod/db", "icmp/8", ALLOW, 17},
		{"prod/metrics", "prod/db", "icmp6/128", ALLOW, 17},
		{"prod/metrics", "prod/db", "icmp/13", DENY(NO_GRANT), 0},
		{"prod/api", "prod/db", "icmp/8", DENY(NO_GRANT), 0},
		{"prod/api", "prod/api", "tcp/1", DENY(NO_GRANT), 0},
		{"dev/nobody", "dev/web", "sctp/1", ALLOW, 35},
		{"dev/web", "dev/web", "tcp/1", ALLOW, 35},
		{"dev/nobody", "dev/web", "proto/47", AUDIT(NO_GRANT), 0},
		{"dev/web", "dev/nobody", "tcp/1", AUDIT(NO_GRANT), 0},
	};
	CHECK(*state, rows);
}

static void host_and_net_need_a_grant_in_their_direction(void **state)
{
	static const struct row rows[] = {
		{"host", "prod/db", "tcp/5432", ALLOW, 18},
		{"host", "prod/db", "!tcp/5432", ALLOW, 18},
		{"host", "prod/db", "tcp/22", DENY(NO_GRANT), 0},
		{"prod/db", "host", "tcp/5432", DENY(NO_GRANT), 0},
		{"prod/api", "host", "udp/123", ALLOW, 28},
		{"prod/api", "192.0.2.1", "udp/123", ALLOW, 28},
		{"prod/api", "192.0.2.1", "tcp/443", DENY(NO_GRANT), 0},
		{"10.8.0.1", "prod/db", "tcp/5432", ALLOW, 19},
		{"2001:db8::1", "prod/db", "tcp/5432", ALLOW, 19},
		{"10.8.0.9", "prod/db", "tcp/5432", DENY(NO_GRANT), 0},
		{"10.8.1.1", "prod/db", "tcp/5432", ALLOW, 20},
		{"10.8.2.1", "prod/db", "tcp/5432", DENY(NO_GRANT), 0},
		{"prod/api", "198.51.100.1", "tcp/443", ALLOW, 27},
		{"prod/api", "2001:db8::1", "tcp/443", ALLOW, 27},
		{"prod/api", "198.51.100.1", "proto/47", ALLOW, 27},
		{"prod/api", "198.51.100.1", "tcp/80", DENY(NO_GRANT), 0},
		{"prod/db", "198.51.100.1", "tcp/443", DENY(NO_GRANT), 0},
		{"198.51.100.1", "prod/api", "tcp/443", DENY(NO_GRANT), 0},
		{"dev/web", "198.51.100.1", "tcp/443", AUDIT(NO_GRANT), 0},
		{"prod/api", "10.0.0.1", "tcp/443", DENY(NO_GRANT),
		 0}, /* an endpoint is never net */
	};
	CHECK(*state, rows);
}

static void published_ports_open_for_outsiders_only_by_a_published_grant(void **state)
{
	static const struct row rows[] = {
		{"10.8.0.1", "prod/db", "!tcp/5432", DENY(NO_GRANT), 0},
		{"10.8.1.1", "prod/db", "!tcp/5432", ALLOW, 20},
		{"prod/api", "prod/db", "!tcp/5432", ALLOW, 16},
	};
	CHECK(*state, rows);
}

static void special_addresses_are_covered_by_no_cidr(void **state)
{
	static const struct row rows[] = {
		{"prod/api", "224.0.0.251", "tcp/443", DENY(NO_GRANT), 0},
		{"prod/api", "255.255.255.255", "tcp/443", DENY(NO_GRANT), 0},
		{"prod/api", "169.254.169.254", "tcp/443", DENY(NO_GRANT), 0},
		{"prod/api", "127.0.0.1", "tcp/443", DENY(NO_GRANT), 0},
		{"prod/api", "ff02::fb", "tcp/443", DENY(NO_GRANT), 0},
		{"prod/api", "fe80::99", "tcp/443", DENY(NO_GRANT), 0},
		{"fe80::2", "fe80::1", "tcp/5432", DENY(NO_GRANT), 0}, /* api to db, link-local */
		{"fd00::2", "fe80::1", "tcp/5432", DENY(NO_GRANT), 0},
	};
	CHECK(*state, rows);
}

static void the_fence_stands_between_environments_and_the_stricter_mode_counts(void **state)
{
	static const struct row rows[] = {
		{"dev/web", "prod/db", "tcp/5432", DENY(FENCE), 0},
		{"prod/api", "dev/web", "tcp/80", DENY(FENCE), 0},
		{"dev/web", "test/x", "tcp/80", AUDIT(FENCE), 0},
	};
	CHECK(*state, rows);
}

static void strangers_are_refused_and_the_stricter_mode_counts(void **state)
{
	struct bench *bench = *state;
	static const struct row enforced[] = {
		{"?", "prod/db", "tcp/5432", DENY(UNIDENTIFIED), 0},
		{"dev/web", "?", "tcp/80", DENY(UNIDENTIFIED), 0},
		{"?", "?", "tcp/80", DENY(UNIDENTIFIED), 0},
		{"?", "host", "tcp/80", DENY(UNIDENTIFIED), 0},
		{"198.51.100.1", "?", "tcp/80", DENY(UNIDENTIFIED), 0},
	};
	static const struct row audited[] = {
		{"?", "prod/db", "tcp/5432", DENY(UNIDENTIFIED), 0},
		{"prod/db", "?", "tcp/5432", DENY(UNIDENTIFIED), 0},
		{"?", "dev/web", "tcp/80", AUDIT(UNIDENTIFIED), 0},
		{"?", "?", "tcp/80", AUDIT(UNIDENTIFIED), 0},
		{"?", "host", "tcp/80", AUDIT(UNIDENTIFIED), 0},
		{"host", "?", "tcp/80", AUDIT(UNIDENTIFIED), 0},
		{"198.51.100.1", "?", "tcp/80", AUDIT(UNIDENTIFIED), 0},
	};
	CHECK(bench, enforced);
	bench->policy->unidentified = MS_MODE_AUDIT;
	CHECK(bench, audited);
}

static struct ms_service *service(struct bench *bench, const char *env, const char *name)
{
	ms_vec_each (struct ms_service, found, &bench->policy->services)
		if (strcmp(found->env, env) == 0 && strcmp(found->name, name) == 0)
			return found;
	fail();
	return NULL;
}

static void east_west_the_providers_mode_counts_and_a_service_has_its_own(void **state)
{
	struct bench *bench = *state;
	static const struct row rows[] = {
		{"prod/api", "prod/db", "tcp/1", AUDIT(NO_GRANT), 0},
		{"prod/db", "prod/api", "tcp/1", DENY(NO_GRANT), 0},
		{"prod/db", "198.51.100.1", "tcp/1", AUDIT(NO_GRANT), 0},
		{"198.51.100.1", "prod/db", "tcp/1", AUDIT(NO_GRANT), 0},
		{"dev/web", "prod/db", "tcp/5432", AUDIT(FENCE), 0},
		{"prod/db", "dev/web", "tcp/1", AUDIT(FENCE), 0},
		{"dev/web", "prod/api", "tcp/1", DENY(FENCE), 0},
	};

	service(bench, "prod", "db")->mode = MS_MODE_AUDIT;
	CHECK(bench, rows);
}

static void the_baseline_passes_for_everyone(void **state)
{
	static const struct row rows[] = {
		{"?", "fe80::99", "icmp6/135", ALLOW, 0},
		{"?", "ff02::1", "icmp6/136", ALLOW, 0},
		{"prod/api", "prod/db", "icmp6/135", ALLOW, 0},
		{"dev/web", "host", "icmp6/133", ALLOW, 0},
		{"?", "ff02::16", "icmp6/143", ALLOW, 0},
		{"?", "255.255.255.255", "udp/67", ALLOW, 0},
		{"?", "host", "udp/67", ALLOW, 0},
		{"host", "?", "udp/68", ALLOW, 0},
		{"?", "ff02::1:2", "udp/547", ALLOW, 0},
		{"host", "?", "icmp6/134", ALLOW, 0},
		{"?", "ff02::1", "icmp6/134", DENY(UNIDENTIFIED), 0},
		{"?", "prod/db", "udp/68", DENY(UNIDENTIFIED), 0},
		{"prod/api", "prod/db", "udp/67", DENY(NO_GRANT), 0},
		{"prod/db", "198.51.100.1", "udp/67", DENY(NO_GRANT), 0},
		{"?", "ff02::16", "icmp6/128", DENY(UNIDENTIFIED), 0},
		{"?", "224.0.0.1", "udp/67", DENY(UNIDENTIFIED), 0},
		{"?", "ff02::1", "udp/547", DENY(UNIDENTIFIED), 0},
		{"prod/api", "prod/db", "icmp6/134", DENY(NO_GRANT), 0},
	};
	CHECK(*state, rows);
}

static void resolvers_answer_their_environment(void **state)
{
	static const struct row rows[] = {
		{"prod/db", "10.0.0.53", "udp/53", ALLOW, 6},
		{"prod/db", "10.0.0.53", "tcp/53", ALLOW, 6},
		{"prod/nobody", "fd00::53", "udp/53", ALLOW, 6},
		{"prod/db", "10.0.0.53", "udp/54", DENY(NO_GRANT), 0},
		{"prod/db", "10.0.0.54", "udp/53", DENY(NO_GRANT), 0},
		{"dev/web", "10.0.0.53", "udp/53", AUDIT(NO_GRANT), 0},
		{"dev/web", "192.0.2.1", "udp/53", ALLOW, 7},
		{"dev/web", "host", "udp/53", ALLOW, 7},
		{"prod/db", "192.0.2.1", "udp/53", DENY(NO_GRANT), 0},
		{"10.0.0.1", "10.0.0.254", "udp/53", ALLOW, 6}, /* the gateway of its own bridge */
		{"10.0.0.1", "10.1.0.254", "udp/53", DENY(NO_GRANT), 0}, /* of another bridge */
		{"prod/db", "10.0.0.254", "udp/53", ALLOW, 6},
		{"prod/db", "10.1.0.254", "udp/53", DENY(NO_GRANT), 0},
		{"prod/nobody", "10.0.0.254", "udp/53", DENY(NO_GRANT), 0}, /* has no bridge */
		{"10.1.0.1", "10.1.0.254", "udp/53", AUDIT(NO_GRANT), 0},
		{"prod/db", "host", "udp/53", ALLOW, 6},
		{"?", "10.0.0.53", "udp/53", DENY(UNIDENTIFIED), 0},
	};
	CHECK(*state, rows);
}

static struct ms_peer service_peer(const char *env, const char *name)
{
	return (struct ms_peer){.kind = MS_PEER_SERVICE, .env = env, .service = name};
}

static struct ms_peer net_peer(struct bench *bench, const char *text)
{
	struct ms_peer peer = {.kind = MS_PEER_NET, .net_name = text};
	struct ms_prefix prefix;

	assert_int_equal(ms_prefix_parse(text, &prefix), 0);
	assert_int_equal(ms_avec_push(bench->arena, &peer.ranges, ms_prefix_range(&prefix)), 0);
	return peer;
}

static ms_ports_vec ports_of(struct bench *bench, const char *text)
{
	ms_ports_vec ports = {0};
	struct ms_ports one;

	assert_int_equal(ms_ports_parse(text, &one), 0);
	assert_int_equal(ms_avec_push(bench->arena, &ports, one), 0);
	return ports;
}

static void never_beats_grants_and_baseline(void **state)
{
	struct bench *bench = *state;
	static const struct row rows[] = {
		{"prod/api", "prod/db", "tcp/5432", DENY(NEVER), 70},
		{"prod/metrics", "prod/db", "tcp/9000", ALLOW, 17},
		{"prod/api", "169.254.169.254", "tcp/80", DENY(NEVER), 71},
		{"?", "169.254.169.254", "icmp/8", DENY(NEVER), 71},
		{"dev/web", "169.254.169.254", "tcp/80", AUDIT(NEVER), 71},
		{"host", "169.254.169.254", "tcp/80", ALLOW,
		 0}, /* the host's own traffic is not ours */
		{"prod/api", "198.51.100.1", "tcp/443", ALLOW, 27},
	};
	const struct ms_never nevers[] = {
		{.from = service_peer("prod", NULL),
		 .to = service_peer(NULL, "db"),
		 .ports = ports_of(bench, "tcp/5432"),
		 .at = {"p.yaml", 70, 1, 1}},
		{.any_source = true,
		 .to = net_peer(bench, "169.254.169.254/32"),
		 .at = {"p.yaml", 71, 1, 1}},
	};

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(
			ms_avec_push(bench->policy->arena, &bench->policy->nevers, nevers[i]), 0);
	CHECK(bench, rows);
}

static void a_crossing_lifts_the_fence_for_its_ports_and_grants_nothing(void **state)
{
	struct bench *bench = *state;
	static const struct row rows[] = {
		{"dev/web", "prod/db", "tcp/5432", DENY(NO_GRANT), 0},
		{"dev/web", "prod/db", "tcp/5433", DENY(FENCE), 0},
		{"prod/db", "dev/web", "tcp/5432", DENY(FENCE), 0},
		{"dev/probe", "prod/db", "tcp/5432", ALLOW, 80},
		{"test/x", "prod/db", "tcp/5432", DENY(FENCE), 0},
		{"test/x", "dev/web", "tcp/5432", AUDIT(FENCE), 0}, /* that crossing ran out */
	};
	const struct ms_crossing crossings[] = {
		{.from = service_peer("dev", NULL),
		 .to = service_peer("prod", "db"),
		 .ports = ports_of(bench, "tcp/5432"),
		 .until = NOW + 1},
		{.from = service_peer("test", NULL),
		 .to = service_peer("dev", NULL),
		 .ports = ports_of(bench, "tcp/5432"),
		 .until = NOW},
	};
	const struct ms_grant grant = {
		.peer = service_peer("dev", "probe"),
		.ports = ports_of(bench, "tcp/5432"),
		.at = {"p.yaml", 80, 1, 1},
	};
	struct ms_service *db = service(bench, "prod", "db");

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(
			ms_avec_push(bench->policy->arena, &bench->policy->crossings, crossings[i]),
			0);
	assert_int_equal(ms_avec_push(bench->policy->arena, &db->allow, grant), 0);
	CHECK(bench, rows);
}

static struct ms_env *env(struct bench *bench, const char *name)
{
	ms_vec_each (struct ms_env, found, &bench->policy->envs)
		if (strcmp(found->name, name) == 0)
			return found;
	fail();
	return NULL;
}

static void two_keys_are_asked_for_by_either_environment(void **state)
{
	struct bench *bench = *state;
	static const struct row without[] = {
		{"prod/api", "prod/db", "tcp/5432", DENY(NO_GRANT), 0},
		{"host", "prod/db", "tcp/5432", ALLOW, 18},
		{"10.8.0.1", "prod/db", "tcp/5432", ALLOW, 19},
		{"dev/nobody", "dev/web", "tcp/1", ALLOW, 35},
	};
	static const struct row with[] = {
		{"prod/api", "prod/db", "tcp/5432", ALLOW, 16},
		{"prod/db", "prod/db", "tcp/9005", DENY(NO_GRANT), 0},
	};
	struct ms_service *api = service(bench, "prod", "api");
	const struct ms_grant need = {.peer = service_peer("prod", "db"),
				      .ports = ports_of(bench, "tcp/5432")};

	env(bench, "prod")->two_key = true;
	CHECK(bench, without);
	assert_int_equal(ms_avec_push(bench->policy->arena, &api->needs, need), 0);
	CHECK(bench, with);
}

static void an_exception_counts_as_both_keys_until_it_ends_and_lifts_no_fence(void **state)
{
	struct bench *bench = *state;
	static const struct row rows[] = {
		{"prod/web", "prod/db", "tcp/22", ALLOW, 90},
		{"prod/web", "prod/db", "tcp/23", DENY(NO_GRANT), 0},
		{"dev/web", "prod/db", "tcp/22", DENY(FENCE), 0},
		{"prod/web", "prod/api", "tcp/22", DENY(NO_GRANT), 0},
		{"10.7.0.1", "prod/db", "tcp/22", ALLOW, 93},
		{"10.7.0.1", "prod/db", "!tcp/22", DENY(NO_GRANT), 0},
	};
	const struct ms_exception exceptions[] = {
		{.from = service_peer("prod", "web"),
		 .to = service_peer("prod", "db"),
		 .until = NOW + 1,
		 .ports = ports_of(bench, "tcp/22"),
		 .at = {"p.yaml", 90, 1, 1}},
		{.from = service_peer("dev", "web"),
		 .to = service_peer("prod", "db"),
		 .until = NOW + 1,
		 .ports = ports_of(bench, "tcp/22"),
		 .at = {"p.yaml", 91, 1, 1}},
		{.from = service_peer("prod", "web"),
		 .to = service_peer("prod", "api"),
		 .until = NOW,
		 .ports = ports_of(bench, "tcp/22"),
		 .at = {"p.yaml", 92, 1, 1}},
		{.from = net_peer(bench, "10.7.0.0/24"),
		 .to = service_peer("prod", "db"),
		 .until = NOW + 1,
		 .ports = ports_of(bench, "tcp/22"),
		 .at = {"p.yaml", 93, 1, 1}},
	};

	env(bench, "prod")->two_key = true;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(ms_avec_push(bench->policy->arena, &bench->policy->exceptions,
					      exceptions[i]),
				 0);
	CHECK(bench, rows);
}

static void nodes_are_peers_of_their_own(void **state)
{
	struct bench *bench = *state;
	static const struct row rows[] = {
		{"192.0.2.2", "prod/db", "tcp/514", ALLOW, 95},
		{"node:node-b", "prod/db", "tcp/514", ALLOW, 95},
		{"node:node-c", "prod/db", "tcp/514", DENY(NO_GRANT), 0},
		{"node:node-b", "prod/db", "!tcp/514", DENY(NO_GRANT), 0},
		{"prod/db", "node:node-c", "tcp/514", ALLOW, 96},
		{"prod/api", "192.0.2.2", "tcp/443", DENY(NO_GRANT), 0}, /* a node is never net */
	};
	struct ms_node node = {.name = "node-b"};
	const struct ms_grant allow = {.peer = {.kind = MS_PEER_NODE, .node = "node-b"},
				       .ports = ports_of(bench, "tcp/514"),
				       .at = {"p.yaml", 95, 1, 1}};
	const struct ms_grant need = {.peer = {.kind = MS_PEER_NODE},
				      .ports = ports_of(bench, "tcp/514"),
				      .at = {"p.yaml", 96, 1, 1}};
	struct ms_service *db = service(bench, "prod", "db");

	assert_int_equal(ms_avec_push(bench->policy->arena, &node.addrs, addr("192.0.2.2")), 0);
	assert_int_equal(ms_avec_push(bench->policy->arena, &bench->policy->nodes, node), 0);
	assert_int_equal(ms_avec_push(bench->policy->arena, &db->allow, allow), 0);
	assert_int_equal(ms_avec_push(bench->policy->arena, &db->needs, need), 0);
	CHECK(bench, rows);
}

static void the_hosts_own_traffic_is_never_ours(void **state)
{
	static const struct row rows[] = {
		{"host", "198.51.100.1", "tcp/443", ALLOW, 0},
		{"198.51.100.1", "host", "tcp/22", ALLOW, 0},
		{"host", "host", "tcp/22", ALLOW, 0},
		{"198.51.100.1", "198.51.100.2", "tcp/22", ALLOW, 0},
	};
	CHECK(*state, rows);
}

static void without_a_policy_everything_of_ours_is_refused(void **state)
{
	struct bench *bench = *state;
	const struct row rows[] = {{"?", "host", "tcp/1", DENY(UNIDENTIFIED), 0}};
	const struct ms_flow flow = flow_of(bench, &rows[0]);
	struct ms_decision decision = ms_decide(NULL, NULL, &flow, NOW, NULL);

	assert_int_equal(decision.verdict, MS_DENY);
	assert_int_equal(decision.reason, MS_REASON_UNIDENTIFIED);
	assert_null(decision.nearest);
}

static void addresses_become_parties(void **state)
{
	struct bench *bench = *state;
	static const struct {
		const char *addr;
		bool managed;
		enum ms_party_kind kind;
	} rows[] = {
		{"10.0.0.1", true, MS_PARTY_SERVICE},
		{"10.1.0.9", true, MS_PARTY_UNIDENTIFIED},
		{"10.1.0.7", true, MS_PARTY_UNIDENTIFIED},
		{"10.1.0.7", false, MS_PARTY_UNIDENTIFIED},
		{"10.0.0.254", true, MS_PARTY_HOST},
		{"192.0.2.1", false, MS_PARTY_HOST},
		{"10.0.0.99", true, MS_PARTY_UNIDENTIFIED},
		{"10.0.0.99", false, MS_PARTY_NET},
		{"224.0.0.1", true, MS_PARTY_NET},
		{"ff02::1", true, MS_PARTY_NET},
		{"fe80::99", true, MS_PARTY_NET},
		{"fe80::1", true, MS_PARTY_SERVICE},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ms_addr a = addr(rows[i].addr);
		struct ms_party got =
			ms_party_of_addr(bench->policy, bench->inventory, &a, rows[i].managed);

		assert_int_equal(got.kind, rows[i].kind);
		assert_true(got.has_addr);
		assert_true(ms_addr_equal(&got.addr, &a));
	}
	struct ms_party api = ms_party_of_endpoint(&bench->inventory->endpoints.items[0]);
	assert_true(api.has_addr);
	assert_string_equal(api.service, "api");
	struct ms_addr first = addr("10.0.0.2");
	assert_true(ms_addr_equal(&api.addr, &first));
}

static void directions_are_seen_from_the_containers(void **state)
{
	struct bench *bench = *state;
	static const struct {
		struct row row;
		enum ms_direction direction;
	} rows[] = {
		{{"prod/api", "prod/db", "tcp/1"}, MS_EAST_WEST},
		{{"?", "prod/db", "tcp/1"}, MS_EAST_WEST},
		{{"prod/api", "host", "tcp/1"}, MS_EGRESS},
		{{"prod/api", "198.51.100.1", "tcp/1"}, MS_EGRESS},
		{{"host", "prod/api", "tcp/1"}, MS_INGRESS},
		{{"198.51.100.1", "?", "tcp/1"}, MS_INGRESS},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct ms_flow flow = flow_of(bench, &rows[i].row);

		assert_int_equal(
			ms_decide(bench->policy, bench->inventory, &flow, NOW, NULL).direction,
			rows[i].direction);
	}
}

static void the_nearest_miss_can_be_pasted(void **state)
{
	struct bench *bench = *state;
	static const struct {
		struct row row;
		const char *nearest;
	} rows[] = {
		{{"prod/web", "prod/db", "tcp/5432"},
		 "prod/db allows tcp/5432 from api, host, net 10.8.0.0/24, 2001:db8::/64 except 10.8.0.9/32, … only (p.yaml:16); to let prod/web in, add to its allow (line 15): "
		 "- {from: web, ports: [tcp/5432]}"},
		{{"prod/api", "prod/db", "tcp/80"},
		 "prod/db allows prod/api only tcp/5432 (p.yaml:16); to let prod/api in, add to its allow (line 15): "
		 "- {from: api, ports: [tcp/80]}"},
		{{"prod/web", "prod/db", "tcp/80"},
		 "prod/db allows tcp/80 from nobody (p.yaml:12); to let prod/web in, add to its allow (line 15): "
		 "- {from: web, ports: [tcp/80]}"},
		{{"prod/web", "prod/cache", "udp/1"},
		 "prod/cache has no Service document, so it allows nothing; to let prod/web in, write one (a new file, or below a line "
		 "---): {apiVersion: microseg/v1, kind: Service, service: cache, env: prod, allow: [{from: web, ports: [udp/1]}]}"},
		{{"10.8.2.1", "prod/db", "tcp/80"},
		 "prod/db allows tcp/80 from nobody (p.yaml:12); to let 10.8.2.1 in, add to its allow (line 15): "
		 "- {from: {net: \"10.8.2.1/32\"}, ports: [tcp/80]}"},
		{{"10.8.0.1", "prod/db", "!tcp/5432"},
		 "prod/db lets 10.8.0.1 reach tcp/5432 (p.yaml:19), but not through a published port; add to that grant: "
		 "published: true"},
		{{"prod/db", "198.51.100.1", "tcp/443"},
		 "prod/db may not call 198.51.100.1 (p.yaml:12); to let it, add to it (line 12): "
		 "needs: [{to: {net: \"198.51.100.1/32\"}, ports: [tcp/443]}]"},
		{{"prod/api", "host", "tcp/80"},
		 "prod/api may call the host only on udp/123 (p.yaml:28); to let it, add to its needs (line 26): "
		 "- {to: host, ports: [tcp/80]}"},
		{{"prod/db", "198.51.100.53", "udp/53"},
		 "prod/db may not call 198.51.100.53 (p.yaml:12); to let it, add to it (line 12): "
		 "needs: [{to: {net: \"198.51.100.53/32\"}, ports: [udp/53]}]; if it answers names for all of prod, add to its "
		 "resolvers instead (p.yaml:6): \"198.51.100.53\""},
		{{"prod/api", "224.0.0.251", "udp/5353"},
		 "224.0.0.251 is a multicast, broadcast, link-local or loopback address: no grant covers those"},
		{{"dev/web", "prod/db", "tcp/5432"},
		 "dev/web and prod/db live in different environments, and no crossing lifts the fence dev|prod for tcp/5432; "
		 "add to the Environments document (p.yaml:1): crossings: [{from: dev/web, to: prod/db, ports: [tcp/5432]}], "
		 "and add to the allow of prod/db (p.yaml:15): - {from: dev/web, ports: [tcp/5432]}"},
		{{"10.1.0.9", "prod/db", "tcp/5432"},
		 "container stray has no identity: label service is missing"},
		{{"prod/db", "10.1.0.7", "tcp/5432"},
		 "10.1.0.7 is held by twin-1 and twin-2, so it identifies neither"},
		{{"fe80::2", "fe80::1", "tcp/5432"},
		 "link-local addresses never pass between endpoints; use their other addresses"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct ms_flow flow = flow_of(bench, &rows[i].row);
		struct ms_decision got =
			ms_decide(bench->policy, bench->inventory, &flow, NOW, bench->arena);

		assert_non_null(got.nearest);
		assert_string_equal(got.nearest, rows[i].nearest);
		assert_true(strlen(got.nearest) <= 500);
	}
}

static void the_second_key_is_named_as_well(void **state)
{
	struct bench *bench = *state;
	static const struct row rows[] = {{"prod/api", "prod/db", "tcp/5432"},
					  {"prod/api", "prod/db", "tcp/80"}};
	static const char *const expected[] = {
		"prod asks for two keys (p.yaml:6), and only the provider's is there; prod/api may not call prod/db (p.yaml:24); "
		"to let it, add to its needs (line 26): - {to: db, ports: [tcp/5432]}",
		"prod/db allows prod/api only tcp/5432 (p.yaml:16); to let prod/api in, add to its allow (line 15): - {from: "
		"api, ports: [tcp/80]}, and add to the needs of prod/api (p.yaml:26): - {to: db, ports: [tcp/80]}",
	};

	env(bench, "prod")->two_key = true;
	for (size_t i = 0; i < 2; i++) {
		const struct ms_flow flow = flow_of(bench, &rows[i]);

		assert_string_equal(
			ms_decide(bench->policy, bench->inventory, &flow, NOW, bench->arena)
				.nearest,
			expected[i]);
	}
}

static void a_long_sentence_is_cut_and_outside_names_are_escaped(void **state)
{
	struct bench *bench = *state;
	char name[600];
	const struct ms_endpoint endpoint = {.name = name, .why = "w"};
	const struct ms_flow flow = {
		.src = {.kind = MS_PARTY_UNIDENTIFIED, .endpoint = &endpoint},
		.dst = party(bench, "prod/db"),
		.proto = IPPROTO_TCP,
		.port = 1,
	};

	memset(name, 'x', sizeof(name));
	memcpy(name + 3, "\n\033é", 4);
	name[sizeof(name) - 1] = '\0';
	const char *nearest =
		ms_decide(bench->policy, bench->inventory, &flow, NOW, bench->arena).nearest;
	assert_true(strlen(nearest) <= 500);
	assert_non_null(strstr(nearest, "xxx\\x0a\\x1bé"));
	assert_string_equal(nearest + strlen(nearest) - 3, "…");
}

static void reasons_and_verdicts_have_their_names(void **state)
{
	(void)state;
	static const char *const names[] = {"spoof", "unknown-port", "ethertype", "quarantine",
					    "limit", "never",	     "invalid",	  "unidentified",
					    "fence", "no-grant",     "bypass"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_string_equal(ms_reason_name((enum ms_reason)(i + 1)), names[i]);
		assert_int_equal(ms_reason_parse(names[i]), i + 1);
	}
	assert_null(ms_reason_name(MS_REASON_NONE));
	assert_int_equal(ms_reason_parse("nonsense"), MS_REASON_NONE);
	assert_string_equal(ms_verdict_name(MS_ALLOW), "allow");
	assert_string_equal(ms_verdict_name(MS_AUDIT), "audit");
	assert_string_equal(ms_verdict_name(MS_DENY), "deny");
}

#define bench_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(only_what_is_granted_passes),
		bench_test(host_and_net_need_a_grant_in_their_direction),
		bench_test(published_ports_open_for_outsiders_only_by_a_published_grant),
		bench_test(special_addresses_are_covered_by_no_cidr),
		bench_test(the_fence_stands_between_environments_and_the_stricter_mode_counts),
		bench_test(strangers_are_refused_and_the_stricter_mode_counts),
		bench_test(east_west_the_providers_mode_counts_and_a_service_has_its_own),
		bench_test(the_baseline_passes_for_everyone),
		bench_test(resolvers_answer_their_environment),
		bench_test(never_beats_grants_and_baseline),
		bench_test(a_crossing_lifts_the_fence_for_its_ports_and_grants_nothing),
		bench_test(two_keys_are_asked_for_by_either_environment),
		bench_test(an_exception_counts_as_both_keys_until_it_ends_and_lifts_no_fence),
		bench_test(nodes_are_peers_of_their_own),
		bench_test(the_hosts_own_traffic_is_never_ours),
		bench_test(without_a_policy_everything_of_ours_is_refused),
		bench_test(addresses_become_parties),
		bench_test(directions_are_seen_from_the_containers),
		bench_test(the_nearest_miss_can_be_pasted),
		bench_test(the_second_key_is_named_as_well),
		bench_test(a_long_sentence_is_cut_and_outside_names_are_escaped),
		cmocka_unit_test(reasons_and_verdicts_have_their_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
