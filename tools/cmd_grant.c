/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "commands.h"
#include "microseg/net.h"
#include "runtime.h"

/* How the policy language writes an end: a name, or a CIDR as {"net": …}. A prefix of one address
 * is one. */
static json_t *peer(const char *word)
{
	static const struct {
		const char *prefix, *key;
	} kinds[] = {{"net/", "net"}, {"node/", "node"}};
	char text[80];
	struct ms_addr addr;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strncmp(word, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return json_pack("{s:s}", kinds[i].key, word + strlen(kinds[i].prefix));
	if (ms_addr_parse(word, &addr) == 0) {
		snprintf(text, sizeof(text), "%.60s/%d", word, strchr(word, ':') ? 128 : 32);
		return json_pack("{s:s}", "net", text);
	}
	if (strchr(word, ':') || (*word >= '0' && *word <= '9'))
		return json_pack("{s:s}", "net", word);
	return json_string(word);
}

int cmd_grant(struct cli *cli)
{
	const char *const *words = cli->words.items;

	switch (cli->words.n_items) {
	case 1:
		if (strcmp(words[0], "list") == 0)
			return runtime_list(cli, "grant");
		break;
	case 2:
		if (strcmp(words[0], "remove") == 0)
			return runtime_remove(cli, "grant", words[1]);
		break;
	case 3:
		return runtime_add(cli,
				   json_pack("{s:s, s:o, s:o, s:s}", "kind", "grant", "from",
					     peer(words[0]), "to", peer(words[1]), "ports",
					     words[2]),
				   true);
	}
	return cli_fail(cli,
			"expected SRC DST PORT, or list, or remove ID; see microseg grant --help");
}
