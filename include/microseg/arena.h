/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Arena: memory that is freed as a whole.
 *
 * A policy, an inventory and a ruleset each own one arena and everything they point to lives in it.
 * Nothing in an arena is freed on its own, so pointers into it stay valid until ms_arena_free().
 */
#pragma once

#include <stddef.h>

struct ms_arena;

/** Returns a new empty arena, or NULL when memory is exhausted. */
struct ms_arena *ms_arena_new(void);

/** Frees @arena and all that was allocated from it. NULL is fine. Returns NULL. */
struct ms_arena *ms_arena_free(struct ms_arena *arena);

/** Returns @size zeroed bytes aligned for any type, owned by @arena, or NULL when memory is
 * exhausted. */
void *ms_arena_alloc(struct ms_arena *arena, size_t size);

/** Returns a copy of the @len bytes at @text with a NUL behind them, or NULL when memory is
 * exhausted. */
char *ms_arena_strndup(struct ms_arena *arena, const char *text, size_t len);

/** Returns a copy of @text, or NULL when @text is NULL or memory is exhausted. */
char *ms_arena_strdup(struct ms_arena *arena, const char *text);

/** Returns the formatted text, or NULL when memory is exhausted. */
char *ms_arena_printf(struct ms_arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/** Returns the number of bytes handed out so far, padding included. */
size_t ms_arena_size(const struct ms_arena *arena);
