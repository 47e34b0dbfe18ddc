/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ruleset: nftables tables as a value.
 *
 * A small closed language of tables, chains, sets, maps and rules. The kernel backend encodes it,
 * the printer writes it as nft(8) lists it, diff turns two of them into a plan, the simulator runs
 * a packet through it. All of them read the match table (ruleset_match.h), so that they cannot
 * disagree about what a match is.
 *
 * The order of sets, chains and rules is the order they were added in, which the compiler makes
 * canonical; elements are sorted by key and unique after ms_ruleset_finish(). Building is sticky:
 * without memory the adding functions return dummies that may be written to, and
 * ms_ruleset_finish() returns -ENOMEM.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "microseg/diag.h"
#include "microseg/net.h"
#include "microseg/vec.h"

#define MS_KEY_SIZE                                                                                \
	40 /* the largest set key: interface . MAC . IPv6 address, each padded to 4 bytes, or two  \
	      addresses with their ports */
#define MS_VALUE_SIZE 16       /* the largest single field */
#define MS_COMMENT_SIZE 128    /* bytes of a comment, NUL included; a longer one keeps its end */
#define MS_MAX_CONCAT 4	       /* fields of a concatenation */
#define MS_ANON_SET_MAX 8      /* values of an anonymous set in a match */
#define MS_LOG_PREFIX_SIZE 128 /* bytes of a log prefix, NUL included */

enum ms_family {
	MS_FAMILY_INET,
	MS_FAMILY_BRIDGE,
	MS_FAMILY_ARP,
};

const char *ms_family_name(enum ms_family family);

/**
 * The group (ip-link(8)) that the daemon gives to the host's end of an endpoint when it knows it.
 * It is the interface's own and ends with it: one that is made anew, though it had the same name,
 * number, MAC and address, is not taken for the one before.
 */
#define MS_ADMITTED_GROUP 0x4d53u

/** What a rule can look at: one row each in the match table. */
enum ms_field {
	MS_FIELD_IIFNAME,	  /* text, 16 bytes; a value ending in "*" matches a prefix */
	MS_FIELD_OIFNAME,	  /* likewise */
	MS_FIELD_NFPROTO,	  /* 1 byte, NFPROTO_*: which IP */
	MS_FIELD_L4PROTO,	  /* 1 byte */
	MS_FIELD_IIFGROUP,	  /* 4 bytes, host order: the group of the interface itself */
	MS_FIELD_OIFGROUP,	  /* likewise */
	MS_FIELD_PRIORITY,	  /* meta priority, 4 bytes, host order; prints as 4d53:1 */
	MS_FIELD_ETHER_SADDR,	  /* 6 bytes */
	MS_FIELD_ETHER_DADDR,	  /* 6 bytes */
	MS_FIELD_ETHER_TYPE,	  /* 2 bytes, network order */
	MS_FIELD_ARP_HTYPE,	  /* 2 */
	MS_FIELD_ARP_PTYPE,	  /* 2, prints as ip */
	MS_FIELD_ARP_HLEN,	  /* 1 */
	MS_FIELD_ARP_PLEN,	  /* 1 */
	MS_FIELD_ARP_SADDR_ETHER, /* 6 */
	MS_FIELD_ARP_SADDR_IP,	  /* 4 */
	MS_FIELD_IP_SADDR,	  /* 4 */
	MS_FIELD_IP_DADDR,	  /* 4 */
	MS_FIELD_IP6_SADDR,	  /* 16 */
	MS_FIELD_IP6_DADDR,	  /* 16 */
	MS_FIELD_IP6_NEXTHDR,	  /* 1 */
	MS_FIELD_IP6_HOPLIMIT,	  /* 1 */
	MS_FIELD_TCP_SPORT,	  /* 2; implies meta l4proto tcp */
	MS_FIELD_TCP_DPORT,	  /* 2 */
	MS_FIELD_UDP_SPORT,	  /* 2; implies meta l4proto udp */
	MS_FIELD_UDP_DPORT,	  /* 2 */
	MS_FIELD_SCTP_DPORT,	  /* 2 */
	MS_FIELD_TH_DPORT,	  /* 2; of any of these, in a key beside MS_FIELD_L4PROTO */
	MS_FIELD_TCP_FLAGS,	  /* 1, with mask */
	MS_FIELD_ICMP_TYPE,	  /* 1; implies meta l4proto icmp (and IPv4) */
	MS_FIELD_ICMP6_TYPE,	  /* 1; implies meta l4proto ipv6-icmp (and IPv6) */
	MS_FIELD_ND_TARGET, /* @th,64,128: target address of a neighbour message; set key by typeof
			     */
	MS_FIELD_ND_OPTION, /* @th,192,16: type and length of the first ND option */
	MS_FIELD_ND_LLADDR, /* @th,208,48: link-layer address in the first ND option; set key by
			       typeof */
	MS_FIELD_RS_OPTION, /* @th,64,16: the same of a router solicitation, which has no target */
	MS_FIELD_RS_LLADDR, /* @th,80,48: likewise; set key by typeof */
	MS_FIELD_CT_STATE,  /* 4, flags MS_CT_*; one flag at a time */
	MS_FIELD_CT_STATUS_DNAT,       /* no value: `ct status dnat`, negated: `ct status ! dnat` */
	MS_FIELD_CT_STATUS_CONFIRMED,  /* likewise: `ct status confirmed`; not yet of a first packet
					*/
	MS_FIELD_CT_ORIGINAL_IP_SADDR, /* 4: who opened the connection */
	MS_FIELD_CT_ORIGINAL_IP6_SADDR, /* 16 */
	MS_FIELD_CT_REPLY_IP_SADDR,	/* 4: who answers it, behind translation */
	MS_FIELD_CT_REPLY_IP6_SADDR,	/* 16 */
	MS_FIELD_CT_DIRECTION,		/* 1: 0 from who opened the connection, 1 back to it */
	MS_FIELD_CT_ID,		 /* 4: names a connection while it lives; set key by typeof */
	MS_FIELD_FIB_DADDR_TYPE, /* 4, RTN_*: fib daddr type local, broadcast, multicast, unicast */
	MS_FIELD_FIB_SADDR_IIF,	 /* no value: `fib saddr . iif oif exists`: the way back to the
				    sender  is the one it came by */
	MS_FIELD_IP_OPTION_LSRR, /* no value: `ip option lsrr exists` */
	MS_FIELD_IP_OPTION_SSRR, /* likewise */
	MS_FIELD_EXTHDR_RT,	 /* no value: `exthdr rt exists` (routing header) */
	MS_N_FIELDS,
};

