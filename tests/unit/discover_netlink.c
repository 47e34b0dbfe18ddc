/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover_lab.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "discover/admit.h"

#define SOON_MS 3000

struct addr_at {
	const char *interface, *addr;
};

static bool has_addr(const struct lab *lab, const void *userdata)
{
	const struct addr_at *at = userdata;
	const struct ms_endpoint *endpoint = lab_endpoint(lab, at->interface);

	return endpoint && lab_has_addr(&endpoint->addrs, at->addr);
}

static bool lacks_addr(const struct lab *lab, const void *userdata)
{
	return !has_addr(lab, userdata);
}

static bool is_endpoint(const struct lab *lab, const void *interface)
{
	return lab_endpoint(lab, interface);
}

static bool is_no_endpoint(const struct lab *lab, const void *interface)
{
	return !lab_endpoint(lab, interface);
}

static bool is_skipped(const struct lab *lab, const void *interface)
{
	return lab_is_skipped(lab, interface);
}

static bool is_settled(const struct lab *lab, const void *unused)
{
	(void)unused;
	return ms_discover_settled(lab->discover);
}

/* A bridge and one container behind it, as an engine makes them. */
static void make_container(const char *netns, const char *veth, const char *bridge, const char *mac,
			   int host)
{
	sh("ip netns add %s && ip link add %s type veth peer name tmp%s && ip link set %s master %s up && "
	   "ip link set tmp%s netns %s && "
	   "ip -n %s link set tmp%s name eth0 address %s && ip -n %s addr add 10.1.0.%d/24 dev eth0 && "
	   "ip -n %s addr add fd01::%d/64 dev eth0 nodad && ip -n %s link set eth0 up",
	   netns, veth, netns, veth, bridge, netns, netns, netns, netns, mac, netns, host, netns,
	   host, netns);
}

static void make_bridge(const char *name)
{
	sh("ip link add %s type bridge && ip addr add 10.1.0.1/24 dev %s && ip link set %s up",
	   name, name, name);
}

static int set_up(void **state)
{
	sh("mkdir -p /run/netns; ip link set lo up");
	*state = calloc(1, sizeof(struct lab));
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	lab_stop(lab);
	free(lab);
	sh("for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done; "
	   "for l in $(ip -o link | sed 's/^[0-9]*: //; s/[@:].*//'); do "
	   "[ $l = lo ] || ip link del $l 2>/dev/null || :; done");
	return 0;
}

static void assert_c1(const struct lab *lab, const char *veth)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, veth);
	char mac[MS_MAC_TEXT_SIZE];

	assert_non_null(endpoint);
	assert_string_equal(endpoint->bridge, "br-one");
	assert_string_equal(endpoint->network, "br-one");
	assert_string_equal(endpoint->name, "c1");
	assert_int_equal(endpoint->workloads.n_items, 1);
	assert_string_equal(endpoint->workloads.items[0].runtime, "netns");
	assert_string_equal(ms_mac_format(&endpoint->mac, mac), "02:42:0a:01:00:02");
	assert_true(lab_has_addr(&endpoint->addrs, "10.1.0.2"));
	assert_true(lab_has_addr(&endpoint->addrs, "fd01::2"));
	assert_true(endpoint->ifindex > 0);
	assert_false(endpoint->pending);
}

static void an_endpoint_that_is_there_is_in_the_first_snapshot(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	lab_start(lab);
	assert_true(ms_discover_settled(lab->discover));
	lab_check(lab);
	assert_c1(lab, "veth1");
	assert_int_equal(lab->inventory->links.n_items, 1);
	assert_string_equal(lab->inventory->links.items[0].name, "br-one");
	assert_true(lab_has_addr(&lab->inventory->links.items[0].addrs, "10.1.0.1"));
	assert_true(lab_has_addr(&lab->inventory->hosts, "10.1.0.1"));
	assert_false(lab_has_addr(&lab->inventory->hosts, "127.0.0.1"));
	assert_int_equal(lab->inventory->host_macs.n_items, 1);
	assert_int_equal(lab->inventory->skipped.n_items, 0);
}

