/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/links.h"

#include <errno.h>
#include <stdio.h>
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
	ms_vec_fini(&link->nets);
	ms_veth_peer_fini(&link->peer);
	free(link);
}

void ms_links_fini(struct ms_links *links)
{
	ms_vec_each (struct ms_link *, link, &links->list)
		link_free(*link);
	ms_vec_fini(&links->list);
	ms_vec_fini(&links->far);
	ms_vec_fini(&links->stale);
	ms_vec_fini(&links->others);
	ms_vec_fini(&links->addrs);
	ms_vec_fini(&links->dirty.veths);
	ms_vec_fini(&links->dirty.addrs);
}

/* What changed. */

static bool is_veth(const struct ms_link_view *view)
{
	return strcmp(view->kind, "veth") == 0;
}

bool ms_link_can_be_named(const char *name)
{
	size_t len = strlen(name);

	return !strchr(name, '"') && (len == 0 || name[len - 1] != '*');
}

static void touch_view(struct ms_links *links, const struct ms_link_view *view)
{
	struct ms_dirty_link dirty = {.ifindex = view->ifindex};
	struct ms_dirty *all = &links->dirty;

	if (!is_veth(view)) {
		all->partial = false;
		links->others_known = false;
	}
	if (!ms_link_can_be_named(view->name)) /* it is told of as no endpoint is */
		all->partial = false;
	if (!all->partial)
		return;
	ms_vec_each (const struct ms_dirty_link, known, &all->veths)
		if (known->ifindex == view->ifindex && strcmp(known->name, view->name) == 0)
			return;
	memcpy(dirty.name, view->name, sizeof(dirty.name));
	if (all->veths.n_items == MS_MAX_DIRTY || ms_vec_push(&all->veths, dirty) < 0)
		all->partial = false;
}

void ms_links_touch(struct ms_links *links, const struct ms_link *link)
{
	touch_view(links, &link->view);
}

static void touch_addr(struct ms_links *links, const struct ms_addr *addr)
{
	struct ms_dirty *all = &links->dirty;

	if (all->partial &&
	    (all->addrs.n_items == MS_MAX_DIRTY || ms_vec_push(&all->addrs, *addr) < 0))
		all->partial = false;
}

void ms_links_clean(struct ms_links *links)
{
	links->dirty.partial = true;
	links->dirty.veths.n_items = 0;
	links->dirty.addrs.n_items = 0;
}

static int find_others(struct ms_links *links)
{
	int r = 0;

	links->others.n_items = 0;
	for (size_t i = 0; r == 0 && i < links->list.n_items; i++)
		if (!is_veth(&links->list.items[i]->view))
			r = ms_vec_push(&links->others, links->list.items[i]);
	links->others_known = r == 0;
	return r;
}

static int compare_links(const void *left, const void *right)
{
	const struct ms_link *const *a = left, *const *b = right;

	return ((*a)->view.ifindex > (*b)->view.ifindex) -
	       ((*a)->view.ifindex < (*b)->view.ifindex);
}

int ms_links_dirty_view(struct ms_links *links, struct ms_links *ret_view)
{
	struct ms_links view = {.seq = links->seq};
	int r = links->others_known ? 0 : find_others(links);

	for (size_t i = 0; r == 0 && i < links->others.n_items; i++)
		r = ms_vec_push(&view.list, links->others.items[i]);
	for (size_t i = 0; r == 0 && i < links->dirty.veths.n_items; i++) {
		struct ms_link *link = ms_links_find(links, links->dirty.veths.items[i].ifindex);

		/* Renamed, it is dirty under both names. */
		if (link && strcmp(link->view.name, links->dirty.veths.items[i].name) == 0)
			r = ms_vec_push(&view.list, link);
	}
	if (r < 0) {
		ms_vec_fini(&view.list);
		return r;
	}
	ms_vec_sort(&view.list, compare_links);
	*ret_view = view;
	return 0;
}

