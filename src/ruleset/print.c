/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Printing: a ruleset as nft(8) 1.0.6 lists it.
 *
 * Every habit of nft's listing that shows in our rulesets is here or in the match table: the order
 * and the number of elements on a line, names of priorities, what it leaves out because something
 * else implies it. The parity test compares each with nft.
 */
#include "microseg/ruleset.h"

#include <stdlib.h>
#include <string.h>

#include "implied.h"
#include "microseg/cleanup.h"
#include "microseg/ruleset_match.h"

#define NEXT_ELEM_LINE ",\n\t\t\t     "
#define PRIORITY_REACH 10 /* nft says "filter - 10", but not "filter - 11" */

static void print_fields(size_t n_fields, const enum ms_field *fields, struct ms_str *out)
{
	for (size_t i = 0; i < n_fields; i++) {
		ms_str_add(out, i ? " . " : "");
		ms_str_add(out, ms_field_row(fields[i])->name);
	}
}

static void print_verdict(const struct ms_rule_verdict *verdict, struct ms_str *out)
{
	static const char *const names[] = {"", "accept", "drop", "return", "goto ", "jump "};

	ms_str_add(out, names[verdict->kind]);
	if (verdict->chain)
		ms_str_add(out, verdict->chain);
}

/* From @first to @last: a prefix where that says it, of addresses. */
static void print_range(enum ms_field field, const uint8_t *first, const uint8_t *last,
			struct ms_str *out)
{
	const struct ms_field_row *row = ms_field_row(field);
	char text[MS_ADDR_TEXT_SIZE + 4];
	struct ms_range range;
	struct ms_prefix prefix;

	if (row->value == MS_VALUE_IP4 || row->value == MS_VALUE_IP6) {
		ms_addr_from_bytes(first, row->size, &range.first);
		ms_addr_from_bytes(last, row->size, &range.last);
		if (memcmp(first, last, row->size) != 0 && ms_range_prefix(&range, &prefix)) {
			ms_str_add(out, ms_prefix_format(&prefix, text));
			return;
		}
	}
	if (memcmp(first, last, row->size) == 0) {
		ms_field_print(field, first, out);
		return;
	}
	ms_field_print_number(field, first, out);
	ms_str_add_char(out, '-');
	ms_field_print_number(field, last, out);
}

/* Sets. */

/* nft keeps keys as big integers, read in the byte order of the key's type. */
static int compare_little_endian(const uint8_t *a, const uint8_t *b, size_t size)
{
	while (size--)
		if (a[size] != b[size])
			return a[size] < b[size] ? -1 : 1;
	return 0;
}

struct listed {
	const struct ms_elem *elem;
	size_t little_endian; /* bytes to compare so; 0: as they stand */
};

static int compare_listed(const void *left, const void *right)
{
	const struct listed *a = left, *b = right;

	if (a->little_endian)
		return compare_little_endian(a->elem->key, b->elem->key, a->little_endian);
	return memcmp(a->elem->key, b->elem->key, MS_KEY_SIZE);
}

static struct listed *list_elems(const struct ms_set *set)
{
	bool little_endian = set->n_fields > 1 || ms_field_row(set->fields[0])->host_order;
	struct listed *listed = calloc(set->elems.n_items, sizeof(*listed));

	if (!listed)
		return NULL;
	for (size_t i = 0; i < set->elems.n_items; i++) {
		listed[i].elem = &set->elems.items[i];
		listed[i].little_endian = little_endian ? ms_set_key_size(set) : 0;
	}
	qsort(listed, set->elems.n_items, sizeof(*listed), compare_listed);
	return listed;
}

