/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/container.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "microseg/cleanup.h"

#define MAX_PID 4194304 /* PID_MAX_LIMIT */

void ms_id_vec_fini(ms_id_vec *ids)
{
	ms_vec_each (char *, id, ids)
		free(*id);
	ms_vec_fini(ids);
}

/* At least as many as the document has: what stands in texts counts too. */
static size_t count_values(const char *text, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += text[i] == ',' || text[i] == '[' || text[i] == '{';
	return n;
}

/* jansson refuses bad UTF-8, NUL in texts, what follows the document, and more than 2048 levels by
 * itself. */
static json_t *load(const char *text, size_t len)
{
	if (count_values(text, len) > MS_MAX_JSON_VALUES)
		return NULL;
	return json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
}

static bool id_is_valid(const char *id)
{
	return id && strlen(id) == MS_CONTAINER_ID_SIZE - 1 &&
	       strspn(id, "0123456789abcdef") == strlen(id);
}

/* The text at object.name; "" when absent or null; NULL when it is something else. */
static const char *get_text(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return !value || json_is_null(value) ? "" : json_string_value(value);
}

static bool names_podman(const json_t *version)
{
	const json_t *component;
	size_t i;

	json_array_foreach(json_object_get(version, "Components"), i, component)
	{
		const char *name = get_text(component, "Name");

		if (name && strcasestr(name, "podman"))
			return true;
	}
	return false;
}

int ms_engine_version_parse(const char *text, size_t len, struct ms_engine_version *ret_version)
{
	_cleanup_(json_decrefp) json_t *root = load(text, len);
	const char *api = root ? get_text(root, "ApiVersion") : NULL;
	const char *version = root ? get_text(root, "Version") : NULL;
	struct ms_engine_version found = {0};
	int end = -1;

	if (!api || !version || sscanf(api, "1.%3u%n", &found.api_minor, &end) != 1 ||
	    (size_t)end != strlen(api))
		return -EINVAL;
	found.podman = names_podman(root);
	snprintf(found.version, sizeof(found.version), "%s", version);
	*ret_version = found;
	return 0;
}

int ms_container_list_parse(const char *text, size_t len, ms_id_vec *ret_ids)
{
	_cleanup_(json_decrefp) json_t *root = load(text, len);
	_cleanup_(ms_id_vec_fini) ms_id_vec ids = {0};
	const json_t *item;
	size_t i;

	if (!json_is_array(root))
		return -EINVAL;
	if (json_array_size(root) > MS_MAX_WORKLOADS)
		return -E2BIG;
	json_array_foreach(root, i, item)
	{
		const char *id = get_text(item, "Id");

		if (!id_is_valid(id))
			return -EINVAL;
		_cleanup_(freep) char *copy = strdup(id);
		int r = copy ? ms_vec_push(&ids, copy) : -ENOMEM;
		if (r < 0)
			return r;
		copy = NULL;
	}
	*ret_ids = ids;
	ids = (ms_id_vec){0};
	return 0;
}

/* What one container may still spend on texts. */
struct budget {
	size_t left;
};

static int copy_text(struct budget *budget, const char *text, char **ret_copy)
{
	if (!text)
		return -EINVAL;
	size_t size = strlen(text) + 1;
	if (size > budget->left)
		return -E2BIG;
	char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	budget->left -= size;
	free(*ret_copy);
	*ret_copy = copy;
	return 0;
}

static int parse_labels(const json_t *labels, struct budget *budget,
			struct ms_workload_facts *facts)
{
	const char *name;
	json_t *value;

	if (!labels || json_is_null(labels))
		return 0;
	if (!json_is_object(labels))
		return -EINVAL;
	if (json_object_size(labels) > MS_MAX_WORKLOAD_LABELS)
		return -E2BIG;
	json_object_foreach((json_t *)labels, name, value)
	{
		int r = ms_vec_push(&facts->labels, ((struct ms_workload_label){0}));

		if (r < 0)
			return r;
		struct ms_workload_label *label = &facts->labels.items[facts->labels.n_items - 1];
		r = copy_text(budget, name, &label->name);
		if (r == 0)
			r = copy_text(budget, json_string_value(value), &label->value);
		if (r < 0)
			return r;
	}
	return 0;
}

/* MAC and addresses only help to tell networks apart: what can't be read is left out. */
static void parse_attachment(const json_t *network, struct ms_attachment *attachment)
{
	const char *mac = get_text(network, "MacAddress");
	const char *ip = get_text(network, "IPAddress");
	const char *ip6 = get_text(network, "GlobalIPv6Address");

	if (!mac || ms_mac_parse(mac, &attachment->mac) < 0)
		attachment->mac = (struct ms_mac){0};
	if (!ip || ms_addr_parse(ip, &attachment->ip) < 0)
		attachment->ip = (struct ms_addr){0};
	if (!ip6 || ms_addr_parse(ip6, &attachment->ip6) < 0)
		attachment->ip6 = (struct ms_addr){0};
}

static int parse_networks(const json_t *networks, struct budget *budget,
			  struct ms_workload_facts *facts)
{
	const char *name;
	json_t *network;

