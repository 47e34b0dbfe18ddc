/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "load.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"
#include "preview_print.h"

/* The running daemon may have another configuration than the one at hand. */
static struct ms_compile_options compile_options(const struct cli *cli)
{
	_cleanup_(client_reply_fini) struct client_reply reply = {0};
	const char *wanted = cli->values[CLI_INVENTORY];
	int group = cli->config.nflog_group, max_connections = (int)cli->config.max_connections;

	if (wanted && strcmp(wanted, "live") != 0)
		return (struct ms_compile_options){
			.nflog_group = MS_NFLOG_GROUP_DEFAULT,
			.max_connections = MS_MAX_CONNECTIONS_DEFAULT,
			.now = cli->now,
		};
	if (client_call(cli, "/v1/status", NULL, &reply) == 0 && reply.code == 200) {
		json_t *status = json_loads(reply.body.text ? reply.body.text : "", 0, NULL);

		json_unpack(status, "{s:i, s:i}", "nflog_group", &group, "max_connections",
			    &max_connections);
		json_decref(status);
	}
	return (struct ms_compile_options){
		.nflog_group = (uint16_t)group,
		.max_connections = (uint32_t)max_connections,
		.now = cli->now,
	};
}

static bool service_exists(const struct ms_policy *policy, const struct ms_inventory *inventory,
			   const char *identity)
{
	ms_vec_each (struct ms_service, service, &policy->services)
		if (strcmp(service->identity, identity) == 0)
			return true;
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
		if (strcmp(endpoint->identity, identity) == 0)
			return true;
	return false;
}

static int print(const struct cli *cli, const struct preview *preview)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	int r = 0;

	if (cli->output == CLI_JSON) {
		_cleanup_(json_decrefp) json_t *json = preview_json(preview);

		if (!json)
			return -ENOMEM;
		json_dumpf(json, stdout, JSON_COMPACT);
		puts("");
		return 0;
	}
	if (cli_has(cli, CLI_STATS))
		r = preview_print_stats(preview, &text);
	else
		ms_ruleset_print(preview->ruleset, preview->narrow, &text);
	if (r < 0 || text.failed)
		return -ENOMEM;
	fwrite(text.text ? text.text : "", 1, text.len, stdout);
	return 0;
}

int cmd_preview(struct cli *cli)
{
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = NULL;
	const char *service = cli->values[CLI_SERVICE];

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'", cli->words.items[0]);
	if (load_policy_here(cli, &loaded) < 0 ||
	    load_inventory(cli, loaded->policy, false, &inventory) < 0)
		return CLI_UNANSWERED;
	if (service && !service_exists(loaded->policy, inventory, service))
		return cli_fail(cli, "--service %s: neither the policy nor the inventory has it",
				service);

	struct ms_compile_options options = compile_options(cli);
	int r = ms_compile(loaded->policy, inventory, &options, &ruleset);
	if (r < 0)
		return cli_fail(cli, "compiling failed: %s", strerror(-r));
	const struct preview preview = {loaded->policy, inventory, ruleset, service,
					inventory->arena};
	r = print(cli, &preview);
	return r < 0 ? cli_fail(cli, "%s", strerror(-r)) : CLI_OK;
}
