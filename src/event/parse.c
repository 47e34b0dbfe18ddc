/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parse: an event out of the JSON line that json.c writes.
 *
 * Strict about the type and range of every field that it knows; fields that it does not know are
 * passed over, so an older command reads a newer daemon. The escapes of names are undone: an event
 * survives the way unchanged.
 */
#include "microseg/event.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "event/words.h"
#include "microseg/cleanup.h"

#define ALL_PROTOS 256

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Undoes ms_str_add_safe(). Too long a text is cut, as it was when the event was made. */
static int unescape(const char *safe, char *text, size_t size)
{
	size_t n = 0;

	while (*safe && n < size - 1) {
		if (safe[0] != '\\') {
			text[n++] = *safe++;
		} else if (safe[1] == '\\') {
			text[n++] = '\\';
			safe += 2;
		} else if (safe[1] == 'x' && hex_digit(safe[2]) >= 0 && hex_digit(safe[3]) >= 0) {
			text[n] = (char)(hex_digit(safe[2]) << 4 | hex_digit(safe[3]));
			if (!text[n++])
				return -EINVAL;
			safe += 4;
		} else {
			return -EINVAL;
		}
	}
	text[n] = '\0';
	return 0;
}

/* A text or null, which leaves it empty. */
static int read_text(const json_t *object, const char *key, char *text, size_t size)
{
	const json_t *value = json_object_get(object, key);

	text[0] = '\0';
	if (json_is_null(value))
		return 0;
	return json_is_string(value) ? unescape(json_string_value(value), text, size) : -EINVAL;
}

static int read_number(const json_t *object, const char *key, uint64_t max, uint64_t *ret_value)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) > max)
		return -EINVAL;
	*ret_value = (uint64_t)json_integer_value(value);
	return 0;
}

/* A number up to @max, or null: then @ret_present is false. */
static int read_optional(const json_t *object, const char *key, uint64_t max, bool *ret_present,
			 uint64_t *ret_value)
{
	*ret_value = 0;
	*ret_present = !json_is_null(json_object_get(object, key));
	return *ret_present ? read_number(object, key, max, ret_value) : 0;
}

int ms_event_time_parse(const char *text, uint64_t *ret_time_ms)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
	struct tm tm = {0};
	int ms = 0;

	for (size_t i = 0; i < sizeof(form); i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';

		if (form[i] == 'd' ? !digit : text[i] != form[i])
			return -EINVAL;
	}
	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
		   &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &ms) != 7)
		return -EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	struct tm same = tm;
	time_t seconds = timegm(&same);
	if (seconds < 0 || same.tm_mon != tm.tm_mon || same.tm_mday != tm.tm_mday ||
	    same.tm_hour != tm.tm_hour || same.tm_min != tm.tm_min || same.tm_sec != tm.tm_sec)
		return -EINVAL; /* timegm() carries a 31st of June over */
	*ret_time_ms = (uint64_t)seconds * 1000 + (uint64_t)ms;
	return 0;
}

