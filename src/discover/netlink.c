/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. Two sockets: one is subscribed to events of this namespace and, with
 * NETLINK_LISTEN_ALL_NSID, of every namespace that has an id here; the other asks questions
 * (list.c). The subscription stands before the first list, so nothing falls between the two.
 *
 * Events about links of this namespace carry the whole link and are applied as they are. All others
 * are hints: they mark what must be read again, and at the end of the turn that is read, once,
 * however many events there were. After a gap (ENOBUFS, a cut message) everything is listed anew;
 * the same happens slowly all the time, against what no event tells. An interrupted dump is
 * repeated at once a few times, then from a timer.
 *
 * A veth whose far end moves to another namespace sends no event of its own. The far end's
 * RTM_DELLINK tells, and the near end is then read again.
 *
 * Owns the links. Never changes anything in the kernel.
 */
#include "discover/watch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "discover/list.h"
#include "microseg/cleanup.h"
#include "microseg/ruleset.h"

#define EVENT_SIZE ((size_t)64 * 1024)
#define RECEIVE_BUFFER (4 * 1024 * 1024)
#define MAX_EVENTS_PER_TURN 1024 /* then the rest of the loop has its turn */
#define MAX_REPEATS 5		 /* of an interrupted dump within one turn */
#define RELIST_MS 60000
#define REPEAT_MS 100 /* after an interrupted dump */
#define RETRY_MS 2000 /* after any other failure */

struct ms_watch {
	struct ms_rtnl *rtnl; /* the caller's */
	struct ms_watch_handler handler;
	struct nl_sock *events;
	struct ms_io *io;
	struct ms_timer *timer; /* the next slow list, or the repetition of a failed one */
	struct ms_links links;
	uint64_t generation;
	uint64_t n_gaps;
	uint64_t relist_ms;
	bool started;
	bool list_stale, addrs_stale, routes_stale, peers_stale;
	bool changed;
	const char *error;
	char event[EVENT_SIZE];
};

struct ms_links *ms_watch_links(struct ms_watch *watch)
{
	return &watch->links;
}

const char *ms_watch_error(const struct ms_watch *watch)
{
	return watch->error;
}

uint64_t ms_watch_n_gaps(const struct ms_watch *watch)
{
	return watch->n_gaps;
}

static int list_all(struct ms_watch *watch)
{
	int r = ms_list_links(watch->rtnl, &watch->links, ++watch->generation, ms_monotonic_ms(),
			      !watch->started, &watch->changed);
	if (r < 0)
		return r;
	watch->list_stale = false;
	watch->addrs_stale = watch->routes_stale = watch->peers_stale = true;
	ms_vec_each (struct ms_link *, link, &watch->links.list)
		if (r == 0)
			r = ms_links_mark_stale(&watch->links, *link);
	watch->list_stale = r < 0;
	return r;
}

static int list_peers(struct ms_watch *watch)
{
	int r = 0;

	for (struct ms_link *link; r == 0 && (link = ms_links_next_stale(&watch->links));)
		r = ms_list_peer(watch->rtnl, &watch->links, link, &watch->changed);
	watch->peers_stale = r < 0;
	return r;
}

/* Reads all that is marked. What fails stays marked. */
static int read_stale(struct ms_watch *watch)
{
	int r = watch->list_stale ? list_all(watch) : 0;

	if (r == 0 && watch->addrs_stale) {
		r = ms_list_addrs(watch->rtnl, &watch->links, &watch->changed);
		watch->addrs_stale = r < 0;
	}
	if (r == 0 && watch->routes_stale) {
		r = ms_list_routes(watch->rtnl, &watch->links, &watch->changed);
		watch->routes_stale = r < 0;
	}
	if (r == 0 && watch->peers_stale)
		r = list_peers(watch);
	return r;
}

static int read_stale_repeatedly(struct ms_watch *watch)
{
	int r = read_stale(watch);

	for (int i = 0; r == -EINTR && i < MAX_REPEATS; i++)
		r = read_stale(watch);
	return r;
}

static const char *describe(int r)
{
	switch (r) {
	case 0:
		return NULL;
	case -EINTR:
		return "a list was interrupted by changes again and again; repeating";
	case -ETIMEDOUT:
		return "the kernel did not answer in time; repeating";
	case -E2BIG:
		return "more interfaces or addresses than can be looked at";
	default:
		return strerrordesc_np(-r);
	}
}

static void end_turn(struct ms_watch *watch)
{
	int r = read_stale_repeatedly(watch);
	const char *error = describe(r);

	watch->changed |= error != watch->error;
	watch->error = error;
	if (r < 0)
		ms_timer_set(watch->timer, r == -EINTR ? REPEAT_MS : RETRY_MS);
	else if (!ms_timer_is_set(watch->timer))
		ms_timer_set(watch->timer, watch->relist_ms);
	if (watch->changed && watch->started) {
		watch->changed = false;
		watch->handler.changed(watch->handler.userdata);
	}
}

