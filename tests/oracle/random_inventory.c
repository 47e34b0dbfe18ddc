/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node out of a seed: up to a hundred endpoints over bridges and routed veths, in one family or
 * both; some without an identity, with half of one, with two that disagree, with an address that
 * another one has too. Each stands on a line of its own.
 *
 * Bridge N has 10.N.0.0/24 and fd00:N::/64, the routed veths 10.9.0.0/24 and fd00:9::/64.
 */
#include "random.h"

#define ROUTED 9u

struct place {
	uint32_t number; /* of the endpoint */
	uint32_t net;	 /* of its bridge, or ROUTED */
};

static void add_name(struct world *w, uint32_t env, uint32_t service, struct ms_str *out)
{
	ms_str_addf(out, "%s-%s-%u", world_envs[env], world_services[service],
		    random_below(&w->random, 10000));
}

static void add_addresses(struct world *w, struct place place, struct ms_str *out)
{
	struct random *r = &w->random;
	uint32_t families = random_below(r, 5); /* 0: IPv4 alone, 1: IPv6 alone, else both */
	uint32_t host = 10 + place.number;

	if (random_chance(r, 3) && place.number > 0)
		host = 10 + random_below(r, place.number); /* maybe somebody else's */
	ms_str_add(out, "addresses: [");
	if (families != 1)
		ms_str_addf(out, "10.%u.0.%u, ", place.net, host);
	if (families != 0)
		ms_str_addf(out, "\"fd00:%u::%u\", ", place.net, host);
	if (random_chance(r, 5))
		ms_str_addf(out, "10.%u.1.%u, ", place.net, host);
	if (random_chance(r, 3))
		ms_str_addf(out, "169.254.0.%u, ", host);
	ms_str_addf(out, "\"fe80::%u\"]", random_chance(r, 5) ? 7 : host);
}

static void add_labels(struct world *w, uint32_t env, uint32_t service, struct ms_str *out)
{
	struct random *r = &w->random;
	uint32_t oddity = random_below(r, 25);
	const char *name = world_services[service];

	if (oddity == 0)
		return; /* nobody */
	ms_str_add(out, ", labels: {");
	if (oddity == 1)
		ms_str_add(out, "env: nowhere, ");
	else if (oddity != 2)
		ms_str_addf(out, "env: %s, ", world_envs[env]);
	if (w->env_matched[env] && !random_chance(r, 10))
		ms_str_addf(out, "team: %s, ", world_envs[random_chance(r, 5) ? 0 : env]);
	if (oddity == 3)
		name = RANDOM_OF(r, world_services);
	if (w->joined && random_chance(r, 10))
		ms_str_addf(out, "shop: %s, part: x}", name);
	else if (oddity == 4 || (w->matched[env][service] && random_chance(r, 60)))
		ms_str_add(out, "other: x}");
	else
		ms_str_addf(out, "service: %s}", name);
}

static void pick_identity(struct world *w, uint32_t *ret_env, uint32_t *ret_service)
{
	for (int tries = 0; tries < 4; tries++) {
		*ret_env = random_below(&w->random, w->n_envs);
		*ret_service = random_below(&w->random, w->n_services);
		if (w->documented[*ret_env][*ret_service])
			return;
	}
}

static void add_endpoint(struct world *w, uint32_t number, struct ms_str *out)
{
	bool routed = random_chance(&w->random, 12);
	struct place place = {number, routed ? ROUTED : random_below(&w->random, w->n_bridges)};
	uint32_t env = 0, service = 0;

	pick_identity(w, &env, &service);
	ms_str_add(out, "  - {name: ");
	add_name(w, env, service, out);
	ms_str_addf(out, ", interface: veth%u, mac: \"02:00:00:00:00:%02x\", ", number, number + 1);
	if (!routed)
		ms_str_addf(out, "bridge: br-%u, ", place.net);
	add_addresses(w, place, out);
	add_labels(w, env, service, out);
	ms_str_add(out, "}\n");
}

void random_inventory(struct world *w, struct ms_str *out)
{
	uint32_t n = 10 + random_below(&w->random, 91);

	ms_str_add(out, "apiVersion: microseg/v1\n"
			"kind: Inventory\n"
			"node: node-a\n"
			"hosts: [192.0.2.1, \"2001:db8:3::1\"]\n"
			"host_macs: [\"02:00:00:00:01:fe\"]\n"
			"bridges:\n");
	for (uint32_t i = 0; i < w->n_bridges; i++)
		ms_str_addf(
			out,
			"  - {name: br-%u, addresses: [10.%u.0.254/24, \"fd00:%u::fe/64\"%s]}\n", i,
			i, i, random_chance(&w->random, 50) ? ", \"fe80::fe/64\"" : "");
	ms_str_add(out, "endpoints:\n");
	for (uint32_t i = 0; i < n; i++)
		add_endpoint(w, i, out);
}
