/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discover/alias.h"
#include "discover/container.h"
#include "microseg/str.h"

#define ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define RUNNING "\"State\":{\"Running\":true,\"Pid\":7,\"StartedAt\":\"t\"}"
#define HEAD "{\"Id\":\"" ID "\",\"Name\":\"/web\"," RUNNING ","

static void versions_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		int r;
		unsigned int minor;
		bool podman;
	} rows[] = {
		{"{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}", 0, 41, false},
		{"{\"Version\":\"4.3.1\",\"ApiVersion\":\"1.41\",\"Components\":[{\"Name\":\"Podman Engine\"}]}",
		 0, 41, true},
		{"{\"Version\":\"29\",\"ApiVersion\":\"1.57\",\"Components\":[{\"Name\":\"Engine\"},{}]}",
		 0, 57, false},
		{"{\"Version\":\"1\",\"ApiVersion\":\"2.0\"}", -EINVAL, 0, false},
		{"{\"Version\":\"1\",\"ApiVersion\":\"1.41/../x\"}", -EINVAL, 0, false},
		{"{\"Version\":\"1\",\"ApiVersion\":\"1.\"}", -EINVAL, 0, false},
		{"{\"Version\":\"1\",\"ApiVersion\":1.41}", -EINVAL, 0, false},
		{"{\"Version\":\"1\",\"Version\":\"2\",\"ApiVersion\":\"1.41\"}", -EINVAL, 0,
		 false},
		{"{\"Version\":\"1\",\"ApiVersion\":\"1.41\"} tail", -EINVAL, 0, false},
		{"[]", -EINVAL, 0, false},
		{"", -EINVAL, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_engine_version version = {0};

		if (ms_engine_version_parse(rows[i].text, strlen(rows[i].text), &version) !=
		    rows[i].r)
			fail_msg("row %zu", i);
		assert_int_equal(version.api_minor, rows[i].minor);
		assert_int_equal(version.podman, rows[i].podman);
	}
}

static void events_name_the_container_to_look_at(void **state)
{
	static const struct {
		const char *text;
		int r; /* 0: it names ID */
	} rows[] = {
		{"{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"" ID "\"}}", 0},
		{"{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"" ID
		 "\"},\"more\":1}",
		 0},
		{"{\"Type\":\"network\",\"Action\":\"connect\",\"Actor\":{\"ID\":\"n\",\"Attributes\":{\"container\":\"" ID
		 "\"}}}",
		 0},
		{"{\"Type\":\"network\",\"Action\":\"create\",\"Actor\":{\"ID\":\"n\",\"Attributes\":{}}}",
		 MS_ENGINE_NETWORKS},
		{"{\"Type\":\"container\",\"Action\":\"exec_start: sh\",\"Actor\":{\"ID\":\"" ID
		 "\"}}",
		 1},
		{"{\"Type\":\"container\",\"Action\":\"health_status: healthy\",\"Actor\":{\"ID\":\"" ID
		 "\"}}",
		 1},
		{"{\"Type\":\"image\",\"Action\":\"pull\",\"Actor\":{\"ID\":\"busybox\"}}", 1},
		{"{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"../../secrets\"}}",
		 -EINVAL},
		{"{\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":7}}", -EINVAL},
		{"{\"Type\":7}", -EINVAL},
		{"hello", -EINVAL},
		{"[]", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char id[MS_CONTAINER_ID_SIZE] = "";

		if (ms_engine_event_parse(rows[i].text, strlen(rows[i].text), id) != rows[i].r)
			fail_msg("row %zu", i);
		assert_string_equal(id, rows[i].r == 0 ? ID : "");
	}
}

