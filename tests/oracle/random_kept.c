/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kept case is a directory with policy.yaml, inventory.yaml and flows: one flow a line. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "microseg/cleanup.h"
#include "random.h"

static int write_file(const char *dir, const char *name, const char *file, const char *text)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s/%s", dir, name, file);
	FILE *stream = fopen(path, "w");
	if (!stream)
		return -errno;
	fputs(text, stream);
	return fclose(stream) == 0 ? 0 : -errno;
}

int kept_write(const char *dir, const char *name, const struct random_case *c,
	       const struct flow *flow)
{
	_cleanup_(ms_str_fini) struct ms_str line = {0};
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((mkdir(dir, 0777) < 0 && errno != EEXIST) || (mkdir(path, 0777) < 0 && errno != EEXIST))
		return -errno;
	flow_format(flow, &line);
	int r = write_file(dir, name, "policy.yaml", c->policy);
	if (r == 0)
		r = write_file(dir, name, "inventory.yaml", c->inventory);
	return r == 0 ? write_file(dir, name, "flows", line.text ?: "") : r;
}

static char *read_file(const char *dir, const char *name, const char *file)
{
	struct ms_str text = {0};
	char path[512], part[4096];
	size_t n;

	snprintf(path, sizeof(path), "%s/%s/%s", dir, name, file);
	FILE *stream = fopen(path, "r");
	while (stream && (n = fread(part, 1, sizeof(part), stream)) > 0)
		ms_str_add_len(&text, part, n);
	if (stream)
		fclose(stream);
	return ms_str_steal(&text);
}

static int is_case(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int kept_each(const char *dir,
	      void (*each)(const char *name, const struct random_case *c, const char *flows,
			   void *data),
	      void *data)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_case, alphasort);

	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		struct random_case c = {read_file(dir, name, "policy.yaml"),
					read_file(dir, name, "inventory.yaml")};
		char *flows = read_file(dir, name, "flows");

		if (!c.policy || !c.inventory || !flows)
			abort();
		each(name, &c, flows, data);
		free(flows);
		random_case_fini(&c);
		free(entries[i]);
	}
	int r = n < 0 ? -errno : n;
	free(entries);
	return r;
}
