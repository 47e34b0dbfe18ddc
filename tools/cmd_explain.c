/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "flow.h"
#include "load.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"
#include "times.h"

MS_DEFINE_CLEANUP(struct ms_arena *, ms_arena_free)

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

static json_t *decision_json(const struct ms_decision *decision)
{
	json_t *policy = decision->policy ? json_pack("{s:s, s:i}", "file", decision->policy->file,
						      "line", (int)decision->policy->line)
					  : json_null();

	return json_pack("{s:s, s:o, s:o, s:o}", "verdict", ms_verdict_name(decision->verdict),
			 "reason", text_or_null(ms_reason_name(decision->reason)), "policy", policy,
			 "nearest", text_or_null(decision->nearest));
}

/* Takes over @json. */
static void print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_COMPACT);
	puts("");
	json_decref(json);
}

/* When something ends and the answer becomes another: that moment, and what is said then. */
static void add_end(const struct flow_context *context, const struct ms_flow *flow, time_t now,
		    const struct ms_decision *decision, struct ms_str *text)
{
	char moment[TIMES_TEXT_SIZE];
	time_t end = now;

	while ((end = ms_compile_next_end(context->policy, end)) > 0) {
		struct ms_decision then =
			ms_decide(context->policy, context->inventory, flow, end, NULL);

		if (then.verdict == decision->verdict && then.reason == decision->reason)
			continue;
		ms_str_addf(text, "  until:   %s, then %s%s%s\n", times_format(end, moment),
			    ms_verdict_name(then.verdict), then.reason ? ": " : "",
			    then.reason ? ms_reason_name(then.reason) : "");
		return;
	}
}

static void print_text(const struct cli *cli, const struct ms_flow *flow,
		       const struct ms_decision *decision, const char *end)
{
	static const char *const colors[] = {
		[MS_ALLOW] = "\033[1;32m", [MS_AUDIT] = "\033[1;33m", [MS_DENY] = "\033[1;31m"};
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	ms_str_addf(&text, "%s%s%s: ", cli->color ? colors[decision->verdict] : "",
		    ms_verdict_name(decision->verdict), cli->color ? "\033[0m" : "");
	flow_print(flow, &text);
	ms_str_add_char(&text, '\n');
	if (decision->reason != MS_REASON_NONE)
		ms_str_addf(&text, "  reason:  %s\n", ms_reason_name(decision->reason));
	if (decision->policy)
		ms_str_addf(&text, "  policy:  %s:%u\n", decision->policy->file,
			    decision->policy->line);
	ms_str_add(&text, end);
	if (decision->nearest)
		ms_str_addf(&text, "  nearest: %s\n", decision->nearest);
	fputs(text.text ? text.text : "", stdout);
}

/* A name that nothing has is most often a slip, and the answer is true all the same. */
static void print_doubt(const struct flow_context *context, const struct ms_party *party)
{
	_cleanup_(ms_str_fini) struct ms_str doubt = {0};

	flow_doubt_party(context, party, &doubt);
	if (doubt.text)
		fprintf(stderr, "microseg explain: %s\n", doubt.text);
}

static int explain_one(const struct cli *cli, const struct flow_context *context)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	_cleanup_(ms_str_fini) struct ms_str error = {0}, end = {0};
	struct ms_flow flow = {.published = cli_has(cli, CLI_PUBLISHED)};

	if (cli->words.n_items != 3)
		return cli_fail(cli, "expected SRC DST PROTO/PORT; see microseg explain --help");
	if (flow_parse_party(context, cli->words.items[0], &flow.src, &error) < 0 ||
	    flow_parse_party(context, cli->words.items[1], &flow.dst, &error) < 0 ||
	    flow_parse_port(context, &flow.dst, cli->words.items[2], &flow.proto, &flow.port,
			    &error) < 0)
		return cli_fail(cli, "%s", error.text ? error.text : "out of memory");
	print_doubt(context, &flow.src);
	print_doubt(context, &flow.dst);

	struct ms_decision decision =
		ms_decide(context->policy, context->inventory, &flow, cli->now, arena);
	add_end(context, &flow, cli->now, &decision, &end);
	if (cli->output == CLI_JSON)
		print_json(decision_json(&decision));
	else
		print_text(cli, &flow, &decision, end.text ? end.text : "");
	return decision.verdict == MS_DENY ? CLI_NO : CLI_OK;
}

/* A protocol as policies name it, or its number, alone or behind proto/. Returns -1 for no
 * protocol. */
static int batch_proto(const json_t *proto)
{
	static const uint8_t named[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP,
					IPPROTO_ICMPV6};
	const char *name = json_string_value(proto);
	json_int_t number = json_is_integer(proto) ? json_integer_value(proto) : -1;
	struct ms_ports ports;

	for (size_t i = 0; name && i < sizeof(named); i++)
		if (strcmp(name, ms_proto_name(named[i])) == 0)
			return named[i];
	if (name && strncmp(name, "proto/", 6) == 0) {
		int r = ms_ports_parse(name, &ports);

		if (r == 0)
			number = ports.proto;
		else if (r == -EEXIST) /* one that has a name */
			number = strtol(name + 6, NULL, 10);
	}
	return number >= 0 && number <= 255 ? (int)number : -1;
}

