/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eventlog: the file that events are also written to, line by line.
 *
 * A line goes out whole or not at all: what a full disk cut short is taken back, and a pipe that
 * nobody empties holds nobody up. What is missing in the file is counted in packets, for a line in
 * the file itself to tell.
 */
#pragma once

#include <stdint.h>

struct ms_eventlog;

/** @path: borrowed; NULL for no file, "-" for standard output. Opens it; that it can't be opened is
 * no failure. NULL without memory. */
struct ms_eventlog *ms_eventlog_new(const char *path);
struct ms_eventlog *ms_eventlog_free(struct ms_eventlog *log);
/** Opens it anew, for rotation. */
void ms_eventlog_reopen(struct ms_eventlog *log);
/** Writes @json and a newline. What it tells of, @n_packets, is counted as missing when it can't.
 */
void ms_eventlog_write(struct ms_eventlog *log, const char *json, uint64_t n_packets);
/** Packets that no line in the file tells of. */
uint64_t ms_eventlog_missing(const struct ms_eventlog *log);
/** Writes @json, which tells of all that are missing. Opens the file first where that failed. */
void ms_eventlog_tell(struct ms_eventlog *log, const char *json);
/** One sentence on what does not work, or NULL. */
const char *ms_eventlog_problem(const struct ms_eventlog *log);
