/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links, claims, cover and snapshot as the pure values they are; and decoding of cut and altered
 * messages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <linux/rtnetlink.h>

#include <netlink/attr.h>
#include <netlink/msg.h>

#include "discover/claims.h"
#include "discover/cover.h"
#include "discover/links.h"
#include "discover/snapshot.h"

enum { FAR_IFINDEX = 4, MASTER = 10 };

static struct ms_link_view veth(uint32_t ifindex, const char *name, uint32_t master, int32_t nsid)
{
	struct ms_link_view view = {.ifindex = ifindex,
				    .kind = "veth",
				    .master = master,
				    .peer = FAR_IFINDEX,
				    .peer_foreign = nsid >= 0,
				    .peer_nsid = nsid,
				    .up = true};

	snprintf(view.name, sizeof(view.name), "%s", name);
	return view;
}

static struct ms_link_view other(uint32_t ifindex, const char *name, const char *kind,
				 uint32_t master)
{
	struct ms_link_view view = {.ifindex = ifindex, .master = master, .peer_nsid = -1};

	snprintf(view.name, sizeof(view.name), "%s", name);
	snprintf(view.kind, sizeof(view.kind), "%s", kind);
	return view;
}

static struct ms_workload_facts facts(const char *id, const char *name)
{
	return (struct ms_workload_facts){.id = strdup(id),
					  .name = strdup(name),
					  .image = strdup(""),
					  .started_at = strdup("")};
}

static void put(struct ms_claims *claims, const char *id, int32_t nsid, uint64_t seq)
{
	struct ms_workload_facts f = facts(id, id);

	assert_int_equal(ms_claims_put(claims, &f, nsid, seq), 1);
	f = facts(id, id);
	assert_int_equal(ms_claims_put(claims, &f, nsid, seq),
			 0); /* said twice, it changes nothing */
}

static void a_link_is_new_when_it_leads_elsewhere_not_when_it_is_renamed(void **state)
{
	struct ms_links links = {0};
	struct ms_link_view view = veth(7, "veth1", MASTER, 3);

	(void)state;
	assert_int_equal(ms_links_apply(&links, &view, 100, false), 1);
	assert_int_equal(ms_links_apply(&links, &view, 200, false), 0);
	uint64_t seq = ms_links_find(&links, 7)->seen_seq;
	snprintf(view.name, sizeof(view.name), "renamed");
	assert_int_equal(ms_links_apply(&links, &view, 300, false), 1);
	assert_int_equal(ms_links_find(&links, 7)->seen_seq, seq);
	assert_int_equal(ms_links_find(&links, 7)->seen_ms, 100);
	view.peer_nsid = 4;
	assert_int_equal(ms_links_apply(&links, &view, 400, false), 1);
	assert_true(ms_links_find(&links, 7)->seen_seq > seq);
	assert_int_equal(ms_links_find(&links, 7)->seen_ms, 400);
	assert_true(ms_links_remove(&links, 7));
	assert_false(ms_links_remove(&links, 7));
	ms_links_fini(&links);
}

static size_t n_naming(const struct ms_claims *claims, const struct ms_link *link)
{
	ms_claim_vec list = {0};
	size_t n = 0;

	assert_int_equal(ms_claims_sorted(claims, &list), 0);
	ms_vec_each (const struct ms_claim *, claim, &list)
		n += ms_claim_names(*claim, link);
	ms_vec_fini(&list);
	return n;
}

static void a_claim_that_ended_names_only_what_was_there(void **state)
{
	struct ms_claims claims = {.runtime = "docker"};
	struct ms_link old = {.view = veth(7, "veth1", 0, 3), .seen_seq = 5};
	struct ms_link young = {.view = veth(8, "veth2", 0, 3), .seen_seq = 6};

	(void)state;
	put(&claims, "a", 3, 5);
	assert_int_equal(n_naming(&claims, &old), 1);
	assert_int_equal(n_naming(&claims, &young), 1);

	ms_claims_doubt(&claims, 5);
	assert_int_equal(n_naming(&claims, &old), 1);
	assert_int_equal(n_naming(&claims, &young), 0);
	put(&claims, "a", 3, 6);
	assert_int_equal(n_naming(&claims, &young), 1);

	assert_true(ms_claims_drop(&claims, "a", 5));
	assert_false(ms_claims_drop(&claims, "a", 5));
	assert_int_equal(n_naming(&claims, &old), 1);
	assert_int_equal(n_naming(&claims, &young), 0);

	put(&claims, "a", 3, 6); /* back, and once only */
	assert_int_equal(n_naming(&claims, &old), 1);
	put(&claims, "a", 4, 6); /* moved */
	assert_int_equal(n_naming(&claims, &old), 1);
	assert_true(ms_claims_nsid_gone(&claims, 3));
	assert_int_equal(n_naming(&claims, &old), 0);
	ms_claims_fini(&claims);
}

