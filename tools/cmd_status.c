/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Says what is enforced here and what is not, first in words that need no manual. Exit 1 as long as
 * something that should be enforced is not.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "daemon/loaded.h"
#include "microseg/cleanup.h"
#include "runtime.h"
#include "times.h"

#define MAX_CONFLICTS 20 /* that are printed */

struct sentence {
	const char *state;
	const char *color;
	const char *text;
};

static const struct sentence sentences[] = {
	{"starting", "\033[1;33m",
	 "the sources have not all answered yet; what stands in the kernel stays"},
	{"observing", "\033[1;33m",
	 "no policy was ever applied on this node; nothing is refused, nothing was changed"},
	{"degraded", "\033[1;31m",
	 "not all that was asked for is in force, or not for good; what stands in the kernel stays, and nothing opens"},
	{"off", "\033[1;31m",
	 "switched off by `microseg off`: NOTHING IS ENFORCED until `microseg on`"},
	{"stopping", "\033[1;33m", "microsegd is going down; what stands in the kernel stays"},
	{"enforcing", "\033[1;32m", NULL},
};

static const char *get_text(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}

static int64_t get_number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static void print_safe(const char *format, const char *text)
{
	_cleanup_(ms_str_fini) struct ms_str safe = {0};

	ms_str_add_safe(&safe, text);
	printf(format, safe.text ? safe.text : "");
}

static const char *plural(int64_t n)
{
	return n == 1 ? "" : "s";
}

static void print_state(const struct cli *cli, const json_t *status)
{
	const char *state = get_text(status, "state");
	const json_t *endpoints = json_object_get(status, "endpoints");
	int64_t identified = get_number(endpoints, "identified"),
		unidentified = get_number(endpoints, "unidentified"),
		pending = get_number(endpoints, "pending");
	const struct sentence *sentence = NULL;

	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (strcmp(sentences[i].state, state) == 0)
			sentence = &sentences[i];
	printf("%s%s%s: generation %" PRId64 ", %" PRId64 " endpoint%s identified, %" PRId64
	       " unidentified",
	       cli->color && sentence ? sentence->color : "", state, cli->color ? "\033[0m" : "",
	       get_number(status, "generation"), identified, plural(identified), unidentified);
	if (pending)
		printf(", %" PRId64 " pending", pending);
	puts("");
	if (sentence && sentence->text)
		printf("  %s\n", sentence->text);
}

/* What ends by itself, or what somebody has to end. */
static void print_pending(const json_t *status)
{
	const json_t *trial = json_object_get(status, "trial"),
		     *runtime = json_object_get(status, "runtime"),
		     *off_until = json_object_get(status, "off_until");
	time_t now = time(NULL);
	char end[TIMES_TEXT_SIZE];

	if (json_is_integer(off_until))
		printf("  it comes back by itself at %s\n",
		       times_format_end((time_t)json_integer_value(off_until), now, end));
	if (json_is_object(trial))
		printf("trial: generation %" PRId64 " gives way at %s\n"
		       "  `microseg confirm` keeps it, `microseg rollback` ends it now\n",
		       get_number(trial, "generation"),
		       times_format_end((time_t)get_number(trial, "until"), now, end));
	if (json_array_size(runtime) > 0)
		puts("added by commands:");
	runtime_print(runtime, NULL, "  ");
}

static void print_applied(const json_t *status)
{
	const json_t *applied = json_object_get(status, "applied");
	int64_t of = get_number(applied, "rollback_of");
	char when[TIMES_TEXT_SIZE];

	if (!json_is_object(applied))
		return;
	printf("  applied as generation %" PRId64 " at %s", get_number(applied, "generation"),
	       times_format((time_t)get_number(applied, "time"), when));
	print_safe(*get_text(applied, "user") ? " by %s" : "", get_text(applied, "user"));
	printf(" (%s", get_text(applied, "via"));
	if (of)
		printf(" to %" PRId64, of);
	puts(")");
}