/* A number in exactly the form that json.c gives it: @format prints it back. */
static int read_form(const char *text, int base, unsigned long max, const char *format,
		     unsigned long *ret_value)
{
	char again[16];
	unsigned long value = strtoul(text, NULL, base);

	snprintf(again, sizeof(again), format, value);
	if (value > max || strcmp(text, again) != 0)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

static int read_proto(const json_t *object, struct ms_event *event)
{
	const char *text = json_string_value(json_object_get(object, "proto"));
	unsigned long value;

	if (!text)
		return -EINVAL;
	if (strcmp(text, "arp") == 0) {
		event->ether_type = ETH_P_ARP;
		return 0;
	}
	for (unsigned int proto = 0; proto < ALL_PROTOS; proto++) {
		const char *name = ms_proto_name((uint8_t)proto);

		if (name && strcmp(name, text) == 0) {
			event->proto = (uint8_t)proto;
			return 0;
		}
	}
	if (read_form(text, 16, UINT16_MAX, "0x%04lx", &value) == 0)
		event->ether_type = (uint16_t)value;
	else if (read_form(text, 10, UINT8_MAX, "%lu", &value) == 0)
		event->proto = (uint8_t)value;
	else
		return -EINVAL;
	return 0;
}

/* Also an IPv4-mapped address, which no policy can name but any frame may carry. */
static int read_addr(const char *text, struct ms_addr *ret_addr)
{
	char again[MS_ADDR_TEXT_SIZE];
	uint8_t bytes[16];

	if (ms_addr_parse(text, ret_addr) == 0)
		return 0;
	if (inet_pton(AF_INET6, text, bytes) != 1)
		return -EINVAL;
	ms_addr_from_bytes(bytes, sizeof(bytes), ret_addr);
	return strcmp(ms_addr_format(ret_addr, again), text) == 0 ? 0 : -EINVAL;
}

static int read_addrs(const json_t *object, struct ms_event_end *end)
{
	const json_t *ip = json_object_get(object, "ip"), *mac = json_object_get(object, "mac");

	end->has_ip = json_is_string(ip);
	end->has_mac = json_is_string(mac);
	if (end->has_ip ? read_addr(json_string_value(ip), &end->ip) < 0 : !json_is_null(ip))
		return -EINVAL;
	if (end->has_mac ? ms_mac_parse(json_string_value(mac), &end->mac) < 0 : !json_is_null(mac))
		return -EINVAL;
	return 0;
}

static int read_end(const json_t *event, const char *key, struct ms_event_end *end)
{
	const json_t *object = json_object_get(event, key);
	uint64_t port;

	if (read_text(object, "identity", end->identity, sizeof(end->identity)) < 0 ||
	    read_text(object, "endpoint", end->endpoint, sizeof(end->endpoint)) < 0 ||
	    read_text(object, "interface", end->interface, sizeof(end->interface)) < 0 ||
	    read_optional(object, "port", UINT16_MAX, &end->has_port, &port) < 0 ||
	    read_addrs(object, end) < 0)
		return -EINVAL;
	end->port = (uint16_t)port;
	return 0;
}

static int read_policy(const json_t *event, struct ms_event *ret_event)
{
	const json_t *policy = json_object_get(event, "policy");
	uint64_t line;

	if (json_is_null(policy))
		return 0;
	if (read_text(policy, "file", ret_event->policy_file, sizeof(ret_event->policy_file)) < 0 ||
	    read_number(policy, "line", UINT32_MAX, &line) < 0)
		return -EINVAL;
	ret_event->policy_line = (uint32_t)line;
	return 0;
}

/* What happened: time, verdict, reason, count. */
static int read_what(const json_t *json, struct ms_event *event)
{
	const char *time_text = json_string_value(json_object_get(json, "time"));
	const char *verdict = json_string_value(json_object_get(json, "verdict"));
	const char *reason = json_string_value(json_object_get(json, "reason"));

	if (!time_text || !verdict || !reason ||
	    ms_event_time_parse(time_text, &event->time_ms) < 0)
		return -EINVAL;
	event->verdict = strcmp(verdict, "audited") == 0 ? MS_AUDIT : MS_DENY;
	if (strcmp(verdict, ms_event_verdict_word(event->verdict)) != 0)
		return -EINVAL;
	event->tracked = json_is_true(json_object_get(json, "tracked"));
	event->reason = ms_reason_parse(reason);
	if (event->reason == MS_REASON_NONE)
		return -EINVAL;
	return read_number(json, "count", INT64_MAX, &event->count);
}

/* What it was about: protocol, port or type. */
static int read_flow(const json_t *json, struct ms_event *event)
{
	uint64_t dport, icmp_type;

	if (read_proto(json, event) < 0 ||
	    read_optional(json, "dport", UINT16_MAX, &event->has_dport, &dport) < 0 ||
	    read_optional(json, "icmp_type", UINT8_MAX, &event->has_icmp_type, &icmp_type) < 0)
		return -EINVAL;
	event->dport = (uint16_t)dport;
	event->icmp_type = (uint8_t)icmp_type;
	return 0;
}

int ms_event_parse(const char *json, struct ms_event *ret_event)
{
	_cleanup_(json_decrefp) json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
	struct ms_event event = {0};

	if (!json_is_object(object) || read_what(object, &event) < 0 ||
	    read_flow(object, &event) < 0 || read_end(object, "src", &event.src) < 0 ||
	    read_end(object, "dst", &event.dst) < 0 || read_policy(object, &event) < 0 ||
	    read_text(object, "nearest", event.nearest, sizeof(event.nearest)) < 0 ||
	    read_text(object, "node", event.node, sizeof(event.node)) < 0 ||
	    read_number(object, "generation", INT64_MAX, &event.generation) < 0)
		return -EINVAL;
	*ret_event = event;
	return 0;
}
