/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/yaml_reader.h"

#include <errno.h>
#include <string.h>

#include "policy/source.h"

#define MAX_REPAIRS 32 /* of one file: each costs a new pass over its segment */

/* What libyaml says, and what a user should be told. */
static const struct complaint {
	const char *problem; /* the beginning of libyaml's text */
	const char *context; /* likewise, or NULL */
	char at;	     /* the character complained about, or 0 for any */
	bool at_context;     /* the value begins where the context does */
	bool repair;	     /* another character in its place makes the rest readable */
	const char *code, *message, *hint;
} complaints[] = {
	{"did not find expected alphabetic", "while scanning an alias", '*', true, true, "unquoted",
	 "an unquoted '*' begins a YAML alias", "quote it: \"*\""},
	{"did not find expected alphabetic", "while scanning an anchor", '&', true, true,
	 "unquoted", "an unquoted '&' begins a YAML anchor", "quote it"},
	{"did not find expected node content", NULL, ':', false, true, "unquoted",
	 "an unquoted ':' cannot begin a value", "quote it: \"::/0\""},
	{"found unexpected ':'", NULL, ':', true, true, "unquoted",
	 "an unquoted value cannot end in ':' here", "quote it: \"fd00::\""},
	{"found character that cannot start", NULL, '\t', false, false, "syntax",
	 "a tab cannot indent YAML", "indent with blanks"},
	{"found character that cannot start", NULL, '@', false, true, "unquoted",
	 "an unquoted '@' cannot begin a value", "quote it"},
	{"found character that cannot start", NULL, '`', false, true, "unquoted",
	 "an unquoted '`' cannot begin a value", "quote it"},
	{"found character that cannot start", NULL, '%', false, true, "unquoted",
	 "an unquoted '%' cannot begin a value", "quote it"},
	{"mapping values are not allowed", NULL, 0, false, false, "syntax",
	 "a ':' where no key can stand",
	 "is a ':' missing on the line above, or the indent wrong? A text with ': ' in it needs quotes"},
	{"did not find expected ',' or", NULL, 0, false, false, "syntax",
	 "expected ',' or the closing bracket",
	 "close the bracket, or put a ',' between the items"},
	{"did not find expected key", NULL, 0, false, false, "syntax", "expected a key here",
	 "do the lines of this mapping begin in the same column?"},
	{"did not find expected '-' indicator", NULL, 0, false, false, "syntax",
	 "expected '-' here", "do the items of this list begin in the same column?"},
	{"could not find expected ':'", NULL, 0, false, false, "syntax", "a key without its ':'",
	 "write 'key: value'"},
	{"found undefined tag handle", NULL, 0, false, false, "tag", "tags are not allowed",
	 "remove it"},
};

int ms_yaml_open(struct ms_yaml_reader *reader, const struct ms_yaml_segment *segment,
		 yaml_parser_t *parser)
{
	if (!yaml_parser_initialize(parser))
		return -ENOMEM;
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(parser, (const unsigned char *)reader->text + segment->start,
				     reader->size - segment->start);
	return 0;
}

struct ms_origin ms_yaml_origin(const struct ms_yaml_reader *reader,
				const struct ms_yaml_segment *segment, const yaml_mark_t *start,
				const yaml_mark_t *end)
{
	size_t width = end && end->line == start->line && end->column > start->column
			       ? end->column - start->column
			       : 1;

	return (struct ms_origin){
		.file = reader->name,
		.line = (uint32_t)(segment->line + start->line + 1),
		.column = (uint32_t)(start->column + 1),
		.width = (uint32_t)width,
	};
}

static size_t mark_offset(const struct ms_yaml_reader *reader,
			  const struct ms_yaml_segment *segment, const yaml_mark_t *mark)
{
	size_t line = ms_source_line_start(reader->text, reader->size, segment->line + mark->line);

	return ms_source_column(reader->text, reader->size, line, mark->column);
}

