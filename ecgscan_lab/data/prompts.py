"""Prompts of zero-shot classes: our own for every benchmark task, or published ones that the user gives as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.data.paths import read_bounded
from ecgscan_lab.data.prompt_phrases import PROMPT_PHRASES
from ecgscan_lab.data.reports import TEMPLATES
from ecgscan_lab.errors import LabelError, RecordError, TableError

_MAX_BYTES = 10 * 2**20
_MAX_TEXT = 20_000


def builtin_prompts(
    task: str, classes: Sequence[str] | None = None, templates: Sequence[str] = TEMPLATES
) -> dict[str, list[str]]:
    """Our own prompts of a benchmark task: every phrase of a class in every template, lower case.

    Source: prompts that describe a class as in MERL (arXiv 2403.06659); averaging over templates as in CLIP (arXiv
    2103.00020, section 3.1.4). *Differences*: written by hand, task by task. MERL's published texts contradict their
    class in places (a normal ECG that lists tachycardia, a clockwise rotation that lists the other one).

    Args:
        task: superclass, subclass, form, rhythm (PTB-XL), cpsc2018, csn or code.
        classes: which of its classes, in this order; None takes all.
        templates: texts with one `{}`.

    Returns:
        Class -> prompts, without repeats, in a fixed order.

    Raises:
        LabelError: there are no prompts for the task, or for a class.

    Properties: at least three phrases a class, none of them in two classes of a task.

    Example:
        >>> builtin_prompts("code", ["AF"], templates=["ecg showing {}."])["AF"][0]
        'ecg showing atrial fibrillation.'
    """
    if task not in PROMPT_PHRASES:
        raise LabelError(
            f"no prompts for the task {task!r}",
            field="task",
            expected=f"one of {', '.join(PROMPT_PHRASES)}",
            fix="give prompts as a JSON file: class -> [text, ...]",
        )
    phrases = chosen_classes(PROMPT_PHRASES[task], classes)
    return {
        name: list(dict.fromkeys(template.format(phrase).lower() for phrase in of_class for template in templates))
        for name, of_class in phrases.items()
    }


def read_prompts(
    path: str | PathLike[str], classes: Sequence[str] | None = None, *, split_commas: bool = False
) -> dict[str, list[str]]:
    """Read prompts from a JSON file: one text or a list of texts a class, lower-cased.

    MERL's CKEPE file (131 keys, one string each with commas between expressions) and D-BETA's context file (one
    paragraph a class) are read as their benchmarks do, one text a class; neither is part of this package.

    Args:
        path: the file.
        classes: which classes, in this order; None takes all. A class is found by its exact name, else without regard
            to case where that is unambiguous.
        split_commas: make a prompt of each expression between commas, to average instead.

    Returns:
        Class -> prompts, in the order of `classes` or of the file.

    Raises:
        TableError: missing, too large, not JSON, a key twice, or not class -> text.
        LabelError: a class has no prompt in the file.
    """
    path = Path(path)
    try:
        given = json.loads(read_bounded(path, _MAX_BYTES).decode("utf-8-sig"), object_pairs_hook=_distinct)
    except RecordError as error:
        raise TableError(error.what, file=path, field="prompts", expected="a JSON file") from error
    except (ValueError, RecursionError) as error:
        raise TableError(
            f"not a readable prompt file ({error})", file=path, field="prompts", expected="JSON: class -> text"
        ) from error
    if not isinstance(given, dict) or not given:
        raise TableError("no classes", file=path, field="prompts", expected="JSON: class -> text or [text, ...]")
    prompts = {name: _texts(path, name, value, split_commas) for name, value in given.items()}
    return {name: list(texts) for name, texts in chosen_classes(prompts, classes).items()}


def chosen_classes(prompts: Mapping[str, Sequence[str]], classes: Sequence[str] | None) -> Mapping[str, Sequence[str]]:
    """The prompts of some classes in the order asked for.

    Raises:
        LabelError: some have none; the message names them.
    """
    if classes is None:
        return prompts
    folded: dict[str, list[str]] = {}
    for name in prompts:
        folded.setdefault(name.casefold(), []).append(name)
    key = {
        name: name if name in prompts else alike[0] if len(alike := folded.get(name.casefold(), [])) == 1 else None
        for name in classes
    }
    missing = [name for name, found in key.items() if found is None]
    if missing:
        raise LabelError(
            f"no prompts for {', '.join(missing[:10])}{' and others' if len(missing) > 10 else ''}",
            field="prompts",
            expected="at least one prompt for every class",
            fix="add them to the file: class -> [text, ...]",
        )
    return {name: prompts[found] for name, found in key.items() if found is not None}


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a class is listed twice")
    return found


def _texts(path: Path, name: str, value: Any, split_commas: bool) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise TableError(
            f"class {name[:40]!r} has no text", file=path, field="prompts", expected="a text, or a list of texts"
        )
    if split_commas:
        texts = [part.strip(" .") for text in texts for part in text.split(",")]
    texts = list(dict.fromkeys(text.strip().lower() for text in texts if text.strip()))
    if not texts or max(map(len, texts)) > _MAX_TEXT:
        raise TableError(
            f"class {name[:40]!r} has an empty or endless text",
            file=path,
            field="prompts",
            expected=f"1 to {_MAX_TEXT} characters",
        )
    return texts
