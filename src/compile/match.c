/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Match: the two ends of a grant that are not sets of endpoints: ports and nets.
 */
#include "compiler.h"

#include <netinet/in.h>

static enum ms_field port_field(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return MS_FIELD_TCP_DPORT;
	case IPPROTO_UDP:
		return MS_FIELD_UDP_DPORT;
	case IPPROTO_SCTP:
		return MS_FIELD_SCTP_DPORT;
	default:
		return MS_N_FIELDS;
	}
}

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

bool ports_apply(const struct ms_ports *ports, const struct family *family)
{
	return !is_icmp(ports->proto) || ports->proto == family->icmp_proto;
}

static void match_types(struct compiler *c, struct ms_rule *rule, enum ms_field field,
			const struct ms_ports *ports)
{
	uint8_t first = (uint8_t)ports->first, last = (uint8_t)ports->last;

	if (first == last)
		ms_rule_match_u8(c->ruleset, rule, field, first);
	else
		ms_rule_match_range(c->ruleset, rule, field, &first, &last, 1);
}

static void match_port_range(struct compiler *c, struct ms_rule *rule, enum ms_field field,
			     const struct ms_ports *ports)
{
	uint8_t first[2] = {(uint8_t)(ports->first >> 8), (uint8_t)ports->first};
	uint8_t last[2] = {(uint8_t)(ports->last >> 8), (uint8_t)ports->last};

	if (ports->first == ports->last)
		ms_rule_match_u16(c->ruleset, rule, field, ports->first);
	else
		ms_rule_match_range(c->ruleset, rule, field, first, last, 2);
}

void match_ports(struct compiler *c, struct ms_rule *rule, const struct family *family,
		 const struct ms_ports *ports)
{
	enum ms_field field = port_field(ports->proto);
	bool whole_icmp = ports->first == 0 && ports->last == 255;
	bool whole_port = ports->first == 0 && ports->last == 65535;

	if (is_icmp(ports->proto) && !whole_icmp)
		match_types(c, rule, family->icmp_type, ports);
	else if (field != MS_N_FIELDS && !whole_port)
		match_port_range(c, rule, field, ports);
	else
		ms_rule_match_u8(c->ruleset, rule, MS_FIELD_L4PROTO, ports->proto);
}

static size_t count_ranges(const struct ms_peer *peer, const struct family *family)
{
	size_t n = 0;

	ms_vec_each (struct ms_range, range, &peer->ranges)
		n += range->first.ip == family->ip;
	return n;
}

bool has_ranges(const struct ms_peer *peer, const struct family *family)
{
	return count_ranges(peer, family) > 0;
}

void match_net(struct compiler *c, struct ms_rule *rule, const struct family *family,
	       enum ms_field field, const struct ms_peer *peer)
{
	if (count_ranges(peer, family) > 1) {
		rule_set(c, rule, field, false, sets_net(c, family, peer));
		return;
	}
	ms_vec_each (struct ms_range, range, &peer->ranges) {
		if (range->first.ip != family->ip)
			continue;
		if (ms_addr_equal(&range->first, &range->last))
			ms_rule_match(c->ruleset, rule, field, false, range->first.bytes,
				      family->size);
		else
			ms_rule_match_range(c->ruleset, rule, field, range->first.bytes,
					    range->last.bytes, family->size);
	}
}

void match_prefix(struct compiler *c, struct ms_rule *rule, enum ms_field field, const char *prefix)
{
	struct ms_prefix parsed;

	if (ms_prefix_parse(prefix, &parsed) < 0) {
		c->ruleset->failed = true;
		return;
	}
	struct ms_range range = ms_prefix_range(&parsed);
	ms_rule_match_range(c->ruleset, rule, field, range.first.bytes, range.last.bytes,
			    ms_addr_size(range.first.ip));
}
