#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every key of the language, once, misspelt in turn and written twice in turn: mistakes.py MICROSEG ROOT.

Each such file must be refused, and for that reason. A key that were dropped would make a grant wider than it reads.
"""
import glob
import os
import subprocess
import sys
import tempfile

import yaml

FREE = {"ports", "environments", "nets", "nodes", "labels"}  # below these, keys are names that the writer chooses


def keys_of(node, parent=None, in_flow=False):
    """(the key above, key, value, in a flow mapping) of every key that the language knows."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys_of(item, parent, in_flow or node.flow_style)
    if isinstance(node, yaml.MappingNode):
        flow = in_flow or node.flow_style
        for key, value in node.value:
            if parent not in FREE:
                yield parent, key, value, flow
            yield from keys_of(value, None if parent in FREE else key.value, flow)


def misspelt(text, key, _value, _flow):
    return text[: key.end_mark.index] + "x" + text[key.end_mark.index :]


def doubled(text, key, value, flow):
    start = key.start_mark.index
    entry = text[start : value.end_mark.index].rstrip()
    between = ", " if flow else "\n" + " " * key.start_mark.column
    return text[:start] + entry + between + text[start:]


def refusal(microseg, path):
    result = subprocess.run([microseg, "check", "-p", path], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return result.returncode, result.stderr


def main():
    microseg, root = os.path.realpath(sys.argv[1]), sys.argv[2]
    tried, wrong, seen = 0, [], set()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "policy.yaml")
        for source in sorted(glob.glob(os.path.join(root, "policies", "*", "*.yaml"))):
            with open(source) as file:
                text = file.read()
            keys = [found for document in yaml.compose_all(text, yaml.SafeLoader) for found in keys_of(document)]
            for change in (misspelt, doubled):
                for parent, key, value, flow in keys:
                    if (change, parent, key.value, bool(flow)) in seen:
                        continue
                    seen.add((change, parent, key.value, bool(flow)))
                    code = "[unknown-key]" if change == misspelt else "[duplicate-key]"
                    with open(path, "w") as file:
                        file.write(change(text, key, value, flow))
                    returned, said = refusal(microseg, path)
                    tried += 1
                    if key.value == "kind" and change == misspelt:
                        code = "[missing-key]"  # of what kind the document is decides which keys it may have
                    if returned != 1 or code not in said:
                        wrong.append("%s:%d: %s %s: exit %d, %s" % (os.path.relpath(source, root), key.start_mark.line + 1,
                                                                    key.value, change.__name__, returned, said[:300]))
    print("\n".join(wrong + ["%d mistakes, %d not refused as what they are" % (tried, len(wrong))]))
    return 1 if wrong or tried < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
