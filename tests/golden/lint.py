#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""cppcheck(1) has nothing to say of any C file: lint.py ROOT.

Its errors, warnings, and what it says of portability and of waste: memory that is read before it is written, NULL that is
followed, an index beyond its array, an argument that does not fit its format, a condition that cannot be otherwise. Of taste
it is not asked. Leaks are not looked for here: what owns has a cleanup attribute, which cppcheck does not know, and the
sanitizers look for them in each unit test.

A file that has one of each of these mistakes is looked at in the same run, and has to be found wrong.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

from layout import SKIPPED, c_files

PROGRAM = "cppcheck"
CONTROL = """#include <stdio.h>
#include <sys/queue.h>
struct item {
	TAILQ_ENTRY(item) entry;
	int n;
};
TAILQ_HEAD(list, item);
int control(const struct list *list, int n);
int control(const struct list *list, int n)
{
	const struct item *item;
	const int *nothing = NULL;
	char four[4];
	int never;

	TAILQ_FOREACH(item, list, entry)
	printf("%s\\n", item->n);
	if (n == 1)
		return *nothing;
	four[4] = 0;
	return n == 2 ? never : four[0];
}
"""
MISTAKES = {"invalidPrintfArgType_s", "nullPointer", "arrayIndexOutOfBounds", "uninitvar"}


def findings(root, *files):
    """[(file, what, the line that says so)]"""
    settings = os.path.join(root, "tests", "golden", "cppcheck.cfg")
    include = [word for folder in ("include", "src", "tests", "tests/unit", "tools") for word in ("-I", folder)]
    result = subprocess.run([PROGRAM, "--quiet", "--std=c11", "--enable=warning,performance,portability",
                             "--library=" + settings, "--suppress=memleak", "--suppress=resourceLeak",
                             "--template={file}:{line}: {id}: {message}", *include, *files],
                            cwd=root, capture_output=True, text=True)
    lines = (result.stdout + result.stderr).splitlines()
    found = [re.match(r"(.+?):\d+: (\w+): ", line) for line in lines]
    return [(match[1], match[2], line) if match else ("", "", line) for match, line in zip(found, lines)]


def main():
    root = sys.argv[1]
    if not shutil.which(PROGRAM):
        print("skipped: no %s" % PROGRAM)
        return SKIPPED
    files = [path for path in c_files(root) if path.endswith(".c")]  # and with them the headers that they include
    with tempfile.NamedTemporaryFile("w", suffix=".c") as control:
        control.write(CONTROL)
        control.flush()
        found = findings(root, control.name, *files)
        seen = {what for file, what, _ in found if file == control.name}
        wrong = [line for file, _, line in found if file != control.name]
    print("\n".join(wrong) or "%d files" % len(files))
    if not MISTAKES <= seen:
        print("of a file with the mistakes %s it says %s" % (sorted(MISTAKES), sorted(seen)))
    return 1 if wrong or not files or not MISTAKES <= seen else 0


if __name__ == "__main__":
    sys.exit(main())
