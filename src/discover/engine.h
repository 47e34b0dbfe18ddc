/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Engine: one Docker or Podman socket as a source of names.
 */
#pragma once

#include "discover/claims.h"
#include "discover/discover.h"
#include "discover/http.h"
#include "discover/rtnl.h"
#include "microseg/str.h"

struct ms_engine;

struct ms_engine_handler {
	void (*changed)(void *userdata); /* claims or health differ */
	uint64_t (*seq)(void *userdata); /* the serial number of the newest link, see claims.h */
	void *userdata;
};

/** Starts to follow the engine behind @path. @http and @rtnl stay the caller's. @memory: what
 * ms_engine_remember() wrote in an earlier life, or NULL. Returns 0 or -ENOMEM. */
int ms_engine_new(struct ms_loop *loop, struct ms_http *http, struct ms_rtnl *rtnl,
		  const char *path, const char *memory, const struct ms_engine_handler *handler,
		  struct ms_engine **ret_engine);
struct ms_engine *ms_engine_free(struct ms_engine *engine);

struct ms_source_health ms_engine_health(const struct ms_engine *engine);
struct ms_claims *ms_engine_claims(struct ms_engine *engine);

/** Appends what it knows of its containers. */
void ms_engine_remember(const struct ms_engine *engine, struct ms_str *out);

/** A namespace got its id: containers that were in none may be in it. */
void ms_engine_nsid_new(struct ms_engine *engine);
/** Events of the kernel were lost: where containers live must be asked again. */
void ms_engine_gap(struct ms_engine *engine);
