/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config.h"
#include "microseg/cleanup.h"
#include "microseg/inventory.h"

static int load(const char *text, struct ms_config *config, struct ms_str *said)
{
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
	struct ms_policy_file file = {.name = "microseg.yaml", .bytes = text, .size = strlen(text)};

	assert_int_equal(ms_diags_init(&diags), 0);
	assert_int_equal(ms_config_init(config), 0);
	int r = ms_config_load(&file, &diags, config);
	ms_diags_print(&diags, said, false);
	return r;
}

static void has_the_defaults_of_the_contract(void **state)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	size_t n = 0;

	(void)state;
	assert_int_equal(ms_config_init(&config), 0);
	assert_string_equal(config.control_socket, "/run/microseg/control.sock");
	assert_string_equal(config.state, "/var/lib/microseg");
	assert_null(config.log);
	assert_int_equal(config.metrics_port, 0);
	assert_int_equal(config.nflog_group, 5580);
	assert_int_equal(config.max_connections, 16384);
	assert_int_equal(config.engines.n_items, 2);
	assert_string_equal(config.engines.items[0], "/run/docker.sock");
	while (ms_default_patterns[n])
		n++;
	assert_int_equal(config.managed.n_items, n);
}

static void reads_every_key(void **state)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	_cleanup_(ms_str_fini) struct ms_str said = {0};

	(void)state;
	assert_int_equal(load("interfaces: {managed: [a*], named: [b], ignore: [c, d]}\n"
			      "engines: [unix:///x.sock]\n"
			      "nflog_group: 7\nnode: n1\nlimits: {connections: 9}\n"
			      "control: {socket: /c.sock, group: adm}\n"
			      "metrics: {listen: \"[::1]:9464\"}\n"
			      "state: /s\nlog: \"-\"\n",
			      &config, &said),
			 0);
	assert_int_equal(config.managed.n_items, 1);
	assert_string_equal(config.managed.items[0], "a*");
	assert_string_equal(config.named.items[0], "b");
	assert_int_equal(config.ignore.n_items, 2);
	assert_int_equal(config.engines.n_items, 1);
	assert_string_equal(config.engines.items[0], "/x.sock");
	assert_int_equal(config.nflog_group, 7);
	assert_int_equal(config.max_connections, 9);
	assert_string_equal(config.node, "n1");
	assert_string_equal(config.control_socket, "/c.sock");
	assert_string_equal(config.control_group, "adm");
	assert_int_equal(config.metrics_port, 9464);
	assert_true(ms_addr_is_loopback(&config.metrics_addr));
	assert_string_equal(config.state, "/s");
	assert_string_equal(config.log, "-");
}

static void takes_an_empty_file_as_the_defaults(void **state)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	_cleanup_(ms_str_fini) struct ms_str said = {0};

	(void)state;
	assert_int_equal(load("# nothing\n", &config, &said), 0);
	assert_string_equal(config.state, "/var/lib/microseg");
}

static void none_takes_all_engines_away(void **state)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	_cleanup_(ms_str_fini) struct ms_str said = {0};

	(void)state;
	assert_int_equal(load("engines: [none]\n", &config, &said), 0);
	assert_int_equal(config.engines.n_items, 0);
}

