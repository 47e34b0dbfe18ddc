/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the compiler share. Each of them writes one part of the ruleset:
 *
 *	sets.c          the sets and maps there are, and the peers that grants name
 *	sets_fill.c     addresses and interfaces of the endpoints, as their elements
 *	guard.c         bridge microseg: who may send as whom
 *	guard_strict.c  what ports in audit may send to ports that are not
 *	guard_routed.c  the same for routed veths, and the mirror: an endpoint's address is its own
 *	carried.c       what an endpoint may send from beside its own addresses
 *	claims.c        MACs and addresses that several claim
 *	judge.c         inet microseg: base chains, baseline, dispatch on the local endpoint
 *	dispatch.c      from an address to the chains of its service
 *	services.c      the chains of a service: its grants, one rule each
 *	roles.c         what an identity's endpoints are in all that, for delta.c
 *	grants.c        what the documents grant east-west, after fence and second key
 *	callers.c       the grants of a service that has many: elements instead of rules
 *	clocks.c        what ends by itself
 *	quarantine.c    who is cut off
 *	never.c         what beats all grants
 *	match.c         ports and nets of a grant
 *	ends.c          where no grant covered the flow: which reason
 *	refuse.c        where refusals end: count, log, verdict
 *	limit.c         how many connections one address may have open
 *	door.c          the ruleset of a node without a policy
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "microseg/compile.h"

/* nf_tables hook priorities, as nft(8) names them. */
#define PRIORITY_RAW (-300)	      /* inet: before connection tracking, after reassembly */
#define PRIORITY_BRIDGE_DSTNAT (-300) /* bridge prerouting, before br_netfilter */
#define PRIORITY_STAMP (-20)	      /* inet forward, just before the policy */
#define PRIORITY_POLICY                                                                            \
	(-10) /* inet forward, input, output: behind DNAT, before others' filters                  \
	       */
#define PRIORITY_LIMIT                                                                             \
	(PRIORITY_POLICY + 1) /* inet forward, input: of what the policy let pass                  \
			       */
#define PRIORITY_STRICT 49    /* bridge forward, before the seam */
#define PRIORITY_SEAM 50      /* bridge forward, behind br_netfilter (0) */

/* meta priority of same-bridge packets that the policy layer has seen: 4d53:1 */
#define STAMP 0x4d530001u

/* One of the two IP families, as fields and suffix of set names. */
struct family {
	enum ms_ip ip;
	enum ms_field saddr;
	enum ms_field daddr;
	size_t size;
	uint8_t icmp_proto;
	enum ms_field icmp_type;
};

extern const struct family families[2];
const struct family *family_of(const struct ms_addr *addr);

/* A MAC on a bridge. */
struct station {
	const char *bridge;
	struct ms_mac mac;
};
typedef MS_VEC(struct station) station_vec;
typedef MS_VEC(const struct ms_endpoint *) endpoint_vec;

typedef MS_VEC(time_t) time_vec;

/* A mode as the time until which refusals are only logged; between the two lies a relax. */
#define ENFORCED ((time_t)0)
#define AUDITED ((time_t)INT64_MAX)

/* The ways a packet meets a service; also the names of the verdict maps. */
enum way { TO, INTO, FROM, HOST, N_WAYS, LINK = N_WAYS };

#define LATE_BUCKETS 64
/* The lists of one way that late endpoints are looked for in, where there is one. */
struct late {
	struct ms_chain *chain, *buckets[LATE_BUCKETS];
};

/* A refusal that is one from a time on. */
struct relaxed {
	enum ms_reason reason;
	enum ms_direction direction;
	time_t until;
};

struct compiler {
	const struct ms_policy *policy;
	const struct ms_inventory *inventory;
	const struct ms_compile_options *options;
	struct ms_ruleset *ruleset;
	struct ms_table *bridge;
	struct ms_table *inet;
	struct ms_table *arp; /* NULL without routed veths */
	bool audits;	      /* some environment, service or `unidentified` is in audit */
	bool audits_for_good; /* and not only relaxed */
	time_t strictest;     /* of all modes, as the end of the audit */
	time_vec ends;	      /* of all that runs and ends, ascending */
	time_vec relax_ends;  /* of relaxes alone */
	MS_VEC(const struct ms_crossing *) crossings;	/* that lift a fence now: clocks.c */
	MS_VEC(const struct ms_exception *) exceptions; /* that run, the last to end first */
	MS_VEC(struct relaxed) relaxed;			/* refusals that rules go to: refuse.c */
	struct set_entry *sets[3];			/* by table: sets.c */
	struct ms_roles *roles;				/* where roles are noted, or NULL */
	endpoint_vec members;	      /* the known identified endpoints, sorted by identity */
	ms_addr_vec shared;	      /* link-local addresses that several endpoints have, sorted */
	station_vec disputed;	      /* see claims.c; sorted */
	station_vec stations;	      /* of all endpoints on bridges; sorted */
	struct late late[N_WAYS + 1]; /* see dispatch.c */
	/* refusals that rules go to, by table: see refuse.c */
	bool refused[3][MS_N_REASONS][MS_N_DIRECTIONS][2];
};

