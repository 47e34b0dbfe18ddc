/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parity of the printer, the encoder and nft, and the kernel backend at work, in network namespaces
 * of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/kernel.h"
#include "microseg/cleanup.h"
#include "parity.h"
#include "samples.h"

#define SKIPPED 77
#define N_RANDOM 6
#define N_VARIANTS 40

#define expect(condition, ...)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);            \
			fprintf(stderr, __VA_ARGS__);                                              \
			fputc('\n', stderr);                                                       \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static const char *text_of(const struct ms_str *str)
{
	return str->text ? str->text : "";
}

static int every_match_lists_as_printed(const void *unused)
{
	(void)unused;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = sample_every_match();
	return parity_check(rs);
}

static int every_set_lists_as_printed(const void *unused)
{
	(void)unused;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = sample_every_set();
	return parity_check(rs);
}

static int every_priority_lists_as_printed(const void *unused)
{
	(void)unused;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = sample_priorities();
	return parity_check(rs);
}

static int random_rules_list_as_printed(const void *unused)
{
	(void)unused;
	for (uint32_t seed = 1; seed <= N_RANDOM; seed++) {
		_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = sample_random(seed);

		expect(parity_check(rs) == 0, "seed %u", seed);
	}
	return 0;
}

/* From each variant to the next, with nothing between, and away at last. */
static int plans_lead_from_any_ruleset_to_any_other(const void *unused)
{
	(void)unused;
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};
	struct ms_ruleset *from = NULL;

	expect(ms_kernel_open(&kernel) == 0, "open");
	for (uint32_t seed = 1; seed <= N_VARIANTS; seed++) {
		struct ms_ruleset *to = seed == N_VARIANTS ? NULL : sample_variant(seed);
		_cleanup_(ms_plan_fini) struct ms_plan plan = {0}, none = {0};

		expect(ms_plan_make(from, to, &plan) == 0, "plan %u", seed);
		expect(plan.changes.n_items > 0, "variants are alike: %u", seed);
		expect(ms_plan_make(to, to, &none) == 0 && none.changes.n_items == 0,
		       "equal rulesets: %u", seed);
		expect(ms_kernel_apply(kernel, &plan, &error) == 0, "apply %u: %s", seed,
		       text_of(&error));
		expect(ms_kernel_verify(kernel, to, &difference) == 0, "verify %u: %s", seed,
		       text_of(&difference));
		ms_ruleset_free(from);
		from = to;
	}
	expect(ms_kernel_present(kernel) == 0, "tables remain");
	return 0;
}

static int a_refused_plan_changes_nothing_and_names_the_object(const void *unused)
{
	(void)unused;
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *a = sample_variant(1),
						      *b = sample_variant(2);
	_cleanup_(ms_plan_fini) struct ms_plan plan = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};

	expect(ms_kernel_open(&kernel) == 0, "open");
	expect(ms_kernel_replace(kernel, a, &error) == 0, "%s", text_of(&error));
	/* Made for an empty kernel: its tables are there already. */
	expect(ms_plan_make(NULL, b, &plan) == 0, "plan");
	expect(ms_kernel_apply(kernel, &plan, &error) == -EEXIST, "%s", text_of(&error));
	expect(strstr(text_of(&error), "add table inet microseg"), "%s", text_of(&error));
	expect(ms_kernel_verify(kernel, a, &difference) == 0, "%s", text_of(&difference));
	return 0;
}

/* A chain with one rule, or none. */
static struct ms_ruleset *one_rule(bool filled)
{
	static const struct ms_origin at = {.file = "policies/orders-db.yaml", .line = 12};
	struct ms_ruleset *rs = ms_ruleset_new();
	struct ms_chain *chain = ms_ruleset_add_chain(
		rs, ms_ruleset_add_table(rs, MS_FAMILY_INET, "microseg"), "to/prod/orders-db");

	if (filled)
		ms_rule_verdict(rs, ms_ruleset_add_rule(rs, chain, &at), MS_VERDICT_ACCEPT, NULL);
	return ms_ruleset_finish(rs) == 0 ? rs : ms_ruleset_free(rs);
}