static void refuses_what_it_does_not_understand(void **state)
{
	static const struct {
		const char *text, *at, *said;
	} cases[] = {
		{"stat: /s\n", "microseg.yaml:1:1", "did you mean 'state'?"},
		{"zzz: 1\n", "microseg.yaml:1:1", "known keys:"},
		{"node: n\ninterfaces: {manged: [a]}\n", "microseg.yaml:2:14",
		 "did you mean 'managed'?"},
		{"control: {sockets: /x}\n", "microseg.yaml:1:11", "did you mean 'socket'?"},
		{"nflog_group: 65536\n", "microseg.yaml:1:14", "0 to 65535"},
		{"nflog_group: -1\n", "microseg.yaml:1:14", "0 to 65535"},
		{"nflog_group: 5x\n", "microseg.yaml:1:14", "0 to 65535"},
		{"limits: {connections: 1000001}\n", "microseg.yaml:1:23", "0 for no limit"},
		{"limits: {connections: none}\n", "microseg.yaml:1:23", "0 for no limit"},
		{"limits: {connection: 1}\n", "microseg.yaml:1:10", "did you mean 'connections'?"},
		{"state: var\n", "microseg.yaml:1:8", "absolute path"},
		{"log: x\n", "microseg.yaml:1:6", "absolute path"},
		{"engines: unix:///x\n", "microseg.yaml:1:10", "list of unix:///PATH"},
		{"engines: [tcp://x]\n", "microseg.yaml:1:11", "list of unix:///PATH"},
		{"interfaces: [a]\n", "microseg.yaml:1:13", "keys with values"},
		{"interfaces: {managed: [[a]]}\n", "microseg.yaml:1:24", "interface name patterns"},
		{"interfaces: {managed: ['br-\"*']}\n", "microseg.yaml:1:24", "none with a \""},
		{"metrics: {listen: 0.0.0.0:9464}\n", "microseg.yaml:1:19", "loopback"},
		{"metrics: {listen: 192.0.2.1:9464}\n", "microseg.yaml:1:19", "loopback"},
		{"metrics: {listen: \"[::]:9464\"}\n", "microseg.yaml:1:19", "loopback"},
		{"metrics: {listen: 127.0.0.1}\n", "microseg.yaml:1:19", "a port"},
		{"metrics: {listen: 127.0.0.1:0}\n", "microseg.yaml:1:19", "a port"},
		{"metrics: {listen: 127.0.0.1:65536}\n", "microseg.yaml:1:19", "a port"},
		{"metrics: {listen: 127.0.0.1:9464x}\n", "microseg.yaml:1:19", "a port"},
		{"metrics: {listen: localhost:9464}\n", "microseg.yaml:1:19", "127.0.0.1:9464"},
		{"metrics: {listne: 127.0.0.1:9464}\n", "microseg.yaml:1:11",
		 "did you mean 'listen'?"},
		{"node: [a]\n", "microseg.yaml:1:7", "expected a text"},
		{"node: a\n---\nnode: b\n", "microseg.yaml:3:1", "one document"},
		{"node: a\nnode: b\n", "microseg.yaml:2:1", "node"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(ms_config_fini) struct ms_config config = {0};
		_cleanup_(ms_str_fini) struct ms_str said = {0};

		assert_int_equal(load(cases[i].text, &config, &said), -EINVAL);
		if (!strstr(said.text, cases[i].at) || !strstr(said.text, cases[i].said))
			fail_msg("%s\ngave\n%s", cases[i].text, said.text);
	}
}

static void tells_all_errors(void **state)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	_cleanup_(ms_str_fini) struct ms_str said = {0};

	(void)state;
	assert_int_equal(load("stat: /s\nnflog_group: x\n", &config, &said), -EINVAL);
	assert_non_null(strstr(said.text, "microseg.yaml:1:1"));
	assert_non_null(strstr(said.text, "microseg.yaml:2:14"));
}

static void a_named_file_must_be_there(void **state)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	(void)state;
	assert_int_equal(ms_config_init(&config), 0);
	assert_int_equal(ms_config_read("/nowhere/microseg.yaml", &config, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nowhere/microseg.yaml"));
}

static char root[64];

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/microseg-unit-config-XXXXXX");
	return mkdtemp(root) && chdir(root) == 0 && mkdir("conf.d", 0700) == 0 ? 0 : -1;
}

static int remove_root(void **state)
{
	static const char *const files[] = {"microseg.yaml", "conf.d/10-a.yaml", "conf.d/20-b.yaml",
					    "conf.d/README"};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	return rmdir("conf.d") < 0 || chdir("/") < 0 ? -1 : rmdir(root);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int read_root(struct ms_config *config, struct ms_str *said)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/microseg.yaml", root);
	assert_int_equal(ms_config_init(config), 0);
	return ms_config_read(path, config, said);
}

static void dropins_replace_keys_in_sorted_order(void **state)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	_cleanup_(ms_str_fini) struct ms_str said = {0};

	(void)state;
	write_file("microseg.yaml", "node: a\nnflog_group: 1\nstate: /s\n");
	write_file("conf.d/20-b.yaml", "nflog_group: 3\n");
	write_file("conf.d/10-a.yaml", "nflog_group: 2\nnode: b\nengines: [unix:///x]\n");
	write_file("conf.d/README", "no: [yaml\n");
	assert_int_equal(read_root(&config, &said), 0);
	assert_string_equal(config.node, "b");
	assert_int_equal(config.nflog_group, 3);
	assert_string_equal(config.state, "/s");
	assert_int_equal(config.engines.n_items, 1);
}

static void tells_the_errors_of_all_dropins_and_keeps_the_rest(void **state)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	_cleanup_(ms_str_fini) struct ms_str said = {0};

	(void)state;
	write_file("microseg.yaml", "node: a\nstat: /s\nnflog_group: 4\n");
	write_file("conf.d/20-b.yaml", "\nstate: s\n");
	assert_int_equal(read_root(&config, &said), -EINVAL);
	assert_non_null(strstr(said.text, "microseg.yaml:2:1"));
	assert_non_null(strstr(said.text, "conf.d/20-b.yaml:2:8"));
	assert_int_equal(config.nflog_group, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_the_defaults_of_the_contract),
		cmocka_unit_test(reads_every_key),
		cmocka_unit_test(takes_an_empty_file_as_the_defaults),
		cmocka_unit_test(none_takes_all_engines_away),
		cmocka_unit_test(refuses_what_it_does_not_understand),
		cmocka_unit_test(tells_all_errors),
		cmocka_unit_test(a_named_file_must_be_there),
		cmocka_unit_test_setup_teardown(dropins_replace_keys_in_sorted_order, make_root,
						remove_root),
		cmocka_unit_test_setup_teardown(tells_the_errors_of_all_dropins_and_keeps_the_rest,
						make_root, remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
