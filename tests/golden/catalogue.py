#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""tests/catalogue.md has every row it is about, once, and what a row names is in the tests: catalogue.py ROOT."""
import os
import re
import sys

ROWS = [*range(1, 90), 95, 96, 97]
DEFINED = {".py": r"^def %s\(", ".c": r"^(?:static )?void %s\(|^\t*(?:\t|\{)\"%s\""}


def is_there(tests, path, name):
    """Is this function in this file?"""
    try:
        with open(os.path.join(tests, path)) as file:
            text = file.read()
    except FileNotFoundError:
        return False
    return re.search(DEFINED[os.path.splitext(path)[1]].replace("%s", re.escape(name)), text, re.MULTILINE) is not None


def problems(tests):
    """What is wrong with the catalogue."""
    with open(os.path.join(tests, "catalogue.md")) as file:
        rows = re.findall(r"^\| (\d+) \| (.*) \| (.*) \|$", file.read(), re.MULTILINE)
    if [int(row) for row, _, _ in rows] != ROWS:
        yield "the rows are not %s" % ROWS
    for row, _, where in rows:
        named = re.findall(r"\b((?:netns|engine|unit|golden)/\w+\.(?:py|c)):(\w+)", where)
        if not named:
            yield "row %s names no test" % row
        for path, name in named:
            if not is_there(tests, path, name):
                yield "row %s: no %s in tests/%s" % (row, name, path)


def main():
    found = list(problems(os.path.join(sys.argv[1], "tests")))
    print("\n".join(found) or "%d rows, and all they name is there" % len(ROWS))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
