/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends are moments of the wall clock, and the kernel counts down to them by a clock of its own. A
 * timer of the wall clock fires at the next one, however long the machine slept, and says when the
 * clock was set: then everything is counted anew.
 */
#include "daemon/clock.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define NEVER INT32_MAX /* a timer that is not set is not told either */

struct ms_clock {
	int fd;
	struct ms_io *io;
	ms_clock_fn fn;
	void *userdata;
	time_t at;
};

static void arm(struct ms_clock *clock)
{
	struct itimerspec spec = {.it_value.tv_sec = clock->at ? clock->at : NEVER};

	timerfd_settime(clock->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, NULL);
}

static void on_timer(int fd, void *userdata)
{
	struct ms_clock *clock = userdata;
	uint64_t n_times;
	ssize_t n = read(fd, &n_times, sizeof(n_times));
	bool set = n < 0 && errno == ECANCELED;

	if (n < 0 && !set)
		return;
	if (!set)
		clock->at = 0;
	arm(clock);
	clock->fn(set, clock->userdata);
}

struct ms_clock *ms_clock_new(struct ms_loop *loop, ms_clock_fn fn, void *userdata)
{
	struct ms_clock *clock = calloc(1, sizeof(*clock));

	if (!clock)
		return NULL;
	clock->fn = fn;
	clock->userdata = userdata;
	clock->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (clock->fd >= 0)
		clock->io = ms_loop_io(loop, clock->fd, MS_IO_READ, on_timer, clock);
	if (!clock->io)
		return ms_clock_free(clock);
	arm(clock);
	return clock;
}

struct ms_clock *ms_clock_free(struct ms_clock *clock)
{
	if (!clock)
		return NULL;
	ms_io_free(clock->io);
	if (clock->fd >= 0)
		close(clock->fd);
	free(clock);
	return NULL;
}

void ms_clock_set(struct ms_clock *clock, time_t at)
{
	if (at == clock->at)
		return;
	clock->at = at;
	arm(clock);
}
