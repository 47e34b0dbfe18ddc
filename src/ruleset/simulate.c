/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Simulate: the evaluation of nf_tables, for the closed language of ruleset.h.
 *
 * It follows nft_do_chain(): a rule's expressions run in order until one says no; jump comes back,
 * goto does not; accept ends one base chain, drop ends all. What a match sees of a packet is the
 * match table's business (`read`). A packet without an answer for a field (an IPv6 packet asked for
 * `ip saddr`) fails the match, negated or not, as the dependency that the encoder emits would.
 */
#include "microseg/simulate.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "simulate_hook.h"

/* What a rule or chain leads to. */
enum outcome {
	NEXT, /* the next rule; at the end of a chain, back to the caller */
	BACK, /* return */
	ACCEPT,
	DROP,
};

struct run {
	const struct ms_table *table;
	struct ms_sim_packet *packet;
	struct ms_arena *arena;
	struct ms_sim_result *result;
	unsigned int depth;
	const struct ms_elem *counted; /* found by the rule at hand, in a set that counts */
};

/* The concatenation of @fields as a set key. False when the packet lacks one of them. */
static bool read_key(const struct ms_sim_packet *packet, const enum ms_field *fields,
		     size_t n_fields, uint8_t key[MS_KEY_SIZE])
{
	size_t offset = 0;

	memset(key, 0, MS_KEY_SIZE);
	for (size_t i = 0; i < n_fields; i++) {
		if (!ms_field_row(fields[i])->read(packet, key + offset))
			return false;
		offset += ms_field_padded(fields[i]);
	}
	return true;
}

static const struct ms_elem *find_interval(const struct ms_set *set, const uint8_t *key)
{
	size_t size = ms_field_row(set->fields[0])->size;

	ms_vec_each (const struct ms_elem, elem, &set->elems)
		if (memcmp(key, elem->key, size) >= 0 && memcmp(key, elem->end, size) <= 0)
			return elem;
	return NULL;
}

/* Elements are sorted only in a finished ruleset; looking at each keeps the simulator right for
 * any. */
static const struct ms_elem *find_elem(const struct ms_set *set, const uint8_t *key, time_t now)
{
	size_t size = ms_set_key_size(set);

	if (set->interval)
		return find_interval(set, key);
	ms_vec_each (const struct ms_elem, elem, &set->elems)
		if (memcmp(elem->key, key, size) == 0 && (!elem->until || now < elem->until))
			return elem;
	return NULL;
}

static bool is_listed(const struct ms_sim_packet *packet, const struct ms_set *set)
{
	return packet->listed && strcmp(packet->listed, set->name) == 0;
}

static bool is_name(enum ms_field field)
{
	return field == MS_FIELD_IIFNAME || field == MS_FIELD_OIFNAME;
}

static bool equals(const struct ms_match_expr *match, const uint8_t *value, const uint8_t *wanted)
{
	size_t size = ms_field_row(match->fields[0])->size;
	size_t len;

	if (is_name(match->fields[0]) && ms_name_is_prefix(wanted, &len))
		return memcmp(value, wanted, len) == 0;
	if (match->mask)
		return (value[0] & match->mask) == wanted[0];
	return memcmp(value, wanted, size) == 0;
}

static bool in_anon_set(const struct ms_match_expr *match, const uint8_t *value)
{
	for (size_t i = 0; i < match->n_values; i++)
		if (equals(match, value, match->values[i]))
			return true;
	return false;
}