static void on_timer(void *userdata)
{
	struct ms_watch *watch = userdata;

	if (!watch->error)
		watch->list_stale = true;
	end_turn(watch);
}

static void note_gap(struct ms_watch *watch)
{
	watch->n_gaps++;
	watch->list_stale = true;
	ms_vec_each (struct ms_link *, link, &watch->links.list)
		(*link)->marking = false;
	watch->handler.gap(watch->handler.userdata);
}

static void read_again(struct ms_watch *watch, uint32_t ifindex)
{
	if (ms_list_link(watch->rtnl, &watch->links, ifindex, ms_monotonic_ms(), &watch->changed) <
	    0)
		watch->list_stale = true;
	watch->peers_stale = true;
}

/* Events from before we marked the link show it as it was then. */
static void skip_old_group(struct ms_watch *watch, struct ms_link_view *view)
{
	struct ms_link *link = ms_links_find(&watch->links, view->ifindex);

	if (!link || !link->marking)
		return;
	if (view->group == MS_ADMITTED_GROUP)
		link->marking = false;
	else
		view->group = MS_ADMITTED_GROUP;
}

static void on_own_link(struct ms_watch *watch, const struct nlmsghdr *message)
{
	struct ms_link_view view;
	int r = ms_link_decode(message, &view);

	if (r == -ENOMSG)
		return;
	if (r < 0) {
		watch->list_stale = true;
		return;
	}
	if (message->nlmsg_type == RTM_NEWLINK) {
		skip_old_group(watch, &view);
		r = ms_links_apply(&watch->links, &view, ms_monotonic_ms(), false);
		watch->changed |= r > 0;
		watch->peers_stale = true;
		watch->list_stale |= r < 0;
		return;
	}
	watch->changed |= ms_links_remove(&watch->links, view.ifindex);
	const struct ms_link *near =
		view.peer_foreign ? NULL : ms_links_find(&watch->links, view.peer);
	if (near && near->view.peer == view.ifindex)
		read_again(watch, view.peer);
}

/* @ifindex: the number of a far end in its namespace, or 0 for all of that. */
static void peer_changed(struct ms_watch *watch, int32_t nsid, uint32_t ifindex)
{
	if (ms_links_peer_stale(&watch->links, nsid, ifindex) < 0)
		watch->list_stale = true;
	watch->peers_stale = true;
}

static void on_foreign_link(struct ms_watch *watch, int32_t nsid, const struct nlmsghdr *message)
{
	struct ms_link_view view;
	MS_VEC(uint32_t) near = {0};

	if (ms_link_decode(message, &view) < 0)
		return;
	if (message->nlmsg_type == RTM_NEWLINK) {
		peer_changed(watch, nsid, view.ifindex);
		return;
	}
	ms_vec_each (const struct ms_far_end, end, &watch->links.far)
		if (end->nsid == nsid && end->peer == view.ifindex &&
		    ms_vec_push(&near, end->ifindex) < 0)
			watch->list_stale = true;
	ms_vec_each (uint32_t, ifindex, &near)
		read_again(watch, *ifindex);
	ms_vec_fini(&near);
}

static void on_link(struct ms_watch *watch, int32_t nsid, const struct nlmsghdr *message)
{
	if (nsid < 0)
		on_own_link(watch, message);
	else
		on_foreign_link(watch, nsid, message);
}

static void on_addr(struct ms_watch *watch, int32_t nsid, const struct nlmsghdr *message)
{
	struct ms_addr_view view;

	if (ms_addr_decode(message, &view) < 0)
		return;
	if (nsid < 0) {
		watch->addrs_stale = true;
		return;
	}
	peer_changed(watch, nsid, view.ifindex);
}

/* Default routes, and those that say what networks a bridge or a veth leads to. */
static void note_route(uint32_t ifindex, const struct ms_prefix *net, void *userdata)
{
	struct ms_watch *watch = userdata;
	const struct ms_link *link = ms_links_find(&watch->links, ifindex);

	if (net->len == 0 || !link || strcmp(link->view.kind, "bridge") == 0 ||
	    strcmp(link->view.kind, "veth") == 0)
		watch->routes_stale = true;
}

static void on_route(struct ms_watch *watch, int32_t nsid, const struct nlmsghdr *message)
{
	if (nsid < 0)
		ms_route_decode(message, note_route, watch);
}

