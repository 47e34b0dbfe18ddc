/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz: what discovery reads from outside: documents and events of an engine, rtnetlink messages.
 *
 * The first byte chooses the reader, the rest is what it reads. What a reader takes must keep its
 * limits. From the top of the tree:
 *
 *	src="src/discover/container.c src/discover/claims.c src/discover/links.c"
 *	src="$src src/discover/decode.c src/base/?*.c src/net/?*.c"
 *	flags="-g -O1 -std=gnu11 -D_GNU_SOURCE -fno-strict-aliasing -Iinclude -Isrc"
 *	flags="$flags -I/usr/include/libnl3 -fsanitize=fuzzer,address,undefined"
 *	clang $flags -fno-sanitize-recover=undefined tests/fuzz/discover.c $src \
 *		-lyaml -ljansson -lnl-3 -o /tmp/fuzz-discover
 *	/tmp/fuzz-discover -max_len=4096 -max_total_time=120
 *
 * An input that breaks it becomes a row in tests/unit/discover_container.c or discover_snapshot.c.
 */
#include <linux/netlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "discover/container.h"
#include "discover/links.h"

static void read_container(const char *text, size_t len)
{
	struct ms_workload_facts facts = {0};

	if (ms_container_parse(text, len, &facts) < 0)
		return;
	if (strlen(facts.id) != MS_CONTAINER_ID_SIZE - 1 || !facts.name || !facts.image ||
	    facts.labels.n_items > MS_MAX_WORKLOAD_LABELS ||
	    facts.attachments.n_items > MS_MAX_ATTACHMENTS || facts.binds.n_items > MS_MAX_BINDS ||
	    !facts.joined != (facts.mode != MS_NETWORK_JOINED))
		abort();
	ms_workload_facts_fini(&facts);
}

static void read_list(const char *text, size_t len)
{
	ms_id_vec ids = {0};

	if (ms_container_list_parse(text, len, &ids) < 0)
		return;
	ms_vec_each (char *, id, &ids)
		if (strlen(*id) != MS_CONTAINER_ID_SIZE - 1)
			abort();
	ms_id_vec_fini(&ids);
}

static void read_event(const char *text, size_t len)
{
	char id[MS_CONTAINER_ID_SIZE] = "";

	if (ms_engine_event_parse(text, len, id) == 0 && strlen(id) != sizeof(id) - 1)
		abort();
}

static void read_about(const char *text, size_t len)
{
	struct ms_engine_version version;
	ms_network_vec networks = {0};
	bool rootless;

	if (ms_engine_version_parse(text, len, &version) == 0 &&
	    memchr(version.version, '\0', sizeof(version.version)) == NULL)
		abort();
	if (ms_engine_networks_parse(text, len, &networks) == 0)
		ms_network_vec_fini(&networks);
	if (ms_engine_info_parse(text, len, &rootless) == 0 && rootless && len < 16)
		abort();
}

static void on_route(uint32_t ifindex, const struct ms_prefix *net, void *userdata)
{
	if (net->len > ms_addr_size(net->addr.ip) * 8)
		abort();
	*(uint64_t *)userdata += ifindex;
}

/* As the watch does: a whole header whose length fits is all that a reader is promised. */
static void read_message(const char *bytes, size_t len)
{
	struct nlmsghdr *message = malloc(len ? len : 1);
	struct ms_link_view link;
	struct ms_addr_view addr;
	uint64_t sum = 0;
	int32_t nsid;

	memcpy(message, bytes, len);
	if (len >= sizeof(*message)) {
		message->nlmsg_len = (uint32_t)len;
		if (ms_link_decode(message, &link) == 0 &&
		    (!link.ifindex || !memchr(link.name, '\0', sizeof(link.name)) ||
		     !memchr(link.alias, '\0', sizeof(link.alias)) ||
		     !memchr(link.kind, '\0', sizeof(link.kind))))
			abort();
		if (ms_addr_decode(message, &addr) == 0 && addr.addr.ip == MS_IP_NONE)
			abort();
		ms_route_decode(message, on_route, &sum);
		ms_nsid_decode(message, &nsid);
	}
	free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(const char *text, size_t len) = {
		read_container, read_list, read_event, read_about, read_message};

	if (size == 0)
		return 0;
	/* Of its own, so that a read behind it is seen. */
	char *text = malloc(size);
	memcpy(text, data + 1, size - 1);
	readers[data[0] % (sizeof(readers) / sizeof(readers[0]))](text, size - 1);
	free(text);
	return 0;
}
