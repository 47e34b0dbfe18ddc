# SPDX-License-Identifier: GPL-2.0-or-later
"""Report: numbered results as they happen, and "N passed, N failed" as the last line."""
import difflib
import sys
import traceback


class Report:
    def __init__(self, title):
        self.passed = self.failed = 0
        print("# %s" % title, flush=True)

    def check(self, good, what, detail=""):
        """Counts one result. detail is shown for a failure."""
        if good:
            self.passed += 1
        else:
            self.failed += 1
        print("%s %d - %s" % ("ok" if good else "not ok", self.passed + self.failed, what))
        if not good and detail != "":
            for line in str(detail).splitlines():
                print("#     " + line)
        sys.stdout.flush()
        return good

    def equal(self, got, want, what, detail=""):
        if isinstance(want, str) and "\n" in str(got) + want:
            difference = difflib.unified_diff(want.splitlines(), str(got).splitlines(), "expected", "got", "", "", 0, "")
            return self.check(got == want, what, "\n".join(list(difference)[:40]))
        return self.check(got == want, what, "got %r, expected %r\n%s" % (got, want, detail))

    def note(self, text):
        for line in text.splitlines():
            print("# " + line, flush=True)

    def section(self, function, *args):
        """Runs one part of a test. An exception in it is one failure, and the other parts still run."""
        self.note("")
        self.note((function.__doc__ or function.__name__).strip().splitlines()[0])
        try:
            function(*args)
        except Exception:
            self.check(False, "%s ran to its end" % function.__name__, traceback.format_exc())

    def finish(self):
        """Prints the last line and returns the exit code."""
        print("%d passed, %d failed" % (self.passed, self.failed), flush=True)
        return 1 if self.failed or not self.passed else 0
