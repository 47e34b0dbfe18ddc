/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/ruleset_match.h"

#include <assert.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <string.h>

#include "ruleset/match_read.h"

/* As linux/netfilter/nf_conntrack_tuple_common.h, which does not go with netinet/in.h. */
#define CT_ORIGINAL 0
#define CT_REPLY 1

/* IPv4 options by their type byte, copy flag included. */
#define OPTION_LSRR 131
#define OPTION_SSRR 137

/* nft's numbers of set key types: they are its listing format, not the kernel's. */
enum {
	TYPE_NFPROTO = 2,
	TYPE_INTEGER = 4,
	TYPE_IP4 = 7,
	TYPE_IP6 = 8,
	TYPE_ETHER = 9,
	TYPE_ETHER_TYPE = 10,
	TYPE_L4PROTO = 12,
	TYPE_PORT = 13,
	TYPE_ICMP = 14,
	TYPE_TCP_FLAG = 15,
	TYPE_CLASS = 23,
	TYPE_CT_STATE = 26,
	TYPE_CT_DIR = 27,
	TYPE_ICMP6 = 29,
	TYPE_GROUP = 35,
	TYPE_FIB_ADDR = 38,
	TYPE_NAME = 41,
};

/* The words nft knows, as `nft describe` lists them; protocols are those of /etc/protocols. */

static const struct ms_symbol l4protos[] = {
	{0, "ip"},
	{1, "icmp"},
	{2, "igmp"},
	{3, "ggp"},
	{4, "ipencap"},
	{5, "st"},
	{6, "tcp"},
	{8, "egp"},
	{9, "igp"},
	{12, "pup"},
	{17, "udp"},
	{20, "hmp"},
	{22, "xns-idp"},
	{27, "rdp"},
	{29, "iso-tp4"},
	{33, "dccp"},
	{36, "xtp"},
	{37, "ddp"},
	{38, "idpr-cmtp"},
	{41, "ipv6"},
	{43, "ipv6-route"},
	{44, "ipv6-frag"},
	{45, "idrp"},
	{46, "rsvp"},
	{47, "gre"},
	{50, "esp"},
	{51, "ah"},
	{57, "skip"},
	{58, "ipv6-icmp"},
	{59, "ipv6-nonxt"},
	{60, "ipv6-opts"},
	{73, "rspf"},
	{81, "vmtp"},
	{88, "eigrp"},
	{89, "ospf"},
	{93, "ax.25"},
	{94, "ipip"},
	{97, "etherip"},
	{98, "encap"},
	{103, "pim"},
	{108, "ipcomp"},
	{112, "vrrp"},
	{115, "l2tp"},
	{124, "isis"},
	{132, "sctp"},
	{133, "fc"},
	{135, "mobility-header"},
	{136, "udplite"},
	{137, "mpls-in-ip"},
	{138, "manet"},
	{139, "hip"},
	{140, "shim6"},
	{141, "wesp"},
	{142, "rohc"},
	{143, "ethernet"},
	{0, NULL},
};

static const struct ms_symbol nfprotos[] = {
	{PROTO_IP4, "ipv4"},
	{PROTO_IP6, "ipv6"},
	{0, NULL},
};

static const struct ms_symbol ether_types[] = {
	{0x800, "ip"},	   {0x806, "arp"},     {0x86dd, "ip6"},
	{0x8100, "8021q"}, {0x88a8, "8021ad"}, {0, NULL},
};

static const struct ms_symbol icmp_types[] = {
	{0, "echo-reply"},	     {3, "destination-unreachable"},
	{4, "source-quench"},	     {5, "redirect"},
	{8, "echo-request"},	     {9, "router-advertisement"},
	{10, "router-solicitation"}, {11, "time-exceeded"},
	{12, "parameter-problem"},   {13, "timestamp-request"},
	{14, "timestamp-reply"},     {15, "info-request"},
	{16, "info-reply"},	     {17, "address-mask-request"},
	{18, "address-mask-reply"},  {0, NULL},
};

