/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/admit.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <netlink/attr.h>

#include "microseg/cleanup.h"
#include "microseg/ruleset.h"

typedef MS_VEC(uint32_t) index_vec;

static int set_group(struct ms_rtnl *rtnl, uint32_t ifindex, uint32_t group)
{
	const struct ifinfomsg header = {.ifi_index = (int)ifindex};
	_cleanup_(ms_rtnl_message_freep) struct nl_msg *message =
		ms_rtnl_message(RTM_SETLINK, NLM_F_ACK, &header, sizeof(header));

	if (!message || nla_put_u32(message, IFLA_GROUP, group) < 0)
		return -ENOMEM;
	return ms_rtnl_request(rtnl, message, NULL, NULL);
}

int ms_admit(struct ms_rtnl *rtnl, uint32_t ifindex)
{
	return set_group(rtnl, ifindex, MS_ADMITTED_GROUP);
}

static int note_admitted(const struct nlmsghdr *message, void *userdata)
{
	index_vec *found = userdata;
	struct ms_link_view view;
	int r = ms_link_decode(message, &view);

	if (r < 0)
		return r == -ENOMSG ? 0 : r;
	return view.group == MS_ADMITTED_GROUP ? ms_vec_push(found, view.ifindex) : 0;
}

int ms_admit_nobody(struct ms_rtnl *rtnl)
{
	static const struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
	_cleanup_(ms_rtnl_message_freep) struct nl_msg *message =
		ms_rtnl_message(RTM_GETLINK, NLM_F_DUMP, &header, sizeof(header));
	index_vec found = {0};
	int r = message ? ms_rtnl_request(rtnl, message, note_admitted, &found) : -ENOMEM;

	ms_vec_each (const uint32_t, ifindex, &found) {
		int failed = r == 0 ? set_group(rtnl, *ifindex, 0) : 0;

		if (failed < 0 && failed != -ENODEV)
			r = failed;
	}
	ms_vec_fini(&found);
	return r;
}
