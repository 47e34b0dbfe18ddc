/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/lint.h"
#include "policy/load.h"

#define N(rows) (sizeof(rows) / sizeof((rows)[0]))
#define NOW ((time_t)1796083200) /* 2026-12-01T00:00:00Z */

/* Ten lines; what a row adds to the Environments document begins on line 11. */
#define FRAME                                                                                      \
	"apiVersion: microseg/v1\n"                                                                \
	"kind: Environments\n"                                                                     \
	"unidentified: {mode: enforce}\n"                                                          \
	"environments:\n"                                                                          \
	"  prod: {two_key: true, resolvers: [gateway]}\n"                                          \
	"  dev: {resolvers: [gateway]}\n"                                                          \
	"  qa: {mode: audit}\n"                                                                    \
	"identity: {service: [io.microseg.service, com.docker.compose.service]}\n"                 \
	"nodes: {node-a: [192.0.2.1], node-b: [192.0.2.2]}\n"                                      \
	"nets: {office: [10.20.0.0/16]}\n"

#define SERVICE(name, env)                                                                         \
	"---\napiVersion: microseg/v1\nkind: Service\nservice: " name "\nenv: " env "\n"

/* Six lines of db, then five of web: what a row adds to web begins on line 22. */
#define DB SERVICE("db", "[prod, dev]") "ports: {pg: tcp/5432}\n"
#define WEB SERVICE("web", "[prod, dev]")

struct row {
	const char *text, *diags, *part; /* of the first finding's message or hint */
};

static void dump(struct ms_diags *diags, struct ms_str *out)
{
	ms_diags_sort(diags);
	ms_vec_each (struct ms_diag, diag, &diags->list)
		ms_str_addf(out, "%s%s@%u:%u", out->len ? " " : "", diag->code, diag->at.line,
			    diag->at.column);
}

static void check(const struct row *row, const char *found, const struct ms_diags *diags)
{
	if (strcmp(found, row->diags) != 0)
		print_error("%s\n", row->text);
	assert_string_equal(found, row->diags);
	if (!row->part)
		return;
	const struct ms_diag *first = diags->list.items;
	if (!strstr(first->message, row->part) && !(first->hint && strstr(first->hint, row->part)))
		fail_msg("'%s' is not in '%s' nor '%s'", row->part, first->message,
			 first->hint ? first->hint : "");
}

static void check_rows(const struct row *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++) {
		const struct ms_policy_file file = {"t.yaml", rows[i].text, strlen(rows[i].text)};
		_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;
		_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
		_cleanup_(ms_str_fini) struct ms_str found = {0};

		assert_int_equal(ms_diags_init(&diags), 0);
		int r = ms_policy_load_ungated(&file, 1, NOW, &diags, &policy);
		dump(&diags, &found);
		check(&rows[i], found.text ? found.text : "", &diags);
		assert_int_equal(r, 0);
	}
}

static void two_keys_want_both(void **state)
{
	static const struct row rows[] = {
		{FRAME DB WEB "needs:\n  - {to: db, ports: [pg]}\n", "half-key@23:10",
		 "allow: [{from: prod/web"},
		{FRAME DB "allow:\n  - {from: web, ports: [pg]}\n" WEB
			  "needs:\n  - {to: db, ports: [pg]}\n",
		 "", NULL},
		{FRAME DB "allow:\n  - {from: \"*\", ports: [pg]}\n" WEB
			  "needs:\n  - {to: db, ports: [pg]}\n",
		 "", NULL},
		{FRAME DB "allow:\n  - {from: web, ports: [tcp/1]}\n" WEB
			  "needs:\n  - {to: db, ports: [pg]}\n",
		 "half-key@25:10", "no allow of prod/db meets this need"},
		{FRAME DB "allow:\n  - {from: self, ports: [tcp/1]}\n" WEB
			  "needs:\n  - {to: db, ports: [tcp/1]}\n",
		 "half-key@25:10", NULL},
		{FRAME DB WEB "needs:\n  - {to: \"*\", ports: [tcp/9]}\n", "half-key@23:10",
		 "prod/*"},
		/* one key is enough in dev */
		{FRAME SERVICE("db", "dev")
			 SERVICE("web", "dev") "needs:\n  - {to: db, ports: [tcp/1]}\n",
		 "", NULL},
		/* what nobody describes, the outside and the host have no allow */
		{FRAME DB WEB
		 "needs:\n  - {to: host, ports: [tcp/1]}\n  - {to: {net: office}, ports: [tcp/1]}\n",
		 "", NULL},
		/* of a document for every service, any of them may be meant */
		{FRAME DB "allow:\n  - {from: web, ports: [pg]}\n" WEB SERVICE(
			 "\"*\"", "prod") "needs:\n"
					  "  - {to: db, ports: [pg]}\n",
		 "", NULL},
		{FRAME DB WEB SERVICE("\"*\"", "prod") "needs:\n  - {to: db, ports: [pg]}\n",
		 "half-key@28:10", "prod/SERVICE"},
	};
	(void)state;
	check_rows(rows, N(rows));
}

