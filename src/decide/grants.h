/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grants: which lines of a policy cover a flow. Shared by the decision and by the search for the
 * nearest miss.
 *
 * Every search returns the first entry in the policy's canonical order, or NULL.
 */
#pragma once

#include "microseg/decide.h"

/** Is @party an endpoint, identified or not? */
static inline bool ms_party_is_endpoint(const struct ms_party *party)
{
	return party->kind == MS_PARTY_SERVICE || party->kind == MS_PARTY_UNIDENTIFIED;
}

/** Addresses that are never net and that no CIDR covers: multicast, broadcast, link-local,
 * loopback, unspecified. */
bool ms_addr_is_special(const struct ms_addr *addr);

/** The document of an identified party, or NULL. */
const struct ms_service *ms_party_document(const struct ms_policy *policy,
					   const struct ms_party *party);

/** Does @peer, written in the document of @own (NULL outside of services), name @party? */
bool ms_peer_covers(const struct ms_peer *peer, const struct ms_service *own,
		    const struct ms_party *party);

/** Does a grant have to say `published` to cover this flow? */
bool ms_asks_published(const struct ms_flow *flow);
bool ms_ports_vec_cover(const ms_ports_vec *ports, uint8_t proto, uint16_t port);

const struct ms_never *ms_find_never(const struct ms_policy *policy, const struct ms_flow *flow);
const struct ms_crossing *ms_find_crossing(const struct ms_policy *policy,
					   const struct ms_flow *flow, time_t now);
/** The provider's key: an `allow` of the destination. */
const struct ms_grant *ms_find_allow(const struct ms_policy *policy, const struct ms_flow *flow);
/** The consumer's key: a `needs` of the source. */
const struct ms_grant *ms_find_need(const struct ms_policy *policy, const struct ms_flow *flow);
/** The one that ends last of those that run at @now. */
const struct ms_exception *ms_find_exception(const struct ms_policy *policy,
					     const struct ms_flow *flow, time_t now);
/** The environment of the source when the flow is a question to one of its resolvers. */
const struct ms_env *ms_find_resolver(const struct ms_policy *policy,
				      const struct ms_inventory *inventory,
				      const struct ms_flow *flow);
/** What cuts @party off, or NULL. An endpoint's name is known only where the endpoint is. */
const struct ms_quarantine *ms_find_quarantine(const struct ms_policy *policy,
					       const struct ms_party *party);
/** Is there a relax that runs at @now for this identified party? */
bool ms_is_relaxed(const struct ms_policy *policy, const struct ms_party *party, time_t now);
/** The environment of either end that asks for two keys, or NULL. */
const struct ms_env *ms_find_two_key(const struct ms_policy *policy, const struct ms_flow *flow);
