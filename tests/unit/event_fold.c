/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Folding: when events come out, and that their counts always add up to what went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "microseg/event.h"

#define MAX_OUT 16

struct out {
	size_t n;
	uint64_t sum;
	struct ms_event events[MAX_OUT]; /* the first ones */
};

static void take(const struct ms_event *event, void *userdata)
{
	struct out *out = userdata;

	assert_true(event->count > 0);
	if (out->n < MAX_OUT)
		out->events[out->n] = *event;
	out->n++;
	out->sum += event->count;
}

static struct ms_event sample(void)
{
	struct ms_event event = {
		.time_ms = 1000,
		.verdict = MS_DENY,
		.reason = MS_REASON_FENCE,
		.count = 1,
		.proto = 6,
		.has_dport = true,
		.dport = 5432,
		.src = {.identity = "dev/web",
			.endpoint = "web-1",
			.has_ip = true,
			.ip = {{10, 0, 2, 5}, MS_IP4}},
		.dst = {.identity = "prod/db",
			.endpoint = "db-1",
			.has_ip = true,
			.ip = {{10, 0, 1, 7}, MS_IP4}},
	};

	return event;
}

static void the_first_comes_at_once_and_the_others_when_the_window_ends(void **state)
{
	struct ms_fold *fold = ms_fold_new();
	struct ms_event event = sample();
	struct out out = {0};

	(void)state;
	assert_int_equal(ms_fold_flush(fold, 0, take, &out), -1);
	ms_fold_add(fold, &event, 500, take, &out);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.events[0].count, 1);
	assert_int_equal(ms_fold_flush(fold, 500, take, &out), MS_FOLD_WINDOW_MS);
	for (uint64_t now = 501; now < 504; now++) {
		event.time_ms++;
		ms_fold_add(fold, &event, now, take, &out);
	}
	assert_int_equal(ms_fold_flush(fold, 500 + MS_FOLD_WINDOW_MS - 1, take, &out), 1);
	assert_int_equal(out.n, 1);
	assert_int_equal(ms_fold_flush(fold, 500 + MS_FOLD_WINDOW_MS, take, &out),
			 MS_FOLD_WINDOW_MS);
	assert_int_equal(out.n, 2);
	assert_int_equal(out.events[1].count, 3);
	assert_int_equal(out.events[1].time_ms, 1003); /* of the last packet */
	ms_fold_free(fold);
}

static void a_silent_flow_is_forgotten_and_its_next_packet_comes_at_once(void **state)
{
	struct ms_fold *fold = ms_fold_new();
	struct ms_event event = sample();
	struct out out = {0};

	(void)state;
	ms_fold_add(fold, &event, 0, take, &out);
	ms_fold_add(fold, &event, 1, take, &out);
	assert_int_equal(ms_fold_flush(fold, 1000, take, &out),
			 MS_FOLD_WINDOW_MS); /* a second window, for a second */
	assert_int_equal(ms_fold_flush(fold, 2000, take, &out), -1);
	assert_int_equal(out.n, 2);
	ms_fold_add(fold, &event, 2001, take, &out);
	assert_int_equal(out.n, 3);
	ms_fold_free(fold);
}

static void a_steady_flow_gives_one_event_a_window(void **state)
{
	struct ms_fold *fold = ms_fold_new();
	struct ms_event event = sample();
	struct out out = {0};

	(void)state;
	for (uint64_t now = 0; now < 10000; now++) {
		ms_fold_add(fold, &event, now, take, &out);
		ms_fold_flush(fold, now, take, &out);
	}
	assert_int_equal(out.n, 10);
	ms_fold_flush(fold, UINT64_MAX, take, &out);
	assert_int_equal(out.sum, 10000);
	ms_fold_free(fold);
}

enum what {
	IDENTITY,
	ENDPOINT,
	IP,
	NO_IP,
	MAC,
	INTERFACE,
	PROTO,
	DPORT,
	ICMP,
	ETHER,
	REASON,
	VERDICT,
	N_DIFFERENT,
	SPORT = N_DIFFERENT,
	TIME,
	NEAREST,
	GENERATION,
	N_ALL
};

