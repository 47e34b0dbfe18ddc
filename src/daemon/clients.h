/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients: who is connected to the control socket, and how much of us each may take. See clients.c.
 */
#pragma once

#include <stddef.h>

#include "loop/loop.h"

struct evhttp;
struct evhttp_request;
struct evconnlistener;
struct ms_clients;

/* Connections at a time. */
#define MS_CLIENTS_ROOT 64u
#define MS_CLIENTS_OTHERS 64u
#define MS_CLIENTS_PER_UID 16u
/* To complete a request, or to make the next one; root's may carry a policy. */
#define MS_CLIENTS_REQUEST_MS 10000u
#define MS_CLIENTS_ROOT_REQUEST_MS 30000u
/* For a reply that is not read. */
#define MS_CLIENTS_REPLY_MS 60000u
/* Bytes of a request of others, headers included; and those that a uid was sent and has not read.
 */
#define MS_CLIENTS_MAX_REQUEST ((size_t)32768)
#define MS_CLIENTS_MAX_UNREAD ((size_t)1 << 23)

typedef void (*ms_clients_fn)(struct evhttp_request *request, void *userdata);

/** Takes @http in hand: @serve gets each request when it is its turn. NULL without memory. */
struct ms_clients *ms_clients_new(struct ms_loop *loop, struct evhttp *http, ms_clients_fn serve,
				  void *userdata);
/** After @http was freed. */
struct ms_clients *ms_clients_free(struct ms_clients *clients);

/** The listener that @http accepts from. It stays the caller's and @http's. */
void ms_clients_listen(struct ms_clients *clients, struct evconnlistener *listener);
