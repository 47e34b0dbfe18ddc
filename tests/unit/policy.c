/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "microseg/cleanup.h"
#include "microseg/policy.h"
#include "policy/gate.h"

#define N(rows) (sizeof(rows) / sizeof((rows)[0]))
#define NOW ((time_t)1796083200)      /* 2026-12-01T00:00:00Z */
#define SHOP_NOW ((time_t)1768478400) /* 2026-01-15T12:00:00Z: what has an end in it holds */

/* The frame that most rows are loaded with, as a file of its own. */
#define FRAME                                                                                      \
	"apiVersion: microseg/v1\n"                                                                \
	"kind: Environments\n"                                                                     \
	"unidentified: {mode: enforce}\n"                                                          \
	"environments:\n"                                                                          \
	"  prod: {resolvers: [gateway]}\n"                                                         \
	"  dev: {mode: audit}\n"                                                                   \
	"nets: {office: [10.20.0.0/16]}\n"

#define FRAME_NODES FRAME "nodes: {node-a: [192.0.2.1]}\n"

/* Five lines; what a row adds begins on line 6. */
#define DB                                                                                         \
	"apiVersion: microseg/v1\n"                                                                \
	"kind: Service\n"                                                                          \
	"service: db\n"                                                                            \
	"env: prod\n"                                                                              \
	"ports: {pg: tcp/5432, metrics: tcp/9187}\n"

/* Four lines; what a row adds begins on line 5. */
#define HEAD(name, env)                                                                            \
	"apiVersion: microseg/v1\n"                                                                \
	"kind: Service\n"                                                                          \
	"service: " name "\n"                                                                      \
	"env: " env "\n"

/* Three lines; what a row adds begins on line 4. */
#define ENVIRONMENTS                                                                               \
	"apiVersion: microseg/v1\n"                                                                \
	"kind: Environments\n"                                                                     \
	"unidentified: {mode: enforce}\n"

/* Seven lines; what a row adds begins on line 8. */
#define EXCEPTION                                                                                  \
	"apiVersion: microseg/v1\n"                                                                \
	"kind: Exception\n"                                                                        \
	"id: exc-1\n"                                                                              \
	"from: prod/web\n"                                                                         \
	"to: prod/db\n"                                                                            \
	"ports: [pg]\n"                                                                            \
	"until: 2026-12-02T00:00:00Z\n"

#define WEB "---\n" HEAD("web", "prod")

struct loaded {
	struct ms_diags diags;
	struct ms_policy *policy;
	int r;
};

typedef int load_fn(const struct ms_policy_file *, size_t, time_t, struct ms_diags *,
		    struct ms_policy **);

static void load(struct loaded *loaded, load_fn *fn, const char *frame, const char *text)
{
	struct ms_policy_file files[] = {{"t.yaml", text, strlen(text)},
					 {"frame.yaml", frame, frame ? strlen(frame) : 0}};

	*loaded = (struct loaded){0};
	assert_int_equal(ms_diags_init(&loaded->diags), 0);
	loaded->r = fn(files, frame ? 2 : 1, NOW, &loaded->diags, &loaded->policy);
	assert_int_equal(loaded->r, loaded->diags.n_errors ? -EINVAL : 0);
	assert_true((loaded->r == 0) == (loaded->policy != NULL));
}

static void done(struct loaded *loaded)
{
	ms_policy_free(loaded->policy);
	ms_diags_fini(&loaded->diags);
}

/* "code@line:column" of every diagnostic in the order of places; warnings in brackets. */
static void dump_diags(struct loaded *loaded, struct ms_str *out)
{
	_cleanup_(ms_str_fini) struct ms_str sorted = {0};

	ms_diags_print(&loaded->diags, &sorted, false); /* sorts */
	ms_vec_each (struct ms_diag, diag, &loaded->diags.list) {
		bool warning = diag->severity == MS_WARNING;

		ms_str_addf(out, "%s%s%s@%u:%u%s", out->len ? " " : "", warning ? "[" : "",
			    diag->code, diag->at.line, diag->at.column, warning ? "]" : "");
	}
}

struct bad {
	const char *text, *diags,
		*hint; /* part of the first diagnostic's hint or message, or NULL */
};

static void check_bad(load_fn *fn, const char *frame, const struct bad *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++) {
		_cleanup_(ms_str_fini) struct ms_str diags = {0};
		struct loaded loaded;

		load(&loaded, fn, frame, rows[i].text);
		dump_diags(&loaded, &diags);
		if (strcmp(diags.text ? diags.text : "", rows[i].diags) != 0)
			print_error("row %zu:\n%s\n", i, rows[i].text);
		assert_string_equal(diags.text ? diags.text : "", rows[i].diags);
		const struct ms_diag *first = loaded.diags.list.items;
		if (rows[i].hint && !(first->hint && strstr(first->hint, rows[i].hint)) &&
		    !strstr(first->message, rows[i].hint))
			fail_msg("row %zu: '%s' is not in '%s' nor '%s'", i, rows[i].hint,
				 first->message, first->hint ? first->hint : "");
		done(&loaded);
	}
}

