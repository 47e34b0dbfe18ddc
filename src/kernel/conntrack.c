/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conntrack: dump, judge, delete.
 *
 * One dump shows both families. For every entry that goes its delete message is built on the
 * spot, from the original tuple, the zone and the id of the entry: the kernel deletes only while
 * the id is the same. (It is a hash of the tuple and of where the entry lies in memory: a new
 * connection of the same tuple in the same place has it too.) The messages wait in memory until the
 * dump has ended and are sent in batches, of which only the last message asks for an answer;
 * failures answer by themselves. Memory is bounded by the size of the kernel's table.
 */
#include "kernel/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "microseg/cleanup.h"

#define ANSWER_SECONDS 5  /* the kernel answers at once; this only keeps a bug from hanging us */
#define MESSAGE_SIZE 1024 /* of one delete message; some 100 bytes are used */
#define RECEIVE_SIZE ((size_t)64 * 1024)
#define BATCH_SIZE                                                                                 \
	((size_t)16 * 1024) /* some 100 messages: their failures fit the socket's buffer */

struct walk {
	struct mnl_socket *socket;
	ms_conntrack_fn fn;
	void *userdata;
	char *changes; /* messages that delete and loosen, one behind the other */
	size_t changes_size, changes_room;
	size_t n_deletes;
	size_t n_gone; /* of them, those that the kernel no longer had */
	uint32_t seq;
	int error; /* first one, negative */
	char buffer[RECEIVE_SIZE] __attribute__((aligned(8)));
};

static void walk_fini(struct walk *walk)
{
	if (walk->socket)
		mnl_socket_close(walk->socket);
	free(walk->changes);
	free(walk);
}
MS_DEFINE_CLEANUP(struct walk *, walk_fini)

static void nfct_freep(struct nf_conntrack **ct)
{
	if (*ct)
		nfct_destroy(*ct);
}

static int walk_open(struct walk *walk)
{
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};

	walk->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!walk->socket || mnl_socket_bind(walk->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(walk->socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0)
		return -errno;
	return 0;
}

static struct nlmsghdr *put_header(void *buffer, uint16_t type, uint16_t flags, uint8_t family,
				   uint32_t seq)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = seq;
	header->nfgen_family = family;
	header->version = NFNETLINK_V0;
	return message;
}

/* --- what an entry says --- */

static void read_addr(const struct nf_conntrack *ct, bool v4, enum nf_conntrack_attr attr4,
		      enum nf_conntrack_attr attr6, struct ms_addr *ret_addr)
{
	const void *bytes = nfct_get_attr(ct, v4 ? attr4 : attr6);

	if (bytes)
		ms_addr_from_bytes(bytes, v4 ? 4 : 16, ret_addr);
}

static uint16_t read_port(const struct nf_conntrack *ct, enum nf_conntrack_attr attr)
{
	return nfct_attr_is_set(ct, attr) > 0 ? ntohs(nfct_get_attr_u16(ct, attr)) : 0;
}

static void read_tuples(const struct nf_conntrack *ct, bool v4, struct ms_conntrack_entry *entry)
{
	struct ms_conntrack_tuple *orig = &entry->orig, *reply = &entry->reply;

	read_addr(ct, v4, ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC, &orig->src);
	read_addr(ct, v4, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST, &orig->dst);
	read_addr(ct, v4, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC, &reply->src);
	read_addr(ct, v4, ATTR_REPL_IPV4_DST, ATTR_REPL_IPV6_DST, &reply->dst);
	orig->sport = read_port(ct, ATTR_ORIG_PORT_SRC);
	orig->dport = read_port(ct, ATTR_ORIG_PORT_DST);
	reply->sport = read_port(ct, ATTR_REPL_PORT_SRC);
	reply->dport = read_port(ct, ATTR_REPL_PORT_DST);
}

static void read_tcp(const struct nf_conntrack *ct, struct ms_conntrack_entry *entry)
{
	uint8_t state = nfct_get_attr_u8(ct, ATTR_TCP_STATE);

	entry->open = state >= TCP_CONNTRACK_SYN_RECV && state <= TCP_CONNTRACK_LAST_ACK;
	/* A connection that begins with its SYN is checked for its windows; in a packet's path
	 * nothing else sets this flag. Where we did, the SYN has mostly left another one. */
	entry->picked_up = nfct_attr_is_set(ct, ATTR_TCP_FLAGS_ORIG) > 0 &&
			   (nfct_get_attr_u8(ct, ATTR_TCP_FLAGS_ORIG) &
			    (IP_CT_TCP_FLAG_BE_LIBERAL | IP_CT_TCP_FLAG_WINDOW_SCALE)) ==
				   IP_CT_TCP_FLAG_BE_LIBERAL;
}

