/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/hits.h"

#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/ruleset.h"
#include "microseg/str.h"

/* What the kernel said of one comment in one chain or set. */
struct reading {
	const char *place;   /* of the chain or set */
	const char *service; /* whose it is, "" for what is nobody's */
	const char *comment;
	bool is_set;
	uint64_t packets;
	const char *text; /* of the line it was counted for, or NULL */
};
typedef MS_VEC(struct reading) reading_vec;

/* A sample is made anew each time, out of the one before and the kernel. */
struct ms_hits {
	struct ms_arena *arena; /* owns all texts below; NULL before the first sample */
	reading_vec readings;	/* sorted by place and comment */
	ms_hits_line_vec lines;
	time_t since;
};

struct sampling {
	struct ms_hits hits;
	bool failed;
};

static void hits_fini(struct ms_hits *hits)
{
	ms_arena_free(hits->arena);
	*hits = (struct ms_hits){0};
}

static void sampling_fini(struct sampling *sampling)
{
	hits_fini(&sampling->hits);
}

struct ms_hits *ms_hits_new(void)
{
	return calloc(1, sizeof(struct ms_hits));
}

struct ms_hits *ms_hits_free(struct ms_hits *hits)
{
	if (!hits)
		return NULL;
	hits_fini(hits);
	free(hits);
	return NULL;
}

/* The lines of a policy. */

static const char *keep(struct sampling *sampling, const char *text)
{
	const char *copy = text ? ms_arena_strdup(sampling->hits.arena, text) : NULL;

	if (!copy)
		sampling->failed = true;
	return copy ? copy : "";
}

static void print_ports(const ms_ports_vec *ports, struct ms_str *out)
{
	char text[MS_PORTS_TEXT_SIZE];

	ms_str_add_char(out, ':');
	ms_vec_each (struct ms_ports, one, ports)
		ms_str_addf(out, " %s", ms_ports_format(one, text));
}

/* As the compiler writes it: see src/ruleset/build.c. */
static const char *comment_of(struct sampling *sampling, const struct ms_origin *at)
{
	char *text = ms_arena_printf(sampling->hits.arena, "%s:%u", at->file, at->line);

	if (!text)
		return keep(sampling, NULL);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '"' || *c == '\\')
			*c = '?';
	size_t len = strlen(text);
	return len < MS_COMMENT_SIZE ? text : text + len - (MS_COMMENT_SIZE - 1);
}

static void add_line(struct sampling *sampling, const char *service, const char *kind,
		     const char *text, const struct ms_origin *at)
{
	struct ms_hits_line line = {
		.service = keep(sampling, service),
		.kind = kind,
		.text = keep(sampling, text),
		.at = {.file = keep(sampling, at->file), .line = at->line, .column = at->column},
		.comment = comment_of(sampling, at),
	};

	if (ms_avec_push(sampling->hits.arena, &sampling->hits.lines, line) < 0)
		sampling->failed = true;
}

static bool same_entry(const struct ms_grant *a, const struct ms_grant *b)
{
	return a->at.line == b->at.line && a->at.column == b->at.column &&
	       strcmp(a->at.file, b->at.file) == 0;
}

/* Grants are one a peer; those of one entry stand together. */
static void add_grants(struct sampling *sampling, const struct ms_service *service,
		       const char *kind, const struct ms_grant *grants, size_t n_grants)
{
	for (size_t i = 0, next; i < n_grants; i = next) {
		_cleanup_(ms_str_fini) struct ms_str text = {0};

		ms_str_add(&text, strcmp(kind, "allow") == 0 ? "from " : "to ");
		for (next = i; next < n_grants && same_entry(&grants[i], &grants[next]); next++) {
			ms_str_add(&text, next > i ? ", " : "");
			ms_peer_print(&grants[next].peer, &text);
		}
		print_ports(&grants[i].ports, &text);
		ms_str_add(&text, grants[i].published ? " published" : "");
		add_line(sampling, service->identity, kind, text.text, &grants[i].at);
	}
}

static void add_exceptions(struct sampling *sampling, const struct ms_policy *policy)
{
	ms_vec_each (struct ms_exception, exception, &policy->exceptions) {
		_cleanup_(ms_str_fini) struct ms_str text = {0}, service = {0};
		bool inbound = exception->to.kind == MS_PEER_SERVICE && exception->to.service;
		const struct ms_peer *own = inbound ? &exception->to : &exception->from;

		if (own->kind != MS_PEER_SERVICE || !own->service)
			continue;
		ms_str_addf(&text, "%s: ", exception->id);
		ms_peer_print(&exception->from, &text);
		ms_str_add(&text, " -> ");
		ms_peer_print(&exception->to, &text);
		print_ports(&exception->ports, &text);
		ms_peer_print(own, &service);
		add_line(sampling, service.text, "exception", text.text, &exception->at);
	}
}

static int compare_places(const void *a, const void *b)
{
	const struct reading *left = a, *right = b;
	int r = strcmp(left->place, right->place);

	return r ? r : strcmp(left->comment, right->comment);
}

static int compare_lines(const void *a, const void *b)
{
	const struct ms_hits_line *left = a, *right = b;
	int r = strcmp(left->service, right->service);

	if (r == 0)
		r = strcmp(left->at.file, right->at.file);
	if (r == 0)
		r = (left->at.line > right->at.line) - (left->at.line < right->at.line);
	return r ? r : strcmp(left->text, right->text);
}

