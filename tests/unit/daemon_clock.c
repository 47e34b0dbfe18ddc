/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clock of ends. That it is told of a clock that was set needs a machine whose clock may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "daemon/clock.h"
#include "loop/loop.h"

struct watch {
	struct ms_loop *loop;
	struct ms_clock *clock;
	unsigned int n_calls;
	uint64_t called_ms;
	time_t again; /* set from the handler; 0: stop */
};

static void on_clock(bool set, void *userdata)
{
	struct watch *watch = userdata;

	assert_false(set);
	watch->n_calls++;
	watch->called_ms = ms_realtime_ms();
	if (watch->again) {
		ms_clock_set(watch->clock, watch->again);
		watch->again = 0;
		return;
	}
	ms_loop_stop(watch->loop);
}

static void on_patience(void *userdata)
{
	ms_loop_stop(userdata);
}

/* Runs for at most @patience_ms with a clock set to @at. */
static struct watch run(time_t at, time_t again, uint64_t patience_ms)
{
	struct watch watch = {.loop = ms_loop_new(), .again = again};
	struct ms_timer *patience = ms_loop_timer(watch.loop, on_patience, watch.loop);

	watch.clock = ms_clock_new(watch.loop, on_clock, &watch);
	assert_non_null(watch.clock);
	ms_clock_set(watch.clock, at);
	ms_timer_set(patience, patience_ms);
	assert_int_equal(ms_loop_run(watch.loop), 0);
	ms_timer_free(patience);
	ms_clock_free(watch.clock);
	ms_loop_free(watch.loop);
	return watch;
}

static void an_end_is_told_when_it_has_come_and_once(void **state)
{
	time_t at = (time_t)(ms_realtime_ms() / 1000) + 1;
	struct watch watch = run(at, 0, 10000);

	(void)state;
	assert_int_equal(watch.n_calls, 1);
	assert_true(watch.called_ms >= (uint64_t)at * 1000);
}

static void an_end_in_the_past_is_told_at_once(void **state)
{
	(void)state;
	assert_int_equal(run(1000, 0, 10000).n_calls, 1);
}

static void the_next_end_can_be_set_from_there(void **state)
{
	(void)state;
	assert_int_equal(run(1000, 2000, 10000).n_calls, 2);
}

static void without_an_end_nothing_is_told(void **state)
{
	(void)state;
	assert_int_equal(run(0, 0, 300).n_calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_is_told_when_it_has_come_and_once),
		cmocka_unit_test(an_end_in_the_past_is_told_at_once),
		cmocka_unit_test(the_next_end_can_be_set_from_there),
		cmocka_unit_test(without_an_end_nothing_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
