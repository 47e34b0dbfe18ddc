/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes: everything that the control socket answers. One table dispatches it, lists it at GET /v1,
 * and is written out as microseg-api(7).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct evhttp_request;
struct ms_control;

/** A parameter, or a field of an answer. */
struct ms_api_field {
	/** As in jq, without the dot in front: "grants[].policy.file"; "" is the whole. */
	const char *name;
	/** text, number, boolean or time (UNIX seconds); "or null"; "absent where" it may be. */
	const char *type;
	const char *means;
};

struct ms_route {
	int method; /* EVHTTP_REQ_GET or EVHTTP_REQ_POST */
	const char *path;
	void (*fn)(struct ms_control *control, struct evhttp_request *request);
	bool changes; /* then it is for root alone */
	const char *gives;
	const struct ms_api_field
		*takes; /* of a query (GET) or the body's object (POST); or NULL */
	const struct ms_api_field *fields; /* of the answer; NULL when it is no JSON */
};

extern const struct ms_route ms_routes[];
extern const size_t ms_n_routes;

/** "GET" or "POST". */
const char *ms_route_method(const struct ms_route *route);

/** The fields of an answer or of parameters end with a name that is NULL. */
extern const struct ms_api_field ms_api_error[], ms_api_event[], ms_api_lost[];

/** Which codes are answered beside 200, and why; the last has 0. */
extern const struct ms_api_code {
	int code;
	const char *means;
} ms_api_codes[];