static void a_claim_without_a_namespace_names_nothing(void **state)
{
	struct ms_claims claims = {.runtime = "docker"};
	struct ms_link link = {.view = veth(7, "veth1", 0, -1)};

	(void)state;
	put(&claims, "a", -1, 0);
	assert_int_equal(n_naming(&claims, &link), 0);
	ms_claims_fini(&claims);
}

static void claims_have_their_limit_and_kept_ones_are_pruned(void **state)
{
	struct ms_claims claims = {.runtime = "docker"};
	struct ms_links links = {0};
	struct ms_link_view view = veth(7, "veth1", 0, 3);
	char id[16];

	(void)state;
	for (int i = 0; i < MS_MAX_WORKLOADS; i++) {
		snprintf(id, sizeof(id), "%d", i);
		put(&claims, id, i, 0);
	}
	struct ms_workload_facts one_more = facts("more", "more");
	assert_int_equal(ms_claims_put(&claims, &one_more, 1, 0), -E2BIG);
	assert_null(one_more.id);

	assert_true(ms_claims_drop(&claims, "3", 0));
	assert_true(ms_claims_drop(&claims, "4", 0));
	assert_int_equal(ms_links_apply(&links, &view, 0, false), 1);
	ms_claims_prune(&claims, &links);
	assert_int_equal(claims.kept.n_items, 1);
	assert_string_equal(claims.kept.items[0]->facts.id, "3");
	ms_links_fini(&links);
	ms_claims_fini(&claims);
}

/* One link under test, beside a managed bridge "br-x" (10) and a bridge that matches nothing, "lan"
 * (11). */
static const struct cover_row {
	const char *name, *kind;
	uint32_t master;
	int32_t nsid; /* of a veth's far end; -1: here */
	bool default_route;
	enum ms_cover cover;
	const char *reason;
} cover_rows[] = {
	{"veth1", "veth", 10, 3, false, MS_COVER_PORT, NULL},
	{"eth7", "veth", 10, 3, false, MS_COVER_PORT, NULL},
	{"veth1", "veth", 11, 3, false, MS_COVER_SKIPPED,
	 "it is a port of lan, which no managed pattern matches"},
	{"eth7", "veth", 11, 3, false, MS_COVER_NONE, NULL},
	{"veth1", "veth", 10, -1, false, MS_COVER_SKIPPED, "both its ends are in this namespace"},
	{"veth1", "veth", 0, -1, false, MS_COVER_SKIPPED, "both its ends are in this namespace"},
	{"veth1", "veth", 0, 3, false, MS_COVER_ROUTED, NULL},
	{"veth1", "veth", 0, 3, true, MS_COVER_SKIPPED, "it carries the default route"},
	{"named0", "veth", 0, 3, true, MS_COVER_ROUTED, NULL},
	{"eth7", "veth", 0, 3, false, MS_COVER_NONE, NULL},
	{"veth-ign", "veth", 10, 3, false, MS_COVER_SKIPPED, "the configuration ignores it"},
	{"veth-ign", "veth", 0, 3, false, MS_COVER_SKIPPED, "the configuration ignores it"},
	{"br-y", "bridge", 0, -1, false, MS_COVER_BRIDGE, NULL},
	{"br-y", "bridge", 0, -1, true, MS_COVER_SKIPPED, "it carries the default route"},
	{"br-ign", "bridge", 0, -1, false, MS_COVER_SKIPPED, "the configuration ignores it"},
	{"named0", "bridge", 0, -1, true, MS_COVER_BRIDGE, NULL},
	{"br-vlan", "vlan", 0, -1, false, MS_COVER_SKIPPED,
	 "it is neither a bridge nor a veth but a vlan"},
	{"docker0", "", 0, -1, false, MS_COVER_SKIPPED,
	 "it is neither a bridge nor a veth but a device"},
	{"eth0", "", 0, -1, true, MS_COVER_NONE, NULL},
};

