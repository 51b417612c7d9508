"""What a replication asks besides probes and prompts: retrieval, reconstruction, photographs, and digitising."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.batch import FrozenFeatures, PagePlan
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.encoders.signal_features import SignalTower, encode_signals
from ecgscan_lab.errors import LabelError
from ecgscan_lab.evaluate.judgement import labelled
from ecgscan_lab.evaluate.paired import probe_difference
from ecgscan_lab.evaluate.probe_table import ProbeTable
from ecgscan_lab.evaluate.prompt_judgement import retrieval_table
from ecgscan_lab.evaluate.reconstruction import SPANS, reconstruction_error
from ecgscan_lab.evaluate.robustness import Condition, conditions, embed_condition, robustness
from ecgscan_lab.render.reading.drawn import read_drawn_pages
from ecgscan_lab.render.segments import visible_samples
from ecgscan_lab.train.precision import pick_device
from ecgscan_lab.types import Cohort
from ecgscan_lab.whole_files import write_whole

Say = Callable[[str], object]
_AT_ONCE = 512


def judge_retrieval(
    model: EcgScanModel, cohort: Cohort, frozen: FrozenFeatures, features: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Reports and signals found by test pages, and the other way round.

    Args:
        model: its projections.
        cohort, frozen: as for training.
        features: the tower's, of every record `[record, dim]`.

    Returns:
        "image_text" and, where sizes allow, "image_signal": recall in percent, median ranks, and how many pairs.
    """
    model = model.cpu().eval()
    shared = model.project_images(features)
    found = retrieval_table(model, cohort, frozen, image_embeddings=shared)
    return {name.replace("-", "_"): result.as_dict() for name, result in found.items()}


def judge_reconstruction(model: EcgScanModel, cohort: Cohort, plan: PagePlan) -> dict[str, dict[str, float | None]]:
    """How close the decoder comes to the recorded leads of the test records, seen and not seen on the page.

    Returns:
        "all", "visible", "hidden" -> median RMSE in mV, r and SNR in dB over the twelve leads together; empty for a
        model without decoder. What is undefined is None.
    """
    if model.decoder is None:
        return {}
    test = cohort.indices("test")
    model = model.to(pick_device()).eval()
    clean = Condition("clean", "clean", 0.0, plan.plain())
    drawn = embed_condition(model.reconstruct, cohort, test, clean, seed=0)
    model.cpu()
    shown = visible_samples(plan.spec, cohort.fs_hz, cohort.n_samples)
    table = reconstruction_error(cohort.read_signals_mv(test), drawn, shown).query("lead == 'all leads'")
    figures = table.set_index("span")[["rmse_mv", "pearson_r", "snr_db"]]
    return {
        span: {name: float(value) if math.isfinite(value) else None for name, value in figures.loc[span].items()}
        for span in SPANS
    }