static bool begins_with(const char *text, const char *start)
{
	return text && strncmp(text, start, strlen(start)) == 0;
}

/* Rows with a context speak of the character that the context begins with, the others of the one at
 * the problem. */
static const yaml_mark_t *complaint_mark(const struct complaint *complaint,
					 const yaml_parser_t *parser)
{
	return complaint->context ? &parser->context_mark : &parser->problem_mark;
}

static const struct complaint *find_complaint(const struct ms_yaml_reader *reader,
					      const struct ms_yaml_segment *segment,
					      const yaml_parser_t *parser)
{
	for (size_t i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
		const struct complaint *c = &complaints[i];

		if (!begins_with(parser->problem, c->problem) ||
		    (c->context && !begins_with(parser->context, c->context)))
			continue;
		if (!c->at ||
		    reader->text[mark_offset(reader, segment, complaint_mark(c, parser))] == c->at)
			return c;
	}
	return NULL;
}

/* Is a scalar that begins at @spot known to be wrong already? */
static bool is_repaired(const struct ms_yaml_reader *reader, const struct ms_yaml_spot *spot)
{
	ms_vec_each (struct ms_yaml_spot, known, &reader->repaired) {
		if (known->line == spot->line && known->column == spot->column)
			return true;
	}
	return false;
}

/* The reader looks ahead of the events and knows bytes only, so its errors come with an offset and
 * no mark. */
static void report_bytes(struct ms_yaml_reader *reader, const struct ms_yaml_segment *segment,
			 const yaml_parser_t *parser)
{
	struct ms_origin at = {.file = reader->name};

	ms_source_place(reader->text, reader->size, segment->start + parser->problem_offset,
			&at.line, &at.column);
	ms_yaml_error(reader->file, reader->diags, &at, "not-utf8",
		      "save the file as plain UTF-8 text", "not UTF-8 text: %s", parser->problem);
	reader->found_error = true;
}

/* Returns true when the text was mended and the segment is worth another pass. */
static bool report_syntax(struct ms_yaml_reader *reader, const struct ms_yaml_segment *segment,
			  const yaml_parser_t *parser)
{
	const struct complaint *c = find_complaint(reader, segment, parser);
	const yaml_mark_t *mark =
		c && c->at_context ? &parser->context_mark : &parser->problem_mark;
	struct ms_yaml_spot spot = {segment->line + mark->line, mark->column};
	struct ms_origin at = ms_yaml_origin(reader, segment, mark, NULL);
	bool known = is_repaired(reader, &spot);

	reader->found_error = true;
	if (!known)
		ms_yaml_error(reader->file, reader->diags, &at, c ? c->code : "syntax",
			      c ? c->hint : NULL, "%s%s",
			      c ? "" : "not valid YAML: ", c ? c->message : parser->problem);
	if (!c || !c->repair || reader->n_repairs++ >= MAX_REPAIRS)
		return false;
	reader->text[mark_offset(reader, segment, complaint_mark(c, parser))] = 'x';
	return known || ms_avec_push(reader->arena, &reader->repaired, spot) == 0;
}

/* The next line that begins a document, at or behind @line and behind the segment's own beginning.
 */
static bool find_next_document(const struct ms_yaml_reader *reader,
			       const struct ms_yaml_segment *segment, size_t line,
			       struct ms_yaml_segment *ret_next)
{
	const char *text = reader->text;
	size_t at = ms_source_line_start(text, reader->size, line);

	while (at < reader->size) {
		size_t end = ms_source_line_end(text, reader->size, at);

		if (at > segment->start && end - at >= 3 && memcmp(text + at, "---", 3) == 0 &&
		    (end - at == 3 || text[at + 3] == ' ' || text[at + 3] == '\t')) {
			*ret_next = (struct ms_yaml_segment){.start = at, .line = line};
			return true;
		}
		at = ms_source_break_end(text, reader->size, end);
		line++;
	}
	return false;
}

