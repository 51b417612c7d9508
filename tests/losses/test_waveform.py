import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.reconstruction import mse_loss
from ecgscan_lab.losses.waveform import FLAT, correlation_loss, spectral_loss

BOTH = {"correlation": correlation_loss, "spectral": spectral_loss}


def draw(seed: int = 0, batch: int = 2, time: int = 20) -> torch.Tensor:
    return torch.randn(batch, 12, time, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def naive_correlation(predicted, signal, weights) -> float:
    values = []
    for x, y, w in zip(predicted.flatten(0, 1), signal.flatten(0, 1), weights.flatten(0, 1), strict=True):
        samples = [(a, b, c) for a, b, c in zip(x.tolist(), y.tolist(), w.tolist(), strict=True) if not math.isnan(b)]
        total = sum(c for _, _, c in samples)
        if total == 0:
            continue
        mean_x, mean_y = (sum(s[k] * s[2] for s in samples) / total for k in (0, 1))
        cov = sum(c * (a - mean_x) * (b - mean_y) for a, b, c in samples) / total
        var_x = sum(c * (a - mean_x) ** 2 for a, _, c in samples) / total
        var_y = sum(c * (b - mean_y) ** 2 for _, b, c in samples) / total
        if var_y > FLAT:
            values.append(1 - cov / math.sqrt((var_x + FLAT) * (var_y + FLAT)))
    return sum(values) / len(values) if values else 0.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1))
def test_correlation_equals_a_naive_loop_with_gaps_and_weights(seed, missing):
    predicted, signal = draw(seed), draw(seed + 1)
    chance = torch.rand(2, *signal.shape, generator=torch.Generator().manual_seed(seed))
    signal[chance[0] < missing] = torch.nan
    signal[0, 4] = 0.3  # a flat lead
    weights = torch.where(chance[1] < 0.5, 1.0, 0.25)
    loss = correlation_loss(predicted, signal, weights=weights)
    assert float(loss) == pytest.approx(naive_correlation(predicted, signal, weights), abs=1e-6)


def test_correlation_does_not_mind_gain_and_offset():
    predicted, signal = draw(0), draw(1)
    expected = float(correlation_loss(predicted, signal))
    gain, offset = torch.linspace(0.5, 3, 12)[:, None], torch.linspace(-2, 2, 12)[:, None]
    assert float(correlation_loss(gain * predicted + offset, signal)) == pytest.approx(expected, abs=1e-5)
    assert float(correlation_loss(-signal, signal)) == pytest.approx(2, abs=1e-5)
    assert float(correlation_loss(torch.zeros_like(signal), signal)) == pytest.approx(1)


def naive_spectral(predicted, signal, window) -> float:
    """Hann-windowed discrete Fourier transforms of the padded leads, one frame at a time."""
    hann = torch.tensor([0.5 - 0.5 * math.cos(2 * math.pi * n / window) for n in range(window)], dtype=torch.float64)

    def magnitudes(leads):
        padded = torch.nn.functional.pad(leads.flatten(0, 1), (window // 2, window // 2))
        starts = range(0, padded.shape[-1] - window + 1, window // 4)
        frames = torch.stack([padded[:, start : start + window] * hann for start in starts], dim=1)
        return (torch.fft.rfft(frames).abs().square() + 1e-6).sqrt()

    ours, theirs = magnitudes(predicted), magnitudes(signal)
    return float((ours - theirs).norm() / theirs.norm() + (ours.log() - theirs.log()).abs().mean())


def test_spectral_equals_fourier_transforms_of_frames():
    predicted, signal = draw(0, time=64), draw(1, time=64)
    expected = (naive_spectral(predicted, signal, 8) + naive_spectral(predicted, signal, 16)) / 2
    assert float(spectral_loss(predicted, signal, windows=(8, 16))) == pytest.approx(expected, abs=1e-5)


def test_spectral_prefers_complexes_a_little_late_to_none_and_the_mean_square_does_not():
    t = torch.arange(500, dtype=torch.float64) / 100
    spikes = torch.exp(-(((t % 1 - 0.5) / 0.012) ** 2)).expand(1, 12, 500)
    late, none = spikes.roll(4, -1), torch.zeros_like(spikes)
    assert float(mse_loss(late, spikes)) > 1.5 * float(mse_loss(none, spikes))
    assert float(spectral_loss(late, spikes)) < 0.3 * float(spectral_loss(none, spikes))
    assert float(spectral_loss(-spikes, spikes)) == 0


@pytest.mark.parametrize("name", list(BOTH))
def test_samples_not_recorded_change_neither_value_nor_gradient(name):
    signal = draw(1)
    signal[0, 3, 5:] = torch.nan
    signal[1, 7] = torch.nan
    results = []
    for fill in (0.0, 1e6):
        predicted = draw(0)
        predicted[torch.isnan(signal)] = fill
        predicted.requires_grad_()
        loss = BOTH[name](predicted, signal)
        results.append((loss.detach(), *torch.autograd.grad(loss, predicted)))
    for plain, filled in zip(*results, strict=True):
        torch.testing.assert_close(plain, filled, atol=0, rtol=0)
    assert not results[0][1][torch.isnan(signal)].any()
    assert torch.isfinite(results[0][1]).all()


@pytest.mark.parametrize("name", list(BOTH))
@pytest.mark.parametrize("case", ["flat", "equal", "nothing recorded", "one sample", "large", "tiny"])
def test_value_and_gradient_are_finite_at_the_edges(name, case):
    predicted, signal = draw(0).float(), draw(1).float()
    predicted, signal = {
        "flat": (torch.zeros_like(predicted), torch.zeros_like(signal)),
        "equal": (signal.clone(), signal),
        "nothing recorded": (predicted, torch.full_like(signal, torch.nan)),
        "one sample": (predicted[:1, :, :1], signal[:1, :, :1]),
        "large": (predicted * 1e6, signal * 1e6),
        "tiny": (predicted * 1e-6, signal * 1e-6),
    }[case]
    predicted = predicted.clone().requires_grad_()
    loss = BOTH[name](predicted, signal)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(predicted.grad).all()
    if case in ("equal", "nothing recorded"):
        assert float(loss.detach()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", list(BOTH))
def test_gradcheck(name):
    signal = draw(1, 1, 9)
    signal[0, 0, 0] = torch.nan
    assert torch.autograd.gradcheck(lambda x: BOTH[name](x, signal), draw(0, 1, 9).requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", list(BOTH))
def test_half_precision_is_computed_in_float32(name, dtype):
    predicted, signal = draw(0).to(dtype), draw(1).float()
    with torch.autocast("cpu", dtype=dtype):
        loss = BOTH[name](predicted, signal)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(BOTH[name](predicted.double(), signal.double())), abs=1e-4)


def test_bad_arguments_are_named():
    predicted, signal = draw(0), draw(1)
    for field, call in (
        ("signal_mv", lambda: correlation_loss(predicted, signal[:1])),
        ("weights", lambda: correlation_loss(predicted, signal, weights=-torch.ones(20))),
        ("reconstruction_mv", lambda: spectral_loss(predicted[:, :8], signal[:, :8])),
        ("windows", lambda: spectral_loss(predicted, signal, windows=())),
        ("windows", lambda: spectral_loss(predicted, signal, windows=(2, 64))),
    ):
        with pytest.raises(ArgumentError) as refused:
            call()
        assert refused.value.field == field
