/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a packet answers each field of the match table, for the simulator. A reader writes the
 * field's value as the kernel would load it; false: this packet has no such field, and no match on
 * it holds.
 */
#pragma once

#include "microseg/ruleset_match.h"

/* As linux/netfilter.h has them, which does not go with netinet/in.h. */
#define PROTO_IP4 2
#define PROTO_IP6 10

bool ms_match_read_iifname(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_oifname(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_iifgroup(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_oifgroup(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_nfproto(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_l4proto(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_priority(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ether_saddr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ether_daddr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ether_type(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_arp_htype(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_arp_ptype(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_arp_hlen(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_arp_plen(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_arp_saddr_ether(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_arp_saddr_ip(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ip_saddr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ip_daddr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ip6_saddr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ip6_daddr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ip6_nexthdr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ip6_hoplimit(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_tcp_dport(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_tcp_sport(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_udp_sport(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_udp_dport(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_sctp_dport(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_th_dport(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_tcp_flags(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_icmp_type(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_icmp6_type(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_nd_target(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_nd_option(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_nd_lladdr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ct_state(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ct_dnat(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ct_confirmed(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ct_direction(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ct_id(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_fib_daddr_type(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ct_original_ip(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ct_original_ip6(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ct_reply_ip(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ct_reply_ip6(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_fib_saddr_iif(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_lsrr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_ssrr(const struct ms_sim_packet *packet, uint8_t *value);
bool ms_match_read_routing_header(const struct ms_sim_packet *packet, uint8_t *value);
