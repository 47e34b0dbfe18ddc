/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/inventory.h"

#define HEAD "apiVersion: microseg/v1\nkind: Inventory\nnode: node-a\n"

static const char policy_text[] =
	"apiVersion: microseg/v1\n"
	"kind: Environments\n"
	"identity:\n"
	"  env: [env, stage]\n"
	"  service: [service, project+component]\n"
	"unidentified: {mode: enforce}\n"
	"environments:\n"
	"  prod: {mode: enforce}\n"
	"  dev: {mode: audit, match: {network: [dev, \"dev-*\"]}}\n"
	"  lab: {mode: audit, match: {address: [10.9.0.0/16], labels: {team: [red, \"blue*\"], floor: [\"1\"]}}}\n"
	"  far: {mode: audit, match: {address: [10.9.1.0/24]}}\n"
	"---\n"
	"apiVersion: microseg/v1\n"
	"kind: Service\n"
	"service: web\n"
	"env: [prod, dev]\n"
	"match: {name: \"web-*\"}\n"
	"---\n"
	"apiVersion: microseg/v1\n"
	"kind: Service\n"
	"service: db\n"
	"env: [prod, dev]\n"
	"match: {image: [\"postgres:*\"], runtime: docker}\n";

static struct ms_policy *load_policy(void)
{
	const struct ms_policy_file file = {"env.yaml", policy_text, sizeof(policy_text) - 1};
	struct ms_policy *policy = NULL;
	struct ms_diags diags;

	assert_int_equal(ms_diags_init(&diags), 0);
	int r = ms_policy_load(&file, 1, 0, &diags, &policy);
	if (r < 0) {
		struct ms_str text = {0};

		ms_diags_print(&diags, &text, false);
		fail_msg("%s", text.text);
	}
	ms_diags_fini(&diags);
	return policy;
}

/* Loads @text; NULL when it is refused, with the diagnostics printed into @errors. */
static struct ms_inventory *load(const char *text, struct ms_str *errors)
{
	const struct ms_policy_file file = {"inventory.yaml", text, strlen(text)};
	struct ms_inventory *inventory = NULL;
	struct ms_diags diags;

	assert_int_equal(ms_diags_init(&diags), 0);
	int r = ms_inventory_load(&file, &diags, &inventory);
	assert_true(r == 0 || r == -EINVAL);
	assert_int_equal(r == 0, inventory != NULL);
	assert_int_equal(r == 0, diags.n_errors == 0);
	if (errors)
		ms_diags_print(&diags, errors, false);
	ms_diags_fini(&diags);
	return inventory;
}

static struct ms_inventory *load_good(const char *text)
{
	_cleanup_(ms_str_fini) struct ms_str errors = {0};
	struct ms_inventory *inventory = load(text, &errors);

	if (!inventory)
		fail_msg("%s", errors.text);
	return inventory;
}

static struct ms_addr addr(const char *text)
{
	struct ms_addr parsed;

	assert_int_equal(ms_addr_parse(text, &parsed), 0);
	return parsed;
}