static const char *const patterns[] = {"br-*", "veth*", "docker0"}, *const named[] = {"named0"},
			 *const ignore[] = {"*-ign"};
static const ms_text_vec patterns_vec = {(const char **)patterns, 3, 3},
			 named_vec = {(const char **)named, 1, 1},
			 ignore_vec = {(const char **)ignore, 1, 1};
static const struct ms_cover_rules rules = {&patterns_vec, &named_vec, &ignore_vec};

static void apply(struct ms_links *links, struct ms_link_view view, bool at_start)
{
	assert_int_equal(ms_links_apply(links, &view, 0, at_start), 1);
}

static void what_is_managed_is_decided_by_kind_name_and_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cover_rows) / sizeof(cover_rows[0]); i++) {
		const struct cover_row *row = &cover_rows[i];
		struct ms_links links = {0};
		struct ms_arena *arena = ms_arena_new();
		ms_covered_vec covered = {0};
		uint64_t again_ms;

		apply(&links, other(10, "br-x", "bridge", 0), true);
		apply(&links, other(11, "lan", "bridge", 0), true);
		if (strcmp(row->kind, "veth") == 0)
			apply(&links, veth(20, row->name, row->master, row->nsid), true);
		else
			apply(&links, other(20, row->name, row->kind, row->master), true);
		ms_links_find(&links, 20)->default_route = row->default_route;
		assert_int_equal(ms_cover_judge(&links, &rules, 0, arena, &covered, &again_ms), 0);
		if (covered.items[2].cover != row->cover)
			fail_msg("row %zu (%s): cover %d", i, row->name, covered.items[2].cover);
		if (!row->reason != !covered.items[2].reason)
			fail_msg("row %zu (%s): %s", i, row->name, covered.items[2].reason);
		if (row->reason &&
		    strncmp(covered.items[2].reason, row->reason, strlen(row->reason)) != 0)
			fail_msg("row %zu (%s): %s", i, row->name, covered.items[2].reason);
		ms_vec_fini(&covered);
		ms_arena_free(arena);
		ms_links_fini(&links);
	}
}

static void ports_go_the_way_of_their_bridge(void **state)
{
	struct ms_links links = {0};
	struct ms_arena *arena = ms_arena_new();
	ms_covered_vec covered = {0};
	uint64_t again_ms;

	(void)state;
	apply(&links, other(10, "br-x", "bridge", 0), true);
	apply(&links, veth(20, "veth1", 10, 3), true);
	apply(&links, other(30, "eth0", "", 10), true);
	assert_int_equal(ms_cover_judge(&links, &rules, 0, arena, &covered, &again_ms), 0);
	assert_int_equal(covered.items[0].cover, MS_COVER_SKIPPED);
	assert_non_null(strstr(covered.items[0].reason, "its port eth0 is not a veth"));
	assert_int_equal(covered.items[1].cover, MS_COVER_SKIPPED);
	assert_null(covered.items[1].reason);
	assert_int_equal(covered.items[2].cover, MS_COVER_NONE);
	ms_vec_fini(&covered);
	ms_arena_free(arena);
	ms_links_fini(&links);
}

/* What a container behind a bridge with these networks may have for its own. */
static const struct own_row {
	const char *nets[2], *addr;
	bool own;
} own_rows[] = {
	{{"10.1.0.0/24"}, "10.1.0.7", true},
	{{"10.1.0.0/24"}, "192.0.2.2", false},
	{{"10.1.0.0/24", "203.0.113.5/32"}, "203.0.113.5", true},
	{{"10.1.0.0/24", "203.0.113.5/32"}, "203.0.113.6", false},
	{{"10.1.0.0/24"}, "2001:db8::2", true}, /* nothing says where that family leads */
	{{"10.1.0.0/24", "fd01::/64"}, "2001:db8::2", false},
	{{"10.1.0.0/24", "fd01::/64"}, "fe80::1", true},
	{{"10.1.0.0/24"}, "169.254.7.7", true},
	{{NULL}, "192.0.2.2", true},
};

