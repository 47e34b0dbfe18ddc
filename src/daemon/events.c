/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/events.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/log.h"
#include "kernel/nflog.h"
#include "microseg/cleanup.h"

#define ADOPTED                                                                                         \
	"it belongs to a connection older than our tables, which the policy allows and which goes on: " \
	"only this packet of its server was refused"
#define READ_MAX 1024 /* records a turn: some 4 ms */
#define READ_PAUSE_MS                                                                              \
	1 /* between two reads: a flood of refusals must not keep the loop from reconciling */
#define LOSS_INTERVAL_MS 1000 /* how often losses are told */

struct ms_events {
	struct ms_loop *loop;
	struct ms_nflog *nflog;
	struct ms_io *io;
	struct ms_fold *fold;
	struct ms_timer *flush_timer, *loss_timer, *read_timer;
	struct ms_events_view view;
	const char *node;

	const char *log_path; /* borrowed from the config; NULL: none */
	int log_fd;
	char *problem;

	uint64_t lost;	    /* beside what the NFLOG reader counts */
	uint64_t lost_told; /* by a line */

	struct ms_events_line *ring; /* MS_EVENTS_RING slots; json owns all texts of its line */
	size_t ring_next, ring_len;
	ms_events_adopt_fn adopt;
	void *adopt_userdata;
	ms_events_fn sink;
	void *sink_userdata;

	MS_VEC(struct ms_events_series) series;
};

static void set_problem(struct ms_events *events, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void set_problem(struct ms_events *events, const char *format, ...)
{
	struct ms_str text = {0};
	va_list args;

	va_start(args, format);
	ms_str_addv(&text, format, args);
	va_end(args);
	free(events->problem);
	events->problem = ms_str_steal(&text);
	ms_log(MS_LOG_WARNING, "%s", events->problem ? events->problem : "out of memory");
}

/*
 * A line goes out whole or not at all. A pipe that nobody empties must not stop the loop: POLLOUT
 * promises room for PIPE_BUF bytes; longer lines are not written to pipes.
 */
static bool log_write(struct ms_events *events, const char *line, size_t len)
{
	struct pollfd ready = {.fd = events->log_fd, .events = POLLOUT};

	if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT))
		return false;
	return write(events->log_fd, line, len) == (ssize_t)len;
}

static void log_line(struct ms_events *events, const char *json)
{
	_cleanup_(ms_str_fini) struct ms_str line = {0};

	if (events->log_fd < 0)
		return;
	ms_str_addf(&line, "%s\n", json);
	if ((line.failed || !log_write(events, line.text, line.len)) && !events->problem)
		set_problem(events, "cannot write events to %s: lines are missing there",
			    events->log_path);
}

static char *end_of(char *text)
{
	return text + strlen(text) + 1;
}

/* Puts a line into the ring, the log and the stream. */
static void publish(struct ms_events *events, uint64_t time_ms, enum ms_reason reason,
		    const char *src, const char *dst, const char *json)
{
	struct ms_events_line *slot = &events->ring[events->ring_next];
	size_t size = strlen(json) + strlen(src) + strlen(dst) + 3;
	char *texts = malloc(size);

	log_line(events, json);
	if (!texts)
		return;
	free((char *)slot->json);
	snprintf(texts, size, "%s%c%s%c%s", json, 0, src, 0, dst);
	*slot = (struct ms_events_line){.time_ms = time_ms, .reason = reason, .json = texts};
	slot->src = end_of(texts);
	slot->dst = end_of(end_of(texts));
	events->ring_next = (events->ring_next + 1) % MS_EVENTS_RING;
	if (events->ring_len < MS_EVENTS_RING)
		events->ring_len++;
	if (events->sink)
		events->sink(slot, events->sink_userdata);
}

static struct ms_events_series *find_series(struct ms_events *events, const struct ms_event *event)
{
	ms_vec_each (struct ms_events_series, series, &events->series)
		if (series->verdict == event->verdict && series->reason == event->reason &&
		    strcmp(series->src, event->src.identity) == 0 &&
		    strcmp(series->dst, event->dst.identity) == 0)
			return series;
	return NULL;
}

/* Identities are few, but an attacker may make them many: beyond the limit a verdict and reason
 * share one series. */
static void count(struct ms_events *events, const struct ms_event *event)
{
	struct ms_event other = {.verdict = event->verdict,
				 .reason = event->reason,
				 .src.identity = "other",
				 .dst.identity = "other"};
	struct ms_events_series *series = find_series(events, event);
	uint64_t n = event->count;

	if (!series && events->series.n_items >= MS_EVENTS_SERIES) {
		series = find_series(events, &other);
		event = &other;
	}
	if (series) {
		series->count += n;
		return;
	}
	struct ms_events_series made = {
		.verdict = event->verdict, .reason = event->reason, .count = n};
	snprintf(made.src, sizeof(made.src), "%s", event->src.identity);
	snprintf(made.dst, sizeof(made.dst), "%s", event->dst.identity);
	(void)!ms_vec_push(&events->series, made);
}

