"""What a machine prints around the traces: an invented identity, measurements and interpretations, all marked as such.

Nothing here looks at a record: measurements and interpretations are drawn at random, so that a page never gives its
labels away in print, and an encoder learns to leave the print alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecgscan_lab.render.page import Note, PageSpec

INTERPRETATIONS = (
    "Sinus rhythm",
    "Sinus bradycardia",
    "Sinus tachycardia",
    "Atrial fibrillation",
    "Left axis deviation",
    "Right bundle branch block",
    "Left ventricular hypertrophy",
    "Nonspecific T wave abnormality",
    "First degree AV block",
    "Premature ventricular complexes",
    "Otherwise normal ECG",
    "Normal ECG",
    "Abnormal ECG",
    "Borderline ECG",
)

MARK = "SYNTHETIC"


def synthetic_identity(rng: np.random.Generator) -> tuple[str, ...]:
    """Lines that stand where a machine prints who was recorded; every one says that it is invented.

    Example:
        >>> synthetic_identity(np.random.default_rng(0))[0]
        'Name: SYNTHETIC PERSON'
    """
    return (
        f"Name: {MARK} PERSON",
        f"ID: {MARK}-{rng.integers(10**6):06d}",
        f"{rng.integers(18, 95)} yr   {('male', 'female')[int(rng.integers(2))]}   ({MARK.lower()})",
    )


def synthetic_measurements(rng: np.random.Generator) -> tuple[str, ...]:
    """Lines of random measurements in the usual order and units; they are not the record's.

    Example:
        >>> len(synthetic_measurements(np.random.default_rng(0)))
        4
    """
    rate, pr, qrs, qt = (int(rng.integers(*span)) for span in ((45, 130), (110, 230), (76, 160), (320, 480)))
    axes = [int(rng.integers(*span)) for span in ((-20, 90), (-60, 110), (-30, 120))]
    return (
        f"Vent. rate   {rate} bpm   ({MARK.lower()})",
        f"PR interval  {pr} ms",
        f"QRS duration {qrs} ms   QT {qt} ms",
        f"P-R-T axes   {axes[0]}  {axes[1]}  {axes[2]}",
    )


def synthetic_interpretation(rng: np.random.Generator) -> tuple[str, ...]:
    """Lines of random statements under a heading that says so.

    Example:
        >>> synthetic_interpretation(np.random.default_rng(0))[0]
        'SYNTHETIC INTERPRETATION'
    """
    chosen = rng.choice(len(INTERPRETATIONS), size=int(rng.integers(1, 4)), replace=False)
    return (f"{MARK} INTERPRETATION", *(INTERPRETATIONS[int(i)] for i in chosen))


def with_lettering(page: PageSpec, rng: np.random.Generator) -> PageSpec:
    """The same page with identity, measurements and interpretation printed above the traces, as far as they fit.

    Args:
        page: the page; its own notes are kept.
        rng: source of every invented word and number.

    Returns:
        A page with up to three blocks of `Note`s in the space that `top_mm` leaves free.

    Properties: same generator state, same print; nothing reaches into the first row.

    Example:
        >>> notes = with_lettering(PageSpec(), np.random.default_rng(0)).notes
        >>> notes[0].text, len({note.x_mm for note in notes})
        ('Name: SYNTHETIC PERSON', 3)
    """
    blocks = (synthetic_identity(rng), synthetic_measurements(rng), synthetic_interpretation(rng))
    size_mm = page.header_mm * rng.uniform(0.9, 1.1)
    step_mm, first_mm = 1.35 * size_mm, 4.0
    if page.header is not None:
        first_mm += step_mm * (page.header.count("\n") + 1)
    lowest_mm = page.baselines_mm[0] - max(page.pitch_mm / 2, 1.1 * page.gain_mm_per_mv)
    notes = []
    for block, share in zip(blocks, (0.02, 0.36, 0.7), strict=True):
        for line, text in enumerate(block):
            y_mm = first_mm + line * step_mm
            if y_mm + size_mm < lowest_mm:
                notes.append(Note(text, page.width_mm * share, y_mm, size_mm, page.font))
    return replace(page, notes=(*page.notes, *notes))
