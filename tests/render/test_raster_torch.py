"""The torch rasteriser: the same pictures as the Numba one, and a gradient that is right and leads somewhere."""

import importlib.util
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import PageSpec, draw_pages, sample_layout, sample_page
from ecgscan_lab.render.tensors.inverse import fit_signal_to_page
from ecgscan_lab.render.tensors.pages import prepare_pages
from ecgscan_lab.render.tensors.raster import TOLERANCE, _compose, _row_ink, _stamp, draw_batch
from ecgscan_lab.render.tensors.strokes import stroke_edges


def beats(batch, fs_hz, seconds=10.0, seed=0, noise_mv=0.02):
    """Beats of random rate and height in every lead, float32 `[batch, 12, time]`."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    signals = []
    for _ in range(batch):
        phase = (t - rng.uniform(0, 1)) % (60 / rng.uniform(50, 110))
        waves = ((0.12, 0.1, 0.02), (1.0, 0.26, 0.011), (-0.25, 0.29, 0.012), (0.3, 0.5, 0.05))
        beat = sum(a * np.exp(-(((phase - m) / s) ** 2)) for a, m, s in waves)
        signals.append(rng.uniform(-1.2, 1.4, (12, 1)) * beat + rng.normal(0, noise_mv, (12, len(t))))
    return np.array(signals, np.float32)


def differences(signals, fs_hz, pages, size):
    numba = draw_pages(signals, fs_hz, pages, size, channels_first=True)
    ours = draw_batch(torch.from_numpy(signals), fs_hz, pages, size, dtype=torch.uint8).numpy()
    return np.abs(numba.astype(int) - ours.astype(int))


ONE_ROW = PageSpec(
    layout="12x1",
    hidden=tuple(lead for lead in LEADS if lead != "II"),
    rhythm=(),
    strip_s=2.5,
    width_mm=80.0,
    height_mm=60.0,
    left_mm=12.0,
    first_baseline_mm=36.0,
    row_pitch_mm=2.0,
    pulses="none",
    show_scale=False,
    show_lead_names=False,
)
"""Lead II alone, 2.5 s, on a small sheet."""


@pytest.mark.parametrize("fs_hz", [100.0, 500.0])
@pytest.mark.parametrize(
    ("base", "size"),
    [(PageSpec.compact(), (192, 448)), (PageSpec(), (448, 448)), (PageSpec(), (510, 660)), (PageSpec(), (40, 52))],
)
def test_pictures_agree_with_the_numba_rasteriser(fs_hz, base, size):
    signals, rng = beats(3, fs_hz, seed=1), np.random.default_rng(2)
    signals[1] *= 4  # rows overlap, ink leaves the sheet
    difference = differences(signals, fs_hz, [base, *(sample_page(rng, base) for _ in range(2))], size)
    assert difference.max() <= TOLERANCE
    assert difference.mean() < 0.1


@pytest.mark.parametrize("seed", range(6))
def test_pictures_agree_in_any_layout(seed):
    rng = np.random.default_rng(seed)
    pages = [sample_layout(rng) for _ in range(3)]
    difference = differences(beats(3, 250.0, seed=seed), 250.0, pages, (360, 460))
    assert difference.max() <= TOLERANCE


def test_pictures_agree_at_200_dpi():
    assert differences(beats(1, 500.0), 500.0, PageSpec(separators="tick", frame=True), (1700, 2200)).max() <= TOLERANCE


def test_gaps_short_recordings_and_wild_samples_agree():
    signals = beats(4, 100.0, seconds=7.3)
    signals[0, :, 200:260] = np.nan
    signals[1, 3] = np.nan
    signals[2, 5, 10:20] = np.inf
    signals[3, 1, ::2] = np.nan  # isolated samples
    assert differences(signals, 100.0, PageSpec(), (300, 400)).max() <= TOLERANCE


def test_floating_pictures_are_the_whole_numbers_before_rounding():
    signals = torch.from_numpy(beats(2, 100.0))
    whole = draw_batch(signals, 100.0, PageSpec.compact(), (192, 448), dtype=torch.uint8)
    for dtype in (torch.float32, torch.float64):
        picture = draw_batch(signals.to(dtype), 100.0, PageSpec.compact(), (192, 448), dtype=dtype)
        assert picture.dtype == dtype
        assert (picture * 255 - whole).abs().max() <= 0.502
        assert picture.min() >= 0
        assert picture.max() <= 1


def test_a_page_does_not_depend_on_its_batch():
    rng = np.random.default_rng(3)
    signals, pages = torch.from_numpy(beats(5, 100.0)), [sample_layout(rng) for _ in range(5)]
    size = (200, 260)
    together = draw_batch(signals, 100.0, pages, size)
    order = torch.tensor([3, 0, 4, 2, 1])
    again = draw_batch(signals[order], 100.0, [pages[i] for i in order], size)
    assert torch.equal(again, together[order])
    for i in range(5):
        assert torch.equal(draw_batch(signals[i : i + 1], 100.0, pages[i], size)[0], together[i])


def test_prepared_pages_give_the_same_pictures_and_fit_only_their_batch():
    signals = torch.from_numpy(beats(2, 100.0))
    prepared = prepare_pages([PageSpec.compact()] * 2, (96, 224), 100.0, 1000)
    expected = draw_batch(signals, 100.0, PageSpec.compact(), (96, 224))
    assert torch.equal(draw_batch(signals, 100.0, prepared), expected)
    for other, fs_hz, size in ((signals[:1], 100.0, None), (signals, 250.0, None), (signals, 100.0, (90, 224))):
        with pytest.raises(ArgumentError, match="another batch"):
            draw_batch(other, fs_hz, prepared, size)


def test_the_gradient_is_the_finite_difference():
    """Twelve samples, double precision, four random sums over the pixels of a small page."""
    page = replace(ONE_ROW, strip_s=1.0, width_mm=45.0, trace_width_mm=1.0)
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(4, 3, 48, 36, dtype=torch.float64, generator=generator)
    trace = torch.rand(12, dtype=torch.float64, generator=generator).sub(0.5).requires_grad_(True)

    def draw(samples):
        signal = torch.zeros(1, 12, 12, dtype=torch.float64).index_put((torch.tensor([0]), torch.tensor([1])), samples)
        picture = draw_batch(signal, 12.0, page, (48, 36), dtype=torch.float64)
        return torch.einsum("kchw,chw->k", weights, picture[0])

    assert torch.autograd.gradcheck(draw, (trace,), eps=1e-6, atol=1e-5)


def test_the_gradient_reaches_shown_samples_only():
    signals = torch.from_numpy(beats(1, 100.0))
    signals[0, 4, 320:330] = torch.nan
    signals.requires_grad_(True)
    weights = torch.rand(3, 425, 550, generator=torch.Generator().manual_seed(1))
    (draw_batch(signals, 100.0, PageSpec(trace_width_mm=0.8), (425, 550))[0] * weights).sum().backward()
    pulled = signals.grad[0] != 0
    assert torch.isfinite(signals.grad).all()
    assert not pulled[0, 250:].any()  # I is shown from 0 to 2.5 s
    assert not pulled[4, :250].any()
    assert not pulled[4, 320:330].any()
    assert pulled[1].float().mean() > 0.5


def test_raising_a_trace_inks_its_upper_edge_and_frees_its_lower_one():
    signals = torch.full((1, 12, 250), 0.013, requires_grad=True)
    page = replace(ONE_ROW, grid="none", trace_width_mm=0.6)  # three pixels
    column = draw_batch(signals, 100.0, page, (301, 400))[0, 0, :, 200]
    rows = torch.where(column < 0.99)[0]
    for row, sign in ((rows[0], -1), (rows[-1], 1)):
        (pull,) = torch.autograd.grad(column[row], signals, retain_graph=True)
        assert pull.sum() * sign > 0


def test_a_flat_line_is_pulled_onto_the_ink():
    signals = torch.from_numpy(beats(1, 100.0, seconds=2.5, seed=5, noise_mv=0.005))
    signals[:, 1] /= signals[:, 1].abs().max()
    target = draw_batch(signals, 100.0, ONE_ROW, (240, 320))[0]
    frames = []
    fit = fit_signal_to_page(target, 100.0, 250, ONE_ROW, on_step=lambda step, signal: frames.append((step, signal[1])))
    error = (fit.signal_mv[1] - signals[0, 1]).square().mean()
    assert 10 * torch.log10(signals[0, 1].square().mean() / error) > 20
    assert [step for step, _ in frames] == list(range(100))
    assert not frames[0][1].any()
    assert len(fit.losses) == len(fit.stages) == 100
    assert torch.isnan(fit.signal_mv[0]).all()


def test_without_blur_a_line_beside_the_ink_stays_where_it_is():
    """Why the fit goes from coarse to fine: pictures whose ink does not overlap have no gradient between them."""
    page = replace(ONE_ROW, grid="none")
    target = draw_batch(torch.full((1, 12, 250), 0.8), 100.0, page, (240, 320))[0]
    sharp = fit_signal_to_page(target, 100.0, 250, page, steps=40, blurs_mm=(0.0,))
    coarse = fit_signal_to_page(target, 100.0, 250, page, steps=60)
    assert sharp.signal_mv[1].abs().mean() < 0.1
    assert coarse.signal_mv[1].mean() == pytest.approx(0.8, abs=0.05)


def test_the_pixel_work_is_one_graph_without_breaks():
    """`compile=True` can fuse it: nothing in it asks the device for a number. The eager backend is quick."""
    signals = torch.from_numpy(beats(1, 100.0))
    (group,) = prepare_pages([PageSpec.compact()], (48, 112), 100.0, 1000).groups
    upper, lower = stroke_edges(signals, group)
    stamped = _stamp(group, *_row_ink(upper, lower, group))
    expected = _compose(upper, lower, stamped, group, torch.uint8, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fused = torch.compile(_compose, backend="eager", fullgraph=True, dynamic=False)
        assert torch.equal(fused(upper, lower, stamped, group, torch.uint8, False), expected)


@pytest.mark.parametrize(
    ("signals", "field"),
    [
        (np.zeros((1, 12, 100), np.float32), "signals_mv"),
        (torch.zeros(12, 100), "signals_mv"),
        (torch.zeros(1, 11, 100), "signals_mv"),
        (torch.zeros(0, 12, 100), "signals_mv"),
        (torch.zeros(1, 12, 0), "signals_mv"),
        (torch.zeros(1, 12, 100, dtype=torch.int64), "signals_mv"),
        (torch.zeros(2, 12, 100), "pages"),
    ],
)
def test_batches_that_do_not_fit_are_refused(signals, field):
    with pytest.raises(ArgumentError) as caught:
        draw_batch(signals, 100.0, [PageSpec()], (96, 128))
    assert caught.value.field == field


def test_impossible_rates_and_sizes_are_refused():
    with pytest.raises(PageError, match="sampled"):
        draw_batch(torch.zeros(1, 12, 100), float("nan"), PageSpec(), (96, 128))
    with pytest.raises(PageError, match="size"):
        draw_batch(torch.zeros(1, 12, 100), 100.0, PageSpec(), (10**6, 10**6))
    with pytest.raises(ArgumentError, match="picture"):
        fit_signal_to_page(torch.zeros(3, 8, 8, dtype=torch.uint8), 100.0, 10, PageSpec())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_pictures_on_a_gpu_agree():
    rng = np.random.default_rng(0)
    signals, pages = torch.from_numpy(beats(8, 500.0)), [sample_page(rng, PageSpec()) for _ in range(8)]
    here = draw_batch(signals, 500.0, pages, (448, 448), dtype=torch.uint8).int()
    there = draw_batch(signals.cuda(), 500.0, pages, (448, 448), dtype=torch.uint8).cpu().int()
    assert (here - there).abs().max() <= TOLERANCE
    if importlib.util.find_spec("triton"):
        fused = draw_batch(signals.cuda(), 500.0, pages, (448, 448), dtype=torch.uint8, compile=True).cpu().int()
        assert (here - fused).abs().max() <= TOLERANCE
