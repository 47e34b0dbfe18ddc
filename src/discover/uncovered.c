/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/uncovered.h"

#include <errno.h>
#include <string.h>

struct find {
	const struct ms_snapshot_facts *facts;
	const ms_covered_vec *covered;
	struct ms_inventory *inventory;
	struct ms_arena *arena;
	const struct ms_claims *claims; /* of the source being looked at */
};

static int compare_labels(const void *a, const void *b)
{
	return strcmp(((const struct ms_label *)a)->name, ((const struct ms_label *)b)->name);
}

int ms_workload_copy(struct ms_arena *arena, const char *runtime,
		     const struct ms_workload_facts *facts, struct ms_workload *ret_workload)
{
	bool container = strcmp(runtime, "netns") != 0;
	struct ms_workload workload = {.name = ms_arena_strdup(arena, facts->name),
				       .id = ms_arena_strdup(arena, container ? facts->id : ""),
				       .runtime = runtime,
				       .image = ms_arena_strdup(arena, facts->image)};

	if (!workload.name || !workload.id || !workload.image)
		return -ENOMEM;
	ms_vec_each (struct ms_workload_label, from, &facts->labels) {
		struct ms_label label = {.name = ms_arena_strdup(arena, from->name),
					 .value = ms_arena_strdup(arena, from->value)};

		if (!label.name || !label.value || ms_avec_push(arena, &workload.labels, label) < 0)
			return -ENOMEM;
	}
	ms_vec_sort(&workload.labels, compare_labels);
	ms_vec_each (struct ms_ports, port, &facts->published)
		if (ms_avec_push(arena, &workload.published, *port) < 0)
			return -ENOMEM;
	*ret_workload = workload;
	return 0;
}

/* Who it would be if it were an endpoint: a policy may match by the network or by an address. */
static struct ms_endpoint *would_be(const struct find *find, const struct ms_workload_facts *facts,
				    const char *network)
{
	struct ms_endpoint *endpoint = ms_arena_alloc(find->arena, sizeof(*endpoint));
	struct ms_workload workload;

	if (!endpoint || ms_workload_copy(find->arena, find->claims->runtime, facts, &workload) < 0)
		return NULL;
	*endpoint = (struct ms_endpoint){.name = workload.name,
					 .interface = "",
					 .bridge = "",
					 .network = ms_arena_strdup(find->arena, network)};
	if (!endpoint->network || ms_avec_push(find->arena, &endpoint->workloads, workload) < 0)
		return NULL;
	ms_vec_each (struct ms_attachment, attachment, &facts->attachments) {
		const struct ms_addr *addrs[] = {&attachment->ip, &attachment->ip6};

		for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++)
			if (addrs[i]->ip != MS_IP_NONE &&
			    ms_avec_push(find->arena, &endpoint->addrs, *addrs[i]) < 0)
				return NULL;
	}
	return endpoint;
}

static int add(const struct find *find, const struct ms_workload_facts *facts, const char *network,
	       const char *reason)
{
	struct ms_uncovered uncovered = {
		.what = ms_arena_printf(find->arena, "container %s", facts->name),
		.reason = reason,
		.container = would_be(find, facts, network)};

	if (!uncovered.what || !uncovered.reason || !uncovered.container)
		return -ENOMEM;
	return ms_avec_push(find->arena, &find->inventory->uncovered, uncovered);
}

/* The mode that counts: its own, or that of the container whose namespace it joined. */
static enum ms_network_mode mode_of(const struct find *find, const struct ms_workload_facts *facts)
{
	if (facts->mode == MS_NETWORK_JOINED) {
		const struct ms_claim *joined = ms_claims_find(find->claims, facts->joined);

		return joined ? joined->facts.mode : MS_NETWORK_JOINED;
	}
	return facts->mode;
}

/* Its frames do not come in by a port of a bridge of this host, where the guard stands. NULL: they
 * do, or it is not known. */
static const char *driver_reason(const char *driver)
{
	static const struct {
		const char *driver, *reason;
	} known[] = {
		{"macvlan", "its frames pass no bridge of this host"},
		{"ipvlan", "its frames pass no bridge of this host"},
		{"overlay", "its bridge lies in a namespace of the engine"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(driver, known[i].driver) == 0)
			return known[i].reason;
	return NULL;
}

static int add_networks(const struct find *find, const struct ms_workload_facts *facts)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < facts->attachments.n_items; i++) {
		const struct ms_network *network = ms_networks_find(
			&find->claims->networks, facts->attachments.items[i].network);
		const char *reason = network ? driver_reason(network->driver) : NULL;

		if (reason)
			r = add(find, facts, network->name,
				ms_arena_printf(find->arena, "its network %s is of the kind %s: %s",
						network->name, network->driver, reason));
	}
	return r;
}

