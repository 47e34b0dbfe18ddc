/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/containers.h"

#include <string.h>

#include "daemon/log.h"
#include "daemon/state_private.h"
#include "microseg/cleanup.h"

#define FILE_NAME "containers"
#define DELAY_MS 1000 /* and one more for each endpoint: writing grows with them */

char *ms_containers_read(const struct ms_daemon *daemon)
{
	char *text = NULL;
	size_t size;

	return ms_state_read_file(daemon->store, FILE_NAME, &text, &size) < 0 ? NULL : text;
}

void ms_containers_soon(struct ms_daemon *daemon)
{
	size_t n_endpoints = daemon->inventory ? daemon->inventory->endpoints.n_items : 0;

	if (!ms_timer_is_set(daemon->containers))
		ms_timer_set(daemon->containers, DELAY_MS + n_endpoints);
}

static uint64_t hash_of(const struct ms_str *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < text->len; i++)
		hash = (hash ^ (unsigned char)text->text[i]) * 0x100000001b3u;
	return hash;
}

void ms_containers_now(void *userdata)
{
	struct ms_daemon *daemon = userdata;
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (!daemon->discover || !daemon->store)
		return;
	ms_discover_remember(daemon->discover, &text);
	uint64_t hash = hash_of(&text);
	if (text.failed || hash == daemon->containers_hash)
		return;
	int r = ms_state_replace_file(daemon->store, FILE_NAME, text.text ? text.text : "",
				      text.len, false);
	if (r == 0)
		daemon->containers_hash = hash;
	else
		ms_log(MS_LOG_WARNING,
		       "cannot write down which containers there are (%s): after a restart they are "
		       "closed until their engine answers",
		       strerror(-r));
}
