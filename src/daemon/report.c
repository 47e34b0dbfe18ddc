/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/foreign.h"
#include "daemon/revoked.h"
#include "daemon/warnings.h"
#include "kernel/bridge.h"
#include "microseg/cleanup.h"

#define N_ENDPOINT_STATES (MS_ENDPOINT_IDENTIFIED + 1)

/* A text from outside may be no UTF-8: then it is escaped, which jansson takes. */
static json_t *text(const char *value)
{
	_cleanup_(ms_str_fini) struct ms_str safe = {0};
	json_t *json;

	if (!value)
		return json_null();
	json = json_string(value);
	if (json)
		return json;
	ms_str_add_safe(&safe, value);
	return json_string(safe.text ? safe.text : "");
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static void count_endpoints(const struct ms_inventory *inventory,
			    uint64_t counts[N_ENDPOINT_STATES])
{
	memset(counts, 0, N_ENDPOINT_STATES * sizeof(*counts));
	if (!inventory)
		return;
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
		counts[endpoint->state]++;
}

static json_t *report_counts(const struct ms_inventory *inventory)
{
	uint64_t counts[N_ENDPOINT_STATES];
	json_t *json = json_object();

	count_endpoints(inventory, counts);
	for (unsigned int state = 0; state < N_ENDPOINT_STATES; state++)
		json_object_set_new(json, ms_endpoint_state_name(state), integer(counts[state]));
	return json;
}

static uint64_t count_env(const struct ms_inventory *inventory, const char *env)
{
	uint64_t n = 0;

	if (!inventory)
		return 0;
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
		n += endpoint->env && strcmp(endpoint->env, env) == 0;
	return n;
}

static json_t *report_environments(const struct ms_daemon *daemon)
{
	json_t *json = json_array();

	if (!daemon->loaded)
		return json;
	ms_vec_each (struct ms_env, env, &daemon->loaded->policy->envs)
		json_array_append_new(json,
				      json_pack("{s:o, s:s, s:o}", "name", text(env->name), "mode",
						ms_mode_name(env->mode), "endpoints",
						integer(count_env(daemon->inventory, env->name))));
	return json;
}

static json_t *report_policy_state(const struct ms_daemon *daemon)
{
	const struct ms_loaded *loaded = daemon->loaded;
	char hash[17] = "";

	if (loaded)
		snprintf(hash, sizeof(hash), "%016" PRIx64, loaded->policy->hash);
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "hash", text(loaded ? hash : NULL), "files",
			 integer(loaded ? loaded->files.list.n_items : 0), "services",
			 integer(loaded ? loaded->policy->services.n_items : 0), "unidentified",
			 text(loaded ? ms_mode_name(loaded->policy->unidentified) : NULL),
			 "refused", text(daemon->policy_problem));
}

/* Who applied what is in force. Null where the history does not say. */
static json_t *report_applied(const struct ms_daemon *daemon)
{
	const struct ms_applied *by = &daemon->applied_by;

	if (!by->generation)
		return json_null();
	return json_pack("{s:o, s:o, s:s, s:s, s:o}", "generation", integer(by->generation), "time",
			 integer((uint64_t)by->time), "user", by->user, "via", by->via,
			 "rollback_of", integer(by->rollback_of));
}

static json_t *report_trial(const struct ms_daemon *daemon)
{
	const struct ms_trial *trial = &daemon->trial;
	uint64_t now_ms = ms_monotonic_ms();

	if (!trial->pending)
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "generation", integer(trial->generation), "until",
			 integer((uint64_t)trial->end), "seconds_left",
			 integer(trial->end_ms > now_ms ? (trial->end_ms - now_ms) / 1000 : 0));
}

static json_t *report_sources(const struct ms_daemon *daemon)
{
	json_t *json = json_array();

	for (size_t i = 0; i < ms_discover_n_sources(daemon->discover); i++) {
		struct ms_source_health health = ms_discover_source(daemon->discover, i);

		json_array_append_new(json, json_pack("{s:o, s:s, s:o}", "name", text(health.name),
						      "state", ms_source_state_name(health.state),
						      "detail", text(health.detail)));
	}
	return json;
}

/* Should it be enforced: by its environment, or by its service where that has a mode of its own? */
static bool is_enforced(const struct ms_daemon *daemon, const struct ms_uncovered *uncovered)
{
	const struct ms_policy *policy = daemon->loaded ? daemon->loaded->policy : NULL;

	if (!policy || !uncovered->env)
		return false;
	const struct ms_service *service =
		uncovered->service ? ms_policy_service(policy, uncovered->env, uncovered->service)
				   : NULL;
	const struct ms_env *env = ms_policy_env(policy, uncovered->env);
	return service ? service->mode == MS_MODE_ENFORCE : env && env->mode == MS_MODE_ENFORCE;
}

