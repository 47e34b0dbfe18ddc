/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control: HTTP/1.1 with JSON on a unix socket (0660). GET /v1 lists what is answered, out of the
 * one table that answers it (control.c).
 *
 * Reading is for uid 0 and the socket's group, changing for uid 0. What is refused is answered with
 * 4xx or 5xx and {"error", "diagnostics"}. A reader of drops that does not read is cut off at 1
 * MiB.
 */
#pragma once

struct ms_control;
struct ms_daemon;

/** Returns 0, or -errno after saying why. */
int ms_control_new(struct ms_daemon *daemon, struct ms_control **ret_control);
struct ms_control *ms_control_free(struct ms_control *control);
