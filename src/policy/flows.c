/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/load.h"

static void load_end(struct ms_load *load, const struct ms_yaml_node *node, enum ms_section section,
		     const char *name, ms_raw_peer_vec *peers)
{
	const struct ms_schema_key *key = ms_schema_key(section, name);

	if (key)
		ms_load_peers(load, ms_yaml_get(node, name), key->peers, peers);
}

void ms_load_flow(struct ms_load *load, const struct ms_yaml_node *node, enum ms_section section,
		  struct ms_raw_flow *flow)
{
	const char *until = ms_load_text(node, "until");

	*flow = (struct ms_raw_flow){.at = node->at, .node = node};
	load_end(load, node, section, "from", &flow->from);
	load_end(load, node, section, "to", &flow->to);
	ms_load_ports(load, ms_yaml_get(node, "ports"), &flow->ports);
	flow->ping = ms_load_bool(node, "ping");
	flow->published = ms_load_bool(node, "published");
	flow->reason = ms_load_text(node, "reason");
	if (until)
		(void)ms_time_parse(until, &flow->until);
}

static bool is_service(const struct ms_raw_peer *raw)
{
	return raw->peer.kind == MS_PEER_SERVICE || raw->peer.kind == MS_PEER_SELF;
}

/* What has no endpoint at either end never passes our rules. */
static void check_ends(struct ms_load *load, const struct ms_raw_flow *flow)
{
	bool from_service = flow->from.n_items == 0;

	ms_vec_each (struct ms_raw_peer, from, &flow->from)
		from_service = from_service || is_service(from);
	ms_vec_each (struct ms_raw_peer, to, &flow->to) {
		if (!from_service && !is_service(to))
			ms_load_error(load, &to->peer.at, "no-service",
				      "what the host does with the outside is never touched",
				      "neither end is a service");
	}
}

void ms_load_check_until(struct ms_load *load, const struct ms_yaml_node *mapping, time_t until,
			 const char *what)
{
	const struct ms_yaml_node *node = ms_yaml_get(mapping, "until");

	if (until && until <= load->now)
		ms_load_warn(load, &node->at, "expired", "remove it", "%s has run out", what);
}

static void check_names(struct ms_load *load, const struct ms_raw_flow *flow)
{
	ms_load_check_services(load, &flow->from, NULL, true);
	ms_load_check_services(load, &flow->to, NULL, true);
	ms_load_check_port_names(load, flow, NULL, NULL);
}

static void check_crossing(struct ms_load *load, const struct ms_raw_flow *flow)
{
	check_names(load, flow);
	ms_load_check_until(load, flow->node, flow->until, "the crossing");
	ms_vec_each (struct ms_raw_peer, from, &flow->from) {
		ms_vec_each (struct ms_raw_peer, to, &flow->to) {
			if (strcmp(from->peer.env, to->peer.env) == 0)
				ms_load_warn(load, &to->peer.at, "no-effect",
					     "no fence stands within an environment",
					     "the crossing leads from %s to itself", to->peer.env);
		}
	}
}

static void read_crossing(struct ms_load *load, const struct ms_yaml_node *node)
{
	struct ms_raw_flow flow;
	ms_target_vec targets = {0};

	ms_load_flow(load, node, MS_SECTION_CROSSING, &flow);
	check_crossing(load, &flow);
	ms_load_targets(load, &flow, NULL, NULL, &targets);
	ms_vec_each (struct ms_raw_peer, from, &flow.from) {
		ms_vec_each (struct ms_target, target, &targets) {
			struct ms_crossing crossing = {
				.from = from->peer,
				.to = target->peer,
				.ports = target->ports,
				.at = flow.at,
				.until = flow.until,
				.reason = flow.reason,
			};

			ms_load_push(load, &load->policy->crossings, crossing);
		}
	}
}

static void add_nevers(struct ms_load *load, const struct ms_raw_flow *flow,
		       const struct ms_peer *to, const ms_ports_vec *ports, bool any_source)
{
	struct ms_never never = {.any_source = any_source,
				 .to = *to,
				 .ports = *ports,
				 .at = flow->at,
				 .reason = flow->reason};

	if (any_source)
		ms_load_push(load, &load->policy->nevers, never);
	ms_vec_each (struct ms_raw_peer, from, &flow->from) {
		never.from = from->peer;
		ms_load_push(load, &load->policy->nevers, never);
	}
}

static void read_never(struct ms_load *load, const struct ms_yaml_node *node)
{
	static const ms_ports_vec any_port = {0};
	bool any_source = !ms_yaml_get(node, "from");
	struct ms_raw_flow flow;
	ms_target_vec targets = {0};

	ms_load_flow(load, node, MS_SECTION_NEVER, &flow);
	check_names(load, &flow);
	check_ends(load, &flow);
	if (!ms_yaml_get(node, "ports")) {
		ms_vec_each (struct ms_raw_peer, to, &flow.to)
			add_nevers(load, &flow, &to->peer, &any_port, any_source);
		return;
	}
	ms_load_targets(load, &flow, NULL, NULL, &targets);
	ms_vec_each (struct ms_target, target, &targets)
		add_nevers(load, &flow, &target->peer, &target->ports, any_source);
}

static void add_test(struct ms_load *load, const struct ms_raw_flow *flow,
		     const struct ms_peer *from, const struct ms_target *target)
{
	const char *expect = ms_load_text(flow->node, "expect");
	struct ms_policy_test test = {
		.at = flow->at,
		.from = *from,
		.to = target->peer,
		.ports = target->ports,
		.expect = expect && strcmp(expect, "deny") == 0 ? MS_EXPECT_DENY : MS_EXPECT_ALLOW,
		.by = ms_load_text(flow->node, "by"),
		.published = flow->published,
	};

	ms_load_push(load, &load->policy->tests, test);
}