static void identity_comes_from_labels_then_match_and_never_from_a_contradiction(void **state)
{
	(void)state;
	static const struct {
		const char *endpoint; /* further keys of the endpoint named "c" */
		const char *identity;
		const char *why; /* a part of it */
	} rows[] = {
		{"labels: {env: prod, service: api}", "prod/api", NULL},
		{"labels: {stage: prod, service: api}", "prod/api", NULL},
		{"labels: {env: prod, stage: dev, service: api}", "prod/api", NULL},
		{"labels: {env: prod, project: shop, component: api}", "prod/shop-api", NULL},
		{"labels: {env: prod, service: api, project: shop, component: x}", "prod/api",
		 NULL},
		{"labels: {env: prod, project: shop}", "unidentified",
		 "label service or project+component is missing"},
		{"labels: {service: api}", "unidentified",
		 "label env or stage is missing and no environment's match fits"},
		{"labels: {a: b}", "unidentified",
		 "is missing and no environment's match fits; label service"},
		{"labels: {env: prd, service: api}", "unidentified",
		 "label env says 'prd', and env.yaml declares no such"},
		{"labels: {env: prod, service: 9lives}", "unidentified",
		 "label service says '9lives', which is no name"},
		{"labels: {env: prod, service: any}", "unidentified",
		 "label service says 'any', which is no name"},
		{"labels: {env: prod, service: \"\"}", "unidentified", "label service says ''"},
		{"network: dev, labels: {service: api}", "dev/api", NULL},
		{"network: dev-7, labels: {env: dev, service: api}", "dev/api", NULL},
		{"network: other, bridge: dev-1, labels: {service: api}", "dev/api", NULL},
		{"network: shop, labels: {env: dev, service: api}", "unidentified",
		 "label env says dev, and dev (env.yaml:9) takes only what its match fits"},
		{"network: dev, labels: {env: prod, service: api}", "unidentified",
		 "label env says prod, and the match of dev (env.yaml:9) fits it"},
		{"addresses: [10.9.0.1], labels: {team: red, floor: \"1\", service: api}",
		 "lab/api", NULL},
		{"addresses: [10.9.0.1], labels: {team: blueish, floor: \"1\", service: api}",
		 "lab/api", NULL},
		{"addresses: [10.9.0.1], labels: {team: green, floor: \"1\", service: api}",
		 "unidentified", "label env"},
		{"addresses: [10.9.0.1], labels: {team: red, service: api}", "unidentified",
		 "label env"},
		{"addresses: [10.9.1.1], labels: {team: red, floor: \"1\", service: api}",
		 "unidentified",
		 "the match of two environments fits it: far (env.yaml:11) and lab (env.yaml:10)"},
		{"addresses: [10.9.1.1], labels: {env: lab, team: red, floor: \"1\", service: api}",
		 "unidentified", "the match of two environments fits it"},
		{"image: \"postgres:15\", runtime: docker, labels: {env: prod}", "prod/db", NULL},
		{"image: \"postgres:15\", labels: {env: prod}", "unidentified", "label service"},
		{"image: \"postgres:15\", runtime: docker, labels: {env: prod, service: db}",
		 "prod/db", NULL},
		{"image: \"postgres:15\", runtime: docker, labels: {env: prod, service: api}",
		 "unidentified", "label service says 'api', and the match of prod/db"},
		{"image: \"redis:1\", runtime: docker, labels: {env: prod, service: db}", "prod/db",
		 NULL},
		{"image: \"postgres:15\", runtime: docker, network: dev", "dev/db", NULL},
		{"image: \"postgres:15\", runtime: docker", "unidentified",
		 "label env or stage is missing"},
		{"labels: {env: prod}", "unidentified",
		 "is missing and no service's match in prod fits"},
	};
	_cleanup_(ms_policy_freep) struct ms_policy *policy = load_policy();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_(ms_str_fini) struct ms_str text = {0};

		ms_str_addf(&text, HEAD "endpoints:\n  - {name: c, %s%s}\n",
			    strstr(rows[i].endpoint, "addresses") ? "" : "addresses: [10.0.0.1], ",
			    rows[i].endpoint);
		_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = load_good(text.text);
		const struct ms_endpoint *c = &inventory->endpoints.items[0];

		assert_int_equal(ms_inventory_identify(inventory, policy), 0);
		assert_string_equal(c->identity, rows[i].identity);
		assert_int_equal(c->state,
				 rows[i].why ? MS_ENDPOINT_UNIDENTIFIED : MS_ENDPOINT_IDENTIFIED);
		assert_int_equal(c->env == NULL || c->service == NULL, rows[i].why != NULL);
		if (rows[i].why && !strstr(c->why, rows[i].why))
			fail_msg("row %zu: why is \"%s\", not \"%s\"", i, c->why, rows[i].why);
		if (!rows[i].why)
			assert_null(c->why);
	}
}

static void two_services_that_match_make_it_unidentified(void **state)
{
	(void)state;
	_cleanup_(ms_policy_freep) struct ms_policy *policy = load_policy();
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = load_good(
		HEAD
		"endpoints:\n"
		"  - {name: web-1, addresses: [10.0.0.1], labels: {env: prod}}\n"
		"  - {name: web-2, addresses: [10.0.0.2], image: \"postgres:1\", runtime: docker, "
		"labels: {env: prod}}\n");

	assert_int_equal(ms_inventory_identify(inventory, policy), 0);
	assert_string_equal(inventory->endpoints.items[0].identity, "prod/web");
	assert_string_equal(inventory->endpoints.items[1].identity, "unidentified");
	assert_non_null(strstr(inventory->endpoints.items[1].why,
			       "the match of two services fits it: prod/db (env.yaml:"));
}