bool ms_yaml_count(const struct ms_yaml_reader *reader, struct ms_yaml_counts *counts,
		   yaml_event_type_t type)
{
	switch (type) {
	case YAML_DOCUMENT_START_EVENT:
		counts->documents++;
		break;
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		counts->depth++;
		counts->nodes++;
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		counts->depth--;
		break;
	case YAML_SCALAR_EVENT:
	case YAML_ALIAS_EVENT:
		counts->nodes++;
		break;
	default:
		break;
	}
	return counts->depth <= MS_MAX_DEPTH && counts->documents <= MS_MAX_DOCUMENTS &&
	       counts->nodes <= ms_file_max_nodes(reader->file);
}

static void report_limit(struct ms_yaml_reader *reader, const struct ms_yaml_segment *segment,
			 const yaml_event_t *event, const struct ms_yaml_counts *counts)
{
	size_t max_nodes = ms_file_max_nodes(reader->file);
	const struct {
		bool over;
		const char *code;
		size_t limit;
		const char *what;
	} limits[] = {
		{counts->depth > MS_MAX_DEPTH, "too-deep", MS_MAX_DEPTH,
		 "nested lists and mappings"},
		{counts->nodes > max_nodes, "too-many-nodes", max_nodes, "YAML nodes in a file"},
		{counts->documents > MS_MAX_DOCUMENTS, "too-many-documents", MS_MAX_DOCUMENTS,
		 "documents in a file"},
	};
	struct ms_origin at = ms_yaml_origin(reader, segment, &event->start_mark, NULL);
	size_t i = 0;

	while (!limits[i].over)
		i++;
	ms_yaml_error(reader->file, reader->diags, &at, limits[i].code,
		      "nothing behind this place was read", "more than %zu %s", limits[i].limit,
		      limits[i].what);
	reader->found_error = true;
}

enum outcome {
	SCAN_WHOLE,
	SCAN_LIMIT,
	SCAN_ERROR, /* in @parser */
};

static enum outcome count_events(struct ms_yaml_reader *reader, struct ms_yaml_segment *segment,
				 yaml_parser_t *parser, struct ms_yaml_counts *counts)
{
	for (segment->n_events = 0;; segment->n_events++) {
		yaml_event_t event;

		if (!yaml_parser_parse(parser, &event))
			return SCAN_ERROR;
		yaml_event_type_t type = event.type;
		bool over = !ms_yaml_count(reader, counts, type);
		if (over)
			report_limit(reader, segment, &event, counts);
		yaml_event_delete(&event);
		if (over)
			return SCAN_LIMIT;
		if (type == YAML_STREAM_END_EVENT)
			return SCAN_WHOLE;
	}
}

int ms_yaml_scan(struct ms_yaml_reader *reader, struct ms_yaml_segment *segment,
		 struct ms_yaml_segment *ret_next)
{
	for (;;) {
		struct ms_yaml_counts counts = {.nodes = reader->n_nodes,
						.documents = reader->n_documents};
		_cleanup_(yaml_parser_delete) yaml_parser_t parser;
		int r = ms_yaml_open(reader, segment, &parser);

		if (r < 0)
			return r;
		enum outcome outcome = count_events(reader, segment, &parser, &counts);
		if (outcome == SCAN_ERROR && parser.error == YAML_MEMORY_ERROR)
			return -ENOMEM;
		if (outcome == SCAN_ERROR && parser.error == YAML_READER_ERROR)
			report_bytes(reader, segment, &parser);
		else if (outcome == SCAN_ERROR && report_syntax(reader, segment, &parser))
			continue;

		reader->n_nodes = counts.nodes;
		reader->n_documents = counts.documents;
		segment->last =
			outcome != SCAN_ERROR || parser.error == YAML_READER_ERROR ||
			!find_next_document(reader, segment,
					    segment->line + parser.problem_mark.line, ret_next);
		return 0;
	}
}
