/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An event as JSON, back from JSON, and as a line for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
/* after it: its in_addr is the other one otherwise */
#include <linux/if_ether.h>

#include "microseg/cleanup.h"
#include "microseg/event.h"

static struct ms_addr addr_of(const char *text)
{
	struct ms_addr addr = {0};

	assert_int_equal(ms_addr_parse(text, &addr), 0);
	return addr;
}

static struct ms_event sample(void)
{
	struct ms_event event = {
		.time_ms = 1700000000123,
		.verdict = MS_DENY,
		.reason = MS_REASON_FENCE,
		.count = 3,
		.proto = IPPROTO_TCP,
		.has_dport = true,
		.dport = 5432,
		.src = {.identity = "dev/web",
			.endpoint = "web-1",
			.has_ip = true,
			.ip = addr_of("10.0.2.5"),
			.has_port = true,
			.port = 50000,
			.has_mac = true,
			.mac = {{2, 0, 0, 0, 2, 5}},
			.interface = "vethweb"},
		.dst = {.identity = "prod/db",
			.endpoint = "db-1",
			.has_ip = true,
			.ip = addr_of("fd00::7"),
			.has_port = true,
			.port = 5432},
		.policy_file = "policies/db.yaml",
		.policy_line = 12,
		.nearest = "a crossing would do",
		.node = "node-a",
		.generation = 7,
	};

	return event;
}

#define SAMPLE_JSON                                                                                              \
	"{\"time\":\"2023-11-14T22:13:20.123Z\",\"verdict\":\"denied\",\"reason\":\"fence\",\"count\":3,"        \
	"\"proto\":\"tcp\",\"dport\":5432,\"icmp_type\":null,"                                                   \
	"\"src\":{\"identity\":\"dev/web\",\"endpoint\":\"web-1\",\"ip\":\"10.0.2.5\",\"port\":50000,"           \
	"\"mac\":\"02:00:00:00:02:05\",\"interface\":\"vethweb\"},"                                              \
	"\"dst\":{\"identity\":\"prod/db\",\"endpoint\":\"db-1\",\"ip\":\"fd00::7\",\"port\":5432,\"mac\":null," \
	"\"interface\":null},"                                                                                   \
	"\"policy\":{\"file\":\"policies/db.yaml\",\"line\":12},\"nearest\":\"a crossing would do\","            \
	"\"node\":\"node-a\",\"generation\":7}"

static void json_has_the_fields_of_the_contract(void **state)
{
	_cleanup_(ms_str_fini) struct ms_str out = {0};
	struct ms_event event = sample();

	(void)state;
	ms_event_json(&event, &out);
	assert_string_equal(out.text, SAMPLE_JSON);
}

static void assert_survives(const struct ms_event *event)
{
	_cleanup_(ms_str_fini) struct ms_str out = {0}, again = {0};
	struct ms_event read;

	ms_event_json(event, &out);
	assert_false(out.failed);
	assert_int_equal(ms_event_parse(out.text, &read), 0);
	assert_string_equal(read.src.identity, event->src.identity);
	assert_string_equal(read.src.endpoint, event->src.endpoint);
	assert_string_equal(read.dst.endpoint, event->dst.endpoint);
	assert_string_equal(read.nearest, event->nearest);
	assert_int_equal(read.proto, event->proto);
	assert_int_equal(read.ether_type, event->ether_type);
	assert_int_equal(read.time_ms, event->time_ms);
	assert_int_equal(read.count, event->count);
	ms_event_json(&read, &again);
	assert_string_equal(again.text, out.text);
}

