/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading our tables back and comparing them with what they should be. */
#include <errno.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "kernel_private.h"
#include "microseg/cleanup.h"
#include "nft_encode.h"
#include "nft_lines.h"

#define TABLE_ATTRIBUTE                                                                            \
	1 /* NFTA_CHAIN_TABLE, NFTA_SET_TABLE, NFTA_RULE_TABLE, NFTA_SET_ELEM_LIST_TABLE */

struct reading {
	struct ms_lines *lines;
	enum ms_family family;
	MS_VEC(struct nftnl_set *) sets; /* of one table, on the heap */
};

static int dump_table(struct ms_kernel *kernel, uint16_t type, struct reading *reading, mnl_cb_t fn)
{
	char request[MNL_NLMSG_HDRLEN + 128];
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(
		request, type, (uint16_t)ms_nft_family(reading->family), NLM_F_DUMP, 0);

	mnl_attr_put_strz(nlh, TABLE_ATTRIBUTE, MS_TABLE);
	return ms_kernel_query(kernel, nlh, fn, reading);
}

/* Old kernels list chains of all tables of the family. */
static bool is_ours(const char *table)
{
	return table && strcmp(table, MS_TABLE) == 0;
}

static int keep_chain(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_chain_freep) struct nftnl_chain *c = nftnl_chain_alloc();
	struct reading *reading = userdata;

	if (!c || nftnl_chain_nlmsg_parse(nlh, c) < 0)
		return MNL_CB_ERROR;
	if (is_ours(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE)))
		ms_lines_chain(reading->lines, reading->family, c);
	return MNL_CB_OK;
}

static int keep_rule(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_rule_freep) struct nftnl_rule *r = nftnl_rule_alloc();
	struct reading *reading = userdata;

	if (!r || nftnl_rule_nlmsg_parse(nlh, r) < 0)
		return MNL_CB_ERROR;
	if (is_ours(nftnl_rule_get_str(r, NFTNL_RULE_TABLE)))
		ms_lines_rule(reading->lines, reading->family, r);
	return MNL_CB_OK;
}

static int keep_set(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s = nftnl_set_alloc();
	struct reading *reading = userdata;

	if (!s || nftnl_set_nlmsg_parse(nlh, s) < 0)
		return MNL_CB_ERROR;
	if (!is_ours(nftnl_set_get_str(s, NFTNL_SET_TABLE)))
		return MNL_CB_OK;
	if (ms_vec_push(&reading->sets, s) < 0) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	s = NULL;
	return MNL_CB_OK;
}

static int keep_elems(const struct nlmsghdr *nlh, void *userdata)
{
	return nftnl_set_elems_nlmsg_parse(nlh, userdata) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

static int read_elems(struct ms_kernel *kernel, struct reading *reading, struct nftnl_set *set)
{
	char request[MNL_NLMSG_HDRLEN + 512];
	struct nlmsghdr *nlh =
		nftnl_nlmsg_build_hdr(request, NFT_MSG_GETSETELEM,
				      (uint16_t)ms_nft_family(reading->family), NLM_F_DUMP, 0);
	int r = 0;

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, MS_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, nftnl_set_get_str(set, NFTNL_SET_NAME));
	/* What a counting set holds is the kernel's own. */
	if (!(nftnl_set_get_u32(set, NFTNL_SET_FLAGS) & NFT_SET_EVAL))
		r = ms_kernel_query(kernel, nlh, keep_elems, set);
	if (r == 0)
		ms_lines_set(reading->lines, reading->family, set);
	return r;
}

static void forget_sets(struct reading *reading)
{
	ms_vec_each (struct nftnl_set *, set, &reading->sets)
		nftnl_set_free(*set);
	ms_vec_fini(&reading->sets);
}

static int read_sets(struct ms_kernel *kernel, struct reading *reading)
{
	int r = dump_table(kernel, NFT_MSG_GETSET, reading, keep_set);

	for (size_t i = 0; r == 0 && i < reading->sets.n_items; i++)
		r = read_elems(kernel, reading, reading->sets.items[i]);
	forget_sets(reading);
	return r;
}

static int read_table(struct ms_kernel *kernel, struct ms_lines *lines, enum ms_family family)
{
	struct reading reading = {.lines = lines, .family = family};
	int r;

	ms_lines_table(lines, family);
	r = read_sets(kernel, &reading);
	if (r == 0)
		r = dump_table(kernel, NFT_MSG_GETCHAIN, &reading, keep_chain);
	if (r == 0)
		r = dump_table(kernel, NFT_MSG_GETRULE, &reading, keep_rule);
	ms_lines_end_table(lines);
	return r;
}

/* Many requests make one picture only if nobody committed between them. */
static int read_all(struct ms_kernel *kernel, void *userdata)
{
	struct ms_lines *lines = userdata;
	ms_family_vec found = {0};
	uint32_t before, after;
	int r;

	lines->list.n_items = 0;
	r = ms_kernel_generation(kernel, &before);
	if (r == 0)
		r = ms_kernel_find_tables(kernel, &found);
	for (size_t i = 0; r == 0 && i < found.n_items; i++)
		r = read_table(kernel, lines, found.items[i]);
	ms_vec_fini(&found);
	/* What is gone when we ask for it was there a moment ago. */
	if (r == -ENOENT)
		r = -EINTR;
	if (r == 0)
		r = ms_kernel_generation(kernel, &after);
	if (r == 0 && before != after)
		r = -EINTR;
	return r;
}

int ms_kernel_verify(struct ms_kernel *kernel, const struct ms_ruleset *ruleset,
		     struct ms_str *difference)
{
	_cleanup_(ms_lines_fini) struct ms_lines wanted = {0}, found = {0};
	int r = ms_lines_init(&wanted);

	if (r == 0)
		r = ms_lines_init(&found);
	if (r == 0)
		r = ms_kernel_read_stable(kernel, read_all, &found);
	if (r < 0)
		return r;
	if (ruleset)
		ms_lines_ruleset(&wanted, ruleset);
	return ms_lines_compare(&wanted, &found, difference);
}
