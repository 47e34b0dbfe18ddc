/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "wording.h"

#include <string.h>

void ms_wording_place(struct ms_str *out, const struct ms_origin *at)
{
	if (at && at->file && at->line)
		ms_str_addf(out, " (%s:%u)", at->file, at->line);
	else if (at && at->file)
		ms_str_addf(out, " (%s)", at->file);
}

void ms_wording_port(struct ms_str *out, const struct ms_flow *flow)
{
	const struct ms_ports one = {flow->proto, flow->port, flow->port};
	char text[MS_PORTS_TEXT_SIZE];

	ms_str_add(out, ms_ports_format(&one, text));
}

void ms_wording_addr(struct ms_str *out, const struct ms_party *party)
{
	char text[MS_ADDR_TEXT_SIZE];

	ms_str_add(out,
		   party->has_addr ? ms_addr_format(&party->addr, text) : "an unknown address");
}

void ms_wording_party(struct ms_str *out, const struct ms_party *party)
{
	switch (party->kind) {
	case MS_PARTY_SERVICE:
		ms_str_addf(out, "%s/%s", party->env, party->service);
		break;
	case MS_PARTY_UNIDENTIFIED:
		if (party->endpoint)
			ms_str_add_safe(out, party->endpoint->name);
		else
			ms_wording_addr(out, party);
		break;
	case MS_PARTY_HOST:
		ms_str_add(out, "the host");
		break;
	case MS_PARTY_NODE:
		ms_str_addf(out, "node %s", party->node ? party->node : "?");
		break;
	case MS_PARTY_NET:
		ms_wording_addr(out, party);
		break;
	}
}

static void add_service(struct ms_str *out, const struct ms_party *party, const char *env,
			const char *service)
{
	if (!env || strcmp(party->env, env) != 0)
		ms_str_addf(out, "%s/%s", party->env, party->service);
	else if (service && strcmp(party->service, service) == 0)
		ms_str_add(out, "self");
	else
		ms_str_add(out, party->service);
}

void ms_wording_peer_of(struct ms_str *out, const struct ms_party *party, const char *env,
			const char *service)
{
	switch (party->kind) {
	case MS_PARTY_SERVICE:
		add_service(out, party, env, service);
		break;
	case MS_PARTY_UNIDENTIFIED:
		break;
	case MS_PARTY_HOST:
		ms_str_add(out, "host");
		break;
	case MS_PARTY_NODE:
		ms_str_addf(out, "{node: %s}", party->node ? party->node : "\"*\"");
		break;
	case MS_PARTY_NET:
		ms_str_add(out, "{net: \"");
		ms_wording_addr(out, party);
		ms_str_addf(out, "/%d\"}", party->addr.ip == MS_IP6 ? 128 : 32);
		break;
	}
}

void ms_wording_granted_peer(struct ms_str *out, const struct ms_peer *peer,
			     const struct ms_service *own)
{
	switch (peer->kind) {
	case MS_PEER_SERVICE:
		if (peer->env && strcmp(peer->env, own->env) != 0)
			ms_str_addf(out, "%s/", peer->env);
		ms_str_add(out, peer->service ? peer->service : "*");
		break;
	case MS_PEER_SELF:
		ms_str_add(out, "self");
		break;
	case MS_PEER_HOST:
		ms_str_add(out, "host");
		break;
	case MS_PEER_NODE:
		ms_str_addf(out, "node %s", peer->node ? peer->node : "*");
		break;
	case MS_PEER_NET:
		ms_str_addf(out, "net %s", peer->net_name ? peer->net_name : "?");
		if (peer->net_name && strcmp(peer->net_name, "internet") == 0)
			ms_str_add(out, " (nothing private, reserved or for documentation)");
		break;
	}
}