/* Returns false for an entry that is neither IPv4 nor IPv6. */
static bool read_entry(const struct nf_conntrack *ct, struct ms_conntrack_entry *ret_entry)
{
	uint8_t family = nfct_get_attr_u8(ct, ATTR_ORIG_L3PROTO);
	uint32_t status = nfct_get_attr_u32(ct, ATTR_STATUS);

	if (family != AF_INET && family != AF_INET6)
		return false;
	*ret_entry = (struct ms_conntrack_entry){
		.proto = nfct_get_attr_u8(ct, ATTR_ORIG_L4PROTO),
		.dnat = status & IPS_DST_NAT,
		.snat = status & IPS_SRC_NAT,
		.answered = status & IPS_SEEN_REPLY,
	};
	read_tuples(ct, family == AF_INET, ret_entry);
	uint32_t id_be = htonl(nfct_get_attr_u32(ct, ATTR_ID));
	memcpy(ret_entry->id, &id_be, sizeof(ret_entry->id));
	if (nfct_attr_is_set(ct, ATTR_TCP_STATE) > 0)
		read_tcp(ct, ret_entry);
	if (nfct_attr_is_set(ct, ATTR_ICMP_TYPE) > 0) {
		ret_entry->has_icmp_type = true;
		ret_entry->icmp_type = nfct_get_attr_u8(ct, ATTR_ICMP_TYPE);
	}
	return true;
}

/* --- deleting --- */

static int changes_reserve(struct walk *walk)
{
	size_t room = walk->changes_room ? walk->changes_room * 2 : 2 * BATCH_SIZE;

	if (walk->changes_room - walk->changes_size >= MESSAGE_SIZE)
		return 0;
	char *changes = realloc(walk->changes, room);
	if (!changes)
		return -ENOMEM;
	walk->changes = changes;
	walk->changes_room = room;
	return 0;
}

static bool put_flags(struct nlmsghdr *message, size_t size)
{
	static const uint16_t types[] = {CTA_PROTOINFO_TCP_FLAGS_ORIGINAL,
					 CTA_PROTOINFO_TCP_FLAGS_REPLY};
	const struct nf_ct_tcp_flags flags = {.flags = IP_CT_TCP_FLAG_BE_LIBERAL,
					      .mask = IP_CT_TCP_FLAG_BE_LIBERAL};
	struct nlattr *info = mnl_attr_nest_start_check(message, size, CTA_PROTOINFO);
	struct nlattr *tcp =
		info ? mnl_attr_nest_start_check(message, size, CTA_PROTOINFO_TCP) : NULL;

	if (!tcp)
		return false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!mnl_attr_put_check(message, size, types[i], sizeof(flags), &flags))
			return false;
	mnl_attr_nest_end(message, tcp);
	mnl_attr_nest_end(message, info);
	return true;
}

/* Appends the message that deletes or loosens exactly what @entry tells of: its tuple, zone and id
 * go back as the kernel wrote them. */
static int add_change(struct walk *walk, const struct nlmsghdr *entry, bool loosen)
{
	const struct nfgenmsg *header = mnl_nlmsg_get_payload(entry);
	char buffer[MESSAGE_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *message =
		put_header(buffer, loosen ? IPCTNL_MSG_CT_NEW : IPCTNL_MSG_CT_DELETE, 0,
			   header->nfgen_family, ++walk->seq);
	const struct nlattr *attr;
	bool has_tuple = false;

	mnl_attr_for_each(attr, entry, sizeof(*header))
	{
		uint16_t type = mnl_attr_get_type(attr);

		if (type != CTA_TUPLE_ORIG && type != CTA_ZONE && type != CTA_ID)
			continue;
		if (!mnl_attr_put_check(message, sizeof(buffer), attr->nla_type,
					mnl_attr_get_payload_len(attr), mnl_attr_get_payload(attr)))
			return -EMSGSIZE;
		has_tuple = has_tuple || type == CTA_TUPLE_ORIG;
	}
	if (!has_tuple)
		return -EBADMSG; /* without one it would empty the whole table */
	if (loosen && !put_flags(message, sizeof(buffer)))
		return -EMSGSIZE;
	if (changes_reserve(walk) < 0)
		return -ENOMEM;
	memcpy(walk->changes + walk->changes_size, message, MNL_ALIGN(message->nlmsg_len));
	walk->changes_size += MNL_ALIGN(message->nlmsg_len);
	walk->n_deletes += !loosen;
	return 0;
}

/* Is this the answer to a message that deletes? */
static bool is_delete(const struct nlmsgerr *answer)
{
	return (answer->msg.nlmsg_type & 0xff) == IPCTNL_MSG_CT_DELETE;
}

/* Reads the answers to one batch, up to the one to its last message. */
static int read_answers(struct walk *walk, uint32_t last_seq)
{
	for (;;) {
		ssize_t size =
			mnl_socket_recvfrom(walk->socket, walk->buffer, sizeof(walk->buffer));

		if (size < 0)
			return -errno;
		const struct nlmsghdr *message = (const struct nlmsghdr *)walk->buffer;
		for (int left = (int)size; mnl_nlmsg_ok(message, left);
		     message = mnl_nlmsg_next(message, &left)) {
			const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);

			if (message->nlmsg_type != NLMSG_ERROR ||
			    mnl_nlmsg_get_payload_len(message) < sizeof(*answer))
				continue;
			if (answer->error == -ENOENT)
				walk->n_gone += is_delete(answer);
			else if (answer->error < 0)
				return answer->error;
			if (message->nlmsg_seq == last_seq)
				return 0;
		}
	}
}

