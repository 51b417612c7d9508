"""Data: files and tables in, checked records out."""

from __future__ import annotations

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import Cohort

__all__ = ["load_cohort"]

DEFAULT_SYNTHETIC_RECORDS = 2000


def load_cohort(
    source: str,
    *,
    n_records: int | None = None,
    seed: int = 0,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    max_bad_share: float = 0.05,
    progress: bool = False,
) -> Cohort:
    """Load a cohort by one word or one address, as notebooks and the command line do.

    Args:
        source: "synthetic" (made here, no files), "ptbxl:FOLDER" (the official layout), or "cohort:FOLDER" (a folder of
            one's own with a `cohort.csv`, see `cohort.load_folder`).
        n_records: about this many records; None takes 2000 synthetic ones, or all of a folder.
        seed: seed of synthetic records, of a drawn subset, and of drawn splits.
        fs_hz: rate of every record in hertz.
        duration_s: length of every record in seconds.
        max_bad_share: the share of unreadable records at which loading stops.
        progress: show a progress bar while reading files.

    Returns:
        Records with patient-disjoint splits and named tasks.

    Raises:
        ArgumentError: the source is unknown.
        EcgScanLabError: as `synthetic_cohort`, `load_ptbxl` and `load_folder` do.

    Example:
        >>> cohort = load_cohort("synthetic", n_records=40, seed=0)
        >>> cohort.name, cohort.signals_mv.shape
        ('synthetic', (40, 12, 1000))
    """
    kind, _, folder = source.partition(":") if isinstance(source, str) else ("", "", "")
    if source == "synthetic":
        from ecgscan_lab.data.synthetic import synthetic_cohort

        n = DEFAULT_SYNTHETIC_RECORDS if n_records is None else n_records
        return synthetic_cohort(n, seed=seed, fs_hz=fs_hz, duration_s=duration_s)
    if kind not in ("ptbxl", "cohort") or not folder:
        raise ArgumentError(
            f"unknown source {source!r}",
            field="source",
            expected='"synthetic", "ptbxl:FOLDER" or "cohort:FOLDER"',
            fix="write the folder after a colon, for instance ptbxl:data/ptb-xl",
        )
    from ecgscan_lab.data.cohort import load_folder
    from ecgscan_lab.data.corpora import load_ptbxl

    load = load_ptbxl if kind == "ptbxl" else load_folder
    return load(
        folder,
        fs_hz=fs_hz,
        duration_s=duration_s,
        n_records=n_records,
        seed=seed,
        max_bad_share=max_bad_share,
        progress=progress,
    )
