/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A rule that grants for a time writes the connections that it lets in into the set lent/TIME of
 * the kernel, which is what ends them with nobody there to do it (compile/clocks.c). The kernel
 * writes when a connection is opened; what a policy says of it may change later: a grant without
 * an end goes and an exception stays, an end is put off, tables are loaded anew and their records
 * are empty.
 *
 * So after every commit, while anything has an end, each tracked connection is asked when the
 * oracle will deny it, and the records are made to say so. Records of connections that are gone
 * are taken out when a set is filling up: a set that is full lets nobody in.
 *
 * The sets are read before the connections are: a connection that the kernel lets in meanwhile is
 * in none of what was read, and left alone.
 */
#include "daemon/lend.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/ruleset_match.h"

struct id {
	uint8_t bytes[4];
	bool alive; /* among the tracked connections */
	bool right; /* and due to end with its set */
};
typedef MS_VEC(struct id) id_vec;

struct record {
	const struct ms_set *set;
	time_t until;
	id_vec held; /* sorted */
	id_vec missing;
};

struct ms_lending {
	struct ms_kernel *kernel;
	const struct ms_table *table;
	const struct ms_policy *policy;
	const struct ms_inventory *inventory;
	bool failed;
	MS_VEC(struct record) records; /* by ascending ends */
};

static int compare_ids(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(((struct id *)NULL)->bytes));
}

static int compare_records(const void *left, const void *right)
{
	const struct record *a = left, *b = right;

	return (a->until > b->until) - (a->until < b->until);
}

static void add_id(struct ms_lending *lending, id_vec *ids, const void *bytes)
{
	struct id id = {0};

	memcpy(id.bytes, bytes, sizeof(id.bytes));
	if (ms_vec_push(ids, id) < 0)
		lending->failed = true;
}

struct reading {
	struct ms_lending *lending;
	id_vec *held;
};

static void keep_id(const void *key, size_t size, void *userdata)
{
	struct reading *reading = userdata;

	if (size == sizeof(((struct id *)NULL)->bytes))
		add_id(reading->lending, reading->held, key);
}

/* The end of @set is that of the elements of its twin until/TIME. */
static time_t end_of(const struct ms_table *table, const struct ms_set *set)
{
	char name[64];

	snprintf(name, sizeof(name), "until/%s", set->name + strlen("lent/"));
	const struct ms_set *until = ms_table_set(table, name);
	return until && until->elems.n_items ? until->elems.items[0].until : 0;
}

static void read_record(struct ms_lending *lending, const struct ms_set *set)
{
	struct record record = {.set = set, .until = end_of(lending->table, set)};
	struct reading reading = {lending, &record.held};

	if (ms_kernel_elements(lending->kernel, lending->table, set, keep_id, &reading) < 0)
		lending->failed = true;
	ms_vec_sort(&record.held, compare_ids);
	if (ms_vec_push(&lending->records, record) < 0) {
		ms_vec_fini(&record.held);
		lending->failed = true;
	}
}

struct ms_lending *ms_lending_new(struct ms_kernel *kernel, const struct ms_ruleset *installed,
				  const struct ms_policy *policy,
				  const struct ms_inventory *inventory, time_t now)
{
	const struct ms_table *table = ms_ruleset_table(installed, MS_FAMILY_INET);
	struct ms_lending *lending = calloc(1, sizeof(*lending));

	if (!lending || !table)
		return ms_lending_free(lending);
	*lending = (struct ms_lending){
		.kernel = kernel,
		.table = table,
		.policy = policy,
		.inventory = inventory,
	};
	ms_vec_each (struct ms_set *, set, &table->sets)
		if (strncmp((*set)->name, "lent/", strlen("lent/")) == 0 &&
		    end_of(table, *set) > now)
			read_record(lending, *set);
	ms_vec_sort(&lending->records, compare_records);
	return lending->records.n_items ? lending : ms_lending_free(lending);
}

