/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The matrix as text of 100 columns, by destination, and as CSV.
 */
#include <string.h>

#include "matrix_print.h"
#include "microseg/cleanup.h"

#define LINE_WIDTH 100
#define SOURCE_WIDTH_MAX 30
#define PORTS_WIDTH_MAX 36
#define INDENT 2

struct layout {
	const struct matrix_rows *rows;
	struct ms_str *out;
	size_t source_width;
	size_t ports_width;
	bool color;
};

static const char *remark(const struct matrix_row *row)
{
	if (row->first->verdict == MS_AUDIT)
		return " (audited)";
	return row->first->published ? " (published)" : "";
}

static bool is_any(const ms_ports_vec *ports)
{
	const size_t n_any = sizeof(ms_ports_any) / sizeof(ms_ports_any[0]);
	size_t n = 0;

	ms_vec_each (const struct ms_ports, one, ports)
		for (size_t i = 0; i < n_any; i++)
			n += ms_ports_compare(one, &ms_ports_any[i]) == 0;
	return n == n_any && ports->n_items == n_any;
}

/* All ports of a row, separated by ", ". */
static void print_ports(const struct matrix_row *row, struct ms_str *out)
{
	char text[MS_PORTS_TEXT_SIZE];

	if (is_any(&row->ports))
		ms_str_add(out, "any");
	else
		ms_vec_each (const struct ms_ports, ports, &row->ports)
			ms_str_addf(out, "%s%s", ports == row->ports.items ? "" : ", ",
				    ms_ports_format(ports, text));
	ms_str_add(out, remark(row));
}

static void pad(struct ms_str *out, size_t n)
{
	for (; n > 0; n--)
		ms_str_add_char(out, ' ');
}

/* How much of @text fits into @width: whole ports, or the first one if not even that fits. */
static size_t fit(const char *text, size_t width)
{
	size_t end = 0;

	for (size_t i = 0; text[i]; i++)
		if (text[i] == ' ' && i > 0 && text[i - 1] == ',' && (i <= width || end == 0))
			end = i;
	return strlen(text) <= width || end == 0 ? strlen(text) : end;
}

/* Of a long path its end says more. */
static void print_place(const struct layout *layout, const struct ms_origin *origin, size_t room)
{
	_cleanup_(ms_str_fini) struct ms_str text = {0};

	if (!origin->file)
		return;
	ms_str_addf(&text, "%s:%u", origin->file, origin->line);
	if (!text.text)
		return;
	if (text.len > room && room > 3) {
		ms_str_add(layout->out, "...");
		ms_str_add_safe(layout->out, text.text + text.len - (room - 3));
	} else {
		ms_str_add_safe(layout->out, text.text);
	}
}

/* @text may take several lines; the place stands behind the first. */
static void print_ports_column(const struct layout *layout, const char *text,
			       const struct ms_origin *origin)
{
	size_t left = INDENT + layout->source_width + 2;

	for (bool first = true; *text; first = false) {
		size_t n = fit(text, layout->ports_width);

		if (!first)
			pad(layout->out, left);
		ms_str_add_len(layout->out, text, n);
		text += n;
		text += strspn(text, " ");
		if (first && origin->file) {
			size_t used = n > layout->ports_width ? n : layout->ports_width;

			pad(layout->out, used - n + 2);
			print_place(layout, origin,
				    left + used + 2 < LINE_WIDTH ? LINE_WIDTH - left - used - 2
								 : 4);
		}
		ms_str_add_char(layout->out, '\n');
	}
}

static void print_row(const struct layout *layout, const struct matrix_row *row)
{
	_cleanup_(ms_str_fini) struct ms_str ports = {0};
	bool audited = layout->color && row->first->verdict == MS_AUDIT;
	size_t width = strlen(row->src->name);

	pad(layout->out, INDENT);
	ms_str_add(layout->out, audited ? "\033[33m" : "");
	ms_str_add_safe(layout->out, row->src->name);
	ms_str_add(layout->out, audited ? "\033[0m" : "");
	if (width > layout->source_width) { /* a net with excepts takes a line of its own */
		ms_str_add_char(layout->out, '\n');
		pad(layout->out, INDENT + layout->source_width + 2);
	} else {
		pad(layout->out, layout->source_width - width + 2);
	}
	print_ports(row, &ports);
	print_ports_column(layout, ports.text ? ports.text : "?", &row->first->policy);
}

static size_t at_most(size_t n, size_t most)
{
	return n < most ? n : most;
}