/* A name made in the ruleset's arena. Never NULL: without memory the ruleset is failed and the name
 * is "". */
const char *name_of(struct compiler *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The end of the audit of both, of an endpoint. */
time_t stricter(time_t a, time_t b);
time_t endpoint_audit_end(const struct compiler *c, const struct ms_endpoint *endpoint);
/* Does the data plane know this endpoint? Pending ones, and ports of a bridge not yet under
 * control, stay closed. */
bool endpoint_is_known(const struct ms_endpoint *endpoint);
/* Bridges are; a routed veth is as known as its endpoint. */
bool link_is_known(const struct ms_inventory *inventory, const struct ms_managed_link *link);
/* Does @addr say who @endpoint is? Link-local addresses do where no other endpoint of the node has
 * the same. */
bool addr_identifies(const struct compiler *c, const struct ms_addr *addr);

/* Compiles the known endpoints of @view, an inventory of few, as elements: no chains. @roles are
 * those of the whole; there has to be one with chains for each identity. The sets are all those
 * that @change, of which @view is one side, concerns. */
int compile_elements(const struct ms_policy *policy, const struct ms_inventory *view,
		     const struct ms_inventory_change *change, const struct ms_roles *roles,
		     const struct ms_compile_options *options, struct ms_ruleset **ret_ruleset);

/* sets.c */
/* The size of a set that is declared with @least and has @n_elems. */
uint32_t sets_room(uint32_t least, size_t n_elems);
/* Gives every set of a finished ruleset its size: only then none counts an element twice. */
void sets_make_room(struct ms_ruleset *ruleset);
/* The first of the members that are @identity, or where they would stand. */
size_t sets_first_member(const struct compiler *c, const char *identity);
void sets_declare_bridge(struct compiler *c);
void sets_declare_inet(struct compiler *c);
/* Sets that count connections: "limit/4", "limit/6" by address, "limit/link" by interface. */
void sets_declare_limits(struct compiler *c);
void sets_fill(struct compiler *c);
/* Sets of addresses and of interfaces, to be filled; and an interval set with @ranges of @family.
 */
void sets_declare_addrs(struct compiler *c, struct ms_table *table, const char *name,
			const struct family *family);
void sets_declare_ports(struct compiler *c, struct ms_table *table, const char *name);
void sets_declare_ranges(struct compiler *c, struct ms_table *table, const char *name,
			 const struct family *family, const ms_range_vec *ranges);

/* claims.c: MACs that several ports of one bridge have, or a port and the host. */
void claims_find_disputed(struct compiler *c);
bool claims_mac_is_disputed(const struct compiler *c, const struct ms_endpoint *endpoint);
/* May the endpoint send from this address of its interface? Not if it is the host's, or no address
 * of a link at all. */
bool claims_addr_is_own(const struct compiler *c, const struct ms_endpoint *endpoint,
			const struct ms_addr *addr);
void sets_fini(struct compiler *c);
/* The peer set of a service, declared and filled at its first use; the environment's when @service
 * is NULL. */
const char *sets_peer(struct compiler *c, const struct family *family, const char *env,
		      const char *service);
/* The counting set of callers, "grants/IDENTITY/4", empty at first. */
struct ms_set *sets_callers(struct compiler *c, const struct family *family, const char *identity);
/* Adds each address of a service to it, with this port. */
void sets_add_caller(struct compiler *c, struct ms_set *set, const struct family *family,
		     const char *identity, const struct ms_ports *port, const struct ms_origin *at);
/* A shared interval set with @ranges of @family. */
const char *sets_net(struct compiler *c, const struct family *family, const struct ms_peer *peer);
/* The addresses of a node, of all nodes when @node is NULL. */
const char *sets_node(struct compiler *c, const struct family *family, const char *node);
/* Adds @addr -> goto @chain to the verdict map @map ("to", "from", "host", "into") of its family.
 */
void sets_dispatch(struct compiler *c, const char *map, const struct ms_addr *addr,
		   const char *chain);

/* guard*.c, judge.c, services.c, door.c */
void guard_compile_bridge(struct compiler *c);
void guard_compile_strict(struct compiler *c);
void guard_compile_routed(struct compiler *c);
void judge_compile(struct compiler *c);
/** The chain for packets of no connection that the policy allows. */
const char *invalid_target(struct compiler *c);
void limit_compile(struct compiler *c);
void services_compile(struct compiler *c);
void ends_compile(struct compiler *c);
void door_compile(struct compiler *c);

/* An identity that has endpoints, with its document if it has one. */
struct subject {
	const char *env;
	const char *name;
	const char *identity;
	const struct ms_service *service;
	time_t audit_end;
};

/* dispatch.c */
const char *way_name(enum way way);
/* Where the addresses of an identity go. @common: that is the end chain of its environment, to
 * which they find without elements of their own. */
struct target {
	const char *chain;
	bool common;
};
struct targets {
	struct target ways[N_WAYS + 1];
};
struct target target_of(struct compiler *c, enum way way, const char *env, const char *chain);
/* The rules that go to them; who is nobody comes back. */
void dispatch_compile(struct compiler *c, struct ms_chain *chain, enum way way);
/* Lists @subject where late endpoints are looked for. */
void dispatch_list(struct compiler *c, const struct subject *subject,
		   const struct targets *targets);
/* The sets that narrow the search for one of @identity, where it is listed. */
void dispatch_declare_bucket(struct compiler *c, const char *identity,
			     const struct targets *targets);
/* Behind the last subject. */
void dispatch_finish(struct compiler *c);
/* The elements: of endpoints of one identity, and of those that are known and nobody. */
void dispatch_unidentified(struct compiler *c);
void targets_dispatch(struct compiler *c, const struct targets *targets,
		      const struct ms_endpoint *const *endpoints, size_t n_endpoints);

/* grants.c: one peer, what is granted between it and a subject, and where that is written. */
struct granted {
	const struct ms_peer *peer; /* host, node or net; NULL for endpoints: */
	const char *env;
	const char *service; /* NULL: every service of env */
	ms_ports_vec ports;
	const struct ms_origin *at;
	bool published;
	time_t until; /* 0: no end */
	bool exception;
};
typedef void (*grant_fn)(const struct granted *granted, void *userdata);
/* Calls @fn for everything that is granted towards @provider, in the order of the policy. */
void grants_inbound(struct compiler *c, const struct subject *provider, grant_fn fn,
		    void *userdata);
/* The same from @consumer towards host, nodes and nets. */
void grants_outbound(struct compiler *c, const struct subject *consumer, grant_fn fn,
		     void *userdata);

/* callers.c */
/* Where @provider has many grants: fills sets of callers and looks them up in @chain. Otherwise
 * does nothing and returns false. */
bool callers_compile(struct compiler *c, const struct subject *provider, struct ms_chain *chain);
/* Is this part of a grant among those? */
bool callers_take(const struct granted *granted, const struct ms_ports *ports);

/* Calls @fn for every source in another environment and the ports for which its fence to @provider
 * is lifted. */
void grants_lifted(struct compiler *c, const struct subject *provider, grant_fn fn, void *userdata);

/* ends.c: the resolvers of the sender's environment, where a fence is lifted for @lifted.
 * @audit_end: of whom they are lent to, where that ends. */
void resolvers_compile(struct compiler *c, struct ms_chain *chain, const struct granted *lifted,
		       const struct family *family, time_t audit_end);
/* The resolvers of an environment, as its end chain of this way grants them. */
void resolvers_compile_own(struct compiler *c, struct ms_chain *chain, const char *way,
			   const char *env);

/* ends.c: where packets go that no grant took. @way is "to", "into", "from" or "host". */
const char *end_name(struct compiler *c, const char *way, const char *env, time_t audit_end);
const char *end_link_name(struct compiler *c, const char *env, time_t audit_end);

/* Ends @chain for interfaces by name: skipped ones pass, those of a managed pattern go to @target.
 */
void patterns_goto(struct compiler *c, struct ms_chain *chain, enum ms_field field,
		   const char *target);

/* never.c: jumps to the rules that beat all grants, where there are any, and those rules. */
void never_jump_forwarded(struct compiler *c, struct ms_chain *from);
void never_jump_to_host(struct compiler *c, struct ms_chain *from);
void never_jump_from_host(struct compiler *c, struct ms_chain *from);
void never_compile(struct compiler *c);

/* match.c */
/* Does the protocol of @ports exist in @family? Each has an ICMP of its own. */
bool ports_apply(const struct ms_ports *ports, const struct family *family);
void match_ports(struct compiler *c, struct ms_rule *rule, const struct family *family,
		 const struct ms_ports *ports);
/* Does @peer, a net, have addresses of @family? Only then may it be matched there. */
bool has_ranges(const struct ms_peer *peer, const struct family *family);
void match_net(struct compiler *c, struct ms_rule *rule, const struct family *family,
	       enum ms_field field, const struct ms_peer *peer);
/* @prefix: as text, like "fe80::/10". */
void match_prefix(struct compiler *c, struct ms_rule *rule, enum ms_field field,
		  const char *prefix);

/* carried.c: each writes nothing where nothing is carried. */
bool carried_any(const struct compiler *c);
/* Is anything carried of @family? */
bool carried_in(const struct compiler *c, const struct family *family);
/* @ports: the table guards ports. */
void carried_declare(struct compiler *c, struct ms_table *table, bool ports);
/* The set of ports that @endpoint belongs to, or NULL when it carries nothing. */
const char *carried_carriers(struct compiler *c, const struct ms_endpoint *endpoint);
/* Carried, whoever does it. Only of a family in which anything is. */
void carried_match(struct compiler *c, struct ms_rule *rule, enum ms_field field,
		   const struct family *family);
/* The chains that ask whether the sender carries what it sends from, and the ways there. */
void carried_compile_guard(struct compiler *c, struct ms_table *table);
void carried_goto_guard(struct compiler *c, struct ms_chain *chain, const struct family *family);
void carried_compile_guard_arp(struct compiler *c, struct ms_table *table);
/* The rest of a rule about an ARP message. */
void carried_match_arp(struct compiler *c, struct ms_rule *rule);
/* "guard-carried-nd", "guard-carried-target" and @suffix, to be jumped to with what is not the
 * port's own; what is not carried either goes to @spoof. */
void carried_compile_guard_nd(struct compiler *c, const char *suffix, const char *spoof);
/* Between endpoints and what others carry: to the grants of the endpoint, like anything from and to
 * net. */
void carried_compile_judge(struct compiler *c, struct ms_chain *chain);
/* What comes from a carrier goes to @target. */
void carried_goto(struct compiler *c, struct ms_chain *chain, const char *target);

/* clocks.c */
/* Finds what runs: to be called first. */
void clocks_find(struct compiler *c);
void clocks_declare(struct compiler *c);
/* Where established connections go instead of being accepted, while anything has an end. */
void clocks_compile_watch(struct compiler *c);
/* Of a service (NULL: its environment) whose document says @mode. */
time_t audit_end_of(const struct compiler *c, const char *env, const char *service,
		    enum ms_mode mode);
const char *clock_name(struct compiler *c, time_t until);
/* Before @until; @over: from then on. */
void clock_match(struct compiler *c, struct ms_rule *rule, time_t until, bool over);
/* Writes down that the connection is over at @until; AUDITED: never. */
void clock_lend(struct compiler *c, struct ms_rule *rule, time_t until);

/* quarantine.c */
bool quarantine_holds(const struct compiler *c, const struct ms_endpoint *endpoint);
/* First rules of a chain that sees packets @from and @to endpoints. */
void quarantine_compile(struct compiler *c, struct ms_chain *chain, bool from, bool to);
void quarantine_compile_port(struct compiler *c);
void quarantine_compile_egress(struct compiler *c, struct ms_chain *chain);

/* refuse.c */
/* The chain that refuses, or in audit lets pass, for @reason. Marks it as needed. */
const char *refusal(struct compiler *c, const struct ms_table *table, enum ms_reason reason,
		    enum ms_direction direction, enum ms_mode mode);
/* The same in inet for what is audited until @audit_end, and refused from then on. */
const char *refusal_after(struct compiler *c, enum ms_reason reason, enum ms_direction direction,
			  time_t audit_end);
void refuse_compile(struct compiler *c, struct ms_table *table);

/* Short forms used everywhere. */
struct ms_rule *rule_add(struct compiler *c, struct ms_chain *chain);
void rule_goto(struct compiler *c, struct ms_rule *rule, const char *chain);
void rule_accept(struct compiler *c, struct ms_rule *rule);
void rule_set(struct compiler *c, struct ms_rule *rule, enum ms_field field, bool negate,
	      const char *set);
/* Matches a port in @set that is @field's interface, and the same interface that was admitted. */
void rule_in_admitted(struct compiler *c, struct ms_rule *rule, enum ms_field field,
		      const char *set);
/* Refuses one in @set that is not: a port that was made anew under an old name. */
void strangers_goto(struct compiler *c, struct ms_chain *chain, enum ms_field field,
		    const char *set, const char *target);
/* The refusal for them: mild only where nothing at all is enforced. */
const char *refuse_stranger(struct compiler *c, const struct ms_table *table);
void rule_in_managed(struct compiler *c, struct ms_rule *rule, enum ms_field field, bool negate);
