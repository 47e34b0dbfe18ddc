/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loaded: a policy together with the files it was read from.
 */
#pragma once

#include "daemon/files.h"

struct ms_loaded {
	struct ms_files files;
	struct ms_policy *policy;
};

/**
 * Loads @files, which it takes over whatever happens. Errors and warnings are printed into
 * @diagnostics. Returns 0; -EINVAL when the policy has errors; -ENOMEM.
 */
int ms_loaded_new(struct ms_files *files, bool color, struct ms_str *diagnostics,
		  struct ms_loaded **ret_loaded);
/**
 * As ms_loaded_new(), with what commands added at run time (@runtime, a document in the policy
 * language; NULL or "": nothing) beside the files, as of @now. It is no part of `files` and not in
 * the hash.
 */
int ms_loaded_new_with(struct ms_files *files, const char *runtime, time_t now, bool color,
		       struct ms_str *diagnostics, struct ms_loaded **ret_loaded);
struct ms_loaded *ms_loaded_free(struct ms_loaded *loaded);
static inline void ms_loaded_freep(struct ms_loaded **loaded)
{
	ms_loaded_free(*loaded);
}
