# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Three vectors, one volume
#
# **What does the volume of three vectors reward, and where does it mislead a network?**
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ecgscan-lab/ecgscan_lab/blob/main/notebooks/02_gram_volume.ipynb)
# [![Launch Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/ecgscan-lab/ecgscan_lab/main?urlpath=lab/tree/notebooks/02_gram_volume.ipynb)
#
# | | |
# |---|---|
# | **Time and memory** | under a minute to run and about 0.9 GB; an hour to work through |
# | **You will learn to** | *turn* three vectors and read their volume, *find* where the published formula fails, *choose* a cure |
# | **You need** | dot products, gradients, a little PyTorch; no data, no GPU, no cardiology |
# | **The code** | Eq. 2-4: [gram.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/losses/gram.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/losses/test_gram.py) |
#
# An ECG page, its signal and its report describe one heartbeat, so their embeddings should point the same way. ECG-Scan
# (arXiv 2604.01526) asks for that with a volume, after GRAM (arXiv 2412.11959). Equation numbers below are ECG-Scan's.

# %%
import sys

if "google.colab" in sys.modules:
    # %pip install -q "ecgscan-lab[notebooks] @ git+https://github.com/ecgscan-lab/ecgscan_lab"
    pass

from ecgscan_lab.nb.setup import setup_notebook

setup_notebook()

# %% tags=["parameters"]
profile = "quick"  # "smoke" for a test run, "full" for the paper's batch of 80
seed = 0

# %% [markdown]
# ## 1. The body that three vectors span
#
# Scale the embeddings of image, report and signal to length one. They span a parallelepiped. Its volume is 1 when they
# stand at right angles, and 0 when they lie in one plane.

# %%
from ecgscan_lab.nb.widgets import static_twin
from ecgscan_lab.plots.figure import show
from ecgscan_lab.plots.geometry import plot_turned_triple

turns = [{"pair_deg": 90, "tilt_deg": 90}, {"pair_deg": 40, "tilt_deg": 90},
         {"pair_deg": 90, "tilt_deg": 20}, {"pair_deg": 10, "tilt_deg": 10}]  # fmt: skip
show(static_twin(plot_turned_triple, turns))

# %% [markdown]
# *Pair* is the angle between report and signal, *tilt* how far the image rises out of their plane. Volume is base area
# times height, sin(pair) · sin(tilt): it shrinks when the image sinks into the plane (below left), **and just as much when
# report and signal close up and the image does nothing** (above right). Remember that one.
#
# Turn them yourself. Can you make the volume zero in three different ways?

# %%
from ecgscan_lab.nb.widgets import interact_figure, slider

interact_figure(
    plot_turned_triple,
    pair_deg=slider(0, 180, 60, 5, "report to signal (degrees)"),
    tilt_deg=slider(0, 90, 35, 5, "image above plane (degrees)"),
    turn_deg=slider(-180, 180, 20, 10, "image within plane (degrees)"),
    azimuth_deg=slider(-180, 180, -60, 10, "your viewpoint (degrees)"),
)

# %% [markdown]
# In 768 dimensions nobody measures angles. The Gram matrix $G$ holds all dot products of the three vectors, and
# $V = \sqrt{|\det G|}$ (Eq. 2-3):

# %%
import torch

from ecgscan_lab.losses.gram import gram_volume
from ecgscan_lab.plots.geometry import unit_triple

vectors = torch.tensor(unit_triple(pair_deg=60, tilt_deg=35, turn_deg=20)).float()
gram = vectors @ vectors.T
volume = torch.linalg.det(gram).abs().sqrt()
assert torch.allclose(gram_volume(*vectors.split(1))[0, 0], volume, atol=1e-4)
print(gram.numpy().round(2), f"\n\nvolume {volume:.3f}")

