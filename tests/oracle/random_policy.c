/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy out of a seed: the whole language, dense enough that lines overlap and half meet each
 * other. Every item stands on a line of its own, so that a shrinking case can lose one.
 */
#include <stdio.h>
#include <string.h>

#include "random.h"

const char *const world_envs[MAX_ENVS] = {"prod", "dev", "stage", "dev-b", "lab", "edge"};

const char *const world_services[MAX_SERVICES] = {
	"web",	  "api",     "db",	  "cache",   "metrics", "queue", "auth",   "mail",
	"search", "backup",  "billing",	  "cart",    "catalog", "chat",	 "cron",   "docs",
	"events", "files",   "gateway-a", "geo",     "images",	"jobs",	 "keys",   "ledger",
	"logs",	  "maps",    "notify",	  "orders",  "pay",	"print", "quotes", "rates",
	"relay",  "reports", "risk",	  "session", "stock",	"tax",	 "users",  "video",
};

static const char *const nets[] = {
	"198.51.100.0/24",
	"198.51.100.128/25",
	"198.51.100.7/32",
	"\"2001:db8:1::/64\"",
	"[198.51.100.0/25, \"2001:db8:1::/64\"]",
	"10.20.0.0/16",
	"10.0.0.0/8",
	"\"fd00::/8\"",
	"[0.0.0.0/0, \"::/0\"]",
	"0.0.0.0/0",
	"192.0.2.0/24",
	"[203.0.113.0/24, \"2001:db8:2::/64\"]",
	"internet",
	"office",
	"[dba, office]",
	"[dba, \"2001:db8:1:0:8000::/65\"]",
	"[8.8.0.0/16, \"2001:4860::/32\"]",
	"9.9.9.9/32",
	"[1.0.0.0/8, 2.0.0.0/7, 4.0.0.0/6]",
};

static const char *const excepts[] = {
	"198.51.100.7/32",	 "[198.51.100.0/26, \"2001:db8:1::/80\"]", "10.20.3.0/24", "dba",
	"\"2001:db8:1::7/128\"", "[203.0.113.1/32, 8.8.8.8/32]",	   "10.0.0.0/9",
};

static const char *const ports[] = {
	"tcp/80",	 "tcp/80-90",	   "tcp/81",	     "tcp/443",	  "tcp/443",	"tcp/5432",
	"tcp/8080-8090", "tcp/8085-8100",  "tcp/9100",	     "tcp/53",	  "udp/53",	"udp/53",
	"udp/123",	 "udp/514",	   "udp/8000-8100",  "sctp/3868", "sctp/80-90", "icmp/8",
	"icmp/13",	 "icmp6/128",	   "icmp6/1",	     "icmp6/135", "proto/47",	"proto/50",
	"tcp/1-65535",	 "tcp/1024-65535", "udp/1024-65535", "udp/60-70", "tcp/22",	"tcp/65535",
};

#define N_PORTS (sizeof(ports) / sizeof(*ports))

static const char *const node_names[N_NODES] = {"node-a", "node-b", "node-c"};

struct world world_make(uint64_t seed)
{
	struct world w = {.random.state = seed * 0x2545f4914f6cdd1du};
	struct random *r = &w.random;

	w.n_envs = 2 + random_below(r, MAX_ENVS - 1);
	w.n_services = 5 + random_below(r, MAX_SERVICES - 4);
	w.n_bridges = 1 + random_below(r, MAX_BRIDGES);
	w.joined = random_chance(r, 30);
	for (uint32_t env = 0; env < w.n_envs; env++)
		w.env_matched[env] = random_chance(r, 10);
	for (uint32_t service = 0; service < w.n_services; service++)
		for (uint32_t env = 0; env < w.n_envs; env++)
			w.documented[env][service] = random_chance(r, 120 / w.n_envs);
	return w;
}

static const char *any_env(struct world *w)
{
	return world_envs[random_below(&w->random, w->n_envs)];
}

static const char *any_service(struct world *w)
{
	return world_services[random_below(&w->random, w->n_services)];
}

static const char *any_mode(struct world *w, uint32_t audit)
{
	return random_chance(&w->random, audit) ? "audit" : "enforce";
}

static void add_net(struct world *w, struct ms_str *out)
{
	ms_str_addf(out, "{net: %s", RANDOM_OF(&w->random, nets));
	if (random_chance(&w->random, 30))
		ms_str_addf(out, ", except: %s", RANDOM_OF(&w->random, excepts));
	ms_str_add(out, "}");
}

