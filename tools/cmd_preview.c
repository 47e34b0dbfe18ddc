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

int cmd_preview(struct cli *cli)
{
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = NULL;
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	const char *service = cli->values[CLI_SERVICE];

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'", cli->words.items[0]);
	if (cli->output == CLI_JSON)
		return cli_fail(cli, "-o json: not in this version");
	if (load_policy(cli, &loaded) < 0 ||
	    load_inventory(cli, loaded->policy, false, &inventory) < 0)
		return CLI_UNANSWERED;
	if (service && !service_exists(loaded->policy, inventory, service))
		return cli_fail(cli, "--service %s: neither the policy nor the inventory has it",
				service);

	struct ms_compile_options options = compile_options(cli);
	int r = ms_compile(loaded->policy, inventory, &options, &ruleset);
	if (r < 0)
		return cli_fail(cli, "compiling failed: %s", strerror(-r));
	ms_ruleset_print(ruleset, service, &text);
	if (text.failed)
		return cli_fail(cli, "out of memory");
	fwrite(text.text ? text.text : "", 1, text.len, stdout);
	return CLI_OK;
}
