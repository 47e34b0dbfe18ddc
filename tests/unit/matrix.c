/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "matrix_random.h"
#include "microseg/cleanup.h"
#include "microseg/matrix.h"
#include "policy/load.h"

#define NOW 1000
#define LATER "2030-01-01T00:00:00Z"
#define PAST "1970-01-01T00:00:01Z"

#define HEAD "apiVersion: microseg/v1\n"
#define SERVICE "---\n" HEAD "kind: Service\n"
#define EXCEPTION "---\n" HEAD "kind: Exception\n"
#define ENVIRONMENTS(more)                                                                         \
	HEAD "kind: Environments\n"                                                                \
	     "identity: {env: [env], service: [service]}\n"                                        \
	     "unidentified: {mode: enforce}\n" more
#define PLAIN ENVIRONMENTS("environments: {prod: {mode: enforce}, dev: {mode: enforce}}\n")

struct loaded {
	struct ms_policy *policy;
	struct ms_inventory *inventory;
};

static void demand(int r, struct ms_diags *diags, const char *text)
{
	struct ms_str out = {0};

	if (r == 0)
		return;
	ms_diags_print(diags, &out, false);
	print_error("%s\n", out.text ? out.text : "");
	print_error("%s\n", text);
	fail();
}

static struct loaded load(const char *policy_text, const char *inventory_text)
{
	const struct ms_policy_file policy = {"p.yaml", policy_text, strlen(policy_text)};
	struct loaded loaded = {0};
	struct ms_diags diags;

	assert_int_equal(ms_diags_init(&diags), 0);
	demand(ms_policy_load_ungated(&policy, 1, NOW, &diags, &loaded.policy), &diags,
	       policy_text);
	if (inventory_text) {
		const struct ms_policy_file inventory = {"i.yaml", inventory_text,
							 strlen(inventory_text)};

		demand(ms_inventory_load(&inventory, &diags, &loaded.inventory), &diags,
		       inventory_text);
		assert_int_equal(ms_inventory_identify(loaded.inventory, loaded.policy), 0);
	}
	ms_diags_fini(&diags);
	return loaded;
}

static void unload(struct loaded *loaded)
{
	ms_policy_free(loaded->policy);
	ms_inventory_free(loaded->inventory);
}

static struct ms_matrix_view view_of(const struct loaded *loaded)
{
	return (struct ms_matrix_view){loaded->policy, loaded->inventory};
}

/* "prod/web -> prod/db tcp/5432 allow 12". */
static void print_matrix(const struct ms_matrix *matrix, struct ms_str *out)
{
	char ports[MS_PORTS_TEXT_SIZE];

	ms_vec_each (const struct ms_matrix_flow, flow, &matrix->flows)
		ms_str_addf(out, "%s -> %s %s %s %u%s\n", matrix->ends.items[flow->src].name,
			    matrix->ends.items[flow->dst].name,
			    ms_ports_format(&flow->ports, ports), ms_verdict_name(flow->verdict),
			    flow->policy.line, flow->published ? " published" : "");
}

static void print_diff(const struct ms_flow_diff *diff, struct ms_str *out)
{
	static const char *const reaches[] = {"none", "audit", "allow", "published"};
	char ports[MS_PORTS_TEXT_SIZE];

	ms_vec_each (const struct ms_flow_change, change, &diff->flows)
		ms_str_addf(out, "%c %s -> %s %s %s>%s%s\n",
			    ms_flow_change_is_gain(change) ? '+' : '-', change->src.name,
			    change->dst.name, ms_ports_format(&change->ports, ports),
			    reaches[change->was], reaches[change->now],
			    ms_flow_change_crosses(change) ? " crosses" : "");
	ms_vec_each (const struct ms_mode_change, change, &diff->modes)
		ms_str_addf(out, "%c %s %s%s\n", change->now == MS_MODE_AUDIT ? '+' : '-',
			    change->who, ms_mode_name(change->now),
			    change->crossing ? " crosses" : "");
}

static void check_text(size_t row, const char *what, struct ms_str *got, const char *expected)
{
	if (strcmp(got->text ? got->text : "", expected) != 0)
		fail_msg("row %zu, %s:\n%sexpected:\n%s", row, what, got->text ? got->text : "",
			 expected);
	ms_str_fini(got);
}

struct matrix_row {
	const char *what;
	const char *policy;
	const char *inventory; /* or NULL */
	const char *flows;
};

