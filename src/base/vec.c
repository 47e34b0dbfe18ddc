/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/vec.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define LARGE_ITEM                                                                                 \
	16 /* bytes: most lists of larger things have one, and an arena takes nothing back */

static int set_room(struct ms_arena *arena, void **items, size_t *n_room, size_t n_items,
		    size_t room, size_t item_size)
{
	if (room > SIZE_MAX / 2 / item_size)
		return -ENOMEM;

	void *grown;
	if (arena) {
		grown = ms_arena_alloc(arena, room * item_size);
		if (grown && n_items)
			memcpy(grown, *items, n_items * item_size);
	} else {
		grown = realloc(*items, room * item_size);
	}
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*n_room = room;
	return 0;
}

int ms_vec_grow(struct ms_arena *arena, void **items, size_t *n_room, size_t n_items,
		size_t item_size)
{
	size_t least = item_size > LARGE_ITEM ? 1 : 4;

	if (n_items < *n_room)
		return 0;
	return set_room(arena, items, n_room, n_items, *n_room ? *n_room * 2 : least, item_size);
}

int ms_vec_reserve(struct ms_arena *arena, void **items, size_t *n_room, size_t n_items, size_t n,
		   size_t item_size)
{
	if (n > SIZE_MAX - n_items)
		return -ENOMEM;
	if (n_items + n <= *n_room)
		return 0;
	return set_room(arena, items, n_room, n_items, n_items + n, item_size);
}
