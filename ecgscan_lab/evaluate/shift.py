"""Distribution shift: what an encoder learned to tell apart in one corpus, judged in another (the paper's Table 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ecgscan_lab.errors import ArgumentError, LabelError
from ecgscan_lab.evaluate.intervals import bootstrap_ci, macro_auroc
from ecgscan_lab.evaluate.linear_probe import ProbeResult, linear_probe
from ecgscan_lab.evaluate.zero_shot import ZeroShotResult
from ecgscan_lab.types import TrainingData

Merge = Literal["each", "any"]

# Source class -> target classes that count as it. MERL (arXiv 2403.06659, appendix) states these directions;
# the reverse ones are their inverses. "STDD" under CD and "STE" under STD are oddities of that source, kept here.
_FORWARD: Mapping[tuple[str, str], Mapping[str, tuple[str, ...]]] = {
    ("PTBXL-Super", "CPSC2018"): {"NORM": ("NORM",), "CD": ("1AVB", "CRBBB", "CLBBB"), "STTC": ("STE", "STD")},
    ("PTBXL-Super", "CSN"): {
        "NORM": ("SR",),
        "HYP": ("RVH", "LVH"),
        "CD": ("2AVB", "2AVB1", "1AVB", "AVB", "LBBB", "RBBB", "STDD"),
        "MI": ("MI",),
        "STTC": ("STTC", "STE", "TWO", "STTU", "QTIE", "TWC"),
    },
    ("CPSC2018", "CSN"): {
        "AFIB": ("AFIB",),
        "VPC": ("VPB",),
        "NORM": ("SR",),
        "1AVB": ("1AVB",),
        "CRBBB": ("RBBB",),
        "STE": ("STE",),
        "PAC": ("APB",),
        "CLBBB": ("LBBB",),
        "STD": ("STE", "STTC", "STTU", "STDD"),
    },
}
# Which task of which kind of cohort each name stands for.
SHIFT_TASKS = MappingProxyType({"PTBXL-Super": "superclass", "CPSC2018": "cpsc2018", "CSN": "csn"})


def class_map(source: str, target: str) -> dict[str, tuple[str, ...]]:
    """Which classes of the target count as each class of the source.

    Args:
        source: "PTBXL-Super", "CPSC2018" or "CSN".
        target: another of them.

    Returns:
        Source class -> target classes; a source class without any is left out.

    Raises:
        ArgumentError: the pair is unknown.

    Example:
        >>> class_map("CPSC2018", "PTBXL-Super")["CRBBB"]
        ('CD',)
    """
    if (source, target) in _FORWARD:
        return dict(_FORWARD[source, target])
    if (target, source) not in _FORWARD:
        known = ", ".join(SHIFT_TASKS)
        raise ArgumentError(f"no class map from {source!r} to {target!r}", field="source", expected=f"two of {known}")
    inverse: dict[str, list[str]] = {}
    for ours, theirs in _FORWARD[target, source].items():
        for name in theirs:
            inverse.setdefault(name, []).append(ours)
    return {name: tuple(names) for name, names in inverse.items()}


@dataclass(frozen=True)
class ShiftCell:
    """One cell of the shift table. AUROC is percent.

    Attributes:
        source, target: data sets by the paper's names.
        encoder: who was judged.
        method: "zero-shot", or "probe" fitted on the source.
        merge: how several target classes of one source class are judged, see `probe_shift`.
        macro_auroc: mean over the defined pairs.
        ci95: its patient-level interval.
        per_pair: "source class > target classes" -> AUROC, None where undefined.
        n_defined, n_pairs: pairs averaged, and pairs of the map.
        n_test: records of the target.
    """

    source: str
    target: str
    encoder: str
    method: str
    merge: str
    macro_auroc: float
    ci95: tuple[float, float]
    per_pair: Mapping[str, float | None]
    n_defined: int
    n_pairs: int
    n_test: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and tables."""
        return {**vars(self), "ci95": list(self.ci95), "per_pair": dict(self.per_pair)}


