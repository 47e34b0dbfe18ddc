/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. GET /version tells what speaks there; then the stream of events is opened,
 * asking for those from before the list on, so that none falls between; then containers are listed
 * and looked at one by one (inspect.c). An event only says which container to look at again. A slow
 * list, once a minute, is the truth that events are held against and shows that the engine still
 * answers. Whether the engine is rootless and which kinds its networks are of is asked beside that:
 * some proxies in front of an engine refuse to say, and then less is known, but nothing fails.
 *
 * Whatever fails (no socket, silence, nonsense, the end of the stream) ends all calls, sets a
 * health state and starts over after a while. Claims stay as they were: only the engine's own word,
 * a container that is gone, takes one back.
 */
#include "discover/engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "discover/container.h"
#include "discover/inspect.h"
#include "discover/memory.h"
#include "microseg/cleanup.h"

#define FIRST_TIMEOUT_MS 2000 /* somebody may wait for the first answer of every source */
#define CALL_TIMEOUT_MS 10000 /* a busy Podman takes seconds even for its version */
#define MAX_EVENT_SIZE ((size_t)1024 * 1024)
#define MAX_BODY_SIZE ((size_t)16 * 1024 * 1024)
#define MAX_API_MINOR 44    /* of the versions 1.MINOR that we know */
#define MIN_API_MINOR 24    /* older ones send other events */
#define ABSENT_RETRY_MS 500 /* one stat() */
#define CLOSED_RETRY_MS                                                                            \
	2000 /* nobody listens, or nobody answers: an engine that starts is like that for a while  \
	      */
#define MIN_BACKOFF_MS 200
#define MAX_BACKOFF_MS 30000
#define HEALTHY_MS 5000 /* of a stream: one that ends then has failed for the first time */
#define RELIST_MS 60000
#define GAP_MS 1000 /* between lists that gaps ask for: they come in storms */
#define STREAM_START_MS 5000
#define DETAIL_SIZE 256

struct ms_engine {
	struct ms_http *http;
	struct ms_engine_handler handler;
	char *path;
	char *name;
	enum ms_source_state state;
	char detail[DETAIL_SIZE];
	struct ms_engine_version version;
	uint64_t backoff_ms;
	uint64_t begun_ms;	   /* since when there is a stream; 0: there is none */
	struct ms_timer *timer;	   /* the next try, or the next slow list */
	struct ms_timer *again;	   /* a list that a gap asked for */
	uint64_t gap_ms;	   /* when that was last done */
	struct ms_http_call *call; /* version, or list */
	struct ms_http_call *events;
	struct ms_http_call *about; /* info, or networks */
	struct ms_claims claims;
	struct ms_inspector *inspector;
	bool look_at_all; /* the next list is followed by a look at every container, known or not */
};

struct ms_source_health ms_engine_health(const struct ms_engine *engine)
{
	return (struct ms_source_health){.name = engine->name,
					 .state = engine->state,
					 .detail = *engine->detail ? engine->detail : NULL};
}

struct ms_claims *ms_engine_claims(struct ms_engine *engine)
{
	return &engine->claims;
}

static void changed(struct ms_engine *engine)
{
	engine->handler.changed(engine->handler.userdata);
}

static uint64_t seq(const struct ms_engine *engine)
{
	return engine->handler.seq(engine->handler.userdata);
}

/* Up to a quarter more or less, so that a restarted engine is not asked by everybody at once. */
static uint64_t jitter(uint64_t delay_ms)
{
	uint16_t dice = 0;

	if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) < 0)
		return delay_ms;
	return delay_ms * 3 / 4 + delay_ms * dice / 65536 / 2;
}

__attribute__((format(printf, 4, 5))) static void fail(struct ms_engine *engine,
						       enum ms_source_state state,
						       uint64_t retry_ms, const char *format, ...)
{
	char detail[DETAIL_SIZE];
	va_list args;

	engine->call = ms_http_cancel(engine->call);
	engine->events = ms_http_cancel(engine->events);
	engine->begun_ms = 0;
	engine->about = ms_http_cancel(engine->about);
	ms_inspector_stop(engine->inspector);
	ms_timer_stop(engine->again);
	ms_timer_set(engine->timer, jitter(retry_ms));

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	if (engine->state == state && strcmp(engine->detail, detail) == 0)
		return;
	engine->state = state;
	memcpy(engine->detail, detail, sizeof(detail));
	changed(engine);
}

/* What it did wrong before it went well counts no more: an engine that is started anew is asked at
 * once, however long it was away. */