static void an_endpoint_comes_changes_and_goes_live(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_settled, NULL);
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	lab_wait(lab, SOON_MS, has_addr, (&(struct addr_at){"veth1", "10.1.0.2"}));
	lab_wait(lab, SOON_MS, has_addr, (&(struct addr_at){"veth1", "fd01::2"}));
	assert_c1(lab, "veth1");
	/* The link-local address comes when its detection of doubles is over. */
	lab_wait(lab, SOON_MS, has_addr, (&(struct addr_at){"veth1", "fe80::42:aff:fe01:2"}));

	sh("ip -n c1 addr add 10.1.0.77/24 dev eth0");
	lab_wait(lab, SOON_MS, has_addr, (&(struct addr_at){"veth1", "10.1.0.77"}));
	sh("ip -n c1 addr del 10.1.0.2/24 dev eth0");
	lab_wait(lab, SOON_MS, lacks_addr, (&(struct addr_at){"veth1", "10.1.0.2"}));
	sh("ip -n c1 addr del fd01::2/64 dev eth0");
	lab_wait(lab, SOON_MS, lacks_addr, (&(struct addr_at){"veth1", "fd01::2"}));

	sh("ip netns del c1");
	lab_wait(lab, SOON_MS, is_no_endpoint, "veth1");
}

static bool has_mac(const struct lab *lab, const void *text)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, "veth1");
	char mac[MS_MAC_TEXT_SIZE];

	return endpoint && strcmp(ms_mac_format(&endpoint->mac, mac), text) == 0;
}

static void a_changed_mac_is_seen(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	lab_start(lab);
	sh("ip -n c1 link set eth0 address 02:42:0a:01:00:99");
	lab_wait(lab, SOON_MS, has_mac, "02:42:0a:01:00:99");
}

static void a_renamed_veth_stays_the_same_endpoint(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	lab_start(lab);
	lab_check(lab);
	uint32_t ifindex = lab_endpoint(lab, "veth1")->ifindex;
	/* Even out of the patterns: it is a port of a managed bridge. */
	sh("ip link set veth1 down && ip link set veth1 name other1 && ip link set other1 up");
	lab_wait(lab, SOON_MS, is_endpoint, "other1");
	assert_null(lab_endpoint(lab, "veth1"));
	assert_int_equal(lab_endpoint(lab, "other1")->ifindex, ifindex);
	assert_c1(lab, "other1");
}

static void assert_group(const char *link, const char *group)
{
	sh("ip -d -o link show dev %s | grep -q ' group %s '", link, group);
}

static bool is_veth2_anew(const struct lab *lab, const void *unused)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, "veth2");

	(void)unused;
	return endpoint && endpoint->ifindex == 77;
}

static void a_mark_is_the_interfaces_own(void **state)
{
	struct lab *lab = *state;
	struct ms_rtnl *rtnl;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	make_container("c2", "veth2", "br-one", "02:42:0a:01:00:03", 3);
	lab_start(lab);
	lab_check(lab);
	assert_int_equal(ms_discover_admit(lab->discover, lab->inventory, NULL), 0);
	assert_group("veth1", "19795");
	assert_group("br-one", "default");
	sh("ip link set veth1 name veth3 && ip link set veth3 nomaster");
	assert_group("veth3", "19795");

	/* Of the same name and number; and the one of before has rules still. */
	sh("ip link set veth3 group 5 && ip link del veth2 && "
	   "ip link add veth2 index 77 type veth peer name p && ip link del veth2 && "
	   "ip netns add c4 && ip link add veth2 index 77 master br-one up type veth peer name eth0 netns c4");
	assert_group("veth2", "default");
	lab_wait(lab, SOON_MS, is_veth2_anew, NULL);
	assert_int_equal(ms_discover_admit(lab->discover, lab->inventory, lab->inventory), 0);
	assert_group("veth2", "default");
	assert_int_equal(ms_discover_admit(lab->discover, lab->inventory, NULL), 0);
	assert_group("veth2", "19795");
	assert_group("veth3", "19795"); /* somebody had taken it away */

	assert_int_equal(ms_rtnl_open(&rtnl), 0);
	assert_int_equal(ms_admit_nobody(rtnl), 0);
	assert_group("veth2", "default");
	assert_group("veth3", "default");
	assert_int_equal(ms_admit(rtnl, 4711), -ENODEV);
	ms_rtnl_free(rtnl);
}

static void a_far_end_that_moves_takes_its_endpoint_along(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	sh("ip netns add c2");
	lab_start(lab);
	lab_check(lab);
	assert_c1(lab, "veth1");
	sh("ip -n c1 link set eth0 netns c2");
	sh("ip -n c2 addr add 10.1.0.3/24 dev eth0");
	lab_wait(lab, SOON_MS, has_addr, (&(struct addr_at){"veth1", "10.1.0.3"}));
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "c2");
	assert_false(lab_has_addr(&lab_endpoint(lab, "veth1")->addrs, "10.1.0.2"));
}