static void an_event_survives_the_way_through_json(void **state)
{
	static const struct {
		uint16_t ether_type;
		uint8_t proto;
	} protos[] = {{0, IPPROTO_UDP},	 {0, IPPROTO_SCTP},
		      {0, IPPROTO_ICMP}, {0, IPPROTO_ICMPV6},
		      {0, IPPROTO_GRE},	 {0, 0},
		      {0, 255},		 {ETH_P_ARP, 0},
		      {0x88b5, 0},	 {0x0001, 0}};
	static const char *const names[] = {
		"web-1",	"a\nb",	      "back\\slash",	    "\\x41",	  "\xff\xfe",
		"\xe2\x80\xae", "\"quoted\"", "gr\xc3\xbc\xc3\x9f", "cut\xe2\x82"};
	struct ms_event event = sample();

	(void)state;
	for (size_t i = 0; i < sizeof(protos) / sizeof(protos[0]); i++) {
		event.ether_type = protos[i].ether_type;
		event.proto = protos[i].proto;
		assert_survives(&event);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		strcpy(event.src.endpoint, names[i]);
		strcpy(event.nearest, names[i]);
		assert_survives(&event);
	}
	memset(event.src.endpoint, '\n', MS_EVENT_TEXT - 1);
	assert_survives(&event);
	assert_survives(
		&(struct ms_event){.verdict = MS_AUDIT, .reason = MS_REASON_SPOOF, .count = 1});
	event.dst.ip = (struct ms_addr){{[10] = 0xff, 0xff, 10, 0, 0, 1},
					MS_IP6}; /* IPv4-mapped: frames may carry it */
	assert_survives(&event);
	event.time_ms = 253402300799999;
	event.count = INT64_MAX;
	assert_survives(&event);
}

static void no_name_gets_a_control_byte_into_a_line(void **state)
{
	static const char hostile[] =
		"x\n12:00:00.000Z denied  prod/a -> prod/b \033[2J\x7f\xc2\x9b\xe2\x80\xae\"}\xff";
	_cleanup_(ms_str_fini) struct ms_str json = {0}, text = {0};
	struct ms_event event = sample();

	(void)state;
	strcpy(event.src.endpoint, hostile);
	strcpy(event.dst.identity, hostile);
	strcpy(event.nearest, hostile);
	strcpy(event.policy_file, hostile);
	strcpy(event.node, hostile);
	memcpy(event.src.interface, "a\nb", 4);
	event.reason = MS_REASON_SPOOF; /* shows interfaces */
	ms_event_json(&event, &json);
	ms_event_text(&event, false, &text);
	for (const char *c = json.text; *c; c++)
		assert_in_range((unsigned char)*c, 0x20, 0x7e);
	for (const char *c = text.text; *c; c++)
		assert_true(*c == '\n' || ((unsigned char)*c >= 0x20 && (unsigned char)*c < 0x7f));
	assert_ptr_equal(strchr(strchr(text.text, '\n') + 1, '\n'),
			 text.text + text.len - 1); /* two lines */
	assert_survives(&event);
}

/* Takes the sample line, with @from in it replaced by @to. */
static char *replaced(const char *from, const char *to)
{
	_cleanup_(ms_str_fini) struct ms_str out = {0};
	const char *at = strstr(SAMPLE_JSON, from);

	assert_non_null(at);
	ms_str_add_len(&out, SAMPLE_JSON, (size_t)(at - SAMPLE_JSON));
	ms_str_add(&out, to);
	ms_str_add(&out, at + strlen(from));
	return ms_str_steal(&out);
}