static int a_refused_rule_is_named_by_its_policy_line(const void *unused)
{
	(void)unused;
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *from = one_rule(false), *to = one_rule(true);
	_cleanup_(ms_plan_fini) struct ms_plan plan = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0};

	/* The chain that the plan counts on is not there. */
	expect(ms_kernel_open(&kernel) == 0 && from && to, "open");
	expect(ms_plan_make(from, to, &plan) == 0, "plan");
	expect(ms_kernel_apply(kernel, &plan, &error) == -ENOENT, "%s", text_of(&error));
	expect(strstr(text_of(&error), "add rule to inet microseg to/prod/orders-db at place 1 "
				       "(policies/orders-db.yaml:12): No such file"),
	       "%s", text_of(&error));
	return 0;
}

static int foreign_changes_are_seen(const void *unused)
{
	(void)unused;
	static const char *const changes[] = {
		"nft add rule inet microseg forward accept",
		"nft add chain inet microseg foreign",
		"nft add element inet microseg nets '{ 99.0.0.1 }'",
		"nft delete table inet microseg",
	};
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = sample_variant(3);

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		struct ms_kernel *kernel = NULL;
		_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};

		expect(ms_kernel_open(&kernel) == 0, "open");
		expect(ms_kernel_replace(kernel, rs, &error) == 0, "%s", text_of(&error));
		expect(ms_kernel_monitor_read(kernel) == 0, "own changes seem foreign");
		/* An owner's tables are safe from nft: let go of them, as a daemon does that ends.
		 */
		ms_kernel_free(kernel);
		kernel = NULL;
		expect(ms_kernel_open(&kernel) == 0, "open again");
		expect(ms_kernel_verify(kernel, rs, &difference) == 0, "%s", text_of(&difference));
		expect(ms_kernel_monitor_read(kernel) == 0, "reading seems a change");
		expect(system("nft add table inet other") == 0, "nft");
		expect(ms_kernel_monitor_read(kernel) == 0, "another table seems ours");
		expect(system(changes[i]) == 0, "%s", changes[i]);
		expect(ms_kernel_monitor_read(kernel) == 1, "unseen: %s", changes[i]);
		expect(ms_kernel_verify(kernel, rs, &difference) == 1, "unverified: %s",
		       changes[i]);
		expect(difference.len > 0, "no words for: %s", changes[i]);
		ms_kernel_free(kernel);
	}
	return 0;
}

static int owned_tables_refuse_others_and_outlive_their_owner(const void *unused)
{
	(void)unused;
	_cleanup_(ms_kernel_freep) struct ms_kernel *first = NULL, *second = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = sample_variant(4),
						      *other = sample_variant(5);
	_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};
	struct ms_kernel_features features;

	expect(ms_kernel_open(&first) == 0 && ms_kernel_open(&second) == 0, "open");
	expect(ms_kernel_probe(first, &features) == 0 && features.nf_tables, "probe");
	expect(ms_kernel_present(first) == 0, "the probe left something");
	if (!features.owner_persist)
		return 0;
	expect(ms_kernel_adopt(first, rs, &error) == -ENOENT, "there is nothing to adopt");
	expect(ms_kernel_replace(first, rs, &error) == 0, "%s", text_of(&error));
	expect(system("nft flush ruleset 2>/dev/null; nft delete table inet microseg 2>/dev/null") !=
		       0,
	       "deleted");
	expect(ms_kernel_replace(second, other, &error) == -EPERM,
	       "took the tables of a living owner");
	expect(ms_kernel_verify(second, rs, &difference) == 0, "%s", text_of(&difference));

	first = ms_kernel_free(first);
	expect(ms_kernel_verify(second, rs, &difference) == 0, "gone with their owner: %s",
	       text_of(&difference));
	expect(ms_kernel_adopt(second, rs, &error) == 0, "%s", text_of(&error));
	expect(ms_kernel_adopt(second, rs, &error) == 0, "twice: %s", text_of(&error));
	expect(ms_kernel_verify(second, rs, &difference) == 0, "adopting changed: %s",
	       text_of(&difference));
	expect(system("nft delete table inet microseg 2>/dev/null") != 0,
	       "adopted tables are not owned");
	expect(ms_kernel_replace(second, other, &error) == 0, "%s", text_of(&error));
	expect(ms_kernel_replace(second, NULL, &error) == 0, "%s", text_of(&error));
	expect(ms_kernel_verify(second, NULL, &difference) == 0, "%s", text_of(&difference));
	return 0;
}

