/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Adopt: an entry for a connection older than our tables.
 *
 * The kernel takes a connection that it meets on its way for one that whoever speaks first has
 * opened. Where the server speaks first the policy would be asked the wrong question, so the entry
 * is made here, the right way round. TCP windows are not checked, as for every connection whose
 * beginning was missed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "kernel/conntrack.h"
#include "microseg/cleanup.h"

#define ANSWER_SECONDS 5
#define MESSAGE_SIZE 1024
#define FIRST_SECONDS 30
#define TCP_FLAGS (IP_CT_TCP_FLAG_BE_LIBERAL | IP_CT_TCP_FLAG_SACK_PERM)

MS_DEFINE_CLEANUP(struct nf_conntrack *, nfct_destroy)
MS_DEFINE_CLEANUP(struct mnl_socket *, mnl_socket_close)

static struct nf_conntrack *entry_new(const struct ms_conntrack_tuple *tuple, uint8_t proto)
{
	struct nf_conntrack *ct = nfct_new();
	bool v4 = tuple->src.ip == MS_IP4;

	if (!ct)
		return NULL;
	nfct_set_attr_u8(ct, ATTR_L3PROTO, v4 ? AF_INET : AF_INET6);
	nfct_set_attr(ct, v4 ? ATTR_IPV4_SRC : ATTR_IPV6_SRC, tuple->src.bytes);
	nfct_set_attr(ct, v4 ? ATTR_IPV4_DST : ATTR_IPV6_DST, tuple->dst.bytes);
	nfct_set_attr_u8(ct, ATTR_L4PROTO, proto);
	nfct_set_attr_u16(ct, ATTR_PORT_SRC, htons(tuple->sport));
	nfct_set_attr_u16(ct, ATTR_PORT_DST, htons(tuple->dport));
	return ct;
}

static void describe(struct nf_conntrack *ct, uint8_t proto)
{
	static const enum nf_conntrack_attr tcp_flags[] = {ATTR_TCP_FLAGS_ORIG, ATTR_TCP_FLAGS_REPL,
							   ATTR_TCP_MASK_ORIG, ATTR_TCP_MASK_REPL};

	nfct_setobjopt(ct, NFCT_SOPT_SETUP_REPLY);
	nfct_set_attr_u32(ct, ATTR_STATUS, IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED);
	nfct_set_attr_u32(ct, ATTR_TIMEOUT, FIRST_SECONDS);
	if (proto != IPPROTO_TCP)
		return;
	nfct_set_attr_u8(ct, ATTR_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
	for (size_t i = 0; i < sizeof(tcp_flags) / sizeof(tcp_flags[0]); i++)
		nfct_set_attr_u8(ct, tcp_flags[i], TCP_FLAGS);
}

/* Sends one request and waits for its answer. */
static int ask(struct mnl_socket *socket, uint16_t type, uint16_t flags,
	       const struct nf_conntrack *ct)
{
	char buffer[MESSAGE_SIZE] __attribute__((aligned(8)));
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));

	message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	message->nlmsg_seq = 1;
	header->nfgen_family = nfct_get_attr_u8(ct, ATTR_L3PROTO);
	header->version = NFNETLINK_V0;
	if (nfct_nlmsg_build(message, ct) < 0)
		return -EBADMSG;
	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return -errno;
	ssize_t size = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
	if (size < 0 ||
	    mnl_cb_run(buffer, (size_t)size, 1, mnl_socket_get_portid(socket), NULL, NULL) < 0)
		return -errno;
	return 0;
}

static struct mnl_socket *open_socket(void)
{
	_cleanup_(mnl_socket_closep) struct mnl_socket *socket =
		mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	struct timeval patience = {.tv_sec = ANSWER_SECONDS};

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0)
		return NULL;
	return ms_steal(&socket);
}

int ms_conntrack_adopt(const struct ms_conntrack_tuple *client, uint8_t proto, bool turn)
{
	const struct ms_conntrack_tuple server = {client->dst, client->src, client->dport,
						  client->sport};
	_cleanup_(mnl_socket_closep) struct mnl_socket *socket = open_socket();
	_cleanup_(nfct_destroyp) struct nf_conntrack *reversed = entry_new(&server, proto),
						     *adopted = entry_new(client, proto);

	if (!socket)
		return -errno;
	if (!reversed || !adopted)
		return -ENOMEM;
	describe(adopted, proto);
	int r = ask(socket, IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, adopted);
	if (r != -EEXIST || !turn)
		return r;
	r = ask(socket, IPCTNL_MSG_CT_DELETE, 0, reversed);
	if (r < 0 && r != -ENOENT)
		return r;
	return ask(socket, IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, adopted);
}
