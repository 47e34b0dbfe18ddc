/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What outlives a replacement of our tables: the elements of sets that are timed and dynamic, which
 * are nobody's to compute. They go over in the transaction that replaces, with the time that they
 * have left. And whether such a set holds an element.
 */
#include <errno.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>
#include <time.h>

#include "kernel_private.h"
#include "microseg/cleanup.h"
#include "nft_encode.h"

struct reading {
	struct ms_plan *plan;
	const struct ms_table *table;
	const struct ms_set *set;
	time_t now;
	MS_VEC(struct ms_elem) elems; /* in the plan's arena */
};

static int keep_elem(struct reading *reading, struct nftnl_set_elem *e)
{
	uint64_t left_ms = nftnl_set_elem_get_u64(e, NFTNL_SET_ELEM_EXPIRATION);
	struct ms_elem elem = {.until = reading->now + (time_t)(left_ms / 1000)};
	uint32_t size = 0;
	const void *key = nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &size);

	/* One of another size is what another version has kept. */
	if (!key || left_ms < 1000 || size != ms_nft_key_size(reading->set))
		return 0;
	memcpy(elem.key, key, size);
	return ms_avec_push(reading->plan->arena, &reading->elems, elem);
}

static int keep_elems(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s = nftnl_set_alloc();
	struct nftnl_set_elems_iter *iter;
	struct reading *reading = userdata;
	int r = 0;

	if (!s || nftnl_set_elems_nlmsg_parse(nlh, s) < 0)
		return MNL_CB_ERROR;
	iter = nftnl_set_elems_iter_create(s);
	if (!iter)
		return MNL_CB_ERROR;
	for (struct nftnl_set_elem *e; r == 0 && (e = nftnl_set_elems_iter_next(iter));)
		r = keep_elem(reading, e);
	nftnl_set_elems_iter_destroy(iter);
	if (r < 0) {
		errno = -r;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *put_request(void *buffer, const struct ms_table *table,
				    const struct ms_set *set, uint16_t flags)
{
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(
		buffer, NFT_MSG_GETSETELEM, (uint16_t)ms_nft_family(table->family), flags, 0);

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, table->name);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, set->name);
	return nlh;
}

static int read_kept(struct ms_kernel *kernel, void *userdata)
{
	char request[MNL_NLMSG_HDRLEN + 512];
	struct reading *reading = userdata;

	reading->elems.n_items = 0;
	return ms_kernel_query(kernel,
			       put_request(request, reading->table, reading->set, NLM_F_DUMP),
			       keep_elems, reading);
}

static int carry_set(struct ms_kernel *kernel, const struct ms_table *table,
		     const struct ms_set *set, struct ms_plan *plan)
{
	struct reading reading = {
		.plan = plan,
		.table = table,
		.set = set,
		.now = time(NULL),
	};
	struct ms_change change = {.kind = MS_ADD_ELEMS, .table = table, .set = set};
	int r = ms_kernel_read_stable(kernel, read_kept, &reading);

	if (r == -ENOENT || (r == 0 && reading.elems.n_items == 0))
		return 0;
	if (r < 0)
		return r;
	change.elems = reading.elems.items;
	change.n_elems = reading.elems.n_items;
	return ms_avec_push(plan->arena, &plan->changes, change);
}

int ms_kernel_carry(struct ms_kernel *kernel, const struct ms_ruleset *ruleset,
		    struct ms_plan *plan)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ruleset->tables.n_items; i++)
		ms_vec_each (struct ms_set *, set, &ruleset->tables.items[i]->sets)
			if (r == 0 && (*set)->timed && (*set)->dynamic)
				r = carry_set(kernel, ruleset->tables.items[i], *set, plan);
	return r;
}

static int note_answer(const struct nlmsghdr *nlh, void *userdata)
{
	(void)nlh;
	*(bool *)userdata = true;
	return MNL_CB_OK;
}

int ms_kernel_holds(struct ms_kernel *kernel, const struct ms_table *table,
		    const struct ms_set *set, const struct ms_elem *elem)
{
	char request[MNL_NLMSG_HDRLEN + 512];
	struct nlmsghdr *nlh = put_request(request, table, set, 0);
	bool found = false;
	struct nlattr *list = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_LIST_ELEMENTS);
	struct nlattr *one = mnl_attr_nest_start(nlh, NFTA_LIST_ELEM);
	struct nlattr *key = mnl_attr_nest_start(nlh, NFTA_SET_ELEM_KEY);

	mnl_attr_put(nlh, NFTA_DATA_VALUE, ms_nft_key_size(set), elem->key);
	mnl_attr_nest_end(nlh, key);
	mnl_attr_nest_end(nlh, one);
	mnl_attr_nest_end(nlh, list);
	int r = ms_kernel_query(kernel, nlh, note_answer, &found);
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : found;
}
