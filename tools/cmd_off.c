/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * off and on. A living daemon is asked; without one the work is done here: the marker first, so
 * that no later start brings the tables back, then the tables, then the bridge flags.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "daemon/caps.h"
#include "daemon/flags.h"
#include "kernel/kernel.h"
#include "microseg/cleanup.h"

#define SETTLE_TRIES 50
#define SETTLE_US 100000

/* Opens the state directory as its one user. Returns 0, or -errno after saying why. */
static int take_state(const struct cli *cli, struct ms_state **ret_state)
{
	_cleanup_(ms_state_freep) struct ms_state *state = NULL;
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	pid_t holder;
	int r = ms_state_open(cli->config.state, &state, &error);

	if (r < 0) {
		cli_fail(cli, "%s", error.text ? error.text : strerror(-r));
		return r;
	}
	r = ms_state_lock(state, &holder);
	if (r == -EBUSY)
		cli_fail(
			cli,
			"microsegd runs (pid %d) but does not answer on %s; give its --control, or stop it first",
			(int)holder, cli->config.control_socket);
	else if (r < 0)
		cli_fail(cli, "cannot lock %s: %s", cli->config.state, strerror(-r));
	else
		*ret_state = ms_steal(&state);
	return r;
}

static int clear_kernel(const struct cli *cli, struct ms_state *state)
{
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	int r = ms_kernel_open(&kernel);

	if (r == 0)
		r = ms_kernel_replace(kernel, NULL, &error);
	if (r == 0)
		r = ms_flags_restore(state, &error);
	if (r < 0)
		return cli_fail(cli, "not everything could be taken away: %s",
				error.len ? error.text : strerror(-r));
	puts("off: our tables are gone and the bridges are as they were. `microseg on` brings them back.");
	return CLI_OK;
}

static int off_alone(const struct cli *cli)
{
	_cleanup_(ms_state_freep) struct ms_state *state = NULL;
	const char *missing = ms_caps_missing();

	if (missing)
		return cli_fail(cli, "needs the capability %s: be root", missing);
	if (take_state(cli, &state) < 0)
		return CLI_UNANSWERED;
	int r = ms_state_set_off(state, true);
	if (r < 0)
		return cli_fail(cli, "cannot be remembered in %s: %s", cli->config.state,
				strerror(-r));
	return clear_kernel(cli, state);
}

static int on_alone(const struct cli *cli)
{
	_cleanup_(ms_state_freep) struct ms_state *state = NULL;

	if (take_state(cli, &state) < 0)
		return CLI_UNANSWERED;
	int r = ms_state_set_off(state, false);
	if (r < 0)
		return cli_fail(cli, "cannot be remembered in %s: %s", cli->config.state,
				strerror(-r));
	puts("on: microsegd is not running; it enforces again from its next start.");
	return CLI_OK;
}

/* The order is given; this waits until it is carried out. Returns the state the daemon ends in, ""
 * when it is gone. */
static void wait_for_state(const struct cli *cli, bool off, char state[32])
{
	state[0] = '\0';
	for (int i = 0; i < SETTLE_TRIES; i++) {
		_cleanup_(json_decrefp) json_t *status = NULL;
		const char *now = "";

		if (client_json(cli, "/v1/status", NULL, &status) < 0)
			return;
		json_unpack(status, "{s:s}", "state", &now);
		snprintf(state, 32, "%s", now);
		if (strcmp(now, "starting") != 0 && (strcmp(now, "off") == 0) == off)
			return;
		usleep(SETTLE_US);
	}
}

static int ask_daemon(const struct cli *cli, bool off)
{
	_cleanup_(client_reply_fini) struct client_reply reply = {0};
	char state[32];
	int r = client_call(cli, off ? "/v1/off" : "/v1/on", "", &reply);

	if (r < 0)
		return client_fail(cli, r);
	if (reply.code != 200)
		return client_refused(cli, &reply);
	wait_for_state(cli, off, state);
	if (off && strcmp(state, "off") != 0)
		return cli_fail(cli, "microsegd is %s, not off: see microseg status",
				*state ? state : "gone");
	puts(off ? "off: our tables are gone and the bridges are as they were. `microseg on` brings them back."
		 : "on.");
	if (!off)
		printf("microsegd is %s.\n", *state ? state : "gone");
	return CLI_OK;
}

static int switch_node(struct cli *cli, bool off)
{
	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'", cli->words.items[0]);
	if (cli_has(cli, CLI_FOR))
		return cli_fail(cli, "--for: not in this version");
	if (client_alive(cli))
		return ask_daemon(cli, off);
	return off ? off_alone(cli) : on_alone(cli);
}

int cmd_off(struct cli *cli)
{
	return switch_node(cli, true);
}

int cmd_on(struct cli *cli)
{
	return switch_node(cli, false);
}