static bool was_healthy(const struct ms_engine *engine)
{
	return engine->begun_ms && ms_monotonic_ms() - engine->begun_ms >= HEALTHY_MS;
}

static void fail_backing_off(struct ms_engine *engine, const char *what, const char *reason)
{
	uint64_t retry_ms = was_healthy(engine) ? MIN_BACKOFF_MS : engine->backoff_ms;

	engine->backoff_ms = retry_ms * 2 < MAX_BACKOFF_MS ? retry_ms * 2 : MAX_BACKOFF_MS;
	fail(engine, MS_SOURCE_FAILED, retry_ms, "%s: %s", what, reason);
}

/* Did the call bring a good answer? When not, the engine has failed. */
static bool check_answer(struct ms_engine *engine, const char *what,
			 const struct ms_http_answer *answer)
{
	char status[32];

	if (answer->error == -ETIMEDOUT)
		fail(engine, MS_SOURCE_FAILED, CLOSED_RETRY_MS, "%s: no answer in time", what);
	else if (answer->error == -ECONNREFUSED)
		fail(engine, MS_SOURCE_FAILED, CLOSED_RETRY_MS, "nobody listens on the socket");
	else if (answer->error)
		fail_backing_off(engine, what, answer->reason);
	else if (answer->status != 200) {
		snprintf(status, sizeof(status), "HTTP status %ld", answer->status);
		fail_backing_off(engine, what, status);
	} else
		return true;
	return false;
}

static void get(struct ms_engine *engine, const char *path, ms_http_done_fn done)
{
	uint64_t timeout_ms =
		engine->state == MS_SOURCE_STARTING ? FIRST_TIMEOUT_MS : CALL_TIMEOUT_MS;

	engine->call = ms_http_get(engine->http, &(struct ms_http_get){.socket_path = engine->path,
								       .path = path,
								       .timeout_ms = timeout_ms,
								       .max_size = MAX_BODY_SIZE,
								       .done = done,
								       .userdata = engine});
	if (!engine->call)
		fail_backing_off(engine, path, "out of memory");
}

/* The inspector has looked at all it was told to. */
static void on_inspected(void *userdata)
{
	struct ms_engine *engine = userdata;
	char detail[DETAIL_SIZE];

	if (engine->call || !engine->events)
		return; /* the list is still to come */
	snprintf(detail, sizeof(detail), "%s, API 1.%u%s", engine->version.version,
		 engine->version.api_minor,
		 ms_inspector_n_unreadable(engine->inspector) ? ", some containers can't be read"
							      : "");
	if (engine->state == MS_SOURCE_OK && strcmp(engine->detail, detail) == 0)
		return;
	if (engine->state != MS_SOURCE_OK)
		ms_timer_set(engine->timer, STREAM_START_MS);
	engine->state = MS_SOURCE_OK;
	memcpy(engine->detail, detail, sizeof(detail));
	changed(engine);
}

static void on_inspect_failed(const struct ms_http_answer *answer, void *userdata)
{
	check_answer(userdata, "looking at a container", answer);
}

static void on_networks(const struct ms_http_answer *answer, void *userdata)
{
	struct ms_engine *engine = userdata;
	_cleanup_(ms_network_vec_fini) ms_network_vec networks = {0};

	engine->about = NULL;
	if (answer->error || answer->status != 200 ||
	    ms_engine_networks_parse(answer->body, answer->len, &networks) < 0 ||
	    ms_networks_equal(&networks, &engine->claims.networks))
		return;
	ms_network_vec_fini(&engine->claims.networks);
	engine->claims.networks = networks;
	networks = (ms_network_vec){0};
	changed(engine);
}

/* Asks for what is good to know and nothing waits for. Without memory it is asked next time. */
static void ask_about(struct ms_engine *engine, const char *what, ms_http_done_fn done)
{
	char path[64];

	ms_http_cancel(engine->about);
	snprintf(path, sizeof(path), "/v1.%u/%s", engine->version.api_minor, what);
	engine->about =
		ms_http_get(engine->http, &(struct ms_http_get){.socket_path = engine->path,
								.path = path,
								.timeout_ms = CALL_TIMEOUT_MS,
								.max_size = MAX_BODY_SIZE,
								.done = done,
								.userdata = engine});
}

/* Podman tells of no network that comes: the first container on it does. */
static void on_claim(const char *id, void *userdata)
{
	struct ms_engine *engine = userdata;
	const struct ms_claim *claim = ms_claims_find(&engine->claims, id);
	bool known = true;

	changed(engine);
	for (size_t i = 0; claim && i < claim->facts.attachments.n_items; i++)
		known &= ms_networks_find(&engine->claims.networks,
					  claim->facts.attachments.items[i].network) != NULL;
	if (!known && !engine->about)
		ask_about(engine, "networks", on_networks);
}

