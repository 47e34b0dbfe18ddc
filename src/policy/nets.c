/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nets, theory of operation: {net: …} becomes disjoint ranges at once; names and excepts are gone
 * afterwards.
 *
 * `internet` is what the IANA registries of special-purpose addresses leave as global unicast: IPv4
 * less the blocks below, and 2000::/3 less documentation. No CIDR covers what can never be `net`:
 * multicast, broadcast, link-local, loopback and the unspecified address are cut out of whatever is
 * written. Refusals (never) and tests keep 169.254.0.0/16, so that a cloud's metadata address can
 * be named there; they keep nothing of IPv6's link-local, which neighbour discovery needs.
 */
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/load.h"

static const char *const internet[] = {"0.0.0.0/0", "2000::/3", NULL};

static const char *const not_internet[] = {
	"0.0.0.0/8",	   /* this network */
	"10.0.0.0/8",	   /* private */
	"100.64.0.0/10",   /* carrier-grade NAT */
	"127.0.0.0/8",	   /* loopback */
	"169.254.0.0/16",  /* link-local */
	"172.16.0.0/12",   /* private */
	"192.0.0.0/24",	   /* IETF protocol assignments */
	"192.0.2.0/24",	   /* documentation */
	"192.168.0.0/16",  /* private */
	"198.18.0.0/15",   /* benchmarks */
	"198.51.100.0/24", /* documentation */
	"203.0.113.0/24",  /* documentation */
	"224.0.0.0/4",	   /* multicast */
	"240.0.0.0/4",	   /* reserved, broadcast */
	"2001:db8::/32",   /* documentation */
	NULL,
};

static const char *const never_net[] = {
	"0.0.0.0/32", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32",
	"::/127",     "fe80::/10",   "ff00::/8",    NULL,
};

static const char *const link_local[] = {"169.254.0.0/16", NULL};

static void add_prefixes(struct ms_load *load, const char *const *texts, ms_prefix_vec *prefixes)
{
	for (; *texts; texts++) {
		struct ms_prefix prefix;

		if (ms_prefix_parse(*texts, &prefix) == 0)
			ms_load_push(load, prefixes, prefix);
	}
}

void ms_load_builtin_nets(struct ms_load *load)
{
	struct ms_net net = {.name = "internet"};
	ms_prefix_vec all = {0}, holes = {0};
	ms_range_vec ranges = {0};

	add_prefixes(load, internet, &all);
	add_prefixes(load, not_internet, &holes);
	if (ms_ranges_build(load->arena, &all, &holes, &ranges) < 0)
		load->out_of_memory = true;
	ms_vec_each (struct ms_range, range, &ranges) {
		if (ms_range_split(load->arena, range, &net.prefixes) < 0)
			load->out_of_memory = true;
	}
	ms_load_push(load, &load->nets, net);
}

void ms_load_nets(struct ms_load *load, const struct ms_yaml_node *mapping)
{
	if (!mapping || mapping->kind != MS_YAML_MAPPING)
		return;
	ms_vec_each (struct ms_yaml_entry, entry, &mapping->entries) {
		struct ms_net net = {.name = entry->key->text};
		const struct ms_yaml_node *item;

		if (!ms_name_valid(net.name))
			continue;
		for (size_t i = 0; (item = ms_load_item(entry->value, i)); i++) {
			const char *text = ms_load_scalar(item);
			struct ms_prefix prefix;

			if (text && ms_prefix_parse(text, &prefix) == 0)
				ms_load_push(load, &net.prefixes, prefix);
		}
		ms_load_push(load, &load->nets, net);
	}
}

static const struct ms_net *find_net(struct ms_load *load, const char *name,
				     const struct ms_origin *at)
{
	_cleanup_(ms_str_fini) struct ms_str hint = {0};
	MS_VEC(const char *) words = {0};

	ms_vec_each (struct ms_net, net, &load->nets) {
		if (strcmp(net->name, name) == 0)
			return net;
		ms_load_push(load, &words, net->name);
	}
	ms_load_suggest(&hint, name, words.items, words.n_items,
			"name it under nets: in the Environments document, or write the CIDR");
	if (load->policy->envs.n_items) /* else it is the Environments document that is missing */
		ms_load_error(load, at, "unknown-net", hint.text, "no net is called '%s'", name);
	return NULL;
}