# %% [markdown]
# ### Exercise 02.1
#
# $G$ has ones on its diagonal, so three numbers decide: the cosines $a$ (image, report), $b$ (image, signal) and $c$
# (report, signal). Write its determinant without a matrix. For a batch of 2,048 this spares four million small matrices.
#
# <details><summary>Hint 1</summary>
#
# Write the determinant of [[1, a, b], [a, 1, c], [b, c, 1]] and expand it along its first row.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Three terms are squares with a minus sign. Two more are equal, and hold all three cosines: together `2 * a * b * c`.
#
# </details>

# %% tags=["exercise"]
def gram_determinant(a, b, c):
    raise NotImplementedError("exercise 02.1: write det G of three unit vectors from their cosines")

# %%
from ecgscan_lab.nb.exercises import check_exercise

check_exercise("02.1", gram_determinant)

# %% tags=["solution"]
def gram_determinant(a, b, c):
    return 1 + 2 * a * b * c - a**2 - b**2 - c**2

# %% [markdown]
# ## 2. Volume over cosines
#
# Fix the cosine between report and signal, and let the image go anywhere.

# %%
from ecgscan_lab.plots.geometry import plot_volume_surface

interact_figure(plot_volume_surface, text_signal=slider(-0.95, 0.95, 0.5, 0.05, "cosine (report, signal)"))

# %% [markdown]
# Two things to see. The volume is zero along the whole edge: anywhere in the plane will do, between report and signal or
# far from both. And the picture is symmetric about its centre: **the image and its opposite have the same volume**.
# As the cosine grows, the ellipse closes and its middle darkens: the volume is small whatever the image does.

# %%
apart, close = {"text_signal": 0.0}, {"text_signal": 0.8}
show(static_twin(plot_volume_surface, [apart, close], ["At right angles", "Close together"]))

# %% [markdown]
# ## 3. A batch
#
# The loss compares every image $i$ with every pair (report, signal) $j$, and asks for the smallest volume on the diagonal
# (Eq. 4): $L_{gram} = \frac{1}{2}[CE(-\tau V) + CE(-\tau V^T)]$, with $CE$ the cross-entropy of picking the right one out of a
# batch of $B$, and $\tau$ a scale that multiplies. Who guesses pays $\ln B$. The library smooths the labels,
# so its least possible loss is not zero: section 8 says why. We draw toy triples whose report and signal lie at
# a chosen cosine, and whose image lies midway, but for noise.

# %%
import math

from ecgscan_lab.losses import smoothed_floor
from ecgscan_lab.losses.gram import gram_loss
from ecgscan_lab.nb.triples import toy_triples
from ecgscan_lab.train.recipes import recipe_for

batch, scale = recipe_for(profile, 240).batch_size, 14.3  # GRAM's temperature of 0.07, turned over
triples = toy_triples(torch.full((batch,), 0.7), noise=0.5, seed=seed)
V = gram_volume(*triples)
print(f"volume of matched triples {V.diagonal().mean():.2f}, of mismatched ones {V[~torch.eye(batch, dtype=bool)].mean():.2f}")
print(f"loss {gram_loss(*triples, scale):.3f}; guessing {math.log(batch):.3f}; the least possible {smoothed_floor(batch):.3f}")

# %% [markdown]
# ## 4. Where the root gives NaN
#
# When a network collapses, its three vectors become one. Then the determinant is zero, the slope of the root is infinite,
# the slope of the modulus is zero, and $\infty \cdot 0$ is NaN. Four lines show it:

# %%
same = torch.ones(3, 8, requires_grad=True)
rows = torch.nn.functional.normalize(same, dim=1)
torch.linalg.det(rows @ rows.T).abs().sqrt().backward()
print(same.grad.numpy())

# %% [markdown]
# The library keeps the published computation as `reference="gram"`, for comparison, and guards its own:

# %%
for reference in ("gram", None):
    same = torch.ones(1, 8, requires_grad=True)
    gram_volume(same, same, same, reference=reference).sum().backward()
    print(f"reference={reference}:", same.grad[0].numpy())
    assert same.grad.isnan().all() == (reference == "gram")

