"""The lead doctor: what it finds, what it leaves alone, what it admits not to see."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads import LEADS, LIMB_LEADS, LeadDiagnosis, diagnose_leads, repair_leads
from ecgscan_lab.types import EcgRecord

FS_HZ = 100.0


def only(k: int, value: float, other: float = 1.0) -> np.ndarray:
    return np.where(np.arange(12) == k, value, other)[:, None]


def found(diagnosis: LeadDiagnosis) -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.kind, finding.leads) for finding in diagnosis.findings if finding.severity == "error"]


def assert_found_and_repaired(broken: np.ndarray, kind: str, leads: tuple[str, ...], original: np.ndarray) -> None:
    diagnosis = diagnose_leads(broken, fs_hz=FS_HZ)
    assert found(diagnosis) == [(kind, leads)], str(diagnosis)
    repaired = repair_leads(broken, fs_hz=FS_HZ)
    assert np.abs(repaired - original).max() < 0.02 * np.abs(original).max()
    assert diagnose_leads(repaired, fs_hz=FS_HZ).ok


# sound recordings -----------------------------------------------------------------------------------------------------


def test_sound_recordings_are_left_alone(records):
    for record in records:
        diagnosis = diagnose_leads(record)
        assert diagnosis.ok, str(diagnosis)
        assert diagnosis.snr_db > 35
        assert diagnosis.record_id == record.record_id
        assert repair_leads(record) is record


@pytest.mark.parametrize("noise_mv", [0.005, 0.03])
def test_noise_of_its_own_in_each_lead_is_no_wrong_order(signal, noise_mv):
    noisy = signal + noise_mv * np.random.default_rng(0).normal(size=signal.shape)
    assert {kind for kind, _ in found(diagnose_leads(noisy, fs_hz=FS_HZ))} <= {"misfit"}


def test_the_order_of_the_rows_does_not_matter(signal):
    order = np.random.default_rng(1).permutation(12)
    broken = signal * only(1, -1.0)
    straight = diagnose_leads(broken, fs_hz=FS_HZ)
    shuffled = diagnose_leads(broken[order], [LEADS[k].upper() for k in order], fs_hz=FS_HZ)
    assert found(straight) == found(shuffled) == [("sign", ("II",))]
    assert straight.snr_db == pytest.approx(shuffled.snr_db)


def test_a_common_gain_changes_nothing_but_the_unit(signal):
    broken = signal[[0, 1, 2, 3, 5, 4, *range(6, 12)]]
    assert found(diagnose_leads(1000 * broken, fs_hz=FS_HZ)) == [("order", ("aVL", "aVF")), ("unit", LEADS)]
    assert found(diagnose_leads(2 * broken, fs_hz=FS_HZ)) == [("order", ("aVL", "aVF"))]


def test_records_arrays_tensors_and_integers_are_judged_alike(record):
    broken = record.signal_mv * only(3, -1.0).astype(np.float32)
    as_record = dataclasses.replace(record, signal_mv=broken)
    answers = [
        diagnose_leads(as_record),
        diagnose_leads(broken, fs_hz=FS_HZ),
        diagnose_leads(torch.from_numpy(broken), fs_hz=FS_HZ),
    ]
    assert {tuple(found(answer)) for answer in answers} == {(("sign", ("aVR",)),)}
    counts = np.rint(1000 * broken).astype(np.int16)
    assert [kind for kind, _ in found(diagnose_leads(counts, fs_hz=FS_HZ))] == ["sign", "unit"]


# what the laws prove --------------------------------------------------------------------------------------------------


def test_every_swap_of_avl_and_avf_is_found(records):
    for record in records:
        signal = record.signal_mv.astype(np.float64)
        assert_found_and_repaired(signal[[0, 1, 2, 3, 5, 4, *range(6, 12)]], "order", ("aVL", "aVF"), signal)


@pytest.mark.parametrize("k", range(6))
def test_every_limb_lead_upside_down_is_found(records, k):
    for record in records[:4]:
        signal = record.signal_mv.astype(np.float64)
        assert_found_and_repaired(signal * only(k, -1.0), "sign", (LEADS[k],), signal)


@pytest.mark.parametrize("factor", [1e3, 1e-3, 2.0, 0.8])
@pytest.mark.parametrize("k", [0, 4])
def test_a_limb_lead_with_a_gain_of_its_own_is_found(signal, factor, k):
    assert_found_and_repaired(signal * only(k, factor), "gain", (LEADS[k],), signal)


def test_three_limb_leads_out_of_order_are_named(signal):
    diagnosis = diagnose_leads(signal[[0, 1, 2, 4, 5, 3, *range(6, 12)]], fs_hz=FS_HZ)
    assert found(diagnosis) == [("order", ("aVR", "aVL", "aVF"))]
    assert "aVR is in the row of aVF" in diagnosis.findings[0].sentence
    assert diagnosis.repaired_snr_db > 35 > 15 > diagnosis.snr_db


def test_an_ambiguous_sign_is_not_repaired_unasked(signal):
    """I, II, III upside down and aVR, aVL, aVF upside down differ by a turned record, which no law can see."""
    broken = signal * np.array([-1.0] * 3 + [1.0] * 9)[:, None]
    diagnosis = diagnose_leads(broken, fs_hz=FS_HZ)
    assert [finding.kind for finding in diagnosis.findings if finding.severity == "error"] == ["sign"]
    assert "other explanation" in diagnosis.findings[0].sentence
    assert repair_leads(broken, diagnosis) is broken


@pytest.mark.parametrize("k", range(6))
def test_an_offset_of_one_limb_lead_is_found(signal, k):
    assert_found_and_repaired(signal + only(k, 0.3, 0.0), "offset", (LEADS[k],), signal)


def test_an_offset_common_to_all_is_subtracted_from_all(signal):
    assert_found_and_repaired(signal + 0.5, "offset", LEADS, signal)


def test_min_max_scaling_is_named_and_not_undone(signal):
    scaled = (signal - signal.min()) / np.ptp(signal)
    diagnosis = diagnose_leads(scaled, fs_hz=FS_HZ)
    assert [kind for kind, _ in found(diagnosis)] == ["scaling", "offset"]
    assert "unit" not in diagnosis.kinds
    repaired = repair_leads(scaled, diagnosis)
    np.testing.assert_allclose(repaired * np.ptp(signal), signal, atol=0.02)


@pytest.mark.parametrize("how", ["standardised", "span"])
def test_scaling_lead_by_lead_gives_the_ratios_back(signal, how):
    size = signal.std(axis=1, keepdims=True) if how == "standardised" else np.ptp(signal, axis=1)[:, None]
    scaled = (signal - signal.mean(axis=1, keepdims=True)) / size
    diagnosis = diagnose_leads(scaled, fs_hz=FS_HZ)
    assert found(diagnosis)[0] == ("scaling", LEADS)
    gains = np.array([diagnosis.findings[0].repair.gain[lead] for lead in LIMB_LEADS])
    np.testing.assert_allclose(gains / gains[0], (size / size[0])[:6, 0], rtol=0.05)
    assert not diagnosis.findings[0].certain


def test_order_is_found_even_after_scaling_lead_by_lead(signal):
    scaled = (signal / signal.std(axis=1, keepdims=True))[[0, 1, 2, 3, 5, 4, *range(6, 12)]]
    kinds = dict(found(diagnose_leads(scaled, fs_hz=FS_HZ)))
    assert kinds["order"] == ("aVL", "aVF")
    assert "scaling" in kinds


def test_a_lead_that_does_not_follow_is_recomputed(signal):
    broken = signal.copy()
    broken[2] = np.random.default_rng(0).normal(size=signal.shape[1]) * 0.3
    assert_found_and_repaired(broken, "misfit", ("III",), signal)


def test_a_copied_limb_lead_is_called_a_duplicate(signal):
    broken = signal.copy()
    broken[4] = signal[1]
    assert_found_and_repaired(broken, "duplicate", ("aVL", "II"), signal)


def test_a_limb_lead_in_a_chest_leads_row_is_traced(signal):
    diagnosis = diagnose_leads(signal[[0, 1, 2, 3, 4, 7, 6, 5, *range(8, 12)]], fs_hz=FS_HZ)
    assert found(diagnosis) == [("order", ("aVF", "V2"))]
    assert diagnosis.findings[0].repair.take == {"aVF": "V2", "V2": "aVF"}


def test_unlawful_leads_without_a_story_are_a_misfit():
    rng = np.random.default_rng(0)
    diagnosis = diagnose_leads(0.3 * rng.normal(size=(12, 1000)).cumsum(axis=1) / 10, fs_hz=FS_HZ)
    assert ("misfit", LIMB_LEADS) in found(diagnosis)
    assert diagnosis.findings[0].repair is None


# what amplitudes and samples show -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("factor", "word"), [(1e3, "microvolts"), (1e-3, "volts")])
def test_a_wrong_unit_is_found(records, factor, word):
    for record in records[:4]:
        signal = factor * record.signal_mv.astype(np.float64)
        diagnosis = diagnose_leads(signal, fs_hz=FS_HZ)
        assert found(diagnosis) == [("unit", LEADS)]
        assert word in diagnosis.findings[0].sentence
        np.testing.assert_allclose(repair_leads(signal, fs_hz=FS_HZ), record.signal_mv, atol=1e-6)


def test_counts_may_be_microvolts_or_converter_steps(signal):
    counts = np.rint(200 * signal / np.median(np.ptp(signal, axis=1))).astype(np.int32)
    diagnosis = diagnose_leads(counts, fs_hz=FS_HZ)
    assert found(diagnosis) == [("unit", LEADS)]
    assert "converter" in diagnosis.findings[0].sentence
    assert repair_leads(counts, diagnosis) is counts, "not certain, so not done"


def test_a_chest_lead_in_another_unit_is_found(signal):
    assert_found_and_repaired(signal * only(8, 1000.0), "gain", ("V3",), signal)


def test_flat_limb_leads_are_recomputed_and_flat_chest_leads_named(signal):
    broken = signal.copy()
    broken[[1, 9]] = 0.0
    diagnosis = diagnose_leads(broken, fs_hz=FS_HZ)
    assert found(diagnosis) == [("flat", ("II",)), ("flat", ("V4",))]
    np.testing.assert_allclose(repair_leads(broken, diagnosis)[1], signal[1], atol=0.02)


def test_a_record_without_any_signal_is_flat_everywhere():
    diagnosis = diagnose_leads(np.zeros((12, 1000)), fs_hz=FS_HZ)
    assert not diagnosis.ok
    assert {kind for kind, _ in found(diagnosis)} == {"flat"}
    assert np.isnan(diagnosis.snr_db)
    assert any("no limb lead moves" in limit for limit in diagnosis.limits)


def test_a_chest_lead_copied_from_another_is_found(signal):
    broken = signal.copy()
    broken[10] = -signal[7]
    diagnosis = diagnose_leads(broken, fs_hz=FS_HZ)
    assert found(diagnosis) == [("duplicate", ("V2", "V5"))]
    assert "upside down" in diagnosis.findings[0].sentence


def test_padding_is_a_hint_and_is_left_out(signal):
    padded = np.pad(signal, ((0, 0), (130, 170)))
    diagnosis = diagnose_leads(padded, fs_hz=FS_HZ)
    assert diagnosis.ok
    (finding,) = (finding for finding in diagnosis.findings if finding.kind == "padding")
    assert finding.evidence["seconds before"] == pytest.approx(1.3, abs=0.03)
    assert finding.evidence["seconds after"] == pytest.approx(1.7, abs=0.03)
    assert diagnosis.snr_db == pytest.approx(diagnose_leads(signal, fs_hz=FS_HZ).snr_db, abs=2)


def test_gaps_are_left_out_and_named(signal):
    broken = signal.copy()
    broken[3, 100:250] = np.nan
    broken[8, 5] = np.inf
    diagnosis = diagnose_leads(broken, fs_hz=FS_HZ)
    assert diagnosis.ok
    assert ("gap", ("aVR", "V3")) in [(f.kind, f.leads) for f in diagnosis.findings]
    assert diagnosis.snr_db > 35


def test_leads_that_were_never_recorded_together_cannot_be_judged(signal):
    """Columns of a printed page: each lead shows 2.5 s of its own."""
    page = np.full_like(signal, np.nan)
    for k in range(12):
        start = 250 * (k // 3)
        page[k, start : start + 250] = signal[k, start : start + 250]
    diagnosis = diagnose_leads(page, fs_hz=FS_HZ)
    assert np.isnan(diagnosis.snr_db)
    assert any("could not be tried" in limit for limit in diagnosis.limits)
    assert diagnosis.ok


def test_a_burst_is_a_hint_with_its_time(signal):
    broken = signal.copy()
    broken[1, 610:640] += 2.0
    diagnosis = diagnose_leads(broken, fs_hz=FS_HZ)
    assert diagnosis.ok
    (finding,) = (finding for finding in diagnosis.findings if finding.kind == "burst")
    assert finding.evidence["worst window begins at, in s"] == pytest.approx(6.0)


# what only physiology can tell, and what nothing can ------------------------------------------------------------------


def test_exchanged_arms_are_a_hint_never_an_error(records):
    hinted = 0
    for record in records:
        x = record.signal_mv.astype(np.float64)
        arms = np.concatenate([[-x[0]], x[[2, 1, 4, 3, 5]], x[6:]])
        diagnosis = diagnose_leads(arms, fs_hz=FS_HZ)
        assert diagnosis.ok
        hinted += "electrodes" in diagnosis.kinds
        assert repair_leads(arms, diagnosis) is arms
    assert hinted >= len(records) / 2


def test_the_hint_of_exchanged_arms_can_be_applied_on_request(records):
    for record in records:
        x = record.signal_mv.astype(np.float64)
        arms = np.concatenate([[-x[0]], x[[2, 1, 4, 3, 5]], x[6:]])
        diagnosis = diagnose_leads(arms, fs_hz=FS_HZ)
        if any(finding.kind == "electrodes" and finding.repair for finding in diagnosis.findings):
            asked = tuple(dataclasses.replace(finding, certain=True) for finding in diagnosis.findings)
            np.testing.assert_allclose(repair_leads(arms, dataclasses.replace(diagnosis, findings=asked)), x)
            return
    pytest.fail("no record gave the hint")


def test_a_leg_electrode_on_an_arm_leaves_one_lead_flat(signal):
    iii = signal[2]
    ii = 0.02 * signal[1]
    i = ii - iii
    limb = np.stack([i, ii, iii, -(i + ii) / 2, i - ii / 2, ii - i / 2])
    diagnosis = diagnose_leads(np.concatenate([limb, signal[6:]]), fs_hz=FS_HZ)
    assert diagnosis.ok
    assert ("electrodes", ("II",)) in [(f.kind, f.leads) for f in diagnosis.findings]


def test_a_chest_lead_upside_down_is_a_hint(records):
    hits = sum(
        ("sign", ("V5",)) in [(f.kind, f.leads) for f in diagnose_leads(r.signal_mv * only(10, -1.0)).findings]
        for r in records
    )
    assert hits >= 8
    assert diagnose_leads(records[0].signal_mv * only(10, -1.0)).ok


def test_left_arm_and_left_leg_leave_no_mark_and_the_limits_say_so(signal):
    legs = np.concatenate([signal[[1, 0]], -signal[[2]], signal[[3, 5, 4]], signal[6:]])
    diagnosis = diagnose_leads(legs, fs_hz=FS_HZ)
    assert diagnosis.ok
    assert diagnosis.snr_db == pytest.approx(diagnose_leads(signal, fs_hz=FS_HZ).snr_db, abs=1e-6)
    assert any("none for LA and LL" in limit for limit in diagnosis.limits)


def test_leads_along_one_direction_are_said_to_be_ambiguous():
    wave = np.sin(np.arange(1000) / 15)
    limb = np.outer([1, 2, 1, -1.5, 0, 1.5], wave) + 1e-5 * np.random.default_rng(0).normal(size=(6, 1000))
    diagnosis = diagnose_leads(limb, LIMB_LEADS, fs_hz=FS_HZ)
    assert any("one direction only" in limit for limit in diagnosis.limits)


# telling and repairing ------------------------------------------------------------------------------------------------


def test_the_report_names_finding_fix_and_limits(signal):
    diagnosis = diagnose_leads(signal * only(1, -1.0), fs_hz=FS_HZ)
    text = str(diagnosis)
    for part in ("1 error", "II is upside down", "multiply II by -1", "not visible here", "after the repair"):
        assert part in text
    html = diagnosis._repr_html_()
    assert "II is upside down" in html
    assert "<details>" in html
    assert "nothing found" in str(diagnose_leads(signal, fs_hz=FS_HZ))


def test_names_from_files_are_escaped_in_html(record):
    evil = dataclasses.replace(record, record_id="<script>alert(1)</script>")
    html = diagnose_leads(evil)._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_repaired_record_tells_what_was_done(record):
    broken = dataclasses.replace(record, signal_mv=record.signal_mv[[0, 1, 2, 3, 5, 4, *range(6, 12)]])
    repaired = repair_leads(broken)
    assert isinstance(repaired, EcgRecord)
    np.testing.assert_allclose(repaired.signal_mv, record.signal_mv, atol=1e-6)
    assert repaired.signal_mv.dtype == np.float32
    assert repaired.provenance["repairs"] == ["lead doctor: aVL and aVF are exchanged"]
    assert broken.provenance["repairs"] == []
    assert repaired.report == record.report


def test_tensors_come_back_as_tensors(signal):
    broken = torch.from_numpy(signal * only(0, -1.0)).float()
    repaired = repair_leads(broken, fs_hz=FS_HZ)
    assert repaired.dtype == torch.float32
    np.testing.assert_allclose(repaired.numpy(), signal, atol=1e-5)


def test_gaps_survive_a_repair(signal):
    broken = signal * only(0, -1.0)
    broken[2, 40:50] = np.nan
    repaired = repair_leads(broken, fs_hz=FS_HZ)
    np.testing.assert_array_equal(np.isnan(repaired), np.isnan(broken))


@pytest.mark.parametrize(
    ("signal", "options", "error", "field"),
    [
        (np.zeros((12, 4)), {}, ArgumentError, "record"),
        (np.zeros((2, 12, 100)), {}, ArgumentError, "record"),
        (np.zeros((11, 100)), {}, ArgumentError, "record"),
        (np.zeros((12, 100), dtype=complex), {}, ArgumentError, "record"),
        ([[0.0] * 100] * 12, {}, ArgumentError, "record"),
        (np.zeros((12, 100)), {"fs_hz": 0.0}, ArgumentError, "fs_hz"),
        (np.zeros((12, 100)), {"fs_hz": float("nan")}, ArgumentError, "fs_hz"),
        (np.zeros((12, 100)), {"leads": ["I", *LEADS[:11]]}, LeadError, "leads"),
        (np.zeros((11, 100)), {"leads": LEADS[1:]}, LeadError, "leads"),
        (np.zeros((12, 100)), {"leads": [*LEADS[:11], "V7"]}, LeadError, "lead"),
    ],
)
def test_bad_input_is_refused_by_name(signal, options, error, field):
    with pytest.raises(error) as refused:
        diagnose_leads(signal, **options)
    assert refused.value.field == field


# real recordings ------------------------------------------------------------------------------------------------------


@pytest.mark.real
def test_artificial_faults_in_real_recordings_are_found_and_untouched_ones_pass(ptbxl_dir):
    """The promise of the benchmark on a subset: every swap, sign and unit found, at most 1 % false alarms."""
    from ecgscan_lab.data.wfdb_records import read_record

    headers = sorted((ptbxl_dir / "records500").rglob("*.hea"))[:120]
    assert len(headers) >= 100
    alarms = 0
    for number, header in enumerate(headers):
        record = read_record(header, fs_hz=100.0, allow_flat=True)
        signal = record.signal_mv.astype(np.float64)
        alarms += not diagnose_leads(record).ok
        faults = {
            ("order", ("aVL", "aVF")): signal[[0, 1, 2, 3, 5, 4, *range(6, 12)]],
            ("sign", (LEADS[number % 6],)): signal * only(number % 6, -1.0),
            ("gain", (LEADS[number % 5],)): signal * only(number % 5, 1000.0),
            ("unit", LEADS): 1000 * signal,
        }
        for fault, broken in faults.items():
            diagnosis = diagnose_leads(broken, fs_hz=100.0)
            assert fault in found(diagnosis), f"{header.stem}: {fault}\n{diagnosis}"
    assert alarms <= len(headers) // 100


@pytest.mark.real
def test_ludb_headers_give_each_lead_its_own_gain(real_data):
    """Their physical values are lead by lead at a span of 1; the digital values / 1000 obey the laws."""
    wfdb = pytest.importorskip("wfdb")
    folder = real_data / "other" / "ludb" / "data"
    headers = sorted(folder.glob("*.hea"))
    if not headers:
        pytest.skip(f"no LUDB recordings in {folder}")
    for header in headers:
        path = str(header.with_suffix(""))
        physical, digital = wfdb.rdrecord(path), wfdb.rdrecord(path, physical=False)
        diagnosis = diagnose_leads(physical.p_signal.T, physical.sig_name, fs_hz=physical.fs)
        assert "scaling" in [kind for kind, _ in found(diagnosis)], header.stem
        plain = diagnose_leads(digital.d_signal.T / 1000, digital.sig_name, fs_hz=digital.fs)
        assert plain.ok, f"{header.stem}\n{plain}"
        assert plain.snr_db > 40


@pytest.mark.slow
def test_false_alarms_on_many_synthetic_recordings_are_rare():
    diagnoses = [diagnose_leads(record) for record in synthetic_records(300, seed=5, fs_hz=100.0)]
    assert sum(not diagnosis.ok for diagnosis in diagnoses) == 0
    assert sum(bool(diagnosis.findings) for diagnosis in diagnoses) <= 9
