/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Revocation: established connections pass without a look at the policy, so after a commit those
 * that it no longer allows are taken out of connection tracking. Their next packet is judged as a
 * new one.
 *
 * The oracle judges, by the direction in which the connection was opened and by its translated
 * destination. What has no endpoint at either end is none of ours. An address that changed hands
 * loses all its connections: whoever has it now inherits nothing. Until they are out of connection
 * tracking the new holder does not get the address, for not even one packet may pass by them: the
 * commit takes it from the old one, the revocation follows, and the turn after it hands it over.
 * A connection that the kernel met on its way, by a packet of its server, is tracked anew from its
 * client if the policy allows that. What is cut is remembered (revoked.c), so that its server does
 * not take it up again.
 *
 * Right after arming those that the policy would refuse are told of, in audit too. Of those that
 * stay, the ones within a bridge went on while netfilter did not see them: where somebody else had
 * the kernel track all the time, it would take what follows for forged.
 *
 * The kernel shows all connections or none, and on a host with many that takes a while in which the
 * daemon does nothing else. So there is a rest after each look, and changes that come within it
 * share the next one. A change of policy does not wait for that: somebody ordered it.
 *
 * While anything has an end, the connections that stay are compared with the kernel's records of
 * what ends (lend.c): then, and again from time to time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/lend.h"
#include "daemon/log.h"
#include "daemon/revoked.h"
#include "daemon/tracked.h"
#include "kernel/conntrack.h"
#include "microseg/cleanup.h"
#include "microseg/decide.h"

#define SOON_MS 20
#define ORDERED_MS 1
#define REST 10		 /* times as long as the last look took */
#define LONGEST_REST 300 /* milliseconds; SPEC section 3 gives a second for all of it */
#define RETRY_MS 1000	 /* after connection tracking could not be read */
#define QUICK_MS 10	 /* a look that may be had at once, in the turn of somebody who waits */

struct client {
	struct ms_conntrack_tuple tuple;
	uint8_t proto;
};

struct judge {
	const struct ms_policy *policy;
	const struct ms_inventory *inventory;
	const ms_addr_vec *stale; /* sorted; NULL: none */
	time_t now;
	ms_revoke_fn fn; /* is told, and nothing is cut; or NULL */
	void *userdata;
	struct ms_lending *lending; /* NULL: nothing ends */
	struct ms_revoked revoked;  /* before they are cut: their way back is open now */
	struct ms_revoked later;    /* after: nothing takes them up before the next commit */
	bool arming;
	struct ms_tracked *told;      /* at arming: where what would be refused is told; or NULL */
	MS_VEC(struct client) turned; /* clients of connections that go to be tracked anew */
};

#define LEND_AGAIN_MS 30000

static int compare_addrs(const void *a, const void *b)
{
	return ms_addr_compare(a, b);
}

static bool is_stale(const ms_addr_vec *stale, const struct ms_addr *addr)
{
	return stale && stale->n_items &&
	       bsearch(addr, stale->items, stale->n_items, sizeof(*addr), compare_addrs);
}

static bool is_endpoint(const struct ms_party *party)
{
	return party->kind == MS_PARTY_SERVICE || party->kind == MS_PARTY_UNIDENTIFIED;
}

/* Its source of names may only be slow: its connections wait for the answer as it does. */
static bool is_pending(const struct ms_party *party)
{
	return party->endpoint && party->endpoint->state == MS_ENDPOINT_PENDING;
}

/* Where it goes to in the end. */
static const struct ms_addr *destination(const struct ms_conntrack_entry *entry)
{
	return entry->dnat ? &entry->reply.src : &entry->orig.dst;
}