/* Values of MS_FIELD_CT_STATE, as the kernel's bits. */
#define MS_CT_INVALID 1u
#define MS_CT_ESTABLISHED 2u
#define MS_CT_RELATED 4u
#define MS_CT_NEW 8u
#define MS_CT_UNTRACKED 64u

enum ms_match_kind {
	MS_MATCH_VALUE,	   /* field (masked, if mask is set) equals values[0] */
	MS_MATCH_RANGE,	   /* values[0] <= field <= values[1] */
	MS_MATCH_ANON_SET, /* field is one of values[0..n_values-1], sorted */
	MS_MATCH_SET,	   /* the fields, concatenated, are a key of the named set */
	MS_MATCH_PRESENT,  /* the fields that have no value */
};

struct ms_match_expr {
	enum ms_match_kind kind;
	bool negate; /* != */
	uint8_t n_fields;
	uint8_t n_values;
	enum ms_field fields[MS_MAX_CONCAT];
	uint8_t mask; /* MS_FIELD_TCP_FLAGS only; 0: none */
	uint8_t values[MS_ANON_SET_MAX]
		      [MS_VALUE_SIZE]; /* as in the packet or the kernel's register */
	const char *set;
};

enum ms_verdict_kind {
	MS_VERDICT_NONE, /* a set, not a verdict map */
	MS_VERDICT_ACCEPT,
	MS_VERDICT_DROP,
	MS_VERDICT_RETURN,
	MS_VERDICT_GOTO,
	MS_VERDICT_JUMP,
};

struct ms_rule_verdict {
	enum ms_verdict_kind kind;
	const char *chain; /* of goto and jump */
};

enum ms_stmt_kind {
	MS_STMT_COUNTER,
	MS_STMT_LOG,
	MS_STMT_SET_PRIORITY,
	MS_STMT_REJECT_RESET, /* reject with tcp reset */
	MS_STMT_REJECT_ADMIN, /* reject with icmpx admin-prohibited */
	MS_STMT_VERDICT,
	MS_STMT_VMAP, /* verdict from the named map, keyed by fields */
	MS_STMT_ADD,  /* adds the fields to the named set, a dynamic one; when that is full, or
			 counts and has not reached its count, the rule ends here, as if it had not
			 matched */
};

