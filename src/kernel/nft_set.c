/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets, maps and their elements as libnftnl's objects.
 *
 * Beside what the kernel needs go two things for nft's listing, which the kernel only keeps: the
 * byte order of the key, and for keys whose type has no name a description of the fields, from
 * which nft writes `typeof ...`.
 */
#include <stdio.h>

#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <string.h>
#include <time.h>

#include "microseg/ruleset_match.h"
#include "nft_encode.h"
#include "ruleset/implied.h"

#define TYPE_BITS 6 /* of one field in the type of a concatenation */

/* nft's own numbers in its descriptions of fields. */
enum {
	BYTE_ORDER_NONE = 0,
	BYTE_ORDER_HOST = 1,
	BYTE_ORDER_BIG = 2,
	EXPR_PAYLOAD = 7,
	EXPR_META = 9,
	EXPR_CT = 12,
	EXPR_CONCAT = 13,
	META_KEY = 0,
	CT_KEY = 0,
	CT_DIRECTION = 1,
	PAYLOAD_DESC = 0,
	PAYLOAD_TYPE = 1,
	PAYLOAD_BASE = 2,
	PAYLOAD_OFFSET = 3,
	PAYLOAD_LEN = 4,
	DESC_RAW = 0,
	DESC_ETHER = 17,
	ETHER_DADDR = 1,
	ETHER_SADDR = 2,
	BASE_TRANSPORT = 3,
};

MS_DEFINE_CLEANUP(struct nftnl_udata_buf *, nftnl_udata_buf_free)

static void describe_payload(struct nftnl_udata_buf *buf, enum ms_field field)
{
	const struct ms_field_row *row = ms_field_row(field);

	nftnl_udata_put_u32(buf, NFTNL_UDATA_SET_TYPEOF_EXPR, EXPR_PAYLOAD);
	struct nftnl_udata *nest = nftnl_udata_nest_start(buf, NFTNL_UDATA_SET_TYPEOF_DATA);

	if (row->load == MS_LOAD_LINK) {
		nftnl_udata_put_u32(buf, PAYLOAD_DESC, DESC_ETHER);
		nftnl_udata_put_u32(buf, PAYLOAD_TYPE,
				    field == MS_FIELD_ETHER_SADDR ? ETHER_SADDR : ETHER_DADDR);
	} else {
		nftnl_udata_put_u32(buf, PAYLOAD_DESC, DESC_RAW);
		nftnl_udata_put_u32(buf, PAYLOAD_TYPE, 0);
		nftnl_udata_put_u32(buf, PAYLOAD_BASE, BASE_TRANSPORT);
		nftnl_udata_put_u32(buf, PAYLOAD_OFFSET, row->offset * 8u);
		nftnl_udata_put_u32(buf, PAYLOAD_LEN, row->size * 8u);
	}
	nftnl_udata_nest_end(buf, nest);
}

static void describe_ct(struct nftnl_udata_buf *buf, const struct ms_field_row *row)
{
	static const uint32_t any_direction = UINT32_MAX;

	nftnl_udata_put_u32(buf, NFTNL_UDATA_SET_TYPEOF_EXPR, EXPR_CT);
	struct nftnl_udata *nest = nftnl_udata_nest_start(buf, NFTNL_UDATA_SET_TYPEOF_DATA);

	nftnl_udata_put_u32(buf, CT_KEY, row->key);
	nftnl_udata_put_u32(buf, CT_DIRECTION, any_direction);
	nftnl_udata_nest_end(buf, nest);
}

static void describe_field(struct nftnl_udata_buf *buf, enum ms_field field)
{
	const struct ms_field_row *row = ms_field_row(field);

	if (row->load == MS_LOAD_CT) {
		describe_ct(buf, row);
		return;
	}
	if (row->load != MS_LOAD_META) {
		describe_payload(buf, field);
		return;
	}
	nftnl_udata_put_u32(buf, NFTNL_UDATA_SET_TYPEOF_EXPR, EXPR_META);
	struct nftnl_udata *nest = nftnl_udata_nest_start(buf, NFTNL_UDATA_SET_TYPEOF_DATA);

	nftnl_udata_put_u32(buf, META_KEY, row->key);
	nftnl_udata_nest_end(buf, nest);
}

