/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diff_ruleset.h"

#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/policy.h"

struct differ {
	struct ms_arena *arena;
	const struct ms_ruleset *from, *to;
	ruleset_changes *changes;
	bool failed;
};

static void add(struct differ *d, struct ruleset_change change)
{
	if (ms_avec_push(d->arena, d->changes, change) < 0)
		d->failed = true;
}

/* Takes over @text. */
static const char *keep(struct differ *d, struct ms_str *text)
{
	const char *copy = text->failed ? NULL : ms_arena_strdup(d->arena, text->text ? text->text : "");

	ms_str_fini(text);
	if (!copy)
		d->failed = true;
	return copy;
}

static void add_elems(struct differ *d, const struct ms_change *change)
{
	for (size_t i = 0; i < change->n_elems; i++) {
		struct ms_str text = {0};

		ms_elem_print(change->set, &change->elems[i], &text);
		add(d, (struct ruleset_change){change->kind == MS_ADD_ELEMS, "element",
					       ms_family_name(change->table->family), change->set->name, keep(d, &text)});
	}
}

static int compare_texts(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static void list_rules(struct differ *d, enum ms_family family, const struct ms_chain *chain, ms_text_vec *rules)
{
	if (!chain)
		return;
	ms_vec_each(const struct ms_rule, rule, &chain->rules) {
		struct ms_str text = {0};

		ms_rule_print(family, rule, &text);
		const char *copy = keep(d, &text);
		if (copy && ms_avec_push(d->arena, rules, copy) < 0)
			d->failed = true;
	}
	ms_vec_sort(rules, compare_texts);
}

/* A chain is filled anew as a whole; what differs of its rules is said, the order is not. */
static void add_rules(struct differ *d, const struct ms_table *table, const struct ms_chain *before,
		      const struct ms_chain *after)
{
	const char *family = ms_family_name(table->family), *name = before ? before->name : after->name;
	ms_text_vec old = {0}, new = {0};
	size_t i = 0, j = 0;

	list_rules(d, table->family, before, &old);
	list_rules(d, table->family, after, &new);
	while (i < old.n_items || j < new.n_items) {
		int order = i == old.n_items ? 1 : j == new.n_items ? -1 : strcmp(old.items[i], new.items[j]);

		if (order < 0)
			add(d, (struct ruleset_change){false, "rule", family, name, old.items[i]});
		if (order > 0)
			add(d, (struct ruleset_change){true, "rule", family, name, new.items[j]});
		i += order <= 0;
		j += order >= 0;
	}
}

static const struct ms_chain *find_chain(const struct ms_ruleset *ruleset, const struct ms_change *change)
{
	const struct ms_table *table = ruleset ? ms_ruleset_table(ruleset, change->table->family) : NULL;

	return table ? ms_table_chain(table, change->chain->name) : NULL;
}

/* Rules that others take the place of are said together with those. */
static void add_flush(struct differ *d, const struct ms_change *change)
{
	const struct ms_chain *after = find_chain(d->to, change);

	if (!after || after->rules.n_items == 0)
		add_rules(d, change->table, change->chain, NULL);
}

static void add_change(struct differ *d, const struct ms_change *change)
{
	const char *family = ms_family_name(change->table->family);
	const char *set = change->set && change->set->map ? "map" : "set";

	switch (change->kind) {
	case MS_DEL_TABLE:
	case MS_ADD_TABLE:
		add(d, (struct ruleset_change){change->kind == MS_ADD_TABLE, "table", family, change->table->name, NULL});
		return;
	case MS_ADD_SET:
	case MS_DEL_SET:
		add(d, (struct ruleset_change){change->kind == MS_ADD_SET, set, family, change->set->name, NULL});
		return;
	case MS_ADD_CHAIN:
	case MS_DEL_CHAIN:
		add(d, (struct ruleset_change){change->kind == MS_ADD_CHAIN, "chain", family, change->chain->name, NULL});
		return;
	case MS_ADD_RULES:
		add_rules(d, change->table, find_chain(d->from, change), change->chain);
		return;
	case MS_FLUSH_CHAIN:
		add_flush(d, change);
		return;
	case MS_ADD_ELEMS:
	case MS_DEL_ELEMS:
		add_elems(d, change);
		return;
	}
}

int ruleset_diff(struct ms_arena *arena, const struct ms_ruleset *from, const struct ms_ruleset *to,
		 ruleset_changes *changes)
{
	struct differ d = {.arena = arena, .from = from, .to = to, .changes = changes};
	struct ms_plan plan;
	int r = ms_plan_make(from, to, &plan);

	if (r < 0)
		return r;
	ms_vec_each(const struct ms_change, change, &plan.changes)
		add_change(&d, change);
	ms_plan_fini(&plan);
	return d.failed ? -ENOMEM : 0;
}