static void add_node(struct world *w, struct ms_str *out)
{
	ms_str_addf(out, "{node: %s}",
		    random_chance(&w->random, 40) ? "\"*\"" : RANDOM_OF(&w->random, node_names));
}

/* @named: port names that the provider has may be used. */
static void add_ports(struct world *w, bool named, struct ms_str *out)
{
	uint32_t n = 1 + random_below(&w->random, 3), at = random_below(&w->random, N_PORTS);

	if (random_chance(&w->random, 8)) {
		ms_str_add(out, "ports: any");
		return;
	}
	ms_str_add(out, "ports: [");
	if (named && random_chance(&w->random, 50))
		ms_str_addf(out, "%s, ", random_chance(&w->random, 50) ? "main" : "alt");
	if (random_chance(&w->random, 10)) {
		uint32_t first = 1 + random_below(&w->random, 65000);

		ms_str_addf(out, "tcp/%u-%u, ", first, first + random_below(&w->random, 500));
	}
	for (uint32_t i = 0; i < n; i++, at += 7)
		ms_str_addf(out, "%s%s", i ? ", " : "", ports[at % N_PORTS]);
	ms_str_add(out, "]");
}

/* env/service or, when @whole, env/star. Returns whether the service is documented. */
static bool add_identity(struct world *w, bool whole, struct ms_str *out)
{
	uint32_t env = random_below(&w->random, w->n_envs);
	uint32_t service = random_below(&w->random, w->n_services);

	whole = whole && random_chance(&w->random, 60);
	ms_str_addf(out, "%s/%s", world_envs[env], whole ? "*" : world_services[service]);
	return !whole && w->documented[env][service];
}

/* A peer in a Service document. */
static void add_peer(struct world *w, bool need, struct ms_str *out)
{
	switch (random_below(&w->random, 14)) {
	case 0:
		ms_str_add(out, "host");
		break;
	case 1:
		add_node(w, out);
		break;
	case 2:
	case 3:
	case 4:
		add_net(w, out);
		break;
	case 5:
		ms_str_add(out, "self");
		break;
	case 6:
		ms_str_add(out, "\"*\"");
		break;
	case 7:
	case 8:
	case 9:
	case 10:
		add_identity(w, need, out);
		break;
	default:
		ms_str_add(out, random_chance(&w->random, 5) ? "ghost" : any_service(w));
		break;
	}
}

static void add_peers(struct world *w, bool need, struct ms_str *out)
{
	uint32_t n = random_chance(&w->random, 25) ? 2 + random_below(&w->random, 2) : 1;

	ms_str_add(out, n > 1 ? "[" : "");
	for (uint32_t i = 0; i < n; i++) {
		ms_str_add(out, i ? ", " : "");
		add_peer(w, need, out);
	}
	ms_str_add(out, n > 1 ? "]" : "");
}

static void add_resolvers(struct world *w, struct ms_str *out)
{
	static const char *const resolvers[] = {
		"10.0.0.53",	"203.0.113.53", "\"2001:db8:2::53\"", "192.0.2.1",    "10.0.0.10",
		"\"fd00::10\"", "10.1.0.254",	"203.0.113.2",	      "198.51.100.7",
	};
	uint32_t at = random_below(&w->random, 9);
	bool gateway = random_chance(&w->random, 50);

	ms_str_addf(out, ", resolvers: [%s%s", gateway ? "gateway, " : "", resolvers[at]);
	if (random_chance(&w->random, 50))
		ms_str_addf(out, ", %s", resolvers[(at + 1 + random_below(&w->random, 8)) % 9]);
	ms_str_add(out, "]");
}

static void add_envs(struct world *w, struct ms_str *out)
{
	ms_str_add(out, "environments:\n");
	for (uint32_t env = 0; env < w->n_envs; env++) {
		ms_str_addf(out, "  %s: {mode: %s", world_envs[env], any_mode(w, 25));
		if (random_chance(&w->random, 30))
			ms_str_add(out, ", two_key: true");
		if (random_chance(&w->random, 50))
			add_resolvers(w, out);
		if (w->env_matched[env])
			ms_str_addf(out, ", match: {labels: {team: [%s]}}", world_envs[env]);
		ms_str_add(out, "}\n");
	}
}

