/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/links.h"

#include <errno.h>
#include <string.h>

#include "microseg/cleanup.h"

void ms_veth_peer_fini(struct ms_veth_peer *peer)
{
	ms_vec_fini(&peer->addrs);
	*peer = (struct ms_veth_peer){0};
}

static void link_free(struct ms_link *link)
{
	ms_vec_fini(&link->addrs);
	ms_veth_peer_fini(&link->peer);
	free(link);
}

void ms_links_fini(struct ms_links *links)
{
	ms_vec_each (struct ms_link *, link, &links->list)
		link_free(*link);
	ms_vec_fini(&links->list);
}

/* Where @ifindex is, or would stand. */
static size_t position(const struct ms_links *links, uint32_t ifindex)
{
	size_t low = 0, high = links->list.n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (links->list.items[middle]->view.ifindex < ifindex)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct ms_link *ms_links_find(const struct ms_links *links, uint32_t ifindex)
{
	size_t at = position(links, ifindex);

	if (at == links->list.n_items || links->list.items[at]->view.ifindex != ifindex)
		return NULL;
	return links->list.items[at];
}

static int insert(struct ms_links *links, uint32_t ifindex, struct ms_link **ret_link)
{
	size_t at = position(links, ifindex);

	if (links->list.n_items == MS_MAX_LINKS)
		return -E2BIG;
	_cleanup_(freep) struct ms_link *link = calloc(1, sizeof(*link));
	if (!link)
		return -ENOMEM;
	int r = ms_vec_push(&links->list, link);
	if (r < 0)
		return r;
	memmove(links->list.items + at + 1, links->list.items + at,
		(links->list.n_items - 1 - at) * sizeof(*links->list.items));
	links->list.items[at] = link;
	link->view.ifindex = ifindex;
	*ret_link = ms_steal(&link);
	return 0;
}

static bool view_equal(const struct ms_link_view *a, const struct ms_link_view *b)
{
	return a->ifindex == b->ifindex && strcmp(a->name, b->name) == 0 &&
	       strcmp(a->kind, b->kind) == 0 && strcmp(a->alias, b->alias) == 0 &&
	       a->master == b->master && a->peer == b->peer && a->peer_foreign == b->peer_foreign &&
	       a->peer_nsid == b->peer_nsid && a->up == b->up &&
	       ms_mac_compare(&a->mac, &b->mac) == 0 && a->nf_call_ip == b->nf_call_ip &&
	       a->nf_call_ip6 == b->nf_call_ip6 && a->no_ll_learn == b->no_ll_learn;
}

static bool leads_elsewhere(const struct ms_link_view *a, const struct ms_link_view *b)
{
	return a->peer != b->peer || a->peer_foreign != b->peer_foreign ||
	       a->peer_nsid != b->peer_nsid;
}

int ms_links_apply(struct ms_links *links, const struct ms_link_view *view, uint64_t now_ms,
		   bool at_start)
{
	struct ms_link *link = ms_links_find(links, view->ifindex);
	bool fresh = !link || leads_elsewhere(&link->view, view);

	if (link && view_equal(&link->view, view))
		return 0;
	if (!link) {
		int r = insert(links, view->ifindex, &link);

		if (r < 0)
			return r;
	}
	link->view = *view;
	if (fresh) {
		ms_veth_peer_fini(&link->peer);
		link->peer_stale = view->peer_foreign && view->peer_nsid >= 0;
		link->seen_ms = now_ms;
		link->seen_seq = ++links->seq;
		link->seen_at_start = at_start;
	}
	return 1;
}

bool ms_links_remove(struct ms_links *links, uint32_t ifindex)
{
	size_t at = position(links, ifindex);

	if (at == links->list.n_items || links->list.items[at]->view.ifindex != ifindex)
		return false;
	link_free(links->list.items[at]);
	links->list.n_items--;
	memmove(links->list.items + at, links->list.items + at + 1,
		(links->list.n_items - at) * sizeof(*links->list.items));
	return true;
}

void ms_links_peer_stale(struct ms_links *links, int32_t nsid, uint32_t ifindex)
{
	ms_vec_each (struct ms_link *, item, &links->list) {
		struct ms_link *link = *item;

		if (link->view.peer_foreign && link->view.peer_nsid == nsid &&
		    (ifindex == 0 || link->view.peer == ifindex))
			link->peer_stale = true;
	}
}

bool ms_links_lead_to(const struct ms_links *links, int32_t nsid)
{
	ms_vec_each (struct ms_link *, item, &links->list)
		if ((*item)->view.peer_foreign && (*item)->view.peer_nsid == nsid)
			return true;
	return false;
}

bool ms_addrs_equal(const ms_addr_vec *a, const ms_addr_vec *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (!ms_addr_equal(&a->items[i], &b->items[i]))
			return false;
	return true;
}

static int compare_addrs(const void *a, const void *b)
{
	return ms_addr_compare(a, b);
}

void ms_addrs_normalize(ms_addr_vec *addrs)
{
	size_t n = 0;

	ms_vec_sort(addrs, compare_addrs);
	for (size_t i = 0; i < addrs->n_items; i++)
		if (i == 0 || !ms_addr_equal(&addrs->items[i], &addrs->items[n - 1]))
			addrs->items[n++] = addrs->items[i];
	addrs->n_items = n;
}

bool ms_veth_peer_replace(struct ms_veth_peer *peer, struct ms_veth_peer *fresh)
{
	bool same = peer->known == fresh->known && ms_mac_compare(&peer->mac, &fresh->mac) == 0 &&
		    peer->n_left_out == fresh->n_left_out &&
		    ms_addrs_equal(&peer->addrs, &fresh->addrs);

	ms_veth_peer_fini(peer);
	*peer = *fresh;
	*fresh = (struct ms_veth_peer){0};
	return !same;
}
