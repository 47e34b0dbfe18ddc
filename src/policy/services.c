/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Services, theory of operation: a Service document is read once, as written, and then stands in
 * each of its environments: every pair of environment and name is one service of the model.
 * Documents for service "*" make no service; what they say is joined to every service of their
 * environments, port names where the service has none of that name itself.
 */
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/load.h"

static bool has_env(const struct ms_service_document *document, const struct ms_env *env)
{
	for (size_t i = 0; i < document->envs.n_items; i++)
		if (document->envs.items[i] == env)
			return true;
	return false;
}

static void read_envs(struct ms_load *load, struct ms_service_document *document)
{
	const struct ms_yaml_node *value = ms_yaml_get(document->root, "env"), *item;

	for (size_t i = 0; (item = ms_load_item(value, i)); i++) {
		const char *text = ms_load_scalar(item);
		const struct ms_env *env;

		if (!text || !ms_name_valid(text))
			continue;
		env = ms_load_env(load, text, &item->at);
		if (!env)
			continue;
		if (has_env(document, env))
			ms_load_error(load, &item->at, "duplicate-item", "remove it",
				      "'%s' stands in the list already", text);
		else
			ms_load_push(load, &document->envs, env);
	}
}

/* What a document for every service cannot say. */
static void check_star(struct ms_load *load, const struct ms_service_document *document)
{
	static const struct {
		const char *key, *hint;
	} rows[] = {
		{"match", "only a service of its own can match endpoints"},
		{"mode", "set the mode of the environment"},
		{"carries", "only a service of its own can carry addresses"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct ms_yaml_node *value = ms_yaml_get(document->root, rows[i].key);

		if (value)
			ms_load_error(load, &value->at, "misplaced-key", rows[i].hint,
				      "service \"*\" cannot have '%s'", rows[i].key);
	}
}

static void check_published(struct ms_load *load, const struct ms_raw_flow *flow)
{
	ms_vec_each (struct ms_raw_peer, raw, &flow->from) {
		if (flow->published && raw->peer.kind != MS_PEER_NET &&
		    raw->peer.kind != MS_PEER_NODE)
			ms_load_error(load, &raw->peer.at, "misplaced-published",
				      "services and host reach the container's own port without it",
				      "'published' concerns net and node sources only");
	}
}

static void read_flows(struct ms_load *load, const struct ms_yaml_node *list,
		       enum ms_section section, ms_raw_flow_vec *flows)
{
	const struct ms_yaml_node *item;

	if (list && list->kind == MS_YAML_SEQUENCE)
		ms_load_reserve(load, flows, list->items.n_items);
	for (size_t i = 0; (item = ms_load_item(list, i)); i++) {
		struct ms_raw_flow flow = {0};

		if (item->kind != MS_YAML_MAPPING)
			continue;
		ms_load_flow(load, item, section, &flow);
		ms_load_push(load, flows, flow);
	}
}

/* A test that leaves out `to` means this service. */
static void default_test_to(struct ms_load *load, struct ms_service_document *document)
{
	ms_vec_each (struct ms_raw_flow, test, &document->tests) {
		struct ms_raw_peer own = {
			.peer = {.kind = MS_PEER_SERVICE,
				 .at = test->at,
				 .service = document->name},
			.bare = true,
		};

		if (!ms_yaml_get(test->node, "to"))
			ms_load_push(load, &test->to, own);
	}
}

static void read_document(struct ms_load *load, const struct ms_yaml_node *root)
{
	struct ms_service_document document = {.root = root};
	const struct ms_yaml_node *name = ms_yaml_get(root, "service");
	const char *text = ms_load_scalar(name);

	if (!text || (strcmp(text, "*") != 0 && !ms_name_valid(text))) {
		load->damaged = true;
		return;
	}
	document.at = name->at;
	document.name = strcmp(text, "*") == 0 ? NULL : text;
	read_envs(load, &document);
	ms_load_port_map(load, ms_yaml_get(root, "ports"), &document);
	read_flows(load, ms_yaml_get(root, "allow"), MS_SECTION_ALLOW, &document.allow);
	read_flows(load, ms_yaml_get(root, "needs"), MS_SECTION_NEED, &document.needs);
	read_flows(load, ms_yaml_get(root, "tests"), MS_SECTION_TEST, &document.tests);
	default_test_to(load, &document);
	ms_vec_each (struct ms_raw_flow, allow, &document.allow)
		check_published(load, allow);
	if (!document.name)
		check_star(load, &document);
	ms_load_push(load, &load->services, document);
}

static void read_carries(struct ms_load *load, const struct ms_yaml_node *value,
			 struct ms_service *service)
{
	const struct ms_yaml_node *item;
	ms_prefix_vec prefixes = {0};

	for (size_t i = 0; (item = ms_load_item(value, i)); i++) {
		const char *text = ms_load_scalar(item);
		struct ms_prefix prefix;

		if (!text || ms_prefix_parse(text, &prefix) < 0)
			continue;
		ms_load_push(load, &prefixes, prefix);
		ms_load_push(load, &load->carried, prefix);
	}
	ms_load_carried(load, &prefixes, &service->carries);
	if (prefixes.n_items && !service->carries.n_items)
		ms_load_warn(load, &value->at, "empty-net",
			     "multicast, broadcast, link-local and loopback are never net",
			     "%s carries no address", service->identity);
}

static void add_service(struct ms_load *load, const struct ms_service_document *document,
			const struct ms_env *env)
{
	const char *mode = ms_load_text(document->root, "mode");
	struct ms_service service = {
		.env = env->name,
		.name = document->name,
		.identity = ms_load_printf(load, "%s/%s", env->name, document->name),
		.at = document->at,
		.allow_at = ms_load_key_at(document->root, "allow"),
		.needs_at = ms_load_key_at(document->root, "needs"),
		.mode = env->mode,
	};

	if (mode)
		service.mode = strcmp(mode, "audit") == 0 ? MS_MODE_AUDIT : MS_MODE_ENFORCE;
	ms_load_match(load, document->root, &service.match);
	read_carries(load, ms_yaml_get(document->root, "carries"), &service);
	ms_vec_each (struct ms_named_port, port, &document->ports)
		ms_load_push(load, &service.ports, *port);
	ms_load_push(load, &load->policy->services, service);
}

static int compare_services(const void *left, const void *right)
{
	const struct ms_service *a = left, *b = right;
	int r = strcmp(a->env, b->env);

	if (r == 0)
		r = strcmp(a->name, b->name);
	if (r == 0)
		r = strcmp(a->at.file, b->at.file);
	if (r == 0)
		r = (a->at.line > b->at.line) - (a->at.line < b->at.line);
	return r ? r : (a->at.column > b->at.column) - (a->at.column < b->at.column);
}

/* Sorts, reports services that have two documents, and keeps the first of them. */
static void sort_services(struct ms_load *load)
{
	struct ms_policy *policy = load->policy;
	size_t n = 0;

	ms_vec_sort(&policy->services, compare_services);
	for (size_t i = 0; i < policy->services.n_items; i++) {
		struct ms_service *next = &policy->services.items[i];
		struct ms_service *last = n ? &policy->services.items[n - 1] : NULL;
		_cleanup_(ms_str_fini) struct ms_str hint = {0};

		if (!last || strcmp(last->identity, next->identity) != 0) {
			policy->services.items[n++] = *next;
			continue;
		}
		ms_str_addf(&hint, "the other one is at %s:%u", last->at.file, last->at.line);
		ms_load_error(load, &next->at, "second-service", hint.text,
			      "%s has two Service documents", next->identity);
	}
	policy->services.n_items = n;
	if (ms_policy_index_services(policy) < 0)
		load->out_of_memory = true;
}

static bool share_env(const struct ms_service_document *a, const struct ms_service_document *b)
{
	for (size_t i = 0; i < a->envs.n_items; i++)
		if (has_env(b, a->envs.items[i]))
			return true;
	return false;
}

/* Two documents for every service must not disagree about a name. */
static void check_star_ports(struct ms_load *load, const struct ms_service_document *first,
			     const struct ms_service_document *second)
{
	ms_vec_each (struct ms_named_port, a, &first->ports) {
		ms_vec_each (struct ms_named_port, b, &second->ports) {
			_cleanup_(ms_str_fini) struct ms_str hint = {0};

			if (strcmp(a->name, b->name) != 0 ||
			    ms_ports_compare(&a->ports, &b->ports) == 0)
				continue;
			ms_str_addf(&hint, "the other one is at %s:%u", a->at.file, a->at.line);
			ms_load_error(load, &b->at, "second-port", hint.text,
				      "two documents for service \"*\" give '%s' different ports",
				      b->name);
		}
	}
}

static void check_stars(struct ms_load *load)
{
	ms_vec_each (struct ms_service_document, first, &load->services) {
		for (struct ms_service_document *second = first + 1;
		     !first->name && second < load->services.items + load->services.n_items;
		     second++)
			if (!second->name && share_env(first, second))
				check_star_ports(load, first, second);
	}
}

/* A service's own port of that name wins. */
static void add_missing_ports(struct ms_load *load, struct ms_service *service,
			      const struct ms_service_document *star)
{
	ms_vec_each (struct ms_named_port, port, &star->ports) {
		if (!ms_service_port(service, port->name))
			ms_load_push(load, &service->ports, *port);
	}
}

static void join_ports(struct ms_load *load, const struct ms_service_document *star)
{
	ms_vec_each (struct ms_service, service, &load->policy->services) {
		for (size_t i = 0; i < star->envs.n_items; i++)
			if (strcmp(star->envs.items[i]->name, service->env) == 0)
				add_missing_ports(load, service, star);
	}
}

void ms_load_services(struct ms_load *load)
{
	ms_vec_each (struct ms_document, document, &load->documents) {
		if (document->kind == MS_SECTION_SERVICE)
			read_document(load, document->root);
	}
	ms_vec_each (struct ms_service_document, document, &load->services) {
		for (size_t i = 0; document->name && i < document->envs.n_items; i++)
			add_service(load, document, document->envs.items[i]);
	}
	sort_services(load);
	ms_load_carried(load, &load->carried, &load->policy->carried);
	check_stars(load);
	ms_vec_each (struct ms_service_document, document, &load->services) {
		if (!document->name)
			join_ports(load, document);
	}
}
