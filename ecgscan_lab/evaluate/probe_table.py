"""One table for one task: encoders by label fractions, over several draws, with intervals that say what they cover."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.cores import usable_cores
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.epoch_probe import EPOCH_SETTINGS, EpochProbeResult, EpochSettings
from ecgscan_lab.evaluate.intervals import FloatArray, bootstrap_macro_auroc, percentile_interval
from ecgscan_lab.evaluate.linear_probe import C_GRID, PROTOCOLS, ProbeResult, linear_probe
from ecgscan_lab.evaluate.logistic import blas_threads
from ecgscan_lab.evaluate.paired import seed_interval

Protocol = Literal["sound", "paper", "merl"]

_COPIES_BYTES = 4 * 2**30
_PATIENTS = "the luck of the test patients"
_UNSEEN = "; neither the encoder's own training seed nor another training set"


@dataclass(frozen=True)
class FractionRow:
    """One encoder at one label fraction, over several draws. Every AUROC is percent.

    Attributes:
        encoder: its name.
        percent: share of the training records whose labels were used, in percent.
        macro_auroc: mean over draws of the protocol's own figure; for "merl" it has seen the test set.
        selected_on: split that chose C or the epoch: "validation" or "test".
        honest: mean over draws of the validation-selected figure; the same as `macro_auroc` except for "merl".
        last_epoch: mean over draws at the last epoch; None for "sound".
        spread: standard deviation of `honest` over draws; None for one draw.
        ci95: 95 % interval of `honest`.
        covers: in words, which luck the interval counts.
        n_draws: draws behind the means: of labelled records, and for a trained layer of its start and batches too.
        n_train: labelled training records, least and most over draws.
        n_defined: labels averaged, least and most over draws; where they differ, so do the sets averaged over.
        n_classes: labels asked for.
        per_class: label -> mean AUROC of the protocol's own figure over the draws where it is defined, None for none.
        draws: what each draw found; not part of equality.
    """

    encoder: str
    percent: float
    macro_auroc: float
    selected_on: str
    honest: float
    last_epoch: float | None
    spread: float | None
    ci95: tuple[float, float]
    covers: str
    n_draws: int
    n_train: tuple[int, int]
    n_defined: tuple[int, int]
    n_classes: int
    per_class: Mapping[str, float | None]
    draws: tuple[ProbeResult | EpochProbeResult, ...] = field(default=(), compare=False, repr=False)

    @property
    def inflation(self) -> float:
        """Percentage points that choosing on the test split added; 0 where validation chose."""
        return self.macro_auroc - self.honest

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values, those of each draw included."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "draws"}
        pairs = {name: list(plain[name]) for name in ("ci95", "n_train", "n_defined")}
        per_class, draws = dict(self.per_class), [draw.as_dict() for draw in self.draws]
        return {**plain, **pairs, "inflation": self.inflation, "per_class": per_class, "draws": draws}


_Judged = tuple[ProbeResult | EpochProbeResult, FloatArray]


@dataclass(frozen=True)
class ProbeTable:
    """Rows by encoder and label fraction, all under one protocol.

    Attributes:
        protocol: "sound", "paper" or "merl".
        rows: in the order of the encoders, then of the fractions.
        n_val, n_test: records that chose, and records that judged.
    """

    protocol: str
    rows: tuple[FractionRow, ...]
    n_val: int
    n_test: int

    def as_dict(self) -> dict[str, Any]:
        """The table as plain JSON values."""
        rows = [row.as_dict() for row in self.rows]
        return {"protocol": self.protocol, "n_val": self.n_val, "n_test": self.n_test, "rows": rows}

    def lines(self) -> Iterator[str]:
        """The table as text, a line a row, with what the figures mean below it."""
        width = max(7, *(len(row.encoder) for row in self.rows))
        chosen_on_test = any(row.selected_on == "test" for row in self.rows)
        names = ["test-selected", "honest"] if chosen_on_test else ["AUROC"]
        head = f"{'encoder':<{width}}{'labels':>8}" + "".join(f"{name:>15}" for name in names)
        yield f"{head}  {'95 % interval':<16}{'spread':>7}{'records':>10}{'classes':>13}"
        for row in self.rows:
            figures = [row.macro_auroc, row.honest] if chosen_on_test else [row.macro_auroc]
            shown = "".join(f"{value:>15.2f}" for value in figures)
            spread = "-" if row.spread is None else f"{row.spread:.2f}"
            interval = f"{row.ci95[0]:.2f} to {row.ci95[1]:.2f}"
            classes = f"{_range(row.n_defined)} of {row.n_classes}"
            percent = f"{row.percent:g} %"
            yield (
                f"{row.encoder:<{width}}{percent:>8}{shown}  {interval:<16}{spread:>7}"
                f"{_range(row.n_train):>10}{classes:>13}"
            )
        for covers in dict.fromkeys(row.covers for row in self.rows):
            percents = ", ".join(dict.fromkeys(f"{row.percent:g} %" for row in self.rows if row.covers == covers))
            yield f"interval at {percents}: {covers}"
        if chosen_on_test:
            yield "test-selected: the epoch with the largest test AUROC, as MERL reports it; it has seen the test set"
            yield "honest: the epoch that validation chooses; interval and spread are of this one"


def probe_fractions(
    features: ArrayLike | Mapping[str, ArrayLike],
    labels: ArrayLike,
    split: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    protocol: Protocol = "sound",
    fractions: Sequence[float] = (1.0, 10.0, 100.0),
    seeds: int | Sequence[int] = 5,
    class_names: Sequence[str] | None = None,
    c_grid: Sequence[float] = C_GRID,
    settings: EpochSettings | None = None,
    n_bootstrap: int = 1000,
    on_row: Callable[[FractionRow], object] | None = None,
) -> ProbeTable:
    """Probe one or more encoders on one task at several label fractions.

    **Equation.** The interval is m ± t_ν s around the mean m over n draws, s² = s²_draw / n + s²_patient: the
    variance of the draws' figures, and that of the mean figure over patients resampled from the test split, the same
    ones for every draw (see `paired.seed_interval`). One draw alone has the percentiles of its resamples instead.
    Draws from one training set overlap, the more so the larger the fraction, so that their spread is too small for what
    another training set would give: the interval does not claim that.

    Args:
        features: frozen features `[record, dim]`, or encoder -> features: put a randomly initialised encoder beside the
            trained one, since a linear probe of random features is no mean rival.
        labels: 0 or 1, `[record, class]`. Leave out records without any label of the task
            (`judgement.labelled`): rows of zeros count as negatives.
        split: "train", "val" or "test" for each record.
        groups: patient of each record; None makes every record its own patient.
        protocol: "sound": stratified draws, regularised logistic regression; "paper", "merl": see `epoch_probe`.
        fractions: percent of the training records whose labels are used, above 0 and at most 100.
        seeds: how many draws (seeds 0, 1, ...), or their seeds. At 100 % "sound" has nothing to draw and runs once; for
            a trained layer a seed is also its start and the order of its batches.
        class_names: names of the label columns.
        c_grid: for "sound", see `linear_probe`.
        settings: for "paper" and "merl", in place of the protocol's own.
        n_bootstrap: patient resamples of the test split.
        on_row: called with each row when it is done.

    Returns:
        A row an encoder and fraction.

    Raises:
        ArgumentError, SplitError, LabelError: as `linear_probe`; also a fraction out of range, or no seed.

    Properties: encoders see the same labelled records and the same resampled patients. Probes of "sound" run in up to
    four threads, while the process's BLAS is held to one thread, also during `on_row`.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(2, size=(400, 1))
    >>> features = labels + rng.normal(scale=0.1, size=(400, 3))
    >>> split = ["train"] * 300 + ["val"] * 50 + ["test"] * 50
    >>> table = probe_fractions(features, labels, split, fractions=(10, 100), seeds=2, n_bootstrap=20)
    >>> [(row.percent, row.macro_auroc, row.n_draws, row.n_train) for row in table.rows]
    [(10.0, 100.0, 2, (30, 30)), (100.0, 100.0, 1, (300, 300))]
    """
    encoders = features if isinstance(features, Mapping) else {"features": features}
    chosen = _checked_seeds(seeds)
    if protocol not in PROTOCOLS:
        raise ArgumentError(f"protocol {protocol!r}", field="protocol", expected=f"one of {', '.join(PROTOCOLS)}")
    if not len(fractions) or not all(0.0 < percent <= 100.0 for percent in fractions):
        raise ArgumentError(
            f"fractions {tuple(fractions)}", field="fractions", expected="percents above 0 and at most 100"
        )
    if not encoders:
        raise ArgumentError("no encoders", field="features", expected="features of at least one encoder")
    patients = np.arange(len(np.asarray(split))) if groups is None else np.asarray(groups)
    draw = "stratified" if protocol == "sound" else (settings or EPOCH_SETTINGS[protocol]).draw

    def judge(encoder: str, percent: float, seed: int) -> _Judged:
        found = _probe(
            encoders[encoder], labels, split, patients, protocol, settings, c_grid, class_names, percent / 100.0, seed
        )
        tested = patients[found.test_index]
        return found, bootstrap_macro_auroc(found.targets, found.scores, tested, n_bootstrap=n_bootstrap)

    asked = [(encoder, float(percent)) for encoder in encoders for percent in fractions]
    # Where a seed changes nothing, one draw is all there is to know.
    seeds_of = {percent: chosen[:1] if protocol == "sound" and percent == 100 else chosen for percent in fractions}
    jobs = [(*row, seed) for row in asked for seed in seeds_of[row[1]]]
    rows: list[FractionRow] = []
    at_once = _at_once(encoders.values()) if protocol == "sound" else 1
    with closing(_in_threads(judge, jobs, at_once)) as judged:
        for encoder, percent in asked:
            rows.append(_row(encoder, percent, list(islice(judged, len(seeds_of[percent]))), draw))
            if on_row is not None:
                on_row(rows[-1])
    return ProbeTable(protocol, tuple(rows), rows[0].draws[0].n_val, rows[0].draws[0].n_test)


def _at_once(features: Iterable[ArrayLike]) -> int:
    """Probes at a time: one a core, four at most, fewer where their copies of the features would fill the memory."""
    values = max(np.size(x) for x in features)
    return int(min(usable_cores(), 4, max(1, _COPIES_BYTES // (20 * max(1, values)))))  # two in float64, one in float32


def _in_threads(
    judge: Callable[..., _Judged], jobs: Sequence[tuple[Any, ...]], at_once: int
) -> Generator[_Judged, None, None]:
    """Results in the order of the jobs; several probes with a thread each take less time than one with several."""
    n_threads = min(at_once, len(jobs))
    if n_threads < 2:
        yield from (judge(*job) for job in jobs)
        return
    with blas_threads(1), ThreadPoolExecutor(n_threads, "probe") as pool:
        yield from pool.map(judge, *zip(*jobs, strict=True))


def _probe(
    x: ArrayLike,
    labels: ArrayLike,
    split: ArrayLike,
    patients: NDArray[Any],
    protocol: Protocol,
    settings: EpochSettings | None,
    c_grid: Sequence[float],
    class_names: Sequence[str] | None,
    fraction: float,
    seed: int,
) -> ProbeResult | EpochProbeResult:
    # The intervals are the table's own; a single resample keeps each draw's from costing time.
    if protocol == "sound":
        return linear_probe(
            x, labels, split, patients, class_names=class_names, c_grid=c_grid, label_fraction=fraction,
            fraction_seed=seed, settings=cast(None, settings), n_bootstrap=1,
        )  # fmt: skip
    return linear_probe(
        x, labels, split, patients, protocol=protocol, class_names=class_names, c_grid=c_grid,
        label_fraction=fraction, settings=settings, n_bootstrap=1, seed=seed,
    )  # fmt: skip


def _row(
    encoder: str,
    percent: float,
    judged: Sequence[_Judged],
    draw: str,
) -> FractionRow:
    results, by_draw = [result for result, _ in judged], np.array([resampled for _, resampled in judged])
    honest = np.array([r.validation_selected if isinstance(r, EpochProbeResult) else r.macro_auroc for r in results])
    mean_draws = by_draw.mean(axis=0)
    low, high = percentile_interval(mean_draws)
    if len(results) > 1:
        interval = seed_interval(honest, mean_draws)
        low, high = max(0.0, interval.low), min(100.0, interval.high)
    trained = isinstance(results[0], EpochProbeResult)
    lucks = [_PATIENTS]
    if len(results) > 1:
        lucks += ["the layer's start and batches"] * trained
        lucks += ["which records are labelled"] * (percent < 100.0 and draw != "merl")
    last = [r.last_epoch for r in results if isinstance(r, EpochProbeResult)]
    return FractionRow(
        encoder=encoder,
        percent=percent,
        macro_auroc=float(np.mean([r.macro_auroc for r in results])),
        selected_on=results[0].selected_on if isinstance(results[0], EpochProbeResult) else "validation",
        honest=float(honest.mean()),
        last_epoch=float(np.mean(last)) if last else None,
        spread=float(honest.std(ddof=1)) if len(results) > 1 else None,
        ci95=(low, high),
        covers=" and ".join([", ".join(lucks[:-1])] * (len(lucks) > 1) + lucks[-1:]) + _UNSEEN,
        n_draws=len(results),
        n_train=(min(r.n_train for r in results), max(r.n_train for r in results)),
        n_defined=(min(r.n_defined for r in results), max(r.n_defined for r in results)),
        n_classes=results[0].n_classes,
        per_class={name: _mean([r.per_class[name] for r in results]) for name in results[0].per_class},
        draws=tuple(replace(r, ci95=percentile_interval(part)) for r, part in zip(results, by_draw, strict=True)),
    )


def _checked_seeds(seeds: int | Sequence[int]) -> list[int]:
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise ArgumentError(f"seeds {seeds!r}", field="seeds", expected="a number of draws, or different seeds from 0")
    return chosen


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _range(pair: tuple[int, int]) -> str:
    return f"{pair[0]}" if pair[0] == pair[1] else f"{pair[0]}-{pair[1]}"