static void add_lines(struct sampling *sampling, const struct ms_policy *policy)
{
	ms_vec_each (struct ms_service, service, &policy->services) {
		add_grants(sampling, service, "allow", service->allow.items,
			   service->allow.n_items);
		add_grants(sampling, service, "needs", service->needs.items,
			   service->needs.n_items);
	}
	add_exceptions(sampling, policy);
	ms_vec_sort(&sampling->hits.lines, compare_lines);
}

/* What the kernel says. */

/* "prod/web" of "to/prod/web" and of "grants/prod/web/4". */
static const char *service_of(struct sampling *sampling, const char *place)
{
	const char *start = strchr(place, '/');
	const char *middle = start ? strchr(start + 1, '/') : NULL;
	const char *text =
		middle ? ms_arena_strndup(sampling->hits.arena, start + 1,
					  (size_t)(middle - start) + strcspn(middle + 1, "/"))
		       : "";

	if (!text)
		sampling->failed = true;
	return text ? text : "";
}

static void read_counter(const struct ms_kernel_counter *counter, void *userdata)
{
	struct sampling *sampling = userdata;
	const char *place = counter->chain ? counter->chain : counter->set;

	if (!counter->comment || !place)
		return;
	struct reading reading = {.place = keep(sampling, place),
				  .service = service_of(sampling, place),
				  .comment = keep(sampling, counter->comment),
				  .is_set = !counter->chain,
				  .packets = counter->packets};
	if (ms_avec_push(sampling->hits.arena, &sampling->hits.readings, reading) < 0)
		sampling->failed = true;
}

/* Both families, and all elements of one grant, are one reading. */
static void join_readings(reading_vec *readings)
{
	size_t n = 0;

	ms_vec_sort(readings, compare_places);
	for (size_t i = 0; i < readings->n_items; i++) {
		struct reading *reading = &readings->items[i];

		if (n > 0 && compare_places(&readings->items[n - 1], reading) == 0)
			readings->items[n - 1].packets += reading->packets;
		else
			readings->items[n++] = *reading;
	}
	readings->n_items = n;
}

static struct ms_hits_line *find_line(struct ms_hits *hits, const struct reading *reading)
{
	size_t low = 0, high = hits->lines.n_items;

	while (low < high) { /* to the first line of the service */
		size_t middle = low + (high - low) / 2;

		if (strcmp(hits->lines.items[middle].service, reading->service) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < hits->lines.n_items; low++) {
		struct ms_hits_line *line = &hits->lines.items[low];

		if (strcmp(line->service, reading->service) != 0)
			break;
		if (strcmp(line->comment, reading->comment) == 0)
			return line;
	}
	return NULL;
}

/* How many came since @before. A chain that is filled anew counts from zero; from a set only the
 * elements of endpoints that are gone are missing. */
static uint64_t gained(const struct reading *before, const struct reading *now)
{
	if (!before || !before->text || !now->text || strcmp(before->text, now->text) != 0)
		return now->packets;
	if (now->packets >= before->packets)
		return now->packets - before->packets;
	return now->is_set ? 0 : now->packets;
}

static void carry_over(const struct ms_hits *before, struct ms_hits *now)
{
	size_t i = 0;

	/* By service and text. Both are sorted by service first. */
	ms_vec_each (struct ms_hits_line, line, &now->lines) {
		while (i < before->lines.n_items &&
		       strcmp(before->lines.items[i].service, line->service) < 0)
			i++;
		for (size_t j = i; j < before->lines.n_items; j++) {
			const struct ms_hits_line *old = &before->lines.items[j];

			if (strcmp(old->service, line->service) != 0)
				break;
			if (strcmp(old->text, line->text) != 0 ||
			    strcmp(old->kind, line->kind) != 0)
				continue;
			line->packets = old->packets;
			line->last = old->last;
			break;
		}
	}
}

static void count(const struct ms_hits *before, struct ms_hits *now, time_t at)
{
	ms_vec_each (struct reading, reading, &now->readings) {
		struct ms_hits_line *line = find_line(now, reading);
		const struct reading *old =
			before->readings.n_items
				? bsearch(reading, before->readings.items, before->readings.n_items,
					  sizeof(*reading), compare_places)
				: NULL;

		if (!line)
			continue;
		reading->text = line->text;
		line->counted = true;
		uint64_t n = gained(old, reading);
		line->packets += n;
		/* What stood there when we came was hit some time before. */
		if (n > 0 && before->since)
			line->last = at;
	}
}

int ms_hits_sample(struct ms_hits *hits, struct ms_kernel *kernel, const struct ms_policy *policy,
		   time_t now)
{
	_cleanup_(sampling_fini) struct sampling sampling = {.hits.arena = ms_arena_new()};

	if (!sampling.hits.arena)
		return -ENOMEM;
	add_lines(&sampling, policy);
	int r = ms_kernel_counters(kernel, read_counter, &sampling);
	if (r == 0 && sampling.failed)
		r = -ENOMEM;
	if (r < 0)
		return r;
	join_readings(&sampling.hits.readings);
	carry_over(hits, &sampling.hits);
	count(hits, &sampling.hits, now);
	sampling.hits.since = hits->since ? hits->since : now;
	hits_fini(hits);
	*hits = sampling.hits;
	sampling.hits = (struct ms_hits){0};
	return 0;
}

time_t ms_hits_since(const struct ms_hits *hits)
{
	return hits->since;
}

const ms_hits_line_vec *ms_hits_lines(const struct ms_hits *hits)
{
	return &hits->lines;
}
