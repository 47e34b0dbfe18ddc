/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Yaml, theory of operation: a tree is made of libyaml's events as they come. Most files have
 * nothing that libyaml complains of and keep the limits, and are done with that. Any other file is
 * begun anew and read in two passes. The first one (yaml_scan.c) finds how far libyaml can read,
 * and reports what is not YAML and which limit is passed; behind a syntax error it goes on with the
 * next document, so that one slip does not hide the errors of other teams' documents in the same
 * file. The second pass makes a tree of the events that the first one found good. libyaml looks up
 * no alias, joins no merge key, guesses no type and checks no duplicate keys: the first two are
 * errors here, the third is what we want, the fourth is done here.
 *
 * A node that is `broken` had an error of its own. Whoever reads the tree says nothing more about
 * it, and does not complain of what it lacks.
 */
#include "microseg/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "policy/source.h"
#include "policy/yaml_reader.h"

#define MAX_ERRORS 1000 /* reported of one load; the rest is only counted */

struct build {
	struct ms_yaml_reader *reader;
	const struct ms_yaml_segment *segment;
	yaml_parser_t *parser;
	size_t n_events; /* left to read */
	struct ms_yaml_counts
		*counts; /* of the only pass; NULL: these events were counted before */
	bool gave_up;	 /* something needs the two passes */
	bool out_of_memory;
};

void ms_yaml_error(const struct ms_policy_file *file, struct ms_diags *diags,
		   const struct ms_origin *at, const char *code, const char *hint,
		   const char *format, ...)
{
	_cleanup_(freep) char *quote = NULL;
	_cleanup_(ms_str_fini) struct ms_str message = {0};
	va_list args;

	if (diags->n_errors >= MAX_ERRORS) {
		if (diags->n_errors == MAX_ERRORS)
			ms_diags_add(diags, MS_ERROR, "too-many-errors",
				     &(struct ms_origin){.file = at->file}, NULL, NULL,
				     "more than %d errors: the others are not shown", MAX_ERRORS);
		diags->n_errors++;
		return;
	}
	quote = ms_source_quote(file, at->line);
	va_start(args, format);
	ms_str_addv(&message, format, args);
	va_end(args);
	ms_diags_add(diags, MS_ERROR, code, at, quote, hint, "%s",
		     message.text ? message.text : code);
}

struct ms_yaml_node *ms_yaml_get(const struct ms_yaml_node *mapping, const char *key)
{
	if (mapping->kind != MS_YAML_MAPPING)
		return NULL;
	ms_vec_each (struct ms_yaml_entry, entry, &mapping->entries) {
		if (strcmp(entry->key->text, key) == 0)
			return entry->value;
	}
	return NULL;
}

/* Reports at @node, which is broken from then on. */
static void node_error(struct build *build, struct ms_yaml_node *node, const char *code,
		       const char *hint, const char *message)
{
	build->reader->found_error = true;
	node->broken = true;
	ms_yaml_error(build->reader->file, build->reader->diags, &node->at, code, hint, "%s",
		      message);
}

static bool next_event(struct build *build, yaml_event_t *ret_event)
{
	if (build->n_events == 0 || build->out_of_memory || build->gave_up)
		return false;
	build->n_events--;
	bool read = yaml_parser_parse(build->parser, ret_event);

	/* Events that were read before can only go wrong for want of memory. */
	if (!read && !build->counts)
		build->out_of_memory = true;
	if (build->counts)
		build->gave_up =
			!read || !ms_yaml_count(build->reader, build->counts, ret_event->type);
	/* Behind its end libyaml goes on with events that are none. */
	if (read && ret_event->type == YAML_STREAM_END_EVENT)
		build->n_events = 0;
	return read && !build->gave_up;
}

static struct ms_yaml_node *node_new(struct build *build, enum ms_yaml_kind kind,
				     const yaml_event_t *event)
{
	struct ms_yaml_node *node = ms_arena_alloc(build->reader->arena, sizeof(*node));

	if (!node) {
		build->out_of_memory = true;
		return NULL;
	}
	node->kind = kind;
	node->text = "";
	node->plain = true;
	node->at = ms_yaml_origin(build->reader, build->segment, &event->start_mark,
				  kind == MS_YAML_SCALAR ? &event->end_mark : NULL);
	return node;
}

