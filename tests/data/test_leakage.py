"""The leakage gate: every kind of copy is found, two recordings of one patient are two, and the work stays linear."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import butter, resample_poly, sosfiltfilt

from ecgscan_lab.data.corpora import load_ptbxl
from ecgscan_lab.data.leakage import leakage_gate
from ecgscan_lab.data.leakage import search as searching
from ecgscan_lab.data.leakage.fingerprints import common_band, unit_spectra
from ecgscan_lab.data.leakage.report import LeakageReport
from ecgscan_lab.data.leakage.search import compare_spectra, find_near_pairs
from ecgscan_lab.data.record_tables import load_table
from ecgscan_lab.data.store import build_store
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import Cohort


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return synthetic_cohort(300, seed=5)


def with_copies(cohort: Cohort, change, n: int = 12) -> tuple[Cohort, list[tuple[int, int]]]:
    """The cohort and, behind it, changed copies of training records that count as test records of other patients."""
    sources = cohort.indices("train")[:n]
    copies = tuple(
        replace(
            cohort.records[i],
            record_id=f"copy {i}",
            patient_id=f"copy {i}",
            split="test",
            signal_mv=np.asarray(change(cohort.records[i].signal_mv.astype(np.float64)), dtype=np.float32),
        )
        for i in sources
    )
    own = Cohort(cohort.name, cohort.records + copies, cohort.tasks)
    return own, [(int(i), len(cohort) + k) for k, i in enumerate(sources)]


def shifted(signal_mv, n):
    return np.concatenate([signal_mv[:, n:], np.repeat(signal_mv[:, -1:], n, axis=1)], axis=1)


def noisy(signal_mv, snr_db):
    noise = np.random.default_rng(1).standard_normal(signal_mv.shape)
    return signal_mv + signal_mv.std(axis=1, keepdims=True) * 10 ** (-snr_db / 20) * noise


def filtered(signal_mv, low_hz, high_hz):
    return sosfiltfilt(butter(2, [low_hz, high_hz], "band", fs=100.0, output="sos"), signal_mv, axis=1)


CHANGES = {
    "rescaled": lambda x: 1.37 * x,
    "each lead rescaled": lambda x: x * np.linspace(0.5, 2.0, 12)[:, None],
    "in microvolts": lambda x: 1000.0 * x,
    "offset": lambda x: x + 0.4,
    "shifted by 3 samples": lambda x: shifted(x, 3),
    "shifted by 20 samples": lambda x: shifted(x, 20),
    "noise at 20 dB": lambda x: noisy(x, 20),
    "noise at 15 dB": lambda x: noisy(x, 15),
    "rounded to 20 uV": lambda x: np.round(x / 0.02) * 0.02,
    "filtered 0.5 to 40 Hz": lambda x: filtered(x, 0.5, 40.0),
    "filtered 1 to 25 Hz": lambda x: filtered(x, 1.0, 25.0),
    "resampled there and back": lambda x: resample_poly(resample_poly(x, 5, 2, axis=1), 2, 5, axis=1),
    "all of it": lambda x: noisy(shifted(filtered(1.5 * x, 0.5, 40.0), 5), 20),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_changed_copies_are_found_and_nothing_else(cohort, kind):
    own, planted = with_copies(cohort, CHANGES[kind])
    report = leakage_gate(own)
    assert sorted((pair.first.position, pair.second.position) for pair in report.pairs) == planted
    assert all(pair.leaks for pair in report.pairs)
    assert not report.clean
    assert report.leave_out == {"synthetic": tuple(first for first, _ in planted)}


def test_the_shift_is_told(cohort):
    own, _ = with_copies(cohort, lambda x: shifted(x, 12), n=5)
    assert [round(pair.shift_s, 2) for pair in leakage_gate(own).pairs] == [-0.12] * 5


def test_exact_copies_are_named_so(cohort):
    own, planted = with_copies(cohort, lambda x: x)
    report = leakage_gate(own)
    assert [(pair.first.position, pair.second.position, pair.kind) for pair in report.pairs] == [
        (first, second, "exact") for first, second in planted
    ]


def test_different_recordings_of_a_patient_are_two(cohort):
    report = leakage_gate(cohort)
    assert len(np.unique(cohort.patients)) < len(cohort)
    assert report.clean
    assert report.pairs == ()
    assert report.leave_out == {"synthetic": ()}


def test_other_rates_and_lengths_are_compared_in_what_both_show(cohort):
    again = synthetic_cohort(120, seed=5, fs_hz=500.0)
    chosen = again.indices("test")
    fine = Cohort("fine", tuple(again.records[i] for i in chosen), again.tasks)
    report = leakage_gate(cohort, fine)
    assert {(p.first.record_id, p.second.record_id) for p in report.pairs} == {
        (record.record_id, record.record_id) for record in fine.records
    }
    assert not report.leaks  # test recordings on both sides
    assert leakage_gate(cohort, fine, held_out=["fine"]).leave_out["fine"] == ()
    trained = Cohort("trained", tuple(replace(r, split="train") for r in fine.records), again.tasks)
    report = leakage_gate(cohort, trained)
    assert report.leave_out == {"synthetic": (), "trained": tuple(range(len(trained)))}


def test_patients_in_two_splits_are_counted(cohort):
    records = list(cohort.records)
    moved = next(i for i in range(1, len(records)) if records[i].patient_id == records[i - 1].patient_id)
    other = "test" if records[moved].split != "test" else "val"
    records[moved] = replace(records[moved], split=other)
    report = leakage_gate(Cohort("mine", tuple(records), cohort.tasks))
    assert list(report.patients["mine"]) == [records[moved].patient_id]
    assert not report.clean
    assert "patients of mine in several splits: 1" in str(report)


def test_corpora_that_hold_each_other_are_told(cohort):
    named = Cohort("ptbxl", cohort.records, cohort.tasks)
    report = leakage_gate(named, trained_on=["challenge-2021"])
    assert report.corpora == ("challenge-2021 holds 21,837 records of ptb-xl",)
    assert not report.clean
    assert leakage_gate(named, Cohort("ludb", cohort.records[:3], {})).corpora == ()


def test_a_store_is_looked_at_like_a_cohort(cohort, tmp_path):
    own, planted = with_copies(cohort, CHANGES["rescaled"], n=4)
    store = build_store(replace(own, data_sha256="x"), tmp_path, shard_size=100)
    assert [(p.first.position, p.second.position) for p in leakage_gate(store).pairs] == planted
    assert leakage_gate(f"store:{tmp_path}").as_dict()["pairs"][0]["second_record_id"].startswith("copy")


def test_recordings_that_do_not_move_are_no_copies(cohort):
    still = tuple(
        replace(record, signal_mv=np.full((12, 1000), level, dtype=np.float32))
        for level, record in zip([0.0, 0.0, np.nan, 0.3], cohort.records[:4], strict=True)
    )
    report = leakage_gate(Cohort("mine", still + cohort.records[4:], cohort.tasks))
    assert report.pairs == ()
    assert report.n_still == 4


def test_gaps_do_not_hide_a_copy(cohort):
    def gapped(signal_mv):
        signal_mv = 1.2 * signal_mv
        signal_mv[4] = np.nan
        signal_mv[:, 970:] = np.nan
        return signal_mv

    own, planted = with_copies(cohort, gapped)
    assert [(p.first.position, p.second.position) for p in leakage_gate(own).pairs] == planted


def test_likeness_is_the_largest_correlation_over_shifts(cohort):
    band = common_band([cohort])
    spectra = unit_spectra(cohort.signals_mv[:6], 100.0, band)
    likeness, shift_s = compare_spectra(spectra[:3], spectra[3:], band)
    seconds = np.linspace(-0.25, 0.25, 4001)
    hertz = np.arange(band.first, band.last + 1) / band.window_s
    for k in range(3):
        crossed = (spectra[k].conj() * spectra[3 + k]).sum(axis=0)
        plain = (crossed[None] * np.exp(2j * np.pi * seconds[:, None] * hertz)).real.sum(axis=1) / 8
        assert likeness[k] == pytest.approx(plain.max(), abs=3e-3)
        assert shift_s[k] == pytest.approx(seconds[plain.argmax()], abs=2e-3)
    alone, at = compare_spectra(spectra, spectra, band)
    assert alone == pytest.approx(np.ones(6), abs=1e-5)
    assert (at == 0).all()


class Tiled:
    """Many recordings without as many signals: each is a mixture of a few, drawn when it is read."""

    fs_hz, n_samples, name = 100.0, 1000, "tiled"

    def __init__(self, signals_mv, n):
        self.signals_mv, self.n, self.largest_read = signals_mv, n, 0

    def __len__(self):
        return self.n

    def read_signals_mv(self, indices):
        self.largest_read = max(self.largest_read, len(indices))
        weights = np.stack([np.random.default_rng(int(i)).dirichlet(np.ones(3)) for i in indices]).astype(np.float32)
        chosen = np.stack([np.random.default_rng([int(i), 1]).integers(0, 300, 3) for i in indices])
        mixed = np.einsum("nk,nkct->nct", weights, self.signals_mv[chosen])
        return np.stack([np.roll(x, int(i) * 37 % 1000, axis=1) for x, i in zip(mixed, indices, strict=True)])


def test_the_work_grows_with_recordings_not_with_pairs(cohort):
    found = {}
    for n in (1000, 2000):
        data = Tiled(cohort.signals_mv, n)
        found[n] = find_near_pairs([data], common_band([data]), 0.95)
        assert found[n].n_compared <= n * searching.ROUNDS * searching.NEIGHBOURS
        assert found[n].n_verified <= 3 * n
        assert data.largest_read <= 512
    assert found[2000].n_compared <= 2.01 * found[1000].n_compared


def test_many_copies_of_one_recording_stay_linear(cohort):
    records = tuple(
        replace(
            cohort.records[0],
            record_id=str(k),
            split="train",
            signal_mv=cohort.records[0].signal_mv * np.float32(1 + k / 500),
        )
        for k in range(400)
    )
    own = Cohort("mine", records + cohort.records[1:], cohort.tasks)
    near = find_near_pairs([own], common_band([own]), 0.95)
    assert near.n_verified <= len(own) * searching.ROUNDS * searching.NEIGHBOURS
    judged = replace(own, records=(replace(records[0], split="test"), *own.records[1:]))
    assert leakage_gate(judged).leave_out["mine"] == tuple(range(1, 400))


def test_the_report_is_plain_text_and_json(cohort):
    own, _ = with_copies(cohort, CHANGES["rescaled"], n=30)
    odd = replace(own.records[-1], record_id="<script>\n")
    report = leakage_gate(Cohort("mine", (*own.records[:-1], odd), own.tasks))
    fields = json.loads(json.dumps(report.as_dict()))
    assert len(fields["pairs"]) == 30
    assert fields["leave_out"]["mine"] == list(report.leave_out["mine"])
    lines = str(report).splitlines()
    assert "330 of mine: something is in two splits" in lines[0]
    assert any("and 10 more" in line for line in lines)
    assert own.records[0].report not in str(report) + repr(report)


def test_wrong_arguments_are_named(cohort):
    with pytest.raises(ArgumentError, match="nothing to look at"):
        leakage_gate()
    with pytest.raises(ArgumentError, match="no cohort"):
        leakage_gate(cohort, held_out=["elsewhere"])
    with pytest.raises(ArgumentError, match="min_likeness"):
        leakage_gate(cohort, min_likeness=0.1)


@pytest.mark.real
def test_the_known_pairs_of_ptbxl_are_found(ptbxl_dir):
    known = {(137, 138), (143, 144), (145, 463), (456, 457), (459, 460)}
    table = load_ptbxl.__wrapped__(ptbxl_dir, only_present=True, fs_hz=500.0)
    table = replace(table, required_splits=(), split_by_record=True)
    fine = load_table(table, part_copies=False)
    report = leakage_gate(fine)
    assert {tuple(int(p.record_id[:5]) for p in (pair.first, pair.second)) for pair in report.pairs} == known
    assert {pair.kind for pair in report.pairs} == {"exact"}


def test_what_two_corpora_share_is_not_said_of_splits():
    counts = {"leave_out": {}, "n_compared": 0, "n_verified": 0, "n_still": 0, "seconds": 0.0}
    both = LeakageReport({"a": 1, "b": 1}, patients={}, pairs=(), corpora=("a holds records of b",), **counts)
    one = LeakageReport({"a": 1}, patients={}, pairs=(), corpora=(), **counts)
    assert "something is in two corpora or splits" in str(both)
    assert "nothing is in two splits" in str(one)
