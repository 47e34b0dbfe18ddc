/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the counters of our rules, and of the elements of our sets, say. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "kernel_private.h"
#include "microseg/cleanup.h"
#include "nft_encode.h"

#define TABLE_ATTRIBUTE 1 /* NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE */

struct counting {
	enum ms_family family;
	ms_kernel_counter_fn fn;
	void *userdata;
	MS_VEC(char *) sets; /* names of those that count, on the heap */
	char *set;	     /* the one being read */
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

/* Elements. */

static int note_expr(struct nftnl_expr *expr, void *userdata)
{
	(void)expr;
	*(bool *)userdata = true;
	return 0;
}

static int keep_counting_set(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s = nftnl_set_alloc();
	struct counting *counting = userdata;
	bool counts = false;

	if (!s || nftnl_set_nlmsg_parse(nlh, s) < 0)
		return MNL_CB_ERROR;
	nftnl_set_expr_foreach(s, note_expr, &counts);
	if (!counts || strcmp(nftnl_set_get_str(s, NFTNL_SET_TABLE), MS_TABLE) != 0)
		return MNL_CB_OK;
	char *name = strdup(nftnl_set_get_str(s, NFTNL_SET_NAME));

	if (!name || ms_vec_push(&counting->sets, name) < 0) {
		free(name);
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

static int keep_elem_comment(const struct nftnl_udata *attr, void *userdata)
{
	const char **comment = userdata;
	const char *text = nftnl_udata_get(attr);
	uint8_t len = nftnl_udata_len(attr);

	if (nftnl_udata_type(attr) == NFTNL_UDATA_SET_ELEM_COMMENT && len > 0 &&
	    text[len - 1] == '\0')
		*comment = text;
	return 0;
}

static int read_elem_counter(struct nftnl_expr *expr, void *userdata)
{
	struct ms_kernel_counter *counter = userdata;

	if (strcmp(nftnl_expr_get_str(expr, NFTNL_EXPR_NAME), "counter") == 0) {
		counter->packets = nftnl_expr_get_u64(expr, NFTNL_EXPR_CTR_PACKETS);
		counter->bytes = nftnl_expr_get_u64(expr, NFTNL_EXPR_CTR_BYTES);
	}
	return 0;
}

static void count_elem(const struct counting *counting, struct nftnl_set_elem *elem)
{
	struct ms_kernel_counter counter = {.family = counting->family, .set = counting->set};
	uint32_t size = 0;
	const void *data = nftnl_set_elem_get(elem, NFTNL_SET_ELEM_USERDATA, &size);

	if (data)
		nftnl_udata_parse(data, size, keep_elem_comment, &counter.comment);
	nftnl_set_elem_expr_foreach(elem, read_elem_counter, &counter);
	counting->fn(&counter, counting->userdata);
}

static int count_elems(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s = nftnl_set_alloc();
	struct nftnl_set_elems_iter *iter;

	if (!s || nftnl_set_elems_nlmsg_parse(nlh, s) < 0)
		return MNL_CB_ERROR;
	iter = nftnl_set_elems_iter_create(s);
	if (!iter)
		return MNL_CB_ERROR;
	for (struct nftnl_set_elem *e; (e = nftnl_set_elems_iter_next(iter));)
		count_elem(userdata, e);
	nftnl_set_elems_iter_destroy(iter);
	return MNL_CB_OK;
}

static int dump(struct ms_kernel *kernel, struct counting *counting, uint16_t type, mnl_cb_t fn)
{
	char request[MNL_NLMSG_HDRLEN + 512];
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(
		request, type, (uint16_t)ms_nft_family(counting->family), NLM_F_DUMP, 0);
	int r;

	mnl_attr_put_strz(nlh, TABLE_ATTRIBUTE, MS_TABLE);
	if (counting->set)
		mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, counting->set);
	r = ms_kernel_query(kernel, nlh, fn, counting);
	return r == -EINTR || r == -ENOENT ? 0 : r;
}

static int count_table(struct ms_kernel *kernel, struct counting *counting, bool elements)
{
	int r = dump(kernel, counting, NFT_MSG_GETRULE, count_rule);

	if (r == 0 && elements)
		r = dump(kernel, counting, NFT_MSG_GETSET, keep_counting_set);
	for (size_t i = 0; r == 0 && i < counting->sets.n_items; i++) {
		counting->set = counting->sets.items[i];
		r = dump(kernel, counting, NFT_MSG_GETSETELEM, count_elems);
	}
	ms_vec_each (char *, name, &counting->sets)
		free(*name);
	ms_vec_fini(&counting->sets);
	return r;
}

/*
 * A reading that was disturbed is not repeated, because @fn has seen half of it: it saw what is
 * there, and the next reading sees the others.
 */
static int count_tables(struct ms_kernel *kernel, ms_kernel_counter_fn fn, void *userdata,
			bool elements)
{
	ms_family_vec found = {0};
	int r = ms_kernel_find_tables(kernel, &found);

	for (size_t i = 0; r == 0 && i < found.n_items; i++) {
		struct counting counting = {
			.family = found.items[i], .fn = fn, .userdata = userdata};

		r = count_table(kernel, &counting, elements);
	}
	ms_vec_fini(&found);
	return r;
}

int ms_kernel_counters(struct ms_kernel *kernel, ms_kernel_counter_fn fn, void *userdata)
{
	return count_tables(kernel, fn, userdata, true);
}

int ms_kernel_rule_counters(struct ms_kernel *kernel, ms_kernel_counter_fn fn, void *userdata)
{
	return count_tables(kernel, fn, userdata, false);
}
