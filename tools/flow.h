/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flow: flows as people write them, and what the oracle says to them.
 */
#pragma once

#include "microseg/decide.h"

struct flow_context {
	const struct ms_policy *policy;
	const struct ms_inventory *inventory;
};

/**
 * Reads one end: an identity, `unidentified`, `host`, `node/NAME`, an address, or an endpoint's
 * name. Returns 0; -EINVAL with a sentence in @error.
 */
int flow_parse_party(const struct flow_context *context, const char *text,
		     struct ms_party *ret_party, struct ms_str *error);

/**
 * Reads "tcp/5432", "icmp/8", "proto/47", or the name of a port of the service @dst.
 * Returns 0; -EINVAL with a sentence in @error.
 */
int flow_parse_port(const struct flow_context *context, const struct ms_party *dst,
		    const char *text, uint8_t *ret_proto, uint16_t *ret_port, struct ms_str *error);

/**
 * Appends "no service 'wbe' in prod, …" with the one that may be meant, where @party is a service
 * that neither the policy nor an endpoint knows; otherwise nothing.
 */
void flow_doubt_party(const struct flow_context *context, const struct ms_party *party,
		      struct ms_str *out);

/** Appends "prod/web", "host", "node/b", "10.0.0.1 (net)", … */
void flow_print_party(const struct ms_party *party, struct ms_str *out);
/** Appends "prod/web -> prod/db tcp/5432". */
void flow_print(const struct ms_flow *flow, struct ms_str *out);