static void check_anchor_and_tag(struct build *build, struct ms_yaml_node *node,
				 const yaml_char_t *anchor, const yaml_char_t *tag)
{
	bool broken = node->broken;

	if (anchor)
		node_error(build, node, "anchor", "write the value out where it is needed",
			   "anchors are not allowed");
	if (tag)
		node_error(build, node, "tag", "remove it: every value is text",
			   "tags are not allowed");
	node->broken = broken;
}

static bool is_repaired(const struct build *build, const struct ms_yaml_node *node)
{
	ms_vec_each (struct ms_yaml_spot, spot, &build->reader->repaired) {
		if (spot->line + 1 == node->at.line && spot->column + 1 == node->at.column)
			return true;
	}
	return false;
}

static struct ms_yaml_node *build_alias(struct build *build, const yaml_event_t *event)
{
	struct ms_yaml_node *node = node_new(build, MS_YAML_SCALAR, event);

	if (!node)
		return NULL;
	node_error(build, node, "alias",
		   "quote it if text was meant, else write the value out where it is needed",
		   "an unquoted '*' begins a YAML alias, and aliases are not allowed");
	return node;
}

static struct ms_yaml_node *build_scalar(struct build *build, const yaml_event_t *event)
{
	struct ms_yaml_node *node = node_new(build, MS_YAML_SCALAR, event);
	const char *value = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;

	if (!node)
		return NULL;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->broken = is_repaired(build, node);
	check_anchor_and_tag(build, node, event->data.scalar.anchor, event->data.scalar.tag);
	if (len > MS_MAX_SCALAR) {
		node_error(build, node, "too-long", "no value needs more than 4096 bytes",
			   "the text is too long");
		return node;
	}
	if (memchr(value, '\0', len)) {
		node_error(build, node, "nul-byte", "remove the \\0", "a NUL byte in a text");
		return node;
	}
	char *text = ms_arena_strndup(build->reader->arena, value, len);
	if (!text)
		build->out_of_memory = true;
	else
		node->text = text;
	return node;
}

static struct ms_yaml_node *build_node(struct build *build, const yaml_event_t *event);

static struct ms_yaml_node *build_sequence(struct build *build, const yaml_event_t *event)
{
	struct ms_yaml_node *node = node_new(build, MS_YAML_SEQUENCE, event);

	if (!node)
		return NULL;
	check_anchor_and_tag(build, node, event->data.sequence_start.anchor,
			     event->data.sequence_start.tag);
	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t item = {0};

		if (!next_event(build, &item)) {
			node->broken = true;
			return node;
		}
		if (item.type == YAML_SEQUENCE_END_EVENT)
			return node;
		struct ms_yaml_node *child = build_node(build, &item);
		if (!child || ms_avec_push(build->reader->arena, &node->items, child) < 0)
			build->out_of_memory = true;
	}
}

static int compare_entries(const void *left, const void *right)
{
	const struct ms_yaml_node *a = (*(struct ms_yaml_entry *const *)left)->key;
	const struct ms_yaml_node *b = (*(struct ms_yaml_entry *const *)right)->key;
	int r = strcmp(a->text, b->text);

	if (r == 0)
		r = (a->at.line > b->at.line) - (a->at.line < b->at.line);
	return r ? r : (a->at.column > b->at.column) - (a->at.column < b->at.column);
}

/* Reports every second of two equal keys, and marks it broken. */
static void report_duplicates(struct build *build, struct ms_yaml_node *mapping)
{
	MS_VEC(struct ms_yaml_entry *) sorted = {0};

	ms_vec_each (struct ms_yaml_entry, entry, &mapping->entries) {
		if (ms_vec_push(&sorted, entry) < 0)
			build->out_of_memory = true;
	}
	ms_vec_sort(&sorted, compare_entries);
	for (size_t i = 1; i < sorted.n_items; i++) {
		struct ms_yaml_node *first = sorted.items[i - 1]->key,
				    *second = sorted.items[i]->key;
		_cleanup_(ms_str_fini) struct ms_str hint = {0};

		if (strcmp(first->text, second->text) != 0)
			continue;
		ms_str_addf(&hint, "it was given before on line %u", first->at.line);
		build->reader->found_error = true;
		second->broken = true;
		ms_yaml_error(build->reader->file, build->reader->diags, &second->at,
			      "duplicate-key", hint.text, "duplicate key '%s'", second->text);
	}
	ms_vec_fini(&sorted);
}

