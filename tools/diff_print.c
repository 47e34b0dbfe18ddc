/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diff_print.h"

#include "matrix_print.h"

#define RED "\033[31m"
#define GREEN "\033[32m"
#define PLAIN "\033[0m"

/* What a plus or a minus does not say by itself. */
static const char *remark(const struct ms_flow_change *change)
{
	static const char *const remarks[][MS_REACH_PUBLISHED + 1] = {
		[MS_REACH_NONE] =
			{[MS_REACH_AUDIT] = " (audited)", [MS_REACH_PUBLISHED] = " (published)"},
		[MS_REACH_AUDIT] = {[MS_REACH_NONE] = " (was audited)",
				    [MS_REACH_ALLOW] = " (was audited)",
				    [MS_REACH_PUBLISHED] = " (published, was audited)"},
		[MS_REACH_ALLOW] = {[MS_REACH_AUDIT] = " (audited now)",
				    [MS_REACH_PUBLISHED] = " (through published ports)"},
		[MS_REACH_PUBLISHED] = {[MS_REACH_NONE] = " (was published)",
					[MS_REACH_AUDIT] = " (was published, audited now)",
					[MS_REACH_ALLOW] = " (through published ports)"},
	};
	const char *text = remarks[change->was][change->now];

	return text ? text : "";
}

static void begin(bool gain, bool color, struct ms_str *out)
{
	ms_str_add(out, color ? (gain ? GREEN : RED) : "");
	ms_str_add(out, gain ? "+ " : "- ");
}

static void end(bool color, struct ms_str *out)
{
	ms_str_add(out, color ? PLAIN "\n" : "\n");
}

static void print_flow(const struct ms_flow_change *change, bool color, struct ms_str *out)
{
	char ports[MS_PORTS_TEXT_SIZE];

	begin(ms_flow_change_is_gain(change), color, out);
	ms_str_add_safe(out, change->src.name);
	ms_str_add(out, " -> ");
	ms_str_add_safe(out, change->dst.name);
	ms_str_addf(out, " %s%s", ms_ports_format(&change->ports, ports), remark(change));
	if (ms_flow_change_is_gain(change) && ms_flow_change_crosses(change))
		ms_str_add(out, " (crossing)");
	end(color, out);
}

static void print_mode(const struct ms_mode_change *change, bool color, struct ms_str *out)
{
	begin(change->now == MS_MODE_AUDIT, color, out);
	ms_str_addf(out, "%s: %s -> %s: what nothing grants %s", change->who,
		    ms_mode_name(change->was), ms_mode_name(change->now),
		    change->now == MS_MODE_AUDIT ? "passes, and is logged" : "is refused");
	end(color, out);
}

static void print_ruleset(const struct ruleset_change *change, bool color, struct ms_str *out)
{
	begin(change->added, color, out);
	if (change->text)
		ms_str_addf(out, "%s of %s %s: %s", change->kind, change->family, change->name,
			    change->text);
	else
		ms_str_addf(out, "%s %s %s", change->kind, change->family, change->name);
	end(color, out);
}

static void print_summary(const struct ms_flow_diff *flows, struct ms_str *out)
{
	if (flows->n_gains + flows->n_losses == 0) {
		ms_str_add(out, "no flow changes\n");
		return;
	}
	ms_str_addf(out, "%zu gained, %zu lost", flows->n_gains, flows->n_losses);
	if (flows->n_crossings)
		ms_str_addf(out, "; %zu between environments", flows->n_crossings);
	ms_str_add_char(out, '\n');
}

void diff_print_text(const struct change_report *report, bool color, struct ms_str *out)
{
	ms_vec_each (const struct ms_mode_change, change, &report->flows.modes)
		print_mode(change, color, out);
	ms_vec_each (const struct ms_flow_change, change, &report->flows.flows)
		print_flow(change, color, out);
	print_summary(&report->flows, out);
	if (!report->has_ruleset)
		return;
	ms_vec_each (const struct ruleset_change, change, &report->ruleset)
		print_ruleset(change, color, out);
	if (report->ruleset.n_items == 0)
		ms_str_add(out, "no ruleset changes\n");
}

static json_t *flow_json(const struct ms_flow_change *change)
{
	static const char *const reaches[] = {"deny", "audit", "allow", "allow"};
	char proto[MS_PORTS_TEXT_SIZE];

	return json_pack(
		"{s:s, s:s, s:s, s:[[i, i]], s:s, s:s, s:o, s:b, s:b}", "src", change->src.name,
		"dst", change->dst.name, "proto", matrix_proto(change->ports.proto, proto), "ports",
		(int)change->ports.first, (int)change->ports.last, "was", reaches[change->was],
		"now", reaches[change->now], "policy", matrix_place_json(&change->policy),
		"published", change->was == MS_REACH_PUBLISHED || change->now == MS_REACH_PUBLISHED,
		"crossing", ms_flow_change_crosses(change));
}

static json_t *mode_json(const struct ms_mode_change *change)
{
	return json_pack("{s:s, s:s, s:s, s:b}", "who", change->who, "was",
			 ms_mode_name(change->was), "now", ms_mode_name(change->now), "crossing",
			 change->crossing);
}

static json_t *ruleset_json(const struct ruleset_change *change)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s?}", "change", change->added ? "+" : "-", "kind",
			 change->kind, "family", change->family, "name", change->name, "text",
			 change->text);
}

json_t *diff_json(const struct change_report *report)
{
	json_t *gained = json_array(), *lost = json_array(), *modes = json_array(),
	       *ruleset = json_array();
	json_t *json = json_pack("{s:o, s:o, s:o}", "gained", gained, "lost", lost, "modes", modes);

	ms_vec_each (const struct ms_flow_change, change, &report->flows.flows)
		json_array_append_new(ms_flow_change_is_gain(change) ? gained : lost,
				      flow_json(change));
	ms_vec_each (const struct ms_mode_change, change, &report->flows.modes)
		json_array_append_new(modes, mode_json(change));
	ms_vec_each (const struct ruleset_change, change, &report->ruleset)
		json_array_append_new(ruleset, ruleset_json(change));
	if (report->has_ruleset)
		json_object_set(json, "ruleset", ruleset);
	json_decref(ruleset);
	return json;
}
