/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON: an event as one line with the fields of SPEC section 6. parse.c reads it back.
 *
 * Every field is always there; what is unknown is null. Texts are escaped with ms_str_add_safe()
 * before they become JSON strings, so that a reader that prints a field raw prints no control byte
 * either.
 */
#include "microseg/event.h"

#include <jansson.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <time.h>

#include "event/words.h"
#include "microseg/cleanup.h"

static json_t *safe_text(const char *text)
{
	_cleanup_(ms_str_fini) struct ms_str safe = {0};

	if (!text[0])
		return json_null();
	ms_str_add_safe(&safe, text);
	return safe.failed ? NULL : json_stringn(safe.text, safe.len);
}

static json_t *number(bool present, uint64_t value)
{
	return present ? json_integer((json_int_t)value) : json_null();
}

const char *ms_event_time_format(uint64_t time_ms, char text[MS_EVENT_TIME_SIZE])
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm tm;

	/* A clock that no calendar has is the sender's: it must not cost the event. */
	if (!gmtime_r(&seconds, &tm) || tm.tm_year > 9999 - 1900)
		tm = (struct tm){.tm_year = 9999 - 1900, .tm_mon = 11, .tm_mday = 31};
	size_t len = strftime(text, MS_EVENT_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, MS_EVENT_TIME_SIZE - len, ".%03uZ", (unsigned int)(time_ms % 1000));
	return text;
}

static json_t *proto_json(const struct ms_event *event)
{
	const char *name = ms_proto_name(event->proto);

	if (event->ether_type == ETH_P_ARP)
		return json_string("arp");
	if (event->ether_type)
		return json_sprintf("0x%04x", event->ether_type);
	return name ? json_string(name) : json_sprintf("%u", event->proto);
}

static json_t *end_json(const struct ms_event_end *end)
{
	char ip[MS_ADDR_TEXT_SIZE], mac[MS_MAC_TEXT_SIZE];

	return json_pack("{so so so so so so}", "identity", safe_text(end->identity), "endpoint",
			 safe_text(end->endpoint), "ip",
			 end->has_ip ? json_string(ms_addr_format(&end->ip, ip)) : json_null(),
			 "port", number(end->has_port, end->port), "mac",
			 end->has_mac ? json_string(ms_mac_format(&end->mac, mac)) : json_null(),
			 "interface", safe_text(end->interface));
}

static json_t *policy_json(const struct ms_event *event)
{
	if (!event->policy_file[0])
		return json_null();
	return json_pack("{so so}", "file", safe_text(event->policy_file), "line",
			 number(true, event->policy_line));
}

const char *ms_event_verdict_word(enum ms_verdict verdict)
{
	return verdict == MS_AUDIT ? "audited" : "denied";
}

static json_t *event_json(const struct ms_event *event)
{
	char time_text[MS_EVENT_TIME_SIZE];
	const char *reason = ms_reason_name(event->reason);

	return json_pack("{ss ss ss? so so so so so so so so so so so*}", "time",
			 ms_event_time_format(event->time_ms, time_text), "verdict",
			 ms_event_verdict_word(event->verdict), "reason", reason, "count",
			 number(true, event->count), "proto", proto_json(event), "dport",
			 number(event->has_dport, event->dport), "icmp_type",
			 number(event->has_icmp_type, event->icmp_type), "src",
			 end_json(&event->src), "dst", end_json(&event->dst), "policy",
			 policy_json(event), "nearest", safe_text(event->nearest), "node",
			 safe_text(event->node), "generation", number(true, event->generation),
			 "tracked", event->tracked ? json_true() : NULL);
}

static int add_bytes(const char *bytes, size_t size, void *userdata)
{
	struct ms_str *out = userdata;

	ms_str_add_len(out, bytes, size);
	return out->failed ? -1 : 0;
}

void ms_event_json(const struct ms_event *event, struct ms_str *out)
{
	_cleanup_(json_decrefp) json_t *json = event_json(event);

	if (!json || json_dump_callback(json, add_bytes, out, JSON_COMPACT) < 0)
		out->failed = true;
}
