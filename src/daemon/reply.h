/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reply: answers of the control socket.
 */
#pragma once

#include <jansson.h>
#include <stddef.h>

struct evbuffer;
struct evhttp_request;

/** A new buffer with these bytes, or NULL. */
struct evbuffer *ms_reply_buffer(const char *body, size_t len);
void ms_reply(struct evhttp_request *request, int code, const char *type, const char *body,
	      size_t len);
/** Takes over @json; NULL answers 500. */
void ms_reply_json(struct evhttp_request *request, int code, json_t *json);
/** {"error", "diagnostics"}; @diagnostics may be NULL. */
void ms_reply_error(struct evhttp_request *request, int code, const char *error,
		    const char *diagnostics);
/** For the close callback of a connection: frees @request when evhttp has let go of it, and not
 * otherwise. */
void ms_reply_abandon(struct evhttp_request *request);