struct counted {
	size_t n;
	bool found;
};

static void count(const struct ms_kernel_counter *counter, void *userdata)
{
	struct counted *counted = userdata;

	counted->n++;
	if (counter->prefix && counter->comment &&
	    strcmp(counter->prefix, "microseg denied no-grant ") == 0 &&
	    strcmp(counter->comment, "policies/orders-db.yaml:12") == 0 &&
	    strcmp(counter->chain, "statements") == 0)
		counted->found = true;
}

static void count_elem(const struct ms_kernel_counter *counter, void *userdata)
{
	struct counted *counted = userdata;

	counted->n++;
	counted->found |= counter->set && !counter->chain && counter->comment &&
			  strcmp(counter->set, "callers") == 0 &&
			  strcmp(counter->comment, "policies/orders-db.yaml:12") == 0 &&
			  counter->packets == 3 && counter->bytes == 3 * 29;
}

/* @n datagrams of one byte to this host, where nobody listens. */
static bool send_datagrams(uint16_t port, int n)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	bool sent = system("ip link set lo up") == 0;

	for (int i = 0; sent && i < n; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		sent = fd >= 0 &&
		       sendto(fd, "x", 1, 0, (const struct sockaddr *)&to, sizeof(to)) == 1;
		if (fd >= 0)
			close(fd);
	}
	return sent;
}

/* One element for packets to port @port of this host. */
static void add_caller(struct ms_ruleset *rs, struct ms_set *set, uint16_t port, uint32_t line)
{
	const struct ms_origin at = {.file = "policies/orders-db.yaml", .line = line};
	const uint8_t addr[] = {127, 0, 0, 1}, proto = IPPROTO_UDP;
	const uint8_t number[] = {(uint8_t)(port >> 8), (uint8_t)port};
	struct ms_elem *elem = ms_ruleset_add_elem(rs, set);

	ms_elem_key(set, elem, 0, addr, sizeof(addr));
	ms_elem_key(set, elem, 1, &proto, sizeof(proto));
	ms_elem_key(set, elem, 2, number, sizeof(number));
	ms_ruleset_elem_origin(rs, elem, &at);
}

static int elements_count_and_carry_their_comment(const void *unused)
{
	static const enum ms_field key[] = {MS_FIELD_IP_SADDR, MS_FIELD_L4PROTO, MS_FIELD_TH_DPORT};
	struct ms_ruleset *rs = ms_ruleset_new();
	struct ms_table *table = ms_ruleset_add_table(rs, MS_FAMILY_INET, "microseg");
	struct ms_set *set = ms_ruleset_add_set(rs, table, "callers", 3, key);
	struct ms_chain *chain = ms_ruleset_add_base_chain(rs, table, "output", MS_HOOK_OUTPUT, 0);
	struct ms_rule *rule = ms_ruleset_add_rule(rs, chain, NULL);
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};
	struct counted counted = {0};

	(void)unused;
	set->counts = true;
	add_caller(rs, set, 5432, 12);
	add_caller(rs, set, 5433, 13);
	ms_rule_match_set(rs, rule, false, "callers", 3, key);
	ms_rule_verdict(rs, rule, MS_VERDICT_ACCEPT, NULL);
	expect(ms_ruleset_finish(rs) == 0, "finish");
	expect(ms_kernel_open(&kernel) == 0, "open");
	expect(ms_kernel_replace(kernel, rs, &error) == 0, "%s", text_of(&error));
	expect(send_datagrams(5432, 3), "not sent");
	expect(ms_kernel_counters(kernel, count_elem, &counted) == 0, "counters");
	expect(counted.found && counted.n == 2, "%zu, found: %d", counted.n, counted.found);
	expect(ms_kernel_verify(kernel, rs, &difference) == 0, "%s", text_of(&difference));
	ms_ruleset_free(rs);
	return 0;
}

