/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "universe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/load.h"

static const struct {
	const char *service, *env;
	const char *list;
	enum universe_feature feature;
	const char *text;
} grants[] = {
	{"s", "a", "allow", FROM_SERVICE, "{from: t, ports: [tcp/80]}"},
	{"s", "a", "allow", FROM_SELF, "{from: self, ports: [tcp/81], ping: true}"},
	{"s", "a", "allow", FROM_HOST, "{from: host, ports: [tcp/80, icmp/8]}"},
	{"s", "a", "allow", FROM_NET,
	 "{from: {net: [198.51.100.0/24, \"2001:db8:1::/64\"], except: [198.51.100.2/32, \"2001:db8:1::2/128\"]}, "
	 "ports: [tcp/80-90, icmp6/128]}"},
	{"s", "a", "needs", NEEDS_NET,
	 "{to: {net: [0.0.0.0/0, \"::/0\"]}, ports: [tcp/443, proto/47]}"},
	{"s", "a", "needs", NEEDS_INTERNET, "{to: {net: internet}, ports: any}"},
	{"s", "a", "needs", NEEDS_HOST, "{to: host, ports: [udp/123, tcp/53]}"},
	{"t", "a", "allow", FROM_ALL, "{from: \"*\", ports: [sctp/80, udp/80-91], ping: true}"},
	{"t", "a", "allow", ACROSS, "{from: b/s, ports: any}"},
	{"\"*\"", "a", "allow", FOR_ALL, "{from: t, ports: [tcp/9100]}"},
	{"\"*\"", "a", "needs", FOR_ALL, "{to: {net: 203.0.113.0/24}, ports: [udp/91]}"},
	{"s", "a", "needs", NEEDS_SERVICE, "{to: [t, b/s, self], ports: any}"},
	{"t", "a", "needs", NEEDS_SERVICE, "{to: s, ports: [tcp/80]}"},
	{"t", "a", "needs", NEEDS_SERVICE, "{to: b/s, ports: [udp/53]}"},
	{"s", "b", "needs", NEEDS_SERVICE, "{to: [a/t, a/s], ports: [tcp/80]}"},
	{"s", "b", "allow", ACROSS, "{from: [a/t, a/s], ports: [udp/53, sctp/80, tcp/80]}"},
	{"s", "a", "allow", NODES, "{from: {node: n1}, ports: [tcp/91]}"},
	{"t", "a", "needs", NODES, "{to: {node: \"*\"}, ports: [tcp/91, udp/53]}"},
	{"s", "a", "allow", PUBLISHED,
	 "{from: {net: 198.51.100.0/24}, ports: [tcp/91], published: true}"},
	{"s", "b", "allow", FROM_ALL, "{from: [self, a/s, host], ports: any}"},
};

static const struct {
	const char *service, *env;
} documents[] = {{"s", "a"}, {"t", "a"}, {"\"*\"", "a"}, {"s", "b"}};

/* What somebody outside has too, and some of it an endpoint or a node. */
static const struct {
	const char *service, *env;
	const char *text;
} carriers[] = {
	{"t", "a", "[198.51.100.0/24, \"2001:db8:1::/64\", 10.0.0.0/28]"},
	{"s", "b", "[198.51.100.1/32, 203.0.113.0/24, 10.1.0.0/24, \"fd00:b::/64\"]"},
};

