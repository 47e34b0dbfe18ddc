/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log prefixes, and what is made of a logged packet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
/* after it: its in_addr is the other one otherwise */
#include <linux/if_ether.h>
#include <linux/netfilter.h>

#include "microseg/arena.h"
#include "microseg/event.h"

/* --- the world: two environments on two bridges of node-a --- */

static struct ms_arena *arena;
static struct ms_policy policy;
static struct ms_inventory *inventory;

static struct ms_addr addr_of(const char *text)
{
	struct ms_addr addr = {0};

	assert_int_equal(ms_addr_parse(text, &addr), 0);
	return addr;
}

static void add_endpoint(const char *name, const char *interface, const char *bridge,
			 const char *mac, const char *addr, const char *env, const char *service)
{
	struct ms_endpoint endpoint = {
		.name = name,
		.interface = interface,
		.bridge = bridge,
		.state = env ? MS_ENDPOINT_IDENTIFIED : MS_ENDPOINT_UNIDENTIFIED,
		.env = env,
		.service = service,
		.identity = env ? ms_arena_printf(arena, "%s/%s", env, service) : "unidentified",
	};

	assert_int_equal(ms_mac_parse(mac, &endpoint.mac), 0);
	assert_int_equal(ms_avec_push(inventory->arena, &endpoint.addrs, addr_of(addr)), 0);
	assert_int_equal(ms_avec_push(inventory->arena, &inventory->endpoints, endpoint), 0);
}

static void add_link(const char *name, bool bridge, const char *addr)
{
	struct ms_managed_link link = {.name = name, .bridge = bridge};

	assert_int_equal(ms_avec_push(inventory->arena, &link.addrs, addr_of(addr)), 0);
	assert_int_equal(ms_avec_push(inventory->arena, &inventory->links, link), 0);
	assert_int_equal(ms_avec_push(inventory->arena, &inventory->hosts, addr_of(addr)), 0);
}

static void make_inventory(void)
{
	inventory = ms_inventory_new();
	inventory->node = "node-a";
	add_link("br-dev", true, "10.0.2.1");
	add_link("br-prod", true, "10.0.1.1");
	add_link("vethrt", false, "169.254.1.1");
	add_endpoint("web-1", "vethweb", "br-dev", "02:00:00:00:02:05", "10.0.2.5", "dev", "web");
	add_endpoint("db-1", "vethdb", "br-prod", "02:00:00:00:01:07", "10.0.1.7", "prod", "db");
	add_endpoint("api-1", "vethapi", "br-prod", "02:00:00:00:01:08", "10.0.1.8", "prod", "api");
	add_endpoint("odd", "vethodd", "br-prod", "02:00:00:00:01:09", "10.0.1.9", NULL, NULL);
	add_endpoint("rt-1", "vethrt", "", "02:00:00:00:03:01", "10.0.3.1", "prod", "rt");
	assert_int_equal(ms_avec_push(inventory->arena, &inventory->patterns, "veth*"), 0);
	assert_int_equal(ms_avec_push(inventory->arena, &inventory->skipped, "vethlan"), 0);
	ms_inventory_canonicalize(inventory);
}

/* prod/db lets prod/api in at tcp/5432, and the net at tcp/80 if published; nothing else is
 * granted. */
