/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "loop/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#include <event2/event.h>

#define MAX_SIGNALS 8
#define WATCH_AGAIN_MS 50

struct ms_loop {
	struct event_base *base;
	bool deferred; /* asked for */
	bool stopped;
	ms_timer_fn deferred_fn;
	void *deferred_userdata;
	struct ms_signal {
		struct event *event;
		ms_signal_fn fn;
		void *userdata;
	} signals[MAX_SIGNALS];
	size_t n_signals;
	LIST_HEAD(, ms_io) unwatched; /* which the kernel had no memory for */
	struct ms_timer *again;	      /* asks it once more */
};

struct ms_io {
	LIST_ENTRY(ms_io) entry; /* of the unwatched */
	bool unwatched;
	struct event *event;
	ms_io_fn fn;
	void *userdata;
};

struct ms_timer {
	struct event *event;
	uint64_t due_ms;
	ms_timer_fn fn;
	void *userdata;
};

static void watch_again(void *userdata)
{
	struct ms_loop *loop = userdata;

	for (struct ms_io *io = LIST_FIRST(&loop->unwatched), *next; io; io = next) {
		next = LIST_NEXT(io, entry);
		if (event_add(io->event, NULL) < 0)
			continue;
		LIST_REMOVE(io, entry);
		io->unwatched = false;
	}
	if (!LIST_EMPTY(&loop->unwatched))
		ms_timer_set(loop->again, WATCH_AGAIN_MS);
}

struct ms_loop *ms_loop_new(void)
{
	struct ms_loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	LIST_INIT(&loop->unwatched);
	loop->base = event_base_new();
	loop->again = loop->base ? ms_loop_timer(loop, watch_again, loop) : NULL;
	return loop->again ? loop : ms_loop_free(loop);
}

struct ms_loop *ms_loop_free(struct ms_loop *loop)
{
	if (!loop)
		return NULL;
	for (size_t i = 0; i < loop->n_signals; i++)
		event_free(loop->signals[i].event);
	ms_timer_free(loop->again);
	if (loop->base)
		event_base_free(loop->base);
	free(loop);
	return NULL;
}

static void run_deferred(struct ms_loop *loop)
{
	if (!loop->deferred)
		return;
	loop->deferred = false;
	if (loop->deferred_fn)
		loop->deferred_fn(loop->deferred_userdata);
}

/*
 * The deferred function is no event of the lowest priority: libevent looks at a priority only in a
 * turn in which no higher one had anything to do, and a socket that never falls silent would put it
 * off for ever.
 */
int ms_loop_run(struct ms_loop *loop)
{
	int r = 0;

	loop->stopped = false;
	while (r == 0 && !loop->stopped) {
		r = event_base_loop(loop->base,
				    EVLOOP_ONCE | (loop->deferred ? EVLOOP_NONBLOCK : 0));
		if (r == 0 && !loop->stopped)
			run_deferred(loop);
	}
	return r < 0 ? -EIO : 0;
}

void ms_loop_stop(struct ms_loop *loop)
{
	loop->stopped = true;
	event_base_loopbreak(loop->base);
}

struct event_base *ms_loop_base(struct ms_loop *loop)
{
	return loop->base;
}

static void on_io(evutil_socket_t fd, short what, void *userdata)
{
	struct ms_io *io = userdata;

	(void)what;
	io->fn(fd, io->userdata);
}

struct ms_io *ms_loop_io(struct ms_loop *loop, int fd, unsigned int what, ms_io_fn fn,
			 void *userdata)
{
	struct ms_io *io = calloc(1, sizeof(*io));
	short events = EV_PERSIST;

	if (!io)
		return NULL;
	if (what & MS_IO_READ)
		events |= EV_READ;
	if (what & MS_IO_WRITE)
		events |= EV_WRITE;
	io->fn = fn;
	io->userdata = userdata;
	io->event = event_new(loop->base, fd, events, on_io, io);
	if (!io->event)
		return ms_io_free(io);
	if (event_add(io->event, NULL) < 0) {
		io->unwatched = true;
		LIST_INSERT_HEAD(&loop->unwatched, io, entry);
		ms_timer_set(loop->again, WATCH_AGAIN_MS);
	}
	return io;
}

struct ms_io *ms_io_free(struct ms_io *io)
{
	if (!io)
		return NULL;
	if (io->unwatched)
		LIST_REMOVE(io, entry);
	if (io->event)
		event_free(io->event);
	free(io);
	return NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *userdata)
{
	struct ms_timer *timer = userdata;

	(void)fd;
	(void)what;
	timer->fn(timer->userdata);
}

struct ms_timer *ms_loop_timer(struct ms_loop *loop, ms_timer_fn fn, void *userdata)
{
	struct ms_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return NULL;
	timer->fn = fn;
	timer->userdata = userdata;
	timer->event = evtimer_new(loop->base, on_timer, timer);
	if (!timer->event)
		return ms_timer_free(timer);
	return timer;
}

struct ms_timer *ms_timer_free(struct ms_timer *timer)
{
	if (!timer)
		return NULL;
	if (timer->event)
		event_free(timer->event);
	free(timer);
	return NULL;
}

/* Has its time come, without its function having been called yet? Not asked of event_pending(),
 * which converts to the wall clock, and by what that was seconds ago. */
static bool is_due(const struct ms_timer *timer)
{
	return ms_timer_is_set(timer) && timer->due_ms <= ms_monotonic_ms();
}

/* event_add() takes a timer that is due off the list of what is called in this turn: one that is
 * set to "at once" in each turn would never be called. */
void ms_timer_set(struct ms_timer *timer, uint64_t delay_ms)
{
	if (delay_ms == 0 && is_due(timer))
		return;

	struct timeval delay = {.tv_sec = (time_t)(delay_ms / 1000),
				.tv_usec = (suseconds_t)(delay_ms % 1000 * 1000)};

	timer->due_ms = ms_monotonic_ms() + delay_ms;
	evtimer_add(timer->event, &delay);
}

void ms_timer_stop(struct ms_timer *timer)
{
	evtimer_del(timer->event);
}

bool ms_timer_is_set(const struct ms_timer *timer)
{
	return evtimer_pending(timer->event, NULL);
}

static void on_signal(evutil_socket_t fd, short what, void *userdata)
{
	struct ms_signal *signal = userdata;

	(void)what;
	signal->fn(fd, signal->userdata);
}

int ms_loop_signal(struct ms_loop *loop, int signal, ms_signal_fn fn, void *userdata)
{
	if (loop->n_signals == MAX_SIGNALS)
		return -ENOSPC;

	struct ms_signal *slot = &loop->signals[loop->n_signals];
	*slot = (struct ms_signal){.fn = fn, .userdata = userdata};
	slot->event = evsignal_new(loop->base, signal, on_signal, slot);
	if (!slot->event)
		return -ENOMEM;
	loop->n_signals++;
	return evsignal_add(slot->event, NULL) < 0 ? -EIO : 0;
}

void ms_loop_set_deferred(struct ms_loop *loop, ms_timer_fn fn, void *userdata)
{
	loop->deferred_fn = fn;
	loop->deferred_userdata = userdata;
}

void ms_loop_defer(struct ms_loop *loop)
{
	loop->deferred = true;
}

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t ms_monotonic_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

uint64_t ms_realtime_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}
