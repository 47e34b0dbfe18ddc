/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/lint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "policy/source.h"

#define PROJECT_LABEL "com.docker.compose.project"

struct lint {
	const struct ms_policy *policy;
	const struct ms_policy_file *files;
	size_t n_files;
	struct ms_diags *diags;
};

static int compare_texts(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

int ms_inventory_identities(const struct ms_inventory *inventory, ms_text_vec *identities)
{
	size_t n = 0;

	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints) {
		if (endpoint->state == MS_ENDPOINT_IDENTIFIED &&
		    ms_vec_push(identities, endpoint->identity) < 0)
			return -ENOMEM;
	}
	ms_vec_sort(identities, compare_texts);
	for (size_t i = 0; i < identities->n_items; i++)
		if (n == 0 || strcmp(identities->items[n - 1], identities->items[i]) != 0)
			identities->items[n++] = identities->items[i];
	identities->n_items = n;
	return 0;
}

static void warn(const struct lint *lint, const struct ms_origin *at, const char *code,
		 const char *hint, const char *what, const char *why)
{
	_cleanup_(freep) char *quote = NULL;

	for (size_t i = 0; at->file && i < lint->n_files && !quote; i++)
		if (strcmp(lint->files[i].name, at->file) == 0)
			quote = ms_source_quote(&lint->files[i], at->line);
	ms_diags_add(lint->diags, MS_WARNING, code, at, quote, hint, "%s%s", what, why);
}

static void lint_services(const struct lint *lint, const ms_text_vec *identities)
{
	ms_vec_each (struct ms_service, service, &lint->policy->services) {
		bool grants = service->allow.n_items || service->needs.n_items;

		if (!grants || (identities->n_items &&
				bsearch(&service->identity, identities->items, identities->n_items,
					sizeof(identities->items[0]), compare_texts)))
			continue;
		warn(lint, &service->at, "no-endpoint", "its grants open nothing until one runs",
		     "no endpoint of the inventory is ", service->identity);
	}
}

static const char *project_of(const struct ms_endpoint *endpoint)
{
	ms_vec_each (struct ms_workload, workload, &endpoint->workloads) {
		ms_vec_each (struct ms_label, label, &workload->labels) {
			if (strcmp(label->name, PROJECT_LABEL) == 0)
				return label->value;
		}
	}
	return NULL;
}

static int compare_identities(const void *left, const void *right)
{
	const struct ms_endpoint *const *a = left, *const *b = right;
	int r = strcmp((*a)->identity, (*b)->identity);

	return r ? r : strcmp((*a)->name, (*b)->name);
}

static void warn_projects(const struct lint *lint, const struct ms_endpoint *endpoint,
			  const char *one, const char *other)
{
	const struct ms_service *service =
		ms_policy_service(lint->policy, endpoint->env, endpoint->service);
	_cleanup_(ms_str_fini) struct ms_str what = {0};

	ms_str_addf(&what, "the Compose projects '%s' and '%s' both run ", one, other);
	warn(lint, service ? &service->at : &lint->policy->environments_at, "several-projects",
	     "they share every grant; name services project-service, or label them",
	     what.text ? what.text : "", endpoint->identity);
}

/* Endpoints of one identity stand together; the first two projects among them are named. */
static void lint_projects(const struct lint *lint, const struct ms_inventory *inventory)
{
	const char *identity = "", *first = NULL;
	MS_VEC(const struct ms_endpoint *) sorted = {0};
	bool warned = false;

	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints) {
		if (endpoint->state == MS_ENDPOINT_IDENTIFIED && project_of(endpoint) &&
		    ms_vec_push(&sorted, endpoint) < 0)
			lint->diags->out_of_memory = true;
	}
	ms_vec_sort(&sorted, compare_identities);
	for (size_t i = 0; i < sorted.n_items; i++) {
		const char *project = project_of(sorted.items[i]);

		if (strcmp(identity, sorted.items[i]->identity) != 0) {
			identity = sorted.items[i]->identity;
			first = project;
			warned = false;
		} else if (!warned && strcmp(first, project) != 0) {
			warn_projects(lint, sorted.items[i], first, project);
			warned = true;
		}
	}
	ms_vec_fini(&sorted);
}

static void lint_coverage(const struct lint *lint, const struct ms_inventory *inventory)
{
	static const struct ms_origin nowhere = {0};

	ms_vec_each (struct ms_endpoint, endpoint, &inventory->endpoints) {
		_cleanup_(ms_str_fini) struct ms_str what = {0};

		if (endpoint->state == MS_ENDPOINT_IDENTIFIED)
			continue;
		ms_str_addf(&what, "%s is %s: ", endpoint->name,
			    ms_endpoint_state_name(endpoint->state));
		warn(lint, &nowhere, "unidentified", NULL, what.text ? what.text : "",
		     endpoint->why ? endpoint->why : "no reason known");
	}
	ms_vec_each (struct ms_uncovered, uncovered, &inventory->uncovered) {
		_cleanup_(ms_str_fini) struct ms_str what = {0};

		ms_str_addf(&what, "%s is not covered: ", uncovered->what);
		warn(lint, &nowhere, "not-covered", NULL, what.text ? what.text : "",
		     uncovered->reason);
	}
}

void ms_lint_inventory(const struct ms_policy *policy, const struct ms_inventory *inventory,
		       const struct ms_policy_file *files, size_t n_files, struct ms_diags *diags)
{
	const struct lint lint = {policy, files, n_files, diags};
	ms_text_vec identities = {0};

	if (ms_inventory_identities(inventory, &identities) < 0) {
		diags->out_of_memory = true;
	} else {
		lint_services(&lint, &identities);
		lint_projects(&lint, inventory);
		lint_coverage(&lint, inventory);
	}
	ms_vec_fini(&identities);
}
