/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules as the kernel's expressions.
 *
 * A field is loaded from the row of the match table into a register, then compared or looked up.
 * Before it come the comparisons that the row implies, once a rule, in the form in which nft
 * recognises and hides them.
 */
#include "nft_expr.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "microseg/ruleset_match.h"
#include "nft_encode.h"

struct encoder {
	struct nftnl_rule *rule;
	enum ms_family family;
	uint32_t next_id; /* of the next anonymous set; 0: they have no ids, and numbers as names */
	uint32_t n_anon;
	bool failed;
	/* What expressions before this one have established. */
	enum ms_ip ip;
	bool arp;
	uint8_t l4proto;
};

/* Registers are 16 bytes wide by their old numbers, 4 by their new; the kernel answers with the old
 * where it can. */
static uint32_t register_at(size_t offset)
{
	return (uint32_t)(offset % 16 == 0 ? NFT_REG_1 + offset / 16 : NFT_REG32_00 + offset / 4);
}

/* Never NULL: without memory it is a spare that ends up nowhere. */
static struct nftnl_expr *add_expr(struct encoder *e, const char *name)
{
	struct nftnl_expr *expr = nftnl_expr_alloc(name);

	if (expr)
		nftnl_rule_add_expr(e->rule, expr);
	else
		e->failed = true;
	return expr;
}

static void put_u32(struct nftnl_expr *expr, uint16_t attribute, uint32_t value)
{
	if (expr)
		nftnl_expr_set_u32(expr, attribute, value);
}

static void put_data(struct encoder *e, struct nftnl_expr *expr, uint16_t attribute,
		     const void *data, size_t size)
{
	if (expr && nftnl_expr_set(expr, attribute, data, (uint32_t)size) < 0)
		e->failed = true;
}

static void put_str(struct encoder *e, struct nftnl_expr *expr, uint16_t attribute,
		    const char *text)
{
	if (expr && nftnl_expr_set_str(expr, attribute, text) < 0)
		e->failed = true;
}

static void add_cmp(struct encoder *e, uint32_t op, const void *value, size_t size)
{
	struct nftnl_expr *expr = add_expr(e, "cmp");

	put_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
	put_u32(expr, NFTNL_EXPR_CMP_OP, op);
	put_data(e, expr, NFTNL_EXPR_CMP_DATA, value, size);
}

/* reg 1 = reg 1 & @mask */
static void add_mask(struct encoder *e, const void *mask, size_t size)
{
	static const uint8_t zero[MS_VALUE_SIZE];
	struct nftnl_expr *expr = add_expr(e, "bitwise");

	put_u32(expr, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
	put_u32(expr, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
	put_u32(expr, NFTNL_EXPR_BITWISE_LEN, (uint32_t)size);
	put_data(e, expr, NFTNL_EXPR_BITWISE_MASK, mask, size);
	put_data(e, expr, NFTNL_EXPR_BITWISE_XOR, zero, size);
}

/* Loading a field. */

static void add_meta(struct encoder *e, uint32_t key, uint32_t dreg)
{
	struct nftnl_expr *expr = add_expr(e, "meta");

	put_u32(expr, NFTNL_EXPR_META_KEY, key);
	put_u32(expr, NFTNL_EXPR_META_DREG, dreg);
}

static void add_payload(struct encoder *e, uint32_t base, uint32_t offset, uint32_t size,
			uint32_t dreg)
{
	struct nftnl_expr *expr = add_expr(e, "payload");

	put_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, base);
	put_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
	put_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, size);
	put_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, dreg);
}

static void add_exthdr(struct encoder *e, uint32_t op, uint32_t type, uint32_t dreg)
{
	struct nftnl_expr *expr = add_expr(e, "exthdr");

	put_u32(expr, NFTNL_EXPR_EXTHDR_DREG, dreg);
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_EXTHDR_TYPE, (uint8_t)type);
	put_u32(expr, NFTNL_EXPR_EXTHDR_OFFSET, 0);
	put_u32(expr, NFTNL_EXPR_EXTHDR_LEN, 1);
	put_u32(expr, NFTNL_EXPR_EXTHDR_FLAGS, NFT_EXTHDR_F_PRESENT);
	put_u32(expr, NFTNL_EXPR_EXTHDR_OP, op);
}

