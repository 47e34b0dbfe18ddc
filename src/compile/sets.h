/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files about sets share: sets.c declares and finds them, sets_fill.c fills them. */
#pragma once

#include "compiler.h"

/* NULL when nothing declared it. */
struct ms_set *sets_find(struct compiler *c, struct ms_table *table, const char *name);
/* "@name/4" or "@name/6". */
struct ms_set *sets_find_family(struct compiler *c, struct ms_table *table, const char *name,
				const struct family *family);
/* An element whose first field is this. */
struct ms_elem *sets_add_text(struct compiler *c, struct ms_set *set, const char *interface);
struct ms_elem *sets_add_addr(struct compiler *c, struct ms_set *set, const struct ms_addr *addr);
/* Adds @addr to the set "@name/4" or "@name/6", if there is one. */
void sets_add_member(struct compiler *c, struct ms_table *table, const char *name,
		     const struct ms_addr *addr);