static void containers_of_one_namespace_must_agree(void **state)
{
	(void)state;
	static const struct {
		const char *workloads;
		const char *identity;
		const char *why;
	} rows[] = {
		{"{name: d}", "prod/api", NULL},
		{"{name: d, labels: {env: prod, service: api}}", "prod/api", NULL},
		{"{name: d, labels: {env: prod}}", "prod/api", NULL},
		{"{name: d, labels: {env: prod, service: db}}", "unidentified",
		 "c is prod/api and d is prod/db, in one network namespace"},
		{"{name: d}, {name: e, labels: {env: prod, service: db}}", "unidentified",
		 "c is prod/api and e is prod/db"},
		{"{name: a, labels: {service: db}}", "unidentified", "c is prod/api and a is ?/db"},
		{"{name: d, labels: {env: nowhere}}", "unidentified",
		 "d: label env says 'nowhere'"},
	};
	_cleanup_(ms_policy_freep) struct ms_policy *policy = load_policy();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_(ms_str_fini) struct ms_str text = {0};

		ms_str_addf(
			&text,
			HEAD
			"endpoints:\n  - {name: c, addresses: [10.0.0.1], labels: {env: prod, service: api}, "
			"workloads: [%s]}\n",
			rows[i].workloads);
		_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = load_good(text.text);

		assert_int_equal(ms_inventory_identify(inventory, policy), 0);
		assert_string_equal(inventory->endpoints.items[0].identity, rows[i].identity);
		if (rows[i].why)
			assert_non_null(strstr(inventory->endpoints.items[0].why, rows[i].why));
	}
}

static void half_an_identity_from_each_container_is_none(void **state)
{
	(void)state;
	_cleanup_(ms_policy_freep) struct ms_policy *policy = load_policy();
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = load_good(
		HEAD "endpoints:\n  - {name: c, addresses: [10.0.0.1], labels: {env: prod}, "
		     "workloads: [{name: d, labels: {service: api}}]}\n");

	assert_int_equal(ms_inventory_identify(inventory, policy), 0);
	assert_string_equal(inventory->endpoints.items[0].identity, "unidentified");
}

static void an_address_held_twice_identifies_neither(void **state)
{
	(void)state;
	_cleanup_(ms_policy_freep) struct ms_policy *policy = load_policy();
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = load_good(
		HEAD
		"hosts: [192.0.2.1]\n"
		"endpoints:\n"
		"  - {name: a, addresses: [10.0.0.1, \"fd00::7\"], labels: {env: prod, service: api}}\n"
		"  - {name: b, addresses: [10.0.0.2, \"fd00::7\"], labels: {env: prod, service: api}}\n"
		"  - {name: c, addresses: [10.0.0.3, \"fe80::1\"], labels: {env: prod, service: api}}\n"
		"  - {name: d, addresses: [10.0.0.4, \"fe80::1\"], labels: {env: prod, service: api}}\n"
		"  - {name: e, addresses: [192.0.2.1], labels: {env: prod, service: api}}\n");
	const struct ms_endpoint *e = inventory->endpoints.items;
	struct ms_addr twice = addr("fd00::7"), once = addr("10.0.0.1"),
		       link_local = addr("fe80::1");

	assert_int_equal(ms_inventory_identify(inventory, policy), 0);
	assert_string_equal(e[0].identity, "unidentified");
	assert_string_equal(e[0].why, "address fd00::7 is also held by endpoint b ");
	assert_string_equal(e[1].why, "address fd00::7 is also held by endpoint a ");
	assert_string_equal(e[2].identity, "prod/api");
	assert_string_equal(e[3].identity, "prod/api");
	assert_string_equal(e[4].why, "address 192.0.2.1 is also this host's own");
	assert_null(ms_inventory_by_addr(inventory, &twice));
	assert_null(ms_inventory_by_addr(inventory, &link_local));
	assert_ptr_equal(ms_inventory_by_addr(inventory, &once), &e[0]);
}

