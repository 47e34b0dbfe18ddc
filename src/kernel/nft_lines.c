/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "nft_lines.h"

#include <errno.h>
#include <libnftnl/expr.h>
#include <linux/netfilter/nf_tables.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "nft_encode.h"

#define DIFFERENCES_SHOWN 6
#define TIME_TOLERANCE_MS 2000 /* between sending and reading back */
#define EXPR_TEXT_SIZE 1024

int ms_lines_init(struct ms_lines *lines)
{
	*lines = (struct ms_lines){.arena = ms_arena_new()};
	return lines->arena ? 0 : -ENOMEM;
}

void ms_lines_fini(struct ms_lines *lines)
{
	ms_arena_free(lines->arena);
	*lines = (struct ms_lines){0};
}

static const char *keep(struct ms_lines *lines, const struct ms_str *text)
{
	const char *copy = text->failed ? NULL
					: ms_arena_strndup(lines->arena,
							   text->text ? text->text : "", text->len);

	if (!copy)
		lines->failed = true;
	return copy ? copy : "";
}

static void add_timed_line(struct ms_lines *lines, const struct ms_str *text, uint64_t left_ms)
{
	struct ms_line line = {keep(lines, text), left_ms};

	if (ms_avec_push(lines->arena, &lines->list, line) < 0)
		lines->failed = true;
}

static void add_line(struct ms_lines *lines, const struct ms_str *text)
{
	add_timed_line(lines, text, 0);
}

static void put_hex(struct ms_str *out, const char *label, const void *bytes, size_t size)
{
	const uint8_t *b = bytes;

	ms_str_add(out, label);
	for (size_t i = 0; i < size; i++)
		ms_str_addf(out, "%02x", b[i]);
}

void ms_lines_table(struct ms_lines *lines, enum ms_family family)
{
	_cleanup_(ms_str_fini) struct ms_str line = {0};

	ms_str_addf(&line, "%s table", ms_family_name(family));
	add_line(lines, &line);
}

void ms_lines_chain(struct ms_lines *lines, enum ms_family family, const struct nftnl_chain *chain)
{
	_cleanup_(ms_str_fini) struct ms_str line = {0};

	ms_str_addf(&line, "%s chain %s", ms_family_name(family),
		    nftnl_chain_get_str(chain, NFTNL_CHAIN_NAME));
	if (nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM))
		ms_str_addf(&line, " type %s hook %u priority %d policy %u",
			    nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE),
			    nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM),
			    nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO),
			    nftnl_chain_get_u32(chain, NFTNL_CHAIN_POLICY));
	add_line(lines, &line);
}

/* Sets. */

/* What is left of its time: as the kernel says, or as we would send it. */
static uint64_t elem_left_ms(struct nftnl_set_elem *elem)
{
	if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_EXPIRATION))
		return nftnl_set_elem_get_u64(elem, NFTNL_SET_ELEM_EXPIRATION);
	if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_TIMEOUT))
		return nftnl_set_elem_get_u64(elem, NFTNL_SET_ELEM_TIMEOUT);
	return 0;
}

static void put_elem(struct ms_str *out, const struct nftnl_set_elem *elem)
{
	uint32_t size = 0;
	const void *data =
		nftnl_set_elem_get((struct nftnl_set_elem *)elem, NFTNL_SET_ELEM_KEY, &size);

	put_hex(out, "", data, size);
	if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_FLAGS))
		ms_str_addf(out, " flags %x",
			    nftnl_set_elem_get_u32((struct nftnl_set_elem *)elem,
						   NFTNL_SET_ELEM_FLAGS));
	if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_VERDICT))
		ms_str_addf(out, " verdict %d",
			    (int)nftnl_set_elem_get_u32((struct nftnl_set_elem *)elem,
							NFTNL_SET_ELEM_VERDICT));
	if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_CHAIN))
		ms_str_addf(out, " chain %s",
			    nftnl_set_elem_get_str((struct nftnl_set_elem *)elem,
						   NFTNL_SET_ELEM_CHAIN));
	if (nftnl_set_elem_is_set(elem, NFTNL_SET_ELEM_USERDATA)) {
		data = nftnl_set_elem_get((struct nftnl_set_elem *)elem, NFTNL_SET_ELEM_USERDATA,
					  &size);
		put_hex(out, " comment ", data, size);
	}
}

