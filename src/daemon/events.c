/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/events.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/balance.h"
#include "daemon/eventlog.h"
#include "daemon/log.h"
#include "daemon/tally.h"
#include "kernel/nflog.h"
#include "microseg/cleanup.h"

#define ADOPTED                                                                                         \
	"it belongs to a connection older than our tables, which the policy allows and which goes on: " \
	"only this packet of its server was refused"
#define READ_MAX 1024 /* records a turn: some 4 ms */
#define READ_PAUSE_MS                                                                              \
	1 /* between two reads: a flood of refusals must not keep the loop from reconciling */
#define READ_AGAIN_MS 100     /* after reading failed */
#define LOSS_INTERVAL_MS 1000 /* how often losses are told */

struct ms_events {
	struct ms_loop *loop;
	struct ms_nflog *nflog;
	struct ms_io *io;
	struct ms_fold *fold;
	struct ms_timer *flush_timer, *loss_timer, *read_timer;
	struct ms_events_view view;
	const char *node;

	struct ms_eventlog *log;
	char *problem;

	uint64_t lost;	    /* beside what the NFLOG reader counts */
	uint64_t lost_told; /* by a line */

	struct ms_kernel *kernel; /* borrowed; NULL: nothing is held against its counters */
	struct ms_balance *balance;
	bool balanced;		 /* the two below are known */
	uint64_t balanced_at;	 /* records numbered at the last look */
	uint64_t refused_before; /* what the counters were ahead of the records then */
	uint64_t numbered_before;

	struct ms_tally *tally;

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
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	va_list args;

	va_start(args, format);
	ms_str_addv(&text, format, args);
	va_end(args);
	if (events->problem && text.text && strcmp(events->problem, text.text) == 0)
		return;
	free(events->problem);
	events->problem = ms_str_steal(&text);
	ms_log(MS_LOG_WARNING, "%s", events->problem ? events->problem : "out of memory");
}

static char *end_of(char *text)
{
	return text + strlen(text) + 1;
}

/* Puts a line, which tells of @n_packets, into the ring, the log and the stream. Returns whether
 * there was memory for that. */