static json_t *report_uncovered(const struct ms_daemon *daemon)
{
	json_t *json = json_array();

	if (!daemon->inventory)
		return json;
	ms_vec_each (struct ms_uncovered, uncovered, &daemon->inventory->uncovered)
		json_array_append_new(
			json, json_pack("{s:o, s:o, s:o, s:o, s:b}", "what", text(uncovered->what),
					"reason", text(uncovered->reason), "env",
					text(uncovered->env), "service", text(uncovered->service),
					"enforced", is_enforced(daemon, uncovered)));
	return json;
}

/* Endpoints whose names contradict each other: they are closed, and somebody has to decide. */
static json_t *report_conflicts(const struct ms_inventory *inventory)
{
	json_t *json = json_array();

	if (!inventory)
		return json;
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
		if (endpoint->conflict)
			json_array_append_new(json, json_pack("{s:o, s:o, s:o}", "endpoint",
							      text(endpoint->name), "interface",
							      text(endpoint->interface), "why",
							      text(endpoint->why)));
	return json;
}

/* A module may come while we run. */
static json_t *report_kernel(const struct ms_kernel_features *features)
{
	return json_pack("{s:b, s:b, s:b, s:b}", "nf_tables", features->nf_tables, "owner_persist",
			 features->owner_persist, "bridge_netfilter", ms_bridge_netfilter_present(),
			 "set_element_comments", features->set_element_comments);
}

static json_t *report_counters(const struct ms_daemon *daemon)
{
	const struct ms_counters *counters = &daemon->counters;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "drift_repaired",
			 integer(counters->drift_repaired), "flags_repaired",
			 integer(counters->flags_repaired), "applies", integer(counters->applies),
			 "apply_failures", integer(counters->apply_failures), "connections_cut",
			 integer(counters->revoked), "events_lost",
			 integer(daemon->events ? ms_events_lost(daemon->events) : 0));
}

static json_t *report_problems(const struct ms_daemon *daemon)
{
	const char *problems[] = {
		daemon->problem,
		daemon->flags_problem,
		daemon->memory_problem,
		daemon->events ? ms_events_problem(daemon->events) : NULL,
		daemon->events ? ms_events_log_problem(daemon->events) : NULL,
		ms_exporter_problem(daemon->exporter),
	};
	json_t *json = json_array();

	for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
		if (problems[i])
			json_array_append_new(json, text(problems[i]));
	return json;
}

