/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/list.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "microseg/cleanup.h"

struct links_list {
	struct ms_links *links;
	uint64_t generation;
	uint64_t now_ms;
	bool at_start;
	bool changed;
};

static int on_link(const struct nlmsghdr *message, void *userdata)
{
	struct links_list *list = userdata;
	struct ms_link_view view;

	if (message->nlmsg_type != RTM_NEWLINK)
		return 0;
	int r = ms_link_decode(message, &view);
	if (r == -ENOMSG)
		return 0;
	if (r == 0)
		r = ms_links_apply(list->links, &view, list->now_ms, list->at_start);
	if (r < 0)
		return r;
	list->changed |= r > 0;
	ms_links_find(list->links, view.ifindex)->generation = list->generation;
	return 0;
}

static bool remove_unseen(struct ms_links *links, uint64_t generation)
{
	bool changed = false;

	for (size_t i = links->list.n_items; i > 0; i--) {
		const struct ms_link *link = links->list.items[i - 1];

		if (link->generation != generation)
			changed |= ms_links_remove(links, link->view.ifindex);
	}
	return changed;
}

int ms_list_links(struct ms_rtnl *rtnl, struct ms_links *links, uint64_t generation,
		  uint64_t now_ms, bool at_start, bool *ret_changed)
{
	static const struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
	struct links_list list = {links, generation, now_ms, at_start, false};
	_cleanup_(ms_rtnl_message_freep) struct nl_msg *message =
		ms_rtnl_message(RTM_GETLINK, NLM_F_DUMP, &header, sizeof(header));

	if (!message)
		return -ENOMEM;
	int r = ms_rtnl_request(rtnl, message, on_link, &list);
	if (r == 0)
		list.changed |= remove_unseen(links, generation);
	*ret_changed |= list.changed;
	return r;
}

int ms_list_link(struct ms_rtnl *rtnl, struct ms_links *links, uint32_t ifindex, uint64_t now_ms,
		 bool *ret_changed)
{
	const struct ifinfomsg header = {.ifi_index = (int)ifindex};
	const struct ms_link *known = ms_links_find(links, ifindex);
	struct links_list list = {links, known ? known->generation : 0, now_ms, false, false};
	_cleanup_(ms_rtnl_message_freep) struct nl_msg *message =
		ms_rtnl_message(RTM_GETLINK, NLM_F_ACK, &header, sizeof(header));

	if (!message)
		return -ENOMEM;
	int r = ms_rtnl_request(rtnl, message, on_link, &list);
	if (r == -ENODEV) {
		list.changed |= ms_links_remove(links, ifindex);
		r = 0;
	}
	*ret_changed |= list.changed;
	return r;
}

struct host_addr {
	uint32_t ifindex;
	struct ms_addr addr;
};
typedef MS_VEC(struct host_addr) host_addr_vec;

static int on_host_addr(const struct nlmsghdr *message, void *userdata)
{
	host_addr_vec *found = userdata;
	struct ms_addr_view view;
	int r = ms_addr_decode(message, &view);

	if (r < 0)
		return r == -ENOMSG ? 0 : r;
	if (found->n_items == MS_MAX_HOST_ADDRS)
		return -E2BIG;
	return ms_vec_push(found, ((struct host_addr){view.ifindex, view.addr}));
}

static int compare_host_addrs(const void *a, const void *b)
{
	const struct host_addr *x = a, *y = b;

	if (x->ifindex != y->ifindex)
		return x->ifindex < y->ifindex ? -1 : 1;
	return ms_addr_compare(&x->addr, &y->addr);
}

/* Gives every link its part of @found, which is sorted like the links are. */
static int hand_out(struct ms_links *links, const host_addr_vec *found, bool *ret_changed)
{
	size_t at = 0;

	ms_vec_each (struct ms_link *, item, &links->list) {
		struct ms_link *link = *item;
		ms_addr_vec own = {0};
		int r = 0;

		while (at < found->n_items && found->items[at].ifindex < link->view.ifindex)
			at++;
		for (; r == 0 && at < found->n_items &&
		       found->items[at].ifindex == link->view.ifindex;
		     at++)
			r = ms_vec_push(&own, found->items[at].addr);
		if (r < 0) {
			ms_vec_fini(&own);
			return r;
		}
		ms_addrs_normalize(&own);
		r = ms_links_set_addrs(links, link, &own);
		ms_vec_fini(&own);
		if (r < 0)
			return r;
		*ret_changed |= r > 0;
	}
	return 0;
}

