/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shrink: takes from a failing case whatever it can do without.
 *
 * It knows nothing of the language: it removes documents, then runs of lines, then items within
 * brackets, and keeps a removal when what is left still loads, still has the flow, and is still
 * disagreed on. What does not load any more was needed.
 */
#include <stdlib.h>
#include <string.h>

#include "random.h"

struct shrinking {
	struct random_case *c;
	const struct flow *flow;
};

static bool fails(const struct random_case *c, const struct flow *flow)
{
	struct trial trial;

	if (!trial_init(&trial, c, false))
		return false;
	bool failing = trial_has(&trial, flow) && !trial_agrees(&trial, flow, NULL, NULL);
	trial_fini(&trial);
	return failing;
}

/* Takes the bytes from @from to @to out of *@text (one of the case's two) if the case goes on
 * failing. */
static bool take_out(struct shrinking *s, char **text, size_t from, size_t to)
{
	char *old = *text, *shorter = strdup(old);

	if (!shorter)
		return false;
	memmove(shorter + from, old + to, strlen(old + to) + 1);
	*text = shorter;
	if (fails(s->c, s->flow)) {
		free(old);
		return true;
	}
	free(shorter);
	*text = old;
	return false;
}

static size_t skip_lines(const char *text, size_t at, size_t n)
{
	while (n-- > 0 && text[at])
		at += strcspn(text + at, "\n") + (text[at + strcspn(text + at, "\n")] == '\n');
	return at;
}

/* Runs of @n lines, each tried once. Returns whether any went. */
static bool without_lines(struct shrinking *s, char **text, size_t n)
{
	bool any = false;

	for (size_t at = 0; (*text)[at];) {
		size_t end = skip_lines(*text, at, n);

		if (take_out(s, text, at, end))
			any = true;
		else
			at = skip_lines(*text, at, n > 4 ? n : 1);
	}
	return any;
}

static bool without_documents(struct shrinking *s, char **text)
{
	static const char mark[] = "---\n";
	bool any = false;

	for (char *at = strstr(*text, mark); at;) {
		size_t from = (size_t)(at - *text);
		char *next = strstr(at + 1, mark);

		if (take_out(s, text, from, next ? (size_t)(next - *text) : strlen(*text))) {
			any = true;
			at = strstr(*text + from, mark);
		} else {
			at = next;
		}
	}
	return any;
}

/* The end of the item of a list or mapping that begins at @at: its comma or closing bracket. */
static size_t item_end(const char *text, size_t at)
{
	int depth = 0;

	for (; text[at] && text[at] != '\n'; at++) {
		if (depth == 0 && (text[at] == ',' || text[at] == ']' || text[at] == '}'))
			break;
		depth += text[at] == '[' || text[at] == '{';
		depth -= text[at] == ']' || text[at] == '}';
	}
	return at;
}

/* An item and the comma behind it, or before it. */
static bool without_items(struct shrinking *s, char **text)
{
	bool any = false;

	for (size_t at = 0; (*text)[at]; at++) {
		const char *now = *text;

		if (now[at] != '[' && now[at] != '{' && now[at] != ',')
			continue;
		size_t end = item_end(now, at + 1);

		if (now[at] == ',' ? take_out(s, text, at, end)
				   : now[end] == ',' && take_out(s, text, at + 1,
								 end + 1 + (now[end + 1] == ' '))) {
			any = true;
			at--;
		}
	}
	return any;
}

static bool shrink_text(struct shrinking *s, char **text)
{
	bool any = without_documents(s, text);

	for (size_t n = 32; n > 0; n /= 2)
		any = without_lines(s, text, n) || any;
	return without_items(s, text) || any;
}

void shrink(struct random_case *c, const struct flow *flow)
{
	struct shrinking s = {c, flow};
	bool any = true;

	if (!fails(c, flow))
		return;
	while (any) {
		any = shrink_text(&s, &c->policy);
		any = shrink_text(&s, &c->inventory) || any;
	}
}
