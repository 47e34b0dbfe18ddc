/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Caps: does this process hold what the work needs? Asked before anything is touched.
 */
#pragma once

/** The first capability the daemon needs and lacks ("CAP_NET_ADMIN", "CAP_NET_BROADCAST"), or NULL.
 */
const char *ms_caps_missing(void);
