/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/files.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"
#include "microseg/yaml.h"

#define ENGINE_SCHEME "unix://"
#define MAX_KEYS 16
#define MAX_CONNECTIONS 1000000

/* What a reader of one value needs to know. */
struct context {
	const struct ms_policy_file *file;
	struct ms_diags *diags;
	struct ms_config *config;
};

typedef int (*read_fn)(struct context *context, const struct ms_yaml_node *node, void *field);

struct key {
	const char *name;
	read_fn read;
	size_t offset; /* of the field in struct ms_config */
};

static int refuse(struct context *context, const struct ms_yaml_node *node, const char *code,
		  const char *expected)
{
	ms_yaml_error(context->file, context->diags, &node->at, code, expected, "%s",
		      node->kind == MS_YAML_SCALAR ? "this value does not fit"
						   : "unexpected kind of value");
	return 0;
}

static int read_keys(struct context *context, const struct ms_yaml_node *node,
		     const struct key *keys, size_t n_keys);

static int read_text(struct context *context, const struct ms_yaml_node *node, void *field)
{
	const char **text = field;

	if (node->kind != MS_YAML_SCALAR || !*node->text)
		return refuse(context, node, "bad-value", "expected a text");
	*text = ms_arena_strdup(context->config->arena, node->text);
	return *text ? 0 : -ENOMEM;
}

static int read_path(struct context *context, const struct ms_yaml_node *node, void *field)
{
	if (node->kind != MS_YAML_SCALAR || node->text[0] != '/')
		return refuse(context, node, "bad-value", "expected an absolute path");
	return read_text(context, node, field);
}

static int read_log(struct context *context, const struct ms_yaml_node *node, void *field)
{
	if (node->kind == MS_YAML_SCALAR && strcmp(node->text, "-") == 0)
		return read_text(context, node, field);
	return read_path(context, node, field);
}

static bool read_number(const struct ms_yaml_node *node, unsigned long most,
			unsigned long *ret_value)
{
	char *end = NULL;
	unsigned long value = node->kind == MS_YAML_SCALAR ? strtoul(node->text, &end, 10) : 0;

	if (!end || *end || node->text[0] < '0' || node->text[0] > '9' || value > most)
		return false;
	*ret_value = value;
	return true;
}

static int read_group(struct context *context, const struct ms_yaml_node *node, void *field)
{
	unsigned long value;

	if (!read_number(node, UINT16_MAX, &value))
		return refuse(context, node, "bad-value", "expected a number from 0 to 65535");
	*(uint16_t *)field = (uint16_t)value;
	return 0;
}

static int read_connections(struct context *context, const struct ms_yaml_node *node, void *field)
{
	unsigned long value;

	if (!read_number(node, MAX_CONNECTIONS, &value))
		return refuse(context, node, "bad-value",
			      "expected a number from 1 to 1000000, or 0 for no limit");
	*(uint32_t *)field = (uint32_t)value;
	return 0;
}

/* A list of texts, each put away by @add. */
static int read_list(struct context *context, const struct ms_yaml_node *node, const char *expected,
		     int (*add)(struct ms_config *config, ms_text_vec *list, const char *text),
		     ms_text_vec *list)
{
	if (node->kind != MS_YAML_SEQUENCE)
		return refuse(context, node, "bad-value", expected);
	list->n_items = 0;
	ms_vec_each (struct ms_yaml_node *, item, &node->items) {
		int r = (*item)->kind == MS_YAML_SCALAR ? add(context->config, list, (*item)->text)
							: -EINVAL;

		if (r == -EINVAL)
			refuse(context, *item, "bad-value", expected);
		else if (r < 0)
			return r;
	}
	return 0;
}

static int add_text(struct ms_config *config, ms_text_vec *list, const char *text)
{
	if (!*text)
		return -EINVAL;

	const char *copy = ms_arena_strdup(config->arena, text);
	return copy ? ms_avec_push(config->arena, list, copy) : -ENOMEM;
}

/* Patterns stand in rules, and nft has no way to write a quotation mark there. */
static int add_pattern(struct ms_config *config, ms_text_vec *list, const char *text)
{
	return strchr(text, '"') ? -EINVAL : add_text(config, list, text);
}

static int read_patterns(struct context *context, const struct ms_yaml_node *node, void *field)
{
	return read_list(context, node,
			 "expected a list of interface name patterns, none with a \"", add_pattern,
			 field);
}

static int add_engine(struct ms_config *config, ms_text_vec *list, const char *text)
{
	(void)list;
	return ms_config_add_engine(config, text);
}

