"""Everything a checkpoint is asked of one corpus, in one call: features once, every task, every label fraction."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ecgscan_lab.data import load_cohort
from ecgscan_lab.data.prompts import builtin_prompts
from ecgscan_lab.data.reports import class_prompts
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.encoders.text import text_tower
from ecgscan_lab.errors import EcgScanLabError, LabelError, SplitError
from ecgscan_lab.evaluate.cache import weights_sha256
from ecgscan_lab.evaluate.embedding import embed_images, recipe_page
from ecgscan_lab.evaluate.feature_table import FeatureTable, write_features
from ecgscan_lab.evaluate.judgement import labelled
from ecgscan_lab.evaluate.probe_table import FractionRow, ProbeTable, Protocol, probe_fractions
from ecgscan_lab.evaluate.prompt_judgement import judge_prompts
from ecgscan_lab.evaluate.report import Measured, Report, measured_from, report
from ecgscan_lab.evaluate.rivals import SideBySide, fresh_weights
from ecgscan_lab.evaluate.zero_shot import ZeroShotResult
from ecgscan_lab.train.loop import load_model
from ecgscan_lab.types import Cohort
from ecgscan_lab.whole_files import write_json

ENCODER, RANDOM = "encoder", "random-init"


@dataclass(frozen=True)
class Evaluation:
    """What one call found. AUROC is percent.

    Attributes:
        data: name of the cohort.
        data_sha256: hash of its records, labels and splits.
        n_records: records embedded.
        encoders: names of the rows: "encoder" (with a checkpoint), "random-init" and "raw pixels".
        probes: task -> its table.
        zero_shot: task -> result; empty without a checkpoint, or where prompts could not be judged (see `notes`).
        seconds: stage -> seconds, in the order of the stages.
        peak_memory_mb: highest resident memory of the process so far in MiB, None where the system does not tell.
        notes: what was left out, and why.
        features: of the checkpoint, or of the random tower without one; not part of equality.
        report: the figures beside the paper's; not part of equality.
    """

    data: str
    data_sha256: str
    n_records: int
    encoders: tuple[str, ...]
    probes: Mapping[str, ProbeTable]
    zero_shot: Mapping[str, ZeroShotResult]
    seconds: Mapping[str, float] = field(compare=False)
    peak_memory_mb: float | None = field(compare=False)
    notes: tuple[str, ...] = ()
    features: FeatureTable | None = field(default=None, compare=False, repr=False)
    report: Report | None = field(default=None, compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "data": self.data,
            "data_sha256": self.data_sha256,
            "n_records": self.n_records,
            "encoders": list(self.encoders),
            "probes": {task: table.as_dict() for task, table in self.probes.items()},
            "zero_shot": {task: result.as_dict() for task, result in self.zero_shot.items()},
            "seconds": {stage: round(seconds, 2) for stage, seconds in self.seconds.items()},
            "peak_memory_mb": self.peak_memory_mb,
            "notes": list(self.notes),
            "features": None if self.features is None else dict(self.features.provenance),
        }

    def lines(self) -> Iterator[str]:
        """The figures as text, what was left out, and what it cost."""
        yield f"{self.data}: {self.n_records:,} records"
        for task, table in self.probes.items():
            yield f"\n{task}, linear probe ({table.protocol}), macro AUROC in %, {table.n_test:,} test records"
            yield from (f"  {line}" for line in table.lines())
            if task in self.zero_shot:
                found = self.zero_shot[task]
                yield (
                    f"  zero-shot{found.macro_auroc:8.2f}  {found.ci95[0]:.2f} to {found.ci95[1]:.2f}, "
                    f"{found.n_defined} of {found.n_classes} classes"
                )
        yield from (f"note: {note}" for note in self.notes)
        yield "\nseconds: " + ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in self.seconds.items())
        if self.peak_memory_mb is not None:
            yield f"peak memory: {self.peak_memory_mb:,.0f} MB"


def evaluate_encoders(
    data: str | Cohort,
    checkpoint: str | PathLike[str] | None = None,
    *,
    out: str | PathLike[str] | None = None,
    tasks: Sequence[str] | None = None,
    fractions: Sequence[float] = (1.0, 10.0, 100.0),
    draws: int = 5,
    protocol: Protocol = "sound",
    n_records: int | None = None,
    cache: str | PathLike[str] | None = None,
    text_tower_name: str | None = None,
    pretrained_on: Sequence[str] = (),
    n_bootstrap: int = 1000,
    batch_size: int = 32,
    seed: int = 0,
    say: Callable[[str], object] = lambda sentence: None,
) -> Evaluation:
    """Embed a corpus once, probe every task at every label fraction, try prompts, and put it all beside the paper.

    Beside the checkpoint stand the two rivals that cost no training: its own tower with fresh weights, and the ink in
    each cell of the page. The three see the same drawn pages, labelled records and resampled patients. Without a
    checkpoint the rivals are judged alone, by a tiny tower.

    Args:
        data: source of `data.load_cohort`, or a loaded cohort.
        checkpoint: of `train.loop.pretrain`.
        out: folder for `features.parquet`, `evaluation.json` and `report.{csv,md,tex,svg}`; None writes nothing.
        tasks: of the cohort; None takes all.
        fractions: percent of the training records whose labels are used.
        draws: draws of the labelled records at each fraction, see `probe_table.probe_fractions`.
        protocol: "sound", "paper" or "merl".
        n_records: about this many records, whole patients; None takes all.
        cache: folder in which features are kept, so that an interrupted call goes on where it stopped.
        text_tower_name: of the prompts; None takes the checkpoint's.
        pretrained_on: names of the corpora behind the checkpoint, for the report.
        n_bootstrap: patient resamples behind every interval.
        batch_size: pages a step.
        seed: of the fresh weights.
        say: called with a sentence as each stage ends.

    Returns:
        Tables by task, and what each stage cost. Memory grows by the records' signals (48 kB for 10 s at 100 Hz) and
        features; pages are drawn and forgotten.

    Raises:
        EcgScanLabError: the data or the checkpoint cannot be read, or `out` cannot be written.
        LabelError: an unknown task, or no task that can be judged at all.

    Properties: a fraction or task that the records cannot answer is left out with a note, and the others are not;
    the same call gives the same figures.

    Example:
        >>> found = evaluate_encoders("synthetic", n_records=60, tasks=["superclass"], fractions=[100], n_bootstrap=5)
        >>> [row.encoder for row in found.probes["superclass"].rows]
        ['random-init', 'raw pixels']
    """
    seconds: dict[str, float] = {}
    notes: list[str] = []
    with _stage("load", seconds, say):
        cohort = data if isinstance(data, Cohort) else load_cohort(data, n_records=n_records)
        model, facts = (None, {}) if checkpoint is None else load_model(Path(checkpoint))
    asked = _asked(cohort, tasks)
    with _stage("embed", seconds, say):
        features, table = _embed(cohort, model, checkpoint, facts, cache, batch_size, seed)
    probes: dict[str, ProbeTable] = {}
    for task in asked:
        with _stage(f"probe {task}", seconds, say):
            probed = probe_task(features, cohort, task, protocol, fractions, draws, n_bootstrap, notes)
        if probed is not None:
            probes[task] = probed
    if not probes:
        raise LabelError(
            f"none of {len(asked)} tasks can be judged: {notes[0] if notes else 'there are none'}", field="tasks",
            fix="use more records, or a corpus with labels and three splits",
        )  # fmt: skip
    shown: dict[str, ZeroShotResult] = {}
    if model is not None:
        with _stage("zero-shot", seconds, say):
            name = text_tower_name or facts.get("recipe", {}).get("text_tower", "auto")
            shown = _prompted(model, features[ENCODER], cohort, list(probes), name, n_bootstrap, notes)
    with _stage("report", seconds, say):
        beside = report(_measured(cohort, probes, shown, protocol, pretrained_on), out=out)
        if out is not None:
            write_features(Path(out) / "features.parquet", table)
    found = Evaluation(
        cohort.name, cohort.data_sha256, len(cohort), tuple(features), probes, shown, seconds, peak_memory_mb(),
        tuple(notes), table, beside,
    )  # fmt: skip
    if out is not None:
        write_json(Path(out) / "evaluation.json", found.as_dict())
    return found


def peak_memory_mb() -> float | None:
    """Highest resident memory of this process so far in MiB; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


