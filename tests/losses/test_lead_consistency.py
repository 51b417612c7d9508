import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LIMB_PROJECTOR, derive_limb_leads
from ecgscan_lab.losses.lead_consistency import rule_loss, violation_loss
from ecgscan_lab.losses.reconstruction import mse_loss

READINGS = ("equations", "equations_raw", "zero_sum")
P = torch.tensor(LIMB_PROJECTOR.tolist(), dtype=torch.float64)


def draw(seed: int, batch: int = 2, time: int = 9) -> torch.Tensor:
    return torch.randn(batch, 12, time, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def lawful(seed: int, batch: int = 2, time: int = 9) -> torch.Tensor:
    signal = draw(seed, batch, time)
    return torch.cat([derive_limb_leads(signal[:, 0], signal[:, 1]), signal[:, 6:]], dim=1)


def gradient(loss, reconstruction: torch.Tensor, *arguments, **options) -> torch.Tensor:
    leaf = reconstruction.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf, *arguments, **options), leaf)[0]


def naive_rule_loss(reconstruction, signal, reading, w_e=0.5, w_g=0.5) -> float:
    """Eq. 6-7 as printed, one sample at a time."""
    einthoven = augmented = 0.0
    batch, _, time = signal.shape
    for b in range(batch):
        for t in range(time):
            i, ii, iii, avr, avl, avf = reconstruction[b, :6, t].tolist()
            x = signal[b, :6, t].tolist()
            i_ref, iii_ref = (2 * i + ii - iii) / 3, (-i + ii + 2 * iii) / 3
            ii_ref = i_ref + iii_ref
            mean = (avr + avl + avf) / 3
            av_ref = {
                "equations": (-(i_ref + ii_ref) / 2, i_ref - ii_ref / 2, ii_ref - i_ref / 2),
                "equations_raw": (-(i + ii) / 2, i - ii / 2, ii - i / 2),
                "zero_sum": (avr - mean, avl - mean, avf - mean),
            }[reading]
            einthoven += sum((r - s) ** 2 for r, s in zip((i_ref, ii_ref, iii_ref), x[:3], strict=True))
            augmented += sum((r - s) ** 2 for r, s in zip(av_ref, x[3:], strict=True))
    return (w_e * einthoven + w_g * augmented) / (3 * batch * time)


@pytest.mark.parametrize("reading", READINGS)
def test_rule_loss_equals_a_naive_loop(reading):
    reconstruction, signal = draw(0), draw(1)
    loss = rule_loss(reconstruction, signal, w_einthoven=0.7, w_goldberger=0.2, goldberger=reading)
    assert float(loss) == pytest.approx(naive_rule_loss(reconstruction, signal, reading, 0.7, 0.2), abs=1e-6)


def test_default_reading_is_goldbergers_equations_with_even_weights():
    reconstruction, signal = draw(0), draw(1)
    assert float(rule_loss(reconstruction, signal)) == pytest.approx(
        naive_rule_loss(reconstruction, signal, "equations"), abs=1e-9
    )


@pytest.mark.parametrize("reading", READINGS)
def test_a_lawful_signal_reconstructed_exactly_costs_nothing(reading):
    signal = lawful(0)
    assert float(rule_loss(signal, signal, goldberger=reading)) == pytest.approx(0, abs=1e-28)


@pytest.mark.parametrize("reading", READINGS)
def test_gradcheck(reading):
    leaf = draw(0, 1, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: rule_loss(x, draw(1, 1, 2), goldberger=reading), leaf)
    assert torch.autograd.gradcheck(violation_loss, leaf)


@pytest.mark.parametrize("reading", ["equations", "zero_sum"])
def test_rule_loss_sends_no_gradient_along_einthovens_violation(reading):
    grad = gradient(rule_loss, draw(0), draw(1), goldberger=reading)[:, :3]
    assert float(grad.abs().max()) > 1e-3
    along = grad[:, 0] - grad[:, 1] + grad[:, 2]
    assert float(along.abs().max()) == pytest.approx(0, abs=1e-15)


def test_zero_sum_reading_sends_no_gradient_along_the_sum():
    grad = gradient(rule_loss, draw(0), draw(1), goldberger="zero_sum")[:, 3:6]
    assert float(grad.abs().max()) > 1e-3
    assert float(grad.sum(dim=1).abs().max()) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("reading", ["equations", "equations_raw"])
def test_goldberger_readings_never_see_the_reconstructed_augmented_leads(reading):
    assert not gradient(rule_loss, draw(0), draw(1), goldberger=reading)[:, 3:].any()


def test_raw_reading_does_reach_the_violation_without_penalising_it():
    grad = gradient(rule_loss, draw(0), draw(1), goldberger="equations_raw")[:, :3]
    assert float((grad[:, 0] - grad[:, 1] + grad[:, 2]).abs().max()) > 1e-3


