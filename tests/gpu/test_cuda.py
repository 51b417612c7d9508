"""What holds on the CPU holds on a GPU. Everything here needs one; elsewhere it is skipped."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import FrozenFeatures, PagePlan, feed
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.encoders.lora import add_lora
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.encoders.teachers import signal_teacher
from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.losses import objective
from ecgscan_lab.losses.gram import gram_volume
from ecgscan_lab.render.tensors import draw_batch
from ecgscan_lab.train.loop import load_model, pretrain
from ecgscan_lab.train.recipes import recipe_for
from ecgscan_lab.types import Features

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

RECIPE = replace(recipe_for("smoke", 0), steps=12, validations=2, size=(96, 224), d_shared=32)


@pytest.fixture(scope="module")
def cohort():
    return synthetic_cohort(80, seed=0)


@pytest.fixture(scope="module")
def frozen(cohort):
    rng = np.random.default_rng(0)
    n = len(cohort)
    return FrozenFeatures(
        np.tanh(rng.normal(size=(n, 32))).astype(np.float32), rng.normal(size=(n, 24)).astype(np.float32), np.arange(n)
    )


def batches(cohort, frozen, **where):
    plan = PagePlan(size=(96, 224))
    train = cohort.indices("train")
    with closing(feed(cohort, frozen, plan, train, batch_size=8, seed=0, steps=range(3), **where)) as fed:
        return [f.batch for f in fed]


def test_the_feed_brings_the_same_pages_to_the_gpu(cohort, frozen):
    here = batches(cohort, frozen)
    for workers in (0, 1):
        there = batches(cohort, frozen, workers=workers, device="cuda")
        for a, b in zip(here, there, strict=True):
            assert b.images.is_cuda
            assert torch.equal(a.images, b.images.cpu())
            assert torch.equal(a.signals_mv, b.signals_mv.cpu())


def test_pages_drawn_on_the_gpu_are_those_of_the_cpu(cohort, frozen):
    here, there = batches(cohort, frozen), batches(cohort, frozen, device="cuda", draw_on="gpu")
    for a, b in zip(here, there, strict=True):
        apart = (a.images.int() - b.images.cpu().int()).abs()
        assert (apart > 3).float().mean() < 0.01


def test_the_volume_and_its_gradient_agree():
    rows = [torch.randn(64, 48, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    found = []
    for device in ("cpu", "cuda"):
        leaves = [r.to(device, copy=True).requires_grad_() for r in rows]
        table = gram_volume(*leaves)
        table.square().sum().backward()
        found.append([table.detach().cpu(), *(leaf.grad.cpu() for leaf in leaves)])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_objective_is_finite_under_autocast_at_collapse(dtype):
    rows = torch.ones(16, 32, device="cuda", requires_grad=True)
    signal = torch.randn(16, 12, 80, device="cuda")
    with torch.autocast("cuda", dtype):
        found = objective(Features(rows, rows, rows, signal * 0.9, signal))
    found.total.backward()
    assert torch.isfinite(found.total)
    assert torch.isfinite(rows.grad).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_learns_saves_and_goes_on(cohort, frozen, tmp_path, precision):
    recipe = replace(RECIPE, precision=precision)
    whole = pretrain(cohort, frozen, recipe, tmp_path / "whole", seed=0)
    assert all(np.isfinite(float(row["total"])) for row in whole.history)
    assert next(whole.model.parameters()).is_cuda

    def stop(row):
        if row["split"] == "val":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(cohort, frozen, recipe, tmp_path / "parts", seed=0, on_step=stop)
    resumed = pretrain(cohort, frozen, recipe, tmp_path / "parts", seed=0, resume=True)
    last = [[row for row in run.history if row["split"] == "val"][-1]["total"] for run in (whole, resumed)]
    assert last[0] == pytest.approx(last[1], rel=2e-2)  # some kernels of a GPU add in any order
    model, facts = load_model(resumed.checkpoint)
    assert facts["precision"] == precision
    assert next(model.parameters()).device.type == "cpu"


def test_a_batch_in_parts_gives_the_gradient_of_the_whole(cohort, frozen, tmp_path):
    # Frozen features of a frozen tower: batch norms would see smaller batches.
    totals = []
    for micro in (None, 4):
        recipe = replace(RECIPE, precision="fp32", tower_trains="frozen", micro_batch=micro, mask_share=0.0)
        run = pretrain(cohort, frozen, recipe, tmp_path / str(micro), seed=0)
        totals.append([float(row["total"]) for row in run.history])
    assert totals[0] == pytest.approx(totals[1], rel=1e-3)


def test_clip_with_lora_trains_in_bfloat16_with_and_without_checkpointing():
    torch.manual_seed(0)
    tower = image_tower("clip-vit-l-14", size=(224, 224))
    add_lora(tower)
    model = EcgScanModel(tower, QueryDecoder(400, 64, 2, 2), d_text=24, d_shared=32).cuda().train()
    images = torch.randint(0, 255, (2, 3, 224, 224), dtype=torch.uint8, device="cuda")
    grads = []
    for on in (False, True):
        model.set_gradient_checkpointing(on)
        model.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            loss = model.image_embeddings(images).square().mean() + model.reconstruct(images).square().mean()
        loss.backward()
        grads.append(torch.cat([p.grad.flatten() for n, p in model.tower.named_parameters() if p.grad is not None]))
    assert torch.isfinite(grads[0]).all()
    assert grads[0].abs().sum() > 0
    # Reductions of bfloat16 may run in another order, so the gradients agree as a whole, not digit by digit.
    assert torch.nn.functional.cosine_similarity(grads[0], grads[1], dim=0) > 0.999


def test_features_are_those_of_the_cpu(cohort, monkeypatch):
    tower = image_tower("tiny", width=4, size=(96, 224)).eval()
    there = embed_pages(tower, cohort, (96, 224), indices=np.arange(16))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = embed_pages(tower.cpu(), cohort, (96, 224), indices=np.arange(16))
    assert np.corrcoef(there.ravel(), here.ravel())[0, 1] > 0.999


def test_the_published_teacher_runs():
    teacher = signal_teacher("d-beta")
    signals = torch.randn(2, 12, 5000, generator=torch.Generator().manual_seed(0)) * 0.3
    with torch.no_grad():
        here = teacher(signals)
        there = teacher.cuda()(signals.cuda()).cpu()
    assert torch.allclose(here, there, atol=5e-3)


def test_drawing_again_and_again_does_not_grow_memory(cohort):
    signals = torch.from_numpy(cohort.signals_mv[:32]).cuda()
    from ecgscan_lab.render.page import PageSpec

    pages = [PageSpec.compact()] * 32
    draw_batch(signals, cohort.fs_hz, pages, (192, 448), dtype=torch.uint8)
    before = torch.cuda.memory_allocated()
    for _ in range(20):
        draw_batch(signals, cohort.fs_hz, pages, (192, 448), dtype=torch.uint8)
    assert torch.cuda.memory_allocated() <= before + 2**20
