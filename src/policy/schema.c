/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/schema.h"

#include <string.h>

static const char *const api_versions[] = {"microseg/v1", NULL};
static const char *const kind_environments[] = {"Environments", NULL};
static const char *const kind_service[] = {"Service", NULL};
static const char *const kind_exception[] = {"Exception", NULL};
static const char *const kind_relax[] = {"Relax", NULL};
static const char *const kind_quarantine[] = {"Quarantine", NULL};
static const char *const modes[] = {"enforce", "audit", NULL};
static const char *const refusals[] = {"reject", "drop", NULL};
static const char *const expectations[] = {"allow", "deny", NULL};
static const char *const deciders[] = {"never", "unidentified", "fence", "no-grant", NULL};

#define ONE(type) .shape = MS_ONE, .value = MS_VALUE_##type
#define MANY(type) .shape = MS_MANY, .value = MS_VALUE_##type
#define MAP_ONE(key, type) .shape = MS_MAP_ONE, .map_key = MS_VALUE_##key, .value = MS_VALUE_##type
#define MAP_MANY(key, type)                                                                        \
	.shape = MS_MAP_MANY, .map_key = MS_VALUE_##key, .value = MS_VALUE_##type
#define CHOICE(list) .shape = MS_ONE, .value = MS_VALUE_CHOICE, .choices = (list)
#define SECTION(of) .shape = MS_ONE, .value = MS_VALUE_SECTION, .section = MS_SECTION_##of
#define SECTIONS(of) .shape = MS_MANY, .value = MS_VALUE_SECTION, .section = MS_SECTION_##of
#define PEERS(mask) .shape = MS_MANY, .value = MS_VALUE_PEER, .peers = (mask)
#define REQUIRED .required = true
#define FILLED .filled = true

/* Who may stand where. */
#define OUTSIDE (MS_PEERS_HOST | MS_PEERS_NODE | MS_PEERS_NET)
#define CALLERS (MS_PEERS_BARE | MS_PEERS_SELF | OUTSIDE)
#define CALLED (CALLERS | MS_PEERS_ENV)
#define TEST_ENDS (CALLED | MS_PEERS_LINK_LOCAL)
#define WHOLE_ENDS (OUTSIDE | MS_PEERS_ENV | MS_PEERS_LINK_LOCAL)
#define EXCEPTED_ENDS (MS_PEERS_HOST | MS_PEERS_NET)