struct ms_lending *ms_lending_free(struct ms_lending *lending)
{
	if (!lending)
		return NULL;
	ms_vec_each (struct record, record, &lending->records) {
		ms_vec_fini(&record->held);
		ms_vec_fini(&record->missing);
	}
	ms_vec_fini(&lending->records);
	free(lending);
	return NULL;
}

static bool is_denied(const struct ms_lending *lending, const struct ms_flow *flow, time_t at)
{
	return ms_decide(lending->policy, lending->inventory, flow, at, NULL).verdict == MS_DENY;
}

/* What is allowed once and denied later stays denied: time only takes away. */
static time_t find_end(const struct ms_lending *lending, const struct ms_flow *flow)
{
	size_t n = lending->records.n_items;

	if (!is_denied(lending, flow, lending->records.items[n - 1].until))
		return 0;
	for (size_t i = 0; i + 1 < n; i++)
		if (is_denied(lending, flow, lending->records.items[i].until))
			return lending->records.items[i].until;
	return lending->records.items[n - 1].until;
}

void ms_lending_note(struct ms_lending *lending, const struct ms_conntrack_entry *entry,
		     const struct ms_flow *flow)
{
	time_t end = find_end(lending, flow);

	ms_vec_each (struct record, record, &lending->records) {
		struct id *held = record->held.n_items ? bsearch(entry->id, record->held.items,
								 record->held.n_items,
								 sizeof(*held), compare_ids)
						       : NULL;

		if (held) {
			held->alive = true;
			held->right = record->until == end;
		} else if (record->until == end) {
			add_id(lending, &record->missing, entry->id);
		}
	}
}

static int add_change(struct ms_plan *plan, const struct ms_lending *lending,
		      const struct record *record, enum ms_change_kind kind, const id_vec *ids)
{
	struct ms_elem *elems;
	struct ms_change change = {
		.kind = kind,
		.table = lending->table,
		.set = record->set,
		.n_elems = ids->n_items,
	};

	if (ids->n_items == 0)
		return 0;
	elems = ms_arena_alloc(plan->arena, ids->n_items * sizeof(*elems));
	if (!elems)
		return -ENOMEM;
	for (size_t i = 0; i < ids->n_items; i++)
		ms_elem_key(record->set, &elems[i], 0, ids->items[i].bytes,
			    sizeof(ids->items[i].bytes));
	change.elems = elems;
	return ms_avec_push(plan->arena, &plan->changes, change);
}

/* What is wrong, and what is dead when the set has got a quarter full. */
static int add_deletions(struct ms_plan *plan, struct ms_lending *lending,
			 const struct record *record)
{
	bool filling = record->held.n_items > record->set->size / 4;
	id_vec gone = {0};

	ms_vec_each (struct id, id, &record->held)
		if (id->alive ? !id->right : filling)
			add_id(lending, &gone, id->bytes);
	int r = add_change(plan, lending, record, MS_DEL_ELEMS, &gone);
	ms_vec_fini(&gone);
	return r;
}

int ms_lending_finish(struct ms_lending *lending)
{
	struct ms_plan plan = {.arena = ms_arena_new()};
	size_t n_changed, n_others;
	int r = plan.arena ? 0 : -ENOMEM;

	ms_vec_each (struct record, record, &lending->records) {
		if (r == 0)
			r = add_deletions(&plan, lending, record);
		if (r == 0)
			r = add_change(&plan, lending, record, MS_ADD_ELEMS, &record->missing);
	}
	if (r == 0 && lending->failed)
		r = -ENOMEM;
	ms_plan_count(&plan, &n_changed, &n_others);
	if (r == 0 && n_changed > 0)
		r = ms_kernel_apply(lending->kernel, &plan, NULL);
	/* A rule recorded the same meanwhile, as packets passed: then there was nothing to commit.
	 */
	if (r == -EIO)
		r = -EAGAIN;
	ms_plan_fini(&plan);
	return r < 0 ? r : (int)n_changed;
}
