/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot that is patched with parts, against one made anew, over random changes of links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discover/links.h"
#include "discover/part.h"
#include "discover/snapshot.h"
#include "microseg/str.h"

enum {
	OUTSIDE = 2,
	FIRST_BRIDGE = 10,
	N_BRIDGES = 2,
	FIRST_VETH = 20,
	N_VETHS = 24,
	N_STEPS = 20000
};

static uint32_t below(uint32_t n)
{
	return (uint32_t)rand() % n;
}

static struct ms_link_view other_view(uint32_t ifindex)
{
	struct ms_link_view view = {.ifindex = ifindex, .peer_nsid = -1, .up = true};

	if (ifindex == OUTSIDE) {
		snprintf(view.name, sizeof(view.name), "eth0");
		view.master = below(12) ? 0 : FIRST_BRIDGE; /* which is then left alone */
		return view;
	}
	snprintf(view.name, sizeof(view.name), "br-%u", ifindex);
	snprintf(view.kind, sizeof(view.kind), "bridge");
	view.nf_call_ip = view.nf_call_ip6 = below(4) > 0;
	view.mac.bytes[5] = (uint8_t)ifindex;
	return view;
}

static struct ms_link_view veth_view(uint32_t ifindex)
{
	struct ms_link_view view = {.ifindex = ifindex,
				    .kind = "veth",
				    .master = below(8) ? FIRST_BRIDGE + below(N_BRIDGES)
						       : below(2) * OUTSIDE,
				    .peer = ifindex,
				    .peer_foreign = below(10) > 0,
				    .peer_nsid = (int32_t)(3 + below(3)),
				    .up = below(5) > 0};

	/* Names go from one to another, and not all match. */
	snprintf(view.name, sizeof(view.name), "%s%u", below(20) ? "veth" : "tr",
		 below(10) ? ifindex : FIRST_VETH + below(N_VETHS));
	snprintf(view.alias, sizeof(view.alias), "io.microseg.env=prod io.microseg.service=s%u",
		 below(3));
	return view;
}

static bool name_is_free(const struct ms_links *links, const struct ms_link_view *view)
{
	ms_vec_each (struct ms_link *, link, &links->list)
		if ((*link)->view.ifindex != view->ifindex &&
		    strcmp((*link)->view.name, view->name) == 0)
			return false;
	return true;
}

static void apply(struct ms_links *links, struct ms_link_view view)
{
	if (name_is_free(links, &view))
		assert_true(ms_links_apply(links, &view, 1, true) >= 0);
}

static struct ms_addr addr_of(uint32_t number)
{
	return (struct ms_addr){.ip = MS_IP4, .bytes = {10, 0, 0, (uint8_t)number}};
}

/* The far end of @link as a reading of it would find it. */
static void read_peer(struct ms_links *links, struct ms_link *link)
{
	struct ms_veth_peer peer = {.known = true};

	peer.mac.bytes[5] = (uint8_t)(below(20) ? link->view.ifindex : below(60));
	for (uint32_t n = below(3); n > 0; n--)
		assert_int_equal(ms_vec_push(&peer.addrs, addr_of(below(60))), 0);
	ms_addrs_normalize(&peer.addrs);
	if (ms_veth_peer_replace(&link->peer, &peer))
		ms_links_touch(links, link);
	ms_veth_peer_fini(&peer);
}

static void set_addrs(struct ms_links *links, struct ms_link *link)
{
	ms_addr_vec own = {0};

	for (uint32_t n = below(3); n > 0; n--)
		assert_int_equal(ms_vec_push(&own, addr_of(100 + below(20))), 0);
	ms_addrs_normalize(&own);
	assert_true(ms_links_set_addrs(links, link, &own) >= 0);
	ms_vec_fini(&own);
}

static void change_something(struct ms_links *links)
{
	uint32_t ifindex = FIRST_VETH + below(N_VETHS);
	struct ms_link *link = ms_links_find(links, ifindex);
	uint32_t what = below(100);

	if (what < 2)
		apply(links, other_view(below(2) ? OUTSIDE : FIRST_BRIDGE + below(N_BRIDGES)));
	else if (what < 30 || !link)
		apply(links, veth_view(ifindex));
	else if (what < 40)
		ms_links_remove(links, ifindex);
	else if (what < 70)
		read_peer(links, link);
	else
		set_addrs(links, link);
}

