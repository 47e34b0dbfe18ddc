/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "microseg/cleanup.h"
#include "microseg/yaml.h"

#define N(rows) (sizeof(rows) / sizeof((rows)[0]))

struct parsed {
	struct ms_arena *arena;
	struct ms_diags diags;
	struct ms_yaml_file file;
	struct ms_policy_file source;
	int r;
};

static void parse(struct parsed *parsed, const char *bytes, size_t size)
{
	*parsed = (struct parsed){.arena = ms_arena_new(), .source = {"t.yaml", bytes, size}};
	assert_non_null(parsed->arena);
	assert_int_equal(ms_diags_init(&parsed->diags), 0);
	parsed->r = ms_yaml_parse(parsed->arena, &parsed->source, &parsed->diags, &parsed->file);
	assert_int_equal(parsed->r, parsed->diags.n_errors ? -EINVAL : 0);
}

static void done(struct parsed *parsed)
{
	ms_diags_fini(&parsed->diags);
	ms_arena_free(parsed->arena);
}

/* {key: [text, "quoted"]}, with ! before what is broken. */
static void dump(const struct ms_yaml_node *node, struct ms_str *out)
{
	const char *before = "";

	ms_str_add(out, node->broken ? "!" : "");
	if (node->kind == MS_YAML_SCALAR) {
		ms_str_addf(out, node->plain ? "%s" : "\"%s\"", node->text);
	} else if (node->kind == MS_YAML_SEQUENCE) {
		ms_str_add_char(out, '[');
		ms_vec_each (struct ms_yaml_node *, item, &node->items) {
			ms_str_add(out, before);
			dump(*item, out);
			before = " ";
		}
		ms_str_add_char(out, ']');
	} else {
		ms_str_add_char(out, '{');
		ms_vec_each (struct ms_yaml_entry, entry, &node->entries) {
			ms_str_add(out, before);
			dump(entry->key, out);
			ms_str_add(out, ":");
			dump(entry->value, out);
			before = " ";
		}
		ms_str_add_char(out, '}');
	}
}

static void dump_documents(const struct parsed *parsed, struct ms_str *out)
{
	ms_vec_each (struct ms_yaml_node *, root, &parsed->file.documents) {
		ms_str_add(out, out->len ? " --- " : "");
		dump(*root, out);
	}
}

static void dump_errors(const struct parsed *parsed, struct ms_str *out)
{
	ms_vec_each (struct ms_diag, diag, &parsed->diags.list)
		ms_str_addf(out, "%s%s@%u:%u", out->len ? " " : "", diag->code, diag->at.line,
			    diag->at.column);
}

static void reads_what_is_written_and_guesses_nothing(void **state)
{
	static const struct {
		const char *in, *tree;
	} rows[] = {
		{"", ""},
		{"# only a comment\n", ""},
		{"---\n---\n", ""},
		{"a: 1\nb: [x, 'y', \"z\"]\n", "{a:1 b:[x \"y\" \"z\"]}"},
		{"a: no\nb: 0777\nc: 2026-12-01\nd: ~\ne:\n", "{a:no b:0777 c:2026-12-01 d:~ e:}"},
		{"- {a: dev/*, b: \"*\"}\n", "[{a:dev/* b:\"*\"}]"},
		{"net: ::/0\n", "{net:::/0}"},
		{"a: [fd00::5, fd00::/8, 02:42:0a:00:00:05]\n",
		 "{a:[fd00::5 fd00::/8 02:42:0a:00:00:05]}"},
		{"a: 1\n---\nb: 2\n...\n---\nc: 3\n", "{a:1} --- {b:2} --- {c:3}"},
		{"\xef\xbb\xbf"
		 "a: 1\n",
		 "{a:1}"},
		{"a: |\n  two\n  lines\n", "{a:\"two\nlines\n\"}"},
		{"a: 1\r\nb: 2\r\n", "{a:1 b:2}"},
		{"%YAML 1.1\n---\na: 1\n", "{a:1}"},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct parsed parsed;
		_cleanup_(ms_str_fini) struct ms_str tree = {0};

		parse(&parsed, rows[i].in, strlen(rows[i].in));
		assert_int_equal(parsed.r, 0);
		dump_documents(&parsed, &tree);
		assert_string_equal(tree.text ? tree.text : "", rows[i].tree);
		done(&parsed);
	}
}

