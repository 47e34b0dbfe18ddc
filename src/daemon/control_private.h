/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the control socket share. */
#pragma once

#include <jansson.h>
#include <sys/socket.h>

#include "daemon/daemon.h"

struct evhttp;
struct evhttp_request;
struct ms_clients;
struct ms_drops;

struct ms_control {
	struct ms_daemon *daemon;
	struct evhttp *http;
	struct ms_clients *clients; /* stands before http */
	bool bound;		    /* the socket file is ours */
	gid_t group;
	struct ms_drops *drops;
	struct evhttp_request *parked; /* waits for its policy to be in force */
	json_t *parked_answer;	       /* what it will be told, beside the outcome */
};

/** Who asks. Returns 0 or -errno. */
int ms_control_peer(struct evhttp_request *request, struct ucred *ret_peer);
