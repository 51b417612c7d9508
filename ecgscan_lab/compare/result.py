"""What a comparison found: one table, in which a difference is named only where its interval excludes zero."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from ecgscan_lab.compare.judge import FEW_LABELS, METRICS
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.paired import seed_interval

NO_DIFFERENCE = "no clear difference"


@dataclass(frozen=True)
class Run:
    """One loss trained from one seed.

    Attributes:
        loss: its name in the comparison.
        seed: of start and batches.
        status: "ok", or a sentence on what went wrong; then there are no figures.
        metrics: figure by name, see `judge.METRICS`.
        first_loss, last_loss: the loss at both ends of training; not comparable between losses.
        draws: figures on resamples of the test patients; not part of equality, and not written to files.
    """

    loss: str
    seed: int
    status: str = "ok"
    metrics: Mapping[str, float] = field(default_factory=dict)
    first_loss: float = math.nan
    last_loss: float = math.nan
    draws: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: a number that is not finite becomes None."""
        return {
            "loss": self.loss,
            "seed": self.seed,
            "status": self.status,
            "metrics": {name: _finite(value) for name, value in self.metrics.items()},
            "first_loss": _finite(self.first_loss),
            "last_loss": _finite(self.last_loss),
        }


@dataclass(frozen=True)
class Difference:
    """A loss minus the baseline in one figure, over `n_seeds` seeds, with its 95 % interval and a verdict in words."""

    loss: str
    metric: str
    difference: float
    low: float
    high: float
    verdict: str
    n_seeds: int


