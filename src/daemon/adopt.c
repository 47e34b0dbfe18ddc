/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adoption: connections older than our tables.
 *
 * Where the client speaks first, its packet is judged like one that opens a connection, and the
 * kernel tracks it from there. Where the server does, nothing in a policy grants that packet, and a
 * rule that let it pass would let a server pass whatever it likes. So it is refused like any other,
 * and the log of it comes here: for some time after arming, if the policy allows the connection of
 * which it would be an answer, the kernel is told of that connection, and its next packet passes.
 * That opens no new one: a SYN of the server is no packet of an established connection, and no
 * other TCP segment opens any. Datagrams have nothing of the kind; for them it is a shorter time,
 * and their client must have a port that services are not found at.
 *
 * With nf_conntrack_tcp_loose off, the kernel calls all packets of old connections invalid; it is
 * told of those likewise.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/revoked.h"
#include "kernel/conntrack.h"

#define TCP_MS (5 * 60 * 1000)
#define UDP_MS (30 * 1000)
#define MAX_ADOPTED 4096

void ms_adopt_begin(struct ms_daemon *daemon)
{
	daemon->adopt_since_ms = ms_monotonic_ms();
	daemon->n_adopted = 0;
	daemon->arming = true;
}

/* Can this packet belong to a connection that is open? */
static bool is_midway(const struct ms_packet *packet, uint64_t age_ms)
{
	if (!packet->has_addrs || !packet->has_ports)
		return false;
	if (packet->proto == IPPROTO_TCP)
		return age_ms < TCP_MS && packet->has_tcp_flags &&
		       (packet->tcp_flags & (TH_SYN | TH_RST | TH_ACK)) == TH_ACK;
	return packet->proto == IPPROTO_UDP && age_ms < UDP_MS && packet->dport >= MS_CLIENT_PORT;
}

static bool is_allowed(const struct ms_policy *policy, const struct ms_inventory *inventory,
		       const struct ms_conntrack_tuple *client, uint8_t proto)
{
	const struct ms_flow flow = {
		.src = ms_party_of_addr(policy, inventory, &client->src, false),
		.dst = ms_party_of_addr(policy, inventory, &client->dst, false),
		.proto = proto,
		.port = client->dport,
	};

	return ms_decide(policy, inventory, &flow, time(NULL), NULL).verdict == MS_ALLOW;
}

bool ms_adopt_is_answer(const struct ms_policy *policy, const struct ms_inventory *inventory,
			const struct ms_conntrack_tuple *tuple, uint8_t proto,
			struct ms_conntrack_tuple *ret_client)
{
	const struct ms_conntrack_tuple client = {tuple->dst, tuple->src, tuple->dport,
						  tuple->sport};

	if (!is_allowed(policy, inventory, &client, proto))
		return false;
	*ret_client = client;
	return true;
}

/*
 * Was the connection that @packet is of cut? Its server's segments open nothing again, whether the
 * policy allows it or not: the client may be another now that has the first one's address, and the
 * server is no client.
 */
static bool was_cut(const struct ms_daemon *daemon, const struct ms_packet *packet,
		    const struct ms_conntrack_tuple *client)
{
	const struct ms_conntrack_tuple segment = {packet->src, packet->dst, packet->sport,
						   packet->dport};

	return packet->proto == IPPROTO_TCP &&
	       (ms_revoked_holds(daemon->kernel, daemon->installed, client) ||
		ms_revoked_holds(daemon->kernel, daemon->installed, &segment));
}

static bool find_client(const struct ms_daemon *daemon, const struct ms_packet *packet,
			enum ms_reason reason, struct ms_conntrack_tuple *ret_client)
{
	const struct ms_conntrack_tuple tuple = {packet->src, packet->dst, packet->sport,
						 packet->dport};
	const struct ms_policy *policy = daemon->loaded->policy;

	if (reason != MS_REASON_INVALID && reason != MS_REASON_NO_GRANT &&
	    reason != MS_REASON_FENCE)
		return false;
	if (ms_adopt_is_answer(policy, daemon->inventory, &tuple, packet->proto, ret_client))
		return true;
	*ret_client = tuple;
	return reason == MS_REASON_INVALID && packet->proto == IPPROTO_TCP &&
	       is_allowed(policy, daemon->inventory, &tuple, packet->proto);
}

bool ms_adopt_packet(const struct ms_packet_record *record, void *userdata)
{
	struct ms_daemon *daemon = userdata;
	struct ms_conntrack_tuple client;
	struct ms_packet packet;
	struct ms_log_tag tag;
	uint64_t age_ms = ms_monotonic_ms() - daemon->adopt_since_ms;

	if (daemon->adopt_since_ms == 0 || age_ms >= TCP_MS || daemon->n_adopted >= MAX_ADOPTED ||
	    !daemon->loaded || !daemon->inventory || ms_log_tag_parse(record->prefix, &tag) < 0)
		return false;
	ms_packet_decode(record, &packet);
	if (!is_midway(&packet, age_ms) || !find_client(daemon, &packet, tag.reason, &client))
		return false;
	if (was_cut(daemon, &packet, &client))
		return false;
	/* In audit the packet has passed, and the kernel has an entry the wrong way round. */
	int r = ms_conntrack_adopt(&client, packet.proto, tag.verdict == MS_AUDIT);
	if (r < 0)
		return false;
	daemon->n_adopted++;
	ms_revoke_soon(daemon); /* it may have an end: see lend.h */
	return true;
}