def zero_shot_shift(
    result: ZeroShotResult,
    classes: Sequence[str],
    groups: ArrayLike | None,
    source: str,
    target: str,
    *,
    encoder: str = "encoder",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> ShiftCell:
    """A zero-shot cell: the mean AUROC of the target classes that the map names, from one ordinary zero-shot run.

    **Source**: ECG-Scan (arXiv 2604.01526), Table 5, as MERL's protocol reads. The source corpus plays no part but to
    choose the classes, because nothing is fitted on it.

    Args:
        result: `zero_shot` on the target's test records.
        classes: the target's classes, in the order of the result's columns.
        groups: patient of each test record.
        source, target: data sets, see `class_map`.
        encoder: its name in the table.
        n_bootstrap, seed: of the interval.

    Raises:
        LabelError: no mapped class has both values, or a mapped class is not among `classes`.
    """
    named = list(dict.fromkeys(name for names in class_map(source, target).values() for name in names))
    columns = _columns(named, classes, target)
    return _cell(
        source, target, encoder, "zero-shot", "each", named,
        result.targets[:, columns], result.scores[:, columns], groups, n_bootstrap, seed,
    )  # fmt: skip


def probe_shift(
    source_features: ArrayLike,
    source_data: TrainingData,
    target_features: ArrayLike,
    target_data: TrainingData,
    source: str,
    target: str,
    *,
    merge: Merge = "each",
    encoder: str = "encoder",
    target_split: str = "test",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> ShiftCell:
    """A probe cell: a linear probe fitted and chosen on the source, its scores judged on the target.

    How a source class with several target classes was judged is not published (asked in MERL's issue 12), so it is a
    named choice: "each" ranks every mapped target class by the source class's score and averages over all pairs; "any"
    counts a record as positive when it carries one of them.

    **Source**: MERL (arXiv 2403.06659), ECG-Scan (arXiv 2604.01526), Table 5. *Differences*: the probe is
    `linear_probe`, chosen on the source's validation records; no record of the target chooses anything.

    Args:
        source_features, target_features: `[record, dim]` of all records, by the same encoder.
        source_data, target_data: the two corpora, with the tasks of `SHIFT_TASKS`.
        source, target: data sets, see `class_map`.
        merge: "each" or "any".
        encoder: its name in the table.
        target_split: records of the target that are judged.
        n_bootstrap, seed: of the interval, over the target's patients.

    Raises:
        ArgumentError: unknown merge, or features of another encoder.
        LabelError: no pair has both values in the target.
    """
    if merge not in get_args(Merge):
        raise ArgumentError(f"unknown merge {merge!r}", field="merge", expected="each or any")
    pairs = class_map(source, target)
    source_task, target_task = SHIFT_TASKS[source], SHIFT_TASKS[target]
    source_columns = _columns(list(pairs), source_data.tasks[source_task], source)
    probe = _fit(
        np.asarray(source_features), source_data, source_data.targets(source_task),
        np.asarray(target_features), target_data.indices(target_split),
    )  # fmt: skip
    rows = target_data.indices(target_split)
    truth, classes = target_data.targets(target_task)[rows], target_data.tasks[target_task]
    targets, scores, names = [], [], []
    for name, column in zip(pairs, source_columns, strict=True):
        columns = _columns(pairs[name], classes, target)
        for of_pair in [columns] if merge == "any" else [[c] for c in columns]:
            targets.append(truth[:, of_pair].any(axis=1))
            scores.append(probe.scores[:, column])
            names.append(f"{name} > {' or '.join(classes[c] for c in of_pair)}")
    return _cell(
        source, target, encoder, "probe", merge, names,
        np.stack(targets, axis=1), np.stack(scores, axis=1), target_data.patients[rows], n_bootstrap, seed,
    )  # fmt: skip


def _fit(
    source_features: np.ndarray, data: TrainingData, labels: np.ndarray, target_features: np.ndarray, rows: np.ndarray
) -> ProbeResult:
    """The probe of the source, which scores the target's records in place of a test split."""
    if source_features.ndim != 2 or target_features.ndim != 2 or source_features.shape[1] != target_features.shape[1]:
        raise ArgumentError(
            f"features of shape {source_features.shape} and {target_features.shape}",
            field="target_features",
            expected="[record, dim] of one dim",
            fix="embed both corpora with the same checkpoint",
        )
    parts = [np.intersect1d(data.indices(split), np.flatnonzero(labels.any(axis=1))) for split in ("train", "val")]
    features = np.concatenate([*(source_features[part] for part in parts), target_features[rows]])
    # The target's truth is never shown to the probe; its rows need some labels for the probe's own figure, which is
    # thrown away: alternating ones define every class.
    unused = np.zeros((len(rows), labels.shape[1]), dtype=labels.dtype)
    unused[::2] = 1
    split = np.repeat(["train", "val", "test"], [len(parts[0]), len(parts[1]), len(rows)])
    return linear_probe(features, np.concatenate([*(labels[part] for part in parts), unused]), split, n_bootstrap=1)


def _cell(
    source: str,
    target: str,
    encoder: str,
    method: str,
    merge: str,
    names: Sequence[str],
    targets: np.ndarray,
    scores: np.ndarray,
    groups: ArrayLike | None,
    n_bootstrap: int,
    seed: int,
) -> ShiftCell:
    found = macro_auroc(targets, scores)
    return ShiftCell(
        source,
        target,
        encoder,
        method,
        merge,
        found.macro,
        bootstrap_ci(targets, scores, groups, n_bootstrap=n_bootstrap, seed=seed),
        {name: None if np.isnan(a) else float(a) for name, a in zip(names, found.per_class, strict=True)},
        found.n_defined,
        len(names),
        len(targets),
    )


def _columns(wanted: Sequence[str], classes: Sequence[str], where: str) -> list[int]:
    missing = [name for name in wanted if name not in classes]
    if missing:
        raise LabelError(
            f"{where} has no class {missing[0]!r} among its {len(classes)}",
            field="classes",
            expected=", ".join(wanted),
            fix="load the corpus with its published classes",
        )
    return [list(classes).index(name) for name in wanted]