static void containers_are_read_strictly(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint32_t pid;
		enum ms_network_mode mode;
		size_t n_labels, n_attachments;
	} rows[] = {
		{HEAD
		 "\"Config\":{\"Image\":\"i\",\"Labels\":{\"b\":\"2\",\"a\":\"1\"}},"
		 "\"HostConfig\":{\"NetworkMode\":\"shop\"},\"NetworkSettings\":{\"Networks\":{\"shop\":{"
		 "\"MacAddress\":\"02:42:0a:01:00:02\",\"IPAddress\":\"10.1.0.2\"}}}}",
		 0, 7, MS_NETWORK_OWN, 2, 1},
		{HEAD "\"Config\":{\"Labels\":null},\"HostConfig\":{\"NetworkMode\":\"host\"}}", 0,
		 7, MS_NETWORK_HOST, 0, 0},
		{HEAD "\"Config\":{},\"HostConfig\":{\"NetworkMode\":\"container:" ID "\"}}", 0, 7,
		 MS_NETWORK_JOINED, 0, 0},
		{HEAD
		 "\"Config\":{},\"HostConfig\":{\"NetworkMode\":\"none\"},\"NetworkSettings\":{\"Networks\":{"
		 "\"odd\":{\"MacAddress\":\"zz\",\"IPAddress\":7}}}}",
		 0, 7, MS_NETWORK_NONE, 0, 1},
		{"{\"Id\":\"" ID
		 "\",\"Name\":\"/web\",\"State\":{\"Running\":false,\"Pid\":7},\"Config\":{}}",
		 0, 0, MS_NETWORK_OWN, 0, 0},
		{"{\"Id\":\"" ID
		 "\",\"Name\":\"/web\",\"State\":{\"Running\":true,\"Pid\":-1},\"Config\":{}}",
		 -EINVAL},
		{"{\"Id\":\"" ID
		 "\",\"Name\":\"/web\",\"State\":{\"Running\":true,\"Pid\":4294967297},\"Config\":{}}",
		 -EINVAL},
		{"{\"Id\":\"" ID
		 "\",\"Name\":\"/web\",\"State\":{\"Running\":true,\"Pid\":\"7\"},\"Config\":{}}",
		 -EINVAL},
		{HEAD "\"Config\":{\"Labels\":[\"a=1\"]}}", -EINVAL},
		{HEAD "\"Config\":{\"Labels\":{\"a\":1}}}", -EINVAL},
		{HEAD "\"Config\":{\"Labels\":{\"a\":\"1\",\"a\":\"2\"}}}", -EINVAL},
		{HEAD "\"Config\":{\"Labels\":{\"a\":\"\\u0000\"}}}", -EINVAL},
		{HEAD "\"Config\":{\"Labels\":{\"a\":\"\xff\"}}}", -EINVAL},
		{HEAD "\"Config\":7}", -EINVAL},
		{"{\"Id\":\"short\",\"Name\":\"/web\"," RUNNING ",\"Config\":{}}", -EINVAL},
		{"{}", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_workload_facts facts = {0};

		if (ms_container_parse(rows[i].text, strlen(rows[i].text), &facts) != rows[i].r)
			fail_msg("row %zu", i);
		assert_int_equal(facts.pid, rows[i].pid);
		assert_int_equal(facts.mode, rows[i].mode);
		assert_int_equal(facts.labels.n_items, rows[i].n_labels);
		assert_int_equal(facts.attachments.n_items, rows[i].n_attachments);
		if (rows[i].r == 0)
			assert_string_equal(facts.name, "web");
		ms_workload_facts_fini(&facts);
	}
}

