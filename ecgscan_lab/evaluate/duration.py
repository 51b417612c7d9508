"""What shorter recordings cost: encoders of the signal probed on 2.5 s and on 10 s (the paper's Figure 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.intervals import paired_difference_ci
from ecgscan_lab.evaluate.judgement import labelled
from ecgscan_lab.evaluate.linear_probe import linear_probe
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.segments import visible_samples
from ecgscan_lab.types import TrainingData

Window = Literal["start", "page"]


@dataclass(frozen=True)
class DurationPoint:
    """A probe on recordings of one length. AUROC is percent.

    Attributes:
        duration_s: seconds that the encoder sees of every lead; of the page's windows, what most leads show.
        window: "start", "page", or "whole" for the recordings as they are.
        macro_auroc, ci95: of the probe fitted and judged on that length.
        lost, lost_ci95: whole recordings minus this, in points, on the same patients.
    """

    duration_s: float
    window: str
    macro_auroc: float
    ci95: tuple[float, float]
    lost: float
    lost_ci95: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and tables."""
        return {**vars(self), "ci95": list(self.ci95), "lost_ci95": list(self.lost_ci95)}


def shorten(signals_mv: np.ndarray, fs_hz: float, duration_s: float, window: Window = "start") -> np.ndarray:
    """Keep a part of every lead and lay the baseline over the rest.

    Args:
        signals_mv: `[record, 12, time]`.
        fs_hz: sampling rate in hertz.
        duration_s: seconds to keep; on a "page" the length of a column.
        window: "start" keeps the first seconds of all leads; "page" keeps of each lead what a 3 x 4 page prints of it,
            columns one after the other, and no rhythm strip.

    Returns:
        A copy `[record, 12, time]` of the same length, 0 mV where nothing is kept.

    Raises:
        ArgumentError: nothing would be kept, or more than there is.

    Example:
        >>> int(shorten(np.ones((1, 12, 100)), 10.0, 2.5)[0, 0].sum())
        25
    """
    n_samples = signals_mv.shape[-1]
    whole_s = n_samples / fs_hz
    if window not in get_args(Window) or not 0.0 < duration_s <= whole_s:
        bad_window = window not in get_args(Window)
        raise ArgumentError(
            f"window {window!r}" if bad_window else f"{duration_s} s of {whole_s} s",
            field="window" if bad_window else "duration_s",
            expected="start or page" if bad_window else "above 0, at most the recording's length",
        )
    kept = np.zeros((12, n_samples), dtype=bool)
    if window == "start":
        kept[:, : round(duration_s * fs_hz)] = True
    else:
        page = PageSpec(rhythm=(), strip_s=4 * duration_s, width_mm=25.0 * 4 * duration_s + 30.0)
        kept = visible_samples(page, fs_hz, n_samples)
    return np.where(kept, signals_mv, np.float32(0.0)).astype(np.float32)


def duration_table(
    encode: Callable[[np.ndarray], np.ndarray],
    data: TrainingData,
    task: str,
    *,
    durations_s: Sequence[float] = (2.5, 5.0),
    windows: Sequence[Window] = ("start", "page"),
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> list[DurationPoint]:
    """Probe an encoder of the signal on whole and on shortened recordings.

    For each length the probe is fitted anew: the question is what the seconds hold, not how an encoder copes with a
    surprise.

    **Source**: ECG-Scan (arXiv 2604.01526), Figure 6. *Differences*: there the seven foundation models are fed 2.5 s;
    how the rest of their input is filled is not stated. Here it is the baseline, so that any encoder can be asked.

    Args:
        encode: float32 `[record, 12, time]` in mV -> features `[record, dim]`.
        data: records with the three splits.
        task: of `data.tasks`.
        durations_s: lengths to try, in seconds.
        windows: see `shorten`; "page" is tried where four columns fit the recording.
        n_bootstrap, seed: of the intervals.

    Returns:
        The whole recordings first.
    """
    rows = labelled(data, task)
    signals_mv = data.read_signals_mv(rows)
    truth, patients = data.targets(task)[rows], data.patients[rows]
    split = np.empty(len(data), dtype=object)
    for name in ("train", "val", "test"):
        split[data.indices(name)] = name
    split = split[rows].astype(str)
    whole_s = data.n_samples / data.fs_hz
    versions: list[tuple[float, str, np.ndarray]] = [(whole_s, "whole", signals_mv)]
    for window in windows:
        for duration_s in durations_s:
            if window == "start" or 4 * duration_s <= whole_s:
                versions.append((duration_s, window, shorten(signals_mv, data.fs_hz, duration_s, window)))
    points: list[DurationPoint] = []
    first = None
    for duration_s, kind, shortened in versions:
        probe = linear_probe(encode(shortened), truth, split, patients, n_bootstrap=n_bootstrap, seed=seed)
        first = probe if first is None else first
        groups = patients[probe.test_index]
        lost = paired_difference_ci(
            first.targets, first.scores, probe.scores, groups, n_bootstrap=n_bootstrap, seed=seed
        )
        points.append(
            DurationPoint(duration_s, kind, probe.macro_auroc, probe.ci95, lost.difference, (lost.low, lost.high))
        )
    return points
