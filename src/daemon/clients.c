/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * libevent's HTTP server takes whoever comes, and answers at once whatever is asked. This module
 * stands before it, so that nobody on the control socket can hurt the line or another client:
 *
 *   - A few connections are accepted at a time; root and others have room of their own, and each
 *     uid only so much of it. Who comes too many is cut off.
 *   - A request has to be complete within seconds, and only root's may have a body worth the name.
 *     A reply has to be read within a minute.
 *   - Requests wait in a queue. One is served a turn, the uids in turn, and after each the server
 *     rests for three times what it took: all of them together get a quarter of the thread.
 *     While a uid does not read what it was sent, it gets no more.
 *
 * A bufferevent belongs to its connection, which libevent frees without a word to us. A reference
 * keeps the shell of it alive; that its callbacks are gone says that the connection is.
 *
 * libevent does not look whether the kernel takes what it asks it to watch. A connection that
 * nobody watches would hang for as long as its owner has patience: it is seen here, and watched
 * again.
 */
#include "daemon/clients.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_struct.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "daemon/control.h"
#include "daemon/reply.h"

#define ACCEPTS 8 /* then a pause of ACCEPT_PAUSE_MS: 2,000 a second */
#define ACCEPT_PAUSE_MS 4
#define MAX_PENDING (MS_CONTROL_MAX_BODY + 65536) /* of requests not complete, of all together */
#define REST_FACTOR 3
#define SWEEP_MS 1000
#define WATCH_MS 50 /* after which a connection is looked at that the kernel may not watch */
#define ACCEPT_AGAIN_MS 1000 /* the kernel may have had no descriptor or no memory for one more */

enum client_state {
	FRESH,	 /* not looked at yet */
	READING, /* or idle */
	WAITING, /* its request is in the queue */
	SERVED,	 /* being answered */
};

struct client {
	TAILQ_ENTRY(client) entry;
	struct ms_clients *clients;
	struct bufferevent *bufferevent;
	struct evbuffer_cb_entry *counting;
	struct evhttp_request *request; /* while WAITING */
	enum client_state state;
	uint64_t since_ms;  /* when it came into this state */
	uint64_t unread_ms; /* since when it reads nothing; 0: nothing is left to read */
	size_t n_bytes;	    /* of the request being read */
	uid_t uid;
	bool greedy; /* more than it may: cut off at the next step */
};

