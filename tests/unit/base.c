/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "microseg/arena.h"
#include "microseg/cleanup.h"
#include "microseg/diag.h"
#include "microseg/str.h"
#include "microseg/vec.h"

/* Past some size the memory comes in other pieces. */
static void a_large_arena_keeps_these_promises(void **state)
{
	static const unsigned char zeros[4096];
	unsigned char *pieces[4096];
	struct ms_arena *arena = ms_arena_new();

	(void)state;
	for (size_t i = 0; i < 4096; i++) {
		size_t size = i % 100 == 7 ? 700000 : 1 + i;

		pieces[i] = ms_arena_alloc(arena, size);
		assert_int_equal((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
		assert_memory_equal(pieces[i], zeros, size < 4096 ? size : 4096);
		memset(pieces[i], (int)(i % 255) + 1, size);
	}
	for (size_t i = 0; i < 4096; i++)
		assert_int_equal(pieces[i][0], i % 255 + 1);
	assert_true(ms_arena_size(arena) > 30u << 20);
	ms_arena_free(arena);
}

static void arena_memory_is_zeroed_aligned_and_stays(void **state)
{
	(void)state;
	struct ms_arena *arena = ms_arena_new();
	char *first = ms_arena_strdup(arena, "first");

	for (size_t size = 1; size < 200000; size = size * 3 + 1) {
		unsigned char *p = ms_arena_alloc(arena, size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		assert_int_equal(p[0] | p[size - 1], 0);
		memset(p, 0xff, size);
	}
	assert_string_equal(first, "first");
	assert_string_equal(ms_arena_printf(arena, "%s:%d", "f", 7), "f:7");
	assert_null(ms_arena_alloc(arena, SIZE_MAX - 8));
	ms_arena_free(arena);
}

static void vec_keeps_order_while_growing(void **state)
{
	(void)state;
	MS_VEC(int) numbers = {0};

	for (int i = 0; i < 1000; i++)
		assert_int_equal(ms_vec_push(&numbers, i), 0);
	int expected = 0;
	ms_vec_each (int, n, &numbers)
		assert_int_equal(*n, expected++);
	assert_int_equal(expected, 1000);
	ms_vec_fini(&numbers);
	assert_int_equal(numbers.n_items, 0);
}

static void str_escapes_what_could_forge_a_line(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"plain-name_1.x/y", "plain-name_1.x/y"},
		{"a\nb", "a\\x0ab"},
		{"\033[31mred", "\\x1b[31mred"},
		{"back\\slash", "back\\\\slash"},
		{"bad\xff\xfeutf", "bad\\xff\\xfeutf"},
		{"\xe2\x80\xae"
		 "bidi",
		 "\\xe2\\x80\\xaebidi"},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
		{"overlong\xc0\xaf", "overlong\\xc0\\xaf"},
		{"cut\xe2\x82", "cut\\xe2\\x82"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_str str = {0};

		ms_str_add_safe(&str, rows[i].in);
		assert_string_equal(str.text, rows[i].out);
		ms_str_fini(&str);
	}
}

static void diag_prints_place_line_and_hint(void **state)
{
	(void)state;
	const struct ms_origin late = {"b.yaml", 2, 1, 1}, early = {"a.yaml", 7, 3, 4};
	struct ms_diags diags;
	struct ms_str out = {0};

	assert_int_equal(ms_diags_init(&diags), 0);
	ms_diags_add(&diags, MS_WARNING, "later", &late, NULL, NULL, "second");
	ms_diags_add(&diags, MS_ERROR, "unknown-key", &early, "  prot: 1", "did you mean 'port'?",
		     "unknown key '%s'", "prot");
	ms_diags_print(&diags, &out, false);
	assert_string_equal(out.text, "a.yaml:7:3: error: unknown key 'prot' [unknown-key]\n"
				      "    7 |   prot: 1\n"
				      "      |   ^~~~ did you mean 'port'?\n"
				      "b.yaml:2:1: warning: second [later]\n");
	assert_int_equal(diags.n_errors, 1);
	assert_int_equal(diags.n_warnings, 1);
	ms_str_fini(&out);
	ms_diags_fini(&diags);
}

static void diag_escapes_the_source_line_and_marks_the_same_place(void **state)
{
	static const struct {
		const char *line, *printed;
		uint32_t column, width;
	} rows[] = {
		{"key: value", "key: value\n      |      ^~~~~", 6, 5},
		{"\tkey: v", "\tkey: v\n      | \t     ^", 7, 1},
		/* a right-to-left override would turn the rest of the line round */
		{"a\xe2\x80\xae: b", "a\\xe2\\x80\\xae: b\n      |                ^", 5, 1},
		{"a\xe2\x80\xae: b", "a\\xe2\\x80\\xae: b\n      |  ^~~~~~~~~~~~", 2, 1},
		{"\033[31m x", "\\x1b[31m x\n      |          ^", 7, 1},
		{"b\\s x", "b\\s x\n      |     ^", 5, 1},
		{"gr\xc3\xbc\xc3\x9f x", "gr\xc3\xbc\xc3\x9f x\n      |      ^", 6, 1},
		{"\xff x", "\\xff x\n      |      ^", 3, 1},
		{"key:", "key:\n      |     ^", 5, 1},
		{"key:", "key:\n      |     ^", 9, 3},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_origin at = {"a", 1, rows[i].column, rows[i].width};
		struct ms_str out = {0}, expected = {0};
		struct ms_diags diags;

		assert_int_equal(ms_diags_init(&diags), 0);
		ms_diags_add(&diags, MS_ERROR, "x", &at, rows[i].line, NULL, "m");
		ms_diags_print(&diags, &out, false);
		ms_str_addf(&expected, "a:1:%u: error: m [x]\n    1 | %s\n", at.column,
			    rows[i].printed);
		assert_string_equal(out.text, expected.text);
		ms_str_fini(&out);
		ms_str_fini(&expected);
		ms_diags_fini(&diags);
	}
}

static void suggests_only_near_words(void **state)
{
	static const char *const words[] = {"env", "ports", "service", "allow"};
	(void)state;
	assert_string_equal(ms_nearest_word("port", words, 4), "ports");
	assert_string_equal(ms_nearest_word("sevrice", words, 4), "service");
	assert_string_equal(ms_nearest_word("evn", words, 4), "env");
	assert_null(ms_nearest_word("banana", words, 4));
	assert_null(ms_nearest_word("xyz", words, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena_memory_is_zeroed_aligned_and_stays),
		cmocka_unit_test(a_large_arena_keeps_these_promises),
		cmocka_unit_test(vec_keeps_order_while_growing),
		cmocka_unit_test(str_escapes_what_could_forge_a_line),
		cmocka_unit_test(diag_prints_place_line_and_hint),
		cmocka_unit_test(diag_escapes_the_source_line_and_marks_the_same_place),
		cmocka_unit_test(suggests_only_near_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