/* The flow of @entry, or false when it is none that the policy judges. */
static bool flow_of(const struct judge *judge, const struct ms_conntrack_entry *entry,
		    struct ms_flow *ret_flow)
{
	const struct ms_addr *src = &entry->orig.src, *dst = destination(entry);
	struct ms_flow flow = {
		.src = ms_party_of_addr(judge->policy, judge->inventory, src, false),
		.dst = ms_party_of_addr(judge->policy, judge->inventory, dst, false),
		.proto = entry->proto,
		.port = entry->has_icmp_type ? entry->icmp_type
			: entry->dnat	     ? entry->reply.sport
					     : entry->orig.dport,
	};

	if (entry->dnat && ms_addr_is_loopback(dst))
		flow.dst.kind = MS_PARTY_HOST; /* where an engine's proxy or agent listens */
	if ((!is_endpoint(&flow.src) && !is_endpoint(&flow.dst)) || is_pending(&flow.src) ||
	    is_pending(&flow.dst))
		return false;
	if (ms_addr_is_multicast(dst))
		return false; /* nobody answers as a group: judged packet by packet */
	flow.published =
		entry->dnat && (flow.src.kind == MS_PARTY_NET || flow.src.kind == MS_PARTY_NODE);
	*ret_flow = flow;
	return true;
}

/*
 * Is @entry the wrong way round, and allowed the right way? Then its client is taken down. It may
 * just as well be the right way round and refused, while the way back is allowed: only ports that
 * leave no doubt who is the client let it live.
 */
static bool is_turned(struct judge *judge, const struct ms_conntrack_entry *entry)
{
	struct client client = {.proto = entry->proto};

	return entry->picked_up && !entry->dnat && !entry->snat &&
	       entry->orig.sport < MS_CLIENT_PORT && entry->orig.dport >= MS_CLIENT_PORT &&
	       ms_adopt_is_answer(judge->policy, judge->inventory, &entry->orig, entry->proto,
				  &client.tuple) &&
	       !ms_revoked_holds(judge->revoked.kernel, judge->revoked.installed, &client.tuple) &&
	       ms_vec_push(&judge->turned, client) == 0;
}

/* Would its server's segments pass as those of a connection of the server's own? */
static bool is_open_back(const struct judge *judge, const struct ms_conntrack_entry *entry)
{
	const struct ms_flow flow = {
		.src = ms_party_of_addr(judge->policy, judge->inventory, &entry->reply.src, false),
		.dst = ms_party_of_addr(judge->policy, judge->inventory, &entry->reply.dst, false),
		.proto = entry->proto,
		.port = entry->reply.dport,
	};

	return ms_decide(judge->policy, judge->inventory, &flow, judge->now, NULL).verdict !=
	       MS_DENY;
}

/* Did frames of @entry pass a bridge that did not show them to netfilter? */
static bool passed_unseen(const struct ms_conntrack_entry *entry, const struct ms_flow *flow)
{
	const struct ms_endpoint *src = flow->src.endpoint, *dst = flow->dst.endpoint;

	return entry->proto == IPPROTO_TCP && entry->open && !entry->dnat && !entry->snat && src &&
	       dst && *src->bridge && strcmp(src->bridge, dst->bridge) == 0;
}

static enum ms_conntrack_fate fate_of(const struct ms_conntrack_entry *entry, void *userdata)
{
	struct judge *judge = userdata;
	struct ms_flow flow = {0};
	bool stale = is_stale(judge->stale, &entry->orig.src) ||
		     is_stale(judge->stale, destination(entry));