static void on_folded(const struct ms_event *event, void *userdata)
{
	_cleanup_(ms_str_fini) struct ms_str json = {0};
	struct ms_events *events = userdata;

	count(events, event);
	ms_event_json(event, &json);
	if (json.failed || !json.text)
		events->lost += event->count;
	else
		publish(events, event->time_ms, event->reason, event->src.identity,
			event->dst.identity, json.text);
}

static void flush(void *userdata)
{
	struct ms_events *events = userdata;
	int64_t next = ms_fold_flush(events->fold, ms_monotonic_ms(), on_folded, events);

	if (next >= 0)
		ms_timer_set(events->flush_timer, (uint64_t)next);
}

static void on_record(const struct ms_packet_record *record, void *userdata)
{
	struct ms_events *events = userdata;
	struct ms_event event;

	if (!events->view.inventory) {
		events->lost++;
		return;
	}
	/* Another program may log to our group: that is no loss of ours. */
	if (ms_event_attribute(record, events->view.policy, events->view.inventory,
			       events->view.generation, &event) < 0)
		return;
	if (events->adopt && events->adopt(record, events->adopt_userdata))
		snprintf(event.nearest, sizeof(event.nearest), "%s", ADOPTED);
	ms_fold_add(events->fold, &event, ms_monotonic_ms(), on_folded, events);
}

void ms_events_tracked(struct ms_events *events, const struct ms_packet_record *record)
{
	struct ms_event event;

	if (!events->view.inventory ||
	    ms_event_attribute(record, events->view.policy, events->view.inventory,
			       events->view.generation, &event) < 0)
		return;
	event.tracked = true;
	ms_fold_add(events->fold, &event, ms_monotonic_ms(), on_folded, events);
	ms_timer_set(events->flush_timer, MS_FOLD_WINDOW_MS);
}

static void on_readable(int fd, void *userdata)
{
	struct ms_events *events = userdata;
	int r = ms_nflog_read(events->nflog, READ_MAX, on_record, events);

	(void)fd;
	events->io = ms_io_free(events->io);
	if (r < 0)
		set_problem(events, "reading the packet log failed: %s; drops are not reported",
			    strerror(-r));
	else
		ms_timer_set(events->read_timer, READ_PAUSE_MS);
	flush(events);
}

static void listen_again(void *userdata)
{
	struct ms_events *events = userdata;

	events->io = ms_loop_io(events->loop, ms_nflog_fd(events->nflog), MS_IO_READ, on_readable,
				events);
	if (!events->io)
		set_problem(events, "out of memory; drops are not reported");
}

uint64_t ms_events_lost(const struct ms_events *events)
{
	return events->lost + (events->nflog ? ms_nflog_lost(events->nflog) : 0);
}

static void format_time(uint64_t time_ms, char text[32])
{
	time_t seconds = (time_t)(time_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	size_t len = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, 32 - len, ".%03uZ", (unsigned int)(time_ms % 1000));
}

static void tell_losses(void *userdata)
{
	struct ms_events *events = userdata;
	uint64_t lost = ms_events_lost(events), now_ms = ms_realtime_ms();
	char time[32];

	if (lost > events->lost_told) {
		_cleanup_(freep) char *json = NULL;
		json_t *line;

		format_time(now_ms, time);
		line = json_pack("{s:s, s:I, s:s, s:I}", "time", time, "lost",
				 (json_int_t)(lost - events->lost_told), "node", events->node,
				 "generation", (json_int_t)events->view.generation);
		json = line ? json_dumps(line, JSON_COMPACT) : NULL;
		json_decref(line);
		if (json)
			publish(events, now_ms, MS_REASON_NONE, "", "", json);
		events->lost_told = lost;
	}
	ms_timer_set(events->loss_timer, LOSS_INTERVAL_MS);
}

