/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/eventlog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/log.h"
#include "microseg/cleanup.h"
#include "microseg/str.h"

struct ms_eventlog {
	const char *path;
	int fd;
	bool torn; /* the last line has no end, and could not be taken back */
	uint64_t missing;
	char *problem;
};

static void set_problem(struct ms_eventlog *log, const char *what, const char *why)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (log->problem)
		return;
	ms_str_addf(&text, "cannot %s %s: %s; what is missing there is counted", what, log->path,
		    why);
	log->problem = ms_str_steal(&text);
	ms_log(MS_LOG_WARNING, "%s", log->problem ? log->problem : "out of memory");
}

static void open_file(struct ms_eventlog *log)
{
	log->torn = false;
	log->fd = open(log->path,
		       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (log->fd < 0)
		set_problem(log, "open the log file", strerror(errno));
}

struct ms_eventlog *ms_eventlog_new(const char *path)
{
	struct ms_eventlog *log = calloc(1, sizeof(*log));

	if (!log)
		return NULL;
	log->path = path;
	log->fd = -1;
	ms_eventlog_reopen(log);
	return log;
}

struct ms_eventlog *ms_eventlog_free(struct ms_eventlog *log)
{
	if (!log)
		return NULL;
	if (log->fd > STDERR_FILENO)
		close(log->fd);
	free(log->problem);
	free(log);
	return NULL;
}

void ms_eventlog_reopen(struct ms_eventlog *log)
{
	if (!log->path)
		return;
	if (strcmp(log->path, "-") == 0) {
		log->fd = STDOUT_FILENO;
		return;
	}
	if (log->fd >= 0)
		close(log->fd);
	open_file(log);
}

/* Of a line that was cut short: only of a regular file can it be taken back. */
static void take_back(struct ms_eventlog *log, ssize_t n_written)
{
	off_t end = lseek(log->fd, 0, SEEK_CUR);

	log->torn = end < n_written || ftruncate(log->fd, end - n_written) < 0;
}

/* POLLOUT promises room for PIPE_BUF bytes of a pipe; what is longer may be cut short. */
static int write_line(struct ms_eventlog *log, const char *line, size_t len)
{
	struct pollfd ready = {.fd = log->fd, .events = POLLOUT};

	if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
		return -EAGAIN;
	ssize_t n = write(log->fd, line, len);
	if (n == (ssize_t)len)
		return 0;
	if (n > 0)
		take_back(log, n);
	return n < 0 ? -errno : -ENOSPC;
}

static int write_json(struct ms_eventlog *log, const char *json)
{
	_cleanup_(ms_str_fini) struct ms_str line = {0};

	if (log->fd < 0)
		return -EBADF;
	ms_str_addf(&line, "%s%s\n", log->torn ? "\n" : "", json);
	if (line.failed)
		return -ENOMEM;
	int r = write_line(log, line.text, line.len);
	if (r == 0)
		log->torn = false;
	else
		set_problem(log, "write events to",
			    r == -EAGAIN ? "nobody reads it" : strerror(-r));
	return r;
}

void ms_eventlog_write(struct ms_eventlog *log, const char *json, uint64_t n_packets)
{
	if (log->path && write_json(log, json) < 0)
		log->missing += n_packets;
}

uint64_t ms_eventlog_missing(const struct ms_eventlog *log)
{
	return log->missing;
}

void ms_eventlog_tell(struct ms_eventlog *log, const char *json)
{
	if (log->fd < 0)
		open_file(log);
	if (write_json(log, json) < 0)
		return;
	ms_log(MS_LOG_NOTICE,
	       "events are written to %s again; %" PRIu64 " packets are missing there", log->path,
	       log->missing);
	log->missing = 0;
	free(log->problem);
	log->problem = NULL;
}

const char *ms_eventlog_problem(const struct ms_eventlog *log)
{
	return log->problem;
}
