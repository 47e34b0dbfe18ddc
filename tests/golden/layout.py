#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every C file is laid out as clang-format 14 and .clang-format want it: layout.py ROOT.

Another version lays out otherwise, so without this one it is skipped, which tests/lab/run_all.py takes for a failure.
"""
import os
import re
import shutil
import subprocess
import sys

PROGRAM = "clang-format-14"
ROOMS = ("include", "src", "tests", "tools")
SKIPPED = 77  # meson's
CONTROL = "int main(void) {\n    return 0;\n}\n"


def check(root, *arguments, text=None):
    """(exit code, the places that it would lay out otherwise)"""
    result = subprocess.run([PROGRAM, "--dry-run", "-Werror", "--style=file", *arguments], cwd=root, input=text,
                            capture_output=True, text=True)
    return result.returncode, re.findall(r"^\S+:\d+:\d+: error: .*$", result.stderr, re.MULTILINE) or result.stderr.splitlines()


def c_files(root):
    """All there are, seen from the root."""
    return sorted(os.path.relpath(os.path.join(folder, name), root) for room in ROOMS
                  for folder, _, names in os.walk(os.path.join(root, room)) for name in names if name.endswith((".c", ".h")))


def main():
    root = sys.argv[1]
    if not shutil.which(PROGRAM):
        print("skipped: no %s" % PROGRAM)
        return SKIPPED
    code, places = check(root, "--assume-filename=src/control.c", text=CONTROL)
    if code == 0 or not any("src/control.c:" in place for place in places):
        print("a file of four blanks and a brace behind a name passes: %s, %s" % (code, places))
        return 1
    files = c_files(root)
    code, places = check(root, *files)
    print("\n".join(places) or "%d files" % len(files))
    return 1 if code or not files else 0


if __name__ == "__main__":
    sys.exit(main())
