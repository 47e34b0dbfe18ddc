/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover_lab.h"

#include <errno.h>
#include <net/if.h>

#include "kernel/bridge.h"

static void both_flags_are_set_and_read_back(void **state)
{
	static const struct {
		bool ip, ip6;
	} rows[] = {{true, true}, {true, false}, {false, true}, {false, false}};
	uint32_t ifindex = if_nametoindex("br-one");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool ip = !rows[i].ip, ip6 = !rows[i].ip6;

		assert_int_equal(ms_bridge_set_nf_call(ifindex, rows[i].ip, rows[i].ip6), 0);
		assert_int_equal(ms_bridge_get_nf_call(ifindex, &ip, &ip6), 0);
		assert_int_equal(ip, rows[i].ip);
		assert_int_equal(ip6, rows[i].ip6);
		/* A second voice. */
		sh("ip -d link show br-one | grep -q 'nf_call_iptables %d nf_call_ip6tables %d'",
		   rows[i].ip, rows[i].ip6);
	}
}

static void what_is_no_bridge_is_refused(void **state)
{
	bool ip, ip6;

	(void)state;
	assert_int_equal(ms_bridge_get_nf_call(99999, &ip, &ip6), -ENODEV);
	assert_int_equal(ms_bridge_set_nf_call(99999, true, true), -ENODEV);
	assert_int_equal(ms_bridge_get_nf_call(if_nametoindex("veth1"), &ip, &ip6), -ENODEV);
	assert_int_equal(ms_bridge_set_nf_call(if_nametoindex("veth1"), true, true), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_flags_are_set_and_read_back),
		cmocka_unit_test(what_is_no_bridge_is_refused),
	};

	lab_enter();
	if (access("/proc/sys/net/bridge/bridge-nf-call-iptables", F_OK) != 0) {
		fprintf(stderr, "skipped: needs br_netfilter\n");
		return LAB_SKIP;
	}
	sh("ip link add br-one type bridge; ip link add veth1 type veth peer name veth2");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
