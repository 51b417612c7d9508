"""Pages that list what the code holds: notebooks, commands, corpora and checkpoints, the README's table."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

REPOSITORY = "https://github.com/ecgscan-lab/ecgscan_lab/blob/main/"


def notebook_page(folder: Path) -> str:
    """The learning path: each notebook's title, question, time and goals, from its own first cell."""
    parts = [
        "# The learning path",
        _words(
            """Nine notebooks, each runnable alone, from the first page to your own. Each has exercises with hints and
            folded solutions, and ends with what to take away and where it stops. Open one by its Colab or Binder badge,
            or run all: `ecgscan-lab notebooks run --profile smoke`."""
        ),
    ]
    rows, details = [], []
    for path in sorted((folder / "src").glob("[0-9][0-9]_*.py")):
        head = path.read_text(encoding="utf-8").split("# %%\n", 1)[0]
        title = re.search(r"^# # (.+)$", head, re.MULTILINE)[1]
        question = " ".join(
            re.search(r"^# \*\*(.+?)\*\*$", head, re.MULTILINE | re.DOTALL)[1].replace("\n#", "").split()
        )
        facts = dict(re.findall(r"^# \| \*\*(.+?)\*\* \| (.+) \|$", head, re.MULTILINE))
        address = f"{REPOSITORY}notebooks/{path.stem}.ipynb"
        rows.append(f"| [{path.stem}]({address}) | {question} | {facts.get('Time and memory', '')} |")
        goals = "\n".join(f"- **{name}**: {text}" for name, text in facts.items() if name != "Time and memory")
        details.append(f"## {path.stem}: {title}\n\n{question}\n\n{goals}")
    parts.append("\n".join(["| notebook | the question it answers | time and memory |", "|---|---|---|", *rows]))
    return "\n\n".join([*parts, *details]) + "\n"


def command_page(parser: argparse.ArgumentParser) -> str:
    """Every command with its help, as the program itself prints it."""
    os.environ.update(COLUMNS="100", NO_COLOR="1")
    parts = ["# Commands", "What `ecgscan-lab COMMAND --help` prints, for every command."]
    for words, command in _commands(parser, "ecgscan-lab"):
        level = "##" if words.count(" ") <= 1 else "###"
        parts.append(f"{level} {words}\n\n```text\n{command.format_help().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def _commands(parser: argparse.ArgumentParser, words: str) -> list[tuple[str, argparse.ArgumentParser]]:
    found = [(words, parser)]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                found += _commands(command, f"{words} {name}")
    return found


def data_page() -> str:
    """All manifests: what there is, how one gets it, under which licence, and what to beware of."""
    from ecgscan_lab.data.manifest import load_manifest, manifest_names

    parts = [
        "# Data and checkpoints",
        _words(
            """What the package knows of published corpora and weights. Nothing of it is part of the package:
            `ecgscan-lab data fetch NAME` takes it from its publisher and checks every file. *Open* is fetched for you,
            *manual* is fetched by hand, *gated* needs an account, *credentialed* an account and an agreement."""
        ),
    ]
    for kind, title in (("corpus", "Corpora"), ("checkpoint", "Checkpoints")):
        manifests = [load_manifest(name) for name in manifest_names(kind)]
        rows = ["| name | access | licence | records |" if kind == "corpus" else "| name | access | licence |"]
        rows.append("|---|---|---|---:|" if kind == "corpus" else "|---|---|---|")
        for manifest in manifests:
            licence, records = manifest.fields["licence"], manifest.fields.get("records")
            count = f" {records['count']:,} |" if records else " |" if kind == "corpus" else ""
            rows.append(f"| [{manifest.name}](#{manifest.name}) | {manifest.access} | {_licence(licence)} |{count}")
        parts.append(f"## {title}\n\n" + "\n".join(rows))
        parts += [_manifest(manifest) for manifest in manifests]
    return "\n\n".join(parts) + "\n"


def _licence(licence: dict[str, object]) -> str:
    return f"[{licence['spdx'] or licence['name']}]({licence['url']})"


def _manifest(manifest: object) -> str:
    fields = manifest.fields
    lines = [f"- **Publisher's page**: <{fields['homepage']}>", f"- **Licence**: {_licence(fields['licence'])}"]
    if fields["licence"].get("note"):
        lines.append(f"- **Note**: {_text(fields['licence']['note'])}")
    lines.append(f"- **Access**: {manifest.access}. {_text(' '.join(fields['access']['steps']))}")
    if fields.get("input"):
        lines.append(f"- **Input**: {_text(fields['input'])}")
    if fields.get("trained_on"):
        lines.append(f"- **Trained on**: {', '.join(fields['trained_on'])}")
    for relation, words in (("contains", "Contains"), ("contained_in", "Part of")):
        for entry in fields[relation]:
            lines.append(f"- **{words}** {entry['name']}: {_text(entry['note'])}")
    lines += [f"- **Beware**: {_text(trap)}" for trap in fields["traps"]]
    lines.append(f"- **Cite**: {_text(fields['citation']['text'])}")
    head = f"### {manifest.name}\n\n{_text(manifest.title)}, {manifest.version}. {_text(fields['description'])}"
    return head + "\n\n" + "\n".join(lines)


def _words(text: str) -> str:
    return " ".join(text.split())


def _text(text: str) -> str:
    return re.sub(r"([<*_\[\]])", r"\\\1", text)


def readme_table(readme: str) -> str:
    """The README's table "I want to ...", which is the one list of tasks."""
    section = re.search(r"^## I want to \.\.\.\n(.*?)(?=^## )", readme, re.MULTILINE | re.DOTALL)[1]
    section = re.sub(r"\]\((?!https?:|#)([^)]+)\)", r"](../../\1)", section)
    return "# I want to ...\n" + section
