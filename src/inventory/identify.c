/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Identify: who an endpoint is under a policy (SPEC section 4).
 *
 * Environment and service are found separately, each by label, else by `match`. Whatever is
 * contradictory ends in "unidentified" with a sentence that says which two things contradict each
 * other: nothing here ever guesses, because a wrong identity is a grant to a stranger, and an
 * endpoint without one is closed.
 */
#include "microseg/inventory.h"

#include <errno.h>
#include <string.h>

#include "match.h"

/* Foreign texts in a sentence are cut to this many bytes: labels have no limit of their own. */
#define SHOWN "%.80s"

struct identify {
	struct ms_arena *arena;
	const struct ms_policy *policy;
	MS_VEC(const struct ms_service *)
	matching; /* the services that have a match; the others are never asked */
};

/* What one road (label or match) or both together found. With `why` set nothing counts: it is
 * contradictory. */
struct finding {
	const char *name; /* NULL: nothing found */
	const char *why;
};

struct who {
	const char *env;
	const char *service;
	const char *why;
	bool missing; /* `why` names what is missing, nothing contradicts */
};

/* Without memory for the sentence the endpoint is still unidentified; ms_inventory_identify() then
 * fails anyway. */
#define because(id, ...)                                                                           \
	((struct finding){.why = ms_arena_printf((id)->arena, __VA_ARGS__) ?: "out of memory"})

/* "prod (environments.yaml:9)" */
static const char *named_at(const struct identify *id, const char *name, const struct ms_origin *at)
{
	return ms_arena_printf(id->arena, "%s (%s:%u)", name, at->file ? at->file : "?", at->line);
}

/* The labels of a key as they are written in a policy: "a+b". */
static const char *key_text(const struct identify *id, const struct ms_label_key *key)
{
	const char *text = NULL;

	ms_vec_each (const char *, label, &key->labels)
		text = text ? ms_arena_printf(id->arena, "%s+%s", text, *label) : *label;
	return text;
}

/* The values of a key's labels joined with "-"; NULL when one of them is absent. */
static const char *key_value(const struct identify *id, const struct ms_label_key *key,
			     const struct ms_workload *workload)
{
	const char *joined = NULL;

	ms_vec_each (const char *, label, &key->labels) {
		const char *value = ms_workload_label(workload, *label);

		if (!value)
			return NULL;
		joined = joined ? ms_arena_printf(id->arena, "%s-%s", joined, value) : value;
		if (!joined)
			return NULL;
	}
	return joined;
}

/* The first key whose labels are all present, with the value they give. */
static const struct ms_label_key *first_key(const struct identify *id,
					    const struct ms_label_key *keys, size_t n_keys,
					    const struct ms_workload *workload,
					    const char **ret_value)
{
	for (size_t i = 0; i < n_keys; i++) {
		const char *value = key_value(id, &keys[i], workload);

		if (value) {
			*ret_value = value;
			return &keys[i];
		}
	}
	return NULL;
}

/* "label io.microseg.env is missing", or "none of the labels a, b+c is there". */
static const char *missing_text(const struct identify *id, const struct ms_label_key *keys,
				size_t n_keys)
{
	const char *list = NULL;

	for (size_t i = 0; i < n_keys; i++) {
		const char *text = key_text(id, &keys[i]);

		list = list ? ms_arena_printf(id->arena, "%s or %s", list, text) : text;
	}
	return ms_arena_printf(id->arena, "label %s is missing",
			       list ? list : "(none is configured)");
}

static struct finding env_by_label(const struct identify *id, const struct ms_workload *workload,
				   const char **ret_key)
{
	const char *value = NULL;
	const struct ms_label_key *key = first_key(
		id, id->policy->env_labels.items, id->policy->env_labels.n_items, workload, &value);

	if (!key)
		return (struct finding){0};
	*ret_key = key_text(id, key);
	if (!ms_policy_env(id->policy, value))
		return because(id, "label %s says '" SHOWN "', and %s declares no such environment",
			       *ret_key, value,
			       id->policy->environments_at.file ? id->policy->environments_at.file
								: "the policy");
	return (struct finding){.name = ms_policy_env(id->policy, value)->name};
}

