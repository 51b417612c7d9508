# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rendering: from millivolts to millimetres to pixels
#
# **What does a machine do to a heartbeat before a network may look at it?**
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ecgscan-lab/ecgscan_lab/blob/main/notebooks/01_rendering.ipynb)
# [![Launch Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/ecgscan-lab/ecgscan_lab/main?urlpath=lab/tree/notebooks/01_rendering.ipynb)
#
# | | |
# |---|---|
# | **Time and memory** | about a minute to run and about 1.2 GB; half an hour to work through |
# | **You will learn to** | *place* a millivolt on paper, *cover* a pixel with ink, *follow* a trace through folds and photographs |
# | **You need** | Python and NumPy, for section 6 a little PyTorch; no GPU, no download, no cardiology |
# | **The code** | the page: [page.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/render/page.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/render/test_page.py) |
#
# ECG-Scan (arXiv 2604.01526) learns from pages that are drawn from signals while it trains. This notebook draws them.

# %%
import sys

if "google.colab" in sys.modules:
    # %pip install -q "ecgscan-lab[notebooks] @ git+https://github.com/ecgscan-lab/ecgscan_lab"
    pass

from ecgscan_lab.nb.setup import setup_notebook

setup_notebook()

# %% tags=["parameters"]
profile = "quick"  # "smoke" for a test run, "full" draws more pages for the timing
seed = 0

# %% [markdown]
# ## 1. Paper arithmetic
#
# An ECG recorder is a plotter. Paper moves at 25 mm a second, the pen rises 10 mm for a millivolt, and a page is that and
# nothing else. Here is one synthetic recording of twelve leads, on a page described in millimetres.

# %%
import numpy as np

from ecgscan_lab import PageSpec, draw_page, synthetic_records
from ecgscan_lab.plots.ecg import plot_page
from ecgscan_lab.plots.figure import show

record = synthetic_records(1, seed=seed)[0]
page = PageSpec()
image = draw_page(record, page, dpi=110)
show(plot_page(image, highlight="V2"))

# %% [markdown]
# The blue line is the page's ground truth: the place of every sample in pixels. By hand it is two lines of arithmetic and
# one matrix, from millimetres to pixels.

# %%
from ecgscan_lab.leads import LEADS

first, stop = image.windows["V2"]
x0_mm, y0_mm, t0_s = image.origins_mm["V2"]
t_s, u_mv = np.arange(first, stop) / record.fs_hz, record.signal_mv[LEADS.index("V2"), first:stop]
x_mm, y_mm = x0_mm + 25 * (t_s - t0_s), y0_mm - 10 * u_mv
x_px, y_px, _ = image.mm_to_px @ np.stack([x_mm, y_mm, np.ones_like(x_mm)])
assert np.allclose(np.stack([x_px, y_px], axis=1), image.polylines["V2"])
assert np.allclose(image.to_mv("V2", image.polylines["V2"])[:, 1], u_mv, atol=1e-6)  # and back again
print(f"V2 starts {x0_mm:g} mm from the left, {image.mm_to_px[0, 0]:.2f} pixels a millimetre")

# %% [markdown]
# ### Exercise 01.1
#
# Write that arithmetic as a function: the place in millimetres of a sample of `u_mv` millivolts, `t_s` seconds after the
# start of a trace that begins at `(x0_mm, y0_mm)`.
#
# <details><summary>Hint 1</summary>
#
# Time runs to the right at 25 mm a second, voltage upwards at 10 mm a millivolt. Which way does y count on a page?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Millimetres are counted downwards from the top edge, so a positive voltage makes y *smaller*: subtract it.
#
# </details>

# %% tags=["exercise"]
def place_on_paper(t_s, u_mv, x0_mm, y0_mm):
    raise NotImplementedError("exercise 01.1: return (x_mm, y_mm)")

# %%
from ecgscan_lab.nb.exercises import check_exercise

check_exercise("01.1", place_on_paper)

# %% tags=["solution"]
def place_on_paper(t_s, u_mv, x0_mm, y0_mm):
    return x0_mm + 25 * t_s, y0_mm - 10 * u_mv

