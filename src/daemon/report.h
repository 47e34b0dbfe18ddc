/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Report: what the daemon says about itself. Nothing here changes anything. The JSON belongs to the
 * caller; NULL without memory.
 */
#pragma once

#include <jansson.h>

#include "daemon/daemon.h"

json_t *ms_report_status(const struct ms_daemon *daemon);
json_t *ms_report_endpoints(const struct ms_daemon *daemon);
/** {"since", "services": [{"service", "mode", "endpoints", "grants": […]}]}, with the counters of
 * now.
 */
json_t *ms_report_services(struct ms_daemon *daemon);
/** Appends the metrics in Prometheus text format. */
void ms_report_metrics(const struct ms_daemon *daemon, struct ms_str *out);