static const struct {
	enum universe_feature feature;
	const char *text;
} environments_keys[] = {
	{DROP, "refuse: {east_west: drop, egress: drop, ingress: reject}\n"},
	{NODES, "nodes: {n1: [203.0.113.1, \"2001:db8:2::1\"], n2: [198.51.100.2]}\n"},
	{CROSSINGS,
	 "  - {from: b/s, to: a/t, ports: [tcp/80-90, icmp/8], reason: one}\n"
	 "  - {from: b/*, to: a/s, ports: [tcp/80, udp/53], reason: two}\n"
	 "  - {from: a/t, to: b/*, ports: [udp/53, tcp/53, sctp/80], reason: three}\n"
	 "  - {from: a/s, to: b/s, ports: any, until: 1970-01-01T00:00:01Z, reason: over}\n"},
	{LENT_CROSSINGS,
	 "  - {from: b/s, to: a/t, ports: [tcp/85-95, udp/53], until: 1970-01-01T00:33:20Z}\n"
	 "  - {from: b/*, to: a/*, ports: [tcp/80, tcp/91, icmp/8], until: 1970-01-01T00:50:00Z}\n"
	 "  - {from: a/t, to: b/*, ports: [tcp/53, udp/53], until: 1970-01-01T00:50:00Z}\n"
	 "  - {from: a/*, to: b/s, ports: any, until: 1970-01-01T00:33:20Z}\n"},
	{NEVER,
	 "never:\n"
	 "  - {to: {net: 198.51.100.1/32}, reason: one}\n"
	 "  - {from: a/t, to: a/s, ports: [tcp/80], reason: two}\n"
	 "  - {from: host, to: a/t, ports: [udp/91], reason: three}\n"
	 "  - {from: {net: [198.51.100.0/24, \"2001:db8:1::/64\"]}, to: a/s, ports: [tcp/81], reason: four}\n"
	 "  - {to: b/u, ports: [tcp/90], reason: five}\n"},
};

#define AT_2000 "1970-01-01T00:33:20Z"
#define AT_3000 "1970-01-01T00:50:00Z"

const time_t universe_times[] = {UNIVERSE_NOW, 1999, 2000, 2999, 3000, 0};

static const struct {
	const char *from, *to, *ports, *until;
} exceptions[] = {
	{"a/t", "a/s", "tcp/91", AT_2000},
	{"a/t", "a/s", "tcp/90-91", AT_3000},
	{"b/s", "a/s", "tcp/91", AT_3000}, /* lifts no fence */
	{"b/s", "a/t", "udp/53", AT_3000},
	{"a/s", "host", "tcp/91, udp/53", AT_2000},
	{"host", "a/s", "tcp/91, icmp/8, icmp6/128", AT_3000},
	{"{net: 198.51.100.0/24}", "a/t", "tcp/91", AT_2000},
	{"a/t", "{net: [198.51.100.0/24, 203.0.113.0/24]}", "tcp/91, udp/53", AT_3000},
};

/* What commands add; the endpoints are one with an identity and one without. */
static const char relaxes[] =
	"apiVersion: microseg/v1\nkind: Relax\nid: r1\nof: a\nuntil: " AT_2000 "\n---\n"
	"apiVersion: microseg/v1\nkind: Relax\nid: r2\nof: a/s\nuntil: " AT_3000 "\n---\n"
	"apiVersion: microseg/v1\nkind: Relax\nid: r3\nof: b/u\nuntil: " AT_3000 "\n---\n"
	"apiVersion: microseg/v1\nkind: Relax\nid: r4\nof: b\nuntil: 1970-01-01T00:10:00Z\n---\n";
static const char quarantines[] =
	"apiVersion: microseg/v1\nkind: Quarantine\nid: q1\nof: a/t\n---\n"
	"apiVersion: microseg/v1\nkind: Quarantine\nid: q2\nof: bs1\n---\n"
	"apiVersion: microseg/v1\nkind: Quarantine\nid: q3\nof: x1\n---\n"
	"apiVersion: microseg/v1\nkind: Quarantine\nid: q4\nof: nobody\n---\n";

const char *const universe_sources[] = {
	"s1", "s2",   "t1",	      "t2",	      "bs1",	     "bu1",	 "x1",
	"x2", "host", "198.51.100.1", "198.51.100.2", "203.0.113.1", "behind-a", NULL,
};

const char *const universe_destinations[] = {
	"s1",		"s2",	       "t1",	       "t2",	      "bs1",	     "bu1",
	"x1",		"x2",	       "host",	       "gateway-a",   "gateway-b",   "198.51.100.1",
	"198.51.100.2", "203.0.113.1", "203.0.113.53", "224.0.0.251", "169.254.1.1", "10.0.0.99",
	"10.1.0.99",	"behind-b",    NULL,
};

const char *const universe_ports[] = {
	"tcp/80",    "tcp/81",	  "tcp/90",    "tcp/91",  "tcp/53",    "tcp/443",
	"tcp/9100",  "udp/53",	  "udp/67",    "udp/80",  "udp/91",    "udp/123",
	"sctp/80",   "sctp/81",	  "icmp/8",    "icmp/13", "icmp6/128", "icmp6/133",
	"icmp6/134", "icmp6/135", "icmp6/136", "icmp6/1", "proto/47",  NULL,
};

