/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ends, and quarantine: the verdict of each moment, and what it says. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "microseg/cleanup.h"
#include "microseg/compile.h"
#include "microseg/decide.h"

#define N(rows) (sizeof(rows) / sizeof((rows)[0]))
#define NOW 1000

static const char policy_text[] =
	"apiVersion: microseg/v1\n"
	"kind: Environments\n"
	"identity: {env: [env], service: [service]}\n"
	"unidentified: {mode: enforce}\n"
	"environments: {prod: {mode: enforce, resolvers: [10.0.0.9]}, dev: {mode: audit}}\n"
	"crossings:\n"
	"  - {from: dev/web, to: prod/db, ports: [tcp/81], until: 1970-01-01T00:33:20Z}\n"
	"---\n"
	"{apiVersion: microseg/v1, kind: Service, service: db, env: prod,\n"
	" allow: [{from: dev/web, ports: [tcp/81]}, {from: api, ports: [tcp/82]}]}\n"
	"---\n"
	"{apiVersion: microseg/v1, kind: Service, service: pay, env: prod, mode: enforce}\n"
	"---\n"
	"{apiVersion: microseg/v1, kind: Exception, id: short, from: prod/web, to: prod/db,\n"
	" ports: [tcp/80, tcp/82], until: 1970-01-01T00:33:20Z}\n"
	"---\n"
	"{apiVersion: microseg/v1, kind: Exception, id: long, from: prod/web, to: prod/db,\n"
	" ports: [tcp/80], until: 1970-01-01T00:50:00Z}\n";

static const char runtime_text[] =
	"{apiVersion: microseg/v1, kind: Relax, id: r1, of: prod/pay, until: 1970-01-01T00:50:00Z}\n"
	"---\n"
	"{apiVersion: microseg/v1, kind: Quarantine, id: q1, of: prod/bad, reason: INC-1}\n"
	"---\n"
	"{apiVersion: microseg/v1, kind: Quarantine, id: q2, of: api-2}\n";

static const char inventory_text[] =
	"apiVersion: microseg/v1\n"
	"kind: Inventory\n"
	"endpoints:\n"
	"  - {name: api-1, addresses: [10.0.0.1], labels: {env: prod, service: api}}\n"
	"  - {name: api-2, addresses: [10.0.0.2], labels: {env: prod, service: api}}\n"
	"  - {name: web-1, addresses: [10.0.0.3], labels: {env: prod, service: web}}\n"
	"  - {name: db-1, addresses: [10.0.0.4], labels: {env: prod, service: db}}\n"
	"  - {name: bad-1, addresses: [10.0.0.5], labels: {env: prod, service: bad}}\n"
	"  - {name: pay-1, addresses: [10.0.0.6], labels: {env: prod, service: pay}}\n"
	"  - {name: dev-1, addresses: [10.0.0.7], labels: {env: dev, service: web}}\n"
	"  - {name: devbox, addresses: [10.0.0.8], labels: {env: dev, service: db}}\n";

static struct {
	struct ms_policy *policy;
	struct ms_inventory *inventory;
	struct ms_arena *arena;
} fixture;

static int set_up(void **state)
{
	const struct ms_policy_file files[] = {
		{.name = "p.yaml", .bytes = policy_text, .size = sizeof(policy_text) - 1},
		{.name = "runtime",
		 .bytes = runtime_text,
		 .size = sizeof(runtime_text) - 1,
		 .runtime = true},
	};
	const struct ms_policy_file inventory = {
		.name = "i.yaml", .bytes = inventory_text, .size = sizeof(inventory_text) - 1};
	struct ms_diags diags;

	(void)state;
	assert_int_equal(ms_diags_init(&diags), 0);
	assert_int_equal(ms_policy_load(files, 2, NOW, &diags, &fixture.policy), 0);
	assert_int_equal(ms_inventory_load(&inventory, &diags, &fixture.inventory), 0);
	assert_int_equal(ms_inventory_identify(fixture.inventory, fixture.policy), 0);
	fixture.arena = ms_arena_new();
	ms_diags_fini(&diags);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	ms_inventory_free(fixture.inventory);
	ms_policy_free(fixture.policy);
	ms_arena_free(fixture.arena);
	return 0;
}

static struct ms_decision ask(const char *src, const char *dst, uint16_t port, time_t now)
{
	struct ms_flow flow = {.proto = IPPROTO_TCP, .port = port};
	struct ms_addr addr;

	assert_int_equal(ms_addr_parse(src, &addr), 0);
	flow.src = ms_party_of_addr(fixture.policy, fixture.inventory, &addr, false);
	assert_int_equal(ms_addr_parse(dst, &addr), 0);
	flow.dst = ms_party_of_addr(fixture.policy, fixture.inventory, &addr, false);
	return ms_decide(fixture.policy, fixture.inventory, &flow, now, fixture.arena);
}