@dataclass(frozen=True, repr=False)
class Comparison:
    """Losses side by side; shows itself as one table when it ends a cell.

    Each cell is the mean over seeds. Below it stands the paired difference from the baseline with its 95 % interval,
    which counts the luck of the seeds and, where the test patients are the same for all seeds, of the patients
    (`evaluate.paired.seed_interval`). Where the interval covers zero it says "no clear difference". Of twenty
    intervals one excludes zero by luck alone.

    Attributes:
        rung: "toy", "heads", "quick" or "full".
        data: kind of the records: "synthetic", "ptbxl", "cohort", or "toy".
        data_sha256: hash of the records.
        losses: names, the baseline first.
        seeds: seeds asked for.
        runs: one a loss and seed, in the order they were made.
        found: one a loss other than the baseline and figure.
        settings: of the rung, for the record.
        what: what the rows are, in the plural.
    """

    rung: str
    data: str
    data_sha256: str
    losses: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[Run, ...] = field(repr=False)
    found: tuple[Difference, ...] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    what: str = "losses"

    @property
    def baseline(self) -> str:
        """The loss that the others are compared with."""
        return self.losses[0]

    @property
    def complete(self) -> bool:
        """Whether every loss was tried from every seed."""
        return len(self.runs) == len(self.losses) * len(self.seeds)

    @property
    def failures(self) -> tuple[Run, ...]:
        """Runs that left the numbers or crashed."""
        return tuple(run for run in self.runs if run.status != "ok")

    def against(self, baseline: str) -> Comparison:
        """The same runs with another baseline; one read from a file has lost the resamples, and is judged by seeds.

        Raises:
            ArgumentError: there is no such loss.
        """
        if baseline not in self.losses:
            raise ArgumentError(f"no loss {baseline!r}", field="baseline", expected=f"one of {', '.join(self.losses)}")
        losses = (baseline, *(loss for loss in self.losses if loss != baseline))
        return replace(self, losses=losses, found=paired_differences(self.runs, losses))

    def table(self) -> pd.DataFrame:
        """Mean over seeds of every figure, one row a loss; `runs` counts those that went well."""
        few = any(FEW_LABELS in run.metrics for run in self.runs)
        names = [name for name in METRICS if few or name != FEW_LABELS]
        rows = []
        for loss in self.losses:
            good = [run for run in self.runs if run.loss == loss and run.status == "ok"]
            means = {name: _mean([run.metrics.get(name, math.nan) for run in good]) for name in names}
            rows.append({"loss": loss, "runs": len(good), **means})
        return pd.DataFrame(rows).set_index("loss")

    def by_seed(self, metric: str) -> pd.DataFrame:
        """One figure of every run, one row a loss and one column a seed; NaN where a run failed.

        Raises:
            ArgumentError: there is no such figure.
        """
        if metric not in METRICS:
            raise ArgumentError(f"no figure {metric!r}", field="metric", expected=f"one of {', '.join(METRICS)}")
        values = {(run.loss, run.seed): run.metrics.get(metric, math.nan) for run in self.runs}
        table = {seed: [values.get((loss, seed), math.nan) for loss in self.losses] for seed in self.seeds}
        return pd.DataFrame(table, index=pd.Index(self.losses, name="loss")).rename_axis("seed", axis=1)

    def differences(self) -> pd.DataFrame:
        """Every paired difference from the baseline with its interval and verdict, one row each."""
        columns = ["loss", "metric", "difference", "low", "high", "verdict", "n_seeds"]
        return pd.DataFrame([asdict(difference) for difference in self.found], columns=columns)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "rung": self.rung,
            "data": self.data,
            "data_sha256": self.data_sha256,
            "losses": list(self.losses),
            "seeds": list(self.seeds),
            "runs": [run.as_dict() for run in self.runs],
            "found": [
                {name: _finite(value) if isinstance(value, float) else value for name, value in asdict(d).items()}
                for d in self.found
            ],
            "settings": dict(self.settings),
            "what": self.what,
        }

    def to_json(self) -> str:
        """One line of strict JSON that `from_json` reads."""
        return json.dumps(self.as_dict(), allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Read what `to_json` wrote.

        Raises:
            ArgumentError: it is no such JSON.
        """
        try:
            facts = json.loads(text)
            runs = tuple(
                Run(
                    run["loss"], int(run["seed"]), run["status"],
                    {name: _number(value) for name, value in run["metrics"].items()},
                    _number(run["first_loss"]), _number(run["last_loss"]),
                )
                for run in facts["runs"]
            )  # fmt: skip
            limits = ("difference", "low", "high")
            found = tuple(Difference(**{**d, **{name: _number(d[name]) for name in limits}}) for d in facts["found"])
            return cls(
                facts["rung"], facts["data"], facts["data_sha256"], tuple(facts["losses"]), tuple(facts["seeds"]),
                runs, found, facts["settings"], facts.get("what", "losses"),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArgumentError(
                f"no comparison: {type(error).__name__} {error}", field="text", expected="a line that to_json wrote"
            ) from error

    def _cells(self) -> list[tuple[str, str, list[tuple[str, str, bool]]]]:
        """Metric, its label, and for each loss value, difference and whether it is clear."""
        means, found = self.table(), {(d.loss, d.metric): d for d in self.found}
        rows = []
        for name, metric in METRICS.items():
            if name not in means or not means[name].notna().any():
                continue
            cells = []
            for loss in self.losses:
                difference = found.get((loss, name))
                value = float(means.loc[loss, name])
                if difference is None or math.isnan(difference.low):
                    cells.append((_shown(value), "baseline" if loss == self.baseline else "", False))
                else:
                    clear = difference.verdict != NO_DIFFERENCE
                    limits = f"[{_signed(difference.low)}, {_signed(difference.high)}]"
                    words = f"{_signed(difference.difference)} {limits} {difference.verdict}"
                    cells.append((_shown(value), words, clear))
            rows.append((name, metric.label, cells))
        return rows

    @property
    def notes(self) -> list[str]:
        """What the table alone does not say."""
        failed = [f"{run.loss}, seed {run.seed}: {run.status}." for run in self.failures]
        n_done, n_asked = len(self.runs), len(self.losses) * len(self.seeds)
        cut = [] if self.complete else [f"Interrupted: {n_done} of {n_asked} runs are in."]
        judged = [d for d in self.found if not math.isnan(d.low)]
        n_clear = sum(d.verdict != NO_DIFFERENCE for d in judged)
        by_luck = max(1, round(len(judged) / 20))
        luck = [f"{n_clear} of {len(judged)} intervals exclude zero; about {by_luck} would by luck alone."]
        return [*cut, *failed, *(luck if judged else [])]

    @property
    def title(self) -> str:
        """What was compared."""
        n = len(self.losses)
        data = "" if self.data == self.rung else f", {self.data} records"
        return f"{n} {self.what} on rung {self.rung}{data}, {len(self.seeds)} seeds; differences from {self.baseline}"

    def __str__(self) -> str:
        lines = [self.title]
        for _, label, cells in self._cells():
            lines.append(f"\n{label}")
            width = max(len(loss) for loss in self.losses)
            lines += [
                f"  {loss.ljust(width)}  {value:>8}  {words}".rstrip()
                for loss, (value, words, _) in zip(self.losses, cells, strict=True)
            ]
        return "\n".join([*lines, "", *self.notes]).rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        left = ' style="text-align:left;vertical-align:top"'
        heads = "".join(f'<th scope="col"{left}>{escape(loss)}</th>' for loss in self.losses)
        body = []
        for name, label, cells in self._cells():
            row = []
            for value, words, clear in cells:
                weight = "bold" if clear else "normal"
                look = f"font-weight:{weight};color:{'inherit' if clear else '#666666'}"
                shown = escape(words).replace("] ", "]<br>")  # the verdict on a line of its own
                row.append(
                    f'<td style="text-align:left;vertical-align:top">{value}<br>'
                    f'<span style="font-size:85%;white-space:nowrap;{look}">{shown}</span></td>'
                )
            hint = escape(METRICS[name].meaning)
            body.append(f'<tr><th scope="row"{left} title="{hint}">{escape(label)}</th>{"".join(row)}</tr>')
        notes = "".join(f"<br>{escape(note)}" for note in self.notes)
        caption = (
            f'<caption style="text-align:left;color:inherit"><strong>{escape(self.title)}</strong>{notes}</caption>'
        )
        return (
            f'<div style="overflow-x:auto"><table>{caption}<thead><tr><th scope="col"{left}>mean over seeds</th>{heads}'
            f"</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
        )


def paired_differences(runs: Sequence[Run], losses: Sequence[str]) -> tuple[Difference, ...]:
    """Every loss minus the first, figure by figure, over the seeds from which both went well."""
    by_loss = {loss: {run.seed: run for run in runs if run.loss == loss and run.status == "ok"} for loss in losses}
    baseline = by_loss[losses[0]]
    found = []
    for loss in losses[1:]:
        seeds = [seed for seed in baseline if seed in by_loss[loss]]
        pairs = [(by_loss[loss][seed], baseline[seed]) for seed in seeds]
        for name, metric in METRICS.items():
            if name == FEW_LABELS and not any(name in run.metrics for run in runs):
                continue
            known = [
                (a, b)
                for a, b in pairs
                if math.isfinite(a.metrics.get(name, math.nan)) and math.isfinite(b.metrics.get(name, math.nan))
            ]
            if not known:
                found.append(Difference(loss, name, math.nan, math.nan, math.nan, "not known", 0))
                continue
            resampled = [a.draws[name] - b.draws[name] for a, b in known if name in a.draws and name in b.draws]
            draws = np.mean(resampled, axis=0) if len(resampled) == len(known) else None
            interval = seed_interval([a.metrics[name] - b.metrics[name] for a, b in known], draws)
            words = ("better", "worse") if metric.better else ("higher", "lower")
            upward = interval.difference > 0
            verdict = NO_DIFFERENCE if interval.covers_zero else words[upward != (metric.better >= 0)]
            found.append(Difference(loss, name, *interval, verdict, len(known)))
    return tuple(found)


def _mean(values: list[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _shown(value: float) -> str:
    if math.isnan(value):
        return "–"
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return text.replace("-", "−", 1) if value < 0 else text


def _signed(value: float) -> str:
    return ("+" if value > 0 else "−" if value < 0 else "") + _shown(abs(value))