json_t *ms_report_status(const struct ms_daemon *daemon)
{
	bool memory_full = ms_revoked_is_full(daemon->kernel, daemon->installed);
	const struct {
		const char *key;
		json_t *value;
	} fields[] = {
		{"version", text(MS_VERSION)},
		{"pid", integer((uint64_t)getpid())},
		{"node", text(daemon->config->node)},
		{"nflog_group", integer(daemon->config->nflog_group)},
		{"max_connections", integer(daemon->config->max_connections)},
		{"state", text(ms_daemon_state_name(ms_daemon_state(daemon)))},
		{"armed", json_boolean(daemon->armed)},
		{"generation", integer(daemon->generation)},
		{"off_until",
		 daemon->off_until ? integer((uint64_t)daemon->off_until) : json_null()},
		{"trial", report_trial(daemon)},
		{"policy", report_policy_state(daemon)},
		{"applied", report_applied(daemon)},
		{"runtime", ms_overlay_entries(daemon->overlay, NULL, time(NULL))},
		{"environments", report_environments(daemon)},
		{"endpoints", report_counts(daemon->inventory)},
		{"sources", report_sources(daemon)},
		{"uncovered", report_uncovered(daemon)},
		{"conflicts", report_conflicts(daemon->inventory)},
		{"kernel", report_kernel(&daemon->features)},
		{"problems", report_problems(daemon)},
		{"cut_memory_full", json_boolean(memory_full)},
		{"warnings", ms_warnings(daemon->loaded ? daemon->loaded->policy : NULL,
					 daemon->inventory, memory_full)},
		{"counters", report_counters(daemon)},
	};
	json_t *json = json_object();
	bool failed = false;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		failed |= json_object_set_new(json, fields[i].key, fields[i].value) < 0;
	failed |= ms_foreign_report(daemon->kernel, daemon->loaded ? daemon->loaded->policy : NULL,
				    json) < 0;
	if (failed) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *report_workloads(const struct ms_endpoint *endpoint)
{
	json_t *json = json_array();

	ms_vec_each (struct ms_workload, workload, &endpoint->workloads)
		json_array_append_new(
			json, json_pack("{s:o, s:o, s:o, s:o}", "name", text(workload->name), "id",
					text(workload->id), "runtime", text(workload->runtime),
					"image", text(workload->image)));
	return json;
}

static json_t *report_addresses(const struct ms_endpoint *endpoint)
{
	json_t *json = json_array();
	char buffer[MS_ADDR_TEXT_SIZE];

	ms_vec_each (struct ms_addr, addr, &endpoint->addrs)
		json_array_append_new(json, json_string(ms_addr_format(addr, buffer)));
	return json;
}

/* Where nothing is enforced nobody readies a bridge, and nothing waits for it. */
static json_t *report_endpoint(const struct ms_daemon *daemon, const struct ms_endpoint *endpoint)
{
	bool ready = endpoint->ready || !daemon->installed;
	struct ms_tally_counts counts =
		daemon->events ? ms_tally_get(ms_events_tally(daemon->events), endpoint)
			       : (struct ms_tally_counts){0};
	char mac[MS_MAC_TEXT_SIZE];

	return json_pack(
		"{s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:b, s:o, s:o, s:o, s:o}", "name",
		text(endpoint->name), "identity", text(endpoint->identity), "state",
		ms_endpoint_state_name(endpoint->state), "why", text(endpoint->why), "interface",
		text(endpoint->interface), "bridge", text(endpoint->bridge), "network",
		text(endpoint->network), "mac", ms_mac_format(&endpoint->mac, mac), "addresses",
		report_addresses(endpoint), "ready", ready, "workloads", report_workloads(endpoint),
		"denied", integer(counts.denied), "audited", integer(counts.audited), "last_drop",
		counts.last_ms ? integer(counts.last_ms / 1000) : json_null());
}

json_t *ms_report_endpoints(const struct ms_daemon *daemon)
{
	json_t *json = json_array();

	if (!daemon->inventory)
		return json;
	ms_vec_each (struct ms_endpoint, endpoint, &daemon->inventory->endpoints)
		json_array_append_new(json, report_endpoint(daemon, endpoint));
	return json;
}

/* A label's value in Prometheus text: \, " and newline are escaped. */
static void add_label(struct ms_str *out, const char *name, const char *value, const char *end)
{
	_cleanup_(ms_str_fini) struct ms_str safe = {0};

	ms_str_add_safe(&safe, value); /* escapes the backslash and all control bytes */
	ms_str_addf(out, "%s=\"", name);
	for (const char *c = safe.text ? safe.text : ""; *c; c++) {
		if (*c == '"')
			ms_str_add_char(out, '\\');
		ms_str_add_char(out, *c);
	}
	ms_str_addf(out, "\"%s", end);
}

static void add_head(struct ms_str *out, const char *name, const char *type, const char *help)
{
	ms_str_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_metric(struct ms_str *out, const char *name, const char *type, const char *help,
		       uint64_t value)
{
	add_head(out, name, type, help);
	ms_str_addf(out, "%s %" PRIu64 "\n", name, value);
}

static void add_series(const struct ms_daemon *daemon, struct ms_str *out, enum ms_verdict verdict,
		       const char *name)
{
	const struct ms_events_series *series = NULL;
	size_t n_series = daemon->events ? ms_events_series(daemon->events, &series) : 0;

	for (size_t i = 0; i < n_series; i++) {
		if (series[i].verdict != verdict)
			continue;
		ms_str_addf(out, "%s{", name);
		add_label(out, "reason", ms_reason_name(series[i].reason), ",");
		add_label(out, "src", series[i].src, ",");
		add_label(out, "dst", series[i].dst, "}");
		ms_str_addf(out, " %" PRIu64 "\n", series[i].count);
	}
}

void ms_report_metrics(const struct ms_daemon *daemon, struct ms_str *out)
{
	const struct ms_counters *counters = &daemon->counters;
	uint64_t counts[N_ENDPOINT_STATES];

	add_head(out, "microseg_flows_denied_total", "counter",
		 "Refused packets that were logged.");
	add_series(daemon, out, MS_DENY, "microseg_flows_denied_total");
	add_head(out, "microseg_flows_audited_total", "counter",
		 "Packets that audit let pass and logged.");
	add_series(daemon, out, MS_AUDIT, "microseg_flows_audited_total");
	add_head(out, "microseg_endpoints", "gauge", "Endpoints by state.");
	count_endpoints(daemon->inventory, counts);
	for (unsigned int state = 0; state < N_ENDPOINT_STATES; state++)
		ms_str_addf(out, "microseg_endpoints{state=\"%s\"} %" PRIu64 "\n",
			    ms_endpoint_state_name(state), counts[state]);
	add_head(out, "microseg_apply_seconds", "summary", "Time from snapshot to commit.");
	ms_str_addf(out,
		    "microseg_apply_seconds_sum %.6f\nmicroseg_apply_seconds_count %" PRIu64 "\n",
		    (double)counters->apply_us_total / 1e6, counters->applies);
	add_metric(out, "microseg_generation", "gauge", "Number of the last commit.",
		   daemon->generation);
	add_metric(out, "microseg_drift_repaired_total", "counter",
		   "Foreign changes of our tables and flags undone.",
		   counters->drift_repaired + counters->flags_repaired);
	add_metric(out, "microseg_events_lost_total", "counter",
		   "Refused packets that no event tells of.",
		   daemon->events ? ms_events_lost(daemon->events) : 0);
	add_metric(out, "microseg_last_apply_success", "gauge", "1 when the last commit succeeded.",
		   !counters->last_apply_failed);
}
