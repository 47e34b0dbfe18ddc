/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flows that tell something: each begins at a line of the policy, takes ends and a port that the
 * line covers, and then, as often as not, leaves it by one step: the next port, the next address,
 * another service, the other family.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "random.h"

/* What a flow begins at. A peer NULL means the service @env/@service, or any endpoint without one.
 */
struct seed_line {
	const struct ms_peer *from, *to;
	const struct ms_service *from_service, *to_service;
	const ms_ports_vec *ports; /* NULL or empty: any */
	bool published;
};

struct end {
	char name[FLOW_NAME_SIZE];
	struct ms_addr addr;
	const char *interface;
};

static const struct ms_endpoint *any_endpoint(struct random *r, const struct trial *trial)
{
	return &trial->inventory->endpoints
			.items[random_below(r, (uint32_t)trial->inventory->endpoints.n_items)];
}

/* An endpoint of this identity, if there is one; NULL means any. */
static const struct ms_endpoint *endpoint_of(struct random *r, const struct trial *trial,
					     const char *env, const char *service)
{
	size_t n = trial->inventory->endpoints.n_items, start = random_below(r, (uint32_t)n);

	for (size_t i = 0; i < n; i++) {
		const struct ms_endpoint *endpoint =
			&trial->inventory->endpoints.items[(start + i) % n];

		if (endpoint->state == MS_ENDPOINT_IDENTIFIED &&
		    (!env || strcmp(endpoint->env, env) == 0) &&
		    (!service || strcmp(endpoint->service, service) == 0))
			return endpoint;
	}
	return NULL;
}

static bool take_endpoint(struct random *r, const struct ms_endpoint *endpoint, struct end *end)
{
	if (!endpoint || !endpoint->addrs.n_items)
		return false;
	/* Mostly not link-local: those are short ways. */
	for (int tries = 0; tries < 3; tries++) {
		end->addr =
			endpoint->addrs.items[random_below(r, (uint32_t)endpoint->addrs.n_items)];
		if (!ms_addr_is_link_local(&end->addr))
			break;
	}
	snprintf(end->name, sizeof(end->name), "%s", endpoint->name);
	return true;
}

static bool take_host(struct random *r, const struct trial *trial, struct end *end)
{
	const ms_addr_vec *hosts = &trial->inventory->hosts;

	end->addr = hosts->items[random_below(r, (uint32_t)hosts->n_items)];
	snprintf(end->name, sizeof(end->name), "host");
	return true;
}

/* The subnets of random_inventory.c. */
static const char *interface_of(struct random *r, const struct trial *trial,
				const struct ms_addr *addr)
{
	uint32_t net = addr->ip == MS_IP4 ? addr->bytes[1] : addr->bytes[3];
	bool ours = addr->ip == MS_IP4
			    ? addr->bytes[0] == 10 && addr->bytes[2] == 0
			    : addr->bytes[0] == 0xfd && addr->bytes[1] == 0 && addr->bytes[2] == 0;
	char name[MS_IFNAME_SIZE];

	bool carried = ms_ranges_contain(&trial->policy->carried, addr);

	if (!ours && !random_chance(r, carried ? 60 : 3))
		return OUTSIDE;
	snprintf(name, sizeof(name), "br-%u", ours ? net : random_below(r, MAX_BRIDGES));
	const struct ms_managed_link *link = ms_inventory_link(trial->inventory, name);

	return link ? link->name : OUTSIDE;
}

/* Whoever has @addr: an endpoint, the host, or somebody outside. */
static void take_addr(struct random *r, const struct trial *trial, const struct ms_addr *addr,
		      struct end *end)
{
	const char *name = "outside";

	ms_vec_each (const struct ms_endpoint, endpoint, &trial->inventory->endpoints)
		ms_vec_each (const struct ms_addr, held, &endpoint->addrs)
			if (ms_addr_equal(held, addr))
				name = endpoint->name;
	if (ms_inventory_is_host(trial->inventory, addr))
		name = "host";
	snprintf(end->name, sizeof(end->name), "%s", name);
	end->addr = *addr;
	end->interface = interface_of(r, trial, addr);
}

static struct ms_addr step(struct ms_addr addr, int by)
{
	for (size_t i = ms_addr_size((enum ms_ip)addr.ip); i-- > 0;) {
		int value = addr.bytes[i] + by;

		addr.bytes[i] = (uint8_t)value;
		if (value >= 0 && value <= 255)
			break;
	}
	return addr;
}

