/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "microseg/cleanup.h"

#define MAX_DIRECTORIES 16 /* one inside the other */

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int ms_files_init(struct ms_files *files)
{
	*files = (struct ms_files){.arena = ms_arena_new()};
	return files->arena ? 0 : -ENOMEM;
}

void ms_files_fini(struct ms_files *files)
{
	ms_arena_free(files->arena);
	*files = (struct ms_files){0};
}

static size_t max_size(const struct ms_files *files)
{
	return ms_file_max_size(&(struct ms_policy_file){.inventory = files->inventory});
}

static size_t max_total(const struct ms_files *files)
{
	return files->inventory ? MS_MAX_INVENTORY_SIZE : MS_FILES_MAX_TOTAL;
}

int ms_files_add(struct ms_files *files, const char *name, const char *bytes, size_t size)
{
	if (size > max_size(files) || files->list.n_items >= MS_MAX_FILES ||
	    size > max_total(files) - files->total_size)
		return -E2BIG;

	struct ms_policy_file file = {
		.inventory = files->inventory,
		.applied = files->applied,
		.name = ms_arena_strdup(files->arena, name),
		.bytes = ms_arena_strndup(files->arena, bytes, size),
		.size = size,
	};
	if (!file.name || !file.bytes)
		return -ENOMEM;
	int r = ms_avec_push(files->arena, &files->list, file);
	if (r < 0)
		return r;
	files->total_size += size;
	return 0;
}

int ms_files_copy(const struct ms_files *files, struct ms_files *copy)
{
	int r = ms_files_init(copy);

	copy->applied = true;
	ms_vec_each (struct ms_policy_file, file, &files->list)
		if (r == 0)
			r = ms_files_add(copy, file->name, file->bytes, file->size);
	return r;
}

static int fail(struct ms_str *error, const char *path, int r)
{
	const char *why =
		r == -E2BIG
			? "larger than a load may be (policies: 1 MiB a file, 16 MiB and 4096 files "
			  "in all; an inventory: 64 MiB)"
		: r == -ELOOP ? "a symbolic link inside a policy directory is not followed"
			      : strerror(-r);

	ms_str_add_safe(error, path);
	ms_str_addf(error, ": %s", why);
	return r;
}

/* Room for all of the file and a byte more, which is how its end is seen; twice the room where it
 * has grown since. */
static int make_room(char **bytes, size_t *room, size_t limit)
{
	size_t wanted = *room > limit / 2 ? limit + 1 : *room * 2;
	char *larger = realloc(*bytes, wanted);

	if (!larger)
		return -ENOMEM;
	*bytes = larger;
	*room = wanted;
	return 0;
}

