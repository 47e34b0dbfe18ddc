/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nflog: one NFLOG group of this network namespace, read through libmnl.
 *
 * The kernel batches records and numbers them one by one; a gap in the numbers is what we lost,
 * whether the socket overflowed (recvfrom(2) says ENOBUFS, which by itself counts nothing) or the
 * kernel had no memory. The records of one batch are handed out together, so the count asked for is
 * a mark to stop at and not a wall.
 *
 * What the kernel gives, seen on 6.18: in every family the payload starts at the network header.
 * For a frame on a bridge INDEV is the bridge and PHYSINDEV the port, in the bridge family and
 * through br_netfilter alike. HWADDR is the sender's MAC; it is absent where the frame was made
 * here. A VLAN tag that the device took off the frame is told apart, in NFULA_VLAN.
 */
#include "kernel/nflog.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "loop/loop.h"
#include "microseg/cleanup.h"

#define COPY_RANGE 128u	  /* bytes of a packet: headers and a good part of IPv6 extensions */
#define BATCH_RECORDS 64u /* measured: 750,000 records a second with a batch buffer of 64 KiB */
#define BATCH_SIZE (64u * 1024) /* of the kernel's side */
#define BATCH_WAIT_CS 2u	/* hundredths of a second a record waits for company */
#define SOCKET_SIZE (8 * 1024 * 1024)
#define RECEIVE_SIZE ((size_t)2 * BATCH_SIZE)
#define NAME_SLOTS 256u
#define NAME_AGE_MS 1000u
#define ETHER_SIZE 14u	/* of an Ethernet header */
#define ETHER_SOURCE 6u /* where the source stands in it */

/* An interface name may change, and an index be reused: names are kept for a second only. */
struct name_slot {
	uint32_t ifindex;
	uint64_t read_ms;
	char name[IF_NAMESIZE];
};

struct ms_nflog {
	struct mnl_socket *socket;
	uint32_t next_seq;
	uint64_t lost, read;
	bool overflowed;
	struct name_slot names[NAME_SLOTS];
	char buffer[RECEIVE_SIZE] __attribute__((aligned(8)));
};

/* --- opening --- */

/* One message: the kernel binds first, then sets the rest, so no record is ever sent unnumbered. */
static int send_config(struct ms_nflog *nflog, uint16_t group)
{
	char buffer[256] __attribute__((aligned(8)));
	struct nfulnl_msg_config_cmd command = {.command = NFULNL_CFG_CMD_BIND};
	struct nfulnl_msg_config_mode mode = {
		.copy_range = htonl(COPY_RANGE),
		.copy_mode = NFULNL_COPY_PACKET,
	};
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	message->nlmsg_seq = 1;
	struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
	header->nfgen_family = AF_UNSPEC;
	header->version = NFNETLINK_V0;
	header->res_id = htons(group);
	mnl_attr_put(message, NFULA_CFG_CMD, sizeof(command), &command);
	mnl_attr_put(message, NFULA_CFG_MODE, sizeof(mode), &mode);
	mnl_attr_put_u32(message, NFULA_CFG_NLBUFSIZ, htonl(BATCH_SIZE));
	mnl_attr_put_u32(message, NFULA_CFG_TIMEOUT, htonl(BATCH_WAIT_CS));
	mnl_attr_put_u32(message, NFULA_CFG_QTHRESH, htonl(BATCH_RECORDS));
	mnl_attr_put_u16(message, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
	return mnl_socket_sendto(nflog->socket, message, message->nlmsg_len) < 0 ? -errno : 0;
}

/* The error code in @message: 0 is the kernel's yes, 1 says that it is no answer. */
static int answer_of(const struct nlmsghdr *message)
{
	if (message->nlmsg_type != NLMSG_ERROR ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(struct nlmsgerr))
		return 1;
	return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(message))->error;
}

/* The answer is queued while we send; only records that overtook it can stand before it, and count
 * as lost. */
static int read_answer(struct ms_nflog *nflog)
{
	int answer = 1;

	while (answer > 0) {
		ssize_t size = mnl_socket_recvfrom(nflog->socket, nflog->buffer, RECEIVE_SIZE);

		if (size < 0)
			return -errno;
		const struct nlmsghdr *message = (const struct nlmsghdr *)nflog->buffer;
		for (int left = (int)size; answer > 0 && mnl_nlmsg_ok(message, left);
		     message = mnl_nlmsg_next(message, &left))
			answer = answer_of(message);
	}
	return answer;
}

/* Is the group in /proc/net/netfilter/nfnetlink_log, so that EPERM means another reader? */
static bool is_taken(uint16_t group)
{
	FILE *file = fopen("/proc/thread-self/net/netfilter/nfnetlink_log", "re");
	char line[256];
	bool taken = false;

	while (file && !taken && fgets(line, sizeof(line), file))
		taken = strtoul(line, NULL, 10) == group;
	if (file)
		fclose(file);
	return taken;
}