static void make_policy(void)
{
	static const struct ms_origin at = {.file = "policies/db.yaml", .line = 12};
	static struct ms_env envs[] = {{.name = "dev"}, {.name = "prod"}};
	static struct ms_service services[] = {
		{.env = "dev",
		 .name = "web",
		 .identity = "dev/web",
		 .at = {.file = "policies/web.yaml", .line = 1}},
		{.env = "prod",
		 .name = "db",
		 .identity = "prod/db",
		 .at = {.file = "policies/db.yaml", .line = 3}},
	};
	static struct ms_node node = {.name = "node-b"};
	static struct ms_never never = {.any_source = true,
					.at = {.file = "policies/never.yaml", .line = 4}};
	static const struct ms_prefix everywhere = {.addr = {.ip = MS_IP4}};
	struct ms_grant api = {.peer = {.kind = MS_PEER_SERVICE, .env = "prod", .service = "api"},
			       .at = at};
	struct ms_grant net = {.peer = {.kind = MS_PEER_NET, .net_name = "internet"}, .at = at};
	struct ms_ports pg = {IPPROTO_TCP, 5432, 5432}, http = {IPPROTO_TCP, 80, 80};

	policy = (struct ms_policy){.arena = arena,
				    .environments_at = {.file = "policies/env.yaml", .line = 1}};
	policy.envs.items = envs;
	policy.envs.n_items = 2;
	assert_int_equal(ms_avec_push(arena, &api.ports, pg), 0);
	assert_int_equal(ms_avec_push(arena, &net.ports, http), 0);
	assert_int_equal(ms_avec_push(arena, &net.peer.ranges, ms_prefix_range(&everywhere)), 0);
	assert_int_equal(ms_avec_push(arena, &services[1].allow, api), 0);
	assert_int_equal(ms_avec_push(arena, &services[1].allow, net), 0);
	policy.services.items = services;
	policy.services.n_items = 2;
	assert_int_equal(ms_avec_push(arena, &node.addrs, addr_of("192.0.2.2")), 0);
	policy.nodes.items = &node;
	policy.nodes.n_items = 1;
	never.to.kind = MS_PEER_NET;
	struct ms_addr metadata = addr_of("198.51.100.254");
	assert_int_equal(
		ms_avec_push(arena, &never.to.ranges, (struct ms_range){metadata, metadata}), 0);
	policy.nevers.items = &never;
	policy.nevers.n_items = 1;
}

static int make_world(void **state)
{
	(void)state;
	arena = ms_arena_new();
	make_inventory();
	make_policy();
	return 0;
}

static int end_world(void **state)
{
	(void)state;
	inventory = ms_inventory_free(inventory);
	arena = ms_arena_free(arena);
	return 0;
}

/* --- log prefixes --- */

static void every_tag_is_read_back(void **state)
{
	(void)state;
	for (int reason = MS_REASON_NONE + 1; reason < MS_N_REASONS; reason++)
		for (int verdict = MS_AUDIT; verdict <= MS_DENY; verdict++) {
			struct ms_log_tag tag = {(enum ms_verdict)verdict, (enum ms_reason)reason},
					  read;
			char text[MS_LOG_PREFIX_SIZE];

			assert_int_equal(ms_log_tag_parse(ms_log_tag_format(&tag, text), &read), 0);
			assert_int_equal(read.verdict, verdict);
			assert_int_equal(read.reason, reason);
		}
}

static void tags_have_the_form_that_rules_and_readers_agree_on(void **state)
{
	char text[MS_LOG_PREFIX_SIZE];

	(void)state;
	assert_string_equal(
		ms_log_tag_format(&(struct ms_log_tag){MS_DENY, MS_REASON_NO_GRANT}, text),
		"microseg denied no-grant ");
	assert_string_equal(
		ms_log_tag_format(&(struct ms_log_tag){MS_AUDIT, MS_REASON_FENCE}, text),
		"microseg audited fence ");
}

static void other_prefixes_are_not_ours(void **state)
{
	static const char *const prefixes[] = {
		"",
		"microseg",
		"microseg denied ",
		"microseg denied no-grant",
		"microseg denied no-grant  ",
		"microseg denied no-grant x",
		" microseg denied no-grant ",
		"Microseg denied no-grant ",
		"microseg  denied no-grant ",
		"microseg allowed no-grant ",
		"microseg denied none ",
		"microseg denied nogrant ",
		"fw drop ",
	};
	struct ms_packet_record record = {.prefix = "fw drop "};
	struct ms_log_tag tag;
	struct ms_event event;

	(void)state;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		assert_int_equal(ms_log_tag_parse(prefixes[i], &tag), -EINVAL);
	assert_int_equal(ms_event_attribute(&record, &policy, inventory, 1, &event), -EINVAL);
}

/* --- attribution --- */

struct seen {
	const char *reason; /* of the prefix, with the verdict before it */
	uint8_t family;
	const char *indev, *outdev, *physindev, *physoutdev;
	const char *src, *dst; /* addresses */
	uint8_t proto;
	uint16_t port; /* or type */
	const char *src_mac;
};

