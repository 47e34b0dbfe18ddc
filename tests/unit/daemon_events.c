/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "daemon/events.h"
#include "microseg/cleanup.h"

static void filters_by_time_reason_and_either_end(void **state)
{
	static const struct ms_events_line line = {.time_ms = 1000,
						   .reason = MS_REASON_FENCE,
						   .src = "dev/web",
						   .dst = "prod/orders-db"};
	static const struct {
		struct ms_events_filter filter;
		bool passes;
	} cases[] = {
		{{0}, true},
		{{.since_ms = 1000}, true},
		{{.since_ms = 1001}, false},
		{{.reason = MS_REASON_FENCE}, true},
		{{.reason = MS_REASON_NO_GRANT}, false},
		{{.service = "dev/web"}, true},
		{{.service = "web"}, true},
		{{.service = "prod/orders-db"}, true},
		{{.service = "orders-db"}, true},
		{{.service = "prod/web"}, false},
		{{.service = "orders"}, false},
		{{.service = "prod"}, false},
		{{.since_ms = 1, .reason = MS_REASON_FENCE, .service = "web"}, true},
		{{.since_ms = 1, .reason = MS_REASON_SPOOF, .service = "web"}, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (ms_events_match(&cases[i].filter, &line) != cases[i].passes)
			fail_msg("case %zu", i);
}

static void losses_pass_every_filter_but_time(void **state)
{
	static const struct ms_events_line line = {.time_ms = 1000, .src = "", .dst = ""};
	struct ms_events_filter narrow = {.reason = MS_REASON_FENCE, .service = "prod/web"};
	struct ms_events_filter later = {.since_ms = 2000};

	(void)state;
	assert_true(ms_events_match(&narrow, &line));
	assert_false(ms_events_match(&later, &line));
}

static void a_group_or_log_that_cannot_be_had_is_a_problem_not_a_failure(void **state)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	struct ms_events *events = NULL;
	struct ms_loop *loop = ms_loop_new();

	(void)state;
	assert_int_equal(ms_config_init(&config), 0);
	config.log = "/nowhere/events.jsonl";
	assert_non_null(loop);
	assert_int_equal(ms_events_new(loop, &config, &events), 0);
	assert_non_null(ms_events_log_problem(events));
	assert_int_equal(ms_events_lost(events), 0);
	ms_events_free(events);
	ms_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_by_time_reason_and_either_end),
		cmocka_unit_test(losses_pass_every_filter_but_time),
		cmocka_unit_test(a_group_or_log_that_cannot_be_had_is_a_problem_not_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