static void add_crossings(struct world *w, struct ms_str *out)
{
	uint32_t n = random_below(&w->random, 3 + w->n_envs * 2);

	ms_str_add(out, n ? "crossings:\n" : "");
	for (uint32_t i = 0; i < n; i++) {
		ms_str_add(out, "  - {from: ");
		add_identity(w, true, out);
		ms_str_add(out, ", to: ");
		bool named = add_identity(w, true, out);
		ms_str_add(out, ", ");
		add_ports(w, named, out);
		if (random_chance(&w->random, 15))
			ms_str_addf(out, ", until: 1970-01-0%uT00:00:01Z",
				    1 + random_below(&w->random, 4));
		ms_str_add(out, ", reason: x}\n");
	}
}

static void add_never_end(struct world *w, bool service, struct ms_str *out)
{
	uint32_t kind = service ? 0 : random_below(&w->random, 5);

	if (kind == 2)
		add_net(w, out);
	else if (kind == 3)
		add_node(w, out);
	else if (kind == 4)
		ms_str_add(out, "host");
	else
		add_identity(w, true, out);
}

static void add_nevers(struct world *w, struct ms_str *out)
{
	uint32_t n = random_chance(&w->random, 50) ? random_below(&w->random, 4) : 0;

	ms_str_add(out, n ? "never:\n" : "");
	for (uint32_t i = 0; i < n; i++) {
		bool from = random_chance(&w->random, 60), outward = random_chance(&w->random, 50);

		ms_str_add(out, "  - {");
		if (from) {
			ms_str_add(out, "from: ");
			add_never_end(w, outward, out);
			ms_str_add(out, ", ");
		}
		ms_str_add(out, "to: ");
		if (random_chance(&w->random, 15) && (outward || !from))
			ms_str_add(out, "{net: [169.254.169.254/32, 169.254.0.0/24]}");
		else
			add_never_end(w, from && !outward, out);
		if (random_chance(&w->random, 80)) {
			ms_str_add(out, ", ");
			add_ports(w, false, out);
		}
		ms_str_add(out, ", reason: x}\n");
	}
}

static void add_environments(struct world *w, struct ms_str *out)
{
	ms_str_addf(out,
		    "apiVersion: microseg/v1\n"
		    "kind: Environments\n"
		    "identity: {env: [env], service: [service%s]}\n"
		    "unidentified: {mode: %s}\n",
		    w->joined ? ", shop+part" : "", any_mode(w, 25));
	add_envs(w, out);
	ms_str_add(out, "nodes:\n"
			"  node-a: [192.0.2.1, \"2001:db8:3::1\"]\n"
			"  node-b: [203.0.113.1, \"2001:db8:2::1\"]\n"
			"  node-c: [203.0.113.2, 198.51.100.200]\n"
			"nets:\n"
			"  office: [10.20.0.0/16, 198.51.100.64/26]\n"
			"  dba: [10.20.8.0/24, \"2001:db8:1:8::/64\"]\n");
	if (random_chance(&w->random, 50))
		ms_str_addf(out, "refuse: {east_west: %s, egress: %s, ingress: %s}\n",
			    random_chance(&w->random, 50) ? "drop" : "reject",
			    random_chance(&w->random, 50) ? "drop" : "reject",
			    random_chance(&w->random, 50) ? "drop" : "reject");
	add_crossings(w, out);
	add_nevers(w, out);
}

static void add_allows(struct world *w, uint32_t n, bool named, struct ms_str *out)
{
	ms_str_add(out, n ? "allow:\n" : "");
	for (uint32_t i = 0; i < n; i++) {
		bool published = random_chance(&w->random, 12);

		ms_str_add(out, "  - {from: ");
		if (published && random_chance(&w->random, 30))
			add_node(w, out);
		else if (published)
			add_net(w, out);
		else
			add_peers(w, false, out);
		ms_str_add(out, ", ");
		add_ports(w, named, out);
		ms_str_addf(out, "%s%s}\n", random_chance(&w->random, 15) ? ", ping: true" : "",
			    published ? ", published: true" : "");
	}
}

static void add_needs(struct world *w, uint32_t n, struct ms_str *out)
{
	ms_str_add(out, n ? "needs:\n" : "");
	for (uint32_t i = 0; i < n; i++) {
		ms_str_add(out, "  - {to: ");
		if (random_chance(&w->random, 15)) {
			bool named = add_identity(w, false, out);

			ms_str_add(out, ", ");
			add_ports(w, named, out);
		} else {
			add_peers(w, true, out);
			ms_str_add(out, ", ");
			add_ports(w, false, out);
		}
		ms_str_addf(out, "%s}\n", random_chance(&w->random, 10) ? ", ping: true" : "");
	}
}