struct ms_clients {
	struct ms_loop *loop;
	ms_clients_fn serve;
	void *userdata;
	struct evconnlistener *listener;
	struct ms_timer *accept;	      /* goes on accepting */
	struct ms_timer *watch;		      /* looks whether the kernel watches all of them */
	struct ms_timer *look;		      /* at those who are new or want too much */
	struct ms_timer *step;		      /* serves the next one */
	struct ms_timer *sweep;		      /* cuts off the late, frees the gone */
	TAILQ_HEAD(client_list, client) list; /* in the order in which requests were complete */
	unsigned int n_accepted;	      /* since the last pause */
	uid_t last_uid;			      /* served last */
	uint64_t rest_until_us;
	bool bulky; /* a large request came since memory was last given back */
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void enter(struct client *client, enum client_state state)
{
	client->state = state;
	client->since_ms = ms_monotonic_ms();
}

static size_t unread(const struct client *client)
{
	return evbuffer_get_length(bufferevent_get_output(client->bufferevent));
}

static bool is_gone(const struct client *client)
{
	bufferevent_event_cb event_cb = NULL;

	bufferevent_getcb(client->bufferevent, NULL, NULL, &event_cb, NULL);
	return !event_cb;
}

static void free_client(struct client *client)
{
	TAILQ_REMOVE(&client->clients->list, client, entry);
	evbuffer_remove_cb_entry(bufferevent_get_input(client->bufferevent), client->counting);
	bufferevent_decref(client->bufferevent);
	free(client);
}

/* As if the connection had timed out: libevent closes it and frees what is its. */
static void cut(struct client *client)
{
	bufferevent_trigger_event(client->bufferevent, BEV_EVENT_TIMEOUT | BEV_EVENT_READING, 0);
}

static size_t pending(const struct ms_clients *clients)
{
	size_t sum = 0;
	struct client *client;

	TAILQ_FOREACH(client, &clients->list, entry)
	sum += client->state == READING || client->state == WAITING ? client->n_bytes : 0;
	return sum;
}

/* @wanted, and the kernel does not watch for it? */
static bool is_unwatched(const struct client *client, short wanted)
{
	struct bufferevent *bufferevent = client->bufferevent;
	const struct event *event =
		wanted == EV_READ ? &bufferevent->ev_read : &bufferevent->ev_write;

	return (bufferevent_get_enabled(bufferevent) & wanted) &&
	       !event_pending(event, wanted, NULL);
}

/* Has the kernel watch what it refused to. Who can't be watched is cut off, so that he knows. */
static void rewatch(struct client *client)
{
	short refused = is_unwatched(client, EV_READ) ? EV_READ : 0;

	if (unread(client) > 0 && is_unwatched(client, EV_WRITE))
		refused |= EV_WRITE;
	if (refused && bufferevent_enable(client->bufferevent, refused) < 0)
		cut(client);
}

static void watch_soon(struct ms_clients *clients)
{
	if (!ms_timer_is_set(clients->watch))
		ms_timer_set(clients->watch, WATCH_MS);
}

/* Called for all that comes in and goes out of the buffer of what was received. */
static void on_input(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *userdata)
{
	struct client *client = userdata;

	(void)buffer;
	client->n_bytes += info->n_added;
	if (info->n_added == 0 || client->n_bytes <= MS_CLIENTS_MAX_REQUEST)
		return;
	client->clients->bulky = true;
	client->greedy |= client->state == FRESH || client->uid != 0 ||
			  pending(client->clients) > MAX_PENDING;
	if (!client->greedy)
		return;
	bufferevent_disable(client->bufferevent, EV_READ);
	ms_timer_set(client->clients->look, 0);
}

/* libevent asks for the bufferevent of a connection that it has just accepted. */
static struct bufferevent *on_connection(struct event_base *base, void *userdata)
{
	struct ms_clients *clients = userdata;
	struct client *client = calloc(1, sizeof(*client));

	if (++clients->n_accepted >= ACCEPTS) {
		evconnlistener_disable(clients->listener);
		ms_timer_set(clients->accept, ACCEPT_PAUSE_MS);
	}
	struct bufferevent *bufferevent = bufferevent_socket_new(base, -1, 0);
	if (!client || !bufferevent) {
		free(client);
		return bufferevent;
	}
	bufferevent_incref(bufferevent);
	client->clients = clients;
	client->bufferevent = bufferevent;
	client->counting = evbuffer_add_cb(bufferevent_get_input(bufferevent), on_input, client);
	enter(client, FRESH);
	TAILQ_INSERT_TAIL(&clients->list, client, entry);
	ms_timer_set(clients->look, 0);
	watch_soon(clients);
	if (!ms_timer_is_set(clients->sweep))
		ms_timer_set(clients->sweep, SWEEP_MS);
	return bufferevent;
}

/* Is there room for one more of @uid? Others than root have to leave each other some. */
static bool has_room(const struct ms_clients *clients, uid_t uid, bool *ret_own)
{
	unsigned int n_root = 0, n_others = 0, n_same = 0;
	struct client *client;

	TAILQ_FOREACH(client, &clients->list, entry)
	{
		if (client->state == FRESH || is_gone(client))
			continue;
		n_root += client->uid == 0;
		n_others += client->uid != 0;
		n_same += client->uid == uid;
	}
	*ret_own = uid == 0 || n_same >= MS_CLIENTS_PER_UID;
	return uid == 0 ? n_root < MS_CLIENTS_ROOT
			: n_others < MS_CLIENTS_OTHERS && n_same < MS_CLIENTS_PER_UID;
}

/* Makes room: the one goes that has been silent longest. @own: it has to be one of @uid. */
static bool evict(struct ms_clients *clients, uid_t uid, bool own)
{
	struct client *client;

	TAILQ_FOREACH(client, &clients->list, entry)
	{
		if (client->state != READING || is_gone(client) ||
		    (client->uid == 0) != (uid == 0) || (own && client->uid != uid))
			continue;
		cut(client);
		return true;
	}
	return false;
}

/* Looks who a fresh client is. Returns whether it may stay. */
static bool admit(struct client *client)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	bool own;

