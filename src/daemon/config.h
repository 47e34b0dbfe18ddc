/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Config: how this node is run (not what is allowed on it: that is the policy).
 *
 *	interfaces: {managed: [br-*, veth*], named: [br-lan], ignore: [veth-mgmt*]}
 *	engines: [unix:///run/docker.sock]        # or [none]
 *	nflog_group: 5580
 *	node: node-a
 *	control: {socket: /run/microseg/control.sock, group: microseg}
 *	limits: {connections: 16384}              # of one endpoint address; 0: any number
 *	metrics: {listen: 127.0.0.1:9464}         # off by default; only on the loopback
 *	state: /var/lib/microseg
 *	log: /var/log/microseg/events.jsonl
 *
 * Files of conf.d beside the file are read after it, in sorted order: a key in a later one replaces
 * that key.
 */
#pragma once

#include "microseg/compile.h"
#include "microseg/policy.h"

#define MS_CONFIG_FILE "/etc/microseg/microseg.yaml"
#define MS_CONFIG_DROPINS "conf.d" /* beside the file */
#define MS_CONTROL_SOCKET "/run/microseg/control.sock"
#define MS_CONTROL_GROUP "microseg"
#define MS_STATE_DIR "/var/lib/microseg"
#define MS_NETNS_DIR "/run/netns"

struct ms_config {
	struct ms_arena *arena;
	ms_text_vec managed, named, ignore;
	ms_text_vec engines; /* paths of sockets */
	uint16_t nflog_group;
	uint32_t max_connections; /* of one endpoint address; 0: any number */
	const char *node;
	const char *control_socket;
	const char *control_group; /* NULL: MS_CONTROL_GROUP where there is such a group, else our
				      own */
	struct ms_addr metrics_addr;
	uint16_t metrics_port; /* 0: not on TCP */
	const char *state;
	const char *log; /* "-" for stdout, NULL for none */
};

/** Fills @config with what holds without a file. Returns 0 or -ENOMEM. */
int ms_config_init(struct ms_config *config);
void ms_config_fini(struct ms_config *config);

/** What of it goes into the compiled ruleset, at this moment. */
static inline struct ms_compile_options ms_config_compile_options(const struct ms_config *config)
{
	return (struct ms_compile_options){
		.nflog_group = config->nflog_group,
		.max_connections = config->max_connections,
		.now = time(NULL),
	};
}

/** Reads @file over the defaults. Returns 0; -EINVAL with errors in @diags; -ENOMEM. */
int ms_config_load(const struct ms_policy_file *file, struct ms_diags *diags,
		   struct ms_config *config);

/**
 * Reads the file at @path, or MS_CONFIG_FILE when @path is NULL, which may then be absent, and what
 * is in MS_CONFIG_DROPINS beside it. Returns 0, or -errno with the reason, the diagnostics of all
 * files included, in @error; then @config has what could be read.
 */
int ms_config_read(const char *path, struct ms_config *config, struct ms_str *error);

/**
 * Adds an engine as the user writes it. "unix:///run/docker.sock" adds its path, "none" takes all
 * others away. Returns 0, -EINVAL when it is neither, -ENOMEM.
 */
int ms_config_add_engine(struct ms_config *config, const char *engine);
