"""How many ECG pages a second: one core against matplotlib and ecg-image-kit, threads, the torch backend, memory.

    python benchmarks/rendering.py            # about two minutes; add --quick for a few seconds
    ECGSCAN_IMAGE_KIT=FOLDER python benchmarks/rendering.py     # with a checkout of ecg-image-kit in the same run

Prints tables and, as its last line, one JSON object. Every figure is a median of repeated passes over the same
synthetic recordings, in memory (no files), on one core unless said otherwise; every page has its own colours, pen and
margins, and every degraded page its own parameters. ecg-image-kit writes a PNG a page, which it cannot do without.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from ecgscan_lab.render import PageSpec, draw_pages, page_segments, sample_page
from ecgscan_lab.render.degrade import sample_params
from ecgscan_lab.types import EcgRecord

# More pages than the renderer remembers the layout of, so that each pass lays every page out anew.
CLEAN = {
    "clean_448x192": ((192, 448), PageSpec.compact(), 96),
    "clean_448x448": ((448, 448), PageSpec(), 96),
    "clean_2200x1700": ((1700, 2200), PageSpec(), 6),
}
PRESETS = ("paper", "scan", "photo", "fax", "mixture")


def recordings(count: int, fs_hz: float, seed: int = 0) -> np.ndarray:
    """Beats of random rate and height with a little muscle noise, float32 `[count, 12, 10 s]` in mV."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(10 * fs_hz)) / fs_hz
    signals = np.empty((count, 12, len(t)), np.float32)
    for signal in signals:
        phase = (t - rng.uniform(0, 1)) % (60 / rng.uniform(50, 110))
        waves = ((0.12, 0.1, 0.02), (1.0, 0.26, 0.011), (-0.25, 0.29, 0.012), (0.3, 0.5, 0.05))
        beat = sum(a * np.exp(-(((phase - m) / s) ** 2)) for a, m, s in waves)
        signal[:] = rng.uniform(-1.2, 1.4, (12, 1)) * beat + rng.normal(0, 0.015, (12, len(t)))
    return signals


def pages_per_s(draw: Callable[[], object], pages: int, passes: int) -> float:
    """Median rate over `passes` passes, after one that is not counted (compilation, caches)."""
    draw()
    seconds = []
    for _ in range(passes):
        start = time.perf_counter()
        draw()
        seconds.append(time.perf_counter() - start)
    return round(pages / statistics.median(seconds), 1)