static void print_policy(const json_t *status, const char *disk)
{
	const json_t *policy = json_object_get(status, "policy"), *env;
	size_t i;

	if (*get_text(policy, "hash"))
		printf("policy: %" PRId64 " file%s, %" PRId64
		       " service%s; unidentified containers: %s\n",
		       get_number(policy, "files"), plural(get_number(policy, "files")),
		       get_number(policy, "services"), plural(get_number(policy, "services")),
		       get_text(policy, "unidentified"));
	print_applied(status);
	json_array_foreach(json_object_get(status, "environments"), i, env)
		printf("  %-16s %-8s %" PRId64 " endpoint%s\n", get_text(env, "name"),
		       get_text(env, "mode"), get_number(env, "endpoints"),
		       plural(get_number(env, "endpoints")));
	if (*get_text(policy, "refused"))
		printf("policy refused, not in force:\n%s%s", get_text(policy, "refused"),
		       strchr(get_text(policy, "refused"), '\n') ? "" : "\n");
	if (*disk)
		printf("policy on disk: %s\n", disk);
}

static void print_sources(const json_t *status)
{
	const json_t *source;
	size_t i;

	puts("sources:");
	json_array_foreach(json_object_get(status, "sources"), i, source)
	{
		print_safe("  %-40s ", get_text(source, "name"));
		printf("%s", get_text(source, "state"));
		if (*get_text(source, "detail"))
			print_safe(" (%s)", get_text(source, "detail"));
		puts("");
	}
}

static void print_uncovered(const json_t *status)
{
	const json_t *list = json_object_get(status, "uncovered"), *uncovered;
	size_t i;

	if (json_array_size(list) > 0)
		puts("not covered:");
	json_array_foreach(list, i, uncovered)
	{
		print_safe("  %s: ", get_text(uncovered, "what"));
		print_safe("%s", get_text(uncovered, "reason"));
		if (json_is_true(json_object_get(uncovered, "enforced")))
			printf(" [%s should be enforced]", get_text(uncovered, "env"));
		puts("");
	}
}

static void print_conflicts(const json_t *status)
{
	const json_t *list = json_object_get(status, "conflicts"), *conflict;
	size_t i;

	if (json_array_size(list) > 0)
		puts("unidentified, because two things contradict each other:");
	json_array_foreach(list, i, conflict)
	{
		if (i == MAX_CONFLICTS) {
			printf("  and %zu more: microseg endpoints\n", json_array_size(list) - i);
			break;
		}
		print_safe("  %s ", get_text(conflict, "endpoint"));
		print_safe("(%s): ", get_text(conflict, "interface"));
		print_safe("%s\n", get_text(conflict, "why"));
	}
}

static void print_kernel(const json_t *status)
{
	static const struct {
		const char *feature, *consequence;
	} features[] = {
		{"owner_persist",
		 "tables without owner and persist: a foreign `nft flush ruleset` is repaired, not refused"},
		{"bridge_netfilter",
		 "br_netfilter is not loaded: nothing passes between containers on one bridge"},
		{"set_element_comments",
		 "no comments on set elements: `nft list` names no policy line there"},
	};
	const json_t *kernel = json_object_get(status, "kernel");

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (json_is_false(json_object_get(kernel, features[i].feature)))
			printf("kernel: %s\n", features[i].consequence);
}

/*
 * An engine's own chain says nothing new to who uses it: it lets through what the engine's networks
 * need, and between two of them nothing.
 */
static void print_foreign_chain(const json_t *chain, bool warning)
{
	printf("%s: chain %s ", warning ? "warning" : "note", get_text(chain, "family"));
	print_safe("%s ", get_text(chain, "table"));
	print_safe("%s", get_text(chain, "chain"));
	printf(" (hook %s, priority %" PRId64 ") ", get_text(chain, "hook"),
	       get_number(chain, "priority"));
}