/* Drops the entries whose keys are broken; the others keep their order. */
static void drop_broken_keys(struct ms_yaml_node *mapping)
{
	size_t n = 0;

	for (size_t i = 0; i < mapping->entries.n_items; i++) {
		struct ms_yaml_entry entry = mapping->entries.items[i];

		if (!entry.key->broken)
			mapping->entries.items[n++] = entry;
	}
	if (n < mapping->entries.n_items)
		mapping->broken = true;
	mapping->entries.n_items = n;
}

static void check_key(struct build *build, struct ms_yaml_node *key)
{
	if (key->broken)
		return;
	if (key->kind != MS_YAML_SCALAR)
		node_error(build, key, "key-not-text", "write 'key: value'",
			   "a list or mapping cannot be a key");
	else if (key->plain && strcmp(key->text, "<<") == 0)
		node_error(build, key, "merge-key", "write the keys out where they are needed",
			   "merge keys are not allowed");
}

/* Reads one key and its value. Returns false at the end of the mapping. */
static bool build_entry(struct build *build, struct ms_yaml_node *mapping)
{
	_cleanup_(yaml_event_delete) yaml_event_t key_event = {0};
	_cleanup_(yaml_event_delete) yaml_event_t value_event = {0};
	struct ms_yaml_entry entry = {0};

	if (!next_event(build, &key_event)) {
		mapping->broken = true;
		return false;
	}
	if (key_event.type == YAML_MAPPING_END_EVENT)
		return false;
	entry.key = build_node(build, &key_event);
	if (!entry.key)
		return false;
	check_key(build, entry.key);

	if (next_event(build, &value_event)) {
		entry.value = build_node(build, &value_event);
	} else {
		mapping->broken = true;
		entry.value = node_new(build, MS_YAML_SCALAR, &key_event);
		if (entry.value)
			entry.value->broken = true;
	}
	if (!entry.value || ms_avec_push(build->reader->arena, &mapping->entries, entry) < 0)
		build->out_of_memory = true;
	return !build->out_of_memory;
}

static struct ms_yaml_node *build_mapping(struct build *build, const yaml_event_t *event)
{
	struct ms_yaml_node *node = node_new(build, MS_YAML_MAPPING, event);

	if (!node)
		return NULL;
	check_anchor_and_tag(build, node, event->data.mapping_start.anchor,
			     event->data.mapping_start.tag);
	while (build_entry(build, node))
		;
	drop_broken_keys(node);
	report_duplicates(build, node);
	drop_broken_keys(node);
	return node;
}

static struct ms_yaml_node *build_node(struct build *build, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return build_alias(build, event);
	case YAML_SCALAR_EVENT:
		return build_scalar(build, event);
	case YAML_SEQUENCE_START_EVENT:
		return build_sequence(build, event);
	default:
		return build_mapping(build, event);
	}
}

static void check_directives(struct build *build, const yaml_event_t *event)
{
	if (event->data.document_start.tag_directives.start ==
	    event->data.document_start.tag_directives.end)
		return;
	struct ms_origin at =
		ms_yaml_origin(build->reader, build->segment, &event->start_mark, NULL);

	build->reader->found_error = true;
	ms_yaml_error(build->reader->file, build->reader->diags, &at, "tag", "remove the %TAG line",
		      "tags are not allowed");
}

/* A document in which nothing is written, as between two '---', is no document. */
static bool is_empty(const struct ms_yaml_node *node)
{
	return node->kind == MS_YAML_SCALAR && node->plain && !*node->text && !node->broken;
}

static int build_documents(struct build *build, struct ms_yaml_file *file)
{
	for (;;) {
		_cleanup_(yaml_event_delete) yaml_event_t event = {0};

		if (!next_event(build, &event))
			break;
		if (event.type == YAML_DOCUMENT_START_EVENT)
			check_directives(build, &event);
		/* Below are the beginnings and ends of documents and of the stream. */
		if (event.type < YAML_ALIAS_EVENT)
			continue;
		struct ms_yaml_node *root = build_node(build, &event);
		if (!root)
			return -ENOMEM;
		if (!is_empty(root) &&
		    ms_avec_push(build->reader->arena, &file->documents, root) < 0)
			return -ENOMEM;
	}
	return build->out_of_memory ? -ENOMEM : 0;
}

