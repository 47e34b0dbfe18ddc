/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "summary.h"

#include <errno.h>
#include <string.h>

#include "microseg/arena.h"
#include "microseg/cleanup.h"

#define MAX_RANGES 4 /* of one net that are written out */

MS_DEFINE_CLEANUP(struct ms_arena *, ms_arena_free)

struct lines {
	struct ms_arena *arena;
	ms_text_vec list;
	bool failed;
};

static void add(struct lines *lines, struct ms_str *text)
{
	const char *copy = text->failed ? NULL : ms_arena_strdup(lines->arena, text->text);

	if (!copy || ms_avec_push(lines->arena, &lines->list, copy) < 0)
		lines->failed = true;
	ms_str_fini(text);
}

static uint32_t fingerprint(const ms_range_vec *ranges)
{
	uint32_t hash = 0x811c9dc5u; /* FNV-1a */

	ms_vec_each (struct ms_range, range, ranges)
		for (size_t i = 0; i < sizeof(range->first.bytes); i++)
			hash = ((hash ^ range->first.bytes[i]) * 0x01000193u ^
				range->last.bytes[i]) *
			       0x01000193u;
	return hash;
}

/* A net's name says little when its ranges change: they are part of what is compared, if too many
 * to be read. */
static void print_ranges(const struct ms_peer *peer, struct ms_str *out)
{
	char first[MS_ADDR_TEXT_SIZE], last[MS_ADDR_TEXT_SIZE];

	if (peer->kind != MS_PEER_NET)
		return;
	if (peer->ranges.n_items > MAX_RANGES) {
		ms_str_addf(out, " (%zu ranges, %08x)", peer->ranges.n_items,
			    fingerprint(&peer->ranges));
		return;
	}
	ms_vec_each (struct ms_range, range, &peer->ranges)
		ms_str_addf(out, " %s-%s", ms_addr_format(&range->first, first),
			    ms_addr_format(&range->last, last));
}

static void print_ports(const ms_ports_vec *ports, struct ms_str *out)
{
	char text[MS_PORTS_TEXT_SIZE];

	ms_vec_each (struct ms_ports, one, ports)
		ms_str_addf(out, " %s", ms_ports_format(one, text));
}

static void add_grant(struct lines *lines, const struct ms_service *service,
		      const struct ms_grant *grant, const char *word)
{
	struct ms_str text = {0};

	ms_str_addf(&text, "service %s: %s ", service->identity, word);
	ms_peer_print(&grant->peer, &text);
	print_ports(&grant->ports, &text);
	print_ranges(&grant->peer, &text);
	ms_str_add(&text, grant->published ? " published" : "");
	add(lines, &text);
}

static void add_service(struct lines *lines, const struct ms_service *service)
{
	struct ms_str text = {0};

	ms_str_addf(&text, "service %s: %s", service->identity, ms_mode_name(service->mode));
	add(lines, &text);
	ms_vec_each (struct ms_grant, grant, &service->allow)
		add_grant(lines, service, grant, "allow from");
	ms_vec_each (struct ms_grant, grant, &service->needs)
		add_grant(lines, service, grant, "needs");
}

static void add_env(struct lines *lines, const struct ms_env *env)
{
	char addr[MS_ADDR_TEXT_SIZE];
	struct ms_str text = {0};

	ms_str_addf(&text, "environment %s: %s%s", env->name, ms_mode_name(env->mode),
		    env->two_key ? ", two keys" : "");
	ms_str_add(&text, env->gateway_resolver || env->resolvers.n_items ? ", resolvers" : "");
	ms_vec_each (struct ms_addr, resolver, &env->resolvers)
		ms_str_addf(&text, " %s", ms_addr_format(resolver, addr));
	ms_str_add(&text, env->gateway_resolver ? " gateway" : "");
	add(lines, &text);
}

static void add_pair(struct lines *lines, const char *word, const struct ms_peer *from,
		     const struct ms_peer *to, const ms_ports_vec *ports)
{
	struct ms_str text = {0};

	ms_str_addf(&text, "%s: ", word);
	if (from)
		ms_peer_print(from, &text);
	else
		ms_str_add(&text, "every endpoint");
	ms_str_add(&text, " -> ");
	ms_peer_print(to, &text);
	print_ports(ports, &text);
	print_ranges(to, &text);
	add(lines, &text);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void collect(const struct ms_policy *policy, struct lines *lines)
{
	struct ms_str text = {0};

	if (!policy)
		return;
	ms_str_addf(&text, "unidentified containers: %s", ms_mode_name(policy->unidentified));
	add(lines, &text);
	ms_vec_each (struct ms_env, env, &policy->envs)
		add_env(lines, env);
	ms_vec_each (struct ms_service, service, &policy->services)
		add_service(lines, service);
	ms_vec_each (struct ms_crossing, crossing, &policy->crossings)
		add_pair(lines, "crossing", &crossing->from, &crossing->to, &crossing->ports);
	ms_vec_each (struct ms_never, never, &policy->nevers)
		add_pair(lines, "never", never->any_source ? NULL : &never->from, &never->to,
			 &never->ports);
	ms_vec_each (struct ms_exception, exception, &policy->exceptions)
		add_pair(lines, "exception", &exception->from, &exception->to, &exception->ports);
	ms_vec_sort(&lines->list, compare_lines);
}

static int merge(const ms_text_vec *before, const ms_text_vec *after, struct ms_str *out)
{
	size_t i = 0, j = 0;
	int n = 0;

	while (i < before->n_items || j < after->n_items) {
		int order = i == before->n_items  ? 1
			    : j == after->n_items ? -1
						  : strcmp(before->items[i], after->items[j]);

		if (order == 0) {
			i++;
			j++;
			continue;
		}
		ms_str_addf(out, "%c %s\n", order < 0 ? '-' : '+',
			    order < 0 ? before->items[i++] : after->items[j++]);
		n++;
	}
	return n;
}

int summary_diff(const struct ms_policy *before, const struct ms_policy *after, struct ms_str *out)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	struct lines old = {.arena = arena}, new = {.arena = arena};

	if (!arena)
		return -ENOMEM;
	collect(before, &old);
	collect(after, &new);
	if (old.failed || new.failed)
		return -ENOMEM;
	return merge(&old.list, &new.list, out);
}
