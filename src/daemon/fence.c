/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The tables outlive the daemon, but not the machine. Between a boot and the daemon's first
 * transaction an armed node would be open; the fence closes that gap, once, before networks and
 * engines start, and ends. It asks nobody and waits for nothing: netlink says what is there, the
 * state directory what was in force.
 *
 * The ruleset is that of the last good policy. An endpoint is known in it by what netlink itself
 * says (an alias), or if its interface, MAC and addresses are those that the tables were last
 * compiled for, in this boot. After a boot that is none, and whatever starts meets the rules for
 * ports that nobody knows. The daemon, when it comes, replaces it all in one transaction.
 *
 * Tables are added, never replaced: where a daemon was faster the kernel refuses, and its tables
 * stand.
 */
#include "daemon/fence.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/log.h"
#include "daemon/stored.h"
#include "discover/discover.h"
#include "kernel/kernel.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"

struct fence {
	const struct ms_config *config;
	struct ms_state *store; /* NULL: absent or unreadable */
	struct ms_kernel *kernel;
	struct ms_loaded *loaded;	/* NULL: the closed door */
	struct ms_inventory *stored;	/* of the last daemon, or NULL */
	bool this_boot;			/* written since the machine was started */
	struct ms_inventory *inventory; /* what is there now */
};

MS_DEFINE_CLEANUP(struct ms_loop *, ms_loop_free)
MS_DEFINE_CLEANUP(struct ms_discover *, ms_discover_free)

static void fence_fini(struct fence *fence)
{
	ms_inventory_free(fence->inventory);
	ms_inventory_free(fence->stored);
	ms_loaded_free(fence->loaded);
	ms_kernel_free(fence->kernel);
	ms_state_free(fence->store);
}

static void plan_finip(struct ms_plan *plan)
{
	ms_plan_fini(plan);
}

/* Lists links and addresses, without any engine. */
static int look(struct fence *fence)
{
	static const ms_text_vec no_engines = {0};
	const struct ms_config *config = fence->config;
	_cleanup_(ms_loop_freep) struct ms_loop *loop = ms_loop_new();
	_cleanup_(ms_discover_freep) struct ms_discover *discover = NULL;
	struct ms_discover_options options = {
		.patterns = &config->managed,
		.named = &config->named,
		.ignore = &config->ignore,
		.engines = &no_engines,
		.netns_dir = MS_NETNS_DIR,
		.node = config->node,
	};

	if (!loop)
		return -ENOMEM;
	int r = ms_discover_new(loop, &options, &discover);
	return r < 0 ? r : ms_discover_snapshot(discover, &fence->inventory);
}

static int add_text(struct ms_inventory *inventory, ms_text_vec *texts, const char *text)
{
	const char *copy = ms_arena_strdup(inventory->arena, text);

	return copy ? ms_avec_push(inventory->arena, texts, copy) : -ENOMEM;
}

/* Where netlink refuses its lists: nothing is known but the names that are managed. */
static int imagine(struct fence *fence)
{
	struct ms_inventory *inventory = fence->inventory = ms_inventory_new();
	const ms_text_vec *lists[] = {&fence->config->managed, &fence->config->named};
	int r = 0;

	if (!inventory || !(inventory->node = ms_arena_strdup(inventory->arena, "")))
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		ms_vec_each (const char *, pattern, lists[i])
			if (r == 0)
				r = add_text(inventory, &inventory->patterns, *pattern);
	return r;
}

static bool is_listed(const ms_text_vec *texts, const char *text)
{
	ms_vec_each (const char *, item, texts)
		if (strcmp(*item, text) == 0)
			return true;
	return false;
}

/*
 * A bridge that carries the host's own network is left alone once its ports show it. Before
 * networks start it is not there to be looked at: the last daemon's word is taken, for the host
 * must not lose its network.
 */
static int add_skipped(struct fence *fence)
{
	int r = 0;

	if (!fence->stored)
		return 0;
	ms_vec_each (const char *, name, &fence->stored->skipped)
		if (r == 0 && !is_listed(&fence->inventory->skipped, *name) &&
		    !is_listed(&fence->config->named, *name) &&
		    !ms_inventory_link(fence->inventory, *name))
			r = add_text(fence->inventory, &fence->inventory->skipped, *name);
	return r;
}

static bool is_same(const struct ms_endpoint *a, const struct ms_endpoint *b)
{
	if (ms_mac_is_zero(&a->mac) || ms_mac_compare(&a->mac, &b->mac) != 0 ||
	    a->addrs.n_items != b->addrs.n_items)
		return false;
	for (size_t i = 0; i < a->addrs.n_items; i++)
		if (ms_addr_compare(&a->addrs.items[i], &b->addrs.items[i]) != 0)
			return false;
	return true;
}

/* Netlink itself names some, by an alias. */
static bool is_named(const struct ms_endpoint *endpoint)
{
	ms_vec_each (const struct ms_workload, workload, &endpoint->workloads)
		if (workload->labels.n_items > 0)
			return true;
	return false;
}