	if (!networks || json_is_null(networks))
		return 0;
	if (!json_is_object(networks))
		return -EINVAL;
	if (json_object_size(networks) > MS_MAX_ATTACHMENTS)
		return -E2BIG;
	json_object_foreach((json_t *)networks, name, network)
	{
		int r = ms_vec_push(&facts->attachments, ((struct ms_attachment){0}));

		if (r < 0)
			return r;
		struct ms_attachment *attachment =
			&facts->attachments.items[facts->attachments.n_items - 1];
		r = copy_text(budget, name, &attachment->network);
		if (r < 0)
			return r;
		parse_attachment(network, attachment);
	}
	return 0;
}

/* "pasta", or "pasta:options" */
static bool is_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	return strncmp(text, word, len) == 0 && (text[len] == '\0' || text[len] == ':');
}

static int parse_mode(const char *mode, struct budget *budget, struct ms_workload_facts *facts)
{
	static const char joined[] = "container:";

	if (!mode)
		return -EINVAL;
	if (strcmp(mode, "host") == 0)
		facts->mode = MS_NETWORK_HOST;
	else if (strcmp(mode, "none") == 0)
		facts->mode = MS_NETWORK_NONE;
	else if (is_word(mode, "slirp4netns") || is_word(mode, "pasta"))
		facts->mode = MS_NETWORK_USER;
	else if (strncmp(mode, joined, sizeof(joined) - 1) == 0) {
		facts->mode = MS_NETWORK_JOINED;
		return copy_text(budget, mode + sizeof(joined) - 1, &facts->joined);
	}
	return 0;
}

static int parse_state(const json_t *state, struct budget *budget, struct ms_workload_facts *facts)
{
	const json_t *running = json_object_get(state, "Running"),
		     *pid = json_object_get(state, "Pid");

	if (!json_is_boolean(running) || !json_is_integer(pid) || json_integer_value(pid) < 0 ||
	    json_integer_value(pid) > MAX_PID)
		return -EINVAL;
	facts->pid = json_is_true(running) ? (uint32_t)json_integer_value(pid) : 0;
	return copy_text(budget, get_text(state, "StartedAt"), &facts->started_at);
}

/* Docker says "NET_ADMIN", Podman "CAP_NET_ADMIN". */
static bool is_net_admin(const char *capability)
{
	static const char prefix[] = "CAP_";

	if (!capability)
		return false;
	if (strncasecmp(capability, prefix, sizeof(prefix) - 1) == 0)
		capability += sizeof(prefix) - 1;
	return strcasecmp(capability, "NET_ADMIN") == 0 || strcasecmp(capability, "ALL") == 0;
}

static void parse_powers(const json_t *host_config, struct ms_workload_facts *facts)
{
	const json_t *capability;
	size_t i;

	facts->privileged = json_is_true(json_object_get(host_config, "Privileged"));
	json_array_foreach(json_object_get(host_config, "CapAdd"), i, capability)
		facts->net_admin |= is_net_admin(json_string_value(capability));
}

static int parse_mounts(const json_t *mounts, struct budget *budget,
			struct ms_workload_facts *facts)
{
	const json_t *mount;
	size_t i;