/* What the kernel is to do with every element of a set. What counters have counted so far is no
 * part of it. */
static int put_set_expr(struct nftnl_expr *expr, void *userdata)
{
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
	char text[EXPR_TEXT_SIZE] = "";

	if (strcmp(name, "counter") != 0)
		nftnl_expr_snprintf(text, sizeof(text), expr, 0, 0);
	ms_str_addf(userdata, " each [%s %s]", name, text);
	return 0;
}

static void put_declaration(struct ms_str *out, const struct nftnl_set *set)
{
	uint32_t size = 0;
	const void *data = nftnl_set_get_data(set, NFTNL_SET_USERDATA, &size);

	ms_str_addf(out, " flags %x key %x/%u", nftnl_set_get_u32(set, NFTNL_SET_FLAGS),
		    nftnl_set_get_u32(set, NFTNL_SET_KEY_TYPE),
		    nftnl_set_get_u32(set, NFTNL_SET_KEY_LEN));
	if (nftnl_set_is_set(set, NFTNL_SET_DATA_TYPE))
		ms_str_addf(out, " data %x", nftnl_set_get_u32(set, NFTNL_SET_DATA_TYPE));
	if (nftnl_set_is_set(set, NFTNL_SET_DESC_SIZE))
		ms_str_addf(out, " size %u", nftnl_set_get_u32(set, NFTNL_SET_DESC_SIZE));
	put_hex(out, " userdata ", data, data ? size : 0);
	nftnl_set_expr_foreach(set, put_set_expr, out);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The elements in one text, sorted. */
static const char *join_elems(struct ms_lines *lines, const struct nftnl_set *set)
{
	struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(set);
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	MS_VEC(const char *) elems = {0};

	if (!iter) {
		lines->failed = true;
		return "";
	}
	for (struct nftnl_set_elem *e; (e = nftnl_set_elems_iter_next(iter));) {
		text.len = 0;
		put_elem(&text, e);
		if (ms_avec_push(lines->arena, &elems, keep(lines, &text)) < 0)
			lines->failed = true;
	}
	nftnl_set_elems_iter_destroy(iter);
	ms_vec_sort(&elems, compare_texts);
	text.len = 0;
	ms_vec_each (const char *, elem, &elems)
		ms_str_addf(&text, " %s", *elem);
	return keep(lines, &text);
}

static void keep_anon_set(struct ms_lines *lines, const struct nftnl_set *set)
{
	const char *name = ms_arena_strdup(lines->arena, nftnl_set_get_str(set, NFTNL_SET_NAME));

	if (!name || ms_avec_push(lines->arena, &lines->anon_names, name) < 0 ||
	    ms_avec_push(lines->arena, &lines->anon_elems, join_elems(lines, set)) < 0)
		lines->failed = true;
}

static void add_elems(struct ms_lines *lines, enum ms_family family, const struct nftnl_set *set)
{
	struct nftnl_set_elems_iter *iter = nftnl_set_elems_iter_create(set);
	_cleanup_(ms_str_fini) struct ms_str line = {0};

	if (!iter) {
		lines->failed = true;
		return;
	}
	for (struct nftnl_set_elem *e; (e = nftnl_set_elems_iter_next(iter));) {
		line.len = 0;
		ms_str_addf(&line, "%s element of %s: ", ms_family_name(family),
			    nftnl_set_get_str(set, NFTNL_SET_NAME));
		put_elem(&line, e);
		add_timed_line(lines, &line, elem_left_ms(e));
	}
	nftnl_set_elems_iter_destroy(iter);
}

void ms_lines_set(struct ms_lines *lines, enum ms_family family, const struct nftnl_set *set)
{
	_cleanup_(ms_str_fini) struct ms_str line = {0};

	if (nftnl_set_get_u32(set, NFTNL_SET_FLAGS) & NFT_SET_ANONYMOUS) {
		keep_anon_set(lines, set);
		return;
	}
	ms_str_addf(&line, "%s set %s", ms_family_name(family),
		    nftnl_set_get_str(set, NFTNL_SET_NAME));
	put_declaration(&line, set);
	add_line(lines, &line);
	if (!(nftnl_set_get_u32(set, NFTNL_SET_FLAGS) & NFT_SET_EVAL))
		add_elems(lines, family, set);
}

/* Rules. */

/* The elements of the anonymous set named @name; NULL for another set. */
static const char *anon_elems(const struct ms_lines *lines, const char *name)
{
	for (size_t i = lines->anon_names.n_items; i > 0; i--)
		if (strcmp(lines->anon_names.items[i - 1], name) == 0)
			return lines->anon_elems.items[i - 1];
	return NULL;
}

static void put_expr(const struct ms_lines *lines, const struct nftnl_expr *expr,
		     struct ms_str *out)
{
	const char *name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
	char text[EXPR_TEXT_SIZE] = "";
	const char *elems = NULL;

	if (strcmp(name, "lookup") == 0)
		elems = anon_elems(lines, nftnl_expr_get_str(expr, NFTNL_EXPR_LOOKUP_SET));
	if (elems) {
		ms_str_addf(out, " [lookup reg %u in%s inverted %u]",
			    nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_SREG), elems,
			    nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS));
		return;
	}
	/* The kernel adds a time-out of nothing. */
	if (strcmp(name, "dynset") == 0) {
		ms_str_addf(out, " [add reg %u to %s]",
			    nftnl_expr_get_u32(expr, NFTNL_EXPR_DYNSET_SREG_KEY),
			    nftnl_expr_get_str(expr, NFTNL_EXPR_DYNSET_SET_NAME));
		nftnl_expr_expr_foreach(expr, put_set_expr, out);
		return;
	}
	/* What it counted so far is no part of it. */
	if (strcmp(name, "counter") != 0)
		nftnl_expr_snprintf(text, sizeof(text), expr, 0, 0);
	ms_str_addf(out, " [%s %s]", name, text);
}

