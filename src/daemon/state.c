/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "daemon/state_private.h"
#include "microseg/cleanup.h"

#define HEADER "microseg state 1 " /* then the checksum in 16 hex digits, a newline, and JSON */
#define FORMAT 1		   /* as in HEADER */
#define HEADER_SIZE (sizeof(HEADER) - 1 + 16 + 1)
#define INVENTORY_HEAD                                                                             \
	"# microseg inventory 1 " /* then the checksum in 16 hex digits, a blank, and the boot */
#define BOOT_ID_SIZE 37
#define MAX_STORED (MS_FILES_MAX_TOTAL * 7) /* JSON may write one byte as \uXXXX */

/* FNV-1a: tells a torn file from a whole one. Against malice the directory's mode stands. */
static uint64_t checksum(const char *bytes, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3u;
	return hash;
}

static int make_directory(const char *path)
{
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		_cleanup_(freep) char *parent = strndup(path, (size_t)(slash - path));

		if (!parent)
			return -ENOMEM;
		if (mkdir(parent, 0755) < 0 && errno != EEXIST)
			return -errno;
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int ms_state_open(const char *path, struct ms_state **ret_state, struct ms_str *error)
{
	_cleanup_(ms_state_freep) struct ms_state *state = calloc(1, sizeof(*state));

	if (!state)
		return -ENOMEM;
	state->dir_fd = state->lock_fd = -1;
	int r = make_directory(path);
	if (r == 0) {
		state->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = state->dir_fd < 0 ? -errno : 0;
	}
	if (r < 0) {
		ms_str_add(error, "cannot use the state directory ");
		ms_str_add_safe(error, path);
		ms_str_addf(error, ": %s", strerror(-r));
		return r;
	}
	*ret_state = ms_steal(&state);
	return 0;
}

struct ms_state *ms_state_free(struct ms_state *state)
{
	if (!state)
		return NULL;
	if (state->lock_fd >= 0)
		close(state->lock_fd);
	if (state->dir_fd >= 0)
		close(state->dir_fd);
	free(state);
	return NULL;
}

int ms_state_lock(struct ms_state *state, pid_t *ret_holder)
{
	_cleanup_(closep) int fd =
		openat(state->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	char text[16] = "";

	*ret_holder = 0;
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int r = errno == EWOULDBLOCK ? -EBUSY : -errno;

		if (read(fd, text, sizeof(text) - 1) > 0)
			*ret_holder = (pid_t)strtol(text, NULL, 10);
		return r;
	}
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)len) != len)
		return errno ? -errno : -EIO;
	state->lock_fd = fd;
	fd = -1;
	return 0;
}

static int write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

