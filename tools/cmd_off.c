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
#include "times.h"

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

static void say_off(time_t until)
{
	char end[TIMES_TEXT_SIZE];

	puts("off: our tables are gone and the bridges are as they were. NOTHING IS ENFORCED.");
	if (until)
		printf("It comes back by itself at %s; `microseg on` brings it back before.\n",
		       times_format_end(until, time(NULL), end));
	else
		puts("`microseg on` brings it back.");
}

static int say_json(const struct cli *cli, bool off, time_t until, const char *state)
{
	json_t *json =
		json_pack("{s:b, s:o, s:s?}", "off", off, "until",
			  until ? json_integer((json_int_t)until) : json_null(), "state", state);

	return cli_print_json(cli, json);
}

static int clear_kernel(const struct cli *cli, struct ms_state *state, time_t until)
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
	if (cli->output == CLI_JSON)
		return say_json(cli, true, until, NULL);
	say_off(until);
	if (until)
		puts("microsegd is not running: somebody has to start it for that.");
	return CLI_OK;
}

static int off_alone(const struct cli *cli, time_t until)
{
	_cleanup_(ms_state_freep) struct ms_state *state = NULL;
	const char *missing = ms_caps_missing();

	if (missing)
		return cli_fail(cli, "needs the capability %s: be root", missing);
	if (take_state(cli, &state) < 0)
		return CLI_UNANSWERED;
	int r = ms_state_set_off(state, true, until);
	if (r < 0)
		return cli_fail(cli, "cannot be remembered in %s: %s", cli->config.state,
				strerror(-r));
	return clear_kernel(cli, state, until);
}

static int on_alone(const struct cli *cli)
{
	_cleanup_(ms_state_freep) struct ms_state *state = NULL;

	if (take_state(cli, &state) < 0)
		return CLI_UNANSWERED;
	int r = ms_state_set_off(state, false, 0);
	if (r < 0)
		return cli_fail(cli, "cannot be remembered in %s: %s", cli->config.state,
				strerror(-r));
	if (cli->output == CLI_JSON)
		return say_json(cli, false, 0, NULL);
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

static int ask_daemon(const struct cli *cli, bool off, time_t seconds)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	char state[32], body[64] = "";
	json_int_t until = 0;

	if (seconds)
		snprintf(body, sizeof(body), "{\"for\": %lld}", (long long)seconds);
	if (client_json(cli, off ? "/v1/off" : "/v1/on", body, &reply) < 0)
		return CLI_UNANSWERED;
	json_unpack(reply, "{s:I}", "until", &until);
	wait_for_state(cli, off, state);
	if (off && strcmp(state, "off") != 0)
		return cli_fail(cli, "microsegd is %s, not off: see microseg status",
				*state ? state : "gone");
	if (cli->output == CLI_JSON)
		return say_json(cli, off, (time_t)until, state);
	if (off)
		say_off((time_t)until);
	else
		printf("on: microsegd is %s.\n", *state ? state : "gone");
	return CLI_OK;
}

static int switch_node(struct cli *cli, bool off)
{
	time_t seconds = 0;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'", cli->words.items[0]);
	if (cli_has(cli, CLI_FOR) && times_parse(cli, CLI_FOR, &seconds) < 0)
		return CLI_UNANSWERED;
	if (client_alive(cli))
		return ask_daemon(cli, off, seconds);
	return off ? off_alone(cli, seconds ? time(NULL) + seconds : 0) : on_alone(cli);
}

int cmd_off(struct cli *cli)
{
	return switch_node(cli, true);
}

int cmd_on(struct cli *cli)
{
	return switch_node(cli, false);
}
