/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. A container's process id leads to its namespace, and a process id can be
 * that of another process by the time it is used. So it is held by a pidfd, its namespace looked
 * up, the container looked at a second time, and the answer trusted only when the engine still
 * names the same process, started at the same time, and the pidfd has not ended meanwhile. A
 * container that was found so before is not looked up again.
 */
#include "discover/inspect.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION HASH_FNV /* the default one falls through cases, which clang reports */
#include <uthash.h>

#include "discover/container.h"
#include "discover/memory.h"
#include "microseg/cleanup.h"

#define CALL_TIMEOUT_MS 2000
#define MAX_BODY_SIZE ((size_t)16 * 1024 * 1024)
#define MAX_IN_FLIGHT 16
#define MAX_TRIES 3
#define MAX_INSPECTIONS (2 * MS_MAX_WORKLOADS) /* what is beyond waits for the next slow list */

struct inspection {
	UT_hash_handle hh; /* of ms_inspector.all, which also keeps the order of coming */
	struct ms_inspector *inspector;
	struct ms_http_call *call; /* NULL: waiting for its turn */
	char id[MS_CONTAINER_ID_SIZE];
	unsigned int n_tries;
	bool again; /* an event came while looking */

	/* Between the first look and the second. */
	int pidfd; /* -1: this is the first look */
	int32_t nsid;
	uint32_t pid;
	char *started_at;
};

struct ms_inspector {
	struct ms_inspector_options options;
	struct inspection *all;
	unsigned int api_minor;
	size_t n_in_flight;
	size_t n_unreadable;
};

static void pump(struct ms_inspector *inspector);

struct ms_inspector *ms_inspector_new(const struct ms_inspector_options *options)
{
	struct ms_inspector *inspector = calloc(1, sizeof(*inspector));

	if (inspector)
		inspector->options = *options;
	return inspector;
}

struct ms_inspector *ms_inspector_free(struct ms_inspector *inspector)
{
	if (inspector)
		ms_inspector_stop(inspector);
	free(inspector);
	return NULL;
}

void ms_inspector_start(struct ms_inspector *inspector, unsigned int api_minor)
{
	inspector->api_minor = api_minor;
	inspector->n_unreadable = 0;
}

bool ms_inspector_is_idle(const struct ms_inspector *inspector)
{
	return !inspector->all;
}

size_t ms_inspector_n_unreadable(const struct ms_inspector *inspector)
{
	return inspector->n_unreadable;
}

void ms_inspector_clear_unreadable(struct ms_inspector *inspector)
{
	inspector->n_unreadable = 0;
}

static void forget_first_look(struct inspection *inspection)
{
	closep(&inspection->pidfd);
	free(inspection->started_at);
	inspection->pidfd = -1;
	inspection->started_at = NULL;
}

static void inspection_free(struct inspection *inspection)
{
	struct ms_inspector *inspector = inspection->inspector;

	HASH_DEL(inspector->all, inspection);
	if (inspection->call)
		inspector->n_in_flight--;
	ms_http_cancel(inspection->call);
	forget_first_look(inspection);
	free(inspection);
}

void ms_inspector_stop(struct ms_inspector *inspector)
{
	while (inspector->all)
		inspection_free(inspector->all);
}

/* This inspection has come to its end, one way or the other. */
static void finish(struct inspection *inspection)
{
	struct ms_inspector *inspector = inspection->inspector;

	forget_first_look(inspection);
	if (inspection->again) {
		inspection->again = false;
		inspection->n_tries = 0;
	} else {
		inspection_free(inspection);
	}
	pump(inspector);
	if (!inspector->all)
		inspector->options.idle(inspector->options.userdata);
}

static void unreadable(struct inspection *inspection)
{
	inspection->inspector->n_unreadable++;
	finish(inspection);
}

static void try_again(struct inspection *inspection)
{
	forget_first_look(inspection);
	if (++inspection->n_tries == MAX_TRIES)
		unreadable(inspection);
	else
		pump(inspection->inspector);
}

static void take_back(struct inspection *inspection)
{
	const struct ms_inspector_options *options = &inspection->inspector->options;

	if (ms_claims_drop(options->claims, inspection->id, options->seq(options->seq_userdata)))
		options->claim(inspection->id, options->userdata);
	finish(inspection);
}

static void claim(struct inspection *inspection, struct ms_workload_facts *facts, int32_t nsid)
{
	const struct ms_inspector_options *options = &inspection->inspector->options;
	int r = ms_claims_put(options->claims, facts, nsid, options->seq(options->seq_userdata));

	if (r != 0)
		options->claim(inspection->id, options->userdata);
	if (r < 0)
		unreadable(inspection);
	else
		finish(inspection);
}