static const char *mode(uint32_t features, enum universe_feature feature)
{
	return features & BIT(feature) ? "audit" : "enforce";
}

static void add_environments(uint32_t features, struct ms_str *out)
{
	ms_str_addf(out,
		    "apiVersion: microseg/v1\n"
		    "kind: Environments\n"
		    "identity: {env: [env], service: [service]}\n"
		    "unidentified: {mode: %s}\n"
		    "environments:\n"
		    "  a:\n"
		    "    mode: %s\n",
		    mode(features, STRANGERS_AUDIT), mode(features, A_AUDITS));
	if (features & (BIT(RESOLVERS) | BIT(GATEWAY)))
		ms_str_addf(
			out, "    resolvers: [%s%s%s]\n",
			features & BIT(RESOLVERS)
				? "203.0.113.53, \"2001:db8:2::53\", 10.0.0.3, \"fd00:a::3\", 192.0.2.1, 10.0.0.11"
				: "",
			features & BIT(RESOLVERS) && features & BIT(GATEWAY) ? ", " : "",
			features & BIT(GATEWAY) ? "gateway" : "");
	if (features & BIT(TWO_KEY))
		ms_str_add(out, "    two_key: true\n");
	ms_str_addf(out, "  b: {mode: %s}\n", mode(features, B_AUDITS));
	for (size_t i = 0; i < sizeof(environments_keys) / sizeof(*environments_keys); i++) {
		enum universe_feature feature = environments_keys[i].feature;

		if (!(features & BIT(feature)))
			continue;
		if (feature == CROSSINGS ||
		    (feature == LENT_CROSSINGS && !(features & BIT(CROSSINGS))))
			ms_str_add(out, "crossings:\n");
		ms_str_add(out, environments_keys[i].text);
	}
}

static void add_exceptions(struct ms_str *out)
{
	for (size_t i = 0; i < sizeof(exceptions) / sizeof(*exceptions); i++)
		ms_str_addf(
			out,
			"---\napiVersion: microseg/v1\nkind: Exception\nid: e%zu\nfrom: %s\nto: %s\n"
			"ports: [%s]\nuntil: %s\nreason: test\n",
			i, exceptions[i].from, exceptions[i].to, exceptions[i].ports,
			exceptions[i].until);
}

static void add_list(uint32_t features, size_t document, const char *list, struct ms_str *out)
{
	bool any = false;

	for (size_t i = 0; i < sizeof(grants) / sizeof(*grants); i++) {
		if (strcmp(grants[i].service, documents[document].service) != 0 ||
		    strcmp(grants[i].env, documents[document].env) != 0 ||
		    strcmp(grants[i].list, list) != 0 || !(features & BIT(grants[i].feature)))
			continue;
		if (!any)
			ms_str_addf(out, "%s:\n", list);
		ms_str_addf(out, "  - %s\n", grants[i].text);
		any = true;
	}
}

static void add_carries(size_t document, struct ms_str *out)
{
	for (size_t i = 0; i < sizeof(carriers) / sizeof(*carriers); i++)
		if (strcmp(carriers[i].service, documents[document].service) == 0 &&
		    strcmp(carriers[i].env, documents[document].env) == 0)
			ms_str_addf(out, "carries: %s\n", carriers[i].text);
}

void universe_policy_text(uint32_t features, struct ms_str *out)
{
	add_environments(features, out);
	for (size_t i = 0; i < sizeof(documents) / sizeof(*documents); i++) {
		ms_str_addf(out,
			    "---\napiVersion: microseg/v1\nkind: Service\nservice: %s\nenv: %s\n",
			    documents[i].service, documents[i].env);
		if (i == 0 && features & BIT(SERVICE_AUDITS))
			ms_str_addf(out, "mode: %s\n",
				    features & BIT(A_AUDITS) ? "enforce" : "audit");
		if (features & BIT(CARRIES))
			add_carries(i, out);
		add_list(features, i, "allow", out);
		add_list(features, i, "needs", out);
	}
	if (features & BIT(EXCEPTIONS))
		add_exceptions(out);
}

