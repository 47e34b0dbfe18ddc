/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nearest: what exactly would have to be written where, so that a refused flow were allowed.
 *
 * It says the first obstacle, with its place, and then the ones behind it, so that one edit is not
 * followed by a second refusal. What it proposes can be pasted, and opens no more than the flow
 * that was asked about, and the same flow in the other environments of the document where it is
 * written, which it names. Only where a grant lacks nothing but `published`, or has run out, is
 * that grant itself what it points at.
 *
 * A sentence is made of parts, each of which is true without those behind it. One that grows too
 * long is cut between two of them: half a line of policy helps nobody.
 */
#include "nearest.h"

#include <string.h>

#include "addition.h"
#include "grants.h"
#include "microseg/cleanup.h"
#include "nearest_miss.h"
#include "wording.h"

#define NEAREST_MAX 500 /* bytes of a sentence */

/* A part of the sentence ends here. */
void ms_miss_end_part(struct ms_miss *miss)
{
	if (miss->out->len <= NEAREST_MAX - strlen(MS_MISS_CUT))
		miss->whole_len = miss->out->len;
}

/* A crossing for these ends that ended, or that covers other ports: the line to look at first. */
static const struct ms_crossing *close_crossing(const struct ms_miss *miss, bool *ret_ended)
{
	const struct ms_crossing *close = ms_find_crossing(miss->policy, miss->flow, 0);

	*ret_ended = close != NULL;
	if (close)
		return close;
	ms_vec_each (const struct ms_crossing, crossing, &miss->policy->crossings)
		if (ms_peer_covers(&crossing->from, NULL, &miss->flow->src) &&
		    ms_peer_covers(&crossing->to, NULL, &miss->flow->dst))
			return crossing;
	return NULL;
}

static void miss_fence(struct ms_miss *miss)
{
	const struct ms_party *src = &miss->flow->src, *dst = &miss->flow->dst;
	bool ended;
	const struct ms_crossing *close = close_crossing(miss, &ended);

	ms_wording_party(miss->out, src);
	ms_str_add(miss->out, " and ");
	ms_wording_party(miss->out, dst);
	ms_str_add(miss->out, " live in different environments, and ");
	if (ended) {
		ms_str_addf(miss->out, "the crossing that lifted the fence %s|%s for ", src->env,
			    dst->env);
		ms_wording_port(miss->out, miss->flow);
		ms_str_add(miss->out, " has ended");
		ms_wording_place(miss->out, &close->at);
		ms_str_add(miss->out, "; give it a later until");
	} else {
		ms_str_addf(miss->out, "no crossing lifts the fence %s|%s for ", src->env,
			    dst->env);
		ms_wording_port(miss->out, miss->flow);
		if (close)
			ms_str_addf(miss->out, " (%s:%u covers other ports)",
				    close->at.file ? close->at.file : "?", close->at.line);
		ms_str_add(miss->out, "; ");
		ms_addition_add_crossing(miss->out, miss->policy, miss->flow);
	}
	ms_miss_end_part(miss);
	ms_miss_also_grants(miss);
}

/* "10.1.0.7 is held by db-1 and db-2, so it identifies neither" */
static void say_address(struct ms_miss *miss, const struct ms_party *who)
{
	const struct ms_inventory *inventory = miss->refusal->inventory;
	size_t n = 0;

	ms_wording_addr(miss->out, who);
	if (inventory)
		ms_vec_each (const struct ms_holder, holder, &inventory->holders) {
			if (!ms_addr_equal(&holder->addr, &who->addr) || n >= 2)
				continue;
			ms_str_add(miss->out, n++ ? " and " : " is held by ");
			ms_str_add_safe(miss->out,
					inventory->endpoints.items[holder->endpoint].name);
		}
	ms_str_add(miss->out, n ? ", so it identifies neither"
				: " is an address that no known endpoint holds");
}

static void say_unidentified(struct ms_miss *miss, const struct ms_party *who)
{
	if (who->carried) {
		ms_wording_addr(miss->out, who);
		ms_str_add(miss->out,
			   " is carried by a service: it is net to identified endpoints, "
			   "and nobody's to all others");
	} else if (!who->endpoint && who->has_addr) {
		say_address(miss, who);
	} else if (!who->endpoint) {
		ms_str_add(miss->out, "what has no identity reaches nothing and is reached by "
				      "nothing; microseg endpoints says what each lacks");
	} else {
		ms_str_add(miss->out,
			   who->endpoint->workloads.n_items ? "container " : "endpoint ");
		ms_str_add_safe(miss->out, who->endpoint->name);
		ms_str_add(miss->out, " has no identity");
		ms_str_add(miss->out, who->endpoint->why ? ": " : "");
		ms_str_add_safe(miss->out, who->endpoint->why ? who->endpoint->why : "");
	}
	ms_miss_end_part(miss);
}

