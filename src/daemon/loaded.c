/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/loaded.h"

#include <errno.h>
#include <time.h>

#include "microseg/cleanup.h"

int ms_loaded_new(struct ms_files *files, bool color, struct ms_str *diagnostics,
		  struct ms_loaded **ret_loaded)
{
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = calloc(1, sizeof(*loaded));

	if (!loaded) {
		ms_files_fini(files);
		return -ENOMEM;
	}
	loaded->files = *files;
	*files = (struct ms_files){0};

	int r = ms_diags_init(&diags);
	if (r < 0)
		return r;
	r = ms_policy_load(loaded->files.list.items, loaded->files.list.n_items, time(NULL), &diags,
			   &loaded->policy);
	ms_diags_print(&diags, diagnostics, color);
	if (r < 0)
		return r;
	*ret_loaded = ms_steal(&loaded);
	return 0;
}

struct ms_loaded *ms_loaded_free(struct ms_loaded *loaded)
{
	if (!loaded)
		return NULL;
	ms_policy_free(loaded->policy);
	ms_files_fini(&loaded->files);
	free(loaded);
	return NULL;
}