void ms_events_reopen(struct ms_events *events)
{
	if (!events->log_path)
		return;
	if (strcmp(events->log_path, "-") == 0) {
		events->log_fd = STDOUT_FILENO;
		return;
	}
	if (events->log_fd >= 0)
		close(events->log_fd);
	events->log_fd =
		open(events->log_path,
		     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (events->log_fd < 0)
		set_problem(events,
			    "cannot open the log file %s: %s; events are kept in memory only",
			    events->log_path, strerror(errno));
}

static void open_nflog(struct ms_events *events, uint16_t group)
{
	int r = ms_nflog_open(group, &events->nflog);

	if (r == -EBUSY)
		set_problem(
			events,
			"NFLOG group %u is read by another process (see /proc/net/netfilter/nfnetlink_log): "
			"drops are not reported; choose another nflog_group",
			group);
	else if (r < 0)
		set_problem(events, "cannot read NFLOG group %u: %s; drops are not reported", group,
			    strerror(-r));
	else
		listen_again(events);
}

int ms_events_new(struct ms_loop *loop, const struct ms_config *config,
		  struct ms_events **ret_events)
{
	struct ms_events *events = calloc(1, sizeof(*events));

	if (!events)
		return -ENOMEM;
	events->loop = loop;
	events->log_fd = -1;
	events->log_path = config->log;
	events->node = config->node;
	events->fold = ms_fold_new();
	events->ring = calloc(MS_EVENTS_RING, sizeof(*events->ring));
	events->flush_timer = ms_loop_timer(loop, flush, events);
	events->loss_timer = ms_loop_timer(loop, tell_losses, events);
	events->read_timer = ms_loop_timer(loop, listen_again, events);
	if (!events->fold || !events->ring || !events->flush_timer || !events->loss_timer ||
	    !events->read_timer) {
		ms_events_free(events);
		return -ENOMEM;
	}
	ms_events_reopen(events);
	open_nflog(events, config->nflog_group);
	ms_timer_set(events->loss_timer, LOSS_INTERVAL_MS);
	*ret_events = events;
	return 0;
}

struct ms_events *ms_events_free(struct ms_events *events)
{
	if (!events)
		return NULL;
	if (events->fold && events->ring) /* what waits for its window is still told */
		ms_fold_flush(events->fold, UINT64_MAX, on_folded, events);
	ms_timer_free(events->flush_timer);
	ms_timer_free(events->loss_timer);
	ms_timer_free(events->read_timer);
	ms_io_free(events->io);
	ms_nflog_free(events->nflog);
	ms_fold_free(events->fold);
	if (events->log_fd > STDERR_FILENO)
		close(events->log_fd);
	for (size_t i = 0; events->ring && i < MS_EVENTS_RING; i++)
		free((char *)events->ring[i].json);
	free(events->ring);
	free(events->problem);
	ms_vec_fini(&events->series);
	free(events);
	return NULL;
}

void ms_events_set_view(struct ms_events *events, const struct ms_events_view *view)
{
	events->view = *view;
}

const char *ms_events_problem(const struct ms_events *events)
{
	return events->problem;
}

void ms_events_set_adopt(struct ms_events *events, ms_events_adopt_fn adopt, void *userdata)
{
	events->adopt = adopt;
	events->adopt_userdata = userdata;
}

void ms_events_set_sink(struct ms_events *events, ms_events_fn fn, void *userdata)
{
	events->sink = fn;
	events->sink_userdata = userdata;
}

static bool identity_is(const char *identity, const char *wanted)
{
	const char *slash = strchr(identity, '/');

	return strcmp(identity, wanted) == 0 || (slash && strcmp(slash + 1, wanted) == 0);
}

bool ms_events_match(const struct ms_events_filter *filter, const struct ms_events_line *line)
{
	if (line->time_ms < filter->since_ms)
		return false;
	if (line->reason == MS_REASON_NONE) /* losses concern every reader */
		return true;
	if (filter->reason != MS_REASON_NONE && line->reason != filter->reason)
		return false;
	return !filter->service || identity_is(line->src, filter->service) ||
	       identity_is(line->dst, filter->service);
}

static const struct ms_events_line *ring_at(const struct ms_events *events, size_t index)
{
	return &events->ring[(events->ring_next + MS_EVENTS_RING - events->ring_len + index) %
			     MS_EVENTS_RING];
}

void ms_events_each(const struct ms_events *events, const struct ms_events_filter *filter,
		    size_t max, ms_events_fn fn, void *userdata)
{
	size_t n_matching = 0, skip;

	for (size_t i = 0; i < events->ring_len; i++)
		n_matching += ms_events_match(filter, ring_at(events, i));
	skip = n_matching > max ? n_matching - max : 0;
	for (size_t i = 0; i < events->ring_len; i++) {
		const struct ms_events_line *line = ring_at(events, i);

		if (!ms_events_match(filter, line))
			continue;
		if (skip > 0)
			skip--;
		else
			fn(line, userdata);
	}
}

size_t ms_events_series(const struct ms_events *events, const struct ms_events_series **ret_series)
{
	*ret_series = events->series.items;
	return events->series.n_items;
}
