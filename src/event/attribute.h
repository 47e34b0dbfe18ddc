/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What attribution knows about one packet, shared by the two files that make an event of it.
 */
#pragma once

#include "microseg/event.h"

struct attribution {
	const struct ms_packet_record *record;
	const struct ms_policy *policy;
	const struct ms_inventory *inventory;
	struct ms_packet packet;
	struct ms_log_tag tag;
	const char *src_port; /* the host's side of where it came from: a bridge port, a routed
				 veth, …; or "" */
	const char *dst_port; /* likewise where it would have gone; "" before routing */
	bool has_src,
		has_dst; /* false: nobody, e.g. a multicast group or a frame without addresses */
	struct ms_party src, dst;
};

/** Does @name lead to endpoints: a managed link, or an interface that fits a managed pattern and is
 * not skipped? */
bool ms_event_is_managed(const struct ms_inventory *inventory, const char *name);

/** The identity of @party in an event's words. Writes at most @size bytes into @text and returns
 * it. */
const char *ms_event_identity(const struct ms_party *party, char *text, size_t size);

/** Appends one sentence: why the kernel refused what no grant could have allowed (spoof, ethertype,
 * …). */
void ms_event_sentence(const struct attribution *a, struct ms_str *out);