# %% [markdown]
# One such triple in a batch, and every weight of the network is NaN one step later. Collapse need not be exact: mixed
# precision does the rest. To save time and memory, torch's `autocast` computes products in bfloat16, 16-bit numbers of two to
# three decimal digits. Let report and signal close up, and compute the dot products in it.

# %%
from torch.nn.functional import normalize

from ecgscan_lab.plots.geometry import plot_rounding

gaps = torch.logspace(-6, -1, 11, dtype=torch.float64)
exact, computed = [], {"float32": [], "bfloat16": []}
for gap in gaps:
    image, report, signal = toy_triples((1 - gap).repeat(24), noise=1.0, dim=768, seed=seed)
    rows = torch.stack((normalize(image + normalize(signal - report)), report, signal), dim=1)  # nearer to the signal
    exact.append(torch.linalg.det(rows.double() @ rows.double().mT).mean())
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        dots = rows.to(dtype) @ rows.to(dtype).mT
        computed[name].append(torch.linalg.det(dots.float()))
show(plot_rounding(gaps, exact, {name: torch.stack(values) for name, values in computed.items()}))

# %% [markdown]
# Beyond a cosine of 0.999 most bfloat16 determinants are noise. Hollow ones are **below zero**: the modulus turns their
# gradient round, and descent drives the vectors apart. The bars at the foot are exact zeros: NaN again. The library leaves
# mixed precision here, works in float32, clamps at zero and adds $10^{-8}$ under the root.
#
# ### Exercise 02.2
#
# Take the root of a determinant so that value and gradient stay sound at zero, close to zero, and below it.
#
# <details><summary>Hint 1</summary>
#
# The slope of $\sqrt u$ is $1 / (2 \sqrt u)$. What keeps $u$ away from zero? And what is the slope of $|u|$ where
# rounding has made $u$ negative?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Below zero means as small as can be: clamp instead of taking the modulus, and add something small *under* the root.
#
# </details>

# %% tags=["exercise"]
def safe_volume(determinant):
    raise NotImplementedError("exercise 02.2: take the root so that value and gradient stay finite")

# %%
check_exercise("02.2", safe_volume)

# %% tags=["solution"]
def safe_volume(determinant):
    return (determinant.clamp_min(0) + 1e-8).sqrt()

# %% [markdown]
# ## 5. Where the loss climbs back to $\ln B$
#
# Now for what section 1 asked you to remember. Report and signal close up; each image stays as close to its own pair as it
# was.

# %%
from ecgscan_lab.plots.geometry import plot_curves

angles = torch.linspace(90, 0, 31)
kinds = ("volume", "log_volume", "plane_distance")
closing = [toy_triples(angle.deg2rad().cos().repeat(batch), noise=0.5, seed=seed) for angle in angles]
losses = {kind: [gram_loss(*triples, scale, kind=kind).item() for triples in closing] for kind in kinds}
levels = {"guessing, ln B": math.log(batch), "least possible": smoothed_floor(batch)}
show(plot_curves(angles, losses, xlabel="angle between report and signal (degrees)", ylabel="loss (nats)", levels=levels))
assert abs(losses["volume"][-1] - math.log(batch)) < 0.01

# %% [markdown]
# Read it from right to left. When two modalities agree perfectly, which is what alignment is *for*, all volumes vanish, and
# the loss has nothing left to tell images apart: it is back at guessing. The text projection is trained, so the network can
# walk into that corner, and no image needs to move. A logarithm only puts it off, until the guard inside it drowns the rest.
#
# The cure follows from base times height. Squared, with $d$ the distance of image $i$ from the plane of pair $j$:
# $V_{ij}^2 = (1 - c_j^2)\, d_{ij}^2$. The first factor knows nothing of the image, so divide it out. That is
# `kind="plane_distance"`.

# %%
c = (triples.report * triples.signal).sum(1)
d = gram_volume(*triples, kind="plane_distance")
torch.testing.assert_close(gram_volume(*triples) ** 2, (1 - c**2) * d**2, atol=1e-4, rtol=0)