static void a_new_namespace_on_an_old_id_inherits_no_name(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	lab_start(lab);
	lab_check(lab);
	assert_c1(lab, "veth1");
	sh("ip netns del c1");
	/* Takes the freed id, and has no name: it is held by a process. */
	sh("unshare -n sleep 20 & echo $! >/run/pid; sleep 0.3; "
	   "ip link add veth2 type veth peer name eth0 netns $(cat /run/pid) && ip link set veth2 master br-one up");
	lab_wait(lab, SOON_MS, is_endpoint, "veth2");
	assert_int_equal(lab_endpoint(lab, "veth2")->workloads.n_items, 0);
	assert_null(lab_endpoint(lab, "veth1"));
	sh("kill $(cat /run/pid)");
}

static void a_name_given_late_is_found(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	sh("unshare -n sleep 20 & echo $! >/run/pid; sleep 0.3; "
	   "ip link add veth1 type veth peer name eth0 netns $(cat /run/pid) && ip link set veth1 master br-one up");
	lab_start(lab);
	lab_check(lab);
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "veth1");
	sh("ip netns attach late $(cat /run/pid)");
	uint64_t start_ms = ms_monotonic_ms();
	while (strcmp(lab_endpoint(lab, "veth1")->name, "late") != 0 &&
	       ms_monotonic_ms() < start_ms + SOON_MS)
		lab_waits(lab, 50, is_no_endpoint, "veth1");
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "late");
	sh("kill $(cat /run/pid); ip netns del late");
}

static bool has_alias_env(const struct lab *lab, const void *env)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, "veth1");
	const char *found = endpoint ? lab_label(endpoint, "netns", "io.microseg.env") : NULL;

	return found && strcmp(found, env) == 0;
}

static void an_alias_labels_the_named_namespace(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	sh("ip link set veth1 alias 'io.microseg.env=dev words io.microseg.service=web'");
	lab_start(lab);
	lab_wait(lab, SOON_MS, has_alias_env, "dev");
	assert_string_equal(lab_label(lab_endpoint(lab, "veth1"), "netns", "io.microseg.service"),
			    "web");
	assert_int_equal(lab_endpoint(lab, "veth1")->workloads.n_items, 1);
	sh("ip link set veth1 alias 'io.microseg.env=prod'");
	lab_wait(lab, SOON_MS, has_alias_env, "prod");
	sh("rm /run/netns/nothing 2>/dev/null; umount /run/netns/c1; rm -f /run/netns/c1");
}

static bool is_ready(const struct lab *lab, const void *interface)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, interface);

	return endpoint && endpoint->ready;
}

static bool is_not_ready(const struct lab *lab, const void *interface)
{
	return !is_ready(lab, interface);
}

static void a_port_is_ready_once_both_flags_are_seen(void **state)
{
	struct lab *lab = *state;
	const struct ms_bridge_state *bridges;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_not_ready, "veth1");
	assert_int_equal(ms_discover_bridges(lab->discover, &bridges), 1);
	assert_string_equal(bridges[0].name, "br-one");
	assert_false(bridges[0].nf_call_ip);
	sh("ip link set br-one type bridge nf_call_iptables 1");
	sh("ip link set br-one type bridge nf_call_ip6tables 1");
	lab_wait(lab, SOON_MS, is_ready, "veth1");
	assert_int_equal(ms_discover_bridges(lab->discover, &bridges), 1);
	assert_true(bridges[0].nf_call_ip && bridges[0].nf_call_ip6);
	sh("ip link set br-one type bridge nf_call_ip6tables 0");
	lab_wait(lab, SOON_MS, is_not_ready, "veth1");
}

static void a_routed_veth_is_an_endpoint_and_a_link(void **state)
{
	struct lab *lab = *state;

	sh("ip netns add c1 && ip link add veth9 type veth peer name eth0 netns c1 && "
	   "ip addr add 10.9.0.1/32 dev veth9 && ip link set veth9 up && "
	   "ip -n c1 addr add 10.9.0.2/24 dev eth0 && ip -n c1 link set eth0 up");
	lab_start(lab);
	lab_wait(lab, SOON_MS, has_addr, (&(struct addr_at){"veth9", "10.9.0.2"}));
	assert_string_equal(lab_endpoint(lab, "veth9")->bridge, "");
	assert_true(lab_endpoint(lab, "veth9")->ready);
	assert_int_equal(lab->inventory->links.n_items, 1);
	assert_false(lab->inventory->links.items[0].bridge);
	assert_true(lab_has_addr(&lab->inventory->links.items[0].addrs, "10.9.0.1"));

	sh("ip route add default via 10.9.0.2 dev veth9 onlink");
	lab_wait(lab, SOON_MS, is_skipped, "veth9");
	assert_non_null(strstr(lab_uncovered(lab, "interface veth9"), "default route"));
	assert_null(lab_endpoint(lab, "veth9"));
	sh("ip route del default");
	lab_wait(lab, SOON_MS, is_endpoint, "veth9");
}