static struct finding env_by_match(const struct identify *id, const struct ms_endpoint *endpoint,
				   const struct ms_workload *workload)
{
	const struct ms_env *found = NULL;

	ms_vec_each (const struct ms_env, env, &id->policy->envs) {
		if (!ms_match_fits(&env->match, endpoint, workload))
			continue;
		if (found)
			return because(id, "the match of two environments fits it: %s and %s",
				       named_at(id, found->name, &found->match.at),
				       named_at(id, env->name, &env->match.at));
		found = env;
	}
	return (struct finding){.name = found ? found->name : NULL};
}

static struct finding find_env(const struct identify *id, const struct ms_endpoint *endpoint,
			       const struct ms_workload *workload)
{
	const char *key = NULL;
	struct finding label = env_by_label(id, workload, &key);
	struct finding match = env_by_match(id, endpoint, workload);

	if (label.why || !label.name)
		return label.why ? label : match;
	if (match.why)
		return match;

	const struct ms_env *env = ms_policy_env(id->policy, label.name);
	if (match.name && strcmp(match.name, env->name) != 0) {
		const struct ms_env *other = ms_policy_env(id->policy, match.name);

		return because(id, "label %s says %s, and the match of %s fits it", key, env->name,
			       named_at(id, other->name, &other->match.at));
	}
	if (env->match.present && !match.name)
		return because(
			id,
			"label %s says %s, and %s takes only what its match fits: this it does not",
			key, env->name, named_at(id, env->name, &env->match.at));
	return label;
}

static struct finding service_by_label(const struct identify *id,
				       const struct ms_workload *workload, const char **ret_key)
{
	const char *value = NULL;
	const struct ms_label_key *key =
		first_key(id, id->policy->service_labels.items, id->policy->service_labels.n_items,
			  workload, &value);

	if (!key)
		return (struct finding){0};
	*ret_key = key_text(id, key);
	if (!ms_name_valid(value))
		return because(id,
			       "label %s says '" SHOWN "', which is no name for a service "
			       "([A-Za-z][A-Za-z0-9._-]*, at most %d characters, not reserved)",
			       *ret_key, value, MS_MAX_NAME);
	return (struct finding){.name = value};
}

static struct finding service_by_match(const struct identify *id,
				       const struct ms_endpoint *endpoint,
				       const struct ms_workload *workload, const char *env)
{
	const struct ms_service *found = NULL;

	for (size_t i = 0; i < id->matching.n_items; i++) {
		const struct ms_service *service = id->matching.items[i];

		if (strcmp(service->env, env) != 0 ||
		    !ms_match_fits(&service->match, endpoint, workload))
			continue;
		if (found)
			return because(id, "the match of two services fits it: %s and %s",
				       named_at(id, found->identity, &found->match.at),
				       named_at(id, service->identity, &service->match.at));
		found = service;
	}
	return (struct finding){.name = found ? found->name : NULL};
}

/* A label may name any service: unlike an environment's, a service's match is only there for what
 * has no label. */
static struct finding find_service(const struct identify *id, const struct ms_endpoint *endpoint,
				   const struct ms_workload *workload, const char *env)
{
	const char *key = NULL;
	struct finding label = service_by_label(id, workload, &key);
	struct finding match =
		env ? service_by_match(id, endpoint, workload, env) : (struct finding){0};

	if (label.why || !label.name)
		return label.why ? label : match;
	if (match.why)
		return match;
	if (match.name && strcmp(match.name, label.name) != 0) {
		const struct ms_service *other = ms_policy_service(id->policy, env, match.name);

		return because(id, "label %s says '" SHOWN "', and the match of %s fits it", key,
			       label.name, named_at(id, other->identity, &other->match.at));
	}
	return label;
}

static bool policy_matches_envs(const struct ms_policy *policy)
{
	ms_vec_each (const struct ms_env, env, &policy->envs)
		if (env->match.present)
			return true;
	return false;
}

static bool policy_matches_services(const struct ms_policy *policy, const char *env)
{
	ms_vec_each (const struct ms_service, service, &policy->services)
		if (service->match.present && strcmp(service->env, env) == 0)
			return true;
	return false;
}

