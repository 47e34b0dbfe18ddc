/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_ALIGN alignof(max_align_t)
#define ARENA_BLOCK_SIZE ((size_t)64 * 1024)

/* What grows large is taken in pieces that the kernel can give as one page: filling it by small
 * pages took a third of the time of loading a large policy. */
#define LARGE_ARENA ((size_t)512 * 1024)
#define LARGE_BLOCK_SIZE ((size_t)2 * 1024 * 1024)

struct block {
	struct block *next;
	void *mapping; /* of a large block; NULL: it is on the heap */
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

static void block_free(struct block *b)
{
	if (b->mapping)
		munmap(b->mapping, 2 * LARGE_BLOCK_SIZE);
	else
		free(b);
}

struct ms_arena *ms_arena_free(struct ms_arena *arena)
{
	if (!arena)
		return NULL;
	for (struct block *b = arena->head, *next; b; b = next) {
		next = b->next;
		block_free(b);
	}
	free(arena);
	return NULL;
}

/* Twice as much address space as is used, so that an aligned piece lies in it. */
static struct block *large_block_new(void)
{
	unsigned char *mapping = mmap(NULL, 2 * LARGE_BLOCK_SIZE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mapping == MAP_FAILED)
		return NULL;
	size_t past = (uintptr_t)mapping % LARGE_BLOCK_SIZE;
	struct block *b = (void *)(mapping + (past ? LARGE_BLOCK_SIZE - past : 0));

	(void)madvise(b, LARGE_BLOCK_SIZE, MADV_HUGEPAGE); /* a wish: kernels without it refuse */
	b->mapping = mapping;
	b->size = LARGE_BLOCK_SIZE - sizeof(*b);
	return b;
}

static struct block *block_new(const struct ms_arena *arena, size_t need)
{
	size_t size = arena->total > ARENA_BLOCK_SIZE ? arena->total : ARENA_BLOCK_SIZE;

	if (need > size)
		size = need;
	if (size > SIZE_MAX - sizeof(struct block))
		return NULL;
	if (arena->total >= LARGE_ARENA && need <= LARGE_BLOCK_SIZE / 4)
		return large_block_new();
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
		struct block *b = block_new(arena, size);
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
