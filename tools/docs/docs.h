/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Docs: manual pages and shell completion, written at build time out of the tables that the
 * programs themselves read, so that they cannot drift: the commands and flags of cli.c, the policy
 * language of schema.c, the control socket's routes.c, and what `microsegd --help` says.
 */
#pragma once

#include "microseg/str.h"

/** The date of the pages, as .TH wants it. */
#define DOCS_DATE "2026-11-24"

/* roff.c: pieces of a page in man(7). */
void roff_title(struct ms_str *out, const char *name, const char *section, const char *summary);
void roff_section(struct ms_str *out, const char *title);
void roff_subsection(struct ms_str *out, const char *title);
/** Running text: breaks lines, and keeps what roff would take for its own. */
void roff_text(struct ms_str *out, const char *text);
void roff_paragraph(struct ms_str *out, const char *text);
/** A tagged paragraph: @tag in bold, then @text. */
void roff_item(struct ms_str *out, const char *tag, const char *text);
/** Lines as they stand. */
void roff_example(struct ms_str *out, const char *lines);
/** "name(1), other(5)" at the end. */
void roff_see_also(struct ms_str *out, const char *pages);

/* One page or script each. */
void docs_microseg(struct ms_str *out);
/** @help: what `microsegd --help` prints. */
void docs_microsegd(struct ms_str *out, const char *help);
void docs_language(struct ms_str *out);
void docs_api(struct ms_str *out);
void docs_api_markdown(struct ms_str *out);
void docs_bash(struct ms_str *out);
void docs_zsh(struct ms_str *out);
void docs_fish(struct ms_str *out);