static struct ms_inventory *snapshot(const struct ms_links *links, bool part)
{
	static const char *const managed[] = {"veth*", "br-*"};
	static const ms_text_vec patterns = {(const char **)managed, 2, 2}, none = {0};
	const struct ms_snapshot_facts facts = {.node = "n",
						.links = links,
						.rules = {&patterns, &none, &none},
						.now_ms = 1000000,
						.part = part};
	struct ms_inventory *inventory;
	uint64_t again_ms;

	assert_int_equal(ms_snapshot_build(&facts, &inventory, &again_ms), 0);
	return inventory;
}

static void assert_equal(const struct ms_inventory *a, const struct ms_inventory *b)
{
	struct ms_str left = {0}, right = {0};

	ms_inventory_print(a, &left);
	ms_inventory_print(b, &right);
	assert_string_equal(left.text, right.text);
	ms_str_fini(&left);
	ms_str_fini(&right);
	assert_int_equal(a->hosts.n_items, b->hosts.n_items);
	for (size_t i = 0; i < a->hosts.n_items; i++)
		assert_true(ms_addr_equal(&a->hosts.items[i], &b->hosts.items[i]));
	assert_int_equal(a->holders.n_items, b->holders.n_items);
	for (size_t i = 0; i < a->holders.n_items; i++)
		assert_int_equal(a->holders.items[i].endpoint, b->holders.items[i].endpoint);
	assert_int_equal(a->macs.n_items, b->macs.n_items);
	assert_int_equal(a->skipped.n_items, b->skipped.n_items);
	assert_int_equal(a->uncovered.n_items, b->uncovered.n_items);
}

/* Returns whether @kept could be patched to what @links are now. */
static bool patch(struct ms_inventory *kept, struct ms_links *links)
{
	struct ms_arena *arena = ms_arena_new();
	struct ms_inventory_change change;
	struct ms_links view;

	assert_int_equal(ms_links_dirty_view(links, &view), 0);
	struct ms_inventory *part = snapshot(&view, true);
	int r = ms_part_change(kept, part, links, arena, &change);
	assert_true(r >= 0);
	if (r == 0)
		assert_int_equal(ms_inventory_patch(kept, &change), 0);
	ms_inventory_free(part);
	ms_vec_fini(&view.list);
	ms_arena_free(arena);
	return r == 0;
}

static void parts_lead_where_the_whole_leads(void **state)
{
	struct ms_links links = {0};
	size_t n_patched = 0;

	(void)state;
	srand(1);
	apply(&links, other_view(OUTSIDE));
	for (uint32_t i = 0; i < N_BRIDGES; i++)
		apply(&links, other_view(FIRST_BRIDGE + i));
	struct ms_inventory *kept = snapshot(&links, false);
	ms_links_clean(&links);
	for (int step = 0; step < N_STEPS; step++) {
		for (uint32_t n = 1 + below(3); n > 0; n--)
			change_something(&links);
		struct ms_inventory *whole = snapshot(&links, false);
		if (links.dirty.partial && patch(kept, &links)) {
			assert_equal(kept, whole);
			ms_inventory_free(whole);
			n_patched++;
		} else {
			ms_inventory_free(kept);
			kept = whole;
		}
		ms_links_clean(&links);
	}
	assert_true(n_patched > N_STEPS / 4); /* seldom taken it proves nothing */
	ms_inventory_free(kept);
	ms_links_fini(&links);
}

static void more_than_a_few_veths_are_everything(void **state)
{
	struct ms_links links = {0};

	(void)state;
	assert_false(links.dirty.partial);
	ms_links_clean(&links);
	for (uint32_t i = 0; i <= MS_MAX_DIRTY; i++) {
		struct ms_link_view view = {.ifindex = i + 1, .kind = "veth", .peer_nsid = -1};

		assert_true(links.dirty.partial);
		snprintf(view.name, sizeof(view.name), "veth%u", i);
		assert_int_equal(ms_links_apply(&links, &view, 1, true), 1);
	}
	assert_false(links.dirty.partial);
	ms_links_fini(&links);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_lead_where_the_whole_leads),
		cmocka_unit_test(more_than_a_few_veths_are_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