# %% [markdown]
# ## 2. One recording, many pages
#
# Hospitals differ: twelve leads in three rows or in twelve, one rhythm strip (a lead that runs for all ten seconds) or three,
# 50 mm a second in much of Europe, and in Scandinavia limb leads in Cabrera's order, by the direction they look from. A
# `PageSpec` describes them all; `PageSpec.machine` has common families.

# %%
from ecgscan_lab.plots.rendering import plot_page_kinds
from ecgscan_lab.render import MACHINES

show(plot_page_kinds(record, {name: PageSpec.machine(name) for name in MACHINES}))

# %% [markdown]
# The identity, measurements and statements that machines print are invented here and marked as such. They are drawn at
# random and never from the record: a page that printed its diagnosis would teach a network to read letters.

# %%
from ecgscan_lab.plots.rendering import view_page
from ecgscan_lab.render.lettering import with_lettering

lettered = with_lettering(PageSpec.machine("mac"), np.random.default_rng(seed))
show(plot_page(draw_page(record, lettered, dpi=110), title="With invented lettering"))

# %% [markdown]
# Turn the knobs of the printer. At 20 mm/mV tall beats leave the sheet, and the page says how many samples were lost.

# %%
from functools import partial

from ecgscan_lab.nb.widgets import choice, interact_figure, slider, static_twin, switch

interact_figure(
    partial(view_page, record),
    layout=choice(("3x4", "6x2", "12x1", "4x3"), "3x4", "rows x columns"),
    paper_speed_mm_per_s=choice((25.0, 50.0), 25.0, "speed, mm/s"),
    gain_mm_per_mv=slider(2.5, 20.0, 10.0, 2.5, "gain, mm/mV"),
    cabrera=switch(False, "Cabrera order"),
    grid=choice(("pink", "green", "blue", "graph", "none"), "pink", "grid"),
)

# %% [markdown]
# ## 3. From millimetres to pixels
#
# A trace is a function y(x), so it is inked column by column. In each pixel column the round pen covers an interval from
# `low` to `high`; a pixel becomes as dark as the share of it that lies inside. No line is drawn point by point, and only
# pixels that get ink are touched: that is why it is fast.

# %%
from ecgscan_lab.plots.rendering import plot_ink

show(plot_ink(record, "V2", dpi=60))

# %% [markdown]
# ### Exercise 01.2
#
# How much of the pixel between `row` and `row + 1` does a stroke from `low` to `high` cover? `low` and `high` are arrays.
#
# <details><summary>Hint 1</summary>
#
# What the stroke covers of a pixel is what lies above its lower end, less what lies above its upper end. Neither can be
# less than 0 or more than 1.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `np.clip(high - row, 0, 1)` is how far the pixel is filled up to `high`. Which share of it lies before `low`?
#
# </details>

# %% tags=["exercise"]
def pixel_coverage(low, high, row):
    raise NotImplementedError("exercise 01.2: return a share between 0 and 1 for each stroke")

# %%
check_exercise("01.2", pixel_coverage)

# %% tags=["solution"]
def pixel_coverage(low, high, row):
    return np.clip(high - row, 0, 1) - np.clip(low - row, 0, 1)

# %% [markdown]
# ### Exercise 01.3
#
# Larger towers of CLIP, the image encoder that the paper starts from, look at 336 pixels. A page 279.4 mm wide is squeezed
# into them. How many pixels wide is a second? A QRS complex, the spike of a beat, lasts about a tenth of that.
#
# <details><summary>Hint 1</summary>
#
# First find how many pixels a millimetre has. A second is 25 of those millimetres.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# The page is 279.4 mm or 336 pixels wide, so a millimetre is 336 / 279.4 pixels.
#
# </details>

# %% tags=["exercise"]
second_px = ...

# %%
check_exercise("01.3", second_px)

# %% tags=["solution"]
second_px = 25 * 336 / 279.4