static void check_matrices(const struct matrix_row *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++) {
		struct loaded loaded = load(rows[i].policy, rows[i].inventory);
		struct ms_matrix_view view = view_of(&loaded);
		struct ms_matrix *matrix = NULL;
		struct ms_str text = {0};

		assert_int_equal(ms_matrix_make(&view, NULL, NOW, &matrix), 0);
		print_matrix(matrix, &text);
		check_text(i, rows[i].what, &text, rows[i].flows);
		ms_matrix_free(matrix);
		unload(&loaded);
	}
}

#define CHECK_MATRICES(rows) check_matrices(rows, sizeof(rows) / sizeof(*(rows)))

static void lists_what_identities_may_do(void **state)
{
	static const struct matrix_row rows[] = {
		{"an allow, by number and by name",
		 PLAIN SERVICE "service: db\nenv: prod\nports: {pg: tcp/5432}\nallow:\n"
			       "  - {from: api, ports: [pg]}\n"
			       "  - {from: self, ports: [tcp/1-3]}\n",
		 NULL,
		 "prod/api -> prod/db tcp/5432 allow 13\n"
		 "prod/db -> prod/db tcp/1-3 allow 14\n"},
		{"overlaps: every port once, with the line that decides",
		 PLAIN SERVICE "service: db\nenv: prod\nallow:\n"
			       "  - {from: api, ports: [tcp/10-20]}\n"
			       "  - {from: api, ports: [tcp/15-30]}\n"
			       "  - {from: \"*\", ports: [tcp/21]}\n",
		 NULL,
		 "prod/api -> prod/db tcp/10-20 allow 12\n"
		 "prod/api -> prod/db tcp/21-30 allow 13\n"
		 "prod/db -> prod/db tcp/21 allow 14\n"},
		{"two keys: the one allow has no needs, the other has",
		 ENVIRONMENTS("environments: {prod: {mode: enforce, two_key: true}}\n") SERVICE
		 "service: db\nenv: prod\nallow:\n  - {from: \"*\", ports: [tcp/1-9]}\n" SERVICE
		 "service: api\nenv: prod\nneeds:\n  - {to: db, ports: [tcp/5-20]}\n" SERVICE
		 "service: web\nenv: prod\n",
		 NULL, "prod/api -> prod/db tcp/5-9 allow 12\n"},
		{"a needs for every service meets an allow for every service",
		 ENVIRONMENTS("environments: {prod: {mode: enforce, two_key: true}}\n") SERVICE
		 "service: db\nenv: prod\nallow:\n  - {from: \"*\", ports: [tcp/1]}\n" SERVICE
		 "service: api\nenv: prod\nneeds:\n  - {to: prod/*, ports: [tcp/1]}\n",
		 NULL, "prod/api -> prod/db tcp/1 allow 12\n"},
		{"the fence, and the crossing that lifts it for its ports",
		 ENVIRONMENTS(
			 "environments: {prod: {mode: enforce}, dev: {mode: enforce}}\n"
			 "crossings:\n  - {from: prod/m, to: dev/*, ports: [tcp/9100], reason: x}\n")
			 SERVICE
		 "service: web\nenv: dev\nallow:\n  - {from: prod/m, ports: [tcp/9000-9200]}\n"
		 "  - {from: prod/other, ports: [tcp/9100]}\n" SERVICE "service: m\nenv: prod\n",
		 NULL, "prod/m -> dev/web tcp/9100 allow 14\n"},
		{"never cuts a hole",
		 ENVIRONMENTS(
			 "environments: {prod: {mode: enforce}}\n"
			 "never:\n  - {from: prod/a, to: prod/b, ports: [tcp/22], reason: x}\n")
			 SERVICE
		 "service: b\nenv: prod\nallow:\n  - {from: a, ports: [tcp/20-30]}\n" SERVICE
		 "service: a\nenv: prod\n",
		 NULL,
		 "prod/a -> prod/b tcp/20-21 allow 14\n"
		 "prod/a -> prod/b tcp/23-30 allow 14\n"},
		{"an exception that runs, and one that ran out",
		 PLAIN SERVICE
		 "service: db\nenv: prod\n" EXCEPTION
		 "id: a\nfrom: prod/shell\nto: prod/db\nports: [tcp/5432]\nuntil: 1970-01-02T00:00:00Z\n"
		 "reason: x\n" EXCEPTION
		 "id: b\nfrom: prod/shell\nto: prod/db\nports: [tcp/22]\nuntil: " PAST
		 "\nreason: x\n",
		 NULL, "prod/shell -> prod/db tcp/5432 allow 12\n"},
		{"audit: what a line names and nothing grants",
		 ENVIRONMENTS("environments: {dev: {mode: audit, two_key: true}}\n") SERVICE
		 "service: db\nenv: dev\nallow:\n  - {from: api, ports: [tcp/1-2]}\n" SERVICE
		 "service: api\nenv: dev\nneeds:\n  - {to: db, ports: [tcp/2-3]}\n",
		 NULL,
		 "dev/api -> dev/db tcp/1 audit 0\n"
		 "dev/api -> dev/db tcp/2 allow 12\n"
		 "dev/api -> dev/db tcp/3 audit 0\n"},
		{"audit: an allow and a needs for every service, and neither meets the other",
		 ENVIRONMENTS("environments: {dev: {mode: audit, two_key: true}}\n") SERVICE
		 "service: db\nenv: dev\nallow:\n  - {from: \"*\", ports: [tcp/1]}\n" SERVICE
		 "service: api\nenv: dev\nneeds:\n  - {to: dev/*, ports: [tcp/2]}\n",
		 NULL,
		 "dev/api -> dev/api tcp/2 audit 0\n"
		 "dev/api -> dev/db tcp/1-2 audit 0\n"
		 "dev/db -> dev/db tcp/1 audit 0\n"},
	};
	(void)state;
	CHECK_MATRICES(rows);
}