static int read_segment(struct ms_yaml_reader *reader, const struct ms_yaml_segment *segment,
			struct ms_yaml_file *file)
{
	_cleanup_(yaml_parser_delete) yaml_parser_t parser;
	int r = ms_yaml_open(reader, segment, &parser);

	if (r < 0)
		return r;
	struct build build = {.reader = reader,
			      .segment = segment,
			      .parser = &parser,
			      .n_events = segment->n_events};
	return build_documents(&build, file);
}

/* Returns 0 when all was read in one pass; 1 when it takes two, and nothing has happened yet;
 * -ENOMEM. */
static int read_at_once(struct ms_yaml_reader *reader, struct ms_yaml_file *file)
{
	const struct ms_yaml_segment whole = {0};
	struct ms_diags before = *reader->diags;
	struct ms_yaml_counts counts = {0};
	_cleanup_(yaml_parser_delete) yaml_parser_t parser;
	int r = ms_yaml_open(reader, &whole, &parser);

	if (r < 0)
		return r;
	struct build build = {.reader = reader,
			      .segment = &whole,
			      .parser = &parser,
			      .n_events = SIZE_MAX,
			      .counts = &counts};
	r = build_documents(&build, file);
	if (r < 0 || !build.gave_up)
		return r;
	file->documents.n_items = 0;
	reader->found_error = false;
	reader->diags->list.n_items = before.list.n_items;
	reader->diags->n_errors = before.n_errors;
	reader->diags->n_warnings = before.n_warnings;
	return 1;
}

/* What makes a file unreadable as a whole. Returns true when an error was added. */
static bool report_unreadable(struct ms_yaml_reader *reader)
{
	const struct ms_policy_file *file = reader->file;
	struct ms_origin at = {.file = reader->name};
	const char *nul;

	if (file->size > ms_file_max_size(file)) {
		ms_yaml_error(file, reader->diags, &at, "file-too-large", "split it",
			      "more than %zu bytes", ms_file_max_size(file));
		return true;
	}
	if (file->size >= 2 &&
	    (memcmp(file->bytes, "\xff\xfe", 2) == 0 || memcmp(file->bytes, "\xfe\xff", 2) == 0)) {
		ms_yaml_error(file, reader->diags, &at, "not-utf8", "save it as UTF-8",
			      "the file is UTF-16");
		return true;
	}
	nul = file->size ? memchr(file->bytes, '\0', file->size) : NULL;
	if (nul) {
		ms_source_place(file->bytes, file->size, (size_t)(nul - file->bytes), &at.line,
				&at.column);
		ms_yaml_error(file, reader->diags, &at, "nul-byte", "is this a text file?",
			      "a NUL byte in the file");
	}
	return nul != NULL;
}

int ms_yaml_parse(struct ms_arena *arena, const struct ms_policy_file *file, struct ms_diags *diags,
		  struct ms_yaml_file *ret_file)
{
	struct ms_yaml_reader reader = {.arena = arena, .file = file, .diags = diags};
	struct ms_yaml_segment segment = {0}, next = {0};

	*ret_file = (struct ms_yaml_file){.file = file};
	reader.name = ms_arena_strdup(arena, file->name);
	if (!reader.name)
		return -ENOMEM;
	if (report_unreadable(&reader))
		return -EINVAL;

	size_t mark = file->size >= 3 && memcmp(file->bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	_cleanup_(freep) char *text = calloc(1, file->size + 1);
	if (!text)
		return -ENOMEM;
	if (file->size > mark)
		memcpy(text, file->bytes + mark, file->size - mark);
	reader.text = text;
	reader.size = file->size - mark;

	int r = read_at_once(&reader, ret_file);
	if (r <= 0)
		return r < 0 ? r : reader.found_error ? -EINVAL : 0;
	for (;; segment = next) {
		r = ms_yaml_scan(&reader, &segment, &next);
		if (r == 0)
			r = read_segment(&reader, &segment, ret_file);
		if (r < 0)
			return r;
		if (segment.last)
			return reader.found_error ? -EINVAL : 0;
	}
}
