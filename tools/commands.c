/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "commands.h"

#define LATER(name, summary)                                                                       \
	{                                                                                          \
		name, summary, "", 0, NULL, NULL, 0                                                \
	}

const struct cli_command cli_commands[] = {
	{"check", "Loads the policy and prints every error and warning.",
	 "[-p PATH]... [-i FILE|live] [--at TIME] [--strict] | --schema",
	 CLI_FLAG(CLI_AT) | CLI_FLAG(CLI_STRICT) | CLI_FLAG(CLI_SCHEMA),
	 "  microseg check -p policies\n"
	 "  microseg check -p policies -i live --strict\n"
	 "  microseg check -p policies --strict --at 2026-12-24T00:00:00Z\n"
	 "                          # what will have ended by then\n"
	 "  microseg check --schema >microseg.schema.json   # for editors\n"
	 "  microseg check --schema -o text >language.md    # its reference page\n",
	 cmd_check, 0},
	{"preview", "Prints the ruleset that the policy compiles to, in nft syntax.",
	 "[-p PATH]... [-i FILE|live] [--at TIME] [--service ENV/NAME] [--stats]",
	 CLI_FLAG(CLI_AT) | CLI_FLAG(CLI_SERVICE) | CLI_FLAG(CLI_STATS),
	 "  microseg preview -p policies -i node.yaml\n"
	 "  microseg preview -p policies -i node.yaml --service prod/orders-db\n"
	 "  microseg preview -p policies -i node.yaml --stats\n"
	 "  microseg preview -p policies -i node.yaml -o json |\n"
	 "    jq '.services[] | select(.rules > 20)'\n"
	 "  microseg preview -p policies -i node.yaml | unshare -rn nft -c -f -\n",
	 cmd_preview, 0},
	{"diff", "Says which flows a change of policy opens and closes.",
	 "[-p PATH]... [--from PATH]... [-i FILE|live] [--at TIME] [--ruleset] [--fail-on-gain] [--fail-on-crossing]",
	 CLI_FLAG(CLI_AT) | CLI_FLAG(CLI_FROM) | CLI_FLAG(CLI_RULESET) |
		 CLI_FLAG(CLI_FAIL_ON_GAIN) | CLI_FLAG(CLI_FAIL_ON_CROSSING),
	 "  microseg diff -p policies\n"
	 "  microseg diff --from main/policies -p policies --fail-on-crossing\n",
	 cmd_diff, 0},
	{"explain", "Says what happens to a flow, why, and what would change that.",
	 "[-p PATH]... [-i FILE|live] [--at TIME] [--published] SRC DST PROTO/PORT | --batch FILE",
	 CLI_FLAG(CLI_AT) | CLI_FLAG(CLI_PUBLISHED) | CLI_FLAG(CLI_BATCH),
	 "  microseg explain prod/orders-api prod/orders-db tcp/5432\n"
	 "  microseg explain web-1 192.0.2.7 tcp/443\n"
	 "  microseg explain --batch flows.jsonl    # each line answered, such as\n"
	 "        # {\"src\": \"host\", \"dst\": \"prod/web\", \"proto\": \"tcp\", \"dport\": 80}\n",
	 cmd_explain, 0},
	{"matrix", "Says who may reach whom on what.",
	 "[-p PATH]... [-i FILE|live] [--at TIME] [--service ENV/NAME] [-o text|json|csv|html]",
	 CLI_FLAG(CLI_AT) | CLI_FLAG(CLI_SERVICE),
	 "  microseg matrix -p policies\n"
	 "  microseg matrix -p policies -o html > matrix.html\n"
	 "  microseg matrix -p policies --service prod/orders-db\n",
	 cmd_matrix, CLI_OUT(CLI_CSV) | CLI_OUT(CLI_HTML)},
	{"test", "Runs the tests written in the policy.",
	 "[-p PATH]... [--at TIME] [-o text|json|tap]", CLI_FLAG(CLI_AT),
	 "  microseg test -p policies -o tap\n", cmd_test, CLI_OUT(CLI_TAP)},
	{"status", "Says what is enforced on this node, what is not covered, and why.", "", 0,
	 "  microseg status\n"
	 "  microseg status -o json | jq -r .state\n",
	 cmd_status, 0},
	{"endpoints", "Lists the containers of this node and who they are.", "", 0,
	 "  microseg endpoints\n"
	 "  microseg endpoints -o json |\n"
	 "    jq -r '.[] | select(.identity == \"unidentified\") | .name'\n",
	 cmd_endpoints, 0},
	{"services", "Lists services and grants: how often each was used, when last.",
	 "[--service [ENV/]NAME]", CLI_FLAG(CLI_SERVICE),
	 "  microseg services --service prod/orders-db\n", cmd_services, 0},
	{"drops", "Shows denied and audited flows, newest last.",
	 "[-f] [--since TIME] [--reason REASON] [--service NAME]",
	 CLI_FLAG(CLI_FOLLOW) | CLI_FLAG(CLI_SINCE) | CLI_FLAG(CLI_REASON) | CLI_FLAG(CLI_SERVICE),
	 "  microseg drops -f\n"
	 "  microseg drops --since 10m --service prod/orders-db -o json\n",
	 cmd_drops, 0},
	{"apply", "Loads the policy into the running node. The first time arms it.",
	 "[-p PATH]... [--yes] [--confirm TIME]", CLI_FLAG(CLI_YES) | CLI_FLAG(CLI_CONFIRM),
	 "  microseg apply                 # shows what it changes and cuts, asks\n"
	 "  microseg apply -p policies -y  # asks nothing\n"
	 "  microseg apply --confirm 60s   # goes back after 60 s, unless you say:\n"
	 "  microseg confirm\n",
	 cmd_apply, 0},
	{"confirm", "Keeps what apply --confirm loaded.", "", 0, "  microseg confirm\n",
	 cmd_confirm, 0},
	{"rollback", "Goes back to an earlier policy, as a new generation.",
	 "[GENERATION] [--yes] [--confirm TIME]", CLI_FLAG(CLI_YES) | CLI_FLAG(CLI_CONFIRM),
	 "  microseg rollback     # ends what waits for confirm; otherwise back to\n"
	 "                        # the last policy that said something else\n"
	 "  microseg rollback 17  # the one of generation 17, see microseg history\n",
	 cmd_rollback, 0},
	{"history", "Lists the policies applied: when, by whom, which is in force.", "", 0,
	 "  microseg history -o json\n", cmd_history, 0},
	{"quarantine", "Cuts an endpoint or a service off at once, until it is removed.",
	 "add|remove ENDPOINT|ENV/SERVICE [--reason TEXT] | list", CLI_FLAG(CLI_REASON),
	 "  microseg quarantine add prod/orders-db --reason INC-4471\n"
	 "  microseg quarantine add orders-db-2    # one container\n"
	 "  microseg quarantine remove orders-db-2\n",
	 cmd_quarantine, 0},
	{"grant", "Grants a flow for a time, whatever state the files are in.",
	 "SRC DST PORT --for TIME --reason TEXT | list | remove ID",
	 CLI_FLAG(CLI_FOR) | CLI_FLAG(CLI_REASON),
	 "  microseg grant prod/debug prod/db tcp/5432 --for 2h --reason INC-4471\n"
	 "  microseg grant prod/web 192.0.2.7 tcp/443 --for 1d --reason OPS-12\n"
	 "                          # also host, net/NAME, node/NAME\n"
	 "  microseg grant list\n"
	 "  microseg grant remove grant-3    # before its end\n",
	 cmd_grant, 0},
	{"relax", "Audits an environment or service for a time, enforces it after.",
	 "ENV[/SERVICE] --for TIME --reason TEXT | list | remove ID|ENV[/SERVICE]",
	 CLI_FLAG(CLI_FOR) | CLI_FLAG(CLI_REASON),
	 "  microseg relax prod/orders-db --for 30m --reason INC-4471\n"
	 "  microseg relax remove prod/orders-db\n",
	 cmd_relax, 0},
	{"off", "Takes everything of microseg out of the kernel and remembers it.", "[--for TIME]",
	 CLI_FLAG(CLI_STATE) | CLI_FLAG(CLI_FOR),
	 "  microseg off --for 30m    # comes back by itself, also after a reboot,\n"
	 "                            # where a microsegd runs then\n",
	 cmd_off, 0},
	{"on", "Enforces again after off.", "", CLI_FLAG(CLI_STATE), "  microseg on\n", cmd_on, 0},
	LATER("suggest", "Proposes grants for what was refused."),
	LATER("graph", "Draws who may reach whom."),
	LATER("flows", "Shows the connections of now."),
	LATER("verify", "Compares the kernel with the policy by probes."),
	LATER("import", "Reads policies of other systems."),
};
const size_t cli_n_commands = sizeof(cli_commands) / sizeof(cli_commands[0]);
