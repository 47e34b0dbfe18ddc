/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plan: the changes that turn one installed ruleset into another, in an order the kernel accepts.
 *
 * Sets and maps change by element, chains as a whole: one rule that differs has its chain flushed
 * and filled again. What was declared of a set (its type, its size) or of a base chain can't be
 * changed in place, so it is deleted and added anew, and the chains that use the set are filled
 * again in the same transaction.
 *
 * An element with an end may be gone before we delete it, which the kernel would refuse: a set that
 * loses such an element is flushed and filled again. Ends are absolute, so nobody's time is changed
 * by that.
 *
 * The kernel deletes nothing that is in use, and takes references only to what is there. Hence,
 * table by table: new chains, flushed chains, elements out, sets out, chains out, sets in, elements
 * in, rules in.
 */
#include "microseg/ruleset.h"

#include <errno.h>
#include <string.h>

#include "build.h"

struct planner {
	struct ms_plan *plan;
	const struct ms_table *from;
	const struct ms_table *to;
	bool sets_lost; /* a set of @from goes or is rebuilt: rarely, and only then rules must be
			   asked for theirs */
};

static int add_change(struct planner *p, struct ms_change change)
{
	return ms_avec_push(p->plan->arena, &p->plan->changes, change);
}

/* What differs. */

static bool set_must_be_rebuilt(const struct ms_set *from, const struct ms_set *to)
{
	return from->map != to->map || from->interval != to->interval ||
	       from->counts != to->counts || from->size != to->size || from->timed != to->timed ||
	       from->dynamic != to->dynamic || from->count_over != to->count_over ||
	       from->n_fields != to->n_fields ||
	       memcmp(from->fields, to->fields, from->n_fields * sizeof(*from->fields)) != 0;
}

static bool set_survives(const struct planner *p, const char *name)
{
	const struct ms_set *from = ms_table_set(p->from, name), *to = ms_table_set(p->to, name);

	return from && to && !set_must_be_rebuilt(from, to);
}

static bool chain_survives(const struct planner *p, const char *name)
{
	const struct ms_chain *from = ms_table_chain(p->from, name),
			      *to = ms_table_chain(p->to, name);

	return from && to && from->hook == to->hook && from->priority == to->priority;
}

static bool loses_sets(const struct planner *p)
{
	ms_vec_each (struct ms_set *, set, &p->from->sets)
		if (!set_survives(p, (*set)->name))
			return true;
	return false;
}

static bool uses_lost_set(const struct planner *p, const struct ms_chain *chain)
{
	if (!p->sets_lost)
		return false;
	ms_vec_each (struct ms_rule, rule, &chain->rules) {
		ms_vec_each (struct ms_match_expr, match, &rule->matches)
			if (match->kind == MS_MATCH_SET && !set_survives(p, match->set))
				return true;
		ms_vec_each (struct ms_stmt, stmt, &rule->stmts)
			if (stmt->map && !set_survives(p, stmt->map))
				return true;
	}
	return false;
}

/* Does @to keep the rules that the chain of its name has? */
static bool chain_keeps_rules(const struct planner *p, const struct ms_chain *to)
{
	const struct ms_chain *from = ms_table_chain(p->from, to->name);

	if (!chain_survives(p, to->name) || from->rules.n_items != to->rules.n_items ||
	    uses_lost_set(p, to))
		return false;
	for (size_t i = 0; i < to->rules.n_items; i++)
		if (!ms_rules_equal(&from->rules.items[i], &to->rules.items[i]))
			return false;
	return true;
}

/* Elements. */

static bool elem_changed(const struct ms_elem *a, const struct ms_elem *b)
{
	return a->until != b->until || !ms_verdicts_equal(&a->verdict, &b->verdict) ||
	       !ms_texts_equal(a->comment, b->comment);
}

typedef MS_VEC(struct ms_elem) elem_vec;