static bool publish(struct ms_events *events, const struct ms_events_line *line, uint64_t n_packets)
{
	const char *json = line->json, *src = line->src, *dst = line->dst;
	struct ms_events_line *slot = &events->ring[events->ring_next];
	size_t size = strlen(json) + strlen(src) + strlen(dst) + 3;
	char *texts = malloc(size);

	if (!texts)
		return false;
	ms_eventlog_write(events->log, json, n_packets);
	free((char *)slot->json);
	snprintf(texts, size, "%s%c%s%c%s", json, 0, src, 0, dst);
	*slot = (struct ms_events_line){
		.time_ms = line->time_ms, .reason = line->reason, .json = texts};
	slot->src = end_of(texts);
	slot->dst = end_of(end_of(texts));
	events->ring_next = (events->ring_next + 1) % MS_EVENTS_RING;
	if (events->ring_len < MS_EVENTS_RING)
		events->ring_len++;
	if (events->sink)
		events->sink(slot, events->sink_userdata);
	return true;
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

	ms_event_json(event, &json);
	const struct ms_events_line line = {.time_ms = event->time_ms,
					    .reason = event->reason,
					    .src = event->src.identity,
					    .dst = event->dst.identity,
					    .json = json.text};
	/* A tracked connection is told of, and no packet was refused. */
	if (json.failed || !json.text || !publish(events, &line, event->tracked ? 0 : event->count))
		events->lost += event->tracked ? 0 : event->count;
	count(events, event);
	if (events->view.inventory && !event->tracked)
		ms_tally_add(events->tally, event, events->view.inventory);
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
	if (r < 0) {
		set_problem(
			events,
			"reading the packet log failed: %s; drops are not reported until it works",
			strerror(-r));
	} else if (r > 0) {
		free(events->problem);
		events->problem = NULL;
	}
	ms_timer_set(events->read_timer, r < 0 ? READ_AGAIN_MS : READ_PAUSE_MS);
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

/* {"time", "lost", "node", "generation"} on the heap; NULL without memory. */
static char *make_lost(const struct ms_events *events, uint64_t now_ms, uint64_t n_lost)
{
	char time[32];

	format_time(now_ms, time);
	_cleanup_(json_decrefp) json_t *line =
		json_pack("{s:s, s:I, s:s, s:I}", "time", time, "lost", (json_int_t)n_lost, "node",
			  events->node, "generation", (json_int_t)events->view.generation);
	return line ? json_dumps(line, JSON_COMPACT) : NULL;
}

static void set_balance(struct ms_events *events, uint64_t refused, uint64_t numbered)
{
	events->balanced = true;
	events->balanced_at = events->numbered_before = numbered;
	events->refused_before = refused - numbered;
}

/* What was lost at the end of a flood has no record after it whose number would show the gap. When
 * the kernel has refused nothing for a while, its counters do. */
static void balance(struct ms_events *events)
{
	uint64_t numbered = events->nflog ? ms_nflog_numbered(events->nflog) : 0, refused;
	bool quiet = numbered == events->numbered_before;

	events->numbered_before = numbered;
	if (!events->kernel || !events->nflog || !quiet)
		return;
	bool overflowed = ms_nflog_overflowed(events->nflog);
	if (events->balanced && !overflowed && numbered == events->balanced_at)
		return;
	if (ms_balance_read(events->balance, events->kernel, &refused) < 0)
		return;
	int64_t n_missed = (int64_t)(refused - events->refused_before - numbered);
	if (events->balanced && overflowed) {
		ms_nflog_miss(events->nflog,
			      n_missed > 0 && n_missed < INT32_MAX ? (uint32_t)n_missed : 0);
		numbered = ms_nflog_numbered(events->nflog);
	}
	set_balance(events, refused, numbered);
}

static void tell_losses(void *userdata)
{
	struct ms_events *events = userdata;
	uint64_t now_ms = ms_realtime_ms();

	balance(events);
	uint64_t lost = ms_events_lost(events);
	if (lost > events->lost_told) {
		_cleanup_(freep) char *json = make_lost(events, now_ms, lost - events->lost_told);
		const struct ms_events_line line = {
			.time_ms = now_ms, .src = "", .dst = "", .json = json};

		if (json && publish(events, &line, lost - events->lost_told))
			events->lost_told = lost;
	}
	uint64_t missing = ms_eventlog_missing(events->log);
	if (missing > 0 || ms_eventlog_problem(events->log)) {
		_cleanup_(freep) char *json = make_lost(events, now_ms, missing);

		if (json)
			ms_eventlog_tell(events->log, json);
	}
	ms_timer_set(events->loss_timer, LOSS_INTERVAL_MS);
}

void ms_events_reopen(struct ms_events *events)
{
	ms_eventlog_reopen(events->log);
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
	events->log = ms_eventlog_new(config->log);
	events->balance = ms_balance_new();
	events->tally = ms_tally_new();
	events->node = config->node;
	events->fold = ms_fold_new();
	events->ring = calloc(MS_EVENTS_RING, sizeof(*events->ring));
	events->flush_timer = ms_loop_timer(loop, flush, events);
	events->loss_timer = ms_loop_timer(loop, tell_losses, events);
	events->read_timer = ms_loop_timer(loop, listen_again, events);
	if (!events->fold || !events->ring || !events->flush_timer || !events->loss_timer ||
	    !events->read_timer || !events->log || !events->balance || !events->tally) {
		ms_events_free(events);
		return -ENOMEM;
	}
	open_nflog(events, config->nflog_group);
	ms_timer_set(events->loss_timer, LOSS_INTERVAL_MS);
	*ret_events = events;
	return 0;
}

struct ms_events *ms_events_free(struct ms_events *events)
{
	if (!events)
		return NULL;
	if (events->fold && events->ring && events->log && events->tally && events->loss_timer) {
		/* what waits for its window is still told, and what was lost */
		ms_fold_flush(events->fold, UINT64_MAX, on_folded, events);
		tell_losses(events);
	}
	ms_timer_free(events->flush_timer);
	ms_timer_free(events->loss_timer);
	ms_timer_free(events->read_timer);
	ms_io_free(events->io);
	ms_nflog_free(events->nflog);
	ms_fold_free(events->fold);
	ms_eventlog_free(events->log);
	ms_balance_free(events->balance);
	ms_tally_free(events->tally);
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
	if (events->nflog)
		ms_nflog_forget_names(events->nflog);
	if (view->inventory)
		ms_tally_keep(events->tally, view->inventory);
}

void ms_events_set_kernel(struct ms_events *events, struct ms_kernel *kernel)
{
	uint64_t refused;

	events->kernel = kernel;
	/* At once: a flood may come before the first moment of silence. */
	if (events->nflog && ms_balance_read(events->balance, kernel, &refused) == 0)
		set_balance(events, refused, ms_nflog_numbered(events->nflog));
}

const char *ms_events_problem(const struct ms_events *events)
{
	return events->problem;
}

const char *ms_events_log_problem(const struct ms_events *events)
{
	return ms_eventlog_problem(events->log);
}

const struct ms_tally *ms_events_tally(const struct ms_events *events)
{
	return events->tally;
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
