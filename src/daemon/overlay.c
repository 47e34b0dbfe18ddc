/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/overlay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/state_private.h"
#include "microseg/cleanup.h"
#include "microseg/str.h"

#define FILE_NAME "overlay"
#define MAX_KEYS 4

/* What an entry of each kind says, and as what kind of document the loader reads it. */
static const struct kind {
	const char *name;
	const char *document;
	const char *keys[MAX_KEYS]; /* texts that must be there */
	bool ends;
} kinds[] = {
	{"grant", "Exception", {"from", "to", "ports", "reason"}, true},
	{"relax", "Relax", {"of", "reason"}, true},
	{"quarantine", "Quarantine", {"of"}, false},
};

static const struct kind *find_kind(const json_t *entry)
{
	const char *name = json_string_value(json_object_get(entry, "kind"));

	for (size_t i = 0; name && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

static const char *get_text(const json_t *entry, const char *key)
{
	return json_string_value(json_object_get(entry, key));
}

static int refuse(struct ms_str *error, const char *text)
{
	ms_str_add(error, text);
	return -EINVAL;
}

/* What libyaml would not read back. */
static bool is_plain(const json_t *text)
{
	const char *bytes = json_string_value(text);
	size_t len = json_string_length(text);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)bytes[i] < ' ' || bytes[i] == '\x7f')
			return false;
	return len > 0 && len <= MS_OVERLAY_MAX_TEXT;
}

/* A name, or one of {"net": text} and {"node": text}. */
static bool is_peer(const json_t *value)
{
	const json_t *net = json_object_get(value, "net"), *node = json_object_get(value, "node");

	return json_is_string(value) ? is_plain(value)
				     : json_object_size(value) == 1 && is_plain(net ? net : node);
}

static int check_entry(const json_t *entry, struct ms_str *error)
{
	const struct kind *kind = find_kind(entry);

	if (!kind)
		return refuse(error, "\"kind\" is one of grant, relax, quarantine");
	for (size_t i = 0; i < MAX_KEYS && kind->keys[i]; i++) {
		const json_t *value = json_object_get(entry, kind->keys[i]);
		bool peer = strcmp(kind->keys[i], "from") == 0 || strcmp(kind->keys[i], "to") == 0;

		if (peer ? is_peer(value) : is_plain(value))
			continue;
		ms_str_addf(error,
			    "a %s needs \"%s\": one line of at most %d bytes without control "
			    "characters",
			    kind->name, kind->keys[i], MS_OVERLAY_MAX_TEXT);
		return -EINVAL;
	}
	const json_t *reason = json_object_get(entry, "reason");
	if (reason && !is_plain(reason))
		return refuse(error, "\"reason\" is one line without control characters");
	if (kind->ends != (json_integer_value(json_object_get(entry, "until")) > 0))
		return refuse(error, kind->ends ? "it needs an end" : "it has no end");
	return 0;
}

json_t *ms_overlay_new(void)
{
	return json_pack("{s:i, s:[]}", "next", 1, "entries");
}

int ms_state_load_overlay(const struct ms_state *state, json_t **ret_overlay)
{
	_cleanup_(json_decrefp) json_t *overlay = NULL;
	_cleanup_(ms_str_fini) struct ms_str ignored = {0};
	json_t *entries, *entry;
	size_t i;
	int r = ms_state_fetch_json(state, FILE_NAME, &overlay);

	if (r == -ENOENT) {
		*ret_overlay = ms_overlay_new();
		return *ret_overlay ? 0 : -ENOMEM;
	}
	if (r < 0)
		return r;
	entries = json_object_get(overlay, "entries");
	if (!json_is_array(entries) || !json_is_integer(json_object_get(overlay, "next")))
		return -EBADMSG;
	json_array_foreach(entries, i, entry) if (check_entry(entry, &ignored) < 0 ||
						  !get_text(entry, "id")) return -EBADMSG;
	*ret_overlay = ms_steal(&overlay);
	return 0;
}

int ms_state_save_overlay(struct ms_state *state, const json_t *overlay)
{
	return ms_state_store_json(state, FILE_NAME, overlay);
}

static bool is_over(const json_t *entry, time_t now)
{
	json_int_t until = json_integer_value(json_object_get(entry, "until"));

	return until && until <= (json_int_t)now;
}

