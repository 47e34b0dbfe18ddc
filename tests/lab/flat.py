# SPDX-License-Identifier: GPL-2.0-or-later
"""Flat: what a daemon holds, sampled over time, and whether it grows.

A sample is {what: number}. Numbers are held against the number of changes made until then: the slope is the median of the
slopes between all pairs of samples, which a few odd ones do not move. grows() says what has more slope than noise has, and
would_notice() that the same samples with a leak added are told from those without: no series is called flat that is too
short or too restless to show a leak.
"""
import itertools
import os
import statistics


def memory_kb(pid):
    """Anonymous memory: heap and stacks. Pages of the program's file come and go with the machine's needs."""
    with open("/proc/%d/status" % pid) as status:
        return int(next(line.split()[1] for line in status if line.startswith("RssAnon:")))


def resident_kb(pid):
    with open("/proc/%d/status" % pid) as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmRSS:")))


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        return len(file.read().split())


def files_below(directory):
    """(how many, their bytes)"""
    sizes = [os.path.getsize(os.path.join(where, name)) for where, _, names in os.walk(directory) for name in names]
    return len(sizes), sum(sizes)


def slope(points):
    """Of [(changes, number), …]: what one more change adds."""
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.combinations(points, 2) if b[0] != a[0]]
    return statistics.median(slopes)


class Series:
    """Samples, each with the number of changes made until then."""

    def __init__(self):
        self.changes, self.samples = [], []

    def add(self, changes, sample):
        self.changes.append(changes)
        self.samples.append(sample)

    def points(self, what):
        return list(zip(self.changes, (sample[what] for sample in self.samples)))

    def values(self, what):
        return [sample[what] for sample in self.samples]

    def rise(self, what):
        return slope(self.points(what))

    def would_notice(self, what, leak, limit):
        """Would a leak of so much by each change show above the limit in these samples?"""
        return slope([(changes, value + leak * changes) for changes, value in self.points(what)]) > limit