void ms_elem_print(const struct ms_set *set, const struct ms_elem *elem, struct ms_str *out)
{
	const uint8_t *key = elem->key;

	for (size_t i = 0; i < set->n_fields; i++) {
		ms_str_add(out, i ? " . " : "");
		if (set->interval)
			print_range(set->fields[i], key, elem->end, out);
		else
			ms_field_print(set->fields[i], key, out);
		key += ms_field_padded(set->fields[i]);
	}
	if (set->counts)
		ms_str_add(out, " counter");
	if (elem->comment)
		ms_str_addf(out, " comment \"%s\"", elem->comment);
	if (set->map) {
		ms_str_add(out, " : ");
		print_verdict(&elem->verdict, out);
	}
}

static void print_elems(const struct ms_set *set, struct ms_str *out)
{
	size_t per_line = set->n_fields > 1 ? 1 : ms_field_row(set->fields[0])->per_line;
	_cleanup_(freep) struct listed *listed = list_elems(set);

	if (!listed) {
		out->failed = true;
		return;
	}
	ms_str_add(out, "\t\telements = { ");
	for (size_t i = 0; i < set->elems.n_items; i++) {
		if (i)
			ms_str_add(out, i % per_line ? ", " : NEXT_ELEM_LINE);
		ms_elem_print(set, listed[i].elem, out);
	}
	ms_str_add(out, " }\n");
}

static void print_type(const struct ms_set *set, struct ms_str *out)
{
	if (ms_set_needs_typeof(set)) {
		ms_str_add(out, "\t\ttypeof ");
		print_fields(set->n_fields, set->fields, out);
	} else {
		ms_str_add(out, "\t\ttype ");
		for (size_t i = 0; i < set->n_fields; i++) {
			ms_str_add(out, i ? " . " : "");
			ms_str_add(out, ms_field_row(set->fields[i])->type_name);
		}
	}
	ms_str_add(out, set->map ? " : verdict\n" : "\n");
}

static void print_set(const struct ms_set *set, struct ms_str *out)
{
	ms_str_addf(out, "\t%s %s {\n", set->map ? "map" : "set", set->name);
	print_type(set, out);
	if (set->size)
		ms_str_addf(out, "\t\tsize %u\n", set->size);
	if (set->interval || set->timed || set->dynamic)
		ms_str_addf(out, "\t\tflags %s\n",
			    set->interval		 ? "interval"
			    : set->timed && set->dynamic ? "dynamic,timeout"
			    : set->timed		 ? "timeout"
							 : "dynamic");
	if (set->counts)
		ms_str_add(out, "\t\tcounter\n");
	if (set->elems.n_items)
		print_elems(set, out);
	ms_str_add(out, "\t}\n");
}

/* Rules. */

/* `tcp flags syn / fin,syn,rst,ack`: all words of the bits in @flags. */
static void print_flag_words(uint8_t flags, struct ms_str *out)
{
	const char *comma = "";

	for (uint8_t bit = 1; bit; bit = (uint8_t)(bit << 1))
		if (flags & bit) {
			ms_str_add(out, comma);
			ms_field_print(MS_FIELD_TCP_FLAGS, &bit, out);
			comma = ",";
		}
}

static void print_value(const struct ms_match_expr *match, struct ms_str *out)
{
	if (match->fields[0] == MS_FIELD_TCP_FLAGS) {
		ms_str_add(out, match->negate ? "!= " : "");
		print_flag_words(match->values[0][0], out);
		ms_str_add(out, " / ");
		print_flag_words(match->mask, out);
		return;
	}
	ms_str_add(out, match->negate ? "!= " : "");
	ms_field_print(match->fields[0], match->values[0], out);
}

static int compare_names(const void *a, const void *b)
{
	return compare_little_endian(a, b, MS_VALUE_SIZE);
}

static void print_anon_set(const struct ms_match_expr *match, struct ms_str *out)
{
	uint8_t values[MS_ANON_SET_MAX][MS_VALUE_SIZE];

	memcpy(values, match->values, sizeof(values));
	if (ms_field_row(match->fields[0])->host_order)
		qsort(values, match->n_values, MS_VALUE_SIZE, compare_names);
	ms_str_add(out, match->negate ? "!= { " : "{ ");
	for (size_t i = 0; i < match->n_values; i++) {
		ms_str_add(out, i ? ", " : "");
		ms_field_print(match->fields[0], values[i], out);
	}
	ms_str_add(out, " }");
}