struct ms_stmt {
	enum ms_stmt_kind kind;
	uint32_t priority; /* SET_PRIORITY */
	struct {
		const char *prefix;
		uint16_t group;
		uint32_t snaplen;
		uint16_t queue_threshold;
	} log;
	struct ms_rule_verdict verdict;
	uint8_t n_fields;
	enum ms_field fields[MS_MAX_CONCAT];
	const char *map;     /* or set */
	uint32_t count_over; /* ADD: as the set's */
};

struct ms_rule {
	MS_VEC(struct ms_match_expr) matches;
	MS_VEC(struct ms_stmt) stmts;
	const char *comment; /* "policies/db.yaml:12", or NULL */
	struct ms_origin origin;
};

enum ms_hook {
	MS_HOOK_NONE, /* a regular chain */
	MS_HOOK_PREROUTING,
	MS_HOOK_INPUT,
	MS_HOOK_FORWARD,
	MS_HOOK_OUTPUT,
};

/** Base chains are all of type filter, policy accept. */
struct ms_chain {
	const char *name;
	enum ms_hook hook;
	int32_t priority;
	MS_VEC(struct ms_rule) rules;
};

struct ms_elem {
	uint8_t key[MS_KEY_SIZE];   /* fields in order, each padded with zeros to a multiple of 4 */
	uint8_t end[MS_VALUE_SIZE]; /* interval sets: last value that belongs to it */
	struct ms_rule_verdict verdict; /* maps */
	time_t until;	     /* UNIX seconds: the kernel drops it then; 0: stays. In timed sets */
	const char *comment; /* or NULL */
	struct ms_origin origin;
};

struct ms_set {
	const char *name;
	bool map;      /* a verdict map */
	bool interval; /* one field only */
	bool counts;   /* each element has a counter; a plain set */
	bool timed;    /* elements may have an end */
	bool dynamic; /* filled by rules, or timed and a memory of the daemon's: what it holds is in
			 the kernel alone, and it has no elements here */
	uint8_t n_fields;
	enum ms_field fields[MS_MAX_CONCAT]; /* give type and length of the key */
	uint32_t size;	     /* room for elements, declared to the kernel; 0 for interval sets */
	uint32_t count_over; /* of a dynamic set whose elements count tracked connections: the rules
				that add to it say how many there may be. 0: it does not count */
	MS_VEC(struct ms_elem) elems; /* on the heap: they are most of a ruleset */
	/* What ms_plan_patch() took out and put in and ms_ruleset_settle() has not merged into
	 * `elems` yet; sorted, on the heap. */
	MS_VEC(struct ms_elem) gone, come;
};

struct ms_table {
	enum ms_family family;
	const char *name;
	MS_VEC(struct ms_set *) sets;
	MS_VEC(struct ms_chain *) chains;
	/* Sorted by name, for the lookups; there once the ruleset is finished. */
	const struct ms_set **sets_by_name;
	const struct ms_chain **chains_by_name;
};

struct ms_ruleset {
	struct ms_arena *arena;
	MS_VEC(struct ms_table *) tables;
	bool failed; /* out of memory while building */
};

/* Building. Names and texts are copied. */

struct ms_ruleset *ms_ruleset_new(void);
struct ms_ruleset *ms_ruleset_free(struct ms_ruleset *ruleset);
static inline void ms_ruleset_freep(struct ms_ruleset **ruleset)
{
	ms_ruleset_free(*ruleset);
}

struct ms_table *ms_ruleset_add_table(struct ms_ruleset *ruleset, enum ms_family family,
				      const char *name);
struct ms_chain *ms_ruleset_add_base_chain(struct ms_ruleset *ruleset, struct ms_table *table,
					   const char *name, enum ms_hook hook, int32_t priority);
struct ms_chain *ms_ruleset_add_chain(struct ms_ruleset *ruleset, struct ms_table *table,
				      const char *name);
/** Adds a set of @n_fields fields; ms_set.map, .interval, .counts may be set on the result before
 * elements are added. */
struct ms_set *ms_ruleset_add_set(struct ms_ruleset *ruleset, struct ms_table *table,
				  const char *name, size_t n_fields, const enum ms_field *fields);
