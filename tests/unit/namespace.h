/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Namespace: tests that need a kernel leave the host's network first, for one that ends with the
 * process.
 */
#pragma once

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/** Runs a formatted shell command that must succeed. */
__attribute__((format(printf, 1, 2))) static inline void run(const char *format, ...)
{
	char command[4096];
	va_list args;

	va_start(args, format);
	int len = vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	assert_in_range(len, 1, sizeof(command) - 1);
	int status = system(command);
	if (status != 0)
		fail_msg("%s: exit status %d", command, status);
}

/** Loads @ruleset with nft. */
static inline void load_nft(const char *ruleset)
{
	FILE *nft = popen("nft -f -", "w");

	assert_non_null(nft);
	fputs(ruleset, nft);
	assert_int_equal(pclose(nft), 0);
}

/** Moves this process into a network namespace of its own; a group setup. Without root the group
 * fails. */
static inline int enter_namespace(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) < 0) {
		perror("unshare(CLONE_NEWNET)");
		return -1;
	}
	run("ip link set lo up");
	return 0;
}
