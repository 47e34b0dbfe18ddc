/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A TCP connection that was cut has two ends that do not know it. Where the policy lets its server
 * open connections to the port that its client came from, the server's next segment would be taken
 * for one of such a connection, by the kernel's loose pick-up or by our own adoption, and the old
 * one would go on. So the connections that are cut are remembered in the kernel, as their servers'
 * segments have them, and such a segment is refused unless it is a SYN (compile/judge.c).
 *
 * All of them are, not only those whose way back is granted at the moment: it may be tomorrow. The
 * memory lasts as long as connection tracking remembers one in which nobody speaks. Where an end is
 * gone, the other one gives up much sooner, and containers come and go more often than policies.
 *
 * The kernel's memory is the only one. It outlives the daemon, and goes along when tables are
 * replaced (kernel/kernel_kept.c).
 */
#include "daemon/revoked.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "daemon/log.h"
#include "microseg/cleanup.h"

#define KEPT_SECONDS (5 * 24 * 60 * 60)
#define STALE_SECONDS (60 * 60)

static const char *const set_names[2] = {"revoked/4", "revoked/6"};
static const char any_name[] = "revoked/any";
static const uint8_t protocols[] = {2, 10}; /* NFPROTO_IPV4, NFPROTO_IPV6: keys of that one */

static size_t index_of(const struct ms_conntrack_tuple *tuple)
{
	return tuple->src.ip == MS_IP4 ? 0 : 1;
}

static const struct ms_set *find_set(const struct ms_ruleset *installed, const char *name,
				     const struct ms_table **ret_table)
{
	const struct ms_table *table =
		installed ? ms_ruleset_table(installed, MS_FAMILY_INET) : NULL;

	*ret_table = table;
	return table ? ms_table_set(table, name) : NULL;
}

static void put_key(const struct ms_set *set, const struct ms_conntrack_tuple *segment,
		    struct ms_elem *elem)
{
	const uint16_t sport_be = htons(segment->sport), dport_be = htons(segment->dport);
	size_t size = ms_addr_size(segment->src.ip);

	ms_elem_key(set, elem, 0, segment->src.bytes, size);
	ms_elem_key(set, elem, 1, &sport_be, sizeof(sport_be));
	ms_elem_key(set, elem, 2, segment->dst.bytes, size);
	ms_elem_key(set, elem, 3, &dport_be, sizeof(dport_be));
}

void ms_revoked_note(struct ms_revoked *revoked, const struct ms_conntrack_entry *entry, bool stale)
{
	struct ms_elem elem = {.until = time(NULL) + (stale ? STALE_SECONDS : KEPT_SECONDS)};
	const struct ms_table *table;
	size_t i = index_of(&entry->reply);

	if (entry->proto != IPPROTO_TCP || !entry->open)
		return;
	const struct ms_set *set = find_set(revoked->installed, set_names[i], &table);
	if (!set)
		return;
	put_key(set, &entry->reply, &elem);
	if (ms_vec_push(&revoked->elems[i], elem) < 0)
		revoked->failed = true;
}

static int add(struct ms_revoked *revoked, const char *name, const struct ms_elem *elems,
	       size_t n_elems)
{
	struct ms_change change = {.kind = MS_ADD_ELEMS, .elems = elems, .n_elems = n_elems};
	struct ms_plan plan = {.arena = ms_arena_new()};
	int r = plan.arena ? 0 : -ENOMEM;

	change.set = find_set(revoked->installed, name, &change.table);
	if (r == 0)
		r = change.set ? ms_avec_push(plan.arena, &plan.changes, change) : -ENOENT;
	if (r == 0)
		r = ms_kernel_apply(revoked->kernel, &plan, NULL);
	ms_plan_fini(&plan);
	/* It had all of them already: then there was nothing to commit. */
	return r == -EIO ? 0 : r;
}

/* No room: then nothing that did not begin with a SYN is let in. */
static int shut(struct ms_revoked *revoked)
{
	struct ms_elem elems[sizeof(protocols)] = {0};

	for (size_t i = 0; i < sizeof(protocols); i++) {
		elems[i].key[0] = protocols[i];
		elems[i].until = time(NULL) + KEPT_SECONDS;
	}
	ms_log(MS_LOG_WARNING, "so many connections were cut that they cannot all be remembered: "
			       "for five days no TCP connection is taken up that did not begin "
			       "with its SYN");
	return add(revoked, any_name, elems, sizeof(elems) / sizeof(elems[0]));
}

int ms_revoked_write(struct ms_revoked *revoked)
{
	int r = revoked->failed ? -ENOMEM : 0;

	revoked->failed = false;
	for (size_t i = 0; i < 2; i++) {
		if (r == 0 && revoked->elems[i].n_items > 0)
			r = add(revoked, set_names[i], revoked->elems[i].items,
				revoked->elems[i].n_items);
		ms_vec_fini(&revoked->elems[i]);
	}
	return r < 0 ? shut(revoked) : 0;
}

bool ms_revoked_holds(struct ms_kernel *kernel, const struct ms_ruleset *installed,
		      const struct ms_conntrack_tuple *segment)
{
	const struct ms_table *table;
	struct ms_elem elem = {0}, any = {.key = {protocols[index_of(segment)]}};
	const struct ms_set *set = find_set(installed, set_names[index_of(segment)], &table);

	if (!set)
		return false;
	put_key(set, segment, &elem);
	if (ms_kernel_holds(kernel, table, set, &elem) != 0)
		return true;
	set = ms_table_set(table, any_name);
	return set && ms_kernel_holds(kernel, table, set, &any) != 0;
}

bool ms_revoked_is_full(struct ms_kernel *kernel, const struct ms_ruleset *installed)
{
	const struct ms_table *table;
	const struct ms_set *set = find_set(installed, any_name, &table);
	bool full = false;

	for (size_t i = 0; set && i < sizeof(protocols) / sizeof(protocols[0]); i++) {
		struct ms_elem elem = {.key = {protocols[i]}};

		full |= ms_kernel_holds(kernel, table, set, &elem) == 1;
	}
	return full;
}
