/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State: what the node remembers across restarts, in one directory (0700).
 *
 *	armed         a policy was applied once: from then on nothing that goes wrong opens anything
 *	off           `microseg off` was said: no tables until `microseg on`, or until its end
 *	policy        the last policy applied and confirmed, its files byte for byte
 *	policy.next   the one being applied or waiting to be confirmed: on disk before the kernel
 *	              sees it
 *	history/      the policies that were in force: see history.h
 *	overlay       what grant, relax and quarantine added: see overlay.h
 *	bridges       the bridge flags that we changed and what they were before
 *	inventory     what the tables in the kernel were last compiled for
 *	containers    what the engines said of their containers: see containers.h
 *	generation    the number of the last commit
 *	lock          held by the daemon that uses this directory, its pid inside
 *
 * Files are replaced by rename, so a reader sees the old or the new one. A file that fails its
 * checksum is reported, never guessed at. The command uses this module too: `off` has to work
 * without a daemon.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "daemon/files.h"
#include "microseg/inventory.h"

struct ms_state;

/** Opens @path, made when absent. Returns 0, or -errno with a sentence in @error. */
int ms_state_open(const char *path, struct ms_state **ret_state, struct ms_str *error);
struct ms_state *ms_state_free(struct ms_state *state);
static inline void ms_state_freep(struct ms_state **state)
{
	ms_state_free(*state);
}

/** Becomes the one user of the directory until the state is freed. -EBUSY: another is, and
 * @ret_holder its pid (or 0). */
int ms_state_lock(struct ms_state *state, pid_t *ret_holder);

/** In doubt a node is armed and not off. */
bool ms_state_is_armed(const struct ms_state *state);
int ms_state_set_armed(struct ms_state *state);
/** @ret_until: when it ends, 0: by hand. At @now an end that has passed is no off any more. */
bool ms_state_is_off(const struct ms_state *state, time_t now, time_t *ret_until);
int ms_state_set_off(struct ms_state *state, bool off, time_t until);

uint64_t ms_state_generation(const struct ms_state *state);
int ms_state_set_generation(struct ms_state *state, uint64_t generation);

/** Writes the Inventory document @text, behind a line with a checksum and the boot it was written
 * in. A crash may lose it: then the tables are loaded anew at the next start. */
int ms_state_save_inventory(struct ms_state *state, const struct ms_str *text);
/** Reads it into @files, as its one file. @ret_this_boot (may be NULL): whether the machine was not
 * started anew since. Returns 0; -ENOENT; -EBADMSG when it is torn; -errno. */
int ms_state_load_inventory(const struct ms_state *state, struct ms_files *files,
			    bool *ret_this_boot);

/** A bridge whose flags we changed, and what they were. */
struct ms_bridge_record {
	char name[MS_IFNAME_SIZE];
	uint32_t ifindex; /* a bridge made anew under the name is another bridge */
	bool nf_call_ip, nf_call_ip6;
	bool no_ll_learn;
	bool this_boot; /* recorded since the machine was started: its index is still its own */
};
typedef MS_VEC(struct ms_bridge_record) ms_bridge_record_vec;

/** Reads the records into an empty heap vec. None is not an error. Returns 0, -EBADMSG or -errno.
 */
int ms_state_load_bridges(const struct ms_state *state, ms_bridge_record_vec *records);
int ms_state_save_bridges(struct ms_state *state, const ms_bridge_record_vec *records);
