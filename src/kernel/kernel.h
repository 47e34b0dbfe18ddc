/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel: our tables in nf_tables, through libnftnl and libmnl.
 *
 * One socket writes (and owns the tables where the kernel knows owner and persist), one listens.
 * Every change is one batch: old or new, never between. An acknowledged batch is not a committed
 * one, so what was written is read back. Only tables named "microseg" are read as ours or touched.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "microseg/ruleset.h"

struct ms_kernel;

/** What this kernel can do, found by trying it in this namespace and leaving nothing behind. */
struct ms_kernel_features {
	bool nf_tables;	       /* inet and bridge tables can be made at all (also false without
				  CAP_NET_ADMIN) */
	bool owner_persist;    /* table flags owner + persist */
	bool bridge_netfilter; /* br_netfilter is there: per-bridge nf_call flags can be set */
	bool set_element_comments;
};

/**
 * Opens the sockets. Changes nothing. Returns 0; -EPERM without CAP_NET_ADMIN; another -errno.
 */
int ms_kernel_open(struct ms_kernel **ret_kernel);
struct ms_kernel *ms_kernel_free(struct ms_kernel *kernel);
static inline void ms_kernel_freep(struct ms_kernel **kernel)
{
	ms_kernel_free(*kernel);
}

int ms_kernel_probe(struct ms_kernel *kernel, struct ms_kernel_features *ret_features);

/**
 * Commits @plan in one transaction. On failure nothing changed and @error says which object the
 * kernel refused, in the words of the policy where its origin is known. Returns 0 or -errno.
 */
int ms_kernel_apply(struct ms_kernel *kernel, const struct ms_plan *plan, struct ms_str *error);

/**
 * Replaces whatever tables of ours are there, of any version, by @ruleset (NULL: takes them away)
 * in one transaction. What sets that are timed and dynamic hold goes over.
 */
int ms_kernel_replace(struct ms_kernel *kernel, const struct ms_ruleset *ruleset,
		      struct ms_str *error);

/** Adopts tables of ours left by a process that ended (owner + persist): claims them without
 * changing them. */
int ms_kernel_adopt(struct ms_kernel *kernel, const struct ms_ruleset *ruleset,
		    struct ms_str *error);

/**
 * Reads our tables and compares them, as canonical values, with @ruleset (NULL: no tables).
 * Returns 0 when equal, 1 when different (the first differences are described in @difference, which
 * may be NULL), or -errno.
 */
int ms_kernel_verify(struct ms_kernel *kernel, const struct ms_ruleset *ruleset,
		     struct ms_str *difference);

/** Are there tables of ours? Returns 1, 0 or -errno. */
int ms_kernel_present(struct ms_kernel *kernel);

/** The generation id of this namespace's nf_tables, which every commit by anybody changes. 0 or
 * -errno. */
int ms_kernel_generation(struct ms_kernel *kernel, uint32_t *ret_generation);

typedef void (*ms_kernel_key_fn)(const void *key, size_t size, void *userdata);
/** Calls @fn for every element of @set, as the kernel has it now. Returns 0 or -errno. */
int ms_kernel_elements(struct ms_kernel *kernel, const struct ms_table *table,
		       const struct ms_set *set, ms_kernel_key_fn fn, void *userdata);

/** Does @set hold @elem's key, as the kernel has it now? Returns 1, 0 or -errno. */
int ms_kernel_holds(struct ms_kernel *kernel, const struct ms_table *table,
		    const struct ms_set *set, const struct ms_elem *elem);

/**
 * A descriptor that turns readable when anybody commits something. ms_kernel_monitor_read() drains
 * it: returns 1 when somebody else changed a table of ours (or events were lost), 0 when not,
 * -errno on failure.
 */
int ms_kernel_monitor_fd(struct ms_kernel *kernel);
int ms_kernel_monitor_read(struct ms_kernel *kernel);

/** A chain of somebody else's at a hook, which drops something. Texts live in the arena. */
struct ms_foreign_chain {
	const char *family; /* ip, ip6, inet, bridge */
	uint32_t nfproto;
	const char *table, *name;
	const char *hook;
	int32_t priority;
	bool drops;	 /* what it does not accept itself */
	bool drops_some; /* what a rule of its own asks for */
	bool unread;	 /* it has more rules than are looked at */
	uint32_t n_rules;
	bool engine; /* in a table that an engine keeps: Docker, Podman, CNI */
};
typedef MS_VEC(struct ms_foreign_chain) ms_foreign_vec;
/** Finds all of them, in @arena. Returns 0 or -errno. */
int ms_kernel_foreign(struct ms_kernel *kernel, struct ms_arena *arena, ms_foreign_vec *ret_chains);

/** One counter: of a rule, found by its log prefix or its comment, or of an element of a set. */
struct ms_kernel_counter {
	enum ms_family family;
	const char *chain;   /* of a rule; NULL for an element */
	const char *set;     /* of an element; NULL for a rule */
	const char *prefix;  /* of its log statement, or NULL */
	const char *comment; /* or NULL */
	uint64_t packets;
	uint64_t bytes;
};
typedef void (*ms_kernel_counter_fn)(const struct ms_kernel_counter *counter, void *userdata);
/** Calls @fn for every rule and element of ours that has a counter. Texts live during the call.
 * Returns 0 or -errno. */
int ms_kernel_counters(struct ms_kernel *kernel, ms_kernel_counter_fn fn, void *userdata);
/** As ms_kernel_counters(), for rules alone. */
int ms_kernel_rule_counters(struct ms_kernel *kernel, ms_kernel_counter_fn fn, void *userdata);