static void print_foreign(const json_t *status)
{
	const json_t *chain, *legacy = json_object_get(status, "legacy_tables");
	size_t i;

	json_array_foreach(json_object_get(status, "foreign_chains"), i, chain)
	{
		bool engine = json_is_true(json_object_get(chain, "engine"));

		print_foreign_chain(chain, !engine);
		printf("drops what it does not accept itself, %s\n",
		       engine ? "the policy's grants between two of the engine's networks too"
			      : "also what the policy allows");
	}
	json_array_foreach(json_object_get(status, "foreign_rules"), i, chain)
	{
		print_foreign_chain(chain, false);
		puts(json_is_true(json_object_get(chain, "unread"))
			     ? "has too many rules to look at: they may drop what the policy allows"
			     : "has rules that drop what they ask for, whatever the policy allows");
	}
	if (json_array_size(legacy) > 0)
		fputs("note: iptables-legacy has tables, which are not looked into:", stdout);
	json_array_foreach(legacy, i, chain)
		print_safe(i ? ", %s" : " %s", json_string_value(chain));
	if (json_array_size(legacy) > 0)
		puts("");
}

static void print_problems(const json_t *status)
{
	const json_t *counters = json_object_get(status, "counters"), *problem;
	size_t i;

	json_array_foreach(json_object_get(status, "problems"), i, problem)
		print_safe("problem: %s\n", json_string_value(problem));
	json_array_foreach(json_object_get(status, "warnings"), i, problem)
		print_safe("warning: %s\n", json_string_value(problem));
	if (get_number(counters, "drift_repaired") || get_number(counters, "flags_repaired"))
		printf("repaired: tables %" PRId64 " times, settings of interfaces %" PRId64
		       " times (somebody else changed them)\n",
		       get_number(counters, "drift_repaired"),
		       get_number(counters, "flags_repaired"));
	if (get_number(counters, "events_lost"))
		printf("events lost: %" PRId64 "\n", get_number(counters, "events_lost"));
}

/* Do the files on disk say what is in force? "" when they do, or when there are none to compare. */
static const char *compare_disk(const struct cli *cli, const json_t *status)
{
	_cleanup_(ms_files_fini) struct ms_files files = {0};
	_cleanup_(ms_str_fini) struct ms_str ignored = {0};
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	char hash[17];

	if (cli->policies.n_items == 0 && access(MS_POLICY_DIR, F_OK) < 0)
		return "";
	int r = ms_files_read_patiently(&files, &cli->policies, &ignored);
	if (r < 0)
		return "cannot be read (microseg check says more)";
	if (ms_loaded_new(&files, false, &ignored, &loaded) < 0)
		return "has errors (microseg check prints them)";
	snprintf(hash, sizeof(hash), "%016" PRIx64, loaded->policy->hash);
	if (strcmp(hash, get_text(json_object_get(status, "policy"), "hash")) == 0)
		return "";
	return "differs from what is in force (microseg apply loads it)";
}

static bool wholly_covered(const json_t *status)
{
	const char *state = get_text(status, "state");
	const json_t *uncovered;
	size_t i;

	json_array_foreach(
		json_object_get(status, "uncovered"), i,
		uncovered) if (json_is_true(json_object_get(uncovered, "enforced"))) return false;
	return strcmp(state, "enforcing") == 0 || strcmp(state, "observing") == 0;
}

int cmd_status(struct cli *cli)
{
	_cleanup_(json_decrefp) json_t *status = NULL;

	if (cli->words.n_items > 0)
		return cli_fail(cli, "unexpected '%s'", cli->words.items[0]);
	if (client_json(cli, "/v1/status", NULL, &status) < 0)
		return CLI_UNANSWERED;

	const char *disk = compare_disk(cli, status);
	if (cli->output == CLI_JSON) {
		json_object_set_new(status, "disk", *disk ? json_string(disk) : json_null());
		json_dumpf(status, stdout, JSON_INDENT(1) | JSON_SORT_KEYS);
		puts("");
	} else {
		print_state(cli, status);
		print_pending(status);
		print_problems(status);
		print_foreign(status);
		print_policy(status, disk);
		print_conflicts(status);
		print_uncovered(status);
		print_sources(status);
		print_kernel(status);
	}
	if (strcmp(get_text(status, "state"), "starting") == 0)
		return CLI_UNANSWERED;
	return wholly_covered(status) ? CLI_OK : CLI_NO;
}
