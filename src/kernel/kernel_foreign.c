/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other people's chains in the way of what we let pass. An accept of ours ends our own chain alone;
 * a chain of another table at the same hook drops all the same. Told of are those that drop what
 * they do not accept themselves: by their policy, or by a rule that asks for nothing. What other
 * rules of theirs drop is not looked into, and the old iptables, which is no part of nf_tables, is
 * not seen.
 */
#include <stdio.h> /* expr.h does not include it */

#include <errno.h>
#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "kernel_private.h"
#include "microseg/cleanup.h"
#include "nft_encode.h"

/* Chains of engines, in tables that they keep by themselves. */
static const char *const engine_prefixes[] = {"DOCKER", "NETAVARK", "CNI-"};

struct reading {
	struct ms_arena *arena;
	ms_foreign_vec *chains;
	MS_VEC(struct ms_foreign_chain) engines; /* tables with chains of engines */
	const struct ms_foreign_chain *asked;	 /* whose rules are being read */
	bool drops;
};

static const char *family_name(uint32_t family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	case NFPROTO_INET:
		return "inet";
	case NFPROTO_BRIDGE:
		return "bridge";
	default:
		return NULL; /* what passes there is none of ours */
	}
}

static bool is_engines(const char *chain)
{
	for (size_t i = 0; i < sizeof(engine_prefixes) / sizeof(engine_prefixes[0]); i++)
		if (strncmp(chain, engine_prefixes[i], strlen(engine_prefixes[i])) == 0)
			return true;
	return false;
}

static int keep_chain(const struct nlmsghdr *nlh, void *userdata)
{
	static const char *const hooks[] = {"prerouting", "input", "forward", "output",
					    "postrouting"};
	_cleanup_(nftnl_chain_freep) struct nftnl_chain *c = nftnl_chain_alloc();
	struct reading *reading = userdata;

	if (!c || nftnl_chain_nlmsg_parse(nlh, c) < 0)
		return MNL_CB_ERROR;
	const char *family = family_name(nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY));
	const char *table = nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE);
	const char *name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME);
	bool base = nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM);

	if (!family || !table || !name || strcmp(table, MS_TABLE) == 0 ||
	    (!base && !is_engines(name)))
		return MNL_CB_OK;
	struct ms_foreign_chain chain = {
		.family = family,
		.nfproto = nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY),
		.table = ms_arena_strdup(reading->arena, table),
		.name = ms_arena_strdup(reading->arena, name),
	};
	if (base &&
	    nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM) < sizeof(hooks) / sizeof(hooks[0])) {
		chain.hook = hooks[nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM)];
		chain.priority = nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO);
		chain.drops = nftnl_chain_is_set(c, NFTNL_CHAIN_POLICY) &&
			      nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) == NF_DROP;
	}
	if (!chain.table || !chain.name ||
	    (chain.hook ? ms_avec_push(reading->arena, reading->chains, chain)
			: ms_avec_push(reading->arena, &reading->engines, chain)) < 0) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

/* Does it ask for nothing, and drop? */
static int note_rule(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_rule_freep) struct nftnl_rule *r = nftnl_rule_alloc();
	struct reading *reading = userdata;
	bool drops = false, asks = false;

	if (!r || nftnl_rule_nlmsg_parse(nlh, r) < 0)
		return MNL_CB_ERROR;
	/* Old kernels list the rules of other chains too. */
	if (strcmp(nftnl_rule_get_str(r, NFTNL_RULE_TABLE), reading->asked->table) != 0 ||
	    strcmp(nftnl_rule_get_str(r, NFTNL_RULE_CHAIN), reading->asked->name) != 0)
		return MNL_CB_OK;
	struct nftnl_expr_iter *iter = nftnl_expr_iter_create(r);
	if (!iter)
		return MNL_CB_ERROR;
	for (struct nftnl_expr *e; (e = nftnl_expr_iter_next(iter));) {
		const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);

		if (strcmp(name, "reject") == 0 ||
		    (strcmp(name, "immediate") == 0 &&
		     nftnl_expr_is_set(e, NFTNL_EXPR_IMM_VERDICT) &&
		     nftnl_expr_get_u32(e, NFTNL_EXPR_IMM_VERDICT) == NF_DROP))
			drops = true;
		else if (strcmp(name, "counter") != 0 && strcmp(name, "log") != 0)
			asks = true;
	}
	nftnl_expr_iter_destroy(iter);
	reading->drops = reading->drops || (drops && !asks);
	return MNL_CB_OK;
}

static int look_into(struct ms_kernel *kernel, struct reading *reading,
		     struct ms_foreign_chain *chain)
{
	char request[MNL_NLMSG_HDRLEN + 1024];
	struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(request, NFT_MSG_GETRULE,
						     (uint16_t)chain->nfproto, NLM_F_DUMP, 0);

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, chain->table);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain->name);
	reading->asked = chain;
	reading->drops = false;
	int r = ms_kernel_query(kernel, nlh, note_rule, reading);
	chain->drops = reading->drops;
	/* Gone since it was listed. */
	return r == -ENOENT ? -EINTR : r;
}

static bool same_table(const struct ms_foreign_chain *a, const struct ms_foreign_chain *b)
{
	return a->nfproto == b->nfproto && strcmp(a->table, b->table) == 0;
}

static int read_all(struct ms_kernel *kernel, void *userdata)
{
	struct reading *reading = userdata;
	size_t n = 0;

	reading->chains->n_items = 0;
	reading->engines.n_items = 0;
	int r = ms_kernel_dump(kernel, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, keep_chain, reading);
	ms_vec_each (struct ms_foreign_chain, chain, reading->chains) {
		if (r == 0 && !chain->drops)
			r = look_into(kernel, reading, chain);
		ms_vec_each (struct ms_foreign_chain, engine, &reading->engines)
			chain->engine = chain->engine || same_table(chain, engine);
		if (chain->drops)
			reading->chains->items[n++] = *chain;
	}
	reading->chains->n_items = n;
	return r;
}

int ms_kernel_foreign(struct ms_kernel *kernel, struct ms_arena *arena, ms_foreign_vec *ret_chains)
{
	struct reading reading = {.arena = arena, .chains = ret_chains};

	return ms_kernel_read_stable(kernel, read_all, &reading);
}