	if (getsockopt(bufferevent_getfd(client->bufferevent), SOL_SOCKET, SO_PEERCRED, &peer,
		       &size) < 0)
		return false;
	if (!has_room(client->clients, peer.uid, &own) && !evict(client->clients, peer.uid, own))
		return false;
	client->uid = peer.uid;
	enter(client, READING);
	return true;
}

static void on_answered(struct evhttp_request *request, void *userdata)
{
	struct client *client = userdata;

	(void)request;
	client->n_bytes = evbuffer_get_length(bufferevent_get_input(client->bufferevent));
	enter(client, READING);
	watch_soon(client->clients);
}

static void on_waiting_closed(struct evhttp_connection *connection, void *userdata)
{
	struct client *client = userdata;

	(void)connection;
	ms_reply_abandon(client->request);
	client->request = NULL;
	client->state = SERVED;
}

static struct client *find(struct ms_clients *clients, struct evhttp_request *request)
{
	const struct bufferevent *bufferevent =
		evhttp_connection_get_bufferevent(evhttp_request_get_connection(request));
	struct client *client;

	TAILQ_FOREACH(client, &clients->list, entry)
	if (client->bufferevent == bufferevent && !is_gone(client))
		return client;
	return NULL;
}

static void on_request(struct evhttp_request *request, void *userdata)
{
	struct ms_clients *clients = userdata;
	struct client *client = find(clients, request);

	if (!client || (client->state == FRESH && !admit(client))) {
		ms_reply_error(request, HTTP_SERVUNAVAIL, "too many connections", NULL);
		return;
	}
	client->request = request;
	evhttp_request_set_on_complete_cb(request, on_answered, client);
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_waiting_closed,
				      client);
	enter(client, WAITING);
	TAILQ_REMOVE(&clients->list, client, entry);
	TAILQ_INSERT_TAIL(&clients->list, client, entry);
	if (!ms_timer_is_set(clients->step))
		ms_timer_set(clients->step, 0);
}

static size_t unread_by(const struct ms_clients *clients, uid_t uid)
{
	size_t sum = 0;
	struct client *client;

	TAILQ_FOREACH(client, &clients->list, entry)
	sum += client->uid == uid && !is_gone(client) ? unread(client) : 0;
	return sum;
}

/* The one that waits longest, of another uid than the last one if there is one. */
static struct client *choose(struct ms_clients *clients)
{
	struct client *client, *same = NULL;

	TAILQ_FOREACH(client, &clients->list, entry)
	{
		if (client->state != WAITING ||
		    unread_by(clients, client->uid) > MS_CLIENTS_MAX_UNREAD)
			continue;
		if (client->uid != clients->last_uid)
			return client;
		same = same ? same : client;
	}
	return same;
}

static void serve(struct ms_clients *clients, struct client *client)
{
	struct evhttp_request *request = client->request;
	uint64_t since_us = now_us();

	client->request = NULL;
	clients->last_uid = client->uid;
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
	enter(client, SERVED);
	clients->serve(request, clients->userdata);
	watch_soon(clients);

	uint64_t until_us = now_us();
	if (clients->rest_until_us < until_us)
		clients->rest_until_us = until_us;
	clients->rest_until_us += (until_us - since_us) * REST_FACTOR;
}

static void on_look(void *userdata)
{
	struct ms_clients *clients = userdata;
	struct client *client, *next;

	for (client = TAILQ_FIRST(&clients->list); client; client = next) {
		next = TAILQ_NEXT(client, entry);
		if (is_gone(client))
			free_client(client);
		else if (client->greedy || (client->state == FRESH && !admit(client)))
			cut(client);
	}
}

static void on_step(void *userdata)
{
	struct ms_clients *clients = userdata;
	struct client *client = choose(clients);
	uint64_t at_us = now_us();

	if (!client)
		return;
	if (clients->rest_until_us >= at_us + 1000) {
		ms_timer_set(clients->step, (clients->rest_until_us - at_us) / 1000);
		return;
	}
	serve(clients, client);
	ms_timer_set(clients->step, 0);
}

