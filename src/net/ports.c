/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/net.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "number.h"

/* The protocols that have a name, and what a number behind the slash may be. */
static const struct proto {
	const char *name;
	uint8_t proto;
	bool ranges; /* ports: <n>-<m> may be written */
	uint16_t min, max;
} protos[] = {
	{"tcp", IPPROTO_TCP, true, 1, 65535},	  {"udp", IPPROTO_UDP, true, 1, 65535},
	{"sctp", IPPROTO_SCTP, true, 1, 65535},	  {"icmp", IPPROTO_ICMP, false, 0, 255},
	{"icmp6", IPPROTO_ICMPV6, false, 0, 255},
};

#define N_PROTOS (sizeof(protos) / sizeof(protos[0]))

/* Port 0 is no port to ask for, but it is part of the whole. */
const struct ms_ports ms_ports_any[5] = {
	{IPPROTO_TCP, 0, 65535}, {IPPROTO_UDP, 0, 65535},  {IPPROTO_SCTP, 0, 65535},
	{IPPROTO_ICMP, 0, 255},	 {IPPROTO_ICMPV6, 0, 255},
};

const char *ms_proto_name(uint8_t proto)
{
	for (size_t i = 0; i < N_PROTOS; i++)
		if (protos[i].proto == proto)
			return protos[i].name;
	return NULL;
}

static int parse_proto_number(const char *at, struct ms_ports *ret_ports)
{
	uint32_t number;
	int r = number_read(&at, 255, &number);

	if (*at != '\0')
		return -EINVAL;
	if (r < 0)
		return r;
	if (ms_proto_name((uint8_t)number))
		return -EEXIST;
	*ret_ports = (struct ms_ports){.proto = (uint8_t)number};
	return 0;
}

static int parse_numbers(const struct proto *proto, const char *at, struct ms_ports *ret_ports)
{
	uint32_t first = 0, last = 0;
	int r = number_read(&at, proto->max, &first), r_last = r;

	if (r != -EINVAL && proto->ranges && *at == '-') {
		at++;
		r_last = number_read(&at, proto->max, &last);
	} else {
		last = first;
	}
	if (r == -EINVAL || r_last == -EINVAL || *at != '\0')
		return -EINVAL;
	if (r < 0 || r_last < 0 || first < proto->min || last < proto->min)
		return -ERANGE;
	if (first > last)
		return -EDOM;
	*ret_ports = (struct ms_ports){proto->proto, (uint16_t)first, (uint16_t)last};
	return 0;
}

int ms_ports_parse(const char *text, struct ms_ports *ret_ports)
{
	const char *slash = strchr(text, '/');

	if (!slash)
		return -EINVAL;
	size_t len = (size_t)(slash - text);
	if (len == 5 && memcmp(text, "proto", 5) == 0)
		return parse_proto_number(slash + 1, ret_ports);
	for (size_t i = 0; i < N_PROTOS; i++)
		if (strlen(protos[i].name) == len && memcmp(text, protos[i].name, len) == 0)
			return parse_numbers(&protos[i], slash + 1, ret_ports);
	return -EINVAL;
}

const char *ms_ports_format(const struct ms_ports *ports, char text[MS_PORTS_TEXT_SIZE])
{
	const char *name = ms_proto_name(ports->proto);

	if (!name)
		snprintf(text, MS_PORTS_TEXT_SIZE, "proto/%u", ports->proto);
	else if (ports->first == ports->last)
		snprintf(text, MS_PORTS_TEXT_SIZE, "%s/%u", name, ports->first);
	else
		snprintf(text, MS_PORTS_TEXT_SIZE, "%s/%u-%u", name, ports->first, ports->last);
	return text;
}

int ms_ports_compare(const struct ms_ports *a, const struct ms_ports *b)
{
	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	return (a->last > b->last) - (a->last < b->last);
}

bool ms_ports_cover(const struct ms_ports *ports, uint8_t proto, uint16_t port)
{
	if (ports->proto != proto)
		return false;
	return !ms_proto_name(proto) || (ports->first <= port && port <= ports->last);
}

static int compare_items(const void *left, const void *right)
{
	return ms_ports_compare(left, right);
}

void ms_ports_normalize(ms_ports_vec *ports)
{
	size_t n = 0;

	ms_vec_sort(ports, compare_items);
	for (size_t i = 0; i < ports->n_items; i++) {
		struct ms_ports *next = &ports->items[i], *last = n ? &ports->items[n - 1] : NULL;

		if (last && last->proto == next->proto && next->first <= (uint32_t)last->last + 1) {
			if (next->last > last->last)
				last->last = next->last;
		} else {
			ports->items[n++] = *next;
		}
	}
	ports->n_items = n;
}