static void pending_endpoints_and_no_policy_identify_nobody(void **state)
{
	(void)state;
	_cleanup_(ms_policy_freep) struct ms_policy *policy = load_policy();
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = load_good(
		HEAD
		"endpoints:\n  - {name: a, addresses: [10.0.0.1], labels: {env: prod, service: api}}\n");
	struct ms_endpoint *a = &inventory->endpoints.items[0];

	assert_int_equal(ms_inventory_identify(inventory, NULL), 0);
	assert_int_equal(a->state, MS_ENDPOINT_UNIDENTIFIED);
	assert_string_equal(a->why, "there is no policy");
	a->pending = true;
	assert_int_equal(ms_inventory_identify(inventory, policy), 0);
	assert_int_equal(a->state, MS_ENDPOINT_PENDING);
	assert_string_equal(a->identity, "unidentified");
	a->pending = false;
	assert_int_equal(ms_inventory_identify(inventory, policy), 0);
	assert_string_equal(a->identity, "prod/api");
}

static void what_is_not_covered_says_who_it_would_be(void **state)
{
	static const struct {
		const char *env_label, *network, *env, *service;
	} rows[] = {
		{"prod", "", "prod", "web"},
		{NULL, "dev-lan", "dev", "web"},
		{"prod", "dev", NULL, NULL}, /* they contradict each other */
		{NULL, "", NULL, NULL},
	};
	struct ms_policy *policy = load_policy();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_inventory *inventory = ms_inventory_new();
		struct ms_endpoint endpoint = {.name = "web-1", .network = rows[i].network};
		struct ms_workload workload = {.name = "web-1"};
		struct ms_uncovered uncovered = {.what = "container web-1", .reason = "because"};

		endpoint.interface = endpoint.bridge = "";
		workload.id = workload.runtime = workload.image = "";
		if (rows[i].env_label)
			assert_int_equal(
				ms_avec_push(inventory->arena, &workload.labels,
					     ((struct ms_label){"env", rows[i].env_label})),
				0);
		assert_int_equal(ms_avec_push(inventory->arena, &endpoint.workloads, workload), 0);
		uncovered.container = &endpoint;
		assert_int_equal(ms_avec_push(inventory->arena, &inventory->uncovered, uncovered),
				 0);
		assert_int_equal(ms_inventory_identify(inventory, policy), 0);
		if (rows[i].env)
			assert_string_equal(inventory->uncovered.items[0].env, rows[i].env);
		else
			assert_null(inventory->uncovered.items[0].env);
		if (rows[i].service)
			assert_string_equal(inventory->uncovered.items[0].service, rows[i].service);
		assert_int_equal(ms_inventory_identify(inventory, NULL), 0);
		assert_null(inventory->uncovered.items[0].env);
		ms_inventory_free(inventory);
	}
	ms_policy_free(policy);
}

static void only_a_contradiction_is_a_conflict(void **state)
{
	static const struct {
		const char *labels;
		bool conflict;
	} rows[] = {
		{"{env: prod, service: web}", false},
		{"{env: prod}", false},		    /* something is missing */
		{"{env: prod, service: db}", true}, /* its name says web */
		{"{env: moon, service: web}", true},
	};
	struct ms_policy *policy = load_policy();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_str text = {0};

		ms_str_addf(&text,
			    HEAD "endpoints:\n  - {name: %s, addresses: [10.0.0.1], labels: %s}\n",
			    i == 1 ? "lonely" : "web-1", rows[i].labels);
		struct ms_inventory *inventory = load_good(text.text);
		assert_int_equal(ms_inventory_identify(inventory, policy), 0);
		if (inventory->endpoints.items[0].conflict != rows[i].conflict)
			fail_msg("row %zu: %s", i, inventory->endpoints.items[0].why);
		ms_inventory_free(inventory);
		ms_str_fini(&text);
	}
	ms_policy_free(policy);
}

