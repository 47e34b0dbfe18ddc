/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/claims.h"

#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"

void ms_workload_facts_fini(struct ms_workload_facts *facts)
{
	free(facts->id);
	free(facts->name);
	free(facts->image);
	free(facts->joined);
	free(facts->started_at);
	ms_vec_each (struct ms_workload_label, label, &facts->labels) {
		free(label->name);
		free(label->value);
	}
	ms_vec_fini(&facts->labels);
	ms_vec_each (struct ms_attachment, attachment, &facts->attachments)
		free(attachment->network);
	ms_vec_fini(&facts->attachments);
	ms_vec_each (char *, bind, &facts->binds)
		free(*bind);
	ms_vec_fini(&facts->binds);
	ms_vec_fini(&facts->published);
	*facts = (struct ms_workload_facts){0};
}

void ms_network_vec_fini(ms_network_vec *networks)
{
	ms_vec_each (struct ms_network, network, networks) {
		free(network->name);
		free(network->driver);
	}
	ms_vec_fini(networks);
}

const struct ms_network *ms_networks_find(const ms_network_vec *networks, const char *name)
{
	ms_vec_each (struct ms_network, network, networks)
		if (strcmp(network->name, name) == 0)
			return network;
	return NULL;
}

bool ms_networks_equal(const ms_network_vec *a, const ms_network_vec *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (strcmp(a->items[i].name, b->items[i].name) != 0 ||
		    strcmp(a->items[i].driver, b->items[i].driver) != 0)
			return false;
	return true;
}

static void claim_free(struct ms_claim *claim)
{
	ms_workload_facts_fini(&claim->facts);
	free(claim);
}

void ms_claims_fini(struct ms_claims *claims)
{
	ms_vec_each (struct ms_claim *, claim, &claims->live)
		claim_free(*claim);
	ms_vec_each (struct ms_claim *, claim, &claims->kept)
		claim_free(*claim);
	ms_vec_fini(&claims->live);
	ms_vec_fini(&claims->kept);
	ms_network_vec_fini(&claims->networks);
}

