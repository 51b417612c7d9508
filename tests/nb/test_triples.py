from __future__ import annotations

import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.nb.triples import toy_triples


def test_rows_have_length_one_and_pairs_their_cosine():
    cosine = torch.tensor([-0.5, 0.0, 0.3, 0.999, 1.0])
    triples = toy_triples(cosine, noise=0.7, seed=3)
    for rows in triples:
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))
    torch.testing.assert_close((triples.report * triples.signal).sum(1), cosine)


def test_without_noise_the_image_lies_midway():
    image, report, signal = toy_triples(torch.tensor([0.2, 0.8]), noise=0.0)
    torch.testing.assert_close((image * report).sum(1), (image * signal).sum(1))
    torch.testing.assert_close((image * report).sum(1), ((1 + torch.tensor([0.2, 0.8])) / 2).sqrt())


def test_noise_of_one_turns_the_image_by_about_45_degrees():
    cosine = torch.full((50,), 0.5)
    clean, noisy = (toy_triples(cosine, noise=noise, dim=512).image for noise in (0.0, 1.0))
    assert torch.cosine_similarity(clean, noisy).mean() == pytest.approx(0.707, abs=0.02)


def test_the_same_seed_keeps_directions_while_pairs_close():
    far, near = (toy_triples(torch.full((4,), cosine), noise=0.5, seed=1) for cosine in (0.1, 0.9))
    assert torch.equal(far.report, near.report)
    assert not torch.equal(far.report, toy_triples(torch.full((4,), 0.1), noise=0.5, seed=2).report)


@pytest.mark.parametrize(
    ("cosine", "noise", "dim", "field"),
    [
        (torch.tensor([1.5]), 0.0, 4, "pair_cosine"),
        (torch.tensor([-1.0]), 0.0, 4, "pair_cosine"),
        (torch.tensor([torch.nan]), 0.0, 4, "pair_cosine"),
        (torch.tensor(0.5), 0.0, 4, "pair_cosine"),
        (torch.tensor([0.5]), -1.0, 4, "noise"),
        (torch.tensor([0.5]), 0.0, 1, "noise"),
    ],
)
def test_what_cannot_be_drawn_is_refused(cosine, noise, dim, field):
    with pytest.raises(ArgumentError) as caught:
        toy_triples(cosine, noise, dim=dim)
    assert caught.value.field == field
