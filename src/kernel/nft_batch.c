/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft_batch.h"

#include <errno.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "nft_encode.h"

/* libnftnl writes without asking for room: the longest message is a list of elements, whose
 * attribute ends at 64 KB. */
#define MESSAGE_ROOM ((size_t)128 * 1024)
#define FIRST_SIZE ((size_t)256 * 1024)
#define ANSWER_SIZE 32768

void ms_batch_init(struct ms_batch *batch, uint32_t seq)
{
	*batch = (struct ms_batch){.first_seq = seq + 1, .next_id = 1};
}

void ms_batch_fini(struct ms_batch *batch)
{
	free(batch->buffer);
	ms_vec_fini(&batch->items);
	*batch = (struct ms_batch){0};
}

static bool make_room(struct ms_batch *batch)
{
	if (batch->failed)
		return false;
	if (batch->size - batch->used >= MESSAGE_ROOM)
		return true;

	size_t size = batch->size ? batch->size * 2 : FIRST_SIZE;
	uint8_t *grown = realloc(batch->buffer, size);

	if (!grown) {
		batch->failed = true;
		return false;
	}
	batch->buffer = grown;
	batch->size = size;
	return true;
}

/* The first message opens the batch. */
static bool open_batch(struct ms_batch *batch)
{
	if (!make_room(batch))
		return false;
	if (batch->used == 0) {
		struct nlmsghdr *begin =
			nftnl_batch_begin((char *)batch->buffer, batch->first_seq - 1);

		batch->used = MNL_ALIGN(begin->nlmsg_len);
	}
	return true;
}

/* A header with the next sequence number, remembered for @item. NULL without memory. */
static struct nlmsghdr *start_message(struct ms_batch *batch, uint16_t type, uint16_t flags,
				      const struct ms_batch_item *item)
{
	uint32_t seq = batch->first_seq + (uint32_t)batch->items.n_items;

	if (!open_batch(batch))
		return NULL;
	if (ms_vec_push(&batch->items, *item) < 0) {
		batch->failed = true;
		return NULL;
	}
	return nftnl_nlmsg_build_hdr((char *)batch->buffer + batch->used, type,
				     (uint16_t)ms_nft_family(item->family), flags, seq);
}

static void end_message(struct ms_batch *batch, const struct nlmsghdr *nlh)
{
	batch->last = batch->used;
	batch->used += MNL_ALIGN(nlh->nlmsg_len);
}

/* Changes, one by one. */

void ms_batch_table(struct ms_batch *batch, uint16_t type, uint16_t flags,
		    const struct ms_table *table, uint32_t table_flags)
{
	_cleanup_(nftnl_table_freep) struct nftnl_table *t = ms_nft_table(table, table_flags);
	struct ms_batch_item item = {type == NFT_MSG_NEWTABLE ? "add table" : "delete table",
				     table->family,
				     table->name,
				     NULL,
				     NULL,
				     0};
	struct nlmsghdr *nlh = t ? start_message(batch, type, flags, &item) : NULL;

	if (!nlh) {
		batch->failed = true;
		return;
	}
	nftnl_table_nlmsg_build_payload(nlh, t);
	end_message(batch, nlh);
}

static void put_chain(struct ms_batch *batch, const struct ms_change *change, uint16_t type,
		      uint16_t flags)
{
	bool named = type == NFT_MSG_DELCHAIN;
	_cleanup_(nftnl_chain_freep) struct nftnl_chain *c =
		ms_nft_chain(change->table, change->chain, named);
	struct ms_batch_item item = {named ? "delete chain" : "add chain",
				     change->table->family,
				     change->table->name,
				     change->chain->name,
				     NULL,
				     0};
	struct nlmsghdr *nlh = c ? start_message(batch, type, flags, &item) : NULL;

	if (!nlh) {
		batch->failed = true;
		return;
	}
	nftnl_chain_nlmsg_build_payload(nlh, c);
	end_message(batch, nlh);
}

static void put_set(struct ms_batch *batch, const struct nftnl_set *s, uint16_t type,
		    uint16_t flags, const struct ms_batch_item *item)
{
	struct nlmsghdr *nlh = s ? start_message(batch, type, flags, item) : NULL;

	if (!nlh) {
		batch->failed = true;
		return;
	}
	nftnl_set_nlmsg_build_payload(nlh, (struct nftnl_set *)s);
	end_message(batch, nlh);
}

