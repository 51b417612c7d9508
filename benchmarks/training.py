"""Where the time of a training step goes, how far it is from the chip's floor, and whether drawing keeps up.

    python benchmarks/training.py                          # tiny recipe on this machine, about a minute
    python benchmarks/training.py --recipe paper --plan    # the paper's run on paper: counts, floors, hours
    python benchmarks/training.py --recipe paper --device cuda --workers 12 --steps 30
    python benchmarks/training.py --recipe paper --device cuda --variants "" checkpointing compile_model

Every variant takes real steps of `train.step.take_training_step` on pages that `batch.feed` draws from synthetic
500 Hz recordings (100 Hz for tiny); the frozen features are random, which costs the same. The first steps warm up and
are not counted. Weights are random: their values do not change the cost. Printed are medians a step in milliseconds
(wait for pages, forward with loss, backward, optimiser), images a second, peak memory, and the share of the chip's own
measured matrix rate. The last line is one JSON object.

The floor: every multiply-add of the forward pass counted (`torch.utils.flop_counter`, on shapes alone), and of the
backward pass what the recipe asks for, over the rate of a large matrix product measured in the same run; and the bytes
that must move at least (weights once forward, once backward, optimiser state) over the rate of a large copy. The larger
of the two is the floor.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ecgscan_lab.batch import FrozenFeatures, feed
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.parameters import count_parameters
from ecgscan_lab.train.building import build_model
from ecgscan_lab.train.precision import pick_precision
from ecgscan_lab.train.processes import join_processes
from ecgscan_lab.train.recipes import Recipe, paper, paper_plus, quick, tiny
from ecgscan_lab.train.step import make_learner, take_training_step
from ecgscan_lab.types import Cohort, TripleBatch

RECIPES = {"tiny": tiny, "quick": lambda: quick(5000), "paper": paper, "paper_plus": paper_plus}
D_TEXT = 768
# Dense bf16 rates of data sheets in TFLOP/s, for floors on paper alone; with a GPU at hand the measured one is used.
CHIPS = {"H100 SXM": (989, 3.35), "H200": (989, 4.8), "A100": (312, 2.0), "T4 (fp16)": (65, 0.32)}


def random_weights(recipe: Recipe) -> Recipe:
    """The same recipe with nothing to download."""
    return replace(recipe, image_weights=None, text_weights=None, teacher_weights=None)


def frozen_features(n: int, recipe: Recipe) -> FrozenFeatures:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(n, recipe.d_shared)).astype(np.float32)
    return FrozenFeatures(np.tanh(signal), rng.normal(size=(n, D_TEXT)).astype(np.float32), np.arange(n))


def counted(recipe: Recipe, n_samples: int) -> dict[str, float]:
    """Operations an image of the forward pass by part, counted on shapes alone, and what a whole step needs."""
    with torch.device("meta"):
        model = build_model(recipe, D_TEXT, n_samples, seed=0)
    model = model.to("meta")
    batch = 2

    def fake(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.empty(*shape, dtype=dtype, device="meta")

    images = fake(batch, 3, *recipe.size, dtype=torch.uint8)
    triples = TripleBatch(
        images, fake(batch, 12, n_samples), fake(batch, recipe.d_shared), fake(batch, D_TEXT),
        torch.arange(batch, device="meta"),
    )  # fmt: skip
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(triples)
    with FlopCounterMode(display=False) as tower_counter, torch.no_grad():
        model.tower(images)
    tower = tower_counter.get_total_flops() / batch
    rest = counter.get_total_flops() / batch - tower
    # Backward: the gradient by the input costs one forward; that by the weights another, but not for frozen ones.
    frozen_tower = {"all": 2.0, "lora": 1.0, "frozen": 0.0}[recipe.tower_trains]
    again = 1.0 if recipe.checkpointing else 0.0
    step = tower * (1 + frozen_tower + again * (recipe.tower_trains != "frozen")) + rest * (3 + again)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    return {"tower": tower, "rest": rest, "step": step, "trainable": trainable, "parameters": total}


def chip_rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Operations a second of a large matrix product, and bytes a second of a large copy, medians of ten."""
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.empty(2**31 if device.type == "cuda" else 2**27, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def seconds(work: Any) -> float:
        times = []
        for k in range(13):
            _finish(device)
            started = time.perf_counter()
            work()
            _finish(device)
            if k > 2:
                times.append(time.perf_counter() - started)
        return statistics.median(times)

    return 2 * side**3 / seconds(lambda: a @ b), 2 * source.numel() / seconds(lambda: target.copy_(source))


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def floor_s(count: dict[str, float], batch_size: int, flops_s: float, bytes_s: float, weight_bytes: int) -> float:
    """The least seconds a step can take: arithmetic or bytes, whichever is more."""
    moved = count["parameters"] * weight_bytes * 2 + count["trainable"] * 4 * 7  # AdamW: read 4, write 3 values
    return max(count["step"] * batch_size / flops_s, moved / bytes_s)


def drawn_per_s(cohort: Cohort, frozen: FrozenFeatures, recipe: Recipe, workers: int, seconds: float = 4.0) -> float:
    """Pages a second that the feed gives when nothing else happens."""
    batches = feed(
        cohort, frozen, recipe.plan(), cohort.indices("train"), batch_size=recipe.batch_size, seed=0,
        steps=range(10**6), workers=workers,
    )  # fmt: skip
    with closing(batches):
        for _ in range(2):
            next(batches)
        started, n = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            next(batches)
            n += 1
        return n * recipe.batch_size / (time.perf_counter() - started)


def measured(
    cohort: Cohort, frozen: FrozenFeatures, recipe: Recipe, steps: int, workers: int, warm: int
) -> dict[str, float]:
    """Take real steps; medians a step."""
    processes = join_processes()
    device = processes.device
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    learner = make_learner(cohort, frozen, recipe, 0, processes)
    batches = feed(
        cohort, frozen, recipe.plan(), cohort.indices("train"), batch_size=recipe.batch_size, seed=0,
        steps=range(warm + 2 * steps), workers=workers, device=device,
    )  # fmt: skip
    laps: dict[str, list[float]] = {}
    walls = []
    with closing(batches):
        for fed in batches:
            # Half the steps are timed part by part, which waits for the device; the other half end to end.
            exact = fed.step >= warm + steps
            if fed.step in (warm, warm + steps):
                _finish(device)
                started = time.perf_counter()
            taken = take_training_step(learner, fed, exact_times=exact)
            if taken.skipped:
                raise SystemExit(f"step {fed.step} was skipped: {taken.skipped}")
            if fed.step == warm + steps - 1:
                _finish(device)
                walls.append((time.perf_counter() - started) / steps)
            if exact:
                for name, value in {"wait_s": fed.wait_s, **taken.laps}.items():
                    laps.setdefault(name, []).append(value)
    found = {name: statistics.median(values) for name, values in laps.items()}
    found["step_s"] = walls[0]
    found["images_per_s"] = recipe.batch_size / walls[0]
    if device.type == "cuda":
        found["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return found


def on_paper(recipe: Recipe, count: dict[str, float]) -> None:
    print(f"\n{'chip':<12} {'floor ms':>9} {'images/s':>9} {'hours for ' + format(recipe.steps, ',') + ' steps':>26}")
    for chip, (tflops, tb) in CHIPS.items():
        seconds = floor_s(count, recipe.batch_size, tflops * 1e12, tb * 1e12, 2)
        rate = recipe.batch_size / seconds
        print(f"{chip:<12} {1000 * seconds:9.1f} {rate:9.0f} {seconds * recipe.steps / 3600:26.1f}")
    print("Drawing must give as many pages a second; `python benchmarks/rendering.py` says what one core gives.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", choices=RECIPES, default="tiny")
    parser.add_argument("--device", choices=("cpu", "cuda"), default=None)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warm", type=int, default=4)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--batch", type=int)
    parser.add_argument(
        "--variants", nargs="+", default=[""], help="fields to change, for instance precision=fp32,batch_size=256"
    )
    parser.add_argument("--plan", action="store_true", help="count only")
    args = parser.parse_args()
    base = random_weights(RECIPES[args.recipe]())
    base = replace(base, batch_size=args.batch or base.batch_size)
    n_samples = 1000 if args.recipe in ("tiny", "quick") else 5000
    count = counted(base, n_samples)
    print(
        f"recipe {base.name}: {count['parameters'] / 1e6:.1f} M parameters, {count['trainable'] / 1e6:.1f} M trainable"
    )
    print(f"an image: tower {count['tower'] / 1e9:.2f} GFLOP forward, the rest {count['rest'] / 1e9:.2f}, a step "
          f"{count['step'] / 1e9:.2f}")  # fmt: skip
    results: dict[str, Any] = {"recipe": base.name, "torch": torch.__version__, "count": count}
    if args.plan:
        with torch.device("meta"):
            print(count_parameters(build_model(base, D_TEXT, n_samples, seed=0)).to_string(index=False))
        on_paper(base, count)
        print(json.dumps(results))
        return
    device = join_processes().device
    if args.device is not None and device.type != args.device:
        raise SystemExit(f"asked for {args.device}, found {device}")
    name = torch.cuda.get_device_name(0) if device.type == "cuda" else platform.processor() or platform.machine()
    precision = pick_precision(device, base.precision)
    flops_s, bytes_s = chip_rates(device, torch.bfloat16 if precision == "bf16" else torch.float32)
    print(f"{name}, {precision}: matrix product {flops_s / 1e12:.2f} TFLOP/s, copy {bytes_s / 1e9:.0f} GB/s")
    n_train = max(4 * base.batch_size, 320)
    cohort = synthetic_cohort(round(n_train / 0.6), seed=0, fs_hz=n_samples / 10.0)
    frozen = frozen_features(len(cohort), base)
    supply = drawn_per_s(cohort, frozen, base, args.workers)
    print(f"drawing alone, {args.workers} workers: {supply:.0f} pages/s")
    results |= {"device": name, "precision": precision, "flops_s": flops_s, "bytes_s": bytes_s, "drawn_per_s": supply}
    results["variants"] = {}
    header = (
        "variant",
        "wait",
        "forward",
        "backward",
        "optim.",
        "step",
        "floor",
        "over",
        "images/s",
        "rate share",
        "peak GB",
    )
    print(f"\n{header[0]:<44}" + "".join(f"{word:>11}" for word in header[1:]))
    for text in args.variants:
        recipe = _changed(base, text)
        found = measured(cohort, frozen, recipe, args.steps, args.workers, args.warm)
        count = counted(recipe, n_samples)
        floor = floor_s(count, recipe.batch_size, flops_s, bytes_s, 4)
        found |= {"floor_s": floor, "rate_share": count["step"] * recipe.batch_size / found["step_s"] / flops_s}
        results["variants"][text or "as it is"] = found
        cells = [
            1000 * found.get(n, 0.0) for n in ("wait_s", "forward_s", "backward_s", "optimizer_s", "step_s", "floor_s")
        ]
        print(
            f"{text or 'as it is':<44}" + "".join(f"{cell:11.1f}" for cell in cells)
            + f"{found['step_s'] / floor:11.2f}{found['images_per_s']:11.1f}{found['rate_share']:11.2f}"
            + f"{found.get('peak_gb', float('nan')):11.1f}",
            flush=True,
        )  # fmt: skip
    print(json.dumps(results))


def _changed(recipe: Recipe, text: str) -> Recipe:
    """The recipe with fields changed: "precision=fp32,checkpointing" (a bare name is true)."""
    changes: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        kind = type(getattr(recipe, name))
        changes[name] = True if not value else value if kind is str else int(value) if value.isdigit() else float(value)
    return replace(recipe, **changes)


if __name__ == "__main__":
    main()
