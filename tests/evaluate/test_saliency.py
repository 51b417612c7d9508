from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.evaluate.saliency import beat_spans, occlusion, score_without, without
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import PageSpec, draw_page

SIZE = (128, 304)
RECORD = synthetic_records(1, seed=3, fs_hz=100.0)[0]


def looks_at(lead):
    """A score that sees the ink of one lead alone."""
    image = draw_page(RECORD, PageSpec.compact(), size=SIZE)
    ink = torch.from_numpy(image.mask(lead))
    return lambda pages: (255.0 - pages.float().amax(1))[:, ink].sum(1)


def test_the_lead_that_a_score_looks_at_matters_most():
    drops = occlusion(looks_at("V2"), RECORD, SIZE)[:, 0]
    assert LEADS[int(np.abs(drops).argmax())] == "V2"
    assert abs(drops[LEADS.index("V2")]) > 5 * np.delete(np.abs(drops), LEADS.index("V2")).max()


def test_a_score_that_does_not_look_gives_zero():
    assert not occlusion(lambda pages: torch.ones(len(pages)), RECORD, SIZE, beat_spans(RECORD)).any()


def test_beats_tile_the_recording():
    spans = beat_spans(RECORD)
    assert (spans[0][0], spans[-1][1]) == (0.0, RECORD.duration_s)
    assert all(a[1] == b[0] for a, b in pairwise(spans))


def test_the_score_without_nothing_is_that_of_the_page():
    score = looks_at("V2")
    whole, less, other = score_without(score, RECORD, [[], ["V2"], ["aVR"]], SIZE)
    assert whole - less == pytest.approx(occlusion(score, RECORD, SIZE)[LEADS.index("V2"), 0])
    assert abs(whole - other) < abs(whole - less)


def test_bad_spans_and_leads_are_named():
    with pytest.raises(ArgumentError, match="span"):
        occlusion(lambda pages: torch.ones(len(pages)), RECORD, SIZE, [(3.0, 2.0)])
    with pytest.raises(LeadError):
        without(RECORD, ["V9"])
    with pytest.raises(ArgumentError, match="shape"):
        occlusion(lambda pages: torch.ones(1, 2), RECORD, SIZE)
