/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients: who is connected to the control socket, and how much of us each may take. See clients.c.
 */
#pragma once

#include "loop/loop.h"

struct evhttp;
struct evhttp_request;
struct evconnlistener;
struct ms_clients;

typedef void (*ms_clients_fn)(struct evhttp_request *request, void *userdata);

/** Takes @http in hand: @serve gets each request when it is its turn. NULL without memory. */
struct ms_clients *ms_clients_new(struct ms_loop *loop, struct evhttp *http, ms_clients_fn serve,
				  void *userdata);
/** After @http was freed. */
struct ms_clients *ms_clients_free(struct ms_clients *clients);

/** The listener that @http accepts from. It stays the caller's and @http's. */
void ms_clients_listen(struct ms_clients *clients, struct evconnlistener *listener);
