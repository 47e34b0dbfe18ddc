/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * microsegd: reads the command line and the configuration, then hands over to the daemon.
 *
 * Exit: 0 stopped when told to, or the fence stands where it has to; 1 --check-config found errors;
 * 2 could not start or go on.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/caps.h"
#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/fence.h"
#include "microseg/cleanup.h"

enum {
	OPTION_STATE = 256,
	OPTION_CONTROL,
	OPTION_ENGINE,
	OPTION_LOG,
	OPTION_FENCE,
	OPTION_CHECK_CONFIG,
	OPTION_VERSION
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"policy", required_argument, NULL, 'p'},
	{"state", required_argument, NULL, OPTION_STATE},
	{"control", required_argument, NULL, OPTION_CONTROL},
	{"engine", required_argument, NULL, OPTION_ENGINE},
	{"log", required_argument, NULL, OPTION_LOG},
	{"fence", no_argument, NULL, OPTION_FENCE},
	{"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	{0},
};

static const char help_text[] =
	"usage: microsegd [-c FILE] [-p PATH]... [--state DIR] [--control SOCKET]\n"
	"                 [--engine unix://SOCKET]... [--log FILE|-]\n"
	"       microsegd --fence [-c FILE] [--state DIR]\n"
	"       microsegd --check-config [-c FILE]\n"
	"\n"
	"Enforces microsegmentation between the containers of this host, in the network\n"
	"namespace it is started in. Stays in the foreground. A node that never had a\n"
	"policy applied only observes.\n"
	"\n"
	"  -c, --config FILE     configuration, which may be absent (default\n"
	"                        " MS_CONFIG_FILE ")\n"
	"  -p, --policy PATH     apply this file or directory at start (several times)\n"
	"      --state DIR       what is remembered across restarts (default\n"
	"                        " MS_STATE_DIR ")\n"
	"      --control SOCKET  where `microseg` reaches us (default\n"
	"                        " MS_CONTROL_SOCKET ")\n"
	"      --engine SOCKET   unix://PATH of an engine (several times), or none\n"
	"                        (default unix:///run/docker.sock and\n"
	"                        unix:///run/podman/podman.sock)\n"
	"      --log FILE|-      also write events there as JSON lines, - for stdout\n"
	"      --fence           for boot, before networks and engines: on an armed node\n"
	"                        without tables of ours load the last good ruleset or, if\n"
	"                        that can't be read, close the door; then end\n"
	"      --check-config    only read the configuration, and print its errors\n"
	"      --help, --version\n";

static const char *arg_config;
static ms_text_vec arg_policies, arg_engines;
static const char *arg_state, *arg_control, *arg_log;
static bool arg_fence, arg_check_config;

/* Returns 1 to go on, 0 when all was said, -EINVAL. */
static int parse_option(int option)
{
	switch (option) {
	case 'c':
		arg_config = optarg;
		return 1;
	case 'p':
		return ms_vec_push(&arg_policies, optarg) < 0 ? -ENOMEM : 1;
	case OPTION_ENGINE:
		return ms_vec_push(&arg_engines, optarg) < 0 ? -ENOMEM : 1;
	case OPTION_STATE:
		arg_state = optarg;
		return 1;
	case OPTION_CONTROL:
		arg_control = optarg;
		return 1;
	case OPTION_LOG:
		arg_log = optarg;
		return 1;
	case 'h':
		fputs(help_text, stdout);
		return 0;
	case OPTION_VERSION:
		puts("microsegd " MS_VERSION);
		return 0;
	case OPTION_FENCE:
		arg_fence = true;
		return 1;
	case OPTION_CHECK_CONFIG:
		arg_check_config = true;
		return 1;
	default:
		fputs("microsegd: see microsegd --help\n", stderr);
		return -EINVAL;
	}
}

static int parse_arguments(int argc, char **argv)
{
	int option, r = 1;

	while (r > 0 && (option = getopt_long(argc, argv, "c:p:h", long_options, NULL)) >= 0)
		r = parse_option(option);
	if (r > 0 && optind < argc) {
		fprintf(stderr, "microsegd: unexpected argument '%s'; see microsegd --help\n",
			argv[optind]);
		return -EINVAL;
	}
	return r;
}

static int set_engines(struct ms_config *config)
{
	if (arg_engines.n_items > 0)
		config->engines.n_items = 0;
	ms_vec_each (const char *, engine, &arg_engines) {
		int r = ms_config_add_engine(config, *engine);

		if (r < 0) {
			fprintf(stderr, "microsegd: --engine %s: expected unix:///PATH or none\n",
				*engine);
			return r;
		}
	}
	return 0;
}

static int read_config(struct ms_config *config)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	int r = ms_config_init(config);

	if (r == 0)
		r = ms_config_read(arg_config, config, &error);
	if (r < 0)
		fprintf(stderr, "microsegd: the configuration cannot be used\n%s\n",
			error.text ? error.text : strerror(-r));
	return r;
}

/* The command line goes before the file. */
static int override(struct ms_config *config)
{
	if (arg_state)
		config->state = arg_state;
	if (arg_control)
		config->control_socket = arg_control;
	if (arg_log)
		config->log = arg_log;
	else if (!config->log && getenv("JOURNAL_STREAM"))
		config->log = "-"; /* events go where our own words go */
	return set_engines(config);
}

static int need_capabilities(void)
{
	const char *missing = ms_caps_missing();

	if (!missing)
		return 0;
	fprintf(stderr, "microsegd: needs the capability %s: run it as root, or grant it\n",
		missing);
	return -EPERM;
}

static int run(void)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	struct ms_daemon_options options = {.config = &config, .policy_paths = arg_policies};
	int r = need_capabilities();

	if (r == 0)
		r = read_config(&config);
	if (r == 0)
		r = override(&config);
	return r < 0 ? r : ms_daemon_run(&options);
}

/* A configuration with errors must not leave an armed node open: what of it can be read stands, and
 * the defaults for the rest. */
static int fence(void)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	int r = need_capabilities();

	if (r < 0)
		return r;
	r = read_config(&config);
	if (r < 0 && config.arena)
		fputs("microsegd: the fence goes by the rest of it\n", stderr);
	r = config.arena ? override(&config) : -ENOMEM;
	return r < 0 ? r : ms_fence(&config);
}

/* Returns 1 when it has errors, after printing them. */
static int check_config(void)
{
	_cleanup_(ms_config_fini) struct ms_config config = {0};
	int r = read_config(&config);

	return r == -EINVAL ? 1 : r;
}

int main(int argc, char **argv)
{
	int r;

	umask(077);
	setvbuf(stdout, NULL, _IOLBF, 0);
	r = parse_arguments(argc, argv);
	if (r > 0)
		r = arg_check_config ? check_config() : arg_fence ? fence() : run();
	ms_vec_fini(&arg_policies);
	ms_vec_fini(&arg_engines);
	return r < 0 ? 2 : r;
}