static void form_errors_have_a_code_and_a_place(void **state)
{
	static const struct bad rows[] = {
		/* the document itself */
		{"just text\n", "wrong-type@1:1", "apiVersion"},
		{"[a]\n", "wrong-type@1:1", NULL},
		{"apiVersion: microseg/v1\n", "missing-key@1:1", "kind:"},
		{"kind: Servce\n", "unknown-kind@1:7", "did you mean 'Service'?"},
		{"kind: Pod\n", "unknown-kind@1:7", "expected Environments, Service or Exception"},
		{"apiVersion: microseg/v1\nkind: Inventory\nnode: a\n", "misplaced-inventory@2:7",
		 "-i"},
		{"kind: Service\nservice: db\nenv: prod\n", "missing-key@1:1",
		 "apiVersion: microseg/v1"},
		{"apiVersion: microseg/v2\nkind: Service\nservice: db\nenv: prod\n",
		 "unknown-value@1:13", "microseg/v1"},
		{"apiVersion: microseg/v1\nkind: Service\nenv: prod\n", "missing-key@1:1",
		 "service: orders-db"},
		{"apiVersion: microseg/v1\nkind: Service\nservice: db\n", "missing-key@1:1",
		 "env: [prod, dev]"},
		/* keys */
		{DB "alow:\n  - {from: self, ports: [pg]}\n", "unknown-key@6:1",
		 "did you mean 'allow'?"},
		{DB "banana: 1\n", "unknown-key@6:1", "known here: apiVersion, kind, service"},
		{DB "allow:\n  - {from: self, prot: [pg], ports: [pg]}\n", "unknown-key@7:18",
		 NULL},
		{DB "allow:\n  - {from: self, ports: [pg], ports: [pg]}\n", "duplicate-key@7:31",
		 "line 7"},
		{DB "env: dev\n", "duplicate-key@6:1", "line 4"},
		{DB "allow:\n  - {from: self}\n", "missing-key@7:5", "ports: [pg, tcp/8080]"},
		{DB "allow:\n  - {ports: [pg]}\n", "missing-key@7:5", "from: orders-api"},
		{DB "needs:\n  - {ports: [tcp/1]}\n", "missing-key@7:5", "to: {net: internet}"},
		{DB "tests:\n  - {ports: [pg], expect: deny}\n", "missing-key@7:5", "from"},
		{DB "tests:\n  - {from: self, ports: [pg]}\n", "missing-key@7:5", "expect"},
		/* shapes */
		{DB "allow: web\n", "wrong-type@6:8", "'allow' takes a mapping, not a text"},
		{DB "allow: []\n", "empty-list@6:8", "leave it out"},
		{DB "allow:\n", "empty-value@6:7", NULL},
		{DB "allow:\n  - {from: [], ports: [pg]}\n", "empty-list@7:12", NULL},
		{DB "allow:\n  - {from: self, ports: []}\n", "empty-list@7:25",
		 "write ports: [pg, tcp/8080]"},
		{DB "allow:\n  - {from: self, ports: }\n", "empty-value@7:25", NULL},
		{DB "allow:\n  - {from: [[self]], ports: [pg]}\n", "wrong-type@7:13", NULL},
		{DB "allow:\n  - {from: self, ports: {pg: 1}}\n", "wrong-type@7:25", NULL},
		{DB "allow:\n  - {from: self, ports: [pg], ping: yes}\n", "bad-bool@7:37",
		 "true or false"},
		{DB "mode: [audit]\n", "wrong-type@6:7", NULL},
		{DB "mode: enforced\n", "unknown-value@6:7", "did you mean 'enforce'?"},
		{DB "mode: off\n", "unknown-value@6:7", "expected enforce or audit"},
		{DB "match: {}\n", "empty-mapping@6:8", NULL},
		{DB "match: db-*\n", "wrong-type@6:8", NULL},
		{DB "match: {labels: {}}\n", "empty-mapping@6:17", NULL},
		{DB "match: {name: []}\n", "empty-list@6:15", NULL},
		{DB "match: {nmae: db}\n", "unknown-key@6:9", "did you mean 'name'?"},
		{DB "match: {address: [10.0.0.1/24]}\n", "host-bits@6:19", "10.0.0.0/24"},
		/* names */
		{HEAD("9db", "prod"), "bad-name@3:10", "a letter"},
		{HEAD("host", "prod"), "reserved-name@3:10", NULL},
		{HEAD("db/x", "prod"), "bad-name@3:10", NULL},
		{HEAD("db", "any"), "reserved-name@4:6", NULL},
		{HEAD("db", "\"*\""), "bad-name@4:6", NULL},
		{HEAD("db", "[]"), "empty-list@4:6", NULL},
		{HEAD("a123456789012345678901234567890123456789012345678901234567890123", "prod"),
		 "bad-name@3:10", "63"},
		{HEAD("db", "prod") "ports: {self: tcp/1}\n", "reserved-name@5:9", NULL},
		{HEAD("db", "prod") "ports: {any: tcp/1}\n", "reserved-name@5:9", NULL},
		{HEAD("db", "prod") "ports: {a/b: tcp/1}\n", "bad-name@5:9", NULL},
		{HEAD("db", "prod") "ports: {pg: }\n", "empty-value@5:13",
		 "as in ports: {pg: tcp/5432}"},
		{HEAD("db", "prod") "ports: {pg: [tcp/1]}\n", "wrong-type@5:13", NULL},
		{HEAD("db", "prod") "ports: [tcp/1]\n", "wrong-type@5:8", NULL},
		/* ports */
		{HEAD("db", "prod") "ports: {pg: tcp/81-80}\n", "reversed-range@5:13",
		 "lower end first"},
		{HEAD("db", "prod") "ports: {pg: tcp/0}\n", "port-range@5:13", NULL},
		{HEAD("db", "prod") "ports: {pg: tcp/70000}\n", "port-range@5:13", NULL},
		{HEAD("db", "prod") "ports: {pg: 5432}\n", "bad-port@5:13", "tcp/5432"},
		{HEAD("db", "prod") "ports: {pg: any}\n", "bad-port@5:13", NULL},
		{HEAD("db", "prod") "ports: {pg: proto/6}\n", "named-protocol@5:13", NULL},
		{DB "allow:\n  - {from: self, ports: [tcp/81-80]}\n", "reversed-range@7:26", NULL},
		{DB "allow:\n  - {from: self, ports: [http/80]}\n", "bad-port@7:26", NULL},
		{DB "allow:\n  - {from: self, ports: [any]}\n", "bad-port@7:26", "ports: any"},
		{DB "allow:\n  - {from: self, ports: [5432]}\n", "bad-port@7:26", "tcp/5432"},
		/* peers */
		{DB "allow:\n  - {from: 10.0.0.0/8, ports: [pg]}\n", "bad-peer@7:12",
		 "{net: \"10.0.0.0/8\"}"},
		{DB "allow:\n  - {from: internet, ports: [pg]}\n", "bad-peer@7:12",
		 "{net: internet}"},
		{DB "allow:\n  - {from: any, ports: [pg]}\n", "bad-peer@7:12", "\"*\""},
		{DB "allow:\n  - {from: unidentified, ports: [pg]}\n", "bad-peer@7:12", NULL},
		{DB "allow:\n  - {from: a/b/c, ports: [pg]}\n", "bad-peer@7:12", NULL},
		{DB "allow:\n  - {from: 'a b', ports: [pg]}\n", "bad-peer@7:12",
		 "a service, env/service"},
		{DB "allow:\n  - {from: {}, ports: [pg]}\n", "bad-peer@7:12", NULL},
		{DB "allow:\n  - {from: {net: office, node: a}, ports: [pg]}\n", "bad-peer@7:12",
		 NULL},
		{DB "allow:\n  - {from: {except: office}, ports: [pg]}\n", "bad-peer@7:12", NULL},
		{DB "allow:\n  - {from: {nte: office}, ports: [pg]}\n", "unknown-key@7:13",
		 "did you mean 'net'?"},
		{DB "allow:\n  - {from: {net: [10.0.0.1/8]}, ports: [pg]}\n", "host-bits@7:19",
		 "the network is 10.0.0.0/8, the single address 10.0.0.1"},
		{DB "allow:\n  - {from: {net: 10.0.0.0/33}, ports: [pg]}\n", "bad-cidr@7:18", NULL},
		{DB "allow:\n  - {from: {net: []}, ports: [pg]}\n", "empty-list@7:18", NULL},
		{DB "allow:\n  - {from: {net: host}, ports: [pg]}\n", "reserved-name@7:18", NULL},
		/* YAML */
		{DB "allow:\n  - {from: *, ports: [pg]}\n", "unquoted@7:12", "quote it"},
		{DB "needs:\n  - {to: {net: ::/0}, ports: [tcp/443]}\n", "unquoted@7:16",
		 "quote it"},
		{DB "allow:\n  - {from: *web, ports: [pg]}\n", "alias@7:12", "quote it"},
		{DB "allow:\n  - &a {from: self, ports: [pg]}\n", "anchor@7:5", NULL},
		{DB "allow:\n  - {<<: {from: self}, ports: [pg]}\n", "merge-key@7:6", NULL},
		{DB "allow:\n  - {from: !!str self, ports: [pg]}\n", "tag@7:12", NULL},
		{"apiVersion: microseg/v1\nkind: Service\nservice: *\nenv: prod\n", "unquoted@3:10",
		 "quote it"},
	};
	(void)state;
	check_bad(ms_policy_load, FRAME, rows, N(rows));
}