static int counters_carry_prefix_and_comment(const void *unused)
{
	(void)unused;
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = sample_every_match();
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	struct counted counted = {0};

	expect(ms_kernel_open(&kernel) == 0, "open");
	expect(ms_kernel_replace(kernel, rs, &error) == 0, "%s", text_of(&error));
	expect(ms_kernel_counters(kernel, count, &counted) == 0, "counters");
	expect(counted.n == 6 && counted.found, "%zu counters", counted.n);
	return 0;
}

/* More elements than one message holds, and than a socket buffer by default. */
static int large_sets_load_and_change(const void *unused)
{
	(void)unused;
	static const enum ms_field key = MS_FIELD_IP_SADDR;
	enum { N_ELEMS = 50000 };
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};
	struct ms_ruleset *rulesets[2];

	for (size_t i = 0; i < 2; i++) {
		struct ms_ruleset *rs = rulesets[i] = ms_ruleset_new();
		struct ms_set *set = ms_ruleset_add_set(
			rs, ms_ruleset_add_table(rs, MS_FAMILY_INET, "microseg"), "large", 1, &key);

		set->size = N_ELEMS;
		for (uint32_t j = 0; j < N_ELEMS; j++)
			if (i == 0 || j % 3)
				ms_elem_key(set, ms_ruleset_add_elem(rs, set), 0, &j, sizeof(j));
		expect(ms_ruleset_finish(rs) == 0, "finish");
	}
	_cleanup_(ms_plan_fini) struct ms_plan plan = {0};

	expect(ms_kernel_open(&kernel) == 0, "open");
	expect(ms_kernel_replace(kernel, rulesets[0], &error) == 0, "%s", text_of(&error));
	expect(ms_kernel_verify(kernel, rulesets[0], &difference) == 0, "%s", text_of(&difference));
	expect(ms_plan_make(rulesets[0], rulesets[1], &plan) == 0, "plan");
	expect(ms_kernel_apply(kernel, &plan, &error) == 0, "%s", text_of(&error));
	expect(ms_kernel_verify(kernel, rulesets[1], &difference) == 0, "%s", text_of(&difference));
	ms_ruleset_free(rulesets[0]);
	ms_ruleset_free(rulesets[1]);
	return 0;
}

static int timed_sets_list_as_printed(const void *unused)
{
	(void)unused;
	const time_t ends[] = {time(NULL) + 3600, 0, time(NULL) + 86400 * 30, time(NULL) + 100, 0};
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = sample_timed(ends, 5);
	return parity_check(rs);
}

static int apply_change(struct ms_kernel *kernel, const struct ms_ruleset *from,
			const struct ms_ruleset *to)
{
	_cleanup_(ms_plan_fini) struct ms_plan plan = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};

	expect(ms_plan_make(from, to, &plan) == 0, "plan");
	expect(ms_kernel_apply(kernel, &plan, &error) == 0, "%s", text_of(&error));
	expect(ms_kernel_verify(kernel, to, &difference) == 0, "%s", text_of(&difference));
	return 0;
}

