"""Judgements in a run's results - task -> figures, peers' figures inside - as flat rows for tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

MAIN = "pretrained"  # whose figures stand directly under the task, with its peers beside them under their own names


def is_judgement(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a result is a table of judgements: every task has a macro AUROC."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(figures, Mapping) and "macro_auroc" in figures for figures in value.values())
    )


def judgement_rows(judgement: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per task and encoder: macro AUROC in percent with its interval, labels behind it, records judged on.

    >>> judgement_rows({"form": {"macro_auroc": 80.0, "ci95": [70.0, 90.0], "n_test": 9}})
    [{'task': 'form', 'encoder': 'pretrained', 'macro_auroc': 80.0, 'low': 70.0, 'high': 90.0, 'test_records': 9}]
    """
    rows = []
    for task, encoder, figures in _encoders(judgement):
        row: dict[str, Any] = {
            "task": task,
            "encoder": encoder.replace("_", " "),
            "macro_auroc": figures["macro_auroc"],
        }
        if figures.get("ci95"):
            row["low"], row["high"] = figures["ci95"]
        if "n_defined" in figures:
            row["labels"] = f"{figures['n_defined']} of {figures.get('n_classes', figures['n_defined'])}"
        if "n_test" in figures:
            row["test_records"] = figures["n_test"]
        rows.append(row)
    return rows


def per_class_rows(judgement: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per task and label, one column per encoder: AUROC in percent, None where it is undefined."""
    table: dict[tuple[str, str], dict[str, Any]] = {}
    for task, encoder, figures in _encoders(judgement):
        for label, auroc in (figures.get("per_class") or {}).items():
            table.setdefault((task, label), {"task": task, "label": label})[encoder] = auroc
    return list(table.values())


def _encoders(judgement: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for task, figures in judgement.items():
        yield task, MAIN, figures
        for name, peer in figures.items():
            if isinstance(peer, Mapping) and "macro_auroc" in peer:
                yield task, name, peer
