/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "live.h"
#include "microseg/cleanup.h"
#include "running.h"

/* On a node whose files lie elsewhere, the policy without -p is the one in force. */
static bool means_running(const struct cli *cli)
{
	return cli->policies.n_items == 0 && access(MS_POLICY_DIR, F_OK) < 0 &&
	       access(cli->config.control_socket, F_OK) == 0;
}

static int load_running(const struct cli *cli, struct ms_loaded **ret_loaded)
{
	int r = running_policy(cli, ret_loaded);

	if (r < 0)
		return r;
	if (!*ret_loaded) {
		cli_fail(cli, "%s does not exist, and no policy is in force here; say -p PATH",
			 MS_POLICY_DIR);
		return -ENOENT;
	}
	fprintf(stderr, "(%s does not exist: this is about the policy in force on this node)\n",
		MS_POLICY_DIR);
	return 0;
}

static int load_files(const struct cli *cli, bool here, struct ms_loaded **ret_loaded)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0}, diagnostics = {0}, runtime = {0};
	int r = ms_files_read_patiently(&files, &cli->policies, &error);

	if (r < 0) {
		cli_fail(cli, "%s", error.text ? error.text : strerror(-r));
		return r == -EINVAL ? -EBADF : r;
	}
	if (here && load_is_live(cli))
		running_overlay(cli, &runtime);
	r = ms_loaded_new_with(&files, runtime.text, cli->now, cli->color_errors, &diagnostics,
			       ret_loaded);
	if (diagnostics.text)
		fputs(diagnostics.text, stderr);
	if (r < 0 && r != -EINVAL)
		cli_fail(cli, "%s", strerror(-r));
	return r;
}

bool load_is_live(const struct cli *cli)
{
	const char *wanted = cli->values[CLI_INVENTORY];

	return !wanted || strcmp(wanted, "live") == 0;
}

int load_policy(const struct cli *cli, struct ms_loaded **ret_loaded)
{
	return means_running(cli) ? load_running(cli, ret_loaded)
				  : load_files(cli, false, ret_loaded);
}

int load_policy_here(const struct cli *cli, struct ms_loaded **ret_loaded)
{
	return means_running(cli) ? load_running(cli, ret_loaded)
				  : load_files(cli, true, ret_loaded);
}

int load_policy_files(const struct cli *cli, struct ms_loaded **ret_loaded)
{
	return load_files(cli, true, ret_loaded);
}

static int parse_inventory(const struct cli *cli, const struct ms_policy_file *file,
			   struct ms_inventory **ret_inventory)
{
	_cleanup_(ms_diags_fini) struct ms_diags diags = {0};
	_cleanup_(ms_str_fini) struct ms_str text = {0};
	int r = ms_diags_init(&diags);

	if (r == 0)
		r = ms_inventory_load(file, &diags, ret_inventory);
	if (r == -ENOMEM)
		cli_fail(cli, "out of memory");
	ms_diags_print(&diags, &text, cli->color_errors);
	if (text.text)
		fputs(text.text, stderr);
	return r;
}

static int read_inventory(const struct cli *cli, const char *path,
			  struct ms_inventory **ret_inventory)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	int r = ms_files_init(&files);

	files.inventory = true;
	if (r == 0)
		r = ms_files_read(&files, path, &error);
	if (r == 0 && files.list.n_items != 1) {
		ms_str_addf(&error, "%s: an inventory is one file", path);
		r = -EINVAL;
	}
	if (r < 0) {
		cli_fail(cli, "%s", error.text ? error.text : strerror(-r));
		return r;
	}
	return parse_inventory(cli, &files.list.items[0], ret_inventory);
}

static int ask_inventory(const struct cli *cli, struct ms_inventory **ret_inventory)
{
	_cleanup_(client_reply_fini) struct client_reply reply = {0};
	int r = client_call(cli, "/v1/inventory", NULL, &reply);

	if (r < 0)
		return r;
	if (reply.code != 200)
		return -EBADMSG;
	struct ms_policy_file file = {
		.name = "(microsegd)",
		.bytes = reply.body.text ? reply.body.text : "",
		.size = reply.body.len,
	};
	return parse_inventory(cli, &file, ret_inventory);
}

static int look_at_node(const struct cli *cli, struct ms_inventory **ret_inventory)
{
	int r = live_inventory(&cli->config, ret_inventory);

	if (r == -EPERM)
		cli_fail(
			cli,
			"microsegd does not answer on %s, and looking at this node without it needs root; "
			"-i FILE takes an inventory from a file",
			cli->config.control_socket);
	else if (r < 0)
		cli_fail(cli,
			 "looking at this node failed: %s; -i FILE takes an inventory from a file",
			 strerror(-r));
	return r;
}

int load_inventory(const struct cli *cli, const struct ms_policy *policy, bool optional,
		   struct ms_inventory **ret_inventory)
{
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	const char *wanted = cli->values[CLI_INVENTORY];
	bool live = wanted && strcmp(wanted, "live") == 0;
	int r;

	if (wanted && !live) {
		r = read_inventory(cli, wanted, &inventory);
	} else {
		r = ask_inventory(cli, &inventory);
		if (r < 0 && (live || !optional))
			r = look_at_node(cli, &inventory);
		else if (r < 0)
			r = (inventory = ms_inventory_new()) ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = ms_inventory_identify(inventory, policy);
	if (r == 0)
		*ret_inventory = ms_steal(&inventory);
	return r;
}