	if (json_array_size(mounts) > MS_MAX_BINDS)
		return -E2BIG;
	json_array_foreach(mounts, i, mount)
	{
		const char *type = get_text(mount, "Type");

		if (!type || strcmp(type, "bind") != 0)
			continue;
		int r = ms_vec_push(&facts->binds, NULL);
		if (r == 0)
			r = copy_text(budget, get_text(mount, "Source"),
				      &facts->binds.items[facts->binds.n_items - 1]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* {"5432/tcp": [{"HostIp": "0.0.0.0", "HostPort": "15432"}], "80/tcp": null} */
static bool is_published(const json_t *bindings)
{
	const json_t *binding;
	struct ms_addr addr;
	size_t i;

	json_array_foreach(bindings, i, binding)
	{
		const char *ip = get_text(binding, "HostIp");

		if (!ip || ms_addr_parse(ip, &addr) < 0 || !ms_addr_is_loopback(&addr))
			return true;
	}
	return false;
}

/* They are only warned of: what can't be read is left out. */
static int parse_published(const json_t *ports, struct ms_workload_facts *facts)
{
	const char *name;
	json_t *bindings;

	json_object_foreach((json_t *)ports, name, bindings)
	{
		const char *slash = strchr(name, '/');
		char text[MS_PORTS_TEXT_SIZE];
		struct ms_ports port;

		if (!slash || !is_published(bindings) ||
		    facts->published.n_items == MS_MAX_PUBLISHED)
			continue;
		snprintf(text, sizeof(text), "%s/%.*s", slash + 1, (int)(slash - name), name);
		if (ms_ports_parse(text, &port) == 0 && ms_vec_push(&facts->published, port) < 0)
			return -ENOMEM;
	}
	ms_ports_normalize(&facts->published);
	return 0;
}

static int parse_container(const json_t *root, struct ms_workload_facts *facts)
{
	struct budget budget = {MS_MAX_WORKLOAD_TEXT};
	const json_t *config = json_object_get(root, "Config");
	const json_t *host_config = json_object_get(root, "HostConfig");
	const json_t *settings = json_object_get(root, "NetworkSettings");
	const char *id = get_text(root, "Id"), *name = get_text(root, "Name");

	if (!json_is_object(config) || !id_is_valid(id) || !name)
		return -EINVAL;
	int r = copy_text(&budget, id, &facts->id);
	if (r == 0)
		r = copy_text(&budget, name[0] == '/' ? name + 1 : name, &facts->name);
	if (r == 0)
		r = copy_text(&budget, get_text(config, "Image"), &facts->image);
	if (r == 0)
		r = parse_labels(json_object_get(config, "Labels"), &budget, facts);
	if (r == 0)
		r = parse_state(json_object_get(root, "State"), &budget, facts);
	if (r == 0)
		r = parse_mode(get_text(host_config, "NetworkMode"), &budget, facts);
	if (r == 0)
		r = parse_mounts(json_object_get(root, "Mounts"), &budget, facts);
	parse_powers(host_config, facts);
	if (r == 0)
		r = parse_networks(json_object_get(settings, "Networks"), &budget, facts);
	if (r == 0)
		r = parse_published(json_object_get(settings, "Ports"), facts);
	return r;
}

int ms_container_parse(const char *text, size_t len, struct ms_workload_facts *ret_facts)
{
	_cleanup_(json_decrefp) json_t *root = load(text, len);
	_cleanup_(ms_workload_facts_fini) struct ms_workload_facts facts = {0};

	if (!json_is_object(root))
		return -EINVAL;
	int r = parse_container(root, &facts);
	if (r < 0)
		return r;
	*ret_facts = facts;
	facts = (struct ms_workload_facts){0};
	return 0;
}

static int copy_network(const json_t *item, struct ms_network *network)
{
	struct budget budget = {2 * MS_MAX_NETWORK_TEXT};
	int r = copy_text(&budget, get_text(item, "Name"), &network->name);

	return r < 0 ? r : copy_text(&budget, get_text(item, "Driver"), &network->driver);
}

static int compare_networks(const void *a, const void *b)
{
	return strcmp(((const struct ms_network *)a)->name, ((const struct ms_network *)b)->name);
}

int ms_engine_networks_parse(const char *text, size_t len, ms_network_vec *ret_networks)
{
	_cleanup_(json_decrefp) json_t *root = load(text, len);
	_cleanup_(ms_network_vec_fini) ms_network_vec networks = {0};
	const json_t *item;
	size_t i;

	if (!json_is_array(root))
		return -EINVAL;
	if (json_array_size(root) > MS_MAX_NETWORKS)
		return -E2BIG;
	json_array_foreach(root, i, item)
	{
		int r = ms_vec_push(&networks, ((struct ms_network){0}));

		if (r == 0)
			r = copy_network(item, &networks.items[networks.n_items - 1]);
		if (r < 0)
			return r;
	}
	ms_vec_sort(&networks, compare_networks);
	*ret_networks = networks;
	networks = (ms_network_vec){0};
	return 0;
}

int ms_engine_info_parse(const char *text, size_t len, bool *ret_rootless)
{
	_cleanup_(json_decrefp) json_t *root = load(text, len);
	bool rootless = false;
	const json_t *option;
	size_t i;

	if (!json_is_object(root))
		return -EINVAL;
	json_array_foreach(json_object_get(root, "SecurityOptions"), i, option) rootless |=
		json_is_string(option) && strcmp(json_string_value(option), "name=rootless") == 0;
	*ret_rootless = rootless;
	return 0;
}

/* "exec_create: sh", "health_status: healthy" and their like come often and change nothing that we
 * read. */
static const char *const container_actions[] = {
	"create",  "start",   "restart", "stop",       "kill",	 "die",
	"died",	   "destroy", "remove",	 "rename",     "update", "pause",
	"unpause", "connect", "oom",	 "disconnect", NULL};
static const char *const network_actions[] = {"create", "destroy", "remove", NULL};

static bool is_one_of(const char *const *actions, const char *action)
{
	for (; *actions; actions++)
		if (strcmp(*actions, action) == 0)
			return true;
	return false;
}

int ms_engine_event_parse(const char *text, size_t len, char ret_id[MS_CONTAINER_ID_SIZE])
{
	_cleanup_(json_decrefp) json_t *root = load(text, len);
	const json_t *actor = json_object_get(root, "Actor");
	const char *type = get_text(root, "Type"), *action = get_text(root, "Action");

	if (!json_is_object(root) || !type || !action)
		return -EINVAL;
	const char *id = get_text(actor, "ID");
	if (strcmp(type, "network") == 0 && is_one_of(network_actions, action))
		return MS_ENGINE_NETWORKS;
	if (strcmp(type, "network") == 0)
		id = get_text(json_object_get(actor, "Attributes"), "container");
	else if (strcmp(type, "container") != 0)
		return 1;
	if (!is_one_of(container_actions, action) || (id && !*id))
		return 1;
	if (!id_is_valid(id))
		return -EINVAL;
	memcpy(ret_id, id, MS_CONTAINER_ID_SIZE);
	return 0;
}