/* Section, key, what stands behind it, an example, one sentence. */
const struct ms_schema_key ms_schema_keys[] = {
	{MS_SECTION_ENVIRONMENTS, "apiVersion", CHOICE(api_versions), REQUIRED,
	 .example = "microseg/v1", .description = "Version of the policy language."},
	{MS_SECTION_ENVIRONMENTS, "kind", CHOICE(kind_environments), REQUIRED,
	 .example = "Environments", .description = "What the document is."},
	{MS_SECTION_ENVIRONMENTS, "identity", SECTION(IDENTITY),
	 .example = "{env: [io.microseg.env]}",
	 .description =
		 "Labels that name an endpoint; without it io.microseg.env and io.microseg.service."},
	{MS_SECTION_ENVIRONMENTS, "unidentified", SECTION(UNIDENTIFIED), REQUIRED,
	 .example = "{mode: enforce}",
	 .description = "What happens to containers without an identity."},
	{MS_SECTION_ENVIRONMENTS, "environments", .shape = MS_MAP_ONE, .map_key = MS_VALUE_NAME,
	 .value = MS_VALUE_SECTION, .section = MS_SECTION_ENVIRONMENT, REQUIRED, FILLED,
	 .example = "{prod: {mode: enforce}}",
	 .description = "The environments; a fence stands between any two."},
	{MS_SECTION_ENVIRONMENTS, "nodes", MAP_MANY(NAME, ADDRESS),
	 .example = "{node-a: [192.0.2.1]}",
	 .description = "The nodes of the fleet and their addresses."},
	{MS_SECTION_ENVIRONMENTS, "nets", MAP_MANY(NAME, CIDR),
	 .example = "{office: [10.20.0.0/16]}",
	 .description =
		 "Names for CIDRs, used as {net: office}; {net: internet} is built in: what is global of both families, nothing private, reserved or for documentation."},
	{MS_SECTION_ENVIRONMENTS, "refuse", SECTION(REFUSE), .example = "{ingress: drop}",
	 .description = "What a refused sender notices."},
	{MS_SECTION_ENVIRONMENTS, "exceptions", SECTION(EXCEPTIONS), .example = "{max: 30d}",
	 .description = "Limits of exceptions."},
	{MS_SECTION_ENVIRONMENTS, "crossings", SECTIONS(CROSSING),
	 .example = "[{from: prod/metrics, to: dev/*, ports: [tcp/9100]}]",
	 .description =
		 "Where the fence between environments is lifted; a crossing grants nothing by itself."},
	{MS_SECTION_ENVIRONMENTS, "never", SECTIONS(NEVER),
	 .example = "[{to: {net: [169.254.169.254/32]}}]",
	 .description = "What no grant, crossing or exception can allow."},
	{MS_SECTION_ENVIRONMENTS, "tests", SECTIONS(FLEET_TEST),
	 .example = "[{from: prod/web, to: prod/db, ports: [tcp/5432], expect: deny}]",
	 .description = "Flows and the verdict they must get."},

	{MS_SECTION_IDENTITY, "env", MANY(LABELS), .example = "[io.microseg.env]",
	 .description =
		 "Labels that hold the environment; the first one present wins, a+b joins two with \"-\"."},
	{MS_SECTION_IDENTITY, "service", MANY(LABELS), .example = "[io.microseg.service]",
	 .description =
		 "Labels that hold the service; the first one present wins, a+b joins two with \"-\"."},

	{MS_SECTION_UNIDENTIFIED, "mode", CHOICE(modes), REQUIRED, .example = "enforce",
	 .description = "enforce refuses, audit only logs."},

	{MS_SECTION_ENVIRONMENT, "mode", CHOICE(modes), .example = "enforce",
	 .description = "enforce (the default) refuses, audit only logs."},
	{MS_SECTION_ENVIRONMENT, "two_key", ONE(BOOL), .example = "true",
	 .description =
		 "Whether an east-west flow needs the consumer's needs besides the provider's allow."},
	{MS_SECTION_ENVIRONMENT, "resolvers", MANY(RESOLVER), .example = "[10.0.0.53, gateway]",
	 .description =
		 "Name servers that every service may ask; gateway is the host on the own bridge."},
	{MS_SECTION_ENVIRONMENT, "match", SECTION(MATCH), FILLED,
	 .example = "{labels: {com.docker.compose.project: [shop]}}",
	 .description = "Only endpoints that it matches can belong to the environment."},

	{MS_SECTION_MATCH, "name", MANY(GLOB), .example = "\"orders-db-*\"",
	 .description = "Names of containers or namespaces."},
	{MS_SECTION_MATCH, "image", MANY(GLOB), .example = "\"registry.example/orders-db:*\"",
	 .description = "Images."},
	{MS_SECTION_MATCH, "network", MANY(GLOB), .example = "shop",
	 .description = "The engine's networks, or bridges."},
	{MS_SECTION_MATCH, "interface", MANY(GLOB), .example = "\"ve-*\"",
	 .description = "Host-side interfaces."},
	{MS_SECTION_MATCH, "runtime", MANY(GLOB), .example = "docker",
	 .description = "Where the name comes from: docker, podman, netns, alias, static."},
	{MS_SECTION_MATCH, "address", MANY(CIDR), .example = "[10.0.0.0/24]",
	 .description = "Addresses of the endpoint."},
	{MS_SECTION_MATCH, "labels", MAP_MANY(TEXT, GLOB), FILLED, .example = "{tier: [db]}",
	 .description = "Labels, each with the values that match."},

	{MS_SECTION_REFUSE, "east_west", CHOICE(refusals), .example = "reject",
	 .description = "Between two endpoints; reject is the default."},
	{MS_SECTION_REFUSE, "egress", CHOICE(refusals), .example = "reject",
	 .description = "From an endpoint to the outside; reject is the default."},
	{MS_SECTION_REFUSE, "ingress", CHOICE(refusals), .example = "drop",
	 .description = "From the outside to an endpoint; drop is the default."},

	{MS_SECTION_EXCEPTIONS, "max", ONE(DURATION), .example = "30d",
	 .description = "The longest time an exception may last; 30d is the default."},

	{MS_SECTION_CROSSING, "from", PEERS(MS_PEERS_ENV), REQUIRED, .example = "prod/metrics",
	 .description = "Who may cross, as env/service or env/*."},
	{MS_SECTION_CROSSING, "to", PEERS(MS_PEERS_ENV), REQUIRED, .example = "dev/*",
	 .description = "Where to, as env/service or env/*."},
	{MS_SECTION_CROSSING, "ports", MANY(PORTS_USE), REQUIRED, .example = "[tcp/9100]",
	 .description = "Ports for which the fence is lifted."},
	{MS_SECTION_CROSSING, "until", ONE(TIME), .example = "2026-12-01T18:00:00Z",
	 .description = "When the fence stands again."},
	{MS_SECTION_CROSSING, "reason", ONE(TEXT), .example = "OPS-311", .description = "Why."},

	{MS_SECTION_NEVER, "from", PEERS(WHOLE_ENDS), .example = "dev/*",
	 .description = "Sources; without it every endpoint."},
	{MS_SECTION_NEVER, "to", PEERS(WHOLE_ENDS), REQUIRED,
	 .example = "{net: [169.254.169.254/32]}", .description = "Destinations."},
	{MS_SECTION_NEVER, "ports", MANY(PORTS_USE), .example = "[tcp/25]",
	 .description = "Ports; without it every protocol and port."},
	{MS_SECTION_NEVER, "reason", ONE(TEXT), .example = "cloud metadata", .description = "Why."},

	{MS_SECTION_SERVICE, "apiVersion", CHOICE(api_versions), REQUIRED, .example = "microseg/v1",
	 .description = "Version of the policy language."},
	{MS_SECTION_SERVICE, "kind", CHOICE(kind_service), REQUIRED, .example = "Service",
	 .description = "What the document is."},
	{MS_SECTION_SERVICE, "service", ONE(SERVICE), REQUIRED, .example = "orders-db",
	 .description = "Its name; \"*\" joins the document to every service of its environments."},
	{MS_SECTION_SERVICE, "env", MANY(NAME), REQUIRED, .example = "[prod, dev]",
	 .description = "Its environment; of a list, the document stands once in each."},
	{MS_SECTION_SERVICE, "mode", CHOICE(modes), .example = "audit",
	 .description = "Mode of this service instead of its environment's."},
	{MS_SECTION_SERVICE, "match", SECTION(MATCH), FILLED, .example = "{name: \"orders-db-*\"}",
	 .description = "Endpoints without labels that are this service."},
	{MS_SECTION_SERVICE, "carries", MANY(CIDR), .example = "[10.9.0.0/16]",
	 .description =
		 "Further source addresses its endpoints may send from, as a VPN or a router does; net to all others."},
	{MS_SECTION_SERVICE, "ports", MAP_ONE(NAME, PORTS), .example = "{pg: tcp/5432}",
	 .description = "Names for its ports."},
	{MS_SECTION_SERVICE, "allow", SECTIONS(ALLOW),
	 .example = "[{from: orders-api, ports: [pg]}]",
	 .description = "Who may call this service."},
	{MS_SECTION_SERVICE, "needs", SECTIONS(NEED),
	 .example = "[{to: {net: internet}, ports: [tcp/443]}]",
	 .description = "What this service calls."},
	{MS_SECTION_SERVICE, "tests", SECTIONS(TEST),
	 .example = "[{from: web, ports: [pg], expect: deny}]",
	 .description = "Flows and the verdict they must get."},

	{MS_SECTION_ALLOW, "from", PEERS(CALLERS), REQUIRED, .example = "orders-api",
	 .description = "A service, env/service, self, \"*\", host, {node: NAME} or {net: CIDR}."},
	{MS_SECTION_ALLOW, "ports", MANY(PORTS_USE), REQUIRED, .example = "[pg, tcp/8080]",
	 .description = "The container's own ports: numbers, names of this document, or any."},
	{MS_SECTION_ALLOW, "ping", ONE(BOOL), .example = "true",
	 .description = "Adds echo requests."},
	{MS_SECTION_ALLOW, "published", ONE(BOOL), .example = "true",
	 .description = "Whether a net or node reaches the port where the engine published it."},
	{MS_SECTION_ALLOW, "reason", ONE(TEXT), .example = "DBA VPN", .description = "Why."},

	{MS_SECTION_NEED, "to", PEERS(CALLED), REQUIRED, .example = "{net: internet}",
	 .description =
		 "A service, env/service, env/*, self, \"*\", host, {node: NAME} or {net: CIDR}."},
	{MS_SECTION_NEED, "ports", MANY(PORTS_USE), REQUIRED, .example = "[tcp/443]",
	 .description = "Ports: numbers, names of the service called, or any."},
	{MS_SECTION_NEED, "ping", ONE(BOOL), .example = "true",
	 .description = "Adds echo requests."},
	{MS_SECTION_NEED, "reason", ONE(TEXT), .example = "payment provider",
	 .description = "Why."},

	{MS_SECTION_TEST, "from", PEERS(TEST_ENDS), REQUIRED, .example = "prod/web",
	 .description = "Sources."},
	{MS_SECTION_TEST, "to", PEERS(TEST_ENDS), .example = "prod/orders-db",
	 .description = "Destinations; without it this service."},
	{MS_SECTION_TEST, "ports", MANY(PORTS_USE), REQUIRED, .example = "[pg]",
	 .description = "Ports."},
	{MS_SECTION_TEST, "expect", CHOICE(expectations), REQUIRED, .example = "deny",
	 .description = "The verdict, whatever the modes."},
	{MS_SECTION_TEST, "by", CHOICE(deciders), .example = "fence",
	 .description = "The reason of a deny."},
	{MS_SECTION_TEST, "published", ONE(BOOL), .example = "true",
	 .description = "Whether the flow comes through a published port."},

	{MS_SECTION_FLEET_TEST, "from", PEERS(WHOLE_ENDS), REQUIRED, .example = "prod/web",
	 .description = "Sources, written in full."},
	{MS_SECTION_FLEET_TEST, "to", PEERS(WHOLE_ENDS), REQUIRED, .example = "prod/orders-db",
	 .description = "Destinations, written in full."},
	{MS_SECTION_FLEET_TEST, "ports", MANY(PORTS_USE), REQUIRED, .example = "[pg]",
	 .description = "Ports."},
	{MS_SECTION_FLEET_TEST, "expect", CHOICE(expectations), REQUIRED, .example = "deny",
	 .description = "The verdict, whatever the modes."},
	{MS_SECTION_FLEET_TEST, "by", CHOICE(deciders), .example = "fence",
	 .description = "The reason of a deny."},
	{MS_SECTION_FLEET_TEST, "published", ONE(BOOL), .example = "true",
	 .description = "Whether the flow comes through a published port."},

	{MS_SECTION_EXCEPTION, "apiVersion", CHOICE(api_versions), REQUIRED,
	 .example = "microseg/v1", .description = "Version of the policy language."},
	{MS_SECTION_EXCEPTION, "kind", CHOICE(kind_exception), REQUIRED, .example = "Exception",
	 .description = "What the document is."},
	{MS_SECTION_EXCEPTION, "id", ONE(TEXT), REQUIRED, .example = "exc-4471",
	 .description = "A name of its own, for logs and reviews."},
	{MS_SECTION_EXCEPTION, "from", PEERS(EXCEPTED_ENDS), REQUIRED,
	 .example = "prod/debug-shell",
	 .description = "Sources, written in full: env/service, host or {net: CIDR}."},
	{MS_SECTION_EXCEPTION, "to", PEERS(EXCEPTED_ENDS), REQUIRED, .example = "prod/orders-db",
	 .description = "Destinations, written in full: env/service, host or {net: CIDR}."},
	{MS_SECTION_EXCEPTION, "ports", MANY(PORTS_USE), REQUIRED, .example = "[pg]",
	 .description = "Ports."},
	{MS_SECTION_EXCEPTION, "until", ONE(TIME), REQUIRED, .example = "2026-12-01T18:00:00Z",
	 .description = "When it ends, and with it the connections that only it allowed."},
	{MS_SECTION_EXCEPTION, "reason", ONE(TEXT), .example = "INC-4471", .description = "Why."},
	{MS_SECTION_EXCEPTION, "tests", SECTIONS(FLEET_TEST),
	 .example = "[{from: prod/web, to: prod/db, ports: [tcp/5432], expect: deny}]",
	 .description = "Flows and the verdict they must get."},

	{MS_SECTION_RELAX, "apiVersion", CHOICE(api_versions), REQUIRED, .example = "microseg/v1",
	 .description = "Version of the policy language."},
	{MS_SECTION_RELAX, "kind", CHOICE(kind_relax), REQUIRED, .example = "Relax",
	 .description = "What the document is."},
	{MS_SECTION_RELAX, "id", ONE(TEXT), REQUIRED, .example = "relax-1",
	 .description = "A name of its own."},
	{MS_SECTION_RELAX, "of", ONE(TEXT), REQUIRED, .example = "prod",
	 .description = "What is in audit meanwhile: an environment, or one service of it."},
	{MS_SECTION_RELAX, "until", ONE(TIME), REQUIRED, .example = "2026-12-01T18:00:00Z",
	 .description = "When it ends, and with it the connections that only it let pass."},
	{MS_SECTION_RELAX, "reason", ONE(TEXT), .example = "INC-4471", .description = "Why."},

	{MS_SECTION_QUARANTINE, "apiVersion", CHOICE(api_versions), REQUIRED,
	 .example = "microseg/v1", .description = "Version of the policy language."},
	{MS_SECTION_QUARANTINE, "kind", CHOICE(kind_quarantine), REQUIRED, .example = "Quarantine",
	 .description = "What the document is."},
	{MS_SECTION_QUARANTINE, "id", ONE(TEXT), REQUIRED, .example = "quarantine-1",
	 .description = "A name of its own."},
	{MS_SECTION_QUARANTINE, "of", ONE(TEXT), REQUIRED, .example = "prod/orders-db",
	 .description = "Who is cut off: a service, or an endpoint by its name."},
	{MS_SECTION_QUARANTINE, "reason", ONE(TEXT), .example = "INC-4471", .description = "Why."},

	{MS_SECTION_PEER, "net", MANY(NET), .peers = MS_PEERS_NET,
	 .example = "[10.8.0.0/24, office]", .description = "CIDRs and names of nets."},
	{MS_SECTION_PEER, "except", MANY(NET), .peers = MS_PEERS_NET, .example = "[10.8.0.9/32]",
	 .description = "What of the net is left out."},
	{MS_SECTION_PEER, "node", ONE(NODE), .peers = MS_PEERS_NODE, .example = "node-a",
	 .description = "A node of the fleet, or \"*\"."},
	{MS_SECTION_PEER, "fqdn", MANY(TEXT), .peers = MS_PEERS_NAME, .example = "api.example.com",
	 .description = "Names in the DNS."},
};

