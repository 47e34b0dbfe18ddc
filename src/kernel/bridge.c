/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel/bridge.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "microseg/cleanup.h"

#define ANSWER_SIZE 16384
#define DEADLINE_S 2

MS_DEFINE_CLEANUP(struct nl_sock *, nl_socket_free)
MS_DEFINE_CLEANUP(struct nl_msg *, nlmsg_free)

/*
 * The attributes are there wherever the kernel was built for br_netfilter, even while it is a
 * module that nobody loaded. Its sysctl directory, which every network namespace gets, is not.
 */
bool ms_bridge_netfilter_present(void)
{
	return access("/proc/sys/net/bridge/bridge-nf-call-iptables", F_OK) == 0;
}

static int open_socket(struct nl_sock **ret_socket)
{
	static const struct timeval deadline = {.tv_sec = DEADLINE_S};
	_cleanup_(nl_socket_freep) struct nl_sock *socket = nl_socket_alloc();

	if (!socket || nl_connect(socket, NETLINK_ROUTE) < 0)
		return -ENOBUFS;
	if (setsockopt(nl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &deadline,
		       sizeof(deadline)) < 0)
		return -errno;
	*ret_socket = ms_steal(&socket);
	return 0;
}

/* Sends @message and leaves the one answer in @answer. Returns its size or -errno, the kernel's
 * included. */
static int exchange(struct nl_sock *socket, struct nl_msg *message, char answer[ANSWER_SIZE])
{
	struct nlmsghdr *header = nlmsg_hdr(message);

	header->nlmsg_flags |= NLM_F_REQUEST;
	header->nlmsg_seq = 1;
	if (send(nl_socket_get_fd(socket), header, header->nlmsg_len, 0) < 0)
		return -errno;
	ssize_t size = recv(nl_socket_get_fd(socket), answer, ANSWER_SIZE, 0);
	if (size < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	const struct nlmsghdr *first = (const struct nlmsghdr *)answer;
	if (!nlmsg_ok(first, (int)size))
		return -EBADMSG;
	if (first->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = nlmsg_data(first);

		return nlmsg_datalen(first) < (int)sizeof(*error) ? -EBADMSG : error->error;
	}
	return (int)size;
}

static int read_flags(struct nlmsghdr *message, bool *ret_ip, bool *ret_ip6)
{
	struct nlattr *link[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1], *bridge[IFLA_BR_MAX + 1];

	if (nlmsg_parse(message, sizeof(struct ifinfomsg), link, IFLA_MAX, NULL) < 0)
		return -EBADMSG;
	if (!link[IFLA_LINKINFO] ||
	    nla_parse_nested(info, IFLA_INFO_MAX, link[IFLA_LINKINFO], NULL) < 0 ||
	    !info[IFLA_INFO_KIND] || nla_strcmp(info[IFLA_INFO_KIND], "bridge") != 0 ||
	    !info[IFLA_INFO_DATA])
		return -ENODEV;
	if (nla_parse_nested(bridge, IFLA_BR_MAX, info[IFLA_INFO_DATA], NULL) < 0)
		return -EBADMSG;
	const struct nlattr *ip = bridge[IFLA_BR_NF_CALL_IPTABLES],
			    *ip6 = bridge[IFLA_BR_NF_CALL_IP6TABLES];
	if (!ip || !ip6 || nla_len(ip) < 1 || nla_len(ip6) < 1)
		return -EOPNOTSUPP;
	*ret_ip = nla_get_u8(ip);
	*ret_ip6 = nla_get_u8(ip6);
	return 0;
}

static int get_flags(struct nl_sock *socket, uint32_t ifindex, bool *ret_ip, bool *ret_ip6)
{
	const struct ifinfomsg header = {.ifi_index = (int)ifindex};
	_cleanup_(nlmsg_freep) struct nl_msg *message = nlmsg_alloc_simple(RTM_GETLINK, 0);
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];

	if (!message || nlmsg_append(message, (void *)&header, sizeof(header), NLMSG_ALIGNTO) < 0)
		return -ENOMEM;
	int size = exchange(socket, message, answer);
	if (size <= 0)
		return size < 0 ? size : -EBADMSG;
	return read_flags((struct nlmsghdr *)answer, ret_ip, ret_ip6);
}

