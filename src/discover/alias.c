/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/alias.h"

#include <errno.h>
#include <string.h>

/* The next word of *@text that is key=value with a key; false at the end. */
static bool next_label(const char **text, const char **ret_word, size_t *ret_len,
		       size_t *ret_key_len)
{
	static const char blanks[] = " \t\n\r\v\f";

	for (;;) {
		const char *word = *text + strspn(*text, blanks);
		size_t len = strcspn(word, blanks);
		const char *equals = memchr(word, '=', len);

		if (len == 0)
			return false;
		*text = word + len;
		if (!equals || equals == word)
			continue;
		*ret_word = word;
		*ret_len = len;
		*ret_key_len = (size_t)(equals - word);
		return true;
	}
}

bool ms_alias_has_labels(const char *alias)
{
	const char *word;
	size_t len, key_len;

	return next_label(&alias, &word, &len, &key_len);
}

static bool has_label(const struct ms_workload *workload, const char *name)
{
	ms_vec_each (struct ms_label, label, &workload->labels)
		if (strcmp(label->name, name) == 0)
			return true;
	return false;
}

int ms_alias_labels(struct ms_arena *arena, const char *alias, struct ms_workload *workload)
{
	const char *word;
	size_t len, key_len;
	int n = 0;

	while (next_label(&alias, &word, &len, &key_len)) {
		struct ms_label label = {
			.name = ms_arena_strndup(arena, word, key_len),
			.value = ms_arena_strndup(arena, word + key_len + 1, len - key_len - 1)};

		if (!label.name || !label.value)
			return -ENOMEM;
		if (has_label(workload, label.name))
			continue;
		int r = ms_avec_push(arena, &workload->labels, label);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}