const size_t ms_n_schema_keys = sizeof(ms_schema_keys) / sizeof(ms_schema_keys[0]);

const struct ms_peer_form ms_peer_forms[] = {
	{0, "env/service", "this service of this environment"},
	{MS_PEERS_BARE, "a service of the same environment",
	 "a bare name means the document's own environment"},
	{MS_PEERS_BARE, "\"*\"",
	 "every service of the document's environment, its own replicas included"},
	{MS_PEERS_ENV, "env/*", "every service of this environment"},
	{MS_PEERS_SELF, "self", "the service's other replicas, never implied"},
	{MS_PEERS_HOST, "host", "this node: its processes and its own addresses"},
	{MS_PEERS_NODE, "{node: NAME}", "another node of the fleet; {node: \"*\"} is any"},
	{MS_PEERS_NET, "{net: CIDR}", "addresses outside, less those of `except`"},
};
const size_t ms_n_peer_forms = sizeof(ms_peer_forms) / sizeof(ms_peer_forms[0]);

void ms_peer_forms_list(unsigned int allowed, struct ms_str *out)
{
	for (size_t i = 0; i < ms_n_peer_forms; i++)
		if (!ms_peer_forms[i].flag || (allowed & ms_peer_forms[i].flag))
			ms_str_addf(out, "%s%s", i ? ", " : "", ms_peer_forms[i].text);
}