def matplotlib_pages(page: PageSpec, size: tuple[int, int], signals: np.ndarray, fs_hz: float) -> Callable[[], object]:
    """The fastest matplotlib: one Agg figure, grid and names drawn once and pasted, only the traces drawn anew."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ecgscan_lab.leads import LEADS

    figure = Figure(figsize=(size[1] / 100, size[0] / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, page.width_mm), ylim=(page.height_mm, 0))
    axes.axis("off")
    for step, width, colour in ((1, 0.2, "#fadbd9"), (5, 0.5, "#efa8a8")):
        axes.vlines(np.arange(0, page.width_mm, step), 0, page.height_mm, colors=colour, linewidths=width)
        axes.hlines(np.arange(0, page.height_mm, step), 0, page.width_mm, colors=colour, linewidths=width)
    lines = []
    for part in page_segments(page):
        axes.text(part.x0_mm, part.baseline_mm - 8, part.label, fontsize=6)
        span = slice(round(part.t0_s * fs_hz), round(part.t1_s * fs_hz))
        x_mm = part.x0_mm + page.paper_speed_mm_per_s * np.arange(span.stop - span.start) / fs_hz
        lines.append((axes.plot(x_mm, x_mm * 0, color="black", linewidth=0.6, animated=True)[0], part, span))
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)

    def draw() -> None:
        for signal in signals:
            canvas.restore_region(background)
            for line, part, span in lines:
                line.set_ydata(part.baseline_mm - part.gain_mm_per_mv * signal[LEADS.index(part.lead), span])
                axes.draw_artist(line)
            np.asarray(canvas.buffer_rgba())[..., :3].copy()

    return draw


def clean_rates(passes: int, fs_hz: float) -> dict[str, float]:
    """Clean pages a second on one core."""
    rates = {}
    for name, (size, base, count) in CLEAN.items():
        rng = np.random.default_rng(1)
        pages, out = [sample_page(rng, base) for _ in range(count)], np.empty((count, 3, *size), np.uint8)
        signals = recordings(count, fs_hz)

        def draw(signals=signals, pages=pages, size=size, out=out) -> None:  # type: ignore[no-untyped-def]
            draw_pages(signals, fs_hz, pages, size, out=out, n_threads=1, channels_first=True)

        rates[name] = pages_per_s(draw, count, passes)
    return rates


def degraded_pages(preset: str, count: int, jpeg: bool) -> Callable[[int], np.ndarray]:
    """Draw `count` pages of one preset on so many threads; without `jpeg` the round trip through a JPEG is left out."""
    rng = np.random.default_rng(2)
    pages = [sample_page(rng, PageSpec()) for _ in range(count)]
    params = [sample_params(np.random.default_rng([3, i]), preset) for i in range(count)]
    if not jpeg:
        params = [replace(one, jpeg=None) for one in params]
    signals, out = recordings(count, 100.0), np.empty((count, 448, 448, 3), np.uint8)
    return lambda n_threads: draw_pages(signals, 100.0, pages, (448, 448), degrade=params, out=out, n_threads=n_threads)


def torch_backend_rates(passes: int) -> dict[str, float]:
    """Clean 448 x 448 pages a second of the torch backend: on one CPU thread, forward and backward, and on a GPU."""
    import torch

    from ecgscan_lab.render.tensors import draw_batch, prepare_pages

    torch.set_num_threads(1)
    rates = {}
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        count = 16 if device == "cpu" else 512
        signals = torch.from_numpy(recordings(count, 100.0)).to(device)
        pages = [sample_page(np.random.default_rng(i), PageSpec()) for i in range(count)]
        prepared = prepare_pages(pages, (448, 448), 100.0, signals.shape[2], signals.device)

        def forward(signals=signals, prepared=prepared, fused=device == "cuda") -> None:  # type: ignore[no-untyped-def]
            draw_batch(signals, 100.0, prepared, dtype=torch.uint8, compile=fused)
            if signals.is_cuda:
                torch.cuda.synchronize()

        def backward(signals=signals, prepared=prepared) -> None:  # type: ignore[no-untyped-def]
            leaf = signals.clone().requires_grad_()
            draw_batch(leaf, 100.0, prepared).sum().backward()
            if signals.is_cuda:
                torch.cuda.synchronize()

        rates[device] = pages_per_s(forward, count, passes)
        rates[f"{device}_with_gradient"] = pages_per_s(backward, count, passes)
    return rates


def image_kit_rate(pages: int) -> float | None:
    """Pages a second of ecg-image-kit at 2200 x 1700, or None where ECGSCAN_IMAGE_KIT names no checkout."""
    if not os.environ.get("ECGSCAN_IMAGE_KIT"):
        return None
    from ecgscan_lab.render.image_kit import image_kit_seconds

    records = [EcgRecord(str(i), signal, 500.0) for i, signal in enumerate(recordings(pages, 500.0))]
    return round(1.0 / statistics.median(image_kit_seconds(records)[1:]), 3)  # the first page warms matplotlib up


def memory_growth_mb(pages: int) -> float:
    """Growth of the process's peak memory over so many degraded pages of sizes that come round, after a warm-up."""
    signals = recordings(8, 100.0)

    def draw(first: int, stop: int) -> None:
        for i in range(first, stop):
            rng = np.random.default_rng(i)
            page, params = sample_page(rng, PageSpec()), sample_params(rng, "mixture")
            draw_pages(signals[i % 8 : i % 8 + 1], 100.0, page, (192, 448), degrade=params, n_threads=1)

    draw(0, min(1000, pages))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    draw(1000, 1000 + pages)
    return round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few passes, no matplotlib, torch or memory")
    quick = parser.parse_args().quick
    passes = 3 if quick else 11
    cv2.setNumThreads(1)

    start = time.perf_counter()
    draw_pages(recordings(1, 100.0), 100.0, PageSpec.compact(), (192, 448), n_threads=1)
    print(f"first page (compiled, or loaded from Numba's cache) after {time.perf_counter() - start:.2f} s")
    rates: dict[str, float | None] = dict(clean_rates(passes, 100.0))
    rates |= {f"{name}_500hz": rate for name, rate in clean_rates(passes, 500.0).items()}
    for preset in PRESETS:
        draw = degraded_pages(preset, 96, jpeg=True)
        rates[f"{preset}_448x448"] = pages_per_s(lambda draw=draw: draw(1), 96, passes)
    draw = degraded_pages("paper", 96, jpeg=False)
    rates["paper_448x448_no_jpeg"] = pages_per_s(lambda: draw(1), 96, passes)
    draw = degraded_pages("paper", 96, jpeg=True)
    threads = {n: pages_per_s(lambda n=n: draw(n), 96, passes) for n in (1, 2, 4) if n <= (os.cpu_count() or 1)}

    growth, torch_rates = None, {}
    if not quick:
        for name, (size, base, _) in CLEAN.items():
            peer = matplotlib_pages(base, size, recordings(4, 100.0), 100.0)
            rates[name.replace("clean", "matplotlib")] = pages_per_s(peer, 4, 5)
        torch_rates = torch_backend_rates(passes=5)
        growth = memory_growth_mb(10_000)
    rates["image_kit_2200x1700"] = kit = None if quick else image_kit_rate(7)
    for name, rate in rates.items():
        print(f"{name:32s}{'-' if rate is None else f'{rate:10.1f}'}")
    print(f"paper_448x448 by threads: {threads}; memory growth over 10,000 pages: {growth} MB; torch: {torch_rates}")
    ratio = None if kit is None else round((rates["clean_2200x1700"] or 0.0) / kit, 1)
    print(json.dumps({"benchmark": "rendering", "machine": platform.machine(), "pages_per_s": rates,
                      "ratio_to_image_kit": ratio, "paper_448x448_by_threads": threads,
                      "memory_growth_mb": growth, "torch_pages_per_s": torch_rates}))  # fmt: skip


if __name__ == "__main__":
    main()