def test_rule_loss_cannot_tell_a_broken_reconstruction_from_its_repair():
    signal, broken = lawful(0), lawful(0)
    broken[:, 0] += 1.0  # 1, -1, 1 is the direction that Eq. 6 removes
    broken[:, 1] -= 1.0
    broken[:, 2] += 1.0
    assert float(rule_loss(broken, signal)) == pytest.approx(0, abs=1e-28)
    # P (1, -1, 1, 0, 0, 0) = 0, so all of it counts: a square of 3, over six leads
    assert float(violation_loss(broken)) == pytest.approx(0.5, abs=1e-12)


def test_a_projection_never_exceeds_the_plain_error_on_lawful_targets():
    reconstruction, signal = draw(0), lawful(1)
    einthoven = rule_loss(reconstruction, signal, w_einthoven=1.0, w_goldberger=0.0)
    plain = (reconstruction[:, :3] - signal[:, :3]).square().mean()
    assert float(einthoven) <= float(plain)
    zero_sum = rule_loss(reconstruction, signal, w_einthoven=0.0, w_goldberger=1.0, goldberger="zero_sum")
    assert float(zero_sum) <= float((reconstruction[:, 3:6] - signal[:, 3:6]).square().mean())


def test_violation_is_zero_exactly_on_lawful_signals():
    assert float(violation_loss(lawful(0))) == pytest.approx(0, abs=1e-28)
    assert float(violation_loss(draw(0))) > 0.1


def test_violation_equals_the_projector():
    reconstruction = draw(0)
    residual = reconstruction[:, :6] - P @ reconstruction[:, :6]
    assert float(violation_loss(reconstruction)) == pytest.approx(float(residual.square().mean()), abs=1e-12)


def test_error_splits_into_lawful_part_and_violation():
    reconstruction, signal = draw(0), lawful(1)
    plain = (reconstruction[:, :6] - signal[:, :6]).square().mean()
    on_manifold = (P @ reconstruction[:, :6] - signal[:, :6]).square().mean()
    assert float(plain) == pytest.approx(float(on_manifold + violation_loss(reconstruction)), abs=1e-12)


def test_violation_gradient_is_orthogonal_to_every_lawful_signal():
    grad = gradient(violation_loss, draw(0))[:, :6]
    assert float((P @ grad).abs().max()) == pytest.approx(0, abs=1e-15)
    assert float(grad.abs().max()) > 1e-3


@pytest.mark.parametrize("reading", READINGS)
def test_chest_leads_do_not_matter(reading):
    reconstruction, signal = draw(0), draw(1)
    other = reconstruction.clone()
    other[:, 6:] += 5.0
    assert float(rule_loss(other, signal, goldberger=reading)) == float(
        rule_loss(reconstruction, signal, goldberger=reading)
    )
    assert float(violation_loss(other)) == float(violation_loss(reconstruction))
    assert not gradient(rule_loss, reconstruction, signal, goldberger=reading)[:, 6:].any()


def test_losses_scale_with_the_square_of_the_gain():
    reconstruction, signal = draw(0), draw(1)
    assert float(rule_loss(3 * reconstruction, 3 * signal)) == pytest.approx(
        9 * float(rule_loss(reconstruction, signal))
    )
    assert float(violation_loss(3 * reconstruction)) == pytest.approx(9 * float(violation_loss(reconstruction)))


def test_samples_not_recorded_are_left_out():
    reconstruction, signal = draw(0), draw(1)
    gappy = signal.clone()
    gappy[:, :, 5:] = torch.nan
    assert float(rule_loss(reconstruction, gappy)) == pytest.approx(
        float(rule_loss(reconstruction[:, :, :5], signal[:, :, :5])), abs=1e-12
    )
    grad = gradient(rule_loss, reconstruction, gappy)
    assert torch.isfinite(grad).all()
    assert not grad[:, :, 5:].any()


def test_bfloat16_reconstructions_are_judged_in_float32():
    signal = lawful(0).float()
    rounding = float(violation_loss(signal.bfloat16()))
    assert 0 < rounding < 1e-4
    assert violation_loss(signal.bfloat16()).dtype == rule_loss(signal.bfloat16(), signal).dtype == torch.float32


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("goldberger", {"goldberger": "orthogonal"}),
        ("w_einthoven", {"w_einthoven": -1.0}),
        ("w_goldberger", {"w_goldberger": float("nan")}),
        ("signal_mv", {"signal_mv": torch.zeros(2, 12, 8)}),
        ("reconstruction_mv", {"reconstruction_mv": torch.zeros(2, 8, 9)}),
    ],
)
def test_bad_arguments_are_named(field, change):
    with pytest.raises(ArgumentError) as refused:
        rule_loss(**({"reconstruction_mv": draw(0), "signal_mv": draw(1)} | change))
    assert refused.value.field == field


def test_rule_loss_and_mse_agree_when_the_reconstruction_is_lawful():
    reconstruction, signal = lawful(0), lawful(1)
    limb = torch.zeros_like(signal)
    limb[:, :6] = 1.0
    assert float(rule_loss(reconstruction, signal)) == pytest.approx(
        float(mse_loss(reconstruction, signal, weights=limb)), abs=1e-12
    )