/* Adds to @gone what @from has and @to has not, or has otherwise. Both are sorted. */
static int elems_missing(struct ms_arena *arena, const struct ms_set *from, const struct ms_set *to,
			 elem_vec *gone)
{
	size_t at = 0;

	ms_vec_each (struct ms_elem, elem, &from->elems) {
		int r = 1;

		while (at < to->elems.n_items &&
		       (r = ms_elems_compare(elem, &to->elems.items[at])) > 0)
			at++;
		if (at < to->elems.n_items && r == 0 && !elem_changed(elem, &to->elems.items[at]))
			continue;
		r = ms_avec_push(arena, gone, *elem);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Does @from have an element with an end that @to has not? */
static bool loses_timed(const struct ms_set *from, const struct ms_set *to)
{
	size_t at = 0;

	ms_vec_each (struct ms_elem, elem, &from->elems) {
		int r = 1;

		while (at < to->elems.n_items &&
		       (r = ms_elems_compare(elem, &to->elems.items[at])) > 0)
			at++;
		bool kept = at < to->elems.n_items && r == 0 &&
			    !elem_changed(elem, &to->elems.items[at]);
		if (elem->until && !kept)
			return true;
	}
	return false;
}

static struct ms_change flush_of(const struct ms_table *table, const struct ms_set *set)
{
	return (struct ms_change){
		.kind = MS_FLUSH_SET,
		.table = table,
		.set = set,
		.elems = set->elems.items,
		.n_elems = set->elems.n_items,
	};
}

static bool is_flushed(const struct planner *p, const struct ms_set *from)
{
	return from->timed && loses_timed(from, ms_table_set(p->to, from->name));
}

/* The change of @set (the side that the elements come from) towards @other. */
static int change_elems(struct planner *p, enum ms_change_kind kind, const struct ms_table *table,
			const struct ms_set *set, const struct ms_set *other)
{
	elem_vec elems = {0};
	int r = elems_missing(p->plan->arena, set, other, &elems);

	if (r < 0 || elems.n_items == 0)
		return r;
	return add_change(p, (struct ms_change){
				     .kind = kind,
				     .table = table,
				     .set = set,
				     .elems = elems.items,
				     .n_elems = elems.n_items,
			     });
}

/* The steps of a table that is in both rulesets. */

static int add_new_chains(struct planner *p)
{
	ms_vec_each (struct ms_chain *, chain, &p->to->chains) {
		if (ms_table_chain(p->from, (*chain)->name))
			continue;
		int r = add_change(
			p, (struct ms_change){MS_ADD_CHAIN, .table = p->to, .chain = *chain});
		if (r < 0)
			return r;
	}
	return 0;
}

static int flush_chains(struct planner *p)
{
	ms_vec_each (struct ms_chain *, chain, &p->from->chains) {
		const struct ms_chain *to = ms_table_chain(p->to, (*chain)->name);

		if ((*chain)->rules.n_items == 0 || (to && chain_keeps_rules(p, to)))
			continue;
		int r = add_change(
			p, (struct ms_change){MS_FLUSH_CHAIN, .table = p->from, .chain = *chain});
		if (r < 0)
			return r;
	}
	return 0;
}

static int delete_elems(struct planner *p)
{
	ms_vec_each (struct ms_set *, set, &p->from->sets) {
		if (!set_survives(p, (*set)->name))
			continue;
		int r = is_flushed(p, *set) ? add_change(p, flush_of(p->from, *set))
					    : change_elems(p, MS_DEL_ELEMS, p->from, *set,
							   ms_table_set(p->to, (*set)->name));
		if (r < 0)
			return r;
	}
	return 0;
}

static int delete_sets(struct planner *p)
{
	ms_vec_each (struct ms_set *, set, &p->from->sets) {
		if (set_survives(p, (*set)->name))
			continue;
		int r = add_change(p,
				   (struct ms_change){MS_DEL_SET, .table = p->from, .set = *set});
		if (r < 0)
			return r;
	}
	return 0;
}

static int delete_chains(struct planner *p)
{
	ms_vec_each (struct ms_chain *, chain, &p->from->chains) {
		if (chain_survives(p, (*chain)->name))
			continue;
		int r = add_change(
			p, (struct ms_change){MS_DEL_CHAIN, .table = p->from, .chain = *chain});
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_rebuilt_chains(struct planner *p)
{
	ms_vec_each (struct ms_chain *, chain, &p->to->chains) {
		if (!ms_table_chain(p->from, (*chain)->name) || chain_survives(p, (*chain)->name))
			continue;
		int r = add_change(
			p, (struct ms_change){MS_ADD_CHAIN, .table = p->to, .chain = *chain});
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_sets(struct planner *p)
{
	ms_vec_each (struct ms_set *, set, &p->to->sets) {
		if (set_survives(p, (*set)->name))
			continue;
		int r = add_change(p, (struct ms_change){MS_ADD_SET, .table = p->to, .set = *set});
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_elems(struct planner *p)
{
	static const struct ms_set empty = {0};

	ms_vec_each (struct ms_set *, set, &p->to->sets) {
		const struct ms_set *from = set_survives(p, (*set)->name)
						    ? ms_table_set(p->from, (*set)->name)
						    : &empty;
		if (from != &empty && is_flushed(p, from))
			from = &empty;
		int r = change_elems(p, MS_ADD_ELEMS, p->to, *set, from);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_rules(struct planner *p)
{
	ms_vec_each (struct ms_chain *, chain, &p->to->chains) {
		if ((*chain)->rules.n_items == 0 || chain_keeps_rules(p, *chain))
			continue;
		int r = add_change(
			p, (struct ms_change){MS_ADD_RULES, .table = p->to, .chain = *chain});
		if (r < 0)
			return r;
	}
	return 0;
}

static int plan_table(struct planner *p)
{
	static int (*const steps[])(struct planner * p) = {
		add_new_chains, flush_chains,	    delete_elems, delete_sets, delete_chains,
		add_sets,	add_rebuilt_chains, add_elems,	  add_rules,
	};

	p->sets_lost = loses_sets(p);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		int r = steps[i](p);
		if (r < 0)
			return r;
	}
	return 0;
}

static const struct ms_table *find_table(const struct ms_ruleset *ruleset,
					 const struct ms_table *like)
{
	if (ruleset)
		ms_vec_each (struct ms_table *, table, &ruleset->tables)
			if ((*table)->family == like->family &&
			    strcmp((*table)->name, like->name) == 0)
				return *table;
	return NULL;
}

static int delete_tables(struct ms_plan *plan, const struct ms_ruleset *from,
			 const struct ms_ruleset *to)
{
	ms_vec_each (struct ms_table *, table, &from->tables) {
		if (find_table(to, *table))
			continue;
		int r = ms_avec_push(plan->arena, &plan->changes,
				     (struct ms_change){MS_DEL_TABLE, .table = *table});
		if (r < 0)
			return r;
	}
	return 0;
}

static int plan_tables(struct ms_plan *plan, const struct ms_ruleset *from,
		       const struct ms_ruleset *to)
{
	static const struct ms_table empty = {0};

	ms_vec_each (struct ms_table *, table, &to->tables) {
		struct planner p = {.plan = plan, .from = find_table(from, *table), .to = *table};
		int r = 0;

		if (!p.from) {
			p.from = &empty;
			r = add_change(&p, (struct ms_change){MS_ADD_TABLE, .table = *table});
		}
		if (r == 0)
			r = plan_table(&p);
		if (r < 0)
			return r;
	}
	return 0;
}

int ms_plan_make(const struct ms_ruleset *from, const struct ms_ruleset *to,
		 struct ms_plan *ret_plan)
{
	struct ms_plan plan = {.arena = ms_arena_new()};
	int r = plan.arena ? 0 : -ENOMEM;

	if (r == 0 && from)
		r = delete_tables(&plan, from, to);
	if (r == 0 && to)
		r = plan_tables(&plan, from, to);
	if (r < 0) {
		ms_arena_free(plan.arena);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

static int retime_set(struct ms_plan *plan, const struct ms_table *table, const struct ms_set *set)
{
	struct ms_change change = flush_of(table, set);
	int r = ms_avec_push(plan->arena, &plan->changes, change);

	change.kind = MS_ADD_ELEMS;
	return r < 0 ? r : ms_avec_push(plan->arena, &plan->changes, change);
}

int ms_plan_retime(const struct ms_ruleset *installed, struct ms_plan *ret_plan)
{
	struct ms_plan plan = {.arena = ms_arena_new()};
	int r = plan.arena ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < installed->tables.n_items; i++)
		ms_vec_each (struct ms_set *, set, &installed->tables.items[i]->sets)
			if (r == 0 && (*set)->timed && (*set)->elems.n_items > 0)
				r = retime_set(&plan, installed->tables.items[i], *set);
	if (r < 0) {
		ms_arena_free(plan.arena);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

void ms_plan_fini(struct ms_plan *plan)
{
	ms_arena_free(plan->arena);
	*plan = (struct ms_plan){0};
}

void ms_plan_count(const struct ms_plan *plan, size_t *ret_elems, size_t *ret_others)
{
	*ret_elems = 0;
	*ret_others = 0;
	ms_vec_each (struct ms_change, change, &plan->changes) {
		if (change->kind == MS_ADD_ELEMS || change->kind == MS_DEL_ELEMS)
			*ret_elems += change->n_elems;
		else
			(*ret_others)++;
	}
}