static void change(struct ms_event *event, enum what what)
{
	switch (what) {
	case IDENTITY:
		strcpy(event->src.identity, "dev/other");
		break;
	case ENDPOINT:
		strcpy(event->dst.endpoint, "db-2");
		break;
	case IP:
		event->dst.ip.bytes[3]++;
		break;
	case NO_IP:
		event->dst.has_ip = false;
		break;
	case MAC:
		event->src.has_mac = true;
		break;
	case INTERFACE:
		strcpy(event->src.interface, "veth1");
		break;
	case PROTO:
		event->proto = 17;
		break;
	case DPORT:
		event->dport++;
		break;
	case ICMP:
		event->has_icmp_type = true;
		break;
	case ETHER:
		event->ether_type = 0x88b5;
		break;
	case REASON:
		event->reason = MS_REASON_NO_GRANT;
		break;
	case VERDICT:
		event->verdict = MS_AUDIT;
		break;
	case SPORT:
		event->src.has_port = true;
		event->src.port = 50000;
		break;
	case TIME:
		event->time_ms++;
		break;
	case NEAREST:
		strcpy(event->nearest, "other words");
		break;
	case GENERATION:
		event->generation++;
		break;
	case N_ALL:
		break;
	}
}

static void flows_are_the_same_but_for_source_port_time_and_words(void **state)
{
	(void)state;
	for (enum what what = 0; what < N_ALL; what++) {
		struct ms_fold *fold = ms_fold_new();
		struct ms_event first = sample(), second = sample();
		struct out out = {0};

		change(&second, what);
		ms_fold_add(fold, &first, 0, take, &out);
		ms_fold_add(fold, &second, 0, take, &out);
		assert_int_equal(out.n, what < N_DIFFERENT ? 2 : 1);
		ms_fold_free(fold);
	}
}

static void what_lies_behind_the_end_of_a_text_makes_no_other_flow(void **state)
{
	struct ms_fold *fold = ms_fold_new();
	struct ms_event first = sample(), second = sample();
	struct out out = {0};

	(void)state;
	memset(second.src.identity + strlen(second.src.identity) + 1, 'x', 20);
	ms_fold_add(fold, &first, 0, take, &out);
	ms_fold_add(fold, &second, 0, take, &out);
	assert_int_equal(out.n, 1);
	ms_fold_free(fold);
}

static void a_full_table_gives_up_its_oldest_flow_with_its_count(void **state)
{
	struct ms_fold *fold = ms_fold_new();
	struct ms_event event = sample();
	struct out out = {0}, more = {0};

	(void)state;
	for (unsigned int i = 0; i < MS_FOLD_MAX; i++)
		for (int twice = 0; twice < 2; twice++) {
			event.dport = (uint16_t)i;
			ms_fold_add(fold, &event, i / 2, take, &out);
		}
	assert_int_equal(out.n, MS_FOLD_MAX);
	event.dport = MS_FOLD_MAX;
	ms_fold_add(fold, &event, 900, take, &more);
	assert_int_equal(more.n, 2);
	assert_int_equal(more.events[0].dport, MS_FOLD_MAX);
	assert_int_equal(more.events[1].dport, 0);
	assert_int_equal(more.events[1].count, 1);
	event.dport = 0; /* forgotten: at once again */
	ms_fold_add(fold, &event, 900, take, &more);
	assert_int_equal(more.events[2].dport, 0);
	ms_fold_free(fold);
}

/* Whatever comes in whatever order: nothing is lost and nothing is said twice. */
static void the_counts_always_add_up(void **state)
{
	static const unsigned int n_flows[] = {
		1, 7, MS_FOLD_MAX - 1, MS_FOLD_MAX, MS_FOLD_MAX + 1, 5 * MS_FOLD_MAX};

	(void)state;
	srand(20240521);
	for (size_t i = 0; i < sizeof(n_flows) / sizeof(n_flows[0]); i++) {
		struct ms_fold *fold = ms_fold_new();
		struct ms_event event = sample();
		struct out out = {0};
		uint64_t now = 0, sum = 0;

		for (int n = 0; n < 20000; n++) {
			event.dport = (uint16_t)((unsigned int)rand() % n_flows[i]);
			event.count = 1 + (uint64_t)rand() % 3;
			sum += event.count;
			now += (uint64_t)rand() % 3;
			ms_fold_add(fold, &event, now, take, &out);
			if (rand() % 16 == 0)
				assert_in_range(ms_fold_flush(fold, now, take, &out), 1,
						MS_FOLD_WINDOW_MS);
			assert_true(out.sum <= sum);
		}
		ms_fold_flush(fold, UINT64_MAX, take, &out);
		assert_int_equal(out.sum, sum);
		ms_fold_free(fold);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_comes_at_once_and_the_others_when_the_window_ends),
		cmocka_unit_test(a_silent_flow_is_forgotten_and_its_next_packet_comes_at_once),
		cmocka_unit_test(a_steady_flow_gives_one_event_a_window),
		cmocka_unit_test(flows_are_the_same_but_for_source_port_time_and_words),
		cmocka_unit_test(what_lies_behind_the_end_of_a_text_makes_no_other_flow),
		cmocka_unit_test(a_full_table_gives_up_its_oldest_flow_with_its_count),
		cmocka_unit_test(the_counts_always_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