static const char inventory_text[] =
	"apiVersion: microseg/v1\n"
	"kind: Inventory\n"
	"node: node-a\n"
	"hosts: [192.0.2.1, \"2001:db8:3::1\"]\n"
	"bridges:\n"
	"  - {name: br-a, addresses: [10.0.0.254/24, \"fd00:a::fe/64\"]}\n"
	"  - {name: br-b, addresses: [10.1.0.254/24, \"fd00:b::fe/64\"]}\n"
	"endpoints:\n"
	"  - {name: s1, interface: veth1, bridge: br-a, mac: \"02:00:00:00:00:01\", "
	"addresses: [10.0.0.1, \"fd00:a::1\", \"fe80::1\"], labels: {env: a, service: s}}\n"
	"  - {name: s2, interface: veth2, bridge: br-b, mac: \"02:00:00:00:00:02\", "
	"addresses: [10.1.0.2, \"fd00:b::2\", \"fe80::2\"], labels: {env: a, service: s}}\n"
	"  - {name: t1, interface: veth3, bridge: br-a, mac: \"02:00:00:00:00:03\", "
	"addresses: [10.0.0.3, \"fd00:a::3\", \"fe80::3\"], labels: {env: a, service: t}}\n"
	"  - {name: t2, interface: veth4, mac: \"02:00:00:00:00:04\", "
	"addresses: [10.2.0.4, \"fd00:c::4\", \"fe80::4\"], labels: {env: a, service: t}}\n"
	"  - {name: bs1, interface: veth11, bridge: br-a, mac: \"02:00:00:00:00:11\", "
	"addresses: [10.0.0.11, \"fd00:a::11\", \"fe80::11\"], labels: {env: b, service: s}}\n"
	"  - {name: bu1, interface: veth12, bridge: br-b, mac: \"02:00:00:00:00:12\", "
	"addresses: [10.1.0.12, \"fd00:b::12\", \"fe80::12\"], labels: {env: b, service: u}}\n"
	"  - {name: x1, interface: veth21, bridge: br-a, mac: \"02:00:00:00:00:21\", "
	"addresses: [10.0.0.21, \"fd00:a::21\", \"fe80::21\"]}\n"
	"  - {name: x2, interface: veth22, bridge: br-b, mac: \"02:00:00:00:00:22\", "
	"addresses: [10.1.0.22, \"fd00:b::22\", \"fe80::22\"], labels: {env: b}}\n";

static void give_up(const char *text, struct ms_diags *diags)
{
	struct ms_str out = {0};

	ms_diags_print(diags, &out, false);
	fprintf(stderr, "%s\n%s\n", out.text ? out.text : "out of memory", text);
	exit(2);
}

struct ms_policy *universe_policy(uint32_t features)
{
	struct ms_policy *policy = NULL;
	struct ms_str text = {0}, runtime = {0};
	struct ms_diags diags;

	universe_policy_text(features, &text);
	ms_str_addf(&runtime, "%s%s", features & BIT(RELAXES) ? relaxes : "",
		    features & BIT(QUARANTINES) ? quarantines : "");
	if (ms_diags_init(&diags) < 0 || text.failed || runtime.failed)
		abort();
	const struct ms_policy_file files[] = {
		{.name = "policy.yaml", .bytes = text.text, .size = text.len},
		{.name = "runtime", .bytes = runtime.text, .size = runtime.len, .runtime = true},
	};
	if (ms_policy_load_ungated(files, 2, UNIVERSE_NOW, &diags, &policy) < 0)
		give_up(text.text, &diags);
	ms_diags_fini(&diags);
	ms_str_fini(&text);
	ms_str_fini(&runtime);
	return policy;
}

struct ms_inventory *universe_inventory(const struct ms_policy *policy)
{
	const struct ms_policy_file file = {"inventory.yaml", inventory_text,
					    sizeof(inventory_text) - 1};
	static const struct ms_mac host_mac = {{0x02, 0, 0, 0, 0, 0xfe}};
	struct ms_inventory *inventory = NULL;
	struct ms_diags diags;

	if (ms_diags_init(&diags) < 0)
		abort();
	if (ms_inventory_load(&file, &diags, &inventory) < 0)
		give_up(inventory_text, &diags);
	ms_diags_fini(&diags);
	if (ms_avec_push(inventory->arena, &inventory->host_macs, host_mac) < 0 ||
	    ms_inventory_identify(inventory, policy) < 0)
		abort();
	return inventory;
}
