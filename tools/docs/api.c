/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * microseg-api(7) and the same page in Markdown, out of the table that the control socket is
 * answered from.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/clients.h"
#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/drops.h"
#include "daemon/routes.h"
#include "docs.h"
#include "microseg/cleanup.h"

#define MIB ((size_t)1 << 20)

/* How a page is written: as man(7), or as Markdown. */
struct format {
	void (*section)(struct ms_str *out, const char *title);
	void (*subsection)(struct ms_str *out, const char *title);
	void (*paragraph)(struct ms_str *out, const char *text);
	void (*item)(struct ms_str *out, const char *tag, const char *text);
	void (*example)(struct ms_str *out, const char *lines);
};

/* The last line that was written, with its newline. */
static const char *last_line(const struct ms_str *out)
{
	size_t at = out->len > 0 ? out->len - 1 : 0;

	while (at > 0 && out->text[at - 1] != '\n')
		at--;
	return out->text ? out->text + at : "";
}

/* man(7) has no paragraph begin right below a heading. */
static void roff_next_paragraph(struct ms_str *out, const char *text)
{
	if (strncmp(last_line(out), ".S", 2) == 0)
		roff_text(out, text);
	else
		roff_paragraph(out, text);
}

static const struct format roff = {roff_section, roff_subsection, roff_next_paragraph, roff_item,
				   roff_example};

/* "WHO MAY WHAT" is for manual pages. */
static void md_section(struct ms_str *out, const char *title)
{
	ms_str_addf(out, "\n## %c", title[0]);
	for (const char *c = title + 1; *c; c++)
		ms_str_add_char(out, *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c);
	ms_str_add(out, "\n");
}

static void md_subsection(struct ms_str *out, const char *title)
{
	ms_str_addf(out, "\n### %s\n", title);
}

static void md_paragraph(struct ms_str *out, const char *text)
{
	ms_str_addf(out, "\n%s\n", text);
}

/* Items of one list follow each other without an empty line. */
static void md_item(struct ms_str *out, const char *tag, const char *text)
{
	ms_str_addf(out, "%s- `%s` %s\n", strncmp(last_line(out), "- ", 2) == 0 ? "" : "\n", tag,
		    text);
}

static void md_example(struct ms_str *out, const char *lines)
{
	ms_str_addf(out, "\n```\n%s```\n", lines);
}

static const struct format markdown = {md_section, md_subsection, md_paragraph, md_item,
				       md_example};

static void add_fields(struct ms_str *out, const struct format *format,
		       const struct ms_api_field *fields)
{
	for (; fields->name; fields++) {
		_cleanup_(ms_str_fini) struct ms_str text = {0};

		ms_str_addf(&text, "(%s)%s%s", fields->type, *fields->means ? " " : "",
			    fields->means);
		format->item(out, fields->name, text.text);
	}
}

static void add_route(struct ms_str *out, const struct format *format, const struct ms_route *route)
{
	_cleanup_(ms_str_fini) struct ms_str title = {0}, gives = {0};

	ms_str_addf(&title, "%s %s", ms_route_method(route), route->path);
	format->subsection(out, title.text);
	if (route->takes) {
		format->paragraph(out, strcmp(ms_route_method(route), "GET") == 0
					       ? "Takes, in the query:"
					       : "Takes an object with:");
		add_fields(out, format, route->takes);
	}
	ms_str_addf(&gives, "Answers%s: %s.", route->changes ? ", to root alone" : "",
		    route->gives);
	format->paragraph(out, gives.text);
	if (route->fields)
		add_fields(out, format, route->fields);
}

static void add_codes(struct ms_str *out, const struct format *format)
{
	char text[16];

	format->section(out, "ERRORS");
	format->paragraph(out, "What is done is answered with 200. Everything else has a body "
			       "with:");
	add_fields(out, format, ms_api_error);
	format->paragraph(out, "The codes:");
	for (const struct ms_api_code *code = ms_api_codes; code->code; code++) {
		snprintf(text, sizeof(text), "%d", code->code);
		format->item(out, text, code->means);
	}
}

