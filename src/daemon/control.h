/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control: HTTP/1.1 with JSON on a unix socket (0660). GET /v1 lists what is answered, out of the
 * one table that answers it (routes.c), and so does microseg-api(7).
 *
 * Reading is for uid 0 and the socket's group, changing for uid 0. What is refused is answered with
 * 4xx or 5xx and {"error", "diagnostics"}. What one client
 * may take of us is limited in clients.c; a reader of drops that does not read is cut off at 1 MiB.
 */
#pragma once

#include "daemon/files.h"

#define MS_CONTROL_MAX_BODY (MS_FILES_MAX_TOTAL * 2) /* a policy in JSON */
#define MS_CONTROL_MAX_HEADER 16384

struct ms_control;
struct ms_daemon;

/** Returns 0, or -errno after saying why. */
int ms_control_new(struct ms_daemon *daemon, struct ms_control **ret_control);
struct ms_control *ms_control_free(struct ms_control *control);
