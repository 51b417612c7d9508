"""Patient-grouped splits and the gate that keeps one patient, or one signal, from sitting in two of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import numpy as np

from ecgscan_lab.errors import ArgumentError, SplitError
from ecgscan_lab.types import SPLITS, Cohort


def split_by_patient(
    patients: Sequence[str] | np.ndarray, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2), seed: int = 0
) -> np.ndarray:
    """Assign whole patients to train, val and test.

    Patients are taken in an order drawn from `seed`; each goes to the split that lacks most records of its share.

    Args:
        patients: the patient of each record `[record]`.
        fractions: shares of train, val and test; non-negative, summing to 1. A share of 0 leaves that split empty.
        seed: seed of the order.

    Returns:
        "train", "val" or "test" for each record `[record]`.

    Raises:
        ArgumentError: the fractions are no shares.
        SplitError: there are fewer patients than splits.

    Properties: no patient in two splits; every wanted split has a patient; the same for the same seed; sizes
    follow the shares as far as whole patients allow.

    Example:
        >>> split_by_patient(["a", "a", "b", "c"], seed=0).tolist()
        ['test', 'test', 'val', 'train']
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.shape != (len(SPLITS),) or not (shares >= 0).all() or abs(shares.sum() - 1.0) > 1e-6:
        raise ArgumentError(
            f"fractions are {fractions!r}", field="fractions", expected="three shares of at least 0 that sum to 1"
        )
    names, patient_of, counts = np.unique(np.asarray(patients), return_inverse=True, return_counts=True)
    wanted = np.flatnonzero(shares)
    if len(names) < len(wanted):
        raise SplitError(
            f"{len(names)} patients cannot fill {len(wanted)} splits",
            field="patient_id",
            expected="at least one patient a split",
            fix="add patients, or give the table a `split` column",
        )
    lacking = shares * len(patient_of)
    split_of = np.empty(len(names), dtype=np.int64)
    for position, patient in enumerate(np.random.default_rng(seed).permutation(len(names)).tolist()):
        # The first few patients open the splits, the largest share first, so that none stays empty.
        opening = position < len(wanted)
        chosen = wanted[np.argsort(-shares[wanted], kind="stable")[position]] if opening else np.argmax(lacking)
        split_of[patient] = chosen
        lacking[chosen] -= counts[patient]
    return np.array(SPLITS)[split_of[patient_of]]


def check_splits(cohort: Cohort, required: Iterable[str] = SPLITS) -> None:
    """Refuse a cohort with an empty split, an unknown split, or a patient in two splits.

    Args:
        cohort: the records with their splits.
        required: splits that must hold a record.

    Raises:
        SplitError: as above; a shared patient is named with two of the records.
    """
    check_assignment(
        [record.record_id for record in cohort.records],
        cohort.patients.tolist(),
        [record.split for record in cohort.records],
        required,
    )


def check_assignment(
    record_ids: Sequence[str],
    patients: Sequence[str],
    splits: Sequence[str | None],
    required: Iterable[str] = SPLITS,
) -> None:
    """The same check on bare columns, before any signal is read.

    Args:
        record_ids: name of each record `[record]`.
        patients: patient of each record `[record]`.
        splits: split of each record `[record]`.
        required: splits that must hold a record.

    Raises:
        SplitError: a split is empty or unknown, or a patient is in two splits.

    Example:
        >>> check_assignment(["r1", "r2"], ["p1", "p2"], ["train", "test"], required=("train", "test"))
    """
    empty = [split for split in required if split not in splits]
    if empty:
        raise SplitError(
            f"no record in split {', '.join(empty)}",
            field="split",
            expected="at least one record in each split",
            fix="ask for more records, or choose other folds",
        )
    first_of: dict[str, int] = {}
    for i, (patient, split) in enumerate(zip(patients, splits, strict=True)):
        if split not in SPLITS:
            raise SplitError(
                f"record {record_ids[i]} is in split {split!r}", field="split", expected=f"one of {', '.join(SPLITS)}"
            )
        first = first_of.setdefault(patient, i)
        if splits[first] != split:
            raise SplitError(
                f"patient {patient} is in {splits[first]} (record {record_ids[first]}) "
                f"and in {split} (record {record_ids[i]})",
                field="patient_id",
                expected="each patient in one split",
                fix="move all records of the patient to one split",
            )


