"""The one loop that reads many records: skip the bad, count the repaired, stop when too many are bad."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ecgscan_lab.data.paths import inside
from ecgscan_lab.data.resampling import bridge_gaps, check_rate_and_length
from ecgscan_lab.data.splits import check_assignment, check_splits, find_duplicate_signals, find_leaking_copies
from ecgscan_lab.data.wfdb_records import OnMissing, read_record
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, RecordError, TooManyBadRecordsError
from ecgscan_lab.types import SPLITS, Cohort, EcgRecord, SkippedRecord

SHARED_PATIENTS = "patients in more than one split: the split is by record"

Gaps = Literal["keep", "skip", "fill"]


@dataclass(frozen=True)
class RecordRow:
    """One row of a table of records: where the record lies, and all that the table says about it.

    `path` has no suffix: the file is `path` + `suffix`, and `member` its row where it holds many records.
    """

    record_id: str
    path: Path
    split: str
    patient_id: str | None = None
    fold: int | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    report: str = ""
    suffix: str = ".hea"
    member: int | None = None

    @property
    def patient(self) -> str:
        """The patient, or a name of its own for a record without one."""
        return self.patient_id if self.patient_id is not None else f"record {self.record_id}"


@dataclass(frozen=True)
class ReadingOptions:
    """How records are read; the keywords of `load_ptbxl` and `load_folder` by the same names.

    Beyond those: `unit_mv` as for `read_record`; `gaps` within a record: "keep" them as NaN, "skip" such records, or
    "fill" them by straight lines; `zero_after_s` sets all that follows to 0 mV.
    """

    fs_hz: float = 100.0
    duration_s: float = 10.0
    max_bad_share: float = 0.05
    only_present: bool = False
    on_missing: OnMissing = "error"
    allow_flat: bool = False
    progress: bool = False
    unit_mv: float | None = None
    gaps: Gaps = "keep"
    zero_after_s: float | None = None

    def __post_init__(self) -> None:
        check_rate_and_length(self.fs_hz, self.duration_s)
        if self.zero_after_s is not None and not 0.0 < self.zero_after_s <= self.duration_s:
            raise ArgumentError(
                f"zero_after_s is {self.zero_after_s!r}", field="zero_after_s", expected="seconds within duration_s"
            )
        if self.gaps not in get_args(Gaps):
            raise ArgumentError(f"gaps is {self.gaps!r}", field="gaps", expected=f"one of {', '.join(get_args(Gaps))}")
        if not 0.0 <= self.max_bad_share <= 1.0:
            raise ArgumentError(f"max_bad_share is {self.max_bad_share!r}", field="max_bad_share", expected="0 to 1")


def choose_rows(rows: Sequence[RecordRow], n_records: int, seed: int) -> list[RecordRow]:
    """Draw a subset that keeps the splits' proportions and whole patients.

    Args:
        rows: rows to choose from.
        n_records: wanted number of records, at least one a split.
        seed: seed of the order in which patients are drawn.

    Returns:
        The chosen rows in their given order; fewer than `n_records` where whole patients leave no better fit.

    Raises:
        ArgumentError: `n_records` is no number of at least 3.

    Properties: the same for the same seed; all records of a chosen patient; a share of every split.
    """
    if isinstance(n_records, bool) or not isinstance(n_records, (int, np.integer)) or n_records < len(SPLITS):
        raise ArgumentError(f"n_records is {n_records!r}", field="n_records", expected="a whole number of at least 3")
    if n_records >= len(rows):
        return list(rows)
    rng = np.random.default_rng(seed)
    members = {split: [i for i, row in enumerate(rows) if row.split == split] for split in SPLITS}
    chosen: list[int] = []
    for split, quota in _quotas({split: len(found) for split, found in members.items()}, int(n_records)).items():
        by_patient: dict[str, list[int]] = {}
        for i in members[split]:
            by_patient.setdefault(rows[i].patient, []).append(i)
        patients = [by_patient[name] for name in sorted(by_patient)]
        taken: list[int] = []
        for k in rng.permutation(len(patients)).tolist():
            if len(taken) + len(patients[k]) <= quota:
                taken += patients[k]
        smallest = min(patients, key=len)
        chosen += taken or smallest
    return [rows[i] for i in sorted(chosen)]


def assemble_cohort(
    name: str,
    records: Sequence[EcgRecord],
    signals_mv: np.ndarray,
    tasks: Mapping[str, tuple[str, ...]],
    *,
    skipped: Sequence[SkippedRecord] = (),
    notes: Mapping[str, int] | None = None,
    descriptions: Mapping[str, str] | None = None,
    required_splits: Iterable[str] = SPLITS,
    split_by_record: bool = False,
    part_copies: bool = True,
) -> Cohort:
    """Make a cohort of records and the array that holds their signals; part identical signals in two splits.

    A signal that occurs in two splits would let a run see what it is judged on. The copy in the lower split (train
    before val before test) is left out, and counted in `repairs`; copies within one split stay, and are counted too.

    Args:
        name: name of the cohort.
        records: the records, with splits.
        signals_mv: float32 `[record, 12, time]` in mV; taken over: the cohort's records view its rows, and rows move up
            where a record is left out.
        tasks: task name -> class names.
        skipped: records that could not be read.
        notes: further sentences for `repairs`, each with its count; those of count 0 are dropped.
        descriptions: class name -> plain words.
        required_splits: splits that must not be empty.
        split_by_record: let patients sit in several splits, and count them in `repairs`.
        part_copies: False keeps every copy, for whoever looks for them.

    Returns:
        The cohort, hashed, with `signals_mv` already in place: the signals exist once in memory.

    Raises:
        SplitError: a split is empty, or a patient is in two.
    """
    repairs = Counter(notes or {})
    pairs = find_duplicate_signals(signals_mv)
    leaking = find_leaking_copies(pairs, [record.split for record in records]) if part_copies else []
    repairs["left out: the same signal is in another split"] += len(leaking)
    if leaking:
        kept = np.setdiff1d(np.arange(len(records)), leaking)
        records = [records[i] for i in kept.tolist()]
        for place, i in enumerate(kept.tolist()):
            signals_mv[place] = signals_mv[i]
        signals_mv = signals_mv[: len(kept)]
        pairs = find_duplicate_signals(signals_mv)
    repairs["the same signal as an earlier record of its split; kept"] += len(pairs)
    for record in records:
        # What follows a colon (lead names, counts) belongs to one record; the sentence before it is what is counted.
        repairs.update({sentence.partition(": ")[0] for sentence in record.provenance.get("repairs", ())})
    if split_by_record:
        pairs_of = {(record.patient_id, record.split) for record in records}
        repairs[SHARED_PATIENTS] += sum(n > 1 for n in Counter(patient for patient, _ in pairs_of).values())
    viewed = tuple(replace(record, signal_mv=row) for record, row in zip(records, signals_mv, strict=True))
    cohort = Cohort(
        name=name,
        records=viewed,
        tasks=dict(tasks),
        skipped=tuple(skipped),
        repairs={sentence: count for sentence, count in repairs.items() if count},
        data_sha256=hash_records(viewed),
        descriptions=dict(descriptions or {}),
    )
    cohort.__dict__["signals_mv"] = signals_mv  # fills the cached property: no second copy of the signals
    if split_by_record:
        ids = [record.record_id for record in viewed]
        check_assignment(ids, ids, [record.split for record in viewed], required_splits)
    else:
        check_splits(cohort, required_splits)
    return cohort


def hash_records(records: Sequence[EcgRecord]) -> str:
    """SHA-256 over identifiers, splits, labels, reports, rates and signals, in order.

    Args:
        records: the records of a cohort.

    Returns:
        64 hexadecimal digits.

    Properties: changes with any sample, label, report, split or patient; not with provenance.
    """
    digest = sha256()
    for record in records:
        labels = {task: list(names) for task, names in sorted(record.labels.items())}
        text = [record.record_id, record.patient_id, record.split, labels, record.report, record.fs_hz]
        digest.update(json.dumps([*text, list(record.signal_mv.shape)], ensure_ascii=True).encode("ascii"))
        digest.update(np.ascontiguousarray(record.signal_mv, dtype="<f4").data)
    return digest.hexdigest()


def read_all(
    folder: Path, rows: Sequence[RecordRow], options: ReadingOptions
) -> tuple[list[EcgRecord], np.ndarray, list[SkippedRecord]]:
    """Read rows in order into one array `[record, 12, time]`; the records' signals are views of it.

    Raises:
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.
    """
    n_samples = max(1, round(options.fs_hz * options.duration_s))
    signals_mv = np.empty((len(rows), 12, n_samples), dtype=np.float32)
    records: list[EcgRecord] = []
    skipped: list[SkippedRecord] = []
    for row in _with_progress(rows) if options.progress else rows:
        try:
            record = read_row(folder, row, options)
        except ArgumentError:
            raise
        except EcgScanLabError as error:
            skipped.append(SkippedRecord(row.record_id, type(error).__name__, str(error)))
            if len(skipped) > options.max_bad_share * len(rows):
                raise too_many_bad(folder, skipped, len(records), len(rows), options.max_bad_share) from error
            continue
        view = signals_mv[len(records)]
        view[:] = record.signal_mv
        records.append(replace(record, signal_mv=view))
    return records, signals_mv[: len(records)], skipped


def read_row(folder: Path, row: RecordRow, options: ReadingOptions) -> EcgRecord:
    """Read one row of a table whose files lie in `folder`.

    Raises:
        EcgScanLabError: as `read_record`; a link out of the folder is refused.
    """
    file = file_of(row)
    if not inside(folder, file):
        raise RecordError(
            "the record is a link out of its folder",
            file=file,
            expected="a file inside the folder of the table",
            fix="copy the file there",
        )
    record = read_record(
        file,
        fs_hz=options.fs_hz,
        duration_s=options.duration_s,
        on_missing=options.on_missing,
        allow_flat=options.allow_flat,
        member=row.member,
        unit_mv=None if row.suffix == ".hea" else options.unit_mv,
    )
    return replace(
        _finished(record, file, options),
        record_id=row.record_id,
        patient_id=row.patient_id,
        labels={**record.labels, **row.labels},
        report=row.report,
        split=row.split,
        fold=row.fold,
    )


def _finished(record: EcgRecord, file: Path, options: ReadingOptions) -> EcgRecord:
    """The record with its gaps treated, and silence after `zero_after_s`."""
    signal_mv = record.signal_mv
    repairs = list(record.provenance["repairs"])
    if options.gaps != "keep":
        n_recorded = round(record.provenance["native_n_samples"] / record.provenance["native_fs_hz"] * record.fs_hz)
        inside_mv = signal_mv[:, :n_recorded]
        gaps = np.isnan(inside_mv)
        if gaps.any() and options.gaps == "skip":
            raise RecordError(
                f"samples were not recorded (NaN): {int(gaps.sum())}",
                file=file,
                field="gaps",
                expected="every sample",
                fix='pass gaps="keep" or gaps="fill"',
            )
        if gaps.any():
            filled = np.stack([bridge_gaps(lead, gap) for lead, gap in zip(inside_mv, gaps, strict=True)])
            signal_mv = np.concatenate([filled.astype(np.float32), signal_mv[:, n_recorded:]], axis=1)
            repairs.append(f"gaps filled by straight lines: {int(gaps.sum())} samples")
    if options.zero_after_s is not None:
        signal_mv = signal_mv.copy()
        signal_mv[:, round(options.zero_after_s * record.fs_hz) :] = 0.0
        repairs.append("zeros from a given second on")
    return replace(record, signal_mv=signal_mv, provenance={**record.provenance, "repairs": repairs})


def too_many_bad(
    folder: Path, skipped: Sequence[SkippedRecord], n_read: int, n_rows: int, max_bad_share: float
) -> TooManyBadRecordsError:
    """The error that ends a reading loop, with the first few reasons."""
    reasons = "; ".join(f"{bad.record_id}: {bad.message.splitlines()[0]}" for bad in skipped[:3])
    absent = all("no such file" in bad.message.splitlines()[0] for bad in skipped)
    return TooManyBadRecordsError(
        f"{len(skipped)} of the first {len(skipped) + n_read} records are unreadable ({reasons})",
        file=folder,
        field="max_bad_share",
        expected=f"at most {max_bad_share:g} of {n_rows} records",
        fix=(
            "fetch the missing files, or pass only_present=True to read only the records whose files are here"
            if absent
            else "fetch the damaged files again, or raise max_bad_share to go on without them"
        ),
    )


def file_of(row: RecordRow) -> Path:
    """The file that holds a row's signal."""
    return row.path.parent / f"{row.path.name}{row.suffix}"


def _quotas(sizes: Mapping[str, int], n_records: int) -> dict[str, int]:
    """Whole shares of `n_records` by largest remainder, at least one for every split that has records."""
    total = sum(sizes.values())
    exact = {split: n_records * size / total for split, size in sizes.items() if size}
    quotas = {split: max(1, int(share)) for split, share in exact.items()}
    by_remainder = sorted(exact, key=lambda split: int(exact[split]) - exact[split])
    for split in by_remainder[: max(0, n_records - sum(quotas.values()))]:
        quotas[split] += 1
    return quotas


def _with_progress(rows: Sequence[RecordRow]) -> Iterable[RecordRow]:
    from tqdm import tqdm

    return tqdm(rows, desc="reading records", unit="record")
