/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words and times that the JSON line and the text line of an event share.
 */
#pragma once

#include "microseg/event.h"

#define MS_EVENT_TIME_SIZE 32

/** Writes RFC 3339 in UTC with milliseconds, "2026-12-01T18:00:00.123Z". Returns @text. */
const char *ms_event_time_format(uint64_t time_ms, char text[MS_EVENT_TIME_SIZE]);
/** Reads exactly that form. Returns 0 or -EINVAL. */
int ms_event_time_parse(const char *text, uint64_t *ret_time_ms);

/** "denied" or "audited". */
const char *ms_event_verdict_word(enum ms_verdict verdict);