/* As many messages as the elements take. */
static void put_elems(struct ms_batch *batch, const struct nftnl_set *s, uint16_t type,
		      uint16_t flags, const struct ms_batch_item *item)
{
	struct nftnl_set_elems_iter *iter = s ? nftnl_set_elems_iter_create(s) : NULL;
	int more = 1;

	if (!iter)
		batch->failed = true;
	while (iter && more > 0) {
		struct nlmsghdr *nlh = start_message(batch, type, flags, item);

		if (!nlh)
			break;
		more = nftnl_set_elems_nlmsg_build_payload_iter(nlh, iter);
		end_message(batch, nlh);
	}
	if (iter)
		nftnl_set_elems_iter_destroy(iter);
}

static void put_named_set(struct ms_batch *batch, const struct ms_change *change, uint16_t type,
			  uint16_t flags)
{
	bool named = type == NFT_MSG_DELSET;
	_cleanup_(nftnl_set_freep) struct nftnl_set *s =
		ms_nft_set(change->table, change->set, batch->next_id++, named);
	struct ms_batch_item item = {named ? "delete set" : "add set",
				     change->table->family,
				     change->table->name,
				     change->set->name,
				     NULL,
				     0};

	put_set(batch, s, type, flags, &item);
}

static void put_named_elems(struct ms_batch *batch, const struct ms_change *change, uint16_t type,
			    uint16_t flags)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s =
		ms_nft_elems(change->table, change->set, change->elems, change->n_elems);
	struct ms_batch_item item = {type == NFT_MSG_DELSETELEM ? "delete elements of"
								: "add elements to",
				     change->table->family,
				     change->table->name,
				     change->set->name,
				     change->n_elems == 1 ? &change->elems->origin : NULL,
				     0};

	put_elems(batch, s, type, flags, &item);
}

static void put_anon_set(struct ms_batch *batch, const struct ms_table *table,
			 const struct ms_match_expr *match, const struct ms_batch_item *item)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *s =
		ms_nft_anon_set(table, match, batch->next_id++);

	put_set(batch, s, NFT_MSG_NEWSET, NLM_F_CREATE, item);
	put_elems(batch, s, NFT_MSG_NEWSETELEM, NLM_F_CREATE, item);
}

static void put_rule(struct ms_batch *batch, const struct ms_change *change,
		     const struct ms_rule *rule)
{
	struct ms_batch_item item = {
		"add rule to",	     change->table->family,
		change->table->name, change->chain->name,
		&rule->origin,	     (size_t)(rule - change->chain->rules.items) + 1};
	uint32_t first_id = batch->next_id;

	ms_vec_each (struct ms_match_expr, match, &rule->matches)
		if (match->kind == MS_MATCH_ANON_SET)
			put_anon_set(batch, change->table, match, &item);

	_cleanup_(nftnl_rule_freep) struct nftnl_rule *r =
		ms_nft_rule(change->table, change->chain, rule, first_id);
	struct nlmsghdr *nlh =
		r ? start_message(batch, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, &item)
		  : NULL;

	if (!nlh) {
		batch->failed = true;
		return;
	}
	nftnl_rule_nlmsg_build_payload(nlh, r);
	end_message(batch, nlh);
}

static void flush_chain(struct ms_batch *batch, const struct ms_change *change)
{
	_cleanup_(nftnl_rule_freep) struct nftnl_rule *r =
		ms_nft_rules_of(change->table, change->chain);
	struct ms_batch_item item = {"flush chain",
				     change->table->family,
				     change->table->name,
				     change->chain->name,
				     NULL,
				     0};
	struct nlmsghdr *nlh = r ? start_message(batch, NFT_MSG_DELRULE, 0, &item) : NULL;

	if (!nlh) {
		batch->failed = true;
		return;
	}
	nftnl_rule_nlmsg_build_payload(nlh, r);
	end_message(batch, nlh);
}

/* A set without elements names all of them. */
static void flush_set(struct ms_batch *batch, const struct ms_change *change)
{
	struct ms_change all = *change;

	all.n_elems = 0;
	put_named_elems(batch, &all, NFT_MSG_DELSETELEM, 0);
}