	if (!stale && !flow_of(judge, entry, &flow))
		return MS_CONNTRACK_STAYS;
	if (!stale) {
		struct ms_decision decision =
			ms_decide(judge->policy, judge->inventory, &flow, judge->now, NULL);

		if (decision.verdict != MS_ALLOW && is_turned(judge, entry))
			return judge->fn ? MS_CONNTRACK_STAYS : MS_CONNTRACK_GOES;
		if (decision.verdict != MS_ALLOW && judge->told)
			ms_tracked_tell(judge->told, entry, &flow, decision.reason);
		if (decision.verdict != MS_DENY && judge->lending)
			ms_lending_note(judge->lending, entry, &flow);
		if (decision.verdict != MS_DENY)
			return judge->arming && passed_unseen(entry, &flow) ? MS_CONNTRACK_LOOSENED
									    : MS_CONNTRACK_STAYS;
	}
	if (judge->fn) {
		judge->fn(entry, &flow, judge->userdata);
		return MS_CONNTRACK_STAYS;
	}
	ms_revoked_note(entry->open && is_open_back(judge, entry) ? &judge->revoked : &judge->later,
			entry, stale);
	return MS_CONNTRACK_GOES;
}

static void write_memory(struct ms_revoked *revoked)
{
	int r = ms_revoked_write(revoked);

	if (r < 0)
		ms_log(MS_LOG_ERROR,
		       "connections that are cut cannot be remembered: %s; where the way back is "
		       "granted, their servers may go on",
		       strerror(-r));
}

static void remember(void *userdata)
{
	struct judge *judge = userdata;

	write_memory(&judge->revoked);
}

/* Returns how many connections were cut. */
static int look(struct judge *judge)
{
	judge->later.kernel = judge->revoked.kernel;
	judge->later.installed = judge->revoked.installed;
	int r = ms_conntrack_cut(fate_of, remember, judge);
	write_memory(&judge->later);
	write_memory(&judge->revoked); /* a look that failed has not */

	if (r >= 0 && !judge->fn) {
		ms_vec_each (struct client, client, &judge->turned)
			(void)!ms_conntrack_adopt(&client->tuple, client->proto, false);
		r -= (int)judge->turned.n_items;
	}
	ms_vec_fini(&judge->turned);
	return r;
}

int ms_revoke_preview(const struct ms_policy *policy, const struct ms_inventory *inventory,
		      ms_revoke_fn fn, void *userdata)
{
	struct judge judge = {.policy = policy,
			      .inventory = inventory,
			      .now = time(NULL),
			      .fn = fn,
			      .userdata = userdata};
	int r = look(&judge);

	return r < 0 ? r : 0;
}

static int cut(struct judge *judge)
{
	int r = look(judge);

	if (r < 0)
		ms_log(MS_LOG_ERROR,
		       "connections that the policy no longer allows could not be cut: %s",
		       strerror(-r));
	else if (r > 0)
		ms_log(MS_LOG_INFO, "%d connections cut that the policy no longer allows", r);
	return r;
}

void ms_revoke_refused(struct ms_kernel *kernel, const struct ms_ruleset *installed,
		       const struct ms_policy *policy, const struct ms_inventory *inventory)
{
	struct judge judge = {
		.policy = policy,
		.inventory = inventory,
		.now = time(NULL),
		.revoked = {.kernel = kernel, .installed = installed},
	};

	cut(&judge);
}

void ms_revoke(void *userdata)
{
	struct ms_daemon *daemon = userdata;
	struct ms_tracked told = {.events = daemon->events};
	struct judge judge = {
		.inventory = daemon->inventory,
		.stale = &daemon->stale,
		.now = time(NULL),
		.arming = daemon->arming,
		.told = daemon->arming && daemon->events ? &told : NULL,
		.revoked = {.kernel = daemon->kernel, .installed = daemon->installed},
	};

	if (!daemon->loaded || !daemon->installed || !daemon->inventory)
		return;
	judge.policy = daemon->loaded->policy;
	_cleanup_(ms_lending_freep) struct ms_lending *lending = ms_lending_new(
		daemon->kernel, daemon->installed, judge.policy, judge.inventory, judge.now);
	judge.lending = lending;
	ms_vec_sort(&daemon->stale, compare_addrs);
	uint64_t since_ms = ms_monotonic_ms();
	int r = cut(&judge);
	daemon->revoked_ms = ms_monotonic_ms();
	daemon->revoke_ms = daemon->revoked_ms - since_ms;
	if (r < 0) {
		ms_timer_set(daemon->revoke, RETRY_MS);
		return;
	}
	daemon->stale.n_items = 0;
	if (daemon->holding)
		ms_loop_defer(daemon->loop);
	daemon->holding = false;
	daemon->arming = false;
	daemon->counters.revoked += (uint64_t)r;
	if (!lending)
		return;
	r = ms_lending_finish(lending);
	if (r < 0 && r != -EAGAIN)
		ms_log(MS_LOG_WARNING, "records of connections that end could not be kept: %s",
		       strerror(-r));
	ms_timer_set(daemon->lend, r == -EAGAIN ? RETRY_MS : LEND_AGAIN_MS);
}

