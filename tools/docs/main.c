/* SPDX-License-Identifier: GPL-2.0-or-later */
/* docs NAME [FILE]: writes one manual page or completion script to standard output, at build time.
 */
#include <stdio.h>
#include <string.h>

#include "docs.h"
#include "microseg/cleanup.h"

static int read_all(const char *path, struct ms_str *text)
{
	FILE *file = fopen(path, "r");
	char line[1024];

	if (!file) {
		perror(path);
		return -1;
	}
	while (fgets(line, sizeof(line), file))
		ms_str_add(text, line);
	return fclose(file);
}

static int write_out(const struct ms_str *out)
{
	if (out->failed || !out->text)
		return 1;
	fputs(out->text, stdout);
	return fflush(stdout) == EOF;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*print)(struct ms_str *out);
	} pages[] = {
		{"microseg.1", docs_microseg}, {"microseg-policy.5", docs_language},
		{"microseg-api.7", docs_api},  {"api.md", docs_api_markdown},
		{"bash", docs_bash},	       {"zsh", docs_zsh},
		{"fish", docs_fish},
	};
	_cleanup_(ms_str_fini) struct ms_str out = {0}, help = {0};

	for (size_t i = 0; argc == 2 && i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (strcmp(argv[1], pages[i].name) != 0)
			continue;
		pages[i].print(&out);
		return write_out(&out);
	}
	if (argc == 3 && strcmp(argv[1], "microsegd.8") == 0 && read_all(argv[2], &help) == 0) {
		docs_microsegd(&out, help.text ? help.text : "");
		return write_out(&out);
	}
	fprintf(stderr,
		"usage: docs microseg.1|microseg-policy.5|microseg-api.7|api.md|bash|zsh|fish, or docs microsegd.8 FILE\n");
	return 2;
}
