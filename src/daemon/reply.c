/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/reply.h"

#include <string.h>

#include <event2/buffer.h>
#include <event2/http.h>

#include "microseg/cleanup.h"

struct evbuffer *ms_reply_buffer(const char *body, size_t len)
{
	struct evbuffer *buffer = evbuffer_new();

	if (buffer)
		evbuffer_add(buffer, body, len);
	return buffer;
}

void ms_reply(struct evhttp_request *request, int code, const char *type, const char *body,
	      size_t len)
{
	struct evbuffer *buffer = ms_reply_buffer(body, len);

	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
	evhttp_send_reply(request, code, NULL, buffer);
	if (buffer)
		evbuffer_free(buffer);
}

void ms_reply_json(struct evhttp_request *request, int code, json_t *json)
{
	_cleanup_(freep) char *body = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (body)
		ms_reply(request, code, "application/json", body, strlen(body));
	else
		evhttp_send_reply(request, HTTP_INTERNAL, NULL, NULL);
}

void ms_reply_error(struct evhttp_request *request, int code, const char *error,
		    const char *diagnostics)
{
	json_t *json = json_pack("{s:s}", "error", error);

	if (json && diagnostics && *diagnostics)
		json_object_set_new(json, "diagnostics", json_string(diagnostics));
	ms_reply_json(request, code, json);
}

void ms_reply_abandon(struct evhttp_request *request)
{
	/* libevent 2.1, evhttp_connection_incoming_fail(): a request that is still being answered
	 * leaves its connection. */
	if (!evhttp_request_get_connection(request))
		evhttp_request_free(request);
}
