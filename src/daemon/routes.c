/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/routes.h"

#include <event2/http.h>

#include "daemon/control_private.h"
#include "daemon/drops.h"
#include "daemon/orders.h"
#include "daemon/reply.h"
#include "daemon/report.h"
#include "microseg/cleanup.h"

static void get_status(struct ms_control *control, struct evhttp_request *request)
{
	ms_reply_json(request, HTTP_OK, ms_report_status(control->daemon));
}

static void get_endpoints(struct ms_control *control, struct evhttp_request *request)
{
	ms_reply_json(request, HTTP_OK, ms_report_endpoints(control->daemon));
}

static void get_services(struct ms_control *control, struct evhttp_request *request)
{
	ms_reply_json(request, HTTP_OK, ms_report_services(control->daemon));
}

static void get_inventory(struct ms_control *control, struct evhttp_request *request)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (!control->daemon->inventory) {
		ms_reply_error(request, HTTP_SERVUNAVAIL,
			       "microsegd is starting and has no inventory yet", NULL);
		return;
	}
	ms_inventory_print(control->daemon->inventory, &text);
	ms_reply(request, HTTP_OK, "application/yaml", text.text ? text.text : "", text.len);
}

static void get_metrics(struct ms_control *control, struct evhttp_request *request)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	ms_report_metrics(control->daemon, &text);
	ms_reply(request, HTTP_OK, "text/plain; version=0.0.4", text.text ? text.text : "",
		 text.len);
}

static void get_drops(struct ms_control *control, struct evhttp_request *request)
{
	ms_drops_get(control->drops, request);
}

static void get_routes(struct ms_control *control, struct evhttp_request *request);

/* clang-format off */
#define FIELDS (const struct ms_api_field[])
#define RUNTIME(prefix) \
	{prefix "kind", "text", "grant, relax or quarantine"}, \
	{prefix "id", "text", "what removes it"}, \
	{prefix "since", "time", "when it was added"}, \
	{prefix "until", "number", "its end as UNIX seconds; 0: none"}, \
	{prefix "user", "text", "who added it"}, \
	{prefix "reason", "text", "why"}, \
	{prefix "from", "text, absent where it is no grant", "the source"}, \
	{prefix "to", "text, absent where it is no grant", "the destination"}, \
	{prefix "ports", "text, absent where it is no grant", "as in a policy: tcp/5432, or a name"}, \
	{prefix "of", "text, absent where it is a grant", "the environment, service or endpoint"}
#define APPLIED \
	{"state", "text", "as in /v1/status"}, \
	{"generation", "number", "of the change that brought it; of a policy the history has it"}, \
	{"trial", "object or null", "what waits to be confirmed"}, \
	{"trial.generation", "number", "which policy"}, \
	{"trial.until", "time", "when it gives way"}
#define FILES \
	{"files", "list, absent where generation is there", "the policy, as it would lie below -p"}, \
	{"files[].name", "text", "path relative to the policy's directory"}, \
	{"files[].text", "text", "what the file says"}
#define SECONDS(name, absent) {name, "number" absent, "seconds"}
#define OFF {"off", "boolean", "whether it is off now"}, {"until", "number", "UNIX seconds when it comes back; 0: no end"}

const struct ms_api_field ms_api_error[] = {
	{"error", "text", "one sentence: what is wrong, and mostly what to do"},
	{"diagnostics", "text, absent where there are none", "errors of a policy with file, line, column and the offending line"},
	{0},
};

#define END_OF_FLOW(end, what) \
	{end, "object", what}, \
	{end ".identity", "text or null", "env/service, host, net, unidentified, or a node"}, \
	{end ".endpoint", "text or null", "the container's name"}, \
	{end ".ip", "text or null", "its address"}, \
	{end ".port", "number or null", "of tcp, udp and sctp"}, \
	{end ".mac", "text or null", "where the frame had one"}, \
	{end ".interface", "text or null", "through which it came or would leave"}