void ms_lines_rule(struct ms_lines *lines, enum ms_family family, const struct nftnl_rule *rule)
{
	struct nftnl_expr_iter *iter = nftnl_expr_iter_create(rule);
	const char *chain = nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN);
	_cleanup_(ms_str_fini) struct ms_str line = {0};
	uint32_t size = 0;
	const void *userdata = nftnl_rule_get_data(rule, NFTNL_RULE_USERDATA, &size);

	if (!lines->chain || strcmp(lines->chain, chain) != 0) {
		lines->chain = ms_arena_strdup(lines->arena, chain);
		lines->place = 0;
	}
	if (!iter || !lines->chain) {
		lines->failed = true;
		return;
	}
	ms_str_addf(&line, "%s rule %zu of %s:", ms_family_name(family), ++lines->place, chain);
	for (struct nftnl_expr *e; (e = nftnl_expr_iter_next(iter));)
		put_expr(lines, e, &line);
	nftnl_expr_iter_destroy(iter);
	if (userdata && size > 2)
		ms_str_addf(&line, " # %.*s", (int)size - 2, (const char *)userdata + 2);
	add_line(lines, &line);
}

void ms_lines_end_table(struct ms_lines *lines)
{
	lines->anon_names.n_items = 0;
	lines->anon_elems.n_items = 0;
	lines->chain = NULL;
}

/* Our side. */

static void add_named_set(struct ms_lines *lines, const struct ms_table *table,
			  const struct ms_set *set)
{
	_cleanup_(nftnl_set_freep) struct nftnl_set *declared = ms_nft_set(table, set, 0, false);
	_cleanup_(nftnl_set_freep) struct nftnl_set *elems =
		ms_nft_elems(table, set, set->elems.items, set->elems.n_items);

	if (!declared || !elems) {
		lines->failed = true;
		return;
	}
	ms_lines_set(lines, table->family, declared);
	add_elems(lines, table->family, elems);
}

