"""Data: files and tables in, checked records out."""

from __future__ import annotations

import importlib
import re

from ecgscan_lab.errors import ArgumentError, nearest_name
from ecgscan_lab.types import Cohort

__all__ = ["FOLDER_KINDS", "known_sources", "load_cohort", "synthetic_count"]

DEFAULT_SYNTHETIC_RECORDS = 2000

# Kind of a source -> module and function that load its folder. The one list of kinds: the command line reads it too.
FOLDER_KINDS = {
    "ptbxl": ("ecgscan_lab.data.corpora", "load_ptbxl"),
    "cohort": ("ecgscan_lab.data.cohort", "load_folder"),
    "mimic": ("ecgscan_lab.data.mimic", "load_mimic"),
    "cpsc2018": ("ecgscan_lab.data.cpsc", "load_cpsc"),
    "csn": ("ecgscan_lab.data.csn", "load_csn"),
    "code_test": ("ecgscan_lab.data.code", "load_code_test"),
    "code15": ("ecgscan_lab.data.code", "load_code15"),
    "georgia": ("ecgscan_lab.data.georgia", "load_georgia"),
    "ludb": ("ecgscan_lab.data.ludb", "load_ludb"),
    "sph": ("ecgscan_lab.data.sph", "load_sph"),
    "store": ("ecgscan_lab.data.store", "load_store"),
}


def known_sources() -> str:
    """All sources in words: "synthetic, ptbxl:FOLDER, cohort:FOLDER, ..."."""
    return ", ".join(["synthetic", "synthetic:N", *(f"{kind}:FOLDER" for kind in FOLDER_KINDS)])


def synthetic_count(source: object, n_records: int | None = None) -> int | None:
    """How many records "synthetic" or "synthetic:N" names; None for any other source.

    Args:
        source: what `load_cohort` takes.
        n_records: in place of the 2000 of "synthetic"; of "synthetic:N" at most N.

    Example:
        >>> synthetic_count("synthetic:120"), synthetic_count("synthetic"), synthetic_count("ptbxl:folder")
        (120, 2000, None)
    """
    kind, colon, count = source.partition(":") if isinstance(source, str) else ("", "", "")
    if kind != "synthetic" or (colon and not re.fullmatch("[1-9][0-9]{0,8}", count)):
        return None
    if not colon:
        return DEFAULT_SYNTHETIC_RECORDS if n_records is None else n_records
    return int(count) if n_records is None else min(int(count), n_records)


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
        source: "synthetic" or "synthetic:N" (made here, no files), "cohort:FOLDER" (a folder of one's own with a
            `cohort.csv`, see `cohort.load_folder`), or a corpus in its published layout: "ptbxl:FOLDER", "mimic:",
            "cpsc2018:", "csn:", "code_test:", "code15:", "georgia:", "ludb:" or "sph:", each with what its loader
            (`FOLDER_KINDS`) says; or "store:FOLDER", any of these as `store.build_store` has prepared it.
        n_records: about this many records; None takes 2000 synthetic ones ("synthetic:N": N), or all of a folder.
        seed: seed of synthetic records, of a drawn subset, and of drawn splits.
        fs_hz: rate of every record in hertz.
        duration_s: length of every record in seconds.
        max_bad_share: the share of unreadable records at which loading stops.
        progress: show a progress bar while reading files.

    Returns:
        Records with patient-disjoint splits and named tasks. CODE-test has the split "test" only, MIMIC-IV-ECG "train"
        and "val" and no tasks.

    Raises:
        ArgumentError: the source is unknown.
        EcgScanLabError: as `synthetic_cohort` and the loaders do.

    Example:
        >>> cohort = load_cohort("synthetic", n_records=40, seed=0)
        >>> cohort.name, cohort.signals_mv.shape
        ('synthetic', (40, 12, 1000))
    """
    kind, _, folder = source.partition(":") if isinstance(source, str) else ("", "", "")
    n = synthetic_count(source, n_records)
    if n is not None:
        from ecgscan_lab.data.synthetic import synthetic_cohort

        return synthetic_cohort(n, seed=seed, fs_hz=fs_hz, duration_s=duration_s)
    if kind not in FOLDER_KINDS or not folder:
        raise ArgumentError(
            f"unknown source {source!r}",
            field="source",
            expected=known_sources(),
            fix=(None if kind in FOLDER_KINDS else nearest_name(kind, ["synthetic", *FOLDER_KINDS]))
            or "write the folder after a colon, for instance ptbxl:data/ptb-xl",
        )
    module, name = FOLDER_KINDS[kind]
    cohort: Cohort = getattr(importlib.import_module(module), name)(
        folder,
        fs_hz=fs_hz,
        duration_s=duration_s,
        n_records=n_records,
        seed=seed,
        max_bad_share=max_bad_share,
        progress=progress,
    )
    return cohort
