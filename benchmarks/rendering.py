"""How many clean ECG pages one core draws in a second, beside matplotlib with its figure and artists reused.

    python benchmarks/rendering.py            # about half a minute; add --quick for a few seconds

Prints a table and, as its last line, one JSON object. Every figure is a median of repeated passes over the same
synthetic recordings (100 and 500 Hz); every page has its own colours, pen and margins, except where "one page" is said.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from ecgscan_lab.render import PageSpec, draw_pages, page_segments, sample_page

# More pages than the renderer remembers the layout of, so that each pass lays every page out anew.
CASES = {
    "clean_448x192": ((192, 448), PageSpec.compact(), 96),
    "clean_448x448": ((448, 448), PageSpec(), 96),
    "clean_2200x1700": ((1700, 2200), PageSpec(), 6),
}


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
    return pages / statistics.median(seconds)


def matplotlib_pages(page: PageSpec, size: tuple[int, int], signals: np.ndarray, fs_hz: float) -> Callable[[], object]:
    """The fastest plain matplotlib: one Agg figure, grid as line collections, only the traces' data replaced."""
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
        axes.text(part.x0_mm, part.baseline_mm - 8, part.lead, fontsize=6)
        span = slice(round(part.t0_s * fs_hz), round(part.t1_s * fs_hz))
        x_mm = part.x0_mm + page.paper_speed_mm_per_s * np.arange(span.stop - span.start) / fs_hz
        lines.append((axes.plot(x_mm, x_mm * 0, color="black", linewidth=0.6)[0], part, span))

    def draw() -> None:
        for signal in signals:
            for line, part, span in lines:
                line.set_ydata(part.baseline_mm - page.gain_mm_per_mv * signal[LEADS.index(part.lead), span])
            canvas.draw()
            np.asarray(canvas.buffer_rgba())[..., :3].copy()

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three passes instead of eleven, and no matplotlib")
    quick = parser.parse_args().quick
    passes = 3 if quick else 11

    start = time.perf_counter()
    draw_pages(recordings(1, 100.0), 100.0, PageSpec.compact(), (192, 448), n_threads=1)
    results: dict[str, dict[str, float]] = {"pages_per_s": {}, "pages_per_s_500hz": {}, "one_page_per_s": {}}
    peers: dict[str, float] = {}
    print(f"first page (compiled, or loaded from Numba's cache) after {time.perf_counter() - start:.2f} s")
    print(f"{'pages a second, one core':26s}{'100 Hz':>10s}{'500 Hz':>10s}{'one page':>10s}{'matplotlib':>12s}")
    for name, (size, base, count) in CASES.items():
        rng = np.random.default_rng(1)
        pages, out = [sample_page(rng, base) for _ in range(count)], np.empty((count, 3, *size), np.uint8)
        cells = []
        for key, fs_hz, page in zip(results, (100.0, 500.0, 100.0), (pages, pages, base), strict=True):
            signals = recordings(count, fs_hz)

            def draw(signals=signals, fs_hz=fs_hz, page=page, size=size, out=out) -> None:  # type: ignore[no-untyped-def]
                draw_pages(signals, fs_hz, page, size, out=out, n_threads=1, channels_first=True)

            results[key][name] = round(pages_per_s(draw, count, passes), 1)
            cells.append(f"{results[key][name]:10.0f}")
        if not quick:
            peers[name] = round(pages_per_s(matplotlib_pages(base, size, recordings(4, 100.0), 100.0), 4, 5), 1)
            cells.append(f"{peers[name]:12.1f}")
        print(f"{name:26s}{''.join(cells)}")
    print(json.dumps({"benchmark": "rendering", "machine": platform.machine(), **results, "matplotlib_per_s": peers}))


if __name__ == "__main__":
    main()
