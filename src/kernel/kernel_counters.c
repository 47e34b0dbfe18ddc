/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the counters of our rules say. */
#include <errno.h>
#include <stdio.h>

#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "kernel_private.h"
#include "microseg/cleanup.h"
#include "nft_encode.h"

struct counting {
	enum ms_family family;
	ms_kernel_counter_fn fn;
	void *userdata;
};

static int keep_comment(const struct nftnl_udata *attr, void *userdata)
{
	const char **comment = userdata;
	const char *text = nftnl_udata_get(attr);
	uint8_t len = nftnl_udata_len(attr);

	if (nftnl_udata_type(attr) == NFTNL_UDATA_RULE_COMMENT && len > 0 && text[len - 1] == '\0')
		*comment = text;
	return 0;
}

/* Returns false for a rule that counts nothing. */
static bool read_counter(const struct nftnl_rule *rule, struct ms_kernel_counter *counter)
{
	struct nftnl_expr_iter *iter = nftnl_expr_iter_create(rule);
	bool counts = false;

	if (!iter)
		return false;
	for (struct nftnl_expr *e; (e = nftnl_expr_iter_next(iter));) {
		const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);

		if (strcmp(name, "counter") == 0) {
			counter->packets = nftnl_expr_get_u64(e, NFTNL_EXPR_CTR_PACKETS);
			counter->bytes = nftnl_expr_get_u64(e, NFTNL_EXPR_CTR_BYTES);
			counts = true;
		} else if (strcmp(name, "log") == 0) {
			counter->prefix = nftnl_expr_get_str(e, NFTNL_EXPR_LOG_PREFIX);
		}
	}
	nftnl_expr_iter_destroy(iter);
	return counts;
}

static int count_rule(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_rule_freep) struct nftnl_rule *r = nftnl_rule_alloc();
	const struct counting *counting = userdata;
	struct ms_kernel_counter counter = {.family = counting->family};
	const void *data;
	uint32_t size = 0;

	if (!r || nftnl_rule_nlmsg_parse(nlh, r) < 0)
		return MNL_CB_ERROR;
	if (strcmp(nftnl_rule_get_str(r, NFTNL_RULE_TABLE), MS_TABLE) != 0 ||
	    !read_counter(r, &counter))
		return MNL_CB_OK;
	data = nftnl_rule_get_data(r, NFTNL_RULE_USERDATA, &size);
	if (data)
		nftnl_udata_parse(data, size, keep_comment, &counter.comment);
	counter.chain = nftnl_rule_get_str(r, NFTNL_RULE_CHAIN);
	counting->fn(&counter, counting->userdata);
	return MNL_CB_OK;
}

/*
 * A reading that was disturbed is not repeated, because @fn has seen half of it: it saw rules that
 * are there, and the next reading sees the others.
 */
int ms_kernel_counters(struct ms_kernel *kernel, ms_kernel_counter_fn fn, void *userdata)
{
	ms_family_vec found = {0};
	int r = ms_kernel_find_tables(kernel, &found);

	for (size_t i = 0; r == 0 && i < found.n_items; i++) {
		struct counting counting = {
			.family = found.items[i], .fn = fn, .userdata = userdata};
		char request[MNL_NLMSG_HDRLEN + 128];
		struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(
			request, NFT_MSG_GETRULE, (uint16_t)ms_nft_family(found.items[i]),
			NLM_F_DUMP, 0);

		mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, MS_TABLE);
		r = ms_kernel_query(kernel, nlh, count_rule, &counting);
		if (r == -EINTR || r == -ENOENT)
			r = 0;
	}
	ms_vec_fini(&found);
	return r;
}
