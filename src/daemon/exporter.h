/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exporter: metrics on a loopback TCP port, by a process that can do nothing else. See exporter.c.
 */
#pragma once

#include "daemon/config.h"
#include "loop/loop.h"
#include "microseg/str.h"

struct ms_exporter;

/** Appends the metrics of this moment. */
typedef void (*ms_exporter_fn)(const void *userdata, struct ms_str *out);

/**
 * Binds the port of @config and forks the process. To be called before anything is open that the
 * process must not have, and while we may still become another user. Returns 0, also when no port
 * is configured: *@ret_exporter is NULL then; or -ENOMEM. That a port can't be had is no failure:
 * ms_exporter_problem() says so.
 */
int ms_exporter_fork(const struct ms_config *config, struct ms_exporter **ret_exporter);
/** Answers the process from now on. */
int ms_exporter_start(struct ms_exporter *exporter, struct ms_loop *loop, ms_exporter_fn fn,
		      const void *userdata);
struct ms_exporter *ms_exporter_free(struct ms_exporter *exporter);

/** One sentence on what does not work, or NULL. @exporter may be NULL. */
const char *ms_exporter_problem(const struct ms_exporter *exporter);
