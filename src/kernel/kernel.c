/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our tables in the kernel: one writer, one transaction a change.
 *
 * The writing socket owns the tables where the kernel knows owner and persist: nobody else can
 * change them while it is open, and they stay when it closes. Nothing here decides what the tables
 * should hold; a refused change leaves them as they were. Tables of other names are never read or
 * touched.
 */
#include "kernel/kernel.h"

#include <errno.h>
#include <libnftnl/common.h>
#include <libnftnl/gen.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "kernel/bridge.h"
#include "kernel_private.h"
#include "microseg/cleanup.h"
#include "nft_batch.h"
#include "nft_encode.h"

#define SEND_BUFFER                                                                                \
	(256 * 1024 *                                                                              \
	 1024) /* the kernel copies a whole transaction; it takes what is used, not this */
#define RECEIVE_BUFFER (16 * 1024 * 1024)
#define READ_TRIES 8
#define ANSWER_SIZE 65536

MS_DEFINE_CLEANUP(struct nftnl_gen *, nftnl_gen_free)

static void set_buffer(struct mnl_socket *socket, int forced, int plain, int size)
{
	int fd = mnl_socket_get_fd(socket);

	/* The forced form passes the host's limit but asks for CAP_NET_ADMIN in the first user
	 * namespace. */
	if (setsockopt(fd, SOL_SOCKET, forced, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, plain, &size, sizeof(size));
}

static int open_socket(struct mnl_socket **ret_socket, unsigned int groups)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	int one = 1;

	if (!socket)
		return -errno;
	if (mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) < 0) {
		int r = -errno;

		mnl_socket_close(socket);
		return r;
	}
	/* Refusals need not carry the refused message back: a full one is 64 KB. */
	mnl_socket_setsockopt(socket, NETLINK_CAP_ACK, &one, sizeof(one));
	set_buffer(socket, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER);
	set_buffer(socket, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER);
	*ret_socket = socket;
	return 0;
}

int ms_kernel_open(struct ms_kernel **ret_kernel)
{
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = calloc(1, sizeof(*kernel));
	uint32_t generation;
	int r;

	if (!kernel)
		return -ENOMEM;
	kernel->seq = (uint32_t)time(NULL);
	r = open_socket(&kernel->writer, 0);
	if (r == 0)
		r = open_socket(&kernel->listener, 1u << (NFNLGRP_NFTABLES - 1));
	if (r == 0)
		r = ms_kernel_generation(kernel, &generation);
	if (r < 0)
		return r;
	*ret_kernel = ms_steal(&kernel);
	return 0;
}

struct ms_kernel *ms_kernel_free(struct ms_kernel *kernel)
{
	if (!kernel)
		return NULL;
	if (kernel->writer)
		mnl_socket_close(kernel->writer);
	if (kernel->listener)
		mnl_socket_close(kernel->listener);
	free(kernel);
	return NULL;
}

uint32_t ms_kernel_next_seq(struct ms_kernel *kernel)
{
	return ++kernel->seq;
}

/* Reading. */

struct query {
	uint32_t seq;
	mnl_cb_t fn;
	void *userdata;
	bool done;
	int result;
};

static void read_message(struct query *q, const struct nlmsghdr *nlh)
{
	/* Left over from a request that was given up. */
	if (nlh->nlmsg_seq != q->seq || q->done)
		return;
	q->done = nlh->nlmsg_type == NLMSG_DONE || !(nlh->nlmsg_flags & NLM_F_MULTI);
	if ((nlh->nlmsg_flags & NLM_F_DUMP_INTR) && q->result == 0)
		q->result = -EINTR;
	/* Both begin with the error, which is 0 when all went well. */
	if ((nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) && q->result == 0 &&
	    nlh->nlmsg_len >= mnl_nlmsg_size(sizeof(int)))
		q->result = *(const int *)mnl_nlmsg_get_payload(nlh);
	if (nlh->nlmsg_type < NLMSG_MIN_TYPE || q->result < 0)
		return;
	errno = 0;
	if (q->fn(nlh, q->userdata) < 0)
		q->result = errno ? -errno : -EBADMSG;
}

