"""Whole patients, no shared signals, and shares that are kept as far as patients allow."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.data.splits import (
    check_assignment,
    check_splits,
    find_duplicate_signals,
    find_leaking_copies,
    split_by_patient,
)
from ecgscan_lab.data.wfdb_records import read_record
from ecgscan_lab.errors import ArgumentError, SplitError
from ecgscan_lab.types import SPLITS, Cohort, EcgRecord


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 6), min_size=3, max_size=60), seed=st.integers(0, 2**32))
def test_no_patient_is_in_two_splits_and_every_split_has_one(sizes, seed):
    patients = [f"p{k}" for k, size in enumerate(sizes) for _ in range(size)]
    splits = split_by_patient(patients, seed=seed)
    check_assignment([str(k) for k in range(len(patients))], patients, splits.tolist())
    np.testing.assert_array_equal(splits, split_by_patient(patients, seed=seed))


def test_shares_are_kept_and_the_seed_matters():
    patients = np.repeat(np.arange(1000), 2)
    splits = split_by_patient(patients, (0.6, 0.15, 0.25), seed=1)
    np.testing.assert_allclose([(splits == split).mean() for split in SPLITS], (0.6, 0.15, 0.25), atol=0.002)
    assert (splits != split_by_patient(patients, (0.6, 0.15, 0.25), seed=2)).any()


def test_a_share_of_nothing_leaves_the_split_empty():
    assert set(split_by_patient(list("abcdef"), (0.5, 0.0, 0.5), seed=0)) == {"train", "test"}


def test_impossible_splits_are_refused():
    with pytest.raises(SplitError, match="2 patients cannot fill 3 splits"):
        split_by_patient(["a", "b", "b"])
    for fractions in ((0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (0.5, 0.5), (float("nan"), 0.5, 0.5)):
        with pytest.raises(ArgumentError, match="fractions"):
            split_by_patient(list("abc"), fractions)


def test_a_shared_patient_is_named_with_two_records():
    with pytest.raises(SplitError, match=r"patient p7 is in train \(record r1\) and in test \(record r3\)"):
        check_assignment(["r1", "r2", "r3"], ["p7", "p8", "p7"], ["train", "val", "test"])


def test_empty_and_unknown_splits_are_refused():
    with pytest.raises(SplitError, match="no record in split val"):
        check_assignment(["r1", "r2"], ["a", "b"], ["train", "test"])
    with pytest.raises(SplitError, match="record r2 is in split 'dev'"):
        check_assignment(["r1", "r2"], ["a", "b"], ["train", "dev"], required=["train"])


def test_records_without_patient_count_as_patients_of_their_own():
    records = tuple(EcgRecord(f"r{k}", np.zeros((12, 5)), 100.0, split=split) for k, split in enumerate(SPLITS))
    check_splits(Cohort("c", records, tasks={}))
    with pytest.raises(SplitError, match="no record in split train"):
        check_splits(Cohort("c", records[1:], tasks={}))


# --- duplicates


def test_copies_are_found_whatever_their_ends(rng):
    signals_mv = np.round(rng.normal(size=(20, 12, 500)), 3).astype(np.float32)
    signals_mv[7] = signals_mv[2]
    signals_mv[11] = signals_mv[2] + 0.0004
    signals_mv[15] = signals_mv[4]
    signals_mv[15, 3, -20:] += 0.3  # PTB-XL's 100 Hz copies differ here
    signals_mv[:, 5, 100:120] = np.nan
    assert find_duplicate_signals(signals_mv) == [(2, 7), (2, 11), (4, 15)]


def test_one_changed_sample_parts_two_records(rng):
    signals_mv = np.round(rng.normal(size=(1, 12, 500)), 3).repeat(3, axis=0)
    signals_mv[1, 8, 203] += 0.002
    signals_mv[2, 8, 203] = np.nan
    assert find_duplicate_signals(signals_mv) == []


def test_records_that_do_not_move_are_no_copies():
    assert find_duplicate_signals(np.zeros((50, 12, 100))) == []
    assert find_duplicate_signals(np.full((50, 12, 100), np.nan)) == []


def test_many_alike_records_take_linear_time():
    signals_mv = np.zeros((3000, 12, 100), dtype=np.float32)
    signals_mv[np.arange(3000), 0, 11] = np.arange(3000)  # all agree on the probe
    started = time.process_time()
    assert find_duplicate_signals(signals_mv) == []
    assert time.process_time() - started < 3.0


def test_of_identical_records_the_judged_copy_stays():
    splits = ["train", "test", "val", "train", "train", "val", None]
    assert find_leaking_copies([(0, 1)], splits) == [0]
    assert find_leaking_copies([(0, 2), (0, 3)], splits) == [0, 3]
    assert find_leaking_copies([(0, 1), (0, 2)], splits) == [0, 2]
    assert find_leaking_copies([(3, 4), (2, 5)], splits) == []
    assert find_leaking_copies([(4, 6)], splits) == [6]


@pytest.mark.real
def test_the_known_copies_in_ptbxl_are_found_at_both_rates(ptbxl_dir):
    known = [(137, 138), (143, 144), (145, 463), (456, 457), (459, 460)]
    for folder, suffix in (("records500", "hr"), ("records100", "lr")):
        numbers = sorted(int(path.stem[:5]) for path in ptbxl_dir.glob(f"{folder}/00000/*_{suffix}.hea"))
        numbers = [number for number in numbers if number <= 500]
        paths = [ptbxl_dir / folder / "00000" / f"{number:05d}_{suffix}" for number in numbers]
        if not paths:
            assert folder == "records100", "the unpacked folder lacks its 500 Hz records"
            continue
        signals_mv = np.stack([read_record(path, allow_flat=True).signal_mv for path in paths])
        assert [(numbers[a], numbers[b]) for a, b in find_duplicate_signals(signals_mv)] == known