static void print_presence(const struct ms_match_expr *match, struct ms_str *out)
{
	const char *flag = ms_field_row(match->fields[0])->flag_name;

	if (flag)
		ms_str_addf(out, "%s%s", match->negate ? "! " : "", flag);
	else
		ms_str_add(out, match->negate ? "missing" : "exists");
}

static void print_match(const struct ms_match_expr *match, struct ms_str *out)
{
	print_fields(match->n_fields, match->fields, out);
	ms_str_add_char(out, ' ');
	switch (match->kind) {
	case MS_MATCH_VALUE:
		print_value(match, out);
		break;
	case MS_MATCH_RANGE:
		ms_str_add(out, match->negate ? "!= " : "");
		print_range(match->fields[0], match->values[0], match->values[1], out);
		break;
	case MS_MATCH_ANON_SET:
		print_anon_set(match, out);
		break;
	case MS_MATCH_SET:
		ms_str_addf(out, "%s@%s", match->negate ? "!= " : "", match->set);
		break;
	case MS_MATCH_PRESENT:
		print_presence(match, out);
		break;
	}
}

static void print_stmt(const struct ms_stmt *stmt, struct ms_str *out)
{
	switch (stmt->kind) {
	case MS_STMT_COUNTER:
		ms_str_add(out, "counter");
		break;
	case MS_STMT_LOG:
		ms_str_addf(out, "log prefix \"%s\" group %u", stmt->log.prefix, stmt->log.group);
		if (stmt->log.snaplen)
			ms_str_addf(out, " snaplen %u", stmt->log.snaplen);
		if (stmt->log.queue_threshold)
			ms_str_addf(out, " queue-threshold %u", stmt->log.queue_threshold);
		break;
	case MS_STMT_SET_PRIORITY:
		ms_str_add(out, "meta priority set ");
		ms_field_print(MS_FIELD_PRIORITY, (const uint8_t *)&stmt->priority, out);
		break;
	case MS_STMT_REJECT_RESET:
		ms_str_add(out, "reject with tcp reset");
		break;
	case MS_STMT_REJECT_ADMIN:
		ms_str_add(out, "reject with icmpx admin-prohibited");
		break;
	case MS_STMT_VERDICT:
		print_verdict(&stmt->verdict, out);
		break;
	case MS_STMT_ADD:
		ms_str_addf(out, "add @%s { ", stmt->map);
		print_fields(stmt->n_fields, stmt->fields, out);
		if (stmt->count_over)
			ms_str_addf(out, " ct count over %u", stmt->count_over);
		ms_str_add(out, " }");
		break;
	case MS_STMT_VMAP:
		print_fields(stmt->n_fields, stmt->fields, out);
		ms_str_addf(out, " vmap @%s", stmt->map);
		break;
	}
}

void ms_rule_print(enum ms_family family, const struct ms_rule *rule, struct ms_str *out)
{
	const char *blank = "";

	for (size_t i = 0; i < rule->matches.n_items; i++) {
		if (ms_match_is_implied(family, rule, i))
			continue;
		ms_str_add(out, blank);
		print_match(&rule->matches.items[i], out);
		blank = " ";
	}
	ms_vec_each (struct ms_stmt, stmt, &rule->stmts) {
		ms_str_add(out, blank);
		print_stmt(stmt, out);
		blank = " ";
	}
	if (rule->comment)
		ms_str_addf(out, " comment \"%s\"", rule->comment);
}

static void print_rule(enum ms_family family, const struct ms_rule *rule, struct ms_str *out)
{
	ms_str_add(out, "\t\t");
	ms_rule_print(family, rule, out);
	ms_str_add_char(out, '\n');
}

/* Chains. */

