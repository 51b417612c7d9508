"""Georgia: 10,344 recordings of 5 to 10 s with SNOMED CT codes, and any other folder of PhysioNet/CinC 2021 headers.

E. A. Perez Alday et al. (2020), "Classification of 12-lead ECGs: the PhysioNet/Computing in Cardiology Challenge 2020",
Physiol. Meas. 41:124003. Some headers begin "E00015.mat 12 500 ..."; wfdb 4.3.1 rejects them, `read_record` does not.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.published_splits import draw_splits, find_files, reading_options
from ecgscan_lab.data.reading import RecordRow
from ecgscan_lab.data.record_tables import RecordTable, cohort_loader
from ecgscan_lab.data.snomed import challenge_labels, scored_classes, snomed_codes
from ecgscan_lab.data.wfdb_header import read_header
from ecgscan_lab.errors import EcgScanLabError, TableError


@cohort_loader
def load_georgia(
    folder: str | PathLike[str],
    *,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    **reading: Any,
) -> RecordTable:
    """Load Georgia's recordings, or those of any corpus of the challenge, with the challenge's classes.

    Source: M. Reyna et al. (2021), "Will two do? Varying dimensions in electrocardiography", for the classes.

    Args:
        folder: holds the headers and signals, in sub-folders (`g1/`, `g2/`, ...) or not.
        fs_hz, duration_s: rate in hertz and length in seconds of every record; a shorter one is padded with NaN.
        n_records: read about this many; None reads all.
        seed: seed of the splits, drawn by record (the corpus has no patients), and of that draw.
        reading: `max_bad_share`, `allow_flat` (default True), `gaps`, `progress`: see `ReadingOptions`.

    Returns:
        The cohort "georgia" with the tasks scored (26 classes, equivalent codes merged) and all (every code that
        occurs, by abbreviation).

    Raises:
        TableError: no recordings are there.
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.
    """
    options = reading_options(fs_hz, duration_s, reading, allow_flat=True)
    root = existing_folder(folder)
    rows = []
    for name, path in find_files(root, ".hea").items():
        try:
            codes = read_header(path.parent / f"{name}.hea").snomed
        except EcgScanLabError:
            codes = ()  # reading the record will say what is wrong with it
        rows.append(RecordRow(name, path, "", labels=challenge_labels(codes)))
    if not rows:
        raise TableError("no recordings in the folder", file=root, expected="files that end in .hea")
    everything = sorted({label for row in rows for label in row.labels["all"]})
    tasks = {"scored": scored_classes(), "all": tuple(everything)}
    words = {code.abbreviation: code.words for code in snomed_codes().values()}
    placed = draw_splits(rows, seed)
    return RecordTable("georgia", root, placed, tasks, options, n_records=n_records, seed=seed, descriptions=words)
