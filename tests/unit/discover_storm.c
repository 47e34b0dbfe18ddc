/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What discovery makes of events must be what a list of everything says: after a storm that its
 * buffer does not hold, after any sequence of changes, after lists that changes interrupt, and
 * where no event told at all. The full list is a second discovery, started on what is there.
 *
 * MS_STORM=N asks for N events of the storm, MS_ROUNDS=N for N rounds of random changes.
 */
#include "discover_lab.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <sys/socket.h>

#include "discover/links.h"
#include "discover/list.h"

#define SOON_MS 10000
#define N_CONTAINERS 6

static long from_environment(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 10) : otherwise;
}

static int set_up(void **state)
{
	sh("mkdir -p /run/netns; ip link set lo up; for b in br-one br-two; do "
	   "ip link add $b address 02:42:00:00:00:01 type bridge && ip link set $b up || exit 1; done");
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

/* Everything that a snapshot says but its revision. */
static void print_inventory(const struct ms_inventory *inventory, struct ms_str *out)
{
	ms_inventory_print(inventory, out);
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
		ms_str_addf(out, "%s is %u, ready %d\n", endpoint->interface, endpoint->ifindex,
			    endpoint->ready);
	ms_vec_each (struct ms_managed_link, link, &inventory->links)
		ms_str_addf(out, "link %s\n", link->name);
	ms_vec_each (struct ms_uncovered, uncovered, &inventory->uncovered)
		ms_str_addf(out, "%s: %s\n", uncovered->what, uncovered->reason);
}

/* What a discovery that starts now finds. */
static void print_fresh(const struct lab *lab, struct ms_str *out)
{
	struct lab fresh = {0};

	ms_vec_each (const char *, pattern, &lab->patterns)
		assert_int_equal(ms_vec_push(&fresh.patterns, *pattern), 0);
	lab_start(&fresh);
	lab_check(&fresh);
	print_inventory(fresh.inventory, out);
	lab_stop(&fresh);
}

/* Does what it knows from events equal what a new list finds? */
static bool equals_fresh(const struct lab *lab, const void *unused)
{
	struct ms_str known = {0}, fresh = {0};

	(void)unused;
	print_inventory(lab->inventory, &known);
	print_fresh(lab, &fresh);
	bool equal = strcmp(known.text, fresh.text) == 0;
	ms_str_fini(&known);
	ms_str_fini(&fresh);
	return equal;
}

static void assert_equals_fresh(struct lab *lab)
{
	struct ms_str known = {0}, fresh = {0};

	if (lab_waits(lab, SOON_MS, equals_fresh, NULL))
		return;
	print_inventory(lab->inventory, &known);
	print_fresh(lab, &fresh);
	fail_msg("known from events:\n%s\nfound by a list:\n%s", known.text, fresh.text);
}

/* Runs a shell command beside the loop, in a group of its own: end_shell() ends all of it. */
static pid_t start_shell(const char *command)
{
	pid_t pid = fork();

	if (pid > 0)
		setpgid(pid, pid); /* whoever comes first */
	if (pid == 0) {
		setpgid(0, 0);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void end_shell(pid_t pid)
{
	kill(-pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static bool has_ended(const struct lab *lab, const void *pid)
{
	(void)lab;
	return waitpid(*(const pid_t *)pid, NULL, WNOHANG) != 0;
}

/* Turns the loop until @pid has ended, whether anything is reported meanwhile or not. */
static void run_beside(struct lab *lab, pid_t pid)
{
	for (int i = 0; i < 6000; i++)
		if (lab_waits(lab, 20, has_ended, &pid))
			return;
	end_shell(pid);
	fail_msg("the changes do not end");
}

/* The socket of events, found from outside. */
static int event_socket(void)
{
	for (int fd = 3; fd < 64; fd++) {
		struct sockaddr_nl own = {0};
		socklen_t len = sizeof(own);

		if (getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
		    own.nl_family == AF_NETLINK && own.nl_groups)
			return fd;
	}
	fail_msg("no socket of events");
	return -1;
}

static void make_containers(void)
{
	for (int i = 0; i < N_CONTAINERS; i++)
		sh("ip netns add c%d && ip link add veth%d type veth peer name eth0 address 02:42:0a:01:00:%02x netns c%d && "
		   "ip link set veth%d master br-one up && ip -n c%d addr add 10.1.0.%d/24 dev eth0 && "
		   "ip -n c%d link set eth0 up",
		   i, i, (unsigned int)i, i, i, i, i + 10, i);
}

static unsigned long n_gaps(const struct lab *lab)
{
	const char *detail = ms_discover_source(lab->discover, 0).detail;
	unsigned long n = 0;

	if (detail)
		sscanf(detail, "events were lost %lu times", &n);
	return n;
}

static void a_storm_that_no_buffer_holds_ends_in_what_the_kernel_has(void **state)
{
	struct lab *lab = *state;
	long n = from_environment("MS_STORM", 10000);
	char command[1024];
	int size = 1;

	make_containers();
	lab_start(lab);
	assert_int_equal(setsockopt(event_socket(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	/* One change is one event or more. What is there at the end was there at no time before. */
	snprintf(
		command, sizeof(command),
		"i=0; while [ $i -lt %ld ]; do v=veth$((i %% %d)); "
		"echo link set $v alias io.microseg.env=e$i; echo link set $v down; "
		"echo link set $v master br-$([ $((i %% 3)) = 0 ] && echo two || echo one) up; "
		"echo addr add 10.9.$((i / 250 %% 250)).$((i %% 250))/32 dev br-one; i=$((i + 4)); "
		"done | ip -batch -; ip link set veth0 alias last; ip link del veth1; "
		"ip link set veth2 down; ip link set veth2 name vethrenamed; ip link set vethrenamed up",
		n, N_CONTAINERS);
	run_beside(lab, start_shell(command));
	assert_equals_fresh(lab);
	assert_null(lab_endpoint(lab, "veth1"));
	assert_non_null(lab_endpoint(lab, "vethrenamed"));
	print_message("%ld events, lost %lu times\n", n, n_gaps(lab));
	assert_true(n_gaps(lab) >= (unsigned long)n / 100);
	assert_int_equal(ms_discover_source(lab->discover, 0).state, MS_SOURCE_OK);
}

/* One random change, as a line for the shell. Some make no sense at the moment: they fail. */
static void add_change(struct ms_str *out, int dice)
{
	static const char *const changes[] = {
		"ip netns add c%d",
		"ip netns del c%d",
		"ip link add veth%d type veth peer name eth0 netns c%d",
		"ip link add veth%d type veth peer name eth0 netns c%d",
		"ip link del veth%d",
		"ip link set veth%d master br-one up",
		"ip link set veth%d master br-one up",
		"ip link set veth%d master br-two up",
		"ip link set veth%d nomaster",
		"ip link set veth%d down",
		"ip link set veth%d alias 'io.microseg.env=prod io.microseg.service=s%d'",
		"ip link set veth%d name vethx%d",
		"ip link set vethx%d name veth%d",
		"ip -n c%d addr add 10.1.0.%d/24 dev eth0",
		"ip -n c%d addr flush dev eth0",
		"ip -n c%d link set eth0 up",
		"ip -n c%d link set eth0 down",
		"ip -n c%d link set eth0 address 02:42:0a:01:01:%02x",
		"ip -n c%d link set eth0 netns c%d",
		"ip -n c%d link set eth0 name eth%d",
		"ip addr add 10.2.0.%d/24 dev br-one",
		"ip addr del 10.2.0.%d/24 dev br-one",
		"ip link set br-two type bridge nf_call_iptables %d nf_call_ip6tables %d",
		"ip route replace default dev br-two metric %d",
		"ip route del default dev br-two",
		"ip tuntap add tap%d mode tap && ip link set tap%d master br-two",
		"ip link del tap%d",
	};
	int which = dice % (int)(sizeof(changes) / sizeof(changes[0]));
	int a = rand() % N_CONTAINERS, b = rand() % 2 ? a : rand() % N_CONTAINERS;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	ms_str_addf(out, changes[which], a, b);
#pragma GCC diagnostic pop
	ms_str_add(out, " 2>/dev/null\n");
}

static void events_lead_where_a_full_list_leads(void **state)
{
	struct lab *lab = *state;
	long n_rounds = from_environment("MS_ROUNDS", 15), seed = from_environment("MS_SEED", 1);

	srand((unsigned int)seed);
	make_containers();
	lab_start(lab);
	for (long round = 0; round < n_rounds; round++) {
		struct ms_str changes = {0};

		for (int i = 0; i < 20; i++)
			add_change(&changes, rand());
		run_beside(lab, start_shell(changes.text));
		assert_equals_fresh(lab);
		ms_str_fini(&changes);
	}
	print_message("%ld rounds of 20 changes, seed %ld\n", n_rounds, seed);
}

static void a_slow_list_finds_what_no_event_told(void **state)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
				     RTNLGRP_NSID};
	struct lab *lab = *state;

	make_containers();
	lab->relist_ms = 700;
	lab_start(lab);
	int fd = event_socket();
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		assert_int_equal(setsockopt(fd, SOL_NETLINK, NETLINK_DROP_MEMBERSHIP, &groups[i],
					    sizeof(groups[i])),
				 0);
	sh("ip link del veth1; ip link set veth2 alias io.microseg.env=dev; "
	   "ip -n c3 addr add 10.1.0.99/24 dev eth0");
	lab_check(lab);
	assert_non_null(lab_endpoint(lab, "veth1")); /* nobody told */
	assert_equals_fresh(lab);
	assert_null(lab_endpoint(lab, "veth1"));
	assert_true(lab_has_addr(&lab_endpoint(lab, "veth3")->addrs, "10.1.0.99"));
}

static size_t n_stable(const struct ms_links *links)
{
	size_t n = 0;

	ms_vec_each (struct ms_link *, link, &links->list)
		n += strncmp((*link)->view.name, "stable", 6) == 0;
	return n;
}

/* Links come and go while everything is listed. A list that this interrupted is told apart; every
 * other one has all the links that were there all the time. */
static void an_interrupted_list_is_not_taken_for_a_whole_one(void **state)
{
	enum { N_STABLE = 60, N_LISTS = 400 };
	struct ms_links links = {0};
	struct ms_rtnl *rtnl;
	int n_interrupted = 0, n_whole = 0;
	bool changed;

	(void)state;
	sh("i=0; while [ $i -lt %d ]; do echo link add stable$i type bridge; i=$((i + 1)); done | ip -batch -",
	   N_STABLE);
	assert_int_equal(ms_rtnl_open(&rtnl), 0);
	pid_t pid = start_shell(
		"while :; do i=0; while [ $i -lt 500 ]; do echo link add name moving$i type bridge; "
		"echo link del moving$i; i=$((i + 1)); done; done | ip -force -batch - 2>/dev/null");
	for (int i = 0; i < N_LISTS * 50 && (i < N_LISTS || !n_interrupted || !n_whole); i++) {
		int r = ms_list_links(rtnl, &links, (uint64_t)i + 1, 0, false, &changed);

		if (r == -EINTR) {
			n_interrupted++;
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(n_stable(&links), N_STABLE);
		n_whole++;
	}
	end_shell(pid);
	print_message("%d lists whole, %d interrupted\n", n_whole, n_interrupted);
	assert_true(n_interrupted > 0 && n_whole > 0);
	ms_links_fini(&links);
	ms_rtnl_free(rtnl);
}

#define lab_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(a_storm_that_no_buffer_holds_ends_in_what_the_kernel_has),
		lab_test(events_lead_where_a_full_list_leads),
		lab_test(a_slow_list_finds_what_no_event_told),
		lab_test(an_interrupted_list_is_not_taken_for_a_whole_one),
	};

	lab_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