static int read_engines(struct context *context, const struct ms_yaml_node *node, void *field)
{
	return read_list(context, node, "expected a list of unix:///PATH, or [none]", add_engine,
			 field);
}

static int read_interfaces(struct context *context, const struct ms_yaml_node *node, void *field)
{
	static const struct key keys[] = {
		{"managed", read_patterns, offsetof(struct ms_config, managed)},
		{"named", read_patterns, offsetof(struct ms_config, named)},
		{"ignore", read_patterns, offsetof(struct ms_config, ignore)},
	};

	(void)field;
	return read_keys(context, node, keys, sizeof(keys) / sizeof(keys[0]));
}

static int read_control(struct context *context, const struct ms_yaml_node *node, void *field)
{
	static const struct key keys[] = {
		{"socket", read_path, offsetof(struct ms_config, control_socket)},
		{"group", read_text, offsetof(struct ms_config, control_group)},
	};

	(void)field;
	return read_keys(context, node, keys, sizeof(keys) / sizeof(keys[0]));
}

static int read_limits(struct context *context, const struct ms_yaml_node *node, void *field)
{
	static const struct key keys[] = {
		{"connections", read_connections, offsetof(struct ms_config, max_connections)},
	};

	(void)field;
	return read_keys(context, node, keys, sizeof(keys) / sizeof(keys[0]));
}

/* "127.0.0.1:9464" or "[::1]:9464". Who else may see what a node refuses is not ours to guess. */
static int read_listen(struct context *context, const struct ms_yaml_node *node, void *field)
{
	static const char expected[] = "expected a loopback address and a port, such as "
				       "127.0.0.1:9464 or [::1]:9464";
	struct ms_config *config = context->config;
	char text[MS_ADDR_TEXT_SIZE] = "";
	unsigned int port = 0;
	struct ms_addr addr;
	int end = 0;

	(void)field;
	if (node->kind != MS_YAML_SCALAR ||
	    (sscanf(node->text, "[%45[0-9a-fA-F:.]]:%5u%n", text, &port, &end) != 2 &&
	     sscanf(node->text, "%45[0-9.]:%5u%n", text, &port, &end) != 2) ||
	    node->text[end] || port == 0 || port > UINT16_MAX || ms_addr_parse(text, &addr) < 0 ||
	    !ms_addr_is_loopback(&addr))
		return refuse(context, node, "bad-value", expected);
	config->metrics_addr = addr;
	config->metrics_port = (uint16_t)port;
	return 0;
}

static int read_metrics(struct context *context, const struct ms_yaml_node *node, void *field)
{
	static const struct key keys[] = {{"listen", read_listen, 0}};

	(void)field;
	return read_keys(context, node, keys, sizeof(keys) / sizeof(keys[0]));
}

static const struct key top_keys[] = {
	{"interfaces", read_interfaces, 0},
	{"engines", read_engines, offsetof(struct ms_config, engines)},
	{"nflog_group", read_group, offsetof(struct ms_config, nflog_group)},
	{"limits", read_limits, 0},
	{"node", read_text, offsetof(struct ms_config, node)},
	{"control", read_control, 0},
	{"metrics", read_metrics, 0},
	{"state", read_path, offsetof(struct ms_config, state)},
	{"log", read_log, offsetof(struct ms_config, log)},
};

static void unknown_key(struct context *context, const struct ms_yaml_node *key,
			const struct key *keys, size_t n_keys)
{
	_cleanup_(ms_str_fini) struct ms_str hint = {0};
	const char *names[MAX_KEYS];

	for (size_t i = 0; i < n_keys; i++)
		names[i] = keys[i].name;
	const char *nearest = ms_nearest_word(key->text, names, n_keys);

	if (nearest)
		ms_str_addf(&hint, "did you mean '%s'?", nearest);
	else
		ms_str_add(&hint, "known keys:");
	for (size_t i = 0; !nearest && i < n_keys; i++)
		ms_str_addf(&hint, " %s", names[i]);
	ms_yaml_error(context->file, context->diags, &key->at, "unknown-key", hint.text,
		      "unknown key '%s'", key->text);
}

static int read_keys(struct context *context, const struct ms_yaml_node *node,
		     const struct key *keys, size_t n_keys)
{
	if (node->kind != MS_YAML_MAPPING)
		return refuse(context, node, "bad-value", "expected keys with values");
	ms_vec_each (struct ms_yaml_entry, entry, &node->entries) {
		const struct key *key = NULL;

		for (size_t i = 0; i < n_keys && !key; i++)
			if (strcmp(keys[i].name, entry->key->text) == 0)
				key = &keys[i];
		if (!key) {
			unknown_key(context, entry->key, keys, n_keys);
			continue;
		}
		int r = key->read(context, entry->value, (char *)context->config + key->offset);
		if (r < 0)
			return r;
	}
	return 0;
}