/* typeof a . b: one numbered description a field. */
static void describe_concat(struct nftnl_udata_buf *buf, const struct ms_set *set)
{
	nftnl_udata_put_u32(buf, NFTNL_UDATA_SET_TYPEOF_EXPR, EXPR_CONCAT);
	struct nftnl_udata *all = nftnl_udata_nest_start(buf, NFTNL_UDATA_SET_TYPEOF_DATA);

	for (size_t i = 0; i < set->n_fields; i++) {
		struct nftnl_udata *one = nftnl_udata_nest_start(buf, (uint8_t)i);

		describe_field(buf, set->fields[i]);
		nftnl_udata_nest_end(buf, one);
	}
	nftnl_udata_nest_end(buf, all);
}

static void describe_typeof(struct nftnl_udata_buf *buf, const struct ms_set *set)
{
	struct nftnl_udata *nest = nftnl_udata_nest_start(buf, NFTNL_UDATA_SET_KEY_TYPEOF);

	if (set->n_fields > 1)
		describe_concat(buf, set);
	else
		describe_field(buf, set->fields[0]);
	nftnl_udata_nest_end(buf, nest);
}

static int describe_set(struct nftnl_set *s, const struct ms_set *set, bool anonymous)
{
	_cleanup_(nftnl_udata_buf_freep) struct nftnl_udata_buf *buf =
		nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	uint32_t order = set->n_fields > 1			    ? BYTE_ORDER_NONE
			 : ms_field_row(set->fields[0])->host_order ? BYTE_ORDER_HOST
								    : BYTE_ORDER_BIG;

	if (!buf)
		return -1;
	nftnl_udata_put_u32(buf, NFTNL_UDATA_SET_KEYBYTEORDER, order);
	if (!anonymous && ms_set_needs_typeof(set))
		describe_typeof(buf, set);
	return nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(buf),
				  nftnl_udata_buf_len(buf));
}

static uint32_t key_type(const struct ms_set *set)
{
	uint32_t type = 0;

	for (size_t i = 0; i < set->n_fields; i++)
		type = type << TYPE_BITS | ms_field_row(set->fields[i])->type_id;
	return type;
}

size_t ms_nft_key_size(const struct ms_set *set)
{
	return set->n_fields > 1 ? ms_set_key_size(set) : ms_field_row(set->fields[0])->size;
}

static struct nftnl_set *name_set(const struct ms_table *table, const char *name)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s = nftnl_set_alloc();

	if (!s || nftnl_set_set_str(s, NFTNL_SET_TABLE, table->name) < 0 ||
	    nftnl_set_set_str(s, NFTNL_SET_NAME, name) < 0)
		return NULL;
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, ms_nft_family(table->family));
	return ms_steal(&s);
}

static struct nftnl_set *declare_set(const struct ms_table *table, const struct ms_set *set,
				     uint32_t id, uint32_t flags)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s = name_set(table, set->name);

	if (!s || describe_set(s, set, flags & NFT_SET_ANONYMOUS) < 0)
		return NULL;
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, flags);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, key_type(set));
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, (uint32_t)ms_nft_key_size(set));
	if (set->map)
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT);
	if (set->map)
		nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, 0);
	if (set->size)
		nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, set->size);
	return ms_steal(&s);
}

/* The kernel gives each element a copy of it. */
static int put_counter(struct nftnl_set *s)
{
	struct nftnl_expr *counter = nftnl_expr_alloc("counter");

	if (!counter)
		return -1;
	nftnl_set_add_expr(s, counter);
	return 0;
}

struct nftnl_set *ms_nft_set(const struct ms_table *table, const struct ms_set *set, uint32_t id,
			     bool named)
{
	if (named)
		return name_set(table, set->name);
	_cleanup_(nftnl_set_freep) struct nftnl_set *s = declare_set(
		table, set, id,
		(set->interval ? NFT_SET_INTERVAL : 0u) | (set->map ? NFT_SET_MAP : 0u) |
			(set->timed ? NFT_SET_TIMEOUT : 0u) | (set->dynamic ? NFT_SET_EVAL : 0u));

	if (s && set->counts && put_counter(s) < 0)
		return NULL;
	return ms_steal(&s);
}