static void lists_what_the_outside_may_do(void **state)
{
	static const char inventory[] = HEAD
		"kind: Inventory\nnode: n\nhosts: [192.0.2.1]\n"
		"endpoints:\n"
		"  - {name: dns-1, addresses: [10.0.0.53], labels: {env: prod, service: dns}}\n"
		"  - {name: new-1, addresses: [10.0.0.7], labels: {env: prod, service: new}}\n";
	static const struct matrix_row rows[] = {
		{"host and nodes, the named ones apart from the others",
		 ENVIRONMENTS(
			 "environments: {prod: {mode: enforce}}\nnodes: {b: [192.0.2.2], c: [192.0.2.3]}\n")
			 SERVICE
		 "service: db\nenv: prod\nallow:\n  - {from: host, ports: [tcp/1]}\n"
		 "  - {from: {node: b}, ports: [tcp/2], published: true}\n"
		 "needs:\n  - {to: {node: \"*\"}, ports: [udp/514]}\n  - {to: host, ports: [udp/123]}\n",
		 NULL,
		 "prod/db -> host udp/123 allow 17\n"
		 "prod/db -> node/* udp/514 allow 16\n"
		 "prod/db -> node/b udp/514 allow 16\n"
		 "host -> prod/db tcp/1 allow 13\n"
		 "node/b -> prod/db tcp/2 allow 14 published\n"},
		{"nets that overlap, and one that is not published",
		 ENVIRONMENTS("environments: {prod: {mode: enforce}}\nnets: {dba: [10.8.0.0/24]}\n")
			 SERVICE
		 "service: db\nenv: prod\nallow:\n"
		 "  - {from: {net: dba}, ports: [tcp/5432], published: true}\n"
		 "  - {from: {net: 10.0.0.0/8, except: 10.9.0.0/16}, ports: [tcp/80, tcp/5432]}\n",
		 NULL,
		 "net:10.0.0.0/8 except 10.9.0.0/16 -> prod/db tcp/80 allow 14\n"
		 "net:10.0.0.0/8 except 10.9.0.0/16, 10.8.0.0/24 -> prod/db tcp/5432 allow 14\n"
		 "net:dba -> prod/db tcp/5432 allow 13 published\n"},
		{"never in the middle of a net",
		 ENVIRONMENTS(
			 "environments: {prod: {mode: enforce}}\n"
			 "never:\n  - {to: {net: 10.0.0.128/25}, ports: [tcp/22], reason: x}\n")
			 SERVICE
		 "service: a\nenv: prod\nneeds:\n  - {to: {net: 10.0.0.0/24}, ports: [tcp/20-25]}\n",
		 NULL,
		 "prod/a -> net:10.0.0.0/24 tcp/20-21 allow 14\n"
		 "prod/a -> net:10.0.0.0/24 tcp/23-25 allow 14\n"
		 "prod/a -> net:10.0.0.0/24 except 10.0.0.128/25 tcp/22 allow 14\n"},
		{"both families, to the last address",
		 PLAIN SERVICE "service: a\nenv: prod\nneeds:\n"
			       "  - {to: {net: [240.0.0.0/4, \"f000::/4\"]}, ports: [tcp/1]}\n",
		 NULL, "prod/a -> net:240.0.0.0/4, f000::/4 tcp/1 allow 12\n"},
		{"resolvers: outside, the host, and an endpoint",
		 ENVIRONMENTS(
			 "environments: {prod: {mode: enforce, resolvers: [10.0.0.53, 192.0.2.1, 192.0.2.53]}}\n")
			 SERVICE "service: web\nenv: prod\n",
		 inventory,
		 "prod/dns -> prod/dns tcp/53 allow 5\nprod/dns -> prod/dns udp/53 allow 5\n"
		 "prod/dns -> host tcp/53 allow 5\nprod/dns -> host udp/53 allow 5\n"
		 "prod/dns -> net:192.0.2.53/32 tcp/53 allow 5\nprod/dns -> net:192.0.2.53/32 udp/53 allow 5\n"
		 "prod/new -> prod/dns tcp/53 allow 5\nprod/new -> prod/dns udp/53 allow 5\n"
		 "prod/new -> host tcp/53 allow 5\nprod/new -> host udp/53 allow 5\n"
		 "prod/new -> net:192.0.2.53/32 tcp/53 allow 5\nprod/new -> net:192.0.2.53/32 udp/53 allow 5\n"
		 "prod/web -> prod/dns tcp/53 allow 5\nprod/web -> prod/dns udp/53 allow 5\n"
		 "prod/web -> host tcp/53 allow 5\nprod/web -> host udp/53 allow 5\n"
		 "prod/web -> net:192.0.2.53/32 tcp/53 allow 5\nprod/web -> net:192.0.2.53/32 udp/53 allow 5\n"},
	};
	(void)state;
	CHECK_MATRICES(rows);
}

