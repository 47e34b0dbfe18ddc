/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "summary.h"

#define HEAD                                                                                       \
	"apiVersion: microseg/v1\nkind: Environments\nidentity: {env: [e], service: [s]}\n"        \
	"unidentified: {mode: enforce}\n"
#define SERVICE "---\napiVersion: microseg/v1\nkind: Service\nenv: prod\nservice: "
#define ENVS "environments: {prod: {mode: enforce, resolvers: [10.0.0.53]}}\n"
#define AUDIT "environments: {prod: {mode: audit, resolvers: [10.0.0.53]}}\n"

static struct ms_policy *load(const char *text)
{
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
	struct ms_policy_file file = {.name = "p.yaml", .bytes = text, .size = strlen(text)};
	struct ms_policy *policy = NULL;

	assert_int_equal(ms_diags_init(&diags), 0);
	assert_int_equal(ms_policy_load(&file, 1, 0, &diags, &policy), 0);
	return policy;
}

static void says_what_is_new_and_what_is_gone(void **state)
{
	static const struct {
		const char *before, *after, *said;
	} cases[] = {
		{HEAD ENVS, HEAD ENVS, ""},
		{HEAD ENVS, "# moved\n\n" HEAD ENVS, ""},
		{HEAD ENVS, HEAD AUDIT,
		 "+ environment prod: audit, resolvers 10.0.0.53\n- environment prod: enforce, resolvers 10.0.0.53\n"},
		{HEAD ENVS, HEAD ENVS SERVICE "web\n", "+ service prod/web: enforce\n"},
		{HEAD ENVS SERVICE "web\n", HEAD ENVS, "- service prod/web: enforce\n"},
		{HEAD ENVS SERVICE "web\n",
		 HEAD ENVS SERVICE "web\nallow: [{from: self, ports: [tcp/80]}]\n",
		 "+ service prod/web: allow from prod/web tcp/80\n"},
		{HEAD ENVS SERVICE "web\nallow: [{from: {net: 192.0.2.0/24}, ports: [tcp/80]}]\n",
		 HEAD ENVS SERVICE
		 "web\nallow: [{from: {net: 192.0.2.0/24, except: [192.0.2.128/25]}, ports: [tcp/80]}]\n",
		 "+ service prod/web: allow from net 192.0.2.0/24 except 192.0.2.128/25 tcp/80 192.0.2.0-192.0.2.127\n"
		 "- service prod/web: allow from net 192.0.2.0/24 tcp/80 192.0.2.0-192.0.2.255\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(ms_policy_freep) struct ms_policy *before = load(cases[i].before),
							    *after = load(cases[i].after);
		_cleanup_(ms_str_fini) struct ms_str said = {0};

		assert_true(summary_diff(before, after, &said) >= 0);
		assert_string_equal(said.text ? said.text : "", cases[i].said);
	}
}

static void everything_is_new_where_nothing_was(void **state)
{
	_cleanup_(ms_policy_freep) struct ms_policy *after = load(HEAD ENVS);
	_cleanup_(ms_str_fini) struct ms_str said = {0};

	(void)state;
	assert_int_equal(summary_diff(NULL, after, &said), 2);
	assert_string_equal(said.text, "+ environment prod: enforce, resolvers 10.0.0.53\n"
				       "+ unidentified containers: enforce\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_is_new_and_what_is_gone),
		cmocka_unit_test(everything_is_new_where_nothing_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