/* The answer is read to its end whatever it says: the kernel starts no other dump before. */
int ms_kernel_query(struct ms_kernel *kernel, struct nlmsghdr *nlh, mnl_cb_t fn, void *userdata)
{
	struct query q = {.seq = ms_kernel_next_seq(kernel), .fn = fn, .userdata = userdata};
	_cleanup_(freep) char *buffer = malloc(ANSWER_SIZE);

	if (!buffer)
		return -ENOMEM;
	nlh->nlmsg_seq = q.seq;
	if (mnl_socket_sendto(kernel->writer, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (!q.done) {
		ssize_t size = mnl_socket_recvfrom(kernel->writer, buffer, ANSWER_SIZE);
		int left = (int)size;

		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			return -errno;
		for (const struct nlmsghdr *part = (struct nlmsghdr *)buffer;
		     mnl_nlmsg_ok(part, left); part = mnl_nlmsg_next(part, &left))
			read_message(&q, part);
	}
	return q.result;
}

int ms_kernel_dump(struct ms_kernel *kernel, uint16_t type, uint32_t nfproto, mnl_cb_t fn,
		   void *userdata)
{
	char request[MNL_NLMSG_HDRLEN + 64];

	return ms_kernel_query(
		kernel, nftnl_nlmsg_build_hdr(request, type, (uint16_t)nfproto, NLM_F_DUMP, 0), fn,
		userdata);
}

int ms_kernel_read_stable(struct ms_kernel *kernel,
			  int (*read)(struct ms_kernel *kernel, void *userdata), void *userdata)
{
	int r = -EINTR;

	for (int i = 0; i < READ_TRIES && r == -EINTR; i++)
		r = read(kernel, userdata);
	return r;
}

static int keep_table(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_table_freep) struct nftnl_table *t = nftnl_table_alloc();
	ms_family_vec *found = userdata;
	enum ms_family family;
	const char *name;

	if (!t || nftnl_table_nlmsg_parse(nlh, t) < 0)
		return MNL_CB_ERROR;
	name = nftnl_table_get_str(t, NFTNL_TABLE_NAME);
	if (!name || strcmp(name, MS_TABLE) != 0 ||
	    !ms_nft_family_of(nftnl_table_get_u32(t, NFTNL_TABLE_FAMILY), &family))
		return MNL_CB_OK;
	if (ms_vec_push(found, family) < 0) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	return MNL_CB_OK;
}

static int read_tables(struct ms_kernel *kernel, void *userdata)
{
	ms_family_vec *found = userdata;

	found->n_items = 0;
	return ms_kernel_dump(kernel, NFT_MSG_GETTABLE, NFPROTO_UNSPEC, keep_table, found);
}

int ms_kernel_find_tables(struct ms_kernel *kernel, ms_family_vec *found)
{
	return ms_kernel_read_stable(kernel, read_tables, found);
}

int ms_kernel_present(struct ms_kernel *kernel)
{
	ms_family_vec found = {0};
	int r = ms_kernel_find_tables(kernel, &found);

	if (r == 0)
		r = found.n_items > 0;
	ms_vec_fini(&found);
	return r;
}

static int keep_generation(const struct nlmsghdr *nlh, void *userdata)
{
	_cleanup_(nftnl_gen_freep) struct nftnl_gen *gen = nftnl_gen_alloc();

	if (!gen || nftnl_gen_nlmsg_parse(nlh, gen) < 0)
		return MNL_CB_ERROR;
	*(uint32_t *)userdata = nftnl_gen_get_u32(gen, NFTNL_GEN_ID);
	return MNL_CB_STOP;
}

int ms_kernel_generation(struct ms_kernel *kernel, uint32_t *ret_generation)
{
	char request[MNL_NLMSG_HDRLEN + 64];

	return ms_kernel_query(kernel,
			       nftnl_nlmsg_build_hdr(request, NFT_MSG_GETGEN, NFPROTO_UNSPEC, 0, 0),
			       keep_generation, ret_generation);
}

/* Writing. */

/* An answer is not yet a commit: a generation that did not move says that nothing happened. */
static int commit(struct ms_kernel *kernel, struct ms_batch *batch, struct ms_str *error)
{
	uint32_t before, after;
	int r = ms_kernel_generation(kernel, &before);

	if (r < 0)
		return r;
	kernel->seq += (uint32_t)batch->items.n_items + 2;
	r = ms_batch_send(batch, kernel->writer, error);
	if (r < 0 || batch->items.n_items == 0)
		return r;
	r = ms_kernel_generation(kernel, &after);
	if (r == 0 && before == after) {
		if (error)
			ms_str_add(error,
				   "the kernel answered, but did not commit the transaction");
		return -EIO;
	}
	return r;
}

/* Adds and deletes an empty table in one transaction: what remains is nothing. */
static int try_table(struct ms_kernel *kernel, enum ms_family family, uint32_t flags)
{
	const struct ms_table table = {.family = family, .name = "microseg_probe"};
	_cleanup_(ms_batch_fini) struct ms_batch batch = {0};

	ms_batch_init(&batch, ms_kernel_next_seq(kernel));
	ms_batch_table(&batch, NFT_MSG_NEWTABLE, NLM_F_CREATE, &table, flags);
	ms_batch_table(&batch, NFT_MSG_DELTABLE, 0, &table, 0);
	kernel->seq += 4;
	return ms_batch_send(&batch, kernel->writer, NULL);
}

static void probe(struct ms_kernel *kernel)
{
	struct ms_kernel_features *features = &kernel->features;

	features->nf_tables = try_table(kernel, MS_FAMILY_INET, 0) == 0 &&
			      try_table(kernel, MS_FAMILY_BRIDGE, 0) == 0;
	features->owner_persist =
		features->nf_tables &&
		try_table(kernel, MS_FAMILY_INET, MS_TABLE_OWNER | MS_TABLE_PERSIST) == 0;
	features->set_element_comments = features->nf_tables;
	kernel->probed = true;
}

int ms_kernel_probe(struct ms_kernel *kernel, struct ms_kernel_features *ret_features)
{
	probe(kernel);
	/* A module may come later. */
	kernel->features.bridge_netfilter = ms_bridge_netfilter_present();
	*ret_features = kernel->features;
	return 0;
}

static uint32_t table_flags(struct ms_kernel *kernel)
{
	if (!kernel->probed)
		probe(kernel);
	return kernel->features.owner_persist ? MS_TABLE_OWNER | MS_TABLE_PERSIST : 0;
}

int ms_kernel_apply(struct ms_kernel *kernel, const struct ms_plan *plan, struct ms_str *error)
{
	uint32_t flags = table_flags(kernel);
	_cleanup_(ms_batch_fini) struct ms_batch batch = {0};

	ms_batch_init(&batch, ms_kernel_next_seq(kernel));
	ms_vec_each (struct ms_change, change, &plan->changes)
		ms_batch_change(&batch, change, flags);
	return commit(kernel, &batch, error);
}

static int delete_all(struct ms_kernel *kernel, struct ms_batch *batch)
{
	ms_family_vec found = {0};
	int r = ms_kernel_find_tables(kernel, &found);

	if (r == 0)
		ms_vec_each (enum ms_family, family, &found) {
			const struct ms_table table = {.family = *family, .name = MS_TABLE};

			ms_batch_table(batch, NFT_MSG_DELTABLE, 0, &table, 0);
		}
	ms_vec_fini(&found);
	return r;
}

int ms_kernel_replace(struct ms_kernel *kernel, const struct ms_ruleset *ruleset,
		      struct ms_str *error)
{
	uint32_t flags = table_flags(kernel);
	_cleanup_(ms_batch_fini) struct ms_batch batch = {0};
	_cleanup_(ms_plan_fini) struct ms_plan plan = {0};
	int r;

	ms_batch_init(&batch, ms_kernel_next_seq(kernel));
	r = delete_all(kernel, &batch);
	if (r == 0)
		r = ms_plan_make(NULL, ruleset, &plan);
	if (r == 0 && ruleset)
		r = ms_kernel_carry(kernel, ruleset, &plan);
	if (r < 0)
		return r;
	ms_vec_each (struct ms_change, change, &plan.changes)
		ms_batch_change(&batch, change, flags);
	return commit(kernel, &batch, error);
}

/* The kernel would make a table that is not there: then there is nothing to adopt. */
static int tables_stand(struct ms_kernel *kernel, const struct ms_ruleset *ruleset)
{
	ms_family_vec found = {0};
	int r = ms_kernel_find_tables(kernel, &found);

	ms_vec_each (struct ms_table *, table, &ruleset->tables) {
		bool stands = false;

		ms_vec_each (enum ms_family, family, &found)
			stands = stands || *family == (*table)->family;
		if (r == 0 && !stands)
			r = -ENOENT;
	}
	ms_vec_fini(&found);
	return r;
}

int ms_kernel_adopt(struct ms_kernel *kernel, const struct ms_ruleset *ruleset,
		    struct ms_str *error)
{
	uint32_t flags = table_flags(kernel);
	_cleanup_(ms_batch_fini) struct ms_batch batch = {0};
	int r = tables_stand(kernel, ruleset);

	/* Plain tables have no owner to become. */
	if (r < 0 || flags == 0)
		return r;
	ms_batch_init(&batch, ms_kernel_next_seq(kernel));
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		ms_batch_table(&batch, NFT_MSG_NEWTABLE, 0, *table, flags);
	kernel->seq += (uint32_t)batch.items.n_items + 2;
	/* Claiming what is ours already moves no generation. */
	return ms_batch_send(&batch, kernel->writer, error);
}