static void a_bridge_with_a_foreign_port_or_the_default_route_is_left_alone(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_endpoint, "veth1");

	sh("ip tuntap add dev uplink0 mode tap && ip link set uplink0 master br-one");
	lab_wait(lab, SOON_MS, is_skipped, "br-one");
	assert_true(lab_is_skipped(lab, "veth1"));
	assert_null(lab_endpoint(lab, "veth1"));
	assert_int_equal(lab->inventory->links.n_items, 0);
	assert_non_null(strstr(lab_uncovered(lab, "bridge br-one"), "port uplink0 is not a veth"));
	assert_null(lab_uncovered(lab, "interface veth1"));

	sh("ip link set uplink0 nomaster");
	lab_wait(lab, SOON_MS, is_endpoint, "veth1");
	sh("ip -6 addr add fd01::1/64 dev br-one nodad && ip -6 route add default via fd01::2");
	lab_wait(lab, SOON_MS, is_skipped, "br-one");
	assert_non_null(strstr(lab_uncovered(lab, "bridge br-one"), "default route"));
	sh("ip -6 route del default");
	lab_wait(lab, SOON_MS, is_endpoint, "veth1");
}

static bool has_two_addresses(const struct lab *lab, const void *name)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, name);

	return endpoint && endpoint->addrs.n_items == 2;
}

static bool has_one_address(const struct lab *lab, const void *name)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, name);

	return endpoint && endpoint->addrs.n_items == 1;
}

/* A container with rights over its own namespace takes no address from anybody elsewhere. */
static void an_address_that_leads_elsewhere_is_not_believed(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	sh("ip -n c1 link set eth0 addrgenmode none && "
	   "ip -n c1 addr flush dev eth0 && ip -n c1 addr add 10.1.0.2/24 dev eth0");
	lab_start(lab);
	lab_wait(lab, SOON_MS, has_one_address, "veth1");
	sh("ip -n c1 addr add 192.0.2.2/32 dev eth0");
	sh("ip -n c1 addr add 10.1.0.3/24 dev eth0");
	lab_wait(lab, SOON_MS, has_two_addresses, "veth1");
	assert_non_null(strstr(lab_uncovered(lab, "endpoint veth1"), "192.0.2.2"));

	/* The host's own routes decide, and are followed. */
	sh("ip -n c1 addr del 10.1.0.3/24 dev eth0");
	lab_wait(lab, SOON_MS, has_one_address, "veth1");
	sh("ip route add 192.0.2.2/32 dev br-one");
	lab_wait(lab, SOON_MS, has_two_addresses, "veth1");
	assert_null(lab_uncovered(lab, "endpoint veth1"));
	sh("ip route del 192.0.2.2/32 dev br-one");
	lab_wait(lab, SOON_MS, has_one_address, "veth1");
}

static void a_bridge_named_in_full_is_managed_whatever_it_carries(void **state)
{
	struct lab *lab = *state;

	make_bridge("lan0");
	make_container("c1", "veth1", "lan0", "02:42:0a:01:00:02", 2);
	sh("ip tuntap add dev uplink0 mode tap && ip link set uplink0 master lan0 && "
	   "ip route add default via 10.1.0.2");
	assert_int_equal(ms_vec_push(&lab->named, "lan0"), 0);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_endpoint, "veth1");
	assert_string_equal(lab->inventory->links.items[0].name, "lan0");
	assert_false(lab_is_skipped(lab, "lan0"));
}

static void a_young_veth_with_both_ends_here_is_not_skipped_before_five_seconds(void **state)
{
	struct lab *lab = *state;

	sh("ip link add veth7 type veth peer name veth8");
	lab_start(lab);
	lab_check(lab);
	assert_true(lab_is_skipped(lab, "veth7"));
	sh("ip link add veth5 type veth peer name veth6");
	lab_waits(lab, 500, is_skipped, "veth5");
	assert_false(lab_is_skipped(lab, "veth5"));
	uint64_t start_ms = ms_monotonic_ms();
	lab_wait(lab, 6000, is_skipped, "veth5");
	assert_in_range(ms_monotonic_ms() - start_ms, 4000, 5200);
}

/* Finds the subscribed socket from outside and leaves it no room. */
static void shrink_event_buffer(void)
{
	int n_found = 0;

	for (int fd = 3; fd < 64; fd++) {
		struct sockaddr_nl own = {0};
		socklen_t len = sizeof(own);
		int size = 1;

		if (getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
		    own.nl_family == AF_NETLINK && own.nl_groups) {
			assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)),
					 0);
			n_found++;
		}
	}
	assert_int_equal(n_found, 1);
}