void ms_revoke_soon(struct ms_daemon *daemon)
{
	uint64_t rest_ms = daemon->revoke_ms * REST, now_ms = ms_monotonic_ms();

	if (rest_ms > LONGEST_REST)
		rest_ms = LONGEST_REST;
	if (ms_timer_is_set(daemon->revoke))
		return;
	rest_ms += daemon->revoked_ms;
	ms_timer_set(daemon->revoke, rest_ms > now_ms + SOON_MS ? rest_ms - now_ms : SOON_MS);
}

void ms_revoke_ordered(struct ms_daemon *daemon)
{
	ms_timer_set(daemon->revoke, ORDERED_MS);
}

/* The same interface as before? A new name makes it no other, as long as it leads where it led, and
 * an old one does not make it the same. An inventory that was read back knows names alone. */
static bool is_same_interface(const struct ms_endpoint *before, const struct ms_endpoint *now)
{
	if (before->since && now->since)
		return now->ifindex == before->ifindex && now->since == before->since;
	return strcmp(now->interface, before->interface) == 0 &&
	       (now->ifindex == before->ifindex || before->ifindex == 0);
}

/* The same attachment as before? */
static bool is_same(const struct ms_endpoint *before, const struct ms_endpoint *now)
{
	return is_same_interface(before, now) && ms_mac_compare(&now->mac, &before->mac) == 0;
}

/* Has it the addresses too? Both are sorted. */
static bool has_addrs(const struct ms_endpoint *before, const struct ms_endpoint *now)
{
	if (now->addrs.n_items != before->addrs.n_items)
		return false;
	for (size_t i = 0; i < now->addrs.n_items; i++)
		if (!ms_addr_equal(&now->addrs.items[i], &before->addrs.items[i]))
			return false;
	return true;
}

static void note_addrs(struct ms_daemon *daemon, const struct ms_endpoint *endpoint,
		       const struct ms_inventory *after)
{
	ms_vec_each (struct ms_addr, addr, &endpoint->addrs) {
		const struct ms_endpoint *now = ms_inventory_by_addr(after, addr);

		if (ms_addr_is_link_local(addr) || (now && is_same(endpoint, now)))
			continue;
		(void)!ms_vec_push(&daemon->stale, *addr);
	}
}

/* The endpoint of @inventory at this interface; @at is where the search goes on: both are sorted.
 */
static const struct ms_endpoint *find_next(const struct ms_inventory *inventory,
					   const char *interface, size_t *at)
{
	const struct ms_endpoint *endpoints = inventory->endpoints.items;
	int order = 1;

	while (*at < inventory->endpoints.n_items &&
	       (order = strcmp(endpoints[*at].interface, interface)) < 0)
		(*at)++;
	return order == 0 ? &endpoints[*at] : NULL;
}

void ms_revoke_note(struct ms_daemon *daemon, const struct ms_inventory *before,
		    const struct ms_inventory *after)
{
	size_t at = 0;

	if (!before || !daemon->installed)
		return;
	ms_vec_each (struct ms_endpoint, endpoint, &before->endpoints) {
		const struct ms_endpoint *now = find_next(after, endpoint->interface, &at);

		if (!now || !is_same(endpoint, now) || !has_addrs(endpoint, now))
			note_addrs(daemon, endpoint, after);
	}
}

