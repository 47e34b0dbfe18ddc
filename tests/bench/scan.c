/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The peer of the bench: reads the files named and runs libyaml's parser over each to the end. What
 * loading a policy costs beyond this is ours.
 */
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

static unsigned long scan(const char *path)
{
	FILE *file = fopen(path, "rb");
	unsigned long n = 0;
	yaml_parser_t parser;
	yaml_event_t event;

	if (!file || !yaml_parser_initialize(&parser)) {
		perror(path);
		exit(2);
	}
	yaml_parser_set_input_file(&parser, file);
	for (yaml_event_type_t type = YAML_NO_EVENT; type != YAML_STREAM_END_EVENT; n++) {
		if (!yaml_parser_parse(&parser, &event)) {
			fprintf(stderr, "%s: %s\n", path, parser.problem);
			exit(2);
		}
		type = event.type;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	fclose(file);
	return n;
}

int main(int argc, char **argv)
{
	unsigned long n = 0;

	for (int i = 1; i < argc; i++)
		n += scan(argv[i]);
	printf("%lu events\n", n);
	return 0;
}
