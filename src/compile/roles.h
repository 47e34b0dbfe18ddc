/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Roles: where an endpoint of an identity stands in a compiled ruleset, beyond what every endpoint
 * has: the chains that its addresses are dispatched to, the peer sets and sets of callers that hold
 * them. They are noted while the whole is compiled, and are what compiling endpoints alone needs
 * to know of the policy's grants (delta.c). A value of its own: it points into no policy, no
 * inventory and no ruleset.
 */
#pragma once

#include "compiler.h"

struct caller_role {
	const char *provider; /* identity */
	const struct family *family;
	struct ms_ports port;
	struct ms_origin at;
};

struct role {
	const char *env, *service, *identity;
	size_t n_members; /* known endpoints */
	bool present;	  /* it has chains */
	struct targets targets;
	bool peer[2]; /* by family: there is a peer set */
	MS_VEC(struct caller_role) callers;
};

struct ms_roles *roles_new(void);
/* What note_modes() of the whole found. */
void roles_note_modes(struct compiler *c);
void roles_recall_modes(struct compiler *c, const struct ms_roles *roles);
/* While c->roles is set: */
void roles_note_members(struct compiler *c);
void roles_note_targets(struct compiler *c, const struct subject *subject,
			const struct targets *targets);
void roles_note_peer(struct compiler *c, const struct family *family, const char *env,
		     const char *service);
void roles_note_caller(struct compiler *c, const char *provider, const struct family *family,
		       const char *identity, const struct ms_ports *port,
		       const struct ms_origin *at);
/* 0, or -ENOMEM when something could not be noted. */
int roles_finish(struct ms_roles *roles);

/* NULL: nothing was noted of this identity. */
struct role *roles_find(const struct ms_roles *roles, const char *identity);
/* Declares the sets that @endpoints are in by their identities. */
void roles_declare(struct compiler *c, const struct ms_roles *roles,
		   const ms_endpoint_vec *endpoints);
/* Gives the members of the compiler, which are few, what their roles say. */
void roles_fill(struct compiler *c, const struct ms_roles *roles);
