import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.reconstruction import mse_loss, visibility_weights

few = settings(max_examples=40, deadline=None)


def draw(seed: int, batch: int = 2, time: int = 6) -> torch.Tensor:
    return torch.randn(batch, 12, time, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def naive_mse(reconstruction, signal, weights=None) -> float:
    total = count = 0.0
    weights = torch.ones_like(signal) if weights is None else weights.expand(signal.shape)
    flat = (tensor.flatten().tolist() for tensor in (reconstruction, signal, weights))
    for predicted, recorded, weight in zip(*flat, strict=True):
        if not math.isnan(recorded):
            total += weight * (predicted - recorded) ** 2
            count += weight
    return total / count if count else 0.0


@few
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_equals_a_naive_loop_with_gaps_and_weights(seed, missing):
    reconstruction, signal = draw(seed), draw(seed + 1)
    chance = torch.rand(3, *signal.shape, generator=torch.Generator().manual_seed(seed))
    signal[chance[0] < missing] = torch.nan
    weights = torch.where(chance[1] < 0.3, 1.0, 0.25) * (chance[2] > 0.2)
    assert float(mse_loss(reconstruction, signal)) == pytest.approx(naive_mse(reconstruction, signal), abs=1e-6)
    weighted = mse_loss(reconstruction, signal, weights=weights)
    assert float(weighted) == pytest.approx(naive_mse(reconstruction, signal, weights), abs=1e-6)


def test_is_the_plain_mean_square_on_complete_recordings():
    reconstruction, signal = draw(0), draw(1)
    expected = torch.nn.functional.mse_loss(reconstruction, signal)
    assert float(mse_loss(reconstruction, signal)) == pytest.approx(float(expected), abs=1e-12)


def test_samples_not_recorded_change_neither_value_nor_gradient():
    signal = draw(1)
    signal[0, 3, 2:] = torch.nan
    gradients = []
    for fill in (0.0, 1e6):
        reconstruction = draw(0)
        reconstruction[0, 3, 2:] = fill
        reconstruction.requires_grad_()
        loss = mse_loss(reconstruction, signal)
        gradients.append((float(loss.detach()), *torch.autograd.grad(loss, reconstruction)))
    assert gradients[0][0] == gradients[1][0]
    torch.testing.assert_close(gradients[0][1], gradients[1][1], atol=0, rtol=0)
    assert not gradients[0][1][0, 3, 2:].any()
    assert gradients[0][1].isfinite().all()


def test_nothing_recorded_is_zero_with_a_zero_gradient():
    reconstruction = draw(0).requires_grad_()
    loss = mse_loss(reconstruction, torch.full((2, 12, 6), torch.nan))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not reconstruction.grad.any()


def test_weights_may_broadcast_and_only_their_ratios_count():
    reconstruction, signal = draw(0), draw(1)
    by_lead = torch.arange(12.0)[:, None]
    expected = float(mse_loss(reconstruction, signal, weights=by_lead))
    assert expected == pytest.approx(naive_mse(reconstruction, signal, by_lead), abs=1e-9)
    assert float(mse_loss(reconstruction, signal, weights=7 * by_lead)) == pytest.approx(expected, abs=1e-12)
    one = mse_loss(reconstruction, signal, weights=torch.tensor(3.0))
    assert float(one) == pytest.approx(float(mse_loss(reconstruction, signal)), abs=1e-12)


@pytest.mark.parametrize("batched", [True, False])
def test_hidden_samples_can_count_less(batched):
    signal, reconstruction = torch.zeros(1, 12, 4), torch.zeros(1, 12, 4)
    reconstruction[:, :, 0] = 1.0  # wrong where the page shows the trace
    visible = torch.zeros(1, 12, 4, dtype=torch.bool)
    visible[:, :, 0] = True
    weights = visibility_weights(visible if batched else visible[0], 0.25)
    assert float(mse_loss(reconstruction, signal, weights=weights)) == pytest.approx(1 / 1.75)
    only_shown = visibility_weights(visible, 0.0)
    assert float(mse_loss(reconstruction, signal, weights=only_shown)) == pytest.approx(1)
    assert float(mse_loss(reconstruction, signal, weights=1 - only_shown)) == 0


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("visible", (torch.ones(12, 4),)),
        ("visible", (torch.ones(11, 4, dtype=torch.bool),)),
        ("visible", (torch.ones(4, dtype=torch.bool),)),
        ("hidden_weight", (torch.ones(12, 4, dtype=torch.bool), -0.1)),
        ("hidden_weight", (torch.ones(12, 4, dtype=torch.bool), math.nan)),
    ],
)
def test_bad_masks_are_named(field, arguments):
    with pytest.raises(ArgumentError) as refused:
        visibility_weights(*arguments)
    assert refused.value.field == field


def test_gradcheck():
    signal = draw(1, 1, 2)
    signal[0, 0, 0] = torch.nan
    assert torch.autograd.gradcheck(lambda x: mse_loss(x, signal), draw(0, 1, 2).requires_grad_())


def test_scales_with_the_square_of_the_gain():
    reconstruction, signal = draw(0), draw(1)
    expected = float(mse_loss(reconstruction, signal))
    for gain in (1e-6, 1e6):
        assert float(mse_loss(gain * reconstruction, gain * signal)) == pytest.approx(gain**2 * expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    reconstruction = torch.full((1, 12, 5000), 300.0, dtype=dtype)  # 300 squared overflows float16
    assert float(mse_loss(reconstruction, torch.zeros(1, 12, 5000))) == pytest.approx(9e4)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("reconstruction_mv", {"reconstruction_mv": torch.zeros(12, 6)}),
        ("reconstruction_mv", {"reconstruction_mv": torch.zeros(2, 8, 6)}),
        ("reconstruction_mv", {"reconstruction_mv": torch.full((2, 12, 6), torch.nan)}),
        ("reconstruction_mv", {"reconstruction_mv": torch.zeros(2, 12, 6).long()}),
        ("signal_mv", {"signal_mv": torch.zeros(1, 12, 6)}),
        ("signal_mv", {"signal_mv": torch.full((2, 12, 6), torch.inf)}),
        ("signal_mv", {"signal_mv": [0.0]}),
        ("weights", {"weights": torch.ones(2, 11, 6)}),
        ("weights", {"weights": -torch.ones(2, 12, 6)}),
        ("weights", {"weights": torch.full((2, 12, 6), torch.nan)}),
    ],
)
def test_bad_arguments_are_named(field, change):
    with pytest.raises(ArgumentError) as refused:
        mse_loss(**({"reconstruction_mv": draw(0), "signal_mv": draw(1)} | change))
    assert refused.value.field == field
    assert refused.value.expected