static void add_fib(struct encoder *e, uint32_t result, uint32_t flags, uint32_t dreg)
{
	struct nftnl_expr *expr = add_expr(e, "fib");

	put_u32(expr, NFTNL_EXPR_FIB_DREG, dreg);
	put_u32(expr, NFTNL_EXPR_FIB_RESULT, result);
	put_u32(expr, NFTNL_EXPR_FIB_FLAGS, flags);
}

static void add_ct(struct encoder *e, const struct ms_field_row *row, uint32_t dreg)
{
	struct nftnl_expr *expr = add_expr(e, "ct");

	put_u32(expr, NFTNL_EXPR_CT_KEY, row->key);
	if (expr && row->directed)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_CT_DIR, (uint8_t)row->direction);
	put_u32(expr, NFTNL_EXPR_CT_DREG, dreg);
}

static void load_field(struct encoder *e, const struct ms_field_row *row, uint32_t dreg)
{
	switch (row->load) {
	case MS_LOAD_META:
		add_meta(e, row->key, dreg);
		break;
	case MS_LOAD_CT:
		add_ct(e, row, dreg);
		break;
	case MS_LOAD_FIB:
		add_fib(e, row->key, row->flag, dreg);
		break;
	case MS_LOAD_LINK:
		add_payload(e, NFT_PAYLOAD_LL_HEADER, row->offset, row->size, dreg);
		break;
	case MS_LOAD_NETWORK:
		add_payload(e, NFT_PAYLOAD_NETWORK_HEADER, row->offset, row->size, dreg);
		break;
	case MS_LOAD_TRANSPORT:
		add_payload(e, NFT_PAYLOAD_TRANSPORT_HEADER, row->offset, row->size, dreg);
		break;
	case MS_LOAD_IP_OPTION:
		add_exthdr(e, NFT_EXTHDR_OP_IPV4, row->key, dreg);
		break;
	case MS_LOAD_EXTHDR:
		add_exthdr(e, NFT_EXTHDR_OP_IPV6, row->key, dreg);
		break;
	}
}

/* What a field implies. */

static void require_ip(struct encoder *e, enum ms_ip ip)
{
	uint8_t nfproto = ip == MS_IP4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
	uint16_t ether_type = htons(ip == MS_IP4 ? ETH_P_IP : ETH_P_IPV6);

	if (e->ip == ip)
		return;
	e->ip = ip;
	if (e->family == MS_FAMILY_BRIDGE) {
		add_meta(e, NFT_META_PROTOCOL, NFT_REG_1);
		add_cmp(e, NFT_CMP_EQ, &ether_type, sizeof(ether_type));
	} else {
		add_meta(e, NFT_META_NFPROTO, NFT_REG_1);
		add_cmp(e, NFT_CMP_EQ, &nfproto, sizeof(nfproto));
	}
}

/* In an arp table there is nothing else. */
static void require_arp(struct encoder *e)
{
	uint16_t ether_type = htons(ETH_P_ARP);

	if (e->arp || e->family == MS_FAMILY_ARP)
		return;
	e->arp = true;
	add_payload(e, NFT_PAYLOAD_LL_HEADER, offsetof(struct ethhdr, h_proto), sizeof(ether_type),
		    NFT_REG_1);
	add_cmp(e, NFT_CMP_EQ, &ether_type, sizeof(ether_type));
}

static void require_l4proto(struct encoder *e, uint8_t l4proto)
{
	if (e->l4proto == l4proto)
		return;
	e->l4proto = l4proto;
	add_meta(e, NFT_META_L4PROTO, NFT_REG_1);
	add_cmp(e, NFT_CMP_EQ, &l4proto, sizeof(l4proto));
}

