/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batch: many changes, one transaction.
 *
 * Messages are collected in one buffer and sent at once. Every message remembers what it is about,
 * so that the kernel's refusal of a sequence number becomes a sentence about a rule and its policy
 * line.
 */
#pragma once

#include <libmnl/libmnl.h>
#include <stdint.h>

#include "microseg/ruleset.h"

struct ms_batch_item {
	const char *action; /* "add rule" */
	enum ms_family family;
	const char *table;
	const char *name;		/* of the set or chain, or NULL */
	const struct ms_origin *origin; /* or NULL */
	size_t place;			/* of a rule in its chain, from 1; or 0 */
};

struct ms_batch {
	uint8_t *buffer;
	size_t used;
	size_t last; /* where the last message begins */
	size_t size;
	uint32_t first_seq; /* of items[0]; the others follow */
	uint32_t next_id;   /* for sets */
	MS_VEC(struct ms_batch_item) items;
	bool failed; /* out of memory */
};

/** @seq: the first sequence number, unlike those in flight. */
void ms_batch_init(struct ms_batch *batch, uint32_t seq);
void ms_batch_fini(struct ms_batch *batch);

/** Appends what takes the kernel along one change. @table_flags: of a table that is added. */
void ms_batch_change(struct ms_batch *batch, const struct ms_change *change, uint32_t table_flags);

/** Appends one message about @table: NFT_MSG_NEWTABLE or NFT_MSG_DELTABLE. */
void ms_batch_table(struct ms_batch *batch, uint16_t type, uint16_t flags,
		    const struct ms_table *table, uint32_t table_flags);

/**
 * Sends the batch and reads the kernel's answers. Returns 0, or -errno with the first refusal said
 * in @error. An empty batch is not sent.
 */
int ms_batch_send(struct ms_batch *batch, struct mnl_socket *socket, struct ms_str *error);
