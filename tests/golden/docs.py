#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Manual pages and completion: docs.py MICROSEG ROOT BUILT.

BUILT is where the build wrote them. They are well-formed, and say all that the programs say of themselves.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

microseg = os.path.realpath(sys.argv[1])
root = pathlib.Path(sys.argv[2])
built = pathlib.Path(sys.argv[3])
WIDTH = 80
failed = False


def check(name, good, detail=""):
    global failed
    print(f"{'ok' if good else 'not ok'} - {name}")
    if not good:
        print(detail)
        failed = True


def output(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    return done.stdout + done.stderr


def page_text(path, width=200):
    environment = dict(os.environ, MANWIDTH=str(width), MAN_KEEP_FORMATTING="")
    text = output("man", "-l", "-P", "cat", str(path), env=environment)
    return re.sub(".\b", "", text)


def fits(name, text):
    wide = [line for line in text.splitlines() if len(line) > WIDTH]
    check(f"{name} fits a terminal of {WIDTH} columns", text and not wide, "\n".join(wide))


pages = [built / "microseg.1", built / "microseg-policy.5", built / "microseg-api.7", built / "microsegd.8",
         root / "tools/docs/microseg.yaml.5"]
for page in pages:
    said = output("mandoc", "-Tlint", str(page))
    check(f"mandoc finds nothing to say about {page.name}", said == "", said)
    said = output("groff", "-man", "-ww", "-z", "-Tutf8", "-K", "utf8", str(page))
    check(f"groff neither about {page.name}", said == "", said)
    check(f"man shows {page.name}", "SEE ALSO" in page_text(page), page_text(page)[:300])
    fits(f"{page.name}", page_text(page, WIDTH))

# Each command with all its flags stands in the page and in the three completions.
help_text = output(microseg, "--help")
listed = help_text.split("Not in this version")[0]
commands = re.findall(r"^  ([a-z]+) ", listed.split("Flags of every command")[0], re.M)
check("there are commands", len(commands) >= 10, str(commands))
manual = page_text(built / "microseg.1")
scripts = {shell: (built / name).read_text()
           for shell, name in {"bash": "microseg", "zsh": "_microseg", "fish": "microseg.fish"}.items()}
fits("microseg --help", help_text)
fits("microsegd --help", (built / "microsegd.help").read_text())
for command in commands:
    fits(f"microseg {command} --help", output(microseg, command, "--help"))
    flags = re.findall(r"--([a-z-]+)", output(microseg, command, "--help").split("\n\n", 2)[2])
    missing = [flag for flag in flags if f"--{flag}" not in manual]
    check(f"microseg(1) has {command} and its flags", f"microseg {command}" in manual and not missing, str(missing))
    for shell, script in scripts.items():
        check(f"{shell} completes {command}", re.search(rf"\b{command}\b", script), command)

for shell, name in (("bash", "microseg"), ("zsh", "_microseg"), ("fish", "microseg.fish")):
    said = output(shell, "-n", str(built / name))
    check(f"{shell} can read its script", said == "", said)


def bash_completes(line):
    words = line.split(" ")
    script = (f"source {built / 'microseg'}\nCOMP_WORDS=({' '.join(repr(word) for word in words)})\n"
              f"COMP_CWORD={len(words) - 1}\n_microseg\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n")
    return output("bash", "--norc", "-c", script).split()


def fish_completes(line):
    answers = output("fish", "--no-config", "-c", f"source {built / 'microseg.fish'}; complete -C '{line}'")
    return [answer.split("\t")[0] for answer in answers.splitlines()]


def zsh_function():
    """The function that zsh would call for `microseg`."""
    script = f"fpath=({built} $fpath)\nautoload -Uz compinit && compinit -D -u\nprint -r -- $_comps[microseg]\n"
    return output("zsh", "-f", "-c", script).strip()


for line, wanted, unwanted in (
        ("microseg ma", {"matrix"}, {"check"}),
        ("microseg matrix -o ", {"text", "json", "csv", "html"}, {"tap"}),
        ("microseg test -o t", {"text", "tap"}, {"json"}),
        ("microseg check --s", {"--strict", "--schema"}, {"--service"}),
        ("microseg drops --reason f", {"fence"}, {"never"})):
    for shell, answers in (("bash", bash_completes(line)), ("fish", fish_completes(line))):
        check(f"{shell}: {line!r} gives {', '.join(sorted(wanted))}",
              wanted <= set(answers) and not unwanted & set(answers), str(answers))
check("zsh finds the function for microseg", zsh_function() == "_microseg", zsh_function())

# The keys of the configuration that the page has are those that the program knows.
with tempfile.TemporaryDirectory() as folder:
    def known_keys(text):
        path = pathlib.Path(folder) / "microseg.yaml"
        path.write_text(text)
        found = re.search(r"known keys: ([a-z_ ]+)", output(microseg, "check", "-c", str(path)))
        return set(found.group(1).split()) if found else set()

    known = known_keys("qqqqqqqqqq: x\n")
    for group in sorted(known):
        inner = known_keys(f"{group}: {{qqqqqqqqqq: x}}\n")
        if inner:
            known = (known - {group}) | {f"{group}.{key}" for key in inner}
    written = {key.replace("\\-", "-") for key in re.findall(
        r"^\.TP\n\.B ([a-z_.]+)$", (root / "tools/docs/microseg.yaml.5").read_text(), re.M)}
    check("microseg.yaml(5) has the keys that the program knows", known == written and len(known) > 5,
          f"only known: {sorted(known - written)}; only written: {sorted(written - known)}")

# Pages that lie in the source are those that the programs write.
for name, page in (("policies/language.md", output(microseg, "check", "--schema", "-o", "text")),
                   ("tools/docs/api.md", (built / "api.md").read_text())):
    reference = root / name
    if "--update" in sys.argv:
        reference.write_text(page)
    check(f"{name} is what the programs say (docs.py … --update writes it)",
          reference.exists() and reference.read_text() == page)
sys.exit(failed)
