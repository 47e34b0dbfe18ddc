#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Holds the JSON Schema of `check --schema` against the loader: schema.py MICROSEG ROOT.

Every file of policies/ and of tests/golden/broken/ goes to both. The first line of a broken file says which errors the
loader must find. Where a schema can know, the verdicts must be the same. What it cannot know is said by the file's
second line, which names one of UNSEEN, and there the schema must accept: it may never refuse what is right in form.
"""
import glob
import json
import os
import re
import subprocess
import sys

import jsonschema
import yaml

UNSEEN = {
    "YAML": "YAML readers resolve or refuse it before a schema sees it",
    "names that stand elsewhere": "environments, ports, nets and nodes of other documents",
    "duplicates": "equal names in a list, in a file or in two files",
    "keys that disagree": "two keys that are right each by itself",
    "bits behind a prefix": "arithmetic",
    "order of a range": "arithmetic",
    "clocks": "how far away a time is",
    "addresses in full": "IPv6 beyond its alphabet, and addresses of no single machine",
}
EVERYTHING = "tests/golden/right/everything.yaml"
ANNOTATION = re.compile(r"# expect: (?P<codes>[a-z-]+(?: [a-z-]+)*)\n(?:# unseen: (?P<unseen>.*)\n)?")


class Report:
    def __init__(self):
        self.failed = 0

    def check(self, good, name, why=""):
        print("%s - %s%s" % ("ok" if good else "not ok", name, "" if good else ": %s" % why))
        self.failed += not good


def load_documents(path):
    """The file as every scalar's text, or None when YAML itself refuses it."""
    try:
        with open(path) as file:
            return [document for document in yaml.load_all(file, yaml.BaseLoader) if document != ""]
    except yaml.YAMLError:
        return None


def complaints(validator, documents):
    return [error.message[:200] for document in documents for error in validator.iter_errors(document)]


def loader_codes(microseg, paths, name):
    """The codes of the errors that the loader finds in the file of this name."""
    words = [microseg, "check", "-o", "json"]
    for path in paths:
        words += ["-p", path]
    result = subprocess.run(words, capture_output=True, text=True)
    return {found["code"] for found in json.loads(result.stdout)
            if found["severity"] == "error" and os.path.basename(found["file"] or "") == name}


def mappings(schema):
    """Every schema of a mapping whose keys are known."""
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from mappings(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from mappings(value)


def check_form(report, schema):
    try:
        jsonschema.Draft7Validator.check_schema(schema)
        report.check(schema.get("$schema") == "http://json-schema.org/draft-07/schema#", "the schema says its draft")
    except jsonschema.SchemaError as error:
        report.check(False, "the schema is a schema", error.message)
    for mapping in mappings(schema):
        keys = mapping["properties"]
        described = all(key.get("description") for key in keys.values())
        report.check(mapping.get("additionalProperties") is False and described,
                     "closed, and described: %s" % ", ".join(keys))


def check_examples(report, schema):
    """Each description ends in an example of its key, which must be right."""
    for mapping in mappings(schema):
        for key, value in mapping["properties"].items():
            example = yaml.load(value["description"].split("\nExample: ")[1], yaml.BaseLoader)
            validator = jsonschema.Draft7Validator({**value, "definitions": schema["definitions"]})
            found = complaints(validator, [example[key]])
            report.check(not found, "the example of %s is right" % key, found)


def check_good(report, validator, path):
    found = complaints(validator, load_documents(path))
    report.check(not found, "the schema accepts %s" % path, found)


def keys_of(value):
    """Every key of every mapping in a document."""
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def check_everything(report, microseg, schema, path):
    """The loader takes the file that has every key of the schema: so the schema knows none that the loader lacks."""
    codes = loader_codes(microseg, [path], os.path.basename(path))
    report.check(not codes, "the loader accepts %s" % path, sorted(codes))
    known = set().union(*(mapping["properties"] for mapping in mappings(schema)))
    unused = known - keys_of(load_documents(path))
    report.check(not unused, "%s has every key of the schema" % path, sorted(unused))


def check_broken(report, validator, microseg, frame, path):
    with open(path) as file:
        text = file.read()
    said = ANNOTATION.match(text)
    name = os.path.basename(path)
    if not said:
        report.check(False, name, "its first line does not say what to expect")
        return None
    paths = [path] if "kind: Environments" in text else [path, frame]
    codes = loader_codes(microseg, paths, name)
    report.check(codes == set(said["codes"].split()), "the loader refuses %s" % name, sorted(codes))
    documents = load_documents(path)
    unseen = said["unseen"]
    if unseen is None:
        report.check(documents is not None and complaints(validator, documents), "so does the schema: %s" % name, text)
    elif unseen not in UNSEEN:
        report.check(False, name, "no such class: %s" % unseen)
    elif documents is not None:
        found = complaints(validator, documents)
        report.check(not found, "the schema cannot know: %s" % name, found)
    return unseen


def main():
    microseg = os.path.realpath(sys.argv[1])
    os.chdir(sys.argv[2])
    report, blind = Report(), {}
    printed = subprocess.run([microseg, "check", "--schema"], capture_output=True, text=True, check=True)
    schema = json.loads(printed.stdout)
    check_form(report, schema)
    check_examples(report, schema)
    validator = jsonschema.Draft7Validator(schema)
    good = sorted(glob.glob("policies/**/*.yaml", recursive=True))
    broken = sorted(glob.glob("tests/golden/broken/*.yaml"))
    check_good(report, validator, EVERYTHING)
    check_everything(report, microseg, schema, EVERYTHING)
    for path in good:
        check_good(report, validator, path)
    for path in broken:
        unseen = check_broken(report, validator, microseg, "tests/golden/frame.yaml", path)
        blind[unseen] = blind.get(unseen, 0) + 1
    report.check(len(good) > 5 and len(broken) >= 60, "there are files to compare")
    print("# %d right and %d broken files; of these the schema cannot know:" % (len(good), len(broken)))
    for unseen, why in UNSEEN.items():
        report.check(blind.get(unseen), "%s: %d (%s)" % (unseen, blind.get(unseen, 0), why), "no file shows it")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
