/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Orders: what people ask of the daemon over the control socket, and what they look at before they
 * do. One function a route; control.h says what goes in and comes out.
 */
#pragma once

#include <jansson.h>

#include "daemon/history.h"

struct evhttp_request;
struct ms_control;

void ms_orders_policy(struct ms_control *control, struct evhttp_request *request);
void ms_orders_history(struct ms_control *control, struct evhttp_request *request);
void ms_orders_plan(struct ms_control *control, struct evhttp_request *request);
void ms_orders_apply(struct ms_control *control, struct evhttp_request *request);
void ms_orders_confirm(struct ms_control *control, struct evhttp_request *request);
void ms_orders_rollback(struct ms_control *control, struct evhttp_request *request);
void ms_orders_off(struct ms_control *control, struct evhttp_request *request);
void ms_orders_on(struct ms_control *control, struct evhttp_request *request);

/* orders_runtime.c */
void ms_orders_runtime(struct ms_control *control, struct evhttp_request *request);
void ms_orders_runtime_add(struct ms_control *control, struct evhttp_request *request);
void ms_orders_runtime_remove(struct ms_control *control, struct evhttp_request *request);

/** Nobody waits any more: the control socket is closed. */
void ms_orders_fini(struct ms_control *control);

/* What these share. */

/** The body of @request as a JSON object; "" is an empty one. NULL: answered that it is none. */
json_t *ms_orders_body(struct evhttp_request *request);
/** Fills in who asks, and how: uid, user, via. */
void ms_orders_by(struct evhttp_request *request, const char *via, struct ms_applied *by);
/** Has @request answered once the candidate is in force or refused: with state, generation and
 * what is in @answer, which it takes over. */
void ms_orders_park(struct ms_control *control, struct evhttp_request *request, json_t *answer);
/** Is told by the daemon: the ms_apply_fn of a parked request. */
struct ms_apply_result;
void ms_orders_applied(const struct ms_apply_result *result, void *userdata);
/** Answers that an order was not taken: why ms_daemon_apply() or ms_daemon_overlay() returned @r.
 */
void ms_orders_refuse(struct ms_control *control, struct evhttp_request *request, int r);
