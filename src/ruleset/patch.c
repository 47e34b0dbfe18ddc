/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Patch: carries out on a ruleset what a plan of elements does to the kernel, so that the two stay
 * equal without compiling and comparing everything.
 *
 * Elements stand in sorted lists, which are long: to put one in means to move half of them. So what
 * comes and goes is kept beside a list until somebody needs it whole, and merged into it then.
 */
#include "microseg/ruleset.h"

#include <errno.h>
#include <string.h>

#include "build.h"

#define MAX_BESIDE 512 /* elements beside a list, before they are merged into it */

/* A list of elements, sorted. */
typedef __typeof__(((struct ms_set *)NULL)->elems) elem_list;

/* Where @elem is in @list, or would stand. Returns whether it is there. */
static bool find_elem(const struct ms_elem *list, size_t n_list, const struct ms_elem *elem,
		      size_t *ret_at)
{
	size_t low = 0, high = n_list;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = ms_elems_compare(&list[middle], elem);

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

#define find_in(vec, elem, ret_at) find_elem((vec)->items, (vec)->n_items, elem, ret_at)

static void remove_at(struct ms_elem *list, size_t n_list, size_t at)
{
	memmove(list + at, list + at + 1, (n_list - 1 - at) * sizeof(*list));
}

/* @list has room for one more. */
static void insert_at(struct ms_elem *list, size_t n_list, size_t at, const struct ms_elem *elem)
{
	memmove(list + at + 1, list + at, (n_list - at) * sizeof(*list));
	list[at] = *elem;
}

#define insert_in(vec, at, elem)                                                                   \
	({                                                                                         \
		int put_ = ms_vec_push(vec, *(elem));                                              \
		if (put_ == 0)                                                                     \
			insert_at((vec)->items, (vec)->n_items - 1, at, elem);                     \
		put_;                                                                              \
	})

static int delete_elem(struct ms_set *set, const struct ms_elem *elem)
{
	size_t at, gone_at;

	if (find_in(&set->come, elem, &at)) {
		remove_at(set->come.items, set->come.n_items--, at);
		return 0;
	}
	if (!find_in(&set->elems, elem, &at) || find_in(&set->gone, elem, &gone_at))
		return -ENOENT;
	return insert_in(&set->gone, gone_at, &set->elems.items[at]);
}

/* Room for what came, so that settling needs none. */
static int reserve_one(struct ms_set *set)
{
	return ms_vec_grow(NULL, (void **)&set->elems.items, &set->elems.n_room,
			   set->elems.n_items + set->come.n_items, sizeof(*set->elems.items));
}

static int add_elem(struct ms_ruleset *ruleset, struct ms_set *set, const struct ms_elem *elem)
{
	struct ms_elem own = *elem;
	size_t at, elsewhere;

	if (find_in(&set->come, elem, &at) ||
	    (find_in(&set->elems, elem, &elsewhere) && !find_in(&set->gone, elem, &elsewhere)))
		return -EEXIST;
	own.comment = ms_build_text(ruleset, elem->comment);
	own.verdict.chain = ms_build_text(ruleset, elem->verdict.chain);
	own.origin.file = ms_build_text(ruleset, elem->origin.file);
	if (ruleset->failed || reserve_one(set) < 0)
		return -ENOMEM;
	return insert_in(&set->come, at, &own);
}

static void take_out(elem_list *elems, const struct ms_elem *gone, size_t n_gone)
{
	size_t n = 0, next = 0;

	for (size_t i = 0; n_gone > 0 && i < elems->n_items; i++)
		if (next < n_gone && ms_elems_compare(&elems->items[i], &gone[next]) == 0)
			next++;
		else
			elems->items[n++] = elems->items[i];
	elems->n_items -= next;
}

/* From the end, where the room is. */
static void put_in(elem_list *elems, const struct ms_elem *come, size_t n_come)
{
	size_t left = elems->n_items, to = left + n_come;

	elems->n_items = to;
	while (n_come > 0)
		if (left > 0 && ms_elems_compare(&elems->items[left - 1], &come[n_come - 1]) > 0)
			elems->items[--to] = elems->items[--left];
		else
			elems->items[--to] = come[--n_come];
}

static void settle(struct ms_set *set)
{
	take_out(&set->elems, set->gone.items, set->gone.n_items);
	put_in(&set->elems, set->come.items, set->come.n_items);
	set->gone.n_items = set->come.n_items = 0;
}

void ms_ruleset_settle(struct ms_ruleset *ruleset)
{
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		ms_vec_each (struct ms_set *, set, &(*table)->sets)
			settle(*set);
}

size_t ms_set_n_elems(const struct ms_set *set)
{
	return set->elems.n_items - set->gone.n_items + set->come.n_items;
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
		if (set->gone.n_items + set->come.n_items > MAX_BESIDE)
			settle(set);
	}
	return 0;
}
