/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for sandbox.c in builds with a sanitizer, whose runtime starts threads and reads its
 * own memory. */
#include "daemon/sandbox.h"

int ms_sandbox_enter(const char *const *writable, size_t n_writable)
{
	(void)writable;
	(void)n_writable;
	return 0;
}

int ms_sandbox_become_nobody(void)
{
	return 0;
}

int ms_sandbox_only_serve(void)
{
	return 0;
}