static void require_implied(struct encoder *e, size_t n_fields, const enum ms_field *fields)
{
	for (size_t i = 0; i < n_fields; i++) {
		const struct ms_field_row *row = ms_field_row(fields[i]);

		if (row->needs_ip != MS_IP_NONE)
			require_ip(e, row->needs_ip);
		if (row->needs_arp)
			require_arp(e);
		if (row->needs_l4proto)
			require_l4proto(e, row->needs_l4proto);
	}
}

/* A rule that tests these itself need not be helped again. */
static void note_established(struct encoder *e, const struct ms_match_expr *match)
{
	uint16_t ether_type;

	if (match->kind != MS_MATCH_VALUE || match->negate)
		return;
	if (match->fields[0] == MS_FIELD_L4PROTO)
		e->l4proto = match->values[0][0];
	if (match->fields[0] != MS_FIELD_ETHER_TYPE)
		return;
	memcpy(&ether_type, match->values[0], sizeof(ether_type));
	e->ip = ether_type == htons(ETH_P_IP)	  ? MS_IP4
		: ether_type == htons(ETH_P_IPV6) ? MS_IP6
						  : MS_IP_NONE;
	e->arp = ether_type == htons(ETH_P_ARP);
}

/* Loads @fields side by side, as a set key has them. */
static void load_key(struct encoder *e, size_t n_fields, const enum ms_field *fields)
{
	size_t offset = 0;

	require_implied(e, n_fields, fields);
	for (size_t i = 0; i < n_fields; i++) {
		load_field(e, ms_field_row(fields[i]), register_at(offset));
		offset += ms_field_padded(fields[i]);
	}
}

/* Matches. */

static void add_lookup(struct encoder *e, const char *set, uint32_t id, bool negate)
{
	struct nftnl_expr *expr = add_expr(e, "lookup");

	put_u32(expr, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	put_str(e, expr, NFTNL_EXPR_LOOKUP_SET, set);
	if (id)
		put_u32(expr, NFTNL_EXPR_LOOKUP_SET_ID, id);
	put_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS, negate ? NFT_LOOKUP_F_INV : 0);
}

static void add_anon_lookup(struct encoder *e, bool negate)
{
	char number[16];

	e->n_anon++;
	if (e->next_id) {
		add_lookup(e, MS_ANON_SET_NAME, e->next_id++, negate);
		return;
	}
	snprintf(number, sizeof(number), "%u", e->n_anon);
	add_lookup(e, number, 0, negate);
}

/* Does it hold when a bit of @mask is set? */
static void add_bit_test(struct encoder *e, uint32_t mask, bool negate)
{
	uint32_t none = 0;

	add_mask(e, &mask, sizeof(mask));
	add_cmp(e, negate ? NFT_CMP_EQ : NFT_CMP_NEQ, &none, sizeof(none));
}

static void add_value(struct encoder *e, const struct ms_match_expr *match)
{
	const struct ms_field_row *row = ms_field_row(match->fields[0]);
	size_t size = row->size;
	uint32_t flag;

	if (match->fields[0] == MS_FIELD_CT_STATE && !match->negate) {
		memcpy(&flag, match->values[0], sizeof(flag));
		add_bit_test(e, flag, false);
		return;
	}
	if (match->mask)
		add_mask(e, &match->mask, sizeof(match->mask));
	if (row->value == MS_VALUE_NAME && !ms_name_is_prefix(match->values[0], &size))
		size = row->size;
	add_cmp(e, match->negate ? NFT_CMP_NEQ : NFT_CMP_EQ, match->values[0], size);
}

/* The mask of addresses that share what @first and @last share; false when the range is no prefix.
 */