static void an_address_is_a_containers_own_where_its_bridge_leads_to(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(own_rows) / sizeof(own_rows[0]); i++) {
		const struct own_row *row = &own_rows[i];
		struct ms_link link = {0};
		struct ms_prefix net;
		struct ms_addr addr;

		for (size_t n = 0; n < 2 && row->nets[n]; n++) {
			assert_int_equal(ms_prefix_parse(row->nets[n], &net), 0);
			assert_int_equal(ms_vec_push(&link.nets, net), 0);
		}
		assert_int_equal(ms_addr_parse(row->addr, &addr), 0);
		if (ms_link_may_lead_to(&link, &addr) != row->own)
			fail_msg("row %zu: %s", i, row->addr);
		ms_vec_fini(&link.nets);
	}
}

static void a_young_inner_veth_is_left_undecided(void **state)
{
	struct ms_links links = {0};
	struct ms_arena *arena = ms_arena_new();
	ms_covered_vec covered = {0};
	uint64_t again_ms;

	(void)state;
	apply(&links, veth(20, "veth1", 0, -1), false);
	assert_int_equal(
		ms_cover_judge(&links, &rules, MS_COVER_YOUNG_MS - 1, arena, &covered, &again_ms),
		0);
	assert_int_equal(covered.items[0].cover, MS_COVER_UNDECIDED);
	assert_int_equal(again_ms, MS_COVER_YOUNG_MS);
	ms_vec_fini(&covered);
	assert_int_equal(
		ms_cover_judge(&links, &rules, MS_COVER_YOUNG_MS, arena, &covered, &again_ms), 0);
	assert_int_equal(covered.items[0].cover, MS_COVER_SKIPPED);
	assert_true(again_ms == UINT64_MAX);
	ms_vec_fini(&covered);
	ms_arena_free(arena);
	ms_links_fini(&links);
}

static void a_routed_veth_that_is_down_is_left_undecided(void **state)
{
	struct ms_link_view view = veth(20, "veth1", 0, 3);
	struct ms_links links = {0};
	struct ms_arena *arena = ms_arena_new();
	ms_covered_vec covered = {0};
	uint64_t again_ms;

	(void)state;
	view.up = false;
	apply(&links, view, true);
	assert_int_equal(ms_cover_judge(&links, &rules, 0, arena, &covered, &again_ms), 0);
	assert_int_equal(covered.items[0].cover, MS_COVER_UNDECIDED);
	assert_true(again_ms == UINT64_MAX); /* coming up is an event, not a matter of time */
	ms_vec_fini(&covered);
	ms_arena_free(arena);
	ms_links_fini(&links);
}

static void snapshots_say_when_they_run_out_and_who_is_where(void **state)
{
	struct ms_links links = {0};
	struct ms_claims claims = {.runtime = "docker"};
	const struct ms_claims *all[] = {&claims};
	struct ms_snapshot_facts input = {.node = "n",
					  .links = &links,
					  .rules = rules,
					  .claims = all,
					  .n_claims = 1,
					  .engine_may_name = true,
					  .now_ms = 1,
					  .revision = 42};
	struct ms_inventory *inventory;
	uint64_t again_ms;

	(void)state;
	apply(&links, other(10, "br-x", "bridge", 0), true);
	apply(&links, veth(20, "veth1", 10, 3), false);
	assert_int_equal(ms_snapshot_build(&input, &inventory, &again_ms), 0);
	assert_true(inventory->endpoints.items[0].pending);
	assert_int_equal(again_ms, MS_PENDING_MS);
	assert_int_equal(inventory->revision, 42);
	assert_int_equal(inventory->patterns.n_items, 4);
	ms_inventory_free(inventory);

	input.engine_may_name = false;
	assert_int_equal(ms_snapshot_build(&input, &inventory, &again_ms), 0);
	assert_false(inventory->endpoints.items[0].pending);
	assert_true(again_ms == UINT64_MAX);
	ms_inventory_free(inventory);

	input.engine_may_name = true;
	put(&claims, "b", 3, 9);
	put(&claims, "a", 3, 9);
	assert_int_equal(ms_snapshot_build(&input, &inventory, &again_ms), 0);
	assert_false(inventory->endpoints.items[0].pending);
	assert_int_equal(inventory->endpoints.items[0].workloads.n_items, 2);
	assert_string_equal(inventory->endpoints.items[0].name, "a");
	ms_inventory_free(inventory);
	ms_claims_fini(&claims);
	ms_links_fini(&links);
}

static struct nl_msg *link_message(void)
{
	const struct ifinfomsg header = {.ifi_index = 7};
	struct nl_msg *message = nlmsg_alloc_simple(RTM_NEWLINK, 0);