/* Where @id is, or would stand, among the live ones. */
static size_t position(const struct ms_claims *claims, const char *id)
{
	size_t low = 0, high = claims->live.n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(claims->live.items[middle]->facts.id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ms_claim *ms_claims_find(const struct ms_claims *claims, const char *id)
{
	size_t at = position(claims, id);

	if (at == claims->live.n_items || strcmp(claims->live.items[at]->facts.id, id) != 0)
		return NULL;
	return claims->live.items[at];
}

static void remove_at(ms_claims_vec *list, size_t at)
{
	list->n_items--;
	memmove(list->items + at, list->items + at + 1,
		(list->n_items - at) * sizeof(*list->items));
}

/* Takes the claim out of the live ones; it goes on naming what was there at @seq. */
static void retire(struct ms_claims *claims, size_t at, uint64_t seq)
{
	struct ms_claim *claim = claims->live.items[at];

	remove_at(&claims->live, at);
	if (claim->until_seq > seq)
		claim->until_seq = seq;
	if (claim->nsid < 0 || ms_vec_push(&claims->kept, claim) < 0)
		claim_free(claim);
}

static int insert(struct ms_claims *claims, const char *id, struct ms_claim *claim)
{
	size_t at = position(claims, id);

	if (claims->live.n_items == MS_MAX_WORKLOADS)
		return -E2BIG;
	int r = ms_vec_push(&claims->live, claim);
	if (r < 0)
		return r;
	memmove(claims->live.items + at + 1, claims->live.items + at,
		(claims->live.n_items - 1 - at) * sizeof(*claims->live.items));
	claims->live.items[at] = claim;
	return 0;
}

/* A workload that is back where it was needs no memory of having been there. */
static void forget_kept(struct ms_claims *claims, const char *id, int32_t nsid)
{
	for (size_t i = claims->kept.n_items; i > 0; i--) {
		struct ms_claim *claim = claims->kept.items[i - 1];

		if (claim->nsid != nsid || strcmp(claim->facts.id, id) != 0)
			continue;
		claim_free(claim);
		remove_at(&claims->kept, i - 1);
	}
}

static bool labels_equal(const struct ms_workload_facts *a, const struct ms_workload_facts *b)
{
	if (a->labels.n_items != b->labels.n_items)
		return false;
	for (size_t i = 0; i < a->labels.n_items; i++)
		if (strcmp(a->labels.items[i].name, b->labels.items[i].name) != 0 ||
		    strcmp(a->labels.items[i].value, b->labels.items[i].value) != 0)
			return false;
	return true;
}

static bool attachments_equal(const struct ms_workload_facts *a, const struct ms_workload_facts *b)
{
	if (a->attachments.n_items != b->attachments.n_items)
		return false;
	for (size_t i = 0; i < a->attachments.n_items; i++) {
		const struct ms_attachment *x = &a->attachments.items[i],
					   *y = &b->attachments.items[i];

		if (strcmp(x->network, y->network) != 0 || ms_mac_compare(&x->mac, &y->mac) != 0 ||
		    !ms_addr_equal(&x->ip, &y->ip) || !ms_addr_equal(&x->ip6, &y->ip6))
			return false;
	}
	return true;
}

static bool binds_equal(const struct ms_workload_facts *a, const struct ms_workload_facts *b)
{
	if (a->binds.n_items != b->binds.n_items)
		return false;
	for (size_t i = 0; i < a->binds.n_items; i++)
		if (strcmp(a->binds.items[i], b->binds.items[i]) != 0)
			return false;
	return true;
}

static bool published_equal(const struct ms_workload_facts *a, const struct ms_workload_facts *b)
{
	if (a->published.n_items != b->published.n_items)
		return false;
	for (size_t i = 0; i < a->published.n_items; i++)
		if (ms_ports_compare(&a->published.items[i], &b->published.items[i]) != 0)
			return false;
	return true;
}

static bool facts_equal(const struct ms_workload_facts *a, const struct ms_workload_facts *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->image, b->image) == 0 &&
	       a->mode == b->mode && !a->joined == !b->joined &&
	       (!a->joined || strcmp(a->joined, b->joined) == 0) && a->pid == b->pid &&
	       strcmp(a->started_at, b->started_at) == 0 && a->privileged == b->privileged &&
	       a->net_admin == b->net_admin && labels_equal(a, b) && attachments_equal(a, b) &&
	       binds_equal(a, b) && published_equal(a, b);
}

static bool is_as_before(const struct ms_claim *claim, const struct ms_workload_facts *facts,
			 int32_t nsid)
{
	return claim && claim->nsid == nsid && claim->until_seq == UINT64_MAX &&
	       facts_equal(&claim->facts, facts);
}

int ms_claims_put(struct ms_claims *claims, struct ms_workload_facts *facts, int32_t nsid,
		  uint64_t seq)
{
	_cleanup_(ms_workload_facts_fini) struct ms_workload_facts taken = *facts;
	struct ms_claim *claim = ms_claims_find(claims, taken.id);

	*facts = (struct ms_workload_facts){0};
	if (is_as_before(claim, &taken, nsid))
		return 0;
	if (claim && claim->nsid >= 0 && claim->nsid != nsid) {
		retire(claims, position(claims, taken.id), seq);
		claim = NULL;
	}
	if (!claim) {
		claim = calloc(1, sizeof(*claim));
		if (!claim)
			return -ENOMEM;
		int r = insert(claims, taken.id, claim);
		if (r < 0) {
			free(claim);
			return r;
		}
	}
	forget_kept(claims, taken.id, nsid);
	ms_workload_facts_fini(&claim->facts);
	claim->facts = taken;
	taken = (struct ms_workload_facts){0};
	claim->nsid = nsid;
	claim->until_seq = UINT64_MAX;
	return 1;
}

bool ms_claims_drop(struct ms_claims *claims, const char *id, uint64_t seq)
{
	if (!ms_claims_find(claims, id))
		return false;
	retire(claims, position(claims, id), seq);
	return true;
}

bool ms_claims_drop_unless(struct ms_claims *claims, bool (*keep)(const char *id, void *userdata),
			   void *userdata, uint64_t seq)
{
	bool dropped = false;

	for (size_t i = claims->live.n_items; i > 0; i--) {
		if (keep(claims->live.items[i - 1]->facts.id, userdata))
			continue;
		retire(claims, i - 1, seq);
		dropped = true;
	}
	return dropped;
}

bool ms_claims_nsid_gone(struct ms_claims *claims, int32_t nsid)
{
	bool found = false;

	ms_vec_each (struct ms_claim *, claim, &claims->live) {
		if ((*claim)->nsid != nsid)
			continue;
		(*claim)->nsid = -1;
		found = true;
	}
	for (size_t i = claims->kept.n_items; i > 0; i--) {
		if (claims->kept.items[i - 1]->nsid != nsid)
			continue;
		claim_free(claims->kept.items[i - 1]);
		remove_at(&claims->kept, i - 1);
		found = true;
	}
	return found;
}

void ms_claims_doubt(struct ms_claims *claims, uint64_t seq)
{
	ms_vec_each (struct ms_claim *, claim, &claims->live)
		if ((*claim)->until_seq > seq)
			(*claim)->until_seq = seq;
}

static bool is_inhabited(const struct ms_claims *claims, int32_t nsid)
{
	ms_vec_each (struct ms_claim *, claim, &claims->live)
		if ((*claim)->nsid == nsid)
			return true;
	return false;
}

void ms_claims_prune(struct ms_claims *claims, const struct ms_links *links)
{
	for (size_t i = claims->kept.n_items; i > 0; i--) {
		int32_t nsid = claims->kept.items[i - 1]->nsid;

		if (ms_links_lead_to(links, nsid) && !is_inhabited(claims, nsid))
			continue;
		claim_free(claims->kept.items[i - 1]);
		remove_at(&claims->kept, i - 1);
	}
}

static int compare_claims(const void *a, const void *b)
{
	const struct ms_claim *x = *(const struct ms_claim *const *)a,
			      *y = *(const struct ms_claim *const *)b;

	if (x->nsid != y->nsid)
		return x->nsid < y->nsid ? -1 : 1;
	int order = strcmp(x->facts.name, y->facts.name);
	return order ? order : strcmp(x->facts.id, y->facts.id);
}

int ms_claims_sorted(const struct ms_claims *claims, ms_claim_vec *list)
{
	int r = 0;

	ms_vec_each (struct ms_claim *, claim, &claims->live)
		if (r == 0)
			r = ms_vec_push(list, *claim);
	ms_vec_each (struct ms_claim *, claim, &claims->kept)
		if (r == 0)
			r = ms_vec_push(list, *claim);
	ms_vec_sort(list, compare_claims);
	return r;
}

int ms_claims_unplaced(const struct ms_claims *claims, ms_claim_vec *list)
{
	int r = 0;

	ms_vec_each (struct ms_claim *, claim, &claims->live)
		if (r == 0 && (*claim)->nsid < 0)
			r = ms_vec_push(list, *claim);
	return r;
}
