/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loop: one thread, one event loop. A small skin over libevent, so that nothing else knows its
 * types but the HTTP server of the control socket.
 *
 * Handlers decode and record; they may call ms_loop_defer(), and the deferred function runs once
 * after all handlers of the turn. That is where the daemon reconciles.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct ms_loop;
struct ms_io;
struct ms_timer;

typedef void (*ms_io_fn)(int fd, void *userdata);
typedef void (*ms_timer_fn)(void *userdata);
typedef void (*ms_signal_fn)(int signal, void *userdata);

#define MS_IO_READ 1u
#define MS_IO_WRITE 2u

/** Returns NULL when memory or the kernel refuses. */
struct ms_loop *ms_loop_new(void);
struct ms_loop *ms_loop_free(struct ms_loop *loop);
/** Runs until ms_loop_stop(). Returns 0 or -EIO. */
int ms_loop_run(struct ms_loop *loop);
void ms_loop_stop(struct ms_loop *loop);
/** For the HTTP server only. */
struct event_base *ms_loop_base(struct ms_loop *loop);

/** Calls @fn whenever @fd is ready for @what (MS_IO_*). @fd stays the caller's. NULL without
 * memory; when it is the kernel that has none, it is asked again until it has. */
struct ms_io *ms_loop_io(struct ms_loop *loop, int fd, unsigned int what, ms_io_fn fn,
			 void *userdata);
struct ms_io *ms_io_free(struct ms_io *io);

/** A stopped timer. NULL without memory. */
struct ms_timer *ms_loop_timer(struct ms_loop *loop, ms_timer_fn fn, void *userdata);
struct ms_timer *ms_timer_free(struct ms_timer *timer);
/** Fires once, @delay_ms from now (monotonic); set again from the handler to repeat. Replaces an
 * earlier setting. */
void ms_timer_set(struct ms_timer *timer, uint64_t delay_ms);
void ms_timer_stop(struct ms_timer *timer);
bool ms_timer_is_set(const struct ms_timer *timer);

/** Calls @fn for @signal from the loop. Returns 0 or -errno. Lives as long as the loop. */
int ms_loop_signal(struct ms_loop *loop, int signal, ms_signal_fn fn, void *userdata);

/** The one function that runs after a turn in which ms_loop_defer() was called. */
void ms_loop_set_deferred(struct ms_loop *loop, ms_timer_fn fn, void *userdata);
void ms_loop_defer(struct ms_loop *loop);

/** CLOCK_MONOTONIC in milliseconds. */
uint64_t ms_monotonic_ms(void);
/** CLOCK_REALTIME in milliseconds. */
uint64_t ms_realtime_ms(void);
