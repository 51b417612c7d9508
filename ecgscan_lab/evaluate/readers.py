"""CODE-test: a model beside the people who read the same 827 recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ecgscan_lab.data.code import CODE_CLASSES, GOLD, READERS, read_code_annotations
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.intervals import bootstrap_ci, macro_auroc


@dataclass(frozen=True)
class ReaderRow:
    """One reader, or a model, on CODE-test. Every AUROC is percent.

    Attributes:
        name: "cardiology_residents", ..., or the model's.
        who: the same in words.
        answers: "yes or no", one point on the ROC curve; or "scores", a whole curve.
        macro_auroc: mean over the six classes.
        ci95: 95 % bootstrap interval of `macro_auroc`, recordings resampled (one a patient).
        per_class: class -> AUROC.
        per_class_ci95: class -> its interval.
    """

    name: str
    who: str
    answers: str
    macro_auroc: float
    ci95: tuple[float, float]
    per_class: Mapping[str, float]
    per_class_ci95: Mapping[str, tuple[float, float]]

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        intervals = {name: list(interval) for name, interval in self.per_class_ci95.items()}
        return {
            "name": self.name,
            "who": self.who,
            "answers": self.answers,
            "macro_auroc": self.macro_auroc,
            "ci95": list(self.ci95),
            "per_class": dict(self.per_class),
            "per_class_ci95": intervals,
        }


def reader_table(
    folder: str | PathLike[str],
    scores: Mapping[str, ArrayLike] | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> list[ReaderRow]:
    """AUROC of every reader of CODE-test, and of models, on the same recordings and resamples.

    **Equation.** A reader who says yes or no has one point on the ROC curve; the area under the two straight lines
    through it is (sensitivity + specificity) / 2, which is `intervals.macro_auroc` of the answers.

    Source: Ribeiro et al. (2020), Nat. Commun. 11:1760, for the annotations; ECG-Scan (arXiv 2604.01526) for setting
    areas beside each other. *Differences*: intervals. A caution: one point is compared with a curve, so a model can be
    ahead without being better at the point where the reader works.

    Args:
        folder: holds `annotations/` (as for `data.code.load_code_test`); the tracings need not be there.
        scores: model -> real numbers `[827, 6]` in the order of the recordings and of `CODE_CLASSES`.
        n_bootstrap: resamples behind every interval.
        seed: seed of the resamples.

    Returns:
        One row a model, then one a reader, in the given order.

    Raises:
        TableError: as `data.code.read_code_annotations`.
        ArgumentError: scores of another shape, or not finite; a model named like a reader.

    Properties: the macro areas of residents and students are those of `data.code.code_reader_aurocs`.
    """
    given = read_code_annotations(folder)
    truth = given.pop(GOLD) == 1
    rows = []
    for name, values in (scores or {}).items():
        score = np.asarray(values, dtype=np.float64)
        if name in READERS:
            raise ArgumentError(f"a model named {name!r}", field="scores", expected="names that no reader has")
        if score.shape != truth.shape or not np.isfinite(score).all():
            raise ArgumentError(
                f"scores of {name!r} have shape {score.shape}, or are not finite",
                field="scores",
                expected=f"finite numbers [record, class] = {truth.shape}, classes {', '.join(CODE_CLASSES)}",
            )
        rows.append(_row(name, "a model", "scores", truth, score, n_bootstrap, seed))
    for name, said in given.items():
        rows.append(_row(name, READERS[name], "yes or no", truth, said.astype(np.float64), n_bootstrap, seed))
    return rows


def _row(
    name: str, who: str, answers: str, truth: np.ndarray, score: np.ndarray, n_bootstrap: int, seed: int
) -> ReaderRow:
    result = macro_auroc(truth, score)
    intervals = {
        label: bootstrap_ci(truth[:, [c]], score[:, [c]], n_bootstrap=n_bootstrap, seed=seed)
        for c, label in enumerate(CODE_CLASSES)
    }
    return ReaderRow(
        name,
        who,
        answers,
        result.macro,
        bootstrap_ci(truth, score, n_bootstrap=n_bootstrap, seed=seed),
        dict(zip(CODE_CLASSES, result.per_class.tolist(), strict=True)),
        intervals,
    )
