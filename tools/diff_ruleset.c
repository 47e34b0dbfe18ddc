/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diff_ruleset.h"

#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"

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
	const char *copy =
		text->failed ? NULL : ms_arena_strdup(d->arena, text->text ? text->text : "");

	ms_str_fini(text);
	if (!copy)
		d->failed = true;
	return copy;
}

static void add_elems(struct differ *d, const struct ms_change *change)
{
	for (size_t i = 0; i < change->n_elems; i++) {
		struct ms_elem plain = change->elems[i];
		struct ms_str text = {0};

		plain.comment = NULL;
		ms_elem_print(change->set, &plain, &text);
		add(d, (struct ruleset_change){change->kind == MS_ADD_ELEMS, "element",
					       ms_family_name(change->table->family),
					       change->set->name, keep(d, &text)});
	}
}

/* A rule as it is printed, and without its comment, which changes with every line added above it in
 * a file. */
struct rule_text {
	const char *text;
	const char *bare;
};
typedef MS_VEC(struct rule_text) rule_texts;

static int compare_rules(const void *left, const void *right)
{
	const struct rule_text *a = left, *b = right;

	return strcmp(a->bare, b->bare);
}

static void list_rules(struct differ *d, enum ms_family family, const struct ms_chain *chain,
		       rule_texts *rules)
{
	if (!chain)
		return;
	ms_vec_each (const struct ms_rule, rule, &chain->rules) {
		struct ms_str text = {0}, bare = {0};
		struct ms_rule plain = *rule;

		plain.comment = NULL;
		ms_rule_print(family, rule, &text);
		ms_rule_print(family, &plain, &bare);
		struct rule_text both = {keep(d, &text), keep(d, &bare)};
		if (both.text && both.bare && ms_avec_push(d->arena, rules, both) < 0)
			d->failed = true;
	}
	ms_vec_sort(rules, compare_rules);
}

/* A chain is filled anew as a whole; what differs of its rules is said, the order is not. */
static void add_rules(struct differ *d, const struct ms_change *change,
		      const struct ms_chain *before, const struct ms_chain *after)
{
	const char *family = ms_family_name(change->table->family), *name = change->chain->name;
	rule_texts old = {0}, new = {0};
	size_t i = 0, j = 0;

	list_rules(d, change->table->family, before, &old);
	list_rules(d, change->table->family, after, &new);
	while (i < old.n_items || j < new.n_items) {
		int order = i == old.n_items   ? 1
			    : j == new.n_items ? -1
					       : compare_rules(&old.items[i], &new.items[j]);

		if (order < 0)
			add(d, (struct ruleset_change){false, "rule", family, name,
						       old.items[i].text});
		if (order > 0)
			add(d,
			    (struct ruleset_change){true, "rule", family, name, new.items[j].text});
		i += order <= 0;
		j += order >= 0;
	}
}

static const struct ms_chain *find_chain(const struct ms_ruleset *ruleset,
					 const struct ms_change *change)
{
	const struct ms_table *table =
		ruleset ? ms_ruleset_table(ruleset, change->table->family) : NULL;

	return table ? ms_table_chain(table, change->chain->name) : NULL;
}

/* Rules that others take the place of are said together with those. */
static void add_flush(struct differ *d, const struct ms_change *change)
{
	const struct ms_chain *after = find_chain(d->to, change);

	if (!after || after->rules.n_items == 0)
		add_rules(d, change, change->chain, NULL);
}

static void add_change(struct differ *d, const struct ms_change *change)
{
	const char *family = ms_family_name(change->table->family);
	const char *set = change->set && change->set->map ? "map" : "set";

	switch (change->kind) {
	case MS_DEL_TABLE:
	case MS_ADD_TABLE:
		add(d, (struct ruleset_change){change->kind == MS_ADD_TABLE, "table", family,
					       change->table->name, NULL});
		return;
	case MS_ADD_SET:
	case MS_DEL_SET:
		add(d, (struct ruleset_change){change->kind == MS_ADD_SET, set, family,
					       change->set->name, NULL});
		return;
	case MS_ADD_CHAIN:
	case MS_DEL_CHAIN:
		add(d, (struct ruleset_change){change->kind == MS_ADD_CHAIN, "chain", family,
					       change->chain->name, NULL});
		return;
	case MS_ADD_RULES:
		add_rules(d, change, find_chain(d->from, change), change->chain);
		return;
	case MS_FLUSH_CHAIN:
		add_flush(d, change);
		return;
	case MS_ADD_ELEMS:
	case MS_FLUSH_SET:
	case MS_DEL_ELEMS:
		add_elems(d, change);
		return;
	}
}

static int compare_changes(const void *left, const void *right)
{
	const struct ruleset_change *a = *(const struct ruleset_change *const *)left;
	const struct ruleset_change *b = *(const struct ruleset_change *const *)right;
	int r = strcmp(a->family, b->family);

	if (r == 0)
		r = strcmp(a->name, b->name);
	if (r == 0)
		r = strcmp(a->text, b->text);
	return r ? r : (int)a->added - (int)b->added;
}

/* An element of which only the comment changes goes and comes: both are nothing to report. */
static void drop_renewed(struct differ *d)
{
	MS_VEC(struct ruleset_change *) elems = {0};
	size_t n = 0;

	ms_vec_each (struct ruleset_change, change, d->changes)
		if (strcmp(change->kind, "element") == 0 &&
		    ms_avec_push(d->arena, &elems, change) < 0)
			d->failed = true;
	ms_vec_sort(&elems, compare_changes);
	for (size_t i = 0; i + 1 < elems.n_items; i++) {
		struct ruleset_change *gone = elems.items[i], *come = elems.items[i + 1];

		if (!gone->added && come->added && strcmp(gone->family, come->family) == 0 &&
		    strcmp(gone->name, come->name) == 0 && strcmp(gone->text, come->text) == 0)
			gone->kind = come->kind = NULL;
	}
	for (size_t i = 0; i < d->changes->n_items; i++)
		if (d->changes->items[i].kind)
			d->changes->items[n++] = d->changes->items[i];
	d->changes->n_items = n;
}

int ruleset_diff(struct ms_arena *arena, const struct ms_ruleset *from, const struct ms_ruleset *to,
		 ruleset_changes *changes)
{
	struct differ d = {.arena = arena, .from = from, .to = to, .changes = changes};
	struct ms_plan plan;
	int r = ms_plan_make(from, to, &plan);

	if (r < 0)
		return r;
	ms_vec_each (const struct ms_change, change, &plan.changes)
		add_change(&d, change);
	ms_plan_fini(&plan);
	if (!d.failed)
		drop_renewed(&d);
	return d.failed ? -ENOMEM : 0;
}
