/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/orders.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "daemon/control_private.h"
#include "daemon/plan.h"
#include "daemon/reply.h"
#include "microseg/cleanup.h"

#define CONFLICT 409
#define UNPROCESSABLE 422

static void entries_fini(ms_applied_vec *entries)
{
	ms_vec_fini(entries);
}

/* What a request wants applied: files that it brings, or an earlier generation. */
struct wanted {
	struct ms_loaded *loaded;
	uint64_t generation; /* or 0 */
	uint64_t rollback_of;
	struct ms_str diagnostics;
};

static void wanted_fini(struct wanted *wanted)
{
	ms_loaded_free(wanted->loaded);
	ms_str_fini(&wanted->diagnostics);
}

/* Reads [{"name", "text"}]. Returns 0; -EINVAL when it is something else; another -errno. */
static int read_files(const json_t *list, struct ms_files *files)
{
	json_t *item;
	size_t i;
	int r = json_is_array(list) ? ms_files_init(files) : -EINVAL;

	json_array_foreach(list, i, item)
	{
		const char *name, *text;
		size_t size;

		if (r == 0 &&
		    json_unpack(item, "{s:s, s:s%!}", "name", &name, "text", &text, &size) < 0)
			r = -EINVAL;
		if (r == 0)
			r = ms_files_add(files, name, text, size);
	}
	return r;
}

static int read_earlier(struct ms_control *control, struct wanted *wanted, struct ms_files *files)
{
	struct ms_applied applied = {0};
	int r = ms_files_init(files);

	if (r == 0)
		r = ms_state_load_applied(control->daemon->store, wanted->generation, files,
					  &applied);
	wanted->rollback_of = applied.rollback_of ? applied.rollback_of : wanted->generation;
	return r;
}

static void refuse_wanted(struct evhttp_request *request, const struct wanted *wanted, int r)
{
	char text[160];

	if (r == -EINVAL && !wanted->diagnostics.len) {
		ms_reply_error(request, HTTP_BADREQUEST,
			       "expected {\"files\": [{\"name\", \"text\"}]}", NULL);
		return;
	}
	if (r == -EINVAL) {
		ms_reply_error(request, UNPROCESSABLE, "the policy has errors; nothing was changed",
			       wanted->diagnostics.text);
		return;
	}
	snprintf(text, sizeof(text),
		 r == -ENOENT	 ? "the history has no generation %" PRIu64
		 : r == -EBADMSG ? "generation %" PRIu64
				   " is torn in the history: its checksum is wrong"
				 : "generation %" PRIu64 " cannot be read",
		 wanted->generation);
	ms_reply_error(request, r == -ENOENT ? HTTP_NOTFOUND : HTTP_INTERNAL,
		       wanted->generation ? text : strerror(-r), NULL);
}

/* The one that a rollback without a number means. 0: answered that there is none. */
static uint64_t previous(struct ms_control *control, struct evhttp_request *request)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};
	const struct ms_applied *found = ms_state_history(control->daemon->store, &entries) < 0
						 ? NULL
						 : ms_history_previous(&entries);

	if (found)
		return found->generation;
	ms_reply_error(request, HTTP_NOTFOUND,
		       "the history has no earlier policy to go back to; see microseg history",
		       NULL);
	return 0;
}

/* Loads what @body wants. Returns 0, or -errno after answering. */
static int read_wanted(struct ms_control *control, struct evhttp_request *request,
		       const json_t *body, struct wanted *wanted)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	const json_t *generation = json_object_get(body, "generation");
	bool earlier = !json_object_get(body, "files");
	int r;

	if (json_is_integer(generation) && json_integer_value(generation) > 0)
		wanted->generation = (uint64_t)json_integer_value(generation);
	else if (earlier && !generation)
		wanted->generation = previous(control, request);
	if (earlier && !generation && !wanted->generation)
		return -ENOENT;
	r = wanted->generation ? read_earlier(control, wanted, &files)
			       : read_files(json_object_get(body, "files"), &files);
	if (r == 0)
		r = ms_daemon_load(control->daemon, &files, &wanted->diagnostics, &wanted->loaded);
	if (r < 0)
		refuse_wanted(request, wanted, r);
	return r;
}

/* GET */

