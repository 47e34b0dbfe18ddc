/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/state_private.h"
#include "microseg/cleanup.h"

#define DIRECTORY "history"
#define NAME_SIZE 64

static const char *const suffixes[] = {[MS_APPLIED_CONFIRMED] = "",
				       [MS_APPLIED_TRIAL] = ".trial",
				       [MS_APPLIED_UNDONE] = ".undone"};
#define N_SUFFIXES (sizeof(suffixes) / sizeof(suffixes[0]))

static void entries_fini(ms_applied_vec *entries)
{
	ms_vec_fini(entries);
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

const char *ms_applied_state_name(enum ms_applied_state state)
{
	static const char *const names[] = {[MS_APPLIED_CONFIRMED] = "applied",
					    [MS_APPLIED_TRIAL] = "trial",
					    [MS_APPLIED_UNDONE] = "undone"};

	return names[state];
}

static const char *entry_name(uint64_t generation, enum ms_applied_state state,
			      char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, DIRECTORY "/%" PRIu64 "%s", generation, suffixes[state]);
	return name;
}

int ms_state_stage_policy(struct ms_state *state, const struct ms_files *files,
			  const struct ms_applied *applied)
{
	json_t *list = json_array();
	_cleanup_(json_decrefp) json_t *json = json_pack(
		"{s:I, s:I, s:s, s:s, s:I, s:I, s:b, s:o}", "time", (json_int_t)applied->time,
		"uid", (json_int_t)applied->uid, "user", applied->user, "via", applied->via,
		"rollback_of", (json_int_t)applied->rollback_of, "hash", (json_int_t)applied->hash,
		"trial", applied->trial, "files", list);

	ms_vec_each (struct ms_policy_file, file, &files->list)
		if (json_array_append_new(list, json_pack("{s:s, s:s%}", "name", file->name, "text",
							  file->bytes, file->size)) < 0)
			return -EINVAL;
	return json ? ms_state_store_json(state, "policy.next", json) : -ENOMEM;
}

/* Reads what stands beside the files. An older version wrote nothing but the list of files. */
static void read_applied(json_t *json, struct ms_applied *applied)
{
	json_int_t when = 0, uid = 0, rollback_of = 0, hash = 0;
	const char *user = "", *via = "apply";
	int trial = 0;

	json_unpack(json, "{s?I, s?I, s?s, s?s, s?I, s?I, s?b}", "time", &when, "uid", &uid, "user",
		    &user, "via", &via, "rollback_of", &rollback_of, "hash", &hash, "trial",
		    &trial);
	applied->time = (time_t)when;
	applied->uid = (uint32_t)uid;
	applied->rollback_of = (uint64_t)rollback_of;
	applied->hash = (uint64_t)hash;
	applied->trial = trial;
	snprintf(applied->user, sizeof(applied->user), "%s", user);
	snprintf(applied->via, sizeof(applied->via), "%s", via);
}

static json_t *files_of(json_t *json)
{
	return json_is_array(json) ? json : json_object_get(json, "files");
}

static int read_files(json_t *list, struct ms_files *files)
{
	json_t *item;
	size_t i;

	files->applied = true;
	json_array_foreach(list, i, item)
	{
		const char *name, *text;
		size_t size;

		if (json_unpack(item, "{s:s, s:s%}", "name", &name, "text", &text, &size) < 0)
			return -EBADMSG;
		int r = ms_files_add(files, name, text, size);
		if (r < 0)
			return r;
	}
	return 0;
}

/* @files and @applied may be NULL. */
static int load(const struct ms_state *state, const char *name, struct ms_files *files,
		struct ms_applied *applied)
{
	_cleanup_(json_decrefp) json_t *json = NULL;
	int r = ms_state_fetch_json(state, name, &json);

	if (r < 0)
		return r;
	if (!json_is_array(files_of(json)))
		return -EBADMSG;
	if (applied) {
		read_applied(json, applied);
		applied->n_files = json_array_size(files_of(json));
		applied->readable = true;
	}
	return files ? read_files(files_of(json), files) : 0;
}

int ms_state_load_policy(const struct ms_state *state, struct ms_files *files,
			 struct ms_applied *applied)
{
	return load(state, "policy", files, applied);
}

static bool parse_name(const char *name, struct ms_applied *applied)
{
	char *end = NULL;

	if (*name < '1' || *name > '9')
		return false;
	errno = 0;
	applied->generation = strtoull(name, &end, 10);
	for (size_t i = 0; i < N_SUFFIXES && errno == 0; i++)
		if (strcmp(end, suffixes[i]) == 0) {
			applied->state = (enum ms_applied_state)i;
			return true;
		}
	return false;
}

static int compare_entries(const void *a, const void *b)
{
	const struct ms_applied *left = a, *right = b;

	return (left->generation > right->generation) - (left->generation < right->generation);
}

/* Names and what they say, oldest first; the files are not read. */
static int list_entries(const struct ms_state *state, ms_applied_vec *entries)
{
	int fd = openat(state->dir_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		struct ms_applied applied = {0};

		if (parse_name(entry->d_name, &applied) && ms_vec_push(entries, applied) < 0)
			return -ENOMEM;
	}
	ms_vec_sort(entries, compare_entries);
	return 0;
}

/* The newest entry that has the checksum of the policy in force. Times are part of it. */
static struct ms_applied *find_in_force(const struct ms_state *state, ms_applied_vec *entries)
{
	uint64_t sum = ms_state_read_sum(state, "policy");
	char name[NAME_SIZE];

	for (size_t i = entries->n_items; sum && i-- > 0;) {
		struct ms_applied *entry = &entries->items[i];

		if (ms_state_read_sum(state, entry_name(entry->generation, entry->state, name)) ==
		    sum)
			return entry;
	}
	return NULL;
}