struct row {
	const char *name;
	struct seen seen;
	const char *src_identity, *src_endpoint, *src_interface;
	const char *dst_identity, *dst_endpoint, *dst_interface;
	const char *nearest; /* a part of it */
	const char *file;    /* "" : no place in the policy */
};

#define PROD_TO_PROD NFPROTO_IPV4, "br-prod", "br-prod"
#define DEV_TO_PROD NFPROTO_IPV4, "br-dev", "br-prod"

/* clang-format off */
static const struct row rows[] = {
	{"fence between bridges",
	 {"denied fence", DEV_TO_PROD, "vethweb", "", "10.0.2.5", "10.0.1.7", IPPROTO_TCP, 5432, NULL},
	 "dev/web", "web-1", "vethweb", "prod/db", "db-1", "vethdb", "crossings: [{from: dev/web, to: prod/db", ""},
	{"no grant on one bridge",
	 {"denied no-grant", PROD_TO_PROD, "vethapi", "vethdb", "10.0.1.8", "10.0.1.7", IPPROTO_TCP, 22, NULL},
	 "prod/api", "api-1", "vethapi", "prod/db", "db-1", "vethdb", "tcp/22", ""},
	{"an icmp type is asked about as a port is",
	 {"denied no-grant", PROD_TO_PROD, "vethapi", "vethdb", "10.0.1.8", "10.0.1.7", IPPROTO_ICMP, 8, NULL},
	 "prod/api", "api-1", "vethapi", "prod/db", "db-1", "vethdb", "icmp/8", ""},
	{"an unidentified container",
	 {"denied unidentified", PROD_TO_PROD, "vethodd", "vethdb", "10.0.1.9", "10.0.1.7", IPPROTO_TCP, 5432, NULL},
	 "unidentified", "odd", "vethodd", "prod/db", "db-1", "vethdb", "odd has no identity", ""},
	{"an address that nobody has behind a managed bridge",
	 {"denied unidentified", NFPROTO_IPV4, "br-prod", "br-dev", "vethapi", "", "10.0.1.8", "10.0.2.77", IPPROTO_TCP,
	  80, NULL},
	 "prod/api", "api-1", "vethapi", "unidentified", "", "br-dev", "10.0.2.77", ""},
	{"out to the net",
	 {"denied no-grant", NFPROTO_IPV4, "br-dev", "eth0", "vethweb", "", "10.0.2.5", "198.51.100.1", IPPROTO_TCP, 443,
	  NULL},
	 "dev/web", "web-1", "vethweb", "net", "", "eth0", "needs", ""},
	{"never",
	 {"denied never", NFPROTO_IPV4, "br-dev", "eth0", "vethweb", "", "10.0.2.5", "198.51.100.254", IPPROTO_TCP, 80,
	  NULL},
	 "dev/web", "web-1", "vethweb", "net", "", "eth0", "a never rule", "policies/never.yaml"},
	{"in from the net, to a published port",
	 {"denied no-grant", NFPROTO_IPV4, "eth0", "br-prod", "", "", "203.0.113.5", "10.0.1.7", IPPROTO_TCP, 80, NULL},
	 "net", "", "eth0", "prod/db", "db-1", "vethdb", "published: true", ""},
	{"from another node",
	 {"denied no-grant", NFPROTO_IPV4, "eth0", "br-prod", "", "", "192.0.2.2", "10.0.1.7", IPPROTO_TCP, 22, NULL},
	 "node/node-b", "", "eth0", "prod/db", "db-1", "vethdb", "{node: node-b}", ""},
	{"container to host",
	 {"denied no-grant", NFPROTO_IPV4, "br-dev", "", "vethweb", "", "10.0.2.5", "10.0.2.1", IPPROTO_TCP, 22, NULL},
	 "dev/web", "web-1", "vethweb", "host", "", "", "needs: [{to: host", ""},
	{"host to container",
	 {"denied no-grant", NFPROTO_IPV4, "", "br-dev", "", "", "10.0.2.1", "10.0.2.5", IPPROTO_TCP, 80, NULL},
	 "host", "", "", "dev/web", "web-1", "vethweb", "from: host", ""},
	{"host from an address that the snapshot does not know",
	 {"denied no-grant", NFPROTO_IPV4, "", "br-dev", "", "", "192.0.2.99", "10.0.2.5", IPPROTO_TCP, 80, NULL},
	 "host", "", "", "dev/web", "web-1", "vethweb", "from: host", ""},
	{"a routed container",
	 {"denied no-grant", NFPROTO_IPV4, "vethrt", "br-prod", "", "", "10.0.3.1", "10.0.1.7", IPPROTO_TCP, 22, NULL},
	 "prod/rt", "rt-1", "vethrt", "prod/db", "db-1", "vethdb", "tcp/22", ""},
	{"multicast is nobody",
	 {"denied no-grant", DEV_TO_PROD, "vethweb", "", "10.0.2.5", "224.0.0.251", IPPROTO_UDP, 5353, NULL},
	 "dev/web", "web-1", "vethweb", "", "", "br-prod", "no grant covers", ""},
	{"refused by a policy that is gone",
	 {"denied no-grant", PROD_TO_PROD, "vethapi", "vethdb", "10.0.1.8", "10.0.1.7", IPPROTO_TCP, 5432, NULL},
	 "prod/api", "api-1", "vethapi", "prod/db", "db-1", "vethdb", "an earlier one refused it", ""},
	{"neither end is known any more",
	 {"denied no-grant", NFPROTO_IPV4, "eth0", "eth1", "", "", "203.0.113.5", "203.0.113.6", IPPROTO_TCP, 80, NULL},
	 "net", "", "eth0", "net", "", "eth1", "neither end is a container of this node any more", ""},

	{"a spoofed address belongs to the port it came from",
	 {"denied spoof", NFPROTO_BRIDGE, "br-dev", "", "vethweb", "", "10.0.1.7", "10.0.1.8", IPPROTO_TCP, 80, NULL},
	 "dev/web", "web-1", "vethweb", "prod/api", "api-1", "vethapi",
	 "the frame claims 10.0.1.7, which dev/web on vethweb does not hold", ""},
	{"a spoofed MAC",
	 {"denied spoof", NFPROTO_BRIDGE, "br-dev", "", "vethweb", "", "10.0.2.5", "10.0.1.8", IPPROTO_TCP, 80,
	  "02:00:00:00:01:07"},
	 "dev/web", "web-1", "vethweb", "prod/api", "api-1", "vethapi",
	 "the frame claims MAC 02:00:00:00:01:07, which dev/web on vethweb does not hold", ""},
	{"a spoofed payload",
	 {"denied spoof", NFPROTO_BRIDGE, "br-dev", "", "vethweb", "", "10.0.2.5", "10.0.1.8", IPPROTO_TCP, 80,
	  "02:00:00:00:02:05"},
	 "dev/web", "web-1", "vethweb", "prod/api", "api-1", "vethapi", "ARP or neighbour discovery", ""},
	{"one of our addresses from outside",
	 {"denied spoof", NFPROTO_IPV4, "eth0", "", "", "", "10.0.1.7", "10.0.1.8", IPPROTO_TCP, 80, NULL},
	 "net", "", "eth0", "prod/api", "api-1", "vethapi",
	 "the packet claims 10.0.1.7, which prod/db holds on vethdb, but came in by eth0", ""},
	{"an unknown port",
	 {"denied unknown-port", NFPROTO_BRIDGE, "br-dev", "", "veth1234", "", "10.0.2.5", "10.0.1.8", IPPROTO_TCP, 80,
	  NULL},
	 "unidentified", "", "veth1234", "prod/api", "api-1", "vethapi",
	 "veth1234 is not identified yet: nothing passes until netlink and an engine named it", ""},
	{"to an unknown port",
	 {"denied unknown-port", NFPROTO_BRIDGE, "br-dev", "br-dev", "vethweb", "veth1234", "10.0.2.5", "10.0.2.77",
	  IPPROTO_TCP, 80, NULL},
	 "dev/web", "web-1", "vethweb", "unidentified", "", "veth1234", "veth1234 is not identified yet", ""},
	{"a port that was unknown a moment ago",
	 {"denied unknown-port", NFPROTO_BRIDGE, "br-dev", "", "vethweb", "", "10.0.2.5", "10.0.1.8", IPPROTO_TCP, 80,
	  NULL},
	 "dev/web", "web-1", "vethweb", "prod/api", "api-1", "vethapi", "vethweb was not enforced yet", ""},
	{"a skipped interface leads to the net",
	 {"denied no-grant", NFPROTO_IPV4, "vethlan", "br-prod", "", "", "203.0.113.5", "10.0.1.7", IPPROTO_TCP, 22,
	  NULL},
	 "net", "", "vethlan", "prod/db", "db-1", "vethdb", "tcp/22", ""},
	{"a DHCP server in a container",
	 {"denied ethertype", NFPROTO_BRIDGE, "br-dev", "", "vethweb", "", "10.0.2.5", "255.255.255.255", IPPROTO_UDP,
	  68, NULL},
	 "dev/web", "web-1", "vethweb", "", "", "", "answers of a DHCP server", ""},
	{"no connection",
	 {"denied invalid", DEV_TO_PROD, "vethweb", "", "10.0.2.5", "10.0.1.7", IPPROTO_TCP, 80, NULL},
	 "dev/web", "web-1", "vethweb", "prod/db", "db-1", "vethdb", "belongs to no connection", ""},
	{"past the policy",
	 {"denied bypass", NFPROTO_BRIDGE, "br-prod", "br-prod", "vethapi", "vethdb", "10.0.1.8", "10.0.1.7",
	  IPPROTO_TCP, 5432, NULL},
	 "prod/api", "api-1", "vethapi", "prod/db", "db-1", "vethdb", "netfilter flags are off", ""},
	{"quarantine",
	 {"denied quarantine", DEV_TO_PROD, "vethweb", "", "10.0.2.5", "10.0.1.7", IPPROTO_TCP, 80, NULL},
	 "dev/web", "web-1", "vethweb", "prod/db", "db-1", "vethdb", "quarantine", ""},
	{"limit",
	 {"denied limit", DEV_TO_PROD, "vethweb", "", "10.0.2.5", "10.0.1.7", IPPROTO_TCP, 80, NULL},
	 "dev/web", "web-1", "vethweb", "prod/db", "db-1", "vethdb", "dev/web on vethweb has as many", ""},
};
/* clang-format on */