/* A larger buffer is only less loss: without the right to one, the default serves. */
static void grow_socket(struct ms_nflog *nflog)
{
	int fd = mnl_socket_get_fd(nflog->socket), size = SOCKET_SIZE;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void nflog_freep(struct ms_nflog **nflog)
{
	ms_nflog_free(*nflog);
}

int ms_nflog_open(uint16_t group, struct ms_nflog **ret_nflog)
{
	_cleanup_(nflog_freep) struct ms_nflog *nflog = calloc(1, sizeof(*nflog));
	int r;

	if (!nflog)
		return -ENOMEM;
	nflog->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!nflog->socket || mnl_socket_bind(nflog->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	grow_socket(nflog);
	r = send_config(nflog, group);
	if (r == 0)
		r = read_answer(nflog);
	if (r == -EPERM && is_taken(group))
		return -EBUSY;
	if (r < 0)
		return r;
	*ret_nflog = ms_steal(&nflog);
	return 0;
}

struct ms_nflog *ms_nflog_free(struct ms_nflog *nflog)
{
	if (nflog && nflog->socket)
		mnl_socket_close(nflog->socket); /* which unbinds the group */
	free(nflog);
	return NULL;
}

void ms_nflog_forget_names(struct ms_nflog *nflog)
{
	memset(nflog->names, 0, sizeof(nflog->names));
}

int ms_nflog_fd(const struct ms_nflog *nflog)
{
	return mnl_socket_get_fd(nflog->socket);
}

uint64_t ms_nflog_lost(const struct ms_nflog *nflog)
{
	return nflog->lost;
}

uint64_t ms_nflog_numbered(const struct ms_nflog *nflog)
{
	return nflog->lost + nflog->read;
}

bool ms_nflog_overflowed(const struct ms_nflog *nflog)
{
	return nflog->overflowed;
}

void ms_nflog_miss(struct ms_nflog *nflog, uint32_t n)
{
	nflog->lost += n;
	nflog->next_seq += n;
	nflog->overflowed = false;
}

/* --- reading --- */

static int keep_attr(const struct nlattr *attr, void *userdata)
{
	const struct nlattr **attrs = userdata;

	if (mnl_attr_type_valid(attr, NFULA_MAX) > 0)
		attrs[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

/* The attribute's bytes if it is there and has at least @size of them, else NULL. */
static const void *attr_bytes(const struct nlattr *attr, size_t size)
{
	return attr && mnl_attr_get_payload_len(attr) >= size ? mnl_attr_get_payload(attr) : NULL;
}

static void read_name(struct ms_nflog *nflog, const struct nlattr *attr, uint64_t now_ms,
		      char name[16])
{
	const uint32_t *index_be = attr_bytes(attr, sizeof(*index_be));
	uint32_t ifindex = index_be ? ntohl(*index_be) : 0;
	struct name_slot *slot = &nflog->names[ifindex % NAME_SLOTS];

	if (ifindex == 0)
		return;
	if (slot->ifindex != ifindex || now_ms - slot->read_ms >= NAME_AGE_MS) {
		*slot = (struct name_slot){.ifindex = ifindex, .read_ms = now_ms};
		if (!if_indextoname(ifindex, slot->name))
			slot->name[0] = '\0';
	}
	memcpy(name, slot->name, sizeof(slot->name));
}

static void read_mac(const struct nlattr **attrs, struct ms_packet_record *record)
{
	const struct nfulnl_msg_packet_hw *hw = attr_bytes(attrs[NFULA_HWADDR], sizeof(*hw));
	const uint16_t *type_be = attr_bytes(attrs[NFULA_HWTYPE], sizeof(*type_be));
	const uint8_t *header = attr_bytes(attrs[NFULA_HWHEADER], ETHER_SIZE);
	const uint8_t *mac = NULL;

	if (hw && ntohs(hw->hw_addrlen) == sizeof(record->src_mac.bytes))
		mac = hw->hw_addr;
	else if (header && type_be && ntohs(*type_be) == ARPHRD_ETHER)
		mac = header + ETHER_SOURCE;
	if (!mac)
		return;
	record->has_src_mac = true;
	memcpy(record->src_mac.bytes, mac, sizeof(record->src_mac.bytes));
}

/* The outermost ether type: a tag stands before what it tags. */
static void read_ether_type(const struct nlattr **attrs, struct ms_packet_record *record)
{
	const struct nfulnl_msg_packet_hdr *header =
		attr_bytes(attrs[NFULA_PACKET_HDR], sizeof(*header));
	const struct nlattr *inner;

	if (header)
		record->ether_type = ntohs(header->hw_protocol);
	if (!attrs[NFULA_VLAN])
		return;
	mnl_attr_for_each_nested(inner, attrs[NFULA_VLAN])
	{
		const uint16_t *proto_be = attr_bytes(inner, sizeof(*proto_be));

		if (mnl_attr_get_type(inner) == NFULA_VLAN_PROTO && proto_be)
			record->ether_type = ntohs(*proto_be);
	}
}

/* The kernel stamps packets only where something asked for it; otherwise the present is as good. */
static uint64_t read_time(const struct nlattr *attr, uint64_t now_ms)
{
	struct nfulnl_msg_packet_timestamp stamp;
	const void *bytes = attr_bytes(attr, sizeof(stamp));

	if (!bytes)
		return now_ms;
	memcpy(&stamp, bytes, sizeof(stamp)); /* attributes are aligned to 4, this asks for 8 */
	return be64toh(stamp.sec) * 1000 + be64toh(stamp.usec) / 1000;
}

static void count_lost(struct ms_nflog *nflog, const struct nlattr *attr)
{
	const uint32_t *seq_be = attr_bytes(attr, sizeof(*seq_be));

	if (!seq_be)
		return;
	/* The numbers wrap around. A step back: we were told of too many that were missed. */
	int32_t gap = (int32_t)(ntohl(*seq_be) - nflog->next_seq);
	nflog->lost += (uint64_t)(int64_t)gap;
	nflog->next_seq = ntohl(*seq_be) + 1;
}

static void read_record(struct ms_nflog *nflog, const struct nlmsghdr *message,
			const struct nlattr **attrs, struct ms_packet_record *record)
{
	const struct nfgenmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *prefix = attrs[NFULA_PREFIX], *payload = attrs[NFULA_PAYLOAD];
	uint64_t now_ms = ms_monotonic_ms();

	record->family = header->nfgen_family;
	record->prefix = prefix && mnl_attr_validate(prefix, MNL_TYPE_NUL_STRING) == 0
				 ? mnl_attr_get_str(prefix)
				 : "";
	record->time_ms = read_time(attrs[NFULA_TIMESTAMP], ms_realtime_ms());
	read_name(nflog, attrs[NFULA_IFINDEX_INDEV], now_ms, record->indev);
	read_name(nflog, attrs[NFULA_IFINDEX_OUTDEV], now_ms, record->outdev);
	read_name(nflog, attrs[NFULA_IFINDEX_PHYSINDEV], now_ms, record->physindev);
	read_name(nflog, attrs[NFULA_IFINDEX_PHYSOUTDEV], now_ms, record->physoutdev);
	read_mac(attrs, record);
	read_ether_type(attrs, record);
	if (payload) {
		record->payload = mnl_attr_get_payload(payload);
		record->payload_size = mnl_attr_get_payload_len(payload);
	}
}

static bool is_packet(const struct nlmsghdr *message)
{
	return message->nlmsg_type == (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) &&
	       mnl_nlmsg_get_payload_len(message) >= sizeof(struct nfgenmsg);
}

/* Hands out the records among the first @size bytes of the buffer. Returns how many. */
static unsigned int read_batch(struct ms_nflog *nflog, size_t size, ms_nflog_fn fn, void *userdata)
{
	const struct nlmsghdr *message = (const struct nlmsghdr *)nflog->buffer;
	unsigned int n = 0;

	for (int left = (int)size; mnl_nlmsg_ok(message, left);
	     message = mnl_nlmsg_next(message, &left)) {
		const struct nlattr *attrs[NFULA_MAX + 1] = {0};
		struct ms_packet_record record = {0};

		if (!is_packet(message) ||
		    mnl_attr_parse(message, sizeof(struct nfgenmsg), keep_attr, attrs) < MNL_CB_OK)
			continue;
		count_lost(nflog, attrs[NFULA_SEQ]);
		nflog->read++;
		read_record(nflog, message, attrs, &record);
		fn(&record, userdata);
		n++;
	}
	return n;
}

int ms_nflog_read(struct ms_nflog *nflog, unsigned int max, ms_nflog_fn fn, void *userdata)
{
	unsigned int n = 0;

	while (n < max) {
		ssize_t size = mnl_socket_recvfrom(nflog->socket, nflog->buffer, RECEIVE_SIZE);

		if (size >= 0)
			n += read_batch(nflog, (size_t)size, fn, userdata);
		else if (errno == EAGAIN)
			break;
		else if (errno == ENOBUFS)
			nflog->overflowed = true; /* the next number tells how much */
		else if (errno != EINTR)
			return -errno;
	}
	return (int)n;
}
