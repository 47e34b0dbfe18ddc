/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decode: rtnetlink messages into the values of links.h. Every length is checked; nothing is asked.
 */
#include "discover/links.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include <netlink/attr.h>
#include <netlink/msg.h>

/* As libnl's nlmsg_parse(), which takes the message as writable but does not write. */
static int parse(const struct nlmsghdr *message, size_t header_size, struct nlattr **attributes,
		 int max)
{
	if (nlmsg_datalen(message) < (int)header_size ||
	    nlmsg_parse((struct nlmsghdr *)message, (int)header_size, attributes, max, NULL) < 0)
		return -EBADMSG;
	return 0;
}

static uint32_t get_u32(const struct nlattr *attribute)
{
	return attribute && nla_len(attribute) >= (int)sizeof(uint32_t) ? nla_get_u32(attribute)
									: 0;
}

static bool get_flag(const struct nlattr *attribute)
{
	return attribute && nla_len(attribute) >= 1 && nla_get_u8(attribute) != 0;
}

/* A kernel before 5.0 has no such option: then there is nothing to switch on. */
static bool get_no_ll_learn(const struct nlattr *attribute)
{
	struct br_boolopt_multi options;

	if (!attribute || nla_len(attribute) < (int)sizeof(options))
		return true;
	memcpy(&options, nla_data(attribute), sizeof(options));
	return options.optval & 1u << BR_BOOLOPT_NO_LL_LEARN;
}

/* Copies a text that may lack its NUL; what does not fit is cut. */
static void get_text(const struct nlattr *attribute, char *text, size_t size)
{
	if (attribute)
		nla_strlcpy(text, attribute, size);
}

static void decode_kind(struct nlattr *linkinfo, struct ms_link_view *view)
{
	struct nlattr *info[IFLA_INFO_MAX + 1], *bridge[IFLA_BR_MAX + 1];

	if (!linkinfo || nla_parse_nested(info, IFLA_INFO_MAX, linkinfo, NULL) < 0)
		return;
	get_text(info[IFLA_INFO_KIND], view->kind, sizeof(view->kind));
	if (strcmp(view->kind, "bridge") != 0 || !info[IFLA_INFO_DATA] ||
	    nla_parse_nested(bridge, IFLA_BR_MAX, info[IFLA_INFO_DATA], NULL) < 0)
		return;
	view->nf_call_ip = get_flag(bridge[IFLA_BR_NF_CALL_IPTABLES]);
	view->nf_call_ip6 = get_flag(bridge[IFLA_BR_NF_CALL_IP6TABLES]);
	view->no_ll_learn = get_no_ll_learn(bridge[IFLA_BR_MULTI_BOOLOPT]);
}

int ms_link_decode(const struct nlmsghdr *message, struct ms_link_view *ret_view)
{
	struct nlattr *link[IFLA_MAX + 1];
	struct ms_link_view view = {.peer_nsid = -1};

	if (parse(message, sizeof(struct ifinfomsg), link, IFLA_MAX) < 0)
		return -EBADMSG;
	const struct ifinfomsg *header = nlmsg_data(message);
	/* A bridge port is told of twice; the message of family AF_BRIDGE is about the port, not
	 * the link. */
	if (header->ifi_family != AF_UNSPEC)
		return -ENOMSG;
	if (header->ifi_index <= 0 || !link[IFLA_IFNAME])
		return -EBADMSG;
	view.ifindex = (uint32_t)header->ifi_index;
	view.up = header->ifi_flags & IFF_UP;
	get_text(link[IFLA_IFNAME], view.name, sizeof(view.name));
	get_text(link[IFLA_IFALIAS], view.alias, sizeof(view.alias));
	view.group = get_u32(link[IFLA_GROUP]);
	view.master = get_u32(link[IFLA_MASTER]);
	view.peer = get_u32(link[IFLA_LINK]);
	view.peer_foreign = link[IFLA_LINK_NETNSID] != NULL;
	if (link[IFLA_LINK_NETNSID] && nla_len(link[IFLA_LINK_NETNSID]) >= (int)sizeof(int32_t))
		view.peer_nsid = nla_get_s32(link[IFLA_LINK_NETNSID]);
	if (link[IFLA_ADDRESS] && nla_len(link[IFLA_ADDRESS]) == (int)sizeof(view.mac.bytes))
		memcpy(view.mac.bytes, nla_data(link[IFLA_ADDRESS]), sizeof(view.mac.bytes));
	decode_kind(link[IFLA_LINKINFO], &view);
	*ret_view = view;
	return 0;
}