static void add_limits(struct ms_str *out, const struct format *format)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	format->section(out, "LIMITS");
	ms_str_addf(
		&text,
		"%u connections of root and %u of all others, %u of them of one user; who comes "
		"too many takes the place of one that is silent, or is cut off. A request has to "
		"be complete, and the next one begun, within %u s (root: %u s); a reply has to be "
		"read within %u s. Headers take at most %u KiB, a body of root's %zu MiB, a whole "
		"request of others %zu KiB. Who has %zu MiB to read gets no more until it is read. "
		"%u readers follow the drops at a time; one that leaves %zu MiB unread is cut off.",
		MS_CLIENTS_ROOT, MS_CLIENTS_OTHERS, MS_CLIENTS_PER_UID,
		MS_CLIENTS_REQUEST_MS / 1000, MS_CLIENTS_ROOT_REQUEST_MS / 1000,
		MS_CLIENTS_REPLY_MS / 1000, MS_CONTROL_MAX_HEADER / 1024, MS_CONTROL_MAX_BODY / MIB,
		MS_CLIENTS_MAX_REQUEST / 1024, MS_CLIENTS_MAX_UNREAD / MIB, MS_DROPS_FOLLOWERS,
		MS_DROPS_MAX_UNREAD / MIB);
	format->paragraph(out, text.text);
	format->paragraph(
		out, "Requests wait in a queue, users in turn. All of them together get a "
		     "quarter of the daemon's time, and none of a verdict's: the kernel's rules "
		     "wait for nobody.");
}

static void add_page(struct ms_str *out, const struct format *format)
{
	format->paragraph(out,
			  "microsegd answers HTTP/1.1 on a unix socket, " MS_CONTROL_SOCKET
			  " where the configuration names no other. All that the microseg command "
			  "shows and does live goes this way. Bodies are JSON in both directions, "
			  "but for what is said below to be text.");
	format->section(out, "EXAMPLE");
	format->example(out, "curl --unix-socket " MS_CONTROL_SOCKET " \\\n"
			     "     http://microsegd/v1/status\n"
			     "curl --unix-socket " MS_CONTROL_SOCKET " \\\n"
			     "     -d '{\"kind\": \"quarantine\", \"of\": \"prod/web\"}' \\\n"
			     "     http://microsegd/v1/runtime/add\n");
	format->section(out, "WHO MAY");
	format->paragraph(
		out, "Reading is for root and the members of the socket's group (control.group "
		     "of microseg.yaml(5), microseg by default); changing is for root alone. "
		     "The kernel says who asks; there is nothing to log in with.");
	format->section(out, "VERSIONS");
	format->paragraph(
		out, "Paths begin with the version, /v1. Within a version paths, parameters and "
		     "fields are added, but none goes or changes what it means: a client "
		     "ignores fields that it does not know. GET /v1 lists what this microsegd "
		     "has, and is this page in JSON.");
	add_codes(out, format);
	add_limits(out, format);
	format->section(out, "REQUESTS");
	for (size_t i = 0; i < ms_n_routes; i++)
		add_route(out, format, &ms_routes[i]);
	format->section(out, "EVENTS");
	format->paragraph(out, "A line of /v1/drops, of the log file and of the journal has:");
	add_fields(out, format, ms_api_event);
	format->paragraph(out, "Where some were lost, a line says how many:");
	add_fields(out, format, ms_api_lost);
}

void docs_api(struct ms_str *out)
{
	roff_title(out, "microseg-api", "7", "the HTTP interface of microsegd's control socket");
	roff_section(out, "DESCRIPTION");
	add_page(out, &roff);
	roff_see_also(out, "microseg(1), microseg.yaml(5), microsegd(8)");
}

void docs_api_markdown(struct ms_str *out)
{
	ms_str_add(out, "# The HTTP interface of the control socket\n\nGenerated by the build, as "
			"microseg-api(7) is; do not edit.\n");
	add_page(out, &markdown);
}
