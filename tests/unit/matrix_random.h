/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random policies for the matrix: small, and so dense that lines overlap, contradict and half meet
 * each other.
 */
#pragma once

#include <netinet/in.h>

#include "microseg/net.h"
#include "microseg/str.h"

struct random {
	uint64_t state;
};

/* splitmix64 */
static inline uint32_t random_next(struct random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

static inline uint32_t random_below(struct random *random, uint32_t n)
{
	return random_next(random) % n;
}

#define RANDOM_OF(random, words) words[random_below(random, sizeof(words) / sizeof(*(words)))]

static const char *const random_envs[] = {"prod", "dev", "dev-b"};
static const char *const random_services[] = {"a", "b", "c", "d"};
static const char *const random_nets[] = {
	"10.0.0.0/28", "10.0.0.0/30", "10.0.0.4/30",	 "[10.0.0.8/29, \"fd00::/125\"]",
	"n1",	       "n2",	      "\"fd00::4/126\"", "[10.0.0.0/29, n2, 192.0.2.1/32]",
};

static inline struct ms_addr random_addr(struct random *random)
{
	struct ms_addr addr = {.ip = MS_IP4, .bytes = {10}};

	if (random_below(random, 3) == 0)
		addr = (struct ms_addr){.ip = MS_IP6, .bytes = {0xfd}};
	addr.bytes[ms_addr_size((enum ms_ip)addr.ip) - 1] = (uint8_t)random_below(random, 18);
	return addr;
}

static inline void random_port(struct random *random, uint8_t *ret_proto, uint16_t *ret_port)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6,
					 IPPROTO_GRE};

	*ret_proto = RANDOM_OF(random, protos);
	*ret_port = (uint16_t)random_below(random, 12);
	if (*ret_proto == IPPROTO_UDP)
		*ret_port =
			(uint16_t)(*ret_port +
				   (random_below(random, 2) ? 48 : 60)); /* 53 lies there, and 67 */
	if (*ret_proto == IPPROTO_ICMPV6)
		*ret_port = (uint16_t)(*ret_port + 128); /* and neighbour messages here */
	if (*ret_proto == IPPROTO_GRE)
		*ret_port = 0;
}

static inline void random_ports(struct random *random, struct ms_str *out)
{
	for (uint32_t n = 1 + random_below(random, 3), i = 0; i < n; i++) {
		uint32_t span = random_below(random, 2) * random_below(random, 9);
		uint16_t port = 0;
		uint8_t proto = 0;
		char text[MS_PORTS_TEXT_SIZE];

		random_port(random, &proto, &port);
		port = (uint16_t)(port + (proto == IPPROTO_TCP)); /* there is no port 0 to write */
		bool ranged = proto == IPPROTO_TCP || proto == IPPROTO_UDP;
		struct ms_ports ports = {proto, port, ranged ? (uint16_t)(port + span) : port};
		ms_str_addf(out, "%s\"%s\"", i ? ", " : "ports: [", ms_ports_format(&ports, text));
	}
	ms_str_add(out, "]");
}

static inline void random_identity(struct random *random, bool wild, struct ms_str *out)
{
	const char *env = RANDOM_OF(random, random_envs);

	ms_str_addf(out, "%s/%s", env,
		    wild && random_below(random, 4) == 0 ? "*"
							 : RANDOM_OF(random, random_services));
}

static inline void random_net(struct random *random, struct ms_str *out)
{
	ms_str_addf(out, "{net: %s", RANDOM_OF(random, random_nets));
	if (random_below(random, 3) == 0)
		ms_str_add(out, ", except: 10.0.0.1/32");
	ms_str_add(out, "}");
}

/* @inside: in a Service, where bare names, self, host and nodes may stand. Returns whether ports
 * can be published for it. */
static inline bool random_peer(struct random *random, bool inside, bool wild, struct ms_str *out)
{
	switch (random_below(random, inside ? 8 : 2)) {
	case 0:
		random_net(random, out);
		return true;
	case 1:
		random_identity(random, wild, out);
		return false;
	case 2:
		ms_str_add(out, "host");
		return false;
	case 3:
		ms_str_addf(out, "{node: %s}", random_below(random, 2) ? "\"*\"" : "n1");
		return true;
	case 4:
		ms_str_add(out, random_below(random, 2) ? "self" : "\"*\"");
		return false;
	default:
		ms_str_add(out, RANDOM_OF(random, random_services));
		return false;
	}
}

