/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vec: a growing array of one type.
 *
 *	MS_VEC(struct ms_addr) addrs = {0};
 *	r = ms_vec_push(&addrs, addr);          heap: ms_vec_fini() when done
 *	r = ms_avec_push(arena, &addrs, addr);  arena: freed with the arena
 *
 * One vec lives either on the heap or in an arena, never both. Items move when it grows: keep
 *indexes, not pointers, while still pushing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "microseg/arena.h"

#define MS_VEC(type)                                                                               \
	struct {                                                                                   \
		type *items;                                                                       \
		size_t n_items;                                                                    \
		size_t n_room;                                                                     \
	}

/** Makes room for one more item of @item_size bytes. Returns 0 or -ENOMEM. @arena NULL means the
 * heap. */
int ms_vec_grow(struct ms_arena *arena, void **items, size_t *n_room, size_t n_items,
		size_t item_size);

/** Makes room for @n more items at once, and no more than that. Returns 0 or -ENOMEM. */
int ms_vec_reserve(struct ms_arena *arena, void **items, size_t *n_room, size_t n_items, size_t n,
		   size_t item_size);

#define ms_avec_reserve(arena, vec, n)                                                             \
	({                                                                                         \
		__typeof__(vec) reserve_ = (vec);                                                  \
		ms_vec_reserve(arena, (void **)&reserve_->items, &reserve_->n_room,                \
			       reserve_->n_items, n, sizeof(*reserve_->items));                    \
	})

/** Appends @value. Evaluates to 0 or -ENOMEM. */
#define ms_vec_push(vec, ...) ms_avec_push(NULL, vec, __VA_ARGS__)

#define ms_avec_push(arena, vec, ...)                                                              \
	({                                                                                         \
		__typeof__(vec) vec_ = (vec);                                                      \
		int r_ = ms_vec_grow(arena, (void **)&vec_->items, &vec_->n_room, vec_->n_items,   \
				     sizeof(*vec_->items));                                        \
		if (r_ == 0)                                                                       \
			vec_->items[vec_->n_items++] = (__VA_ARGS__);                              \
		r_;                                                                                \
	})

/** Frees a heap vec and leaves it empty. */
#define ms_vec_fini(vec)                                                                           \
	do {                                                                                       \
		__typeof__(vec) fini_ = (vec);                                                     \
		free(fini_->items);                                                                \
		fini_->items = NULL;                                                               \
		fini_->n_items = fini_->n_room = 0;                                                \
	} while (0)

/** Sorts by @compare, a function as for qsort(3). */
#define ms_vec_sort(vec, compare)                                                                  \
	do {                                                                                       \
		__typeof__(vec) sort_ = (vec);                                                     \
		if (sort_->n_items > 1)                                                            \
			qsort(sort_->items, sort_->n_items, sizeof(*sort_->items), compare);       \
	} while (0)

/** for (type *item in vec): ms_vec_each(struct ms_addr, addr, &addrs) { … } */
#define ms_vec_each(type, item, vec)                                                               \
	for (type *item = (vec)->items; item && item < (vec)->items + (vec)->n_items; item++)