static void on_accept(void *userdata)
{
	struct ms_clients *clients = userdata;

	clients->n_accepted = 0;
	evconnlistener_enable(clients->listener);
	ms_timer_set(clients->accept, ACCEPT_AGAIN_MS);
}

/* Who cannot be accepted would wake the loop in each turn. @userdata is evhttp's. */
static void on_accept_failed(struct evconnlistener *listener, void *userdata)
{
	(void)userdata;
	evconnlistener_disable(listener);
}

static void on_watch(void *userdata)
{
	struct ms_clients *clients = userdata;
	struct client *client;

	TAILQ_FOREACH(client, &clients->list, entry)
	if (!client->greedy && !is_gone(client))
		rewatch(client);
}

static bool is_late(struct client *client, uint64_t now_ms)
{
	uint64_t request_ms = client->uid == 0 ? MS_CLIENTS_ROOT_REQUEST_MS : MS_CLIENTS_REQUEST_MS;

	if (unread(client) == 0)
		client->unread_ms = 0;
	else if (client->unread_ms == 0)
		client->unread_ms = now_ms;
	if (client->unread_ms && now_ms - client->unread_ms > MS_CLIENTS_REPLY_MS)
		return true;
	return client->state == READING && now_ms - client->since_ms > request_ms;
}

static void on_sweep(void *userdata)
{
	struct ms_clients *clients = userdata;
	uint64_t now_ms = ms_monotonic_ms();
	struct client *client, *next;

	for (client = TAILQ_FIRST(&clients->list); client; client = next) {
		next = TAILQ_NEXT(client, entry);
		if (!is_gone(client) && is_late(client, now_ms))
			cut(client);
		if (is_gone(client))
			free_client(client);
	}
	on_watch(clients);
	if (clients->bulky && pending(clients) == 0) {
		clients->bulky = false;
		malloc_trim(0); /* what a policy took, or an attack */
	}
	if (clients->bulky || !TAILQ_EMPTY(&clients->list))
		ms_timer_set(clients->sweep, SWEEP_MS);
	if (!ms_timer_is_set(clients->step))
		ms_timer_set(clients->step, 0); /* somebody may have read meanwhile */
}

struct ms_clients *ms_clients_new(struct ms_loop *loop, struct evhttp *http, ms_clients_fn fn,
				  void *userdata)
{
	struct ms_clients *clients = calloc(1, sizeof(*clients));

	if (!clients)
		return NULL;
	clients->loop = loop;
	clients->serve = fn;
	clients->userdata = userdata;
	TAILQ_INIT(&clients->list);
	clients->accept = ms_loop_timer(loop, on_accept, clients);
	clients->watch = ms_loop_timer(loop, on_watch, clients);
	clients->look = ms_loop_timer(loop, on_look, clients);
	clients->step = ms_loop_timer(loop, on_step, clients);
	clients->sweep = ms_loop_timer(loop, on_sweep, clients);
	if (!clients->accept || !clients->watch || !clients->look || !clients->step ||
	    !clients->sweep)
		return ms_clients_free(clients);
	evhttp_set_bevcb(http, on_connection, clients);
	evhttp_set_gencb(http, on_request, clients);
	evhttp_set_timeout(http, MS_CLIENTS_ROOT_REQUEST_MS / 1000);
	return clients;
}

void ms_clients_listen(struct ms_clients *clients, struct evconnlistener *listener)
{
	clients->listener = listener;
	evconnlistener_set_error_cb(listener, on_accept_failed);
	ms_timer_set(clients->accept, ACCEPT_AGAIN_MS);
}

struct ms_clients *ms_clients_free(struct ms_clients *clients)
{
	if (!clients)
		return NULL;
	while (!TAILQ_EMPTY(&clients->list))
		free_client(TAILQ_FIRST(&clients->list));
	ms_timer_free(clients->accept);
	ms_timer_free(clients->watch);
	ms_timer_free(clients->look);
	ms_timer_free(clients->step);
	ms_timer_free(clients->sweep);
	free(clients);
	return NULL;
}