int ms_state_history(const struct ms_state *state, ms_applied_vec *entries)
{
	char name[NAME_SIZE];
	int r = list_entries(state, entries);

	if (r < 0)
		return r;
	ms_vec_each (struct ms_applied, entry, entries)
		if (load(state, entry_name(entry->generation, entry->state, name), NULL, entry) ==
		    -ENOMEM)
			return -ENOMEM;
	struct ms_applied *in_force = find_in_force(state, entries);
	if (in_force)
		in_force->in_force = true;
	return 0;
}

int ms_state_load_applied(const struct ms_state *state, uint64_t generation, struct ms_files *files,
			  struct ms_applied *applied)
{
	char name[NAME_SIZE];
	int r = -ENOENT;

	for (size_t i = 0; i < N_SUFFIXES && r == -ENOENT; i++) {
		applied->generation = generation;
		applied->state = (enum ms_applied_state)i;
		r = load(state, entry_name(generation, applied->state, name), files, applied);
	}
	return r;
}

/* The oldest go, but for what is in force. What can't be removed is tried again next time. */
static void prune(struct ms_state *state)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};
	const struct ms_applied *in_force;
	char name[NAME_SIZE];
	off_t total = 0;
	size_t n = 0;

	if (list_entries(state, &entries) < 0)
		return;
	in_force = find_in_force(state, &entries);
	for (size_t i = entries.n_items; i-- > 0;) {
		const struct ms_applied *entry = &entries.items[i];
		struct stat st = {0};

		entry_name(entry->generation, entry->state, name);
		(void)!fstatat(state->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW);
		total += st.st_size;
		n++;
		if ((n > MS_HISTORY_MAX || total > MS_HISTORY_MAX_SIZE) && entry != in_force &&
		    n > 1)
			unlinkat(state->dir_fd, name, 0);
	}
}

/* What is staged gets a second name. */
static int enter(struct ms_state *state, uint64_t generation, enum ms_applied_state what)
{
	char name[NAME_SIZE];

	entry_name(generation, what, name);
	if (mkdirat(state->dir_fd, DIRECTORY, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (unlinkat(state->dir_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return linkat(state->dir_fd, "policy.next", state->dir_fd, name, 0) < 0 ? -errno : 0;
}

uint64_t ms_state_staged(const struct ms_state *state)
{
	return ms_state_read_sum(state, "policy.next");
}

static int sync_directory(const struct ms_state *state)
{
	return fsync(state->dir_fd) < 0 ? MS_STATE_UNSYNCED : 0;
}

/* Returns 0, MS_STATE_UNSYNCED, or -errno with nothing changed. */
static int take_staged(struct ms_state *state)
{
	if (renameat(state->dir_fd, "policy.next", state->dir_fd, "policy") < 0)
		return -errno;
	return sync_directory(state);
}

/* What has changed its name before is not staged any more: then only the disk is waited for. */
int ms_state_commit_again(struct ms_state *state)
{
	int r = take_staged(state);

	return r == -ENOENT ? sync_directory(state) : r;
}

int ms_state_commit_policy(struct ms_state *state, uint64_t generation, bool trial,
			   int *ret_history)
{
	*ret_history = enter(state, generation, trial ? MS_APPLIED_TRIAL : MS_APPLIED_CONFIRMED);
	int r = trial ? 0 : take_staged(state);
	prune(state);
	return r;
}

static int rename_entry(struct ms_state *state, uint64_t generation, enum ms_applied_state to)
{
	char before[NAME_SIZE], after[NAME_SIZE];

	entry_name(generation, MS_APPLIED_TRIAL, before);
	entry_name(generation, to, after);
	return renameat(state->dir_fd, before, state->dir_fd, after) < 0 && errno != ENOENT ? -errno
											    : 0;
}

/* First what a start takes up: a crash between the two is put right by ms_state_end_trials(). */
int ms_state_confirm(struct ms_state *state, uint64_t generation)
{
	int r = take_staged(state);

	if (r < 0)
		return r;
	int renamed = rename_entry(state, generation, MS_APPLIED_CONFIRMED);
	return renamed < 0 ? renamed : r;
}

int ms_state_end_trials(struct ms_state *state)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};
	int r = list_entries(state, &entries);
	const struct ms_applied *in_force = r < 0 ? NULL : find_in_force(state, &entries);

	for (size_t i = 0; i < entries.n_items && r == 0; i++)
		if (entries.items[i].state == MS_APPLIED_TRIAL)
			r = rename_entry(state, entries.items[i].generation,
					 &entries.items[i] == in_force ? MS_APPLIED_CONFIRMED
								       : MS_APPLIED_UNDONE);
	if (r == 0 && unlinkat(state->dir_fd, "policy.next", 0) < 0 && errno != ENOENT)
		r = -errno;
	return r;
}

bool ms_state_first_was_trial(const struct ms_state *state)
{
	struct ms_applied applied = {0};

	return !ms_state_is_armed(state) && load(state, "policy.next", NULL, &applied) == 0 &&
	       applied.trial;
}

const struct ms_applied *ms_history_previous(const ms_applied_vec *entries)
{
	const struct ms_applied *now = NULL;

	ms_vec_each (struct ms_applied, entry, entries)
		if (entry->in_force)
			now = entry;
	if (!now)
		return NULL;
	for (size_t i = entries->n_items; i-- > 0;) {
		const struct ms_applied *entry = &entries->items[i];

		if (entry->state == MS_APPLIED_CONFIRMED && entry->readable &&
		    entry->generation < (now->rollback_of ? now->rollback_of : now->generation) &&
		    entry->hash != now->hash)
			return entry;
	}
	return NULL;
}
