/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "running.h"

#include <errno.h>

#include "client.h"
#include "microseg/cleanup.h"

static int unpack_files(const json_t *running, struct ms_files *files)
{
	json_t *list = json_object_get(running, "files"), *item;
	int r = ms_files_init(files);
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *name, *text;
		size_t size;

		if (r == 0 &&
		    json_unpack(item, "{s:s, s:s%}", "name", &name, "text", &text, &size) < 0)
			r = -EBADMSG;
		if (r == 0)
			r = ms_files_add(files, name, text, size);
	}
	return r;
}

int running_policy(const struct cli *cli, struct ms_loaded **ret_loaded)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str ignored = {0};
	_cleanup_(json_decrefp) json_t *running = NULL;
	int r = client_json(cli, "/v1/policy", NULL, &running);

	if (r == 0)
		r = unpack_files(running, &files);
	if (r < 0 || files.list.n_items == 0)
		return r;
	r = ms_loaded_new(&files, false, &ignored, ret_loaded);
	return r == -ENOMEM ? r : 0;
}