static void what_a_container_may_do_to_the_host_is_read(void **state)
{
	static const struct {
		const char *text;
		bool privileged, net_admin;
		const char *bind; /* the first; NULL: none */
		enum ms_network_mode mode;
		struct ms_ports published; /* the first; all zero: none */
	} rows[] = {
		{HEAD "\"Config\":{},\"HostConfig\":{\"Privileged\":true}}", true},
		{HEAD "\"Config\":{},\"HostConfig\":{\"Privileged\":\"true\"}}"},
		{HEAD "\"Config\":{},\"HostConfig\":{\"CapAdd\":[\"SYS_TIME\",\"NET_ADMIN\"]}}",
		 false, true},
		{HEAD "\"Config\":{},\"HostConfig\":{\"CapAdd\":[\"CAP_NET_ADMIN\"]}}", false,
		 true},
		{HEAD "\"Config\":{},\"HostConfig\":{\"CapAdd\":[\"all\"]}}", false, true},
		{HEAD "\"Config\":{},\"HostConfig\":{\"CapAdd\":[7,\"NET_RAW\"]}}"},
		{HEAD "\"Config\":{},\"Mounts\":[{\"Type\":\"volume\",\"Source\":\"/v\"},"
		      "{\"Type\":\"bind\",\"Source\":\"/var/run\"}]}",
		 false, false, "/var/run"},
		{HEAD "\"Config\":{},\"HostConfig\":{\"NetworkMode\":\"slirp4netns:mtu=1500\"}}",
		 false, false, NULL, MS_NETWORK_USER},
		{HEAD "\"Config\":{},\"HostConfig\":{\"NetworkMode\":\"pasta\"}}", false, false,
		 NULL, MS_NETWORK_USER},
		{HEAD "\"Config\":{},\"HostConfig\":{\"NetworkMode\":\"pastabar\"}}"},
		{HEAD "\"Config\":{},\"NetworkSettings\":{\"Ports\":{\"80/tcp\":null,\"53/udp\":["
		      "{\"HostIp\":\"127.0.0.1\"},{\"HostIp\":\"0.0.0.0\"}]}}}",
		 .published = {IPPROTO_UDP, 53, 53}},
		{HEAD "\"Config\":{},\"NetworkSettings\":{\"Ports\":{\"80/tcp\":["
		      "{\"HostIp\":\"127.0.0.1\"},{\"HostIp\":\"::1\"}],\"nonsense\":[{}],"
		      "\"70000/tcp\":[{}],\"1/xyz\":[{}],\"2/tcp\":7,\"3/tcp\":[]}}}"},
		{HEAD "\"Config\":{},\"NetworkSettings\":{\"Ports\":[]}}"},
		{HEAD "\"Config\":{},\"NetworkSettings\":{\"Ports\":{\"3868/sctp\":[{}]}}}",
		 .published = {IPPROTO_SCTP, 3868, 3868}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_workload_facts facts = {0};

		if (ms_container_parse(rows[i].text, strlen(rows[i].text), &facts) != 0)
			fail_msg("row %zu", i);
		assert_int_equal(facts.privileged, rows[i].privileged);
		assert_int_equal(facts.net_admin, rows[i].net_admin);
		assert_int_equal(facts.mode, rows[i].mode);
		assert_int_equal(facts.binds.n_items, rows[i].bind ? 1 : 0);
		if (rows[i].bind)
			assert_string_equal(facts.binds.items[0], rows[i].bind);
		assert_int_equal(facts.published.n_items, rows[i].published.proto ? 1 : 0);
		if (rows[i].published.proto)
			assert_int_equal(
				ms_ports_compare(&facts.published.items[0], &rows[i].published), 0);
		ms_workload_facts_fini(&facts);
	}
}

static void networks_and_rootlessness_are_read(void **state)
{
	static const char networks[] = "[{\"Name\":\"lan\",\"Driver\":\"macvlan\"},"
				       "{\"Name\":\"bridge\",\"Driver\":\"bridge\",\"Id\":\"1\"}]";
	static const char rootless[] = "{\"SecurityOptions\":[\"name=seccomp\",\"name=rootless\"]}";
	static const char rootful[] = "{\"SecurityOptions\":[\"name=seccomp,profile=rootless\"]}";
	static const char *const wrong[] = {"{}", "[7]", "[{\"Name\":7}]", "[{\"Driver\":{}}]",
					    "["};
	ms_network_vec found = {0};
	bool is_rootless = false;

	(void)state;
	assert_int_equal(ms_engine_networks_parse(networks, strlen(networks), &found), 0);
	assert_int_equal(found.n_items, 2);
	assert_string_equal(found.items[0].name, "bridge");
	assert_string_equal(found.items[1].driver, "macvlan");
	ms_network_vec_fini(&found);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (ms_engine_networks_parse(wrong[i], strlen(wrong[i]), &found) != -EINVAL &&
		    found.n_items == 0)
			fail_msg("row %zu", i);
	ms_network_vec_fini(&found);
	assert_int_equal(ms_engine_info_parse(rootless, strlen(rootless), &is_rootless), 0);
	assert_true(is_rootless);
	assert_int_equal(ms_engine_info_parse(rootful, strlen(rootful), &is_rootless), 0);
	assert_false(is_rootless);
	assert_int_equal(ms_engine_info_parse("[]", 2, &is_rootless), -EINVAL);
}

static char *container_with_labels(size_t n_labels, size_t value_len)
{
	struct ms_str text = {0};

	ms_str_add(&text, HEAD "\"Config\":{\"Labels\":{");
	for (size_t i = 0; i < n_labels; i++)
		ms_str_addf(&text, "%s\"l%zu\":\"%0*d\"", i ? "," : "", i, (int)value_len, 0);
	ms_str_add(&text, "}}}");
	return ms_str_steal(&text);
}

static void a_container_has_its_limits(void **state)
{
	static const struct {
		size_t n_labels, value_len;
		int r;
	} rows[] = {
		{MS_MAX_WORKLOAD_LABELS, 8, 0},
		{MS_MAX_WORKLOAD_LABELS + 1, 8, -E2BIG},
		{1, MS_MAX_WORKLOAD_TEXT - 200, 0},
		{1, MS_MAX_WORKLOAD_TEXT, -E2BIG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = container_with_labels(rows[i].n_labels, rows[i].value_len);
		struct ms_workload_facts facts = {0};

		if (ms_container_parse(text, strlen(text), &facts) != rows[i].r)
			fail_msg("row %zu", i);
		ms_workload_facts_fini(&facts);
		free(text);
	}
}

static void a_list_has_its_limit_and_only_ids(void **state)
{
	struct ms_str text = {0};
	ms_id_vec ids = {0};

	(void)state;
	ms_str_add(&text, "[");
	for (int i = 0; i <= MS_MAX_WORKLOADS; i++) {
		if (i == MS_MAX_WORKLOADS) {
			char *whole = NULL;

			assert_true(asprintf(&whole, "%s]", text.text) > 0);
			assert_int_equal(ms_container_list_parse(whole, strlen(whole), &ids), 0);
			assert_int_equal(ids.n_items, MS_MAX_WORKLOADS);
			ms_id_vec_fini(&ids);
			free(whole);
		}
		ms_str_addf(&text, "%s{\"Id\":\"%064x\"}", i ? "," : "", (unsigned int)i);
	}
	ms_str_add(&text, "]");
	assert_int_equal(ms_container_list_parse(text.text, text.len, &ids), -E2BIG);
	ms_str_fini(&text);
	assert_int_equal(ms_container_list_parse("[{\"Id\":\"../x\"}]", 15, &ids), -EINVAL);
	assert_int_equal(ms_container_list_parse("{}", 2, &ids), -EINVAL);
	assert_int_equal(ms_container_list_parse("[7]", 3, &ids), -EINVAL);
	assert_int_equal(ms_container_list_parse("[]", 2, &ids), 0);
}

static void depth_is_limited(void **state)
{
	enum { DEPTH = 100000 };
	char *text = malloc(DEPTH);
	ms_id_vec ids = {0};

	(void)state;
	memset(text, '[', DEPTH);
	assert_int_equal(ms_container_list_parse(text, DEPTH, &ids), -EINVAL);
	free(text);
}

static void the_number_of_values_is_limited(void **state)
{
	const size_t n_most = MS_MAX_JSON_VALUES / 2 - 1;
	struct ms_str text = {0};
	bool rootless;

	(void)state;
	ms_str_add(&text, "{\"a\":[");
	for (size_t i = 0; i < n_most; i++)
		ms_str_add(&text, i ? ",[]" : "[]");
	size_t len = text.len;
	ms_str_add(&text, "]}");
	assert_int_equal(ms_engine_info_parse(text.text, text.len, &rootless), 0);
	text.len = len;
	ms_str_add(&text, ",[],[],[]]}");
	assert_int_equal(ms_engine_info_parse(text.text, text.len, &rootless), -EINVAL);
	ms_str_fini(&text);
}

static void an_alias_gives_its_key_value_words(void **state)
{
	static const struct {
		const char *alias, *labels;
	} rows[] = {
		{"io.microseg.env=prod io.microseg.service=web",
		 "io.microseg.env=prod;io.microseg.service=web;"},
		{"  a=1\t words here\nb=2=3 ", "a=1;b=2=3;"},
		{"a= =x", "a=;"},
		{"a=1 a=2", "a=1;"},
		{"just words", ""},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ms_arena *arena = ms_arena_new();
		struct ms_workload workload = {0};
		struct ms_str text = {0};

		ms_str_add(&text, "");
		assert_true(ms_alias_labels(arena, rows[i].alias, &workload) >= 0);
		ms_vec_each (struct ms_label, label, &workload.labels)
			ms_str_addf(&text, "%s=%s;", label->name, label->value);
		assert_string_equal(text.text ? text.text : "", rows[i].labels);
		assert_int_equal(ms_alias_has_labels(rows[i].alias), workload.labels.n_items > 0);
		ms_str_fini(&text);
		ms_arena_free(arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_are_read_strictly),
		cmocka_unit_test(events_name_the_container_to_look_at),
		cmocka_unit_test(containers_are_read_strictly),
		cmocka_unit_test(what_a_container_may_do_to_the_host_is_read),
		cmocka_unit_test(networks_and_rootlessness_are_read),
		cmocka_unit_test(a_container_has_its_limits),
		cmocka_unit_test(a_list_has_its_limit_and_only_ids),
		cmocka_unit_test(depth_is_limited),
		cmocka_unit_test(the_number_of_values_is_limited),
		cmocka_unit_test(an_alias_gives_its_key_value_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
