#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a file as a C text: embed.py INPUT OUTPUT NAME."""
import sys

source, output, name = sys.argv[1:]
with open(source, "rb") as file:
    data = file.read() + b"\0"
with open(output, "w", encoding="ascii") as file:
    file.write(f"static const char {name}[] = {{\n")
    for at in range(0, len(data), 24):
        file.write("\t" + ",".join(str(byte if byte < 128 else byte - 256) for byte in data[at:at + 24]) + ",\n")
    file.write("};\n")
