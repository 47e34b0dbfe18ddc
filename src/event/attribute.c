/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attribute: names for the addresses of a refused packet, and what would have to change.
 *
 * Verdict and reason are the kernel's: the log prefix of the rule that refused. Everything else is
 * looked up now, in the snapshot at hand. A frame belongs to the endpoint of the port it came in
 * by, whatever address it claims; only without such a port does the source address name anybody.
 * The policy's place and the nearest miss come from the oracle. Names are copied raw: whoever
 * prints them escapes them.
 */
#include "event/attribute.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

#include "microseg/arena.h"
#include "microseg/cleanup.h"

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

bool ms_event_is_managed(const struct ms_inventory *inventory, const char *name)
{
	if (!name[0])
		return false;
	if (ms_inventory_link(inventory, name))
		return true;
	ms_vec_each (const char *, skipped, &inventory->skipped)
		if (strcmp(*skipped, name) == 0)
			return false;
	ms_vec_each (const char *, pattern, &inventory->patterns)
		if (ms_glob_match(*pattern, name))
			return true;
	return false;
}

const char *ms_event_identity(const struct ms_party *party, char *text, size_t size)
{
	switch (party->kind) {
	case MS_PARTY_SERVICE:
		snprintf(text, size, "%s/%s", party->env, party->service);
		break;
	case MS_PARTY_UNIDENTIFIED:
		snprintf(text, size, "unidentified");
		break;
	case MS_PARTY_HOST:
		snprintf(text, size, "host");
		break;
	case MS_PARTY_NODE:
		snprintf(text, size, "node/%s", party->node ? party->node : "");
		break;
	case MS_PARTY_NET:
		snprintf(text, size, "net");
		break;
	}
	return text;
}

/* Addresses that are nobody's by themselves: they are neither net nor an unknown container. */
static bool is_nobody(const struct ms_addr *addr)
{
	return ms_addr_is_multicast(addr) || ms_addr_is_link_local(addr) ||
	       ms_addr_is_loopback(addr) || ms_addr_is_unspecified(addr);
}

/* Who holds @addr. Returns false when nobody does and nobody could: then the party is only for the
 * oracle. */
static bool find_by_addr(const struct attribution *a, const struct ms_addr *addr, bool managed,
			 struct ms_party *ret_party)
{
	struct ms_party party = ms_party_of_addr(a->policy, a->inventory, addr, managed);
	bool held = party.endpoint || party.kind == MS_PARTY_HOST || party.kind == MS_PARTY_NODE;

	*ret_party = party;
	return held || !is_nobody(addr);
}

/* No endpoint is known behind the port. What a spoofed packet claims to be says nothing about its
 * source. */
static void find_source_by_claim(struct attribution *a)
{
	const struct ms_packet_record *record = a->record;
	bool managed = ms_event_is_managed(a->inventory, record->indev) ||
		       ms_event_is_managed(a->inventory, record->physindev);
	bool spoof = a->tag.reason == MS_REASON_SPOOF;

	a->has_src = true;
	a->src = (struct ms_party){
		.kind = managed ? MS_PARTY_UNIDENTIFIED : MS_PARTY_NET,
		.has_addr = a->packet.has_addrs,
		.addr = a->packet.src,
	};
	if (spoof || (managed && record->physindev[0]))
		return;
	if (a->packet.has_addrs)
		a->has_src = find_by_addr(a, &a->packet.src, managed, &a->src);
	else
		a->has_src = managed;
}

static void find_source(struct attribution *a)
{
	const struct ms_packet_record *record = a->record;
	const struct ms_endpoint *endpoint;

	a->src_port = record->physindev[0] ? record->physindev : record->indev;
	endpoint = ms_inventory_by_interface(a->inventory, a->src_port);
	if (!endpoint) {
		find_source_by_claim(a);
		return;
	}
	a->has_src = true;
	a->src = ms_party_of_endpoint(endpoint);
	if (!a->packet.has_addrs)
		return;
	a->src.has_addr = true;
	a->src.addr = a->packet.src;
	if (a->tag.reason == MS_REASON_SPOOF)
		return;
	/* What it sends for somebody else is not its own. */
	struct ms_party sender = ms_party_of_addr(a->policy, a->inventory, &a->packet.src, true);
	if (sender.carried) {
		a->src = sender;
		a->src.endpoint = endpoint;
	}
}

static void find_destination(struct attribution *a)
{
	const struct ms_packet_record *record = a->record;
	bool managed = ms_event_is_managed(a->inventory, record->outdev) ||
		       ms_event_is_managed(a->inventory, record->physoutdev);

	a->dst_port = record->physoutdev[0] ? record->physoutdev : record->outdev;
	a->has_dst = a->packet.has_addrs && find_by_addr(a, &a->packet.dst, managed, &a->dst);
}

/* The host sends from addresses that no snapshot knows yet; what has no way in was made here. */
static void recognise_host(struct attribution *a)
{
	bool made_here = !a->record->indev[0] && a->record->family != NFPROTO_BRIDGE;

	if (made_here && (!a->has_src || a->src.kind == MS_PARTY_NET)) {
		a->has_src = true;
		a->src.kind = MS_PARTY_HOST;
		a->src.has_addr = a->packet.has_addrs;
		a->src.addr = a->packet.src;
	}
}

/* @interface NULL: that of the endpoint. */
static void fill_end(struct ms_event_end *end, bool known, const struct ms_party *party,
		     const char *interface)
{
	const struct ms_endpoint *endpoint = known ? party->endpoint : NULL;

	if (known)
		ms_event_identity(party, end->identity, sizeof(end->identity));
	if (endpoint) {
		copy_text(end->endpoint, sizeof(end->endpoint), endpoint->name);
		end->has_mac = !ms_mac_is_zero(&endpoint->mac);
		end->mac = endpoint->mac;
	}
	if (!interface && endpoint)
		interface = endpoint->interface;
	copy_text(end->interface, sizeof(end->interface), interface);
}