static bool prefix_mask(const struct ms_match_expr *match, const struct ms_field_row *row,
			uint8_t *mask)
{
	struct ms_range range;
	struct ms_prefix prefix;

	if (row->value != MS_VALUE_IP4 && row->value != MS_VALUE_IP6)
		return false;
	if (ms_addr_from_bytes(match->values[0], row->size, &range.first) < 0 ||
	    ms_addr_from_bytes(match->values[1], row->size, &range.last) < 0 ||
	    !ms_range_prefix(&range, &prefix))
		return false;
	for (size_t i = 0; i < row->size; i++)
		mask[i] = (uint8_t) ~(match->values[0][i] ^ match->values[1][i]);
	return true;
}

static void add_range(struct encoder *e, const struct ms_match_expr *match)
{
	const struct ms_field_row *row = ms_field_row(match->fields[0]);
	uint8_t mask[MS_VALUE_SIZE];

	if (prefix_mask(match, row, mask)) {
		add_mask(e, mask, row->size);
		add_cmp(e, match->negate ? NFT_CMP_NEQ : NFT_CMP_EQ, match->values[0], row->size);
		return;
	}
	if (!match->negate) {
		add_cmp(e, NFT_CMP_GTE, match->values[0], row->size);
		add_cmp(e, NFT_CMP_LTE, match->values[1], row->size);
		return;
	}
	struct nftnl_expr *expr = add_expr(e, "range");

	put_u32(expr, NFTNL_EXPR_RANGE_SREG, NFT_REG_1);
	put_u32(expr, NFTNL_EXPR_RANGE_OP, NFT_RANGE_NEQ);
	put_data(e, expr, NFTNL_EXPR_RANGE_FROM_DATA, match->values[0], row->size);
	put_data(e, expr, NFTNL_EXPR_RANGE_TO_DATA, match->values[1], row->size);
}

static void add_present(struct encoder *e, const struct ms_match_expr *match)
{
	const struct ms_field_row *row = ms_field_row(match->fields[0]);
	uint8_t present = !match->negate;
	uint32_t found = !match->negate;

	if (row->load == MS_LOAD_CT)
		add_bit_test(e, row->flag, match->negate);
	else if (row->load == MS_LOAD_FIB)
		add_cmp(e, NFT_CMP_EQ, &found, sizeof(found));
	else
		add_cmp(e, NFT_CMP_EQ, &present, sizeof(present));
}

static void add_match(struct encoder *e, const struct ms_match_expr *match)
{
	load_key(e, match->n_fields, match->fields);
	switch (match->kind) {
	case MS_MATCH_VALUE:
		add_value(e, match);
		break;
	case MS_MATCH_RANGE:
		add_range(e, match);
		break;
	case MS_MATCH_ANON_SET:
		add_anon_lookup(e, match->negate);
		break;
	case MS_MATCH_SET:
		add_lookup(e, match->set, 0, match->negate);
		break;
	case MS_MATCH_PRESENT:
		add_present(e, match);
		break;
	}
	note_established(e, match);
}

/* Statements. */

static void add_verdict(struct encoder *e, const struct ms_rule_verdict *verdict)
{
	struct nftnl_expr *expr = add_expr(e, "immediate");

	put_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	put_u32(expr, NFTNL_EXPR_IMM_VERDICT, (uint32_t)ms_nft_verdict(verdict->kind));
	if (verdict->chain)
		put_str(e, expr, NFTNL_EXPR_IMM_CHAIN, verdict->chain);
}

static void add_log(struct encoder *e, const struct ms_stmt *stmt)
{
	struct nftnl_expr *expr = add_expr(e, "log");

	put_str(e, expr, NFTNL_EXPR_LOG_PREFIX, stmt->log.prefix);
	if (!expr)
		return;
	nftnl_expr_set_u16(expr, NFTNL_EXPR_LOG_GROUP, stmt->log.group);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_LOG_SNAPLEN, stmt->log.snaplen);
	nftnl_expr_set_u16(expr, NFTNL_EXPR_LOG_QTHRESHOLD, stmt->log.queue_threshold);
}