static void each_moment_has_its_verdict(void **state)
{
	static const struct {
		const char *src, *dst;
		uint16_t port;
		time_t at;
		enum ms_verdict verdict;
		enum ms_reason reason;
		uint32_t line; /* of what decided; 0: of nothing */
		const char *nearest;
	} rows[] = {
		/* of two exceptions the one that lasts longer */
		{"10.0.0.3", "10.0.0.4", 80, 1999, MS_ALLOW, MS_REASON_NONE, 17, NULL},
		{"10.0.0.3", "10.0.0.4", 80, 2999, MS_ALLOW, MS_REASON_NONE, 17, NULL},
		{"10.0.0.3", "10.0.0.4", 80, 3000, MS_DENY, MS_REASON_NO_GRANT, 0, "prod/db"},
		{"10.0.0.3", "10.0.0.4", 82, 1999, MS_ALLOW, MS_REASON_NONE, 14, NULL},
		{"10.0.0.3", "10.0.0.4", 82, 2000, MS_DENY, MS_REASON_NO_GRANT, 0, "api only"},
		{"10.0.0.7", "10.0.0.4", 81, 1999, MS_ALLOW, MS_REASON_NONE, 10, NULL},
		{"10.0.0.7", "10.0.0.4", 81, 2000, MS_DENY, MS_REASON_FENCE, 0,
		 "has ended (p.yaml:7)"},
		/* a relax counts for the provider, whatever its document says */
		{"10.0.0.3", "10.0.0.6", 80, 2999, MS_AUDIT, MS_REASON_NO_GRANT, 0, "prod/pay"},
		{"10.0.0.3", "10.0.0.6", 80, 3000, MS_DENY, MS_REASON_NO_GRANT, 0, "prod/pay"},
		{"10.0.0.6", "10.0.0.4", 80, 2999, MS_DENY, MS_REASON_NO_GRANT, 0, "prod/db"},
		/* at a fence both ends must be in audit */
		{"10.0.0.6", "10.0.0.8", 80, 2999, MS_AUDIT, MS_REASON_FENCE, 0, "dev"},
		{"10.0.0.6", "10.0.0.8", 80, 3000, MS_DENY, MS_REASON_FENCE, 0, "dev"},
		/* quarantine: of a service, of one endpoint, against grants and audit */
		{"10.0.0.5", "10.0.0.4", 80, NOW, MS_DENY, MS_REASON_QUARANTINE, 3,
		 "prod/bad is in quarantine (INC-1): nothing passes until microseg quarantine "
		 "remove prod/bad"},
		{"10.0.0.3", "10.0.0.5", 80, NOW, MS_DENY, MS_REASON_QUARANTINE, 3,
		 "remove prod/bad"},
		{"10.0.0.2", "10.0.0.4", 82, NOW, MS_DENY, MS_REASON_QUARANTINE, 5, "remove api-2"},
		{"10.0.0.1", "10.0.0.4", 82, NOW, MS_ALLOW, MS_REASON_NONE, 10, NULL},
		{"10.0.0.5", "10.0.0.6", 80, NOW, MS_DENY, MS_REASON_QUARANTINE, 3, "prod/bad"},
		{"10.0.0.5", "198.51.100.1", 80, NOW, MS_DENY, MS_REASON_QUARANTINE, 3, "prod/bad"},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct ms_decision d = ask(rows[i].src, rows[i].dst, rows[i].port, rows[i].at);
		uint32_t line = d.policy ? d.policy->line : 0;

		if (d.verdict != rows[i].verdict || d.reason != rows[i].reason ||
		    line != rows[i].line)
			fail_msg("row %zu: %s %s line %u", i, ms_verdict_name(d.verdict),
				 ms_reason_name(d.reason) ?: "-", line);
		if (rows[i].nearest && !(d.nearest && strstr(d.nearest, rows[i].nearest)))
			fail_msg("row %zu: '%s' is not in '%s'", i, rows[i].nearest,
				 d.nearest ? d.nearest : "");
	}
}

static void the_next_end_is_the_earliest_to_come(void **state)
{
	(void)state;
	assert_int_equal(ms_compile_next_end(fixture.policy, NOW), 2000);
	assert_int_equal(ms_compile_next_end(fixture.policy, 1999), 2000);
	assert_int_equal(ms_compile_next_end(fixture.policy, 2000), 2060); /* its records */
	assert_int_equal(ms_compile_next_end(fixture.policy, 2060), 3000);
	assert_int_equal(ms_compile_next_end(fixture.policy, 3060), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_moment_has_its_verdict),
		cmocka_unit_test(the_next_end_is_the_earliest_to_come),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