/* What is missing for an identity, when nothing contradicts. */
static const char *missing_why(const struct identify *id, const struct who *who)
{
	const struct ms_policy *policy = id->policy;
	const char *env = NULL, *service = NULL;

	if (!who->env)
		env = ms_arena_printf(
			id->arena, "%s%s",
			missing_text(id, policy->env_labels.items, policy->env_labels.n_items),
			policy_matches_envs(policy) ? " and no environment's match fits" : "");
	if (!who->service)
		service = missing_text(id, policy->service_labels.items,
				       policy->service_labels.n_items);
	if (service && who->env && policy_matches_services(policy, who->env))
		service = ms_arena_printf(id->arena, "%s and no service's match in %s fits",
					  service, who->env);
	if (env && service)
		return ms_arena_printf(id->arena, "%s; %s", env, service);
	return env ? env : service;
}

static struct who identify_workload(const struct identify *id, const struct ms_endpoint *endpoint,
				    const struct ms_workload *workload)
{
	struct finding env = find_env(id, endpoint, workload);

	if (env.why)
		return (struct who){.why = env.why};
	struct finding service = find_service(id, endpoint, workload, env.name);
	if (service.why)
		return (struct who){.why = service.why};
	return (struct who){.env = env.name, .service = service.name};
}

static const char *who_text(const struct identify *id, const struct who *who)
{
	return ms_arena_printf(id->arena, "%s/%.80s", who->env ? who->env : "?",
			       who->service ? who->service : "?");
}

static const char *conflict_text(const struct identify *id, const struct ms_workload *a,
				 const struct who *who_a, const struct ms_workload *b,
				 const struct who *who_b)
{
	return ms_arena_printf(id->arena,
			       SHOWN " is %s and " SHOWN " is %s, in one network namespace",
			       a->name, who_text(id, who_a), b->name, who_text(id, who_b));
}

static bool texts_differ(const char *a, const char *b)
{
	return a && b && strcmp(a, b) != 0;
}

/*
 * Containers that share a namespace are one endpoint. One of them must have a whole identity, and
 * what the others say must agree with it; a helper that says nothing (a sandbox, a debug shell)
 * changes nothing.
 */
static struct who identify_workloads(const struct identify *id, const struct ms_endpoint *endpoint)
{
	const struct ms_workload *best_of = NULL;
	struct who best = {0};

	ms_vec_each (const struct ms_workload, workload, &endpoint->workloads) {
		struct who who = identify_workload(id, endpoint, workload);

		if (who.why && endpoint->workloads.n_items > 1)
			who.why = ms_arena_printf(id->arena, SHOWN ": %s", workload->name, who.why);
		if (who.why)
			return who;
		if (!best_of || (who.env && who.service && !(best.env && best.service))) {
			best = who;
			best_of = workload;
		}
	}
	ms_vec_each (const struct ms_workload, workload, &endpoint->workloads) {
		struct who who = identify_workload(id, endpoint, workload);

		if (texts_differ(best.env, who.env) || texts_differ(best.service, who.service))
			return (struct who){
				.why = conflict_text(id, best_of, &best, workload, &who)};
	}
	return best;
}

static struct who identify_endpoint(const struct identify *id, const struct ms_endpoint *endpoint)
{
	/* A port without a container: its interface, network or addresses may still match. */
	const struct ms_workload nobody = {
		.name = endpoint->name, .id = "", .runtime = "", .image = ""};
	struct who who = endpoint->workloads.n_items ? identify_workloads(id, endpoint)
						     : identify_workload(id, endpoint, &nobody);

	if (!who.why && !(who.env && who.service)) {
		who.why = missing_why(id, &who);
		who.missing = true;
	}
	return who;
}

/* Addresses that every namespace may have for itself name nobody. */
static bool identifies(const struct ms_addr *addr)
{
	return !ms_addr_is_link_local(addr) && !ms_addr_is_loopback(addr);
}

static int say_held_twice(struct ms_arena *arena, const struct ms_addr *held, struct ms_endpoint *a,
			  struct ms_endpoint *b)
{
	char addr[MS_ADDR_TEXT_SIZE];

	ms_addr_format(held, addr);
	if (!a->why)
		a->why = ms_arena_printf(arena, "address %s is also held by endpoint " SHOWN " %s",
					 addr, b->name, b->interface);
	if (!b->why)
		b->why = ms_arena_printf(arena, "address %s is also held by endpoint " SHOWN " %s",
					 addr, a->name, a->interface);
	return a->why && b->why ? 0 : -ENOMEM;
}

