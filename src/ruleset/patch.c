/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Patch: carries out on a ruleset what a plan of elements does to the kernel, so that the two stay
 * equal without compiling and comparing everything.
 */
#include "microseg/ruleset.h"

#include <errno.h>
#include <string.h>

#include "build.h"

/* Where @elem is in @set, or would stand. Returns whether it is there. */
static bool find_elem(const struct ms_set *set, const struct ms_elem *elem, size_t *ret_at)
{
	size_t low = 0, high = set->elems.n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = ms_elems_compare(&set->elems.items[middle], elem);

		if (r == 0) {
			*ret_at = middle;
			return true;
		}
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_at = low;
	return false;
}

static int delete_elem(struct ms_set *set, const struct ms_elem *elem)
{
	size_t at;

	if (!find_elem(set, elem, &at))
		return -ENOENT;
	set->elems.n_items--;
	memmove(set->elems.items + at, set->elems.items + at + 1,
		(set->elems.n_items - at) * sizeof(*set->elems.items));
	return 0;
}

static int add_elem(struct ms_ruleset *ruleset, struct ms_set *set, const struct ms_elem *elem)
{
	size_t at;

	if (find_elem(set, elem, &at))
		return -EEXIST;
	int r = ms_vec_push(&set->elems, *elem);
	if (r < 0)
		return r;
	memmove(set->elems.items + at + 1, set->elems.items + at,
		(set->elems.n_items - 1 - at) * sizeof(*set->elems.items));
	struct ms_elem *own = &set->elems.items[at];
	*own = *elem;
	own->comment = ms_build_text(ruleset, elem->comment);
	own->verdict.chain = ms_build_text(ruleset, elem->verdict.chain);
	own->origin.file = ms_build_text(ruleset, elem->origin.file);
	return ruleset->failed ? -ENOMEM : 0;
}

static struct ms_set *own_set(struct ms_ruleset *ruleset, const struct ms_set *wanted)
{
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		ms_vec_each (struct ms_set *, set, &(*table)->sets)
			if (*set == wanted)
				return *set;
	return NULL;
}

int ms_plan_patch(const struct ms_plan *plan, struct ms_ruleset *ruleset)
{
	ms_vec_each (struct ms_change, change, &plan->changes) {
		struct ms_set *set = own_set(ruleset, change->set);
		int r = set ? 0 : -ENOENT;

		for (size_t i = 0; r == 0 && i < change->n_elems; i++)
			r = change->kind == MS_DEL_ELEMS
				    ? delete_elem(set, &change->elems[i])
				    : add_elem(ruleset, set, &change->elems[i]);
		if (r < 0)
			return r;
	}
	return 0;
}