/* Where @addr is among those of all links, or would stand. */
static size_t addr_position(const struct ms_links *links, const struct ms_addr *addr)
{
	size_t low = 0, high = links->addrs.n_items;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ms_addr_compare(&links->addrs.items[middle], addr) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool ms_links_have_addr(const struct ms_links *links, const struct ms_addr *addr)
{
	size_t at = addr_position(links, addr);

	return at < links->addrs.n_items && ms_addr_equal(&links->addrs.items[at], addr);
}

static int count_addr(struct ms_links *links, const struct ms_addr *addr)
{
	size_t at = addr_position(links, addr);
	int r = ms_vec_push(&links->addrs, *addr);

	if (r < 0)
		return r;
	memmove(links->addrs.items + at + 1, links->addrs.items + at,
		(links->addrs.n_items - 1 - at) * sizeof(*addr));
	links->addrs.items[at] = *addr;
	touch_addr(links, addr);
	return 0;
}

static void discount_addr(struct ms_links *links, const struct ms_addr *addr)
{
	size_t at = addr_position(links, addr);

	if (at == links->addrs.n_items || !ms_addr_equal(&links->addrs.items[at], addr))
		return;
	links->addrs.n_items--;
	memmove(links->addrs.items + at, links->addrs.items + at + 1,
		(links->addrs.n_items - at) * sizeof(*addr));
	touch_addr(links, addr);
}

int ms_links_set_addrs(struct ms_links *links, struct ms_link *link, ms_addr_vec *own)
{
	int r;

	if (ms_addrs_equal(own, &link->addrs))
		return 0;
	for (size_t i = 0; i < own->n_items; i++) {
		r = count_addr(links, &own->items[i]);
		if (r == 0)
			continue;
		while (i > 0)
			discount_addr(links, &own->items[--i]);
		return r;
	}
	ms_vec_each (const struct ms_addr, addr, &link->addrs)
		discount_addr(links, addr);
	ms_vec_fini(&link->addrs);
	link->addrs = *own;
	*own = (ms_addr_vec){0};
	ms_links_touch(links, link);
	return 1;
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
	       a->peer_nsid == b->peer_nsid && a->up == b->up && a->group == b->group &&
	       ms_mac_compare(&a->mac, &b->mac) == 0 && a->nf_call_ip == b->nf_call_ip &&
	       a->nf_call_ip6 == b->nf_call_ip6 && a->no_ll_learn == b->no_ll_learn;
}

/* Far ends. */

static bool leads_far(const struct ms_link_view *view)
{
	return view->peer_foreign && view->peer_nsid >= 0;
}

static void forget_far_end(struct ms_links *links, uint32_t ifindex)
{
	ms_vec_each (struct ms_far_end, end, &links->far)
		if (end->ifindex == ifindex) {
			*end = links->far.items[--links->far.n_items];
			return;
		}
}

static int reserve_far_end(struct ms_links *links)
{
	return ms_vec_grow(NULL, (void **)&links->far.items, &links->far.n_room, links->far.n_items,
			   sizeof(*links->far.items));
}

/* There is room for it. */
static void note_far_end(struct ms_links *links, const struct ms_link_view *view)
{
	if (leads_far(view))
		links->far.items[links->far.n_items++] =
			(struct ms_far_end){view->peer_nsid, view->peer, view->ifindex};
}

int ms_links_mark_stale(struct ms_links *links, struct ms_link *link)
{
	int r = 0;

	if (!link->peer_stale && leads_far(&link->view)) {
		r = ms_vec_push(&links->stale, link->view.ifindex);
		link->peer_stale = r == 0;
	}
	return r;
}

struct ms_link *ms_links_next_stale(struct ms_links *links)
{
	for (; links->stale.n_items > 0; links->stale.n_items--) {
		struct ms_link *link =
			ms_links_find(links, links->stale.items[links->stale.n_items - 1]);

		if (link && link->peer_stale)
			return link;
	}
	return NULL;
}

static bool leads_elsewhere(const struct ms_link_view *a, const struct ms_link_view *b)
{
	return a->peer != b->peer || a->peer_foreign != b->peer_foreign ||
	       a->peer_nsid != b->peer_nsid;
}

/* A mark that we gave ends with the interface. Whoever takes it away by hand makes it another. */
static bool is_anew(const struct ms_link *link, const struct ms_link_view *view)
{
	return link->admitted && view->group == 0;
}

void ms_link_was_called(struct ms_link *link, const char *name)
{
	memmove(link->former[1], link->former[0], sizeof(link->former) - sizeof(link->former[0]));
	snprintf(link->former[0], sizeof(link->former[0]), "%s", name);
}

int ms_links_apply(struct ms_links *links, const struct ms_link_view *view, uint64_t now_ms,
		   bool at_start)
{
	struct ms_link *link = ms_links_find(links, view->ifindex);
	bool fresh = !link || leads_elsewhere(&link->view, view) || is_anew(link, view);

	if (link && view_equal(&link->view, view))
		return 0;
	int r = reserve_far_end(links);
	if (r == 0 && !link)
		r = insert(links, view->ifindex, &link);
	else if (r == 0 && fresh)
		forget_far_end(links, view->ifindex);
	if (r < 0)
		return r;
	if (*link->view.name)
		ms_links_touch(links, link); /* as what it was */
	if (*link->view.name && strcmp(link->view.name, view->name) != 0)
		ms_link_was_called(link, link->view.name);
	link->view = *view;
	touch_view(links, view);
	if (fresh) {
		ms_veth_peer_fini(&link->peer);
		link->peer_stale = false;
		link->admitted = link->marking = false;
		link->seen_ms = now_ms;
		link->seen_seq = ++links->seq;
		link->seen_at_start = at_start;
		note_far_end(links, view);
		r = ms_links_mark_stale(links, link);
	}
	return r < 0 ? r : 1;
}

bool ms_links_remove(struct ms_links *links, uint32_t ifindex)
{
	size_t at = position(links, ifindex);

	if (at == links->list.n_items || links->list.items[at]->view.ifindex != ifindex)
		return false;
	ms_links_touch(links, links->list.items[at]);
	ms_vec_each (const struct ms_addr, addr, &links->list.items[at]->addrs)
		discount_addr(links, addr);
	link_free(links->list.items[at]);
	forget_far_end(links, ifindex);
	links->list.n_items--;
	memmove(links->list.items + at, links->list.items + at + 1,
		(links->list.n_items - at) * sizeof(*links->list.items));
	return true;
}

int ms_links_peer_stale(struct ms_links *links, int32_t nsid, uint32_t ifindex)
{
	int r = 0;

	ms_vec_each (const struct ms_far_end, end, &links->far)
		if (r == 0 && end->nsid == nsid && (ifindex == 0 || end->peer == ifindex))
			r = ms_links_mark_stale(links, ms_links_find(links, end->ifindex));
	return r;
}

bool ms_links_lead_to(const struct ms_links *links, int32_t nsid)
{
	ms_vec_each (const struct ms_far_end, end, &links->far)
		if (end->nsid == nsid)
			return true;
	return false;
}

bool ms_link_may_lead_to(const struct ms_link *link, const struct ms_addr *addr)
{
	bool any = false;

	if (ms_addr_is_link_local(addr))
		return true;
	ms_vec_each (struct ms_prefix, net, &link->nets) {
		if (net->addr.ip != addr->ip)
			continue;
		if (ms_prefix_contains(net, addr))
			return true;
		any = true;
	}
	return !any;
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