/* Does the match hold? 1, 0, or -ENOENT. */
static int holds(struct run *run, const struct ms_match_expr *match)
{
	size_t size = ms_field_row(match->fields[0])->size;
	uint8_t key[MS_KEY_SIZE];
	const struct ms_set *set;
	const struct ms_elem *elem;
	bool yes = false;

	if (!read_key(run->packet, match->fields, match->n_fields, key))
		return 0;
	switch (match->kind) {
	case MS_MATCH_VALUE:
		yes = equals(match, key, match->values[0]);
		break;
	case MS_MATCH_RANGE:
		yes = memcmp(key, match->values[0], size) >= 0 &&
		      memcmp(key, match->values[1], size) <= 0;
		break;
	case MS_MATCH_ANON_SET:
		yes = in_anon_set(match, key);
		break;
	case MS_MATCH_SET:
		set = ms_table_set(run->table, match->set);
		if (!set)
			return -ENOENT;
		elem = set->dynamic ? NULL : find_elem(set, key, run->packet->now);
		yes = elem || (set->dynamic && is_listed(run->packet, set));
		if (elem && set->counts)
			run->counted = elem;
		break;
	case MS_MATCH_PRESENT:
		yes = key[0] != 0;
		break;
	}
	return yes != match->negate;
}

/* Do all matches of @rule hold? 1, 0, or -errno. */
static int applies(struct run *run, const struct ms_rule *rule)
{
	run->counted = NULL;
	ms_vec_each (const struct ms_match_expr, match, &rule->matches) {
		int r = holds(run, match);

		if (r <= 0)
			return r;
	}
	return 1;
}

static int run_chain(struct run *run, const struct ms_chain *chain, enum outcome *ret_outcome);

static int run_named(struct run *run, const char *name, enum outcome *ret_outcome)
{
	const struct ms_chain *chain = ms_table_chain(run->table, name);

	if (!chain)
		return -ENOENT;
	if (run->depth >= MS_SIM_DEPTH)
		return -ELOOP;
	run->depth++;
	int r = run_chain(run, chain, ret_outcome);
	run->depth--;
	return r;
}

static int run_verdict(struct run *run, const struct ms_rule_verdict *verdict,
		       enum outcome *ret_outcome)
{
	int r = 0;

	switch (verdict->kind) {
	case MS_VERDICT_NONE:
		break;
	case MS_VERDICT_ACCEPT:
		*ret_outcome = ACCEPT;
		break;
	case MS_VERDICT_DROP:
		*ret_outcome = DROP;
		break;
	case MS_VERDICT_RETURN:
		*ret_outcome = BACK;
		break;
	case MS_VERDICT_GOTO:
		r = run_named(run, verdict->chain, ret_outcome);
		/* The chain that said goto is left for good, and whoever jumped into it goes on. */
		if (r == 0 && *ret_outcome == NEXT)
			*ret_outcome = BACK;
		break;
	case MS_VERDICT_JUMP:
		r = run_named(run, verdict->chain, ret_outcome);
		break;
	}
	return r;
}

/* A key that the map does not have ends the rule, as in the kernel; the next one is tried. */
static int run_vmap(struct run *run, const struct ms_stmt *stmt, enum outcome *ret_outcome,
		    bool *ret_found)
{
	const struct ms_set *map = ms_table_set(run->table, stmt->map);
	uint8_t key[MS_KEY_SIZE];
	const struct ms_elem *elem = NULL;

	if (!map)
		return -ENOENT;
	if (read_key(run->packet, stmt->fields, stmt->n_fields, key))
		elem = find_elem(map, key, run->packet->now);
	*ret_found = elem != NULL;
	return elem ? run_verdict(run, &elem->verdict, ret_outcome) : 0;
}

static bool run_add(struct run *run, const struct ms_stmt *stmt)
{
	const struct ms_set *set = ms_table_set(run->table, stmt->map);
	uint8_t key[MS_KEY_SIZE];

	if (!set || !ms_field_row(stmt->fields[0])->read(run->packet, key))
		return false;
	if (stmt->count_over)
		return run->packet->over_limit;
	run->packet->listed = stmt->map;
	return true;
}

static void note_log(struct ms_sim_result *result, const char *prefix)
{
	if (!result->prefix)
		result->prefix = prefix;
}