static void a_never_beats_what_it_covers_whole(void **state)
{
	static const struct row rows[] = {
		{FRAME "never:\n  - {from: dev/web, to: dev/db, ports: [tcp/5000-6000]}\n" SERVICE(
			 "web", "dev")
			 SERVICE("db", "dev") "allow:\n  - {from: web, ports: [tcp/5432]}\n",
		 "shadowed@24:12", "t.yaml:12"},
		{FRAME "never:\n  - {from: dev/*, to: dev/db}\n" SERVICE("web", "dev")
			 SERVICE("db", "dev") "allow:\n  - {from: [web, self, host], ports: any}\n",
		 "shadowed@24:13 shadowed@24:18", NULL},
		/* only a part of it */
		{FRAME "never:\n  - {from: dev/web, to: dev/db, ports: [tcp/5432]}\n" SERVICE("web",
											      "dev")
			 SERVICE("db", "dev") "allow:\n  - {from: web, ports: [tcp/5432, tcp/1]}\n",
		 "", NULL},
		{FRAME "never:\n  - {from: dev/web, to: dev/db}\n" SERVICE("web", "dev")
			 SERVICE("db", "dev") "allow:\n  - {from: \"*\", ports: [tcp/1]}\n",
		 "", NULL},
		/* a never without a source is about endpoints */
		{FRAME "never:\n  - {to: dev/db}\n" SERVICE(
			 "db", "dev") "allow:\n"
				      "  - {from: [host, {net: office}], ports: [tcp/1]}\n",
		 "", NULL},
		{FRAME "never:\n  - {from: {net: 10.0.0.0/8}, to: dev/db}\n" SERVICE(
			 "db", "dev") "allow:\n  - {from: {net: office}, ports: [tcp/1]}\n",
		 "shadowed@19:12", NULL},
		{FRAME "never:\n  - {from: {net: 10.20.0.0/17}, to: dev/db}\n" SERVICE(
			 "db", "dev") "allow:\n  - {from: {net: office}, ports: [tcp/1]}\n",
		 "", NULL},
		{FRAME
		 "never:\n  - {from: {node: \"*\"}, to: dev/db}\n  - {from: {node: node-b}, to: dev/*}\n" SERVICE(
			 "db", "dev") "allow:\n  - {from: {node: node-a}, ports: [tcp/1]}\n",
		 "shadowed@20:12", "t.yaml:12"},
		{FRAME "never:\n  - {from: {node: node-b}, to: dev/*}\n" SERVICE(
			 "db",
			 "dev") "allow:\n  - {from: [{node: node-a}, {node: \"*\"}], ports: [tcp/1]}\n",
		 "", NULL},
		{FRAME "never:\n  - {to: {net: 192.0.2.0/24}}\n" SERVICE(
			 "db",
			 "dev") "needs:\n  - {to: {net: [192.0.2.128/25]}, ports: [tcp/443]}\n",
		 "shadowed@19:10", NULL},
		/* once, though the document stands in two environments */
		{FRAME "never:\n  - {to: {net: 192.0.2.0/24}}\n" DB
		       "needs:\n  - {to: {net: 192.0.2.1}, ports: [tcp/1]}\n",
		 "shadowed@20:10", NULL},
	};
	(void)state;
	check_rows(rows, N(rows));
}

