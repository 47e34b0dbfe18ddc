/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "docs.h"
#include "microseg/cleanup.h"

#define LINE_LENGTH 76

/* Backslashes and hyphens mean something to roff; a quote ends an argument. */
static void add_escaped(struct ms_str *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		switch (text[i]) {
		case '\\':
			ms_str_add(out, "\\e");
			break;
		case '-':
			ms_str_add(out, "\\-");
			break;
		case '"':
			ms_str_add(out, "\\(dq");
			break;
		case '\'':
			ms_str_add(out, "\\(aq");
			break;
		case '^':
			ms_str_add(out, "\\(ha");
			break;
		case '~':
			ms_str_add(out, "\\(ti");
			break;
		case '`':
			ms_str_add(out, "\\(ga");
			break;
		default:
			ms_str_add_char(out, text[i]);
		}
}

void roff_title(struct ms_str *out, const char *name, const char *section, const char *summary)
{
	ms_str_addf(out, ".\\\" SPDX-License-Identifier: GPL-2.0-or-later\n");
	ms_str_add(out, ".TH ");
	for (const char *c = name; *c; c++)
		ms_str_add_char(out, *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c);
	ms_str_addf(out, " %s %s \"microseg %s\" microseg\n.SH NAME\n", section, DOCS_DATE,
		    MS_VERSION);
	add_escaped(out, name, strlen(name));
	ms_str_add(out, " \\- ");
	add_escaped(out, summary, strlen(summary));
	ms_str_add(out, "\n");
}

void roff_section(struct ms_str *out, const char *title)
{
	ms_str_addf(out, ".SH %s\n", title);
}

void roff_subsection(struct ms_str *out, const char *title)
{
	ms_str_add(out, ".SS ");
	add_escaped(out, title, strlen(title));
	ms_str_add(out, "\n");
}

static size_t escaped_len(const char *text, size_t len)
{
	_cleanup_(ms_str_fini) struct ms_str escaped = {0};

	add_escaped(&escaped, text, len);
	return escaped.len;
}

void roff_text(struct ms_str *out, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t len = strcspn(text, " \n"), written = escaped_len(text, len);

		if (len > 0 && column > 0) {
			bool fits = column + 1 + written <= LINE_LENGTH;

			ms_str_add_char(out, fits ? ' ' : '\n');
			column = fits ? column + 1 : 0;
		}
		/* At the beginning of a line these would be a request. */
		if (column == 0 && len > 0 && (*text == '.' || *text == '\''))
			ms_str_add(out, "\\&");
		add_escaped(out, text, len);
		column += written;
		text += len + (text[len] != '\0');
	}
	ms_str_add(out, "\n");
}

void roff_paragraph(struct ms_str *out, const char *text)
{
	ms_str_add(out, ".PP\n");
	roff_text(out, text);
}

void roff_item(struct ms_str *out, const char *tag, const char *text)
{
	ms_str_add(out, ".TP\n.B \"");
	add_escaped(out, tag, strlen(tag));
	ms_str_add(out, "\"\n");
	roff_text(out, text);
}

void roff_example(struct ms_str *out, const char *lines)
{
	ms_str_add(out, ".nf\n.RS 2\n");
	while (*lines) {
		size_t len = strcspn(lines, "\n"), blank = strspn(lines, " ");

		blank = blank < 2 ? blank : 2;
		if (len > blank && (lines[blank] == '.' || lines[blank] == '\''))
			ms_str_add(out, "\\&");
		if (len > blank)
			add_escaped(out, lines + blank, len - blank);
		ms_str_add(out, "\n");
		lines += len + (lines[len] != '\0');
	}
	ms_str_add(out, ".RE\n.fi\n");
}

void roff_see_also(struct ms_str *out, const char *pages)
{
	roff_section(out, "SEE ALSO");
	while (*pages) {
		size_t name = strcspn(pages, "("), end = strcspn(pages, ")") + 1;
		bool last = pages[end] == '\0';

		ms_str_add(out, ".BR ");
		add_escaped(out, pages, name);
		ms_str_addf(out, " %.*s%s\n", (int)(end - name), pages + name, last ? "" : ",");
		pages += end + (last ? 0 : strspn(pages + end, ", "));
	}
}
