/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encoding: the parts of a ruleset as libnftnl's objects.
 *
 * All functions return something the caller frees with libnftnl, or NULL without memory.
 */
#pragma once

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <linux/netfilter/nf_tables.h>

#include "microseg/cleanup.h"
#include "microseg/ruleset.h"

/* linux/netfilter/nf_tables.h of 6.9 and later. */
#define MS_TABLE_OWNER 0x2u
#define MS_TABLE_PERSIST 0x4u

#define MS_ANON_SET_NAME "__set%d" /* the kernel puts a number in */

MS_DEFINE_CLEANUP(struct nftnl_table *, nftnl_table_free)
MS_DEFINE_CLEANUP(struct nftnl_chain *, nftnl_chain_free)
MS_DEFINE_CLEANUP(struct nftnl_rule *, nftnl_rule_free)
MS_DEFINE_CLEANUP(struct nftnl_set *, nftnl_set_free)

/** The kernel's number of @family: NFPROTO_*. */
uint32_t ms_nft_family(enum ms_family family);
/** The other way round. Returns false for families that are not ours. */
bool ms_nft_family_of(uint32_t nfproto, enum ms_family *ret_family);

/** NF_ACCEPT, NFT_GOTO ... */
int32_t ms_nft_verdict(enum ms_verdict_kind kind);

struct nftnl_table *ms_nft_table(const struct ms_table *table, uint32_t flags);
/** @named: only what names it, for deleting. */
struct nftnl_chain *ms_nft_chain(const struct ms_table *table, const struct ms_chain *chain,
				 bool named);
/** @id: unlike any other set's in the batch. */
struct nftnl_set *ms_nft_set(const struct ms_table *table, const struct ms_set *set, uint32_t id,
			     bool named);
/** Bytes of a key of @set; one of a single field is not padded. */
size_t ms_nft_key_size(const struct ms_set *set);
/** @n_elems elements of @set, and nothing else of it. */
struct nftnl_set *ms_nft_elems(const struct ms_table *table, const struct ms_set *set,
			       const struct ms_elem *elems, size_t n_elems);
/** The anonymous set of @match, named MS_ANON_SET_NAME, with its elements. */
struct nftnl_set *ms_nft_anon_set(const struct ms_table *table, const struct ms_match_expr *match,
				  uint32_t id);

/**
 * The rule. Its anonymous sets are those of its matches, in order, and have the ids @first_id,
 * @first_id + 1 ... in the same batch; with 0 they have no ids and are called "1", "2" and so on.
 */
struct nftnl_rule *ms_nft_rule(const struct ms_table *table, const struct ms_chain *chain,
			       const struct ms_rule *rule, uint32_t first_id);
/** All rules of the chain, for deleting them. */
struct nftnl_rule *ms_nft_rules_of(const struct ms_table *table, const struct ms_chain *chain);
