"""The trained linear layer of the paper, and of MERL's benchmark with its choice of epoch on the test set shown."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.epoch_kernel import LayerState, new_layer, train_epoch
from ecgscan_lab.evaluate.intervals import FloatArray, MacroAuroc, bootstrap_ci
from ecgscan_lab.evaluate.label_draws import Draw, draw_labelled
from ecgscan_lab.evaluate.probe_inputs import (
    check_probe_inputs,
    check_some_label_varies,
    macro_auroc_of,
    named_aurocs,
)

EpochProtocol = Literal["paper", "merl"]
_SCHEDULES = ("constant", "cosine", "step")
_SCALINGS = ("none", "standardise")


@dataclass(frozen=True)
class EpochSettings:
    """How the linear layer is trained. The defaults are the paper's; what it leaves open is marked.

    Attributes:
        learning_rate: 1e-3.
        batch_size: records a step, 16.
        epochs: 100.
        decoupled: AdamW; False is Adam with L2.
        weight_decay: (open) PyTorch's default for AdamW.
        schedule: (open) "constant"; "cosine", to zero over all steps; "step", a tenth after `milestone` ticks.
        milestone: for "step": one tick an iteration and one more an epoch, as MERL's code steps its scheduler.
        scaling: (open) "none", or "standardise" by mean and deviation of the labelled training records.
        draw: (open) which records keep labels, see `label_draws.draw_labelled`; the paper's tables follow MERL's sets.
        selected_on: which split chooses the epoch that is reported: "validation", or "test", which flatters.

    Raises:
        ArgumentError: a value is unknown or out of range.
    """

    learning_rate: float = 1e-3
    batch_size: int = 16
    epochs: int = 100
    decoupled: bool = True
    weight_decay: float = 1e-2
    schedule: str = "constant"
    milestone: int = 40
    scaling: str = "none"
    draw: Draw = "merl"
    selected_on: str = "validation"

    def __post_init__(self) -> None:
        for name, among in (
            ("schedule", _SCHEDULES),
            ("scaling", _SCALINGS),
            ("draw", get_args(Draw)),
            ("selected_on", ("validation", "test")),
        ):
            if getattr(self, name) not in among:
                raise ArgumentError(
                    f"{name} {getattr(self, name)!r}", field=name, expected=f"one of {', '.join(among)}"
                )
        for name in ("batch_size", "epochs", "milestone"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"{name} {getattr(self, name)}", field=name, expected="an integer of at least 1")
        for name, least in (("learning_rate", 0.0), ("weight_decay", -1e-300)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > least):
                raise ArgumentError(f"{name} {value}", field=name, expected="a positive finite number")


PAPER = EpochSettings()
MERL = EpochSettings(decoupled=False, weight_decay=1e-4, schedule="step", selected_on="test")
EPOCH_SETTINGS: Mapping[str, EpochSettings] = {"paper": PAPER, "merl": MERL}


@dataclass(frozen=True)
class EpochProbeResult:
    """What a trained linear layer found on the test split, by three choices of epoch. Every AUROC is percent.

    Attributes:
        protocol: "paper" or "merl".
        macro_auroc: the protocol's own figure: mean AUROC of the defined labels, at the epoch it selects.
        selected_on: split that selected that epoch: "validation", or "test", and then the figure is biased upwards.
        validation_selected: the same at the epoch with the best validation macro AUROC: the honest figure.
        last_epoch: the same at the last epoch.
        test_selected: the same at the epoch with the best test macro AUROC: the largest figure there is.
        ci95: patient-level 95 % bootstrap interval of `validation_selected`.
        epoch: epoch of `macro_auroc`, counted from 1.
        n_defined: labels that were averaged: both values occur in test. A label without a positive among the labelled
            training records is averaged too, as MERL's code does: its scores come from negatives only.
        n_unseen: how many of those labels had no positive among the labelled training records.
        n_classes: labels asked for.
        per_class: label -> AUROC at that epoch, or None where undefined.
        n_train, n_val, n_test: records; of the training ones, those whose labels were used.
        label_fraction: share of the training records whose labels were used.
        settings: how the layer was trained.
        val_curve, test_curve: macro AUROC after every epoch.
        train_s: seconds spent on fitting and judging epochs; not part of equality.
        targets: 0 or 1, `[test record, class]`; not part of equality.
        scores: logits at the validation-selected epoch `[test record, class]`; not part of equality.
        test_index: positions of the test records in the input; not part of equality.
    """

    protocol: str
    macro_auroc: float
    selected_on: str
    validation_selected: float
    last_epoch: float
    test_selected: float
    ci95: tuple[float, float]
    epoch: int
    n_defined: int
    n_unseen: int
    n_classes: int
    per_class: Mapping[str, float | None]
    n_train: int
    n_val: int
    n_test: int
    label_fraction: float
    settings: EpochSettings
    val_curve: tuple[float, ...] = field(repr=False)
    test_curve: tuple[float, ...] = field(repr=False)
    train_s: float = field(default=0.0, compare=False)
    targets: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), bool), compare=False, repr=False)
    scores: FloatArray = field(default_factory=lambda: np.empty((0, 0)), compare=False, repr=False)
    test_index: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp), compare=False, repr=False)

    @property
    def inflation(self) -> float:
        """Percentage points that choosing the epoch on the test split adds to the validation-selected figure."""
        return self.test_selected - self.validation_selected

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values, AUROC in percent."""
        plain = ("ci95", "per_class", "settings", "val_curve", "test_curve", "train_s", "targets", "scores")
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name not in (*plain, "test_index")},
            "inflation": self.inflation,
            "ci95": list(self.ci95),
            "per_class": dict(self.per_class),
            "settings": asdict(self.settings),
            "val_curve": list(self.val_curve),
            "test_curve": list(self.test_curve),
        }


