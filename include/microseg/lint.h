/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lint: what is right in a policy and still looks wrong beside what runs on a node. What can be
 * seen in the policy alone is warned of by ms_policy_load().
 */
#pragma once

#include "microseg/inventory.h"

/** Adds the identities ("env/service") that endpoints of @inventory bear to @identities: sorted,
 * each once. 0 or -ENOMEM. */
int ms_inventory_identities(const struct ms_inventory *inventory, ms_text_vec *identities);

/**
 * Adds warnings about @policy and @inventory, identified under it: services that no endpoint is,
 * identities that several Compose projects share, containers without an identity, and what is not
 * covered. The places are the policy's; its
 * @files give the lines shown.
 */
void ms_lint_inventory(const struct ms_policy *policy, const struct ms_inventory *inventory,
		       const struct ms_policy_file *files, size_t n_files, struct ms_diags *diags);
