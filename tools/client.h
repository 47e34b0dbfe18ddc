/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Client: asks microsegd over its socket.
 */
#pragma once

#include <jansson.h>

#include "cli.h"
#include "microseg/str.h"

struct client_reply {
	long code; /* HTTP */
	struct ms_str body;
};

void client_reply_fini(struct client_reply *reply);

/**
 * Sends one request; @body NULL is a GET, otherwise a POST. Says nothing.
 * Returns 0 with whatever the daemon answered; -ECONNREFUSED when nothing answers on the socket;
 * -EACCES; -ETIMEDOUT after a while that is long for any daemon; -EPIPE when it broke off; -errno.
 */
int client_call(const struct cli *cli, const char *path, const char *body,
		struct client_reply *reply);

/** Is there a daemon that answers? */
bool client_alive(const struct cli *cli);

/** As client_call(), but the answer must be 200 and JSON; otherwise says what is wrong. Returns 0
 * or -errno. */
int client_json(const struct cli *cli, const char *path, const char *body, json_t **ret_json);

/** The daemon's own words of an answer that is not 200: {"error", "diagnostics"}. Returns
 * CLI_UNANSWERED. */
int client_refused(const struct cli *cli, const struct client_reply *reply);

typedef void (*client_line_fn)(const char *line, void *userdata);
/**
 * Reads lines until the daemon ends them. A line over 1 MiB ends it too.
 * Returns 0, or -errno after saying what is wrong.
 */
int client_lines(const struct cli *cli, const char *path, client_line_fn fn, void *userdata);

/** Appends @text as the value of a query. */
void client_escape(struct ms_str *out, const char *text);