static inline void random_environments(struct random *random, struct ms_str *out)
{
	ms_str_add(
		out,
		"apiVersion: microseg/v1\nkind: Environments\nidentity: {env: [env], service: [service]}\n"
		"unidentified: {mode: enforce}\n"
		"nodes: {n1: [192.0.2.1], n2: [192.0.2.2]}\nnets: {n1: [10.0.0.2/31, 10.0.0.12/30], n2: [10.0.0.6/31]}\n"
		"environments:\n");
	for (size_t i = 0; i < 3; i++)
		ms_str_addf(out, "  %s: {mode: %s, two_key: %s%s}\n", random_envs[i],
			    random_below(random, 3) ? "enforce" : "audit",
			    random_below(random, 3) ? "false" : "true",
			    random_below(random, 2) ? ", resolvers: [10.0.0.3, 192.0.2.1]" : "");
	ms_str_add(out, "crossings:\n");
	for (uint32_t n = 1 + random_below(random, 5); n > 0; n--) {
		ms_str_add(out, "  - {from: ");
		random_identity(random, true, out);
		ms_str_add(out, ", to: ");
		random_identity(random, true, out);
		ms_str_add(out, ", ");
		random_ports(random, out);
		ms_str_addf(out, ", reason: x%s}\n",
			    random_below(random, 4) ? "" : ", until: 1970-01-01T00:00:01Z");
	}
	ms_str_add(out, "never:\n");
	for (uint32_t n = 1 + random_below(random, 2); n > 0; n--) {
		bool to_peer = random_below(random, 3);

		ms_str_add(out, "  - {");
		if (to_peer && random_below(random, 2)) {
			ms_str_add(out, "from: ");
			random_identity(random, true, out);
			ms_str_add(out, ", ");
		}
		ms_str_add(out, to_peer ? "to: " : "from: ");
		random_peer(random, false, true, out);
		if (!to_peer) {
			ms_str_add(out, ", to: ");
			random_identity(random, true, out);
		}
		ms_str_add(out, ", ");
		random_ports(random, out);
		ms_str_add(out, ", reason: x}\n");
	}
}

static inline void random_grants(struct random *random, const char *key, const char *peer,
				 struct ms_str *out)
{
	ms_str_addf(out, "%s:\n", key);
	for (uint32_t n = 1 + random_below(random, 5); n > 0; n--) {
		ms_str_addf(out, "  - {%s: ", peer);
		bool outside = random_peer(random, true, *peer == 't', out);

		ms_str_add(out, ", ");
		random_ports(random, out);
		ms_str_add(out, *peer == 'f' && outside && random_below(random, 3) == 0
					? ", published: true}\n"
					: "}\n");
	}
}

static inline void random_exception(struct random *random, uint32_t id, struct ms_str *out)
{
	bool outside = random_below(random, 2);

	ms_str_addf(out, "---\napiVersion: microseg/v1\nkind: Exception\nid: e%u\nreason: x\n", id);
	ms_str_addf(out, "until: 1970-01-0%uT00:00:01Z\nfrom: ", 1 + random_below(random, 2));
	random_identity(random, false, out);
	ms_str_add(out, "\nto: ");
	if (outside)
		random_net(random, out);
	else
		random_identity(random, false, out);
	ms_str_add(out, "\n");
	random_ports(random, out);
	ms_str_add(out, "\n");
}

static inline void random_policy(struct random *random, struct ms_str *out)
{
	random_environments(random, out);
	for (size_t env = 0; env < 3; env++)
		for (size_t service = 0; service < 4; service++) {
			if (random_below(random, 4) == 0)
				continue;
			ms_str_addf(
				out,
				"---\napiVersion: microseg/v1\nkind: Service\nservice: %s\nenv: %s\n",
				random_services[service], random_envs[env]);
			if (random_below(random, 6) == 0)
				ms_str_add(out, "mode: audit\n");
			random_grants(random, "allow", "from", out);
			random_grants(random, "needs", "to", out);
		}
	for (uint32_t n = random_below(random, 3); n > 0; n--)
		random_exception(random, n, out);
}
