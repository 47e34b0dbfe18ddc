/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz: a logged packet on its whole way: decoded, attributed, printed as JSON and text, read back.
 *
 * The first bytes choose family, ether type, log prefix and interfaces out of a small world; the
 *rest is the payload. What is read back must print as the same line, and no byte of a packet may
 *reach a line unescaped. From the top of the tree:
 *
 *	clang -g -O1 -std=gnu11 -D_GNU_SOURCE -fno-strict-aliasing
 *-fsanitize=fuzzer,address,undefined \
 *		-fno-sanitize-recover=undefined -Iinclude -Isrc tests/fuzz/event.c \
 *		src/base/?*.c src/net/?*.c src/policy/?*.c src/inventory/?*.c src/decide/?*.c
 *src/event/?*.c \ -lyaml -ljansson -o /tmp/fuzz-event && /tmp/fuzz-event -max_len=200
 *-max_total_time=120
 *
 * An input that breaks it becomes a row in tests/unit/event_packet.c or event.c.
 */
#include <netinet/in.h>
/* after it: its in_addr is the other one otherwise */
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/event.h"

static const char policy_text[] =
	"apiVersion: microseg/v1\n"
	"kind: Environments\n"
	"identity: {env: [io.microseg.env], service: [io.microseg.service]}\n"
	"unidentified: {mode: enforce}\n"
	"environments: {prod: {mode: enforce}, dev: {mode: audit}}\n"
	"---\n"
	"apiVersion: microseg/v1\n"
	"kind: Service\n"
	"service: db\n"
	"env: prod\n"
	"allow:\n"
	"  - {from: self, ports: [tcp/5432]}\n"
	"  - {from: host, ports: [tcp/9100]}\n";

static const char inventory_text[] =
	"apiVersion: microseg/v1\n"
	"kind: Inventory\n"
	"node: node-a\n"
	"hosts: [192.0.2.1, \"fd00::1\"]\n"
	"endpoints:\n"
	"  - {name: db-1, interface: veth1, mac: \"02:00:00:00:00:01\", addresses: [10.0.0.1, \"fd00::11\"],\n"
	"     labels: {io.microseg.env: prod, io.microseg.service: db}}\n"
	"  - {name: web-1, interface: veth2, mac: \"02:00:00:00:00:02\", addresses: [10.0.0.2, \"fd00::12\"],\n"
	"     labels: {io.microseg.env: dev, io.microseg.service: web}}\n"
	"  - {name: odd, interface: veth3, mac: \"02:00:00:00:00:03\", addresses: [10.0.0.3]}\n";

static struct ms_policy *policy;
static struct ms_inventory *inventory;

static void make_world(void)
{
	const struct ms_policy_file policy_file = {"policy.yaml", policy_text,
						   sizeof(policy_text) - 1};
	const struct ms_policy_file inventory_file = {"inventory.yaml", inventory_text,
						      sizeof(inventory_text) - 1};
	struct ms_diags diags;

	if (ms_diags_init(&diags) < 0 || ms_policy_load(&policy_file, 1, 0, &diags, &policy) < 0 ||
	    ms_inventory_load(&inventory_file, &diags, &inventory) < 0 ||
	    ms_inventory_identify(inventory, policy) < 0) {
		struct ms_str out = {0};

		ms_diags_print(&diags, &out, false);
		fprintf(stderr, "%s", out.text ? out.text : "no world\n");
		abort();
	}
	ms_diags_fini(&diags);
}

/* Takes one byte off the input; an empty one gives zeros. */
static uint8_t choose(const uint8_t **data, size_t *size)
{
	if (*size == 0)
		return 0;
	(*size)--;
	return *(*data)++;
}

static void choose_interface(uint8_t choice, char name[16])
{
	static const char *const names[] = {"", "veth1", "veth2", "veth3", "veth9", "br-a", "eth0"};

	strcpy(name, names[choice % (sizeof(names) / sizeof(names[0]))]);
}

static void check_line(const struct ms_event *event)
{
	_cleanup_(ms_str_fini) struct ms_str json = {0}, again = {0}, text = {0};
	struct ms_event read;
	int n_lines = 0;

	ms_event_json(event, &json);
	if (json.failed || ms_event_parse(json.text, &read) < 0)
		abort();
	ms_event_json(&read, &again);
	if (strcmp(again.text, json.text) != 0)
		abort();
	ms_event_text(event, false, &text);
	for (const char *c = text.text; *c; c++) {
		n_lines += *c == '\n';
		if ((unsigned char)*c < 0x20 && *c != '\n')
			abort();
	}
	if (n_lines < 1 || n_lines > 2)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t families[] = {NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_BRIDGE, NFPROTO_INET,
					   NFPROTO_ARP};
	static const uint16_t ether_types[] = {0,	  ETH_P_IP,    ETH_P_IPV6,
					       ETH_P_ARP, ETH_P_8021Q, 0x88b5};
	struct ms_packet_record record = {.time_ms = 1700000000000};
	char prefix[MS_LOG_PREFIX_SIZE];
	struct ms_log_tag tag;
	struct ms_event event;

	if (!policy)
		make_world();
	record.family = families[choose(&data, &size) % sizeof(families)];
	record.ether_type =
		ether_types[choose(&data, &size) % (sizeof(ether_types) / sizeof(ether_types[0]))];
	tag.verdict = choose(&data, &size) % 2 ? MS_DENY : MS_AUDIT;
	tag.reason = (enum ms_reason)(1 + choose(&data, &size) % (MS_N_REASONS - 1));
	record.prefix = ms_log_tag_format(&tag, prefix);
	choose_interface(choose(&data, &size), record.indev);
	choose_interface(choose(&data, &size), record.outdev);
	choose_interface(choose(&data, &size), record.physindev);
	choose_interface(choose(&data, &size), record.physoutdev);
	record.has_src_mac = choose(&data, &size) % 2;
	record.src_mac.bytes[0] = choose(&data, &size);

	/* Of its own, so that a read behind it is seen. */
	_cleanup_(freep) uint8_t *payload = malloc(size ? size : 1);
	memcpy(payload, data, size);
	record.payload = payload;
	record.payload_size = size;
	if (ms_event_attribute(&record, policy, inventory, 1, &event) < 0)
		abort();
	check_line(&event);
	return 0;
}
