"""A photograph of a paper ECG in; leads, an embedding and zero-shot findings out, with what cannot be told.

Not for clinical use: nothing here has been validated on patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ecgscan_lab.data.prompts import builtin_prompts
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.text import text_tower
from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.evaluate.conformal import Frequency, conformal_p, frequency_near, verdict_of
from ecgscan_lab.evaluate.embedding import recipe_page
from ecgscan_lab.evaluate.picture_files import decode_picture, read_file
from ecgscan_lab.evaluate.zero_shot import class_embeddings
from ecgscan_lab.leads.diagnosis import LeadDiagnosis
from ecgscan_lab.leads.doctor import diagnose_leads
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.photograph import PageFit, fit_page
from ecgscan_lab.render.reading.photographed import PaperRead, read_photograph
from ecgscan_lab.render.renderer import draw_pages
from ecgscan_lab.train.loop import load_model
from ecgscan_lab.train.shipped import shipped_checkpoint
from ecgscan_lab.types import Cohort

DOUBTFUL = 0.5
"""Confidence of a page fit below which its leads are not judged."""

NEIGHBOURS = 5
READING_NOISE_MV = 0.03
"""Spread of the errors that a view adds to the leads read: about the width of a pen."""

_NORMAL = "NORM"
_NOT_SHOWN = ", those that the page does not show"
_CLINICAL = "Not for clinical use: nothing here has been validated on patients."


class Finding(NamedTuple):
    """One zero-shot finding of a page.

    `low` to `high` are the 5th and 95th percentile of the score over the page's views, `p_absent` is how unusual the
    lowest of it is among pages without the finding, `frequency` how many reference pages of this score carried it.
    """

    name: str
    score: float
    low: float
    high: float
    p_absent: float
    frequency: Frequency
    verdict: str


@dataclass(frozen=True, eq=False)
class Reference:
    """Pages of known label that a new page is held to.

    Attributes:
        model: the encoder.
        page: what the model reads.
        classes: names of the findings, in the order of the columns.
        texts: float64 `[class, dim]`, the findings' unit vectors.
        embeddings: float64 `[page, dim]`, unit rows.
        labels: 0 or 1, `[page, class]`.
        name: where the pages come from.
    """

    model: Any = field(repr=False)
    page: PageSpec = field(repr=False)
    classes: tuple[str, ...]
    texts: np.ndarray = field(repr=False)
    embeddings: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    name: str

    def embed(self, leads_mv: np.ndarray, fs_hz: float = 100.0) -> np.ndarray:
        """Unit embeddings `[n, dim]` of recordings `[n, 12, time]` in mV, drawn clean as the model's own page."""
        found = self._see(leads_mv, fs_hz, self.model.image_embeddings).astype(np.float64)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))

    def complete(self, leads_mv: np.ndarray, fs_hz: float = 100.0) -> np.ndarray:
        """Twelve whole leads as the model's decoder tells them from its own page, float32 `[n, 12, time]` in mV.

        Where the page shows a lead this is the decoder's drawing of it, elsewhere its guess from the other leads and
        the rhythm.

        Args:
            leads_mv: recordings `[n, 12, time]` in mV, NaN where nothing is known.
            fs_hz: their sampling rate; the result has the one that the model was trained at (here 100 Hz).

        Raises:
            ArgumentError: the model has no decoder.
        """
        return self._see(leads_mv, fs_hz, self.model.reconstruct)

    def _see(self, leads_mv: np.ndarray, fs_hz: float, ask: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        size, rows = tuple(self.model.tower.size), []
        for start in range(0, len(leads_mv), 32):
            some = leads_mv[start : start + 32].astype(np.float32)
            pages = draw_pages(some, fs_hz, self.page, size, channels_first=True)
            with torch.no_grad():
                rows.append(ask(torch.from_numpy(pages)).float().numpy())
        return np.concatenate(rows)

    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """`[n, class]`: cosine to a finding less the cosine to a normal ECG; for "NORM" less the best finding's."""
        cosines = embeddings @ self.texts.T
        normal = self.classes.index(_NORMAL)
        margins = cosines - cosines[:, [normal]]
        margins[:, normal] = -np.delete(margins, normal, axis=1).max(axis=1)
        return np.asarray(margins)

    def p_familiar(self, embedding: np.ndarray) -> float:
        """How ordinary a page looks: conformal p of its distance to half of the reference, among the other half's."""
        catalogue, others = self.embeddings[::2], self.embeddings[1::2]
        near = [np.sort(1.0 - rows @ catalogue.T, axis=1)[:, :NEIGHBOURS].mean(1) for rows in (embedding[None], others)]
        return conformal_p(float(near[0][0]), near[1])


@dataclass(frozen=True, eq=False)
class PaperReading:
    """Everything that was read off one photograph.

    Attributes:
        pixels: the picture.
        fit: where the page lies on it.
        read: the twelve leads in mV, NaN where the page shows nothing.
        diagnosis: what the lead doctor says of them.
        embedding: float64 `[dim]`, unit length, of the leads drawn as the model's own page.
        findings: one a class.
        p_familiar: how ordinary the page looks among the reference.
        p_normal: how unusual its most abnormal score is among normal reference pages.
        warnings: what limits the rest, in plain words.
    """

    pixels: np.ndarray = field(repr=False)
    fit: PageFit = field(repr=False)
    read: PaperRead = field(repr=False)
    diagnosis: LeadDiagnosis = field(repr=False)
    embedding: np.ndarray = field(repr=False)
    findings: tuple[Finding, ...]
    p_familiar: float
    p_normal: float
    warnings: tuple[str, ...]

    @property
    def leads_mv(self) -> np.ndarray:
        """float32 `[12, time]` in millivolts."""
        return self.read.leads_mv

    def rows(self) -> list[dict[str, Any]]:
        """The findings as plain rows of a table."""
        return [
            {
                "finding": f.name, "score": round(f.score, 3), "views": f"{f.low:.3f} to {f.high:.3f}",
                "p if absent": round(f.p_absent, 3), "reference pages like it": f"{100 * f.frequency.share:.0f} % "
                f"[{100 * f.frequency.low:.0f}, {100 * f.frequency.high:.0f}]", "verdict": f.verdict,
            }
            for f in self.findings
        ]  # fmt: skip

    def __str__(self) -> str:
        said = [
            f"  {f.name}: {f.verdict} (score {f.score:.3f}, views {f.low:.3f} to {f.high:.3f}, p {f.p_absent:.3f})"
            for f in self.findings
        ]
        ink = np.mean(list(self.read.share_read.values()))
        seen = [
            f"  like the reference: p {self.p_familiar:.3f}; like its normal pages: p {self.p_normal:.3f}",
            f"  page: confidence {self.fit.confidence:.2f} of 1, ink in {100 * ink:.0f} % of the places of its leads",
            f"  lead doctor: {self.diagnosis.verdict}",
            *(f"    {f.severity}: {f.sentence}{_NOT_SHOWN * (f.kind == 'gap')}" for f in self.diagnosis.findings),
        ]
        warned = [f"  warning: {text}" for text in self.warnings if text != _CLINICAL]
        return "\n".join([_CLINICAL, *said, *seen, *warned])


def reference_pages(
    checkpoint: str | PathLike[str] | None = None,
    cohort: Cohort | None = None,
    *,
    n_records: int = 400,
    seed: int = 1000,
    task: str = "superclass",
    indices: np.ndarray | None = None,
) -> Reference:
    """Embed pages of known label, to hold a photograph to.

    Args:
        checkpoint: a checkpoint of `pretrain`; None takes the shipped one.
        cohort: the records; best ones that resemble the photograph's patients and that the model was not trained on.
            None draws synthetic ones, which say nothing about real patients.
        n_records, seed: of the synthetic ones.
        task: label set, with "NORM" among its classes.
        indices: which records of the cohort; all when None. Those without a label of the task are left out.

    Raises:
        ArgumentError: the task has no class "NORM".
        LabelError: the cohort has no such task.
    """
    model, facts = load_model(shipped_checkpoint() if checkpoint is None else Path(checkpoint))
    model = model.cpu().eval()
    chosen = synthetic_cohort(n_records, seed) if cohort is None else cohort
    labels = chosen.targets(task)
    classes = chosen.tasks[task]
    if _NORMAL not in classes:
        raise ArgumentError(f"the task {task!r} has no normal ECG", field="task", expected="a task with the class NORM")
    tower = text_tower(facts.get("recipe", {}).get("text_tower", "auto"))
    prompts = builtin_prompts(task, classes)
    texts = class_embeddings(prompts, lambda said: model.project_texts(tower.encode_text(said)))
    bare = Reference(model, recipe_page(None, facts), tuple(classes), texts, texts, labels, chosen.name)
    rows = np.arange(len(chosen)) if indices is None else indices
    labelled = rows[labels[rows].any(axis=1)]
    embedded = bare.embed(chosen.read_signals_mv(labelled), chosen.fs_hz)
    return Reference(model, bare.page, bare.classes, texts, embedded, labels[labelled], chosen.name)


def views_of(read: PaperRead, n: int = 16, seed: int = 0) -> np.ndarray:
    """The leads as other readings of the page might have given them, float32 `[n, 12, time]`; the first is as read.

    Each view has other errors of every lead, of the size that a photograph leaves in doubt: 2 % of gain, and
    `READING_NOISE_MV` of zero line and of noise.
    """
    rng = np.random.default_rng(seed)
    views = np.repeat(read.leads_mv[None].astype(np.float64), n, axis=0)
    views[1:] *= 1 + 0.02 * rng.normal(size=(n - 1, 12, 1))
    views[1:] += READING_NOISE_MV * rng.normal(size=(n - 1, 12, 1))
    views[1:] += READING_NOISE_MV * rng.normal(size=views[1:].shape)
    return views.astype(np.float32)


def judge_leads(
    read: PaperRead, reference: Reference, *, alpha: float = 0.1, n_views: int = 16, seed: int = 0
) -> tuple[np.ndarray, tuple[Finding, ...], float, float]:
    """Embedding, findings, p of looking ordinary and p of being normal, for leads read off a page.

    **Rule.** A page that looks like none of the reference (`p_familiar <= alpha`) is not judged at all. Else every
    finding has the verdict of `conformal.verdict_of`, over the 5th to 95th percentile of its views; but on a page whose
    most abnormal score is not unusual among normal ones (`p_normal > alpha`) an abnormal finding that would be "seen"
    cannot be told from normal.

    Properties: a normal page like those of the reference gets any abnormal finding "seen" in at most a share `alpha`.
    """
    if n_views < 2:
        raise ArgumentError(f"{n_views} views", field="n_views", expected="at least 2")
    embedded = reference.embed(views_of(read, n_views, seed), read.fs_hz)
    views, known = reference.scores(embedded), reference.scores(reference.embeddings)
    low, high = np.percentile(views, (5, 95), axis=0)
    low, high = np.minimum(low, views[0]), np.maximum(high, views[0])
    normal = reference.classes.index(_NORMAL)
    is_normal = (reference.labels[:, normal] == 1) & (reference.labels.sum(axis=1) == 1)
    p_normal = conformal_p(-high[normal], -known[is_normal, normal])
    p_familiar = reference.p_familiar(embedded[0])
    findings = []
    for c, name in enumerate(reference.classes):
        has = reference.labels[:, c] == 1
        verdict = "not judged"
        if has.any() and not has.all():
            verdict = verdict_of((low[c], high[c]), known[~has, c], known[has, c], alpha)
        if verdict == "seen" and c != normal and p_normal > alpha:
            verdict = "cannot be told from normal"
        if p_familiar <= alpha:
            verdict = "not judged"
        p_absent = conformal_p(low[c], known[~has, c]) if not has.all() else 1.0
        frequency = frequency_near(float(views[0, c]), known[:, c], has)
        findings.append(Finding(name, float(views[0, c]), float(low[c]), float(high[c]), p_absent, frequency, verdict))
    return embedded[0], tuple(findings), p_familiar, p_normal


def read_paper_ecg(
    picture: np.ndarray | str | PathLike[str],
    checkpoint: str | PathLike[str] | None = None,
    *,
    reference: Reference | Callable[[], Reference] | None = None,
    page: PageSpec | None = None,
    fit: PageFit | None = None,
    alpha: float = 0.1,
    n_views: int = 16,
    seed: int = 0,
) -> PaperReading:
    """Read a photograph of a paper ECG: leads, embedding, zero-shot findings, and what cannot be told. No clinical use.

    Find the page, lay it flat, read the leads in millivolts, draw them again as the page that the model was trained on,
    embed that, and hold its scores to those of reference pages of known label.

    Args:
        picture: uint8 `[height, width, 3]` RGB, or a PNG, JPEG, TIFF or PDF file.
        checkpoint: a checkpoint of `pretrain`; None takes the shipped one.
        reference: from `reference_pages`, which is then not made anew; its model counts. A function that makes it is
            called once the page has been read: a picture without a page is refused before.
        page: what is printed, when known.
        fit: from `fit_page` of this picture, which is then not looked for again; it may be corrected by hand, and says
            itself what is printed.
        alpha: how often a label may be ruled out wrongly.
        n_views, seed: readings behind the interval of a score.

    Raises:
        ArgumentError: both `page` and `fit` are given.
        PictureError: the file is no picture.
        PageError: no page is found on it.
        CheckpointError: the checkpoint is missing or damaged.
    """
    if page is not None and fit is not None:
        raise ArgumentError("page and fit both say what is printed", field="page", expected="one of them")
    pixels = picture if isinstance(picture, np.ndarray) else decode_picture(read_file(picture), picture)
    try:
        fit = fit_page(pixels, page) if fit is None else fit
    except PageError as error:
        if isinstance(picture, np.ndarray):
            raise
        raise PageError(error.what, file=picture, field=error.field, expected=error.expected, fix=error.fix) from error
    read = read_photograph(pixels, fit)
    diagnosis = diagnose_leads(read.leads_mv, fs_hz=read.fs_hz)
    held = reference_pages(checkpoint) if reference is None else reference() if callable(reference) else reference
    embedding, findings, p_familiar, p_normal = judge_leads(read, held, alpha=alpha, n_views=n_views, seed=seed)
    warnings = [_CLINICAL, *fit.flags, *_doubts(read.share_read)]
    if fit.confidence < DOUBTFUL:
        warnings.append(
            f"the page is doubtful (confidence {fit.confidence:.2f}): nothing is judged. "
            "Photograph all of it again, flat, from above, in even light"
        )
        findings = tuple(f._replace(verdict="not judged") for f in findings)
    if p_familiar <= alpha:
        warnings.append(
            f"the page looks like none of the reference (p = {p_familiar:.3f}): nothing is judged. Name records of "
            "patients like this one (`--reference ptbxl:FOLDER` or `cohort:FOLDER`; in Python `reference_pages`), and "
            "see whether its leads were read well (`--leads FOLDER`)"
        )
    if held.name == "synthetic":
        warnings.append("the reference is synthetic: its promises do not hold for real patients")
    return PaperReading(pixels, fit, read, diagnosis, embedding, findings, p_familiar, p_normal, tuple(warnings))


def _doubts(share_read: dict[str, float]) -> Sequence[str]:
    return [f"{name}: ink in {100 * share:.0f} % of its place" for name, share in share_read.items() if share < 0.9]
