/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * old-kernel: preloaded into microsegd, makes it see a kernel before 6.9, whose tables know neither
 * owner nor persist. Such a kernel refuses a table with flags that it does not know, and so does
 * this one, of a flag that nobody knows: it is added to every table that is to have an owner.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define OWNED 0x6u /* owner, persist */
#define UNKNOWN 0x8000u

static void refuse_owner(struct nlmsghdr *message)
{
	struct nlattr *attr;

	if (message->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE))
		return;
	mnl_attr_for_each(attr, message, sizeof(struct nfgenmsg))
	{
		uint32_t *flags = mnl_attr_get_payload(attr);

		if (mnl_attr_get_type(attr) == NFTA_TABLE_FLAGS && ntohl(*flags) & OWNED)
			*flags |= htonl(UNKNOWN);
	}
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *addr,
	       socklen_t addr_size)
{
	ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
		dlsym(RTLD_NEXT, "sendto");
	void *copy = NULL;
	int left = (int)size;

	if (addr && addr->sa_family == AF_NETLINK && (copy = malloc(size))) {
		memcpy(copy, data, size);
		for (struct nlmsghdr *message = copy; mnl_nlmsg_ok(message, left);
		     message = mnl_nlmsg_next(message, &left))
			refuse_owner(message);
	}
	ssize_t n = real(fd, copy ? copy : data, size, flags, addr, addr_size);
	free(copy);
	return n;
}
