/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The orders that add to the running policy: grant, relax, quarantine. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <event2/http.h>

#include "daemon/control_private.h"
#include "daemon/log.h"
#include "daemon/orders.h"
#include "daemon/reply.h"
#include "microseg/cleanup.h"

#define UNPROCESSABLE 422

void ms_orders_runtime(struct ms_control *control, struct evhttp_request *request)
{
	json_t *entries = ms_overlay_entries(control->daemon->overlay, NULL, time(NULL));

	ms_reply_json(request, HTTP_OK, entries);
}

/* Takes over @overlay. */
static void change(struct ms_control *control, struct evhttp_request *request, json_t *overlay,
		   json_t *answer)
{
	int r = ms_daemon_overlay(control->daemon, overlay, ms_orders_applied, control);

	if (r == 0) {
		ms_orders_park(control, request, answer);
		return;
	}
	json_decref(overlay);
	json_decref(answer);
	ms_orders_refuse(control, request, r);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The identities that endpoints bear, sorted: peers that no document has to know. */
static int list_identities(const struct ms_inventory *inventory, ms_text_vec *texts)
{
	if (inventory)
		ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
			if (endpoint->identity && ms_vec_push(texts, endpoint->identity) < 0)
				return -ENOMEM;
	ms_vec_sort(texts, compare_texts);
	return 0;
}

static void texts_fini(ms_text_vec *texts)
{
	ms_vec_fini(texts);
}

static bool is_named(const struct ms_inventory *inventory, const char *name)
{
	if (inventory)
		ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
			if (endpoint->name && strcmp(endpoint->name, name) == 0)
				return true;
	return false;
}

/*
 * Would the loader say anything to @overlay, which has nothing but the new entry? Later on names
 * that a policy no longer has are a warning, but nobody means to add such a thing.
 */
static int judge(const struct ms_daemon *daemon, const json_t *overlay, struct ms_str *diagnostics)
{
	_cleanup_(ms_str_fini) struct ms_str runtime = {0};
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0}, ours = {0};
	_cleanup_(ms_policy_freep) struct ms_policy *policy = NULL;
	_cleanup_(texts_fini) ms_text_vec identities = {0};
	size_t n = daemon->loaded->files.list.n_items;
	_cleanup_(freep) struct ms_policy_file *files = calloc(n + 1, sizeof(*files));
	int r = files ? ms_diags_init(&diags) : -ENOMEM;

	ms_overlay_print(overlay, 0, &runtime);
	if (r == 0)
		r = ms_diags_init(&ours);
	if (r == 0)
		r = list_identities(daemon->inventory, &identities);
	if (r < 0 || !runtime.text)
		return r < 0 ? r : -ENOMEM;
	for (size_t i = 0; i < n; i++)
		files[i] = daemon->loaded->files.list.items[i];
	files[n] = (struct ms_policy_file){.name = MS_OVERLAY_FILE,
					   .bytes = runtime.text,
					   .size = runtime.len,
					   .runtime = true};
	r = ms_policy_load_beside(files, n + 1, time(NULL), &identities, &diags, &policy);
	ms_vec_each (struct ms_diag, diag, &diags.list)
		if (diag->at.file && strcmp(diag->at.file, MS_OVERLAY_FILE) == 0)
			ms_diags_add(&ours, MS_ERROR, diag->code, &diag->at, diag->source_line,
				     diag->hint, "%s", diag->message);
	ms_diags_print(&ours, diagnostics, false);
	return r < 0 ? r : ours.n_errors ? -EINVAL : 0;
}

/* A quarantine that cuts nobody off is worse than none. */
static bool cuts_nobody(const struct ms_daemon *daemon, const json_t *entry, struct ms_str *why)
{
	const char *kind = json_string_value(json_object_get(entry, "kind"));
	const char *of = json_string_value(json_object_get(entry, "of"));
	const char *slash = of ? strchr(of, '/') : NULL;

	if (strcmp(kind, "quarantine") != 0)
		return false;
	if (!slash && !is_named(daemon->inventory, of))
		ms_str_addf(why,
			    "no endpoint has the name '%s'; microseg endpoints lists them, "
			    "and ENV/SERVICE names a service",
			    of);
	if (slash) {
		_cleanup_(texts_fini) ms_text_vec identities = {0};
		bool known = list_identities(daemon->inventory, &identities) < 0;

		ms_vec_each (const char *, identity, &identities)
			known |= strcmp(*identity, of) == 0;
		ms_vec_each (struct ms_service, service, &daemon->loaded->policy->services)
			known |= strcmp(service->identity, of) == 0;
		if (!known)
			ms_str_addf(why,
				    "no document has the service '%s', and no endpoint bears it",
				    of);
	}
	return why->len > 0;
}