int ms_addr_decode(const struct nlmsghdr *message, struct ms_addr_view *ret_view)
{
	struct nlattr *addr[IFA_MAX + 1];

	if (parse(message, sizeof(struct ifaddrmsg), addr, IFA_MAX) < 0)
		return -EBADMSG;
	const struct ifaddrmsg *header = nlmsg_data(message);
	if (header->ifa_family != AF_INET && header->ifa_family != AF_INET6)
		return -ENOMSG;
	/* IFA_ADDRESS is the other end where there is a point-to-point one; the own address is
	 * IFA_LOCAL then. */
	const struct nlattr *own = addr[IFA_LOCAL] ? addr[IFA_LOCAL] : addr[IFA_ADDRESS];
	struct ms_addr_view view = {.ifindex = header->ifa_index};
	if (!own || nla_len(own) != (header->ifa_family == AF_INET ? 4 : 16) ||
	    ms_addr_from_bytes(nla_data(own), (size_t)nla_len(own), &view.addr) < 0)
		return -EBADMSG;
	*ret_view = view;
	return 0;
}

static void decode_nexthops(struct nlattr *multipath, const struct ms_prefix *net, ms_route_fn fn,
			    void *userdata)
{
	const struct rtnexthop *hop = nla_data(multipath);
	int left = nla_len(multipath);

	while (left >= (int)sizeof(*hop) && hop->rtnh_len >= sizeof(*hop) &&
	       hop->rtnh_len <= left) {
		if (hop->rtnh_ifindex > 0)
			fn((uint32_t)hop->rtnh_ifindex, net, userdata);
		left -= (int)RTNH_ALIGN(hop->rtnh_len);
		hop = RTNH_NEXT(hop);
	}
}

/* Where a route leads. A default route has no destination. */
static int decode_destination(const struct rtmsg *header, const struct nlattr *dst,
			      struct ms_prefix *ret_net)
{
	static const uint8_t nowhere[16] = {0};
	int size = header->rtm_family == AF_INET ? 4 : 16;
	struct ms_prefix net = {.len = header->rtm_dst_len};

	if (net.len > size * 8 || (dst ? nla_len(dst) != size : net.len != 0) ||
	    ms_addr_from_bytes(dst ? nla_data(dst) : nowhere, (size_t)size, &net.addr) < 0)
		return -EBADMSG;
	*ret_net = net;
	return 0;
}

int ms_route_decode(const struct nlmsghdr *message, ms_route_fn fn, void *userdata)
{
	struct nlattr *route[RTA_MAX + 1];
	struct ms_prefix net;

	if (parse(message, sizeof(struct rtmsg), route, RTA_MAX) < 0)
		return -EBADMSG;
	const struct rtmsg *header = nlmsg_data(message);
	if ((header->rtm_family != AF_INET && header->rtm_family != AF_INET6) ||
	    header->rtm_type != RTN_UNICAST || header->rtm_flags & RTM_F_CLONED)
		return -ENOMSG;
	if (decode_destination(header, route[RTA_DST], &net) < 0)
		return -EBADMSG;
	uint32_t oif = get_u32(route[RTA_OIF]);
	if (oif)
		fn(oif, &net, userdata);
	if (route[RTA_MULTIPATH])
		decode_nexthops(route[RTA_MULTIPATH], &net, fn, userdata);
	return 0;
}

int ms_nsid_decode(const struct nlmsghdr *message, int32_t *ret_nsid)
{
	struct nlattr *nsid[NETNSA_MAX + 1];

	if (parse(message, sizeof(struct rtgenmsg), nsid, NETNSA_MAX) < 0 || !nsid[NETNSA_NSID] ||
	    nla_len(nsid[NETNSA_NSID]) < (int)sizeof(int32_t))
		return -EBADMSG;
	*ret_nsid = nla_get_s32(nsid[NETNSA_NSID]);
	return 0;
}