def judge_photographs(
    model: EcgScanModel,
    cohort: Cohort,
    plan: PagePlan,
    features: np.ndarray,
    *,
    task: str = "superclass",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """A probe fitted on clean pages, judged on test pages that were photographed (preset `photo`, full strength).

    Returns:
        AUROC in percent with its interval, the same of the clean pages, and the points lost with their paired interval.
    """
    wanted = conditions(plan, presets=["photo"], strengths=[1.0], layouts={}, resolutions=[])
    tower: Any = model.tower.eval()
    points = robustness(
        tower, cohort, task, plan, wanted, n_bootstrap=n_bootstrap, seed=seed, clean_features=features
    ).points  # fmt: skip
    model.cpu()
    clean, photo = points
    return {
        "task": task,
        "macro_auroc": photo.macro_auroc,
        "ci95": list(photo.ci95),
        "clean": {"macro_auroc": clean.macro_auroc, "ci95": list(clean.ci95)},
        "lost": photo.lost,
        "lost_ci95": list(photo.lost_ci95),
    }


def digitised_features(
    tower: SignalTower, cohort: Cohort, plan: PagePlan, n_test: int, say: Say = lambda line: None
) -> tuple[np.ndarray, np.ndarray]:
    """Features that the signal tower makes of what can be read back from pages.

    Test pages are drawn, then digitised from their pixels. Training and validation records get what the page shows of
    their signal, as a digitiser without error would read it: it spares an hour, and flatters this rival, if anybody.

    Args:
        tower: the frozen signal teacher.
        cohort: the records.
        plan: the encoder's pages; digitised at the encoder's own size in pixels.
        n_test: test records to digitise, evenly spaced; the others are left out.
        say: told how far it is.

    Returns:
        Positions of the records `[n]`, and float32 `[n, dim]`.
    """
    shown = visible_samples(plan.spec, cohort.fs_hz, cohort.n_samples)
    test = cohort.indices("test")
    test = test[np.unique(np.linspace(0, len(test) - 1, min(n_test, len(test))).round().astype(int))]
    kept = np.concatenate([cohort.indices("train"), cohort.indices("val")])
    parts = []
    for start in range(0, len(kept), _AT_ONCE):
        signals_mv = np.where(shown, cohort.read_signals_mv(kept[start : start + _AT_ONCE]), np.nan)
        parts.append(encode_signals(tower, signals_mv.astype(np.float32), cohort.fs_hz))
    read = np.full((len(test), *shown.shape), np.nan, dtype=np.float32)
    with closing(read_drawn_pages([cohort.records[i] for i in test], plan.spec, plan.size)) as pages:
        for done, (k, signal_mv) in enumerate(pages, start=1):
            n = min(signal_mv.shape[1], shown.shape[1])
            read[k, :, :n] = signal_mv[:, :n]
            if done % 50 == 0:
                say(f"{done:,} of {len(test):,} pages digitised")
    parts.append(encode_signals(tower, read, cohort.fs_hz))
    return np.concatenate([kept, test]), np.concatenate(parts)


def write_scores(path: Path, tables: Mapping[str, ProbeTable], encoder: str, cohort: Cohort) -> Path:
    """Keep what an encoder's probes said of each test record, so that another encoder can be set beside it later.

    Args:
        path: the `.npz` file to write: "TASK" positions in the cohort `[record]`, "TASK PERCENT" scores
            `[draw, record, class]`.
        tables: task -> its table, probed on the whole cohort.
        encoder: whose rows.
        cohort: the records.
    """
    kept: dict[str, Any] = {}
    for task, table in tables.items():
        rows = [row for row in table.rows if row.encoder == encoder]
        kept[task] = labelled(cohort, task)[rows[0].draws[0].test_index]
        kept |= {f"{task} {row.percent:g}": np.stack([draw.scores for draw in row.draws]) for row in rows}
    content = BytesIO()
    np.savez_compressed(content, **kept)
    write_whole(path, content.getvalue())
    return path


def difference_to(
    scores: Path, table: ProbeTable, task: str, cohort: Cohort, positions: np.ndarray, n_bootstrap: int
) -> dict[str, dict[str, Any]]:
    """The encoder whose scores were kept minus the one of a table, on the test records that the table was judged on.

    Args:
        scores: a file of `write_scores`.
        table: one encoder's, probed on `positions`.
        task: which task.
        cohort: the records.
        positions: of the records that the table was probed on, in that order `[n]`.
        n_bootstrap: patient resamples.

    Returns:
        Percent -> mean difference in points and its interval, see `evaluate.probe_difference`; what cannot be judged
        is left out.
    """
    asked = positions[np.isin(positions, labelled(cohort, task))]
    found = {}
    with np.load(scores, allow_pickle=False) as kept:
        place = {int(position): k for k, position in enumerate(kept[task])}
        for row in (row for row in table.rows if f"{task} {row.percent:g}" in kept):
            first = row.draws[0]
            judged = asked[first.test_index]
            mine = kept[f"{task} {row.percent:g}"][:, [place[int(k)] for k in judged]]
            theirs = np.stack([draw.scores for draw in row.draws])
            try:
                d = probe_difference(first.targets, mine, theirs, cohort.patients[judged], n_bootstrap=n_bootstrap)
            except LabelError:  # no label that both were fitted on
                continue
            found[f"{row.percent:g}"] = {"points": d.difference, "ci95": [d.low, d.high]}
    return found