static void other_findings_have_an_example(void **state)
{
	static const struct row rows[] = {
		/* a fence, seen from both sides */
		{FRAME SERVICE("web", "dev")
			 SERVICE("db", "qa") "allow:\n  - {from: dev/web, ports: [tcp/1]}\n",
		 "fence@22:12", "dev and qa"},
		{FRAME SERVICE("web", "dev") "needs:\n  - {to: qa/db, ports: [tcp/1]}\n" SERVICE(
			 "db", "qa"),
		 "fence@17:10", "dev and qa"},
		{FRAME "crossings:\n  - {from: dev/*, to: qa/db, ports: [tcp/1]}\n" SERVICE(
			 "web", "dev") "needs:\n  - {to: qa/db, ports: [tcp/1]}\n" SERVICE("db",
											   "qa"),
		 "", NULL},
		/* an engine's userland proxy */
		{FRAME SERVICE(
			 "web",
			 "dev") "allow:\n  - {from: {net: office}, ports: [tcp/80], published: true}\n"
				"  - {from: host, ports: [tcp/79-81]}\n",
		 "published-and-host@18:12", "tcp/80"},
		{FRAME SERVICE(
			 "web",
			 "dev") "allow:\n  - {from: {net: office}, ports: [tcp/80], published: true}\n"
				"  - {from: host, ports: [tcp/81]}\n",
		 "", NULL},
		{FRAME SERVICE("web", "dev") "allow:\n  - {from: {net: office}, ports: [tcp/80]}\n"
					     "  - {from: host, ports: [tcp/80]}\n",
		 "", NULL},
		/* clocks */
		{FRAME
		 "crossings:\n  - {from: dev/web, to: qa/web, ports: [tcp/1], until: 2026-11-30T00:00:00Z}\n" SERVICE(
			 "web", "[dev, qa]"),
		 "expired@12:56", NULL},
		/* families and names */
		{FRAME SERVICE("web", "dev") "needs:\n  - {to: {net: 0.0.0.0/0}, ports: [tcp/1]}\n",
		 "one-family@17:10", NULL},
		{"apiVersion: microseg/v1\nkind: Environments\nunidentified: {mode: enforce}\nenvironments: {a: {}}\n",
		 "no-resolvers@4:16", "resolvers: [gateway]"},
	};
	(void)state;
	check_rows(rows, N(rows));
}

#define ENDPOINT(name, address, env, project)                                                      \
	"  - {name: " name ", addresses: [" address "], labels: {io.microseg.env: " env            \
	", com.docker.compose.service: web, com.docker.compose.project: " project "}}\n"

