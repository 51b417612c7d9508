"""What every loss promises, whatever it computes: finite at the edges, float32 inside autocast, pure."""

import pytest
import torch

from ecgscan_lab.losses import LOSSES
from ecgscan_lab.losses.contrastive import contrastive_loss
from ecgscan_lab.losses.gram import gram_loss
from ecgscan_lab.losses.pairwise import pairwise_loss
from ecgscan_lab.losses.pmrl import pmrl_loss
from ecgscan_lab.losses.redundancy import barlow_twins_loss, vicreg_loss
from ecgscan_lab.losses.siglip import siglip_loss
from ecgscan_lab.losses.symile import symile_loss
from ecgscan_lab.losses.triangle import triangle_loss

pytestmark = pytest.mark.contracts

ALIGNMENT = {
    "contrastive": lambda image, text, signal, scale: contrastive_loss(image, text, scale),
    "gram": lambda image, text, signal, scale: gram_loss(image, text, signal, scale),
    "gram squared": lambda *arguments: gram_loss(*arguments, kind="volume_squared"),
    "gram log": lambda *arguments: gram_loss(*arguments, kind="log_volume"),
    "gram plane": lambda *arguments: gram_loss(*arguments, kind="plane_distance"),
    "gram signed": lambda *arguments: gram_loss(*arguments, kind="signed_volume"),
    "gram signed plane": lambda *arguments: gram_loss(*arguments, kind="signed_plane_distance"),
    "pairwise": pairwise_loss,
    "triangle": triangle_loss,
    "symile": symile_loss,
    "pmrl": pmrl_loss,
    "siglip": lambda image, text, signal, scale: siglip_loss(image, text, scale),
    "vicreg": lambda image, text, signal, scale: vicreg_loss(image, text, signal),
    "barlow twins": lambda image, text, signal, scale: barlow_twins_loss(image, text, signal),
}
TWO_MODALITIES = {"contrastive", "siglip"}
BY_STATISTICS = {"vicreg", "barlow twins"}  # no logits, hence no scale; not normalised, hence not free of row length
NORMALISED = [name for name in ALIGNMENT if name not in BY_STATISTICS]


def used(name: str, leaves: list) -> list:
    """The modalities that a loss looks at."""
    return leaves[: 2 if name in TWO_MODALITIES else 3]


def rows(batch: int = 4, dim: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(3, batch, dim, generator=torch.Generator().manual_seed(seed))


def edge_cases() -> dict[str, torch.Tensor]:
    base = rows()
    zero_row, duplicates = base.clone(), base.clone()
    zero_row[:, 1] = 0
    duplicates[:, 2] = duplicates[:, 0]
    return {
        "modalities equal": base[:1].expand(3, -1, -1),
        "all one point": base[:1, :1].expand(3, 4, -1),
        "opposite": torch.stack([base[0], -base[0], base[0]]),
        "text equals signal": torch.stack([base[0], base[1], base[1]]),
        "duplicates in the batch": duplicates,
        "a zero row": zero_row,
        "all zero": torch.zeros_like(base),
        "one hot": torch.eye(8)[:4].expand(3, 4, 8),
        "scale 1e-6": base * 1e-6,
        "scale 1e6": base * 1e6,
        "scale 1e-30": base * 1e-30,
        "mixed scales": base * torch.tensor([1e-6, 1.0, 1e6])[:, None, None],
        "batch of one": base[:, :1],
        "one dimension": base[:, :, :1],
    }


@pytest.mark.parametrize("scale", [0.01, 14.3, 100.0])
@pytest.mark.parametrize("case", list(edge_cases()))
@pytest.mark.parametrize("name", list(ALIGNMENT))
def test_value_and_gradient_are_finite_at_the_edges(name, case, scale):
    leaves = [x.clone().requires_grad_() for x in edge_cases()[case]]
    loss = ALIGNMENT[name](*leaves, torch.tensor(scale))
    loss.backward()
    assert torch.isfinite(loss)
    for leaf in used(name, leaves):
        assert torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("name", list(ALIGNMENT))
def test_gradient_reaches_every_modality(name):
    leaves = [x.clone().requires_grad_() for x in rows()]
    scale = torch.tensor(14.3, requires_grad=True)
    ALIGNMENT[name](*leaves, scale).backward()
    for leaf in [*used(name, leaves), *([] if name in BY_STATISTICS else [scale])]:
        assert float(leaf.grad.abs().max()) > 1e-6


@pytest.mark.parametrize("name", NORMALISED)
def test_row_scale_does_not_matter(name):
    base = rows()
    expected = float(ALIGNMENT[name](*base, 14.3))
    for scale in (1e-6, 1e6):
        assert float(ALIGNMENT[name](*(base * scale), 14.3)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", list(ALIGNMENT))
def test_half_precision_autocast_changes_nothing_inside(name, dtype):
    projection = torch.nn.Linear(8, 8, bias=False)
    with torch.no_grad():
        projection.weight.copy_(rows(8, 8, 1)[0])
    with torch.autocast("cpu", dtype=dtype):
        image, text, signal = (projection(x) for x in rows())
        loss = ALIGNMENT[name](image, text, signal, 14.3)
    loss.backward()
    assert image.dtype == dtype
    assert loss.dtype == torch.float32
    exact = ALIGNMENT[name](*(x.detach().double() for x in (image, text, signal)), 14.3)
    assert float(loss.detach()) == pytest.approx(float(exact), abs=1e-4)
    assert torch.isfinite(projection.weight.grad).all()


@pytest.mark.parametrize("name", list(ALIGNMENT))
def test_a_few_steps_of_descent_align_matched_triples(name):
    leaves = [x.clone().requires_grad_() for x in rows(6, 8)]
    optimiser = torch.optim.Adam(leaves, lr=0.05)
    first = float(ALIGNMENT[name](*leaves, 14.3).detach())
    for _ in range(60):
        optimiser.zero_grad()
        loss = ALIGNMENT[name](*leaves, 14.3)
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < first - 0.2


def test_losses_are_found_by_name_and_documented():
    alternatives = {"pairwise", "triangle", "symile", "pmrl", "siglip", "vicreg", "barlow_twins"}
    signals = {"mse", "correlation", "spectral", "rule", "violation"}
    assert set(LOSSES) == {"contrastive", "gram"} | alternatives | signals
    for name, loss in LOSSES.items():
        document = loss.__doc__ or ""
        for heading in ("**Equation**", "**Source**", "Args:", "Returns:", "Raises:", "**Properties**", "Example:"):
            assert heading in document, f"{name}: {heading}"


def test_losses_leave_their_inputs_alone():
    signals = torch.randn(2, 2, 12, 6, generator=torch.Generator().manual_seed(0))
    inputs = {
        **{name: (*rows()[:2], 14.3) for name in ("contrastive", "siglip")},
        **{name: (*rows(), 14.3) for name in ("gram", "pairwise", "triangle", "symile", "pmrl")},
        **{name: tuple(rows()) for name in ("vicreg", "barlow_twins")},
        **{name: tuple(signals) for name in ("mse", "correlation", "spectral", "rule")},
        "violation": (signals[0],),
    }
    for name, loss in LOSSES.items():
        before = [x.clone() for x in inputs[name] if isinstance(x, torch.Tensor)]
        loss(*inputs[name])
        after = [x for x in inputs[name] if isinstance(x, torch.Tensor)]
        for x, y in zip(before, after, strict=True):
            torch.testing.assert_close(x, y, atol=0, rtol=0)