static void a_snapshot_is_the_same_in_whatever_order_it_was_filled(void **state)
{
	(void)state;
	struct ms_str texts[2] = {{0}};
	const struct ms_workload w[2] = {
		{.name = "w1", .id = "1", .runtime = "docker", .image = "i"},
		{.name = "w2", .id = "2", .runtime = "docker", .image = "i"},
	};

	for (size_t turn = 0; turn < 2; turn++) {
		_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = ms_inventory_new();
		struct ms_arena *arena = inventory->arena;

		for (size_t i = 0; i < 3; i++) {
			size_t n = turn ? 2 - i : i;
			struct ms_endpoint endpoint = {
				.interface = ms_arena_printf(arena, "veth%zu", n)};

			ms_avec_push(arena, &endpoint.addrs, addr(n ? "10.0.0.2" : "10.0.0.1"));
			ms_avec_push(arena, &endpoint.addrs, addr(turn ? "fd00::1" : "10.0.0.0"));
			ms_avec_push(arena, &endpoint.addrs, addr(turn ? "10.0.0.0" : "fd00::1"));
			ms_avec_push(arena, &endpoint.addrs, addr("fd00::1"));
			ms_avec_push(arena, &endpoint.workloads, w[turn]);
			ms_avec_push(arena, &endpoint.workloads, w[1 - turn]);
			ms_avec_push(arena, &inventory->endpoints, endpoint);
			ms_avec_push(arena, &inventory->hosts,
				     addr(i == turn ? "192.0.2.1" : "192.0.2.2"));
		}
		ms_inventory_canonicalize(inventory);
		assert_int_equal(inventory->hosts.n_items, 2);
		assert_string_equal(inventory->endpoints.items[0].name, "w1");
		assert_string_equal(inventory->endpoints.items[2].interface, "veth2");
		assert_int_equal(inventory->endpoints.items[0].addrs.n_items, 3);
		assert_ptr_equal(ms_inventory_by_interface(inventory, "veth1"),
				 &inventory->endpoints.items[1]);
		assert_null(ms_inventory_by_interface(inventory, "veth9"));
		assert_null(ms_inventory_by_interface(inventory, ""));
		ms_inventory_print(inventory, &texts[turn]);
	}
	assert_string_equal(texts[0].text, texts[1].text);
	ms_str_fini(&texts[0]);
	ms_str_fini(&texts[1]);
}

static void a_static_inventory_fills_in_what_a_node_would_know(void **state)
{
	(void)state;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = load_good(
		HEAD
		"hosts: [192.0.2.1]\n"
		"bridges: [{name: shop, addresses: [10.0.0.254/24, \"fd00::fe\"]}]\n"
		"endpoints:\n"
		"  - {name: a, interface: veth0, network: shop, addresses: [10.0.0.1]}\n"
		"  - {name: b, interface: veth1, network: a-network-with-a-long-name, addresses: [10.1.0.1]}\n"
		"  - {name: c, interface: ext0, addresses: [10.2.0.1], mac: \"02:42:0a:00:00:05\"}\n");
	const struct ms_endpoint *ext0 = ms_inventory_by_interface(inventory, "ext0");
	const struct ms_endpoint *veth1 = ms_inventory_by_interface(inventory, "veth1");
	const struct ms_managed_link *shop = ms_inventory_link(inventory, "shop");
	struct ms_addr gateway = addr("10.0.0.254"), own = addr("192.0.2.1"),
		       other = addr("192.0.2.2");
	char mac[MS_MAC_TEXT_SIZE];

	assert_string_equal(inventory->node, "node-a");
	assert_int_equal(inventory->links.n_items, 3);
	assert_true(shop->bridge);
	assert_int_equal(shop->addrs.n_items, 2);
	assert_true(ms_inventory_is_host(inventory, &gateway));
	assert_true(ms_inventory_is_host(inventory, &own));
	assert_false(ms_inventory_is_host(inventory, &other));
	assert_string_equal(ms_inventory_by_interface(inventory, "veth0")->bridge, "shop");
	assert_memory_equal(veth1->bridge, "br-", 3);
	assert_int_equal(strlen(veth1->bridge), 15);
	assert_true(ms_inventory_link(inventory, veth1->bridge)->bridge);
	assert_string_equal(ext0->bridge, "");
	assert_false(ms_inventory_link(inventory, "ext0")->bridge);
	assert_string_equal(ms_mac_format(&ext0->mac, mac), "02:42:0a:00:00:05");
	assert_true(ext0->ready);
	assert_false(ext0->pending);
	assert_string_equal(ext0->workloads.items[0].runtime, "static");

	size_t n_extra = 0;
	ms_vec_each (const char *, pattern, &inventory->patterns)
		n_extra += strcmp(*pattern, "shop") == 0 || strcmp(*pattern, "ext0") == 0;
	assert_int_equal(n_extra, 2);
}