static void reading_back_refuses_what_is_no_event(void **state)
{
	static const struct {
		const char *from, *to;
		int r;
	} cases[] = {
		{"{\"time\"", "{\"new\":[1],\"time\"", 0}, /* of a newer daemon */
		{"{\"time\"", "[\"time\"", -EINVAL},
		{"{\"time\"", "{\"count\":3,\"time\"", -EINVAL},
		{"\"time\":", "\"tame\":", -EINVAL},
		{"2023-11-14T22:13:20.123Z", "2023-11-14T22:13:20Z", -EINVAL},
		{"2023-11-14T22:13:20.123Z", "2023-11-14T22:13:20.123Zx", -EINVAL},
		{"2023-11-14T22:13:20.123Z", "2023-02-30T22:13:20.123Z", -EINVAL},
		{"2023-11-14T22:13:20.123Z", "2023-13-14T22:13:20.123Z", -EINVAL},
		{"2023-11-14T22:13:20.123Z", "1969-11-14T22:13:20.123Z", -EINVAL},
		{"2023-11-14T22:13:20.123Z", "2023-11-14 22:13:20.123Z", -EINVAL},
		{"\"denied\"", "\"allowed\"", -EINVAL},
		{"\"denied\"", "\"audited\"", 0},
		{"\"fence\"", "\"fance\"", -EINVAL},
		{"\"fence\"", "null", -EINVAL},
		{"\"count\":3", "\"count\":-3", -EINVAL},
		{"\"count\":3", "\"count\":3.5", -EINVAL},
		{"\"count\":3", "\"count\":99999999999999999999", -EINVAL},
		{"\"tcp\"", "\"tcq\"", -EINVAL},
		{"\"tcp\"", "\"256\"", -EINVAL},
		{"\"tcp\"", "\"\"", -EINVAL},
		{"\"tcp\"", "\"0x\"", -EINVAL},
		{"\"tcp\"", "\"0x-5\"", -EINVAL},
		{"\"tcp\"", "\"0x88b5f\"", -EINVAL},
		{"\"tcp\"", "\"0x88B5\"", -EINVAL},
		{"\"tcp\"", "\"047\"", -EINVAL},
		{"\"tcp\"", "\"+47\"", -EINVAL},
		{"\"tcp\"", "6", -EINVAL},
		{"\"dport\":5432", "\"dport\":65536", -EINVAL},
		{"\"dport\":5432", "\"dport\":\"5432\"", -EINVAL},
		{"\"icmp_type\":null", "\"icmp_type\":256", -EINVAL},
		{"\"icmp_type\":null,", "", -EINVAL},
		{"10.0.2.5", "10.0.2.256", -EINVAL},
		{"\"10.0.2.5\"", "5", -EINVAL},
		{"fd00::7", "fd00:::7", -EINVAL},
		{"02:00:00:00:02:05", "02:00:00:00:02", -EINVAL},
		{"\"dev/web\"", "7", -EINVAL},
		{"\"dev/web\"", "\"dev\\\\web\"", -EINVAL}, /* no escape of ours */
		{"\"dev/web\"", "\"dev\\\\x00web\"", -EINVAL},
		{"\"dev/web\"", "\"dev\\u0000web\"", -EINVAL},
		{"\"line\":12", "\"line\":-1", -EINVAL},
		{"{\"file\":\"policies/db.yaml\",\"line\":12}", "null", 0},
		{"{\"file\":\"policies/db.yaml\",\"line\":12}", "7", -EINVAL},
		{"\"generation\":7}", "\"generation\":7} x", -EINVAL},
		{"\"generation\":7}", "\"generation\":7", -EINVAL},
		{"\"src\"", "\"source\"", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(freep) char *json = replaced(cases[i].from, cases[i].to);
		struct ms_event event;

		if (ms_event_parse(json, &event) != cases[i].r)
			fail_msg("%s for %s", cases[i].r ? "taken" : "refused", json);
	}
}

static void a_connection_open_before_is_told_apart(void **state)
{
	_cleanup_(ms_str_fini) struct ms_str json = {0}, text = {0};
	struct ms_event event = sample(), read;

	(void)state;
	ms_event_json(&event, &json);
	assert_null(strstr(json.text, "tracked"));
	ms_str_fini(&json);
	event.tracked = true;
	ms_event_json(&event, &json);
	assert_non_null(strstr(json.text, "\"tracked\":true"));
	assert_int_equal(ms_event_parse(json.text, &read), 0);
	assert_true(read.tracked);
	ms_event_text(&event, false, &text);
	assert_non_null(strstr(text.text, "fence  was open before  x3\n"));
}

static void text_is_a_line_for_strangers(void **state)
{
	_cleanup_(ms_str_fini) struct ms_str out = {0};
	struct ms_event event = sample();

	(void)state;
	ms_event_text(&event, false, &out);
	assert_string_equal(
		out.text,
		"22:13:20.123Z denied  dev/web (web-1 10.0.2.5) -> prod/db (db-1 fd00::7) tcp/5432  "
		"fence  x3\n"
		"    policies/db.yaml:12: a crossing would do\n");
}

static void text_says_what_is_known_and_no_more(void **state)
{
	static const struct ms_event cases[] = {
		{.verdict = MS_AUDIT,
		 .reason = MS_REASON_NO_GRANT,
		 .count = 1,
		 .proto = IPPROTO_ICMP,
		 .has_icmp_type = true,
		 .icmp_type = 8,
		 .src = {.identity = "net", .has_ip = true, .ip = {{203, 0, 113, 5}, MS_IP4}},
		 .dst = {.has_ip = true, .ip = {{224, 0, 0, 251}, MS_IP4}, .interface = "br-dev"}},
		{.verdict = MS_DENY,
		 .reason = MS_REASON_ETHERTYPE,
		 .count = 1,
		 .ether_type = 0x88b5,
		 .src = {.identity = "dev/web",
			 .endpoint = "web-1",
			 .interface = "vethweb",
			 .has_mac = true,
			 .mac = {{2, 0, 0, 0, 2, 5}}}},
		{.verdict = MS_DENY,
		 .reason = MS_REASON_SPOOF,
		 .count = 1,
		 .ether_type = ETH_P_ARP,
		 .src = {.identity = "unidentified", .interface = "veth1"},
		 .nearest = "words"},
		{.verdict = MS_DENY,
		 .reason = MS_REASON_NO_GRANT,
		 .count = 1,
		 .proto = IPPROTO_GRE,
		 .policy_file = "f",
		 .policy_line = 1},
		{.verdict = MS_DENY,
		 .reason = MS_REASON_NO_GRANT,
		 .count = 1,
		 .proto = IPPROTO_UDP},
	};
	static const char *const texts[] = {
		"00:00:00.000Z audited net (203.0.113.5) -> 224.0.0.251 icmp/8  no-grant\n",
		"00:00:00.000Z denied  dev/web (web-1 02:00:00:00:02:05 on vethweb) -> ? ethertype/0x88b5  ethertype\n",
		"00:00:00.000Z denied  unidentified (on veth1) -> ? arp  spoof\n    words\n",
		"00:00:00.000Z denied  ? -> ? proto/47  no-grant\n    f:1\n",
		"00:00:00.000Z denied  ? -> ? udp  no-grant\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(ms_str_fini) struct ms_str out = {0};

		ms_event_text(&cases[i], false, &out);
		assert_string_equal(out.text, texts[i]);
	}
}

static void colour_adds_codes_and_nothing_else(void **state)
{
	_cleanup_(ms_str_fini) struct ms_str plain = {0}, color = {0}, stripped = {0};
	struct ms_event event = sample();

	(void)state;
	ms_event_text(&event, false, &plain);
	ms_event_text(&event, true, &color);
	for (const char *c = color.text; *c; c++) {
		if (*c == '\033')
			c = strchr(c, 'm');
		else
			ms_str_add_char(&stripped, *c);
	}
	assert_string_equal(stripped.text, plain.text);
	assert_true(color.len > plain.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_has_the_fields_of_the_contract),
		cmocka_unit_test(an_event_survives_the_way_through_json),
		cmocka_unit_test(no_name_gets_a_control_byte_into_a_line),
		cmocka_unit_test(reading_back_refuses_what_is_no_event),
		cmocka_unit_test(a_connection_open_before_is_told_apart),
		cmocka_unit_test(text_is_a_line_for_strangers),
		cmocka_unit_test(text_says_what_is_known_and_no_more),
		cmocka_unit_test(colour_adds_codes_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