# %% [markdown]
# ## 6. Hubs
#
# In a real batch the pairs differ: for a plain sinus rhythm report and signal agree, for a rare finding they do not. Here
# the cosine of the pairs runs from 0 to 0.98. Which pair does each image find closest?

# %%
from ecgscan_lab.plots.geometry import plot_hubs

cosines = torch.linspace(0, 0.98, batch)
spread = toy_triples(cosines, noise=1.5, seed=seed)
tables = {kind: gram_volume(*spread, kind=kind) for kind in ("volume", "plane_distance")}
show(plot_hubs(cosines, tables, {"volume": "volume V", "plane_distance": "plane distance d"}))

# %% [markdown]
# Left: one pair, the most parallel, is the nearest to nearly every image. It is a **hub**: its whole column is small, since
# $\sqrt{1 - c_j^2}$ is. Right: with that factor divided out, images find their own pairs again. The cosines spread wider here
# than in most batches. Training can make them alike, but that is effort spent on pairs, not on images.
#
# ### Exercise 02.3
#
# Write the distance of every image from the plane of every pair. Rows have length one.
#
# <details><summary>Hint 1</summary>
#
# Section 5 says it: $V^2 = (1 - c^2)\, d^2$. Two of the three cosines are tables of the batch, one is a vector.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `image @ report.T` and `image @ signal.T` are the tables, `(report * signal).sum(1)` is $c$. Divide the determinant of
# exercise 02.1 by $1 - c^2$, which belongs to the columns, and take the root.
#
# </details>

# %% tags=["exercise"]
def distances_from_planes(image, report, signal):
    raise NotImplementedError("exercise 02.3: distance of every image from the plane of every pair, [batch, batch]")

# %%
check_exercise("02.3", distances_from_planes)

# %% tags=["solution"]
def distances_from_planes(image, report, signal):
    a, b, c = image @ report.T, image @ signal.T, (report * signal).sum(1)
    determinant = 1 + 2 * a * b * c - a**2 - b**2 - c**2
    return (determinant / (1 - c**2)).clamp_min(0).sqrt()

# %% [markdown]
# ## 7. The sign
#
# A volume does not know front from back. Replace every image by its opposite: the loss is the same. The signed kinds add what
# is missing, $(1 - \cos)^2$ under the root, with the cosine between the image and the mean direction of the other two: nothing
# when the image points along it, 1 at a right angle, 4 when it points the other way.

# %%
import pandas as pd

kinds = ("volume", "plane_distance", "signed_volume", "signed_plane_distance")
matched = toy_triples(torch.full((batch,), 0.7), noise=0.3, seed=seed)
opposite = (-matched.image, matched.report, matched.signal)
rows = {kind: [gram_loss(*each, scale, kind=kind).item() for each in (matched, opposite)] for kind in kinds}
pd.DataFrame(rows, index=["images as they are", "all images reversed"]).T.round(2)

# %% [markdown]
# Does it happen in training? Let free image vectors start anywhere and descend. Then look which way each ended up.

# %%
def trained_cosines(kind, steps=100):
    start = torch.randn(matched.image.shape, generator=torch.Generator().manual_seed(seed + 1))
    image = start.requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        gram_loss(image, matched.report, matched.signal, scale, kind=kind).backward()
        optimizer.step()
    return torch.cosine_similarity(image.detach(), matched.report + matched.signal)


ended = {kind: trained_cosines(kind) for kind in kinds}
share = {kind: 100 * (cosine < 0).float().mean().item() for kind, cosine in ended.items()}
pd.Series(share, name="images that point away from their pair, %").round(0).to_frame()

# %% [markdown]
# From a random start about half of them end up backwards, and the loss is content. In ECG-Scan the contrastive loss (Eq. 1)
# stands beside it and objects, with a cosine that knows its sign. A volume alone needs a signed kind.

# %%
backwards = gram_volume(-matched.image, matched.report, matched.signal)
torch.testing.assert_close(backwards, gram_volume(*matched))
assert share["volume"] > 20 > share["signed_plane_distance"]