/* Of the nets that grants name, and of those of endpoints. */
static void add_carries(struct world *w, struct ms_str *out)
{
	static const char *const prefixes[] = {
		"198.51.100.0/24", "10.20.0.0/16",	"0.0.0.0/0",	   "203.0.113.0/24",
		"10.1.0.0/24",	   "\"2001:db8::/32\"", "\"fd00:1::/32\"",
	};
	uint32_t first = random_below(&w->random, 7);

	ms_str_addf(out, "carries: [%s, %s]\n", prefixes[first],
		    prefixes[(first + 1 + random_below(&w->random, 6)) % 7]);
}

/* One Service document that stands in @envs, a set of bits. */
static void add_document(struct world *w, uint32_t service, uint32_t envs, struct ms_str *out)
{
	static const char *const mains[] = {"tcp/80", "tcp/5432", "tcp/8080-8090", "udp/53"};
	static const char *const alts[] = {"tcp/9100", "udp/514", "sctp/80-90", "icmp/8"};
	bool matched = random_chance(&w->random, 20), first = true;

	ms_str_addf(out, "---\napiVersion: microseg/v1\nkind: Service\nservice: %s\nenv: [",
		    world_services[service]);
	for (uint32_t env = 0; env < w->n_envs; env++) {
		if (!(envs & 1u << env))
			continue;
		ms_str_add(out, first ? "" : ", ");
		ms_str_add(out, world_envs[env]);
		w->matched[env][service] = matched;
		first = false;
	}
	ms_str_add(out, "]\n");
	if (random_chance(&w->random, 15))
		ms_str_addf(out, "mode: %s\n", any_mode(w, 60));
	if (matched)
		ms_str_addf(out, "match: {name: \"*-%s-*\"}\n", world_services[service]);
	ms_str_addf(out, "ports: {main: %s, alt: %s}\n", RANDOM_OF(&w->random, mains),
		    RANDOM_OF(&w->random, alts));
	if (random_chance(&w->random, 6))
		add_carries(w, out);
	add_allows(w, random_below(&w->random, 6), true, out);
	add_needs(w, random_below(&w->random, 5), out);
}

static void add_service(struct world *w, uint32_t service, struct ms_str *out)
{
	bool one = random_chance(&w->random, 50);
	uint32_t all = 0;

	for (uint32_t env = 0; env < w->n_envs; env++) {
		if (!w->documented[env][service])
			continue;
		all |= 1u << env;
		if (!one)
			add_document(w, service, 1u << env, out);
	}
	if (one && all)
		add_document(w, service, all, out);
}

static void add_star(struct world *w, struct ms_str *out)
{
	const char *env = any_env(w), *other = any_env(w);

	ms_str_addf(out,
		    "---\napiVersion: microseg/v1\nkind: Service\nservice: \"*\"\nenv: [%s%s%s]\n",
		    env, env == other ? "" : ", ", env == other ? "" : other);
	add_allows(w, 1 + random_below(&w->random, 2), false, out);
	add_needs(w, random_below(&w->random, 3), out);
}

static void add_exception_end(struct world *w, bool service, struct ms_str *out)
{
	uint32_t kind = service ? 0 : random_below(&w->random, 4);

	if (kind == 2)
		add_net(w, out);
	else if (kind == 3)
		ms_str_add(out, "host");
	else
		add_identity(w, false, out);
}

static void add_exception(struct world *w, uint32_t id, struct ms_str *out)
{
	bool outward = random_chance(&w->random, 50);

	ms_str_addf(out,
		    "---\napiVersion: microseg/v1\nkind: Exception\nid: e%u\nreason: x\n"
		    "until: 1970-01-0%uT00:00:01Z\nfrom: ",
		    id, random_chance(&w->random, 20) ? 1 : 2 + random_below(&w->random, 3));
	add_exception_end(w, outward, out);
	ms_str_add(out, "\nto: ");
	add_exception_end(w, !outward, out);
	ms_str_add(out, "\n");
	add_ports(w, false, out);
	ms_str_add(out, "\n");
}

void random_policy(struct world *w, struct ms_str *out)
{
	add_environments(w, out);
	for (uint32_t service = 0; service < w->n_services; service++)
		add_service(w, service, out);
	for (uint32_t n = random_below(&w->random, 3); n > 0; n--)
		add_star(w, out);
	for (uint32_t n = random_below(&w->random, 6); n > 0; n--)
		add_exception(w, n, out);
}
