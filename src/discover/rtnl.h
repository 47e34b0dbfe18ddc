/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rtnl: one rtnetlink request, its whole answer, with a deadline. The kernel answers within the
 * system call, so this does not go through the loop.
 */
#pragma once

#include <stdint.h>

#include <netlink/msg.h>

struct ms_rtnl;

/** One message of the answer. A negative return ends the request and is passed on. */
typedef int (*ms_rtnl_fn)(const struct nlmsghdr *message, void *userdata);

/** Opens a strict request socket in this network namespace. Returns 0 or -errno. */
int ms_rtnl_open(struct ms_rtnl **ret_rtnl);
struct ms_rtnl *ms_rtnl_free(struct ms_rtnl *rtnl);

/**
 * Sends @message (flags NLM_F_DUMP or NLM_F_ACK included by the caller) and hands every answer to
 * @fn.
 * @message stays the caller's. Returns 0; -EINTR when a dump was interrupted by a change and must
 * be repeated; -ETIMEDOUT; what @fn returned; or the kernel's -errno.
 */
int ms_rtnl_request(struct ms_rtnl *rtnl, struct nl_msg *message, ms_rtnl_fn fn, void *userdata);

/** A new message of @type with a zeroed header of @header_size bytes, or NULL. Free with
 * nlmsg_free(). */
struct nl_msg *ms_rtnl_message(uint16_t type, uint16_t flags, const void *header,
			       size_t header_size);
static inline void ms_rtnl_message_freep(struct nl_msg **message)
{
	nlmsg_free(*message);
}

/**
 * The id that this namespace has for the one of a process, or of an open namespace file.
 * Returns 0 with -1 in @ret_nsid when it has none; -ESRCH when the process is gone; -EINVAL when
 * the file is no namespace; another -errno.
 */
int ms_rtnl_nsid_of_pid(struct ms_rtnl *rtnl, uint32_t pid, int32_t *ret_nsid);
int ms_rtnl_nsid_of_fd(struct ms_rtnl *rtnl, int fd, int32_t *ret_nsid);