/* An IPv4 packet with the ports or the type of @seen; from port 67, so that a DHCP answer looks
 * like one. */
static size_t make_packet(const struct seen *seen, uint8_t packet[28])
{
	struct ms_addr src = addr_of(seen->src), dst = addr_of(seen->dst);

	memset(packet, 0, 28);
	packet[0] = 0x45;
	packet[3] = 28;
	packet[9] = seen->proto;
	memcpy(packet + 12, src.bytes, 4);
	memcpy(packet + 16, dst.bytes, 4);
	if (seen->proto == IPPROTO_ICMP) {
		packet[20] = (uint8_t)seen->port;
	} else {
		packet[21] = 67;
		packet[22] = (uint8_t)(seen->port >> 8);
		packet[23] = (uint8_t)seen->port;
	}
	return 28;
}

static void attribute(const struct seen *seen, const struct ms_policy *with,
		      struct ms_event *ret_event)
{
	struct ms_packet_record record = {.family = seen->family,
					  .ether_type = ETH_P_IP,
					  .time_ms = 1700000000123,
					  .has_src_mac = seen->src_mac};
	char prefix[MS_LOG_PREFIX_SIZE];
	uint8_t packet[28];

	snprintf(prefix, sizeof(prefix), "microseg %s ", seen->reason);
	record.prefix = prefix;
	strcpy(record.indev, seen->indev);
	strcpy(record.outdev, seen->outdev);
	strcpy(record.physindev, seen->physindev);
	strcpy(record.physoutdev, seen->physoutdev);
	if (seen->src_mac)
		assert_int_equal(ms_mac_parse(seen->src_mac, &record.src_mac), 0);
	record.payload = packet;
	record.payload_size = make_packet(seen, packet);
	assert_int_equal(ms_event_attribute(&record, with, inventory, 7, ret_event), 0);
}