const struct ms_api_field ms_api_event[] = {
	{"time", "text", "RFC 3339, UTC, milliseconds"},
	{"verdict", "text", "denied or audited"},
	{"reason", "text", "spoof, unknown-port, ethertype, quarantine, limit, never, invalid, unidentified, fence or no-grant"},
	{"count", "number", "identical packets folded into this line"},
	{"proto", "text", "tcp, udp, sctp, icmp, icmp6, arp, a number, or 0x… of an ethertype"},
	{"dport", "number or null", "the container's own port"},
	{"icmp_type", "number or null", "of icmp and icmp6"},
	END_OF_FLOW("src", "who sent it"),
	END_OF_FLOW("dst", "to whom"),
	{"policy", "object or null", "the line that decided, where one did"},
	{"policy.file", "text", ""},
	{"policy.line", "number", ""},
	{"nearest", "text or null", "one sentence: what would have to be written where"},
	{"node", "text or null", "of the configuration"},
	{"generation", "number", "that was in force"},
	{"tracked", "boolean, absent where it is false", "the connection was open before arming"},
	{0},
};

const struct ms_api_field ms_api_lost[] = {
	{"time", "text", "RFC 3339, UTC, milliseconds"},
	{"lost", "number", "refused packets that no line tells of"},
	{"node", "text", "of the configuration"},
	{"generation", "number", "that was in force"},
	{0},
};

const struct ms_api_code ms_api_codes[] = {
	{400, "what was sent cannot be understood: no JSON object, a missing or mistyped parameter, an unknown reason"},
	{403, "reading is for root and the socket's group, changing for root"},
	{404, "no such path, generation or entry"},
	{405, "the path is there, the method is not"},
	{409, "not now: a policy waits to be confirmed, another one is being applied, the node is off, or no policy is in force"},
	{413, "the body is too large"},
	{422, "the policy or the entry has errors: diagnostics has them; nothing was changed"},
	{500, "it could not be done: the kernel refused, the disk is full; error says which, and what was there stays in force"},
	{503, "too many connections or followers, or the daemon is only starting: try again"},
	{0},
};

