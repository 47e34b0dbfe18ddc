/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of one packet through a node.
 *
 *	port to port of one bridge:	bridge prerouting [port], inet prerouting [bridge], bridge
 *forward up to br_netfilter, inet forward [bridge, bridge], bridge forward behind it [port, port]
 *	from a port up:			bridge prerouting [port], inet prerouting [bridge], bridge
 *input [port] then routed, or to the host:	inet forward [in, out], or inet input [in] out of
 *the host:		inet output [out] down to a port:			bridge output [port]
 *
 * A routed veth has no bridge hooks. br_netfilter hands a bridge's frames to inet prerouting and,
 *at its own place in bridge forward, to inet forward (net/bridge/br_netfilter_hooks.c:
 *br_nf_pre_routing, br_nf_forward at NF_BR_PRI_BRNF - 1); both show the bridge as interface, not
 *the port.
 */
#include "microseg/simulate.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "simulate_hook.h"

#define BR_NF_FORWARD_PRIORITY (-1) /* NF_BR_PRI_BRNF - 1 */
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define EPHEMERAL_PORT 40000
#define HOP_LIMIT 64
#define ND_HOP_LIMIT 255

enum nd_type {
	ND_ROUTER_SOLICIT = 133,
	ND_NEIGHBOR_SOLICIT = 135,
	ND_NEIGHBOR_ADVERT = 136,
	ND_REDIRECT = 137,
};

struct way {
	const struct ms_ruleset *ruleset;
	const struct ms_sim_flow *flow;
	struct ms_sim_packet packet;
	struct ms_arena *arena;
	struct ms_sim_result *result;
};

static const struct ms_priority_window whole_hook = {INT64_MIN, INT32_MAX};
static const struct ms_priority_window before_br_nf = {INT64_MIN, BR_NF_FORWARD_PRIORITY};
static const struct ms_priority_window behind_br_nf = {BR_NF_FORWARD_PRIORITY, INT32_MAX};

static bool is_port(const struct ms_endpoint *endpoint)
{
	return *endpoint->bridge != '\0';
}

/* The interface that routing sees for an end: the bridge, the veth, or the way out. */
static const char *layer3(const struct way *way, const struct ms_endpoint *endpoint)
{
	if (!endpoint)
		return way->flow->outside ? way->flow->outside : "";
	return is_port(endpoint) ? endpoint->bridge : endpoint->interface;
}

static void set_name(char name[16], const char *text)
{
	memset(name, 0, 16);
	memcpy(name, text, strnlen(text, 15));
}

static int run_part(struct way *way, enum ms_family family, enum ms_hook hook,
		    const struct ms_priority_window *window, const char *iifname,
		    const char *oifname)
{
	if (way->result->dropped)
		return 0;
	set_name(way->packet.iifname, iifname);
	set_name(way->packet.oifname, oifname);
	return ms_simulate_window(way->ruleset, family, hook, window, &way->packet, way->arena,
				  way->result);
}

static int run(struct way *way, enum ms_family family, enum ms_hook hook, const char *iifname,
	       const char *oifname)
{
	return run_part(way, family, hook, &whole_hook, iifname, oifname);
}

static int same_bridge(struct way *way)
{
	const struct ms_endpoint *src = way->flow->src, *dst = way->flow->dst;
	const char *bridge = src->bridge;
	int r = run(way, MS_FAMILY_BRIDGE, MS_HOOK_PREROUTING, src->interface, "");

	if (r == 0)
		r = run(way, MS_FAMILY_INET, MS_HOOK_PREROUTING, bridge, "");
	if (r == 0)
		r = run_part(way, MS_FAMILY_BRIDGE, MS_HOOK_FORWARD, &before_br_nf, src->interface,
			     dst->interface);
	if (r == 0)
		r = run(way, MS_FAMILY_INET, MS_HOOK_FORWARD, bridge, bridge);
	if (r == 0)
		r = run_part(way, MS_FAMILY_BRIDGE, MS_HOOK_FORWARD, &behind_br_nf, src->interface,
			     dst->interface);
	return r;
}

