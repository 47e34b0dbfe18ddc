/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lab of its own for tests of discovery: a network and mount namespace with a /run of its own,
 * where `ip` commands make what discovery is to find, and a loop that runs until it is found.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "discover/discover.h"
#include "loop/loop.h"
#include "microseg/inventory.h"

#define LAB_SKIP 77 /* meson's exit code for a skipped test */

struct lab {
	struct ms_loop *loop;
	struct ms_discover *discover;
	struct ms_timer *deadline;
	struct ms_inventory *inventory; /* the newest snapshot */
	bool (*found)(const struct lab *lab, const void *userdata);
	const void *userdata;
	bool ok;
	unsigned int n_changed;
	ms_text_vec patterns, named, ignore, engines;
	const char *memory; /* of an earlier life */
	uint64_t relist_ms;
};

typedef bool (*lab_fn)(const struct lab *lab, const void *userdata);

/* Leaves the host behind for good. */
static inline void lab_enter(void)
{
	if (geteuid() != 0) {
		fprintf(stderr, "skipped: needs root\n");
		exit(LAB_SKIP);
	}
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("lab", "/run", "tmpfs", 0, "mode=755") < 0) {
		perror("making a lab");
		exit(1);
	}
}

__attribute__((format(printf, 1, 2))) static inline void sh(const char *format, ...)
{
	char command[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static inline void lab_check(struct lab *lab)
{
	lab->inventory = ms_inventory_free(lab->inventory);
	assert_int_equal(ms_discover_snapshot(lab->discover, &lab->inventory), 0);
	if (lab->found && lab->found(lab, lab->userdata)) {
		lab->ok = true;
		ms_loop_stop(lab->loop);
	}
}

static inline void lab_on_changed(void *userdata)
{
	struct lab *lab = userdata;

	lab->n_changed++;
	lab_check(lab);
}

static inline void lab_on_deadline(void *userdata)
{
	struct lab *lab = userdata;

	ms_loop_stop(lab->loop);
}

/* Runs the loop until @found. Only what discovery itself reports as a change is looked at. */
static inline bool lab_waits(struct lab *lab, uint64_t timeout_ms, lab_fn found,
			     const void *userdata)
{
	lab->found = found;
	lab->userdata = userdata;
	lab->ok = false;
	lab_check(lab);
	if (!lab->ok) {
		ms_timer_set(lab->deadline, timeout_ms);
		ms_loop_run(lab->loop);
		ms_timer_stop(lab->deadline);
	}
	lab->found = NULL;
	return lab->ok;
}

static inline void lab_print(const struct lab *lab)
{
	struct ms_str text = {0};

	ms_inventory_print(lab->inventory, &text);
	fprintf(stderr, "%s", text.text);
	ms_str_fini(&text);
	ms_vec_each (struct ms_uncovered, uncovered, &lab->inventory->uncovered)
		fprintf(stderr, "uncovered: %s: %s\n", uncovered->what, uncovered->reason);
	ms_vec_each (const char *, skipped, &lab->inventory->skipped)
		fprintf(stderr, "skipped: %s\n", *skipped);
	for (size_t i = 0; i < ms_discover_n_sources(lab->discover); i++) {
		struct ms_source_health health = ms_discover_source(lab->discover, i);

		fprintf(stderr, "%s: %s: %s\n", health.name, ms_source_state_name(health.state),
			health.detail ? health.detail : "-");
	}
}

#define lab_wait(lab, timeout_ms, found, userdata)                                                 \
	do {                                                                                       \
		if (!lab_waits(lab, timeout_ms, found, userdata)) {                                \
			lab_print(lab);                                                            \
			fail_msg("not seen in %d ms: %s", (int)(timeout_ms), #found);              \
		}                                                                                  \
	} while (0)

static inline void lab_start(struct lab *lab)
{
	struct ms_discover_options options = {.patterns = &lab->patterns,
					      .named = &lab->named,
					      .ignore = &lab->ignore,
					      .engines = &lab->engines,
					      .netns_dir = "/run/netns",
					      .node = "lab",
					      .memory = lab->memory,
					      .relist_ms = lab->relist_ms,
					      .changed = lab_on_changed,
					      .userdata = lab};

	lab->loop = ms_loop_new();
	assert_non_null(lab->loop);
	lab->deadline = ms_loop_timer(lab->loop, lab_on_deadline, lab);
	if (!lab->patterns.n_items)
		for (const char *const *pattern = ms_default_patterns; *pattern; pattern++)
			assert_int_equal(ms_vec_push(&lab->patterns, *pattern), 0);
	assert_int_equal(ms_discover_new(lab->loop, &options, &lab->discover), 0);
}

static inline void lab_stop(struct lab *lab)
{
	ms_inventory_free(lab->inventory);
	ms_discover_free(lab->discover);
	ms_timer_free(lab->deadline);
	ms_loop_free(lab->loop);
	ms_vec_fini(&lab->patterns);
	ms_vec_fini(&lab->named);
	ms_vec_fini(&lab->ignore);
	ms_vec_fini(&lab->engines);
	*lab = (struct lab){0};
}

static inline const struct ms_endpoint *lab_endpoint(const struct lab *lab, const char *interface)
{
	ms_vec_each (struct ms_endpoint, endpoint, &lab->inventory->endpoints)
		if (strcmp(endpoint->interface, interface) == 0)
			return endpoint;
	return NULL;
}

static inline bool lab_is_skipped(const struct lab *lab, const char *interface)
{
	ms_vec_each (const char *, skipped, &lab->inventory->skipped)
		if (strcmp(*skipped, interface) == 0)
			return true;
	return false;
}

/* Why @what ("bridge br-x") is not covered; NULL when it is. */
static inline const char *lab_uncovered(const struct lab *lab, const char *what)
{
	ms_vec_each (struct ms_uncovered, uncovered, &lab->inventory->uncovered)
		if (strcmp(uncovered->what, what) == 0)
			return uncovered->reason;
	return NULL;
}

static inline const char *lab_label(const struct ms_endpoint *endpoint, const char *runtime,
				    const char *name)
{
	ms_vec_each (struct ms_workload, workload, &endpoint->workloads)
		if (strcmp(workload->runtime, runtime) == 0)
			ms_vec_each (struct ms_label, label, &workload->labels)
				if (strcmp(label->name, name) == 0)
					return label->value;
	return NULL;
}

static inline bool lab_has_addr(const ms_addr_vec *addrs, const char *text)
{
	struct ms_addr addr;

	assert_int_equal(ms_addr_parse(text, &addr), 0);
	ms_vec_each (struct ms_addr, item, addrs)
		if (ms_addr_equal(item, &addr))
			return true;
	return false;
}
