/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control: HTTP/1.1 with JSON on a unix socket (0660).
 *
 *	GET  /v1/status, /v1/endpoints, /v1/policy    JSON
 *	GET  /v1/inventory                            the Inventory document
 *	GET  /v1/drops?since=MS&reason=R&service=S    JSON lines; &follow=1 goes on, &last=N limits
 *what was before GET  /metrics                                 Prometheus text POST /v1/apply
 *{"files": [{"name", "text"}]}; answers once it is in force or refused POST /v1/off, /v1/on
 *
 * Reading is for uid 0 and the socket's group, changing for uid 0. A reader of drops that does not
 *read is cut off at 1 MiB.
 */
#pragma once

struct ms_control;
struct ms_daemon;

/** Returns 0, or -errno after saying why. */
int ms_control_new(struct ms_daemon *daemon, struct ms_control **ret_control);
struct ms_control *ms_control_free(struct ms_control *control);
