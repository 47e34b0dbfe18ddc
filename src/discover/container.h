/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Container: what the Docker API says, read strictly. Docker and Podman's compatible socket differ
 * in details only. Pure: bytes in, values out.
 */
#pragma once

#include <stddef.h>

#include "discover/claims.h"

#define MS_CONTAINER_ID_SIZE 65 /* 64 hex digits and a NUL */

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

/**
 * One line of GET /events. Returns 0 and the id of the container to look at again, or 1 when the
 * event changes nothing that we read.
 */
int ms_engine_event_parse(const char *text, size_t len, char ret_id[MS_CONTAINER_ID_SIZE]);