static json_t *files_json(const struct ms_files *files)
{
	json_t *list = json_array();

	ms_vec_each (struct ms_policy_file, file, &files->list)
		json_array_append_new(list, json_pack("{s:s, s:s%}", "name", file->name, "text",
						      file->bytes, file->size));
	return list;
}

static uint64_t query_generation(struct evhttp_request *request)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	struct evkeyvalq values = {0};
	uint64_t generation = 0;

	if (query && evhttp_parse_query_str(query, &values) == 0) {
		const char *text = evhttp_find_header(&values, "generation");

		generation = text ? strtoull(text, NULL, 10) : 0;
		evhttp_clear_headers(&values);
	}
	return generation;
}

void ms_orders_policy(struct ms_control *control, struct evhttp_request *request)
{
	const struct ms_daemon *daemon = control->daemon;
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str runtime = {0};
	struct wanted wanted = {.generation = query_generation(request)};
	int r = wanted.generation ? read_earlier(control, &wanted, &files) : 0;

	if (r < 0) {
		refuse_wanted(request, &wanted, r);
		return;
	}
	ms_overlay_print(daemon->overlay, time(NULL), &runtime);
	ms_reply_json(
		request, HTTP_OK,
		json_pack("{s:I, s:o, s:s}", "generation",
			  (json_int_t)(wanted.generation ? wanted.generation : daemon->generation),
			  "files",
			  wanted.generation ? files_json(&files)
			  : daemon->loaded  ? files_json(&daemon->loaded->files)
					    : json_array(),
			  "runtime", runtime.text ? runtime.text : ""));
}

static json_t *entry_json(const struct ms_daemon *daemon, const struct ms_applied *entry)
{
	bool in_force = daemon->trial.pending ? entry->generation == daemon->trial.generation
					      : entry->in_force;
	char hash[17];

	if (!entry->readable)
		return json_pack("{s:I, s:s, s:b, s:b}", "generation",
				 (json_int_t)entry->generation, "state",
				 ms_applied_state_name(entry->state), "readable", 0, "in_force",
				 in_force);
	snprintf(hash, sizeof(hash), "%016" PRIx64, entry->hash);
	return json_pack(
		"{s:I, s:s, s:b, s:b, s:I, s:I, s:s, s:s, s:I, s:s, s:I}", "generation",
		(json_int_t)entry->generation, "state", ms_applied_state_name(entry->state),
		"readable", 1, "in_force", in_force, "time", (json_int_t)entry->time, "uid",
		(json_int_t)entry->uid, "user", entry->user, "via", entry->via, "rollback_of",
		(json_int_t)entry->rollback_of, "hash", hash, "files", (json_int_t)entry->n_files);
}

void ms_orders_history(struct ms_control *control, struct evhttp_request *request)
{
	_cleanup_(entries_fini) ms_applied_vec entries = {0};
	json_t *list = json_array();
	int r = ms_state_history(control->daemon->store, &entries);

	ms_vec_each (struct ms_applied, entry, &entries)
		json_array_append_new(list, entry_json(control->daemon, entry));
	if (r == 0) {
		ms_reply_json(request, HTTP_OK, list);
		return;
	}
	json_decref(list);
	ms_orders_refuse(control, request, r);
}

/* POST */

void ms_orders_plan(struct ms_control *control, struct evhttp_request *request)
{
	_cleanup_(json_decrefp) json_t *body = ms_orders_body(request);
	_cleanup_(wanted_fini) struct wanted wanted = {0};
	json_t *plan = NULL;

	if (!body || read_wanted(control, request, body, &wanted) < 0)
		return;
	int r = ms_plan_cuts(control->daemon, wanted.loaded->policy, &plan);
	if (r < 0) {
		ms_reply_error(request, HTTP_INTERNAL, strerror(-r), NULL);
		return;
	}
	json_object_set_new(plan, "generation", json_integer((json_int_t)wanted.generation));
	ms_reply_json(request, HTTP_OK, plan);
}