struct diff_row {
	const char *what;
	const char *from, *to;
	const char *changes;
	size_t n_crossings;
};

static void says_which_flows_a_change_opens_and_closes(void **state)
{
#define DB(grants) SERVICE "service: db\nenv: prod\nallow:\n" grants
	static const struct diff_row rows[] = {
		{"nothing", PLAIN DB("  - {from: api, ports: [tcp/1]}\n"),
		 PLAIN DB("  - {from: api, ports: [tcp/1]}\n"), "", 0},
		{"the same said otherwise",
		 PLAIN DB(
			 "  - {from: api, ports: [tcp/1-9]}\n  - {from: {net: 10.0.0.0/8}, ports: [tcp/1]}\n"),
		 PLAIN DB("  - {from: {net: [10.0.0.0/9, 10.128.0.0/9]}, ports: [tcp/1]}\n"
			  "  - {from: api, ports: [tcp/1-4, tcp/5-9]}\n"),
		 "", 0},
		{"one more, one less", PLAIN DB("  - {from: api, ports: [tcp/1]}\n"),
		 PLAIN DB("  - {from: web, ports: [tcp/6379]}\n"),
		 "- prod/api -> prod/db tcp/1 allow>none\n"
		 "+ prod/web -> prod/db tcp/6379 none>allow\n",
		 0},
		{"part of a range", PLAIN DB("  - {from: api, ports: [tcp/10-20]}\n"),
		 PLAIN DB("  - {from: api, ports: [tcp/15-25]}\n"),
		 "- prod/api -> prod/db tcp/10-14 allow>none\n"
		 "+ prod/api -> prod/db tcp/21-25 none>allow\n",
		 0},
		{"a net that keeps its name and changes its addresses",
		 ENVIRONMENTS("environments: {prod: {mode: enforce}}\nnets: {dba: [10.8.0.0/24]}\n")
			 DB("  - {from: {net: dba}, ports: [tcp/1]}\n"),
		 ENVIRONMENTS(
			 "environments: {prod: {mode: enforce}}\nnets: {dba: [10.8.0.0/25, 10.9.0.0/24]}\n")
			 DB("  - {from: {net: dba}, ports: [tcp/1]}\n"),
		 "- net:10.8.0.128/25 -> prod/db tcp/1 allow>none\n"
		 "+ net:10.9.0.0/24 -> prod/db tcp/1 none>allow\n",
		 0},
		{"a node out of all nodes",
		 ENVIRONMENTS(
			 "environments: {prod: {mode: enforce}}\nnodes: {a: [192.0.2.1], b: [192.0.2.2]}\n")
			 DB("  - {from: {node: \"*\"}, ports: [tcp/1]}\n"),
		 ENVIRONMENTS(
			 "environments: {prod: {mode: enforce}}\nnodes: {a: [192.0.2.1], b: [192.0.2.2]}\n")
			 DB("  - {from: {node: a}, ports: [tcp/1], published: true}\n"),
		 "- node/* -> prod/db tcp/1 allow>none\n"
		 "+ node/a -> prod/db tcp/1 allow>published\n",
		 0},
		{"the fence falls",
		 ENVIRONMENTS("environments: {prod: {mode: enforce}, dev: {mode: enforce}}\n")
			 DB("  - {from: dev/x, ports: [tcp/1-2]}\n"),
		 ENVIRONMENTS(
			 "environments: {prod: {mode: enforce}, dev: {mode: enforce}}\n"
			 "crossings: [{from: dev/x, to: prod/db, ports: [tcp/2], reason: x}]\n")
			 DB("  - {from: dev/x, ports: [tcp/1-2]}\n"),
		 "+ dev/x -> prod/db tcp/2 none>allow crosses\n", 1},
		{"a crossing alone opens an audited provider",
		 ENVIRONMENTS("environments: {prod: {mode: enforce}, dev: {mode: audit}}\n") SERVICE
		 "service: w\nenv: dev\n" SERVICE "service: m\nenv: prod\n",
		 ENVIRONMENTS("environments: {prod: {mode: enforce}, dev: {mode: audit}}\n"
			      "crossings: [{from: prod/m, to: dev/*, ports: [tcp/2], reason: x}]\n")
			 SERVICE "service: w\nenv: dev\n" SERVICE "service: m\nenv: prod\n",
		 "+ prod/m -> dev/w tcp/2 none>audit crosses\n", 1},
		{"a mode opens everything at once, and the flows that a line names",
		 ENVIRONMENTS("environments: {prod: {mode: enforce}, dev: {mode: audit}}\n")
			 DB("  - {from: dev/x, ports: [tcp/1]}\n  - {from: api, ports: [tcp/1]}\n"),
		 ENVIRONMENTS("environments: {prod: {mode: audit}, dev: {mode: audit}}\n")
			 DB("  - {from: dev/x, ports: [tcp/1]}\n  - {from: api, ports: [tcp/1]}\n"),
		 "+ dev/x -> prod/db tcp/1 none>audit crosses\n"
		 "+ prod/* audit crosses\n",
		 2},
		{"a service's own mode", PLAIN SERVICE "service: db\nenv: prod\nmode: audit\n",
		 PLAIN SERVICE "service: db\nenv: prod\n", "- prod/db enforce\n", 0},
		{"a service that is gone, though its peers are not",
		 PLAIN DB("  - {from: [api, self], ports: [tcp/1]}\n"),
		 PLAIN SERVICE "service: api\nenv: prod\n",
		 "- prod/api -> prod/db tcp/1 allow>none\n"
		 "- prod/db -> prod/db tcp/1 allow>none\n",
		 0},
		{"a new service that every service of the environment could call before",
		 PLAIN DB("  - {from: \"*\", ports: [tcp/1]}\n"),
		 PLAIN DB("  - {from: \"*\", ports: [tcp/1]}\n") SERVICE
		 "service: new\nenv: prod\n",
		 "", 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct loaded from = load(rows[i].from, NULL), to = load(rows[i].to, NULL);
		struct ms_matrix_view before = view_of(&from), after = view_of(&to);
		struct ms_flow_diff diff;
		struct ms_str text = {0};

		assert_int_equal(ms_flow_diff_make(&before, &after, NOW, &diff), 0);
		print_diff(&diff, &text);
		check_text(i, rows[i].what, &text, rows[i].changes);
		assert_int_equal(diff.n_crossings, rows[i].n_crossings);
		assert_int_equal(diff.n_gains + diff.n_losses,
				 diff.flows.n_items + diff.modes.n_items);
		ms_flow_diff_fini(&diff);
		unload(&from);
		unload(&to);
	}
}

/* Random policies, held against the oracle. */

/* One flow that can be asked about: ends by name, an outside one by its address. */
struct probe {
	struct ms_party src, dst;
	const char *src_name, *dst_name; /* NULL: net */
	uint8_t proto;
	uint16_t port;
};

static const struct ms_addr *net_addr(const struct probe *probe)
{
	return probe->src_name ? &probe->dst.addr : &probe->src.addr;
}

static bool end_is(const struct ms_matrix_end *end, const char *name, const struct ms_addr *addr)
{
	if (!name)
		return end->kind == MS_PARTY_NET && ms_ranges_contain(&end->ranges, addr);
	return strcmp(end->name, name) == 0;
}

static const struct ms_matrix_flow *find_flow(const struct ms_matrix *matrix,
					      const struct probe *probe)
{
	const struct ms_matrix_flow *found = NULL;

	ms_vec_each (const struct ms_matrix_flow, flow, &matrix->flows) {
		if (!ms_ports_cover(&flow->ports, probe->proto, probe->port) ||
		    !end_is(&matrix->ends.items[flow->src], probe->src_name, net_addr(probe)) ||
		    !end_is(&matrix->ends.items[flow->dst], probe->dst_name, net_addr(probe)))
			continue;
		assert_null(found); /* every flow once */
		found = flow;
	}
	return found;
}

static enum ms_reach reach_of(const struct ms_matrix_flow *flow)
{
	if (!flow)
		return MS_REACH_NONE;
	if (flow->verdict == MS_AUDIT)
		return MS_REACH_AUDIT;
	return flow->published ? MS_REACH_PUBLISHED : MS_REACH_ALLOW;
}

static void probe_end(struct random *random, const struct ms_matrix_end *end,
		      struct ms_party *party, const char **name)
{
	*party = (struct ms_party){
		.kind = end->kind, .env = end->env, .service = end->service, .node = end->node};
	*name = end->name;
	if (end->kind == MS_PARTY_NODE && end->node) { /* its one address is a resolver too */
		party->has_addr = true;
		assert_int_equal(ms_addr_parse("192.0.2.1", &party->addr), 0);
	}
	if (end->kind == MS_PARTY_NET) {
		*name = NULL;
		party->has_addr = true;
		party->addr = random_addr(random);
	}
}

/* Any flow, or one at the edge of a flow of the matrix. */
static struct probe random_probe(struct random *random, const struct ms_matrix *matrix)
{
	uint32_t n_ends = (uint32_t)matrix->ends.n_items,
		 n_identities = (uint32_t)matrix->n_identities;
	bool egress = random_below(random, 2),
	     any = random_below(random, 2) || matrix->flows.n_items == 0;
	uint32_t src = random_below(random, egress ? n_identities : n_ends);
	uint32_t dst = random_below(random, egress ? n_ends : n_identities);
	struct probe probe;

	random_port(random, &probe.proto, &probe.port);
	if (!any) {
		const struct ms_matrix_flow *flow =
			&matrix->flows.items[random_below(random, (uint32_t)matrix->flows.n_items)];

		src = flow->src;
		dst = flow->dst;
		probe.proto = flow->ports.proto;
		probe.port =
			(uint16_t)((random_below(random, 2) ? flow->ports.first
							    : flow->ports.last) +
				   (probe.proto != IPPROTO_GRE ? random_below(random, 3) - 1 : 0));
	}
	probe_end(random, &matrix->ends.items[src], &probe.src, &probe.src_name);
	probe_end(random, &matrix->ends.items[dst], &probe.dst, &probe.dst_name);
	return probe;
}

static void check_probe(const struct ms_matrix *matrix, const struct loaded *loaded,
			const struct probe *probe, const char *text)
{
	const struct ms_matrix_flow *got = find_flow(matrix, probe);
	struct ms_flow flow = {
		.src = probe->src, .dst = probe->dst, .proto = probe->proto, .port = probe->port};
	struct ms_decision truth = ms_decide(loaded->policy, NULL, &flow, NOW, NULL);
	bool outsider = probe->src.kind == MS_PARTY_NET || probe->src.kind == MS_PARTY_NODE;
	uint32_t line = truth.policy ? truth.policy->line : 0;

	flow.published = true;
	bool published =
		outsider && ms_decide(loaded->policy, NULL, &flow, NOW, NULL).verdict == MS_ALLOW;
	if (!got && truth.verdict != MS_ALLOW)
		return; /* refused, or passes by the mode alone */
	if (!got && !truth.policy)
		return; /* the baseline, which no line names */
	if (!got || got->verdict != truth.verdict || got->policy.line != line ||
	    got->published != published)
		fail_msg(
			"%s -> %s proto %u port %u: %s line %u, but the matrix says %s line %u\n%s",
			probe->src_name ? probe->src_name : "net",
			probe->dst_name ? probe->dst_name : "net", probe->proto, probe->port,
			ms_verdict_name(truth.verdict), line,
			got ? ms_verdict_name(got->verdict) : "nothing", got ? got->policy.line : 0,
			text);
}

#define N_POLICIES 200
#define N_PROBES 400

static void agrees_with_the_oracle_on_random_policies(void **state)
{
	size_t n_allowed = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= N_POLICIES; seed++) {
		struct random random = {seed};
		struct ms_str text = {0};

		random_policy(&random, &text);
		struct loaded loaded = load(text.text, NULL);
		struct ms_matrix_view view = view_of(&loaded);
		struct ms_matrix *matrix = NULL;

		assert_int_equal(ms_matrix_make(&view, NULL, NOW, &matrix), 0);
		for (size_t i = 0; i < N_PROBES; i++) {
			struct probe probe = random_probe(&random, matrix);

			check_probe(matrix, &loaded, &probe, text.text);
			n_allowed += find_flow(matrix, &probe) != NULL;
		}
		ms_matrix_free(matrix);
		unload(&loaded);
		ms_str_fini(&text);
	}
	assert_true(n_allowed > N_POLICIES * N_PROBES / 20); /* the probes hit something */
}