static void meaning_errors_have_a_code_and_a_place(void **state)
{
	static const struct bad rows[] = {
		{HEAD("db", "prd"), "unknown-env@4:6", "did you mean 'prod'?"},
		{HEAD("db", "[prod, staging]"), "unknown-env@4:13",
		 "the environments are dev, prod"},
		{HEAD("db", "[prod, prod]"), "duplicate-item@4:13", NULL},
		{DB "---\n" DB, "second-service@9:10", "t.yaml:3"},
		{HEAD("db", "[prod, dev]") "---\n" HEAD("db", "dev"), "second-service@8:10",
		 "dev/db"},
		{DB "allow:\n  - {from: staging/web, ports: [pg]}\n", "unknown-env@7:12", NULL},
		{DB "allow:\n  - {from: dev/*, ports: [pg]}\n", "misplaced-peer@7:12", "env/*"},
		{DB "allow:\n  - {from: self, ports: [pgx]}\n", "unknown-port@7:26",
		 "did you mean 'pg'?"},
		{DB "allow:\n  - {from: self, ports: [http]}\n", "unknown-port@7:26",
		 "under ports:"},
		{DB "allow:\n  - {from: {net: offices}, ports: [pg]}\n", "unknown-net@7:18",
		 "did you mean 'office'?"},
		{DB "allow:\n  - {from: {net: office, except: [home]}, ports: [pg]}\n",
		 "unknown-net@7:35", NULL},
		{DB "allow:\n  - {from: [self, host], ports: [pg], published: true}\n",
		 "misplaced-published@7:13 misplaced-published@7:19", NULL},
		{DB "needs:\n  - {to: host, ports: [ntp]}\n", "unknown-port@7:24", NULL},
		{DB "needs:\n  - {to: {net: internet}, ports: [pg]}\n", "unknown-port@7:35", NULL},
		{HEAD("db", "[prod, dev]") "needs:\n  - {to: host, ports: [ntp]}\n",
		 "unknown-port@6:24", NULL},
		{DB "tests:\n  - {from: host, to: host, ports: [tcp/1], expect: deny}\n",
		 "no-service@7:22", NULL},
		{DB "tests:\n  - {from: self, ports: [pg], expect: allow, by: fence}\n",
		 "misplaced-key@7:50", NULL},
		{DB "tests:\n  - {from: self, ports: [pg], expect: deny, by: spoof}\n",
		 "unknown-value@7:49", "never, unidentified, fence or no-grant"},
		{DB "tests:\n  - {from: self, ports: [http], expect: deny}\n", "unknown-port@7:26",
		 "prod/db has pg, metrics"},
		{HEAD("\"*\"", "prod") "match: {name: x}\n", "misplaced-key@5:8", NULL},
		{HEAD("\"*\"", "prod") "mode: audit\n", "misplaced-key@5:7", NULL},
		{HEAD("\"*\"", "prod") "allow:\n  - {from: self, ports: [pg]}\n",
		 "unknown-port@6:26", NULL},
		{HEAD("\"*\"", "prod") "ports: {x: tcp/1}\n---\n" HEAD(
			 "\"*\"", "[dev, prod]") "ports: {x: tcp/2}\n",
		 "second-port@11:9", "t.yaml:5"},
	};
	(void)state;
	check_bad(ms_policy_load, FRAME, rows, N(rows));
}

static void environments_errors_have_a_code_and_a_place(void **state)
{
	static const struct bad rows[] = {
		{"", "no-environments@0:0", "kind: Environments"},
		{DB, "no-environments@0:0", NULL},
		{ENVIRONMENTS, "missing-key@1:1", "environments"},
		{ENVIRONMENTS "environments: {}\n", "empty-mapping@4:15", NULL},
		{ENVIRONMENTS "environments: [prod]\n", "wrong-type@4:15", NULL},
		{ENVIRONMENTS "environments: {prod: }\n", "[no-resolvers@4:16] empty-value@4:22",
		 NULL},
		{ENVIRONMENTS "environments: {any: {resolvers: [gateway]}}\n", "reserved-name@4:16",
		 NULL},
		{ENVIRONMENTS "environments: {prod: {mode: enforcing, resolvers: [gateway]}}\n",
		 "unknown-value@4:29", NULL},
		{ENVIRONMENTS "environments: {prod: {resolvers: []}}\n",
		 "[no-resolvers@4:16] empty-list@4:34", NULL},
		{ENVIRONMENTS "environments: {prod: {resolvers: [dns]}}\n",
		 "[no-resolvers@4:16] bad-address@4:35", NULL},
		{ENVIRONMENTS "environments: {prod: {resolvers: [224.0.0.1]}}\n",
		 "bad-address@4:35", NULL},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\n---\n" ENVIRONMENTS
			      "environments: {dev: {mode: audit}}\n",
		 "second-environments@6:1", "t.yaml:1"},
		{"apiVersion: microseg/v1\nkind: Environments\nenvironments: {dev: {mode: audit}}\n",
		 "missing-key@1:1", "unidentified: {mode: enforce}"},
		{"apiVersion: microseg/v1\nkind: Environments\nunidentified: {}\nenvironments: {dev: {mode: audit}}\n",
		 "missing-key@3:15", "mode"},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\nidentity: {env: []}\n",
		 "empty-list@5:17", NULL},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\nidentity: {env: [a+]}\n",
		 "bad-label@5:18", NULL},
		{ENVIRONMENTS
		 "environments: {dev: {mode: audit}}\nnets: {internet: [10.0.0.0/8]}\n",
		 "reserved-name@5:8", NULL},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\nnets: {a: [10.0.0.1/8]}\n",
		 "host-bits@5:12", NULL},
		{ENVIRONMENTS
		 "environments: {dev: {mode: audit}}\nnets: {a: [b], b: [10.0.0.0/8]}\n",
		 "bad-cidr@5:12", NULL},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\nrefuse: {egress: ignore}\n",
		 "unknown-value@5:18", "reject or drop"},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\nrefuse: {east-west: drop}\n",
		 "unknown-key@5:10", "did you mean 'east_west'?"},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\nexceptions: {max: forever}\n",
		 "bad-duration@5:19", "30d"},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\ntests:\n"
			      "  - {from: web, to: dev/db, ports: [tcp/1], expect: deny}\n",
		 "bare-name@6:12 [unknown-service@6:21]", "env/web"},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\ntests:\n"
			      "  - {from: dev/web, ports: [tcp/1], expect: deny}\n",
		 "missing-key@6:5 [unknown-service@6:12]", NULL},
	};
	(void)state;
	check_bad(ms_policy_load, NULL, rows, N(rows));
}

static void what_is_not_built_yet_is_refused_by_name(void **state)
{
	static const struct bad service_rows[] = {
		{DB "needs:\n  - {to: {fqdn: api.example.com}, ports: [tcp/443]}\n",
		 "not-in-this-version@7:11", "DNS name"},
	};
	static const struct bad allowed_rows[] = {
		{ENVIRONMENTS
		 "environments: {dev: {mode: audit, two_key: true}, qa: {mode: audit}}\n"
		 "nodes: {node-a: [192.0.2.1]}\n"
		 "crossings:\n  - {from: dev/*, to: qa/*, ports: [tcp/1]}\n"
		 "never:\n  - {to: {net: 10.0.0.0/8}}\n"
		 "---\n" HEAD(
			 "db",
			 "dev") "ports: {pg: tcp/1}\nallow:\n"
				"  - {from: \"*\", ports: any, ping: true, published: false}\n"
				"  - {from: {node: \"*\"}, ports: [pg], published: true}\n"
				"needs:\n  - {to: self, ports: [pg]}\n  - {to: dev/*, ports: [tcp/2]}\n"
				"---\n" HEAD("\"*\"",
					     "dev") "needs:\n  - {to: host, ports: [udp/123]}\n",
		 "", NULL},
		{ENVIRONMENTS
		 "environments: {dev: {mode: audit}, qa: {mode: audit}}\ncrossings:\n"
		 "  - {from: dev/*, to: qa/*, ports: [tcp/1], until: 2026-12-02T00:00:00Z}\n"
		 "---\n" HEAD("db", "dev") "ports: {pg: tcp/1}\n---\n" HEAD(
			 "web",
			 "dev") "---\n"
				"apiVersion: microseg/v1\nkind: Exception\nid: a\nfrom: dev/web\nto: dev/db\n"
				"ports: [pg]\nuntil: 2026-12-02T00:00:00Z\n",
		 "", NULL},
	};
	(void)state;
	check_bad(ms_policy_load, FRAME, service_rows, N(service_rows));
	check_bad(ms_policy_load, NULL, allowed_rows, N(allowed_rows));
}

static bool carries(const ms_range_vec *ranges, const char *text)
{
	struct ms_addr addr;

	assert_int_equal(ms_addr_parse(text, &addr), 0);
	return ms_ranges_contain(ranges, &addr);
}