int ms_list_addrs(struct ms_rtnl *rtnl, struct ms_links *links, bool *ret_changed)
{
	static const struct ifaddrmsg header = {.ifa_family = AF_UNSPEC};
	host_addr_vec found = {0};
	_cleanup_(ms_rtnl_message_freep) struct nl_msg *message =
		ms_rtnl_message(RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header));
	int r = message ? ms_rtnl_request(rtnl, message, on_host_addr, &found) : -ENOMEM;

	if (r == 0) {
		ms_vec_sort(&found, compare_host_addrs);
		r = hand_out(links, &found, ret_changed);
	}
	ms_vec_fini(&found);
	return r;
}

/* A route, by the interface that it leaves through. */
struct route {
	uint32_t oif;
	struct ms_prefix net;
};
typedef MS_VEC(struct route) route_vec;

struct routes_list {
	const struct ms_links *links;
	route_vec routes;
	size_t n_nets;
	int failed;
};

static bool leads_to_containers(const struct ms_links *links, uint32_t oif)
{
	const struct ms_link *link = ms_links_find(links, oif);

	return link &&
	       (strcmp(link->view.kind, "bridge") == 0 || strcmp(link->view.kind, "veth") == 0);
}

/* Default routes of all, and of bridges and veths the others: a host may have a million. */
static void on_nexthop(uint32_t ifindex, const struct ms_prefix *net, void *userdata)
{
	struct routes_list *list = userdata;
	bool is_default = net->len == 0;

	if (list->failed || ms_addr_is_link_local(&net->addr) || ms_addr_is_multicast(&net->addr) ||
	    (!is_default && !leads_to_containers(list->links, ifindex)))
		return;
	if (!is_default && ++list->n_nets > MS_MAX_NETS)
		list->failed = -E2BIG;
	else
		list->failed = ms_vec_push(&list->routes, ((struct route){ifindex, *net}));
}

static int on_route(const struct nlmsghdr *message, void *userdata)
{
	struct routes_list *list = userdata;
	int r = ms_route_decode(message, on_nexthop, list);

	return list->failed ? list->failed : r == -ENOMSG ? 0 : r;
}

static int dump_routes(struct ms_rtnl *rtnl, uint8_t family, struct routes_list *list)
{
	const struct rtmsg header = {.rtm_family = family, .rtm_type = RTN_UNICAST};
	_cleanup_(ms_rtnl_message_freep) struct nl_msg *message =
		ms_rtnl_message(RTM_GETROUTE, NLM_F_DUMP, &header, sizeof(header));

	return message ? ms_rtnl_request(rtnl, message, on_route, list) : -ENOMEM;
}