/* What @diff makes of @was: the change that covers the flow says, else nothing changed. */
static enum ms_reach apply(const struct ms_flow_diff *diff, const struct probe *probe,
			   enum ms_reach was)
{
	bool found = false;

	ms_vec_each (const struct ms_flow_change, change, &diff->flows) {
		if (!ms_ports_cover(&change->ports, probe->proto, probe->port) ||
		    !end_is(&change->src, probe->src_name, net_addr(probe)) ||
		    !end_is(&change->dst, probe->dst_name, net_addr(probe)))
			continue;
		assert_false(found);
		assert_int_equal(change->was, was);
		was = change->now;
		found = true;
	}
	return was;
}

static void check_diff(struct random *random, const struct loaded *from, const struct loaded *to,
		       size_t *n_changed)
{
	struct ms_matrix_view before = view_of(from), after = view_of(to);
	struct ms_matrix *old = NULL, *new = NULL;
	struct ms_flow_diff diff;

	assert_int_equal(ms_matrix_make(&before, &after, NOW, &old), 0);
	assert_int_equal(ms_matrix_make(&after, &before, NOW, &new), 0);
	assert_int_equal(ms_flow_diff_make(&before, &after, NOW, &diff), 0);
	for (size_t i = 0; i < N_PROBES; i++) {
		struct probe probe = random_probe(random, i % 2 ? old : new);
		enum ms_reach was = reach_of(find_flow(old, &probe)),
			      now = reach_of(find_flow(new, &probe));

		assert_int_equal(apply(&diff, &probe, was), now);
		*n_changed += was != now;
	}
	ms_flow_diff_fini(&diff);
	ms_matrix_free(old);
	ms_matrix_free(new);
}

static void applying_a_diff_to_the_old_matrix_gives_the_new_one(void **state)
{
	size_t n_changed = 0;

	(void)state;
	for (uint32_t seed = 1; seed <= N_POLICIES; seed++) {
		struct random random = {seed * 7919};
		struct ms_str text[2] = {0};

		random_policy(&random, &text[0]);
		if (seed % 10) /* every tenth pair is one policy twice */
			random_policy(&random, &text[1]);
		struct loaded from = load(text[0].text, NULL);
		struct loaded to = load(text[seed % 10 ? 1 : 0].text, NULL);

		check_diff(&random, &from, &to, &n_changed);
		unload(&from);
		unload(&to);
		ms_str_fini(&text[0]);
		ms_str_fini(&text[1]);
	}
	assert_true(n_changed > N_POLICIES * N_PROBES / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_what_identities_may_do),
		cmocka_unit_test(lists_what_the_outside_may_do),
		cmocka_unit_test(says_which_flows_a_change_opens_and_closes),
		cmocka_unit_test(agrees_with_the_oracle_on_random_policies),
		cmocka_unit_test(applying_a_diff_to_the_old_matrix_gives_the_new_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