/* Was this very process found to live in a namespace before, and is that still sure? */
static const struct ms_claim *known_place(const struct inspection *inspection,
					  const struct ms_workload_facts *facts)
{
	const struct ms_claim *known =
		ms_claims_find(inspection->inspector->options.claims, inspection->id);

	if (!known || known->nsid < 0 || known->until_seq != UINT64_MAX ||
	    known->facts.pid != facts->pid ||
	    strcmp(known->facts.started_at, facts->started_at) != 0)
		return NULL;
	return known;
}

static void look_up(struct inspection *inspection, struct ms_workload_facts *facts)
{
	_cleanup_(closep) int pidfd = (int)syscall(SYS_pidfd_open, facts->pid, 0);
	int32_t nsid = -1;

	int r = pidfd < 0 ? -errno
			  : ms_rtnl_nsid_of_pid(inspection->inspector->options.rtnl, facts->pid,
						&nsid);
	if (r == -ESRCH) {
		take_back(inspection);
		return;
	}
	if (r < 0) {
		try_again(inspection);
		return;
	}
	if (nsid < 0) {
		claim(inspection, facts, -1);
		return;
	}
	inspection->started_at = strdup(facts->started_at);
	if (!inspection->started_at) {
		unreadable(inspection);
		return;
	}
	inspection->nsid = nsid;
	inspection->pid = facts->pid;
	inspection->pidfd = pidfd;
	pidfd = -1;
	pump(inspection->inspector);
}

static bool has_ended(int pidfd)
{
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};

	return poll(&poller, 1, 0) != 0;
}

static void second_look(struct inspection *inspection, struct ms_workload_facts *facts)
{
	if (facts->pid == inspection->pid &&
	    strcmp(facts->started_at, inspection->started_at) == 0 &&
	    !has_ended(inspection->pidfd)) {
		facts->process = ms_process_number(inspection->pidfd, inspection->pid);
		claim(inspection, facts, inspection->nsid);
	} else
		try_again(inspection);
}

static void first_look(struct inspection *inspection, struct ms_workload_facts *facts)
{
	const struct ms_claim *known = known_place(inspection, facts);

	if (facts->mode == MS_NETWORK_HOST)
		claim(inspection, facts, -1);
	else if (known) {
		facts->process = known->facts.process;
		claim(inspection, facts, known->nsid);
	} else
		look_up(inspection, facts);
}

static void on_answer(const struct ms_http_answer *answer, void *userdata)
{
	struct inspection *inspection = userdata;
	const struct ms_inspector_options *options = &inspection->inspector->options;
	_cleanup_(ms_workload_facts_fini) struct ms_workload_facts facts = {0};

	inspection->call = NULL;
	inspection->inspector->n_in_flight--;
	if (answer->error == -ETIMEDOUT)
		try_again(inspection); /* an engine holds back the answer for a container that is
					  being changed */
	else if (answer->error)
		options->failed(answer, options->userdata);
	else if (answer->status == 404)
		take_back(inspection);
	else if (answer->status != 200 ||
		 ms_container_parse(answer->body, answer->len, &facts) < 0 ||
		 strcmp(facts.id, inspection->id) != 0)
		unreadable(inspection);
	else if (facts.pid == 0)
		take_back(inspection);
	else if (inspection->pidfd >= 0)
		second_look(inspection, &facts);
	else
		first_look(inspection, &facts);
}

static bool start(struct inspection *inspection)
{
	struct ms_inspector *inspector = inspection->inspector;
	char path[128];

	snprintf(path, sizeof(path), "/v1.%u/containers/%s/json", inspector->api_minor,
		 inspection->id);
	inspection->call =
		ms_http_get(inspector->options.http,
			    &(struct ms_http_get){.socket_path = inspector->options.socket_path,
						  .path = path,
						  .timeout_ms = CALL_TIMEOUT_MS,
						  .max_size = MAX_BODY_SIZE,
						  .done = on_answer,
						  .userdata = inspection});
	if (!inspection->call)
		return false;
	inspector->n_in_flight++;
	return true;
}

/* Starts calls for those who wait, in the order of their coming. */
static void pump(struct ms_inspector *inspector)
{
	struct inspection *inspection, *next;

	HASH_ITER(hh, inspector->all, inspection, next)
	{
		if (inspector->n_in_flight >= MAX_IN_FLIGHT)
			return;
		if (!inspection->call && !start(inspection))
			return; /* without memory; the next slow list tries again */
	}
}

void ms_inspector_look(struct ms_inspector *inspector, const char *id)
{
	struct inspection *inspection;

	HASH_FIND_STR(inspector->all, id, inspection);
	if (inspection) {
		inspection->again = inspection->again || inspection->call;
		return;
	}
	if (HASH_COUNT(inspector->all) >= MAX_INSPECTIONS)
		return;
	inspection = calloc(1, sizeof(*inspection));
	if (!inspection)
		return;
	inspection->inspector = inspector;
	inspection->pidfd = -1;
	snprintf(inspection->id, sizeof(inspection->id), "%s", id);
	HASH_ADD_STR(inspector->all, id, inspection);
	if (!inspection->hh.tbl)
		free(inspection); /* without memory */
	else
		pump(inspector);
}
