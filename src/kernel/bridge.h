/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bridge: the per-bridge netfilter flags that bring same-bridge traffic to the inet tables
 * (IFLA_BR_NF_CALL_IPTABLES, _IP6TABLES), and whether it learns from frames to its own groups. Set
 * by RTM_NEWLINK, never through sysfs or the global sysctl.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** Is br_netfilter there, in the kernel or as a module that was loaded? */
bool ms_bridge_netfilter_present(void);

/** Reads both flags of a bridge. Returns 0; -ENODEV; -EOPNOTSUPP where br_netfilter is absent;
 * -errno. */
int ms_bridge_get_nf_call(uint32_t ifindex, bool *ret_ip, bool *ret_ip6);
/** Sets both flags. Returns as above. */
int ms_bridge_set_nf_call(uint32_t ifindex, bool ip, bool ip6);
/**
 * Sets BR_BOOLOPT_NO_LL_LEARN: frames to 01:80:c2:00:00:0x pass no hook of the bridge before it
 * learns their sender's MAC. Returns 0 or -errno. A kernel before 5.0 ignores it.
 */
int ms_bridge_set_no_ll_learn(uint32_t ifindex, bool on);
