/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/loaded.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/overlay.h"
#include "microseg/cleanup.h"

int ms_loaded_new(struct ms_files *files, bool color, struct ms_str *diagnostics,
		  struct ms_loaded **ret_loaded)
{
	return ms_loaded_new_with(files, NULL, time(NULL), color, diagnostics, ret_loaded);
}

static int load(struct ms_loaded *loaded, const char *runtime, time_t now, struct ms_diags *diags)
{
	size_t n_files = loaded->files.list.n_items;
	_cleanup_(freep) struct ms_policy_file *all = calloc(n_files + 1, sizeof(*all));
	const char *bytes = runtime ? ms_arena_strdup(loaded->files.arena, runtime) : "";

	if (!all || !bytes)
		return -ENOMEM;
	for (size_t i = 0; i < n_files; i++)
		all[i] = loaded->files.list.items[i];
	all[n_files] = (struct ms_policy_file){
		.name = MS_OVERLAY_FILE, .bytes = bytes, .size = strlen(bytes), .runtime = true};
	return ms_policy_load(all, n_files + (*bytes != '\0'), now, diags, &loaded->policy);
}

int ms_loaded_new_with(struct ms_files *files, const char *runtime, time_t now, bool color,
		       struct ms_str *diagnostics, struct ms_loaded **ret_loaded)
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
	r = load(loaded, runtime, now, &diags);
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
