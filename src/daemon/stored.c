/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/stored.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/history.h"
#include "daemon/log.h"
#include "daemon/overlay.h"
#include "microseg/cleanup.h"

static int read_policy(const struct ms_state *state, struct ms_str *diagnostics,
		       struct ms_loaded **ret_loaded)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str runtime = {0};
	_cleanup_(json_decrefp) json_t *overlay = NULL;
	int r = ms_files_init(&files);

	if (r == 0)
		r = ms_state_load_policy(state, &files, NULL);
	/* Without its overlay a policy may open what was quarantined. */
	if (r == 0)
		r = ms_state_load_overlay(state, &overlay);
	if (r < 0)
		return r;
	time_t now = time(NULL);
	ms_overlay_print(overlay, now, &runtime);
	return ms_loaded_new_with(&files, runtime.text, now, false, diagnostics, ret_loaded);
}

int ms_stored_policy(const struct ms_state *state, const char *path, struct ms_loaded **ret_loaded)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	int r = read_policy(state, &text, ret_loaded);

	if (r == 0 || r == -ENOENT)
		return r;
	ms_log(MS_LOG_ERROR, "the last good policy in %s cannot be used: %s", path,
	       r == -EBADMSG	       ? "a checksum is wrong"
	       : r == -EPROTONOSUPPORT ? "a newer version of microsegd wrote it"
	       : r == -EINVAL	       ? "it has errors"
				       : strerror(-r));
	if (text.text)
		fputs(text.text, stderr);
	return r;
}

int ms_stored_inventory(const struct ms_state *state, bool *ret_this_boot,
			struct ms_inventory **ret_inventory)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
	int r = ms_files_init(&files);

	files.inventory = true;
	if (r == 0)
		r = ms_state_load_inventory(state, &files, ret_this_boot);
	if (r == 0)
		r = ms_diags_init(&diags);
	if (r < 0)
		return r;
	r = ms_inventory_load(&files.list.items[0], &diags, ret_inventory);
	return r == -EINVAL ? -EBADMSG : r;
}