/* Finds the end of the batch that starts at @start and makes its last message ask for an answer. */
static size_t close_batch(struct walk *walk, size_t start, uint32_t *ret_last_seq)
{
	size_t end = start;
	struct nlmsghdr *last = NULL;

	while (end < walk->changes_size && end - start < BATCH_SIZE) {
		last = (struct nlmsghdr *)(walk->changes + end);
		end += MNL_ALIGN(last->nlmsg_len);
	}
	if (last) {
		last->nlmsg_flags |= NLM_F_ACK;
		*ret_last_seq = last->nlmsg_seq;
	}
	return end;
}

static int send_changes(struct walk *walk)
{
	for (size_t start = 0, end; start < walk->changes_size; start = end) {
		uint32_t last_seq = 0;
		int r;

		end = close_batch(walk, start, &last_seq);
		if (mnl_socket_sendto(walk->socket, walk->changes + start, end - start) < 0)
			return -errno;
		r = read_answers(walk, last_seq);
		if (r < 0)
			return r;
	}
	return (int)(walk->n_deletes - walk->n_gone);
}

/* --- dumping --- */

static int judge(const struct nlmsghdr *message, void *userdata)
{
	_cleanup_(nfct_freep) struct nf_conntrack *ct = nfct_new();
	struct walk *walk = userdata;
	enum ms_conntrack_fate fate = MS_CONNTRACK_STAYS;
	struct ms_conntrack_entry entry;
	int r = 0;

	if (!ct)
		r = -ENOMEM;
	else if (nfct_nlmsg_parse(message, ct) >= 0 && read_entry(ct, &entry))
		fate = walk->fn(&entry, walk->userdata);
	if (fate != MS_CONNTRACK_STAYS)
		r = add_change(walk, message, fate == MS_CONNTRACK_LOOSENED);
	/* The dump is read to its end all the same, or the next request would be answered by its
	 * rest. */
	if (r < 0 && walk->error == 0)
		walk->error = r;
	return MNL_CB_OK;
}

static int dump(struct walk *walk)
{
	char request[64] __attribute__((aligned(8)));
	const struct nlmsghdr *message =
		put_header(request, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, ++walk->seq);
	uint32_t seq = walk->seq, port = mnl_socket_get_portid(walk->socket);
	int r = MNL_CB_OK;

	if (mnl_socket_sendto(walk->socket, message, message->nlmsg_len) < 0)
		return -errno;
	while (r == MNL_CB_OK) {
		ssize_t size =
			mnl_socket_recvfrom(walk->socket, walk->buffer, sizeof(walk->buffer));

		if (size < 0)
			return -errno;
		r = mnl_cb_run(walk->buffer, (size_t)size, seq, port, judge, walk);
	}
	if (r < MNL_CB_STOP)
		return -errno;
	return walk->error;
}

int ms_conntrack_foreach(ms_conntrack_fn fn, void *userdata)
{
	return ms_conntrack_cut(fn, NULL, userdata);
}

int ms_conntrack_cut(ms_conntrack_fn fn, ms_conntrack_ready_fn ready, void *userdata)
{
	_cleanup_(walk_finip) struct walk *walk = calloc(1, sizeof(*walk));
	int r;

	if (!walk)
		return -ENOMEM;
	walk->fn = fn;
	walk->userdata = userdata;
	r = walk_open(walk);
	if (r == 0)
		r = dump(walk);
	if (r < 0)
		return r;
	if (ready)
		ready(userdata);
	return send_changes(walk);
}