static const struct ms_symbol icmp6_types[] = {
	{1, "destination-unreachable"},
	{2, "packet-too-big"},
	{3, "time-exceeded"},
	{4, "parameter-problem"},
	{128, "echo-request"},
	{129, "echo-reply"},
	{130, "mld-listener-query"},
	{131, "mld-listener-report"},
	{132, "mld-listener-done"},
	{133, "nd-router-solicit"},
	{134, "nd-router-advert"},
	{135, "nd-neighbor-solicit"},
	{136, "nd-neighbor-advert"},
	{137, "nd-redirect"},
	{138, "router-renumbering"},
	{141, "ind-neighbor-solicit"},
	{142, "ind-neighbor-advert"},
	{143, "mld2-listener-report"},
	{0, NULL},
};

static const struct ms_symbol ct_states[] = {
	{MS_CT_INVALID, "invalid"}, {MS_CT_ESTABLISHED, "established"}, {MS_CT_RELATED, "related"},
	{MS_CT_NEW, "new"},	    {MS_CT_UNTRACKED, "untracked"},	{0, NULL},
};

static const struct ms_symbol ct_directions[] = {{0, "original"}, {1, "reply"}, {0, NULL}};

static const struct ms_symbol tcp_flags[] = {
	{0x01, "fin"}, {0x02, "syn"}, {0x04, "rst"}, {0x08, "psh"}, {0x10, "ack"},
	{0x20, "urg"}, {0x40, "ecn"}, {0x80, "cwr"}, {0, NULL},
};

static const struct ms_symbol groups[] = {{0, "\"default\""}, {0, NULL}};

static const struct ms_symbol fib_types[] = {
	{0, "unspec"},	  {1, "unicast"},   {2, "local"},	{3, "broadcast"}, {4, "anycast"},
	{5, "multicast"}, {6, "blackhole"}, {7, "unreachable"}, {8, "prohibit"},  {0, NULL},
};