struct priority_name {
	int32_t priority;
	const char *name;
	bool bridge, arp, inet; /* families that have it */
	enum ms_hook only;	/* MS_HOOK_NONE: any hook */
};

/* In nft's own order: the first within reach is the one it uses. */
static const struct priority_name priority_names[] = {
	{-300, "raw", .inet = true},
	{-150, "mangle", .inet = true},
	{-100, "dstnat", .inet = true, .arp = true, .only = MS_HOOK_PREROUTING},
	{0, "filter", .inet = true, .arp = true},
	{50, "security", .inet = true},
	{-300, "dstnat", .bridge = true, .only = MS_HOOK_PREROUTING},
	{-200, "filter", .bridge = true},
	{100, "out", .bridge = true, .only = MS_HOOK_OUTPUT},
};

static bool priority_has_name(const struct priority_name *name, enum ms_family family,
			      enum ms_hook hook)
{
	bool known = family == MS_FAMILY_BRIDGE ? name->bridge
		     : family == MS_FAMILY_ARP	? name->arp
						: name->inet;

	return known && (name->only == MS_HOOK_NONE || name->only == hook);
}

static void print_priority(enum ms_family family, const struct ms_chain *chain, struct ms_str *out)
{
	for (size_t i = 0; i < sizeof(priority_names) / sizeof(*priority_names); i++) {
		const struct priority_name *name = &priority_names[i];
		int32_t offset = chain->priority - name->priority;

		if (!priority_has_name(name, family, chain->hook) || abs(offset) > PRIORITY_REACH)
			continue;
		ms_str_add(out, name->name);
		if (offset)
			ms_str_addf(out, " %c %d", offset < 0 ? '-' : '+', abs(offset));
		return;
	}
	ms_str_addf(out, "%d", chain->priority);
}

static void print_chain(enum ms_family family, const struct ms_chain *chain, struct ms_str *out)
{
	static const char *const hooks[] = {"", "prerouting", "input", "forward", "output"};

	ms_str_addf(out, "\tchain %s {\n", chain->name);
	if (chain->hook != MS_HOOK_NONE) {
		ms_str_addf(out, "\t\ttype filter hook %s priority ", hooks[chain->hook]);
		print_priority(family, chain, out);
		ms_str_add(out, "; policy accept;\n");
	}
	ms_vec_each (struct ms_rule, rule, &chain->rules)
		print_rule(family, rule, out);
	ms_str_add(out, "\t}\n");
}

/* Is @narrow ("env/service") among the parts of @name, as in "to/env/service"? */
bool ms_name_concerns(const char *name, const char *narrow)
{
	if (!narrow)
		return true;
	size_t len = strlen(narrow);

	for (const char *at = strstr(name, narrow); at; at = strstr(at + 1, narrow))
		if ((at == name || at[-1] == '/') && (at[len] == '\0' || at[len] == '/'))
			return true;
	return false;
}

static void print_table(const struct ms_table *table, const char *narrow, struct ms_str *out)
{
	const char *gap = "";
	size_t start = out->len;

	ms_str_addf(out, "table %s %s {\n", ms_family_name(table->family), table->name);
	ms_vec_each (struct ms_set *, set, &table->sets)
		if (ms_name_concerns((*set)->name, narrow)) {
			ms_str_add(out, gap);
			print_set(*set, out);
			gap = "\n";
		}
	ms_vec_each (struct ms_chain *, chain, &table->chains)
		if (ms_name_concerns((*chain)->name, narrow)) {
			ms_str_add(out, gap);
			print_chain(table->family, *chain, out);
			gap = "\n";
		}
	ms_str_add(out, "}\n");
	if (narrow && !*gap && !out->failed) {
		out->len = start;
		out->text[start] = '\0';
	}
}

void ms_ruleset_print(const struct ms_ruleset *ruleset, const char *narrow, struct ms_str *out)
{
	ms_vec_each (struct ms_table *, table, &ruleset->tables)
		print_table(*table, narrow, out);
}
