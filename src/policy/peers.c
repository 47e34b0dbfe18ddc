/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/load.h"

/* A peer of one word, and what must be allowed for it to stand here. */
static const struct word {
	const char *text;
	enum ms_peer_kind kind;
	unsigned int needs;
} words[] = {
	{"*", MS_PEER_SERVICE, MS_PEERS_BARE},
	{"self", MS_PEER_SELF, MS_PEERS_SELF},
	{"host", MS_PEER_HOST, MS_PEERS_HOST},
};

/* What may stand where a peer is refused. */
static void report_misplaced(struct ms_load *load, const struct ms_yaml_node *node,
			     unsigned int allowed, const char *what)
{
	_cleanup_(ms_str_fini) struct ms_str hint = {0};

	ms_str_add(&hint, "allowed here: ");
	ms_peer_forms_list(allowed, &hint);
	ms_load_error(load, &node->at, "misplaced-peer", hint.text, "%s cannot stand here", what);
}

static bool read_env_service(struct ms_load *load, const struct ms_yaml_node *node,
			     unsigned int allowed, struct ms_raw_peer *raw)
{
	const char *slash = strchr(node->text, '/');
	const char *name = slash + 1;
	const char *env = ms_load_printf(load, "%.*s", (int)(slash - node->text), node->text);

	if (!ms_name_valid(env) || (strcmp(name, "*") != 0 && !ms_name_valid(name)))
		return false;
	if (strcmp(name, "*") == 0 && !(allowed & MS_PEERS_ENV)) {
		ms_load_error(load, &node->at, "misplaced-peer",
			      "name the services; env/* may stand in crossings, never and needs",
			      "a whole environment cannot stand here");
		return false;
	}
	if (!ms_load_env(load, env, &node->at))
		return false;
	raw->peer.kind = MS_PEER_SERVICE;
	raw->peer.env = env;
	raw->peer.service = strcmp(name, "*") == 0 ? NULL : name;
	return true;
}

static bool read_word(struct ms_load *load, const struct ms_yaml_node *node, unsigned int allowed,
		      struct ms_raw_peer *raw)
{
	_cleanup_(ms_str_fini) struct ms_str what = {0};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(node->text, words[i].text) != 0)
			continue;
		raw->peer.kind = words[i].kind;
		raw->bare = words[i].kind != MS_PEER_HOST;
		if (allowed & words[i].needs)
			return true;
		ms_str_addf(&what, "'%s'", node->text);
		report_misplaced(load, node, allowed, what.text);
		return false;
	}
	if (!ms_name_valid(node->text))
		return false;
	raw->peer.kind = MS_PEER_SERVICE;
	raw->peer.service = node->text;
	raw->bare = true;
	if (allowed & MS_PEERS_BARE)
		return true;
	ms_str_addf(&what, "write env/%s", node->text);
	ms_load_error(load, &node->at, "bare-name", what.text,
		      "the environment of '%s' is not given", node->text);
	return false;
}

static bool read_node(struct ms_load *load, const struct ms_yaml_node *value,
		      struct ms_raw_peer *raw)
{
	_cleanup_(ms_str_fini) struct ms_str hint = {0};
	const char *text = ms_load_scalar(value);
	MS_VEC(const char *) names = {0};

	raw->peer.kind = MS_PEER_NODE;
	if (!text || (strcmp(text, "*") != 0 && !ms_name_valid(text)))
		return false;
	if (strcmp(text, "*") == 0)
		return true;
	ms_vec_each (struct ms_node, node, &load->policy->nodes) {
		ms_load_push(load, &names, node->name);
		if (strcmp(node->name, text) != 0)
			continue;
		raw->peer.node = node->name;
		return true;
	}
	ms_load_suggest(&hint, text, names.items, names.n_items,
			"name it under nodes: in the Environments document");
	if (load->policy->envs.n_items)
		ms_load_error(load, &value->at, "unknown-node", hint.text, "no node is called '%s'",
			      text);
	return false;
}

/* A key that is unknown was reported as such, and may be the one that is missing. */
static bool has_unknown_key(const struct ms_yaml_node *mapping)
{
	if (mapping->kind != MS_YAML_MAPPING)
		return mapping->broken;
	ms_vec_each (struct ms_yaml_entry, entry, &mapping->entries) {
		if (!ms_schema_key(MS_SECTION_PEER, entry->key->text))
			return true;
	}
	return mapping->broken;
}

static bool read_mapping(struct ms_load *load, const struct ms_yaml_node *node,
			 unsigned int allowed, struct ms_raw_peer *raw)
{
	const struct ms_yaml_node *net = ms_yaml_get(node, "net"),
				  *of_node = ms_yaml_get(node, "node");
	size_t n_kinds = !!net + !!of_node + !!ms_yaml_get(node, "fqdn");

	if (n_kinds != 1 || (ms_yaml_get(node, "except") && !net)) {
		if (!has_unknown_key(node))
			ms_load_error(
				load, &node->at, "bad-peer",
				"write {net: CIDR}, {net: CIDR, except: CIDR} or {node: NAME}",
				n_kinds > 1 ? "one peer cannot be two things"
					    : "this names no peer");
		return false;
	}
	if ((net && !(allowed & MS_PEERS_NET)) || (of_node && !(allowed & MS_PEERS_NODE))) {
		report_misplaced(load, node, allowed, net ? "a net" : "a node");
		return false;
	}
	if (of_node)
		return read_node(load, of_node, raw);
	return net && ms_load_net_peer(load, node, allowed & MS_PEERS_LINK_LOCAL, raw);
}

void ms_load_peers(struct ms_load *load, const struct ms_yaml_node *value, unsigned int allowed,
		   ms_raw_peer_vec *peers)
{
	const struct ms_yaml_node *item;

	for (size_t i = 0; (item = ms_load_item(value, i)); i++) {
		struct ms_raw_peer raw = {.peer.at = item->at};
		const char *text = ms_load_scalar(item);
		bool ok = false;

		if (item->kind == MS_YAML_MAPPING)
			ok = read_mapping(load, item, allowed, &raw);
		else if (text && strchr(text, '/'))
			ok = read_env_service(load, item, allowed, &raw);
		else if (text)
			ok = read_word(load, item, allowed, &raw);
		if (ok)
			ms_load_push(load, peers, raw);
	}
}

struct ms_peer ms_peer_bind(const struct ms_raw_peer *raw, const char *env, const char *service)
{
	struct ms_peer peer = raw->peer;

	if (raw->bare)
		peer.env = env;
	if (peer.kind == MS_PEER_SELF)
		peer.service = service;
	return peer;
}
