/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sentence: why a packet was refused that no grant could have allowed, in words for whoever reads
 * the log.
 */
#include "event/attribute.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#define ND_ROUTER_ADVERTISEMENT 134
#define ND_REDIRECT 137
#define DHCP_SERVER 67
#define DHCP6_SERVER 547

static void add_addr(struct ms_str *out, const struct ms_addr *addr)
{
	char text[MS_ADDR_TEXT_SIZE];

	ms_str_add(out, ms_addr_format(addr, text));
}

static void add_mac(struct ms_str *out, const struct ms_mac *mac)
{
	char text[MS_MAC_TEXT_SIZE];

	ms_str_add(out, ms_mac_format(mac, text));
}

/* "prod/web on veth12", or "veth12" when nobody is known there. */
static void add_source(const struct attribution *a, struct ms_str *out)
{
	char text[MS_EVENT_TEXT];

	if (a->has_src && a->src.endpoint) {
		ms_str_add(out, ms_event_identity(&a->src, text, sizeof(text)));
		ms_str_add(out, " on ");
	}
	ms_str_add(out, a->src_port[0] ? a->src_port : "this host");
}

static bool holds(const struct ms_endpoint *endpoint, const struct ms_addr *addr)
{
	ms_vec_each (struct ms_addr, own, &endpoint->addrs)
		if (ms_addr_equal(own, addr))
			return true;
	return false;
}

/* It came in by a known port: which of its claims is not that endpoint's? */
static void add_port_spoof(const struct attribution *a, struct ms_str *out)
{
	const struct ms_endpoint *endpoint = a->src.endpoint;
	const struct ms_packet_record *record = a->record;
	bool other_mac = record->has_src_mac && !ms_mac_is_zero(&endpoint->mac) &&
			 ms_mac_compare(&record->src_mac, &endpoint->mac) != 0;

	if (a->packet.has_addrs && !holds(endpoint, &a->packet.src)) {
		ms_str_add(out, "the frame claims ");
		add_addr(out, &a->packet.src);
	} else if (other_mac) {
		ms_str_add(out, "the frame claims MAC ");
		add_mac(out, &record->src_mac);
	} else {
		ms_str_add(
			out,
			"the frame claims, in an ARP or neighbour discovery message, an address or MAC");
	}
	ms_str_add(out, ", which ");
	add_source(a, out);
	ms_str_add(out, " does not hold");
}

/* The mirror: an address of ours came in where its endpoint is not. */
static void add_foreign_spoof(const struct attribution *a, struct ms_str *out)
{
	const struct ms_endpoint *owner =
		a->packet.has_addrs ? ms_inventory_by_addr(a->inventory, &a->packet.src) : NULL;

	if (!a->packet.has_addrs) {
		ms_str_add(out, "the frame claims an address that is not behind ");
		add_source(a, out);
		return;
	}
	ms_str_add(out, "the packet claims ");
	add_addr(out, &a->packet.src);
	if (owner) {
		ms_str_addf(out, ", which %s holds",
			    owner->identity ? owner->identity : "unidentified");
		if (owner->interface[0])
			ms_str_addf(out, " on %s", owner->interface);
	} else {
		ms_str_add(out, ", an address of a container of this node");
	}
	ms_str_add(out, ", but came in by ");
	add_source(a, out);
}

static void add_spoof(const struct attribution *a, struct ms_str *out)
{
	if (a->has_src && a->src.endpoint)
		add_port_spoof(a, out);
	else
		add_foreign_spoof(a, out);
}

static void add_unknown_port(const struct attribution *a, struct ms_str *out)
{
	bool source_known = a->has_src && a->src.endpoint;
	const char *port = source_known && a->dst_port[0] ? a->dst_port : a->src_port;

	if (!port[0])
		port = a->dst_port;
	if (ms_inventory_by_interface(a->inventory, port))
		ms_str_addf(out, "%s was not enforced yet: nothing passes before its rules stand",
			    port);
	else
		ms_str_addf(
			out,
			"%s is not identified yet: nothing passes until netlink and an engine named it",
			port[0] ? port : "the port");
}

static void add_ethertype(const struct attribution *a, struct ms_str *out)
{
	const struct ms_packet *packet = &a->packet;
	bool icmp6 = packet->has_icmp_type && packet->proto == IPPROTO_ICMPV6;
	bool udp = packet->has_ports && packet->proto == IPPROTO_UDP;
	const char *what = NULL;

	if (icmp6 && packet->icmp_type == ND_ROUTER_ADVERTISEMENT)
		what = "router advertisements";
	else if (icmp6 && packet->icmp_type == ND_REDIRECT)
		what = "redirects";
	else if (udp && (packet->sport == DHCP_SERVER || packet->sport == DHCP6_SERVER))
		what = "answers of a DHCP server";
	else if (packet->ether_type == ETH_P_8021Q || packet->ether_type == ETH_P_8021AD)
		what = "VLAN tags";
	else if (packet->ether_type == ETH_P_IP || packet->ether_type == ETH_P_IPV6)
		what = "IP packets of this form (source routing, unusual neighbour discovery)";

	if (what)
		ms_str_addf(out, "%s never pass from an endpoint, and ", what);
	else if (packet->ether_type)
		ms_str_addf(
			out,
			"only IPv4, IPv6 and ARP pass from an endpoint, and ether type 0x%04x came from ",
			packet->ether_type);
	else
		ms_str_add(
			out,
			"only IPv4, IPv6 and ARP pass from an endpoint, and something else came from ");
	add_source(a, out);
	if (what)
		ms_str_add(out, " sent one");
}

static void add_limit(const struct attribution *a, struct ms_str *out)
{
	add_source(a, out);
	ms_str_add(out, " has as many tracked connections as one address may have");
}

/* The oracle was not asked: there is no policy, or the frame has no addresses to ask about. */
static void add_unjudged(const struct attribution *a, struct ms_str *out)
{
	if (a->policy)
		ms_str_add(out, "the frame has no addresses to look for in the policy");
	else
		ms_str_add(out, "no policy is loaded: managed interfaces pass nothing");
}

void ms_event_sentence(const struct attribution *a, struct ms_str *out)
{
	switch (a->tag.reason) {
	case MS_REASON_SPOOF:
		return add_spoof(a, out);
	case MS_REASON_UNKNOWN_PORT:
		return add_unknown_port(a, out);
	case MS_REASON_ETHERTYPE:
		return add_ethertype(a, out);
	case MS_REASON_LIMIT:
		return add_limit(a, out);
	case MS_REASON_QUARANTINE:
		return ms_str_add(out, "one of the two ends is in quarantine");
	case MS_REASON_INVALID:
		return ms_str_add(
			out, "it belongs to no connection that the kernel knows and opens none");
	case MS_REASON_BYPASS:
		return ms_str_add(
			out,
			"the frame crossed its bridge without passing the policy: the bridge's "
			"netfilter flags are off");
	default:
		return add_unjudged(a, out);
	}
}
