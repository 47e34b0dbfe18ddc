/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Alias: labels written into an interface's alias,
 * `ip link set dev X alias "io.microseg.env=prod io.microseg.service=web"`.
 */
#pragma once

#include "microseg/inventory.h"

/**
 * Appends the words of @alias of the form key=value to the labels of @workload, in @arena; other
 * words mean nothing, and a key that is there already keeps its value. Returns the number of labels
 * added, or -ENOMEM.
 */
int ms_alias_labels(struct ms_arena *arena, const char *alias, struct ms_workload *workload);
/** Does @alias hold any label? */
bool ms_alias_has_labels(const char *alias);