void ms_batch_change(struct ms_batch *batch, const struct ms_change *change, uint32_t table_flags)
{
	switch (change->kind) {
	case MS_DEL_TABLE:
		ms_batch_table(batch, NFT_MSG_DELTABLE, 0, change->table, 0);
		break;
	case MS_ADD_TABLE:
		ms_batch_table(batch, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, change->table,
			       table_flags);
		break;
	case MS_ADD_SET:
		put_named_set(batch, change, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL);
		break;
	case MS_ADD_CHAIN:
		put_chain(batch, change, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL);
		break;
	case MS_FLUSH_CHAIN:
		flush_chain(batch, change);
		break;
	case MS_ADD_RULES:
		ms_vec_each (struct ms_rule, rule, &change->chain->rules)
			put_rule(batch, change, rule);
		break;
	case MS_FLUSH_SET:
		flush_set(batch, change);
		break;
	case MS_DEL_ELEMS:
		put_named_elems(batch, change, NFT_MSG_DELSETELEM, 0);
		break;
	case MS_ADD_ELEMS:
		put_named_elems(batch, change, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
		break;
	case MS_DEL_CHAIN:
		put_chain(batch, change, NFT_MSG_DELCHAIN, 0);
		break;
	case MS_DEL_SET:
		put_named_set(batch, change, NFT_MSG_DELSET, 0);
		break;
	}
}

/* Sending. */

/* Asks for an answer to the last message and closes the batch. */
static void close_batch(struct ms_batch *batch)
{
	uint32_t last_seq = batch->first_seq + (uint32_t)batch->items.n_items - 1;

	((struct nlmsghdr *)(batch->buffer + batch->last))->nlmsg_flags |= NLM_F_ACK;
	struct nlmsghdr *end = nftnl_batch_end((char *)batch->buffer + batch->used, last_seq + 1);

	batch->used += MNL_ALIGN(end->nlmsg_len);
}

static void describe_refusal(const struct ms_batch *batch, uint32_t seq, int error,
			     struct ms_str *out)
{
	uint32_t index = seq - batch->first_seq;

	if (index >= batch->items.n_items) {
		ms_str_addf(out, "the kernel refused the transaction: %s", strerror(error));
		return;
	}
	const struct ms_batch_item *item = &batch->items.items[index];

	ms_str_addf(out, "the kernel refused to %s %s %s", item->action,
		    ms_family_name(item->family), item->table);
	if (item->name)
		ms_str_addf(out, " %s", item->name);
	if (item->place)
		ms_str_addf(out, " at place %zu", item->place);
	if (item->origin && item->origin->file)
		ms_str_addf(out, " (%s:%u)", item->origin->file, item->origin->line);
	ms_str_addf(out, ": %s", strerror(error));
}

struct answers {
	const struct ms_batch *batch;
	struct ms_str *error;
	bool last_seen;
	int result;
};

static void read_answer(struct answers *a, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *answer = mnl_nlmsg_get_payload(nlh);
	uint32_t last_seq = a->batch->first_seq + (uint32_t)a->batch->items.n_items - 1;

	if (nlh->nlmsg_type != NLMSG_ERROR || nlh->nlmsg_len < mnl_nlmsg_size(sizeof(*answer)))
		return;
	/* A batch that is refused whole is refused with the number of its first message. */
	if (nlh->nlmsg_seq - (a->batch->first_seq - 1) > a->batch->items.n_items + 1)
		return;
	if (nlh->nlmsg_seq == last_seq || answer->error)
		a->last_seen = true;
	if (answer->error == 0 || a->result < 0)
		return;
	a->result = answer->error;
	if (a->error)
		describe_refusal(a->batch, nlh->nlmsg_seq, -answer->error, a->error);
}

/* The kernel works a batch off inside sendmsg(2): all its answers are here when that returns. */
static int read_answers(struct answers *a, struct mnl_socket *socket)
{
	uint8_t buffer[ANSWER_SIZE];

	for (;;) {
		ssize_t size =
			recv(mnl_socket_get_fd(socket), buffer, sizeof(buffer), MSG_DONTWAIT);
		int left = (int)size;

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0 && errno == EAGAIN)
			break;
		if (size < 0)
			return a->result < 0 ? a->result : -errno;
		for (struct nlmsghdr *nlh = (struct nlmsghdr *)buffer; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left))
			read_answer(a, nlh);
	}
	if (a->result == 0 && !a->last_seen)
		return -EIO;
	return a->result;
}

int ms_batch_send(struct ms_batch *batch, struct mnl_socket *socket, struct ms_str *error)
{
	struct answers answers = {.batch = batch, .error = error};

	if (batch->failed)
		return -ENOMEM;
	if (batch->used == 0)
		return 0;
	if (!make_room(batch))
		return -ENOMEM;
	close_batch(batch);
	if (mnl_socket_sendto(socket, batch->buffer, batch->used) < 0) {
		int result = -errno;

		if (error)
			ms_str_addf(error, "the kernel took no transaction of %zu bytes: %s",
				    batch->used, strerror(-result));
		return result;
	}
	return read_answers(&answers, socket);
}