static void on_nsid(struct ms_watch *watch, int32_t nsid, const struct nlmsghdr *message)
{
	int32_t subject;

	if (nsid < 0 && ms_nsid_decode(message, &subject) == 0)
		watch->handler.nsid(subject, message->nlmsg_type == RTM_DELNSID,
				    watch->handler.userdata);
}

static void on_event(struct ms_watch *watch, int32_t nsid, const struct nlmsghdr *message)
{
	static const struct {
		uint16_t type;
		void (*fn)(struct ms_watch *watch, int32_t nsid, const struct nlmsghdr *message);
	} handlers[] = {
		{RTM_NEWLINK, on_link}, {RTM_DELLINK, on_link},	  {RTM_NEWADDR, on_addr},
		{RTM_DELADDR, on_addr}, {RTM_NEWROUTE, on_route}, {RTM_DELROUTE, on_route},
		{RTM_NEWNSID, on_nsid}, {RTM_DELNSID, on_nsid},
	};

	for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (handlers[i].type == message->nlmsg_type)
			handlers[i].fn(watch, nsid, message);
}

/* The id of the namespace an event comes from rides beside it; an event of our own has none. */
static int32_t event_nsid(struct msghdr *header)
{
	int32_t nsid = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
		if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID &&
		    c->cmsg_len >= CMSG_LEN(sizeof(nsid)))
			memcpy(&nsid, CMSG_DATA(c), sizeof(nsid));
	return nsid;
}

/* Returns false when there is nothing more to read. */
static bool receive(struct ms_watch *watch, int fd)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int32_t)) * 2];
	struct sockaddr_nl sender = {0};
	struct iovec space = {watch->event, sizeof(watch->event)};
	struct msghdr header = {.msg_name = &sender,
				.msg_namelen = sizeof(sender),
				.msg_iov = &space,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof(control)};
	ssize_t size = recvmsg(fd, &header, MSG_DONTWAIT);

	if (size < 0 && errno == EINTR)
		return true;
	if (size < 0 && errno == EAGAIN)
		return false;
	if (size < 0 || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		note_gap(watch); /* ENOBUFS above all; what is still queued is read on */
		return size >= 0 || errno == ENOBUFS;
	}
	if (sender.nl_pid != 0)
		return true; /* not the kernel */
	const struct nlmsghdr *message = (const struct nlmsghdr *)watch->event;
	for (int left = (int)size; nlmsg_ok(message, left);
	     message = nlmsg_next((struct nlmsghdr *)message, &left))
		on_event(watch, event_nsid(&header), message);
	return true;
}

static void on_readable(int fd, void *userdata)
{
	struct ms_watch *watch = userdata;

	for (int i = 0; i < MAX_EVENTS_PER_TURN && receive(watch, fd); i++)
		;
	end_turn(watch);
}

static int subscribe(struct ms_watch *watch, struct ms_loop *loop)
{
	static const int on = 1, size = RECEIVE_BUFFER;

	watch->events = nl_socket_alloc();
	if (!watch->events)
		return -ENOMEM;
	nl_socket_disable_seq_check(watch->events);
	if (nl_connect(watch->events, NETLINK_ROUTE) < 0)
		return -ENOBUFS;
	int fd = nl_socket_get_fd(watch->events);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof(on)) < 0)
		return -errno;
	if (nl_socket_add_memberships(watch->events, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
				      RTNLGRP_IPV6_IFADDR, RTNLGRP_NSID, RTNLGRP_IPV4_ROUTE,
				      RTNLGRP_IPV6_ROUTE, RTNLGRP_NONE) < 0)
		return -EPERM;
	watch->io = ms_loop_io(loop, fd, MS_IO_READ, on_readable, watch);
	watch->timer = ms_loop_timer(loop, on_timer, watch);
	return watch->io && watch->timer ? 0 : -ENOMEM;
}

int ms_watch_new(struct ms_loop *loop, struct ms_rtnl *rtnl, const struct ms_watch_handler *handler,
		 uint64_t relist_ms, struct ms_watch **ret_watch)
{
	struct ms_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->rtnl = rtnl;
	watch->handler = *handler;
	watch->relist_ms = relist_ms ? relist_ms : RELIST_MS;
	watch->list_stale = true;
	int r = subscribe(watch, loop);
	if (r < 0) {
		ms_watch_free(watch);
		return r;
	}
	end_turn(watch);
	watch->started = true;
	watch->changed = false;
	*ret_watch = watch;
	return 0;
}

struct ms_watch *ms_watch_free(struct ms_watch *watch)
{
	if (!watch)
		return NULL;
	ms_io_free(watch->io);
	ms_timer_free(watch->timer);
	nl_socket_free(watch->events);
	ms_links_fini(&watch->links);
	free(watch);
	return NULL;
}
