/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the nf_tables backend share. */
#pragma once

#include <libmnl/libmnl.h>

#include "kernel/kernel.h"

#define MS_TABLE "microseg"

struct ms_kernel {
	struct mnl_socket *writer; /* owns the tables, and reads them */
	struct mnl_socket *listener;
	uint32_t seq;
	bool probed;
	struct ms_kernel_features features;
};

/** A number that no earlier request on this socket has. */
uint32_t ms_kernel_next_seq(struct ms_kernel *kernel);

/**
 * Sends the request @nlh and hands every message of the answer to @fn. A dump during which tables
 * changed is -EINTR: what was read then belongs to no moment.
 */
int ms_kernel_query(struct ms_kernel *kernel, struct nlmsghdr *nlh, mnl_cb_t fn, void *userdata);

/** Lists @type (NFT_MSG_GETTABLE ...) of @nfproto. As ms_kernel_query(). */
int ms_kernel_dump(struct ms_kernel *kernel, uint16_t type, uint32_t nfproto, mnl_cb_t fn,
		   void *userdata);

/** Repeats @read while it answers -EINTR, at most a few times. */
int ms_kernel_read_stable(struct ms_kernel *kernel,
			  int (*read)(struct ms_kernel *kernel, void *userdata), void *userdata);

typedef MS_VEC(enum ms_family) ms_family_vec;

/** Adds to @plan, which makes the tables of @ruleset, what their memories hold now: the elements of
 * sets that are timed and dynamic. Returns 0 or -errno. */
int ms_kernel_carry(struct ms_kernel *kernel, const struct ms_ruleset *ruleset,
		    struct ms_plan *plan);

/** Makes @found (on the heap) the families that have a table of ours. Returns 0 or -errno. */
int ms_kernel_find_tables(struct ms_kernel *kernel, ms_family_vec *found);