static int say_held_by_host(struct ms_arena *arena, const struct ms_addr *held,
			    struct ms_endpoint *endpoint)
{
	char addr[MS_ADDR_TEXT_SIZE];

	if (!endpoint->why)
		endpoint->why = ms_arena_printf(arena, "address %s is also this host's own",
						ms_addr_format(held, addr));
	return endpoint->why ? 0 : -ENOMEM;
}

/* Writes a `why` into every endpoint that shares an address with another one or with the host. */
static int find_shared_addresses(struct ms_inventory *inventory)
{
	const struct ms_holder *holders = inventory->holders.items;
	struct ms_endpoint *endpoints = inventory->endpoints.items;
	int r = inventory->incomplete ? -ENOMEM : 0;

	for (size_t i = 0; r == 0 && i < inventory->holders.n_items; i++) {
		const struct ms_addr *addr = &holders[i].addr;

		if (!identifies(addr))
			continue;
		if (i + 1 < inventory->holders.n_items && ms_addr_equal(addr, &holders[i + 1].addr))
			r = say_held_twice(inventory->arena, addr, &endpoints[holders[i].endpoint],
					   &endpoints[holders[i + 1].endpoint]);
		if (r == 0 && ms_inventory_is_host(inventory, addr))
			r = say_held_by_host(inventory->arena, addr,
					     &endpoints[holders[i].endpoint]);
	}
	return r;
}

/* What is not enforced has no identity that a grant could name; only who it would be is said. */
static int say_who_would_be(const struct identify *id, struct ms_uncovered *uncovered)
{
	uncovered->env = uncovered->service = NULL;
	if (!uncovered->container || !id->policy)
		return 0;
	struct who who = identify_endpoint(id, uncovered->container);
	if (who.env)
		uncovered->env = ms_arena_strdup(id->arena, who.env);
	if (who.service)
		uncovered->service = ms_arena_strdup(id->arena, who.service);
	return (who.env && !uncovered->env) || (who.service && !uncovered->service) ? -ENOMEM : 0;
}

static int settle(struct ms_arena *arena, struct ms_endpoint *endpoint, const struct who *who)
{
	if (who->why || !who->env || !who->service) {
		endpoint->state =
			endpoint->pending ? MS_ENDPOINT_PENDING : MS_ENDPOINT_UNIDENTIFIED;
		endpoint->identity = "unidentified";
		endpoint->why = who->why;
		endpoint->conflict = !who->missing;
		return who->why ? 0 : -ENOMEM;
	}
	endpoint->state = MS_ENDPOINT_IDENTIFIED;
	endpoint->env = ms_arena_strdup(arena, who->env);
	endpoint->service = ms_arena_strdup(arena, who->service);
	endpoint->identity = ms_arena_printf(arena, "%s/%s", who->env, who->service);
	return endpoint->env && endpoint->service && endpoint->identity ? 0 : -ENOMEM;
}

static void clear(struct ms_endpoint *endpoint)
{
	endpoint->env = endpoint->service = endpoint->identity = endpoint->why = NULL;
	endpoint->conflict = false;
}

int ms_inventory_identify(struct ms_inventory *inventory, const struct ms_policy *policy)
{
	struct identify id = {.arena = inventory->arena, .policy = policy};

	for (size_t i = 0; policy && i < policy->services.n_items; i++)
		if (policy->services.items[i].match.present &&
		    ms_avec_push(id.arena, &id.matching, &policy->services.items[i]) < 0)
			return -ENOMEM;
	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints)
		clear(endpoint);
	int r = find_shared_addresses(inventory);

	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints) {
		struct who who = {.why = endpoint->why};

		if (endpoint->pending)
			who = (struct who){.why = "its sources of names have not answered yet",
					   .missing = true};
		else if (!policy)
			who = (struct who){.why = "there is no policy", .missing = true};
		else if (!who.why)
			who = identify_endpoint(&id, endpoint);
		if (r == 0)
			r = settle(inventory->arena, endpoint, &who);
	}
	ms_vec_each (struct ms_uncovered, uncovered, &inventory->uncovered)
		if (r == 0)
			r = say_who_would_be(&id, uncovered);
	return r;
}