static void refuses_what_a_reviewer_cannot_see_through(void **state)
{
	static const struct {
		const char *in, *errors, *tree;
	} rows[] = {
		{"a: &x 1\nb: *x\n", "anchor@1:4 alias@2:4", "{a:1 b:!}"},
		{"a: *web\nb: 1\n", "alias@1:4", "{a:! b:1}"},
		{"a: &x [1]\n", "anchor@1:4", "{a:[1]}"},
		{"&x a: 1\n", "anchor@1:1", "{a:1}"},
		{"base: {a: 1}\nc:\n  <<: {b: 2}\n  d: 3\n", "merge-key@3:3",
		 "{base:{a:1} c:!{d:3}}"},
		{"a: !!str 1\n", "tag@1:4", "{a:1}"},
		{"a: !x [1]\nb: !y {c: 1}\n", "tag@1:4 tag@2:4", "{a:[1] b:{c:1}}"},
		{"%TAG ! tag:x,2000:\n---\na: 1\n", "tag@1:1", "{a:1}"},
		{"a: !z!x 1\n", "tag@1:4", "!{a:!}"},
		{"a: 1\nb: 2\na: 3\na: 4\n", "duplicate-key@3:1 duplicate-key@4:1", "!{a:1 b:2}"},
		{"a: {b: 1, b: 2}\n", "duplicate-key@1:11", "{a:!{b:1}}"},
		{"? [a]\n: 1\nb: 2\n", "key-not-text@1:3", "!{b:2}"},
		{"? {a: 1}\n: 1\n", "key-not-text@1:3", "!{}"},
		{"a: \"x\\0y\"\n", "nul-byte@1:4", "{a:!\"\"}"},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct parsed parsed;
		_cleanup_(ms_str_fini) struct ms_str tree = {0}, errors = {0};

		parse(&parsed, rows[i].in, strlen(rows[i].in));
		dump_errors(&parsed, &errors);
		dump_documents(&parsed, &tree);
		assert_string_equal(errors.text ? errors.text : "", rows[i].errors);
		assert_string_equal(tree.text ? tree.text : "", rows[i].tree);
		done(&parsed);
	}
}

static void one_syntax_error_does_not_hide_the_next(void **state)
{
	static const struct {
		const char *in, *errors, *tree;
	} rows[] = {
		{"a: {from: *, to: b}\nc: 1\n", "unquoted@1:11", "{a:{from:!x to:b} c:1}"},
		{"a: *\nb: [*, **]\n", "unquoted@1:4 unquoted@2:5 unquoted@2:8",
		 "{a:!x b:[!x !x*]}"},
		{"a: {net: ::/0}\nb: [10.0.0.0/8, ::/0]\n", "unquoted@1:10 unquoted@2:17",
		 "{a:{net:!x:/0} b:[10.0.0.0/8 !x:/0]}"},
		{"a: [fd00::]\nb: 1\n", "unquoted@1:5", "{a:[!fd00:x] b:1}"},
		{"a: [::]\n", "unquoted@1:5", "{a:[!xx]}"},
		{"a: @x\nb: `y\nc: %z\n", "unquoted@1:4 unquoted@2:4 unquoted@3:4",
		 "{a:!xx b:!xy c:!xz}"},
		{"a: &\nb: 1\n", "unquoted@1:4", "{a:!x b:1}"},
		{"a: b: c\n---\nd: 1\n", "syntax@1:5", "!{a:b} --- {d:1}"},
		{"a:\n\tb: 1\n---\nc: 1\n---\nd: [1\n---\ne: 2\n", "syntax@2:1 syntax@7:1",
		 "!{a:!} --- {c:1} --- !{d:![1]} --- {e:2}"},
		{"c: \"d\n---\ne: 1\n", "syntax@2:1", "!{c:!} --- {e:1}"},
		{"a: [1\n", "syntax@2:1", "!{a:![1]}"},
		{"a: 1\n b: 2\n", "syntax@2:3", "!{a:1 b}"},
		{"{a: 1 b: 2}\n", "syntax@1:8", "!{a:1 b}"},
		{"a: [b]]\n", "syntax@1:7", "!{a:[b]}"},
		{"a\nb: 1\n", "syntax@2:2", "a b"},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct parsed parsed;
		_cleanup_(ms_str_fini) struct ms_str tree = {0}, errors = {0};

		parse(&parsed, rows[i].in, strlen(rows[i].in));
		dump_errors(&parsed, &errors);
		dump_documents(&parsed, &tree);
		assert_string_equal(errors.text ? errors.text : "", rows[i].errors);
		assert_string_equal(tree.text ? tree.text : "", rows[i].tree);
		done(&parsed);
	}
}