static void fill_ends(const struct attribution *a, struct ms_event *event)
{
	const struct ms_packet_record *record = a->record;
	bool bridge_only = !record->physoutdev[0] && a->has_dst && a->dst.endpoint;

	fill_end(&event->src, a->has_src, &a->src, a->src_port);
	fill_end(&event->dst, a->has_dst, &a->dst, bridge_only ? NULL : a->dst_port);
	if (record->has_src_mac) { /* what the frame claims */
		event->src.has_mac = true;
		event->src.mac = record->src_mac;
	}
	event->src.has_ip = event->dst.has_ip = a->packet.has_addrs;
	event->src.ip = a->packet.src;
	event->dst.ip = a->packet.dst;
	event->src.has_port = event->dst.has_port = a->packet.has_ports;
	event->src.port = a->packet.sport;
	event->dst.port = a->packet.dport;
}

static void fill_packet(const struct ms_packet *packet, struct ms_event *event)
{
	bool ip = packet->ether_type == ETH_P_IP || packet->ether_type == ETH_P_IPV6;

	event->proto = packet->proto;
	event->ether_type = ip ? 0 : packet->ether_type;
	event->has_dport = packet->has_ports;
	event->dport = packet->dport;
	event->has_icmp_type = packet->has_icmp_type;
	event->icmp_type = packet->icmp_type;
}

/*
 * A packet does not tell whether the engine translated its destination. Only for sources outside
 * does it matter; the way of asking that gives the kernel's own reason is the right one.
 */
static struct ms_decision ask_oracle(const struct attribution *a, struct ms_arena *arena)
{
	struct ms_flow flow = {
		.src = a->src,
		.dst = a->dst,
		.proto = a->packet.proto,
		.port = a->packet.has_icmp_type ? a->packet.icmp_type : a->packet.dport,
	};
	time_t now = (time_t)(a->record->time_ms / 1000);
	struct ms_decision plain = ms_decide(a->policy, a->inventory, &flow, now, arena);
	bool outside = a->src.kind == MS_PARTY_NET || a->src.kind == MS_PARTY_NODE;

	if (plain.reason == a->tag.reason || !outside)
		return plain;
	flow.published = true;
	struct ms_decision published = ms_decide(a->policy, a->inventory, &flow, now, arena);
	return published.reason == a->tag.reason ? published : plain;
}

/* The reasons that the oracle can speak about; the others are told from the packet. */
static bool is_policy_reason(enum ms_reason reason)
{
	return reason == MS_REASON_QUARANTINE || reason == MS_REASON_NEVER ||
	       reason == MS_REASON_UNIDENTIFIED || reason == MS_REASON_FENCE ||
	       reason == MS_REASON_NO_GRANT;
}

/* The kernel refused what the oracle, asked now, would let pass. */
static const char *explain_allowed(const struct attribution *a, const struct ms_decision *decision)
{
	if (decision->policy)
		return "the policy in force now allows it: an earlier one refused it";
	if (a->src.endpoint || a->dst.endpoint)
		return "it resembles what everybody may send (neighbour discovery, DHCP), but not in its proper form";
	if (a->packet.has_addrs && ms_addr_is_multicast(&a->packet.dst))
		return "multicast and broadcast on a managed interface pass nothing but neighbour discovery, group "
		       "reports and DHCP";
	return "neither end is a container of this node any more";
}

static void explain(const struct attribution *a, struct ms_event *event)
{
	_cleanup_(ms_str_fini) struct ms_str sentence = {0};
	struct ms_arena *arena = NULL;
	struct ms_decision decision = {0};
	bool judged = is_policy_reason(a->tag.reason) && a->policy && a->packet.has_addrs;

	if (judged) {
		arena = ms_arena_new();
		decision = ask_oracle(a, arena);
	}
	if (decision.policy && decision.reason == a->tag.reason) {
		copy_text(event->policy_file, sizeof(event->policy_file), decision.policy->file);
		event->policy_line = decision.policy->line;
	}
	bool lifted = a->tag.reason == MS_REASON_QUARANTINE && decision.reason != a->tag.reason;
	if (decision.nearest && !lifted)
		ms_str_add(&sentence, decision.nearest);
	else if (judged && decision.verdict == MS_ALLOW)
		ms_str_add(&sentence, explain_allowed(a, &decision));
	else
		ms_event_sentence(a, &sentence);
	copy_text(event->nearest, sizeof(event->nearest), sentence.text);
	ms_arena_free(arena);
}

int ms_event_attribute(const struct ms_packet_record *record, const struct ms_policy *policy,
		       const struct ms_inventory *inventory, uint64_t generation,
		       struct ms_event *ret_event)
{
	struct attribution a = {.record = record, .policy = policy, .inventory = inventory};
	int r = ms_log_tag_parse(record->prefix, &a.tag);

	if (r < 0)
		return r;
	ms_packet_decode(record, &a.packet);
	find_source(&a);
	find_destination(&a);
	recognise_host(&a);
	if (a.has_src && a.has_dst)
		ms_settle_carried(&a.src, &a.dst);

	*ret_event = (struct ms_event){
		.time_ms = record->time_ms,
		.verdict = a.tag.verdict,
		.reason = a.tag.reason,
		.count = 1,
		.generation = generation,
	};
	fill_packet(&a.packet, ret_event);
	fill_ends(&a, ret_event);
	explain(&a, ret_event);
	copy_text(ret_event->node, sizeof(ret_event->node), inventory->node);
	return 0;
}