static void add_tests(struct ms_load *load, const struct ms_raw_flow *flow, const char *env,
		      const char *service)
{
	ms_target_vec targets = {0};

	ms_load_targets(load, flow, env, service, &targets);
	ms_vec_each (struct ms_raw_peer, raw, &flow->from) {
		struct ms_peer from = ms_peer_bind(raw, env, service);

		ms_vec_each (struct ms_target, target, &targets)
			add_test(load, flow, &from, target);
	}
}

static void check_test(struct ms_load *load, const struct ms_raw_flow *flow)
{
	const struct ms_yaml_node *by = ms_yaml_get(flow->node, "by");
	const char *expect = ms_load_text(flow->node, "expect");

	check_ends(load, flow);
	if (by && expect && strcmp(expect, "allow") == 0)
		ms_load_error(load, &by->at, "misplaced-key", "leave it out, or expect deny",
			      "only a deny has a reason");
}

/* Tests of a document that belongs to no environment. */
static void read_tests(struct ms_load *load, const struct ms_yaml_node *list)
{
	const struct ms_yaml_node *item;

	for (size_t i = 0; (item = ms_load_item(list, i)); i++) {
		struct ms_raw_flow flow;

		if (item->kind != MS_YAML_MAPPING)
			continue;
		ms_load_flow(load, item, MS_SECTION_FLEET_TEST, &flow);
		check_names(load, &flow);
		check_test(load, &flow);
		add_tests(load, &flow, NULL, NULL);
	}
}

static bool is_relative(const ms_raw_peer_vec *peers)
{
	ms_vec_each (struct ms_raw_peer, raw, peers) {
		if (raw->bare)
			return true;
	}
	return false;
}

/* A test that names its ends in full means the same in each environment of its document: it is kept
 * once. */
static void read_service_tests(struct ms_load *load, const struct ms_service_document *document)
{
	ms_vec_each (struct ms_raw_flow, flow, &document->tests) {
		bool relative = is_relative(&flow->from) || is_relative(&flow->to);

		check_test(load, flow);
		for (size_t i = 0; i < document->envs.n_items && (i == 0 || relative); i++)
			add_tests(load, flow, document->envs.items[i]->name, document->name);
	}
}

static void check_exception(struct ms_load *load, const struct ms_raw_flow *flow, const char *id)
{
	const struct ms_yaml_node *until = ms_yaml_get(flow->node, "until");
	_cleanup_(ms_str_fini) struct ms_str hint = {0};

	check_names(load, flow);
	check_ends(load, flow);
	ms_load_check_until(load, flow->node, flow->until, "the exception");
	if (flow->until && flow->until > load->now &&
	    flow->until - load->now > load->policy->exception_max &&
	    !ms_load_was_applied(load, &until->at)) {
		ms_str_addf(&hint,
			    "exceptions: {max: …} of the Environments document allows %lld hours",
			    (long long)load->policy->exception_max / 3600);
		ms_load_error(load, &until->at, "exception-too-long", hint.text,
			      "the exception lasts too long");
	}
	ms_vec_each (struct ms_exception, known, &load->policy->exceptions) {
		if (!id || strcmp(known->id, id) != 0)
			continue;
		ms_str_addf(&hint, "the other one is at %s:%u", known->at.file, known->at.line);
		ms_load_error(load, &ms_yaml_get(flow->node, "id")->at, "second-exception",
			      hint.text, "two exceptions are called '%s'", id);
		break;
	}
}

static void read_exception(struct ms_load *load, const struct ms_yaml_node *root)
{
	const char *id = ms_load_text(root, "id");
	struct ms_raw_flow flow;
	ms_target_vec targets = {0};

	ms_load_flow(load, root, MS_SECTION_EXCEPTION, &flow);
	check_exception(load, &flow, id);
	ms_load_targets(load, &flow, NULL, NULL, &targets);
	ms_vec_each (struct ms_raw_peer, from, &flow.from) {
		ms_vec_each (struct ms_target, target, &targets) {
			struct ms_exception exception = {
				.id = id ? id : "",
				.from = from->peer,
				.to = target->peer,
				.ports = target->ports,
				.at = flow.at,
				.until = flow.until,
				.reason = flow.reason,
			};

			ms_load_push(load, &load->policy->exceptions, exception);
		}
	}
}

static void read_list(struct ms_load *load, const struct ms_yaml_node *list,
		      void (*read)(struct ms_load *load, const struct ms_yaml_node *item))
{
	const struct ms_yaml_node *item;

	for (size_t i = 0; (item = ms_load_item(list, i)); i++)
		if (item->kind == MS_YAML_MAPPING)
			read(load, item);
}

void ms_load_flows(struct ms_load *load)
{
	ms_vec_each (struct ms_document, document, &load->documents) {
		const struct ms_yaml_node *root = document->root;

		if (document->kind == MS_SECTION_EXCEPTION)
			read_exception(load, root);
		if (document->kind == MS_SECTION_RELAX)
			ms_load_relax(load, root);
		if (document->kind == MS_SECTION_QUARANTINE)
			ms_load_quarantine(load, root);
		if (document->kind != MS_SECTION_SERVICE)
			read_tests(load, ms_yaml_get(root, "tests"));
		if (document->kind != MS_SECTION_ENVIRONMENTS)
			continue;
		read_list(load, ms_yaml_get(root, "crossings"), read_crossing);
		read_list(load, ms_yaml_get(root, "never"), read_never);
	}
	ms_vec_each (struct ms_service_document, document, &load->services)
		read_service_tests(load, document);
}