static void a_service_carries_what_can_be_net(void **state)
{
	static const struct bad rows[] = {
		{DB "carries: [10.9.0.0/16, \"fd09::/48\"]\n", "", NULL},
		{DB "carries: [224.0.0.0/4, 169.254.0.0/16]\n", "[empty-net@6:10]", "net"},
		{DB "carries: [10.9.0.1/16]\n", "host-bits@6:11", NULL},
		{HEAD("\"*\"", "prod") "carries: [10.9.0.0/16]\n", "misplaced-key@5:10", "its own"},
	};
	struct loaded loaded;

	(void)state;
	check_bad(ms_policy_load, FRAME, rows, N(rows));
	load(&loaded, ms_policy_load, FRAME,
	     DB "carries: [169.0.0.0/8, \"fe00::/7\"]\n---\n" HEAD(
		     "web", "dev") "carries: [10.9.0.0/16]\n");
	assert_int_equal(loaded.r, 0);
	const struct ms_service *db = ms_policy_service(loaded.policy, "prod", "db");
	assert_true(carries(&db->carries, "169.1.0.1") && carries(&db->carries, "fe00::1"));
	assert_false(carries(&db->carries, "169.254.0.1") || carries(&db->carries, "fe80::1") ||
		     carries(&db->carries, "ff02::1") || carries(&db->carries, "10.9.0.1"));
	assert_true(carries(&loaded.policy->carried, "169.1.0.1") &&
		    carries(&loaded.policy->carried, "10.9.0.1"));
	assert_false(carries(&loaded.policy->carried, "169.254.0.1"));
	done(&loaded);
}

static void behind_the_gate_the_language_is_checked_too(void **state)
{
	static const struct bad rows[] = {
		{DB "allow:\n  - {from: {node: node-b}, ports: [pg]}\n", "unknown-node@7:19",
		 "did you mean 'node-a'?"},
		{DB WEB "needs:\n  - {to: [db, self], ports: [pg, http]}\n", "unknown-port@12:34",
		 "prod/db has pg, metrics"},
		{DB WEB "needs:\n  - {to: backup, ports: [s3]}\n",
		 "[unknown-service@12:10] unknown-port@12:26", NULL},
		{DB WEB "needs:\n  - {to: prod/*, ports: [s3]}\n", "unknown-port@12:26", NULL},
		{DB WEB
		 "---\n"
		 "apiVersion: microseg/v1\nkind: Exception\nid: a\nfrom: web\nto: prod/db\nports: [pg]\n"
		 "until: 2026-12-02T00:00:00Z\n",
		 "bare-name@15:7", "env/web"},
		{DB WEB
		 "---\n"
		 "apiVersion: microseg/v1\nkind: Exception\nid: a\nfrom: prod/*\nto: {net: office}\n"
		 "ports: [tcp/1]\nuntil: 2026-12-02T00:00:00Z\n",
		 "misplaced-peer@15:7", NULL},
		{DB WEB
		 "---\n"
		 "apiVersion: microseg/v1\nkind: Exception\nid: a\nfrom: self\nto: {node: \"*\"}\n"
		 "ports: [tcp/1]\nuntil: 2026-12-02T00:00:00Z\n",
		 "misplaced-peer@15:7 misplaced-peer@16:5", "env/service, host, {net: CIDR}"},
		{DB WEB
		 "---\n"
		 "apiVersion: microseg/v1\nkind: Exception\nid: a\nfrom: host\nto: {net: office}\n"
		 "ports: [tcp/1]\nuntil: 2026-12-02T00:00:00Z\n",
		 "no-service@16:5", NULL},
		{DB WEB
		 "---\n"
		 "apiVersion: microseg/v1\nkind: Exception\nid: a\nfrom: prod/web\nto: prod/db\n"
		 "ports: [pg]\nuntil: 2027-01-01T00:00:00Z\n",
		 "exception-too-long@18:8", "720 hours"},
		{DB WEB
		 "---\n"
		 "apiVersion: microseg/v1\nkind: Exception\nid: a\nfrom: prod/web\nto: prod/db\n"
		 "ports: [pg]\nuntil: 2026-11-30T23:59:59Z\n",
		 "[expired@18:8]", NULL},
		{DB WEB
		 "---\n"
		 "apiVersion: microseg/v1\nkind: Exception\nid: a\nfrom: prod/web\nto: prod/db\n"
		 "ports: [pg]\nuntil: tomorrow\n",
		 "bad-time@18:8", "2026-12-01T18:00:00Z"},
		{DB WEB "---\n" EXCEPTION "---\n" EXCEPTION, "second-exception@22:5", "t.yaml:12"},
	};
	static const struct bad environments_rows[] = {
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\ncrossings:\n"
			      "  - {from: host, to: dev/*, ports: [tcp/1]}\n",
		 "misplaced-peer@6:12", "env/service, env/*"},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\ncrossings:\n"
			      "  - {from: dev/*, to: dev/*, ports: [tcp/1]}\n",
		 "[no-effect@6:23]", NULL},
		{ENVIRONMENTS
		 "environments: {dev: {mode: audit}, qa: {mode: audit}}\ncrossings:\n"
		 "  - {from: dev/*, to: qa/*, ports: [tcp/1], until: 2026-11-01T00:00:00Z}\n",
		 "[expired@6:52]", NULL},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\nnever:\n  - {ports: [tcp/25]}\n",
		 "missing-key@6:5", "to"},
		{ENVIRONMENTS
		 "environments: {dev: {mode: audit}}\nnever:\n  - {from: {net: internet}, to: host}\n",
		 "no-service@6:33", NULL},
		{ENVIRONMENTS "environments: {dev: {mode: audit}}\nnodes: {a: [192.0.2.1/32]}\n",
		 "bad-address@5:13", NULL},
	};
	(void)state;
	check_bad(ms_policy_load_ungated, FRAME_NODES, rows, N(rows));
	check_bad(ms_policy_load_ungated, NULL, environments_rows, N(environments_rows));
}

static void warnings_do_not_stop_a_load(void **state)
{
	static const struct bad rows[] = {
		{DB "allow:\n  - {from: web, ports: [pg]}\n", "[unknown-service@7:12]", "prod/web"},
		{DB WEB "---\n" HEAD("api", "prod") "allow:\n  - {from: wbe, ports: [tcp/1]}\n",
		 "[unknown-service@17:12]", "did you mean 'web'?"},
		{HEAD("db", "[prod, dev]") "allow:\n  - {from: web, ports: [tcp/1]}\n" WEB,
		 "[unknown-service@6:12]", "dev/web"},
		{HEAD("db", "[prod, dev]") "allow:\n  - {from: prod/api, ports: [tcp/1]}\n",
		 "[unknown-service@6:12] [fence@6:12]", NULL},
		{DB "needs:\n  - {to: {net: 0.0.0.0/0}, ports: [tcp/443]}\n", "[one-family@7:10]",
		 "\"::/0\""},
		{DB "needs:\n  - {to: {net: [0.0.0.0/0, \"::/0\"]}, ports: [tcp/443]}\n", "", NULL},
		{DB "needs:\n  - {to: {net: 169.254.0.0/16}, ports: [tcp/80]}\n",
		 "[empty-net@7:10]", NULL},
		{DB "needs:\n  - {to: {net: office, except: 10.0.0.0/8}, ports: [tcp/80]}\n",
		 "[empty-net@7:10]", "office except 10.0.0.0/8"},
	};
	(void)state;
	check_bad(ms_policy_load, FRAME, rows, N(rows));
}

