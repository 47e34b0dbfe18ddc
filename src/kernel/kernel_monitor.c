/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Noticing that somebody else changed a table of ours. */
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "kernel_private.h"
#include "nft_encode.h"

#define EVENT_SIZE 65536
#define TABLE_ATTRIBUTE 1 /* of tables the name, of all else the table */

int ms_kernel_monitor_fd(struct ms_kernel *kernel)
{
	return mnl_socket_get_fd(kernel->listener);
}

static int keep_name(const struct nlattr *attr, void *userdata)
{
	const char **name = userdata;

	if (mnl_attr_get_type(attr) == TABLE_ATTRIBUTE &&
	    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
		*name = mnl_attr_get_str(attr);
	return MNL_CB_OK;
}

/* Generations and trace events name no table. */
static bool is_change(const struct nlmsghdr *nlh)
{
	if (NFNL_SUBSYS_ID(nlh->nlmsg_type) != NFNL_SUBSYS_NFTABLES)
		return false;
	switch (NFNL_MSG_TYPE(nlh->nlmsg_type)) {
	case NFT_MSG_NEWGEN:
	case NFT_MSG_TRACE:
		return false;
	default:
		return nlh->nlmsg_len >= mnl_nlmsg_size(sizeof(struct nfgenmsg));
	}
}

static bool concerns_us(const struct ms_kernel *kernel, const struct nlmsghdr *nlh)
{
	const struct nfgenmsg *header = mnl_nlmsg_get_payload(nlh);
	const char *table = NULL;
	enum ms_family family;

	if (!is_change(nlh) || nlh->nlmsg_pid == mnl_socket_get_portid(kernel->writer))
		return false;
	mnl_attr_parse(nlh, sizeof(*header), keep_name, &table);
	return table && strcmp(table, MS_TABLE) == 0 &&
	       ms_nft_family_of(header->nfgen_family, &family);
}

int ms_kernel_monitor_read(struct ms_kernel *kernel)
{
	_Alignas(struct nlmsghdr) uint8_t buffer[EVENT_SIZE];
	int changed = 0;

	for (;;) {
		ssize_t size =
			recv(ms_kernel_monitor_fd(kernel), buffer, sizeof(buffer), MSG_DONTWAIT);
		int left = (int)size;

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN)
			return changed;
		if (size < 0 && errno != ENOBUFS)
			return -errno;
		/* Events were lost: one of them may have been about us. */
		if (size < 0) {
			changed = 1;
			continue;
		}
		for (struct nlmsghdr *nlh = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			if (concerns_us(kernel, nlh))
				changed = 1;
	}
}