static void assert_end(const struct ms_event_end *end, const char *identity, const char *endpoint,
		       const char *interface, const char *ip)
{
	char text[MS_ADDR_TEXT_SIZE];

	assert_string_equal(end->identity, identity);
	assert_string_equal(end->endpoint, endpoint);
	assert_string_equal(end->interface, interface);
	assert_true(end->has_ip);
	assert_string_equal(ms_addr_format(&end->ip, text), ip);
}

static void names_both_ends_and_says_what_is_missing(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct ms_event event;

		print_message("%s\n", row->name);
		attribute(&row->seen, &policy, &event);
		assert_string_equal(ms_reason_name(event.reason),
				    strchr(row->seen.reason, ' ') + 1);
		assert_end(&event.src, row->src_identity, row->src_endpoint, row->src_interface,
			   row->seen.src);
		assert_end(&event.dst, row->dst_identity, row->dst_endpoint, row->dst_interface,
			   row->seen.dst);
		if (!strstr(event.nearest, row->nearest))
			fail_msg("'%s' is not in '%s'", row->nearest, event.nearest);
		assert_string_equal(event.policy_file, row->file);
		assert_int_equal(event.verdict, MS_DENY);
		assert_int_equal(event.count, 1);
		assert_int_equal(event.time_ms, 1700000000123);
		assert_int_equal(event.generation, 7);
		assert_string_equal(event.node, "node-a");
	}
}