# %% [markdown]
# ## 4. What happens to paper
#
# Pages are folded, copied, faxed, stained and photographed. Each effect has a strength; at 0 it changes nothing. Where an
# effect moves the ink, the ground truth moves with it: the blue line below is computed, not found in the picture.

# %%
from ecgscan_lab.plots.rendering import view_effect

settings = [{"effect": e, "strength": 0.8} for e in ("curl", "folds", "perspective", "shadow", "stains", "moire")]
show(static_twin(partial(view_effect, record), settings, [s["effect"] for s in settings], columns=3))

# %%
from ecgscan_lab.render.degrade import EFFECTS

interact_figure(
    partial(view_effect, record),
    effect=choice(tuple(EFFECTS), "wrinkles", "effect"),
    strength=slider(0.0, 1.0, 0.7, 0.1, "strength"),
    seed=slider(0, 20, seed, 1, "seed"),
    truth=switch(True, "show the ground truth of V2"),
)

# %% [markdown]
# Presets mix effects as they occur together. `paper` is ECG-Scan's list of augmentations; `photo` puts a creased sheet on a
# table; `mixture` draws one of the others for every page.

# %%
from ecgscan_lab.plots.rendering import plot_presets

show(plot_presets(record, seed=seed))

# %% [markdown]
# ### Exercise 01.4
#
# On a photograph, which trace does a pixel belong to? Use `polylines`, lead -> `[n, 2]` pixels. Beware of tall beats that
# reach into the next row.
#
# <details><summary>Hint 1</summary>
#
# Boxes overlap, so the box that holds the pixel will not do. Measure the distance from the pixel to every sample of
# every trace.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `min(polylines, key=...)` with the smallest squared distance of a trace's samples from `(x, y)`.
#
# </details>

# %% tags=["exercise"]
def find_lead(polylines, x, y):
    raise NotImplementedError("exercise 01.4: return the name of the nearest trace")

# %%
check_exercise("01.4", find_lead)

# %% tags=["solution"]
def find_lead(polylines, x, y):
    return min(polylines, key=lambda name: ((polylines[name] - (x, y)) ** 2).sum(axis=1).min())

# %% [markdown]
# ## 5. One seed, one page
#
# A page depends on its record, its `PageSpec` and its seed, and on nothing else: not on the order, the batch or the number
# of threads. What made it is kept with it, as plain numbers, and remakes it.

# %%
from ecgscan_lab.render.degrade import DegradeParams

photo = draw_page(record, degrade="photo", size=(448, 448), seed=7)
remade = draw_page(record, photo.page, DegradeParams.from_dict(photo.degradation.as_dict()), size=(448, 448))
assert (photo.pixels == remade.pixels).all()
print("effects of this page:", ", ".join(photo.degradation.active))
print(f"V2 inks {photo.mask('V2').sum()} pixels inside the box {np.round(photo.boxes['V2'], 1)}")

# %% [markdown]
# ## 6. Backwards: from ink to millivolts
#
# The same rasteriser exists in torch, and there it is differentiable: a pixel has a gradient with respect to a millivolt.
# So a flat line can be pulled onto a drawn trace by gradient descent on the picture alone.

# %%
import torch

from ecgscan_lab import draw_batch
from ecgscan_lab.plots.rendering import plot_fit_to_page
from ecgscan_lab.render.tensors import fit_signal_to_page

bare = PageSpec.compact(rhythm=("V2",), show_lead_names=False, pulses="none")
target = torch.from_numpy(record.signal_mv[:, :: round(record.fs_hz / 100)].copy())
picture = draw_batch(target[None], 100.0, bare, (192, 448))[0]
steps, seen = {"smoke": 20, "quick": 120, "full": 400}[profile], []
fit_signal_to_page(picture, 100.0, target.shape[1], bare, steps=steps, on_step=lambda k, mv: seen.append(mv[7].numpy()))
strip = target[7].numpy()  # V2, which the rhythm strip shows in full
snr_db = [10 * np.log10((strip**2).sum() / ((line - strip) ** 2).sum()) for line in seen]
show(plot_fit_to_page(strip, picture.numpy(), range(steps), snr_db, seen))

