/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text: an event for people.
 *
 *	12:03:04.123Z denied  dev/web (web-1 10.0.2.5) -> prod/orders-db (db-1 10.0.1.7) tcp/5432
 *fence  x3 add a crossing from dev/web to prod/orders-db for tcp/5432
 *
 * Times are UTC. Every name is somebody else's and goes through ms_str_add_safe(): nobody forges a
 *line.
 */
#include "microseg/event.h"

#include <inttypes.h>
#include <linux/if_ether.h>
#include <string.h>

#include "event/words.h"

#define RED "\033[31m"
#define YELLOW "\033[33m"
#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RESET "\033[0m"
#define TIME_AT 11 /* where the time of day starts in RFC 3339 */

static void add_if(struct ms_str *out, bool color, const char *code)
{
	if (color)
		ms_str_add(out, code);
}

/* A frame's own words (port, MAC) matter where the frame itself was at fault. */
static bool is_about_frame(enum ms_reason reason)
{
	return reason == MS_REASON_SPOOF || reason == MS_REASON_UNKNOWN_PORT ||
	       reason == MS_REASON_ETHERTYPE || reason == MS_REASON_BYPASS;
}

/* Appends @text to what stands in one pair of brackets. */
static void add_detail(struct ms_str *out, size_t *n, const char *text)
{
	ms_str_add(out, (*n)++ == 0 ? " (" : " ");
	ms_str_add_safe(out, text);
}

/* "prod/db (db-1 10.0.1.7)"; "10.0.1.7" where nobody is known; "on veth12" where that is all or the
 * point. */
static void add_end(struct ms_str *out, const struct ms_event_end *end, bool frame)
{
	char ip[MS_ADDR_TEXT_SIZE] = "", mac[MS_MAC_TEXT_SIZE] = "";
	size_t n = 0;

	if (end->has_ip)
		ms_addr_format(&end->ip, ip);
	else if (end->has_mac)
		ms_mac_format(&end->mac, mac);

	const char *addr = ip[0] ? ip : mac;
	const char *name = end->identity[0] ? end->identity : addr[0] ? addr : "?";
	ms_str_add_safe(out, name);
	if (end->endpoint[0])
		add_detail(out, &n, end->endpoint);
	if (addr[0] && name != addr)
		add_detail(out, &n, addr);
	if (end->interface[0] && (frame || (!end->endpoint[0] && !ip[0]))) {
		add_detail(out, &n, "on");
		ms_str_add_char(out, ' ');
		ms_str_add_safe(out, end->interface);
	}
	if (n > 0)
		ms_str_add_char(out, ')');
}

/* As a policy would write it: "tcp/5432", "icmp/8", "proto/47"; a frame that is not IP by its ether
 * type. */
static void add_what(struct ms_str *out, const struct ms_event *event)
{
	const char *name = ms_proto_name(event->proto);

	if (event->ether_type == ETH_P_ARP)
		ms_str_add(out, "arp");
	else if (event->ether_type)
		ms_str_addf(out, "ethertype/0x%04x", event->ether_type);
	else if (!name)
		ms_str_addf(out, "proto/%u", event->proto);
	else if (event->has_dport || event->has_icmp_type)
		ms_str_addf(out, "%s/%u", name, event->has_dport ? event->dport : event->icmp_type);
	else
		ms_str_add(out, name);
}

/* Below the line, where there is something to say. */
static void add_nearest(struct ms_str *out, const struct ms_event *event, bool color)
{
	if (!event->nearest[0] && !event->policy_file[0])
		return;
	add_if(out, color, DIM);
	ms_str_add(out, "    ");
	if (event->policy_file[0]) {
		ms_str_add_safe(out, event->policy_file);
		ms_str_addf(out, ":%" PRIu32 "%s", event->policy_line,
			    event->nearest[0] ? ": " : "");
	}
	ms_str_add_safe(out, event->nearest);
	add_if(out, color, RESET);
	ms_str_add_char(out, '\n');
}

void ms_event_text(const struct ms_event *event, bool color, struct ms_str *out)
{
	char time_text[MS_EVENT_TIME_SIZE];
	const char *reason = ms_reason_name(event->reason);
	bool frame = is_about_frame(event->reason);

	ms_str_add(out, ms_event_time_format(event->time_ms, time_text) + TIME_AT);
	ms_str_add_char(out, ' ');
	add_if(out, color, event->verdict == MS_AUDIT ? YELLOW : RED);
	ms_str_addf(out, "%-7s", ms_event_verdict_word(event->verdict));
	add_if(out, color, RESET);
	ms_str_add_char(out, ' ');
	add_end(out, &event->src, frame);
	ms_str_add(out, " -> ");
	add_end(out, &event->dst, frame);
	ms_str_add_char(out, ' ');
	add_what(out, event);
	ms_str_add(out, "  ");
	add_if(out, color, BOLD);
	ms_str_add(out, reason ? reason : "?");
	add_if(out, color, RESET);
	if (event->tracked)
		ms_str_add(out, "  was open before");
	if (event->count != 1)
		ms_str_addf(out, "  x%" PRIu64, event->count);
	ms_str_add_char(out, '\n');
	add_nearest(out, event, color);
}