	assert_non_null(message);
	nlmsg_append(message, (void *)&header, sizeof(header), NLMSG_ALIGNTO);
	nla_put_string(message, IFLA_IFNAME, "br-x");
	nla_put_string(message, IFLA_IFALIAS, "io.microseg.env=prod");
	nla_put_u32(message, IFLA_LINK, 4);
	nla_put_s32(message, IFLA_LINK_NETNSID, 0);
	nla_put(message, IFLA_ADDRESS, 6, "\x02\x42\x0a\x01\x00\x02");
	struct nlattr *info = nla_nest_start(message, IFLA_LINKINFO);
	nla_put_string(message, IFLA_INFO_KIND, "bridge");
	struct nlattr *data = nla_nest_start(message, IFLA_INFO_DATA);
	nla_put_u8(message, IFLA_BR_NF_CALL_IPTABLES, 1);
	nla_put_u8(message, IFLA_BR_NF_CALL_IP6TABLES, 1);
	nla_nest_end(message, data);
	nla_nest_end(message, info);
	return message;
}

static void a_link_message_is_decoded_whole(void **state)
{
	struct nl_msg *message = link_message();
	struct ms_link_view view;

	(void)state;
	assert_int_equal(ms_link_decode(nlmsg_hdr(message), &view), 0);
	assert_int_equal(view.ifindex, 7);
	assert_string_equal(view.name, "br-x");
	assert_string_equal(view.alias, "io.microseg.env=prod");
	assert_int_equal(view.peer, 4);
	assert_true(view.peer_foreign);
	assert_int_equal(view.peer_nsid, 0);
	assert_true(view.nf_call_ip && view.nf_call_ip6);
	((struct ifinfomsg *)nlmsg_data(nlmsg_hdr(message)))->ifi_family = AF_BRIDGE;
	assert_int_equal(ms_link_decode(nlmsg_hdr(message), &view), -ENOMSG);
	nlmsg_free(message);
}

static void on_oif(uint32_t ifindex, const struct ms_prefix *net, void *userdata)
{
	assert_true(net->len <= ms_addr_size(net->addr.ip) * 8);
	(void)ifindex;
	(void)userdata;
}

/* Every decoder over every cut and over altered bytes: the sanitizers are the judges. */
static void cut_and_altered_messages_are_survived(void **state)
{
	struct nl_msg *message = link_message();
	const struct nlmsghdr *whole = nlmsg_hdr(message);
	struct ms_link_view link;
	struct ms_addr_view addr;
	int32_t nsid;

	(void)state;
	srand(1);
	for (uint32_t round = 0; round < 20000; round++) {
		uint32_t len = NLMSG_HDRLEN + round % (whole->nlmsg_len - NLMSG_HDRLEN + 1);
		struct nlmsghdr *copy = malloc(len);

		memcpy(copy, whole, len);
		copy->nlmsg_len = len;
		for (int i = 0; round >= whole->nlmsg_len && i < 3 && len > NLMSG_HDRLEN; i++)
			((unsigned char *)
				 copy)[NLMSG_HDRLEN + (uint32_t)rand() % (len - NLMSG_HDRLEN)] =
				(unsigned char)rand();
		ms_link_decode(copy, &link);
		ms_addr_decode(copy, &addr);
		ms_route_decode(copy, on_oif, NULL);
		ms_nsid_decode(copy, &nsid);
		free(copy);
	}
	nlmsg_free(message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_link_is_new_when_it_leads_elsewhere_not_when_it_is_renamed),
		cmocka_unit_test(a_claim_that_ended_names_only_what_was_there),
		cmocka_unit_test(a_claim_without_a_namespace_names_nothing),
		cmocka_unit_test(claims_have_their_limit_and_kept_ones_are_pruned),
		cmocka_unit_test(what_is_managed_is_decided_by_kind_name_and_place),
		cmocka_unit_test(ports_go_the_way_of_their_bridge),
		cmocka_unit_test(an_address_is_a_containers_own_where_its_bridge_leads_to),
		cmocka_unit_test(a_young_inner_veth_is_left_undecided),
		cmocka_unit_test(a_routed_veth_that_is_down_is_left_undecided),
		cmocka_unit_test(snapshots_say_when_they_run_out_and_who_is_where),
		cmocka_unit_test(a_link_message_is_decoded_whole),
		cmocka_unit_test(cut_and_altered_messages_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
