/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "running.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "client.h"
#include "microseg/cleanup.h"

static int unpack_files(const json_t *running, struct ms_files *files)
{
	json_t *list = json_object_get(running, "files"), *item;
	int r = ms_files_init(files);
	size_t i;

	files->applied = true;
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

static int load(const struct cli *cli, const char *path, struct ms_loaded **ret_loaded)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str ignored = {0};
	_cleanup_(json_decrefp) json_t *running = NULL;
	int r = client_json(cli, path, NULL, &running);

	if (r == 0)
		r = unpack_files(running, &files);
	if (r < 0 || files.list.n_items == 0)
		return r;
	r = ms_loaded_new_with(&files, json_string_value(json_object_get(running, "runtime")),
			       cli->now, false, &ignored, ret_loaded);
	return r == -ENOMEM ? r : 0;
}

int running_policy(const struct cli *cli, struct ms_loaded **ret_loaded)
{
	return load(cli, "/v1/policy", ret_loaded);
}

int running_earlier(const struct cli *cli, uint64_t generation, struct ms_loaded **ret_loaded)
{
	char path[64];

	snprintf(path, sizeof(path), "/v1/policy?generation=%" PRIu64, generation);
	return load(cli, path, ret_loaded);
}

void running_overlay(const struct cli *cli, struct ms_str *out)
{
	_cleanup_(client_reply_fini) struct client_reply reply = {0};
	_cleanup_(json_decrefp) json_t *running = NULL;

	if (client_call(cli, "/v1/policy", NULL, &reply) < 0 || reply.code != 200)
		return;
	running = json_loads(reply.body.text ? reply.body.text : "", 0, NULL);
	const char *text = json_string_value(json_object_get(running, "runtime"));
	ms_str_add(out, text ? text : "");
}
