/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/watchdog.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/log.h"

#define MIN_PERIOD_MS 10

struct ms_watchdog {
	struct ms_timer *timer;
	uint64_t period_ms;
};

static void on_timer(void *userdata)
{
	struct ms_watchdog *watchdog = userdata;

	ms_notify("WATCHDOG=1");
	ms_timer_set(watchdog->timer, watchdog->period_ms);
}

/* sd_watchdog_enabled(3): the variables may have been meant for a parent. Returns 0 for none. */
static uint64_t wanted_period_ms(void)
{
	const char *interval_us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (!interval_us || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	uint64_t period_ms = strtoull(interval_us, NULL, 10) / 2000;
	return period_ms > 0 && period_ms < MIN_PERIOD_MS ? MIN_PERIOD_MS : period_ms;
}

int ms_watchdog_new(struct ms_loop *loop, struct ms_watchdog **ret_watchdog)
{
	uint64_t period_ms = wanted_period_ms();
	struct ms_watchdog *watchdog = NULL;

	if (period_ms > 0) {
		watchdog = calloc(1, sizeof(*watchdog));
		if (!watchdog)
			return -ENOMEM;
		watchdog->period_ms = period_ms;
		watchdog->timer = ms_loop_timer(loop, on_timer, watchdog);
		if (!watchdog->timer) {
			free(watchdog);
			return -ENOMEM;
		}
		ms_timer_set(watchdog->timer, 0);
	}
	*ret_watchdog = watchdog;
	return 0;
}

struct ms_watchdog *ms_watchdog_free(struct ms_watchdog *watchdog)
{
	if (!watchdog)
		return NULL;
	ms_timer_free(watchdog->timer);
	free(watchdog);
	return NULL;
}
