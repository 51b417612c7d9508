"""The figures of a comparison: what embeddings of one run are worth, and how much that depends on the test patients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ecgscan_lab.errors import EcgScanLabError
from ecgscan_lab.evaluate.geometry import alignment, effective_rank, modality_gap, uniformity
from ecgscan_lab.evaluate.intervals import bootstrap_macro_auroc
from ecgscan_lab.evaluate.linear_probe import linear_probe
from ecgscan_lab.evaluate.paired import bootstrap_average
from ecgscan_lab.evaluate.zero_shot import retrieval, zero_shot


class Metric(NamedTuple):
    """What a figure is called, which way is better (0: neither), and what it says."""

    label: str
    better: int
    meaning: str


FEW_LABELS = "few_label_auroc"  # the one figure that not every comparison asks for
METRICS: dict[str, Metric] = {
    "text_recall_at_10": Metric("page finds report, recall@10 (%)", 1, "a report that reads the same is a hit"),
    "text_median_rank": Metric("page finds report, median rank", -1, "rank of the first hit among all test reports"),
    "signal_recall_at_10": Metric("page finds signal, recall@10 (%)", 1, "its own recording among all test recordings"),
    "signal_median_rank": Metric("page finds signal, median rank", -1, "rank of its own recording"),
    "probe_auroc": Metric("linear probe, AUROC (%)", 1, "labels fitted on frozen image features"),
    FEW_LABELS: Metric("linear probe with few labels, AUROC (%)", 1, "mean over draws of the labelled records"),
    "zero_shot_auroc": Metric("zero-shot, AUROC (%)", 1, "cosine to class prompts, no label fitted"),
    "alignment": Metric("alignment, page to report", 0, "mean squared distance of partners, 0 to 4"),
    "uniformity": Metric("uniformity of pages", 0, "lower is more spread, 0 is collapsed"),
    "modality_gap": Metric("modality gap, page to report", 0, "distance of the centres, 0 to 2"),
    "effective_rank": Metric("effective rank of pages", 0, "directions that the embeddings vary in"),
    "gradient_norm": Metric("gradient norm", 0, "median over the last fifth of the steps, before clipping"),
    "seconds_per_step": Metric("seconds a step", -1, "median, on the machine that ran it"),
}


@dataclass(frozen=True, eq=False)
class Cases:
    """What is judged: labels, splits, patients and texts of all records.

    Attributes:
        targets: 0 or 1, `[record, class]`; a record with no label of the task is left out of both AUROCs.
        split: "train", "val" or "test" `[record]`.
        patients: patient of each record `[record]`.
        text_ids: equal for equal texts `[record]`.
        fixed: whether every seed is judged on the same test patients; else seeds cover that luck, too.
        few_labels: percent of the training labels that a second probe is fitted on; None fits none.
        label_draws: draws of those labelled records, the same ones for every run.
    """

    targets: np.ndarray
    split: np.ndarray
    patients: np.ndarray
    text_ids: np.ndarray
    fixed: bool = True
    few_labels: float | None = None
    label_draws: int = 5


@dataclass(frozen=True, eq=False)
class Embedded:
    """All records in the shared space `[record, dim]`, the classes `[class, dim]`, and what the probe is fitted on."""

    image: np.ndarray
    text: np.ndarray
    signal: np.ndarray
    classes: np.ndarray
    probed: np.ndarray


@dataclass(frozen=True, eq=False)
class Judgement:
    """Figures by name, and for some of them their values on resamples of the test patients `[resample]`."""

    metrics: dict[str, float]
    draws: dict[str, np.ndarray] = field(default_factory=dict)


def judge(embedded: Embedded, cases: Cases, n_bootstrap: int) -> Judgement:
    """Retrieval, probe, zero-shot and geometry of one run; a figure that cannot be computed is NaN.

    Args:
        embedded: all records in the shared space.
        cases: their labels, splits, patients and texts.
        n_bootstrap: resamples of the test patients, the same ones for every run.

    Returns:
        Every entry of `METRICS` but the two that training itself gives, and the probe with few labels only where
        `cases` asks for it. Resampled are retrieval and the AUROCs; geometry is that of the embedding as it is.
    """
    test = np.flatnonzero(cases.split == "test")
    n_bootstrap = n_bootstrap if cases.fixed else 1
    metrics, draws = _retrieved(embedded, cases, test, n_bootstrap)
    aurocs = {
        "probe_auroc": _probed(embedded, cases, n_bootstrap),
        "zero_shot_auroc": _zero_shot(embedded, cases, test, n_bootstrap),
    }
    if cases.few_labels is not None:
        drawn = [_probed(embedded, cases, n_bootstrap, cases.few_labels / 100.0, i) for i in range(cases.label_draws)]
        known = [one for _, one in drawn if one is not None]
        # A draw without a label that varies is no draw: then the figure is not known, rather than that of the others.
        whole = np.mean(known, axis=0) if len(known) == len(drawn) else None
        aurocs[FEW_LABELS] = float(np.mean([value for value, _ in drawn])), whole
    for name, (value, resampled) in aurocs.items():
        metrics[name] = value
        if resampled is not None:
            draws[name] = resampled
    image, text = embedded.image[test], embedded.text[test]
    metrics |= {
        "alignment": alignment(image, text),
        "uniformity": uniformity(image),
        "modality_gap": modality_gap(image, text),
        "effective_rank": effective_rank(image),
    }
    return Judgement(metrics, draws if cases.fixed else {})


def _retrieved(
    embedded: Embedded, cases: Cases, test: np.ndarray, n_bootstrap: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    metrics: dict[str, float] = {}
    draws: dict[str, np.ndarray] = {}
    for partner, others, ids in (("text", embedded.text, cases.text_ids), ("signal", embedded.signal, None)):
        found = retrieval(embedded.image[test], others[test], text_ids=None if ids is None else ids[test])
        ranks, patients = found.ranks_image_to_other, cases.patients[test]
        recall, rank = f"{partner}_recall_at_10", f"{partner}_median_rank"
        metrics |= {recall: found.recall_image_to_other[10], rank: found.median_rank_image_to_other}
        draws[recall] = bootstrap_average(100.0 * (ranks <= 10), patients, n_bootstrap=n_bootstrap)
        draws[rank] = bootstrap_average(ranks, patients, kind="median", n_bootstrap=n_bootstrap)
    return metrics, draws


def _probed(
    embedded: Embedded, cases: Cases, n_bootstrap: int, fraction: float = 1.0, draw: int = 0
) -> tuple[float, np.ndarray | None]:
    rows = np.flatnonzero(cases.targets.any(axis=1))
    try:
        probe = linear_probe(
            embedded.probed[rows], cases.targets[rows], cases.split[rows], cases.patients[rows],
            label_fraction=fraction, fraction_seed=draw, n_bootstrap=1,
        )  # fmt: skip
        patients = cases.patients[rows][probe.test_index]
        draws = bootstrap_macro_auroc(probe.targets, probe.scores, patients, n_bootstrap=n_bootstrap)
    except EcgScanLabError:  # no label with both values, or a single patient
        return float("nan"), None
    return probe.macro_auroc, draws


def _zero_shot(embedded: Embedded, cases: Cases, test: np.ndarray, n_bootstrap: int) -> tuple[float, np.ndarray | None]:
    rows = test[cases.targets[test].any(axis=1)]
    try:
        result = zero_shot(
            embedded.image[rows], embedded.classes, cases.targets[rows], cases.patients[rows], n_bootstrap=1
        )
        draws = bootstrap_macro_auroc(result.targets, result.scores, cases.patients[rows], n_bootstrap=n_bootstrap)
    except EcgScanLabError:
        return float("nan"), None
    return result.macro_auroc, draws