static void one_mistake_hides_no_other_and_makes_no_second(void **state)
{
	static const struct bad rows[] = {
		{DB
		 "mode: off\nallow:\n  - {from: *, ports: [pgx]}\n  - {from: staging/web, ports: []}\n---\n"
		 "kind: Servce\n---\n" DB "needs:\n  - {to: {net: 10.0.0.1/8}, ports: [tcp/0]}\n",
		 "unknown-value@6:7 unquoted@8:12 unknown-port@8:23 unknown-env@9:12 empty-list@9:32 "
		 "unknown-kind@11:7 second-service@15:10 host-bits@19:16 port-range@19:37",
		 NULL},
		/* The provider's document can't be read: its ports and its name are not said to be
		   missing. */
		{HEAD("web",
		      "prod") "tests:\n  - {from: self, to: db, ports: [pg], expect: deny}\n---\na: b: c\n---\n"
			      "apiVersion: microseg/v1\nkind: Service\nservice: [db]\nenv: prod\n",
		 "syntax@8:5 wrong-type@12:10", NULL},
	};
	(void)state;
	check_bad(ms_policy_load, FRAME, rows, N(rows));
}

static void dump_peer(const struct ms_peer *peer, struct ms_str *out)
{
	char text[MS_ADDR_TEXT_SIZE];

	switch (peer->kind) {
	case MS_PEER_SERVICE:
	case MS_PEER_SELF:
		ms_str_addf(out, "%s%s/%s", peer->kind == MS_PEER_SELF ? "self=" : "",
			    peer->env ? peer->env : "*", peer->service ? peer->service : "*");
		return;
	case MS_PEER_HOST:
		ms_str_add(out, "host");
		return;
	case MS_PEER_NODE:
		ms_str_addf(out, "node=%s", peer->node ? peer->node : "*");
		return;
	case MS_PEER_NET:
		ms_str_addf(out, "net(%s)", peer->net_name);
		ms_vec_each (struct ms_range, range, &peer->ranges) {
			ms_str_addf(out, " %s", ms_addr_format(&range->first, text));
			ms_str_addf(out, "-%s", ms_addr_format(&range->last, text));
		}
	}
}

static void dump_ports(const ms_ports_vec *ports, struct ms_str *out)
{
	char text[MS_PORTS_TEXT_SIZE];

	ms_vec_each (struct ms_ports, port, ports)
		ms_str_addf(out, " %s", ms_ports_format(port, text));
}

static void dump_grant(const char *what, const struct ms_grant *grant, struct ms_str *out)
{
	ms_str_addf(out, " %s ", what);
	dump_peer(&grant->peer, out);
	dump_ports(&grant->ports, out);
	ms_str_addf(out, "%s%s%s @%u\n", grant->published ? " published" : "",
		    grant->reason ? " because " : "", grant->reason ? grant->reason : "",
		    grant->at.line);
}

static void dump_services(const struct ms_policy *policy, struct ms_str *out)
{
	ms_vec_each (struct ms_service, service, &policy->services) {
		ms_str_addf(out, "%s %s\n", service->identity, ms_mode_name(service->mode));
		ms_vec_each (struct ms_grant, grant, &service->allow)
			dump_grant("allow", grant, out);
		ms_vec_each (struct ms_grant, grant, &service->needs)
			dump_grant("needs", grant, out);
	}
}

static void dump_flow(const char *what, const struct ms_peer *from, const struct ms_peer *to,
		      const ms_ports_vec *ports, struct ms_str *out)
{
	ms_str_addf(out, "%s ", what);
	if (from)
		dump_peer(from, out);
	else
		ms_str_add(out, "anyone");
	ms_str_add(out, " -> ");
	dump_peer(to, out);
	dump_ports(ports, out);
}

static void dump_flows(const struct ms_policy *policy, struct ms_str *out)
{
	ms_vec_each (struct ms_crossing, crossing, &policy->crossings) {
		dump_flow("crossing", &crossing->from, &crossing->to, &crossing->ports, out);
		ms_str_addf(out, " until %lld\n", (long long)crossing->until);
	}
	ms_vec_each (struct ms_never, never, &policy->nevers) {
		dump_flow("never", never->any_source ? NULL : &never->from, &never->to,
			  &never->ports, out);
		ms_str_add_char(out, '\n');
	}
	ms_vec_each (struct ms_exception, exception, &policy->exceptions) {
		dump_flow(exception->id, &exception->from, &exception->to, &exception->ports, out);
		ms_str_addf(out, " until %lld\n", (long long)exception->until);
	}
	ms_vec_each (struct ms_policy_test, test, &policy->tests) {
		dump_flow("test", &test->from, &test->to, &test->ports, out);
		ms_str_addf(out, " %s %s\n", test->expect == MS_EXPECT_DENY ? "deny" : "allow",
			    test->by ? test->by : "-");
	}
}

struct good {
	const char *text, *model;
};

static void check_good(const char *frame, const struct good *rows, size_t n_rows,
		       void (*dump)(const struct ms_policy *policy, struct ms_str *out))
{
	for (size_t i = 0; i < n_rows; i++) {
		_cleanup_(ms_str_fini) struct ms_str model = {0}, diags = {0};
		struct loaded loaded;

		load(&loaded, ms_policy_load_ungated, frame, rows[i].text);
		dump_diags(&loaded, &diags);
		if (loaded.r < 0)
			fail_msg("row %zu: %s", i, diags.text);
		dump(loaded.policy, &model);
		assert_string_equal(model.text ? model.text : "", rows[i].model);
		done(&loaded);
	}
}

static void every_peer_gets_a_grant_of_its_own(void **state)
{
	static const struct good rows[] = {
		{DB
		 "allow:\n  - {from: [web, dev/web, self, host, \"*\"], ports: [pg, tcp/5433]}\n",
		 "prod/db enforce\n"
		 " allow prod/web tcp/5432-5433 @7\n"
		 " allow dev/web tcp/5432-5433 @7\n"
		 " allow self=prod/db tcp/5432-5433 @7\n"
		 " allow host tcp/5432-5433 @7\n"
		 " allow prod/* tcp/5432-5433 @7\n"},
		{DB "allow:\n  - from: web\n    ports: pg\n    ping: true\n    reason: shop\n",
		 "prod/db enforce\n allow prod/web icmp/8 tcp/5432 icmp6/128 because shop @7\n"},
		{DB "allow:\n  from: web\n  ports: any\n",
		 "prod/db enforce\n allow prod/web icmp/0-255 tcp/0-65535 udp/0-65535 icmp6/0-255 sctp/0-65535 @7\n"},
		{DB
		 "allow:\n  - {from: {net: office, except: [10.20.0.0/24]}, ports: [pg], published: true}\n",
		 "prod/db enforce\n"
		 " allow net(office except 10.20.0.0/24) 10.20.1.0-10.20.255.255 tcp/5432 published @7\n"},
		{DB "allow:\n  - {from: [{node: node-a}, {node: \"*\"}], ports: [proto/47]}\n",
		 "prod/db enforce\n allow node=node-a proto/47 @7\n allow node=* proto/47 @7\n"},
		{DB
		 "needs:\n  - {to: {net: [\"::/0\", 127.0.0.0/8, 224.0.0.0/4, 169.254.0.0/16, 10.0.0.1]}, "
		 "ports: [udp/53]}\n",
		 "prod/db enforce\n"
		 " needs net(::/0, 127.0.0.0/8, 224.0.0.0/4, 169.254.0.0/16, 10.0.0.1) 10.0.0.1-10.0.0.1"
		 " ::2-fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
		 " fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff udp/53 @7\n"},
		{HEAD("db",
		      "[prod, dev]") "mode: audit\nports: {pg: tcp/1}\nallow:\n  - {from: [web, prod/x], ports: "
				     "[pg]}\n",
		 "dev/db audit\n allow dev/web tcp/1 @8\n allow prod/x tcp/1 @8\n"
		 "prod/db audit\n allow prod/web tcp/1 @8\n allow prod/x tcp/1 @8\n"},
		{HEAD("db", "dev"), "dev/db audit\n"},
	};
	(void)state;
	check_good(FRAME_NODES, rows, N(rows), dump_services);
}

