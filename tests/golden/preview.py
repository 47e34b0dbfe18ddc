#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""preview in its three forms says the same of one ruleset: preview.py MICROSEG ROOT.

The text, which golden.sh holds against the reviewed file, is read again by its lines: `-o json` must have its tables,
chains and rules in its order, and `--stats` and the services of the JSON must be what counting them gives.
"""
import json
import os
import re
import subprocess
import sys

SHOP = ["-p", "policies/shop", "-i", "tests/golden/shop.yaml", "--at", "2026-01-15T12:00:00Z"]
COLUMNS = ("service", "endpoints", "grants", "rules", "elements")
failed = 0


def check(good, name, why=""):
    global failed
    failed += not good
    print(f"{'ok' if good else 'not ok'} - {name}" + ("" if good else f": {str(why)[:600]}"))


def read_text(text):
    """{(table, chain): rules} and {(table, set)}, in the order of the lines."""
    chains, sets, table, chain, in_set = {}, [], None, None, False
    for line in text.split("\n"):
        word = re.match(r"(\t*)(table|chain|set|map) (\S+)(?: (\S+))? \{$", line)
        if word and not word[1]:
            table = word[3]
        elif word and len(word[1]) == 1:
            in_set = word[2] != "chain"
            if in_set:
                sets.append((table, word[3]))
            else:
                chain = (table, word[3])
                chains[chain] = []
        elif line == "\t}":
            chain, in_set = None, False
        elif chain and line.startswith("\t\t") and not re.match(r"\t\ttype \w+ hook ", line):
            chains[chain].append(line.strip())
    return chains, sets


def chains_of(tables):
    return {(table["family"], chain["name"]): [rule["rule"] for rule in chain["rules"]]
            for table in tables for chain in table["chains"]}


def read_stats(text):
    """The rows of the table, and the four figures below it: rules, chains, elements, sets."""
    rows, whole = text.split("\n\n")
    services = [dict(zip(COLUMNS, line.split())) for line in rows.split("\n")[1:]]
    return [{key: value if key == "service" else int(value) for key, value in row.items()} for row in services], \
        [int(number) for number in re.findall(r"\d+", whole)]


def counted(tables, service):
    """The rules in a service's own chains, and the elements in its own sets."""
    ours = re.compile(rf"[^/]+/{service}")
    rules = sum(len(chain["rules"]) for table in tables for chain in table["chains"] if ours.fullmatch(chain["name"]))
    elements = sum(len(found["elements"]) for table in tables for found in table["sets"]
                   if re.fullmatch(rf"{service}/[46]", found["name"]))
    return rules, elements


def main():
    microseg = os.path.realpath(sys.argv[1])
    os.chdir(sys.argv[2])

    def preview(*words):
        return subprocess.run([microseg, "preview", *SHOP, *words], capture_output=True, text=True, check=True).stdout

    whole = json.loads(preview("-o", "json"))
    chains, sets = read_text(preview())
    check(chains and list(chains.items()) == list(chains_of(whole["tables"]).items()), "the JSON has every rule of the text",
          [name for name in chains if chains[name] != chains_of(whole["tables"]).get(name)])
    check(sets == [(table["family"], found["name"]) for table in whole["tables"] for found in table["sets"]],
          "and every set", sets)
    comments = [(rule["rule"], rule["policy"]) for table in whole["tables"] for chain in table["chains"]
                for rule in chain["rules"] if " comment " in rule["rule"]]
    check(comments and all(policy and f'comment "{policy["file"]}:{policy["line"]}"' in rule for rule, policy in comments),
          "a rule's place in the policy is that of its comment", comments[:3])

    services, figures = read_stats(preview("--stats"))
    check(services == whole["services"], "--stats has the services of the JSON", services)
    tables = whole["tables"]
    check(figures == [sum(map(len, chains.values())), len(chains),
                      sum(len(found["elements"]) for table in tables for found in table["sets"]), len(sets)],
          "the figures of the whole are its count", figures)
    for row in services:
        rules, elements = counted(tables, row["service"])
        check((row["rules"], row["elements"]) == (rules, elements), f"the figures of {row['service']} are their count",
              f"{row} but {rules} rules, {elements} elements")
    names = [row["service"] for row in services]
    check(names == sorted(set(names)) and {row["endpoints"] for row in services} == {0, 1}, "each service once, sorted", names)

    for service in ("prod/orders-db", "dev/cache"):
        one, _ = read_stats(preview("--stats", "--service", service))
        check(one == [row for row in services if row["service"] == service], f"--stats of {service} alone", one)
        narrow = json.loads(preview("-o", "json", "--service", service))
        check(narrow["services"] == one, f"the JSON of {service} alone", narrow["services"])
        inside = chains_of(narrow["tables"])
        check(inside == read_text(preview("--service", service))[0], f"its rules are the text's: {service}", list(inside))
        check(inside.items() <= chains.items(), f"and part of the whole: {service}", list(inside))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