static void on_info(const struct ms_http_answer *answer, void *userdata)
{
	struct ms_engine *engine = userdata;
	bool rootless;

	engine->about = NULL;
	if (!answer->error && answer->status == 200 &&
	    ms_engine_info_parse(answer->body, answer->len, &rootless) == 0 &&
	    rootless != engine->claims.rootless) {
		engine->claims.rootless = rootless;
		changed(engine);
	}
	ask_about(engine, "networks", on_networks);
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_listed(const char *id, void *userdata)
{
	const ms_id_vec *ids = userdata;

	return ids->n_items &&
	       bsearch(&id, ids->items, ids->n_items, sizeof(*ids->items), compare_ids);
}

static void on_list(const struct ms_http_answer *answer, void *userdata)
{
	struct ms_engine *engine = userdata;
	_cleanup_(ms_id_vec_fini) ms_id_vec ids = {0};

	engine->call = NULL;
	if (!check_answer(engine, "list of containers", answer))
		return;
	int r = ms_container_list_parse(answer->body, answer->len, &ids);
	if (r < 0) {
		fail_backing_off(engine, "list of containers",
				 r == -E2BIG ? "more containers than can be followed"
					     : "not understood");
		return;
	}
	ms_vec_sort(&ids, compare_ids);
	if (ms_claims_drop_unless(&engine->claims, is_listed, &ids, seq(engine)))
		changed(engine);
	ms_vec_each (char *, id, &ids)
		if (engine->look_at_all || !ms_claims_find(&engine->claims, *id))
			ms_inspector_look(engine->inspector, *id);
	engine->look_at_all = false;
	ms_inspector_clear_unreadable(engine->inspector);
	if (ms_inspector_is_idle(engine->inspector))
		on_inspected(engine);
}

static void get_list(struct ms_engine *engine)
{
	char path[64];

	engine->call = ms_http_cancel(engine->call);
	snprintf(path, sizeof(path), "/v1.%u/containers/json", engine->version.api_minor);
	get(engine, path, on_list);
}

static void on_event(const char *line, size_t len, void *userdata)
{
	struct ms_engine *engine = userdata;
	char id[MS_CONTAINER_ID_SIZE];

	if (len == 0 || (len == 1 && *line == '\r'))
		return;
	int r = ms_engine_event_parse(line, len, id);
	if (r == 0)
		ms_inspector_look(engine->inspector, id);
	else if (r == MS_ENGINE_NETWORKS)
		ask_about(engine, "networks", on_networks);
	else if (r < 0)
		fail_backing_off(engine, "stream of events", "not understood");
}

static void on_events_end(const struct ms_http_answer *answer, void *userdata)
{
	struct ms_engine *engine = userdata;

	engine->events = NULL;
	if (check_answer(engine, "stream of events", answer))
		fail_backing_off(engine, "stream of events", "it ended");
}

static bool get_events(struct ms_engine *engine)
{
	/* {"type":["container","network"]} */
	static const char filters[] = "%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";
	uint64_t since_ms = ms_realtime_ms() - 1000;
	char path[192];

	snprintf(path, sizeof(path), "/v1.%u/events?filters=%s&since=%llu.%03llu000000",
		 engine->version.api_minor, filters, (unsigned long long)since_ms / 1000,
		 (unsigned long long)since_ms % 1000);
	engine->events =
		ms_http_get(engine->http, &(struct ms_http_get){.socket_path = engine->path,
								.path = path,
								.max_size = MAX_EVENT_SIZE,
								.line = on_event,
								.done = on_events_end,
								.userdata = engine});
	engine->begun_ms = ms_monotonic_ms();
	if (!engine->events)
		fail_backing_off(engine, "stream of events", "out of memory");
	return engine->events;
}

static void on_version(const struct ms_http_answer *answer, void *userdata)
{
	struct ms_engine *engine = userdata;

	engine->call = NULL;
	if (!check_answer(engine, "version", answer))
		return;
	if (ms_engine_version_parse(answer->body, answer->len, &engine->version) < 0) {
		fail_backing_off(engine, "version", "not understood");
		return;
	}
	if (engine->version.api_minor < MIN_API_MINOR) {
		fail_backing_off(engine, "version", "too old an API");
		return;
	}
	if (engine->version.api_minor > MAX_API_MINOR)
		engine->version.api_minor = MAX_API_MINOR;
	engine->claims.runtime = engine->version.podman ? "podman" : "docker";
	engine->look_at_all = true;
	ms_inspector_start(engine->inspector, engine->version.api_minor);
	ms_timer_set(engine->timer, RELIST_MS);
	if (get_events(engine)) {
		get_list(engine);
		ask_about(engine, "info", on_info);
	}
}

static void start(struct ms_engine *engine)
{
	struct stat status;

	if (stat(engine->path, &status) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		engine->backoff_ms = MIN_BACKOFF_MS;
		fail(engine, MS_SOURCE_ABSENT, ABSENT_RETRY_MS, "the socket does not exist");
		return;
	}
	get(engine, "/version", on_version);
}

static void on_timer(void *userdata)
{
	struct ms_engine *engine = userdata;

	if (!engine->events) {
		start(engine);
		return;
	}
	if (!ms_http_has_begun(engine->events)) {
		engine->begun_ms = 0;
		fail_backing_off(engine, "stream of events", "no answer in time");
		return;
	}
	ms_timer_set(engine->timer, RELIST_MS);
	get_list(engine);
	ask_about(engine, "info", on_info);
}

void ms_engine_nsid_new(struct ms_engine *engine)
{
	ms_claim_vec unplaced = {0};

	if (engine->events && ms_claims_unplaced(&engine->claims, &unplaced) == 0)
		ms_vec_each (const struct ms_claim *, claim, &unplaced)
			if ((*claim)->facts.pid && (*claim)->facts.mode != MS_NETWORK_HOST)
				ms_inspector_look(engine->inspector, (*claim)->facts.id);
	ms_vec_fini(&unplaced);
}

/* A list under way is waited for: in a storm of gaps none would ever end. */
static void on_again(void *userdata)
{
	struct ms_engine *engine = userdata;

	if (engine->call) {
		ms_timer_set(engine->again, GAP_MS);
		return;
	}
	engine->gap_ms = ms_monotonic_ms();
	if (engine->events)
		get_list(engine);
}

void ms_engine_gap(struct ms_engine *engine)
{
	uint64_t next_ms = engine->gap_ms + GAP_MS, now_ms = ms_monotonic_ms();

	ms_claims_doubt(&engine->claims, seq(engine));
	engine->look_at_all = true;
	if (engine->events && !ms_timer_is_set(engine->again))
		ms_timer_set(engine->again, now_ms < next_ms ? next_ms - now_ms : 0);
}

static char *name_of(const char *path)
{
	char *name = NULL;

	return asprintf(&name, "%s %s", strstr(path, "podman") ? "podman" : "docker", path) < 0
		       ? NULL
		       : name;
}

int ms_engine_new(struct ms_loop *loop, struct ms_http *http, struct ms_rtnl *rtnl,
		  const char *path, const char *memory, const struct ms_engine_handler *handler,
		  struct ms_engine **ret_engine)
{
	struct ms_engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return -ENOMEM;
	engine->http = http;
	engine->handler = *handler;
	engine->backoff_ms = MIN_BACKOFF_MS;
	engine->claims.runtime = "docker";
	engine->path = strdup(path);
	engine->name = name_of(path);
	engine->timer = ms_loop_timer(loop, on_timer, engine);
	engine->again = ms_loop_timer(loop, on_again, engine);
	engine->inspector =
		ms_inspector_new(&(struct ms_inspector_options){.http = http,
								.rtnl = rtnl,
								.socket_path = engine->path,
								.claims = &engine->claims,
								.seq = handler->seq,
								.seq_userdata = handler->userdata,
								.claim = on_claim,
								.idle = on_inspected,
								.failed = on_inspect_failed,
								.userdata = engine});
	if (!engine->path || !engine->name || !engine->timer || !engine->again ||
	    !engine->inspector ||
	    ms_memory_read(memory, path, rtnl, seq(engine), &engine->claims) < 0) {
		ms_engine_free(engine);
		return -ENOMEM;
	}
	ms_timer_set(engine->timer, 0);
	*ret_engine = engine;
	return 0;
}

void ms_engine_remember(const struct ms_engine *engine, struct ms_str *out)
{
	ms_memory_write(engine->path, &engine->claims, out);
}

struct ms_engine *ms_engine_free(struct ms_engine *engine)
{
	if (!engine)
		return NULL;
	ms_http_cancel(engine->call);
	ms_http_cancel(engine->events);
	ms_http_cancel(engine->about);
	ms_inspector_free(engine->inspector);
	ms_timer_free(engine->timer);
	ms_timer_free(engine->again);
	ms_claims_fini(&engine->claims);
	free(engine->path);
	free(engine->name);
	free(engine);
	return NULL;
}
