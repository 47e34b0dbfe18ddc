/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands: one function a command, one file a function. Each returns an exit code of cli.h.
 */
#pragma once

#include "cli.h"

int cmd_check(struct cli *cli);
int cmd_preview(struct cli *cli);
int cmd_explain(struct cli *cli);
int cmd_matrix(struct cli *cli);
int cmd_diff(struct cli *cli);
int cmd_test(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_endpoints(struct cli *cli);
int cmd_services(struct cli *cli);
int cmd_drops(struct cli *cli);
int cmd_apply(struct cli *cli);
int cmd_off(struct cli *cli);
int cmd_on(struct cli *cli);
int cmd_confirm(struct cli *cli);
int cmd_rollback(struct cli *cli);
int cmd_history(struct cli *cli);
int cmd_quarantine(struct cli *cli);
int cmd_grant(struct cli *cli);
int cmd_relax(struct cli *cli);
