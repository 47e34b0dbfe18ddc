/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/drops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "daemon/reply.h"

struct follower {
	TAILQ_ENTRY(follower) entry;
	struct ms_drops *drops;
	struct evhttp_request *request;
	struct ms_events_filter filter;
	char *service; /* of the filter */
};

struct ms_drops {
	struct ms_events *events;
	struct ms_timer *heartbeat;
	TAILQ_HEAD(, follower) followers;
	size_t n_followers;
};

static void add_line(const struct ms_events_line *line, void *userdata)
{
	evbuffer_add_printf(userdata, "%s\n", line->json);
}

static struct follower *free_follower(struct follower *follower)
{
	struct ms_drops *drops = follower->drops;

	TAILQ_REMOVE(&drops->followers, follower, entry);
	drops->n_followers--;
	free(follower->service);
	free(follower);
	return NULL;
}

/* The other side is gone. evhttp hands a reply that was not finished back to us, without its
 * connection. */
static void on_follower_closed(struct evhttp_connection *connection, void *userdata)
{
	struct follower *follower = userdata;

	(void)connection;
	ms_reply_abandon(follower->request);
	free_follower(follower);
}

static void cut_follower(struct follower *follower)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(follower->request);

	evhttp_connection_set_closecb(connection, NULL, NULL);
	free_follower(follower);
	evhttp_connection_free(connection);
}

static void send_to_follower(struct follower *follower, const char *text)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(follower->request);
	struct bufferevent *bufferevent = evhttp_connection_get_bufferevent(connection);

	if (evbuffer_get_length(bufferevent_get_output(bufferevent)) > MS_DROPS_MAX_UNREAD) {
		cut_follower(follower);
		return;
	}
	struct evbuffer *buffer = ms_reply_buffer(text, strlen(text));
	if (buffer) {
		evbuffer_add(buffer, "\n", 1);
		evhttp_send_reply_chunk(follower->request, buffer);
		evbuffer_free(buffer);
	}
}

static void on_event(const struct ms_events_line *line, void *userdata)
{
	struct ms_drops *drops = userdata;

	for (struct follower *follower = TAILQ_FIRST(&drops->followers), *next; follower;
	     follower = next) {
		next = TAILQ_NEXT(follower, entry);
		if (ms_events_match(&follower->filter, line))
			send_to_follower(follower, line->json);
	}
}

/* An empty line now and then shows which followers still live. */
static void on_heartbeat(void *userdata)
{
	struct ms_drops *drops = userdata;

	for (struct follower *follower = TAILQ_FIRST(&drops->followers), *next; follower;
	     follower = next) {
		next = TAILQ_NEXT(follower, entry);
		send_to_follower(follower, "");
	}
	ms_timer_set(drops->heartbeat, MS_DROPS_HEARTBEAT_MS);
}

/* Goes on with @first, what was before, and then with every new line. Takes over @service. */
static void follow(struct ms_drops *drops, struct evhttp_request *request,
		   const struct ms_events_filter *filter, char *service, struct evbuffer *first)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct follower *follower = NULL;

	if (drops->n_followers < MS_DROPS_FOLLOWERS)
		follower = calloc(1, sizeof(*follower));
	if (!follower) {
		free(service);
		ms_reply_error(request, HTTP_SERVUNAVAIL, "too many readers follow the drops",
			       NULL);
		return;
	}
	*follower = (struct follower){
		.drops = drops, .request = request, .filter = *filter, .service = service};
	follower->filter.service = service;
	TAILQ_INSERT_TAIL(&drops->followers, follower, entry);
	drops->n_followers++;
	evhttp_connection_set_closecb(connection, on_follower_closed, follower);
	bufferevent_set_timeouts(evhttp_connection_get_bufferevent(connection), NULL, NULL);
	evhttp_send_reply_start(request, HTTP_OK, NULL);
	if (evbuffer_get_length(first) > 0)
		evhttp_send_reply_chunk(request, first);
}

static size_t parse_number(const char *text, uint64_t otherwise)
{
	return text ? strtoull(text, NULL, 10) : otherwise;
}

void ms_drops_get(struct ms_drops *drops, struct evhttp_request *request)
{
	struct evkeyvalq query = {0};
	const char *text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	struct evbuffer *body = evbuffer_new();

	evhttp_parse_query_str(text ? text : "", &query);
	const char *reason = evhttp_find_header(&query, "reason"),
		   *service = evhttp_find_header(&query, "service");
	struct ms_events_filter filter = {
		.since_ms = parse_number(evhttp_find_header(&query, "since"), 0),
		.reason = reason ? ms_reason_parse(reason) : MS_REASON_NONE,
		.service = service,
	};

	if (!body) {
		evhttp_send_reply(request, HTTP_INTERNAL, NULL, NULL);
	} else if (reason && filter.reason == MS_REASON_NONE) {
		ms_reply_error(request, HTTP_BADREQUEST, "no such reason", NULL);
	} else {
		evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
				  "application/x-ndjson");
		ms_events_each(drops->events, &filter,
			       parse_number(evhttp_find_header(&query, "last"), MS_EVENTS_RING),
			       add_line, body);
		if (evhttp_find_header(&query, "follow"))
			follow(drops, request, &filter, service ? strdup(service) : NULL, body);
		else
			evhttp_send_reply(request, HTTP_OK, NULL, body);
	}
	if (body)
		evbuffer_free(body);
	evhttp_clear_headers(&query);
}

struct ms_drops *ms_drops_new(struct ms_loop *loop, struct ms_events *events)
{
	struct ms_drops *drops = calloc(1, sizeof(*drops));

	if (!drops)
		return NULL;
	drops->events = events;
	TAILQ_INIT(&drops->followers);
	drops->heartbeat = ms_loop_timer(loop, on_heartbeat, drops);
	if (!drops->heartbeat)
		return ms_drops_free(drops);
	ms_timer_set(drops->heartbeat, MS_DROPS_HEARTBEAT_MS);
	ms_events_set_sink(events, on_event, drops);
	return drops;
}

struct ms_drops *ms_drops_free(struct ms_drops *drops)
{
	if (!drops)
		return NULL;
	ms_events_set_sink(drops->events, NULL, NULL);
	while (!TAILQ_EMPTY(&drops->followers))
		cut_follower(TAILQ_FIRST(&drops->followers));
	ms_timer_free(drops->heartbeat);
	free(drops);
	return NULL;
}
