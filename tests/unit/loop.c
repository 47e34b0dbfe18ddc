/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "loop/loop.h"

struct trial {
	struct ms_loop *loop;
	unsigned int n_reads, n_deferred, n_wanted;
};

/* Never reads: the descriptor stays ready. Asks for the deferred function each time. */
static void on_ready(int fd, void *userdata)
{
	struct trial *trial = userdata;

	(void)fd;
	trial->n_reads++;
	ms_loop_defer(trial->loop);
	ms_loop_defer(trial->loop);
	if (trial->n_reads > 1000)
		ms_loop_stop(trial->loop); /* it would never end: the checks below fail */
}

static void on_deferred(void *userdata)
{
	struct trial *trial = userdata;

	if (++trial->n_deferred == trial->n_wanted)
		ms_loop_stop(trial->loop);
}

static void defers_while_a_socket_never_falls_silent(void **state)
{
	struct trial trial = {.loop = ms_loop_new(), .n_wanted = 3};
	int pipe_fds[2];

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	struct ms_io *io = ms_loop_io(trial.loop, pipe_fds[0], MS_IO_READ, on_ready, &trial);
	ms_loop_set_deferred(trial.loop, on_deferred, &trial);
	assert_int_equal(ms_loop_run(trial.loop), 0);
	assert_int_equal(trial.n_deferred, 3);
	assert_int_equal(trial.n_reads, 3); /* once a turn, however often it is asked for */
	ms_io_free(io);
	ms_loop_free(trial.loop);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static time_t clock_set_by; /* as everybody in this program sees the wall clock, libevent too */

int gettimeofday(struct timeval *now, void *zone)
{
	struct timespec real;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &real);
	*now = (struct timeval){real.tv_sec + clock_set_by, real.tv_nsec / 1000};
	return 0;
}

struct restless {
	struct ms_loop *loop;
	struct ms_timer *timer;
	unsigned int n_reads;
	bool called;
};

static void set_again(int fd, void *userdata)
{
	struct restless *restless = userdata;

	(void)fd;
	ms_timer_set(restless->timer, 0);
	if (++restless->n_reads > 1000)
		ms_loop_stop(restless->loop);
}

static void on_called(void *userdata)
{
	struct restless *restless = userdata;

	restless->called = true;
	ms_loop_stop(restless->loop);
}

static void call_in_each_turn(time_t step)
{
	struct restless restless = {.loop = ms_loop_new()};
	int pipe_fds[2];

	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	clock_set_by = step;
	restless.timer = ms_loop_timer(restless.loop, on_called, &restless);
	struct ms_io *io = ms_loop_io(restless.loop, pipe_fds[0], MS_IO_READ, set_again, &restless);
	assert_int_equal(ms_loop_run(restless.loop), 0);
	assert_true(restless.called);
	clock_set_by = 0;
	ms_io_free(io);
	ms_timer_free(restless.timer);
	ms_loop_free(restless.loop);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void calls_a_timer_that_is_set_at_once_in_each_turn(void **state)
{
	(void)state;
	call_in_each_turn(0);
}

static void a_clock_that_is_set_lets_no_timer_starve(void **state)
{
	(void)state;
	call_in_each_turn(-3600);
	call_in_each_turn(3600);
}

static void too_late(void *userdata)
{
	ms_loop_stop(userdata);
}

/* Set to "later", and then to "at once", while somebody sets the clock. */
static void a_clock_that_is_set_puts_nothing_off(void **state)
{
	(void)state;
	for (int step = -3600; step <= 3600; step += 3600) {
		struct restless restless = {.loop = ms_loop_new()};
		struct ms_timer *end = ms_loop_timer(restless.loop, too_late, restless.loop);

		restless.timer = ms_loop_timer(restless.loop, on_called, &restless);
		ms_timer_set(end, 500);
		ms_timer_set(restless.timer, 30000);
		clock_set_by = step;
		ms_timer_set(restless.timer, 0);
		assert_int_equal(ms_loop_run(restless.loop), 0);
		assert_true(restless.called);
		clock_set_by = 0;
		ms_timer_free(restless.timer);
		ms_timer_free(end);
		ms_loop_free(restless.loop);
	}
}

static void defer_again(void *userdata)
{
	struct trial *trial = userdata;

	on_deferred(trial);
	ms_loop_defer(trial->loop);
}

/* What is deferred by the deferred function, or before the loop runs, waits for no event. */
static void waits_for_nothing_when_something_is_deferred(void **state)
{
	struct trial trial = {.loop = ms_loop_new(), .n_wanted = 3};
	struct ms_timer *timer = ms_loop_timer(trial.loop, on_deferred, &trial);

	(void)state;
	ms_timer_set(timer, 60000);
	ms_loop_set_deferred(trial.loop, defer_again, &trial);
	ms_loop_defer(trial.loop);
	uint64_t since_ms = ms_monotonic_ms();
	assert_int_equal(ms_loop_run(trial.loop), 0);
	assert_int_equal(trial.n_deferred, 3);
	assert_true(ms_monotonic_ms() - since_ms < 30000);
	ms_timer_free(timer);
	ms_loop_free(trial.loop);
}

static void ends_when_nothing_is_left_to_wait_for(void **state)
{
	struct ms_loop *loop = ms_loop_new();

	(void)state;
	assert_int_equal(ms_loop_run(loop), 0);
	ms_loop_free(loop);
}

struct late {
	struct ms_loop *loop;
	int from, to;
};

static void come(void *userdata)
{
	const struct late *late = userdata;

	assert_int_equal(dup2(late->from, late->to), late->to);
}

static void stop(int fd, void *userdata)
{
	struct late *late = userdata;

	(void)fd;
	ms_loop_stop(late->loop);
}

/* A descriptor that is not open yet stands for a kernel that has no memory at the moment. */
static void watches_later_what_the_kernel_would_not_watch(void **state)
{
	struct late late = {.loop = ms_loop_new(), .to = 100};
	int pipe_fds[2];

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);
	late.from = pipe_fds[0];
	struct ms_io *io = ms_loop_io(late.loop, late.to, MS_IO_READ, stop, &late);
	struct ms_io *never = ms_loop_io(late.loop, late.to + 1, MS_IO_READ, stop, &late);
	struct ms_timer *timer = ms_loop_timer(late.loop, come, &late);
	assert_non_null(io);
	assert_non_null(never);
	ms_timer_set(timer, 120); /* it is tried in vain before */
	assert_int_equal(ms_loop_run(late.loop), 0);
	ms_io_free(never);
	ms_io_free(io);
	ms_timer_free(timer);
	ms_loop_free(late.loop);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	close(late.to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defers_while_a_socket_never_falls_silent),
		cmocka_unit_test(calls_a_timer_that_is_set_at_once_in_each_turn),
		cmocka_unit_test(a_clock_that_is_set_lets_no_timer_starve),
		cmocka_unit_test(a_clock_that_is_set_puts_nothing_off),
		cmocka_unit_test(waits_for_nothing_when_something_is_deferred),
		cmocka_unit_test(watches_later_what_the_kernel_would_not_watch),
		cmocka_unit_test(ends_when_nothing_is_left_to_wait_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
