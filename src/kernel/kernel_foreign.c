/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other people's chains in the way of what we let pass. An accept of ours ends our own chain alone;
 * a chain of another table at the same hook drops all the same. Told apart are those that drop what
 * they do not accept themselves, by their policy or by a rule that asks for nothing, and those with
 * rules that drop what they ask for. What a map of verdicts drops, and the chains that a rule jumps
 * to, are not looked into. What connection tracking calls invalid we drop ourselves.
 *
 * Hosts have tens of thousands of such rules, the kernel takes the longer for each the more there
 * are, and meanwhile the daemon does nothing else: what would be too many is not read at all.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "kernel_private.h"
#include "microseg/cleanup.h"
#include "nft_encode.h"

#define MAX_RULES 10000 /* that are looked at, of all chains: some 40 ms */

/* Chains of engines, in tables that they keep by themselves. */
static const char *const engine_prefixes[] = {"DOCKER", "NETAVARK", "CNI-"};

struct reading {
	struct ms_arena *arena;
	ms_foreign_vec *chains;
	MS_VEC(struct ms_foreign_chain) engines; /* tables with chains of engines */
	struct ms_foreign_chain *asked;		 /* whose rules are being read */
};

/* What the expressions of one rule do. */
struct rule {
	bool drops;
	bool asks; /* for anything but `ct state` */
	bool asks_state;
	uint32_t states; /* the mask of its states */
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
		/* Counted are its rules and whoever jumps there, which is nobody. */
		chain.n_rules = nftnl_chain_get_u32(c, NFTNL_CHAIN_USE);
	}
	if (!chain.table || !chain.name ||
	    (chain.hook ? ms_avec_push(reading->arena, reading->chains, chain)
			: ms_avec_push(reading->arena, &reading->engines, chain)) < 0) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

struct attrs {
	const struct nlattr **found;
	uint16_t n;
};

static int keep_attr(const struct nlattr *attr, void *userdata)
{
	struct attrs *attrs = userdata;

	if (mnl_attr_get_type(attr) < attrs->n)
		attrs->found[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

/* Fills @found by type, up to @n. What @nest lacks, or NULL lacks, is NULL. */
static void open_nest(const struct nlattr *nest, const struct nlattr **found, uint16_t n)
{
	struct attrs attrs = {found, n};

	memset(found, 0, n * sizeof(*found));
	if (nest)
		mnl_attr_parse_nested(nest, keep_attr, &attrs);
}

static uint32_t read_u32(const struct nlattr *attr)
{
	return attr && mnl_attr_get_payload_len(attr) == sizeof(uint32_t)
		       ? ntohl(mnl_attr_get_u32(attr))
		       : 0;
}

static bool is_text(const struct nlattr *attr, const char *text)
{
	return attr && mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 &&
	       strcmp(mnl_attr_get_str(attr), text) == 0;
}

static bool is_drop(const struct nlattr *data)
{
	const struct nlattr *immediate[NFTA_IMMEDIATE_MAX + 1], *value[NFTA_DATA_MAX + 1],
		*verdict[NFTA_VERDICT_MAX + 1];

	open_nest(data, immediate, NFTA_IMMEDIATE_MAX + 1);
	open_nest(immediate[NFTA_IMMEDIATE_DATA], value, NFTA_DATA_MAX + 1);
	open_nest(value[NFTA_DATA_VERDICT], verdict, NFTA_VERDICT_MAX + 1);
	return verdict[NFTA_VERDICT_CODE] && read_u32(verdict[NFTA_VERDICT_CODE]) == NF_DROP;
}

static bool is_state(const struct nlattr *data)
{
	const struct nlattr *ct[NFTA_CT_MAX + 1];

	open_nest(data, ct, NFTA_CT_MAX + 1);
	return ct[NFTA_CT_KEY] && read_u32(ct[NFTA_CT_KEY]) == NFT_CT_STATE;
}

/* The kernel keeps states in its own byte order. */
static uint32_t mask_of(const struct nlattr *data)
{
	const struct nlattr *bitwise[NFTA_BITWISE_MAX + 1], *value[NFTA_DATA_MAX + 1];
	uint32_t mask = 0;

	open_nest(data, bitwise, NFTA_BITWISE_MAX + 1);
	open_nest(bitwise[NFTA_BITWISE_MASK], value, NFTA_DATA_MAX + 1);
	if (value[NFTA_DATA_VALUE] &&
	    mnl_attr_get_payload_len(value[NFTA_DATA_VALUE]) == sizeof(mask))
		memcpy(&mask, mnl_attr_get_payload(value[NFTA_DATA_VALUE]), sizeof(mask));
	return mask;
}

static void read_expr(const struct nlattr *elem, struct rule *rule)
{
	const struct nlattr *expr[NFTA_EXPR_MAX + 1];

	open_nest(elem, expr, NFTA_EXPR_MAX + 1);
	const struct nlattr *name = expr[NFTA_EXPR_NAME], *data = expr[NFTA_EXPR_DATA];
	if (is_text(name, "reject") || (is_text(name, "immediate") && is_drop(data)))
		rule->drops = true;
	else if (is_text(name, "ct") && is_state(data))
		rule->asks_state = true;
	else if (is_text(name, "bitwise") && rule->asks_state && rule->states == 0)
		rule->states = mask_of(data);
	else if (!is_text(name, "counter") && !is_text(name, "log") &&
		 !(is_text(name, "cmp") && rule->states != 0))
		rule->asks = true;
}

static int note_rule(const struct nlmsghdr *nlh, void *userdata)
{
	const struct nlattr *found[NFTA_RULE_MAX + 1] = {0}, *elem;
	struct attrs attrs = {found, NFTA_RULE_MAX + 1};
	struct reading *reading = userdata;
	struct rule rule = {0};

	mnl_attr_parse(nlh, sizeof(struct nfgenmsg), keep_attr, &attrs);
	/* Old kernels list the rules of other chains too. */
	if (!is_text(found[NFTA_RULE_TABLE], reading->asked->table) ||
	    !is_text(found[NFTA_RULE_CHAIN], reading->asked->name) || !found[NFTA_RULE_EXPRESSIONS])
		return MNL_CB_OK;
	mnl_attr_for_each_nested(elem, found[NFTA_RULE_EXPRESSIONS]) read_expr(elem, &rule);
	if (rule.drops && !rule.asks && !rule.asks_state)
		reading->asked->drops = true;
	else if (rule.drops && (rule.asks || rule.states != NF_CT_STATE_INVALID_BIT))
		reading->asked->drops_some = true;
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
	int r = ms_kernel_query(kernel, nlh, note_rule, reading);
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
	uint32_t left = MAX_RULES;
	size_t n = 0;

	reading->chains->n_items = 0;
	reading->engines.n_items = 0;
	int r = ms_kernel_dump(kernel, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, keep_chain, reading);
	ms_vec_each (struct ms_foreign_chain, chain, reading->chains) {
		chain->unread = !chain->drops && chain->n_rules > left;
		left -= chain->drops || chain->unread ? 0 : chain->n_rules;
		if (r == 0 && !chain->drops && !chain->unread)
			r = look_into(kernel, reading, chain);
		ms_vec_each (struct ms_foreign_chain, engine, &reading->engines)
			chain->engine = chain->engine || same_table(chain, engine);
		if (chain->drops || chain->drops_some || chain->unread)
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