/* The kernel drops an element by itself; what we think it has must not stumble over that. */
static int what_ended_by_itself_hinders_nothing(const void *unused)
{
	(void)unused;
	const time_t now = time(NULL);
	const time_t soon[] = {now + 4, now + 4, 0, now + 100}, later[] = {now + 50, 0, now + 100};
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *a = sample_timed(soon, 4),
						      *b = sample_timed(later, 3);
	_cleanup_(ms_str_fini) struct ms_str difference = {0};

	expect(ms_kernel_open(&kernel) == 0, "open");
	expect(apply_change(kernel, NULL, a) == 0, "fresh");
	expect(system("nft list set inet microseg audited/4 | grep -q 10.0.0.1") == 0, "not there");
	usleep(4500 * 1000);
	expect(system("nft list set inet microseg audited/4 | grep -q 10.0.0.1") != 0, "no end");
	expect(ms_kernel_verify(kernel, a, &difference) == 0, "%s", text_of(&difference));
	expect(apply_change(kernel, a, b) == 0, "after an end");
	expect(apply_change(kernel, b, a) == 0, "to an end in the past");
	usleep(200 * 1000); /* the least time that the kernel can be given is one of its ticks */
	expect(system("nft list set inet microseg audited/4 | grep -q 10.0.0.1") != 0,
	       "an end in the past is for ever");
	return 0;
}

/* As after the clock was set: what the kernel counts has nothing to do with the ends any more. */
static int ends_are_given_again(const void *unused)
{
	(void)unused;
	const time_t now = time(NULL);
	const time_t true_ends[] = {now + 100, now + 200, 0}, wrong[] = {now + 1000, now + 20, 0};
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *rs = sample_timed(true_ends, 3),
						      *as_set = sample_timed(wrong, 3);
	_cleanup_(ms_plan_fini) struct ms_plan plan = {0};
	_cleanup_(ms_str_fini) struct ms_str error = {0}, difference = {0};

	expect(ms_kernel_open(&kernel) == 0, "open");
	expect(ms_kernel_replace(kernel, as_set, &error) == 0, "%s", text_of(&error));
	expect(ms_kernel_verify(kernel, rs, &difference) == 1, "wrong times are unseen");
	expect(strstr(text_of(&difference), "ends at another time"), "%s", text_of(&difference));
	expect(ms_plan_retime(rs, &plan) == 0, "plan");
	expect(ms_kernel_apply(kernel, &plan, &error) == 0, "%s", text_of(&error));
	ms_str_fini(&difference);
	expect(ms_kernel_verify(kernel, rs, &difference) == 0, "%s", text_of(&difference));
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*test)(const void *unused);
	} tests[] = {
		{"every_match_lists_as_printed", every_match_lists_as_printed},
		{"every_set_lists_as_printed", every_set_lists_as_printed},
		{"every_priority_lists_as_printed", every_priority_lists_as_printed},
		{"random_rules_list_as_printed", random_rules_list_as_printed},
		{"plans_lead_from_any_ruleset_to_any_other",
		 plans_lead_from_any_ruleset_to_any_other},
		{"a_refused_plan_changes_nothing_and_names_the_object",
		 a_refused_plan_changes_nothing_and_names_the_object},
		{"a_refused_rule_is_named_by_its_policy_line",
		 a_refused_rule_is_named_by_its_policy_line},
		{"foreign_changes_are_seen", foreign_changes_are_seen},
		{"owned_tables_refuse_others_and_outlive_their_owner",
		 owned_tables_refuse_others_and_outlive_their_owner},
		{"elements_count_and_carry_their_comment", elements_count_and_carry_their_comment},
		{"counters_carry_prefix_and_comment", counters_carry_prefix_and_comment},
		{"large_sets_load_and_change", large_sets_load_and_change},
		{"timed_sets_list_as_printed", timed_sets_list_as_printed},
		{"what_ended_by_itself_hinders_nothing", what_ended_by_itself_hinders_nothing},
		{"ends_are_given_again", ends_are_given_again},
	};
	int failed = 0;

	if (geteuid() != 0) {
		fprintf(stderr, "needs root, for network namespaces\n");
		return SKIPPED;
	}
	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++) {
		if (argc > 1 && strcmp(argv[1], tests[i].name) != 0)
			continue;
		int r = parity_in_namespace(tests[i].test, NULL);

		printf("%s %s\n", r ? "not ok" : "ok", tests[i].name);
		failed += r != 0;
	}
	return failed ? 1 : 0;
}
