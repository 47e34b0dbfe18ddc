/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/rtnl.h"

#include <errno.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "microseg/cleanup.h"

#define ANSWER_SIZE ((size_t)64 * 1024) /* the kernel's dumps fill at most 32 KiB at a time */
#define DEADLINE_S 2

struct ms_rtnl {
	struct nl_sock *socket;
	uint32_t sequence;
	char answer[ANSWER_SIZE];
};

int ms_rtnl_open(struct ms_rtnl **ret_rtnl)
{
	static const struct timeval deadline = {.tv_sec = DEADLINE_S};
	static const int on = 1;
	struct ms_rtnl *rtnl = calloc(1, sizeof(*rtnl));

	if (!rtnl)
		return -ENOMEM;
	rtnl->socket = nl_socket_alloc();
	if (!rtnl->socket || nl_connect(rtnl->socket, NETLINK_ROUTE) < 0) {
		ms_rtnl_free(rtnl);
		return -ENOBUFS;
	}
	/* Strict: a dump's filters are honoured or refused, never ignored. */
	int fd = nl_socket_get_fd(rtnl->socket);
	if (setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)) < 0) {
		int r = -errno;

		ms_rtnl_free(rtnl);
		return r;
	}
	*ret_rtnl = rtnl;
	return 0;
}

struct ms_rtnl *ms_rtnl_free(struct ms_rtnl *rtnl)
{
	if (rtnl)
		nl_socket_free(rtnl->socket);
	free(rtnl);
	return NULL;
}

/* The answer being read: what it belongs to and how far it is. */
struct answer {
	uint32_t sequence;
	bool interrupted;
	bool done;
	ms_rtnl_fn fn;
	void *userdata;
};

static int read_one(struct answer *answer, const struct nlmsghdr *message)
{
	if (message->nlmsg_seq != answer->sequence)
		return 0; /* what is left of a request that was given up */
	if (message->nlmsg_flags & NLM_F_DUMP_INTR)
		answer->interrupted = true;
	if (message->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = nlmsg_data(message);

		answer->done = true;
		return nlmsg_datalen(message) < (int)sizeof(*error) ? -EBADMSG : error->error;
	}
	if (message->nlmsg_type == NLMSG_DONE) {
		/* A dump that fails half-way says so here. */
		const int *error = nlmsg_data(message);

		answer->done = true;
		return nlmsg_datalen(message) < (int)sizeof(*error) ? 0 : *error < 0 ? *error : 0;
	}
	if (message->nlmsg_type < NLMSG_MIN_TYPE || !answer->fn)
		return 0;
	return answer->fn(message, answer->userdata);
}

static int read_answer(struct ms_rtnl *rtnl, struct answer *answer)
{
	int failed = 0;

	while (!answer->done) {
		ssize_t size =
			recv(nl_socket_get_fd(rtnl->socket), rtnl->answer, sizeof(rtnl->answer), 0);

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		struct nlmsghdr *message = (struct nlmsghdr *)rtnl->answer;
		for (int left = (int)size; !answer->done && nlmsg_ok(message, left);
		     message = nlmsg_next(message, &left)) {
			int r = read_one(answer, message);

			if (r < 0 && !failed)
				failed = r; /* read on to the end all the same: the next request
					       starts clean */
		}
	}
	if (!failed && answer->interrupted)
		return -EINTR;
	return failed;
}

int ms_rtnl_request(struct ms_rtnl *rtnl, struct nl_msg *message, ms_rtnl_fn fn, void *userdata)
{
	struct nlmsghdr *header = nlmsg_hdr(message);
	struct answer answer = {.sequence = ++rtnl->sequence, .fn = fn, .userdata = userdata};

	header->nlmsg_seq = answer.sequence;
	header->nlmsg_flags |= NLM_F_REQUEST;
	header->nlmsg_pid = nl_socket_get_local_port(rtnl->socket);
	if (send(nl_socket_get_fd(rtnl->socket), header, header->nlmsg_len, 0) < 0)
		return -errno;
	return read_answer(rtnl, &answer);
}

struct nl_msg *ms_rtnl_message(uint16_t type, uint16_t flags, const void *header,
			       size_t header_size)
{
	struct nl_msg *message = nlmsg_alloc_simple(type, flags);

	if (message && nlmsg_append(message, (void *)header, header_size, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(message);
		return NULL;
	}
	return message;
}

static int read_nsid(const struct nlmsghdr *message, void *userdata)
{
	const struct nlattr *nsid =
		nlmsg_find_attr((struct nlmsghdr *)message, sizeof(struct rtgenmsg), NETNSA_NSID);
	int32_t *ret_nsid = userdata;

	if (!nsid || nla_len(nsid) < (int)sizeof(int32_t))
		return -EBADMSG;
	*ret_nsid = nla_get_s32(nsid);
	return 0;
}

static int nsid_of(struct ms_rtnl *rtnl, int attribute, uint32_t value, int32_t *ret_nsid)
{
	static const struct rtgenmsg header = {.rtgen_family = AF_UNSPEC};
	_cleanup_(ms_rtnl_message_freep) struct nl_msg *message =
		ms_rtnl_message(RTM_GETNSID, NLM_F_ACK, &header, sizeof(header));
	int32_t nsid = -1;

	if (!message || nla_put_u32(message, attribute, value) < 0)
		return -ENOMEM;
	int r = ms_rtnl_request(rtnl, message, read_nsid, &nsid);
	if (r < 0)
		return r;
	*ret_nsid = nsid;
	return 0;
}

int ms_rtnl_nsid_of_pid(struct ms_rtnl *rtnl, uint32_t pid, int32_t *ret_nsid)
{
	return nsid_of(rtnl, NETNSA_PID, pid, ret_nsid);
}

int ms_rtnl_nsid_of_fd(struct ms_rtnl *rtnl, int fd, int32_t *ret_nsid)
{
	return nsid_of(rtnl, NETNSA_FD, (uint32_t)fd, ret_nsid);
}