/* Reads "confirm" in seconds. Returns 0, or -EINVAL after answering. */
static int read_confirm(struct evhttp_request *request, const json_t *body, uint64_t *ret_seconds)
{
	const json_t *confirm = json_object_get(body, "confirm");
	json_int_t seconds = json_integer_value(confirm);

	if (confirm && (!json_is_integer(confirm) || seconds < 1 || seconds > MS_TRIAL_MAX_S)) {
		ms_reply_error(request, HTTP_BADREQUEST,
			       "\"confirm\" is a number of seconds, at most a day", NULL);
		return -EINVAL;
	}
	*ret_seconds = (uint64_t)seconds;
	return 0;
}

static void apply(struct ms_control *control, struct evhttp_request *request, const json_t *body,
		  const char *via)
{
	_cleanup_(wanted_fini) struct wanted wanted = {0};
	struct ms_order order = {0};

	if (read_confirm(request, body, &order.confirm_s) < 0 ||
	    read_wanted(control, request, body, &wanted) < 0)
		return;
	ms_orders_by(request, via, &order.by);
	order.by.rollback_of = wanted.rollback_of;
	int r = ms_daemon_apply(control->daemon, wanted.loaded, &order, ms_orders_applied, control);
	if (r < 0) {
		ms_orders_refuse(control, request, r);
		return;
	}
	wanted.loaded = NULL;
	ms_orders_park(control, request,
		       json_pack("{s:s, s:I}", "diagnostics",
				 wanted.diagnostics.text ? wanted.diagnostics.text : "",
				 "rollback_of", (json_int_t)wanted.rollback_of));
}

void ms_orders_apply(struct ms_control *control, struct evhttp_request *request)
{
	_cleanup_(json_decrefp) json_t *body = ms_orders_body(request);

	if (body && !json_object_get(body, "files"))
		ms_reply_error(request, HTTP_BADREQUEST,
			       "expected {\"files\": [{\"name\", \"text\"}]}", NULL);
	else if (body)
		apply(control, request, body, "apply");
}

void ms_orders_rollback(struct ms_control *control, struct evhttp_request *request)
{
	struct ms_daemon *daemon = control->daemon;
	_cleanup_(json_decrefp) json_t *body = ms_orders_body(request);
	uint64_t generation = daemon->trial.generation;

	if (!body)
		return;
	if (json_object_get(body, "files")) {
		ms_reply_error(request, HTTP_BADREQUEST, "expected {\"generation\": number}", NULL);
		return;
	}
	if (json_object_get(body, "generation") || !daemon->trial.pending) {
		apply(control, request, body, "rollback");
		return;
	}
	int r = ms_trial_undo(daemon, "a rollback was asked for");
	if (r < 0)
		ms_orders_refuse(control, request, r);
	else
		ms_reply_json(request, HTTP_OK,
			      json_pack("{s:I}", "undone", (json_int_t)generation));
}

void ms_orders_confirm(struct ms_control *control, struct evhttp_request *request)
{
	uint64_t generation = control->daemon->trial.generation;
	int r = ms_trial_confirm(control->daemon);

	if (r == -ENOENT)
		ms_reply_error(
			request, CONFLICT,
			"nothing waits to be confirmed; microseg history says what became of it",
			NULL);
	else if (r < 0)
		ms_orders_refuse(control, request, r);
	else
		ms_reply_json(request, HTTP_OK,
			      json_pack("{s:I}", "generation", (json_int_t)generation));
}

static void set_off(struct ms_control *control, struct evhttp_request *request, bool off)
{
	_cleanup_(json_decrefp) json_t *body = ms_orders_body(request);
	json_int_t seconds = json_integer_value(json_object_get(body, "for"));

	if (!body)
		return;
	if (json_object_get(body, "for") && seconds < 1) {
		ms_reply_error(request, HTTP_BADREQUEST, "\"for\" is a number of seconds", NULL);
		return;
	}
	time_t until = seconds ? time(NULL) + (time_t)seconds : 0;
	int r = ms_daemon_set_off(control->daemon, off, until);
	if (r < 0)
		ms_orders_refuse(control, request, r);
	else
		ms_reply_json(request, HTTP_OK,
			      json_pack("{s:b, s:I}", "off", off, "until", (json_int_t)until));
}

void ms_orders_off(struct ms_control *control, struct evhttp_request *request)
{
	set_off(control, request, true);
}

void ms_orders_on(struct ms_control *control, struct evhttp_request *request)
{
	set_off(control, request, false);
}