static void add_set_priority(struct encoder *e, uint32_t priority)
{
	struct nftnl_expr *immediate = add_expr(e, "immediate");
	struct nftnl_expr *meta = add_expr(e, "meta");

	put_u32(immediate, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
	put_data(e, immediate, NFTNL_EXPR_IMM_DATA, &priority, sizeof(priority));
	put_u32(meta, NFTNL_EXPR_META_KEY, NFT_META_PRIORITY);
	put_u32(meta, NFTNL_EXPR_META_SREG, NFT_REG_1);
}

static void add_reject(struct encoder *e, uint32_t type, uint8_t code)
{
	struct nftnl_expr *expr = add_expr(e, "reject");

	put_u32(expr, NFTNL_EXPR_REJECT_TYPE, type);
	if (expr)
		nftnl_expr_set_u8(expr, NFTNL_EXPR_REJECT_CODE, code);
}

static void add_vmap(struct encoder *e, const struct ms_stmt *stmt)
{
	load_key(e, stmt->n_fields, stmt->fields);
	struct nftnl_expr *expr = add_expr(e, "lookup");

	put_u32(expr, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
	put_u32(expr, NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
	put_str(e, expr, NFTNL_EXPR_LOOKUP_SET, stmt->map);
	put_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS, 0);
}

/*
 * What is counted stands here and not in the set: rules that add to a set with such an expression
 * of its own give back, when they go, a hold on connection tracking that they never took (seen on
 * 6.18), and after a few changes the kernel tracks nothing any more, for nobody.
 */
static void add_count(struct encoder *e, struct nftnl_expr *to, uint32_t count_over)
{
	struct nftnl_expr *expr = nftnl_expr_alloc("connlimit");

	if (!expr || !to) {
		e->failed = true;
		return;
	}
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CONNLIMIT_COUNT, count_over);
	nftnl_expr_set_u32(expr, NFTNL_EXPR_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
	nftnl_expr_set(to, NFTNL_EXPR_DYNSET_EXPR, expr, 0);
}

static void add_to_set(struct encoder *e, const struct ms_stmt *stmt)
{
	load_key(e, stmt->n_fields, stmt->fields);
	struct nftnl_expr *expr = add_expr(e, "dynset");

	put_u32(expr, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG_1);
	put_u32(expr, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_ADD);
	put_str(e, expr, NFTNL_EXPR_DYNSET_SET_NAME, stmt->map);
	if (stmt->count_over)
		add_count(e, expr, stmt->count_over);
}

static void add_counter(struct encoder *e)
{
	struct nftnl_expr *expr = add_expr(e, "counter");

	if (expr) {
		nftnl_expr_set_u64(expr, NFTNL_EXPR_CTR_PACKETS, 0);
		nftnl_expr_set_u64(expr, NFTNL_EXPR_CTR_BYTES, 0);
	}
}

static void add_stmt(struct encoder *e, const struct ms_stmt *stmt)
{
	switch (stmt->kind) {
	case MS_STMT_COUNTER:
		add_counter(e);
		break;
	case MS_STMT_LOG:
		add_log(e, stmt);
		break;
	case MS_STMT_SET_PRIORITY:
		add_set_priority(e, stmt->priority);
		break;
	case MS_STMT_REJECT_RESET:
		add_reject(e, NFT_REJECT_TCP_RST, 0);
		break;
	case MS_STMT_REJECT_ADMIN:
		add_reject(e, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
		break;
	case MS_STMT_VERDICT:
		add_verdict(e, &stmt->verdict);
		break;
	case MS_STMT_ADD:
		add_to_set(e, stmt);
		break;
	case MS_STMT_VMAP:
		add_vmap(e, stmt);
		break;
	}
}

bool ms_nft_exprs(struct nftnl_rule *to, enum ms_family family, const struct ms_rule *rule,
		  uint32_t first_id)
{
	struct encoder e = {.rule = to, .family = family, .next_id = first_id};

	ms_vec_each (struct ms_match_expr, match, &rule->matches)
		add_match(&e, match);
	ms_vec_each (struct ms_stmt, stmt, &rule->stmts)
		add_stmt(&e, stmt);
	return !e.failed;
}