def find_duplicate_signals(signals_mv: np.ndarray) -> list[tuple[int, int]]:
    """Find recordings that are stored more than once, under whatever name or patient.

    Two records count as one recording when the middle four fifths of all leads agree to the microvolt. The ends are
    left out because PTB-XL's 100 Hz files of one recording differ in their last fifth of a second.

    Args:
        signals_mv: `[record, 12, time]` in mV; NaN equals NaN.

    Returns:
        Pairs `(first, copy)` of positions, `first < copy`, ordered; every copy is paired with the first of its kind.

    Properties: one sample of the middle that differs by 2 uV parts two records; a record that does not move there has
    no copies; time grows with the number of records, not of pairs.

    Example:
        >>> signals_mv = np.random.default_rng(0).normal(size=(3, 12, 100))
        >>> signals_mv[2] = signals_mv[0]
        >>> find_duplicate_signals(signals_mv)
        [(0, 2)]
    """
    n_samples = signals_mv.shape[-1]
    middle_mv = signals_mv[..., n_samples // 10 : n_samples - n_samples // 10]
    # A sparse probe parts nearly all records; only those that agree on it are compared in full.
    alike: dict[bytes, list[int]] = {}
    for i, probe_uv in enumerate(_microvolts(middle_mv[..., :: max(1, n_samples // 64)])):
        alike.setdefault(probe_uv.tobytes(), []).append(i)
    pairs = []
    for members in alike.values():
        first_of: dict[bytes, int] = {}
        for i in members if len(members) > 1 else ():
            key = signal_key(signals_mv[i])
            if key is not None:
                first = first_of.setdefault(key, i)
                pairs += [(first, i)] if first != i else []
    return sorted(pairs)


def signal_key(signal_mv: np.ndarray) -> bytes | None:
    """What two copies of one recording share: a digest of the middle four fifths of all leads, to the microvolt.

    Args:
        signal_mv: `[12, time]` in mV; NaN equals NaN.

    Returns:
        32 bytes, or None for a signal that does not move there.

    Example:
        >>> signal_key(np.zeros((12, 100))) is None
        True
    """
    n_samples = signal_mv.shape[-1]
    signal_uv = _microvolts(signal_mv[:, n_samples // 10 : n_samples - n_samples // 10])
    moves = (signal_uv != signal_uv[:, :1]).any()
    return sha256(signal_uv.tobytes()).digest() if moves else None


def find_leaking_copies(pairs: Sequence[tuple[int, int]], splits: Sequence[str | None]) -> list[int]:
    """Say which records to leave out so that no signal sits in two splits.

    Of identical records the test copies stay, else the val copies: the sets a run is judged on keep their size.

    Args:
        pairs: pairs of `find_duplicate_signals`.
        splits: split of each record `[record]`.

    Returns:
        Positions to leave out, ascending. Copies within one split are not among them.

    Example:
        >>> find_leaking_copies([(0, 1), (2, 3)], ["train", "test", "train", "train"])
        [0]
    """
    groups: dict[int, set[int]] = {}
    for first, copy in pairs:
        groups.setdefault(first, {first}).add(copy)
    leaking: list[int] = []
    for group in groups.values():
        kept = max((splits[i] for i in group), key=lambda split: -1 if split is None else SPLITS.index(split))
        leaking += [i for i in group if splits[i] != kept]
    return sorted(leaking)


def _microvolts(signal_mv: np.ndarray) -> np.ndarray:
    """Whole microvolts as int32; a gap (NaN) becomes the smallest integer."""
    gaps = np.isnan(signal_mv)
    return np.where(gaps, np.iinfo(np.int32).min, np.rint(np.where(gaps, 0.0, signal_mv) * 1000.0)).astype(np.int32)
