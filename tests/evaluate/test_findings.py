from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ecgscan_lab import LEADS, draw_page, fit_page, read_paper_ecg, synthetic_records
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.evaluate import findings
from ecgscan_lab.evaluate.findings import Reference, judge_leads, reference_pages
from ecgscan_lab.render.reading.photographed import PaperRead
from ecgscan_lab.render.segments import visible_samples


@pytest.fixture(scope="module")
def reference():
    return reference_pages(n_records=120)


def test_a_photograph_gives_leads_embedding_findings_and_warnings(reference):
    record = synthetic_records(1, seed=3, fs_hz=100.0)[0]
    image = draw_page(record, dpi=150, degrade="photo", seed=0)
    found = read_paper_ecg(image.pixels, reference=reference, n_views=4)
    assert found.leads_mv.shape == (12, 1000)
    assert np.isfinite(found.leads_mv).sum(axis=1)[LEADS.index("II")] > 900
    assert np.isfinite(found.leads_mv).sum(axis=1)[LEADS.index("V1")] <= 251
    assert np.linalg.norm(found.embedding) == pytest.approx(1.0)
    assert [f.name for f in found.findings] == list(reference.classes)
    assert all(f.low <= f.score <= f.high for f in found.findings)
    assert "Not for clinical use" in str(found)
    assert found.diagnosis.verdict in str(found)
    assert "NaN or infinite, those that the page does not show" in str(found)
    both = np.isfinite(found.leads_mv)
    correlation = [np.corrcoef(found.leads_mv[k, both[k]], record.signal_mv[k, both[k]])[0, 1] for k in range(12)]
    assert np.median(correlation) > 0.8


def test_the_shipped_decoder_draws_whole_leads_from_what_a_page_shows(reference):
    records = synthetic_records(6, seed=21, fs_hz=100.0)
    signals_mv = np.stack([record.signal_mv for record in records])
    shown = visible_samples(reference.page, 100.0, 1000)
    cut = np.where(shown, signals_mv, np.nan)
    whole = reference.complete(cut)
    assert whole.shape == (6, 12, 1000)
    assert np.isfinite(whole).all()
    assert np.allclose(whole[2:3], reference.complete(cut[2:3]), atol=1e-4), "each page by itself"
    for what in (shown, ~shown):
        r = [
            np.corrcoef(whole[k, i, what[i]], signals_mv[k, i, what[i]])[0, 1] for k in range(6) for i in (0, 2, 6, 10)
        ]
        assert np.median(r) > 0.6
    other = [np.corrcoef(whole[k - 1, 0], signals_mv[k, 0])[0, 1] for k in range(6)]
    assert np.median(other) < 0.3, "of its own page, not of any"
    reference.model.decoder, kept = None, reference.model.decoder
    try:
        with pytest.raises(ArgumentError, match="no decoder"):
            reference.complete(cut[:1])
    finally:
        reference.model.decoder = kept


def test_a_page_that_was_found_already_is_not_looked_for_again(reference, monkeypatch):
    pixels = draw_page(synthetic_records(1, seed=3, fs_hz=100.0)[0], dpi=150).pixels
    fit = fit_page(pixels)
    alone = read_paper_ecg(pixels, reference=reference, n_views=2)
    monkeypatch.setattr(findings, "fit_page", lambda *given: pytest.fail("looked again"))
    found = read_paper_ecg(pixels, fit=fit, reference=reference, n_views=2)
    assert found.fit is fit
    assert str(found) == str(alone)
    with pytest.raises(ArgumentError, match="both say"):
        read_paper_ecg(pixels, fit=fit, page=fit.page, reference=reference)


def test_a_blank_page_and_noise_are_refused_not_read(reference):
    rng = np.random.default_rng(0)
    for pixels in (np.full((600, 800, 3), 250, np.uint8), rng.integers(0, 256, (600, 800, 3), dtype=np.uint8)):
        with pytest.raises(PageError):
            read_paper_ecg(pixels, reference=reference)


def test_leads_that_no_heart_makes_are_not_judged(reference):
    noise = np.random.default_rng(1).normal(size=(12, 1000)).astype(np.float32)
    _, findings, p_familiar, _ = judge_leads(PaperRead(noise, 100.0, {}), reference)
    assert p_familiar <= 0.1
    assert {f.verdict for f in findings} == {"not judged"}


def test_a_page_that_is_not_judged_is_told_what_to_do(reference, monkeypatch):
    image = draw_page(synthetic_records(1, seed=3, fs_hz=100.0)[0], dpi=150)
    monkeypatch.setattr(Reference, "p_familiar", lambda self, embedding: 0.01)
    unlike = str(read_paper_ecg(image.pixels, reference=reference, n_views=2))
    assert "Name records of patients like this one (`--reference ptbxl:FOLDER`" in unlike
    monkeypatch.setattr(findings, "DOUBTFUL", 1.1)
    assert "nothing is judged. Photograph" in str(read_paper_ecg(image.pixels, reference=lambda: reference, n_views=2))


def test_a_reference_holds_the_chosen_records_alone():
    cohort = synthetic_cohort(60, seed=5)
    held = cohort.indices("test")
    whole, part = reference_pages(cohort=cohort), reference_pages(cohort=cohort, indices=held)
    labels = cohort.targets("superclass")
    assert len(part.labels) == labels[held].any(axis=1).sum() < len(whole.labels)
    assert np.array_equal(part.labels, labels[held][labels[held].any(axis=1)])


def test_a_page_that_is_not_found_names_its_file(reference, tmp_path):
    blank = tmp_path / "blank.png"
    Image.fromarray(np.full((400, 500, 3), 250, np.uint8)).save(blank)
    with pytest.raises(PageError) as caught:
        read_paper_ecg(blank, reference=reference)
    assert caught.value.file == str(blank)