static void refuses_what_is_not_utf8_text(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *errors;
	} rows[] = {
		{"a: 1\nb: \xff\n", 10, "not-utf8@2:4"},
		{"a: 1\nb: \xc3(\n", 11, "not-utf8@2:5"},
		{"a: 1\nb: x\x01\n", 11, "not-utf8@2:5"},
		{"\xff\xfe"
		 "a\0:\0",
		 6, "not-utf8@0:0"},
		{"\xfe\xff\0a\0:", 6, "not-utf8@0:0"},
		{"a: 1\nb\0: 2\n", 11, "nul-byte@2:2"},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++) {
		struct parsed parsed;
		_cleanup_(ms_str_fini) struct ms_str errors = {0};

		parse(&parsed, rows[i].bytes, rows[i].size);
		dump_errors(&parsed, &errors);
		assert_string_equal(errors.text ? errors.text : "", rows[i].errors);
		done(&parsed);
	}
}

static void repeat(struct ms_str *str, const char *text, size_t n)
{
	while (n--)
		ms_str_add(str, text);
}

static void every_limit_is_an_error_of_its_own(void **state)
{
	static const struct {
		const char *before, *item;
		size_t n_ok;
		const char *after, *code;
	} rows[] = {
		{"", "[", MS_MAX_DEPTH, "", "too-deep"},
		{"a: [", "1,", MS_MAX_NODES - 3, "]", "too-many-nodes"},
		{"", "--- a\n", MS_MAX_DOCUMENTS, "", "too-many-documents"},
		{"a: ", "x", MS_MAX_SCALAR, "", "too-long"},
		{"# ", "x", MS_MAX_FILE_SIZE - 2, "", "file-too-large"},
	};
	(void)state;
	for (size_t i = 0; i < N(rows); i++)
		for (size_t over = 0; over < 2; over++) {
			_cleanup_(ms_str_fini) struct ms_str text = {0};
			struct parsed parsed;
			bool found = false;

			ms_str_add(&text, rows[i].before);
			repeat(&text, rows[i].item, rows[i].n_ok + over);
			ms_str_add(&text, rows[i].after);
			parse(&parsed, text.text, text.len);
			ms_vec_each (struct ms_diag, diag, &parsed.diags.list)
				found = found || strcmp(diag->code, rows[i].code) == 0;
			assert_int_equal(found, over);
			done(&parsed);
		}
}

static void endless_nesting_costs_little(void **state)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	struct parsed parsed;

	(void)state;
	repeat(&text, "[", 100000);
	parse(&parsed, text.text, text.len);
	assert_int_equal(parsed.diags.n_errors, 1);
	assert_string_equal(parsed.diags.list.items[0].code, "too-deep");
	done(&parsed);
}

static void nodes_and_errors_know_their_place(void **state)
{
	static const char text[] = "# \xc3\xbc\n\na:\n  - {b: \"\xc3\xbc\", c: word}\n";
	struct parsed parsed;

	(void)state;
	parse(&parsed, text, strlen(text));
	const struct ms_yaml_node *list = ms_yaml_get(parsed.file.documents.items[0], "a");
	const struct ms_yaml_node *item = list->items.items[0];
	const struct ms_yaml_node *word = ms_yaml_get(item, "c");

	assert_string_equal(word->at.file, "t.yaml");
	assert_int_equal(item->at.line, 4);
	assert_int_equal(item->at.column, 5);
	assert_int_equal(word->at.line, 4);
	assert_int_equal(word->at.column, 17);
	assert_int_equal(word->at.width, 4);
	assert_null(ms_yaml_get(item, "d"));
	assert_null(ms_yaml_get(word, "d"));

	ms_yaml_error(&parsed.source, &parsed.diags, &word->at, "code", "hint", "wrong %s",
		      word->text);
	const struct ms_diag *diag = &parsed.diags.list.items[0];
	assert_string_equal(diag->message, "wrong word");
	assert_string_equal(diag->hint, "hint");
	assert_string_equal(diag->source_line, "  - {b: \"\xc3\xbc\", c: word}");
	done(&parsed);
}

static void a_long_line_is_quoted_in_part(void **state)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	struct parsed parsed;

	(void)state;
	ms_str_add(&text, "{");
	repeat(&text, "a: 1, ", 20000);
	ms_str_add(&text, "}");
	parse(&parsed, text.text, text.len);
	assert_int_equal(parsed.diags.n_errors, 20000);
	assert_true(parsed.diags.list.n_items <= 1001);
	assert_true(strlen(parsed.diags.list.items[0].source_line) <= 400);
	assert_string_equal(parsed.diags.list.items[1000].code, "too-many-errors");
	done(&parsed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_written_and_guesses_nothing),
		cmocka_unit_test(refuses_what_a_reviewer_cannot_see_through),
		cmocka_unit_test(one_syntax_error_does_not_hide_the_next),
		cmocka_unit_test(refuses_what_is_not_utf8_text),
		cmocka_unit_test(every_limit_is_an_error_of_its_own),
		cmocka_unit_test(endless_nesting_costs_little),
		cmocka_unit_test(nodes_and_errors_know_their_place),
		cmocka_unit_test(a_long_line_is_quoted_in_part),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
