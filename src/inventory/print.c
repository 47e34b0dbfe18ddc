/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/inventory.h"

#include <ctype.h>
#include <string.h>

#include "microseg/cleanup.h"

/*
 * Any text as a YAML scalar: bare where that is plainly a word, else in double quotes. What
 * ms_str_add_safe() writes for unsafe bytes (\\ and \xNN) are YAML's escapes too; only the quote is
 * left to do.
 */
static void add_scalar(struct ms_str *out, const char *text)
{
	static const char word[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/-";
	_cleanup_(ms_str_fini) struct ms_str safe = {0};

	if (isalnum((unsigned char)*text) && strspn(text, word) == strlen(text)) {
		ms_str_add(out, text);
		return;
	}
	ms_str_add_safe(&safe, text);
	out->failed = out->failed || safe.failed;
	ms_str_add_char(out, '"');
	for (const char *c = safe.text; c && *c; c++) {
		if (*c == '"')
			ms_str_add_char(out, '\\');
		ms_str_add_char(out, *c);
	}
	ms_str_add_char(out, '"');
}

static void add_key(struct ms_str *out, const char *indent, const char *key, const char *value)
{
	ms_str_addf(out, "%s%s: ", indent, key);
	add_scalar(out, value);
	ms_str_add_char(out, '\n');
}

static void add_addrs(struct ms_str *out, const char *indent, const char *key,
		      const ms_addr_vec *addrs)
{
	char text[MS_ADDR_TEXT_SIZE];
	bool first = true;

	ms_str_addf(out, "%s%s: [", indent, key);
	ms_vec_each (const struct ms_addr, addr, addrs) {
		ms_str_add(out, first ? "" : ", ");
		add_scalar(out, ms_addr_format(addr, text));
		first = false;
	}
	ms_str_add(out, "]\n");
}

/* The host's addresses on a bridge, with the length of their networks where it is known. */
static void add_own_addrs(struct ms_str *out, const struct ms_managed_link *link)
{
	char text[MS_ADDR_TEXT_SIZE + 4];

	ms_str_add(out, "    addresses: [");
	for (size_t i = 0; i < link->addrs.n_items; i++) {
		const struct ms_addr *addr = &link->addrs.items[i];
		struct ms_prefix known = {.addr = *addr};

		ms_vec_each (const struct ms_prefix, net, &link->nets)
			if (net->len > known.len && ms_prefix_contains(net, addr))
				known.len = net->len;
		ms_str_add(out, i ? ", " : "");
		add_scalar(out,
			   known.len ? ms_prefix_format(&known, text) : ms_addr_format(addr, text));
	}
	ms_str_add(out, "]\n");
}

static void add_texts(struct ms_str *out, const char *key, const ms_text_vec *texts)
{
	if (texts->n_items == 0)
		return;
	ms_str_addf(out, "%s: [", key);
	for (size_t i = 0; i < texts->n_items; i++) {
		ms_str_add(out, i ? ", " : "");
		add_scalar(out, texts->items[i]);
	}
	ms_str_add(out, "]\n");
}

/* The patterns that a file without any would get need not be said. */
static bool has_default_patterns(const struct ms_inventory *inventory)
{
	size_t n = 0;

	for (; ms_default_patterns[n]; n++) {
		bool found = false;

		ms_vec_each (const char *, pattern, &inventory->patterns)
			found |= strcmp(*pattern, ms_default_patterns[n]) == 0;
		if (!found)
			return false;
	}
	return n == inventory->patterns.n_items;
}

/* What a file off a node leaves out. */
static void add_node_facts(struct ms_str *out, const struct ms_inventory *inventory)
{
	char mac[MS_MAC_TEXT_SIZE];

	if (!has_default_patterns(inventory))
		add_texts(out, "patterns", &inventory->patterns);
	add_texts(out, "skipped", &inventory->skipped);
	for (size_t i = 0; i < inventory->host_macs.n_items; i++)
		ms_str_addf(out, "%s\"%s\"", i ? ", " : "host_macs: [",
			    ms_mac_format(&inventory->host_macs.items[i], mac));
	ms_str_add(out, inventory->host_macs.n_items ? "]\n" : "");
}

static void add_workload(struct ms_str *out, const char *indent, const struct ms_workload *workload)
{
	if (*workload->id)
		add_key(out, indent, "id", workload->id);
	if (*workload->image)
		add_key(out, indent, "image", workload->image);
	if (strcmp(workload->runtime, "static") != 0)
		add_key(out, indent, "runtime", workload->runtime);
	if (workload->labels.n_items == 0)
		return;
	ms_str_addf(out, "%slabels:\n", indent);
	ms_vec_each (const struct ms_label, label, &workload->labels) {
		ms_str_addf(out, "%s  ", indent);
		add_scalar(out, label->name);
		ms_str_add(out, ": ");
		add_scalar(out, label->value);
		ms_str_add_char(out, '\n');
	}
}

/* The workload that the endpoint's own keys describe: the one it is named after. */
static const struct ms_workload *named_workload(const struct ms_endpoint *endpoint)
{
	ms_vec_each (const struct ms_workload, workload, &endpoint->workloads)
		if (strcmp(workload->name, endpoint->name) == 0)
			return workload;
	return NULL;
}

static void add_endpoint(struct ms_str *out, const struct ms_endpoint *endpoint)
{
	const struct ms_workload *named = named_workload(endpoint);
	bool others = endpoint->workloads.n_items > (named ? 1u : 0u);
	char mac[MS_MAC_TEXT_SIZE];

	ms_str_add(out, "  - name: ");
	add_scalar(out, endpoint->name);
	ms_str_add_char(out, '\n');
	if (*endpoint->interface)
		add_key(out, "    ", "interface", endpoint->interface);
	add_key(out, "    ", "bridge", endpoint->bridge);
	if (*endpoint->network)
		add_key(out, "    ", "network", endpoint->network);
	if (!ms_mac_is_zero(&endpoint->mac))
		add_key(out, "    ", "mac", ms_mac_format(&endpoint->mac, mac));
	add_addrs(out, "    ", "addresses", &endpoint->addrs);
	if (named)
		add_workload(out, "    ", named);
	ms_str_add(out, others ? "    workloads:\n" : "");
	ms_vec_each (const struct ms_workload, workload, &endpoint->workloads) {
		if (workload == named)
			continue;
		ms_str_add(out, "      - name: ");
		add_scalar(out, workload->name);
		ms_str_add_char(out, '\n');
		add_workload(out, "        ", workload);
	}
}

void ms_inventory_print(const struct ms_inventory *inventory, struct ms_str *out)
{
	ms_str_add(out, "apiVersion: microseg/v1\nkind: Inventory\n");
	add_key(out, "", "node", inventory->node);
	add_addrs(out, "", "hosts", &inventory->hosts);
	add_node_facts(out, inventory);
	bool any = false;
	ms_vec_each (const struct ms_managed_link, link, &inventory->links) {
		if (!link->bridge)
			continue;
		ms_str_add(out, any ? "" : "bridges:\n");
		any = true;
		ms_str_add(out, "  - name: ");
		add_scalar(out, link->name);
		ms_str_add_char(out, '\n');
		add_own_addrs(out, link);
	}
	ms_str_add(out, inventory->endpoints.n_items ? "endpoints:\n" : "endpoints: []\n");
	ms_vec_each (const struct ms_endpoint, endpoint, &inventory->endpoints)
		add_endpoint(out, endpoint);
}
