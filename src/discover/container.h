/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Container: what the Docker API says, read strictly. Docker and Podman's compatible socket differ
 * in details only. Pure: bytes in, values out.
 */
#pragma once

#include <stddef.h>

#include "discover/claims.h"

#define MS_CONTAINER_ID_SIZE 65 /* 64 hex digits and a NUL */
#define MS_MAX_NETWORKS 4096
/* Values of one document; each costs some 100 bytes while it is read. A container of a list has
 * about 60. */
#define MS_MAX_JSON_VALUES 1000000
#define MS_MAX_NETWORK_TEXT 1024 /* bytes of a network's name, or its driver's */

typedef MS_VEC(char *) ms_id_vec;
void ms_id_vec_fini(ms_id_vec *ids);

struct ms_engine_version {
	bool podman;
	char version[64];
	unsigned int api_minor; /* of API version 1.MINOR */
};

/** All return 0; -EINVAL when @text is no such JSON document; -ENOMEM. */
int ms_engine_version_parse(const char *text, size_t len, struct ms_engine_version *ret_version);

/** The ids of GET /containers/json; -E2BIG beyond MS_MAX_WORKLOADS. */
int ms_container_list_parse(const char *text, size_t len, ms_id_vec *ret_ids);

/** GET /containers/{id}/json; -E2BIG when labels or texts exceed their limits. */
int ms_container_parse(const char *text, size_t len, struct ms_workload_facts *ret_facts);

/** The networks of GET /networks, sorted by name; -E2BIG beyond MS_MAX_NETWORKS. */
int ms_engine_networks_parse(const char *text, size_t len, ms_network_vec *ret_networks);
/** Does GET /info say that the engine is rootless? */
int ms_engine_info_parse(const char *text, size_t len, bool *ret_rootless);

#define MS_ENGINE_NETWORKS 2

/**
 * One line of GET /events. Returns 0 and the id of the container to look at again; 1 when the event
 * changes nothing that we read; MS_ENGINE_NETWORKS when a network came or went.
 */
int ms_engine_event_parse(const char *text, size_t len, char ret_id[MS_CONTAINER_ID_SIZE]);
