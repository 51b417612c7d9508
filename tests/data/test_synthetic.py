"""The synthetic ECGs obey the lead laws, repeat exactly, and show on the page what their labels say."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest
from scipy.signal import find_peaks

from ecgscan_lab.data.dipole import Waves, frontal_axis_deg, project, rotation, sum_waves
from ecgscan_lab.data.patients import SUPERCLASSES, draw_patient
from ecgscan_lab.data.reports import clean_report
from ecgscan_lab.data.synthetic import DIAGNOSES, TASKS, synthetic_cohort, synthetic_records
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS, limb_law_residuals
from ecgscan_lab.types import EcgRecord

FS_HZ = 500.0
ROW = {name: i for i, name in enumerate(LEADS)}


@pytest.fixture(scope="module")
def clean() -> list[EcgRecord]:
    return synthetic_records(240, seed=11, noise=False)


@pytest.fixture(scope="module")
def by_diagnosis(clean: list[EcgRecord]) -> dict[str, list[EcgRecord]]:
    groups = defaultdict(list)
    for record in clean:
        groups[record.truth.diagnosis].append(record)
    return groups


def mean_beat(record: EcgRecord, before_s: float = 0.3, after_s: float = 0.45) -> np.ndarray:
    """[12, time] around the R peaks that keep clear of the ends, the level before the QRS taken off."""
    n = record.signal_mv.shape[1]
    centres = np.round(record.truth.r_peaks_s * FS_HZ).astype(int)
    first, last = round(before_s * FS_HZ), round(after_s * FS_HZ)
    beats = np.stack([record.signal_mv[:, c - first : c + last] for c in centres if c >= first and c + last <= n])
    beat = np.median(beats, axis=0)
    onset = first - round(0.055 * FS_HZ) - 5
    return beat - beat[:, onset - 8 : onset, None].mean(axis=1)


def at(beat: np.ndarray, lead: str, start_s: float, stop_s: float) -> np.ndarray:
    """Samples of one lead between two times around the R peak of `mean_beat`."""
    return beat[ROW[lead], round((start_s + 0.3) * FS_HZ) : round((stop_s + 0.3) * FS_HZ)]


def qrs_width_ms(record: EcgRecord) -> float:
    """Span around the R peak in which the signal moves faster than 6 % of its fastest, with lulls up to 16 ms."""
    speed = np.linalg.norm(np.diff(mean_beat(record), axis=1), axis=0)
    r_peak, lull = round(0.3 * FS_HZ), round(0.016 * FS_HZ)
    fast = np.flatnonzero(speed > 0.06 * speed[r_peak - 60 : r_peak + 60].max())
    runs = np.split(fast, np.flatnonzero(np.diff(fast) > lull) + 1)
    qrs = min(runs, key=lambda run: np.abs(run - r_peak).min())
    return 1000.0 * (qrs[-1] - qrs[0]) / FS_HZ


def detect_beats_s(record: EcgRecord) -> np.ndarray:
    """A plain detector that knows nothing of the generator: peaks of the smoothed energy of the slope."""
    slope = np.diff(record.signal_mv, axis=1)
    energy = np.convolve((slope**2).sum(axis=0), np.ones(50) / 50, mode="same")
    peaks, _ = find_peaks(energy, height=0.25 * np.quantile(energy, 0.99), distance=round(0.22 * FS_HZ))
    return peaks / FS_HZ


# ---- the dipole


def test_limb_leads_of_a_dipole_obey_the_laws_to_float64_rounding() -> None:
    dipole = np.random.default_rng(0).standard_normal((3, 400))
    leads = project(dipole)
    i, ii, iii, avr, avl, avf = leads[:6]
    for law in (ii - i - iii, avr + avl + avf, avr + (i + ii) / 2, avl - (i - iii) / 2, avf - (ii + iii) / 2):
        assert np.abs(law).max() <= 1e-12


def test_waves_add_up_and_those_outside_the_recording_leave_only_their_tails() -> None:
    def wave(peak_s: float, plateau: bool = False) -> Waves:
        return Waves(np.array([[1.0, 2.0, -1.0]]), np.array([peak_s]), np.array([0.02]), np.array([0.05]), plateau)

    n = 500
    both = Waves(np.ones((2, 3)), np.array([0.3, 0.35]), np.full(2, 0.02), np.full(2, 0.03))
    apart = [Waves(np.ones((1, 3)), np.array([t]), np.array([0.02]), np.array([0.03])) for t in (0.3, 0.35)]
    assert np.allclose(sum_waves(both, n, FS_HZ), sum(sum_waves(w, n, FS_HZ) for w in apart), atol=1e-12)
    assert not sum_waves(wave(-2.0), n, FS_HZ).any()
    tail = sum_waves(wave(-0.05), n, FS_HZ)
    assert tail[0, 0] == pytest.approx(np.exp(-0.5))
    assert not tail[:, -100:].any()
    flat = sum_waves(wave(0.5, plateau=True), n, FS_HZ)[0]
    assert flat[260] > 0.98 > sum_waves(wave(0.5), n, FS_HZ)[0, 265]


def test_turns_are_rotations_and_move_the_axis_as_they_say() -> None:
    turn = rotation(20.0, -15.0, 8.0)
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1.0)
    main = np.array([1.0, 0.5, 0.2])
    assert frontal_axis_deg(rotation(30.0, 0.0) @ main) > frontal_axis_deg(main) + 15.0
    assert (rotation(0.0, 20.0) @ main)[2] > main[2]  # clockwise rotation: towards the back


# ---- the laws, repeatability, splits


def test_limb_laws_hold_before_noise_and_about_as_in_real_recordings_after(clean: list[EcgRecord]) -> None:
    for record in clean[:60]:
        assert max(np.abs(r).max() for r in limb_law_residuals(record.signal_mv).values()) <= 1e-6
    noisy = synthetic_records(60, seed=11)
    snr_db = []
    for record in noisy:
        limbs = record.signal_mv[:6].astype(np.float64)
        iii_by_law = limbs[1] - limbs[0]
        snr_db.append(10 * np.log10(limbs[2].var() / (limbs[2] - iii_by_law).var()))
    assert 40.0 < np.median(snr_db) < 56.0


def test_the_same_seed_gives_the_same_bits_and_another_seed_other_patients() -> None:
    one, two, other = (synthetic_records(12, seed=s, fs_hz=100.0) for s in (5, 5, 6))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.signal_mv, b.signal_mv)
        assert a.signal_mv.dtype == np.float32
        assert (a.record_id, a.patient_id, a.report, a.labels, a.split) == (
            b.record_id,
            b.patient_id,
            b.report,
            b.labels,
            b.split,
        )
    assert not any(np.array_equal(a.signal_mv, b.signal_mv) for a, b in zip(one, other, strict=True))


def test_a_record_does_not_depend_on_how_many_follow() -> None:
    few, many = synthetic_records(7, seed=2, fs_hz=100.0), synthetic_records(31, seed=2, fs_hz=100.0)
    for a, b in zip(few, many, strict=False):
        assert a.record_id == b.record_id
        assert a.report == b.report
        assert np.array_equal(a.signal_mv, b.signal_mv)
    assert synthetic_records(0) == []


def test_the_heart_does_not_depend_on_sampling_rate_or_noise() -> None:
    fine, coarse, noisy = (
        synthetic_records(10, seed=3, fs_hz=fs_hz, noise=noise)
        for fs_hz, noise in ((500.0, False), (100.0, False), (100.0, True))
    )
    for a, b, c in zip(fine, coarse, noisy, strict=True):
        assert np.allclose(a.signal_mv[:, ::5], b.signal_mv, atol=2e-4)
        assert b.truth.pr_ms == c.truth.pr_ms or np.isnan(b.truth.pr_ms)
        assert np.array_equal(b.truth.r_peaks_s, c.truth.r_peaks_s)
        assert b.report == c.report
        assert 0 < np.abs(c.signal_mv - b.signal_mv).max() < 2.0


def test_records_have_the_promised_shape_and_no_gaps() -> None:
    for record in synthetic_records(8, seed=1, fs_hz=250.0, duration_s=4.0):
        assert record.signal_mv.shape == (12, 1000)
        assert record.duration_s == 4.0
        assert np.isfinite(record.signal_mv).all()
        assert np.abs(record.signal_mv).max() < 8.0
        assert record.truth.r_peaks_s.size >= 2
        assert (np.diff(record.truth.r_peaks_s) > 0.2).all()
        assert record.truth.r_peaks_s[0] >= 0
        assert record.truth.r_peaks_s[-1] < 4.0


def test_splits_share_no_patient_and_follow_the_proportions() -> None:
    cohort = synthetic_cohort(500, seed=4, fs_hz=50.0, duration_s=2.0)
    splits_of = defaultdict(set)
    for record in cohort.records:
        splits_of[record.patient_id].add(record.split)
    assert {len(splits) for splits in splits_of.values()} == {1}
    share = Counter(record.split for record in cohort.records)
    assert share["train"] / 500 == pytest.approx(0.7, abs=0.05)
    assert share["val"] / 500 == pytest.approx(0.1, abs=0.04)
    assert share["test"] / 500 == pytest.approx(0.2, abs=0.04)
    for split in ("train", "val", "test"):
        assert (cohort.targets("diagnosis")[cohort.indices(split)].sum(axis=0) > 0).all()


def test_every_block_of_twenty_patients_holds_every_diagnosis() -> None:
    patients = [draw_patient(9, number) for number in range(200)]
    for block in range(10):
        assert {p.diagnosis for p in patients[20 * block : 20 * block + 20]} == set(DIAGNOSES)
    spread = Counter((p.diagnosis, p.split) for p in patients if p.diagnosis == "CLBBB")
    assert spread == {("CLBBB", "train"): 7, ("CLBBB", "val"): 1, ("CLBBB", "test"): 2}


def test_a_patient_keeps_the_heart_from_visit_to_visit() -> None:
    visits = defaultdict(list)
    for record in synthetic_records(120, seed=8, noise=False):
        if record.truth.diagnosis in ("LVH", "CLBBB", "CRBBB"):
            visits[record.patient_id].append(mean_beat(record)[:, 100:250].ravel())
    same = [np.corrcoef(v[0], v[1])[0, 1] for v in visits.values() if len(v) > 1]
    firsts = [v[0] for v in visits.values()]
    others = [np.corrcoef(a, b)[0, 1] for a, b in itertools.pairwise(firsts)]
    assert min(same) > 0.97 > 0.9 > np.median(others)


def test_cohort_has_the_three_tasks_words_for_every_class_and_a_hash() -> None:
    cohort = synthetic_cohort(60, seed=1)
    assert cohort.name == "synthetic"
    assert len(cohort) == 60
    assert cohort.fs_hz == 100.0
    assert dict(cohort.tasks) == TASKS
    assert all(cohort.descriptions[code] for classes in TASKS.values() for code in classes)
    assert len(cohort.data_sha256) == 64
    assert cohort.data_sha256 == synthetic_cohort(60, seed=1).data_sha256
    assert cohort.data_sha256 != synthetic_cohort(60, seed=2).data_sha256
    assert {record.split for record in cohort.records} == {"train", "val", "test"}


def test_signals_of_a_cohort_exist_once_in_memory() -> None:
    cohort, drawn = synthetic_cohort(8, seed=3), synthetic_records(8, seed=3, fs_hz=100.0)
    for record, own, row in zip(cohort.records, drawn, cohort.signals_mv, strict=True):
        assert np.shares_memory(record.signal_mv, row)
        np.testing.assert_array_equal(record.signal_mv, own.signal_mv)


@pytest.mark.parametrize(
    ("field", "kwargs"),
    [
        ("n", {"n": -1}),
        ("seed", {"n": 1, "seed": -3}),
        ("fs_hz", {"n": 1, "fs_hz": 10.0}),
        ("fs_hz", {"n": 1, "fs_hz": float("nan")}),
        ("duration_s", {"n": 1, "duration_s": 0.5}),
    ],
)
def test_arguments_out_of_range_are_named(field: str, kwargs: dict[str, float]) -> None:
    with pytest.raises(ArgumentError) as caught:
        synthetic_records(**kwargs)
    assert caught.value.field == field
    assert caught.value.expected


# ---- what a cardiologist would look for


def test_every_diagnosis_occurs_and_labels_agree(
    clean: list[EcgRecord], by_diagnosis: dict[str, list[EcgRecord]]
) -> None:
    assert set(by_diagnosis) == set(DIAGNOSES)
    for record in clean:
        diagnosis = record.truth.diagnosis
        assert record.labels["diagnosis"] == (diagnosis,)
        assert record.labels["superclass"] == SUPERCLASSES[diagnosis]
        (rhythm,) = record.labels["rhythm"]
        if diagnosis in ("AFIB", "AFLT", "SBRAD", "STACH"):
            assert rhythm == diagnosis
        if diagnosis == "NORM":
            assert rhythm == "SR"


def test_rates_match_rhythm_labels(clean: list[EcgRecord]) -> None:
    for record in clean:
        rate = record.truth.rate_bpm
        (rhythm,) = record.labels["rhythm"]
        if record.truth.diagnosis != "PVC":
            assert {"SBRAD": rate < 62, "SR": 58 < rate < 102, "STACH": rate > 98}.get(rhythm, True), record


def test_true_r_peaks_are_where_the_signal_is(clean: list[EcgRecord]) -> None:
    for record in clean[:150]:
        magnitude = np.linalg.norm(record.signal_mv[[0, 1, 6, 7, 8, 9, 10, 11]], axis=0)
        for peak_s in record.truth.r_peaks_s:
            window = magnitude[max(0, round((peak_s - 0.06) * FS_HZ)) : round((peak_s + 0.06) * FS_HZ) + 1]
            assert magnitude[round(peak_s * FS_HZ)] > 0.6 * window.max()


def test_a_plain_detector_finds_the_true_beats(clean: list[EcgRecord]) -> None:
    hits = total = extra = 0
    for record in clean[:150]:
        found, true = detect_beats_s(record), record.truth.r_peaks_s
        inner = true[(true > 0.2) & (true < record.duration_s - 0.2)]
        near = np.abs(found[None, :] - inner[:, None]).min(axis=1)
        hits, total = hits + int((near < 0.08).sum()), total + len(inner)
        extra += sum(np.abs(true - t).min() > 0.15 for t in found)
    assert hits / total > 0.98
    assert extra / total < 0.02


def test_fibrillation_is_irregular_without_p_and_with_f_waves(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    def unevenness(beats_s: np.ndarray) -> float:
        return float(np.std(np.diff(beats_s)) / np.mean(np.diff(beats_s)))

    for record in by_diagnosis["AFIB"]:
        assert unevenness(record.truth.r_peaks_s) > 0.08
        assert np.isnan(record.truth.pr_ms)
        assert unevenness(detect_beats_s(record)) > 0.08
        spectrum = np.abs(np.fft.rfft(record.signal_mv[ROW["V1"]] * np.hanning(5000)))
        hz = np.fft.rfftfreq(5000, 1 / FS_HZ)
        assert spectrum[(hz > 4.5) & (hz < 9)].mean() > 3 * spectrum[(hz > 30) & (hz < 50)].mean()
    assert all(unevenness(r.truth.r_peaks_s) < 0.09 for r in by_diagnosis["NORM"])
    assert np.median([unevenness(r.truth.r_peaks_s) for r in by_diagnosis["AFIB"]]) > 0.15


def test_flutter_runs_at_250_to_350_and_is_conducted_in_whole_numbers(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    for record in by_diagnosis["AFLT"]:
        signal = record.signal_mv[ROW["aVF"]].astype(np.float64)
        spectrum = np.abs(np.fft.rfft((signal - signal.mean()) * np.hanning(len(signal)), 40_000))
        bpm = 60 * np.fft.rfftfreq(40_000, 1 / FS_HZ)
        atrial = bpm[np.argmax(np.where((bpm > 240) & (bpm < 360), spectrum, 0))]
        ratios = np.diff(record.truth.r_peaks_s) * atrial / 60
        assert 250 <= atrial <= 350
        assert np.abs(ratios - np.round(ratios)).max() < 0.12
        assert set(np.round(ratios)) <= {2.0, 3.0, 4.0}


def test_first_degree_block_has_a_long_pr_that_shows(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    def p_before_r_s(record: EcgRecord) -> float:
        beat = mean_beat(record, before_s=0.42)
        lead = beat[ROW["II"], : round((0.42 - 0.065) * FS_HZ)]
        start = round(0.03 * FS_HZ)
        return 0.42 - (start + int(np.argmax(lead[start:] - lead.min()))) / FS_HZ

    assert all(r.truth.pr_ms > 200 for r in by_diagnosis["1AVB"])
    assert all(112 <= r.truth.pr_ms < 200 for r in by_diagnosis["NORM"])
    slow = [r for r in by_diagnosis["1AVB"] if r.truth.rate_bpm < 85]
    normal = [r for r in by_diagnosis["NORM"] if r.truth.rate_bpm < 85]
    assert np.median([p_before_r_s(r) for r in slow]) > np.median([p_before_r_s(r) for r in normal]) + 0.05


def test_bundle_branch_blocks_are_wide_and_others_narrow(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    for diagnosis in ("CLBBB", "CRBBB"):
        for record in by_diagnosis[diagnosis]:
            assert record.truth.qrs_ms >= 120
            assert qrs_width_ms(record) > 112
        assert np.median([qrs_width_ms(r) for r in by_diagnosis[diagnosis]]) > 120
    for record in by_diagnosis["NORM"]:
        assert record.truth.qrs_ms < 110
        assert qrs_width_ms(record) < 112


def test_left_bundle_branch_block_points_away_from_v1_and_its_t_waves_oppose(
    by_diagnosis: dict[str, list[EcgRecord]],
) -> None:
    for record in by_diagnosis["CLBBB"]:
        beat = mean_beat(record)
        v1, v6 = at(beat, "V1", -0.1, 0.05), at(beat, "V6", -0.1, 0.05)
        assert v1.min() < -3 * v1.max()
        assert v6.max() > 3 * abs(v6[: len(v6) // 3].min())
        assert at(beat, "V1", 0.18, 0.4).max() > 0.1
        assert at(beat, "V6", 0.18, 0.4).min() < -0.05


def test_right_bundle_branch_block_has_a_late_r_in_v1_and_a_wide_s_in_v6(
    by_diagnosis: dict[str, list[EcgRecord]],
) -> None:
    for record in by_diagnosis["CRBBB"]:
        onset = record.truth.qrs_ms
        beat = mean_beat(record)
        v1, v6 = at(beat, "V1", -0.1, 0.14), at(beat, "V6", -0.1, 0.14)
        assert v1.max() > 0.25
        assert np.argmax(v1) > np.argmin(v1)
        assert onset >= 120
        assert v6.max() > 0.3
        assert v6[np.argmax(v6) :].min() < -0.1
    t_v1 = [at(mean_beat(r), "V1", 0.22, 0.4).mean() for r in by_diagnosis["CRBBB"]]
    assert np.median(t_v1) < -0.05


def test_hypertrophy_meets_sokolow_mostly_and_overlaps_the_normal(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    def sokolow_mv(record: EcgRecord) -> float:
        beat = mean_beat(record)
        return float(
            -at(beat, "V1", -0.06, 0.07).min() + max(at(beat, lead, -0.06, 0.07).max() for lead in ("V5", "V6"))
        )

    hypertrophy = np.array([sokolow_mv(r) for r in by_diagnosis["LVH"]])
    normal = np.array([sokolow_mv(r) for r in by_diagnosis["NORM"]])
    assert np.median(hypertrophy) > 3.5
    assert np.mean(hypertrophy > 3.5) > 0.5
    assert np.mean(normal < 3.5) > 0.85
    assert hypertrophy.min() < normal.max()


def test_strain_goes_down_where_the_r_is_tall(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    st_t = {form: [] for form in ("", "strain")}
    for record in by_diagnosis["LVH"]:
        st_t[record.provenance["form"]].append(at(mean_beat(record), "V6", 0.1, 0.34).mean())
    assert np.median(st_t["strain"]) < -0.05 < np.median(st_t[""])


def test_anterior_infarct_loses_r_in_front(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    def r_share(record: EcgRecord, lead: str) -> float:
        qrs = at(mean_beat(record), lead, -0.06, 0.07)
        early = qrs[: int(np.argmin(qrs)) + 1]
        return float(max(early.max(), 0.0) / (qrs.max() - qrs.min()))

    for lead in ("V2", "V3"):
        lost = np.median([r_share(r, lead) for r in by_diagnosis["AMI"]])
        assert lost < 0.5 * np.median([r_share(r, lead) for r in by_diagnosis["NORM"]])
    acute = [r for r in by_diagnosis["AMI"] if r.provenance["form"] == "acute"]
    assert acute
    assert all(at(mean_beat(r), "V3", 0.1, 0.13).mean() > 0.15 for r in acute)


def test_inferior_infarct_has_q_waves_below(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    def q_mv(record: EcgRecord, lead: str) -> float:
        return float(-at(mean_beat(record), lead, -0.06, -0.005).min())

    for lead in ("III", "aVF"):
        deep = np.array([q_mv(r, lead) for r in by_diagnosis["IMI"]])
        assert np.mean(deep > 0.15) > 0.85
        assert np.median(deep) > 3 * np.median([q_mv(r, lead) for r in by_diagnosis["NORM"]])
    acute = [mean_beat(r) for r in by_diagnosis["IMI"] if r.provenance["form"] == "acute"]
    assert acute
    for beat in acute:
        assert at(beat, "III", 0.1, 0.13).mean() > 0.08 > -0.02 > at(beat, "aVL", 0.1, 0.13).mean()


def test_st_depression_and_inverted_t_show(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    def st_mv(record: EcgRecord) -> float:
        return float(at(mean_beat(record), "V5", 0.10, 0.13).mean())

    depressed = np.array([st_mv(r) for r in by_diagnosis["STD_"]])
    assert np.mean(depressed < -0.05) > 0.85
    assert np.median(depressed) < -0.08 < -0.03 < np.median([st_mv(r) for r in by_diagnosis["NORM"]])
    leads_of = {"anterolateral": "V5", "inferior": "aVF", "anterior": "V2"}
    inverted = [at(mean_beat(r), leads_of[r.provenance["form"]], 0.16, 0.4).min() for r in by_diagnosis["INVT"]]
    assert np.mean(np.array(inverted) < -0.05) > 0.8


def test_premature_beats_come_early_and_pause_in_full(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    shown = 0
    for record in by_diagnosis["PVC"]:
        rr = np.diff(record.truth.r_peaks_s)
        early = np.flatnonzero(rr[1:] > 1.35 * rr[:-1])
        shown += bool(len(early))
        sinus = np.delete(rr, np.union1d(early, early + 1))
        if len(sinus) >= 3:  # else bigeminy: there is no undisturbed interval to compare with
            assert (rr[early] < 0.85 * np.median(sinus)).all()
            assert np.allclose(rr[early] + rr[early + 1], 2 * np.median(sinus), rtol=0.15)
    assert shown >= 0.9 * len(by_diagnosis["PVC"])


def test_qt_follows_the_rate_and_r_grows_from_v1_to_v4(by_diagnosis: dict[str, list[EcgRecord]]) -> None:
    rate, qt = np.array(
        [(r.truth.rate_bpm, r.truth.qt_ms) for d in ("SBRAD", "NORM", "STACH") for r in by_diagnosis[d]]
    ).T
    corrected = qt / np.cbrt(60.0 / rate)
    assert np.corrcoef(rate, qt)[0, 1] < -0.8
    assert corrected.min() > 350
    assert corrected.max() < 470
    r_mv = np.array([[at(mean_beat(r), f"V{k}", -0.06, 0.05).max() for k in range(1, 6)] for r in by_diagnosis["NORM"]])
    middle = np.median(r_mv, axis=0)
    assert (np.diff(middle[:4]) > 0).all()
    assert 0.6 < middle[4] < 2.0
    assert middle[0] < 0.5


# ---- reports


def test_reports_name_the_diagnosis_and_never_contradict_it(clean: list[EcgRecord]) -> None:
    words = {
        "SBRAD": ("bradycardia",),
        "STACH": ("tachycardia",),
        "AFIB": ("fibrillation",),
        "AFLT": ("flutter",),
        "1AVB": ("av block", "a-v block"),
        "CLBBB": ("left bundle branch block", "lbbb"),
        "CRBBB": ("right bundle branch block", "rbbb"),
        "LVH": ("lvh", "left ventricular hypertrophy"),
        "AMI": ("anter",),
        "IMI": ("inferior",),
        "STD_": ("depress",),
        "INVT": ("inver",),
        "PVC": ("ventricular",),
        "NORM": ("normal ecg",),
    }
    texts = defaultdict(set)
    for record in clean:
        text, diagnosis = clean_report(record.report), record.truth.diagnosis
        texts[diagnosis].add(text)
        assert any(word in text for word in words[diagnosis]), (diagnosis, text)
        if record.labels["superclass"] != ("NORM",):
            assert "normal ecg" not in text.replace("abnormal ecg", "")
        if diagnosis in ("AFIB", "AFLT"):
            assert "sinus" not in text
    assert all(len(found) > 1 for found in texts.values())  # several phrasings
