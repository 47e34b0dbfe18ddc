/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "roles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((void)(entry), (void)(roles->failed = true))
#define HASH_FUNCTION HASH_FNV /* the default one falls through cases, which clang reports */
#include <uthash.h>

/* Its hash function falls through on purpose, which a comment in a system header does not tell
 * clang. */
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"

struct role_entry {
	UT_hash_handle hh;
	struct role role;
};

struct ms_roles {
	struct ms_arena *arena;
	struct role_entry *by_identity;
	bool failed;
	bool audits, audits_for_good;
	time_t strictest;
};

struct ms_roles *roles_new(void)
{
	struct ms_arena *arena = ms_arena_new();
	struct ms_roles *roles = arena ? ms_arena_alloc(arena, sizeof(*roles)) : NULL;

	if (!roles) {
		ms_arena_free(arena);
		return NULL;
	}
	roles->arena = arena;
	return roles;
}

struct ms_roles *ms_roles_free(struct ms_roles *roles)
{
	if (roles) {
		HASH_CLEAR(hh, roles->by_identity);
		ms_arena_free(roles->arena);
	}
	return NULL;
}

int roles_finish(struct ms_roles *roles)
{
	return roles->failed ? -ENOMEM : 0;
}

static const char *own(struct ms_roles *roles, const char *text)
{
	const char *copy = text ? ms_arena_strdup(roles->arena, text) : NULL;

	if (text && !copy)
		roles->failed = true;
	return copy;
}

struct role *roles_find(const struct ms_roles *roles, const char *identity)
{
	struct role_entry *entry = NULL;

	HASH_FIND_STR(roles->by_identity, identity, entry);
	return entry ? &entry->role : NULL;
}

/* The role of @identity, made where there is none yet; NULL without memory. */
static struct role *make(struct ms_roles *roles, const char *identity)
{
	struct role *known = roles_find(roles, identity);

	if (known)
		return known;
	struct role_entry *entry = ms_arena_alloc(roles->arena, sizeof(*entry));
	const char *name = own(roles, identity);
	const char *slash = name ? strchr(name, '/') : NULL;

	if (!entry || !slash) {
		roles->failed = true;
		return NULL;
	}
	entry->role.identity = name;
	entry->role.env = ms_arena_strndup(roles->arena, name, (size_t)(slash - name));
	entry->role.service = slash + 1;
	roles->failed |= !entry->role.env;
	HASH_ADD_KEYPTR(hh, roles->by_identity, name, strlen(name), entry);
	return &entry->role;
}

void roles_note_modes(struct compiler *c)
{
	if (!c->roles)
		return;
	c->roles->audits = c->audits;
	c->roles->audits_for_good = c->audits_for_good;
	c->roles->strictest = c->strictest;
}

void roles_recall_modes(struct compiler *c, const struct ms_roles *roles)
{
	c->audits = roles->audits;
	c->audits_for_good = roles->audits_for_good;
	c->strictest = roles->strictest;
}

void roles_note_members(struct compiler *c)
{
	if (!c->roles)
		return;
	ms_vec_each (const struct ms_endpoint *, member, &c->members) {
		struct role *role = make(c->roles, (*member)->identity);

		if (role)
			role->n_members++;
	}
}

void roles_note_targets(struct compiler *c, const struct subject *subject,
			const struct targets *targets)
{
	struct role *role = c->roles ? make(c->roles, subject->identity) : NULL;

	if (!role)
		return;
	role->present = true;
	role->targets = *targets;
	for (int way = 0; way <= LINK; way++)
		role->targets.ways[way].chain = own(c->roles, targets->ways[way].chain);
}

void roles_note_peer(struct compiler *c, const struct family *family, const char *env,
		     const char *service)
{
	struct role *role = c->roles ? make(c->roles, name_of(c, "%s/%s", env, service)) : NULL;

	if (role)
		role->peer[family - families] = true;
}

void roles_note_caller(struct compiler *c, const char *provider, const struct family *family,
		       const char *identity, const struct ms_ports *port,
		       const struct ms_origin *at)
{
	struct role *role = c->roles ? make(c->roles, identity) : NULL;

	if (!role)
		return;
	struct caller_role caller = {
		.provider = own(c->roles, provider), .family = family, .port = *port, .at = *at};
	caller.at.file = own(c->roles, at->file);
	if (ms_avec_push(c->roles->arena, &role->callers, caller) < 0)
		c->roles->failed = true;
}

void roles_declare(struct compiler *c, const struct ms_roles *roles,
		   const ms_endpoint_vec *endpoints)
{
	ms_vec_each (const struct ms_endpoint *, endpoint, endpoints) {
		const struct role *role = roles_find(roles, (*endpoint)->identity);

		if (role && role->present)
			dispatch_declare_bucket(c, role->identity, &role->targets);
		for (size_t i = 0; role && i < 2; i++)
			if (role->peer[i])
				sets_peer(c, &families[i], role->env, role->service);
		for (size_t i = 0; role && i < role->callers.n_items; i++)
			sets_callers(c, role->callers.items[i].family,
				     role->callers.items[i].provider);
	}
}

static void fill(struct compiler *c, const struct role *role,
		 const struct ms_endpoint *const *members, size_t n_members)
{
	targets_dispatch(c, &role->targets, members, n_members);
	ms_vec_each (const struct caller_role, caller, &role->callers)
		sets_add_caller(c, sets_callers(c, caller->family, caller->provider),
				caller->family, role->identity, &caller->port, &caller->at);
}

void roles_fill(struct compiler *c, const struct ms_roles *roles)
{
	for (size_t first = 0, end; first < c->members.n_items; first = end) {
		const char *identity = c->members.items[first]->identity;
		const struct role *role = roles_find(roles, identity);

		for (end = first + 1; end < c->members.n_items &&
				      strcmp(c->members.items[end]->identity, identity) == 0;)
			end++;
		if (role && role->present)
			fill(c, role, &c->members.items[first], end - first);
		else
			c->ruleset->failed = true; /* the caller has asked */
	}
}