static int compare_nets(const struct ms_prefix *a, const struct ms_prefix *b)
{
	int order = ms_addr_compare(&a->addr, &b->addr);

	return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare_routes(const void *a, const void *b)
{
	const struct route *x = a, *y = b;

	if (x->oif != y->oif)
		return x->oif < y->oif ? -1 : 1;
	return compare_nets(&x->net, &y->net);
}

static bool nets_equal(const ms_prefix_vec *a, const ms_prefix_vec *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (compare_nets(&a->items[i], &b->items[i]) != 0)
			return false;
	return true;
}

/* Gives @link its part of @routes, which begins at *@at. */
static int take_routes(struct ms_links *links, struct ms_link *link, const route_vec *routes,
		       size_t *at, bool *ret_changed)
{
	ms_prefix_vec nets = {0};
	bool is_default = false;
	int r = 0;

	for (; r == 0 && *at < routes->n_items && routes->items[*at].oif == link->view.ifindex;
	     ++*at) {
		const struct ms_prefix *net = &routes->items[*at].net;

		if (net->len == 0)
			is_default = true;
		else if (!nets.n_items || compare_nets(net, &nets.items[nets.n_items - 1]) != 0)
			r = ms_vec_push(&nets, *net);
	}
	if (r < 0) {
		ms_vec_fini(&nets);
		return r;
	}
	if (is_default != link->default_route || !nets_equal(&nets, &link->nets)) {
		ms_links_soil(links);
		*ret_changed = true;
	}
	link->default_route = is_default;
	ms_vec_fini(&link->nets);
	link->nets = nets;
	return 0;
}

int ms_list_routes(struct ms_rtnl *rtnl, struct ms_links *links, bool *ret_changed)
{
	struct routes_list list = {.links = links};
	size_t at = 0;
	int r = dump_routes(rtnl, AF_INET, &list);

	if (r == 0)
		r = dump_routes(rtnl, AF_INET6, &list);
	if (r == -EAFNOSUPPORT || r == -EOPNOTSUPP)
		r = 0; /* a kernel without this family has no such route */
	ms_vec_sort(&list.routes, compare_routes);
	for (size_t i = 0; r == 0 && i < links->list.n_items; i++) {
		struct ms_link *link = links->list.items[i];

		while (at < list.routes.n_items && list.routes.items[at].oif < link->view.ifindex)
			at++;
		r = take_routes(links, link, &list.routes, &at, ret_changed);
	}
	ms_vec_fini(&list.routes);
	return r;
}

struct peer_list {
	const struct ms_link *link;
	struct ms_veth_peer peer;
};

static int on_peer_link(const struct nlmsghdr *message, void *userdata)
{
	struct peer_list *list = userdata;
	struct ms_link_view view;

	/* The far end must name our end: that proves the pair. */
	if (message->nlmsg_type != RTM_NEWLINK || ms_link_decode(message, &view) < 0 ||
	    view.peer != list->link->view.ifindex)
		return 0;
	list->peer.known = true;
	list->peer.mac = view.mac;
	return 0;
}

static int on_peer_addr(const struct nlmsghdr *message, void *userdata)
{
	struct peer_list *list = userdata;
	struct ms_addr_view view;
	int r = ms_addr_decode(message, &view);

	if (r < 0 || view.ifindex != list->link->view.peer)
		return r == -ENOMSG ? 0 : r;
	if (list->peer.addrs.n_items == MS_MAX_PEER_ADDRS) {
		list->peer.n_left_out++;
		return 0;
	}
	return ms_vec_push(&list->peer.addrs, view.addr);
}

static int get_peer_link(struct ms_rtnl *rtnl, struct peer_list *list)
{
	const struct ifinfomsg header = {.ifi_index = (int)list->link->view.peer};
	_cleanup_(ms_rtnl_message_freep) struct nl_msg *message =
		ms_rtnl_message(RTM_GETLINK, NLM_F_ACK, &header, sizeof(header));

	if (!message || nla_put_s32(message, IFLA_TARGET_NETNSID, list->link->view.peer_nsid) < 0)
		return -ENOMEM;
	return ms_rtnl_request(rtnl, message, on_peer_link, list);
}

static int dump_peer_addrs(struct ms_rtnl *rtnl, uint8_t family, struct peer_list *list)
{
	const struct ifaddrmsg header = {.ifa_family = family, .ifa_index = list->link->view.peer};
	_cleanup_(ms_rtnl_message_freep) struct nl_msg *message =
		ms_rtnl_message(RTM_GETADDR, NLM_F_DUMP, &header, sizeof(header));

	if (!message || nla_put_s32(message, IFA_TARGET_NETNSID, list->link->view.peer_nsid) < 0)
		return -ENOMEM;
	int r = ms_rtnl_request(rtnl, message, on_peer_addr, list);
	/* An interface without this family, or a kernel without it, has no such address. */
	return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r;
}

int ms_list_peer(struct ms_rtnl *rtnl, struct ms_links *links, struct ms_link *link,
		 bool *ret_changed)
{
	struct peer_list list = {.link = link};
	int r = get_peer_link(rtnl, &list);

	if (r == 0 && list.peer.known)
		r = dump_peer_addrs(rtnl, AF_INET, &list);
	if (r == 0 && list.peer.known)
		r = dump_peer_addrs(rtnl, AF_INET6, &list);
	if (r == -ENODEV || r == -EINVAL || r == -ESRCH) {
		ms_veth_peer_fini(&list.peer);
		r = 0;
	}
	if (r == 0) {
		ms_addrs_normalize(&list.peer.addrs);
		link->peer_stale = false;
		if (ms_veth_peer_replace(&link->peer, &list.peer)) {
			ms_links_touch(links, link);
			*ret_changed = true;
		}
	}
	ms_veth_peer_fini(&list.peer);
	return r;
}