/* Completes what was asked for: who, since when, until when. Returns NULL after answering. */
static json_t *complete(struct evhttp_request *request, const json_t *body)
{
	json_int_t seconds = json_integer_value(json_object_get(body, "for"));
	struct ms_applied by = {0};

	if (json_object_get(body, "for") && (seconds < 1 || seconds > INT32_MAX)) {
		ms_reply_error(request, HTTP_BADREQUEST, "\"for\" is a number of seconds", NULL);
		return NULL;
	}
	ms_orders_by(request, "runtime", &by);
	json_t *entry = json_copy((json_t *)body);
	json_object_del(entry, "for");
	json_object_set_new(entry, "since", json_integer((json_int_t)by.time));
	json_object_set_new(entry, "until",
			    json_integer(seconds ? (json_int_t)by.time + seconds : 0));
	json_object_set_new(entry, "user", json_string(by.user));
	return entry;
}

/* Who ordered what stands in the log, too. JSON has no line breaks for anybody to forge a line
 * with. */
static void note(const char *what, const char *id, const json_t *entry)
{
	_cleanup_(freep) char *text = json_dumps(entry, JSON_COMPACT | JSON_ENSURE_ASCII);

	ms_log(MS_LOG_NOTICE, "%s %s: %s", what, id, text ? text : "");
}

void ms_orders_runtime_add(struct ms_control *control, struct evhttp_request *request)
{
	const struct ms_daemon *daemon = control->daemon;
	_cleanup_(json_decrefp) json_t *body = ms_orders_body(request), *empty = ms_overlay_new(),
				       *entry = body ? complete(request, body) : NULL;
	_cleanup_(json_decrefp) json_t *alone = NULL;
	_cleanup_(ms_str_fini) struct ms_str error = {0}, diagnostics = {0};
	json_t *overlay = NULL;
	const char *id;
	int r;

	if (!entry || !empty)
		return;
	if (!daemon->loaded || !daemon->overlay) {
		ms_orders_refuse(control, request, -ENOKEY);
		return;
	}
	r = ms_overlay_with(empty, entry, 0, &alone, &id, &error);
	if (r == 0 && cuts_nobody(daemon, entry, &error))
		r = -EINVAL;
	if (r == 0)
		r = judge(daemon, alone, &diagnostics);
	if (r == -EINVAL) {
		ms_reply_error(request, UNPROCESSABLE,
			       error.len ? error.text : "this cannot be added; nothing was changed",
			       diagnostics.text);
		return;
	}
	if (r == 0)
		r = ms_overlay_with(daemon->overlay, entry, time(NULL), &overlay, &id, &error);
	if (r == -E2BIG)
		ms_reply_error(request, 409, "there are 256 of them: remove some first", NULL);
	else if (r < 0)
		ms_orders_refuse(control, request, r);
	else {
		note("added", id, entry);
		change(control, request, overlay,
		       json_pack("{s:s, s:O}", "id", id, "entry", entry));
	}
}

void ms_orders_runtime_remove(struct ms_control *control, struct evhttp_request *request)
{
	const struct ms_daemon *daemon = control->daemon;
	_cleanup_(json_decrefp) json_t *body = ms_orders_body(request);
	const char *kind = NULL, *what = NULL;
	json_t *overlay = NULL;
	struct ms_applied by;
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (!body)
		return;
	if (json_unpack(body, "{s:s, s:s!}", "kind", &kind, "what", &what) < 0) {
		ms_reply_error(request, HTTP_BADREQUEST, "expected {\"kind\", \"what\"}", NULL);
		return;
	}
	int n = ms_overlay_without(daemon->overlay, kind, what, time(NULL), &overlay);
	if (n > 0) {
		ms_orders_by(request, "runtime", &by);
		_cleanup_(json_decrefp) json_t *log =
			json_pack("{s:s, s:s}", "kind", kind, "user", by.user);
		note("removed", what, log);
		change(control, request, overlay, json_pack("{s:i}", "removed", n));
		return;
	}
	json_decref(overlay);
	ms_str_add(&text, "there is no such ");
	ms_str_add_safe(&text, kind);
	ms_str_add(&text, ": ");
	ms_str_add_safe(&text, what);
	ms_reply_error(request, HTTP_NOTFOUND, text.text ? text.text : strerror(ENOENT), NULL);
}