/* Reads CIDRs and names into @prefixes. Returns false when one of them could not be read. */
static bool read_nets(struct ms_load *load, const struct ms_yaml_node *value,
		      ms_prefix_vec *prefixes)
{
	const struct ms_yaml_node *item;
	bool whole = true;

	for (size_t i = 0; (item = ms_load_item(value, i)); i++) {
		const char *text = ms_load_scalar(item);
		const struct ms_net *net = NULL;
		struct ms_prefix prefix;

		if (text && ms_prefix_parse(text, &prefix) == 0) {
			ms_load_push(load, prefixes, prefix);
			continue;
		}
		if (text && (strcmp(text, "internet") == 0 || ms_name_valid(text)))
			net = find_net(load, text, &item->at);
		whole = whole && net;
		for (size_t j = 0; net && j < net->prefixes.n_items; j++)
			ms_load_push(load, prefixes, net->prefixes.items[j]);
	}
	return whole;
}

/* How it was written, for messages: "dba", "10.0.0.0/8, office except 10.0.0.1/32". */
static const char *name_nets(struct ms_load *load, const struct ms_yaml_node *nets,
			     const struct ms_yaml_node *excepts)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	const struct ms_yaml_node *item;

	for (size_t i = 0; (item = ms_load_item(nets, i)); i++)
		ms_str_addf(&text, "%s%s", i ? ", " : "", item->text);
	for (size_t i = 0; (item = ms_load_item(excepts, i)); i++)
		ms_str_addf(&text, "%s%s", i ? ", " : " except ", item->text);
	return ms_load_printf(load, "%s", text.text ? text.text : "");
}

static bool has_default_route(const ms_prefix_vec *prefixes, enum ms_ip ip)
{
	ms_vec_each (struct ms_prefix, prefix, prefixes) {
		if (prefix->addr.ip == ip && prefix->len == 0)
			return true;
	}
	return false;
}

void ms_load_carried(struct ms_load *load, const ms_prefix_vec *prefixes, ms_range_vec *ranges)
{
	ms_prefix_vec holes = {0};

	if (prefixes->n_items == 0)
		return;
	add_prefixes(load, never_net, &holes);
	add_prefixes(load, link_local, &holes);
	if (ms_ranges_build(load->arena, prefixes, &holes, ranges) < 0)
		load->out_of_memory = true;
}

bool ms_load_net_peer(struct ms_load *load, const struct ms_yaml_node *mapping,
		      bool keep_link_local, struct ms_raw_peer *raw)
{
	const struct ms_yaml_node *nets = ms_yaml_get(mapping, "net");
	const struct ms_yaml_node *excepts = ms_yaml_get(mapping, "except");
	ms_prefix_vec prefixes = {0}, holes = {0};
	bool whole = read_nets(load, nets, &prefixes);

	whole = read_nets(load, excepts, &holes) && whole;
	raw->peer.kind = MS_PEER_NET;
	raw->peer.net_name = name_nets(load, nets, excepts);
	raw->one_family_default =
		has_default_route(&prefixes, MS_IP4) && !has_default_route(&prefixes, MS_IP6);
	add_prefixes(load, never_net, &holes);
	if (!keep_link_local)
		add_prefixes(load, link_local, &holes);
	if (ms_ranges_build(load->arena, &prefixes, &holes, &raw->peer.ranges) < 0)
		load->out_of_memory = true;
	if (raw->peer.ranges.n_items)
		return true;
	if (whole && prefixes.n_items)
		ms_load_warn(load, &raw->peer.at, "empty-net",
			     "multicast, broadcast, link-local and loopback are never net",
			     "'%s' covers no address", raw->peer.net_name);
	return false;
}
