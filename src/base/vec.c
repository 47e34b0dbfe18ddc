/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/vec.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int ms_vec_grow(struct ms_arena *arena, void **items, size_t *n_room, size_t n_items,
		size_t item_size)
{
	if (n_items < *n_room)
		return 0;

	size_t room = *n_room ? *n_room * 2 : 4;
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