static void every_mistake_in_a_file_is_reported_with_its_place(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *error; /* a part of what is printed */
	} rows[] = {
		{"", "there is no Inventory document [no-document]"},
		{"- a\n",
		 "inventory.yaml:1:1: error: an Inventory document must be a mapping, not a list [wrong-type]"},
		{HEAD "endpoints: []\nnodes: x\n",
		 "inventory.yaml:5:1: error: unknown key 'nodes' [unknown-key]"},
		{HEAD "endpoints: []\nnodes: x\n", "did you mean 'node'?"},
		{HEAD "endpoints: []\nzzz: x\n", "expected one of: apiVersion, kind"},
		{HEAD "endpoints: []\nnode: x\n", "[duplicate-key]"},
		{"kind: Inventory\nendpoints: []\n", "lacks the key 'apiVersion'"},
		{HEAD, "an Inventory document lacks the key 'endpoints' [missing-key]"},
		{"apiVersion: v2\nkind: Inventory\nendpoints: []\n",
		 "1:13: error: unknown apiVersion 'v2' [bad-version]"},
		{"apiVersion: microseg/v1\nkind: Service\nendpoints: []\n",
		 "2:7: error: 'Service' is not an inventory [bad-kind]"},
		{HEAD "endpoints: {}\n", "endpoints must be a list, not a mapping"},
		{HEAD "endpoints: [{name: a, addresses: [10.0.0.300]}]\n",
		 "'10.0.0.300' is not an address [bad-address]"},
		{HEAD "endpoints: [{name: a, addresses: [10.0.0.1/24]}]\n",
		 "'10.0.0.1/24' is not an address"},
		{HEAD "endpoints: [{name: a, addresses: [224.0.0.1]}]\n",
		 "cannot be the address of an interface"},
		{HEAD "endpoints: [{name: a, addresses: [\"::1\"]}]\n",
		 "cannot be the address of an interface"},
		{HEAD "endpoints: [{name: a, addresses: 10.0.0.1}]\n",
		 "addresses must be a list, not a text"},
		{HEAD "endpoints: [{name: a}]\n", "an endpoint lacks the key 'addresses'"},
		{HEAD "endpoints: [{addresses: []}]\n", "an endpoint lacks the key 'name'"},
		{HEAD "endpoints: [{name: a, addresses: [], mac: x}]\n",
		 "'x' is not a MAC address [bad-mac]"},
		{HEAD "endpoints: [{name: a, addresses: [], interface: a/b}]\n",
		 "'a/b' cannot be the name of an interface"},
		{HEAD "endpoints: [{name: a, addresses: [], interface: abcdefghijklmnop}]\n",
		 "[bad-interface]"},
		{HEAD "endpoints: [{name: a, addresses: [], labels: [x]}]\n",
		 "labels must be a mapping, not a list"},
		{HEAD "endpoints: [{name: a, addresses: [], labels: {x: [y]}}]\n",
		 "the value of a label must be a text"},
		{HEAD
		 "endpoints: [{name: a, addresses: [], interface: v1}, {name: b, addresses: [], interface: v1}]\n",
		 "endpoint 'b' has interface v1, as 'a' has [duplicate-interface]"},
		{HEAD "endpoints: []\nhost_macs: [x]\n", "'x' is not a MAC address"},
		{HEAD "endpoints: []\nskipped: br-lan\n", "skipped must be a list"},
		{HEAD "endpoints: []\npatterns: [[a]]\n", "patterns must be a text"},
		{HEAD "endpoints: []\nbridges: [{name: b}, {name: b}]\n",
		 "bridge 'b' stands twice [duplicate-bridge]"},
		{HEAD "endpoints: []\nbridges: [{name: b, addresses: [10.0.0.0.1/24]}]\n",
		 "'10.0.0.0.1/24' is not an address"},
		{HEAD "endpoints: [{name: a, addresses: [], workloads: [{id: x}]}]\n",
		 "a workload lacks the key 'name'"},
		{HEAD "endpoints: []\n---\n" HEAD "endpoints: []\n",
		 "a second document: an inventory file holds one node [second-document]"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		_cleanup_(ms_str_fini) struct ms_str errors = {0};

		assert_null(load(rows[i].text, &errors));
		if (!strstr(errors.text ? errors.text : "", rows[i].error))
			fail_msg("row %zu: \"%s\" is not in:\n%s", i, rows[i].error, errors.text);
	}
}