/* Not followed by this daemon, but it sees them: containers behind what is left alone. */
static int add_skipped(const struct find *find, const struct ms_claim *claim)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < find->covered->n_items; i++) {
		const struct ms_covered *covered = &find->covered->items[i];
		const struct ms_link *link = covered->link;

		bool closed = covered->cover == MS_COVER_CLOSED;

		if ((covered->cover != MS_COVER_SKIPPED && !closed) || !link->view.peer_foreign ||
		    !ms_claim_names(claim, link))
			continue;
		r = add(find, &claim->facts, "",
			ms_arena_printf(find->arena, "its interface %s is %s%s%s", link->view.name,
					closed ? "not followed" : "left alone",
					covered->reason ? ": " : ", as its bridge is",
					covered->reason ? covered->reason : ""));
	}
	return r;
}

/* Does this path of the host lead to @socket? "/run", "/var/run/docker.sock", "/" do. */
static bool leads_to(const char *path, const char *socket)
{
	static const char var[] = "/var/run";
	size_t len;

	if (strncmp(path, var, sizeof(var) - 1) == 0 && strchr("/", path[sizeof(var) - 1]))
		path += sizeof("/var") - 1;
	if (strncmp(socket, var, sizeof(var) - 1) == 0)
		socket += sizeof("/var") - 1;
	len = strlen(path);
	while (len > 0 && path[len - 1] == '/')
		len--;
	return strncmp(path, socket, len) == 0 && (socket[len] == '/' || socket[len] == '\0');
}

static const char *socket_of(const struct find *find, const struct ms_workload_facts *facts)
{
	static const char *const known[] = {"/run/docker.sock", "/run/podman/podman.sock",
					    "/run/containerd/containerd.sock",
					    "/run/crio/crio.sock"};

	ms_vec_each (char *, bind, &facts->binds) {
		if (**bind != '/')
			continue;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (leads_to(*bind, known[i]))
				return known[i];
		for (size_t i = 0; i < find->facts->n_sockets; i++)
			if (leads_to(*bind, find->facts->sockets[i]))
				return find->facts->sockets[i];
	}
	return NULL;
}

/* Who may change what is enforced is not held by it. */
static int add_powers(const struct find *find, const struct ms_workload_facts *facts)
{
	const char *socket = socket_of(find, facts);
	int r = 0;

	if (facts->privileged)
		r = add(find, facts, "", "it is privileged: it can change what this host enforces");
	else if (facts->net_admin)
		r = add(find, facts, "",
			"it has CAP_NET_ADMIN: what it does inside its own network namespace is not "
			"seen here");
	if (r == 0 && socket)
		r = add(find, facts, "",
			ms_arena_printf(find->arena,
					"it sees the engine's socket %s: it can start containers "
					"that are not held by anything",
					socket));
	return r;
}

static int look_at(const struct find *find, const struct ms_claim *claim)
{
	const struct ms_workload_facts *facts = &claim->facts;
	enum ms_network_mode mode = mode_of(find, facts);
	int r = 0;

	if (find->claims->rootless)
		return add(find, facts, "",
			   "its engine is rootless: its network lies in namespaces of that user");
	if (mode == MS_NETWORK_HOST)
		r = add(find, facts, "", "it uses the host's network");
	else if (mode == MS_NETWORK_USER)
		r = add(find, facts, "",
			"a process of the host speaks for it: its traffic is the host's own");
	if (r == 0)
		r = add_networks(find, facts);
	if (r == 0)
		r = add_skipped(find, claim);
	return r < 0 ? r : add_powers(find, facts);
}

int ms_uncovered_find(const struct ms_snapshot_facts *facts, const ms_covered_vec *covered,
		      struct ms_inventory *inventory)
{
	struct find find = {facts, covered, inventory, inventory->arena, NULL};
	int r = 0;

	for (size_t i = 0; i < facts->n_claims; i++) {
		find.claims = facts->claims[i];
		for (size_t j = 0; r == 0 && j < find.claims->live.n_items; j++)
			r = look_at(&find, find.claims->live.items[j]);
		for (size_t j = 0; r == 0 && j < find.claims->kept.n_items; j++)
			r = add_skipped(&find, find.claims->kept.items[j]);
	}
	return r;
}