json_t *ms_overlay_entries(const json_t *overlay, const char *kind, time_t now)
{
	json_t *list = json_array(), *entry;
	size_t i;

	json_array_foreach(json_object_get(overlay, "entries"), i, entry)
	{
		const char *name = get_text(entry, "kind");

		if (!is_over(entry, now) && (!kind || (name && strcmp(name, kind) == 0)))
			json_array_append(list, entry);
	}
	return list;
}

static int copy_overlay(const json_t *overlay, json_t *entries, json_t **ret_overlay)
{
	*ret_overlay =
		json_pack("{s:I, s:o}", "next",
			  json_integer_value(json_object_get(overlay, "next")), "entries", entries);
	return *ret_overlay ? 0 : -ENOMEM;
}

int ms_overlay_with(const json_t *overlay, const json_t *entry, time_t now, json_t **ret_overlay,
		    const char **ret_id, struct ms_str *error)
{
	json_t *entries = ms_overlay_entries(overlay, NULL, now);
	json_int_t number = json_integer_value(json_object_get(overlay, "next"));
	_cleanup_(json_decrefp) json_t *copy = NULL;
	char id[48];
	int r = check_entry(entry, error);

	if (r == 0 && json_array_size(entries) >= MS_OVERLAY_MAX)
		r = -E2BIG;
	if (r < 0) {
		json_decref(entries);
		return r;
	}
	snprintf(id, sizeof(id), "%s-%" JSON_INTEGER_FORMAT, find_kind(entry)->name, number);
	json_t *added = json_copy((json_t *)entry);
	if (!added || json_object_set_new(added, "id", json_string(id)) < 0 ||
	    json_array_append_new(entries, added) < 0) {
		json_decref(entries);
		return -ENOMEM;
	}
	r = copy_overlay(overlay, entries, &copy);
	if (r == 0 && json_object_set_new(copy, "next", json_integer(number + 1)) < 0)
		r = -ENOMEM;
	if (r < 0)
		return r;
	*ret_id = get_text(added, "id");
	*ret_overlay = ms_steal(&copy);
	return 0;
}

int ms_overlay_without(const json_t *overlay, const char *kind, const char *what, time_t now,
		       json_t **ret_overlay)
{
	_cleanup_(json_decrefp) json_t *entries = ms_overlay_entries(overlay, NULL, now);
	json_t *kept = json_array(), *entry;
	int n = 0;
	size_t i;

	json_array_foreach(entries, i, entry)
	{
		const char *id = get_text(entry, "id"), *of = get_text(entry, "of");
		bool named = strcmp(get_text(entry, "kind"), kind) == 0 &&
			     (strcmp(id, what) == 0 || (of && strcmp(of, what) == 0));

		n += named;
		if (!named)
			json_array_append(kept, entry);
	}
	int r = copy_overlay(overlay, kept, ret_overlay);
	return r < 0 ? r : n;
}

/* A JSON string is a YAML scalar in double quotes. `ports` is a list of one. */
static void print_text(struct ms_str *out, const json_t *entry, const char *key)
{
	bool list = strcmp(key, "ports") == 0;
	_cleanup_(freep) char *text = json_dumps(json_object_get(entry, key), JSON_ENCODE_ANY);

	if (text)
		ms_str_addf(out, list ? "%s: [%s]\n" : "%s: %s\n", key, text);
}

static void print_time(struct ms_str *out, time_t until)
{
	char text[sizeof("2026-12-01T18:00:00Z") + 8];
	struct tm tm;

	if (until && gmtime_r(&until, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
		ms_str_addf(out, "until: %s\n", text);
}

static void print_entry(const json_t *entry, struct ms_str *out)
{
	const struct kind *kind = find_kind(entry);

	if (!kind)
		return;
	ms_str_addf(out, "%sapiVersion: microseg/v1\nkind: %s\n", out->len ? "---\n" : "",
		    kind->document);
	print_text(out, entry, "id");
	for (size_t i = 0; i < MAX_KEYS && kind->keys[i]; i++)
		print_text(out, entry, kind->keys[i]);
	if (!kind->ends && get_text(entry, "reason"))
		print_text(out, entry, "reason");
	print_time(out, (time_t)json_integer_value(json_object_get(entry, "until")));
}

void ms_overlay_print(const json_t *overlay, time_t now, struct ms_str *out)
{
	_cleanup_(json_decrefp) json_t *entries = ms_overlay_entries(overlay, NULL, now);
	const json_t *entry;
	size_t i;

	json_array_foreach(entries, i, entry) print_entry(entry, out);
}
