/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "live.h"

#include <errno.h>

#include "daemon/caps.h"
#include "discover/discover.h"
#include "microseg/cleanup.h"

#define POLL_MS 20
#define TIMEOUT_MS 3000

struct look {
	struct ms_loop *loop;
	struct ms_discover *discover;
	struct ms_timer *timer;
	uint64_t start_ms;
};

static void on_changed(void *userdata)
{
	(void)userdata; /* the timer looks often enough */
}

static void on_timer(void *userdata)
{
	struct look *look = userdata;

	if (ms_discover_settled(look->discover) || ms_monotonic_ms() - look->start_ms > TIMEOUT_MS)
		ms_loop_stop(look->loop);
	else
		ms_timer_set(look->timer, POLL_MS);
}

static int start(struct look *look, const struct ms_config *config)
{
	struct ms_discover_options options = {
		.patterns = &config->managed,
		.named = &config->named,
		.ignore = &config->ignore,
		.engines = &config->engines,
		.netns_dir = MS_NETNS_DIR,
		.node = config->node,
		.changed = on_changed,
	};

	look->start_ms = ms_monotonic_ms();
	look->loop = ms_loop_new();
	look->timer = look->loop ? ms_loop_timer(look->loop, on_timer, look) : NULL;
	if (!look->timer)
		return -ENOMEM;
	ms_timer_set(look->timer, POLL_MS);
	return ms_discover_new(look->loop, &options, &look->discover);
}

int live_inventory(const struct ms_config *config, struct ms_inventory **ret_inventory)
{
	struct look look = {0};
	int r = ms_caps_missing() ? -EPERM : start(&look, config);

	if (r == 0)
		r = ms_loop_run(look.loop);
	if (r == 0)
		r = ms_discover_snapshot(look.discover, ret_inventory);
	if (r == 0)
		ms_vec_each (struct ms_endpoint, endpoint, &(*ret_inventory)->endpoints)
			endpoint->ready = true;
	ms_discover_free(look.discover);
	ms_timer_free(look.timer);
	ms_loop_free(look.loop);
	return r;
}