static void all_errors_of_a_file_are_reported_at_once(void **state)
{
	(void)state;
	_cleanup_(ms_str_fini) struct ms_str errors = {0};

	assert_null(load(HEAD "hosts: [x]\nendpoints: [{name: a, addresses: [y], foo: bar}]\n",
			 &errors));
	assert_non_null(strstr(errors.text, "'x' is not an address"));
	assert_non_null(strstr(errors.text, "'y' is not an address"));
	assert_non_null(strstr(errors.text, "unknown key 'foo'"));
}

static void what_is_printed_reads_back_the_same(void **state)
{
	(void)state;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = load_good(
		HEAD
		"hosts: [192.0.2.1, \"2001:db8::1\"]\n"
		"patterns: [\"br-*\", \"veth*\", eth7]\n"
		"skipped: [br-lan]\n"
		"host_macs: [\"02:42:00:00:00:02\", \"02:42:00:00:00:01\"]\n"
		"bridges: [{name: br-a, addresses: [10.0.0.254/24]}, {name: br-empty}]\n"
		"endpoints:\n"
		"  - name: \"odd \\\"name\\\" \\\\ \\x07 é: #\"\n"
		"    interface: veth0\n"
		"    network: shop\n"
		"    bridge: br-a\n"
		"    mac: \"02:42:0a:00:00:05\"\n"
		"    addresses: [10.0.0.5, \"fd00::5\", \"fe80::5\"]\n"
		"    image: \"a:b\"\n"
		"    id: abc\n"
		"    runtime: docker\n"
		"    labels: {\"a.b/c\": \"x y\", empty: \"\", yes: no}\n"
		"    workloads: [{name: a-sidecar, image: z, labels: {k: v}}]\n"
		"  - {name: off-node, addresses: []}\n"
		"  - {name: routed, interface: veth9, network: shop, bridge: \"\", addresses: [10.1.0.1]}\n");
	_cleanup_(ms_str_fini) struct ms_str first = {0}, second = {0};

	ms_inventory_print(inventory, &first);
	_cleanup_(ms_inventory_freep) struct ms_inventory *again = load_good(first.text);
	ms_inventory_print(again, &second);
	assert_string_equal(first.text, second.text);
	assert_int_equal(again->patterns.n_items, 3);
	assert_string_equal(again->patterns.items[1], "eth7");
	assert_string_equal(again->skipped.items[0], "br-lan");
	assert_int_equal(again->host_macs.n_items, 2);
	assert_int_equal(again->host_macs.items[0].bytes[5], 1);
	assert_int_equal(again->endpoints.n_items, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct ms_endpoint *a = &inventory->endpoints.items[i],
					 *b = &again->endpoints.items[i];

		assert_string_equal(a->name, b->name);
		assert_string_equal(a->bridge, b->bridge);
		assert_int_equal(a->addrs.n_items, b->addrs.n_items);
		assert_int_equal(a->workloads.n_items, b->workloads.n_items);
	}
	assert_string_equal(again->endpoints.items[1].name, "odd \"name\" \\ \x07 é: #");
	assert_int_equal(again->endpoints.items[1].workloads.n_items, 2);
}

static void states_have_names(void **state)
{
	(void)state;
	assert_string_equal(ms_endpoint_state_name(MS_ENDPOINT_PENDING), "pending");
	assert_string_equal(ms_endpoint_state_name(MS_ENDPOINT_UNIDENTIFIED), "unidentified");
	assert_string_equal(ms_endpoint_state_name(MS_ENDPOINT_IDENTIFIED), "identified");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			identity_comes_from_labels_then_match_and_never_from_a_contradiction),
		cmocka_unit_test(two_services_that_match_make_it_unidentified),
		cmocka_unit_test(containers_of_one_namespace_must_agree),
		cmocka_unit_test(half_an_identity_from_each_container_is_none),
		cmocka_unit_test(an_address_held_twice_identifies_neither),
		cmocka_unit_test(pending_endpoints_and_no_policy_identify_nobody),
		cmocka_unit_test(what_is_not_covered_says_who_it_would_be),
		cmocka_unit_test(only_a_contradiction_is_a_conflict),
		cmocka_unit_test(a_snapshot_is_the_same_in_whatever_order_it_was_filled),
		cmocka_unit_test(a_static_inventory_fills_in_what_a_node_would_know),
		cmocka_unit_test(every_mistake_in_a_file_is_reported_with_its_place),
		cmocka_unit_test(all_errors_of_a_file_are_reported_at_once),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(states_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
