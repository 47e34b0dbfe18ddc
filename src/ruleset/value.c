/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "microseg/ruleset_match.h"

#include <string.h>

/* The number of @size <= 4 bytes at @value. */
static uint32_t number_of(const struct ms_field_row *row, const uint8_t *value)
{
	uint32_t number = 0;

	if (row->host_order) {
		memcpy(&number, value, row->size);
		return number;
	}
	for (size_t i = 0; i < row->size; i++)
		number = number << 8 | value[i];
	return number;
}

static void print_hex(const uint8_t *value, size_t size, bool full, struct ms_str *out)
{
	size_t i = 0;

	while (!full && i + 1 < size && value[i] == 0)
		i++;
	ms_str_addf(out, full ? "0x%02x" : "0x%x", value[i]);
	for (i++; i < size; i++)
		ms_str_addf(out, "%02x", value[i]);
}

static void print_addr(const uint8_t *value, size_t size, struct ms_str *out)
{
	char text[MS_ADDR_TEXT_SIZE];
	struct ms_addr addr;

	if (ms_addr_from_bytes(value, size, &addr) == 0)
		ms_str_add(out, ms_addr_format(&addr, text));
}

static void print_mac(const uint8_t *value, struct ms_str *out)
{
	for (size_t i = 0; i < 6; i++)
		ms_str_addf(out, "%s%02x", i ? ":" : "", value[i]);
}

static void print_class(uint32_t number, struct ms_str *out)
{
	/* TC_H_ROOT and TC_H_UNSPEC have words of their own. */
	if (number == UINT32_MAX)
		ms_str_add(out, "root");
	else if (number == 0)
		ms_str_add(out, "none");
	else
		ms_str_addf(out, "%0x:%0x", number >> 16, number & 0xffff);
}

static const char *symbol_of(const struct ms_symbol *symbols, uint32_t number)
{
	for (const struct ms_symbol *s = symbols; s->name; s++)
		if (s->value == number)
			return s->name;
	return NULL;
}

static void print_plain(const struct ms_field_row *row, enum ms_value_kind kind,
			const uint8_t *value, struct ms_str *out)
{
	if (kind == MS_VALUE_HEX || kind == MS_VALUE_HEX_FULL)
		print_hex(value, row->size, kind == MS_VALUE_HEX_FULL, out);
	else
		ms_str_addf(out, "%u", number_of(row, value));
}

void ms_field_print(enum ms_field field, const uint8_t *value, struct ms_str *out)
{
	const struct ms_field_row *row = ms_field_row(field);
	const char *symbol;

	switch (row->value) {
	case MS_VALUE_NAME:
		ms_str_addf(out, "\"%.16s\"", (const char *)value);
		break;
	case MS_VALUE_MAC:
		print_mac(value, out);
		break;
	case MS_VALUE_IP4:
	case MS_VALUE_IP6:
		print_addr(value, row->size, out);
		break;
	case MS_VALUE_CLASS:
		print_class(number_of(row, value), out);
		break;
	case MS_VALUE_SYMBOL:
		symbol = symbol_of(row->symbols, number_of(row, value));
		if (symbol)
			ms_str_add(out, symbol);
		else
			print_plain(row, row->symbols_else, value, out);
		break;
	case MS_VALUE_NUMBER:
	case MS_VALUE_HEX:
	case MS_VALUE_HEX_FULL:
		print_plain(row, row->value, value, out);
		break;
	case MS_VALUE_NONE:
		break;
	}
}

void ms_field_print_number(enum ms_field field, const uint8_t *value, struct ms_str *out)
{
	const struct ms_field_row *row = ms_field_row(field);

	if (row->value == MS_VALUE_SYMBOL)
		print_plain(row, row->symbols_else, value, out);
	else
		ms_field_print(field, value, out);
}