static void miss_unidentified(struct ms_miss *miss)
{
	const struct ms_party *src = &miss->flow->src, *dst = &miss->flow->dst;
	bool both = src->kind == MS_PARTY_UNIDENTIFIED && dst->kind == MS_PARTY_UNIDENTIFIED;
	bool same = src->endpoint == dst->endpoint &&
		    (src->endpoint || !(src->has_addr && dst->has_addr) ||
		     ms_addr_equal(&src->addr, &dst->addr));

	say_unidentified(miss, src->kind == MS_PARTY_UNIDENTIFIED ? src : dst);
	if (!both || same)
		return;
	ms_str_add(miss->out, "; and ");
	say_unidentified(miss, dst);
}

static void miss_quarantine(struct ms_miss *miss)
{
	const struct ms_quarantine *quarantine = ms_find_quarantine(miss->policy, &miss->flow->src);
	_cleanup_(ms_str_fini) struct ms_str who = {0};

	if (!quarantine)
		quarantine = ms_find_quarantine(miss->policy, &miss->flow->dst);
	if (!quarantine)
		return;
	if (quarantine->env)
		ms_str_addf(&who, "%s/%s", quarantine->env, quarantine->service);
	else
		ms_str_add_safe(&who, quarantine->endpoint);
	const char *name = who.text ? who.text : "";
	ms_str_addf(miss->out, "%s is in quarantine", name);
	if (quarantine->reason) {
		ms_str_add(miss->out, " (");
		ms_str_add_safe(miss->out, quarantine->reason);
		ms_str_add_char(miss->out, ')');
	}
	ms_str_addf(miss->out, ": nothing passes until microseg quarantine remove %s", name);
	ms_miss_end_part(miss);
}

static void miss_never(struct ms_miss *miss)
{
	const struct ms_never *never = ms_find_never(miss->policy, miss->flow);

	ms_str_add(miss->out, "a never rule");
	ms_wording_place(miss->out, miss->refusal->by);
	ms_str_add(miss->out, " refuses ");
	ms_wording_port(miss->out, miss->flow);
	ms_str_add(miss->out, " from ");
	ms_wording_party(miss->out, &miss->flow->src);
	ms_str_add(miss->out, " to ");
	ms_wording_party(miss->out, &miss->flow->dst);
	if (never && never->reason)
		ms_str_addf(miss->out, " (%s)", never->reason);
	ms_str_add(
		miss->out,
		"; it beats every grant, crossing and exception, so only that rule itself can change it");
	ms_miss_end_part(miss);
}

/* Cuts at a character's start, so that the text stays valid UTF-8. */
static const char *cut(struct ms_arena *arena, const struct ms_str *text, size_t len)
{
	while (len && ((unsigned char)text->text[len] & 0xc0) == 0x80)
		len--;
	return ms_arena_printf(arena, "%.*s" MS_MISS_CUT, (int)len, text->text);
}

static const char *keep(struct ms_arena *arena, const struct ms_miss *miss)
{
	const struct ms_str *text = miss->out;

	if (text->failed || !text->text)
		return NULL;
	if (text->len <= NEAREST_MAX)
		return ms_arena_strndup(arena, text->text, text->len);
	return cut(arena, text,
		   miss->whole_len ? miss->whole_len : NEAREST_MAX - strlen(MS_MISS_CUT));
}

const char *ms_nearest_miss(const struct ms_refusal *refusal, struct ms_arena *arena)
{
	static void (*const misses[MS_N_REASONS])(struct ms_miss * miss) = {
		[MS_REASON_QUARANTINE] = miss_quarantine,     [MS_REASON_NEVER] = miss_never,
		[MS_REASON_UNIDENTIFIED] = miss_unidentified, [MS_REASON_FENCE] = miss_fence,
		[MS_REASON_NO_GRANT] = ms_miss_no_grant,
	};
	_cleanup_(ms_str_fini) struct ms_str out = {0};
	struct ms_miss miss = {
		.refusal = refusal,
		.policy = refusal->policy,
		.flow = refusal->flow,
		.provider = ms_party_document(refusal->policy, &refusal->flow->dst),
		.consumer = ms_party_document(refusal->policy, &refusal->flow->src),
		.out = &out,
	};

	if (!misses[refusal->reason])
		return NULL;
	misses[refusal->reason](&miss);
	return keep(arena, &miss);
}
