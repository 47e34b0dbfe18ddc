/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzzes the policy loader, gate on and off. Any bytes must end in a policy or in diagnostics,
 *never in neither, and what is printed of them must be one line each without control characters.
 *
 *	clang -g -O1 -fsanitize=fuzzer,address,undefined -std=gnu11 -D_GNU_SOURCE -Iinclude -Isrc \
 *		tests/fuzz/policy.c src/base/[a-z]*.c src/net/[a-z]*.c src/policy/[a-z]*.c -lyaml -o
 *fuzz-policy
 *	./fuzz-policy -dict=tests/fuzz/policy.dict CORPUS policies
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/policy.h"
#include "policy/load.h"

#define NOW ((time_t)1796083200)

static const char frame[] = "apiVersion: microseg/v1\n"
			    "kind: Environments\n"
			    "unidentified: {mode: enforce}\n"
			    "environments: {prod: {resolvers: [gateway]}, dev: {mode: audit}}\n"
			    "nets: {office: [10.20.0.0/16]}\n";

typedef int load_fn(const struct ms_policy_file *, size_t, time_t, struct ms_diags *,
		    struct ms_policy **);

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void load_once(load_fn *load, const struct ms_policy_file *files, size_t n_files)
{
	struct ms_diags diags;
	struct ms_policy *policy = NULL;
	struct ms_str text = {0};

	if (ms_diags_init(&diags) < 0)
		return;
	int r = load(files, n_files, NOW, &diags, &policy);
	require(r == -ENOMEM || (r == 0) == (policy != NULL));
	require(r == -ENOMEM || (r == 0) == (diags.n_errors == 0));
	ms_diags_print(&diags, &text, false);
	for (size_t i = 0; i < text.len; i++)
		require((unsigned char)text.text[i] >= 0x20 || strchr("\n\t", text.text[i]));
	ms_str_fini(&text);
	ms_policy_free(policy);
	ms_diags_fini(&diags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ms_policy_file files[] = {{"fuzz.yaml", (const char *)data, size},
					       {"frame.yaml", frame, sizeof(frame) - 1}};

	load_once(ms_policy_load, files, 1);
	load_once(ms_policy_load_ungated, files, 2);
	return 0;
}
