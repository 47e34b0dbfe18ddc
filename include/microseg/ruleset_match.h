/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The match table: one row for each thing a rule can look at.
 *
 * A row says how nft(8) 1.0.6 writes the field, which bytes the kernel is to load for it, what it
 * implies about the packet, how a value prints, and how a packet answers it. Encoder, printer and
 * simulator read the same row; a new match is a new row.
 *
 * What a field implies (`ip saddr` implies IPv4, `tcp dport` implies tcp) is not part of a rule.
 * The encoder emits it once a rule, nft leaves it out of its listings, and a packet to which it
 * does not apply has no answer: then the match fails, negated or not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "microseg/net.h"
#include "microseg/ruleset.h"

/** Where the kernel finds the field's bytes. */
enum ms_load {
	MS_LOAD_META,	   /* key: NFT_META_* */
	MS_LOAD_CT,	   /* key: NFT_CT_* */
	MS_LOAD_FIB,	   /* key: NFT_FIB_RESULT_*, flag: NFTA_FIB_F_* */
	MS_LOAD_LINK,	   /* payload, link-layer header */
	MS_LOAD_NETWORK,   /* payload, network header */
	MS_LOAD_TRANSPORT, /* payload, transport header */
	MS_LOAD_IP_OPTION, /* key: option number; answers present or absent */
	MS_LOAD_EXTHDR,	   /* key: IPv6 extension header; answers present or absent */
};

/** How a value prints. */
enum ms_value_kind {
	MS_VALUE_NAME,	   /* interface name, in quotes */
	MS_VALUE_NUMBER,   /* decimal */
	MS_VALUE_HEX,	   /* 0x..., without leading zeros */
	MS_VALUE_HEX_FULL, /* 0x..., with them */
	MS_VALUE_SYMBOL,   /* a word of `symbols`, else what `symbols_else` says */
	MS_VALUE_CLASS,	   /* traffic class, 4d53:1 */
	MS_VALUE_MAC,
	MS_VALUE_IP4,
	MS_VALUE_IP6,
	MS_VALUE_NONE, /* present or absent */
};

struct ms_symbol {
	uint32_t value;
	const char *name;
};

/** One packet, as the simulator hands it to the rules. What it does not have stays zero. */
struct ms_sim_packet {
	char iifname[16];  /* "" before there is one, as in output */
	char oifname[16];  /* likewise in prerouting and input */
	bool iif_stranger; /* the interface of that name is another than the daemon admitted */
	bool oif_stranger; /* likewise */
	bool ether; /* has a link-layer header: bridge frames, and inet packets that came over
		       ethernet */
	uint8_t ether_saddr[6];
	uint8_t ether_daddr[6];
	uint16_t ether_type; /* host order: 0x0800 IPv4, 0x86dd IPv6, 0x0806 ARP, or another */

	struct {
		uint16_t htype; /* host order */
		uint16_t ptype;
		uint8_t hlen;
		uint8_t plen;
		uint8_t saddr_ether[6];
		uint8_t saddr_ip[4];
	} arp; /* where ether_type says ARP */

	struct ms_addr saddr; /* .ip is MS_IP4 or MS_IP6 for IP, MS_IP_NONE otherwise */
	struct ms_addr daddr;
	uint8_t l4proto;     /* IPPROTO_*, behind IPv6 extension headers */
	uint8_t ip6_nexthdr; /* of the IPv6 header itself */
	uint8_t ip6_hoplimit;
	bool later_fragment; /* not the first one, not reassembled: has no transport header */
	bool lsrr;	     /* IPv4 options */
	bool ssrr;
	bool routing_header; /* IPv6 */

	uint16_t sport; /* tcp, udp, sctp; host order */
	uint16_t dport;
	uint8_t tcp_flags;
	uint8_t icmp_type;     /* icmp and icmp6 */
	uint8_t nd_target[16]; /* icmp6, bytes 8 to 23 of the message */
	uint8_t nd_option[2];  /* type and length of its first option; zero: the message ends before
				  it */
	uint8_t nd_lladdr[6];

	uint32_t ct_state; /* one of MS_CT_* */
	bool ct_dnat;
	bool ct_reply;			  /* goes back to who opened the connection */
	struct ms_addr ct_original_saddr; /* of its connection; .ip MS_IP_NONE: it has none */
	struct ms_addr ct_reply_saddr;
	const char *listed; /* the dynamic set that holds its connection, or NULL; statements change
			       it */
	time_t now;	    /* timed elements that are over by then are gone */
	bool over_limit;    /* its sender has too many tracked connections */
	uint32_t priority;  /* meta priority; statements change it */
	uint32_t fib_daddr_type; /* RTN_* */
	bool fib_astray;	 /* the way back to saddr leaves by another interface */
};

struct ms_field_row {
	const char *name; /* as nft writes it: "ip saddr" */
	uint8_t size;	  /* bytes of a value; 0: MS_VALUE_NONE */
	bool host_order;  /* numbers are in host order in the kernel's register, not as on the wire
			   */
	enum ms_value_kind value;
	const struct ms_symbol *symbols; /* of MS_VALUE_SYMBOL, ended by a NULL name */
	enum ms_value_kind symbols_else;
	const char *flag_name; /* of ct status; NULL: present is `exists` */

	uint8_t per_line;      /* elements that nft lists on a line, of a set with this one field */
	uint32_t type_id;      /* nft's number of the set key type */
	const char *type_name; /* its name; NULL: a set of it is declared by typeof */

	enum ms_load load;
	uint32_t key;	  /* meta, ct, fib, option or extension header */
	uint32_t flag;	  /* the bit of ct status, IPS_*; how fib is asked, NFTA_FIB_F_* */
	int8_t direction; /* of ct: 0 original, 1 reply; where `directed` */
	bool directed;
	uint16_t offset; /* bytes into the header, of payload loads */

	enum ms_ip needs_ip; /* MS_IP4, MS_IP6: implied; MS_IP_NONE: nothing */
	enum ms_ip
		of_ip; /* of this family, which it does not imply, but nft lets no rule have both */
	bool needs_arp;	       /* implied: ARP */
	uint8_t needs_l4proto; /* implied transport protocol; 0: nothing */

	/**
	 * Writes the packet's value as the kernel's register has it (row.size bytes; 1 or 0 in one
	 * byte for MS_VALUE_NONE). Returns false when the packet has no answer: then no match
	 * holds, negated or not.
	 */
	bool (*read)(const struct ms_sim_packet *packet, uint8_t *value);
};

/** The row of @field. */
const struct ms_field_row *ms_field_row(enum ms_field field);

/** Bytes of @field in a set key: its size rounded up to 4. */
static inline size_t ms_field_padded(enum ms_field field)
{
	return (ms_field_row(field)->size + 3u) & ~(size_t)3;
}

/** Appends one value of @field as nft prints it. */
void ms_field_print(enum ms_field field, const uint8_t *value, struct ms_str *out);

/** Likewise, with the number even where there is a word for it, as an end of a range. */
void ms_field_print_number(enum ms_field field, const uint8_t *value, struct ms_str *out);

/** Does the interface name pattern (16 bytes, padded with zeros) end in '*'? Then it matches the
 * bytes before. */
bool ms_name_is_prefix(const uint8_t *name, size_t *ret_len);