/* An address in or just beside the ranges. */
static bool take_range(struct random *r, const struct trial *trial, const ms_range_vec *ranges,
		       struct end *end)
{
	if (!ranges->n_items)
		return false;
	const struct ms_range *range = &ranges->items[random_below(r, (uint32_t)ranges->n_items)];
	struct ms_addr addr = random_chance(r, 50) ? range->first : range->last;
	uint32_t where = random_below(r, 4);

	if (where == 0)
		addr = step(range->first, -1);
	else if (where == 1)
		addr = step(range->last, 1);
	take_addr(r, trial, &addr, end);
	return true;
}

static bool take_node(struct random *r, const struct trial *trial, const char *name,
		      struct end *end)
{
	const struct ms_node *nodes = trial->policy->nodes.items;
	uint32_t n = (uint32_t)trial->policy->nodes.n_items;

	if (!n)
		return false;
	const struct ms_node *node = &nodes[random_below(r, n)];
	for (uint32_t i = 0; name && i < n; i++)
		if (strcmp(nodes[i].name, name) == 0)
			node = &nodes[i];
	if (!node->addrs.n_items)
		return false;
	take_addr(r, trial, &node->addrs.items[random_below(r, (uint32_t)node->addrs.n_items)],
		  end);
	return true;
}

static bool take_peer(struct random *r, const struct trial *trial, const struct ms_peer *peer,
		      const struct ms_service *own, struct end *end)
{
	if (!peer)
		return take_endpoint(r,
				     own ? endpoint_of(r, trial, own->env, own->name)
					 : any_endpoint(r, trial),
				     end);
	switch (peer->kind) {
	case MS_PEER_SERVICE:
	case MS_PEER_SELF:
		return take_endpoint(r, endpoint_of(r, trial, peer->env, peer->service), end);
	case MS_PEER_HOST:
		return take_host(r, trial, end);
	case MS_PEER_NODE:
		return take_node(r, trial, peer->node, end);
	case MS_PEER_NET:
		return take_range(r, trial, &peer->ranges, end);
	}
	return false;
}

static bool take_any(struct random *r, const struct trial *trial, struct end *end)
{
	static const char *const others[] = {
		"198.51.100.7",	 "8.8.8.8",	 "203.0.113.53",   "10.0.0.99",	      "10.1.0.99",
		"2001:db8:1::7", "2001:4860::8", "fd00::99",	   "169.254.169.254", "10.9.0.250",
		"224.0.0.251",	 "ff02::fb",	 "198.51.100.200", "169.254.0.9",
	};
	struct ms_addr addr;

	switch (random_below(r, 5)) {
	case 0:
		return take_host(r, trial, end);
	case 1:
		if (ms_addr_parse(RANDOM_OF(r, others), &addr) < 0)
			return false;
		take_addr(r, trial, &addr, end);
		return true;
	default:
		return take_endpoint(r, any_endpoint(r, trial), end);
	}
}

/* ---- lines to begin at ---- */

static bool line_of_service(struct random *r, const struct trial *trial, struct seed_line *line)
{
	const struct ms_endpoint *endpoint = any_endpoint(r, trial);
	const struct ms_service *service =
		endpoint->env ? ms_policy_service(trial->policy, endpoint->env, endpoint->service)
			      : NULL;
	bool need = random_chance(r, 40);
	const struct ms_grant *grant;

	if (!service || (need ? service->needs.n_items : service->allow.n_items) == 0)
		return false;
	if (need)
		grant = &service->needs.items[random_below(r, (uint32_t)service->needs.n_items)];
	else
		grant = &service->allow.items[random_below(r, (uint32_t)service->allow.n_items)];
	*line = (struct seed_line){.ports = &grant->ports, .published = grant->published};
	if (need) {
		line->from_service = service;
		line->to = &grant->peer;
	} else {
		line->from = &grant->peer;
		line->to_service = service;
	}
	return true;
}

static bool line_of_crossing(struct random *r, const struct trial *trial, struct seed_line *line)
{
	if (!trial->policy->crossings.n_items)
		return false;
	const struct ms_crossing *crossing =
		&trial->policy->crossings
			 .items[random_below(r, (uint32_t)trial->policy->crossings.n_items)];

	*line = (struct seed_line){&crossing->from,  &crossing->to, NULL, NULL,
				   &crossing->ports, false};
	return true;
}

static bool line_of_never(struct random *r, const struct trial *trial, struct seed_line *line)
{
	if (!trial->policy->nevers.n_items)
		return false;
	const struct ms_never *never =
		&trial->policy->nevers
			 .items[random_below(r, (uint32_t)trial->policy->nevers.n_items)];

	*line = (struct seed_line){never->any_source ? NULL : &never->from,
				   &never->to,
				   NULL,
				   NULL,
				   &never->ports,
				   false};
	return true;
}

