/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event: one refused or audited flow, as SPEC section 6 reports it.
 *
 * packet bytes -> ms_packet (decode) -> ms_event (attribute, with policy and inventory) -> folded
 * events -> JSON line or text line. Pure: the NFLOG socket is src/kernel/nflog.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "microseg/compile.h"
#include "microseg/decide.h"
#include "microseg/str.h"

/** What the kernel tells about a logged packet. Filled by the NFLOG reader; `payload` is decoded by
 * us. */
struct ms_packet_record {
	const char *prefix;
	uint8_t family;	     /* enum nfproto: NFPROTO_INET, IPV4, IPV6, BRIDGE, ARP */
	uint16_t ether_type; /* host order; 0 when unknown */
	uint64_t time_ms;    /* UNIX time in milliseconds */
	char indev[16]; /* the interface the policy layer saw: a bridge or a routed veth; "" if none
			 */
	char outdev[16];
	char physindev[16]; /* the bridge port, "" if none */
	char physoutdev[16];
	bool has_src_mac;
	struct ms_mac src_mac;
	const uint8_t *payload; /* from the network header on */
	size_t payload_size;
};

struct ms_packet {
	bool has_addrs;
	struct ms_addr src, dst;
	uint8_t proto; /* upper protocol, extension headers skipped; 0 when unknown or not IP */
	bool has_ports;
	uint16_t sport, dport;
	bool has_tcp_flags;
	uint8_t tcp_flags; /* TH_* */
	bool has_icmp_type;
	uint8_t icmp_type;
	uint16_t ether_type;
};

/** Decodes @record's payload. Never fails: what cannot be read stays unset. Fuzzed. */
void ms_packet_decode(const struct ms_packet_record *record, struct ms_packet *ret_packet);

#define MS_EVENT_TEXT 128

/** One end of an event. Texts are copies: an event outlives the snapshot it was made from. */
struct ms_event_end {
	char identity[MS_EVENT_TEXT]; /* "env/service", "unidentified", "host", "net", "node/NAME"
				       */
	char endpoint[MS_EVENT_TEXT]; /* container name, or "" */
	bool has_ip;
	struct ms_addr ip;
	bool has_port;
	uint16_t port;
	bool has_mac;
	struct ms_mac mac;
	char interface[16];
};

struct ms_event {
	uint64_t time_ms;	 /* of its last packet */
	enum ms_verdict verdict; /* MS_DENY, MS_AUDIT */
	enum ms_reason reason;
	bool tracked; /* a connection that was open when the node was armed, not a packet */
	uint64_t count;
	uint8_t proto;
	bool has_dport;
	uint16_t dport;
	bool has_icmp_type;
	uint8_t icmp_type;
	uint16_t ether_type; /* of frames that are not IP; else 0 */
	struct ms_event_end src, dst;
	char policy_file[MS_EVENT_TEXT]; /* "" when no place in the policy decided */
	uint32_t policy_line;
	char nearest[512];
	char node[MS_EVENT_TEXT];
	uint64_t generation;
};

/**
 * Makes an event of a logged packet: names for addresses, the nearest miss from the oracle; verdict
 * and reason as the kernel's own rule said them. Returns 0, or -EINVAL when the prefix is not ours.
 */
int ms_event_attribute(const struct ms_packet_record *record, const struct ms_policy *policy,
		       const struct ms_inventory *inventory, uint64_t generation,
		       struct ms_event *ret_event);

/** Appends one JSON object, no newline, with the fields and names of SPEC section 6. */
void ms_event_json(const struct ms_event *event, struct ms_str *out);
/**
 * Appends one line for people and, where there is something to say, an indented one below it with
 * the place in the policy and the nearest miss. Newlines included, time in UTC. @color: with ANSI
 * colours.
 */
void ms_event_text(const struct ms_event *event, bool color, struct ms_str *out);
/** Reads ms_event_json() back (for the CLI). Returns 0 or -EINVAL. */
int ms_event_parse(const char *json, struct ms_event *ret_event);

/*
 * Folding: identical flows (same ends, protocol, port, reason, verdict) within a window become one
 * event with a count.
 */
#define MS_FOLD_WINDOW_MS 1000
#define MS_FOLD_MAX 1024 /* flows in the window; the oldest is emitted early when it is full */

struct ms_fold;
struct ms_fold *ms_fold_new(void);
struct ms_fold *ms_fold_free(struct ms_fold *fold);

typedef void (*ms_fold_emit_fn)(const struct ms_event *event, void *userdata);
/** Adds @event. The first of its kind is emitted at once (count 1), later ones are counted until
 * the window ends. */
void ms_fold_add(struct ms_fold *fold, const struct ms_event *event, uint64_t now_ms,
		 ms_fold_emit_fn emit, void *userdata);
/**
 * Emits what has waited for the window. Returns milliseconds until the next call is due, or -1 for
 * none. At the end call it with @now_ms UINT64_MAX: ms_fold_free() forgets what still waits.
 */
int64_t ms_fold_flush(struct ms_fold *fold, uint64_t now_ms, ms_fold_emit_fn emit, void *userdata);