const struct ms_route ms_routes[] = {
	{EVHTTP_REQ_GET, "/v1", get_routes, false, "what is answered here", NULL, FIELDS {
		{"[].method", "text", "GET or POST"},
		{"[].path", "text", ""},
		{"[].changes", "boolean", "for root alone"},
		{"[].gives", "text", "what is answered"},
		{"[].takes[].name", "text", "of a parameter"},
		{"[].takes[].type", "text", "text, number, boolean, time, list or object"},
		{"[].takes[].means", "text", ""},
		{"[].fields[].name", "text", "of a field of the answer"},
		{"[].fields[].type", "text", "as above; \"or null\" and \"absent where\" say when it has no value"},
		{"[].fields[].means", "text", ""},
		{0}}},
	{EVHTTP_REQ_GET, "/v1/status", get_status, false, "what microseg status shows", NULL, FIELDS {
		{"version", "text", "of microsegd"},
		{"pid", "number", "of microsegd"},
		{"node", "text", "of the configuration"},
		{"nflog_group", "number", "through which the kernel tells of refused packets"},
		{"max_connections", "number", "limits.connections of the configuration"},
		{"state", "text", "starting, observing, enforcing, degraded, off or stopping"},
		{"armed", "boolean", "whether a policy was ever applied"},
		{"generation", "number", "of the last change in the kernel; 0: none"},
		{"off_until", "time or null", "when off ends by itself"},
		{"trial", "object or null", "a policy that waits to be confirmed"},
		{"trial.generation", "number", ""},
		{"trial.until", "time", "when it gives way"},
		{"trial.seconds_left", "number", ""},
		{"policy.hash", "text or null", "of the policy in force"},
		{"policy.files", "number", "of which it was read"},
		{"policy.services", "number", "with a document, in each environment"},
		{"policy.unidentified", "text or null", "mode of endpoints without identity"},
		{"policy.refused", "text or null", "why the last policy was not taken"},
		{"applied", "object or null", "who applied what is in force"},
		{"applied.generation", "number", "as the history has it"},
		{"applied.time", "time", ""},
		{"applied.user", "text", "who logged in before sudo"},
		{"applied.via", "text", "apply, rollback, start (-p) or SIGHUP"},
		{"applied.rollback_of", "number", "a generation; 0: it was no rollback"},
		{"runtime", "list", "as /v1/runtime has it"},
		RUNTIME("runtime[]."),
		{"environments[].name", "text", ""},
		{"environments[].mode", "text", "enforce or audit"},
		{"environments[].endpoints", "number", "that are in it"},
		{"endpoints.identified", "number", ""},
		{"endpoints.unidentified", "number", ""},
		{"endpoints.pending", "number", "whose source of names has not answered yet"},
		{"sources[].name", "text", "netlink, or an engine's socket"},
		{"sources[].state", "text", "starting, ok, absent or failed"},
		{"sources[].detail", "text or null", "the engine's version, or what is wrong"},
		{"uncovered[].what", "text", "a container or interface that no rule matches"},
		{"uncovered[].reason", "text", ""},
		{"uncovered[].env", "text or null", "its environment by its labels"},
		{"uncovered[].service", "text or null", ""},
		{"uncovered[].enforced", "boolean", "whether its environment enforces"},
		{"conflicts[].endpoint", "text", "its name"},
		{"conflicts[].interface", "text", ""},
		{"conflicts[].why", "text", "what contradicts what"},
		{"kernel.nf_tables", "boolean", ""},
		{"kernel.owner_persist", "boolean", "tables have an owner and outlive it (Linux 6.9)"},
		{"kernel.bridge_netfilter", "boolean", "br_netfilter is there"},
		{"kernel.set_element_comments", "boolean", ""},
		{"problems[]", "text", "what does not work, a sentence each"},
		{"cut_memory_full", "boolean", "more connections were cut than can be remembered: none is taken up midway"},
		{"warnings[]", "text", "what works, and may surprise"},
		{"foreign_chains[].family", "text", "ip, ip6, inet or bridge"},
		{"foreign_chains[].table", "text", "whose chain drops what it does not accept, and meets what the policy allows"},
		{"foreign_chains[].chain", "text", ""},
		{"foreign_chains[].hook", "text", ""},
		{"foreign_chains[].priority", "number", ""},
		{"foreign_chains[].engine", "boolean", "a container engine made it"},
		{"foreign_rules[].family", "text", "ip, ip6, inet or bridge"},
		{"foreign_rules[].table", "text", "whose chain has rules that drop what they ask for; an engine's are left out"},
		{"foreign_rules[].chain", "text", ""},
		{"foreign_rules[].hook", "text", ""},
		{"foreign_rules[].priority", "number", ""},
		{"foreign_rules[].engine", "boolean", "always false"},
		{"foreign_rules[].unread", "boolean", "it has too many rules to look at"},
		{"legacy_tables[]", "text", "ip filter: tables of the iptables that are no part of nf_tables, and not looked into"},
		{"counters.drift_repaired", "number", "foreign changes of our tables undone"},
		{"counters.flags_repaired", "number", "foreign changes of bridge settings, and of groups of ports, undone"},
		{"counters.applies", "number", "transactions in the kernel"},
		{"counters.apply_failures", "number", ""},
		{"counters.connections_cut", "number", "that a change no longer allowed"},
		{"counters.events_lost", "number", "refused packets that no event tells of"},
		{0}}},
	{EVHTTP_REQ_GET, "/v1/endpoints", get_endpoints, false, "the endpoints", NULL, FIELDS {
		{"[].name", "text", "the container's, or the interface's"},
		{"[].identity", "text or null", "env/service"},
		{"[].state", "text", "identified, unidentified or pending"},
		{"[].why", "text or null", "why it has no identity"},
		{"[].interface", "text or null", "the host's end"},
		{"[].bridge", "text or null", "null: routed"},
		{"[].network", "text or null", "the engine's name for it"},
		{"[].mac", "text", ""},
		{"[].addresses[]", "text", ""},
		{"[].ready", "boolean", "whether its bridge shows us its traffic; until then it is closed"},
		{"[].workloads[].name", "text or null", "containers that share it"},
		{"[].workloads[].id", "text or null", ""},
		{"[].workloads[].runtime", "text or null", "docker or podman"},
		{"[].workloads[].image", "text or null", ""},
		{"[].denied", "number", "refused packets it sent or was to get"},
		{"[].audited", "number", "those that passed because of audit"},
		{"[].last_drop", "time or null", "of the last of both"},
		{0}}},
	{EVHTTP_REQ_GET, "/v1/services", get_services, false, "the services with their grants", NULL, FIELDS {
		{"since", "time or null", "since when hits are counted"},
		{"services[].service", "text", "env/service"},
		{"services[].mode", "text", "enforce or audit"},
		{"services[].endpoints", "number", "that run"},
		{"services[].grants[].kind", "text", "allow, needs or exception"},
		{"services[].grants[].text", "text", "as the policy has it"},
		{"services[].grants[].policy.file", "text", ""},
		{"services[].grants[].policy.line", "number", ""},
		{"services[].grants[].hits", "number or null", "new connections; null: counted elsewhere or not at all"},
		{"services[].grants[].last_hit", "time or null", ""},
		{0}}},
	{EVHTTP_REQ_GET, "/v1/drops", get_drops, false, "events as JSON lines, oldest first", FIELDS {
		{"since", "number", "only later ones: UNIX milliseconds"},
		{"reason", "text", "only of this reason"},
		{"service", "text", "only with this one at either end: env/service, a service, or another identity"},
		{"last", "number", "only so many"},
		{"follow", "1", "goes on with what comes; an empty line each 15 s says that nothing does"},
		{0}}, NULL},
	{EVHTTP_REQ_GET, "/v1/inventory", get_inventory, false, "the node as an Inventory document (YAML), for -i", NULL, NULL},
	{EVHTTP_REQ_GET, "/v1/policy", ms_orders_policy, false, "a policy as it was applied", FIELDS {
		{"generation", "number, absent where it is the one in force", "one of the history"},
		{0}}, FIELDS {
		{"generation", "number", ""},
		{"files[].name", "text", ""},
		{"files[].text", "text", ""},
		{"runtime", "text", "what commands added, as YAML"},
		{0}}},
	{EVHTTP_REQ_GET, "/v1/history", ms_orders_history, false, "what was applied, oldest first", NULL, FIELDS {
		{"[].generation", "number", ""},
		{"[].state", "text", "applied, trial or undone"},
		{"[].readable", "boolean", "false: its record is torn, and has no more fields than in_force"},
		{"[].in_force", "boolean", ""},
		{"[].time", "time, absent where it is not readable", ""},
		{"[].uid", "number, absent where it is not readable", "who logged in before sudo"},
		{"[].user", "text, absent where it is not readable", ""},
		{"[].via", "text, absent where it is not readable", "as in /v1/status"},
		{"[].rollback_of", "number, absent where it is not readable", "0: it was none"},
		{"[].hash", "text, absent where it is not readable", ""},
		{"[].files", "number, absent where it is not readable", ""},
		{0}}},
	{EVHTTP_REQ_GET, "/v1/runtime", ms_orders_runtime, false, "what grant, relax and quarantine added", NULL, FIELDS {
		RUNTIME("[]."),
		{0}}},
	{EVHTTP_REQ_GET, "/metrics", get_metrics, false, "metrics in Prometheus' text format", NULL, NULL},
	{EVHTTP_REQ_POST, "/v1/plan", ms_orders_plan, false, "the open connections that a policy would cut", FIELDS {
		FILES,
		{"generation", "number, absent where files are there", "one of the history; with neither, the one that a rollback goes to"},
		{0}}, FIELDS {
		{"generation", "number", "0: of files"},
		{"connections", "number", "how many"},
		{"cut[].src", "text", "identity, most connections first"},
		{"cut[].dst", "text", ""},
		{"cut[].port", "text", "tcp/5432"},
		{"cut[].connections", "number", ""},
		{"cut[].example.src", "text", "an address"},
		{"cut[].example.dst", "text", ""},
		{0}}},
	{EVHTTP_REQ_POST, "/v1/apply", ms_orders_apply, true, "once it is in force or refused", FIELDS {
		FILES,
		SECONDS("confirm", ", absent where it is no trial"),
		{0}}, FIELDS {
		APPLIED,
		{"diagnostics", "text", "warnings"},
		{"rollback_of", "number", "0: it is none"},
		{0}}},
	{EVHTTP_REQ_POST, "/v1/confirm", ms_orders_confirm, true, "which policy stays", NULL, FIELDS {
		{"generation", "number", ""},
		{0}}},
	{EVHTTP_REQ_POST, "/v1/rollback", ms_orders_rollback, true, "once it is in force or refused", FIELDS {
		{"generation", "number, absent where a trial ends or the one before comes back", "one of the history"},
		SECONDS("confirm", ", absent where it is no trial"),
		{0}}, FIELDS {
		{"undone", "number, absent where no trial was ended", "its generation; then nothing else is answered"},
		{"state", "text, absent where a trial was ended", "as in /v1/status"},
		{"generation", "number, absent where a trial was ended", ""},
		{"trial", "object or null, absent where a trial was ended", "what waits to be confirmed"},
		{"trial.generation", "number", "which policy"},
		{"trial.until", "time", "when it gives way"},
		{"diagnostics", "text, absent where a trial was ended", "warnings"},
		{"rollback_of", "number, absent where a trial was ended", ""},
		{0}}},
	{EVHTTP_REQ_POST, "/v1/runtime/add", ms_orders_runtime_add, true, "once it is in force or refused", FIELDS {
		{"kind", "text", "grant, relax or quarantine"},
		{"from", "text, absent where it is no grant", ""},
		{"to", "text, absent where it is no grant", ""},
		{"ports", "text, absent where it is no grant", "tcp/5432, or a name of the provider's"},
		{"of", "text, absent where it is a grant", "environment, service or endpoint"},
		SECONDS("for", ", absent where it is a quarantine"),
		{"reason", "text, absent where it is a quarantine", ""},
		{0}}, FIELDS {
		APPLIED,
		{"id", "text", "what removes it"},
		{"entry", "object", "as /v1/runtime has it, without its id"},
		{0}}},
	{EVHTTP_REQ_POST, "/v1/runtime/remove", ms_orders_runtime_remove, true, "once it is in force or refused", FIELDS {
		{"kind", "text", "grant, relax or quarantine"},
		{"what", "text", "its id, or whom it is of"},
		{0}}, FIELDS {
		APPLIED,
		{"removed", "number", "how many"},
		{0}}},
	{EVHTTP_REQ_POST, "/v1/off", ms_orders_off, true, "our tables and settings go", FIELDS {
		SECONDS("for", ", absent where there is no end"),
		{0}}, FIELDS {OFF, {0}}},
	{EVHTTP_REQ_POST, "/v1/on", ms_orders_on, true, "and come back", NULL, FIELDS {OFF, {0}}},
};
/* clang-format on */

const size_t ms_n_routes = sizeof(ms_routes) / sizeof(ms_routes[0]);

const char *ms_route_method(const struct ms_route *route)
{
	return route->method == EVHTTP_REQ_POST ? "POST" : "GET";
}

static json_t *fields_json(const struct ms_api_field *fields)
{
	json_t *list = json_array();

	for (; fields && fields->name; fields++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s}", "name", fields->name, "type",
						fields->type, "means", fields->means));
	return list;
}

static void get_routes(struct ms_control *control, struct evhttp_request *request)
{
	json_t *list = json_array();

	(void)control;
	for (size_t i = 0; i < ms_n_routes; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:b, s:s, s:o, s:o}", "method",
						ms_route_method(&ms_routes[i]), "path",
						ms_routes[i].path, "changes", ms_routes[i].changes,
						"gives", ms_routes[i].gives, "takes",
						fields_json(ms_routes[i].takes), "fields",
						fields_json(ms_routes[i].fields)));
	ms_reply_json(request, HTTP_OK, list);
}