static int run_statements(struct run *run, const struct ms_rule *rule, enum outcome *ret_outcome)
{
	ms_vec_each (const struct ms_stmt, stmt, &rule->stmts) {
		bool found = true;
		int r = 0;

		switch (stmt->kind) {
		case MS_STMT_COUNTER:
			break;
		case MS_STMT_LOG:
			note_log(run->result, stmt->log.prefix);
			break;
		case MS_STMT_SET_PRIORITY:
			run->packet->priority = stmt->priority;
			break;
		case MS_STMT_REJECT_RESET:
		case MS_STMT_REJECT_ADMIN:
			run->result->rejected = true;
			*ret_outcome = DROP;
			return 0;
		case MS_STMT_ADD:
			found = run_add(run, stmt);
			break;
		case MS_STMT_VERDICT:
			return run_verdict(run, &stmt->verdict, ret_outcome);
		case MS_STMT_VMAP:
			r = run_vmap(run, stmt, ret_outcome, &found);
			break;
		}
		if (r < 0 || !found || *ret_outcome != NEXT)
			return r;
	}
	return 0;
}

static int run_rule(struct run *run, const struct ms_chain *chain, const struct ms_rule *rule,
		    enum outcome *ret_outcome)
{
	int r = applies(run, rule);

	*ret_outcome = NEXT;
	if (r <= 0)
		return r;
	if (run->arena) {
		r = ms_avec_push(run->arena, &run->result->path,
				 (struct ms_sim_step){run->table, chain, rule, run->counted});
		if (r < 0)
			return r;
	}
	return run_statements(run, rule, ret_outcome);
}

/* Ends with NEXT when the caller is to go on, be it at the chain's end or by return. */
static int run_chain(struct run *run, const struct ms_chain *chain, enum outcome *ret_outcome)
{
	*ret_outcome = NEXT;
	ms_vec_each (const struct ms_rule, rule, &chain->rules) {
		int r = run_rule(run, chain, rule, ret_outcome);

		if (r < 0)
			return r;
		if (*ret_outcome == BACK)
			break;
		if (*ret_outcome != NEXT)
			return 0;
	}
	*ret_outcome = NEXT;
	return 0;
}

struct place {
	int64_t priority;
	size_t index;
};

/* The base chain behind @place: priorities ascend, equal ones keep the order they were added in.
 * NULL at the end. */
static const struct ms_chain *next_base_chain(const struct ms_table *table, enum ms_hook hook,
					      int64_t last, struct place *place)
{
	const struct ms_chain *best = NULL;
	struct place from = *place;

	for (size_t i = 0; i < table->chains.n_items; i++) {
		const struct ms_chain *chain = table->chains.items[i];
		bool behind = chain->priority > from.priority ||
			      (chain->priority == from.priority && i > from.index);

		if (chain->hook != hook || !behind || chain->priority > last)
			continue;
		if (!best || chain->priority < best->priority) {
			best = chain;
			*place = (struct place){chain->priority, i};
		}
	}
	return best;
}

int ms_simulate_window(const struct ms_ruleset *ruleset, enum ms_family family, enum ms_hook hook,
		       const struct ms_priority_window *window, struct ms_sim_packet *packet,
		       struct ms_arena *arena, struct ms_sim_result *result)
{
	const struct ms_table *table = ms_ruleset_table(ruleset, family);
	struct run run = {.table = table, .packet = packet, .arena = arena, .result = result};
	struct place place = {window->above, SIZE_MAX};

	if (!table)
		return 0;
	while (!result->dropped) {
		const struct ms_chain *chain = next_base_chain(table, hook, window->last, &place);
		enum outcome outcome;

		if (!chain)
			break;
		int r = run_chain(&run, chain, &outcome);
		if (r < 0)
			return r;
		result->dropped = outcome == DROP;
	}
	return 0;
}

int ms_simulate_hook(const struct ms_ruleset *ruleset, enum ms_family family, enum ms_hook hook,
		     struct ms_sim_packet *packet, struct ms_arena *arena,
		     struct ms_sim_result *result)
{
	static const struct ms_priority_window all = {INT64_MIN, INT32_MAX};

	return ms_simulate_window(ruleset, family, hook, &all, packet, arena, result);
}
