/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tag: the log prefix, the only thing a refused packet carries from the rule that refused it.
 *
 * "microseg denied no-grant ": three words, each followed by one blank, so that a kernel log in
 * which the prefix and the packet are glued together stays readable. Any other program may log into
 * the same group: what is not exactly one of our prefixes is not ours.
 */
#include "microseg/compile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *verdict_word(enum ms_verdict verdict)
{
	return verdict == MS_AUDIT ? "audited" : "denied";
}

const char *ms_log_tag_format(const struct ms_log_tag *tag, char text[MS_LOG_PREFIX_SIZE])
{
	const char *reason = ms_reason_name(tag->reason);

	snprintf(text, MS_LOG_PREFIX_SIZE, "microseg %s %s ", verdict_word(tag->verdict),
		 reason ? reason : "none");
	return text;
}

int ms_log_tag_parse(const char *prefix, struct ms_log_tag *ret_tag)
{
	static const enum ms_verdict verdicts[] = {MS_DENY, MS_AUDIT};

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		for (int reason = MS_REASON_NONE + 1; reason < MS_N_REASONS; reason++) {
			struct ms_log_tag tag = {verdicts[i], (enum ms_reason)reason};
			char text[MS_LOG_PREFIX_SIZE];

			if (strcmp(prefix, ms_log_tag_format(&tag, text)) != 0)
				continue;
			*ret_tag = tag;
			return 0;
		}
	return -EINVAL;
}