static bool line_of_exception(struct random *r, const struct trial *trial, struct seed_line *line)
{
	if (!trial->policy->exceptions.n_items)
		return false;
	const struct ms_exception *exception =
		&trial->policy->exceptions
			 .items[random_below(r, (uint32_t)trial->policy->exceptions.n_items)];

	*line = (struct seed_line){&exception->from,  &exception->to, NULL, NULL,
				   &exception->ports, false};
	return true;
}

static bool pick_line(struct random *r, const struct trial *trial, struct seed_line *line)
{
	switch (random_below(r, 8)) {
	case 0:
		return line_of_crossing(r, trial, line);
	case 1:
		return line_of_never(r, trial, line);
	case 2:
		return line_of_exception(r, trial, line);
	default:
		return line_of_service(r, trial, line);
	}
}

/* ---- ports ---- */

static void any_port(struct random *r, struct flow *flow)
{
	static const struct ms_ports some[] = {
		{IPPROTO_TCP, 80, 0},	  {IPPROTO_TCP, 443, 0}, {IPPROTO_TCP, 8087, 0},
		{IPPROTO_TCP, 9100, 0},	  {IPPROTO_UDP, 53, 0},	 {IPPROTO_TCP, 53, 0},
		{IPPROTO_UDP, 67, 0},	  {IPPROTO_SCTP, 85, 0}, {IPPROTO_ICMP, 8, 0},
		{IPPROTO_ICMPV6, 128, 0}, {IPPROTO_GRE, 0, 0},	 {IPPROTO_ICMPV6, 135, 0},
		{IPPROTO_ICMPV6, 133, 0}, {IPPROTO_UDP, 547, 0}, {IPPROTO_ICMP, 3, 0},
		{IPPROTO_UDP, 68, 0},
	};
	const struct ms_ports *ports = &RANDOM_OF(r, some);

	flow->proto = ports->proto;
	flow->port = ports->first;
}

static bool has_types(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

/* A port of the line: an edge or the middle of a range, or one beside it. */
static void take_port(struct random *r, const ms_ports_vec *vec, struct flow *flow)
{
	if (!vec || !vec->n_items || random_chance(r, 10)) {
		any_port(r, flow);
		return;
	}
	const struct ms_ports *ports = &vec->items[random_below(r, (uint32_t)vec->n_items)];
	uint32_t span = (uint32_t)ports->last - ports->first, port = ports->first;
	uint32_t where = random_below(r, 10);
	uint32_t last = has_ports(ports->proto) ? 65535 : has_types(ports->proto) ? 255 : 0;

	if (where < 3)
		port = ports->last;
	else if (where < 5)
		port += random_below(r, span + 1);
	else if (where == 5 && last)
		port = ports->last < last ? ports->last + 1u : ports->last;
	else if (where == 6 && ports->first > 0)
		port = ports->first - 1u;
	flow->proto = ports->proto;
	if (where == 7 && has_ports(ports->proto))
		flow->proto = ports->proto == IPPROTO_TCP ? IPPROTO_UDP : IPPROTO_TCP;
	flow->port = (uint16_t)(has_ports(flow->proto) && port == 0 ? 1 : port);
}

bool random_flow(struct random *r, const struct trial *trial, struct flow *ret_flow)
{
	for (int tries = 0; tries < 20; tries++) {
		struct end src = {.interface = OUTSIDE}, dst = {.interface = OUTSIDE};
		struct seed_line line = {0};
		struct flow flow = {0};

		if (!random_chance(r, 10) && !pick_line(r, trial, &line))
			continue;
		bool strange_src = random_chance(r, 12), strange_dst = random_chance(r, 12);
		if (!(strange_src ? take_any(r, trial, &src)
				  : take_peer(r, trial, line.from, line.from_service, &src)) ||
		    !(strange_dst ? take_any(r, trial, &dst)
				  : take_peer(r, trial, line.to, line.to_service, &dst)))
			continue;
		take_port(r, line.ports, &flow);
		memcpy(flow.src, src.name, sizeof(flow.src));
		memcpy(flow.dst, dst.name, sizeof(flow.dst));
		flow.saddr = src.addr;
		flow.daddr = dst.addr;
		flow.published = random_chance(r, line.published ? 70 : 6) &&
				 strcmp(dst.name, "outside") != 0 && strcmp(dst.name, "host") != 0;
		snprintf(flow.outside, sizeof(flow.outside), "%s",
			 strcmp(src.name, "outside") == 0 ? src.interface : dst.interface);
		if (!trial_has(trial, &flow))
			continue;
		*ret_flow = flow;
		return true;
	}
	return false;
}
