"""Which leads and beats of a page moved a decision: draw the page again without them, and look at the score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_pages
from ecgscan_lab.types import EcgRecord

Score = Callable[[torch.Tensor], torch.Tensor]
Span = tuple[float, float]
_EVEN_S = 0.8  # a span where nobody has marked the beats: 75 beats a minute


def beat_spans(record: EcgRecord) -> list[Span]:
    """(start, end) of each beat in seconds, from midway before its R peak to midway after it; they tile the recording.

    Where the peaks are not known (only synthetic records know them), even spans of 0.8 s.

    Example:
        >>> record = EcgRecord("demo", np.zeros((12, 160), np.float32), 100.0)
        >>> beat_spans(record)
        [(0.0, 0.8), (0.8, 1.6)]
    """
    peaks = np.zeros(0) if record.truth is None else np.asarray(record.truth.r_peaks_s)
    peaks = peaks[(peaks > 0) & (peaks < record.duration_s)]
    inner = (peaks[1:] + peaks[:-1]) / 2 if len(peaks) > 1 else np.arange(_EVEN_S, record.duration_s - 1e-9, _EVEN_S)
    edges = [0.0, *(float(edge) for edge in inner), record.duration_s]
    return [(round(a, 6), round(b, 6)) for a, b in pairwise(edges)]


def occlusion(
    score: Score,
    record: EcgRecord,
    size: tuple[int, int],
    spans_s: Sequence[Span] | None = None,
    *,
    page: PageSpec | None = None,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """How far the score falls when a stretch of one lead is not drawn.

    **Equation**: S[l, s] = f(page) − f(page without lead l within span s). The grid stays: nothing is painted over.

    **Source**: occlusion after Zeiler and Fergus (2014), arXiv 1311.2901; *differences*: ink is left out before the
    page is drawn, in place of a grey square, so that the pictures remain ECG pages.

    Args:
        score: uint8 pages `[batch, 3, height, width]` -> `[batch]`, for instance the model's cosine to a prompt.
        record: the recording.
        size: (height, width) of the page in pixels.
        spans_s: (start, end) in seconds, for instance `beat_spans(record)`; None leaves out whole leads.
        page: the page; None is the plain compact one.
        batch_size: pages at a time.

    Returns:
        float64 `[12, span]`: positive where the ink spoke for the decision, negative where it spoke against it, exactly
        zero where the page shows nothing of it (same picture, same score).

    Raises:
        ArgumentError: a span is empty or outside the recording.

    **Properties**: zero for a score that does not look; only the lead that a score looks at has a number.
    """
    spans = [(0.0, record.duration_s)] if spans_s is None else [(float(a), float(b)) for a, b in spans_s]
    for a, b in spans:
        if not 0 <= a < b <= record.duration_s + 1e-9:
            raise ArgumentError(
                f"a span from {a:g} to {b:g} s", field="spans_s", expected=f"0 <= start < end <= {record.duration_s:g}"
            )
    pairs = [(lead, span) for lead in LEADS for span in spans]
    spec = PageSpec.compact() if page is None else page
    whole = record.signal_mv
    base_page = _draw([whole], record.fs_hz, spec, size)
    base = float(_scores(score, base_page)[0])
    drops = np.zeros(len(pairs))
    for start in range(0, len(pairs), batch_size):
        part = pairs[start : start + batch_size]
        pages = _draw([without(record, [lead], span).signal_mv for lead, span in part], record.fs_hz, spec, size)
        changed = (pages != base_page).reshape(len(pages), -1).any(axis=1)
        found = base - _scores(score, pages)
        # Batches of another size round differently: an unchanged page is said to be unchanged.
        drops[start : start + len(part)] = np.where(changed, found, 0.0)
    return drops.reshape(len(LEADS), len(spans))


def score_without(
    score: Score,
    record: EcgRecord,
    leads: Sequence[Sequence[str]],
    size: tuple[int, int],
    *,
    page: PageSpec | None = None,
) -> NDArray[np.float64]:
    """The score of a page that lacks several leads at once, for each choice of leads: whether single drops add up.

    Args:
        score, record, size, page: as in `occlusion`.
        leads: choices of leads to leave out; an empty one is the whole page.

    Returns:
        float64 `[choice]`.

    Raises:
        LeadError: an unknown lead.
    """
    spec = PageSpec.compact() if page is None else page
    signals = [without(record, chosen).signal_mv for chosen in leads]
    return _scores(score, _draw(signals, record.fs_hz, spec, size))


def without(record: EcgRecord, leads: Sequence[str], span_s: Span | None = None) -> EcgRecord:
    """The record with some leads not recorded, throughout or within a span of seconds.

    Raises:
        LeadError: an unknown lead.

    Example:
        >>> record = EcgRecord("demo", np.ones((12, 100), np.float32), 100.0)
        >>> int(np.isnan(without(record, ["V1"], (0.2, 0.5)).signal_mv).sum())
        30
    """
    unknown = [lead for lead in leads if lead not in LEADS]
    if unknown:
        raise LeadError(f"unknown leads {unknown}", field="leads", expected=f"some of {', '.join(LEADS)}")
    first, last = (0.0, record.duration_s) if span_s is None else span_s
    signal = np.array(record.signal_mv, dtype=np.float32)
    for lead in leads:
        signal[LEADS.index(lead), round(first * record.fs_hz) : round(last * record.fs_hz)] = np.nan
    return dataclasses.replace(record, signal_mv=signal)


def _draw(signals: Sequence[np.ndarray], fs_hz: float, page: PageSpec, size: tuple[int, int]) -> NDArray[np.uint8]:
    stacked = np.stack(signals)
    pictures: NDArray[np.uint8] = draw_pages(stacked, fs_hz, [page] * len(stacked), size, channels_first=True)
    return pictures


def _scores(score: Score, pages: NDArray[np.uint8]) -> NDArray[np.float64]:
    with torch.no_grad():
        found = score(torch.from_numpy(pages))
    values: NDArray[np.float64] = found.detach().double().cpu().numpy()
    if values.shape != (len(pages),):
        raise ArgumentError(f"scores of shape {values.shape}", field="score", expected=f"[{len(pages)}], one a page")
    return values
