/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading what rules put into a set. */
#include <errno.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>

#include "kernel_private.h"
#include "microseg/cleanup.h"
#include "nft_encode.h"

struct reading {
	ms_kernel_key_fn fn;
	void *userdata;
};

static int read_keys(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s = nftnl_set_alloc();
	const struct reading *reading = userdata;
	struct nftnl_set_elems_iter *iter;

	if (!s || nftnl_set_elems_nlmsg_parse(nlh, s) < 0)
		return MNL_CB_ERROR;
	iter = nftnl_set_elems_iter_create(s);
	if (!iter)
		return MNL_CB_ERROR;
	for (struct nftnl_set_elem *e; (e = nftnl_set_elems_iter_next(iter));) {
		uint32_t size = 0;
		const void *key = nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &size);

		reading->fn(key, size, reading->userdata);
	}
	nftnl_set_elems_iter_destroy(iter);
	return MNL_CB_OK;
}

int ms_kernel_elements(struct ms_kernel *kernel, const struct ms_table *table,
		       const struct ms_set *set, ms_kernel_key_fn fn, void *userdata)
{
	char request[MNL_NLMSG_HDRLEN + 512];
	struct reading reading = {fn, userdata};
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(
		request, NFT_MSG_GETSETELEM, (uint16_t)ms_nft_family(table->family), NLM_F_DUMP, 0);

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table->name);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set->name);
	return ms_kernel_query(kernel, nlh, read_keys, &reading);
}
