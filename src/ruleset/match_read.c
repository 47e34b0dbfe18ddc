/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ruleset/match_read.h"

#include <netinet/in.h>
#include <string.h>

#define ETHER_TYPE_ARP 0x0806

static bool copy(uint8_t *value, const void *bytes, size_t size)
{
	memcpy(value, bytes, size);
	return true;
}

static bool copy_be16(uint8_t *value, uint16_t number)
{
	value[0] = (uint8_t)(number >> 8);
	value[1] = (uint8_t)number;
	return true;
}

static bool is_arp(const struct ms_sim_packet *packet)
{
	return packet->ether_type == ETHER_TYPE_ARP;
}

/* Is there a transport header of this protocol to read from? */
static bool has_l4(const struct ms_sim_packet *packet, uint8_t l4proto)
{
	return packet->saddr.ip != MS_IP_NONE && packet->l4proto == l4proto &&
	       !packet->later_fragment;
}

static bool has_icmp6(const struct ms_sim_packet *packet)
{
	return packet->saddr.ip == MS_IP6 && has_l4(packet, IPPROTO_ICMPV6);
}

bool ms_match_read_iifname(const struct ms_sim_packet *packet, uint8_t *value)
{
	return copy(value, packet->iifname, 16);
}

bool ms_match_read_oifname(const struct ms_sim_packet *packet, uint8_t *value)
{
	return copy(value, packet->oifname, 16);
}

static bool copy_group(uint8_t *value, bool stranger)
{
	const uint32_t group = stranger ? 0 : MS_ADMITTED_GROUP;

	return copy(value, &group, sizeof(group));
}

bool ms_match_read_iifgroup(const struct ms_sim_packet *packet, uint8_t *value)
{
	return *packet->iifname && copy_group(value, packet->iif_stranger);
}

bool ms_match_read_oifgroup(const struct ms_sim_packet *packet, uint8_t *value)
{
	return *packet->oifname && copy_group(value, packet->oif_stranger);
}

bool ms_match_read_nfproto(const struct ms_sim_packet *packet, uint8_t *value)
{
	*value = packet->saddr.ip == MS_IP4 ? PROTO_IP4 : PROTO_IP6;
	return packet->saddr.ip != MS_IP_NONE;
}

bool ms_match_read_l4proto(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->saddr.ip != MS_IP_NONE && copy(value, &packet->l4proto, 1);
}

bool ms_match_read_priority(const struct ms_sim_packet *packet, uint8_t *value)
{
	return copy(value, &packet->priority, 4);
}

bool ms_match_read_ether_saddr(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->ether && copy(value, packet->ether_saddr, 6);
}

bool ms_match_read_ether_daddr(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->ether && copy(value, packet->ether_daddr, 6);
}

bool ms_match_read_ether_type(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->ether && copy_be16(value, packet->ether_type);
}

bool ms_match_read_arp_htype(const struct ms_sim_packet *packet, uint8_t *value)
{
	return is_arp(packet) && copy_be16(value, packet->arp.htype);
}

bool ms_match_read_arp_ptype(const struct ms_sim_packet *packet, uint8_t *value)
{
	return is_arp(packet) && copy_be16(value, packet->arp.ptype);
}

bool ms_match_read_arp_hlen(const struct ms_sim_packet *packet, uint8_t *value)
{
	return is_arp(packet) && copy(value, &packet->arp.hlen, 1);
}

bool ms_match_read_arp_plen(const struct ms_sim_packet *packet, uint8_t *value)
{
	return is_arp(packet) && copy(value, &packet->arp.plen, 1);
}

bool ms_match_read_arp_saddr_ether(const struct ms_sim_packet *packet, uint8_t *value)
{
	return is_arp(packet) && copy(value, packet->arp.saddr_ether, 6);
}

bool ms_match_read_arp_saddr_ip(const struct ms_sim_packet *packet, uint8_t *value)
{
	return is_arp(packet) && copy(value, packet->arp.saddr_ip, 4);
}

bool ms_match_read_ip_saddr(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->saddr.ip == MS_IP4 && copy(value, packet->saddr.bytes, 4);
}

bool ms_match_read_ip_daddr(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->saddr.ip == MS_IP4 && copy(value, packet->daddr.bytes, 4);
}

bool ms_match_read_ip6_saddr(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->saddr.ip == MS_IP6 && copy(value, packet->saddr.bytes, 16);
}

bool ms_match_read_ip6_daddr(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->saddr.ip == MS_IP6 && copy(value, packet->daddr.bytes, 16);
}

bool ms_match_read_ip6_nexthdr(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->saddr.ip == MS_IP6 && copy(value, &packet->ip6_nexthdr, 1);
}

bool ms_match_read_ip6_hoplimit(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->saddr.ip == MS_IP6 && copy(value, &packet->ip6_hoplimit, 1);
}

bool ms_match_read_tcp_dport(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_l4(packet, IPPROTO_TCP) && copy_be16(value, packet->dport);
}

bool ms_match_read_tcp_sport(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_l4(packet, IPPROTO_TCP) && copy_be16(value, packet->sport);
}

