/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tracked: events of connections that were open when the node was armed and that the policy would
 * refuse. They are made as if the packet log had a packet of each, so that they read like all
 * others.
 */
#include "daemon/tracked.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

#include "loop/loop.h"

#define MAX_TOLD 4096  /* of one arming */
#define PACKET_SIZE 44 /* the header of IPv6, and ports */
#define PORTS_SIZE 4

/* An IP header as far as the reader of the packet log looks at it. Returns its size. */
static size_t write_header(uint8_t *packet, const struct ms_addr *src, const struct ms_addr *dst,
			   uint8_t proto)
{
	bool v4 = src->ip == MS_IP4;
	size_t size = v4 ? 20 : 40, addr_size = ms_addr_size(src->ip);

	packet[0] = v4 ? 0x45 : 0x60;
	packet[v4 ? 3 : 5] = (uint8_t)((v4 ? size : 0) + PORTS_SIZE);
	packet[v4 ? 9 : 6] = proto;
	memcpy(packet + size - 2 * addr_size, src->bytes, addr_size);
	memcpy(packet + size - addr_size, dst->bytes, addr_size);
	return size;
}

void ms_tracked_tell(struct ms_tracked *tracked, const struct ms_conntrack_entry *entry,
		     const struct ms_flow *flow, enum ms_reason reason)
{
	const struct ms_log_tag tag = {MS_AUDIT, reason};
	const struct ms_addr *dst = entry->dnat ? &entry->reply.src : &entry->orig.dst;
	const uint16_t ports_be[2] = {htons(entry->orig.sport), htons(flow->port)};
	char prefix[MS_LOG_PREFIX_SIZE];
	uint8_t packet[PACKET_SIZE] = {0};
	struct ms_packet_record record = {
		.prefix = ms_log_tag_format(&tag, prefix),
		/* The packet log's own packets of the host have no way in, those of bridges do. */
		.family = flow->src.kind == MS_PARTY_HOST ? NFPROTO_INET : NFPROTO_BRIDGE,
		.ether_type = entry->orig.src.ip == MS_IP4 ? ETH_P_IP : ETH_P_IPV6,
		.time_ms = ms_realtime_ms(),
		.payload = packet,
	};

	if (tracked->n_told++ >= MAX_TOLD)
		return;
	if (flow->src.endpoint)
		snprintf(record.indev, sizeof(record.indev), "%s", flow->src.endpoint->interface);
	size_t size = write_header(packet, &entry->orig.src, dst, entry->proto);
	if (entry->has_icmp_type)
		packet[size] = entry->icmp_type;
	else
		memcpy(packet + size, ports_be, PORTS_SIZE);
	record.payload_size = size + PORTS_SIZE;
	ms_events_tracked(tracked->events, &record);
}
