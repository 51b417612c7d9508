"""Judge frozen features: one regularised logistic regression a label, chosen on validation, scored on test."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.epoch_probe import EpochProbeResult, EpochSettings, epoch_probe
from ecgscan_lab.evaluate.intervals import FloatArray, bootstrap_ci
from ecgscan_lab.evaluate.label_draws import Draw, draw_labelled
from ecgscan_lab.evaluate.logistic import LogisticFit, fit_logistic_path
from ecgscan_lab.evaluate.probe_inputs import (
    check_probe_inputs,
    check_some_label_varies,
    checked_class_names,
    macro_auroc_of,
    named_aurocs,
)

__all__ = ["C_GRID", "PROTOCOLS", "ProbeResult", "checked_class_names", "linear_probe", "named_aurocs"]

PROTOCOLS = ("sound", "paper", "merl")

C_GRID = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 1.0)


@dataclass(frozen=True)
class ProbeResult:
    """What a linear probe found on the test split. Every AUROC is percent.

    Attributes:
        macro_auroc: mean AUROC of the defined labels, 0 to 100.
        ci95: patient-level 95 % bootstrap interval of `macro_auroc`.
        n_defined: labels that were averaged: both values occur among the labelled training records and in test.
        n_classes: labels asked for.
        per_class: label -> AUROC, or None where undefined.
        c: inverse regularisation strength with the best validation macro AUROC.
        n_train: training records whose labels were used (see `label_fraction`).
        n_val: validation records.
        n_test: test records.
        label_fraction: share of the training records whose labels were used.
        converged: whether every fit at the chosen `c` reached its tolerance.
        train_s: seconds spent on fitting; not part of equality.
        targets: 0 or 1, `[test record, class]`; not part of equality.
        scores: log-odds `[test record, class]`, NaN columns where no model could be fitted; not part of equality.
        test_index: positions of the test records in the input; not part of equality.
    """

    macro_auroc: float
    ci95: tuple[float, float]
    n_defined: int
    n_classes: int
    per_class: Mapping[str, float | None]
    c: float
    n_train: int
    n_val: int
    n_test: int
    label_fraction: float = 1.0
    converged: bool = True
    train_s: float = field(default=0.0, compare=False)
    targets: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), bool), compare=False, repr=False)
    scores: FloatArray = field(default_factory=lambda: np.empty((0, 0)), compare=False, repr=False)
    test_index: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp), compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values, AUROC in percent."""
        return {
            "macro_auroc": self.macro_auroc,
            "ci95": list(self.ci95),
            "n_defined": self.n_defined,
            "n_classes": self.n_classes,
            "per_class": dict(self.per_class),
            "c": self.c,
            "n_train": self.n_train,
            "n_val": self.n_val,
            "n_test": self.n_test,
            "label_fraction": self.label_fraction,
            "converged": self.converged,
        }


@overload
def linear_probe(
    features: ArrayLike,
    labels: ArrayLike,
    split: ArrayLike,
    groups: ArrayLike | None = ...,
    *,
    protocol: Literal["sound"] = ...,
    class_names: Sequence[str] | None = ...,
    c_grid: Sequence[float] = ...,
    label_fraction: float = ...,
    fraction_seed: int | None = ...,
    draw: Draw | None = ...,
    settings: None = ...,
    n_bootstrap: int = ...,
    seed: int = ...,
) -> ProbeResult: ...


@overload
def linear_probe(
    features: ArrayLike,
    labels: ArrayLike,
    split: ArrayLike,
    groups: ArrayLike | None = ...,
    *,
    protocol: Literal["paper", "merl"],
    class_names: Sequence[str] | None = ...,
    c_grid: Sequence[float] = ...,
    label_fraction: float = ...,
    fraction_seed: int | None = ...,
    draw: None = ...,
    settings: EpochSettings | None = ...,
    n_bootstrap: int = ...,
    seed: int = ...,
) -> EpochProbeResult: ...


