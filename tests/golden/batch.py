#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""explain --batch, line by line: batch.py MICROSEG.

Each line is answered by one line, in its place: a decision, or {"error"} in words that say what was expected. Nothing that
is missing is guessed.
"""
import json
import os
import subprocess
import sys
import tempfile

POLICY = """apiVersion: microseg/v1
kind: Environments
unidentified: {mode: enforce}
environments: {prod: {}}
---
apiVersion: microseg/v1
kind: Service
service: db
env: prod
allow: [{from: web, ports: [tcp/80, udp/53, sctp/9, icmp/8, icmp6/128, proto/47]}]
---
{apiVersion: microseg/v1, kind: Service, service: web, env: prod}
"""
PORT, TYPE = 'expected "dport" to be a number up to 65535', 'expected "type" to be a number up to 255'

# What stands behind src and dst in a line, and its answer: a verdict, or a part of the error.
ROWS = [
    ({"proto": "tcp", "dport": 80}, "allow"),
    ({"proto": 6, "dport": 80}, "allow"),
    ({"proto": "proto/6", "dport": 80}, "allow"),
    ({"proto": "tcp", "dport": 81}, "deny"),
    ({"proto": "tcp", "dport": 0}, "deny"),  # no policy can grant it, and a packet can have it
    ({"proto": "udp", "dport": 53, "type": None}, "allow"),
    ({"proto": "sctp", "dport": 9}, "allow"),
    ({"proto": "icmp", "type": 8}, "allow"),
    ({"proto": 1, "type": 8}, "allow"),
    ({"proto": "icmp", "type": 0}, "deny"),
    ({"proto": 58, "type": 128}, "allow"),
    ({"proto": "proto/47"}, "allow"),
    ({"proto": 47}, "allow"),
    ({"proto": 47, "dport": 0}, "allow"),
    ({"proto": 50, "dport": None}, "deny"),
    ({"proto": "tcp", "dport": 80, "published": False, "comment": "not ours"}, "allow"),
    ({"proto": "tcp"}, PORT),
    ({"proto": 6}, PORT),
    ({"proto": 17, "dport": None}, PORT),
    ({"proto": "tcp", "dport": "80"}, PORT),
    ({"proto": "tcp", "dport": 80.0}, PORT),
    ({"proto": "tcp", "dport": True}, PORT),
    ({"proto": "tcp", "dport": -1}, PORT),
    ({"proto": "tcp", "dport": 65536 + 80}, PORT),
    ({"proto": 6, "dport": 2**32 + 80}, PORT),
    ({"proto": "icmp"}, TYPE),
    ({"proto": 1, "type": 256 + 8}, TYPE),
    ({"proto": "icmp", "dport": 8}, '"dport" beside "proto": 1'),
    ({"proto": "tcp", "dport": 80, "type": 8}, '"type" beside "proto": 6'),
    ({"proto": 47, "dport": 80}, '"proto": 47 has no "dport"'),
    ({"proto": 256}, '"proto" is no protocol'),
    ({"proto": -1}, '"proto" is no protocol'),
    ({"proto": 2**32 + 6, "dport": 80}, '"proto" is no protocol'),
    ({"proto": "TCP", "dport": 80}, '"proto" is no protocol'),
    ({"proto": "tcp/80"}, '"proto" is no protocol'),
    ({"proto": "proto/x"}, '"proto" is no protocol'),
    ({"proto": ["tcp"], "dport": 80}, '"proto" is no protocol'),
    ({"dport": 80}, '"proto" is no protocol'),
    ({"proto": "tcp", "dport": 80, "published": "yes"}, 'expected "published" to be true or false'),
    ({"proto": "tcp", "dport": 80, "dst": 7}, 'expected "src", "dst"'),
    ({"proto": "tcp", "dport": 80, "dst": "prd/db"}, "prd"),
]
# Whole lines.
LINES = [
    ("{", "not a JSON object"),
    ("[]", "not a JSON object"),
    ("null", "not a JSON object"),
    ('{"src": "prod/web", "src": "prod/db"}', "a key stands twice"),
    ('{"src": "prod/web", "dst": "prod/db", "proto": "tcp", "dport": 80}\0{}', "not a JSON object"),
    ('{"src": "prod/web\udcff"}', "not a JSON object"),
]


def main():
    microseg = os.path.realpath(sys.argv[1])
    rows = [(json.dumps({"src": "prod/web", "dst": "prod/db"} | line), answer) for line, answer in ROWS] + LINES
    with tempfile.TemporaryDirectory() as folder:
        policy, lines = (os.path.join(folder, name) for name in ("policy.yaml", "lines"))
        with open(policy, "w") as file:
            file.write(POLICY)
        with open(lines, "wb") as file:  # blank lines are no questions, and the last one needs no end
            file.write("\n \r\n".join(line for line, _ in rows).encode("utf-8", "surrogateescape"))
        done = subprocess.run([microseg, "explain", "-p", policy, "--control", folder + "/none", "--batch", lines],
                              capture_output=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    failed = len(answers) != len(rows) or done.returncode != 2
    print(f"{'not ok' if failed else 'ok'} - {len(rows)} lines, {len(answers)} answers, exit {done.returncode}")
    for (line, wanted), answer in zip(rows, answers):
        good = answer.get("verdict") == wanted or ("error" in answer and wanted in answer["error"])
        failed |= not good
        print(f"{'ok' if good else 'not ok'} - {line}: {answer if not good else wanted}")
    said = [line for line in done.stderr.splitlines() if line.startswith("microseg explain: line ")]
    wrong = sum("error" in answer for answer in answers)
    print(f"{'ok' if len(said) == wrong else 'not ok'} - each of {wrong} errors is told on stderr too")
    return 1 if failed or len(said) != wrong else 0


if __name__ == "__main__":
    sys.exit(main())
