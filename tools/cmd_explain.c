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

	struct ms_decision decision =
		ms_decide(context->policy, context->inventory, &flow, cli->now, arena);
	add_end(context, &flow, cli->now, &decision, &end);
	if (cli->output == CLI_JSON)
		print_json(decision_json(&decision));
	else
		print_text(cli, &flow, &decision, end.text ? end.text : "");
	return decision.verdict == MS_DENY ? CLI_NO : CLI_OK;
}

/* Reads the protocol and port of a batch line: names as in policies, or a protocol number. */
static int batch_port(json_t *line, struct ms_flow *flow, struct ms_str *error)
{
	json_t *proto = json_object_get(line, "proto");
	const char *name = json_string_value(proto);
	struct ms_ports ports = {0};
	char text[64];
	int port = 0;

	json_unpack(line, "{s?i}", "dport", &port);
	json_unpack(line, "{s?i}", "type", &port);
	if (json_is_integer(proto))
		snprintf(text, sizeof(text), "proto/%d", (int)json_integer_value(proto));
	else if (name && strncmp(name, "proto/", 6) == 0)
		snprintf(text, sizeof(text), "%s", name);
	else
		snprintf(text, sizeof(text), "%s/%d", name ? name : "", port);
	int r = ms_ports_parse(text, &ports);
	if (r == -EEXIST) { /* a number that has a name */
		flow->proto = (uint8_t)strtoul(text + 6, NULL, 10);
		flow->port = (uint16_t)port;
		return 0;
	}
	if (r < 0)
		ms_str_addf(error, "\"proto\" with \"dport\" or \"type\" is no protocol and port");
	flow->proto = ports.proto;
	flow->port = ports.first;
	return r;
}

static int batch_flow(const struct flow_context *context, json_t *line, struct ms_flow *flow,
		      struct ms_str *error)
{
	const char *src = json_string_value(json_object_get(line, "src"));
	const char *dst = json_string_value(json_object_get(line, "dst"));

	if (!src || !dst) {
		ms_str_add(error, "expected \"src\", \"dst\", \"proto\" and \"dport\"");
		return -EINVAL;
	}
	flow->published = json_is_true(json_object_get(line, "published"));
	if (flow_parse_party(context, src, &flow->src, error) < 0 ||
	    flow_parse_party(context, dst, &flow->dst, error) < 0)
		return -EINVAL;
	return batch_port(line, flow, error);
}

static int explain_line(const struct cli *cli, const struct flow_context *context, const char *text,
			size_t number)
{
	_cleanup_(ms_arena_freep) struct ms_arena *arena = ms_arena_new();
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	_cleanup_(json_decrefp) json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	struct ms_flow flow = {0};

	if (!line)
		ms_str_add(&error, "not a JSON object");
	if (!line || batch_flow(context, line, &flow, &error) < 0) {
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

	if (!file)
		return cli_fail(cli, "%s: %s", path, strerror(errno));
	while (getline(&text, &size, file) >= 0) {
		number++;
		if (text[strspn(text, " \t\r\n")] == '\0')
			continue;
		int r = explain_line(cli, context, text, number);
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