def linear_probe(
    features: ArrayLike,
    labels: ArrayLike,
    split: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    protocol: Literal["sound", "paper", "merl"] = "sound",
    class_names: Sequence[str] | None = None,
    c_grid: Sequence[float] = C_GRID,
    label_fraction: float = 1.0,
    fraction_seed: int | None = None,
    draw: Draw | None = None,
    settings: EpochSettings | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> ProbeResult | EpochProbeResult:
    """Fit a linear classifier on frozen features and report its macro AUROC on the test split, in percent.

    **Equation.** For each label, `min_w |w|^2 / 2 + C * sum_i log(1 + exp(-y_i (w x_i + b)))` with y = +-1 and x
    standardised by the mean and standard deviation of the labelled training records; the sum runs over those records.
    One C for all labels: that with the best macro AUROC on validation, the smallest such C if several tie.

    **Source.** Linear probing as in ECG-Scan (arXiv 2604.01526, section 5) and MERL (arXiv 2403.06659). *Differences*:
    the paper trains a linear layer with AdamW for 100 epochs, and MERL's code reports the largest *test* AUC over
    epochs, which is biased upwards. Here the convex problem is solved to its optimum, and only validation chooses.
    `protocol="paper"` and `"merl"` train as those two do: see `epoch_probe`.

    Args:
        features: frozen features, finite, any scale, `[record, dim]`.
        labels: 0 or 1, `[record, class]`.
        split: "train", "val" or "test" for each record.
        groups: patient of each record, for the leak check and the intervals; None makes every record its own patient.
        protocol: "sound", "paper" or "merl"; the latter two return an `EpochProbeResult`.
        class_names: names of the label columns; None names them "class 0", "class 1", ...
        c_grid: inverse regularisation strengths to choose from ("sound" only).
        label_fraction: share of the training records whose labels are used, above 0 and at most 1.
        fraction_seed: seed of the label draw; None takes `seed`.
        draw: how the labelled records are drawn ("sound" only): "stratified" by patient, the default; "permuted" or
            "merl", see `label_draws.draw_labelled`.
        settings: how the layer is trained ("paper" and "merl" only).
        n_bootstrap: patient resamples of the test split for `ci95`.
        seed: seed of the label subset and of the resamples.

    Returns:
        Macro AUROC with its interval, every label's AUROC, the chosen C, and the test scores behind them.

    Raises:
        ArgumentError: shapes differ, features are not finite (the rows are named), or a setting is out of range.
        SplitError: a split is empty or unknown, or a patient is in two of them.
        LabelError: no label has both values in the labelled training records and in validation or test.

    Properties: test records influence neither the scaling, nor the fit, nor C; the scores of a record do not depend on
    the other test records; scaling or shifting a feature changes nothing; the same input gives the same result.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(2, size=(90, 1))
    >>> features = labels + rng.normal(scale=0.1, size=(90, 3))
    >>> result = linear_probe(features, labels, ["train"] * 50 + ["val"] * 20 + ["test"] * 20)
    >>> result.macro_auroc, result.ci95, result.n_test
    (100.0, (100.0, 100.0), 20)
    """
    if protocol != "sound":
        if protocol not in PROTOCOLS or draw is not None or tuple(c_grid) != C_GRID:
            raise ArgumentError(
                f"protocol {protocol!r}" + (" with draw or c_grid" if protocol in PROTOCOLS else ""),
                field="protocol",
                expected=f"one of {', '.join(PROTOCOLS)}; draw and c_grid belong to sound",
                fix="set the draw in settings=EpochSettings(...)",
            )
        return epoch_probe(
            features, labels, split, groups, protocol=protocol, settings=settings, class_names=class_names,
            label_fraction=label_fraction, fraction_seed=fraction_seed, n_bootstrap=n_bootstrap, seed=seed,
        )  # fmt: skip
    if settings is not None:
        raise ArgumentError("settings for the sound protocol", field="settings", expected="None, or paper or merl")
    if not len(c_grid) or not all(math.isfinite(c) and c > 0 for c in c_grid):
        raise ArgumentError(f"c_grid {tuple(c_grid)}", field="c_grid", expected="positive finite numbers, at least one")
    x, y, rows, patients, names = check_probe_inputs(features, labels, split, groups, class_names)
    drawn = draw_labelled(
        y[rows["train"]], patients[rows["train"]], label_fraction,
        seed if fraction_seed is None else fraction_seed, draw or "stratified",
    )  # fmt: skip
    train = rows["train"][drawn]
    check_some_label_varies(y[train])
    started = time.perf_counter()
    mean, scale = x[train].mean(axis=0), x[train].std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    standardised = {name: (x[index] - mean) / scale for name, index in {**rows, "train": train}.items()}
    best = _choose_c(standardised, y[train], y[rows["val"]], sorted(float(c) for c in c_grid))
    train_s = time.perf_counter() - started

    targets, scores = y[rows["test"]], _scores(best, standardised["test"])
    test = macro_auroc_of("test", targets, scores)
    return ProbeResult(
        macro_auroc=test.macro,
        ci95=bootstrap_ci(targets, scores, patients[rows["test"]], n_bootstrap=n_bootstrap, seed=seed),
        n_defined=test.n_defined,
        n_classes=y.shape[1],
        per_class=named_aurocs(names, test.per_class),
        c=best.c,
        n_train=len(train),
        n_val=len(rows["val"]),
        n_test=len(rows["test"]),
        label_fraction=float(label_fraction),
        converged=best.converged,
        train_s=train_s,
        targets=targets,
        scores=scores,
        test_index=rows["test"],
    )


def _scores(fit: LogisticFit, x: FloatArray) -> FloatArray:
    # Row by row: a matrix product may round differently with the number of rows, and a record's score would then
    # depend, in its last digits, on its neighbours.
    return np.einsum("nd,dc->nc", x, fit.weights) + fit.bias


def _choose_c(
    x: Mapping[str, FloatArray], y_train: NDArray[np.bool_], y_val: NDArray[np.bool_], grid: list[float]
) -> LogisticFit:
    """The fit with the best validation macro AUROC; the grid ascends and the first of equals wins: the smallest C."""
    fits = fit_logistic_path(x["train"], y_train, grid)
    aurocs = [macro_auroc_of("validation", y_val, _scores(fit, x["val"])).macro for fit in fits]
    return fits[int(np.argmax(aurocs))]
