/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN alignof(max_align_t)
#define ARENA_BLOCK_SIZE ((size_t)64 * 1024)

struct block {
	struct block *next;
	size_t used;
	size_t size;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct ms_arena {
	struct block *head; /* the block being filled; full ones hang behind it */
	size_t total;
};

struct ms_arena *ms_arena_new(void)
{
	return calloc(1, sizeof(struct ms_arena));
}

struct ms_arena *ms_arena_free(struct ms_arena *arena)
{
	if (!arena)
		return NULL;
	for (struct block *b = arena->head, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(arena);
	return NULL;
}

static struct block *block_new(size_t need)
{
	size_t size = need > ARENA_BLOCK_SIZE ? need : ARENA_BLOCK_SIZE;

	if (size > SIZE_MAX - sizeof(struct block))
		return NULL;
	struct block *b = calloc(1, sizeof(*b) + size);
	if (b)
		b->size = size;
	return b;
}

void *ms_arena_alloc(struct ms_arena *arena, size_t size)
{
	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);

	if (!arena->head || arena->head->size - arena->head->used < size) {
		struct block *b = block_new(size);
		if (!b)
			return NULL;
		b->next = arena->head;
		arena->head = b;
	}
	void *p = arena->head->bytes + arena->head->used;
	arena->head->used += size;
	arena->total += size;
	return p;
}

char *ms_arena_strndup(struct ms_arena *arena, const char *text, size_t len)
{
	char *copy = ms_arena_alloc(arena, len + 1);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

char *ms_arena_strdup(struct ms_arena *arena, const char *text)
{
	return text ? ms_arena_strndup(arena, text, strlen(text)) : NULL;
}

char *ms_arena_printf(struct ms_arena *arena, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		return NULL;

	char *text = ms_arena_alloc(arena, (size_t)len + 1);
	if (!text)
		return NULL;
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}

size_t ms_arena_size(const struct ms_arena *arena)
{
	return arena->total;
}