/* Elements. */

int32_t ms_nft_verdict(enum ms_verdict_kind kind)
{
	static const int32_t verdicts[] = {
		[MS_VERDICT_ACCEPT] = NF_ACCEPT,  [MS_VERDICT_DROP] = NF_DROP,
		[MS_VERDICT_RETURN] = NFT_RETURN, [MS_VERDICT_GOTO] = NFT_GOTO,
		[MS_VERDICT_JUMP] = NFT_JUMP,
	};
	return verdicts[kind];
}

static struct nftnl_set_elem *add_key(struct nftnl_set *s, const void *key, size_t size)
{
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();

	if (!e)
		return NULL;
	if (nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, key, (uint32_t)size) < 0) {
		nftnl_set_elem_free(e);
		return NULL;
	}
	nftnl_set_elem_add(s, e);
	return e;
}

static int put_verdict(struct nftnl_set_elem *e, const struct ms_rule_verdict *verdict)
{
	nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_VERDICT, (uint32_t)ms_nft_verdict(verdict->kind));
	return verdict->chain ? nftnl_set_elem_set_str(e, NFTNL_SET_ELEM_CHAIN, verdict->chain) : 0;
}

static int put_comment(struct nftnl_set_elem *e, const char *comment)
{
	_cleanup_(nftnl_udata_buf_freep) struct nftnl_udata_buf *buf =
		nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!buf || !nftnl_udata_put_strz(buf, NFTNL_UDATA_SET_ELEM_COMMENT, comment))
		return -1;
	return nftnl_set_elem_set(e, NFTNL_SET_ELEM_USERDATA, nftnl_udata_buf_data(buf),
				  nftnl_udata_buf_len(buf));
}

/* The kernel counts from now on; nothing at all would mean for ever. */
static void put_end(struct nftnl_set_elem *e, time_t until)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	int64_t left_ms = ((int64_t)until - now.tv_sec) * 1000 - (int64_t)now.tv_nsec / 1000000;
	nftnl_set_elem_set_u64(e, NFTNL_SET_ELEM_TIMEOUT, left_ms > 0 ? (uint64_t)left_ms : 1);
}

/* The kernel's interval ends before its end element; one that reaches the last value has none. */
static int add_end(struct nftnl_set *s, const struct ms_elem *elem, size_t size)
{
	uint8_t after[MS_VALUE_SIZE];
	size_t i = size;

	memcpy(after, elem->end, size);
	while (i > 0 && ++after[i - 1] == 0)
		i--;
	if (i == 0)
		return 0;
	struct nftnl_set_elem *e = add_key(s, after, size);

	if (!e)
		return -1;
	nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	return 0;
}

static int add_elem(struct nftnl_set *s, const struct ms_set *set, const struct ms_elem *elem)
{
	size_t size = ms_nft_key_size(set);
	struct nftnl_set_elem *e = add_key(s, elem->key, size);

	if (!e || (set->map && put_verdict(e, &elem->verdict) < 0) ||
	    (elem->comment && put_comment(e, elem->comment) < 0))
		return -1;
	if (elem->until)
		put_end(e, elem->until);
	return set->interval ? add_end(s, elem, size) : 0;
}

struct nftnl_set *ms_nft_elems(const struct ms_table *table, const struct ms_set *set,
			       const struct ms_elem *elems, size_t n_elems)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s = name_set(table, set->name);

	for (size_t i = 0; s && i < n_elems; i++)
		if (add_elem(s, set, &elems[i]) < 0)
			return NULL;
	return ms_steal(&s);
}

struct nftnl_set *ms_nft_anon_set(const struct ms_table *table, const struct ms_match_expr *match,
				  uint32_t id)
{
	const struct ms_set set = {
		.name = MS_ANON_SET_NAME,
		.n_fields = 1,
		.fields = {match->fields[0]},
		.size = match->n_values,
	};
	_cleanup_(nftnl_set_freep) struct nftnl_set *s =
		declare_set(table, &set, id, NFT_SET_ANONYMOUS | NFT_SET_CONSTANT);

	for (size_t i = 0; s && i < match->n_values; i++)
		if (!add_key(s, match->values[i], ms_nft_key_size(&set)))
			return NULL;
	return ms_steal(&s);
}
