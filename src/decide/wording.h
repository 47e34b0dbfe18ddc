/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wording: the ends, ports and places of a flow in the words of the policy. Texts from outside the
 * policy are escaped.
 */
#pragma once

#include "microseg/decide.h"
#include "microseg/str.h"

/** " (file:line)", or nothing for a place that is not known. */
void ms_wording_place(struct ms_str *out, const struct ms_origin *at);
/** "tcp/5432". */
void ms_wording_port(struct ms_str *out, const struct ms_flow *flow);
void ms_wording_addr(struct ms_str *out, const struct ms_party *party);
/** A party as a reader would say it: "prod/web", "the host", "192.0.2.7". */
void ms_wording_party(struct ms_str *out, const struct ms_party *party);
/** A party as it is written in a document of @service in @env, which both may be NULL: in full. */
void ms_wording_peer_of(struct ms_str *out, const struct ms_party *party, const char *env,
			const char *service);
/** The peer of a grant of @own: "orders-api", "net office". */
void ms_wording_granted_peer(struct ms_str *out, const struct ms_peer *peer,
			     const struct ms_service *own);