static void port_names_mean_what_the_provider_says(void **state)
{
	static const struct good rows[] = {
		{DB WEB "needs:\n  - {to: db, ports: [pg, tcp/80]}\n",
		 "prod/db enforce\nprod/web enforce\n needs prod/db tcp/80 tcp/5432 @12\n"},
		/* of several providers, each that has the name */
		{DB WEB "ports: {http: tcp/80}\nneeds:\n  - {to: [db, self], ports: [pg]}\n",
		 "prod/db enforce\nprod/web enforce\n needs prod/db tcp/5432 @13\n"},
		{DB WEB
		 "ports: {metrics: tcp/9180}\nneeds:\n  - {to: [db, self], ports: [metrics], ping: true}\n",
		 "prod/db enforce\nprod/web enforce\n"
		 " needs prod/db icmp/8 tcp/9187 icmp6/128 @13\n"
		 " needs self=prod/web icmp/8 tcp/9180 icmp6/128 @13\n"},
		{DB WEB
		 "ports: {metrics: tcp/9180}\nneeds:\n  - {to: \"*\", ports: [metrics, tcp/22]}\n",
		 "prod/db enforce\nprod/web enforce\n"
		 " needs prod/* tcp/22 @13\n"
		 " needs prod/db tcp/9187 @13\n"
		 " needs prod/web tcp/9180 @13\n"},
	};
	(void)state;
	check_good(FRAME, rows, N(rows), dump_services);
}

static void documents_for_every_service_are_joined(void **state)
{
	static const struct good rows[] = {
		{DB WEB "---\n" HEAD(
			 "\"*\"",
			 "[prod, dev]") "allow:\n  - {from: [metrics, self], ports: [tcp/9100]}\n"
					"needs:\n  - {to: host, ports: [udp/514]}\n",
		 "prod/db enforce\n"
		 " allow prod/metrics tcp/9100 @17\n allow self=prod/db tcp/9100 @17\n needs host udp/514 @19\n"
		 "prod/web enforce\n"
		 " allow prod/metrics tcp/9100 @17\n allow self=prod/web tcp/9100 @17\n needs host udp/514 @19\n"},
		/* a name that only some services have, and one that the document brings along */
		{DB WEB
		 "---\n" HEAD("\"*\"", "prod") "ports: {exporter: tcp/9100}\n"
					       "allow:\n  - {from: prometheus, ports: [metrics]}\n"
					       "  - {from: prometheus, ports: [exporter]}\n",
		 "prod/db enforce\n"
		 " allow prod/prometheus tcp/9187 @18\n allow prod/prometheus tcp/9100 @19\n"
		 "prod/web enforce\n"
		 " allow prod/prometheus tcp/9100 @19\n"},
		/* the service's own port of that name wins */
		{DB
		 "---\n" HEAD("\"*\"", "prod") "ports: {metrics: tcp/9100}\n"
					       "allow:\n  - {from: prometheus, ports: [metrics]}\n",
		 "prod/db enforce\n allow prod/prometheus tcp/9187 @13\n"},
		{DB "---\n" HEAD("\"*\"", "dev") "allow:\n  - {from: x, ports: [tcp/1]}\n",
		 "prod/db enforce\n"},
	};
	(void)state;
	check_good(FRAME, rows, N(rows), dump_services);
}

static void a_port_that_a_service_has_is_not_joined_again(void **state)
{
	static const char text[] =
		DB "---\n" HEAD("\"*\"", "prod") "ports: {metrics: tcp/9100, exporter: tcp/9101}\n";
	struct loaded loaded;

	(void)state;
	load(&loaded, ms_policy_load, FRAME, text);
	assert_int_equal(loaded.r, 0);
	const struct ms_service *db = ms_policy_service(loaded.policy, "prod", "db");
	assert_int_equal(db->ports.n_items, 3);
	assert_string_equal(db->ports.items[2].name, "exporter");
	assert_int_equal(db->ports.items[1].ports.first, 9187);
	done(&loaded);
}

static void flows_of_the_fleet_are_multiplied_out(void **state)
{
	static const struct good rows[] = {
		{ENVIRONMENTS
		 "environments: {dev: {mode: audit}, prod: {mode: audit}}\n"
		 "crossings:\n"
		 "  - {from: [prod/a, prod/b], to: dev/*, ports: [tcp/9100], until: 2026-12-01T18:00:00Z}\n"
		 "never:\n"
		 "  - {to: {net: [169.254.169.254/32, \"fd00:ec2::254/128\"]}, reason: cloud metadata}\n"
		 "  - {from: [dev/*, host], to: prod/db, ports: [tcp/5432]}\n"
		 "tests:\n"
		 "  - {from: dev/a, to: [prod/db, host], ports: [tcp/1], expect: deny, by: fence}\n",
		 "crossing prod/a -> dev/* tcp/9100 until 1796148000\n"
		 "crossing prod/b -> dev/* tcp/9100 until 1796148000\n"
		 "never anyone -> net(169.254.169.254/32, fd00:ec2::254/128) 169.254.169.254-169.254.169.254 "
		 "fd00:ec2::254-fd00:ec2::254\n"
		 "never dev/* -> prod/db tcp/5432\n"
		 "never host -> prod/db tcp/5432\n"
		 "test dev/a -> prod/db tcp/1 deny fence\n"
		 "test dev/a -> host tcp/1 deny fence\n"},
	};
	static const struct good framed_rows[] = {
		{DB WEB "---\n" EXCEPTION, "exc-1 prod/web -> prod/db tcp/5432 until 1796169600\n"},
		{DB "tests:\n  - {from: web, ports: [pg], expect: allow}\n"
		    "  - {from: self, to: {net: 10.0.0.0/8}, ports: [tcp/1], expect: deny}\n",
		 "test prod/web -> prod/db tcp/5432 allow -\n"
		 "test self=prod/db -> net(10.0.0.0/8) 10.0.0.0-10.255.255.255 tcp/1 deny -\n"},
		/* what names its ends in full is one test, not one in each environment */
		{HEAD("db",
		      "[prod, dev]") "tests:\n"
				     "  - {from: prod/web, to: dev/db, ports: [tcp/1], expect: deny, by: fence}\n"
				     "  - {from: prod/web, ports: [tcp/2], expect: deny}\n",
		 "test prod/web -> dev/db tcp/1 deny fence\n"
		 "test prod/web -> prod/db tcp/2 deny -\n"
		 "test prod/web -> dev/db tcp/2 deny -\n"},
		{DB "---\n" HEAD("\"*\"",
				 "prod") "tests:\n  - {from: web, ports: [tcp/1], expect: deny}\n",
		 "test prod/web -> prod/* tcp/1 deny -\n"},
	};
	(void)state;
	check_good(NULL, rows, N(rows), dump_flows);
	check_good(FRAME, framed_rows, N(framed_rows), dump_flows);
}