static void add_chain(struct ms_lines *lines, const struct ms_table *table,
		      const struct ms_chain *chain)
{
	_cleanup_(nftnl_chain_freep) struct nftnl_chain *c = ms_nft_chain(table, chain, false);

	if (c)
		ms_lines_chain(lines, table->family, c);
	else
		lines->failed = true;
}

/* Anonymous sets are called by their place in the rule, as the kernel's are where they are read. */
static void add_rule(struct ms_lines *lines, const struct ms_table *table,
		     const struct ms_chain *chain, const struct ms_rule *rule)
{
	_cleanup_(nftnl_rule_freep) struct nftnl_rule *r = ms_nft_rule(table, chain, rule, 0);
	uint32_t id = 1;

	lines->anon_names.n_items = lines->anon_elems.n_items = 0;
	ms_vec_each (struct ms_match_expr, match, &rule->matches) {
		if (match->kind != MS_MATCH_ANON_SET)
			continue;
		_cleanup_(nftnl_set_freep) struct nftnl_set *s = ms_nft_anon_set(table, match, id);
		const char *name = ms_arena_printf(lines->arena, "%u", id++);

		if (!s || !name || nftnl_set_set_str(s, NFTNL_SET_NAME, name) < 0)
			lines->failed = true;
		else
			keep_anon_set(lines, s);
	}
	if (r)
		ms_lines_rule(lines, table->family, r);
	else
		lines->failed = true;
}

void ms_lines_ruleset(struct ms_lines *lines, const struct ms_ruleset *ruleset)
{
	ms_vec_each (struct ms_table *, table, &ruleset->tables) {
		ms_lines_table(lines, (*table)->family);
		ms_vec_each (struct ms_set *, set, &(*table)->sets)
			add_named_set(lines, *table, *set);
		ms_vec_each (struct ms_chain *, chain, &(*table)->chains) {
			add_chain(lines, *table, *chain);
			ms_vec_each (struct ms_rule, rule, &(*chain)->rules)
				add_rule(lines, *table, *chain, rule);
		}
		ms_lines_end_table(lines);
	}
}

/* Comparing. */

struct comparison {
	struct ms_str *out;
	size_t n_found;
};

static void report(struct comparison *c, const char *what, const struct ms_line *line)
{
	if (c->n_found++ < DIFFERENCES_SHOWN && c->out)
		ms_str_addf(c->out, "%s: %s\n", what, line->text);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(((const struct ms_line *)a)->text, ((const struct ms_line *)b)->text);
}

static bool is_ending(const struct ms_line *line)
{
	return line->left_ms && line->left_ms < TIME_TOLERANCE_MS;
}

static bool times_differ(const struct ms_line *a, const struct ms_line *b)
{
	uint64_t difference =
		a->left_ms > b->left_ms ? a->left_ms - b->left_ms : b->left_ms - a->left_ms;

	return !a->left_ms != !b->left_ms || difference > TIME_TOLERANCE_MS;
}

int ms_lines_compare(struct ms_lines *wanted, struct ms_lines *found, struct ms_str *difference)
{
	struct comparison c = {.out = difference};
	size_t i = 0, j = 0;

	if (wanted->failed || found->failed)
		return -ENOMEM;
	ms_vec_sort(&wanted->list, compare_lines);
	ms_vec_sort(&found->list, compare_lines);
	while (i < wanted->list.n_items || j < found->list.n_items) {
		const struct ms_line *ours = &wanted->list.items[i], *there = &found->list.items[j];
		int order = i == wanted->list.n_items  ? 1
			    : j == found->list.n_items ? -1
						       : strcmp(ours->text, there->text);

		if (order < 0 && !is_ending(ours))
			report(&c, "missing", ours);
		else if (order > 0)
			report(&c, "not ours", there);
		else if (order == 0 && times_differ(ours, there))
			report(&c, "ends at another time", ours);
		i += order <= 0;
		j += order >= 0;
	}
	if (c.n_found > DIFFERENCES_SHOWN && difference)
		ms_str_addf(difference, "and %zu more\n", c.n_found - DIFFERENCES_SHOWN);
	return c.n_found > 0;
}
