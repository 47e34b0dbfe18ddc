/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plan: which of the connections of now a policy would cut. The same code judges them that cuts
 * them after a commit.
 */
#pragma once

#include <jansson.h>

#include "daemon/daemon.h"

#define MS_PLAN_MAX 200 /* lines; the connections that no line tells of are counted */

/**
 * @ret_plan: {"connections": number, "cut": [{"src", "dst", "port", "connections", "example":
 * {"src", "dst"}}]}, the most connections first. Returns 0 or -errno.
 */
int ms_plan_cuts(const struct ms_daemon *daemon, const struct ms_policy *policy, json_t **ret_plan);