def epoch_probe(
    features: ArrayLike,
    labels: ArrayLike,
    split: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    protocol: EpochProtocol = "paper",
    settings: EpochSettings | None = None,
    class_names: Sequence[str] | None = None,
    label_fraction: float = 1.0,
    fraction_seed: int | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> EpochProbeResult:
    """Train a linear layer on frozen features as the paper or MERL's benchmark does, and judge it after every epoch.

    **Equation.** Binary cross-entropy of `W x + b`, averaged over a batch's records and classes, one epoch after
    another over shuffled batches.

    **Source.** "paper": ECG-Scan (arXiv 2604.01526, section 5): AdamW 1e-3, batches of 16, 100 epochs; what it leaves
    open is marked in `EpochSettings`. "merl": the code of MERL (arXiv 2403.06659): Adam 1e-3 with weight decay 1e-4, a
    tenth of the rate after 40 *iterations*, an unstratified subset, and the largest *test* AUROC over epochs as its
    result. **That figure has seen the test set: quote it only beside others of its kind**; `validation_selected` is the
    honest one and always there. *Differences*: features are frozen (MERL's normalisation layers drift during probing),
    float32 instead of mixed precision, and another random start and order.

    Args:
        features: frozen features, finite, `[record, dim]`; their scale matters here, as no layer standardises them.
        labels: 0 or 1, `[record, class]`.
        split: "train", "val" or "test" for each record.
        groups: patient of each record, for the leak check and the intervals; None makes every record its own patient.
        protocol: "paper" or "merl".
        settings: replaces the protocol's own.
        class_names: names of the label columns; None names them "class 0", "class 1", ...
        label_fraction: share of the training records whose labels are used. MERL's subset depends on the order of the
            records: that of its own file.
        fraction_seed: seed of the label draw, where it has one; None takes `seed`.
        n_bootstrap: patient resamples of the test split for `ci95`.
        seed: seed of the layer's start and of the order of the batches.

    Returns:
        Macro AUROC at three epochs: the validation-selected, the last, and the test-selected one.

    Raises:
        ArgumentError: shapes differ, features are not finite, or a setting is out of range.
        SplitError: a split is empty or unknown, or a patient is in two of them.
        LabelError: no label has both values where it counts.

    Properties: the layer is PyTorch's under the same start and order; `test_selected` is never below the other two;
    the same input gives the same result.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(2, size=(90, 1))
    >>> features = labels + rng.normal(scale=0.1, size=(90, 3))
    >>> split = ["train"] * 50 + ["val"] * 20 + ["test"] * 20
    >>> epoch_probe(features, labels, split, settings=EpochSettings(learning_rate=0.1)).validation_selected
    100.0
    """
    if protocol not in EPOCH_SETTINGS:
        raise ArgumentError(f"protocol {protocol!r}", field="protocol", expected="paper or merl")
    how = EPOCH_SETTINGS[protocol] if settings is None else settings
    given = check_probe_inputs(features, labels, split, groups, class_names, dtype=np.float32)
    rows, y = given.rows, given.y
    drawn = draw_labelled(
        y[rows["train"]], given.patients[rows["train"]], label_fraction,
        seed if fraction_seed is None else fraction_seed, how.draw,
    )  # fmt: skip
    train = rows["train"][drawn]
    check_some_label_varies(y[train])
    started = time.perf_counter()
    mean, scale = _scaling(given.x[train], how.scaling)
    x = {
        name: np.column_stack([(given.x[index] - mean) / scale, np.ones(len(index), np.float32)])
        for name, index in {**rows, "train": train}.items()
    }
    best, curves = _run_epochs(x, y[train], y[rows["val"]], y[rows["test"]], how, seed)
    train_s = time.perf_counter() - started
    chosen, honest = best[how.selected_on], best["validation"]
    targets = y[rows["test"]]
    return EpochProbeResult(
        protocol=protocol,
        macro_auroc=chosen.test.macro,
        selected_on=how.selected_on,
        validation_selected=honest.test.macro,
        last_epoch=curves["test"][-1],
        test_selected=best["test"].test.macro,
        ci95=bootstrap_ci(targets, honest.scores, given.patients[rows["test"]], n_bootstrap=n_bootstrap, seed=seed),
        epoch=chosen.epoch,
        n_defined=chosen.test.n_defined,
        n_unseen=int((~y[train].any(axis=0) & np.isfinite(chosen.test.per_class)).sum()),
        n_classes=y.shape[1],
        per_class=named_aurocs(given.names, chosen.test.per_class),
        n_train=len(train),
        n_val=len(rows["val"]),
        n_test=len(rows["test"]),
        label_fraction=float(label_fraction),
        settings=how,
        val_curve=tuple(curves["validation"]),
        test_curve=tuple(curves["test"]),
        train_s=train_s,
        targets=targets,
        scores=honest.scores,
        test_index=rows["test"],
    )


@dataclass(frozen=True, eq=False)
class _Epoch:
    """One epoch: its number from 1, and what it scores on the test split."""

    epoch: int
    test: MacroAuroc
    scores: FloatArray


def _run_epochs(
    x: Mapping[str, NDArray[np.float32]],
    y_train: NDArray[np.bool_],
    y_val: NDArray[np.bool_],
    y_test: NDArray[np.bool_],
    how: EpochSettings,
    seed: int,
) -> tuple[dict[str, _Epoch], dict[str, list[float]]]:
    """The best epoch, and the macro AUROC after every epoch, by validation and by test."""
    n, dim = len(y_train), x["train"].shape[1] - 1
    layer, y = new_layer(y_train.shape[1], dim, seed), y_train.astype(np.float32)
    rng = np.random.default_rng([seed, 1])  # another stream than the start's
    a_epoch, done = math.ceil(n / how.batch_size), 0
    best: dict[str, _Epoch] = {}
    curves: dict[str, list[float]] = {"validation": [], "test": []}
    for epoch in range(1, how.epochs + 1):
        rates = learning_rates(how, done, epoch - 1, a_epoch)
        done = train_epoch(
            layer, x["train"], y, rng.permutation(n), rates, batch_size=how.batch_size, steps_before=done,
            weight_decay=how.weight_decay, decoupled=how.decoupled,
        )  # fmt: skip
        val = macro_auroc_of("validation", y_val, _logits(x["val"], layer)).macro
        scores = _logits(x["test"], layer)
        now = _Epoch(epoch, macro_auroc_of("test", y_test, scores), scores)
        for judge, macro in (("validation", val), ("test", now.test.macro)):
            if macro > max(curves[judge], default=-1.0):  # of equal epochs the first
                best[judge] = now
            curves[judge].append(macro)
    return best, curves


def learning_rates(how: EpochSettings, steps_before: int, epochs_before: int, n_steps: int) -> NDArray[np.float64]:
    """Learning rate of each step of an epoch `[n_steps]`.

    >>> rates = learning_rates(MERL, steps_before=36, epochs_before=2, n_steps=4)
    >>> [float(rate) for rate in rates]
    [0.001, 0.001, 0.0001, 0.0001]
    """
    steps = steps_before + np.arange(n_steps)
    if how.schedule == "cosine":
        factor = 0.5 * (1.0 + np.cos(np.pi * steps / (n_steps * how.epochs)))
    elif how.schedule == "step":
        factor = np.where(steps + epochs_before < how.milestone, 1.0, 0.1)
    else:
        factor = np.ones(n_steps)
    return np.asarray(how.learning_rate * factor, dtype=np.float64)


def _logits(x: NDArray[np.float32], layer: LayerState) -> FloatArray:
    return np.asarray(x @ layer.weights.T, dtype=np.float64)


def _scaling(x: NDArray[np.floating], scaling: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    dim = x.shape[1]
    if scaling == "none":
        return np.zeros(dim, np.float32), np.ones(dim, np.float32)
    scale = x.std(axis=0, dtype=np.float64)
    return x.mean(axis=0, dtype=np.float64).astype(np.float32), np.where(scale > 0, scale, 1.0).astype(np.float32)