static void measure(struct layout *layout)
{
	ms_vec_each (const struct matrix_row, row, &layout->rows->list) {
		_cleanup_(ms_str_fini) struct ms_str ports = {0};
		size_t width = strlen(row->src->name);

		if (width <= SOURCE_WIDTH_MAX && width > layout->source_width)
			layout->source_width = width;
		print_ports(row, &ports);
		if (ports.len > layout->ports_width)
			layout->ports_width = at_most(ports.len, PORTS_WIDTH_MAX);
	}
	if (layout->source_width == 0)
		layout->source_width = SOURCE_WIDTH_MAX;
}

static void print_destination(const struct layout *layout, const struct ms_matrix_end *dst)
{
	ms_str_add(layout->out, layout->color ? "\033[1m" : "");
	ms_str_add_safe(layout->out, dst->name);
	ms_str_add(layout->out, layout->color ? "\033[0m" : "");
	if (dst->kind == MS_PARTY_SERVICE && dst->mode == MS_MODE_AUDIT)
		ms_str_add(layout->out, " (audit: what is not listed passes too)");
	ms_str_add_char(layout->out, '\n');
}

static int compare_by_destination(const void *left, const void *right)
{
	const struct matrix_row *a = *(const struct matrix_row *const *)left;
	const struct matrix_row *b = *(const struct matrix_row *const *)right;

	if (a->dst != b->dst)
		return a->dst < b->dst ? -1 : 1;
	return (a > b) - (a < b);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void print_summary(const struct layout *layout, const struct ms_policy *policy)
{
	const struct ms_matrix *matrix = layout->rows->matrix;
	size_t n_audited = 0;

	for (size_t i = 0; i < matrix->n_identities; i++)
		n_audited += matrix->ends.items[i].mode == MS_MODE_AUDIT;
	ms_str_addf(layout->out, "%zu identit%s, %zu flow%s", matrix->n_identities,
		    matrix->n_identities == 1 ? "y" : "ies", layout->rows->n_flows,
		    plural(layout->rows->n_flows));
	if (n_audited)
		ms_str_addf(layout->out, "; %zu identit%s in audit", n_audited,
			    n_audited == 1 ? "y" : "ies");
	if (policy->unidentified == MS_MODE_AUDIT)
		ms_str_add(layout->out, "; unidentified containers in audit");
	ms_str_add_char(layout->out, '\n');
}

void matrix_print_text(const struct matrix_rows *rows, const struct ms_policy *policy, bool color,
		       struct ms_str *out)
{
	struct layout layout = {.rows = rows, .out = out, .color = color};
	const struct ms_matrix_end *dst = NULL;
	MS_VEC(const struct matrix_row *) order = {0};

	ms_vec_each (const struct matrix_row, row, &rows->list)
		if (ms_vec_push(&order, row) < 0)
			out->failed = true;
	ms_vec_sort(&order, compare_by_destination);
	measure(&layout);
	for (size_t i = 0; i < order.n_items; i++) {
		if (order.items[i]->dst != dst) {
			ms_str_add(out, dst ? "\n" : "");
			dst = order.items[i]->dst;
			print_destination(&layout, dst);
		}
		print_row(&layout, order.items[i]);
	}
	ms_str_add(out, dst ? "\n" : "");
	print_summary(&layout, policy);
	ms_vec_fini(&order);
}

/* RFC 4180; a spreadsheet takes a cell that begins with one of these for a formula. */
static void print_cell(const char *text, struct ms_str *out)
{
	ms_str_add(out, strchr("=+-@\t\r", *text) && *text ? "\"'" : "\"");
	for (; *text; text++) {
		if (*text == '"')
			ms_str_add_char(out, '"');
		ms_str_add_char(out, *text);
	}
	ms_str_add(out, "\"");
}

void matrix_print_csv(const struct matrix_rows *rows, struct ms_str *out)
{
	char proto[MS_PORTS_TEXT_SIZE];

	ms_str_add(out, "src,dst,proto,from,to,verdict,published,file,line\r\n");
	ms_vec_each (const struct matrix_row, row, &rows->list)
		ms_vec_each (const struct ms_ports, ports, &row->ports) {
			print_cell(row->src->name, out);
			ms_str_add_char(out, ',');
			print_cell(row->dst->name, out);
			ms_str_addf(out, ",%s,%u,%u,%s,%s,", matrix_proto(ports->proto, proto),
				    ports->first, ports->last, ms_verdict_name(row->first->verdict),
				    row->first->published ? "yes" : "no");
			print_cell(row->first->policy.file ? row->first->policy.file : "", out);
			ms_str_addf(out, ",%u\r\n", row->first->policy.line);
		}
}