/** Adds an element with an all-zero key; fill it with ms_elem_key() before the next one is added,
 * which moves it. */
struct ms_elem *ms_ruleset_add_elem(struct ms_ruleset *ruleset, struct ms_set *set);
/** Writes field number @index of @set's key into @elem: @size bytes at their place, the rest zero.
 */
void ms_elem_key(const struct ms_set *set, struct ms_elem *elem, size_t index, const void *value,
		 size_t size);

/** Says where @elem is written: its "file:line" becomes the comment. */
void ms_ruleset_elem_origin(struct ms_ruleset *ruleset, struct ms_elem *elem,
			    const struct ms_origin *origin);

/**
 * Appends a rule. @origin may be NULL; otherwise its "file:line" becomes the comment. Fill it
 * before the chain's next rule is added, which moves it.
 */
struct ms_rule *ms_ruleset_add_rule(struct ms_ruleset *ruleset, struct ms_chain *chain,
				    const struct ms_origin *origin);
void ms_rule_match(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
		   bool negate, const void *value, size_t size);
void ms_rule_match_u8(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
		      uint8_t value);
/** @value in host order; written in network order for packet fields, in host order for meta and ct.
 */
void ms_rule_match_u16(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
		       uint16_t value);
void ms_rule_match_u32(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
		       bool negate, uint32_t value);
/** An interface name; a trailing '*' matches the prefix. */
void ms_rule_match_text(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			bool negate, const char *value);
void ms_rule_match_range(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			 const void *first, const void *last, size_t size);
/** One of 1-byte values (types, protocols). */
void ms_rule_match_any_u8(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			  size_t n_values, const uint8_t *values);
/** One of 2-byte values in host order (ether types). */
void ms_rule_match_any_u16(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			   size_t n_values, const uint16_t *values);
void ms_rule_match_set(struct ms_ruleset *ruleset, struct ms_rule *rule, bool negate,
		       const char *set, size_t n_fields, const enum ms_field *fields);
void ms_rule_match_present(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_field field,
			   bool negate);
/** `tcp flags syn / fin,syn,rst,ack`: a segment that opens a connection. */
void ms_rule_match_bare_syn(struct ms_ruleset *ruleset, struct ms_rule *rule, bool negate);
/** `tcp flags rst / syn,rst`: a segment that refuses one, or ends it. */
void ms_rule_match_reset(struct ms_ruleset *ruleset, struct ms_rule *rule);

void ms_rule_counter(struct ms_ruleset *ruleset, struct ms_rule *rule);
void ms_rule_log(struct ms_ruleset *ruleset, struct ms_rule *rule, const char *prefix,
		 uint16_t group);
void ms_rule_set_priority(struct ms_ruleset *ruleset, struct ms_rule *rule, uint32_t priority);
void ms_rule_reject(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_stmt_kind kind);
void ms_rule_verdict(struct ms_ruleset *ruleset, struct ms_rule *rule, enum ms_verdict_kind kind,
		     const char *chain);
void ms_rule_vmap(struct ms_ruleset *ruleset, struct ms_rule *rule, const char *map,
		  size_t n_fields, const enum ms_field *fields);
/** `add @SET { FIELD }`. */
void ms_rule_add_to_set(struct ms_ruleset *ruleset, struct ms_rule *rule, const char *set,
			enum ms_field field);
/** `add @SET { FIELD ct count over N }`: goes on with the connections beyond these. */
void ms_rule_count_in_set(struct ms_ruleset *ruleset, struct ms_rule *rule, const char *set,
			  enum ms_field field, uint32_t count_over);

/**
 * Ends building: sorts elements, removes duplicates, checks that every set, map and chain named
 * exists and that keys fit. Returns 0, -ENOMEM, or -EINVAL for a ruleset that no
 * kernel would take (a compiler bug).
 */
int ms_ruleset_finish(struct ms_ruleset *ruleset);
/** The same for a part of a ruleset, whose elements may go to chains that are elsewhere: nothing is
 * checked but the elements themselves. */
int ms_ruleset_finish_elements(struct ms_ruleset *ruleset);
/** Does it all fit together? What ms_ruleset_finish() does after that. Returns 0 or -EINVAL. */
int ms_ruleset_check(const struct ms_ruleset *ruleset);