/* Gives endpoints that still are what they were their names and labels, which stay @stored's. */
static void recall(struct fence *fence)
{
	if (!fence->stored || !fence->this_boot)
		return;
	ms_vec_each (struct ms_endpoint, endpoint, &fence->inventory->endpoints) {
		const struct ms_endpoint *before =
			ms_inventory_by_interface(fence->stored, endpoint->interface);

		if (!before || is_named(endpoint) || !is_same(before, endpoint))
			continue;
		endpoint->name = before->name;
		endpoint->network = before->network;
		endpoint->workloads = before->workloads;
		endpoint->pending = false;
	}
}

static int gather(struct fence *fence)
{
	int r = fence->store ? ms_stored_inventory(fence->store, &fence->this_boot, &fence->stored)
			     : -ENOENT;

	if (r < 0 && r != -ENOENT)
		ms_log(MS_LOG_WARNING,
		       "fence: the inventory in %s cannot be used (%s): no endpoint is known",
		       fence->config->state,
		       r == -EBADMSG	       ? "its checksum is wrong"
		       : r == -EPROTONOSUPPORT ? "a newer version of microsegd wrote it"
					       : strerror(-r));
	r = look(fence);
	if (r < 0) {
		ms_log(MS_LOG_WARNING, "fence: cannot list links and addresses: %s", strerror(-r));
		r = imagine(fence);
	}
	if (r == 0)
		r = add_skipped(fence);
	if (r < 0)
		return r;
	recall(fence);
	ms_inventory_canonicalize(fence->inventory);
	return 0;
}

/* Compiles @policy (NULL: the closed door) and loads it. Returns 1 when tables stand already. */
static int load(struct fence *fence, const struct ms_policy *policy)
{
	struct ms_compile_options options = ms_config_compile_options(fence->config);
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *wanted = NULL;
	_cleanup_(plan_finip) struct ms_plan plan = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	int r = ms_inventory_identify(fence->inventory, policy);

	options.now = time(NULL);
	if (r == 0)
		r = ms_compile(policy, fence->inventory, &options, &wanted);
	if (r == 0)
		r = ms_plan_make(NULL, wanted, &plan);
	if (r == 0)
		r = ms_kernel_apply(fence->kernel, &plan, &error);
	if (r < 0 && ms_kernel_present(fence->kernel) == 1)
		return 1;
	if (r < 0)
		ms_log(MS_LOG_ERROR, "fence: the kernel refuses the %s: %s",
		       policy ? "last good ruleset" : "closed door",
		       error.len ? error.text : strerror(-r));
	return r;
}

static size_t count_known(const struct ms_inventory *inventory)
{
	size_t n_known = 0;

	ms_vec_each (const struct ms_endpoint, endpoint, &inventory->endpoints)
		n_known += endpoint->state == MS_ENDPOINT_IDENTIFIED;
	return n_known;
}

static int load_last_good(struct fence *fence)
{
	int r = fence->store ? ms_stored_policy(fence->store, fence->config->state, &fence->loaded)
			     : -ENOENT;

	if (r == 0)
		r = load(fence, fence->loaded->policy);
	if (r == 0)
		ms_log(MS_LOG_NOTICE,
		       "fence: the last good policy is in force; of %zu endpoints %zu are known",
		       fence->inventory->endpoints.n_items, count_known(fence->inventory));
	return r;
}

static int close_door(struct fence *fence)
{
	int r = load(fence, NULL);

	if (r == 0)
		ms_log(MS_LOG_ERROR, "fence: no policy can be used: managed interfaces pass "
				     "nothing until microsegd has one");
	return r;
}

/* Why there is nothing to do, or NULL. A state directory that can't be read is no reason. */
static const char *idle_reason(struct fence *fence, bool state_absent)
{
	time_t until;

	if (state_absent || (fence->store && !ms_state_is_armed(fence->store)))
		return "this node was never armed";
	if (fence->store && ms_state_is_off(fence->store, time(NULL), &until))
		return "microseg is off here";
	return ms_kernel_present(fence->kernel) == 1 ? "our tables stand" : NULL;
}

static bool open_store(struct fence *fence)
{
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	const char *path = fence->config->state;

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return false;
	if (ms_state_open(path, &fence->store, &error) < 0)
		ms_log(MS_LOG_ERROR, "fence: %s", error.text ? error.text : path);
	return true;
}

int ms_fence(const struct ms_config *config)
{
	_cleanup_(fence_fini) struct fence fence = {.config = config};
	bool state_absent = !open_store(&fence);
	int r = ms_kernel_open(&fence.kernel);

	if (r < 0) {
		ms_log(MS_LOG_ERROR, "fence: cannot reach nf_tables: %s", strerror(-r));
		return r;
	}
	const char *idle = idle_reason(&fence, state_absent);
	if (idle) {
		ms_log(MS_LOG_NOTICE, "fence: %s: nothing to do", idle);
		return 0;
	}
	r = gather(&fence);
	if (r == 0)
		r = load_last_good(&fence);
	if (r < 0 && fence.inventory)
		r = close_door(&fence);
	if (r == 1)
		ms_log(MS_LOG_NOTICE, "fence: our tables stand meanwhile: nothing to do");
	return r < 0 ? r : 0;
}