/* What selects within the protocol: "dport", "type" or nothing. Never guessed: a flow log without
 * a port asks about no port. */
static int batch_port(const json_t *line, struct ms_flow *flow, struct ms_str *error)
{
	int proto = batch_proto(json_object_get(line, "proto"));
	bool icmp = proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
	const char *key = icmp ? "type" : "dport", *other = icmp ? "dport" : "type";
	const json_t *value = json_object_get(line, key), *wrong = json_object_get(line, other);
	bool is_named = ms_proto_name((uint8_t)proto);
	int max = icmp ? UINT8_MAX : is_named ? UINT16_MAX : 0;

	if (proto < 0) {
		ms_str_add(error, "\"proto\" is no protocol: expected tcp, udp, sctp, icmp, icmp6, "
				  "proto/N, or a number up to 255");
		return -EINVAL;
	}
	flow->proto = (uint8_t)proto;
	if (wrong && !json_is_null(wrong)) {
		ms_str_addf(error, "\"%s\" beside \"proto\": %d", other, proto);
		return -EINVAL;
	}
	if (!is_named && (!value || json_is_null(value)))
		return 0;
	json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
	if (number < 0 || number > max) {
		if (is_named)
			ms_str_addf(error, "expected \"%s\" to be a number up to %d", key, max);
		else
			ms_str_addf(error, "\"proto\": %d has no \"dport\"", proto);
		return -EINVAL;
	}
	flow->port = (uint16_t)number;
	return 0;
}

static int batch_flow(const struct flow_context *context, const json_t *line, struct ms_flow *flow,
		      struct ms_str *error)
{
	const char *src = json_string_value(json_object_get(line, "src"));
	const char *dst = json_string_value(json_object_get(line, "dst"));
	const json_t *published = json_object_get(line, "published");

	if (!src || !dst) {
		ms_str_add(error, "expected \"src\", \"dst\", \"proto\" and \"dport\"");
		return -EINVAL;
	}
	if (published && !json_is_boolean(published) && !json_is_null(published)) {
		ms_str_add(error, "expected \"published\" to be true or false");
		return -EINVAL;
	}
	flow->published = json_is_true(published);
	if (flow_parse_party(context, src, &flow->src, error) < 0 ||
	    flow_parse_party(context, dst, &flow->dst, error) < 0)
		return -EINVAL;
	return batch_port(line, flow, error);
}

static int explain_line(const struct cli *cli, const struct flow_context *context, const char *text,
			size_t len, size_t number)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	json_error_t wrong;
	_cleanup_(json_decrefp) json_t *line =
		json_loadb(text, len, JSON_REJECT_DUPLICATES, &wrong);
	struct ms_flow flow = {0};

	if (!line && json_error_code(&wrong) == json_error_duplicate_key)
		ms_str_add(&error, "a key stands twice");
	else if (!json_is_object(line))
		ms_str_add(&error, "not a JSON object");
	if (!json_is_object(line) || batch_flow(context, line, &flow, &error) < 0) {
		const char *why = error.text ? error.text : "out of memory";

		print_json(json_pack("{s:s}", "error", why));
		return cli_fail(cli, "line %zu: %s", number, why);
	}
	struct ms_decision decision =
		ms_decide(context->policy, context->inventory, &flow, cli->now, arena);
	print_json(decision_json(&decision));
	return CLI_OK;
}

static int explain_batch(const struct cli *cli, const struct flow_context *context)
{
	const char *path = cli->values[CLI_BATCH];
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	_cleanup_(freep) char *text = NULL;
	size_t size = 0, number = 0;
	int worst = CLI_OK;
	ssize_t len;

	if (!file)
		return cli_fail(cli, "%s: %s", path, strerror(errno));
	while ((len = getline(&text, &size, file)) >= 0) {
		number++;
		if (strspn(text, " \t\r\n") == (size_t)len)
			continue;
		int r = explain_line(cli, context, text, (size_t)len, number);
		if (r > worst)
			worst = r;
	}
	if (ferror(file))
		worst = cli_fail(cli, "%s: %s", path, strerror(errno));
	if (file != stdin)
		fclose(file);
	return worst;
}

int cmd_explain(struct cli *cli)
{
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;

	if (load_policy_here(cli, &loaded) < 0 ||
	    load_inventory(cli, loaded->policy, true, &inventory) < 0)
		return CLI_UNANSWERED;

	struct flow_context context = {.policy = loaded->policy, .inventory = inventory};
	return cli_has(cli, CLI_BATCH) ? explain_batch(cli, &context) : explain_one(cli, &context);
}