static void internet_is_global_unicast_of_both_families(void **state)
{
	static const struct {
		const char *addr;
		bool internet;
	} rows[] = {
		{"0.255.255.255", false}, {"1.0.0.0", true},	      {"9.255.255.255", true},
		{"10.0.0.0", false},	  {"11.0.0.0", true},	      {"100.63.255.255", true},
		{"100.64.0.0", false},	  {"100.127.255.255", false}, {"100.128.0.0", true},
		{"127.0.0.1", false},	  {"169.254.1.1", false},     {"172.15.255.255", true},
		{"172.16.0.0", false},	  {"172.32.0.0", true},	      {"192.0.0.8", false},
		{"192.0.1.0", true},	  {"192.0.2.1", false},	      {"192.167.255.255", true},
		{"192.168.0.1", false},	  {"198.18.0.1", false},      {"198.20.0.0", true},
		{"198.51.100.1", false},  {"203.0.113.1", false},     {"223.255.255.255", true},
		{"224.0.0.1", false},	  {"240.0.0.1", false},	      {"255.255.255.255", false},
		{"8.8.8.8", true},	  {"2000::", true},	      {"2001:db8::1", false},
		{"2001:db7::1", true},	  {"3fff:ffff::", true},      {"4000::", false},
		{"fd00::1", false},	  {"fe80::1", false},	      {"ff02::1", false},
		{"::1", false},		  {"64:ff9b::1", false},
	};
	static const char text[] = DB "needs:\n  - {to: {net: internet}, ports: [tcp/443]}\n";
	struct loaded loaded;

	(void)state;
	load(&loaded, ms_policy_load, FRAME, text);
	assert_int_equal(loaded.r, 0);
	const struct ms_service *db = ms_policy_service(loaded.policy, "prod", "db");

	for (size_t i = 0; i < N(rows); i++) {
		struct ms_addr addr;

		assert_int_equal(ms_addr_parse(rows[i].addr, &addr), 0);
		if (ms_ranges_contain(&db->needs.items[0].peer.ranges, &addr) != rows[i].internet)
			fail_msg("%s", rows[i].addr);
	}
	done(&loaded);
}

static void environments_are_read_whole(void **state)
{
	static const char text[] = ENVIRONMENTS
		"identity: {env: [a, b+c], service: d}\n"
		"environments:\n"
		"  prod: {mode: audit, two_key: true, resolvers: [10.0.0.53, \"fd00::53\", gateway],\n"
		"         match: {labels: {tier: [db, 'x*']}, name: web, address: [10.0.0.0/8]}}\n"
		"  dev: {}\n"
		"nodes: {node-b: [192.0.2.2, \"2001:db8::2\"], node-a: 192.0.2.1}\n"
		"refuse: {east_west: drop, ingress: reject}\n";
	struct loaded loaded;

	(void)state;
	load(&loaded, ms_policy_load_ungated, NULL, text);
	assert_int_equal(loaded.r, 0);
	const struct ms_policy *policy = loaded.policy;
	const struct ms_env *prod = ms_policy_env(policy, "prod"),
			    *dev = ms_policy_env(policy, "dev");

	assert_string_equal(policy->envs.items[0].name, "dev");
	assert_null(ms_policy_env(policy, "qa"));
	assert_int_equal(policy->environments_at.line, 1);
	assert_string_equal(policy->environments_at.file, "t.yaml");
	assert_int_equal(policy->env_labels.n_items, 2);
	assert_string_equal(policy->env_labels.items[1].labels.items[1], "c");
	assert_string_equal(policy->service_labels.items[0].labels.items[0], "d");
	assert_int_equal(prod->mode, MS_MODE_AUDIT);
	assert_true(prod->two_key);
	assert_true(prod->gateway_resolver);
	assert_int_equal(prod->resolvers.n_items, 2);
	assert_true(prod->match.present);
	assert_string_equal(prod->match.labels.items[0].label, "tier");
	assert_string_equal(prod->match.labels.items[0].values.items[1], "x*");
	assert_string_equal(prod->match.name.items[0], "web");
	assert_int_equal(prod->match.address.n_items, 1);
	assert_int_equal(dev->mode, MS_MODE_ENFORCE);
	assert_false(dev->match.present);
	assert_string_equal(policy->nodes.items[0].name, "node-a");
	assert_int_equal(policy->nodes.items[1].addrs.n_items, 2);
	assert_int_equal(policy->refuse[MS_EAST_WEST], MS_REFUSE_DROP);
	assert_int_equal(policy->refuse[MS_EGRESS], MS_REFUSE_REJECT);
	assert_int_equal(policy->refuse[MS_INGRESS], MS_REFUSE_REJECT);
	done(&loaded);
}

static void defaults_are_the_safe_ones(void **state)
{
	struct loaded loaded;

	(void)state;
	load(&loaded, ms_policy_load, NULL, ENVIRONMENTS "environments: {prod: {}}\n");
	assert_int_equal(loaded.r, 0);
	assert_int_equal(loaded.policy->unidentified, MS_MODE_ENFORCE);
	assert_int_equal(loaded.policy->envs.items[0].mode, MS_MODE_ENFORCE);
	assert_int_equal(loaded.policy->refuse[MS_EAST_WEST], MS_REFUSE_REJECT);
	assert_int_equal(loaded.policy->refuse[MS_INGRESS], MS_REFUSE_DROP);
	assert_string_equal(loaded.policy->env_labels.items[0].labels.items[0], "io.microseg.env");
	assert_string_equal(loaded.policy->service_labels.items[0].labels.items[0],
			    "io.microseg.service");
	done(&loaded);
}

static void the_order_of_files_and_documents_shows_nowhere(void **state)
{
	static const char db[] = DB "allow:\n  - {from: web, ports: [pg]}\n",
			  web[] = HEAD("web", "[prod, dev]");
	const struct ms_policy_file files[] = {{"a.yaml", db, strlen(db)},
					       {"b.yaml", web, strlen(web)},
					       {"c.yaml", FRAME, strlen(FRAME)}};
	const struct ms_policy_file turned[] = {files[2], files[1], files[0]};
	const struct ms_policy_file renamed[] = {files[2], files[1], {"a2.yaml", db, strlen(db)}};
	_cleanup_(ms_policy_freep) struct ms_policy *one = NULL;
	_cleanup_(ms_policy_freep) struct ms_policy *two = NULL;
	_cleanup_(ms_policy_freep) struct ms_policy *three = NULL;
	_cleanup_(ms_str_fini) struct ms_str first = {0}, second = {0};
	struct ms_diags diags;

	(void)state;
	assert_int_equal(ms_diags_init(&diags), 0);
	assert_int_equal(ms_policy_load(files, 3, NOW, &diags, &one), 0);
	assert_int_equal(ms_policy_load(turned, 3, NOW, &diags, &two), 0);
	assert_int_equal(ms_policy_load(renamed, 3, NOW, &diags, &three), 0);
	dump_services(one, &first);
	dump_services(two, &second);
	assert_string_equal(first.text, second.text);
	assert_true(one->hash == two->hash);
	assert_true(one->hash != three->hash);
	assert_int_equal(one->services.n_items, 3);
	assert_ptr_equal(ms_policy_service(one, "prod", "web"), &one->services.items[2]);
	assert_null(ms_policy_service(one, "dev", "db"));
	ms_diags_fini(&diags);
}

static void a_load_takes_a_limited_number_of_files(void **state)
{
	_cleanup_(freep) struct ms_policy_file *files = calloc(MS_MAX_FILES + 1, sizeof(*files));

	(void)state;
	assert_non_null(files);
	for (size_t n = MS_MAX_FILES; n <= MS_MAX_FILES + 1; n++) {
		_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;
		struct ms_diags diags;

		assert_int_equal(ms_diags_init(&diags), 0);
		for (size_t i = 0; i < n; i++)
			files[i] = (struct ms_policy_file){"t.yaml", "", 0};
		assert_int_equal(ms_policy_load(files, n, NOW, &diags, &policy), -EINVAL);
		assert_int_equal(diags.n_errors, 1);
		assert_string_equal(diags.list.items[0].code,
				    n > MS_MAX_FILES ? "too-many-files" : "no-environments");
		ms_diags_fini(&diags);
	}
}

static void names_are_checked(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{"web", true},
		{"orders-db", true},
		{"A.b_c-9", true},
		{"hosts", true},
		{"", false},
		{"9a", false},
		{"-a", false},
		{"a/b", false},
		{"a b", false},
		{"\xc3\xbc", false},
		{"host", false},
		{"self", false},
		{"net", false},
		{"node", false},
		{"any", false},
		{"internet", false},
		{"*", false},
		{"gateway", false},
		{"unidentified", false},
		{"a12345678901234567890123456789012345678901234567890123456789012", true},
		{"a123456789012345678901234567890123456789012345678901234567890123", false},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		assert_int_equal(ms_name_valid(rows[i].name), rows[i].valid);
}