static const char *const sections[MS_N_SECTIONS] = {
	[MS_SECTION_ENVIRONMENTS] = "an Environments document",
	[MS_SECTION_SERVICE] = "a Service document",
	[MS_SECTION_EXCEPTION] = "an Exception document",
	[MS_SECTION_RELAX] = "a Relax document",
	[MS_SECTION_QUARANTINE] = "a Quarantine document",
	[MS_SECTION_IDENTITY] = "identity",
	[MS_SECTION_UNIDENTIFIED] = "unidentified",
	[MS_SECTION_ENVIRONMENT] = "an environment",
	[MS_SECTION_MATCH] = "match",
	[MS_SECTION_REFUSE] = "refuse",
	[MS_SECTION_EXCEPTIONS] = "exceptions",
	[MS_SECTION_CROSSING] = "an entry of crossings",
	[MS_SECTION_NEVER] = "an entry of never",
	[MS_SECTION_ALLOW] = "an entry of allow",
	[MS_SECTION_NEED] = "an entry of needs",
	[MS_SECTION_TEST] = "a test",
	[MS_SECTION_FLEET_TEST] = "a test outside a Service document",
	[MS_SECTION_PEER] = "a peer",
};

const char *ms_section_name(enum ms_section section)
{
	return sections[section];
}

const char *ms_document_kind(enum ms_section section)
{
	return ms_schema_key(section, "kind")->choices[0];
}

const struct ms_schema_key *ms_schema_section(enum ms_section section, size_t *ret_n_keys)
{
	const struct ms_schema_key *first = ms_schema_keys, *end = first + ms_n_schema_keys, *last;

	while (first < end && first->in != section)
		first++;
	for (last = first; last < end && last->in == section;)
		last++;
	*ret_n_keys = (size_t)(last - first);
	return first;
}

const struct ms_schema_key *ms_schema_key(enum ms_section section, const char *name)
{
	size_t n_keys;
	const struct ms_schema_key *keys = ms_schema_section(section, &n_keys);

	for (size_t i = 0; i < n_keys; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}
