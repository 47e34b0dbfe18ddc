/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fold: a flood of one flow becomes one event a second.
 *
 * The first event of a flow is emitted at once; while its window is open further ones are only
 * counted, and the count is emitted when the window ends. A flow that was counted opens a new
 * window, a silent one is forgotten. At any moment the counts emitted and the counts waiting add up
 * to what was added: nothing here is ever dropped, neither when the table is full nor without
 * memory.
 *
 * Entries stand in the order in which their windows end, which is the order uthash keeps: a window
 * is opened by inserting, and every window is equally long.
 */
#include "microseg/event.h"

#include <stdlib.h>
#include <string.h>

/* Without memory an entry is left out of the table, instead of ending the process. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)
/* The default one falls through from case to case, which our warnings forbid. */
#define HASH_FUNCTION(key, len, value) HASH_FNV(key, len, value)
#include <uthash.h>

/* What makes two events the same flow. Zeroed before it is filled: it is hashed and compared as
 * bytes. */
struct fold_end {
	char identity[MS_EVENT_TEXT];
	char endpoint[MS_EVENT_TEXT];
	char interface[16];
	uint8_t ip[17];
	uint8_t mac[7];
};

struct fold_key {
	struct fold_end src, dst;
	uint16_t ether_type;
	uint16_t dport;
	uint8_t verdict, reason, proto, icmp_type;
	uint8_t has_dport, has_icmp_type, tracked;
};

struct fold_entry {
	struct fold_key key;
	struct ms_event event; /* the last one; its count is what waits */
	uint64_t due_ms;
	bool hashed;
	UT_hash_handle hh;
};

struct ms_fold {
	struct fold_entry *entries;
};

struct ms_fold *ms_fold_new(void)
{
	return calloc(1, sizeof(struct ms_fold));
}

static void entry_free(struct ms_fold *fold, struct fold_entry *entry)
{
	HASH_DEL(fold->entries, entry);
	free(entry);
}

struct ms_fold *ms_fold_free(struct ms_fold *fold)
{
	while (fold && fold->entries)
		entry_free(fold, fold->entries);
	free(fold);
	return NULL;
}

static void key_end(const struct ms_event_end *end, struct fold_end *key)
{
	memcpy(key->identity, end->identity, strnlen(end->identity, sizeof(end->identity)));
	memcpy(key->endpoint, end->endpoint, strnlen(end->endpoint, sizeof(end->endpoint)));
	memcpy(key->interface, end->interface, strnlen(end->interface, sizeof(end->interface)));
	if (end->has_ip) {
		key->ip[0] = end->ip.ip;
		memcpy(key->ip + 1, end->ip.bytes, sizeof(end->ip.bytes));
	}
	if (end->has_mac) {
		key->mac[0] = 1;
		memcpy(key->mac + 1, end->mac.bytes, sizeof(end->mac.bytes));
	}
}

static void key_make(const struct ms_event *event, struct fold_key *key)
{
	memset(key, 0, sizeof(*key));
	key_end(&event->src, &key->src);
	key_end(&event->dst, &key->dst);
	key->ether_type = event->ether_type;
	key->tracked = event->tracked;
	key->verdict = (uint8_t)event->verdict;
	key->reason = (uint8_t)event->reason;
	key->proto = event->proto;
	key->has_dport = event->has_dport;
	key->dport = event->has_dport ? event->dport : 0;
	key->has_icmp_type = event->has_icmp_type;
	key->icmp_type = event->has_icmp_type ? event->icmp_type : 0;
}

/* Opens a window for @entry: puts it at the end of the line. Without memory @entry is freed. */
static void window_open(struct ms_fold *fold, struct fold_entry *entry, uint64_t now_ms)
{
	entry->event.count = 0;
	entry->due_ms =
		now_ms > UINT64_MAX - MS_FOLD_WINDOW_MS ? UINT64_MAX : now_ms + MS_FOLD_WINDOW_MS;
	entry->hashed = true;
	HASH_ADD(hh, fold->entries, key, sizeof(entry->key), entry);
	if (!entry->hashed)
		free(entry);
}

/* Emits what waits in the oldest entry, if anything does. Returns whether there was something. */
static bool oldest_emit(struct ms_fold *fold, ms_fold_emit_fn emit, void *userdata)
{
	struct fold_entry *entry = fold->entries;

	if (entry->event.count == 0)
		return false;
	emit(&entry->event, userdata);
	return true;
}

void ms_fold_add(struct ms_fold *fold, const struct ms_event *event, uint64_t now_ms,
		 ms_fold_emit_fn emit, void *userdata)
{
	struct fold_key key;
	struct fold_entry *entry;

	key_make(event, &key);
	HASH_FIND(hh, fold->entries, &key, sizeof(key), entry);
	if (entry) {
		uint64_t waiting = entry->event.count;

		entry->event = *event;
		entry->event.count += waiting;
		return;
	}

	emit(event, userdata);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return;
	if (HASH_COUNT(fold->entries) >= MS_FOLD_MAX) {
		oldest_emit(fold, emit, userdata);
		entry_free(fold, fold->entries);
	}
	entry->key = key;
	entry->event = *event;
	window_open(fold, entry, now_ms);
}

int64_t ms_fold_flush(struct ms_fold *fold, uint64_t now_ms, ms_fold_emit_fn emit, void *userdata)
{
	/* Those that stand here now: windows opened on the way are not due, even at the end of
	 * time. */
	for (unsigned int n = HASH_COUNT(fold->entries); n > 0 && fold->entries->due_ms <= now_ms;
	     n--) {
		struct fold_entry *entry = fold->entries;

		if (!oldest_emit(fold, emit, userdata)) {
			entry_free(fold, entry);
			continue;
		}
		HASH_DEL(fold->entries, entry);
		window_open(fold, entry, now_ms);
	}
	if (!fold->entries)
		return -1;
	return fold->entries->due_ms > now_ms ? (int64_t)(fold->entries->due_ms - now_ms) : 0;
}