/* clang-format off */
static const struct ms_field_row rows[MS_N_FIELDS] = {
	[MS_FIELD_IIFNAME] = {
		.name = "iifname", .size = 16, .host_order = true, .value = MS_VALUE_NAME,
		.type_id = TYPE_NAME, .per_line = 1, .type_name = "ifname", .load = MS_LOAD_META,
		.key = NFT_META_IIFNAME,
		.read = ms_match_read_iifname,
	},
	[MS_FIELD_OIFNAME] = {
		.name = "oifname", .size = 16, .host_order = true, .value = MS_VALUE_NAME,
		.type_id = TYPE_NAME, .per_line = 1, .type_name = "ifname", .load = MS_LOAD_META,
		.key = NFT_META_OIFNAME,
		.read = ms_match_read_oifname,
	},
	[MS_FIELD_NFPROTO] = {
		.name = "meta nfproto", .size = 1, .value = MS_VALUE_SYMBOL, .symbols = nfprotos,
		.symbols_else = MS_VALUE_NUMBER,
		.type_id = TYPE_NFPROTO, .per_line = 5, .type_name = "nf_proto",
		.load = MS_LOAD_META, .key = NFT_META_NFPROTO,
		.read = ms_match_read_nfproto,
	},
	[MS_FIELD_L4PROTO] = {
		.name = "meta l4proto", .size = 1, .value = MS_VALUE_SYMBOL, .symbols = l4protos,
		.symbols_else = MS_VALUE_NUMBER,
		.type_id = TYPE_L4PROTO, .per_line = 5, .type_name = "inet_proto",
		.load = MS_LOAD_META, .key = NFT_META_L4PROTO,
		.read = ms_match_read_l4proto,
	},
	[MS_FIELD_IIFGROUP] = {
		.name = "iifgroup", .size = 4, .host_order = true, .value = MS_VALUE_SYMBOL,
		.symbols = groups, .symbols_else = MS_VALUE_NUMBER,
		.type_id = TYPE_GROUP, .per_line = 1, .type_name = "devgroup",
		.load = MS_LOAD_META, .key = NFT_META_IIFGROUP,
		.read = ms_match_read_iifgroup,
	},
	[MS_FIELD_OIFGROUP] = {
		.name = "oifgroup", .size = 4, .host_order = true, .value = MS_VALUE_SYMBOL,
		.symbols = groups, .symbols_else = MS_VALUE_NUMBER,
		.type_id = TYPE_GROUP, .per_line = 1, .type_name = "devgroup",
		.load = MS_LOAD_META, .key = NFT_META_OIFGROUP,
		.read = ms_match_read_oifgroup,
	},
	[MS_FIELD_PRIORITY] = {
		.name = "meta priority", .size = 4, .host_order = true, .value = MS_VALUE_CLASS,
		.type_id = TYPE_CLASS, .per_line = 5, .type_name = "classid", .load = MS_LOAD_META,
		.key = NFT_META_PRIORITY,
		.read = ms_match_read_priority,
	},
	[MS_FIELD_ETHER_SADDR] = {
		.name = "ether saddr", .size = 6, .value = MS_VALUE_MAC,
		.type_id = TYPE_ETHER, .per_line = 1, .type_name = "ether_addr",
		.load = MS_LOAD_LINK, .offset = 6,
		.read = ms_match_read_ether_saddr,
	},
	[MS_FIELD_ETHER_DADDR] = {
		.name = "ether daddr", .size = 6, .value = MS_VALUE_MAC,
		.type_id = TYPE_ETHER, .per_line = 1, .type_name = "ether_addr",
		.load = MS_LOAD_LINK, .offset = 0,
		.read = ms_match_read_ether_daddr,
	},
	[MS_FIELD_ETHER_TYPE] = {
		.name = "ether type", .size = 2, .value = MS_VALUE_SYMBOL, .symbols = ether_types,
		.symbols_else = MS_VALUE_HEX_FULL,
		.type_id = TYPE_ETHER_TYPE, .per_line = 1, .type_name = "ether_type",
		.load = MS_LOAD_LINK, .offset = 12,
		.read = ms_match_read_ether_type,
	},
	[MS_FIELD_ARP_HTYPE] = {
		.name = "arp htype", .size = 2, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_NETWORK, .offset = 0,
		.needs_arp = true, .read = ms_match_read_arp_htype,
	},
	[MS_FIELD_ARP_PTYPE] = {
		.name = "arp ptype", .size = 2, .value = MS_VALUE_SYMBOL, .symbols = ether_types,
		.symbols_else = MS_VALUE_HEX_FULL,
		.type_id = TYPE_ETHER_TYPE, .per_line = 1, .type_name = "ether_type",
		.load = MS_LOAD_NETWORK, .offset = 2,
		.needs_arp = true, .read = ms_match_read_arp_ptype,
	},
	[MS_FIELD_ARP_HLEN] = {
		.name = "arp hlen", .size = 1, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_NETWORK, .offset = 4,
		.needs_arp = true, .read = ms_match_read_arp_hlen,
	},
	[MS_FIELD_ARP_PLEN] = {
		.name = "arp plen", .size = 1, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_NETWORK, .offset = 5,
		.needs_arp = true, .read = ms_match_read_arp_plen,
	},
	[MS_FIELD_ARP_SADDR_ETHER] = {
		.name = "arp saddr ether", .size = 6, .value = MS_VALUE_MAC,
		.type_id = TYPE_ETHER, .per_line = 1, .type_name = "ether_addr",
		.load = MS_LOAD_NETWORK, .offset = 8,
		.needs_arp = true, .read = ms_match_read_arp_saddr_ether,
	},
	[MS_FIELD_ARP_SADDR_IP] = {
		.name = "arp saddr ip", .size = 4, .value = MS_VALUE_IP4,
		.type_id = TYPE_IP4, .per_line = 2, .type_name = "ipv4_addr",
		.load = MS_LOAD_NETWORK, .offset = 14,
		.needs_arp = true, .read = ms_match_read_arp_saddr_ip,
	},
	[MS_FIELD_IP_SADDR] = {
		.name = "ip saddr", .size = 4, .value = MS_VALUE_IP4,
		.type_id = TYPE_IP4, .per_line = 2, .type_name = "ipv4_addr",
		.load = MS_LOAD_NETWORK, .offset = 12,
		.needs_ip = MS_IP4, .read = ms_match_read_ip_saddr,
	},
	[MS_FIELD_IP_DADDR] = {
		.name = "ip daddr", .size = 4, .value = MS_VALUE_IP4,
		.type_id = TYPE_IP4, .per_line = 2, .type_name = "ipv4_addr",
		.load = MS_LOAD_NETWORK, .offset = 16,
		.needs_ip = MS_IP4, .read = ms_match_read_ip_daddr,
	},
	[MS_FIELD_IP6_SADDR] = {
		.name = "ip6 saddr", .size = 16, .value = MS_VALUE_IP6,
		.type_id = TYPE_IP6, .per_line = 1, .type_name = "ipv6_addr",
		.load = MS_LOAD_NETWORK, .offset = 8,
		.needs_ip = MS_IP6, .read = ms_match_read_ip6_saddr,
	},
	[MS_FIELD_IP6_DADDR] = {
		.name = "ip6 daddr", .size = 16, .value = MS_VALUE_IP6,
		.type_id = TYPE_IP6, .per_line = 1, .type_name = "ipv6_addr",
		.load = MS_LOAD_NETWORK, .offset = 24,
		.needs_ip = MS_IP6, .read = ms_match_read_ip6_daddr,
	},
	[MS_FIELD_IP6_NEXTHDR] = {
		.name = "ip6 nexthdr", .size = 1, .value = MS_VALUE_SYMBOL, .symbols = l4protos,
		.symbols_else = MS_VALUE_NUMBER,
		.type_id = TYPE_L4PROTO, .per_line = 5, .type_name = "inet_proto",
		.load = MS_LOAD_NETWORK, .offset = 6,
		.needs_ip = MS_IP6, .read = ms_match_read_ip6_nexthdr,
	},
	[MS_FIELD_IP6_HOPLIMIT] = {
		.name = "ip6 hoplimit", .size = 1, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_NETWORK, .offset = 7,
		.needs_ip = MS_IP6, .read = ms_match_read_ip6_hoplimit,
	},
	[MS_FIELD_TCP_SPORT] = {
		.name = "tcp sport", .size = 2, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_PORT, .per_line = 5, .type_name = "inet_service",
		.load = MS_LOAD_TRANSPORT, .offset = 0,
		.needs_l4proto = IPPROTO_TCP, .read = ms_match_read_tcp_sport,
	},
	[MS_FIELD_TCP_DPORT] = {
		.name = "tcp dport", .size = 2, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_PORT, .per_line = 5, .type_name = "inet_service",
		.load = MS_LOAD_TRANSPORT, .offset = 2,
		.needs_l4proto = IPPROTO_TCP, .read = ms_match_read_tcp_dport,
	},
	[MS_FIELD_UDP_SPORT] = {
		.name = "udp sport", .size = 2, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_PORT, .per_line = 5, .type_name = "inet_service",
		.load = MS_LOAD_TRANSPORT, .offset = 0,
		.needs_l4proto = IPPROTO_UDP, .read = ms_match_read_udp_sport,
	},
	[MS_FIELD_UDP_DPORT] = {
		.name = "udp dport", .size = 2, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_PORT, .per_line = 5, .type_name = "inet_service",
		.load = MS_LOAD_TRANSPORT, .offset = 2,
		.needs_l4proto = IPPROTO_UDP, .read = ms_match_read_udp_dport,
	},
	[MS_FIELD_SCTP_DPORT] = {
		.name = "sctp dport", .size = 2, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_PORT, .per_line = 5, .type_name = "inet_service",
		.load = MS_LOAD_TRANSPORT, .offset = 2,
		.needs_l4proto = IPPROTO_SCTP, .read = ms_match_read_sctp_dport,
	},
	[MS_FIELD_TH_DPORT] = {
		.name = "th dport", .size = 2, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_PORT, .per_line = 5, .type_name = "inet_service",
		.load = MS_LOAD_TRANSPORT, .offset = 2,
		.read = ms_match_read_th_dport,
	},
	[MS_FIELD_TCP_FLAGS] = {
		.name = "tcp flags", .size = 1, .value = MS_VALUE_SYMBOL, .symbols = tcp_flags,
		.symbols_else = MS_VALUE_HEX,
		.type_id = TYPE_TCP_FLAG, .per_line = 5, .type_name = "tcp_flag",
		.load = MS_LOAD_TRANSPORT, .offset = 13,
		.needs_l4proto = IPPROTO_TCP, .read = ms_match_read_tcp_flags,
	},
	[MS_FIELD_ICMP_TYPE] = {
		.name = "icmp type", .size = 1, .value = MS_VALUE_SYMBOL, .symbols = icmp_types,
		.symbols_else = MS_VALUE_NUMBER,
		.type_id = TYPE_ICMP, .per_line = 1, .type_name = "icmp_type",
		.load = MS_LOAD_TRANSPORT, .offset = 0,
		.needs_ip = MS_IP4, .needs_l4proto = IPPROTO_ICMP, .read = ms_match_read_icmp_type,
	},
	[MS_FIELD_ICMP6_TYPE] = {
		.name = "icmpv6 type", .size = 1, .value = MS_VALUE_SYMBOL, .symbols = icmp6_types,
		.symbols_else = MS_VALUE_NUMBER,
		.type_id = TYPE_ICMP6, .per_line = 1, .type_name = "icmpv6_type",
		.load = MS_LOAD_TRANSPORT, .offset = 0,
		.needs_ip = MS_IP6, .needs_l4proto = IPPROTO_ICMPV6, .read = ms_match_read_icmp6_type,
	},
	[MS_FIELD_ND_TARGET] = {
		.name = "@th,64,128", .size = 16, .value = MS_VALUE_HEX,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_TRANSPORT, .offset = 8,
		.read = ms_match_read_nd_target,
	},
	[MS_FIELD_ND_OPTION] = {
		.name = "@th,192,16", .size = 2, .value = MS_VALUE_HEX,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_TRANSPORT, .offset = 24,
		.read = ms_match_read_nd_option,
	},
	[MS_FIELD_ND_LLADDR] = {
		.name = "@th,208,48", .size = 6, .value = MS_VALUE_HEX,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_TRANSPORT, .offset = 26,
		.read = ms_match_read_nd_lladdr,
	},
	[MS_FIELD_RS_OPTION] = {
		.name = "@th,64,16", .size = 2, .value = MS_VALUE_HEX,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_TRANSPORT, .offset = 8,
		.read = ms_match_read_nd_option,
	},
	[MS_FIELD_RS_LLADDR] = {
		.name = "@th,80,48", .size = 6, .value = MS_VALUE_HEX,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_TRANSPORT, .offset = 10,
		.read = ms_match_read_nd_lladdr,
	},
	[MS_FIELD_CT_STATE] = {
		.name = "ct state", .size = 4, .host_order = true, .value = MS_VALUE_SYMBOL,
		.symbols = ct_states, .symbols_else = MS_VALUE_HEX,
		.type_id = TYPE_CT_STATE, .per_line = 2, .type_name = "ct_state",
		.load = MS_LOAD_CT, .key = NFT_CT_STATE,
		.read = ms_match_read_ct_state,
	},
	[MS_FIELD_CT_STATUS_DNAT] = {
		.name = "ct status", .host_order = true, .value = MS_VALUE_NONE, .flag_name = "dnat",
		.load = MS_LOAD_CT, .key = NFT_CT_STATUS, .flag = IPS_DST_NAT,
		.read = ms_match_read_ct_dnat,
	},
	[MS_FIELD_CT_STATUS_CONFIRMED] = {
		.name = "ct status", .host_order = true, .value = MS_VALUE_NONE,
		.flag_name = "confirmed",
		.load = MS_LOAD_CT, .key = NFT_CT_STATUS, .flag = IPS_CONFIRMED,
		.read = ms_match_read_ct_confirmed,
	},
	[MS_FIELD_CT_ORIGINAL_IP_SADDR] = {
		.name = "ct original ip saddr", .size = 4, .value = MS_VALUE_IP4,
		.type_id = TYPE_IP4, .per_line = 2, .type_name = "ipv4_addr",
		.load = MS_LOAD_CT, .key = NFT_CT_SRC_IP, .directed = true,
		.direction = CT_ORIGINAL,
		.of_ip = MS_IP4,
		.read = ms_match_read_ct_original_ip,
	},
	[MS_FIELD_CT_ORIGINAL_IP6_SADDR] = {
		.name = "ct original ip6 saddr", .size = 16, .value = MS_VALUE_IP6,
		.type_id = TYPE_IP6, .per_line = 1, .type_name = "ipv6_addr",
		.load = MS_LOAD_CT, .key = NFT_CT_SRC_IP6, .directed = true,
		.direction = CT_ORIGINAL,
		.of_ip = MS_IP6,
		.read = ms_match_read_ct_original_ip6,
	},
	[MS_FIELD_CT_REPLY_IP_SADDR] = {
		.name = "ct reply ip saddr", .size = 4, .value = MS_VALUE_IP4,
		.type_id = TYPE_IP4, .per_line = 2, .type_name = "ipv4_addr",
		.load = MS_LOAD_CT, .key = NFT_CT_SRC_IP, .directed = true,
		.direction = CT_REPLY,
		.of_ip = MS_IP4,
		.read = ms_match_read_ct_reply_ip,
	},
	[MS_FIELD_CT_REPLY_IP6_SADDR] = {
		.name = "ct reply ip6 saddr", .size = 16, .value = MS_VALUE_IP6,
		.type_id = TYPE_IP6, .per_line = 1, .type_name = "ipv6_addr",
		.load = MS_LOAD_CT, .key = NFT_CT_SRC_IP6, .directed = true,
		.direction = CT_REPLY,
		.of_ip = MS_IP6,
		.read = ms_match_read_ct_reply_ip6,
	},
	[MS_FIELD_CT_DIRECTION] = {
		.name = "ct direction", .size = 1, .value = MS_VALUE_SYMBOL,
		.symbols = ct_directions, .symbols_else = MS_VALUE_NUMBER,
		.type_id = TYPE_CT_DIR, .per_line = 5, .type_name = "ct_dir",
		.load = MS_LOAD_CT, .key = NFT_CT_DIRECTION, .read = ms_match_read_ct_direction,
	},
	[MS_FIELD_CT_ID] = {
		.name = "ct id", .size = 4, .value = MS_VALUE_NUMBER,
		.type_id = TYPE_INTEGER, .per_line = 5, .load = MS_LOAD_CT, .key = NFT_CT_ID,
		.read = ms_match_read_ct_id,
	},
	[MS_FIELD_FIB_DADDR_TYPE] = {
		.name = "fib daddr type", .size = 4, .host_order = true, .value = MS_VALUE_SYMBOL,
		.symbols = fib_types, .symbols_else = MS_VALUE_NUMBER,
		.type_id = TYPE_FIB_ADDR, .per_line = 1, .type_name = "fib_addrtype",
		.load = MS_LOAD_FIB, .key = NFT_FIB_RESULT_ADDRTYPE, .flag = NFTA_FIB_F_DADDR,
		.read = ms_match_read_fib_daddr_type,
	},
	[MS_FIELD_FIB_SADDR_IIF] = {
		.name = "fib saddr . iif oif", .value = MS_VALUE_NONE,
		.load = MS_LOAD_FIB, .key = NFT_FIB_RESULT_OIF,
		.flag = NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT,
		.read = ms_match_read_fib_saddr_iif,
	},
	[MS_FIELD_IP_OPTION_LSRR] = {
		.name = "ip option lsrr", .value = MS_VALUE_NONE,
		.load = MS_LOAD_IP_OPTION, .key = OPTION_LSRR,
		.needs_ip = MS_IP4, .read = ms_match_read_lsrr,
	},
	[MS_FIELD_IP_OPTION_SSRR] = {
		.name = "ip option ssrr", .value = MS_VALUE_NONE,
		.load = MS_LOAD_IP_OPTION, .key = OPTION_SSRR,
		.needs_ip = MS_IP4, .read = ms_match_read_ssrr,
	},
	[MS_FIELD_EXTHDR_RT] = {
		.name = "exthdr rt", .value = MS_VALUE_NONE,
		.load = MS_LOAD_EXTHDR, .key = IPPROTO_ROUTING,
		.needs_ip = MS_IP6, .read = ms_match_read_routing_header,
	},
};
/* clang-format on */

const struct ms_field_row *ms_field_row(enum ms_field field)
{
	assert(field < MS_N_FIELDS);
	return &rows[field];
}

bool ms_name_is_prefix(const uint8_t *name, size_t *ret_len)
{
	size_t len = strnlen((const char *)name, 16);

	*ret_len = len;
	if (len == 0 || name[len - 1] != '*')
		return false;
	*ret_len = len - 1;
	return true;
}
