/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft_encode.h"

#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter_arp.h>
#include <string.h>

#include "microseg/ruleset_match.h"
#include "nft_expr.h"

static const uint32_t nfprotos[] = {
	[MS_FAMILY_INET] = NFPROTO_INET,
	[MS_FAMILY_BRIDGE] = NFPROTO_BRIDGE,
	[MS_FAMILY_ARP] = NFPROTO_ARP,
};

uint32_t ms_nft_family(enum ms_family family)
{
	return nfprotos[family];
}

bool ms_nft_family_of(uint32_t nfproto, enum ms_family *ret_family)
{
	for (size_t i = 0; i < sizeof(nfprotos) / sizeof(*nfprotos); i++)
		if (nfprotos[i] == nfproto) {
			*ret_family = (enum ms_family)i;
			return true;
		}
	return false;
}

struct nftnl_table *ms_nft_table(const struct ms_table *table, uint32_t flags)
{
	_cleanup_(nftnl_table_freep) struct nftnl_table *t = nftnl_table_alloc();

	if (!t || nftnl_table_set_str(t, NFTNL_TABLE_NAME, table->name) < 0)
		return NULL;
	nftnl_table_set_u32(t, NFTNL_TABLE_FAMILY, ms_nft_family(table->family));
	nftnl_table_set_u32(t, NFTNL_TABLE_FLAGS, flags);
	return ms_steal(&t);
}

/* Chains. */

static uint32_t hook_number(enum ms_family family, enum ms_hook hook)
{
	if (family == MS_FAMILY_ARP)
		return hook == MS_HOOK_INPUT	? NF_ARP_IN
		       : hook == MS_HOOK_OUTPUT ? NF_ARP_OUT
						: NF_ARP_FORWARD;
	/* The bridge family counts its hooks as the inet families do. */
	return hook == MS_HOOK_PREROUTING ? NF_INET_PRE_ROUTING
	       : hook == MS_HOOK_INPUT	  ? NF_INET_LOCAL_IN
	       : hook == MS_HOOK_FORWARD  ? NF_INET_FORWARD
					  : NF_INET_LOCAL_OUT;
}

struct nftnl_chain *ms_nft_chain(const struct ms_table *table, const struct ms_chain *chain,
				 bool named)
{
	_cleanup_(nftnl_chain_freep) struct nftnl_chain *c = nftnl_chain_alloc();

	if (!c || nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, table->name) < 0 ||
	    nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, chain->name) < 0)
		return NULL;
	nftnl_chain_set_u32(c, NFTNL_CHAIN_FAMILY, ms_nft_family(table->family));
	if (named || chain->hook == MS_HOOK_NONE)
		return ms_steal(&c);
	if (nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter") < 0)
		return NULL;
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, hook_number(table->family, chain->hook));
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, chain->priority);
	nftnl_chain_set_u32(c, NFTNL_CHAIN_POLICY, NF_ACCEPT);
	return ms_steal(&c);
}

/* Rules. */

static int put_comment(struct nftnl_rule *r, const char *comment)
{
	struct nftnl_udata_buf *buf;
	int result = -1;

	if (!comment)
		return 0;
	buf = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	if (!buf)
		return -1;
	if (nftnl_udata_put_strz(buf, NFTNL_UDATA_RULE_COMMENT, comment))
		result = nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(buf),
					     nftnl_udata_buf_len(buf));
	nftnl_udata_buf_free(buf);
	return result;
}

struct nftnl_rule *ms_nft_rules_of(const struct ms_table *table, const struct ms_chain *chain)
{
	_cleanup_(nftnl_rule_freep) struct nftnl_rule *r = nftnl_rule_alloc();

	if (!r || nftnl_rule_set_str(r, NFTNL_RULE_TABLE, table->name) < 0 ||
	    nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain->name) < 0)
		return NULL;
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, ms_nft_family(table->family));
	return ms_steal(&r);
}

struct nftnl_rule *ms_nft_rule(const struct ms_table *table, const struct ms_chain *chain,
			       const struct ms_rule *rule, uint32_t first_id)
{
	_cleanup_(nftnl_rule_freep) struct nftnl_rule *r = ms_nft_rules_of(table, chain);

	if (!r || put_comment(r, rule->comment) < 0 ||
	    !ms_nft_exprs(r, table->family, rule, first_id))
		return NULL;
	return ms_steal(&r);
}
