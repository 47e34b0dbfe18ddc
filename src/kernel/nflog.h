/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nflog: reads logged packets of one NFLOG group. Verdicts never depend on it: what is lost is
 * counted.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "microseg/event.h"

struct ms_nflog;

/**
 * Binds @group in this network namespace with large buffers and batching.
 * Returns 0; -EBUSY when another process reads the group (see /proc/net/netfilter/nfnetlink_log);
 * -EPERM; -errno.
 */
int ms_nflog_open(uint16_t group, struct ms_nflog **ret_nflog);
struct ms_nflog *ms_nflog_free(struct ms_nflog *nflog);
int ms_nflog_fd(const struct ms_nflog *nflog);
/** Interfaces may be called otherwise from now on: none is named from memory. */
void ms_nflog_forget_names(struct ms_nflog *nflog);

typedef void (*ms_nflog_fn)(const struct ms_packet_record *record, void *userdata);
/**
 * Reads what is there, without blocking, until @max records were seen; the batch in hand is
 * finished, so a few more can come. Records live during the call of @fn. Returns the number of
 * records or -errno; -EAGAIN is 0.
 */
int ms_nflog_read(struct ms_nflog *nflog, unsigned int max, ms_nflog_fn fn, void *userdata);
/** Packets that the kernel logged and we never saw, by sequence numbers: exact once a later packet
 * was read, or ms_nflog_miss() was told. */
uint64_t ms_nflog_lost(const struct ms_nflog *nflog);
/** All that were numbered so far: seen or known to be lost. */
uint64_t ms_nflog_numbered(const struct ms_nflog *nflog);
/** Did the socket overflow since the last packet that was read? Then what was lost after it has no
 * gap that shows it yet. */
bool ms_nflog_overflowed(const struct ms_nflog *nflog);
/** Counts @n packets after the last one as lost. The number of the next one puts it right where
 * that was not so. */
void ms_nflog_miss(struct ms_nflog *nflog, uint32_t n);