static int put_flags(struct nl_msg *message, bool ip, bool ip6)
{
	struct nlattr *info = nla_nest_start(message, IFLA_LINKINFO);

	if (!info || nla_put_string(message, IFLA_INFO_KIND, "bridge") < 0)
		return -ENOMEM;
	struct nlattr *data = nla_nest_start(message, IFLA_INFO_DATA);
	if (!data || nla_put_u8(message, IFLA_BR_NF_CALL_IPTABLES, ip) < 0 ||
	    nla_put_u8(message, IFLA_BR_NF_CALL_IP6TABLES, ip6) < 0)
		return -ENOMEM;
	nla_nest_end(message, data);
	nla_nest_end(message, info);
	return 0;
}

int ms_bridge_get_nf_call(uint32_t ifindex, bool *ret_ip, bool *ret_ip6)
{
	_cleanup_(nl_socket_freep) struct nl_sock *socket = NULL;

	if (!ms_bridge_netfilter_present())
		return -EOPNOTSUPP;
	int r = open_socket(&socket);
	return r < 0 ? r : get_flags(socket, ifindex, ret_ip, ret_ip6);
}

int ms_bridge_set_nf_call(uint32_t ifindex, bool ip, bool ip6)
{
	const struct ifinfomsg header = {.ifi_index = (int)ifindex};
	_cleanup_(nl_socket_freep) struct nl_sock *socket = NULL;
	_cleanup_(nlmsg_freep) struct nl_msg *message = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_ACK);
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];
	bool is_ip, is_ip6;

	if (!message || nlmsg_append(message, (void *)&header, sizeof(header), NLMSG_ALIGNTO) < 0)
		return -ENOMEM;
	int r = put_flags(message, ip, ip6);
	if (r < 0)
		return r;
	if (!ms_bridge_netfilter_present())
		return -EOPNOTSUPP;
	r = open_socket(&socket);
	if (r < 0)
		return r;
	/* Looks first: the kernel's EOPNOTSUPP for a link of another kind would read as
	 * br_netfilter being absent. */
	r = get_flags(socket, ifindex, &is_ip, &is_ip6);
	if (r < 0)
		return r;
	r = exchange(socket, message, answer);
	return r < 0 ? r : 0;
}

static int put_no_ll_learn(struct nl_msg *message, bool on)
{
	const uint32_t bit = 1u << BR_BOOLOPT_NO_LL_LEARN;
	const struct br_boolopt_multi options = {.optval = on ? bit : 0, .optmask = bit};
	struct nlattr *info = nla_nest_start(message, IFLA_LINKINFO);

	if (!info || nla_put_string(message, IFLA_INFO_KIND, "bridge") < 0)
		return -ENOMEM;
	struct nlattr *data = nla_nest_start(message, IFLA_INFO_DATA);
	if (!data || nla_put(message, IFLA_BR_MULTI_BOOLOPT, sizeof(options), &options) < 0)
		return -ENOMEM;
	nla_nest_end(message, data);
	nla_nest_end(message, info);
	return 0;
}

int ms_bridge_set_no_ll_learn(uint32_t ifindex, bool on)
{
	const struct ifinfomsg header = {.ifi_index = (int)ifindex};
	_cleanup_(nl_socket_freep) struct nl_sock *socket = NULL;
	_cleanup_(nlmsg_freep) struct nl_msg *message = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_ACK);
	_Alignas(struct nlmsghdr) char answer[ANSWER_SIZE];

	if (!message || nlmsg_append(message, (void *)&header, sizeof(header), NLMSG_ALIGNTO) < 0)
		return -ENOMEM;
	int r = put_no_ll_learn(message, on);
	if (r == 0)
		r = open_socket(&socket);
	if (r == 0)
		r = exchange(socket, message, answer);
	return r < 0 ? r : 0;
}
