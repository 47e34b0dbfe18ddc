/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the orders share: reading a body, who asks, waiting for the end of the turn, saying no. */
#include "daemon/orders.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>

#include "daemon/control_private.h"
#include "daemon/reply.h"
#include "microseg/cleanup.h"

#define CONFLICT 409
#define PASSWD "/etc/passwd"

json_t *ms_orders_body(struct evhttp_request *request)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(request);
	size_t size = evbuffer_get_length(input);
	json_t *body = size ? json_loadb((const char *)evbuffer_pullup(input, -1), size,
					 JSON_REJECT_DUPLICATES, NULL)
			    : json_object();

	if (json_is_object(body))
		return body;
	json_decref(body);
	ms_reply_error(request, HTTP_BADREQUEST, "expected a JSON object", NULL);
	return NULL;
}

/* Only what this machine knows by itself: a directory service may hang, and verdicts would wait. */
static void name_user(uint32_t uid, char name[MS_APPLIED_USER])
{
	FILE *file = fopen(PASSWD, "re");
	const struct passwd *entry;

	snprintf(name, MS_APPLIED_USER, "%u", uid);
	while (file && (entry = fgetpwent(file)))
		if (entry->pw_uid == uid) {
			snprintf(name, MS_APPLIED_USER, "%s", entry->pw_name);
			break;
		}
	if (file)
		fclose(file);
}

/* Who logged in before sudo or su, as the kernel remembers it. Returns @uid when nobody did. */
static uint32_t login_uid(pid_t pid, uint32_t uid)
{
	char path[64];
	unsigned int login = UINT32_MAX;

	snprintf(path, sizeof(path), "/proc/%d/loginuid", (int)pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return uid;
	if (fscanf(file, "%u", &login) != 1)
		login = UINT32_MAX;
	fclose(file);
	return login == UINT32_MAX ? uid : login;
}

void ms_orders_by(struct evhttp_request *request, const char *via, struct ms_applied *by)
{
	struct ucred peer;

	*by = (struct ms_applied){.time = time(NULL)};
	snprintf(by->via, sizeof(by->via), "%s", via);
	if (ms_control_peer(request, &peer) < 0)
		return;
	by->uid = login_uid(peer.pid, peer.uid);
	name_user(by->uid, by->user);
}

/* Parking: a connection waits for the end of the turn. */

static void unpark(struct ms_control *control)
{
	control->parked = NULL;
	json_decref(control->parked_answer);
	control->parked_answer = NULL;
}

static void on_closed(struct evhttp_connection *connection, void *userdata)
{
	struct ms_control *control = userdata;

	(void)connection;
	ms_daemon_forget_applied(control->daemon, control);
	ms_reply_abandon(control->parked);
	unpark(control);
}

void ms_orders_park(struct ms_control *control, struct evhttp_request *request, json_t *answer)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);

	control->parked = request;
	control->parked_answer = answer ? answer : json_object();
	evhttp_connection_set_closecb(connection, on_closed, control);
	bufferevent_set_timeouts(evhttp_connection_get_bufferevent(connection), NULL, NULL);
}

static json_t *trial_json(const struct ms_daemon *daemon)
{
	return daemon->trial.pending
		       ? json_pack("{s:I, s:I}", "generation", (json_int_t)daemon->trial.generation,
				   "until", (json_int_t)daemon->trial.end)
		       : json_null();
}

void ms_orders_applied(const struct ms_apply_result *result, void *userdata)
{
	struct ms_control *control = userdata;
	const struct ms_daemon *daemon = control->daemon;
	struct evhttp_request *request = control->parked;
	json_t *answer = control->parked_answer;

	evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
	if (result->error < 0) {
		ms_reply_error(request, HTTP_INTERNAL, result->message,
			       json_string_value(json_object_get(answer, "diagnostics")));
	} else {
		json_object_set_new(answer, "state",
				    json_string(ms_daemon_state_name(ms_daemon_state(daemon))));
		json_object_set_new(answer, "generation",
				    json_integer((json_int_t)daemon->generation));
		json_object_set_new(answer, "trial", trial_json(daemon));
		ms_reply_json(request, HTTP_OK, json_incref(answer));
	}
	unpark(control);
}

void ms_orders_fini(struct ms_control *control)
{
	if (!control->parked)
		return;
	ms_daemon_forget_applied(control->daemon, control);
	evhttp_connection_set_closecb(evhttp_request_get_connection(control->parked), NULL, NULL);
	unpark(control);
}

static void refuse_trial(const struct ms_daemon *daemon, struct evhttp_request *request)
{
	char text[160];

	snprintf(text, sizeof(text),
		 "generation %" PRIu64 " waits to be confirmed: `microseg confirm` keeps it, "
		 "`microseg rollback` ends it",
		 daemon->trial.generation);
	ms_reply_error(request, CONFLICT, text, NULL);
}

void ms_orders_refuse(struct ms_control *control, struct evhttp_request *request, int r)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	switch (r) {
	case -EALREADY:
		refuse_trial(control->daemon, request);
		return;
	case -EBUSY:
		ms_reply_error(request, CONFLICT, "another policy is being applied", NULL);
		return;
	case -ESHUTDOWN:
		ms_reply_error(request, CONFLICT,
			       "this node is off: a trial would try nothing; `microseg on` first",
			       NULL);
		return;
	case -ENOKEY:
		ms_reply_error(request, CONFLICT,
			       "no policy is in force on this node: `microseg apply` comes first",
			       NULL);
		return;
	default:
		ms_str_addf(&text, "%s: %s; nothing was changed", control->daemon->config->state,
			    strerror(-r));
		ms_reply_error(request, HTTP_INTERNAL, text.text ? text.text : strerror(-r), NULL);
	}
}