/* Reads up to one byte more than a file may have, so that a file that is too large shows. */
static int read_whole(int fd, size_t limit, char **ret_bytes, size_t *ret_size)
{
	_cleanup_(freep) char *bytes = NULL;
	size_t size = 0, room;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	room = st.st_size >= 0 && (size_t)st.st_size < limit ? (size_t)st.st_size / 2 + 1 : limit;
	while (size <= limit) {
		if (!bytes || size == room) {
			int r = make_room(&bytes, &room, limit);

			if (r < 0)
				return r;
		}
		ssize_t n = read(fd, bytes + size, room - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	*ret_bytes = ms_steal(&bytes);
	*ret_size = size;
	return 0;
}

/*
 * Where an earlier path led to the same file, its place in the list; otherwise the end. Its bytes
 * are compared as well: an inode that went and came back is another file.
 */
static size_t known_index(const struct ms_files *files, const struct stat *st, const char *bytes,
			  size_t size)
{
	for (size_t i = 0; i < files->n_seen_before; i++) {
		const struct ms_file_id *id = &files->seen.items[i];
		const struct ms_policy_file *file = &files->list.items[id->index];

		if (id->device == st->st_dev && id->inode == st->st_ino && file->size == size &&
		    memcmp(file->bytes, bytes, size) == 0)
			return id->index;
	}
	return files->list.n_items;
}

/* A name can hold what moves a terminal's cursor, ends a line of TAP, or is no JSON. */
static int add_named(struct ms_files *files, const char *path, const char *bytes, size_t size)
{
	_cleanup_(ms_str_fini) struct ms_str name = {0};

	ms_str_add_safe(&name, path);
	return name.text ? ms_files_add(files, name.text, bytes, size) : -ENOMEM;
}

static int read_file(struct ms_files *files, int fd, const struct stat *st, const char *path,
		     struct ms_str *error)
{
	_cleanup_(freep) char *bytes = NULL;
	size_t size = 0;
	int r = read_whole(fd, max_size(files), &bytes, &size);

	if (r < 0)
		return fail(error, path, r);
	size_t index = known_index(files, st, bytes, size);
	if (index == files->list.n_items)
		r = add_named(files, path, bytes, size);
	if (r == 0)
		r = ms_avec_push(files->arena, &files->seen,
				 ((struct ms_file_id){st->st_dev, st->st_ino, index}));
	return r < 0 ? fail(error, path, r) : 0;
}

static int read_opened(struct ms_files *files, int fd, const char *path, unsigned int depth,
		       struct ms_str *error);

static bool wanted(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static bool is_yaml(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && strcmp(name + len - 5, ".yaml") == 0;
}

/* One entry of a directory: a directory is walked, a *.yaml is read, anything else is not ours. */
static int read_entry(struct ms_files *files, int dir_fd, const char *name, const char *path,
		      unsigned int depth, struct ms_str *error)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(error, path, -errno);
	if (!S_ISDIR(st.st_mode) && !is_yaml(name))
		return 0;

	_cleanup_(closep) int fd =
		openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return fail(error, path, -errno);
	return read_opened(files, fd, path, depth, error);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int list_names(struct ms_arena *arena, DIR *dir, ms_text_vec *ret_names)
{
	const struct dirent *entry;

	while ((errno = 0, entry = readdir(dir))) {
		if (!wanted(entry))
			continue;
		const char *name = ms_arena_strdup(arena, entry->d_name);

		if (!name || ms_avec_push(arena, ret_names, name) < 0)
			return -ENOMEM;
	}
	if (errno)
		return -errno;
	ms_vec_sort(ret_names, compare_names);
	return 0;
}

/* Takes over @fd. */
static int read_directory(struct ms_files *files, int fd, const char *path, unsigned int depth,
			  struct ms_str *error)
{
	_cleanup_(closedirp) DIR *dir = fdopendir(fd);
	ms_text_vec names = {0};

	if (!dir) {
		close(fd);
		return fail(error, path, -errno);
	}
	if (depth >= MAX_DIRECTORIES)
		return fail(error, path, -ENAMETOOLONG);

	int r = list_names(files->arena, dir, &names);
	if (r < 0)
		return fail(error, path, r);
	ms_vec_each (const char *, name, &names) {
		const char *slash = path[0] && path[strlen(path) - 1] == '/' ? "" : "/";
		const char *below = ms_arena_printf(files->arena, "%s%s%s", path, slash, *name);

		r = below ? read_entry(files, dirfd(dir), *name, below, depth + 1, error) : -ENOMEM;
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * The kernel gives a read lease on a file to nobody while somebody has it open for writing. Should
 * a writer come in the moment between, we are told by a signal that is ignored.
 */
static bool is_being_written(int fd)
{
	if (fcntl(fd, F_SETSIG, SIGURG) < 0)
		return false;
	bool written = fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && errno == EAGAIN;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return written;
}

/* The time of the last change of an inode is the kernel's: nobody can set it. */
static void note_change(struct ms_files *files, const struct stat *st)
{
	uint64_t changed_ms =
		(uint64_t)st->st_ctim.tv_sec * 1000 + (uint64_t)st->st_ctim.tv_nsec / 1000000;

	if (changed_ms > files->changed_ms)
		files->changed_ms = changed_ms;
}

static int read_opened(struct ms_files *files, int fd, const char *path, unsigned int depth,
		       struct ms_str *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(error, path, -errno);
	note_change(files, &st);
	if (S_ISDIR(st.st_mode)) {
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

		return copy < 0 ? fail(error, path, -errno)
				: read_directory(files, copy, path, depth, error);
	}
	if (!S_ISREG(st.st_mode)) {
		ms_str_add_safe(error, path);
		ms_str_add(error, ": not a regular file");
		return -EINVAL;
	}
	files->written |= files->watch && is_being_written(fd);
	return read_file(files, fd, &st, path, error);
}

int ms_files_read(struct ms_files *files, const char *path, struct ms_str *error)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) { /* of a path that was typed, links are followed */
		int r = -errno;

		ms_str_add_safe(error, *path ? path : "an empty path");
		ms_str_addf(error, ": %s", strerror(-r));
		return r;
	}
	size_t before = files->seen.n_items;
	int r = read_opened(files, fd, path, 0, error);
	if (r < 0)
		return r;
	if (files->seen.n_items == before) {
		ms_str_add_safe(error, path);
		ms_str_add(error, ": no *.yaml file in it");
		return -ENOENT;
	}
	return 0;
}

int ms_files_read_all(struct ms_files *files, const ms_text_vec *paths, struct ms_str *error)
{
	if (paths->n_items == 0)
		return ms_files_read(files, MS_POLICY_DIR, error);
	ms_vec_each (const char *, path, paths) {
		files->n_seen_before = files->seen.n_items;
		int r = ms_files_read(files, *path, error);

		if (r < 0)
			return r;
	}
	return 0;
}

static bool same_files(const struct ms_files *a, const struct ms_files *b)
{
	if (a->list.n_items != b->list.n_items || a->changed_ms != b->changed_ms)
		return false;
	for (size_t i = 0; i < a->list.n_items; i++) {
		const struct ms_policy_file *left = &a->list.items[i], *right = &b->list.items[i];

		if (left->size != right->size || strcmp(left->name, right->name) != 0 ||
		    memcmp(left->bytes, right->bytes, left->size) != 0)
			return false;
	}
	return true;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A change in the future is one from before the clock was set back. */
static bool is_quiet(const struct ms_files *files)
{
	uint64_t now = now_ms();

	return files->changed_ms > now || now - files->changed_ms >= MS_FILES_QUIET_MS;
}

int ms_files_read_whole(struct ms_files *files, const ms_text_vec *paths, struct ms_str *error)
{
	_cleanup_(ms_files_fini) struct ms_files again = {0}, first = {0};
	int r = ms_files_init(&first);

	if (r == 0)
		r = ms_files_init(&again);
	again.watch = true;
	if (r == 0)
		r = ms_files_read_all(&first, paths, error);
	if (r == 0)
		r = ms_files_read_all(&again, paths, error);
	if (r == 0 && (!is_quiet(&again) || again.written || !same_files(&first, &again)))
		r = -EAGAIN;
	if (r < 0)
		return r;
	*files = again;
	again = (struct ms_files){0};
	return 0;
}

void ms_files_say_restless(const ms_text_vec *paths, struct ms_str *error)
{
	ms_str_add_safe(error, paths->n_items ? paths->items[0] : MS_POLICY_DIR);
	ms_str_add(error, ": somebody is writing to it all the time: nothing is read until it is "
			  "quiet for a moment");
}

int ms_files_read_patiently(struct ms_files *files, const ms_text_vec *paths, struct ms_str *error)
{
	const struct timespec quiet = {.tv_nsec = MS_FILES_QUIET_MS * 1000000L};
	int r = ms_files_read_whole(files, paths, error);

	for (int ms = 0; r == -EAGAIN && ms < MS_FILES_PATIENCE_MS; ms += MS_FILES_QUIET_MS) {
		nanosleep(&quiet, NULL);
		r = ms_files_read_whole(files, paths, error);
	}
	if (r == -EAGAIN)
		ms_files_say_restless(paths, error);
	return r;
}