/* Does a connection of somebody else still stand in the name of this address? */
static bool is_burdened(const struct ms_daemon *daemon, const struct ms_endpoint *endpoint,
			const struct ms_addr *addr)
{
	const struct ms_endpoint *before = ms_inventory_by_addr(daemon->inventory, addr);

	if (ms_addr_is_link_local(addr))
		return false;
	return is_stale(&daemon->stale, addr) || (before && !is_same(before, endpoint));
}

/* Returns whether it lost one. */
static bool take_burdened(const struct ms_daemon *daemon, struct ms_endpoint *endpoint)
{
	size_t n = 0;

	for (size_t i = 0; i < endpoint->addrs.n_items; i++)
		if (!is_burdened(daemon, endpoint, &endpoint->addrs.items[i]))
			endpoint->addrs.items[n++] = endpoint->addrs.items[i];
	bool lost = n < endpoint->addrs.n_items;
	endpoint->addrs.n_items = n;
	return lost;
}

bool ms_revoke_hold(struct ms_daemon *daemon, struct ms_inventory *inventory)
{
	bool held = false;
	size_t at = 0;

	if (!daemon->inventory || !daemon->installed)
		return false;
	ms_vec_sort(&daemon->stale, compare_addrs);
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints) {
		const struct ms_endpoint *before =
			find_next(daemon->inventory, endpoint->interface, &at);

		/* What it has had, it has had since a revocation. */
		if (!before || !is_same(before, endpoint) || !has_addrs(before, endpoint))
			held |= take_burdened(daemon, endpoint);
	}
	if (held)
		ms_inventory_canonicalize(inventory);
	return held;
}

bool ms_revoke_must_hold(struct ms_daemon *daemon, const struct ms_inventory_change *change)
{
	ms_vec_sort(&daemon->stale, compare_addrs);
	ms_vec_each (const struct ms_endpoint *, endpoint, &change->come) {
		const struct ms_endpoint *before =
			ms_inventory_by_interface(daemon->inventory, (*endpoint)->interface);

		if (before && is_same(before, *endpoint) && has_addrs(before, *endpoint))
			continue;
		ms_vec_each (const struct ms_addr, addr, &(*endpoint)->addrs)
			if (is_burdened(daemon, *endpoint, addr))
				return true;
	}
	return false;
}

bool ms_revoke_at_once(struct ms_daemon *daemon)
{
	if (daemon->revoke_ms > QUICK_MS)
		return false;
	ms_revoke(daemon);
	return daemon->stale.n_items == 0;
}

static bool holds(const struct ms_endpoint *endpoint, const struct ms_addr *addr)
{
	ms_vec_each (const struct ms_addr, own, &endpoint->addrs)
		if (ms_addr_equal(own, addr))
			return true;
	return false;
}

/* Has the same endpoint @addr after @change too? */
static bool stays(const struct ms_inventory_change *change, const struct ms_endpoint *endpoint,
		  const struct ms_addr *addr)
{
	ms_vec_each (const struct ms_endpoint *, now, &change->come)
		if (is_same(endpoint, *now) && holds(*now, addr))
			return true;
	return false;
}

void ms_revoke_note_change(struct ms_daemon *daemon, const struct ms_inventory_change *change)
{
	ms_vec_each (const struct ms_endpoint *, endpoint, &change->gone)
		ms_vec_each (const struct ms_addr, addr, &(*endpoint)->addrs)
			if (!ms_addr_is_link_local(addr) && !stays(change, *endpoint, addr))
				(void)!ms_vec_push(&daemon->stale, *addr);
}

void ms_revoke_held(struct ms_daemon *daemon)
{
	daemon->holding = true;
	ms_timer_set(daemon->revoke, 1);
}