/* From an end up to where routing takes over. */
static int up(struct way *way)
{
	const struct ms_endpoint *src = way->flow->src;
	bool port = src && is_port(src);
	int r = 0;

	if (port)
		r = run(way, MS_FAMILY_BRIDGE, MS_HOOK_PREROUTING, src->interface, "");
	if (r == 0)
		r = run(way, MS_FAMILY_INET, MS_HOOK_PREROUTING, layer3(way, src), "");
	if (r == 0 && port)
		r = run(way, MS_FAMILY_BRIDGE, MS_HOOK_INPUT, src->interface, "");
	return r;
}

/* From routing down to an end. The host's own MAC is the sender now. */
static int down(struct way *way, const struct ms_inventory *inventory)
{
	const struct ms_endpoint *dst = way->flow->dst;

	if (!dst || !is_port(dst))
		return 0;
	way->packet.ether = true;
	memset(way->packet.ether_saddr, 0, sizeof(way->packet.ether_saddr));
	if (inventory->host_macs.n_items)
		memcpy(way->packet.ether_saddr, inventory->host_macs.items[0].bytes, 6);
	memcpy(way->packet.ether_daddr, dst->mac.bytes, 6);
	return run(way, MS_FAMILY_BRIDGE, MS_HOOK_OUTPUT, "", dst->interface);
}

static int routed(struct way *way, const struct ms_inventory *inventory)
{
	const struct ms_sim_flow *flow = way->flow;
	int r = 0;

	if (flow->src_is_host)
		r = run(way, MS_FAMILY_INET, MS_HOOK_OUTPUT, "", layer3(way, flow->dst));
	else
		r = up(way);
	if (r == 0 && flow->dst_is_host)
		return run(way, MS_FAMILY_INET, MS_HOOK_INPUT, layer3(way, flow->src), "");
	if (r == 0 && !flow->src_is_host) {
		way->packet.ip6_hoplimit--; /* ip6_forward() counts down before the hook */
		r = run(way, MS_FAMILY_INET, MS_HOOK_FORWARD, layer3(way, flow->src),
			layer3(way, flow->dst));
	}
	return r == 0 ? down(way, inventory) : r;
}

/* A DHCP message comes from the port that its kind comes from; anything else from an ephemeral one.
 */
static uint16_t source_port(uint8_t proto, uint16_t port)
{
	static const uint16_t pairs[][2] = {{67, 68}, {68, 67}, {546, 547}, {547, 546}};

	for (size_t i = 0; proto == IPPROTO_UDP && i < sizeof(pairs) / sizeof(*pairs); i++)
		if (pairs[i][0] == port)
			return pairs[i][1];
	return EPHEMERAL_PORT;
}

/* Neighbour messages as an honest sender forms them: about itself, or asking for the destination.
 */
static void fill_nd(struct ms_sim_packet *packet)
{
	bool advert = packet->icmp_type == ND_NEIGHBOR_ADVERT;

	if (packet->saddr.ip != MS_IP6 || packet->l4proto != IPPROTO_ICMPV6 ||
	    packet->icmp_type < ND_ROUTER_SOLICIT || packet->icmp_type > ND_REDIRECT)
		return;
	packet->ip6_hoplimit = ND_HOP_LIMIT;
	if (packet->icmp_type != ND_NEIGHBOR_SOLICIT && !advert)
		return;
	memcpy(packet->nd_target, advert ? packet->saddr.bytes : packet->daddr.bytes, 16);
	packet->nd_option[0] = advert ? 2 : 1;
	packet->nd_option[1] = 1;
	memcpy(packet->nd_lladdr, packet->ether_saddr, 6);
}

static uint32_t address_type(const struct ms_sim_flow *flow)
{
	if (ms_addr_is_multicast(&flow->daddr))
		return RTN_MULTICAST;
	return flow->dst_is_host ? RTN_LOCAL : RTN_UNICAST;
}