static void an_audited_packet_is_told_as_such(void **state)
{
	struct seen seen = rows[0].seen;
	struct ms_event event;

	(void)state;
	seen.reason = "audited fence";
	attribute(&seen, &policy, &event);
	assert_int_equal(event.verdict, MS_AUDIT);
}

static void without_a_policy_the_door_is_closed_and_said_to_be(void **state)
{
	struct seen seen = rows[0].seen;
	struct ms_event event;

	(void)state;
	seen.reason = "denied unidentified";
	attribute(&seen, NULL, &event);
	assert_string_equal(event.nearest, "no policy is loaded: managed interfaces pass nothing");
}

static void frames_without_addresses_are_told_by_port_and_type(void **state)
{
	static const struct {
		uint16_t ether_type;
		const char *nearest;
	} cases[] = {
		{0x88b5,
		 "only IPv4, IPv6 and ARP pass from an endpoint, and ether type 0x88b5 came from dev/web on vethweb"},
		{ETH_P_8021Q,
		 "VLAN tags never pass from an endpoint, and dev/web on vethweb sent one"},
		{0,
		 "only IPv4, IPv6 and ARP pass from an endpoint, and something else came from dev/web on vethweb"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ms_packet_record record = {
			.prefix = "microseg denied ethertype ",
			.family = NFPROTO_BRIDGE,
			.ether_type = cases[i].ether_type,
			.indev = "br-dev",
			.physindev = "vethweb",
		};
		struct ms_event event;

		assert_int_equal(ms_event_attribute(&record, &policy, inventory, 1, &event), 0);
		assert_string_equal(event.src.identity, "dev/web");
		assert_string_equal(event.dst.identity, "");
		assert_false(event.src.has_ip || event.dst.has_ip);
		assert_int_equal(event.ether_type, cases[i].ether_type);
		assert_string_equal(event.nearest, cases[i].nearest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tag_is_read_back),
		cmocka_unit_test(tags_have_the_form_that_rules_and_readers_agree_on),
		cmocka_unit_test(other_prefixes_are_not_ours),
		cmocka_unit_test(names_both_ends_and_says_what_is_missing),
		cmocka_unit_test(an_audited_packet_is_told_as_such),
		cmocka_unit_test(without_a_policy_the_door_is_closed_and_said_to_be),
		cmocka_unit_test(frames_without_addresses_are_told_by_port_and_type),
	};

	return cmocka_run_group_tests(tests, make_world, end_world);
}
