/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files: policy files, read whole into memory.
 *
 * A path is a file or a directory; of a directory every *.yaml below it is read, hidden ones left
 * out, in sorted order. Inside a directory symbolic links are refused: what is applied must be what
 * lies there. Names are for people and programs to read: what is no plain text in them is escaped.
 */
#pragma once

#include <sys/types.h>

#include "microseg/arena.h"
#include "microseg/policy.h"
#include "microseg/str.h"

#define MS_POLICY_DIR "/etc/microseg/policy.d"
#define MS_FILES_MAX_TOTAL ((size_t)16 * 1024 * 1024) /* bytes of all files of one load */

/* A file as the disk knows it. */
struct ms_file_id {
	dev_t device;
	ino_t inode;
	size_t index; /* in the list */
};

struct ms_files {
	struct ms_arena *arena; /* owns names and bytes */
	MS_VEC(struct ms_policy_file) list;
	MS_VEC(struct ms_file_id) seen;
	size_t n_seen_before; /* of them, by the paths before the one read now */
	size_t total_size;
	bool watch;	     /* set it before reading to learn, for three more calls a file: */
	bool written;	     /* somebody had one of them open for writing */
	uint64_t changed_ms; /* when the latest change was made to any of them, by the system's
				clock */
	bool inventory; /* set it before reading one: inventories may be larger than policies */
	bool applied;	/* set it before adding what was applied once, see struct ms_policy_file */
};

int ms_files_init(struct ms_files *files);
void ms_files_fini(struct ms_files *files);

/** Makes @copy, not initialised yet, hold the same @files, which are in force. */
int ms_files_copy(const struct ms_files *files, struct ms_files *copy);

/** Adds a copy. Returns 0; -E2BIG over a limit of policy.h or MS_FILES_MAX_TOTAL; -ENOMEM. */
int ms_files_add(struct ms_files *files, const char *name, const char *bytes, size_t size);

/**
 * Reads the file or directory @path. Names are @path as typed, with the way below it appended,
 * made safe (ms_str_add_safe()).
 * Returns 0, or -errno with a sentence in @error; -ENOENT also for a directory without any *.yaml.
 */
int ms_files_read(struct ms_files *files, const char *path, struct ms_str *error);

/**
 * Reads each of @paths, or MS_POLICY_DIR when there is none. A file that several of them lead to is
 * taken once. Returns as ms_files_read().
 */
int ms_files_read_all(struct ms_files *files, const ms_text_vec *paths, struct ms_str *error);

#define MS_FILES_QUIET_MS 100	  /* nothing changed for so long: it is whole */
#define MS_FILES_PATIENCE_MS 3000 /* how long a caller waits for that */

/**
 * Initialises @files and reads as ms_files_read_all(), but never half of what somebody is writing:
 * two readings one after the other must be equal, the latest change MS_FILES_QUIET_MS old, and no
 * file open for writing (as far as its owner asks: nobody else learns it).
 * Returns 0; -EAGAIN when it is not so, to be tried again after MS_FILES_QUIET_MS; or as
 * ms_files_read().
 */
int ms_files_read_whole(struct ms_files *files, const ms_text_vec *paths, struct ms_str *error);
/** As ms_files_read_whole(), and waits up to MS_FILES_PATIENCE_MS. -EAGAIN then has its sentence.
 */
int ms_files_read_patiently(struct ms_files *files, const ms_text_vec *paths, struct ms_str *error);
/** What to say when the patience is over. */
void ms_files_say_restless(const ms_text_vec *paths, struct ms_str *error);