static bool has_twenty(const struct lab *lab, const void *unused)
{
	(void)unused;
	return lab->inventory->endpoints.n_items == 20 && lab_endpoint(lab, "veth21") &&
	       lab_has_addr(&lab_endpoint(lab, "veth21")->addrs, "10.1.0.21") &&
	       strcmp(lab_endpoint(lab, "veth21")->name, "c21") == 0;
}

static void lost_events_lead_to_a_new_list(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_endpoint, "veth1");
	assert_null(ms_discover_source(lab->discover, 0).detail);
	shrink_event_buffer();
	sh("ip netns del c1");
	for (int i = 2; i <= 21; i++) {
		char netns[16], veth[16], mac[32];

		snprintf(netns, sizeof(netns), "c%d", i);
		snprintf(veth, sizeof(veth), "veth%d", i);
		snprintf(mac, sizeof(mac), "02:42:0a:01:01:%02x", i);
		make_container(netns, veth, "br-one", mac, i);
	}
	lab_wait(lab, 10000, has_twenty, NULL);
	/* The positive control: there was a gap to heal. */
	assert_int_equal(ms_discover_source(lab->discover, 0).state, MS_SOURCE_OK);
	assert_non_null(strstr(ms_discover_source(lab->discover, 0).detail, "events were lost"));
}

static void an_endpoint_has_a_limit_of_addresses(void **state)
{
	struct lab *lab = *state;

	make_bridge("br-one");
	make_container("c1", "veth1", "br-one", "02:42:0a:01:00:02", 2);
	sh("ip addr add 10.2.0.1/16 dev br-one");
	sh("for i in 1 2; do for j in $(seq 150); do echo addr add 10.2.$i.$j/32 dev eth0; done; done | "
	   "ip -n c1 -batch -");
	lab_start(lab);
	lab_check(lab);
	assert_int_equal(lab_endpoint(lab, "veth1")->addrs.n_items, 256);
	assert_non_null(strstr(lab_uncovered(lab, "endpoint c1"), "more addresses"));
}

static void an_interface_of_another_kind_that_matches_is_reported(void **state)
{
	struct lab *lab = *state;

	sh("ip tuntap add dev docker0 mode tap && ip tuntap add dev plain0 mode tap");
	lab_start(lab);
	lab_check(lab);
	assert_true(lab_is_skipped(lab, "docker0"));
	assert_non_null(strstr(lab_uncovered(lab, "interface docker0"), "but a tun"));
	assert_false(lab_is_skipped(lab, "plain0"));
	assert_null(lab_uncovered(lab, "interface plain0"));
}

static void without_capabilities_it_says_so(void **state)
{
	struct lab *lab = *state;

	(void)lab;
	int status = system("true");
	pid_t child = fork();
	if (child == 0) {
		struct ms_discover_options options = {.netns_dir = "/run/netns", .node = "lab"};
		static const ms_text_vec none = {0};
		struct ms_discover *discover;

		options.patterns = options.named = options.ignore = options.engines = &none;
		if (setuid(65534) < 0)
			_exit(100);
		_exit(ms_discover_new(ms_loop_new(), &options, &discover) == -EPERM ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define lab_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(an_endpoint_that_is_there_is_in_the_first_snapshot),
		lab_test(an_endpoint_comes_changes_and_goes_live),
		lab_test(a_changed_mac_is_seen),
		lab_test(a_renamed_veth_stays_the_same_endpoint),
		lab_test(a_far_end_that_moves_takes_its_endpoint_along),
		lab_test(a_mark_is_the_interfaces_own),
		lab_test(a_new_namespace_on_an_old_id_inherits_no_name),
		lab_test(a_name_given_late_is_found),
		lab_test(an_alias_labels_the_named_namespace),
		lab_test(a_port_is_ready_once_both_flags_are_seen),
		lab_test(a_routed_veth_is_an_endpoint_and_a_link),
		lab_test(a_bridge_with_a_foreign_port_or_the_default_route_is_left_alone),
		lab_test(an_address_that_leads_elsewhere_is_not_believed),
		lab_test(a_bridge_named_in_full_is_managed_whatever_it_carries),
		lab_test(a_young_veth_with_both_ends_here_is_not_skipped_before_five_seconds),
		lab_test(lost_events_lead_to_a_new_list),
		lab_test(an_endpoint_has_a_limit_of_addresses),
		lab_test(an_interface_of_another_kind_that_matches_is_reported),
		lab_test(without_capabilities_it_says_so),
	};

	lab_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