/** A hash over everything that equality of finished rulesets looks at. */
uint64_t ms_ruleset_hash(const struct ms_ruleset *ruleset);

/* Looking things up; NULL when absent. */
const struct ms_table *ms_ruleset_table(const struct ms_ruleset *ruleset, enum ms_family family);
const struct ms_chain *ms_table_chain(const struct ms_table *table, const char *name);
const struct ms_set *ms_table_set(const struct ms_table *table, const char *name);
/** Bytes of @set's key: the padded fields added up. */
size_t ms_set_key_size(const struct ms_set *set);

/**
 * Appends @ruleset exactly as `nft list table` (1.0.6) prints each table when it was loaded afresh,
 * less counters, what the kernel times itself and the table's flags line. @narrow, or NULL for all:
 * an "env/service"; then only what concerns that service.
 */
void ms_ruleset_print(const struct ms_ruleset *ruleset, const char *narrow, struct ms_str *out);
/** Does the set or chain called @name concern the service @narrow? All do when it is NULL. */
bool ms_name_concerns(const char *name, const char *narrow);
/** Appends one rule as it stands in such a listing, without blanks before and a newline behind it.
 */
void ms_rule_print(enum ms_family family, const struct ms_rule *rule, struct ms_str *out);
/** Likewise one element of @set. */
void ms_elem_print(const struct ms_set *set, const struct ms_elem *elem, struct ms_str *out);

/* A plan: what turns one installed ruleset into another in one transaction. */

enum ms_change_kind {
	MS_DEL_TABLE, /* with all in it */
	MS_ADD_TABLE, /* the empty table; its contents follow as changes of their own */
	MS_ADD_SET,
	MS_ADD_CHAIN,
	MS_FLUSH_CHAIN, /* delete the chain's rules; the new ones follow as MS_ADD_RULES */
	MS_ADD_RULES,	/* all rules of the chain */
	MS_FLUSH_SET,	/* delete all elements, also those that the kernel has dropped by itself */
	MS_DEL_ELEMS,
	MS_ADD_ELEMS,
	MS_DEL_CHAIN,
	MS_DEL_SET,
};

struct ms_change {
	enum ms_change_kind kind;
	const struct ms_table *table;
	const struct ms_chain *chain;
	const struct ms_set *set;
	const struct ms_elem *elems; /* of ADD_ELEMS, DEL_ELEMS: a run of n_elems elements; of
					FLUSH_SET: all */
	size_t n_elems;
};

/** Points into the two rulesets it was made from: they must outlive it. */
struct ms_plan {
	struct ms_arena *arena;
	MS_VEC(struct ms_change) changes; /* in an order the kernel accepts */
};

/**
 * Computes how to get from @from (NULL: nothing installed) to @to (NULL: take everything away).
 * Equal rulesets give an empty plan. Returns 0 or -ENOMEM.
 */
int ms_plan_make(const struct ms_ruleset *from, const struct ms_ruleset *to,
		 struct ms_plan *ret_plan);
/**
 * Computes how to give every timed element of @installed its end again, after the clock was set.
 * Returns 0 or -ENOMEM.
 */
int ms_plan_retime(const struct ms_ruleset *installed, struct ms_plan *ret_plan);
void ms_plan_fini(struct ms_plan *plan);
/**
 * Carries a plan of nothing but MS_ADD_ELEMS and MS_DEL_ELEMS, whose sets are those of @ruleset,
 * out on @ruleset itself. What it costs does not depend on how many elements a set has, for they
 * are not moved: before anything but another patch, ms_compile_delta() and ms_set_n_elems() looks
 * at them, ms_ruleset_settle() has to be called. Texts are copied. Returns 0; -ENOENT when an
 * element to be deleted is not there, -EEXIST when one to be added is; -ENOMEM. After an error
 * @ruleset is only good to be freed.
 */
int ms_plan_patch(const struct ms_plan *plan, struct ms_ruleset *ruleset);
/** Makes @ruleset a finished one again after patches. Needs no memory. */
void ms_ruleset_settle(struct ms_ruleset *ruleset);
/** How many elements @set has, with what patches did to it. */
size_t ms_set_n_elems(const struct ms_set *set);
/** Counts elements added and deleted, and everything else, for the log line. */
void ms_plan_count(const struct ms_plan *plan, size_t *ret_elems, size_t *ret_others);