# %% [markdown]
# Where the two strokes do not overlap there is no gradient, so both pictures are blurred along the voltage axis at first,
# and less and less as the line comes near: each stage takes over where the last one can see no more.
#
# Reading a clean page back with everything known about it (`render.reading`) goes further: it finds the voltages that
# would ink the page in just this way, faster and closer than descent. At 200 dots an inch a pixel is 5 ms wide, and finer
# detail than that comes back, because a column's ink has an upper and a lower edge.

# %%
from ecgscan_lab.render.reading import read_traces

clean = draw_page(record, dpi=200)
read_back_db = {}
for name, mv in list(read_traces(clean).items())[:4]:
    drawn = record.signal_mv[LEADS.index(name), slice(*clean.windows[name])]
    read_back_db[name] = 10 * np.log10((drawn**2).mean() / ((mv - drawn) ** 2).mean())
    print(f"{name:4s} {read_back_db[name]:5.1f} dB")

# %% [markdown]
# ## 7. How fast, and why
#
# Training draws every page anew, so drawing must keep up with a GPU. Grid, traces and letters are inked in one compiled
# pass; a degraded page is warped once, whatever moved it, and its light is multiplied in once.

# %%
import time

from ecgscan_lab.render import draw_pages, sample_page
from ecgscan_lab.render.degrade import sample_params

n = {"smoke": 16, "quick": 128, "full": 1024}[profile]
signals = np.repeat(record.signal_mv[None], n, axis=0)
pages = [sample_page(np.random.default_rng(i), PageSpec()) for i in range(n)]
pages_per_s = {}
for name in ("clean", "paper", "photo"):
    params = None if name == "clean" else [sample_params(np.random.default_rng(i), name) for i in range(n)]
    draw_pages(signals[:2], record.fs_hz, pages[:2], (448, 448), degrade=params and params[:2])  # compile, warm up
    start = time.perf_counter()
    draw_pages(signals, record.fs_hz, pages, (448, 448), degrade=params)
    pages_per_s[name] = n / (time.perf_counter() - start)
    print(f"{name:6s} {pages_per_s[name]:6.0f} pages a second at 448 x 448 on this machine, all cores")

# %% [markdown]
# `benchmarks/rendering.py` does it properly: one core, medians, matplotlib beside it, and ecg-image-kit where you have it.

# %% [markdown]
# The figures of this run. `ecgscan-lab notebooks sweep 01 --grid seed=0,1,2` runs the notebook once for each seed, and puts them into
# one table.

# %%
from ecgscan_lab.nb.results import record_result

record_result(
    fitted_snr_db=snr_db[-1], least_read_back_snr_db=min(read_back_db.values()), photo_pages_per_s=pages_per_s["photo"]
)

# %% [markdown]
# ## Check yourself
#
# Four questions. Where this notebook is live, choose a letter below each; anywhere else, put your letters in place of the
# question marks in the cell that follows and run it.

# %%
from ecgscan_lab.nb.quizzes import check_quiz, quiz

quiz("01")

# %%
check_quiz("01", "?", "?", "?", "?")

# %% [markdown]
# ## What to take away
#
# - A page is geometry: two scales and one map from millimetres to pixels, and it runs backwards.
# - Ink is area: a pixel is as dark as the share of it that the pen covers, so thin lines survive small pictures.
# - Ground truth that follows every fold makes a drawn page a measuring instrument.
#
# **Limits.** Handwriting, tables and lamps are imitations, and a classifier can still tell them from photographs. Nothing
# printed on a page is anyone's. Not for clinical use.
#
# **References.** Pham et al. (2026), *Learning ECG Image Representations via Dual Physiological-Aware Alignments*, arXiv
# 2604.01526: section 5.1, pages drawn on the fly with geometric, noise, colour and grid augmentation. Shivashankara et
# al. (2024), *ECG-Image-Kit*, the renderer used there.
#
# **Next**: [02_gram_volume](02_gram_volume.ipynb), where three vectors span a volume.