bool ms_match_read_udp_sport(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_l4(packet, IPPROTO_UDP) && copy_be16(value, packet->sport);
}

bool ms_match_read_udp_dport(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_l4(packet, IPPROTO_UDP) && copy_be16(value, packet->dport);
}

bool ms_match_read_sctp_dport(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_l4(packet, IPPROTO_SCTP) && copy_be16(value, packet->dport);
}

/* Only where there are ports: of other protocols the kernel reads whatever lies there. */
bool ms_match_read_th_dport(const struct ms_sim_packet *packet, uint8_t *value)
{
	return (has_l4(packet, IPPROTO_TCP) || has_l4(packet, IPPROTO_UDP) ||
		has_l4(packet, IPPROTO_SCTP)) &&
	       copy_be16(value, packet->dport);
}

bool ms_match_read_tcp_flags(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_l4(packet, IPPROTO_TCP) && copy(value, &packet->tcp_flags, 1);
}

bool ms_match_read_icmp_type(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->saddr.ip == MS_IP4 && has_l4(packet, IPPROTO_ICMP) &&
	       copy(value, &packet->icmp_type, 1);
}

bool ms_match_read_icmp6_type(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_icmp6(packet) && copy(value, &packet->icmp_type, 1);
}

bool ms_match_read_nd_target(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_icmp6(packet) && copy(value, packet->nd_target, 16);
}

bool ms_match_read_nd_option(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_icmp6(packet) && packet->nd_option[0] && copy(value, packet->nd_option, 2);
}

bool ms_match_read_nd_lladdr(const struct ms_sim_packet *packet, uint8_t *value)
{
	return has_icmp6(packet) && packet->nd_option[0] && copy(value, packet->nd_lladdr, 6);
}

bool ms_match_read_ct_state(const struct ms_sim_packet *packet, uint8_t *value)
{
	return copy(value, &packet->ct_state, 4);
}

bool ms_match_read_ct_dnat(const struct ms_sim_packet *packet, uint8_t *value)
{
	*value = packet->ct_dnat;
	/* Packets without an entry have no status to load. */
	return packet->ct_state != MS_CT_INVALID && packet->ct_state != MS_CT_UNTRACKED;
}

/* Every packet here is the first of its connection, or one of a connection that was let in. */
bool ms_match_read_ct_confirmed(const struct ms_sim_packet *packet, uint8_t *value)
{
	*value = packet->ct_state == MS_CT_ESTABLISHED;
	return packet->ct_state != MS_CT_INVALID && packet->ct_state != MS_CT_UNTRACKED;
}

bool ms_match_read_ct_direction(const struct ms_sim_packet *packet, uint8_t *value)
{
	*value = packet->ct_reply;
	return packet->ct_state != MS_CT_INVALID && packet->ct_state != MS_CT_UNTRACKED;
}

/* Its number says nothing outside of a kernel: whether a set holds it is in the packet. */
bool ms_match_read_ct_id(const struct ms_sim_packet *packet, uint8_t *value)
{
	memset(value, 0, 4);
	return packet->ct_state != MS_CT_INVALID && packet->ct_state != MS_CT_UNTRACKED;
}

bool ms_match_read_fib_daddr_type(const struct ms_sim_packet *packet, uint8_t *value)
{
	return packet->saddr.ip != MS_IP_NONE && copy(value, &packet->fib_daddr_type, 4);
}

/* The other family has no answer. */
static bool copy_addr(uint8_t *value, const struct ms_addr *addr, enum ms_ip ip)
{
	return addr->ip == ip && copy(value, addr->bytes, ms_addr_size(ip));
}

bool ms_match_read_ct_original_ip(const struct ms_sim_packet *packet, uint8_t *value)
{
	return copy_addr(value, &packet->ct_original_saddr, MS_IP4);
}

bool ms_match_read_ct_original_ip6(const struct ms_sim_packet *packet, uint8_t *value)
{
	return copy_addr(value, &packet->ct_original_saddr, MS_IP6);
}

bool ms_match_read_ct_reply_ip(const struct ms_sim_packet *packet, uint8_t *value)
{
	return copy_addr(value, &packet->ct_reply_saddr, MS_IP4);
}

bool ms_match_read_ct_reply_ip6(const struct ms_sim_packet *packet, uint8_t *value)
{
	return copy_addr(value, &packet->ct_reply_saddr, MS_IP6);
}

bool ms_match_read_fib_saddr_iif(const struct ms_sim_packet *packet, uint8_t *value)
{
	*value = !packet->fib_astray;
	return packet->saddr.ip != MS_IP_NONE;
}

bool ms_match_read_lsrr(const struct ms_sim_packet *packet, uint8_t *value)
{
	*value = packet->lsrr;
	return packet->saddr.ip == MS_IP4;
}

bool ms_match_read_ssrr(const struct ms_sim_packet *packet, uint8_t *value)
{
	*value = packet->ssrr;
	return packet->saddr.ip == MS_IP4;
}

bool ms_match_read_routing_header(const struct ms_sim_packet *packet, uint8_t *value)
{
	*value = packet->routing_header;
	return packet->saddr.ip == MS_IP6;
}
