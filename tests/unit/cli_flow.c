/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "flow.h"
#include "microseg/cleanup.h"

static const char policy_text[] = "apiVersion: microseg/v1\n"
				  "kind: Environments\n"
				  "identity: {env: [env], service: [service]}\n"
				  "unidentified: {mode: enforce}\n"
				  "environments: {prod: {mode: enforce, resolvers: [10.0.0.53]}}\n"
				  "---\n"
				  "apiVersion: microseg/v1\n"
				  "kind: Service\n"
				  "service: db\n"
				  "env: prod\n"
				  "ports: {pg: tcp/5432, many: tcp/1-9}\n"
				  "allow:\n"
				  "  - {from: self, ports: [pg]}\n";
static const char inventory_text[] =
	"apiVersion: microseg/v1\n"
	"kind: Inventory\n"
	"node: n\n"
	"hosts: [192.0.2.1]\n"
	"endpoints:\n"
	"  - {name: db-1, interface: veth7, addresses: [10.0.0.2], labels: {env: prod, service: db}}\n"
	"  - {name: borne-1, addresses: [10.0.0.4], labels: {env: prod, service: borne}}\n"
	"  - {name: stray, addresses: [10.0.0.3]}\n";

static struct ms_policy *policy;
static struct ms_inventory *inventory;
static struct flow_context context;

static int load(void **state)
{
	struct ms_policy_file file = {
		.name = "p.yaml", .bytes = policy_text, .size = sizeof(policy_text) - 1};
	struct ms_policy_file nodes = {
		.name = "i.yaml", .bytes = inventory_text, .size = sizeof(inventory_text) - 1};
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};

	(void)state;
	if (ms_diags_init(&diags) < 0 || ms_policy_load(&file, 1, 0, &diags, &policy) < 0 ||
	    ms_inventory_load(&nodes, &diags, &inventory) < 0)
		return -1;
	context = (struct flow_context){.policy = policy, .inventory = inventory};
	return ms_inventory_identify(inventory, policy);
}

static int unload(void **state)
{
	(void)state;
	ms_policy_free(policy);
	ms_inventory_free(inventory);
	return 0;
}

static void reads_ends_as_people_write_them(void **state)
{
	static const struct {
		const char *text, *printed;
	} cases[] = {
		{"prod/db", "prod/db"},
		{"prod/unheard-of", "prod/unheard-of"},
		{"db-1", "prod/db"},
		{"veth7", "prod/db"},
		{"10.0.0.2", "prod/db"},
		{"stray", "unidentified"},
		{"10.0.0.3", "unidentified"},
		{"unidentified", "unidentified"},
		{"host", "host"},
		{"192.0.2.1", "host"},
		{"node/b", "node/b"},
		{"198.51.100.7", "198.51.100.7 (net)"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(ms_str_fini) struct ms_str error = {0}, printed = {0};
		struct ms_party party;

		assert_int_equal(flow_parse_party(&context, cases[i].text, &party, &error), 0);
		flow_print_party(&party, &printed);
		assert_string_equal(printed.text, cases[i].printed);
	}
}

static void refuses_ends_it_does_not_know(void **state)
{
	static const struct {
		const char *text, *said;
	} cases[] = {
		{"prdo/db", "did you mean 'prod'?"},
		{"prod/", "no service name"},
		{"prod/self", "no service name"},
		{"nothing", "expected ENV/SERVICE"},
		{"", "has a name"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(ms_str_fini) struct ms_str error = {0};
		struct ms_party party;

		assert_int_equal(flow_parse_party(&context, cases[i].text, &party, &error),
				 -EINVAL);
		if (!strstr(error.text, cases[i].said))
			fail_msg("%s: %s", cases[i].text, error.text);
	}
}

static void doubts_a_service_that_nothing_knows(void **state)
{
	static const struct {
		const char *text, *said; /* NULL: nothing */
	} cases[] = {
		{"prod/dbb", "neither the policy nor an endpoint has the service prod/dbb; did you "
			     "mean 'prod/db'?"},
		{"prod/borne-1", "has the service prod/borne-1; did you mean 'prod/borne'?"},
		{"prod/quite-another",
		 "neither the policy nor an endpoint has the service prod/quite-another"},
		{"prod/db", NULL},
		{"prod/borne", NULL}, /* an endpoint has it */
		{"stray", NULL},
		{"host", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(ms_str_fini) struct ms_str error = {0}, doubt = {0};
		struct ms_party party;

		assert_int_equal(flow_parse_party(&context, cases[i].text, &party, &error), 0);
		flow_doubt_party(&context, &party, &doubt);
		if (!cases[i].said)
			assert_null(doubt.text);
		else if (!doubt.text || !strstr(doubt.text, cases[i].said))
			fail_msg("%s: %s", cases[i].text, doubt.text);
	}
}

static void reads_ports_and_the_destinations_own_names(void **state)
{
	static const struct {
		const char *text;
		int r, proto, port;
	} cases[] = {
		{"tcp/443", 0, 6, 443},	 {"icmp/8", 0, 1, 8},	   {"proto/47", 0, 47, 0},
		{"pg", 0, 6, 5432},	 {"many", -EINVAL, 0, 0},  {"tcp/1-9", -EINVAL, 0, 0},
		{"nope", -EINVAL, 0, 0}, {"tcp/0", -EINVAL, 0, 0},
	};
	struct ms_party db = {.kind = MS_PARTY_SERVICE, .env = "prod", .service = "db"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(ms_str_fini) struct ms_str error = {0};
		uint8_t proto = 0;
		uint16_t port = 0;

		assert_int_equal(
			flow_parse_port(&context, &db, cases[i].text, &proto, &port, &error),
			cases[i].r);
		assert_int_equal(proto, cases[i].proto);
		assert_int_equal(port, cases[i].port);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_ends_as_people_write_them),
		cmocka_unit_test(refuses_ends_it_does_not_know),
		cmocka_unit_test(doubts_a_service_that_nothing_knows),
		cmocka_unit_test(reads_ports_and_the_destinations_own_names),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