# %% [markdown]
# ## 8. The floor
#
# Label smoothing takes a share $\varepsilon = 0.1$ of each target and spreads it over all candidates of the batch. Then a loss of
# zero is out of reach, and too much certainty costs again. Here the right logit leads all others by a gap:

# %%
from ecgscan_lab.losses.contrastive import symmetric_cross_entropy

gap = torch.linspace(0, 15, 61)
smoothings = {"no smoothing": 0.0, "ε = 0.1": 0.1}
curves = {
    name: [symmetric_cross_entropy(g * torch.eye(80), label_smoothing=smoothing).item() for g in gap]
    for name, smoothing in smoothings.items()
}
floor = smoothed_floor(80, 0.1)
show(plot_curves(gap, curves, xlabel="lead of the right logit", ylabel="loss at B = 80 (nats)", levels={f"floor {floor:.4f}": floor}))
assert abs(min(curves["ε = 0.1"]) - floor) < 0.01

# %% [markdown]
# A batch of 80 cannot do better than 0.7538, at a lead of 6.6; with $\tau = 14.3$ that is a difference in volume of 0.46. A run
# that logs 0.76 may have learned all it can. That is why the library also logs the loss *above its floor*.
#
# ### Exercise 02.4
#
# Predict the floor for a batch of 256, in nats (natural logarithms), to three decimals. It is the entropy of the
# smoothed target: $p = 1 - \varepsilon + \varepsilon/B$ once, $q = \varepsilon/B$ for each of the others.
#
# <details><summary>Hint 1</summary>
#
# The best prediction is the smoothed target itself. What is its entropy, $-\sum p \ln p$ over all 256 candidates?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# One candidate has $p = 0.9 + 0.1/256$, and 255 have $q = 0.1/256$: $-p \ln p - 255\, q \ln q$.
#
# </details>

# %% tags=["exercise"]
floor_256 = ...  # exercise 02.4: your number here

# %%
check_exercise("02.4", floor_256)

# %% tags=["solution"]
p, q = 1 - 0.1 + 0.1 / 256, 0.1 / 256
floor_256 = -p * math.log(p) - 255 * q * math.log(q)

# %% [markdown]
# The figures of this run. `ecgscan-lab notebooks sweep 02 --grid seed=0,1,2` runs the notebook once for each seed, and puts them into
# one table.

# %%
from ecgscan_lab.nb.results import record_result

record_result(
    loss_above_floor_nats=float(gram_loss(*triples, scale)) - smoothed_floor(batch),
    backwards_percent=share["volume"],
    backwards_with_sign_percent=share["signed_plane_distance"],
)

# %% [markdown]
# ## Check yourself
#
# Four questions. Where this notebook is live, choose a letter below each; anywhere else, put your letters in place of the
# question marks in the cell that follows and run it.

# %%
from ecgscan_lab.nb.quizzes import check_quiz, quiz

quiz("02")

# %%
check_quiz("02", "?", "?", "?", "?")

# %% [markdown]
# ## What to take away
#
# - Volume is base times height. Only the height is about the image; `plane_distance` keeps just that.
# - $\sqrt{|\det G|}$ has no gradient at collapse and, in bfloat16, a wrong one close to it. Float32, a clamp and $10^{-8}$ mend it.
# - A vector and its opposite have one volume. Keep a cosine beside it, or use a signed kind.
# - With label smoothing, judge a loss by its distance from the floor.
#
# **Limits.** Toy vectors with a known geometry: they show what *can* happen, not how often it happens to a network in
# training; `07_loss_lab` measures that. Not for clinical use.
#
# **References.** Pham et al. (2026), *Learning ECG Image Representations via Dual Physiological-Aware Alignments*, arXiv
# 2604.01526: Eq. 1 contrastive, Eq. 2-3 volume, Eq. 4 Gram loss. Cicchetti et al. (2024), *Gramian Multimodal Representation
# Learning and Alignment*, arXiv 2412.11959. Plane distance and the signed kinds are this package's own.
#
# **Next**: [03_lead_laws](03_lead_laws.ipynb), where six leads turn out to be two measurements.