static struct ms_sim_packet first_packet(const struct ms_sim_flow *flow,
					 const struct ms_inventory *inventory)
{
	bool icmp = flow->proto == IPPROTO_ICMP || flow->proto == IPPROTO_ICMPV6;
	struct ms_sim_packet packet = {
		.iif_stranger = flow->src_anew,
		.oif_stranger = flow->dst_anew,
		.ether = !flow->src_is_host,
		.ether_type = flow->saddr.ip == MS_IP6 ? 0x86dd : 0x0800,
		.saddr = flow->saddr,
		.daddr = flow->daddr,
		.l4proto = flow->proto,
		.ip6_nexthdr = flow->proto,
		.ip6_hoplimit = HOP_LIMIT,
		.sport = icmp ? 0 : source_port(flow->proto, flow->port),
		.dport = icmp ? 0 : flow->port,
		.tcp_flags = flow->proto == IPPROTO_TCP ? TCP_SYN : 0,
		.icmp_type = icmp ? (uint8_t)flow->port : 0,
		.ct_state = MS_CT_NEW,
		.ct_dnat = flow->published,
		.fib_daddr_type = address_type(flow),
		/* The way to an endpoint's address leads to the endpoint. */
		.fib_astray = !flow->src && !flow->src_is_host &&
			      ms_inventory_n_holders(inventory, &flow->saddr) > 0,
	};

	if (flow->src)
		memcpy(packet.ether_saddr, flow->src->mac.bytes, 6);
	if (flow->src && flow->dst && strcmp(flow->src->bridge, flow->dst->bridge) == 0)
		memcpy(packet.ether_daddr, flow->dst->mac.bytes, 6);
	else if (inventory->host_macs.n_items)
		memcpy(packet.ether_daddr, inventory->host_macs.items[0].bytes, 6);
	fill_nd(&packet);
	return packet;
}

/* The answer has another type than the request; what has none stays as it is. */
static uint8_t reply_type(uint8_t type)
{
	static const uint8_t pairs[][2] = {{8, 0}, {13, 14}, {15, 16}, {17, 18}, {128, 129}};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (pairs[i][0] == type)
			return pairs[i][1];
	return type;
}

/* The flow that a reply is a packet of, seen by itself: the ends change places. */
static struct ms_sim_flow turn(const struct ms_sim_flow *flow)
{
	struct ms_sim_flow turned = *flow;

	turned.src = flow->dst;
	turned.dst = flow->src;
	turned.src_is_host = flow->dst_is_host;
	turned.dst_is_host = flow->src_is_host;
	turned.saddr = flow->daddr;
	turned.daddr = flow->saddr;
	turned.src_anew = flow->dst_anew;
	turned.dst_anew = flow->src_anew;
	return turned;
}

static struct ms_sim_packet make_packet(const struct ms_sim_flow *flow,
					const struct ms_inventory *inventory)
{
	struct ms_sim_packet packet = first_packet(flow, inventory);

	packet.now = flow->now;
	packet.listed = flow->listed;
	if (flow->state == MS_SIM_NEW)
		return packet;
	packet.ct_state = MS_CT_ESTABLISHED;
	packet.tcp_flags = flow->proto == IPPROTO_TCP ? TCP_ACK : 0;
	if (flow->state != MS_SIM_REPLY)
		return packet;
	packet.icmp_type = reply_type(packet.icmp_type);
	uint16_t sport = packet.sport;
	packet.sport = packet.dport;
	packet.dport = sport;
	return packet;
}

int ms_simulate_flow(const struct ms_ruleset *ruleset, const struct ms_inventory *inventory,
		     const struct ms_sim_flow *flow, struct ms_arena *arena,
		     struct ms_sim_result *result)
{
	struct ms_sim_flow sent = flow->state == MS_SIM_REPLY ? turn(flow) : *flow;
	struct way way = {
		.ruleset = ruleset,
		.flow = &sent,
		.packet = make_packet(&sent, inventory),
		.arena = arena,
		.result = result,
	};
	bool same = sent.src && sent.dst && is_port(sent.src) &&
		    strcmp(sent.src->bridge, sent.dst->bridge) == 0;

	if (!sent.src && !sent.dst)
		return -EINVAL;
	int r = same ? same_bridge(&way) : routed(&way, inventory);
	result->listed = way.packet.listed;
	return r;
}
