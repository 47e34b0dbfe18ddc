/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admit: the mark by which our rules tell an interface that the daemon knows from one that was made
 * anew under its name (MS_ADMITTED_GROUP). The kernel drops it with the interface, whoever looks.
 */
#pragma once

#include "discover/links.h"
#include "discover/rtnl.h"

/** Marks the interface. Returns 0; -ENODEV when it is gone; another -errno. */
int ms_admit(struct ms_rtnl *rtnl, uint32_t ifindex);

/** Takes the mark from every interface of this namespace that has it. Returns 0 or -errno. */
int ms_admit_nobody(struct ms_rtnl *rtnl);