static void an_inventory_shows_more(void **state)
{
	static const struct row rows[] = {
		{ENDPOINT("a", "10.0.0.1", "prod", "shop") ENDPOINT("b", "10.0.0.2", "dev", "shop"),
		 "", NULL},
		{ENDPOINT("a", "10.0.0.1", "prod", "shop"), "no-endpoint@14:10", "dev/web"},
		{ENDPOINT("a", "10.0.0.1", "prod", "shop") ENDPOINT("b", "10.0.0.2", "dev", "shop")
			 ENDPOINT("c", "10.0.0.3", "prod", "blog"),
		 "several-projects@14:10", "'shop' and 'blog' both run prod/web"},
		{ENDPOINT("a", "10.0.0.1", "prod", "shop") ENDPOINT("b", "10.0.0.2", "dev", "blog")
			 ENDPOINT("c", "10.0.0.3", "prod", "shop"),
		 "", NULL},
		{ENDPOINT("a", "10.0.0.1", "prod", "shop")
			 ENDPOINT("b", "10.0.0.2", "dev",
				  "shop") "  - {name: stray, addresses: [10.0.0.9]}\n",
		 "unidentified@0:0", "stray is unidentified: label"},
	};
	static const char text[] =
		FRAME SERVICE("web", "[prod, dev]") "allow:\n  - {from: self, ports: [tcp/1]}\n";
	const struct ms_policy_file file = {"t.yaml", text, strlen(text)};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;
		_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
		_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
		_cleanup_(ms_str_fini) struct ms_str found = {0}, yaml = {0};

		assert_int_equal(ms_diags_init(&diags), 0);
		ms_str_addf(&yaml,
			    "apiVersion: microseg/v1\nkind: Inventory\nnode: a\nendpoints:\n%s",
			    rows[i].text);
		const struct ms_policy_file list = {"i.yaml", yaml.text, yaml.len};

		assert_int_equal(ms_policy_load(&file, 1, NOW, &diags, &policy), 0);
		assert_int_equal(ms_inventory_load(&list, &diags, &inventory), 0);
		assert_int_equal(ms_inventory_identify(inventory, policy), 0);
		assert_int_equal(diags.list.n_items, 0);
		ms_lint_inventory(policy, inventory, &file, 1, &diags);
		dump(&diags, &found);
		check(&rows[i], found.text ? found.text : "", &diags);
		if (diags.list.n_items && diags.list.items[0].at.line)
			assert_string_equal(diags.list.items[0].source_line, "service: web");
	}
}

/* No file can say it, but the look at a node can. */
static void what_is_not_covered_is_found(void **state)
{
	static const char text[] = FRAME SERVICE("web", "dev");
	static const char yaml[] =
		"apiVersion: microseg/v1\nkind: Inventory\nnode: a\nendpoints:\n" ENDPOINT(
			"b", "10.0.0.2", "dev", "shop");
	static const struct row row = {
		text, "not-covered@0:0",
		"container agent is not covered: it uses the host's network"};
	const struct ms_policy_file file = {"t.yaml", text, strlen(text)},
				    list = {"i.yaml", yaml, strlen(yaml)};
	const struct ms_uncovered agent = {.what = "container agent",
					   .reason = "it uses the host's network"};
	_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
	_cleanup_(ms_str_fini) struct ms_str found = {0};

	(void)state;
	assert_int_equal(ms_diags_init(&diags), 0);
	assert_int_equal(ms_policy_load(&file, 1, NOW, &diags, &policy), 0);
	assert_int_equal(ms_inventory_load(&list, &diags, &inventory), 0);
	assert_int_equal(ms_avec_push(inventory->arena, &inventory->uncovered, agent), 0);
	assert_int_equal(ms_inventory_identify(inventory, policy), 0);
	ms_lint_inventory(policy, inventory, &file, 1, &diags);
	dump(&diags, &found);
	check(&row, found.text ? found.text : "", &diags);
}

static void an_endpoint_makes_a_service_known(void **state)
{
	static const char text[] = FRAME DB "allow:\n  - {from: [web, batch], ports: [pg]}\n";
	const struct ms_policy_file file = {"t.yaml", text, strlen(text)};
	static const char *borne[] = {"dev/batch", "dev/web", "prod/batch"};
	const ms_text_vec identities = {.items = borne, .n_items = N(borne)};
	static const struct row rows[] = {
		{text,
		 "unknown-service@18:13 unknown-service@18:13 unknown-service@18:18 unknown-service@18:18",
		 NULL},
		{text, "unknown-service@18:13", "prod/web"},
	};

	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;
		_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
		_cleanup_(ms_str_fini) struct ms_str found = {0};

		assert_int_equal(ms_diags_init(&diags), 0);
		assert_int_equal(ms_policy_load_beside(&file, 1, NOW, i ? &identities : NULL,
						       &diags, &policy),
				 0);
		dump(&diags, &found);
		check(&rows[i], found.text ? found.text : "", &diags);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_keys_want_both),
		cmocka_unit_test(a_never_beats_what_it_covers_whole),
		cmocka_unit_test(other_findings_have_an_example),
		cmocka_unit_test(an_inventory_shows_more),
		cmocka_unit_test(what_is_not_covered_is_found),
		cmocka_unit_test(an_endpoint_makes_a_service_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
