/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * microseg: the command for people and pipelines. Everything before `status` in commands.c works
 * without root and off a node and changes nothing. Results go to stdout, diagnostics to stderr.
 */
#include "cli.h"

int main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
