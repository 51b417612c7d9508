"""Which lead stands where: the arrangements of twelve leads that printers use, as rows of lead names."""

from __future__ import annotations

from functools import lru_cache

from ecgscan_lab.leads import CHEST_LEADS, LIMB_LEADS

CABRERA_LIMB_LEADS = ("aVL", "I", "-aVR", "II", "aVF", "III")
"""Limb leads ordered by the angle at which they look at the heart, -30 to 120 degrees; aVR is drawn upside down."""

LAYOUTS: dict[str, tuple[int, int]] = {"3x4": (3, 4), "6x2": (6, 2), "12x1": (12, 1), "4x3": (4, 3)}
"""Name -> (rows, columns). Leads run down each column: limb leads first, then V1 to V6."""


@lru_cache(maxsize=16)
def lead_rows(layout: str, cabrera: bool = False) -> tuple[tuple[str, ...], ...]:
    """Arrange the twelve leads in rows.

    Args:
        layout: a name in `LAYOUTS`.
        cabrera: order the limb leads as Cabrera does; "-aVR" stands for aVR with its sign turned.

    Returns:
        Rows from the top, each a tuple of lead names from the left.

    Example:
        >>> lead_rows("3x4")
        (('I', 'aVR', 'V1', 'V4'), ('II', 'aVL', 'V2', 'V5'), ('III', 'aVF', 'V3', 'V6'))
        >>> lead_rows("6x2", cabrera=True)[2]
        ('-aVR', 'V3')
    """
    rows, _ = LAYOUTS[layout]
    leads = (*(CABRERA_LIMB_LEADS if cabrera else LIMB_LEADS), *CHEST_LEADS)
    return tuple(leads[row::rows] for row in range(rows))