static int set_defaults(struct ms_config *config)
{
	char node[256] = "localhost";
	int r = 0;

	gethostname(node, sizeof(node) - 1);
	config->node = ms_arena_strdup(config->arena, node);
	if (!config->node)
		return -ENOMEM;
	for (size_t i = 0; ms_default_patterns[i] && r == 0; i++)
		r = add_text(config, &config->managed, ms_default_patterns[i]);
	if (r == 0)
		r = ms_config_add_engine(config, "unix:///run/docker.sock");
	if (r == 0)
		r = ms_config_add_engine(config, "unix:///run/podman/podman.sock");
	return r;
}

int ms_config_init(struct ms_config *config)
{
	*config = (struct ms_config){
		.arena = ms_arena_new(),
		.nflog_group = MS_NFLOG_GROUP_DEFAULT,
		.max_connections = MS_MAX_CONNECTIONS_DEFAULT,
		.control_socket = MS_CONTROL_SOCKET,
		.state = MS_STATE_DIR,
	};
	return config->arena ? set_defaults(config) : -ENOMEM;
}

void ms_config_fini(struct ms_config *config)
{
	ms_arena_free(config->arena);
	*config = (struct ms_config){0};
}

int ms_config_add_engine(struct ms_config *config, const char *engine)
{
	if (strcmp(engine, "none") == 0) {
		config->engines.n_items = 0;
		return 0;
	}
	if (strncmp(engine, ENGINE_SCHEME "/", strlen(ENGINE_SCHEME) + 1) != 0)
		return -EINVAL;
	return add_text(config, &config->engines, engine + strlen(ENGINE_SCHEME));
}

int ms_config_load(const struct ms_policy_file *file, struct ms_diags *diags,
		   struct ms_config *config)
{
	struct context context = {.file = file, .diags = diags, .config = config};
	struct ms_yaml_file yaml = {0};
	int r = ms_yaml_parse(config->arena, file, diags, &yaml);

	if (r == -ENOMEM)
		return r;
	if (yaml.documents.n_items > 1)
		ms_yaml_error(file, diags, &yaml.documents.items[1]->at, "extra-document", NULL,
			      "a configuration is one document");
	else if (yaml.documents.n_items == 1)
		r = read_keys(&context, yaml.documents.items[0], top_keys,
			      sizeof(top_keys) / sizeof(top_keys[0]));
	if (r == -ENOMEM || diags->out_of_memory)
		return -ENOMEM;
	return diags->n_errors ? -EINVAL : 0;
}

/* Reads the one file at @path. */
static int read_main(struct ms_files *files, const char *path, struct ms_str *error)
{
	int r = ms_files_read(files, path, error);

	if (r < 0 || files->list.n_items == 1)
		return r;
	ms_str_add_safe(error, path);
	ms_str_add(error, ": a configuration is one file, not a directory");
	return -EISDIR;
}

static int read_dropins(struct ms_files *files, const char *path, struct ms_str *error)
{
	_cleanup_(ms_str_fini) struct ms_str directory = {0}, none = {0};
	const char *slash = strrchr(path, '/');

	ms_str_addf(&directory, "%.*s" MS_CONFIG_DROPINS, slash ? (int)(slash - path + 1) : 0,
		    path);
	if (directory.failed)
		return -ENOMEM;
	if (access(directory.text, F_OK) < 0 && errno == ENOENT)
		return 0;
	int r = ms_files_read(files, directory.text, &none);
	if (r < 0 && r != -ENOENT) /* that it has no *.yaml is no error */
		ms_str_add(error, none.text ? none.text : directory.text);
	return r == -ENOENT ? 0 : r;
}

static int load_all(const struct ms_files *files, struct ms_config *config, struct ms_str *error)
{
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
	int r = ms_diags_init(&diags);

	ms_vec_each (const struct ms_policy_file, file, &files->list)
		if (r == 0 || r == -EINVAL)
			r = ms_config_load(file, &diags, config);
	if (r < 0)
		ms_diags_print(&diags, error, false);
	return r;
}

int ms_config_read(const char *path, struct ms_config *config, struct ms_str *error)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	bool absent = !path && access(MS_CONFIG_FILE, F_OK) < 0 && errno == ENOENT;
	int r = ms_files_init(&files);

	if (!path)
		path = MS_CONFIG_FILE;
	if (r == 0 && !absent)
		r = read_main(&files, path, error);
	if (r == 0)
		r = read_dropins(&files, path, error);
	return r < 0 ? r : load_all(&files, config, error);
}