static void times_and_durations_are_read(void **state)
{
	static const struct {
		const char *text;
		long long time; /* -1: refused */
	} times[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2026-12-01T18:00:00Z", 1796148000},
		{"2024-02-29T00:00:00Z", 1709164800},
		{"2000-03-01T00:00:00Z", 951868800},
		{"2026-12-01T18:00:00+02:00", 1796140800},
		{"2026-12-01T18:00:00-00:30", 1796149800},
		{"2023-02-29T00:00:00Z", -1},
		{"2100-02-29T00:00:00Z", -1},
		{"2026-13-01T00:00:00Z", -1},
		{"2026-12-01T24:00:00Z", -1},
		{"2026-12-01 18:00:00Z", -1},
		{"2026-12-01T18:00:00", -1},
		{"2026-12-01T18:00:00Zx", -1},
		{"2026-12-01", -1},
		{"26-12-01T18:00:00Z", -1},
		{"2026-12-01T18:00:00+2", -1},
		{"", -1},
	};
	static const struct {
		const char *text;
		long long seconds;
	} durations[] = {
		{"30d", 2592000}, {"1s", 1}, {"90m", 5400},	  {"12h", 43200}, {"2w", 1209600},
		{"30", -1},	  {"d", -1}, {"0d", -1},	  {"1y", -1},	  {"1d12h", -1},
		{"-1d", -1},	  {"", -1},  {"9999999999s", -1},
	};
	(void)state;
	for (size_t i = 0; i < N(times); i++) {
		time_t time = -1;

		assert_int_equal(ms_time_parse(times[i].text, &time),
				 times[i].time < 0 ? -EINVAL : 0);
		assert_int_equal(time, times[i].time);
	}
	for (size_t i = 0; i < N(durations); i++) {
		time_t seconds = -1;

		assert_int_equal(ms_duration_parse(durations[i].text, &seconds),
				 durations[i].seconds < 0 ? -EINVAL : 0);
		assert_int_equal(seconds, durations[i].seconds);
	}
}

static void every_row_of_the_schema_says_what_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < ms_n_schema_keys; i++) {
		const struct ms_schema_key *key = &ms_schema_keys[i];

		assert_non_null(key->description);
		assert_non_null(key->example);
		assert_non_null(ms_section_name(key->in));
		/* no key twice, and no section in two places */
		assert_ptr_equal(ms_schema_key(key->in, key->name), key);
		assert_true((key->value == MS_VALUE_CHOICE) == (key->choices != NULL));
		assert_non_null(ms_value_types[key->value].expected);
		assert_true((key->value == MS_VALUE_PEER || key->in == MS_SECTION_PEER) ==
			    (key->peers != 0));
	}
}

/* tests/golden/schema.py holds the JSON Schema against the loader; here it is that nothing is left
 * out. */
static void the_language_is_printed_whole(void **state)
{
	_cleanup_(ms_str_fini) struct ms_str page = {0}, json = {0};

	(void)state;
	assert_int_equal(ms_schema_print_page(&page), 0);
	assert_int_equal(ms_schema_print_json(&json), 0);
	for (size_t i = 0; i < ms_n_schema_keys; i++) {
		const struct ms_schema_key *key = &ms_schema_keys[i];
		char row[64], property[64];

		snprintf(row, sizeof(row), "| `%s` |", key->name);
		snprintf(property, sizeof(property), "\"%s\": {", key->name);
		if (ms_section_is_runtime(key->in))
			continue;
		assert_non_null(strstr(page.text, row));
		bool held_back = ms_gate_what(key->in, key->name) || ms_gate_what(key->in, "kind");
		assert_true(held_back || strstr(json.text, property));
	}
	assert_non_null(strstr(page.text, "## Exception document\n\n|"));
	assert_null(strstr(json.text, "\"fqdn\""));
	assert_non_null(strstr(json.text, "Exception"));
	assert_null(strstr(page.text, "Quarantine"));
	assert_null(strstr(json.text, "Quarantine"));
}

static void patterns_say_what_checks_do(void **state)
{
	(void)state;
	for (enum ms_value i = 0; i < MS_N_VALUES; i++) {
		const struct ms_value_type *type = &ms_value_types[i];
		struct ms_complaint complaint = {0};
		const char *word;

		assert_true(!type->pattern || type->check);
		for (size_t j = 0; type->is_name && (word = ms_reserved_word(j)); j++)
			assert_int_equal(type->check(word, &complaint),
					 type->but_word && strcmp(type->but_word, word) == 0);
	}
}

static char *read_file(const char *name, size_t *ret_size)
{
	const char *root = getenv("MS_SOURCE_ROOT");
	char path[4096];

	snprintf(path, sizeof(path), "%s/policies/shop/%s", root ? root : ".", name);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	char *bytes = calloc(1, MS_MAX_FILE_SIZE);
	assert_non_null(bytes);
	*ret_size = fread(bytes, 1, MS_MAX_FILE_SIZE, file);
	fclose(file);
	return bytes;
}

static void the_shop_loads_without_a_warning(void **state)
{
	static const char *const names[] = {
		"environments.yaml", "platform.yaml",  "edge.yaml",   "web.yaml",
		"orders-api.yaml",   "orders-db.yaml", "cache.yaml",  "metrics.yaml",
		"payments.yaml",     "queue.yaml",     "mailer.yaml", "exceptions.yaml",
	};
	struct ms_policy_file files[N(names)] = {0};
	_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	struct ms_diags diags;

	(void)state;
	assert_int_equal(ms_diags_init(&diags), 0);
	for (size_t i = 0; i < N(names); i++) {
		files[i].name = names[i];
		files[i].bytes = read_file(names[i], &files[i].size);
	}
	int r = ms_policy_load(files, N(names), SHOP_NOW, &diags, &policy);
	ms_diags_print(&diags, &text, false);
	assert_string_equal(text.text ? text.text : "", "");
	assert_int_equal(r, 0);
	assert_int_equal(policy->services.n_items, 18);
	assert_true(policy->tests.n_items > 60);
	for (size_t i = 0; i < N(names); i++)
		free((char *)files[i].bytes);
	ms_diags_fini(&diags);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(form_errors_have_a_code_and_a_place),
		cmocka_unit_test(meaning_errors_have_a_code_and_a_place),
		cmocka_unit_test(environments_errors_have_a_code_and_a_place),
		cmocka_unit_test(what_is_not_built_yet_is_refused_by_name),
		cmocka_unit_test(a_service_carries_what_can_be_net),
		cmocka_unit_test(behind_the_gate_the_language_is_checked_too),
		cmocka_unit_test(warnings_do_not_stop_a_load),
		cmocka_unit_test(one_mistake_hides_no_other_and_makes_no_second),
		cmocka_unit_test(every_peer_gets_a_grant_of_its_own),
		cmocka_unit_test(port_names_mean_what_the_provider_says),
		cmocka_unit_test(documents_for_every_service_are_joined),
		cmocka_unit_test(a_port_that_a_service_has_is_not_joined_again),
		cmocka_unit_test(flows_of_the_fleet_are_multiplied_out),
		cmocka_unit_test(internet_is_global_unicast_of_both_families),
		cmocka_unit_test(environments_are_read_whole),
		cmocka_unit_test(defaults_are_the_safe_ones),
		cmocka_unit_test(the_order_of_files_and_documents_shows_nowhere),
		cmocka_unit_test(a_load_takes_a_limited_number_of_files),
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(times_and_durations_are_read),
		cmocka_unit_test(every_row_of_the_schema_says_what_it_is),
		cmocka_unit_test(the_language_is_printed_whole),
		cmocka_unit_test(patterns_say_what_checks_do),
		cmocka_unit_test(the_shop_loads_without_a_warning),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