int ms_state_replace_file(struct ms_state *state, const char *name, const char *bytes, size_t size,
			  bool sync)
{
	char aside[64];

	snprintf(aside, sizeof(aside), "%s.tmp", name);
	_cleanup_(closep) int fd = openat(
		state->dir_fd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	int r = write_all(fd, bytes, size);
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(state->dir_fd, aside, state->dir_fd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(state->dir_fd, aside, 0);
	else if (sync && fsync(state->dir_fd) < 0)
		r = -errno;
	return r;
}

int ms_state_read_file(const struct ms_state *state, const char *name, char **ret_bytes,
		       size_t *ret_size)
{
	_cleanup_(closep) int fd = openat(state->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > MAX_STORED)
		return -EBADMSG;

	_cleanup_(freep) char *bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return -ENOMEM;
	ssize_t n = read(fd, bytes, (size_t)st.st_size);
	if (n < 0)
		return -errno;
	bytes[n] = '\0';
	*ret_bytes = ms_steal(&bytes);
	*ret_size = (size_t)n;
	return 0;
}

static bool marker_absent(const struct ms_state *state, const char *name)
{
	return faccessat(state->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

bool ms_state_is_armed(const struct ms_state *state)
{
	return !marker_absent(state, "armed") || !marker_absent(state, "policy");
}

int ms_state_set_armed(struct ms_state *state)
{
	return ms_state_replace_file(state, "armed", "", 0, true);
}

bool ms_state_is_off(const struct ms_state *state, time_t now, time_t *ret_until)
{
	_cleanup_(freep) char *text = NULL;
	size_t size = 0;
	long long until = 0;
	char end;

	*ret_until = 0;
	if (ms_state_read_file(state, "off", &text, &size) < 0)
		return false;
	if (size > 0 && (sscanf(text, "until %lld%c", &until, &end) < 2 || end != '\n'))
		return false;
	*ret_until = (time_t)until;
	return until == 0 || until > now;
}

int ms_state_set_off(struct ms_state *state, bool off, time_t until)
{
	char text[40] = "";

	if (off && until)
		snprintf(text, sizeof(text), "until %lld\n", (long long)until);
	if (off)
		return ms_state_replace_file(state, "off", text, strlen(text), true);
	if (unlinkat(state->dir_fd, "off", 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(state->dir_fd) < 0 ? -errno : 0;
}

uint64_t ms_state_generation(const struct ms_state *state)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;

	if (ms_state_read_file(state, "generation", &text, &size) < 0)
		return 0;
	return strtoull(text, NULL, 10);
}

int ms_state_set_generation(struct ms_state *state, uint64_t generation)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%" PRIu64 "\n", generation);

	/* Written with every container that comes and goes: the disk may take its time. */
	return ms_state_replace_file(state, "generation", text, (size_t)len, false);
}

int ms_state_store_json(struct ms_state *state, const char *name, const json_t *json)
{
	_cleanup_(freep) char *text = json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS);
	_cleanup_(ms_str_fini) struct ms_str file = {0};

	if (!text)
		return -ENOMEM;
	ms_str_addf(&file, HEADER "%016" PRIx64 "\n", checksum(text, strlen(text)));
	ms_str_add(&file, text);
	return file.failed ? -ENOMEM
			   : ms_state_replace_file(state, name, file.text, file.len, true);
}

/* Is it one of ours, in a form that came after this one? */
static bool is_newer(const char *bytes, size_t size)
{
	static const char magic[] = "microseg state ";

	return size > sizeof(magic) && memcmp(bytes, magic, sizeof(magic) - 1) == 0 &&
	       strtoul(bytes + sizeof(magic) - 1, NULL, 10) > FORMAT;
}

int ms_state_fetch_json(const struct ms_state *state, const char *name, json_t **ret_json)
{
	_cleanup_(freep) char *bytes = NULL;
	size_t size;
	int r = ms_state_read_file(state, name, &bytes, &size);

	if (r < 0)
		return r;
	if (is_newer(bytes, size))
		return -EPROTONOSUPPORT;
	if (size < HEADER_SIZE || memcmp(bytes, HEADER, sizeof(HEADER) - 1) != 0)
		return -EBADMSG;
	uint64_t sum = strtoull(bytes + sizeof(HEADER) - 1, NULL, 16);
	if (sum != checksum(bytes + HEADER_SIZE, size - HEADER_SIZE))
		return -EBADMSG;
	*ret_json =
		json_loadb(bytes + HEADER_SIZE, size - HEADER_SIZE, JSON_REJECT_DUPLICATES, NULL);
	return *ret_json ? 0 : -EBADMSG;
}

uint64_t ms_state_read_sum(const struct ms_state *state, const char *name)
{
	_cleanup_(closep) int fd = openat(state->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char header[HEADER_SIZE + 1] = "";

	if (fd < 0 || read(fd, header, HEADER_SIZE) != (ssize_t)HEADER_SIZE ||
	    memcmp(header, HEADER, sizeof(HEADER) - 1) != 0)
		return 0;
	return strtoull(header + sizeof(HEADER) - 1, NULL, 16);
}

/* An identifier that the kernel draws at each boot; "" where it can't be read. */
static void read_boot_id(char boot[BOOT_ID_SIZE])
{
	_cleanup_(closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, boot, BOOT_ID_SIZE - 1);

	boot[n < 0 ? 0 : n] = '\0';
}

/* The head is a comment to YAML: a version that does not know it reads the rest all the same. */
int ms_state_save_inventory(struct ms_state *state, const struct ms_str *text)
{
	_cleanup_(ms_str_fini) struct ms_str file = {0};
	char boot[BOOT_ID_SIZE];

	if (text->failed || !text->text)
		return -ENOMEM;
	read_boot_id(boot);
	ms_str_addf(&file, INVENTORY_HEAD "%016" PRIx64 " %s\n", checksum(text->text, text->len),
		    boot);
	ms_str_add(&file, text->text);
	return file.failed ? -ENOMEM
			   : ms_state_replace_file(state, "inventory", file.text, file.len, false);
}

/* Written by a version without the head it is taken as it is, but of no boot that is known. */
static int check_inventory(const char *bytes, size_t size, bool *ret_this_boot)
{
	const char *body = memchr(bytes, '\n', size);
	char boot[BOOT_ID_SIZE], wanted[BOOT_ID_SIZE] = "";
	uint64_t sum;

	*ret_this_boot = false;
	if (strncmp(bytes, INVENTORY_HEAD, sizeof(INVENTORY_HEAD) - 1) != 0)
		return 0;
	if (!body ||
	    sscanf(bytes + sizeof(INVENTORY_HEAD) - 1, "%16" SCNx64 " %36s", &sum, wanted) < 1)
		return -EBADMSG;
	body++;
	if (sum != checksum(body, size - (size_t)(body - bytes)))
		return -EBADMSG;
	read_boot_id(boot);
	*ret_this_boot = *wanted && strcmp(boot, wanted) == 0;
	return 0;
}

int ms_state_load_inventory(const struct ms_state *state, struct ms_files *files,
			    bool *ret_this_boot)
{
	_cleanup_(freep) char *bytes = NULL;
	bool this_boot;
	size_t size = 0;
	int r = ms_state_read_file(state, "inventory", &bytes, &size);

	if (r == 0)
		r = check_inventory(bytes, size, &this_boot);
	if (r == 0)
		r = ms_files_add(files, "inventory", bytes, size);
	if (r == 0 && ret_this_boot)
		*ret_this_boot = this_boot;
	return r;
}

int ms_state_load_bridges(const struct ms_state *state, ms_bridge_record_vec *records)
{
	_cleanup_(json_decrefp) json_t *list = NULL;
	char this_boot[BOOT_ID_SIZE];
	json_t *item;
	size_t i;
	int r = ms_state_fetch_json(state, "bridges", &list);

	read_boot_id(this_boot);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	json_array_foreach(list, i, item)
	{
		struct ms_bridge_record record = {0};
		const char *name, *boot = "";
		int ifindex, ip, ip6,
			no_ll_learn = 0; /* the last one is in no record of an older version */

		if (json_unpack(item, "{s:s, s:i, s:b, s:b, s?b, s?s}", "name", &name, "ifindex",
				&ifindex, "ip", &ip, "ip6", &ip6, "no_ll_learn", &no_ll_learn,
				"boot", &boot) < 0)
			return -EBADMSG;
		record.this_boot = *boot && strcmp(boot, this_boot) == 0;
		snprintf(record.name, sizeof(record.name), "%s", name);
		record.ifindex = (uint32_t)ifindex;
		record.nf_call_ip = ip;
		record.nf_call_ip6 = ip6;
		record.no_ll_learn = no_ll_learn;
		r = ms_vec_push(records, record);
		if (r < 0)
			return r;
	}
	return 0;
}

int ms_state_save_bridges(struct ms_state *state, const ms_bridge_record_vec *records)
{
	/* Nothing to put back any more: that must not need room on a full disk. */
	if (records->n_items == 0)
		return unlinkat(state->dir_fd, "bridges", 0) < 0 && errno != ENOENT ? -errno : 0;

	_cleanup_(json_decrefp) json_t *list = json_array();
	char boot[BOOT_ID_SIZE];

	read_boot_id(boot);
	ms_vec_each (struct ms_bridge_record, record, records) {
		json_t *item = json_pack(
			"{s:s, s:i, s:b, s:b, s:b, s:s}", "name", record->name, "ifindex",
			(int)record->ifindex, "ip", record->nf_call_ip, "ip6", record->nf_call_ip6,
			"no_ll_learn", record->no_ll_learn, "boot", record->this_boot ? boot : "");

		if (json_array_append_new(list, item) < 0)
			return -ENOMEM;
	}
	return list ? ms_state_store_json(state, "bridges", list) : -ENOMEM;
}