@contextmanager
def _stage(name: str, seconds: dict[str, float], say: Callable[[str], object]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - started
    peak = peak_memory_mb()
    say(f"{name}: {seconds[name]:.1f} s" + ("" if peak is None else f", peak memory so far {peak:,.0f} MB"))


def _asked(cohort: Cohort, tasks: Sequence[str] | None) -> list[str]:
    unknown = [task for task in tasks or () if task not in cohort.tasks]
    if unknown:
        raise LabelError(f"no task {unknown[0]!r}", field="tasks", expected=f"some of {', '.join(cohort.tasks)}")
    return list(cohort.tasks if tasks is None else tasks)


def _embed(
    cohort: Cohort,
    model: EcgScanModel | None,
    checkpoint: str | PathLike[str] | None,
    facts: Mapping[str, Any],
    cache: str | PathLike[str] | None,
    batch_size: int,
    seed: int,
) -> tuple[dict[str, np.ndarray], FeatureTable]:
    """Features by encoder, and the first encoder's as a table that `ecgscan-lab probe` reads."""
    tower: nn.Module = TinyImageTower() if model is None else model.tower
    towers = {} if model is None else {ENCODER: tower}
    together = SideBySide({**towers, RANDOM: fresh_weights(tower, seed)})
    table = embed_images(cohort, together, record_page=recipe_page(None, facts), batch_size=batch_size, cache=cache)
    features = {name: np.ascontiguousarray(table.features[:, part]) for name, part in together.parts.items()}
    first: nn.Module = together.towers[0] if model is None else model
    provenance = {
        **table.provenance,
        "weights_sha256": weights_sha256(first.cpu().eval()),
        "checkpoint": None if checkpoint is None else Path(checkpoint).name,
    }
    return features, FeatureTable(table.ids, next(iter(features.values())), provenance, table.info)


def probe_task(
    features: Mapping[str, np.ndarray],
    cohort: Cohort,
    task: str,
    protocol: Protocol,
    fractions: Sequence[float],
    draws: int,
    n_bootstrap: int,
    notes: list[str],
    positions: np.ndarray | None = None,
) -> ProbeTable | None:
    """Probe encoders on one task; a fraction that its records cannot answer is left out and noted.

    Args:
        features: encoder -> `[n, dim]`, of the records at `positions`.
        cohort, task, protocol, fractions, draws, n_bootstrap: as in `evaluate_encoders`.
        notes: a sentence about each fraction that is left out is added here.
        positions: int `[n]`; None is the whole cohort.

    Returns:
        The table, rows in the order of `features`; None when no fraction could be answered.
    """
    positions = np.arange(len(cohort)) if positions is None else positions
    some = np.flatnonzero(np.isin(positions, labelled(cohort, task)))
    rows = positions[some]
    split = np.array([record.split for record in cohort.records])[rows]
    judged: list[ProbeTable] = []
    for percent in fractions:
        try:
            judged.append(
                probe_fractions(
                    {name: x[some] for name, x in features.items()}, cohort.targets(task)[rows], split,
                    cohort.patients[rows], protocol=protocol, fractions=[percent], seeds=draws,
                    class_names=cohort.tasks[task], n_bootstrap=n_bootstrap,
                )
            )  # fmt: skip
        except (LabelError, SplitError) as error:
            notes.append(f"{task} at {percent:g} % of labels is left out: {error.what}")
    if not judged:
        return None
    found: list[FractionRow] = [row for table in judged for row in table.rows]
    found.sort(key=lambda row: list(features).index(row.encoder))
    return ProbeTable(protocol, tuple(found), judged[0].n_val, judged[0].n_test)


def _prompted(
    model: EcgScanModel,
    features: np.ndarray,
    cohort: Cohort,
    tasks: Sequence[str],
    name: str,
    n_bootstrap: int,
    notes: list[str],
) -> dict[str, ZeroShotResult]:
    """Zero-shot from the tower's features, projected into the shared space; what cannot be is noted."""
    model = model.cpu().eval()
    try:
        tower = text_tower(name)
    except EcgScanLabError as error:
        notes.append(f"no zero-shot: {error.what}")
        return {}
    shared = model.project_images(features)
    found: dict[str, ZeroShotResult] = {}
    for task in tasks:
        rows = np.intersect1d(labelled(cohort, task), cohort.indices("test"))
        classes = cohort.tasks[task]
        try:
            try:
                prompts = builtin_prompts(task, classes)
            except EcgScanLabError:
                prompts = class_prompts(classes, cohort.descriptions)
            found[task] = judge_prompts(
                shared[rows], model, tower, prompts, cohort.targets(task)[rows], cohort.patients[rows],
                n_bootstrap=n_bootstrap,
            )  # fmt: skip
        except EcgScanLabError as error:
            notes.append(f"no zero-shot on {task}: {error.what}")
    return found


def _measured(
    cohort: Cohort,
    probes: Mapping[str, ProbeTable],
    shown: Mapping[str, ZeroShotResult],
    protocol: str,
    pretrained_on: Sequence[str],
) -> list[Measured]:
    """Every figure as the report wants it; a fraction of no whole percent has no line there."""
    duration_s = cohort.n_samples / cohort.fs_hz
    found: list[Measured] = []
    for task, table in probes.items():
        for row in table.rows:
            if not row.percent.is_integer():
                continue
            figures = {
                "macro_auroc": row.macro_auroc, "ci95": row.ci95, "n_train": row.n_train[1], "n_test": table.n_test,
            }  # fmt: skip
            corpora = tuple(pretrained_on) if row.encoder == ENCODER else ()
            measured = measured_from(
                {task: {row.encoder: figures}}, task="linear_probe", cohort=cohort.name, fraction=int(row.percent),
                protocol=protocol, pretrained_on=corpora, duration_s=duration_s,
            )  # fmt: skip
            # The interval is of the honest figure, so it does not belong to one that test has chosen.
            found += [replace(m, ci95=None) if row.selected_on == "test" else m for m in measured]
    for task, result in shown.items():
        found += measured_from(
            {task: {ENCODER: result}}, task="zero_shot", cohort=cohort.name, protocol="builtin",
            pretrained_on=tuple(pretrained_on), duration_s=duration_s,
        )  # fmt: skip
    return found
